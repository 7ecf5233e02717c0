"""Planners' own numbers, in a real browser: chosen by a click, held in all series, judged by what was sold."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import expect

from salesforecast.forecasting.overrides import hold_overrides, load_overrides
from salesforecast.forecasting.state import DemandState
from salesforecast.registry.bundle import load_bundle
from salesforecast.registry.total_forecast import load_demand_state
from support.browsing import WAIT, card, expect_drawn, free_port, serving, showing, visiting
from support.models import Trained

TITLE = "The model's forecast and the planners' numbers"
HELD = "With planners' numbers"
ADD = "INSERT INTO overrides VALUES (?, ?, ?, ?, ?, ?, ?)"


@pytest.fixture(scope="module")
def api(demand: Trained) -> Iterator[str]:
    with serving(demand.models, free_port()) as served:
        yield served.url


def weeks(state: DemandState, values: np.ndarray, series: str) -> np.ndarray:
    """The sums of the weeks ahead."""
    return values[state.forecast.row(series)].reshape(-1, 7).sum(1)


def click_week(tab: Any, page: Any, week: int) -> None:
    """Click the point of a week in the chart."""
    chart = card(tab, TITLE).locator(".js-plotly-plot")
    chart.scroll_into_view_if_needed()
    x, y = chart.evaluate(
        """(chart, week) => {
            const trace = chart._fullData.find((t) => t.name === "With planners' numbers");
            const { xaxis, yaxis } = chart._fullLayout, box = chart.getBoundingClientRect();
            return [box.x + xaxis._offset + xaxis.d2p(trace.x[week]),
                    box.y + yaxis._offset + yaxis.d2p(trace.y[week])];
        }""",
        week,
    )
    page.mouse.move(x, y)
    page.mouse.click(x, y)


def test_a_clicked_week_gets_a_number_that_all_series_follow(
    browser: Any, api: str, demand: Trained, tmp_path: Path
) -> None:
    state = load_demand_state(load_bundle(demand.models), "revenue", "D")
    assert state is not None
    north = weeks(state, state.forecast.yhat, "Region=North")
    env = {"MODEL_DIR": str(demand.models), "SALESFORECAST_DATA_DIR": str(tmp_path)}
    with showing(api, **env) as board, visiting(browser, board.url) as visitor:
        page = visitor.page
        visitor.open("Plan")
        tab = page.locator(".sf-panel:visible")
        form = card(page, "Your own numbers")
        expect(form.get_by_label("Your number")).to_be_visible(timeout=WAIT)
        sold = pd.read_csv(demand.source).dropna(subset=["Product_ID", "Product_Name"]).iloc[-1]
        named = f"{sold.Product_Name} ({sold.Product_ID})"
        offered = form.get_by_label("Product", exact=True).locator("option").all_inner_texts()
        assert named in [text.replace("\xa0", " ") for text in offered]
        form.get_by_label("Region", exact=True).select_option(label="North")
        expect(tab.get_by_text("North:")).to_be_visible(timeout=WAIT)
        for name in ("Model", HELD):
            expect_drawn(tab, TITLE, name, y=pytest.approx(north.tolist()))
        click_week(tab, page, 2)
        first, last = (pd.Timestamp(state.forecast.days[i]) for i in (14, 20))
        span = f"{first.day} {first:%b %Y} to {last.day} {last:%b %Y}"
        expect(form.get_by_label("When").locator("option:checked")).to_have_text(span, timeout=WAIT)
        expect(form.get_by_label("Your number")).to_have_value(str(round(north[2], 2)), timeout=WAIT)

        wanted = round(2 * north[2], 2)
        form.get_by_label("Your number").fill(str(wanted))
        form.get_by_label("Your name").fill("Ada")
        form.get_by_role("button", name="Keep this number").click()
        expect(form.get_by_text("The reason is empty")).to_be_visible(timeout=WAIT)
        form.get_by_label("Why", exact=True).fill("a fair in the north")
        form.get_by_role("button", name="Keep this number").click()
        expect(form.get_by_text("The number is kept")).to_be_visible(timeout=WAIT)
        expect(tab.get_by_text("Ada: a fair in the north")).to_be_visible(timeout=WAIT)
        raised = north.copy()
        raised[2] = wanted
        expect_drawn(tab, TITLE, HELD, y=pytest.approx(raised.tolist()))
        expect_drawn(tab, TITLE, "Model", y=pytest.approx(north.tolist()))

        store = tmp_path / "overrides-revenue-D.db"
        held, *_ = hold_overrides(state.forecast, load_overrides(store))  # what the command line does
        form.get_by_label("Region", exact=True).select_option(label="All")
        expect(tab.get_by_text("All sales:")).to_be_visible(timeout=WAIT)
        total = weeks(state, held.yhat, "total")
        expect_drawn(tab, TITLE, HELD, y=pytest.approx(total.tolist()))
        assert total[2] - weeks(state, state.forecast.yhat, "total")[2] == pytest.approx(wanted - north[2])
        with page.expect_download(timeout=WAIT) as waiting:
            card(tab, "Recorded numbers").get_by_role("button", name="Excel").click()
        book = pd.read_excel(waiting.value.path(), sheet_name=None)
        sums = book["All series"].set_index("Series")
        assert sums.loc["North", HELD] - sums.loc["North", "Model"] == pytest.approx(
            wanted - north[2], abs=0.02
        )
        assert book["Recorded"]["Planner"].sum() == pytest.approx(wanted, abs=0.02)

        expect(form.get_by_label("When").locator("option:checked")).to_have_text(span)
        expect(form.get_by_label("Your number")).to_have_value(str(round(total[2], 2)))
        form.get_by_label("Your number").fill("1")  # all sales of a week below those of North
        form.get_by_label("Why", exact=True).fill("nonsense")
        form.get_by_role("button", name="Keep this number").click()
        expect(form.get_by_text("cannot all hold")).to_be_visible(timeout=WAIT)
        assert len(load_overrides(store)) == 7
        card(tab, "Recorded numbers").get_by_role("button", name="Take back").click()
        expect(tab.get_by_text("Nothing is recorded for these weeks")).to_be_visible(timeout=WAIT)
        assert load_overrides(store).empty
    visitor.check()


def test_numbers_that_have_met_their_days_are_judged(
    browser: Any, api: str, demand: Trained, tmp_path: Path
) -> None:
    """Ada named what was sold, and the model was off by as much again."""
    state = load_demand_state(load_bundle(demand.models), "revenue", "D")
    assert state is not None
    row = state.forecast.row("Region=North")
    sold = state.panel.values[row, -7:]
    store = tmp_path / "overrides-revenue-D.db"
    with sqlite3.connect(store) as connection:
        names = "unique_id, ds, value, author, reason, model_yhat, made"
        connection.execute(f"CREATE TABLE overrides ({names})")
        for ds, y in zip(state.panel.days[-7:].astype(str), sold.tolist(), strict=True):
            row_ = ("Region=North", ds, y, "Ada", "a fair", 2 * y, "2026-01-01T00:00:00+00:00")
            connection.execute(ADD, row_)
    env = {"MODEL_DIR": str(demand.models), "SALESFORECAST_DATA_DIR": str(tmp_path)}
    with showing(api, **env) as board, visiting(browser, board.url) as visitor:
        visitor.open("Plan")
        judged = card(visitor.page, "Did the numbers help?")
        expect(judged.locator("tbody tr").first).to_be_visible(timeout=WAIT)
        cells = judged.locator("tbody tr").first.locator("td").all_inner_texts()
        assert cells == ["Ada", "7", "100.0%", "0.0%", "+100.0%"]
        details = judged.locator("tbody tr").nth(1).locator("td").all_inner_texts()
        assert details[0] == "North" and details[6] == "planner"
        assert float(details[5].replace(",", "")) == pytest.approx(sold.sum(), abs=0.5)
        assert float(details[3].replace(",", "")) == pytest.approx(2 * sold.sum(), abs=0.5)
    visitor.check()


def test_another_folder_than_the_apis_is_said(browser: Any, api: str, tmp_path: Path) -> None:
    with showing(api, MODEL_DIR=str(tmp_path)) as board, visiting(browser, board.url) as visitor:
        visitor.open("Plan")
        form = card(visitor.page, "Your own numbers")
        expect(form.get_by_text("serves no version")).to_be_visible(timeout=WAIT)
        expect(form.get_by_text("set MODEL_DIR")).to_be_visible()
    visitor.check()
