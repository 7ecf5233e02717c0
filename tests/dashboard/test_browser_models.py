"""The tabs of predictions, forecasts and explanations in a real browser, against a real API."""

import io
import re
from datetime import datetime
from pathlib import Path

import openpyxl
import pandas as pd
import psutil
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from salesforecast.client import Client, to_frame
from salesforecast.dashboard.model.forecasts import preset_days
from support.browsing import WAIT, drawn, eventually, expect_drawn, free_port, serving, showing, visiting
from support.models import Trained
from support.sales import german_orders

EVIL = "<script>alert(1)</script>"


def opened(page: Page, name: str) -> Locator:
    """The content of a tab."""
    page.get_by_role("tab", name=name, exact=True).click()
    return page.locator(".sf-panel:visible")


def saved(page: Page, button: Locator) -> bytes:
    """The file that a button saves."""
    with page.expect_download(timeout=WAIT) as waiting:
        button.click()
    return Path(waiting.value.path()).read_bytes()


def chart(place: Locator, title: str) -> Locator:
    """The chart of a card."""
    head = place.page.locator("h2", has_text=re.compile(f"^{re.escape(title)}$"))
    found = place.locator(".sf-card", has=head).locator(".js-plotly-plot").first
    expect(found).to_be_visible(timeout=WAIT)
    return found


def test_one_sale_is_predicted_explained_and_varied(page: Page) -> None:
    tab = opened(page, "Predict one")
    tab.get_by_label("Units", exact=True).fill("4")
    tab.get_by_label("Unit price", exact=True).fill("-5")
    tab.get_by_role("button", name="Predict", exact=True).click()
    expect(tab.locator(".sf-field-error")).to_contain_text("greater than or equal to 0", timeout=WAIT)
    tab.get_by_label("Unit price", exact=True).fill("25")
    tab.get_by_role("button", name="More about the sale").click()
    tab.get_by_label("Product", exact=True).fill(EVIL)
    tab.get_by_role("button", name="Predict", exact=True).click()
    expect(tab.get_by_text(EVIL).first).to_be_visible(timeout=WAIT)  # it was not in the training data
    for title in ("Prediction interval", "Why", "What if"):
        chart(tab, title)
    told = tab.locator(".sf-kpi", has_text="Predicted revenue").locator(".sf-kpi-value").inner_text()
    tab.get_by_role("button", name="Units", exact=True).click()
    expect(chart(tab, "What if").locator(".xtitle")).to_have_text("Units", timeout=WAIT)
    book = openpyxl.load_workbook(io.BytesIO(saved(page, tab.get_by_role("button", name="Excel").last)))
    head, row = list(book["Prediction"].values)[:2]
    assert f"{row[head.index('Predicted revenue')]:,.2f}" == told
    assert row[head.index("Product")] == EVIL


def test_a_file_is_predicted_paged_and_taken_away(page: Page, trained: Trained) -> None:
    lines = trained.source.read_text().splitlines()[:200]
    bad = f'TXN9,2026-09-01,P9,"{EVIL}",Toys,many,3.00,1.00,C9,North'
    content = ("\n".join([*lines, bad]) + "\n").encode()
    tab = opened(page, "Predict many")
    file = {"name": "my sales.csv", "mimeType": "text/csv", "buffer": content}
    tab.locator("input[type=file]").set_input_files(file)
    expect(tab.get_by_text("Units_Sold is not a number").first).to_be_visible(timeout=WAIT)
    chart(tab, "Distribution of predictions")
    chart(tab, "Predicted revenue by category")
    rows = tab.locator(".sf-card", has_text="All rows").last
    expect(rows.get_by_text("1–25 of 200 rows")).to_be_visible(timeout=WAIT)
    rows.get_by_role("button", name="Next").click()
    expect(rows.get_by_text("26–50 of 200 rows")).to_be_visible(timeout=WAIT)
    as_csv = pd.read_csv(io.BytesIO(saved(page, rows.get_by_role("button", name="CSV"))))
    as_excel = openpyxl.load_workbook(io.BytesIO(saved(page, rows.get_by_role("button", name="Excel"))))
    head, *cells = list(as_excel["Predictions"].values)
    found = [row[head.index("predicted_revenue")] for row in cells]
    want = as_csv["predicted_revenue"]
    assert len(found) == 200 and [v for v in found if v is not None] == pytest.approx(want.dropna().tolist())
    assert as_csv["problem"].iloc[-1] == "Units_Sold is not a number"


def test_500_orders_of_an_excel_file_are_predicted_corrected_and_taken_away(page: Page) -> None:
    cells = german_orders(500)
    content = io.BytesIO()
    cells.to_excel(content, index=False)
    tab = opened(page, "Predict many")
    tab.locator("input[type=file]").set_input_files(
        {"name": "aufträge.xlsx", "mimeType": "application/octet-stream", "buffer": content.getvalue()}
    )
    expect(tab.get_by_text("Which column is which?")).to_be_visible(timeout=WAIT)
    expect(tab.get_by_label("Units", exact=True)).to_have_value("Menge")
    expect(tab.get_by_label("Unit price", exact=True)).to_have_value("Stückpreis")
    tab.get_by_role("button", name="Read the file").click()
    expect(tab.get_by_text("3 of 500 rows have no prediction")).to_be_visible(timeout=WAIT)
    predicted = tab.locator(".sf-kpi", has_text="Predicted revenue").locator(".sf-kpi-value")
    before = float(predicted.inner_text().replace(",", ""))
    lines = tab.locator(".sf-fix-line")
    expect(lines).to_have_count(3)
    expect(lines.nth(0)).to_contain_text("Menge (Units_Sold) is not a number")
    expect(lines.nth(0).get_by_label("Menge")).to_have_value("viele")
    lines.nth(0).get_by_label("Menge").fill("3")
    lines.nth(1).get_by_label("Datum").fill("31.12.2025")
    lines.nth(2).get_by_label("Stückpreis").fill("soon")
    tab.get_by_role("button", name="Predict the corrected rows").click()
    expect(tab.get_by_text("2 corrected rows have a prediction now")).to_be_visible(timeout=WAIT)
    expect(lines).to_have_count(1)
    expect(lines.first.get_by_label("Stückpreis")).to_have_value("soon")
    lines.first.get_by_label("Stückpreis").fill("10,5")
    tab.get_by_role("button", name="Predict the corrected rows").click()
    expect(tab.get_by_text("All 500 rows have a prediction")).to_be_visible(timeout=WAIT)
    rows = tab.locator(".sf-card", has_text="All rows").last
    book = openpyxl.load_workbook(io.BytesIO(saved(page, rows.get_by_role("button", name="Excel"))))
    head, *found = list(book["Predictions"].values)
    frame = pd.DataFrame(found, columns=head)
    assert [type(value) for value in frame["Menge"]] == [int] * 500
    assert frame["Stückpreis"][30] == 10.5 and frame["Datum"][20] == datetime(2025, 12, 31)
    assert list(frame)[:6] == list(cells) and frame["predicted_revenue"].notna().all()
    expect(predicted).to_have_text(f"{frame['predicted_revenue'].sum():,.0f}")
    assert frame["predicted_revenue"].sum() > before
    by_region = frame.groupby("Gebiet")["predicted_revenue"].sum()

    def chart_follows() -> None:
        assert sorted(drawn(tab, "Predicted revenue by region")[0].x) == pytest.approx(sorted(by_region))

    eventually(tab, chart_follows)


def test_the_forecast_is_drawn_and_taken_away(page: Page) -> None:
    tab = opened(page, "Forecast")
    for title in ("Revenue by day", "Accuracy of past forecasts", "Parts of the history"):
        chart(tab, title)
    expect(tab.get_by_text("tests on past days").first).to_be_visible(timeout=WAIT)
    tab.get_by_role("button", name="Past 4 weeks").click()
    expect(tab.get_by_text("Actual revenue")).to_be_visible(timeout=WAIT)
    tab.get_by_role("button", name="Next 4 weeks").click()
    expect(tab.get_by_text("Actual revenue")).to_be_hidden(timeout=WAIT)
    total = tab.locator(".sf-kpi", has_text="Total").first.locator(".sf-kpi-value")
    excel = tab.locator(".sf-downloads").get_by_role("button", name="Excel")
    expect(excel).to_be_visible(timeout=WAIT)
    head, *rows = list(openpyxl.load_workbook(io.BytesIO(saved(page, excel)))["Forecast"].values)
    assert len(rows) == 28
    expect(total).to_have_text(f"{sum(row[head.index('Predicted revenue')] for row in rows):,.0f}")
    assert all(isinstance(row[head.index("Date")], datetime) for row in rows)
    (steps,) = drawn(tab, "Why this forecast")
    assert steps.type == "waterfall" and steps.y[0] == "As in the last 4 weeks" and steps.y[-1] == "Forecast"
    assert f"{sum(steps.x[:-1]):,.0f}" == total.inner_text()
    tab.get_by_role("button", name="Past 4 weeks").click()
    expect(tab.get_by_text("Why this forecast")).to_be_hidden(timeout=WAIT)


def test_the_past_is_drawn_as_it_was_forecast_without_knowing_it(page: Page, api: str) -> None:
    client = Client(api)
    served = client.model_info().parts["daily"].served
    rows = pd.DataFrame([row.model_dump() for row in client.backtest(forecasts=True).forecasts])
    tested = "demand" if "demand" in set(rows["model"]) else served
    rows = rows[rows["model"] == tested]
    fold = rows[rows["cutoff"] == rows["cutoff"].max()].sort_values("date")
    history = to_frame(client.history()).groupby("date")["revenue"].sum()
    tab = opened(page, "Forecast")
    chart(tab, "Revenue by day")
    tab.get_by_role("button", name="Past 4 weeks").click()
    last, days = pd.Timestamp(fold["cutoff"].iloc[0]), fold["date"].tolist()
    knew = f"knew the sales until {last.day} {last:%b %Y}"
    expect(tab.get_by_text(knew)).to_be_visible(timeout=WAIT)
    values = pytest.approx(fold["predicted_revenue"].tolist(), rel=1e-6)
    expect_drawn(tab, "Revenue by day", f"Forecast of {last.day} {last:%b %Y}", x=days, y=values)
    assert len(days) == 28
    assert sum(one.name.startswith("Forecast of ") for one in drawn(tab, "Revenue by day")) == 1
    actual = history.reindex(pd.to_datetime(fold["date"])).fillna(0.0).to_numpy()
    assert fold["actual"].tolist() == pytest.approx(actual.tolist(), abs=0.01)
    inside = ((fold["lower_95"] <= actual) & (actual <= fold["upper_95"])).sum()
    expect(tab.get_by_text(f"interval contained {inside} of 28 days")).to_be_visible()
    labels = {"demand": "Demand forecast", "sarima": "SARIMA"}
    weeks = (
        rows.assign(
            week=((pd.to_datetime(rows["date"]) - pd.to_datetime(rows["cutoff"])).dt.days - 1) // 7,
            error=(rows["predicted_revenue"] - rows["actual"]).abs(),
        )
        .groupby("week")[["error", "actual"]]
        .sum()
    )

    def accuracy() -> None:
        bars = drawn(tab, "Accuracy of past forecasts")[0]
        assert bars.name == labels.get(tested, bars.name)
        assert bars.y == pytest.approx((weeks["error"] / weeks["actual"]).tolist(), rel=0.02)

    eventually(tab, accuracy)


def test_explanations_are_drawn_for_all_and_for_one(page: Page) -> None:
    tab = opened(page, "Explain")
    for title in ("Feature importance", "Accuracy of the model", "Effects in past sales", "One feature"):
        chart(tab, title)
    for title in ("From the mean to the prediction", "What raises and lowers the prediction"):
        chart(tab, title)
    (bars,) = drawn(tab, "From the mean to the prediction")
    words = tab.locator(".sf-card", has_text="One sale in detail").locator("p").last.inner_text()
    texts = chart(tab, "From the mean to the prediction").evaluate("plot => plot._fullData[0].text")
    amounts = re.findall(r"\(([+−][\d,.]+)\)", words)
    assert amounts and set(amounts) <= set(texts)
    assert words.startswith(f"From {texts[0]}, the mean") and f" to {texts[-1]}: mostly by" in words
    assert bars.type == "waterfall" and "RandomForestRegressor" not in tab.inner_text()
    tab.get_by_label("Feature", exact=True).select_option(label="Unit price")
    expect(chart(tab, "One feature").locator(".xtitle")).to_have_text("Unit price", timeout=WAIT)
    tab.get_by_role("button", name="Inputs of the model").click()
    expect(chart(tab, "Feature importance")).to_contain_text("price realisation", timeout=WAIT)


@pytest.mark.slow
def test_tabs_wait_for_the_api_and_keep_what_was_typed_when_it_goes(
    browser: Browser, trained: Trained
) -> None:
    port = free_port()
    api = f"http://127.0.0.1:{port}"
    with showing(api) as board, visiting(browser, board.url, width=390, height=800) as visitor:
        page, pill = visitor.page, visitor.page.locator("#sf-status .sf-pill-text")
        tab = opened(page, "Predict one")
        expect(tab.get_by_text("is not available")).to_be_visible()
        with serving(trained.models, port) as first:
            expect(pill).to_contain_text("Models ready")
            units = tab.get_by_label("Units", exact=True)
            expect(units).not_to_have_value("1")  # the values of a typical sale are there
            tab.get_by_role("button", name="Predict", exact=True).click()
            chart(tab, "Why")
            units.fill("7")  # and not left, so that no kernel knows of it
            for worker in psutil.Process(first.process.pid).children(recursive=True):
                worker.kill()
            first.process.kill()
        expect(pill).to_have_text("Predictions unavailable")
        expect(tab.get_by_text("is not available")).to_be_visible()
        chart(opened(page, "History"), "Trend")  # goes on with what it has
        with serving(trained.models, port):
            expect(pill).to_contain_text("Models ready")
            tab = opened(page, "Predict one")
            expect(tab.get_by_text("is not available")).to_be_hidden()
            expect(tab.get_by_label("Units", exact=True)).to_have_value("7")
            forecast = opened(page, "Forecast")
            chart(forecast, "Revenue by day")
            page.wait_for_function(
                "document.documentElement.scrollWidth <= 390"
            )  # once charts have their width
            last = to_frame(Client(api).history())["date"].max().date()
            until = preset_days(last)["Next 4 weeks"][1]
            expect(forecast.get_by_label("To", exact=True)).to_have_value(str(until))
    visitor.check()
