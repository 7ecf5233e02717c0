"""Order quantities are judged by what follows: the share of spans that they last, and how they compare with what was ever sold."""

import numpy as np
import pytest

from salesforecast.forecasting.span_demand import SpanDemand, demand_quantiles, estimate_span_demand

SPAN = 14


def _products(count: int, periods: int, seed: int = 0) -> np.ndarray:
    "Sell busy, slow and lumpy products, a third each."
    rng = np.random.default_rng(seed)
    third = count // 3
    busy = rng.poisson(rng.lognormal(2, 0.5, (third, 1)), (third, periods))
    slow = rng.poisson(rng.lognormal(-2.5, 0.5, (third, 1)), (third, periods))
    lumpy = (rng.random((third, periods)) < 0.04) * (1 + rng.poisson(8, (third, periods)))
    return np.concatenate([busy, slow, lumpy]).astype(float)


@pytest.mark.parametrize("service", [0.9, 0.95, 0.98])
def test_stock_lasts_as_often_as_asked_for_every_kind(service: float) -> None:
    products = _products(150, 1500)
    history, future = products[:, :900], products[:, 900:]
    demand = estimate_span_demand(history, 1)
    expected = history[:, -364:].mean(1) * SPAN
    level, _ = demand_quantiles(demand, np.arange(150), expected, SPAN, service)
    spans = future[:, : 42 * SPAN].reshape(150, 42, SPAN).sum(2)
    lasts = (spans <= level[:, None]).reshape(3, 50, 42).mean((1, 2))
    # a whole unit more or less is much for a slow product: its level may last more often than asked
    assert lasts[0] == pytest.approx(service, abs=0.02)
    assert (lasts[1:] >= service - 0.03).all(), lasts
    assert (lasts[1:] <= min(service + 0.05, 1)).all(), lasts


def test_no_series_is_told_to_hold_more_than_was_ever_sold() -> None:
    history = _products(300, 1095, seed=1)
    demand = estimate_span_demand(history, 1)
    expected = history[:, -364:].mean(1) * SPAN
    level, most = demand_quantiles(demand, np.arange(300), expected, SPAN, 0.95)
    sums = np.cumsum(np.c_[np.zeros(300), history], 1)
    assert most == pytest.approx((sums[:, SPAN:] - sums[:, :-SPAN]).max(1))
    grown = np.ceil(most * np.maximum(expected / (history[:, -728:].mean(1) * SPAN), 1))
    assert (level <= grown).all()
    assert level.sum() < 1.05 * np.ceil(np.quantile(sums[:, SPAN:] - sums[:, :-SPAN], 0.95, axis=1)).sum()


def test_a_long_span_is_not_capped_at_what_a_shorter_one_sold() -> None:
    history, span = _products(30, 1095, seed=4), 120
    demand = estimate_span_demand(history, 1)
    expected = history[:, -364:].mean(1) * span
    level, most = demand_quantiles(demand, np.arange(30), expected, span, 0.95)
    sums = np.cumsum(np.c_[np.zeros(30), history], 1)
    ever = (sums[:, span:] - sums[:, :-span]).max(1)
    assert (most >= ever).all() and (level[:10] > expected[:10]).all()


def test_a_product_that_is_gone_or_not_forecast_is_not_held() -> None:
    history = _products(3, 800, seed=2)
    history[0, 500:] = 0
    demand = estimate_span_demand(history, 1)
    level, _ = demand_quantiles(demand, np.arange(3), np.array([0.001, 0.0, 0.0]), SPAN, 0.95)
    assert level.tolist() == [0, 0, 0]


def test_weeks_and_short_histories_have_quantities() -> None:
    for step, periods in ((7, 30), (1, 20), (1, 8)):
        history = _products(6, periods, seed=3)
        demand: SpanDemand = estimate_span_demand(history, step)
        level, most = demand_quantiles(demand, np.arange(6), history.mean(1) * 2, 2, 0.95)
        assert np.isfinite(level).all() and np.isfinite(most).all() and (level[:2] > 0).all()
