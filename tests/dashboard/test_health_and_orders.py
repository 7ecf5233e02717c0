"""The lights of the Health tab, and the Orders and Plan tabs where an answer or a list is unusual; without an API."""

from datetime import date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import pytest

from salesforecast.api.schemas import DemandChoices, DemandOutput, DemandRow, DemandSum, OrderRow
from salesforecast.client import Client
from salesforecast.core.settings import UserError
from salesforecast.dashboard.export import csv_bytes
from salesforecast.dashboard.model import health as health_module
from salesforecast.dashboard.model.demand import series_cells, series_label
from salesforecast.dashboard.model.health import Health, health_lights, next_steps, verdict, worst_colour
from salesforecast.dashboard.model.orders import StockSheet, order_table, stock_rows, supplier_table
from salesforecast.dashboard.model.plan import Scenario, load_plan, plan_table
from salesforecast.dashboard.model.state import AppState
from salesforecast.dashboard.tabs.orders import OrdersPanel, StockEditor, order_chart, order_tiles
from salesforecast.dashboard.tabs.plan import PlanPanel, PlanView
from salesforecast.dashboard.ui.segments import segment_fields
from salesforecast.forecasting.stock import StockRules
from salesforecast.training.demand import product_names

NOW = datetime.fromisoformat("2026-03-04T06:00:00+00:00")


def report(*checks: str, status: str = "opened") -> dict[str, Any]:
    """The report of a monitoring of sales without published forecasts."""
    alerts = [
        {"check": name, "level": "critical", "status": status, "message": f"{name} changed"}
        for name in checks
    ]
    return {
        "version": "v1",
        "checked": "2026-03-02T06:00:00+00:00",
        "window": {"first": "2026-02-01", "last": "2026-02-28", "rows": 812},
        "performance": {},
        "forecast_accuracy": [],
        "drift": [],
        "alerts": alerts,
    }


@pytest.mark.parametrize(
    "check",
    [
        "price: Toys",
        "units: Toys",
        "price realisation: Toys",
        "sales: Toys",
        "missing: Region",
        "new: Region",
        "forecast",
        "of a later version",
    ],
)
def test_every_open_alert_turns_one_light(check: str) -> None:
    lights = health_lights(Health("v1", report(check)), NOW)
    assert [light.colour for light in lights].count("red") == 1
    assert next(light.why for light in lights if light.colour == "red").lower() == f"{check} changed".lower()
    resolved = health_lights(Health("v1", report(check, status="resolved")), NOW)
    assert worst_colour(resolved) == "green"


@pytest.mark.parametrize(
    ("checks", "sentence"),
    [
        (["feed"], "Act now: sales are late, missing or rejected."),
        (["silence", "refused rows"], "Act now: sales are late, missing or rejected."),
        (["drift: Unit_Price"], "Act now: sales are no longer like those of the training."),
        (["price: Toys"], "Act now: sales are no longer like those of the training."),
        (["performance"], "Act now: single sales are predicted worse than before."),
        (["forecast"], "Act now: published forecasts do not come true."),
        (
            ["feed", "bias"],
            "Act now: single sales are predicted worse than before; sales are late, missing or rejected.",
        ),
    ],
)
def test_the_verdict_names_what_is_red(checks: list[str], sentence: str) -> None:
    health = Health("v1", report(*checks))
    assert verdict(health, health_lights(health, NOW)) == ("red", sentence)


def test_the_verdict_names_what_to_watch() -> None:
    waits = Health("v1", report("feed", status="pending"))
    sentence = "Nothing is urgent, but watch this: sales are late, missing or rejected."
    assert verdict(waits, health_lights(waits, NOW)) == ("yellow", sentence)
    fine = Health("v1", report())
    assert verdict(fine, health_lights(fine, NOW)) == (
        "green",
        "The model is as good as when it was trained.",
    )


def test_a_question_without_an_answer_is_not_the_verdict() -> None:
    lights = health_lights(Health("v1", report()), NOW)
    assert "grey" in [light.colour for light in lights]
    assert worst_colour(lights) == "green"
    assert worst_colour([]) == "grey"


def test_sales_without_revenue_are_judged_by_the_expected_error() -> None:
    estimate = {"estimate": {"wape": 0.081, "baseline_wape": 0.074}}
    single = health_lights(Health("v1", report() | estimate), NOW)[0]
    assert single.why == "The sales have no revenue; an error of 8.1% is to be expected, usual is 7.4%"


def order(unique_id: str, **more: Any) -> OrderRow:
    """An order of a product with stock."""
    row = {"expected": 20, "order_up_to": 31, "safety_stock": 11, "on_hand": 5, "on_order": 0, "order": 26}
    return OrderRow(unique_id=unique_id, **(row | more))


def answer(*orders: OrderRow, freq: str = "D") -> DemandOutput:
    """An answer of the API with orders."""
    choices = DemandChoices(
        targets=["units"], freq=[freq], levels=["total", "Product_ID"], horizon=28, segments={}
    )
    return DemandOutput(
        target="units",
        currency="",
        first_date="2026-03-07",
        last_date="2026-03-28",
        series=2,
        forecasts=[],
        sums=[],
        orders=list(orders),
        accuracy=[],
        champions=[],
        choices=choices,
        notes=[],
    )


def test_products_with_numbers_or_long_names_each_have_a_bar() -> None:
    long = "x" * 60
    names = ["1001", "1002", f"{long}1", f"{long}2", "<b>"]
    table = order_table([order(f"Product_ID={name}") for name in names], "Product_ID", 14)
    figure = order_chart(table, "Product_ID")
    assert all(list(trace.y) == [0, 1, 2, 3, 4] for trace in figure.data)
    texts = figure.layout.yaxis.ticktext
    assert {"1001", "1002", "&lt;b&gt;"} < set(texts)
    assert all(len(text) < 45 for text in texts)


def test_an_old_version_without_the_risk_still_has_tiles() -> None:
    table = order_table([order("Product_ID=P1")], "Product_ID", 14)
    assert "risk_without_order" not in table
    assert "To order" in "".join(order_tiles(table, 14))


def test_the_order_waits_for_the_products_of_the_chosen_level() -> None:
    panel = OrdersPanel(AppState(Client("http://127.0.0.1:9", retries=0)))
    panel.build()
    panel._forms(answer(order("Product_ID=P1")))
    assert panel.ask() is None
    assert "not there yet" in panel.outcome.children[0].value
    panel._stock_form(answer(order("Product_ID=P1")))
    assert panel.editor is not None
    panel._choose_level()
    assert panel.editor is None


def test_stock_of_other_products_than_the_chosen_ones() -> None:
    sheet = StockSheet(["Product_ID=P1", "Product_ID=P2", "Product_ID=P3"], "Product_ID")
    sheet.write("Product_ID=P1", "on_hand", "12")
    chosen = ["Product_ID=P2", "Product_ID=P3"]
    with pytest.raises(UserError, match="no on_hand for 2 of 2 series"):
        sheet.stock(StockRules(), chosen)
    with pytest.raises(UserError, match="nothing is left to order"):
        sheet.stock(StockRules(missing="skip"), chosen)
    stock = sheet.stock(StockRules(missing="zero"), chosen)
    assert stock is not None
    assert stock_rows(stock) == [{"unique_id": name, "on_hand": 0.0, "on_order": 0.0} for name in chosen]
    assert pd.api.types.is_float_dtype(stock.units["on_hand"])


@pytest.mark.parametrize(("freq", "first"), [("D", date(2026, 3, 7)), ("W", date(2026, 3, 1))])
def test_a_week_of_the_plan_begins_with_its_first_day(freq: str, first: date) -> None:
    panel = PlanPanel(AppState(Client("http://127.0.0.1:9", retries=0)))
    panel.build()
    panel._form(answer(freq=freq))
    panel.week.value = 1
    assert panel.first_day.value == first + timedelta(days=7)
    assert panel.last_day.value == first + timedelta(days=13)


def test_the_span_of_a_weekly_forecast_begins_with_the_first_day_of_its_first_week() -> None:
    amounts: dict[str, Any] = {"yhat": 10, "median": 10, "lo_80": 8, "hi_80": 12}
    rows = [DemandRow(unique_id="total", ds=f"2026-03-{d:02d}", **amounts) for d in (7, 14, 21, 28)]
    total = DemandSum(unique_id="total", level="total", **amounts)
    output = answer(freq="W").model_copy(update={"forecasts": rows, "sums": [total]})
    state = AppState(Client("http://127.0.0.1:9", retries=0))
    kept = [{"start": "2026-03-08", "end": "2026-03-12", "discount": 0.2}]
    view = PlanView(state, kept, Scenario(output, output), "W")
    tiles = "".join(part.value for part in view.parts if hasattr(part, "value"))
    assert "1 Mar 2026 to 28 Mar 2026" in tiles


def test_a_plan_has_the_names_of_products() -> None:
    panel = PlanPanel(AppState(Client("http://127.0.0.1:9", retries=0)))
    panel.build()
    output, product = answer(), {"Product_ID": {"P1": "Oak table"}}
    output.choices.segments, output.choices.names = {"Product_ID": ["P1", "P2"]}, product
    panel._form(output)
    panel.value.value = "20"
    (field,) = panel.segments.values()
    for name in ("P1", "P2"):
        field.value = name
        panel.add()
    lines = [line.children[0].value for line in panel.listed.children[:2]]
    assert "20% off Product Oak table (P1), " in lines[0]
    assert "P2, " in lines[1] and "(P2)" not in lines[1]
    panel.kind.value, field.value = "Closed", "P1"
    panel.add()
    assert "not of Oak table (P1)" in panel.problem.children[0].value


def test_a_plan_that_was_kept_is_read_as_it_was(tmp_path: Path) -> None:
    span = {"start": "2026-03-08", "end": "2026-03-12"}
    rows = [
        {**span, "discount": 0.0, "Product_ID": "-A1"},
        {**span, "discount": 0.2, "Product_ID": "'quoted'"},
        {**span, "event": "=SUM(A1)"},
    ]
    path = tmp_path / "plan.csv"
    path.write_bytes(csv_bytes(plan_table(rows)))
    assert b"'-A1" in path.read_bytes() and b"'=SUM" in path.read_bytes()
    assert load_plan(path, "plan.csv") == rows


@pytest.mark.parametrize("suffix", [".csv", ".xlsx"])
def test_the_list_to_fill_in_is_read_back(tmp_path: Path, suffix: str) -> None:
    series = ["Product_ID=-A1", "Product_ID=@home", "Product_ID=P3"]
    sheet = StockSheet(series, "Product_ID")
    state = AppState(Client("http://127.0.0.1:9", retries=0))
    path = tmp_path / f"stock{suffix}"
    csv = tmp_path / "stock.csv"
    csv.write_bytes(csv_bytes(StockEditor(state, sheet).template().assign(on_hand=[1, 2, 3])))
    assert b"'-A1" in csv.read_bytes()
    if suffix == ".xlsx":
        pd.read_csv(csv).to_excel(path, index=False)
    sheet.read_file(path, path.name, StockRules())
    assert {name: row["on_hand"] for name, row in sheet.cells.items()} == dict(
        zip(series, (1.0, 2.0, 3.0), strict=True)
    )


def test_the_next_run_is_due_by_the_clock_of_the_schedule(monkeypatch: pytest.MonkeyPatch) -> None:
    zone = ZoneInfo("America/New_York")
    monkeypatch.setattr(health_module, "local_now", lambda: NOW.astimezone(zone))
    schedule: Any = {"jobs": [("monitor", "0 3 * * *")], "retrain_on_alert": True}
    (step, *_) = next_steps(Health("v1", report(), schedule=schedule), NOW)  # it is 1:00 in New York
    assert "on Wed 2026-03-04 at 03:00" in step


@pytest.mark.parametrize(
    ("unique_id", "level", "cells"),
    [
        ("Product_ID=A/B=C", "Product_ID", ["A/B=C"]),
        ("Product_ID=A/B=C/Region=North", "Region,Product_ID", ["North", "A/B=C"]),
        ("Category=Home/Region=North/Product_ID=A/B", "Product_ID,Region", ["A/B", "North"]),
        ("Region=North/Product_ID=A/Region=B", "Region,Product_ID", ["North", "A/Region=B"]),
    ],
)
def test_an_id_is_split_at_the_names_of_its_level(unique_id: str, level: str, cells: list[str]) -> None:
    assert list(series_cells(unique_id, level).values()) == cells


def test_products_are_called_by_their_names_beside_their_ids() -> None:
    names = {"Product_ID": {"P1": "Family Cream"}}
    assert (
        series_label("Product_ID=P1/Region=North", "Product_ID,Region", names) == "Family Cream (P1) · North"
    )
    assert series_label("Product_ID=P2", "Product_ID", names) == "P2"
    table = order_table([order("Product_ID=P1"), order("Product_ID=P2")], "Product_ID", 14, names)
    assert list(table)[:2] == ["Product_ID", "Product_Name"]
    assert table["Product_Name"].tolist() == ["Family Cream", ""]
    assert list(supplier_table(table.assign(order=5.0), "Product_ID")) == [
        "Product",
        "Name",
        "Units to order",
    ]
    fields = segment_fields({"Product_ID": ["P1", "P2"]}, names)
    assert fields["Product_ID"].options[1:] == (("Family Cream (P1)", "P1"), ("P2", "P2"))


def test_a_training_keeps_the_last_name_of_each_product() -> None:
    days = pd.date_range("2026-01-01", periods=5)
    frame = pd.DataFrame(
        {
            "Transaction_Date": days,
            "Product_ID": ["A", "B", "A", "C", "D"],
            "Product_Name": ["old", "Ball", "Cream", None, "D"],
        }
    )
    for rows in (frame, frame[::-1]):  # an export may begin with the newest
        assert product_names(SimpleNamespace(frame=rows)) == {"A": "Cream", "B": "Ball"}
    assert product_names(SimpleNamespace(frame=frame[["Product_ID"]])) == {}
