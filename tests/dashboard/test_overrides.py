"""Planners' numbers in the dashboard: what several planners record at once."""

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
from salesforecast.forecasting.overrides import load_overrides

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
