"""Planners' numbers in the dashboard: what several planners record at once."""

from datetime import date
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix

from salesforecast.core.settings import UserError
from salesforecast.dashboard.model import overrides as model
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
)
FIRST, SECOND = (date(2026, 12, 1),) * 2, (date(2026, 12, 2),) * 2


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of the overrides."""
    path = tmp_path / "overrides.db"
    monkeypatch.setattr(model, "overrides_file", lambda target, freq: path)
    monkeypatch.setattr(overrides, "build_forecast", lambda *parts: FORECAST)
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
