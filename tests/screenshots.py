"""Pictures of every tab in both themes, for the docs: `make screenshots`; `python screenshots.py Demand` takes one."""

import io
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image
from playwright.sync_api import Page, expect

from salesforecast.api.auth import generate_key
from salesforecast.core.params import load_params
from salesforecast.dashboard.model.training import run_command
from salesforecast.datasets import generate_sales, write_sales
from salesforecast.monitoring.monitor import monitor
from salesforecast.training.orchestration import train_models
from support.browsing import Visitor, card, chromium, free_port, serving, showing, visiting

PICTURES = Path(__file__).parents[1] / "nbs" / "images"
COLOURS = 256  # of a picture: enough, and the file is a third of the size
TALLEST = {"Orders": 2700, "Plan": 2700}  # pixels
WATCHED = ("Health",)  # their pictures are taken last
TABS = {"Changes": "History"}  # pictures of a view of a tab


def history(page: Page, source: Path) -> None:
    """What a visitor sees first; another picture may have left the tab at its changes."""
    page.get_by_role("button", name="Overview", exact=True).click()


def data(page: Page, source: Path) -> None:
    """A file of the visitor's own."""
    page.locator(".sf-drop input[type=file]").first.set_input_files(source)
    page.get_by_text("was read.").wait_for()


def predict_one(page: Page, source: Path) -> None:
    """A prediction with its reasons."""
    page.wait_for_timeout(2_000)
    page.get_by_role("button", name="Predict", exact=True).click()


def predict_many(page: Page, source: Path) -> None:
    """A file of predictions."""
    page.get_by_role("tabpanel", name="Predict many").locator(".sf-drop input[type=file]").set_input_files(
        source
    )


def forecast(page: Page, source: Path) -> None:
    """The next weeks."""


def demand(page: Page, source: Path) -> None:
    """Every level, and what to order."""


def explain(page: Page, source: Path) -> None:
    """What drives predictions."""


def changes(page: Page, source: Path) -> None:
    """What fell and rose most."""
    page.get_by_label("Period", exact=True).first.select_option("Last full month")
    page.get_by_role("button", name="Changes", exact=True).click()


def orders(page: Page, source: Path) -> None:
    """What to order where the shelves of some products are known."""
    tab = page.locator(".sf-panel:visible")
    fields = tab.get_by_label("On hand")
    fields.first.wait_for()
    for i, units in enumerate(("12", "3", "0", "25", "8")):
        fields.nth(i).fill(units)
    tab.get_by_label("Products without stock").select_option(index=1)
    page.get_by_role("button", name="Calculate the order").click()


def plan(page: Page, source: Path) -> None:
    """A fifth off a category, and a planner's own number."""
    tab = page.locator(".sf-panel:visible")
    form = card(page, "Your own numbers")
    tab.get_by_label("When").first.select_option(index=1)
    tab.get_by_label("Category", exact=True).first.select_option(label="Clothing")
    tab.get_by_label("Discount, %").fill("20")
    tab.get_by_role("button", name="Add to the plan").click()
    tab.get_by_text("On the days it changes").wait_for()
    form.get_by_label("Region", exact=True).select_option(label="North")
    page.wait_for_timeout(3_000)
    form.get_by_label("When").select_option(index=2)
    number = form.get_by_label("Your number")
    number.fill(str(round(1.4 * float(number.input_value()))))
    form.get_by_label("Your name").fill("Ada")
    form.get_by_label("Why", exact=True).fill("a fair in the north")
    form.get_by_role("button", name="Keep this number").click()
    tab.get_by_text("Ada: a fair in the north").first.wait_for()


def health(page: Page, source: Path) -> None:
    """What monitoring found."""


def train(page: Page, source: Path) -> None:
    """The challenger beside the champion, and the versions."""


STEPS = {
    "History": history,
    "Changes": changes,
    "Predict one": predict_one,
    "Predict many": predict_many,
    "Forecast": forecast,
    "Demand": demand,
    "Orders": orders,
    "Plan": plan,
    "Explain": explain,
    "Health": health,
    "Train": train,
    "Data": data,
}


def picture(page: Page, path: Path, tallest: int = 1600) -> None:
    """The whole tab, as a small file."""
    page.mouse.move(0, 0)
    page.evaluate("window.scrollTo(0, 0)")
    page.wait_for_timeout(500)
    shot = Image.open(io.BytesIO(page.screenshot(full_page=True))).convert("RGB")
    shot = shot.crop((0, 0, shot.width, min(shot.height, tallest)))
    shot.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    print(path.name, f"{path.stat().st_size / 1000:.0f} KB")


def train_versions(source: Path, models: Path) -> None:
    """Train on all but the last two months, then on all, through the gate."""
    sales = pd.read_csv(source, dtype=str)
    days = pd.to_datetime(sales["Transaction_Date"], format="mixed", errors="coerce")
    earlier, last_months = source.with_name("earlier-sales.csv"), days.quantile(0.94)  # some days are wrong
    sales[days < last_months].to_csv(earlier, index=False)
    train_models(earlier, models_dir=models, params=load_params(), track=False)
    run_command("train", source, "--models-dir", models, "--no-track", "--gate", "report-only")


def monitor_newer(source: Path, models: Path) -> None:
    """Monitor the served version on its last weeks, as if they had come again."""
    sales = pd.read_csv(source, dtype=str)
    days = pd.to_datetime(sales["Transaction_Date"], format="mixed", errors="coerce")
    last, month = days.quantile(0.999), pd.Timedelta(days=40)
    recent = sales[(days > last - month) & (days <= last)]
    later = days[recent.index] + month
    newer = {
        "Transaction_Date": later.dt.strftime("%Y-%m-%d %H:%M:%S"),
        "Transaction_ID": "N" + recent["Transaction_ID"],
    }
    monitor(recent.assign(**newer), models_dir=models, state=models / "alerts.json")


def main(folder: Path, tabs: Sequence[str]) -> None:
    """Train, serve, visit."""
    PICTURES.mkdir(exist_ok=True)
    source = write_sales(generate_sales(rows=60_000, seed=7), folder / "sales.csv")
    few = write_sales(generate_sales(rows=2_000, seed=8), folder / "new-sales.csv")
    models = folder / "models"
    train_versions(source, models)
    files: dict[str, Any] = {"Data": source, "Predict many": few}
    key = generate_key("Ada", ["admin"])[1]
    calm = [tab for tab in tabs if tab not in WATCHED]
    for tab_names in (
        calm,
        [tab for tab in tabs if tab in WATCHED],
    ):  # the others without what monitoring finds
        if tab_names and tab_names != calm:
            monitor_newer(source, models)
        for theme in ("light", "dark") if tab_names else ():
            env = {"MODEL_DIR": str(models), "SALESFORECAST_DATA_DIR": str(folder / f"data-{theme}")}
            env["SALESFORECAST_API_KEYS"] = key
            with (
                serving(models, free_port()) as api,
                showing(api.url, **env) as board,
                chromium() as browser,
                visiting(browser, board.url, theme=theme) as visitor,
            ):
                for tab in tab_names:
                    take(visitor, tab, files.get(tab, source), theme)


def take(visitor: Visitor, tab: str, source: Path, theme: str) -> None:
    """Open a tab, do its step, and take its picture."""
    visitor.open(TABS.get(tab, tab))
    STEPS[tab](visitor.page, source)
    visitor.page.wait_for_timeout(4_000)
    panel = visitor.page.get_by_role("tabpanel", name=TABS.get(tab, tab), exact=True)
    expect(panel.locator(".sf-busy:visible")).to_have_count(0)
    visitor.page.wait_for_timeout(3_000)  # charts are drawn
    name = tab.lower().replace(" ", "-")
    picture(visitor.page, PICTURES / f"dashboard-{name}-{theme}.png", TALLEST.get(tab, 1600))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as where:
        main(Path(where), sys.argv[1:] or list(STEPS))
