"""The dashboard in a browser: its first chart beside a bare page's, an upload beside the reading itself, a filter, memory."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from playwright.sync_api import Browser, Page, TimeoutError, sync_playwright

from benchmarks import best
from benchmarks.api import free_port, running
from salesforecast.core.params import ForecastParams, Params, load_params
from salesforecast.datasets import generate_sales, write_sales
from salesforecast.training.orchestration import train_models

COMMAND = [sys.executable, "-c", "from salesforecast.cli.main import main; main()"]
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
VISITS, UPLOADS, FILTERS = 5, 3, 10
SETTLE = 8  # seconds until the next session is warm
READ = "import sys; from salesforecast.sales.reading import read_sales; read_sales(sys.argv[1])"

# Voila with the dashboard's own settings, but its own template, and no count of visitors
BARE_SERVER = """
import os, sys
from voila.app import Voila
from salesforecast.core.settings import Settings
from salesforecast.dashboard.server import server_config, server_environment
settings = Settings()
with server_environment(settings):
    config = server_config(settings)
    config.Voila.notebook_path = sys.argv[1]
    config.VoilaConfiguration.template = "lab"
    del config.VoilaConfiguration.multi_kernel_manager_class
    server = Voila.instance(config=config, config_file_paths=[])
    server.initialize([])
    server.start()
"""
BARE_CELL = "import plotly.graph_objects as go\ngo.FigureWidget(go.Scatter(y=[1, 3, 2]))"

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
    try:
        page.wait_for_selector(".js-plotly-plot .main-svg", timeout=120_000)
    except TimeoutError as error:
        raise RuntimeError(
            f"{url} has drawn no chart; it shows: {page.inner_text('body')[:500]!r}"
        ) from error
    chart = 1000 * (time.perf_counter() - began)
    paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    return page, paint, chart


def leave(page: Page) -> None:
    """Close a page as a visitor does, so that it ends its process."""
    page.goto("about:blank")
    page.close()


def write_bare_notebook(path: Path) -> Path:
    """A notebook with one figure."""
    cell = {"cell_type": "code", "id": "figure", "source": BARE_CELL, "metadata": {}, "outputs": []}
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = {
        "cells": [cell | {"execution_count": None}],
        "metadata": {"kernelspec": kernel},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    path.write_text(json.dumps(notebook))
    return path


def first_charts(browser: Browser, urls: dict[str, str]) -> dict[str, tuple[float, float]]:
    """The least milliseconds to the first paint and to the first chart of pages that take turns."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in urls}
    for _ in range(VISITS):
        for name, url in urls.items():
            time.sleep(SETTLE)
            page, paint, chart = visit(browser, url)
            found[name].append((paint, chart))
            leave(page)
    return {name: (min(p for p, _ in taken), min(c for _, c in taken)) for name, taken in found.items()}


def upload(page: Page, source: Path) -> float:
    """Seconds from the choice of a file to the message that it was read."""
    page.get_by_role("tab", name="Data", exact=True).click()
    began = time.perf_counter()
    page.locator(".sf-drop input[type=file]").first.set_input_files(source)
    read = page.get_by_text(f"{source.name} was read.")
    other = page.get_by_role("tabpanel", name="Data", exact=True).locator(".sf-message:visible")
    read.or_(other).first.wait_for(timeout=300_000)
    taken = time.perf_counter() - began
    if not read.is_visible():
        raise RuntimeError(f"The page says: {other.first.inner_text()}")
    return taken


def filtering(page: Page) -> dict[str, float]:
    """Milliseconds from the choice of a period to changed figures."""
    page.get_by_role("tab", name="History", exact=True).click()
    page.wait_for_timeout(2_000)
    periods = ["Last 365 days", "Last 90 days", "All days"]
    taken = []
    for number in range(FILTERS):
        taken.append(page.evaluate(CHANGE, periods[number % len(periods)]))
        page.wait_for_timeout(1_000)
    return {
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
    notebook = write_bare_notebook(folder / "bare.ipynb")
    api, board, bare = free_port(), free_port(), free_port()
    env = {"MODEL_DIR": str(models), "API_PORT": str(api), "SALESFORECAST_API_WORKERS": "1"}
    env |= {"API_URL": f"http://127.0.0.1:{api}", "DASHBOARD_PORT": str(board)}
    bare_command = [sys.executable, "-c", BARE_SERVER, str(notebook)]
    url = f"http://127.0.0.1:{board}/"
    with (
        running([*COMMAND, "serve"], api, "/readyz", env),
        running([*COMMAND, "dashboard"], board, "/healthz", env) as server,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        with running(bare_command, bare, "/voila/static/favicon.ico", {"DASHBOARD_PORT": str(bare)}):
            urls = {"dashboard": url, "bare": f"http://127.0.0.1:{bare}/"}
            charts = first_charts(browser, urls)
        time.sleep(SETTLE)
        fresh = max(session_memory(server.pid))
        reading = best(lambda: subprocess.run([sys.executable, "-c", READ, str(many)], check=True))
        uploads = []
        for number in range(UPLOADS):
            page, _, _ = visit(browser, url)
            time.sleep(SETTLE)
            uploads.append(upload(page, many))
            if number < UPLOADS - 1:
                leave(page)
        filtered = filtering(page)
        for tab in page.get_by_role("tab").all():
            tab.click()
            page.wait_for_timeout(5_000)
        (paint, chart), (_, bare_chart) = charts["dashboard"], charts["bare"]
        return {
            "first paint, ms": round(paint),
            "first chart, ms": round(chart),
            "first chart of a bare page, ms": round(bare_chart),
            "first chart / that of a bare page": round(chart / bare_chart, 2),
            "rows": rows,
            "upload and read, seconds": round(min(uploads), 1),
            "reading alone, seconds": round(reading, 1),
            "upload and read / reading alone": round(min(uploads) / reading, 2),
            **filtered,
            "PSS of a fresh session, MB": round(fresh, 1),
            "PSS after the upload and all tabs, MB": round(max(session_memory(server.pid)), 1),
        }


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as where:
        print(
            json.dumps(dashboard(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000, Path(where)), indent=1)
        )
