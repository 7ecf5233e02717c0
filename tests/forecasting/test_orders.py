"""Order quantities are judged by what follows: the share of spans that they last, and how they compare with what was ever sold."""

import io
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from salesforecast.core.settings import UserError
from salesforecast.forecasting.covariates import Covariates
from salesforecast.forecasting.forecaster import DemandForecast, fit_demand, forecast_demand
from salesforecast.forecasting.order_policy import OrderPolicy, expected_fill_rate, fill_rate_levels
from salesforecast.forecasting.orders import plan_orders
from salesforecast.forecasting.overrides import apply_overrides
from salesforecast.forecasting.panel import make_panel, parse_levels
from salesforecast.forecasting.plan import read_plan
from salesforecast.forecasting.span_demand import (
    LONGEST_SPAN_DAYS,
    SpanDemand,
    demand_quantiles,
    estimate_span_demand,
    span_distribution,
)
from salesforecast.forecasting.state import load_demand, save_demand
from salesforecast.sales.reading import read_sales

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
def test_stock_reaches_the_service_level_for_every_kind_of_series(service: float) -> None:
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


def test_no_order_up_to_level_is_above_what_was_ever_sold() -> None:
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
    assert (level[:10] > expected[:10]).all() and most == pytest.approx(ever)
    _, unknown = demand_quantiles(demand, np.arange(30), expected, 2 * LONGEST_SPAN_DAYS, 0.95)
    assert np.isnan(unknown).all()  # not kept, so not told


@pytest.mark.parametrize("span", [1, 2, 9, 26, 100])
def test_the_most_ever_sold_is_a_fact_for_every_length(span: int) -> None:
    history = _products(30, 400, seed=5)
    _, most = demand_quantiles(estimate_span_demand(history, 1), np.arange(30), np.ones(30), span, 0.95)
    np.testing.assert_array_equal(most, pd.DataFrame(history.T).rolling(span).sum().max())


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


# --- policies ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def forecast() -> DemandForecast:
    "Forecast units of two categories in two regions, of twenty weeks of days."
    days = pd.date_range("2025-01-06", periods=200)
    rng, frames = np.random.default_rng(5), []
    for category, rate in (("Food", 12), ("Toys", 0.6)):
        for region in ("East", "West"):
            units = rng.poisson(rate, len(days))
            frames.append(pd.DataFrame({"Category": category, "Region": region, "day": days, "units": units}))
    sales = pd.concat(frames, ignore_index=True)
    sales["Transaction_ID"] = [f"T{i}" for i in range(len(sales))]
    rows = sales[sales["units"] > 0].assign(Product_ID="P", Discount_Percentage=0.0, Unit_Price=2.0)
    rows["Total_Revenue"] = 2.0 * rows["units"]
    frame = rows.rename(columns={"day": "Transaction_Date", "units": "Units_Sold"})
    panel = make_panel(read_sales(frame), parse_levels("Category;Category,Region"), target="units")
    return forecast_demand(fit_demand(panel, 28, candidates=("window_average",), n_windows=4), 28)


def _simulate(demand: np.ndarray, level: np.ndarray, lead: int, review: int) -> tuple[float, float]:
    "Raise the stock to the level at every review; return the shares of cycles without a stock-out and of units delivered."
    stock, coming = level.copy(), np.zeros((demand.shape[1] + lead + 1, len(level)))
    lasted, short, cycles = 0.0, 0.0, 0
    waits = np.zeros(len(level), bool)
    for day in range(demand.shape[1]):
        if day % review == 0:
            coming[day + lead] += level - stock - coming[day:].sum(0)
        stock = stock + coming[day]
        coming[day] = 0
        units = demand[:, day]
        if day >= lead:
            short += np.minimum(np.maximum(units - np.maximum(stock, 0), 0), units).sum()
        stock = stock - units
        waits |= stock < 0
        if day >= lead and (day - lead) % review == review - 1:
            lasted, cycles, waits = lasted + (~waits).mean(), cycles + 1, np.zeros(len(level), bool)
    return lasted / cycles, 1 - short / demand[:, lead:].sum()


@pytest.mark.parametrize("target", [0.9, 0.98])
def test_a_fill_rate_is_reached_in_simulation_with_less_stock_than_the_cycle_service(target: float) -> None:
    rng = np.random.default_rng(9)
    sold = rng.poisson(rng.lognormal(1, 0.4, (40, 1)), (40, 1600)).astype(float)
    history, future = sold[:, :900], sold[:, 900:]
    demand, rows, daily = estimate_span_demand(history, 1), np.arange(40), history.mean(1)
    whole = span_distribution(demand, rows, daily * 14, 14)
    lead = span_distribution(demand, rows, daily * 7, 7)
    level = fill_rate_levels(whole, lead, daily * 7, target)
    _, filled = _simulate(future, level, 7, 7)
    assert filled == pytest.approx(target, abs=0.02)
    assert expected_fill_rate(whole, lead, level, daily * 7).mean() == pytest.approx(filled, abs=0.02)
    assert level.sum() < whole.quantities(target).sum()


def test_a_late_supplier_is_covered_by_the_standard_deviation() -> None:
    rng = np.random.default_rng(10)
    history = rng.poisson(20, (20, 900)).astype(float)
    demand, rows, expected = estimate_span_demand(history, 1), np.arange(20), history.mean(1) * 14
    level = span_distribution(demand, rows, expected, 14, 3.0).quantities(0.95)
    span = np.maximum(np.round(rng.normal(14, 3, 20_000)), 1)
    lasts = [(rng.poisson(20 * span) <= one).mean() for one in level]
    punctual = [
        (rng.poisson(20 * span) <= one).mean()
        for one in demand_quantiles(demand, rows, expected, 14, 0.95)[0]
    ]
    assert np.mean(lasts) == pytest.approx(0.95, abs=0.02) and np.mean(punctual) < 0.8


def test_risk_and_quantity_are_of_one_distribution() -> None:
    history = _products(90, 1095, seed=6)
    whole = span_distribution(estimate_span_demand(history, 1), np.arange(90), history.mean(1) * SPAN, SPAN)
    for service in (0.3, 0.9, 0.95, 0.995):
        level = whole.quantities(service)
        free = level < whole.limit
        assert (whole.probabilities(level)[free] >= service - 1e-6).all()
        assert (whole.probabilities(level - 1)[free] < service + 1e-6).all()


def test_a_plan_changes_an_order_by_as_much_as_the_forecast(forecast: DemandForecast) -> None:
    "Half of the days are closed: half of the demand is expected, and the level of the span is half."
    days = forecast.days[1:14:2].astype(str)
    plan = read_plan(pd.DataFrame({"start": days, "end": days, "closed": True}))
    closed = forecast_demand(forecast.model, len(forecast.days), Covariates(plan=plan))
    assert closed.unplanned == pytest.approx(forecast.yhat)
    usual, planned = (plan_orders(each, OrderPolicy(7)) for each in (forecast, closed))
    share = planned["expected"] / usual["expected"]
    assert share.min() > 0.35 and share.max() < 0.65
    spans, rows = forecast.model.spans, forecast.panel.bottom
    assert spans is not None
    level = span_distribution(spans, rows, usual["expected"].to_numpy(), 14).level
    halved = span_distribution(
        spans, rows, planned["expected"].to_numpy(), 14, planned=share.to_numpy()
    ).level
    assert halved == pytest.approx(level * share.to_numpy())
    assert (planned["order_up_to"] < 0.75 * usual["order_up_to"]).all()
    save_demand(closed, file := io.BytesIO())
    file.seek(0)
    stored = plan_orders(load_demand(file).forecast, OrderPolicy(7))
    assert stored["order_up_to"].equals(planned["order_up_to"])
    ahead = forecast_demand(forecast.model, 14, Covariates(plan=plan), compare_plan=False)
    assert ahead.unplanned is None


def test_a_planners_number_changes_an_order_by_as_much_as_the_forecast(forecast: DemandForecast) -> None:
    row = int(np.arange(len(forecast.panel.ids))[forecast.panel.bottom][0])
    number = pd.DataFrame(
        {"unique_id": forecast.panel.ids[row], "ds": forecast.days, "value": 3 * forecast.yhat[row]}
    )
    held = apply_overrides(forecast, number)
    assert held.unplanned is forecast.yhat
    usual, planned = (plan_orders(each, OrderPolicy(7)).iloc[0] for each in (forecast, held))
    assert planned["expected"] == pytest.approx(3 * usual["expected"])
    assert planned["order_up_to"] > 2.2 * usual["order_up_to"]


def test_costs_packs_least_orders_and_shelf_life_shape_an_order(forecast: DemandForecast) -> None:
    names = forecast.panel.ids[forecast.panel.bottom]
    stock = pd.DataFrame({"unique_id": names, "on_hand": 10.0})
    usual = plan_orders(forecast, OrderPolicy(7), stock=stock)
    ratio = plan_orders(forecast, OrderPolicy(7, holding_cost=0.05, stockout_cost=0.95), stock=stock)
    assert ratio["order_up_to"].equals(usual["order_up_to"])
    cheap = plan_orders(forecast, OrderPolicy(7, holding_cost=3, stockout_cost=1), stock=stock)
    assert (cheap["order_up_to"] < usual["order_up_to"]).all()
    packs = plan_orders(forecast, OrderPolicy(7, pack_size=36, min_order=100), stock=stock)
    assert (packs["order"] % 36 == 0).all() and set(packs["order"]) <= {0, *range(108, 2000, 36)}
    listed = plan_orders(
        forecast, OrderPolicy(7, pack_size=36), stock=stock.assign(pack_size=[5, None, 5, None])
    )
    assert (listed["order"] % np.array([5, 36, 5, 36]) == 0).all()
    short_lived = plan_orders(forecast, OrderPolicy(7, shelf_life=1), stock=stock)
    assert (short_lived["order_up_to"] <= usual["expected"] / 14 * 8).all()
    assert (short_lived["stockout_risk"] > usual["stockout_risk"]).all()


def test_a_reorder_point_waits_and_then_orders_the_economic_quantity(forecast: DemandForecast) -> None:
    names = forecast.panel.ids[forecast.panel.bottom]
    policy = OrderPolicy(7, rule="reorder_point", order_cost=50, holding_cost=0.5)
    point = plan_orders(forecast, policy)
    assert point["reorder_point"].equals(plan_orders(forecast, OrderPolicy(7))["order_up_to"])
    above = pd.DataFrame({"unique_id": names, "on_hand": point["reorder_point"]})
    assert (plan_orders(forecast, policy, stock=above)["order"] == 0).all()
    below = plan_orders(forecast, policy, stock=above.assign(on_hand=above["on_hand"] - 1))
    review = forecast.yhat[forecast.panel.bottom, 7:14].sum(1)
    assert below["order"].to_numpy() == pytest.approx(1 + np.ceil(np.sqrt(2 * review * 50 / 0.5)))
    assert (below["risk_without_order"] > below["stockout_risk"]).all()


def test_one_stock_of_all_regions_is_ordered_by_its_own_spans(forecast: DemandForecast) -> None:
    total = plan_orders(forecast, OrderPolicy(7), level="Category")
    parts = plan_orders(forecast, OrderPolicy(7))
    assert total["unique_id"].tolist() == ["Category=Food", "Category=Toys"]
    assert total["expected"].sum() == pytest.approx(parts["expected"].sum())
    assert total["safety_stock"].sum() < parts["safety_stock"].sum()
    stock = pd.DataFrame({"Category": ["Toys", "Food"], "on_hand": [1.0, 2.0]})
    assert plan_orders(forecast, OrderPolicy(7), level="Category", stock=stock)["on_hand"].tolist() == [2, 1]
    assert set(total["abc"]) == {"A", "C"} or set(total["abc"]) == {"A", "B"}
    with pytest.raises(UserError, match="no such level.*total; Category; Category,Region"):
        plan_orders(forecast, OrderPolicy(7), level="Categorie")


def test_what_is_on_hand_and_on_its_way_is_not_ordered_again(forecast: DemandForecast) -> None:
    usual = plan_orders(forecast, OrderPolicy(7))
    level, on_hand, on_order = usual["order_up_to"], np.array([0.0, 5.0, 9.0, 0.0]), np.array([3.0, 0, 2, 0])
    stock = usual[["unique_id"]].assign(on_hand=on_hand, on_order=on_order)
    found = plan_orders(forecast, OrderPolicy(7), stock=stock)
    position = on_hand + on_order
    assert found["order"].to_numpy() == pytest.approx(np.maximum(level - position, 0))
    daily = usual["expected"] / 14  # of Toys, less than a unit
    assert (
        found["days_of_cover"].to_numpy() == pytest.approx((position / daily).to_numpy()) and daily.min() < 1
    )
    filled = level >= position
    assert found["stockout_risk"][filled].equals(usual["stockout_risk"][filled])
    assert found["risk_without_order"].between(0, 1).all()
    whole = plan_orders(forecast, OrderPolicy(7), stock=stock.assign(on_hand=level, on_order=0.0))
    assert whole["risk_without_order"].equals(usual["stockout_risk"]) and (whole["order"] == 0).all()


def test_only_a_ratio_of_costs_orders_less_than_what_is_expected(forecast: DemandForecast) -> None:
    low = plan_orders(forecast, OrderPolicy(7, service_level=0.05))
    assert low["order_up_to"].equals(np.ceil(low["expected"]))
    cheap = plan_orders(forecast, OrderPolicy(7, holding_cost=0.95, stockout_cost=0.05))  # the same service
    assert (cheap["order_up_to"] < cheap["expected"]).all()


def test_a_forecast_of_an_older_release_is_ordered_by_its_sample_paths(forecast: DemandForecast) -> None:
    older = replace(forecast, model=replace(forecast.model, spans=None))
    rows = np.arange(len(forecast.panel.ids))[forecast.panel.bottom]
    sums = [np.quantile(forecast.paths.of_series(row)[:, :14].sum(1), 0.95) for row in rows]
    orders = plan_orders(older, OrderPolicy(7))
    assert orders["order_up_to"].to_numpy() == pytest.approx(np.ceil(np.maximum(sums, orders["expected"])))
    stock = orders[["unique_id"]].assign(on_hand=orders["order_up_to"] + [-2, 0, 0, 5], on_order=1.0)
    assert plan_orders(older, OrderPolicy(7), stock=stock)["order"].tolist() == [1, 0, 0, 0]
    with pytest.raises(UserError, match="older release, which knows periodic review alone. Train again"):
        plan_orders(older, OrderPolicy(7, pack_size=2))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"lead_time": "2"}, "lead_time is '2'; write whole days from 0"),
        ({"lead_time": 2.5}, "lead_time is 2.5; write whole days from 0"),
        ({"service_level": "95%"}, "service_level is '95%'; write a probability between 0 and 1"),
        ({"holding_cost": "1"}, "holding_cost is '1'; write the cost of holding a unit"),
        ({"service_level": 95}, "service_level is 95; write a probability between 0 and 1"),
        ({"lead_time": -1}, "lead_time is -1; write whole days from 0"),
        ({"review_period": 0}, "review_period is 0; write whole days from 1"),
        ({"lead_time_sd": float("nan")}, "lead_time_sd is nan; write a standard deviation in days"),
        ({"pack_size": 0}, "pack_size is 0; write the units of a pack, above 0"),
        ({"stockout_cost": 1}, "need holding_cost"),
        ({"service": "fill"}, "service='fill' is no choice. Choose 'cycle' or 'fill_rate'"),
    ],
)
def test_a_policy_that_cannot_be_meant_names_value_and_unit(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        OrderPolicy(**wrong)  # type: ignore[arg-type]
