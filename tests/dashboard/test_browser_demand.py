"""What will next month bring, and Electronics in North? Any crossing has its sum and range, by its name."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import Locator, expect

from salesforecast.forecasting.forecaster import sum_interval
from salesforecast.registry.bundle import load_bundle
from salesforecast.registry.total_forecast import load_demand_states
from support.boards import DemandBoard
from support.browsing import WAIT, card, expect_drawn, trace, visiting
from support.models import Trained


@pytest.fixture
def demand(demand_board: DemandBoard) -> Trained:
    return demand_board.trained


@pytest.fixture
def tab(browser: Any, demand_board: DemandBoard) -> Iterator[Locator]:
    with visiting(browser, demand_board.url) as visitor:
        visitor.open("Demand")
        place = visitor.page.locator(".sf-panel:visible")
        expect(card(place, "Forecast of the series").locator(".js-plotly-plot")).to_be_visible(timeout=WAIT)
        yield place
    visitor.check()


def tiles(tab: Locator) -> list[str]:
    return tab.locator(".sf-kpi-value").all_inner_texts()


def test_next_month_and_electronics_in_north(tab: Locator, demand: Trained) -> None:
    forecast = load_demand_states(load_bundle(demand.models))["revenue", "D"].forecast
    panel = forecast.panel
    assert "Category,Region" not in panel.levels  # no series of its own
    wanted = (panel.keys["Category"] == "Electronics") & (panel.keys["Region"] == "North")
    names = panel.ids[panel.bottom][wanted.to_numpy()].tolist()
    month = tab.get_by_label("Days in the sum").locator("option").nth(1).inner_text()
    first = pd.Timestamp(forecast.days[0])
    assert month.replace("\xa0", " ").startswith(f"{first:%B %Y}")
    last = min(pd.Timestamp(forecast.days[-1]), first + pd.offsets.MonthEnd(0))

    tab.get_by_label("Days in the sum").select_option(index=1)
    tab.get_by_label("Category", exact=True).select_option(label="Electronics")
    tab.get_by_label("Region", exact=True).select_option(label="North")
    expect(tab.get_by_label("Series", exact=True).locator("option")).to_have_text(
        ["Electronics · North"], timeout=WAIT
    )
    want = sum_interval(forecast, names, first.date(), last.date())
    amounts = [
        f"{value:,.0f}" if value >= 1000 else f"{value:,.2f}"
        for value in (want["yhat"], want["lo-80"], want["hi-80"])
    ]
    expect(tab.locator(".sf-kpi-value").first).to_have_text(amounts[0], timeout=WAIT)
    assert tiles(tab)[:3] == amounts
    rows = [forecast.row(name) for name in names]
    ahead = pytest.approx(forecast.yhat[rows].sum(0).tolist(), rel=1e-6)
    expect_drawn(tab, "Forecast of the series", "Forecast", y=ahead)
    past = trace(tab, "Forecast of the series", "Revenue")
    assert past.y == pytest.approx(panel.values[rows, -len(past.y) :].sum(0).tolist(), abs=0.01)

    tab.get_by_label("Split by", exact=True).select_option(label="Product × Region")
    table = card(tab, "All series").locator("tbody tr")
    expect(table).to_have_count(min(10, len(names) + 1), timeout=WAIT)
    expect(table.nth(0).locator("td").first).to_have_text("Electronics · North")
    sizes = forecast.yhat[rows].sum(1)
    product, _, region = (
        panel.ids[rows[int(np.argmax(sizes))]].removeprefix("Product_ID=").partition("/Region=")
    )
    sold = pd.read_csv(demand.source, dtype=str)
    largest = f"{sold.loc[sold['Product_ID'] == product, 'Product_Name'].mode()[0]} ({product}) · {region}"
    expect(table.nth(1).locator("td").first).to_have_text(largest)
    expect(tab.get_by_text(f"of {len(names) + 1:,} series")).to_be_visible()
    assert "Product_ID=" not in tab.inner_text()


def test_what_does_not_split_says_so(tab: Locator) -> None:
    tab.get_by_label("Region", exact=True).select_option(label="North")
    expect(tab.get_by_label("Series", exact=True).locator("option").first).to_have_text("North", timeout=WAIT)
    tab.get_by_label("Split by", exact=True).select_option(label="Category")
    expect(tab.get_by_text("No series of the level Category lies wholly within")).to_be_visible(timeout=WAIT)
    tab.get_by_label("Region", exact=True).select_option(label="All")
    expect(tab.get_by_label("Series", exact=True).locator("option").first).to_have_text(
        "All sales", timeout=WAIT
    )
