"""Means that add up to what is sold, and models over all series that are fitted once."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from salesforecast.forecasting import selection
from salesforecast.forecasting.bias import correct_past_forecasts, estimate_bias_factor
from salesforecast.forecasting.candidates import registry
from salesforecast.forecasting.candidates.task import ForecastTask
from salesforecast.forecasting.forecaster import fit_demand, forecast_demand
from salesforecast.forecasting.panel import Panel

WEEKS = 110


def weekly_panel(values: np.ndarray) -> Panel:
    """Weekly products and their total."""
    k, weeks = values.shape
    summing = sparse.csr_matrix(np.vstack([np.ones((1, k)), np.eye(k)]))
    return Panel(
        ids=np.array(["total", *(f"Product_ID={i}" for i in range(k))], object),
        days=np.datetime64("2024-01-07") + 7 * np.arange(weeks),
        values=summing @ values,
        step=7,
        levels=("total", "Product_ID"),
        level=np.r_[0, np.ones(k, int)],
        summing=summing,
        keys=pd.DataFrame({"Product_ID": [str(i) for i in range(k)]}),
        category=np.full(k, "all", object),
        target="units",
        price=np.empty((0, 0)),
        daily_total=pd.Series(dtype=float, index=pd.DatetimeIndex([])),
    )


def test_a_steady_bias_is_corrected_and_a_doubtful_one_is_not() -> None:
    sold = np.full((8, 4), 100.0)
    assert estimate_bias_factor(0.92 * sold, sold) == pytest.approx(1 / 0.92)
    assert estimate_bias_factor(1.08 * sold, sold) == pytest.approx(1 / 1.08)
    turns = np.where(np.arange(8) % 2, 1.3, 1 / 1.3)[:, None]
    assert estimate_bias_factor(turns * sold, sold) == pytest.approx(1)
    # by hand: the median is log .95, its squared error that of eight windows of which neighbours overlap by half
    ratios = np.log([0.95] * 5 + [1.0] * 3)
    evidence = np.log(0.95) ** 2 / (ratios.var() / 4)
    expected = np.exp(-np.log(0.95) * evidence / (evidence + 2))
    assert estimate_bias_factor(np.exp(ratios)[:, None] * sold, sold) == pytest.approx(expected)
    assert estimate_bias_factor(0.8 * sold[:3], sold[:3]) == 1  # too few windows
    assert estimate_bias_factor(0.1 * sold, sold) == pytest.approx(np.exp(0.1))  # at most
    assert estimate_bias_factor(0 * sold, sold) == 1


def test_a_window_does_not_choose_its_own_correction() -> None:
    sold = np.full((6, 1, 4), 100.0)
    forecasts = 0.95 * sold
    forecasts[2] *= 5
    corrected, factor = correct_past_forecasts(forecasts, sold)
    assert corrected[2, 0, 0] == pytest.approx(475 / 0.95)  # as the five others, all alike, say
    assert 1 < factor < 1 / 0.95


def test_forecasts_that_lag_behind_growth_are_raised_to_what_is_sold() -> None:
    rng = np.random.default_rng(1)
    growth = 1.01 ** np.arange(WEEKS + 8)
    sold = rng.poisson(np.array([[60.0], [150.0], [240.0]]) * growth).astype(float)
    model = fit_demand(weekly_panel(sold[:, :WEEKS]), 8, candidates=("window_average",))
    forecast = forecast_demand(model, 8)
    expected, actual = forecast.yhat[0].sum(), sold[:, WEEKS:].sum()
    assert abs(expected / actual - 1) < 0.03
    assert expected / model.bias_factor / actual - 1 < -0.03  # as it was
    np.testing.assert_allclose(forecast.yhat[1:].sum(0), forecast.yhat[0])
    assert any(f"raised by {model.bias_factor - 1:.1%}" in note for note in forecast.notes)
    assert abs(model.accuracy["bias"]).max() < 0.03


def test_models_over_all_series_are_fitted_once_in_cross_validation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a level with many series a sample is cross-validated first, and the champion forecasts the rest."""
    fits: Counter[int] = Counter()
    direct = registry.CANDIDATES["direct"]

    def counting(task: ForecastTask) -> object:
        fits[len(task.panel.days)] += 1
        assert direct.fit_pooled is not None
        return direct.fit_pooled(task)

    def forecast(task: ForecastTask, rows: np.ndarray) -> np.ndarray:
        task.pooled_model("direct", counting)
        return direct.forecast(task, rows)

    spec = replace(direct, forecast=forecast, fit_pooled=counting)
    monkeypatch.setitem(registry.CANDIDATES, "direct", spec)
    monkeypatch.setattr(selection, "SAMPLED_SERIES", 3)
    sold = np.random.default_rng(0).poisson(9, (8, 60)).astype(float)
    model = fit_demand(weekly_panel(sold), 4, candidates=("direct", "window_average"))
    assert model.champions[1].n_series == 3 < 8
    assert len(model.cutoffs) == 8
    assert dict(fits) == {model.cutoffs[0]: 1, model.cutoffs[4]: 1}
