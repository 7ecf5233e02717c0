"""How did last month go against the month before and the same month last year, and which category fell most?"""

from collections.abc import Iterator

import pandas as pd
import pytest
from playwright.sync_api import Locator, Page, expect

from salesforecast.client import Client, to_frame
from salesforecast.dashboard.model.formats import number, percent
from support.browsing import WAIT, card, trace


@pytest.fixture(scope="module")
def monthly(api: str) -> pd.DataFrame:
    """Revenue by month (rows) and category."""
    rows = to_frame(Client(api).history(by=("Category",)))
    return rows.groupby([rows["date"].dt.to_period("M"), "Category"])["revenue"].sum().unstack()


@pytest.fixture
def tab(page: Page) -> Iterator[Locator]:
    """The History tab with the last full month."""
    page.get_by_label("Period", exact=True).select_option("Last full month")
    page.get_by_role("button", name="Changes", exact=True).click()
    yield page.locator(".sf-panel:visible")


def cells(tab: Locator) -> list[list[str]]:
    rows = card(tab, "All changes").locator("tbody tr")
    return [rows.nth(i).locator("td").all_inner_texts() for i in range(rows.count())]


def test_last_month_against_the_month_before_and_last_year(tab: Locator, monthly: pd.DataFrame) -> None:
    now = pd.Period(tab.get_by_label("To", exact=True).input_value(), "M")
    before, year = monthly.loc[now - 1], monthly.loc[now - 12]
    this = monthly.loc[now]
    tile = tab.locator(".sf-kpi", has_text="Revenue").first
    expect(tile.locator(".sf-kpi-value")).to_have_text(f"{this.sum():,.0f}")
    notes = tile.locator(".sf-kpi-note").all_inner_texts()
    assert [note.split()[1] for note in notes] == [
        percent(this.sum() / other.sum() - 1, sign=True) for other in (before, year)
    ]
    assert notes[1].endswith(f"from {year.sum():,.0f} last year")
    fell = (this - before).idxmin()
    names = [f"{month.strftime('%B %Y')}" for month in (now, now - 1, now - 12)]
    expect(tab.get_by_text(f"Against {names[1]}, {fell} fell most")).to_be_visible(timeout=WAIT)
    expect(tab.get_by_text(f"{names[0]} compared with {names[1]}, and with {names[2]}")).to_be_visible()
    expect(tab.get_by_text("than " + names[1])).to_be_visible()  # the weekdays
    for name, other in ((names[1], before), (names[2], year)):
        bars = trace(tab, "What changed", f"Against {name}")
        assert sorted(bars.x) == pytest.approx(sorted(this - other), abs=0.01)
    assert trace(tab, "What changed", f"Against {names[1]}").x[-1] == pytest.approx((this - before).min())


def test_the_table_of_changes_sorts(tab: Locator, monthly: pd.DataFrame) -> None:
    now = pd.Period(tab.get_by_label("To", exact=True).input_value(), "M")
    against_year = monthly.loc[now] - monthly.loc[now - 12]
    expect(card(tab, "All changes").locator("tbody tr")).to_have_count(len(against_year), timeout=WAIT)
    against_month = (monthly.loc[now] - monthly.loc[now - 1]).sort_values()
    assert [row[0] for row in cells(tab)] == against_month.index.tolist()
    title = f"Change against {(now - 12).strftime('%B %Y')}"
    tab.get_by_label("Sorted by").select_option(label=title)
    tab.get_by_label("Order").select_option(label="Descending")
    largest = against_year.idxmax()
    expect(card(tab, "All changes").locator("tbody td").first).to_have_text(largest, timeout=WAIT)
    assert [row[0] for row in cells(tab)] == against_year.sort_values(ascending=False).index.tolist()
    head = card(tab, "All changes").locator("thead th").all_inner_texts()
    shown = [row[head.index(title)] for row in cells(tab)]
    assert shown[0].lstrip("−") == number(
        abs(against_year.max()), 0 if abs(against_year.max()) >= 1000 else 2
    )
    tab.get_by_label("Of", exact=True).select_option(label="Units")
    expect(card(tab, "All changes").locator("tbody td").first).to_be_visible()
