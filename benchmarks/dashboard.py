"""The dashboard in a browser: its first paint, a filter over many transactions, the memory of a session."""

import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.api import free_port, running
from salesforecast.core.params import ForecastParams, Params, load_params
from salesforecast.datasets import generate_sales, write_sales
from salesforecast.training.orchestration import train_models

COMMAND = [sys.executable, "-c", "from salesforecast.cli.main import main; main()"]
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
VISITS, FILTERS = 5, 10
SETTLE = 8  # seconds until the next session is warm

# from the choice of another period to the frame in which the first figure has changed
CHANGE = """(period) => new Promise((done) => {
  const tile = () => document.querySelector(".sf-panel-0 .sf-kpi-value").textContent;
  const before = tile(), select = document.querySelector(".sf-panel-0 select");
  const began = performance.now();
  const look = () => tile() === before ? requestAnimationFrame(look) : requestAnimationFrame(() => done(performance.now() - began));
  select.value = period;
  select.dispatchEvent(new Event("change", { bubbles: true }));
  look();
})"""


def visit(browser: Browser, url: str) -> tuple[Page, float, float]:
    """A page, with the milliseconds to its first paint and to the first chart."""
    page = browser.new_page(viewport={"width": 1366, "height": 768})
    began = time.perf_counter()
    page.goto(url, wait_until="commit")
    page.wait_for_selector(".js-plotly-plot .main-svg", timeout=120_000)
    chart = 1000 * (time.perf_counter() - began)
    paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    return page, paint, chart


def filtering(page: Page, source: Path) -> dict[str, float]:
    """Upload, and the milliseconds from the choice of a period to changed figures."""
    page.get_by_role("tab", name="Data", exact=True).click()
    began = time.perf_counter()
    page.locator(".sf-drop input[type=file]").first.set_input_files(source)
    page.get_by_text(f"{source.name} is read.").wait_for(timeout=300_000)
    upload = time.perf_counter() - began
    page.get_by_role("tab", name="History", exact=True).click()
    page.wait_for_timeout(2_000)
    periods = ["Last 365 days", "Last 90 days", "All days"]
    taken = []
    for number in range(FILTERS):
        taken.append(page.evaluate(CHANGE, periods[number % len(periods)]))
        page.wait_for_timeout(1_000)
    return {
        "upload and read, seconds": round(upload, 1),
        "filter to changed figures, best ms": round(min(taken)),
        "filter to changed figures, median ms": round(sorted(taken)[len(taken) // 2]),
    }


def session_memory(server: int) -> list[float]:
    """MB (PSS) of the sessions' processes."""
    every = psutil.Process(server).children(recursive=True)
    return [one.memory_full_info().pss / 1e6 for one in every if "ipykernel_launcher" in one.cmdline()]


def dashboard(rows: int, folder: Path) -> dict[str, Any]:
    """Everything about the dashboard."""
    params = Params(
        random_forest=[{"n_estimators": 2, "min_samples_leaf": 1000}],
        xgboost=load_params().xgboost[:1],
        forecast=ForecastParams(windows=1),
    )
    source, models = write_sales(generate_sales(rows=60_000, seed=1), folder / "sales.csv"), folder / "models"
    train_models(source, models_dir=models, params=params, track=False)
    many = write_sales(generate_sales(rows=rows, seed=2, error_share=0), folder / "many.csv")
    api, board = free_port(), free_port()
    env = {"MODEL_DIR": str(models), "API_PORT": str(api), "SALESFORECAST_API_WORKERS": "1"}
    env |= {"API_URL": f"http://127.0.0.1:{api}", "DASHBOARD_PORT": str(board)}
    with (
        running([*COMMAND, "serve"], api, "/readyz", env),
        running([*COMMAND, "dashboard"], board, "/healthz", env) as server,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        paints, charts = [], []
        for _ in range(VISITS):
            time.sleep(SETTLE)
            page, paint, chart = visit(browser, f"http://127.0.0.1:{board}/")
            paints.append(paint)
            charts.append(chart)
            page.goto("about:blank")
        time.sleep(SETTLE)
        fresh = max(session_memory(server.pid))
        page, _, _ = visit(browser, f"http://127.0.0.1:{board}/")
        found = filtering(page, many)
        for tab in page.get_by_role("tab").all():
            tab.click()
            page.wait_for_timeout(5_000)
        return {
            "first paint, ms": round(min(paints)),
            "first chart, ms": round(min(charts)),
            "rows": rows,
            **found,
            "PSS of a fresh session, MB": round(fresh, 1),
            "PSS after the upload and all tabs, MB": round(max(session_memory(server.pid)), 1),
        }


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as where:
        print(
            json.dumps(dashboard(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000, Path(where)), indent=1)
        )
