"""The gate: what may be worse and by how much, and that it judges the forecast that gives the total."""

from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from salesforecast.core.params import DemandParams, GateParams
from salesforecast.datasets import generate_sales
from salesforecast.features.preprocessing import prepare_sales
from salesforecast.lifecycle import gate
from salesforecast.lifecycle.comparison import compare_totals, paired_difference
from salesforecast.lifecycle.gate import (
    Check,
    Decision,
    accuracy_check,
    coverage_check,
    forecast_checks,
    latency_check,
    segment_check,
    size_check,
)
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


def sold(challenger: float, champion: float = 100.0, **about: Any) -> pd.DataFrame:
    """Errors of sales of 1,000 on each of four weeks of days."""
    errors = {"day": DAYS, "challenger": challenger, "champion": champion, "revenue": 1000.0}
    return pd.DataFrame(errors | about)


@pytest.mark.parametrize(("error", "passes"), [(80.0, True), (125.0, True), (125.5, False)])
def test_the_error_may_be_larger_by_the_margin(error: float, passes: bool) -> None:
    check = accuracy_check(sold(error), GateParams(margin=0.25))
    assert check.passed is passes
    if error == 125:
        words = "WAPE 12.50% against 10.00%: 25.0% more (interval +25.0% to +25.0%, over 28 days)"
        assert check.reason == f"{words}; within the margin of +25.0%"


@pytest.mark.parametrize(
    ("toys", "share", "named"),
    [
        (130.0, 0.25, "Category Toys: WAPE 13.00% against 10.00%: 30.0% more"),
        (125.0, 0.25, "none of 3 important segments"),  # by the margin, which is allowed
        (130.0, 0.26, "none of 2 important segments"),  # Toys are a quarter of the revenue
    ],
)
def test_no_important_segment_is_worse_by_more_than_the_margin(toys: float, share: float, named: str) -> None:
    food = [sold(100.0, Category="Food", Region="North") for _ in range(3)]
    rows = pd.concat([*food, sold(toys, Category="Toys", Region="North")])
    check = segment_check(rows, GateParams(segment_margin=0.25, segment_share=share))
    assert check.passed is named.startswith("none") and check.reason.startswith(named)


def test_the_more_segments_the_surer_a_difference_has_to_be() -> None:
    error = np.random.default_rng(0).uniform(50, 150, len(DAYS))
    rows = pd.concat([sold(100.0, Category=name).assign(challenger=error) for name in ("Food", "Toys")])
    found = segment_check(rows, GateParams(confidence=0.9)).numbers["Category Toys"]
    alone = paired_difference(error, np.full(28, 100.0), np.full(28, 1000.0), 0.95)  # half of the 10% each
    assert found == pytest.approx(asdict(alone))


@pytest.mark.parametrize(
    ("lower", "upper", "covered"),
    [(0.005, 1.0, 1.0), (0.006, 1.0, 0.0), (-1.0, -0.005, 1.0), (-1.0, -0.006, 0.0)],
)
def test_an_interval_contains_what_rounds_to_its_ends(lower: float, upper: float, covered: float) -> None:
    """Revenue is in cents."""
    bounds = {f"lower_{level}": np.full(4, lower) for level in (80, 95)}
    model = SimpleNamespace(bounds=bounds | {f"upper_{level}": np.full(4, upper) for level in (80, 95)})
    prepared = SimpleNamespace(revenue=np.zeros(4), train=np.zeros(4, bool))
    comparison: Any = SimpleNamespace(prepared=prepared, challenger=model, champion=model)
    assert set(coverage_check(comparison, GateParams()).numbers.values()) == {covered}


def test_a_decision_names_what_decided_it() -> None:
    checks = [Check("error", True, "smaller"), Check("size", False, "too large")]
    window: Any = {"first": "2026-01-01", "last": "2026-01-31", "rows": 1}
    refused, passed = (Decision("b", "a", "served", each, checks, "", window) for each in (False, True))
    assert (refused.reasons, passed.reasons) == (["size: too large"], ["error: smaller"])


@pytest.mark.parametrize(
    ("mine", "theirs", "passes"),
    [(3e7, 1e7, True), (3e7 + 1, 1e7, False), (2e7, 1e6, True), (2e7 + 1, 1e6, False)],
)
def test_a_bundle_may_be_three_times_as_large_or_20_megabytes(
    mine: float, theirs: float, passes: bool
) -> None:
    bundles: list[Any] = [
        SimpleNamespace(manifest=SimpleNamespace(files={"a": SimpleNamespace(bytes=size)}))
        for size in (mine, theirs)
    ]
    check = size_check(*bundles, GateParams())
    assert check.passed is passes
    assert check.reason == f"{mine / 1e6:.1f} MB (served version: {theirs / 1e6:.1f} MB)"


class Clock:
    """A machine that gets busier: each row takes a hundredth of a millisecond longer than the one before."""

    def __init__(self, slower: float) -> None:
        self.now, self.rows, self.slower = 0.0, 0, slower

    def predictor(self, bundle: Any) -> Any:
        """A predictor that takes a millisecond; the challenger takes `slower` times as long."""

        def predict_columns(row: dict) -> None:
            self.rows += 1
            self.now += (self.slower if bundle.name == "challenger" else 1) * (1e-3 + 1e-5 * self.rows)

        preprocessor = {"scaler": {"columns": ["Units_Sold"]}}
        return SimpleNamespace(preprocessor=preprocessor, predict_columns=predict_columns)


@pytest.mark.parametrize(("slower", "passes"), [(1.0, True), (4.9, True), (5.1, False)])
def test_a_row_may_take_so_much_longer_however_busy_the_machine_is(
    monkeypatch: pytest.MonkeyPatch, slower: float, passes: bool
) -> None:
    clock = Clock(slower)
    monkeypatch.setattr(gate, "Predictor", clock.predictor)
    monkeypatch.setattr(gate.time, "perf_counter", lambda: clock.now)
    sarima = SimpleNamespace(last=np.datetime64("2026-01-01"))
    bundles: list[Any] = [SimpleNamespace(name=name, sarima=sarima) for name in ("challenger", "champion")]
    check = latency_check(*bundles, GateParams(latency_ratio=5.0))
    assert check.passed is passes
    if slower == 1:
        assert check.reason == "one row takes 1.32 ms (served version: 1.33 ms)"
