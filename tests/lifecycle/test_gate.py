"""The gate judges the forecast that gives the total; SARIMA stands beside it."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from salesforecast.core.params import DemandParams, GateParams
from salesforecast.datasets import generate_sales
from salesforecast.features.preprocessing import prepare_sales
from salesforecast.lifecycle.comparison import compare_totals
from salesforecast.lifecycle.gate import forecast_checks
from salesforecast.registry.bundle import load_bundle
from salesforecast.registry.manifest import ServedPart
from salesforecast.registry.total_forecast import load_total_state
from salesforecast.sales.reading import read_sales
from salesforecast.training.orchestration import train_models
from support.models import SMALL

DAYS = pd.date_range("2026-01-05", periods=28)
ALIKE, WORSE = ({"ds": DAYS, "challenger": error, "champion": 10.0, "y": 100.0} for error in (10.0, 20.0))


def test_totals_are_compared_from_the_day_on_which_the_served_version_ends(tmp_path: Path) -> None:
    made = generate_sales(rows=6_000, seed=3, start="2024-01-01", days=420)
    frame = made.frame.assign(ds=made.truth["ds"].to_numpy())
    older = frame[frame["ds"] < "2025-02-01"].drop(columns="ds")
    demand = DemandParams(by="Category", candidates=["window_average"], horizon=14)
    params = SMALL.model_copy(update={"demand": demand})
    train_models(older, models_dir=tmp_path, params=params, track=False)
    served = load_bundle(tmp_path)
    prepared = prepare_sales(read_sales(frame.drop(columns="ds")))
    errors = compare_totals(prepared, served, served, params)
    state = load_total_state(served)
    assert errors is not None and state is not None
    days = pd.DatetimeIndex(state.forecast.days)
    assert errors["ds"].tolist() == days.tolist() and len(days) == 14
    actual = prepared.daily.loc[days].to_numpy()
    expected = abs(state.forecast.yhat[0] - actual)
    assert errors["champion"].to_numpy() == pytest.approx(expected)
    assert errors["challenger"].to_numpy() == pytest.approx(expected)  # the same models of the same sales
    parts = {**served.manifest.parts, "demand": ServedPart()}
    plain = replace(served, manifest=served.manifest.model_copy(update={"parts": parts}))
    by_sarima = compare_totals(prepared, plain, served, params)
    assert by_sarima is not None and by_sarima["champion"].iloc[:14].to_numpy() == pytest.approx(expected)
    assert (by_sarima["challenger"].iloc[:14] - expected).abs().max() > 1


@pytest.mark.parametrize(
    ("total", "daily", "passes"),
    [(ALIKE, WORSE, [True, True]), (WORSE, ALIKE, [False, True]), (None, WORSE, [False])],
)
def test_sarima_decides_only_where_it_gives_the_total(
    total: dict | None, daily: dict, passes: list[bool]
) -> None:
    tables = (None if table is None else pd.DataFrame(table) for table in (total, daily))
    comparison = SimpleNamespace(**dict(zip(("total", "daily"), tables, strict=True)))
    checks = forecast_checks(comparison, GateParams())
    assert [check.passed for check in checks] == passes
    names = ["daily forecast"] if total is None else ["forecast of the total", "daily forecast"]
    assert [check.name for check in checks] == names
