"""Intervals of one odd series among steady ones: by horizon and by kind of series, never on average only."""

import numpy as np
import pytest

from salesforecast.forecasting.forecaster import fit_demand, forecast_demand
from salesforecast.forecasting.intervals import (
    Calibration,
    calibrate,
    describe_history,
    error_growth,
    prediction_intervals,
)
from salesforecast.forecasting.panel import default_levels, make_panel
from salesforecast.sales.reading import read_sales
from support.shops import ODD_SHOPS

CUTOFFS = tuple(range(364, 420, 7))
HORIZON, PERIODS = 28, 448


def _weekly_mean(values: np.ndarray, count: int) -> np.ndarray:
    "Forecast from a cutoff by the mean of each weekday over up to eight weeks since the first sale."
    forecasts = np.zeros((len(values), HORIZON))
    for row, series in enumerate(values[:, :count]):
        first = int((series > 0).argmax()) if series.any() else count
        recent = np.arange(max(count - 56, first), count)
        for ahead in range(HORIZON):
            same = recent[recent % 7 == (count + ahead) % 7]
            forecasts[row, ahead] = series[same].mean() if len(same) else 0.0
    return forecasts


def _calibrate(values: np.ndarray) -> tuple[Calibration, np.ndarray]:
    "Return the calibration and the next forecast of series of one level."
    past = np.stack([_weekly_mean(values, count) for count in CUTOFFS])
    actual = np.stack([values[:, count : count + HORIZON] for count in CUTOFFS])
    history = describe_history(values, CUTOFFS, 1)
    calibration = calibrate(past, actual, history, np.zeros(len(values), int), 1)
    return calibration, _weekly_mean(values, values.shape[1])


def _steady(count: int, mean: float = 12.0, periods: int = PERIODS, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).poisson(mean, (count, periods)).astype(float)


def test_one_spike_after_silence_leaves_the_coverage_of_regular_series_unchanged() -> None:
    values = _steady(30)
    values[0, 340:] = 0
    values[0, -3] = 400
    calibration, forecasts = _calibrate(values)
    intervals = prediction_intervals(calibration, forecasts)
    fresh = _steady(30, periods=HORIZON, seed=1)
    for level, tolerance in ((80, 0.05), (95, 0.03)):
        inside = (intervals[f"lo-{level}"] <= fresh) & (fresh <= intervals[f"hi-{level}"])
        by_week = inside[1:].reshape(29, 4, 7).mean((0, 2))
        assert by_week == pytest.approx(level / 100, abs=tolerance), (level, by_week)


def test_the_growth_of_a_group_is_that_of_its_series_not_of_its_largest_error() -> None:
    errors = np.random.default_rng(0).normal(0, 1, (8, 30, HORIZON))
    errors *= np.repeat([0.8, 1.0, 1.1, 1.2], 7)
    usual = error_growth(errors, 7)
    errors[3, 0, 25] = 1000
    assert error_growth(errors, 7) == pytest.approx(usual, abs=0.05)
    assert usual[::7] == pytest.approx([0.77, 0.97, 1.06, 1.16], abs=0.03)


def test_a_new_product_does_not_widen_the_intervals_of_steady_ones() -> None:
    steady = _steady(5)
    new = np.zeros((1, PERIODS))
    new[0, -40:] = np.random.default_rng(2).poisson(1.2, 40)
    alone, forecasts = _calibrate(steady)
    beside, more = _calibrate(np.vstack([steady, new]))
    for level in (80, 95):
        width, usual = (
            (x[f"hi-{level}"] - x[f"lo-{level}"])[:5].mean()
            for x in (prediction_intervals(beside, more), prediction_intervals(alone, forecasts))
        )
        assert width == pytest.approx(usual, rel=0.1), level
    own = {name: values[5] for name, values in prediction_intervals(beside, more).items()}
    assert own["hi-80"].max() <= max(1.5 * new.max(), 3 * more[5].max())
    assert own["hi-95"].max() > 0


def test_no_bound_is_implausible_and_none_is_below_the_mean() -> None:
    rng = np.random.default_rng(3)
    values = np.vstack([_steady(10, 3.0), rng.poisson(0.05, (10, PERIODS)) * 8.0, _steady(2)])
    values[20, :-20] = 0  # three weeks old
    values[21, 300:] = 0  # discontinued
    calibration, forecasts = _calibrate(values)
    intervals = prediction_intervals(calibration, forecasts)
    limit = np.maximum(1.5 * values.max(1, keepdims=True), 3 * forecasts)
    for level in (80, 95):
        assert (intervals[f"hi-{level}"] <= limit).all()
        assert (intervals[f"hi-{level}"] >= forecasts).all()
    assert (intervals["hi-95"] >= intervals["hi-80"]).all() and (
        intervals["hi-80"] >= intervals["hi-50"]
    ).all()


@pytest.mark.parametrize(("name", "days"), [("one sale a week", 200), ("weekly rows", 196)])
def test_intervals_contradict_neither_each_other_nor_median_and_mean(name: str, days: int) -> None:
    """Far ahead, errors have grown: the median of a series that hardly sells, and bounds of one that was always forecast low."""
    sales = read_sales(ODD_SHOPS[name]())
    panel = make_panel(sales, default_levels(sales), target="revenue")
    model = fit_demand(panel, 28 // panel.step, candidates=("window_average",), n_windows=4)
    made = forecast_demand(model, days // panel.step)
    names = ["lo-95", "lo-80", "lo-50", "median", "hi-50", "hi-80", "hi-95"]
    bounds = np.stack([made.intervals[column] for column in names])
    assert (np.diff(bounds, axis=0) >= -1e-9).all()
    for level in (80, 95):
        assert (made.intervals[f"lo-{level}"] <= made.yhat + 1e-9).all()
        assert (made.yhat <= made.intervals[f"hi-{level}"] + 1e-9).all()
