"""Pictures of every tab in both themes, for the docs: `make screenshots`; `python screenshots.py Demand` takes one."""

import io
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Page, expect

from salesforecast.core.params import load_params
from salesforecast.datasets import generate_sales, write_sales
from salesforecast.training.orchestration import train_models
from support.browsing import chromium, free_port, serving, showing, visiting

PICTURES = Path(__file__).parents[1] / "nbs" / "images"
COLOURS = 256  # of a picture: enough, and the file is a third of the size
TALLEST = 1600  # pixels


def history(page: Page, source: Path) -> None:
    """What a visitor sees first."""


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


STEPS = {
    "History": history,
    "Predict one": predict_one,
    "Predict many": predict_many,
    "Forecast": forecast,
    "Demand": demand,
    "Explain": explain,
    "Data": data,
}


def picture(page: Page, path: Path) -> None:
    """The whole tab, as a small file."""
    page.mouse.move(0, 0)
    shot = Image.open(io.BytesIO(page.screenshot(full_page=True))).convert("RGB")
    shot = shot.crop((0, 0, shot.width, min(shot.height, TALLEST)))
    shot.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    print(path.name, f"{path.stat().st_size / 1000:.0f} KB")


def main(folder: Path, tabs: Sequence[str]) -> None:
    """Train, serve, visit."""
    PICTURES.mkdir(exist_ok=True)
    source = write_sales(generate_sales(rows=60_000, seed=7), folder / "sales.csv")
    few = write_sales(generate_sales(rows=2_000, seed=8), folder / "new-sales.csv")
    train_models(source, models_dir=folder / "models", params=load_params(), track=False)
    files: dict[str, Any] = {"Data": source, "Predict many": few}
    with serving(folder / "models", free_port()) as api, showing(api.url) as board, chromium() as browser:
        for theme in ("light", "dark"):
            with visiting(browser, board.url, theme=theme) as visitor:
                for tab in tabs:
                    visitor.open(tab)
                    STEPS[tab](visitor.page, files.get(tab, source))
                    visitor.page.wait_for_timeout(4_000)
                    panel = visitor.page.get_by_role("tabpanel", name=tab, exact=True)
                    expect(panel.locator(".sf-busy:visible")).to_have_count(0)
                    visitor.page.wait_for_timeout(3_000)  # charts are drawn
                    name = tab.lower().replace(" ", "-")
                    picture(visitor.page, PICTURES / f"dashboard-{name}-{theme}.png")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as where:
        main(Path(where), sys.argv[1:] or list(STEPS))
