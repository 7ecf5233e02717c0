"""What the charts draw is what the words beside them and the numbers say, also after a chart was away."""

import time

import pandas as pd
import pytest
from playwright.sync_api import Browser, Page, WebSocketRoute, expect

from salesforecast.client import Client, to_frame
from support.browsing import Trace, card, drawn, eventually, trace, visiting


@pytest.fixture(scope="module")
def daily(api: str) -> pd.Series:
    """The revenue of each day that the dashboard shows first."""
    revenue = to_frame(Client(api).history()).groupby("date")["revenue"].sum()
    return revenue.reindex(pd.date_range(revenue.index.min(), revenue.index.max()), fill_value=0.0)


def shows(page: Page, part: pd.Series) -> None:
    """The first key figure is the revenue of these days, and so is what both charts draw."""
    told = page.locator(".sf-panel:visible .sf-kpi-value").first
    expect(told).to_have_text(f"{part.sum():,.0f}")
    eventually(page, lambda: draws(page, part))


def draws(page: Page, part: pd.Series) -> None:
    """Trend and distribution draw these days."""
    if len(part) <= 100:
        found = trace(page, "Trend", "Each day")
        assert found.x == part.index.strftime("%Y-%m-%d").tolist()
        assert found.y == pytest.approx(part.tolist(), abs=0.01)
    else:
        found = trace(page, "Trend", "Each month" if len(part) > 800 else "Each week")
        assert sum(found.y) + sum(
            sum(one.y) for one in drawn(page, "Trend") if one.name == "Incomplete period"
        ) == pytest.approx(part.sum(), abs=0.1)
    assert sum(drawn(page, "Revenue per day")[0].y) == pytest.approx(len(part), rel=0.02)  # without the tail
    assert named(drawn(page, "Trend"))


def named(traces: list[Trace]) -> bool:
    """No trace has lost its name."""
    return not [one.name for one in traces if one.x and one.name.startswith("trace ")]


def choose(page: Page, period: str) -> None:
    """Choose a period of the History tab."""
    page.get_by_label("Period", exact=True).select_option(period)


def view(page: Page, name: str) -> None:
    """Open a view of the History tab."""
    page.get_by_role("button", name=name, exact=True).click()


def test_a_view_that_was_left_draws_the_filters_of_now(page: Page, daily: pd.Series) -> None:
    shows(page, daily)
    view(page, "Products")
    expect(page.get_by_text("No products", exact=True)).to_be_visible()
    view(page, "Overview")
    choose(page, "Last 30 days")
    shows(page, daily[-30:])
    view(page, "Categories and regions")
    expect(card(page, "Revenue by category").locator(".js-plotly-plot")).to_be_visible()
    choose(page, "Last 90 days")  # while the overview is away
    view(page, "Overview")
    shows(page, daily[-90:])
    choose(page, "All days")
    shows(page, daily)
    view(page, "Categories and regions")
    eventually(page, lambda: segments(page, daily))


def segments(page: Page, part: pd.Series) -> None:
    """The charts of categories and regions draw these days."""
    for title, along in (
        ("Revenue by category", "x"),
        ("Revenue by region", "x"),
        ("Regions by category", "y"),
    ):
        lengths = [value for one in drawn(page, title) if one.type == "bar" for value in getattr(one, along)]
        assert sum(lengths) == pytest.approx(part.sum()), title


def test_an_empty_result_and_other_tabs_leave_the_charts_whole(page: Page, daily: pd.Series) -> None:
    shows(page, daily)
    history = page.locator(".sf-panel:visible")
    for _ in range(2):
        for field, day in (("To", "2031-12-31"), ("From", "2031-01-01")):
            history.get_by_label(field, exact=True).fill(day)
            history.get_by_label(field, exact=True).press("Tab")
        expect(page.get_by_text("No sale matches all filters.")).to_be_visible()
        card(page, "No result").get_by_role("button", name="Clear filters").click()
        shows(page, daily)
        choose(page, "Last 90 days")
        shows(page, daily[-90:])
    for tab in ("Data", "History"):
        page.get_by_role("tab", name=tab, exact=True).click()
    choose(page, "Last 365 days")
    shows(page, daily[-365:])
    page.get_by_role("button", name="Switch between light and dark").click()
    shows(page, daily[-365:])
    card(page, "Trend").get_by_label("Periods").select_option("By day")

    def by_day() -> None:
        assert trace(page, "Trend", "Each day").y == pytest.approx(daily[-365:].tolist(), abs=0.01)

    eventually(page, by_day)


def test_a_connection_that_returns_goes_on_drawing(
    browser: Browser, dashboard: str, daily: pd.Series
) -> None:
    routes: list[WebSocketRoute] = []
    arrived: list[float] = []

    def through(route: WebSocketRoute) -> None:
        server = route.connect_to_server()

        def answer(message: str | bytes) -> None:
            arrived.append(time.monotonic())
            route.send(message)

        server.on_message(answer)
        routes.append(route)

    with visiting(browser, dashboard) as visitor:
        page = visitor.page
        page.route_web_socket("**", through)
        visitor.reload()
        shows(page, daily)
        while time.monotonic() - arrived[-1] < 5:  # what is on its way when a connection ends is lost
            page.wait_for_timeout(500)
        routes[-1].close(code=3000)
        choose(page, "Last 30 days")
        page.wait_for_function("document.querySelector('.sf-kpi-value') !== null")
        shows(page, daily[-30:])
    visitor.lost_connections.clear()  # the test ends the connection
    visitor.check()


def test_a_page_of_which_a_part_was_lost_says_so(browser: Browser, dashboard: str) -> None:
    with visiting(browser, dashboard) as visitor:
        page = visitor.page
        page.evaluate("() => { Promise.reject(new Error('widget model not found')) }")
        notice = page.get_by_role("alert")
        expect(notice).to_contain_text("A part of this page did not arrive. Reload the page.")
        visitor.reload(notice.get_by_role("button", name="Reload").click)
        expect(notice).to_be_hidden()
    assert visitor.errors == ["widget model not found"]


@pytest.mark.parametrize(
    "is_empty", [True, pytest.param(False, marks=pytest.mark.slow)], ids=["no widgets", "no answer"]
)
def test_a_page_that_is_drawn_without_its_widgets_loads_itself_anew(
    browser: Browser, dashboard: str, daily: pd.Series, is_empty: bool
) -> None:
    pages: list[WebSocketRoute] = []

    def through(route: WebSocketRoute) -> None:
        """The first process says that it has no widgets, or does not answer for them, for which a page waits a minute."""
        pages.append(route)
        first, server = len(pages) == 1, route.connect_to_server()
        lost = [b"jupyter.widget.control"] + ([] if is_empty else [b'"request_state"'])

        def ask(message: str | bytes) -> None:
            if not (first and isinstance(message, bytes) and any(words in message for words in lost)):
                server.send(message)

        def answer(message: str | bytes) -> None:
            if first and is_empty and isinstance(message, bytes) and b'"comm_info_reply"' in message:
                message = message.replace(b'"ok"', b'"no"')
            route.send(message)

        route.on_message(ask)
        server.on_message(answer)

    with visiting(browser, dashboard) as visitor:
        visitor.page.route_web_socket("**", through)
        with pytest.warns(UserWarning, match="loaded itself anew"):
            visitor.reload()
        assert len(pages) == 2
        shows(visitor.page, daily)
    visitor.lost_connections.clear()  # the page that loads itself anew ends the connection
    visitor.check()
