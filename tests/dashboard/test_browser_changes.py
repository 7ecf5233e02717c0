"""How did last month go against the month before and the same month last year, and which category fell most?"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from playwright.sync_api import Locator, Page, expect

from salesforecast.client import Client, to_frame
from salesforecast.dashboard.model.formats import number, percent
from support.browsing import WAIT, card, expect_drawn


@pytest.fixture(scope="module")
def monthly(api: str) -> pd.DataFrame:
    """Revenue by month (rows) and category."""
    rows = to_frame(Client(api).history(by=("Category",)))
    return rows.groupby([rows["date"].dt.to_period("M"), "Category"])["revenue"].sum().unstack()


@pytest.fixture
def tab(page: Page, monthly: pd.DataFrame, api: str) -> Iterator[Locator]:
    """The History tab with the last full month."""
    last = to_frame(Client(api).history())["date"].max()
    month = last.to_period("M") - int(not last.is_month_end)
    place = page.locator(".sf-panel:visible")
    page.get_by_label("Period", exact=True).select_option("Last full month")
    for field, day in (("From", month.start_time), ("To", month.end_time)):
        expect(place.get_by_label(field, exact=True)).to_have_value(f"{day:%Y-%m-%d}")
    page.get_by_role("button", name="Changes", exact=True).click()
    expect(card(place, "All changes").locator("thead")).to_contain_text((month - 1).strftime("%B %Y"))
    yield place


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
        changed = (this - other)[(this - before).sort_values(ascending=False).index]  # largest fall last
        expect_drawn(tab, "What changed", f"Against {name}", x=pytest.approx(changed.tolist(), abs=0.01))


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


def test_a_report_for_the_boss(
    browser: Any, tab: Locator, monthly: pd.DataFrame, api: str, tmp_path: Path
) -> None:
    """A page of its own: what is said and drawn are the period's numbers and the forecast of the Forecast tab."""
    now = pd.Period(tab.get_by_label("To", exact=True).input_value(), "M")
    with tab.page.expect_download(timeout=WAIT) as waiting:
        tab.get_by_role("button", name="Report (HTML)").click()
    waiting.value.save_as(file := tmp_path / "report.html")
    page, asked = browser.new_page(), list[str]()
    page.on("request", lambda request: asked.append(request.url))
    page.goto(file.as_uri())
    expect(page.locator("h1")).to_have_text(f"Sales report: {now.strftime('%B %Y')}")
    this, before = monthly.loc[now], monthly.loc[now - 1]
    cells = page.locator("tbody tr").first.locator("td").all_inner_texts()
    assert cells[:3] == ["Revenue", f"{this.sum():,.0f}", percent(this.sum() / before.sum() - 1, sign=True)]
    assert f"{(this - before).idxmin()} fell most" in page.locator("body").inner_text()
    plots = page.locator(".js-plotly-plot")
    expect(plots).to_have_count(3)
    names = plots.nth(2).evaluate("plot => plot._fullData.map((trace) => trace.name)")
    line = plots.nth(2).evaluate("plot => Array.from(plot._fullData.find((t) => t.name === 'Forecast').y)")
    client = Client(api)
    last = pd.Timestamp(client.model_info().training_period["end"])
    ahead = to_frame(
        client.forecast_sarima((last + pd.Timedelta(days=1)).date(), (last + pd.Timedelta(days=28)).date())
    )
    assert line == pytest.approx(ahead["predicted_revenue"].tolist(), rel=1e-6) and "80% interval" in names
    assert f"{ahead['predicted_revenue'].sum():,.0f} expected" in page.locator("body").inner_text()
    assert asked == [file.as_uri()]  # it loads nothing
    page.close()
