"""Planners' numbers in the dashboard: what several planners record at once."""

import sqlite3
from contextlib import closing
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix

from salesforecast.client import Client
from salesforecast.core.settings import UserError
from salesforecast.dashboard.model import overrides as model
from salesforecast.dashboard.model.state import AppState
from salesforecast.dashboard.ui.areas import ContentArea
from salesforecast.dashboard.ui.overrides import OverridesEditor
from salesforecast.forecasting import overrides
from salesforecast.forecasting.effects import no_causes
from salesforecast.forecasting.overrides import load_overrides
from salesforecast.sales.reading import read_sales
from support.models import Trained

IDS = ["total", "A", "B"]
PANEL = SimpleNamespace(  # a total of two parts
    ids=np.array(IDS),
    step=1,
    target="units",
    summing=csr_matrix(np.array([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0]])),
    bottom=slice(1, 3),
)
FORECAST = SimpleNamespace(
    panel=PANEL,
    days=np.array(["2026-12-01", "2026-12-02"], "datetime64[D]"),
    yhat=np.array([[4.0, 4.0], [3.0, 3.0], [1.0, 1.0]]),
    row=IDS.index,
    revenue=np.empty((0, 0)),
    notes=(),
    model=None,
    effects=None,
    unplanned=None,
    causes=no_causes(),
)
FIRST, SECOND = (date(2026, 12, 1),) * 2, (date(2026, 12, 2),) * 2


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of the overrides."""
    path = tmp_path / "overrides.db"
    monkeypatch.setattr(model, "overrides_file", lambda target, freq: path)
    monkeypatch.setattr(overrides, "build_forecast", lambda *parts, **more: FORECAST)
    return path


def page(store: Path) -> model.PlannedDemand:
    """What a page shows that is drawn now."""
    return model.PlannedDemand(
        SimpleNamespace(forecast=FORECAST, panel=PANEL), load_overrides(store), FORECAST
    )


def test_a_number_must_agree_with_those_that_came_after_the_page(store: Path) -> None:
    ann, bob = page(store), page(store)
    model.keep_override(ann, "total", FIRST, 2.0, "Ann", "closed")
    with pytest.raises(UserError, match="2026-12-01 cannot all hold: total = 2, A = 3"):
        model.keep_override(bob, "A", FIRST, 3.0, "Bob", "a fair")
    assert load_overrides(store)["author"].tolist() == ["Ann"]
    model.keep_override(bob, "A", FIRST, 1.0, "Bob", "a fair")
    assert load_overrides(store)["value"].tolist() == [2.0, 1.0]


def test_what_contradicts_on_another_day_stops_nobody(store: Path) -> None:
    rows = {"unique_id": ["total", "A"], "ds": pd.Timestamp("2026-12-01"), "value": [2.0, 3.0]}
    overrides.record_overrides(store, FORECAST, pd.DataFrame(rows))
    model.keep_override(page(store), "B", SECOND, 2.0, "Cy", "a school orders")
    assert load_overrides(store)["author"].tolist() == ["", "", "Cy"]


def test_the_list_is_read_anew_when_a_number_is_not_taken_back(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.keep_override(page(store), "total", FIRST, 2.0, "Ann", "closed")
    editor, reads = OverridesEditor(AppState(Client("http://127.0.0.1:9", retries=0))), []
    editor.planned, editor.problem = page(store), ContentArea()
    monkeypatch.setattr(editor, "read", lambda: reads.append(len(load_overrides(store))))
    entry = model.entries(editor.planned)[0]
    model.take_back(editor.planned, entry)  # by another planner
    editor._take_back(entry)
    assert "There is no override 1" in editor.problem.children[0].value
    assert reads == [0]


def test_a_store_that_cannot_be_written_is_said(store: Path) -> None:
    editor = OverridesEditor(AppState(Client("http://127.0.0.1:9", retries=0)))
    editor.planned, editor.series, editor.problem = page(store), "total", ContentArea()
    editor.span, editor.value = SimpleNamespace(value=FIRST), SimpleNamespace(value=2.0)
    editor.author, editor.reason = SimpleNamespace(value="Ann"), SimpleNamespace(value="closed")
    store.mkdir()  # in the place of the file
    editor.record()
    assert f"{store}, the file of the overrides" in editor.problem.children[0].value
    assert editor.reason.value == "closed"


def test_a_number_that_meets_a_locked_store_stays_in_its_form(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overrides, "LOCK_SECONDS", 0.0)
    model.keep_override(page(store), "total", FIRST, 2.0, "Ann", "closed")
    editor = OverridesEditor(AppState(Client("http://127.0.0.1:9", retries=0)))
    editor.planned, editor.series, editor.problem = page(store), "total", ContentArea()
    editor.span, editor.value = SimpleNamespace(value=SECOND), SimpleNamespace(value=3.0)
    editor.author, editor.reason = SimpleNamespace(value="Bob"), SimpleNamespace(value="a fair")
    monkeypatch.setattr(editor, "read", lambda: None)
    entry = model.entries(editor.planned)[0]
    with closing(sqlite3.connect(store)) as other:
        other.execute("BEGIN EXCLUSIVE")
        for use in (editor.record, lambda: editor._take_back(entry)):
            use()
            assert "Nothing was changed. Try again in a moment" in editor.problem.children[0].value
    assert load_overrides(store)["author"].tolist() == ["Ann"]
    editor.record()
    assert load_overrides(store)["author"].tolist() == ["Ann", "Bob"] and editor.reason.value == ""


def test_numbers_of_any_day_that_the_data_have_are_judged(
    demand: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A year ago, of a region and of a product: by what the file of the training says of these days."""
    frame = read_sales(demand.source).frame
    product = frame["Product_ID"].value_counts().index[0]
    revenue = frame.assign(ds=frame["Transaction_Date"].dt.normalize())
    days = pd.date_range(revenue["ds"].max() - pd.Timedelta(days=400), periods=7)
    store, series = tmp_path / "overrides.db", {"Region": "North", "Product_ID": product}
    sold = {
        f"{column}={cell}": revenue[revenue[column] == cell]
        .groupby("ds")["Revenue"]
        .sum()
        .reindex(days, fill_value=0.0)
        for column, cell in series.items()
    }
    with closing(sqlite3.connect(store)) as connection, connection:
        connection.execute(f"CREATE TABLE overrides ({', '.join(overrides.OVERRIDE_COLUMNS)})")
        for name, actual in sold.items():
            for day, y in actual.items():
                row = (name, f"{day:%Y-%m-%d}", y + 1, "Ada", "a fair", y + 3, "2025-01-01T00:00:00+00:00")
                connection.execute("INSERT INTO overrides VALUES (?, ?, ?, ?, ?, ?, ?)", row)
    monkeypatch.setattr(model, "overrides_file", lambda target, freq: store)
    planned = model.read_planned(demand.models, "revenue", "D")
    assert planned.sold["ds"].min() == revenue["ds"].min()
    total = sum(actual.sum() for actual in sold.values())
    (judged,) = model.judged(planned).to_dict("records")
    assert judged["overrides"] == 14
    assert judged["wape_planner"] == pytest.approx(14 / total, rel=1e-4)
    assert judged["wape_model"] == pytest.approx(42 / total, rel=1e-4)
    table = model.judged_entries(planned)
    assert table["sold"].tolist() == pytest.approx([actual.sum() for actual in sold.values()], rel=1e-5)
    assert set(table["closer"]) == {"planner"} and table["first"].tolist() == [days[0]] * 2


def test_orders_say_that_numbers_are_of_other_models(store: Path, tmp_path: Path) -> None:
    served = "20260101-000000-0000"
    assert model.read_planners_numbers(tmp_path, served, "D").problem == ""  # nothing is recorded
    rows = pd.DataFrame({"unique_id": ["A"], "ds": pd.Timestamp("2026-12-01"), "value": [5.0]})
    overrides.record_overrides(store, FORECAST, rows)
    told = model.read_planners_numbers(tmp_path, served, "D")
    assert not told.rows and "serves no version" in told.problem
