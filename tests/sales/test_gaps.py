"""A long run of days without a row is named, and missing to the models."""

import numpy as np
import pandas as pd
import pytest

from salesforecast.features.daily import daily_revenue
from salesforecast.features.history import add_lag_rolling_features, load_history, save_history
from salesforecast.features.preprocessing import prepare_sales
from salesforecast.forecasting.panel import make_panel
from salesforecast.forecasting.sarima.calendar import closed_weekdays, fill_missing_periods
from salesforecast.forecasting.sarima.fit import fit_sarima
from salesforecast.sales.gaps import find_gaps
from salesforecast.sales.reading import SalesData, read_sales
from salesforecast.sales.schema import ColumnMapping

GAP = ("2023-07-01", "2023-09-30")


def shop(**mapping: object) -> SalesData:
    """Two products, 50 and 150 a day, with a quarter of a year missing."""
    days = pd.date_range("2023-01-01", "2024-02-29")
    days = days[~((days >= GAP[0]) & (days <= GAP[1]))]
    noise = np.random.default_rng(0).normal(1, 0.05, len(days))
    rows = [
        pd.DataFrame({"Transaction_Date": days, "Product_ID": name, "Revenue": noise * size})
        for name, size in (("a", 50.0), ("b", 150.0))
    ]
    return read_sales(pd.concat(rows, ignore_index=True), ColumnMapping(**mapping))


def test_the_gap_is_named_with_the_key_to_set() -> None:
    report = shop().report
    assert report.gaps == [GAP]
    assert sum("no row from 2023-07-01 to 2023-09-30 (92 days)" in text for text in report.warnings) == 1
    assert any("gaps: closed" in text for text in report.warnings)
    closed = shop(gaps="closed").report
    assert closed.gaps == [] and any("gaps: missing" in text for text in closed.warnings)


def test_daily_revenue_and_sarima_take_it_as_missing() -> None:
    daily = daily_revenue(shop())[0]
    assert daily[GAP[0] : GAP[1]].isna().all() and daily.notna().sum() == len(daily) - 92
    assert (daily_revenue(shop(gaps="closed"))[0][GAP[0] : GAP[1]] == 0).all()
    state = fit_sarima(daily, horizon=7).state
    assert state.log and not state.calendar.weekdays
    assert state.forecast("2024-03-01", "2024-03-28")["predicted_revenue"].sum() == pytest.approx(
        5600, rel=0.03
    )


@pytest.mark.parametrize("frequency", ["daily", "weekly"])
def test_the_series_of_demand_are_filled_and_add_up(frequency: str) -> None:
    panel = make_panel(shop(), (("Product_ID",),), frequency=frequency)
    size = 200.0 * panel.step
    assert panel.values[0].min() > 0.8 * size
    assert np.allclose(panel.values[0], panel.values[panel.bottom].sum(0))
    closed = make_panel(shop(gaps="closed"), (("Product_ID",),), frequency=frequency)
    assert closed.values[0].min() == 0


def test_lags_after_the_gap_are_unknown(tmp_path: object) -> None:
    prepared = prepare_sales(shop())
    assert len(prepared.history.missing) == 92
    first = {"Transaction_Date": np.array(["2023-10-01", "2023-10-05"], "datetime64[D]")}
    from salesforecast.features.history import history_features

    columns = {**first, "Product_ID": pd.Series(["a", "a"])}
    features = history_features(prepared.history, columns)
    assert np.isnan(features["revenue_rollmean_7"][0]) and np.isnan(features["revenue_lag_1"][0])
    assert features["revenue_rollmean_7"][1] == pytest.approx(200, rel=0.1)
    save_history(prepared.history, tmp_path / "history.npz")  # type: ignore[operator]
    assert (load_history(tmp_path / "history.npz").missing == prepared.history.missing).all()  # type: ignore[operator]


def test_histories_without_gaps_stay_what_they_are() -> None:
    days = pd.date_range("2024-01-01", periods=40)
    frame = pd.DataFrame({"Transaction_Date": days, "Revenue": 10.0, "Units_Sold": 1.0})
    assert add_lag_rolling_features(frame, by=())["revenue_rollmean_28"].iloc[-1] == pytest.approx(10)


def test_a_shop_with_few_days_of_sales_has_no_gap_and_no_closed_weekday() -> None:
    every = np.arange(np.datetime64("2022-01-01"), np.datetime64("2024-01-01"))
    for seed in range(50):
        sold = np.random.default_rng(seed).random(len(every)) < 0.11
        assert find_gaps(every[sold], ColumnMapping()) == []
        assert closed_weekdays(sold.astype(float), (every.astype(int) + 3) % 7) == []


@pytest.mark.parametrize("closed", [[6], [5, 6], [0, 1, 2, 3], []])
def test_closed_weekdays_are_found(closed: list[int]) -> None:
    weekday = np.arange(140) % 7
    values = np.where(np.isin(weekday, closed), 0.0, 100.0)
    values[70:100] = np.nan
    assert closed_weekdays(values, weekday) == closed


def test_two_weeks_of_holidays_are_no_gap() -> None:
    days = pd.date_range("2023-01-01", "2024-12-31").to_numpy("datetime64[D]")
    away = (days >= np.datetime64("2023-12-23")) & (days <= np.datetime64("2024-01-04"))
    assert find_gaps(days[~away], ColumnMapping()) == []
    listed = ColumnMapping(closures={"works": ["2023-05-01 to 2023-06-30"]})
    works = (days >= np.datetime64("2023-05-01")) & (days <= np.datetime64("2023-06-30"))
    assert find_gaps(days[~works], listed) == [] and len(find_gaps(days[~works], ColumnMapping())) == 1


def test_filling_takes_the_same_weekdays() -> None:
    values = np.tile(np.arange(7.0), 8)[None]
    missing = np.zeros(56, bool)
    missing[20:40] = True
    assert np.allclose(fill_missing_periods(np.where(missing, 0, values), missing, 7), values)


def weekly_shop(lost: slice, weeks: int = 120, **mapping: object) -> SalesData:
    """Two products with a row a week, 50 and 150, some weeks missing."""
    days = pd.date_range("2022-01-03", periods=weeks, freq="7D").delete(range(weeks)[lost])
    noise = np.random.default_rng(0).normal(1, 0.05, len(days))
    rows = [
        pd.DataFrame({"Transaction_Date": days, "Product_ID": name, "Revenue": noise * size})
        for name, size in (("a", 50.0), ("b", 150.0))
    ]
    return read_sales(pd.concat(rows, ignore_index=True), ColumnMapping(frequency="weekly", **mapping))


def test_missing_weeks_are_named_and_missing_to_the_models() -> None:
    sales = weekly_shop(slice(60, 64))
    assert sales.report.gaps == [("2023-02-27", "2023-03-20")]
    assert any(
        "no row from 2023-02-27 to 2023-03-20 (4 weeks): taken as missing, not as weeks" in w
        for w in sales.report.warnings
    )
    revenue = daily_revenue(sales)[0]
    assert revenue["2023-02-27":"2023-03-20"].isna().all() and revenue.notna().sum() == 116
    state = fit_sarima(revenue, horizon=4).state
    assert state.forecast("2024-04-22", "2024-05-13")["predicted_revenue"].sum() == pytest.approx(
        800, rel=0.05
    )
    panel = make_panel(sales, (("Product_ID",),), frequency="weekly")
    assert panel.values[0].min() > 160


def test_one_missing_week_is_named_and_may_be_closed() -> None:
    report = weekly_shop(slice(60, 61)).report
    assert report.gaps == [("2023-02-27", "2023-02-27")] and any("(1 week)" in w for w in report.warnings)
    closed = weekly_shop(slice(60, 61), gaps="closed")
    assert closed.report.gaps == [] and (daily_revenue(closed)[0] == 0).sum() == 1


def test_weekly_rows_with_holes_everywhere_have_no_gap() -> None:
    assert weekly_shop(slice(1, None, 3)).report.gaps == []
