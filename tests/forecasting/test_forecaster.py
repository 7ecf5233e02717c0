"""Demand at every level: coherent, never negative, calibrated intervals, nothing learnt from the future."""

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from salesforecast.core.metrics import mase, smape
from salesforecast.core.settings import UserError
from salesforecast.datasets import generate_sales, write_sales
from salesforecast.forecasting.candidates.pooled import sample_rows_by_level
from salesforecast.forecasting.candidates.registry import BASELINE
from salesforecast.forecasting.covariates import Covariates, covariates_from_mapping
from salesforecast.forecasting.evaluation import backtest_demand, evaluate_backtest
from salesforecast.forecasting.forecaster import DemandForecast, fit_demand, forecast_demand, sum_interval
from salesforecast.forecasting.orders import order_up_to_levels
from salesforecast.forecasting.overrides import apply_overrides, load_overrides, record_overrides, value_added
from salesforecast.forecasting.panel import Panel, make_panel, parse_levels, summing_matrix
from salesforecast.forecasting.plan import read_plan
from salesforecast.forecasting.prices import expected_prices
from salesforecast.forecasting.state import load_demand, save_demand
from salesforecast.forecasting.stock import StockRules, read_stock
from salesforecast.sales.reading import SalesData, read_sales
from salesforecast.sales.schema import ColumnMapping

QUICK = ("window_average", "ets_seasonal")
WEEK = np.array([1.0, 0.9, 0.9, 1.0, 1.2, 1.5, 1.1])


def simulated(
    regions: int = 3, products: int = 4, days: int = 400, seed: int = 0, size: float = 12.0, step: int = 1
) -> Panel:
    """Poisson sales of products in regions, with a week, a region's common ups and downs, and no closed days."""
    rng = np.random.default_rng(seed)
    keys = pd.DataFrame(
        [(f"R{r}", f"P{p}") for r in range(regions) for p in range(products)],
        columns=["Region", "Product_ID"],
    )
    mood = np.exp(np.cumsum(rng.normal(0, 0.01, (regions, days)), 1) + rng.normal(0, 0.15, (regions, days)))
    scale = size * rng.lognormal(0, 0.7, len(keys))[:, None]
    week = WEEK[(np.arange(days) + 2) % 7] if step == 1 else 1.0
    finest = rng.poisson(scale * week * np.repeat(mood, products, 0)).astype(float)
    return as_panel(finest, keys, (("Region",),), step)


def as_panel(finest: np.ndarray, keys: pd.DataFrame, levels: tuple = (), step: int = 1) -> Panel:
    """A panel of these series."""
    names, summing = summing_matrix(keys, levels)
    days = np.datetime64("2025-01-01") + step * np.arange(finest.shape[1])
    values = summing @ finest
    return Panel(
        ids=np.concatenate(names),
        days=days,
        values=values,
        step=step,
        levels=("total", *(",".join(level) for level in levels), ",".join(keys)),
        level=np.repeat(np.arange(len(names)), [len(found) for found in names]),
        summing=summing,
        keys=keys,
        category=np.full(len(keys), "all", object),
        target="units",
        price=np.full(finest.shape, 2.0, "float32"),
        daily_total=pd.Series(values[0], pd.DatetimeIndex(days))
        if step == 1
        else pd.Series(dtype=float, index=pd.DatetimeIndex([])),
    )


def products(finest: np.ndarray, step: int = 1) -> Panel:
    """A panel of products."""
    return as_panel(finest, pd.DataFrame({"Product_ID": [f"P{i}" for i in range(len(finest))]}), step=step)


def coherent(found: DemandForecast) -> None:
    """Parts add up, nothing is negative, ranges lie within each other."""
    np.testing.assert_allclose(found.panel.summing @ found.yhat[found.panel.bottom], found.yhat, atol=1e-6)
    frame = found.to_frame()
    assert np.isfinite(frame.drop(columns=["unique_id", "ds"]).to_numpy()).all()
    columns = ["lo-95", "lo-80", "lo-50", "median", "hi-50", "hi-80", "hi-95"]
    assert (np.diff(frame[columns].to_numpy(), axis=1) >= -1e-9).all()
    assert (frame[[*columns, "yhat"]] >= 0).all().all()


@pytest.fixture(scope="module")
def sales(tmp_path_factory: pytest.TempPathFactory) -> SalesData:
    path = tmp_path_factory.mktemp("sales") / "sales.csv"
    return read_sales(write_sales(generate_sales(rows=12_000, seed=2), path))


@pytest.fixture(scope="module")
def shop() -> DemandForecast:
    panel = simulated()
    return forecast_demand(fit_demand(panel, 28, candidates=QUICK), 28)


# --- series ------------------------------------------------------------------------------------


def test_levels_are_those_of_hierarchicalforecast(sales: SalesData) -> None:
    """The same sums as its `aggregate` makes."""
    from hierarchicalforecast.utils import aggregate

    panel = make_panel(sales, parse_levels("Region;Category;Category,Region"))
    rows = sales.frame.assign(ds=sales.frame["Transaction_Date"].dt.normalize(), all="total")
    rows = rows.astype({"Region": object, "Category": object}).fillna(
        {"Region": "(none)", "Category": "(none)"}
    )
    bottom = (
        rows.groupby(["all", "Category", "Region", "ds"], as_index=False)["Revenue"]
        .sum()
        .rename(columns={"Revenue": "y"})
    )
    spec = [["all"], ["all", "Region"], ["all", "Category"], ["all", "Category", "Region"]]
    expected, _, tags = aggregate(bottom, spec)
    assert [len(ids) for ids in tags.values()] == [len(panel.rows(i)) for i in range(4)]
    sums = expected.groupby("unique_id")["y"].sum()
    ours = dict(zip(panel.ids, panel.values.sum(1), strict=True))
    assert sums["total/Toys"] == pytest.approx(ours["Category=Toys"])
    assert sums["total/Toys/North"] == pytest.approx(ours["Category=Toys/Region=North"])


def test_a_week_that_lacks_only_closed_days_is_whole() -> None:
    days = pd.date_range("2026-01-05", "2026-03-28")  # a Monday to a Saturday
    open_days = days[days.dayofweek != 6]
    frame = pd.DataFrame({"Transaction_Date": open_days, "Revenue": 1.0, "is_return": False})
    sales = SalesData(frame, frame, None, ColumnMapping())  # type: ignore[arg-type]
    panel = make_panel(sales, frequency="weekly")
    assert (panel.values == 6).all()
    assert str(panel.days[-1]) == "2026-03-29"


@pytest.mark.parametrize(
    ("levels", "options", "named"),
    [
        ("Colour", {}, "'Colour'"),
        ("Customer_ID", {}, "is a person"),
        ("Region,,Category", {}, "empty or repeated"),
        ("", {"target": "profit"}, "'profit'"),
    ],
)
def test_levels_and_options_that_do_not_fit_are_refused(
    sales: SalesData, levels: str, options: dict, named: str
) -> None:
    with pytest.raises(UserError, match=named):
        make_panel(sales, parse_levels(levels), **options)


def test_sales_without_units_have_no_units_forecast() -> None:
    frame = pd.DataFrame({"Transaction_Date": pd.date_range("2026-01-01", periods=60), "Revenue": 1.0})
    with pytest.raises(UserError, match="Units_Sold"):
        make_panel(SalesData(frame, frame, None, ColumnMapping()), target="units")  # type: ignore[arg-type]


# --- forecasts ------------------------------------------------------------------------------------


def test_forecasts_are_coherent_and_never_negative(shop: DemandForecast) -> None:
    coherent(shop)


def test_one_series_alone(sales: SalesData) -> None:
    panel = make_panel(sales)
    found = forecast_demand(fit_demand(panel, 14, candidates=QUICK, n_windows=3), 14)
    coherent(found)
    assert found.to_frame()["unique_id"].unique().tolist() == ["total"]


def test_weeks(sales: SalesData) -> None:
    panel = make_panel(sales, parse_levels("Category"), target="units", frequency="weekly")
    found = forecast_demand(
        fit_demand(panel, 6, covariates_from_mapping(panel, sales.mapping), n_windows=4), 6
    )
    coherent(found)
    assert (np.diff(found.days).astype(int) == 7).all()
    recent = panel.values[0, -8:].mean()
    assert 0.5 * recent < found.yhat[0].mean() < 2 * recent


def test_a_horizon_longer_than_a_season_and_than_the_cross_validation(shop: DemandForecast) -> None:
    found = forecast_demand(shop.model, 120)
    coherent(found)
    width = found.intervals["hi-80"] - found.intervals["lo-80"]
    assert width[0, 113:].mean() > width[0, :7].mean()


def test_a_short_history_says_so() -> None:
    panel = simulated(days=40)
    found = forecast_demand(fit_demand(panel, 28), 28)
    coherent(found)
    assert any("history is short" in note for note in found.notes)
    coherent(forecast_demand(fit_demand(panel.truncate(8), 3), 3))


def test_lumpy_sales() -> None:
    """Most days without a sale: the mean is kept, the median is 0, the range starts at 0."""
    rng = np.random.default_rng(0)
    finest = rng.poisson(0.1, (20, 500)) * rng.integers(1, 5, (20, 500)).astype(float)
    found = forecast_demand(
        fit_demand(products(finest), 28, candidates=("tsb", "window_average", "pooled"), n_windows=4), 28
    )
    coherent(found)
    assert found.yhat[0].mean() == pytest.approx(finest[:, -200:].sum(0).mean(), rel=0.25)
    assert np.median(found.intervals["median"][1:]) < 0.05
    assert (found.intervals["lo-80"][1:] <= 0.05).mean() > 0.9


def test_a_new_product_is_pooled_with_its_category_and_a_discontinued_one_decays() -> None:
    rng = np.random.default_rng(0)
    finest = rng.poisson(10 * WEEK[np.arange(420) % 7], (12, 420)).astype(float)
    finest[0, :415] = 0  # five days old
    finest[1, -70:] = 0  # silent for ten weeks
    found = forecast_demand(fit_demand(products(finest), 28, candidates=QUICK, n_windows=4), 28)
    others = found.yhat[3:].mean()
    assert found.yhat[1].mean() == pytest.approx(others, rel=0.35)
    assert found.yhat[1, 3::7].std() < 0.5 * found.yhat[1].std()  # the week of its category
    assert found.yhat[2].max() < 0.02 * others


def test_closed_days_are_0() -> None:
    panel = simulated()
    closed = (panel.days.astype(int) + 3) % 7 == 6
    panel.values[:, closed] = 0
    panel.daily_total[closed] = 0
    tomorrow = pd.Timestamp(panel.days[-1]) + pd.Timedelta(days=3)
    covariates = Covariates(closures=[tomorrow.date()])
    found = forecast_demand(fit_demand(panel, 14, covariates, candidates=QUICK, n_windows=3), 14, covariates)
    shut = ((found.days.astype(int) + 3) % 7 == 6) | (found.days == np.datetime64(tomorrow, "D"))
    assert shut.sum() >= 2
    assert (found.yhat[:, shut] == 0).all()
    assert (found.intervals["hi-95"][:, shut] == 0).all()
    assert (found.yhat[0, ~shut] > 0).all()


def test_odd_series_have_forecasts() -> None:
    """All zeros, a constant, a return that outweighs the sales, one sale long ago."""
    finest = np.zeros((5, 120))
    finest[1] = 3.0
    finest[2] = np.random.default_rng(0).poisson(4, 120)
    finest[2, 100] = -50.0
    finest[3, 5] = 9.0
    coherent(found := forecast_demand(fit_demand(products(finest), 10, n_windows=4), 10))
    assert found.yhat[2].mean() == pytest.approx(3.0, rel=0.2)
    assert found.yhat[[1, 4, 5]].max() < 0.3


def test_nothing_is_learnt_from_the_future() -> None:
    """Other values after the cutoff leave the forecasts from it as they were."""
    panel = simulated(days=300)
    changed = simulated(days=300)
    changed.values[:, 250:] *= 7
    changed.daily_total[250:] *= 7
    one, other = (
        forecast_demand(fit_demand(p.truncate(250), 14, n_windows=4), 14).to_frame() for p in (panel, changed)
    )
    pd.testing.assert_frame_equal(one, other)


def test_the_champion_never_loses_to_seasonal_naive(shop: DemandForecast) -> None:
    board = shop.model.leaderboard
    chosen = board[board["chosen"]]
    assert chosen["level"].tolist() == list(shop.panel.levels)
    assert ((chosen["against_naive"] < 0) | (chosen["model"] == BASELINE)).all()
    assert (chosen["low"] <= chosen["against_naive"]).all() and (
        chosen["against_naive"] <= chosen["high"]
    ).all()


def test_the_pooled_model_learns_from_every_level() -> None:
    """The total and the regions are a few of many series."""
    panel = simulated(3, 100, days=30)
    rows = sample_rows_by_level(panel, 50)
    assert len(rows) == 50 == len(np.unique(rows))
    assert {0, 1, 2, 3} <= set(rows)
    assert len(sample_rows_by_level(panel, 10_000)) == len(panel.ids)


def test_an_unknown_candidate_is_refused() -> None:
    with pytest.raises(UserError, match="no candidate 'arima'"):
        fit_demand(simulated(days=60), 7, candidates=("arima",))


# --- ranges ------------------------------------------------------------------------------------


def test_prediction_intervals_have_their_coverage() -> None:
    """On simulated series that the calibration never saw, within two points, pooled over many."""
    tried = [backtest_demand(simulated(4, 6, seed=seed), 28, 3, candidates=QUICK) for seed in range(3)]
    found = pd.concat(tried)
    finest = found[found["level"] == "Region,Product_ID"]
    held = evaluate_backtest(finest).iloc[0]
    assert held["n"] > 5000
    assert held["coverage_80"] == pytest.approx(0.80, abs=0.02)
    assert held["coverage_95"] == pytest.approx(0.95, abs=0.02)


@pytest.fixture(scope="module")
def mixed() -> pd.DataFrame:
    """Backtests of shops of six busy products and forty that sell on one day in ten or twenty."""
    rng, found = np.random.default_rng(5), []
    for seed in range(3):
        busy, quiet = simulated(1, 6, 330, seed, size=20).values[2:], rng.poisson(0.07, (40, 330))
        keys = pd.DataFrame({"Product_ID": [f"P{i:02d}" for i in range(46)]})
        panel = as_panel(np.vstack([busy, quiet]).astype(float), keys)
        found.append(backtest_demand(panel, 28, 3, candidates=QUICK).assign(seed=seed))
    return pd.concat(found)


def test_the_interval_of_a_mostly_empty_series_begins_at_0(mixed: pd.DataFrame) -> None:
    intermittent = mixed[mixed["unique_id"].between("Product_ID=P06", "Product_ID=P45")]
    assert (intermittent[["median", "lo-50", "lo-80", "lo-95"]] == 0).all(axis=None)
    assert intermittent["hi-95"].mean() > 0
    assert ((intermittent["y"] <= intermittent["hi-95"]).mean()) > 0.93


def test_intermittent_series_do_not_narrow_the_intervals_of_regular_ones(mixed: pd.DataFrame) -> None:
    regular = mixed[mixed["unique_id"].between("Product_ID=P00", "Product_ID=P05")]
    held = evaluate_backtest(regular).iloc[0]
    assert held["coverage_80"] == pytest.approx(0.80, abs=0.05)
    assert held["coverage_95"] == pytest.approx(0.95, abs=0.03)


def test_sums_have_intervals_of_their_own(shop: DemandForecast) -> None:
    """Narrower than the sum of bounds, wider than independence would have; and they hold."""
    found = sum_interval(shop, ["Region=R0"])
    row = shop.row("Region=R0")
    bounds = shop.intervals["hi-80"][row] - shop.intervals["lo-80"][row]
    width = found["hi-80"] - found["lo-80"]
    assert np.sqrt((bounds**2).sum()) < width < bounds.sum()
    assert found["lo-95"] < found["lo-80"] < found["yhat"] < found["hi-80"] < found["hi-95"]
    regions = [shop.row(f"Region=R{r}") for r in range(3)]
    assert shop.paths.total(regions).sum(1).mean() == pytest.approx(shop.paths.of_series(0).sum(1).mean())


def test_paths_of_lumpy_series_have_the_mean_of_their_forecast_and_hold() -> None:
    inside = []
    for seed in range(4):
        panel = simulated(3, 8, seed=40 + seed, size=0.3)
        for cutoff in (-14, -42):
            past = panel.truncate(len(panel.days) + cutoff)
            made = forecast_demand(fit_demand(past, 14, candidates=("window_average",)), 14)
            truth = panel.values[:, len(past.days) : len(past.days) + 14].sum(1)
            for row in range(4):  # the total and the regions
                sums = made.paths.of_series(row).sum(1)
                assert sums.mean() == pytest.approx(made.yhat[row].sum(), rel=1e-6)
                low, high = np.quantile(sums, [0.1, 0.9])
                inside.append(low <= truth[row] <= high)
    assert np.mean(inside) == pytest.approx(0.8, abs=0.15)


def test_intervals_of_sums_of_intermittent_series_have_their_coverage() -> None:
    """Products that sell on one day in seven or so: what is ordered for 95% lasts about as often."""
    inside, lasts = [], []
    for seed in range(3):
        panel = simulated(2, 15, seed=70 + seed, size=0.05)
        for cutoff in (-14, -56):
            past = panel.truncate(len(panel.days) + cutoff)
            made = forecast_demand(fit_demand(past, 14, candidates=("window_average", "tsb")), 14)
            truth = panel.values[:, len(past.days) : len(past.days) + 14].sum(1)
            for row in np.flatnonzero(made.paths.intermittent):
                low, high, reach = np.quantile(made.paths.of_series(row).sum(1), [0.1, 0.9, 0.95])
                inside.append(low <= truth[row] <= high)
                lasts.append(truth[row] <= reach)
    assert len(inside) > 100
    assert np.mean(inside) == pytest.approx(
        0.85, abs=0.1
    )  # counts are few: more than 80% lie between whole numbers
    assert np.mean(lasts) == pytest.approx(0.95, abs=0.05)


def test_intervals_of_weekly_sums_have_their_coverage() -> None:
    inside = []
    for seed in range(6):
        panel = simulated(4, 4, seed=10 + seed)
        for cutoff in (-7, -35, -63):
            past = panel.truncate(len(panel.days) + cutoff)
            made = forecast_demand(fit_demand(past, 7, candidates=("ets_seasonal",)), 7)
            truth = panel.values[:, len(past.days) : len(past.days) + 7].sum(1)
            for row in range(len(panel.ids)):
                sums = made.paths.of_series(row).sum(1)
                low, high = np.quantile(sums, [0.1, 0.9])
                inside.append(low <= truth[row] <= high)
    assert np.mean(inside) == pytest.approx(0.8, abs=0.07)


# --- plans, prices, orders ------------------------------------------------------------------------


def test_a_planned_promotion_changes_what_past_ones_changed() -> None:
    """A third off doubled the sales of one product twice; the third time is planned."""
    panel = simulated(1, 4)
    times = [(100, 110), (300, 310), (400, 410)]
    for first, last in times[:2]:
        panel.values[[0, 1, 2], first:last] += panel.values[2, first:last]
    days = [panel.days[0] + at for first, last in times for at in (first, last - 1)]
    plan = read_plan(
        pd.DataFrame({"start": days[::2], "end": days[1::2], "Product_ID": "P0", "discount": 0.33})
    )
    model = fit_demand(panel, 28, Covariates(plan=plan), candidates=QUICK)
    planned, quiet = (forecast_demand(model, 28, Covariates(plan=p)) for p in (plan, plan.iloc[:2]))
    row = planned.row("Region=R0/Product_ID=P0")
    gain = planned.yhat - quiet.yhat
    assert planned.yhat[row, :10].sum() / quiet.yhat[row, :10].sum() == pytest.approx(2.0, rel=0.15)
    np.testing.assert_allclose(gain[:, 10:], 0, atol=0.15 * quiet.yhat[row].mean())
    assert gain[0, :10].sum() == pytest.approx(gain[row, :10].sum(), rel=0.15)
    assert planned.revenue[row, 0] == pytest.approx(planned.yhat[row, 0] * 2.0 * 0.67, rel=1e-6)
    assert set(planned.causes["cause"]) == {"prices"} and len(planned.causes) == 10
    assert planned.causes["amount"].sum() == pytest.approx(gain[0].sum(), rel=0.15)
    assert quiet.causes.empty
    save_demand(planned, file := io.BytesIO())
    file.seek(0)
    pd.testing.assert_frame_equal(load_demand(file).forecast.causes, planned.causes)


def test_causes_of_a_forecast_are_told_in_money() -> None:
    """Every fourth of a month brings half as much again, and one of the days ahead is closed."""
    panel = simulated(1, 4)
    every = np.r_[panel.days, panel.future_periods(28)]
    fourth = [day for day in every.tolist() if day.day == 4]
    at = np.isin(panel.days, np.array(fourth, "datetime64[D]"))
    panel = replace(panel, values=panel.values * np.where(at, 1.5, 1.0))
    shut = panel.future_periods(28)[10].item()
    assert shut.day != 4
    covariates = Covariates(events={"market": fourth}, closures=[shut])
    model = fit_demand(panel, 28, covariates, candidates=("window_average",), n_windows=3)
    made = forecast_demand(model, 28, covariates)
    causes = made.causes.set_index("cause")["amount"]
    assert list(causes.index.unique()) in (["event market", "closed days"], ["closed days", "event market"])
    usual = np.delete(made.yhat[0], np.isin(made.days, np.array([*fourth, shut], "datetime64[D]"))).mean()
    assert causes["event market"] == pytest.approx(0.5 * usual, rel=0.35)
    assert causes["closed days"] == pytest.approx(-usual, rel=0.35)


def test_a_promotion_without_a_past_has_no_effect_and_says_so() -> None:
    panel = simulated(1, 2, days=200)
    start = str(panel.future_periods(1)[0])
    plan = read_plan(pd.DataFrame({"start": [start], "end": [start], "promotion": ["flyer"]}))
    model = fit_demand(panel, 7, candidates=QUICK, n_windows=3)
    with_plan, without = (forecast_demand(model, 7, f) for f in (Covariates(plan=plan), Covariates()))
    np.testing.assert_allclose(with_plan.yhat, without.yhat)
    assert any("flyer" in note and "no effect" in note for note in with_plan.notes)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"end": ["2025-01-01"], "start": ["2025-02-01"]}, "the earlier one first"),
        ({"discount": [33]}, "Write 0.2 for 20% off"),
        ({"discount": ["a third"]}, "column discount: 'a third' .row 2."),
        ({"price": ["2.500"]}, "column price: '2.500' may be 2500 or 2.500"),
        ({"discount": [None]}, "says nothing for these days"),
        ({"price": [-1]}, "above 0"),
        ({"start": ["soon"]}, "column start: 'soon' .row 2."),
        ({"start": ["3/4/2025"], "end": ["4/4/2025"]}, "the day or the month may be first"),
        ({"closed": ["perhaps"]}, "column closed: 'perhaps' .row 2."),
    ],
)
def test_an_invalid_plan_is_refused(change: dict, named: str) -> None:
    plan = pd.DataFrame({"start": ["2025-01-01"], "end": ["2025-01-02"], "discount": [0.1]})
    with pytest.raises(UserError, match=named):
        read_plan(plan.assign(**change))


def test_a_plan_is_read_as_sales_are(tmp_path: Path) -> None:
    """By German cells, typed cells and ISO text: the same rows."""
    expected = read_plan(
        pd.DataFrame({"start": ["2025-03-01"], "end": ["2025-03-31"], "discount": [0.125], "closed": [False]})
    )
    file = tmp_path / "plan.csv"
    file.write_text("Start;End;Discount;Closed\n01.03.2025;31.03.2025;12,5%;no\n")
    pd.testing.assert_frame_equal(read_plan(file), expected)
    typed = pd.DataFrame({"start": pd.to_datetime(["2025-03-01"]), "end": pd.to_datetime(["2025-03-31"])})
    typed.assign(discount="0.125", closed=0).to_excel(tmp_path / "plan.xlsx", index=False)
    pd.testing.assert_frame_equal(read_plan(tmp_path / "plan.xlsx"), expected)
    twice = pd.concat([typed, typed]).assign(promotion="flyer")
    with pytest.raises(
        UserError, match="more than one row for '2025-03-01 on 2025-03-31 on flyer' .rows 2, 3."
    ):
        read_plan(twice)


def test_a_planned_price_without_a_usual_one_is_reported(sales: SalesData) -> None:
    """The levels have no products, so that no price is known."""
    panel = make_panel(sales, parse_levels("Category"), target="units")
    start = str(panel.future_periods(1)[0])
    plan = read_plan(pd.DataFrame({"start": [start], "end": [start], "price": ["9,99"], "Category": "Toys"}))
    model = fit_demand(panel, 7, candidates=QUICK, n_windows=3)
    notes = forecast_demand(model, 7, Covariates(plan=plan)).notes
    assert any("the price of row 2 of the plan has no effect" in note for note in notes)


def test_a_plan_for_what_was_never_sold_is_reported() -> None:
    plan = read_plan(
        pd.DataFrame(
            {"start": ["2025-03-01"], "end": ["2025-03-02"], "Product_ID": ["P9"], "discount": [0.1]}
        )
    )
    with pytest.raises(UserError, match="never sold"):
        fit_demand(simulated(1, 2, days=100), 7, Covariates(plan=plan), candidates=QUICK)


def test_revenue_is_units_at_expected_prices(sales: SalesData) -> None:
    panel = make_panel(sales, parse_levels("Category;Category,Region"), target="units")
    found = forecast_demand(fit_demand(panel, 14, candidates=QUICK, n_windows=3), 14)
    price = expected_prices(panel)
    np.testing.assert_allclose(found.revenue[panel.bottom], found.yhat[panel.bottom] * price[:, None])
    np.testing.assert_allclose(panel.summing @ found.revenue[panel.bottom], found.revenue)
    electronics = panel.category == "Electronics"
    assert price[electronics].mean() > price[panel.category == "Grocery"].mean()


def test_ordered_stock_reaches_the_service_level() -> None:
    lasted = []
    for seed in range(6):
        panel = simulated(4, 4, seed=20 + seed)
        for cutoff in (-12, -40, -68):
            past = panel.truncate(len(panel.days) + cutoff)
            made = forecast_demand(fit_demand(past, 12, candidates=("ets_seasonal",)), 12)
            orders = order_up_to_levels(made, lead_time=5, review_period=7, service_level=0.9)
            needed = panel.values[panel.bottom, len(past.days) : len(past.days) + 12].sum(1)
            lasted.extend(needed <= orders["order_up_to"])
    assert np.mean(lasted) == pytest.approx(0.9, abs=0.06)


def test_more_is_ordered_for_a_higher_service_level_and_less_with_stock(shop: DemandForecast) -> None:
    low, high = (order_up_to_levels(shop, lead_time=5, service_level=level) for level in (0.8, 0.98))
    assert (high["order_up_to"] > low["order_up_to"]).all()
    stock = pd.DataFrame({"unique_id": high["unique_id"][:1], "on_hand": [10.0], "on_order": [5.0]})
    with pytest.raises(UserError, match="no on_hand for"):
        order_up_to_levels(shop, lead_time=5, stock=stock)
    held = read_stock(stock, shop.panel, StockRules(missing="zero"))
    orders = order_up_to_levels(shop, lead_time=5, service_level=0.98, stock=held)
    assert orders["order"][0] == orders["order_up_to"][0] - 15
    assert orders["order"][1] == orders["order_up_to"][1]
    for wrong in ({"service_level": 95}, {"lead_time": -1}, {"lead_time": 100}):
        with pytest.raises(UserError):
            order_up_to_levels(shop, **{"lead_time": 5, **wrong})


def test_overrides_are_applied_recorded_and_evaluated(shop: DemandForecast, tmp_path: Path) -> None:
    day = shop.days[3]
    asked = pd.DataFrame(
        {
            "unique_id": ["Region=R0", "Region=R0/Product_ID=P1"],
            "ds": [day, day],
            "value": [200.0, 90.0],
            "author": "Ada",
        }
    )
    record_overrides(tmp_path / "overrides.db", shop, asked)
    kept = load_overrides(tmp_path / "overrides.db")
    changed = apply_overrides(shop, kept)
    coherent(changed)
    for name, value in zip(asked["unique_id"], asked["value"], strict=True):
        assert changed.yhat[shop.row(name), 3] == pytest.approx(value)
    others = shop.row("Region=R1")
    np.testing.assert_allclose(changed.yhat[others], shop.yhat[others])
    np.testing.assert_allclose(np.delete(changed.yhat, 3, 1), np.delete(shop.yhat, 3, 1), atol=1e-9)
    happened = simulated(days=428)  # what came, as if the planner had been right about the region
    happened.values[shop.row("Region=R0"), 403] = 200.0
    judged = value_added(kept, happened, "unique_id").set_index("unique_id")
    assert judged.loc["Region=R0", "wape_planner"] == 0
    assert judged.loc["Region=R0", "value_added"] > 0


def test_overrides_of_a_stored_forecast_change_its_revenue_at_its_prices(tmp_path: Path) -> None:
    """A served version keeps the revenue of its units, not the prices of the past."""
    panel = simulated(regions=2, products=1, days=120)
    prices = np.repeat([[4.0], [6.0]], 120, axis=1)
    fresh = forecast_demand(fit_demand(replace(panel, price=prices), 7, candidates=QUICK), 7)
    save_demand(fresh, tmp_path / "demand.npz")
    stored = load_demand(tmp_path / "demand.npz").forecast
    asked = pd.DataFrame({"unique_id": ["total"], "ds": [fresh.days[2]], "value": [50.0]})
    changed, changed_stored = apply_overrides(fresh, asked), apply_overrides(stored, asked)
    assert changed_stored.yhat[0, 2] == pytest.approx(50)
    assert changed_stored.revenue[0, 2] == pytest.approx(changed_stored.yhat[stored.panel.bottom, 2] @ [4, 6])
    np.testing.assert_allclose(changed_stored.revenue, changed.revenue)


# --- metrics ------------------------------------------------------------------------------------


def test_m4_weekly_has_the_published_metrics(real_data: Path) -> None:
    """Seasonal naive on the 359 series: sMAPE 9.161 and MASE 2.777, by the competition's definitions."""
    train, test = (
        pd.read_csv(real_data / f"m4_weekly_{part}.csv.gz", index_col=0) for part in ("train", "test")
    )
    errors = []
    for name, row in train.iterrows():
        history, actual = row.dropna().to_numpy(float), test.loc[name].to_numpy(float)
        naive = np.full(len(actual), history[-1])  # the competition's season of weekly data is 1
        errors.append((smape(actual, naive), mase(actual, naive, history)))
    assert np.mean(errors, 0) == pytest.approx([9.161, 2.777], abs=0.0005)


# --- the command ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sales(generate_sales(rows=6_000, seed=3), tmp_path_factory.mktemp("cli") / "sales.csv")


def test_forecast_by_levels_is_written_long(run_command: Callable, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "forecast.csv"
    words = [
        "forecast",
        source,
        "--target",
        "units",
        "--by",
        "Category",
        "--freq",
        "W",
        "--horizon",
        4,
        "--out",
        out,
    ]
    done = run_command(*words)
    assert done.returncode == 0, done.stderr
    found = pd.read_csv(out)
    bounds = [f"{side}-{level}" for level in (50, 80, 95) for side in ("lo", "hi")]
    assert list(found.columns) == ["unique_id", "ds", "yhat", "median", *bounds, "revenue"]
    assert len(found) == 4 * found["unique_id"].nunique()
    parts = found[found["unique_id"] != "total"].groupby("ds")["yhat"].sum()
    np.testing.assert_allclose(parts, found[found["unique_id"] == "total"].set_index("ds")["yhat"], atol=1e-6)


def test_forecast_takes_the_sales_of_the_served_version(run_command: Callable, trained) -> None:  # type: ignore[no-untyped-def]
    done = run_command("forecast", "--horizon", 4, "--freq", "W", "--models-dir", trained.models)
    assert done.returncode == 0, done.stderr
    assert "Champions" in done.stdout and "total" in done.stdout


def test_backtest_by_levels_tells_accuracy(run_command: Callable, source: Path) -> None:
    done = run_command("backtest", source, "--by", "Category", "--freq", "W", "--horizon", 4, "--windows", 2)
    assert done.returncode == 0, done.stderr
    for text in ("wape", "coverage", "Category", "total", "By periods ahead"):
        assert text in done.stdout


def test_order_prints_a_table(run_command: Callable, source: Path, tmp_path: Path) -> None:
    stock = tmp_path / "stock.csv"
    stock.write_text("unique_id,on_hand\nCategory=Toys,3\n")
    words = ["order", source, "--by", "Category", "--lead-time", 7, "--freq", "W", "--stock", stock]
    assert "--missing-stock" in run_command(*words).stderr
    done = run_command(*words, "--missing-stock", "zero")
    assert done.returncode == 0, done.stderr
    assert " expected " in done.stdout and "Category=Toys" in done.stdout


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--start", "2026-10-01"], "belong together"),
        (["--start", "2026-10-01", "--end", "2026-10-02", "--by", "Region"], "with levels|With levels"),
        (["--freq", "M"], "'M'"),
        (["--by", "Colour"], "Colour"),
    ],
)
def test_an_invalid_forecast_request_is_refused(
    run_command: Callable, source: Path, words: list[str], named: str
) -> None:
    place = [] if "--start" in words else [source]
    done = run_command("forecast", *place, *words)
    assert done.returncode == 2
    assert any(part in done.stderr for part in named.split("|"))


def test_a_forecast_of_an_older_release_is_refused(shop: DemandForecast, tmp_path: Path) -> None:
    """Its ranges were made otherwise: read as today's, they would be wrong without a word."""
    save_demand(shop, tmp_path / "demand.npz")
    with np.load(tmp_path / "demand.npz") as kept:
        arrays = {name: kept[name] for name in kept if name != "calibration_group"}
    np.savez_compressed(tmp_path / "older.npz", **arrays)
    with pytest.raises(UserError, match="older release.*Train again"):
        load_demand(tmp_path / "older.npz")
