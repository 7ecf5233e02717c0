"""Metrics at their edges, rolling origins and the leaderboard."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from salesforecast.core.metrics import (
    METRICS,
    coverage,
    evaluate_model,
    leaderboard,
    mase,
    regression_metrics,
    rolling_cutoffs,
    smape,
)
from salesforecast.core.settings import UserError


def test_metrics_by_hand() -> None:
    found = regression_metrics([10, 20, 30, 40], [12, 18, 33, 37])
    assert tuple(found) == METRICS
    assert found["mae"] == 2.5 and found["mse"] == 6.5 and found["rmse"] == 6.5**0.5
    assert found["r2"] == pytest.approx(1 - 26 / 500)
    assert found["wape"] == pytest.approx(0.1) and found["bias"] == 0.0


def test_predicting_too_much_is_a_positive_bias() -> None:
    assert regression_metrics([10, 10], [11, 12])["bias"] == pytest.approx(0.15)
    assert regression_metrics([10, 10], [9, 8])["bias"] == pytest.approx(-0.15)


def test_nothing_to_divide_by_is_nan_not_an_error() -> None:
    found = regression_metrics([0, 0], [1, 1])
    assert np.isnan([found["wape"], found["bias"], found["r2"]]).all() and found["mae"] == 1.0


@pytest.mark.parametrize(
    ("actual", "predicted", "says"),
    [
        ([1, 2], [1], "2 actual and 1 predicted"),
        ([], [], "no values"),
        ([1, np.nan], [1, 2], "1 of the 2 actual"),
        ([1, 2, 3], [np.inf, np.nan, 2], "2 of the 3 predicted"),
    ],
)
def test_unusable_values_are_refused(actual: list, predicted: list, says: str) -> None:
    with pytest.raises(UserError, match=says):
        regression_metrics(actual, predicted)


def test_a_time_series_model_is_asked_for_as_many_steps_as_there_are_values() -> None:
    asked: list[int] = []
    model = SimpleNamespace(forecast=lambda steps: asked.append(steps) or np.arange(steps))
    assert evaluate_model(model, None, [0, 1, 4], "timeseries")["mae"] == pytest.approx(2 / 3)
    assert asked == [3]


def test_evaluate_model_predicts_from_the_inputs() -> None:
    model = SimpleNamespace(predict=lambda X: 2 * np.asarray(X))
    assert evaluate_model(model, [1, 2], [2, 5])["mae"] == 0.5
    assert evaluate_model(model, [1, 2], [2, 5], "timeseries")["mae"] == 0.5
    with pytest.raises(UserError, match="'classification'"):
        evaluate_model(model, [1], [1], "classification")


def test_mase_compares_with_repeating_the_season() -> None:
    history = [10, 20, 11, 21, 12, 22]
    assert mase([13], [15], history, season=2) == pytest.approx(2.0)
    assert mase([13], [15], history, season=1) == pytest.approx(2 / np.mean([10, 9, 10, 9, 10]))
    assert np.isnan(mase([1], [2], [5, 5, 5]))


def test_smape_runs_from_0_to_200() -> None:
    assert smape([5, 0], [5, 0]) == 0.0
    assert smape([5], [0]) == 200.0


def test_bounds_belong_to_the_range() -> None:
    assert coverage([1, 2, 3, 4], [1, 0, 3.5, 0], [1, 2, 9, 3]) == 0.5


def test_windows_follow_each_other_up_to_the_end() -> None:
    assert rolling_cutoffs(365, 28, 6) == [197, 225, 253, 281, 309, 337]
    assert rolling_cutoffs(90, 28, 6, min_train_periods=21) == [34, 62]
    with pytest.raises(UserError, match="horizon of at most 19"):
        rolling_cutoffs(40, 28, 6, min_train_periods=21)


def test_the_leaderboard_scales_each_window_by_the_history_before_it() -> None:
    """MASE must not know how restless the series became after the cutoff."""
    days = pd.date_range("2026-01-01", periods=40)
    series = pd.Series(np.r_[np.tile([10.0, 12.0], 15), np.tile([0.0, 500.0], 5)], days)
    bounds = {"lo-80": 0, "hi-80": 600, "lo-95": 0, "hi-95": 600}
    rows = pd.DataFrame({"ds": days[30:], "cutoff": days[29], "y": series.iloc[30:].to_numpy(), **bounds})
    rows = pd.concat(
        [rows.assign(model="late", yhat=rows["y"] + 4), rows.assign(model="early", yhat=rows["y"] - 2)]
    )
    board = leaderboard(rows, series, season=1).set_index("model")
    assert board.index.tolist() == ["early", "late"]
    assert board["mase"].tolist() == [1.0, 2.0]
    assert board["n"].tolist() == [10, 10] and board["coverage_80"].tolist() == [1.0, 1.0]


def test_an_exact_forecast_is_within_its_range() -> None:
    actual = np.full(5, 10.0)
    exact = np.expm1(np.log1p(actual))
    assert exact[0] != 10
    assert coverage(actual, exact, exact) == 1
    assert coverage(actual, exact + 0.01, exact + 0.01) == 0
