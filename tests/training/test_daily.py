"""The backtest of the total: the demand forecast beside SARIMA and the baselines, in the same windows."""

import pandas as pd
import pytest

from salesforecast.core.metrics import BACKTEST_COLUMNS
from salesforecast.sales.schema import ColumnMapping
from salesforecast.training.daily import add_demand_total, backtest_metrics

DAYS = pd.date_range("2026-01-05", periods=28)


def forecasts(error: float, cutoffs: tuple[int, ...], **columns: str) -> pd.DataFrame:
    """Forecast a week of days from each cutoff; each day sold 100."""
    rows = [(DAYS[cut + ahead], DAYS[cut - 1], 100.0, 100.0 + error) for cut in cutoffs for ahead in range(7)]
    frame = pd.DataFrame(rows, columns=["ds", "cutoff", "y", "yhat"]).assign(**columns)
    return frame.assign(**dict.fromkeys(("lo-80", "hi-80", "lo-95", "hi-95"), frame["yhat"]))


def test_the_total_of_the_demand_forecast_is_judged_in_the_windows_of_sarima() -> None:
    sarima = forecasts(20.0, (14, 21), unique_id="total", model="sarima")[list(BACKTEST_COLUMNS)]
    total = pd.concat([forecasts(90.0, (7,)), forecasts(10.0, (14, 21))])
    both = add_demand_total(sarima, total)
    assert list(both) == list(BACKTEST_COLUMNS)
    assert both.groupby("model", sort=False).size().to_dict() == {"demand": 14, "sarima": 14}
    metrics = backtest_metrics(both, pd.Series(100.0, DAYS), ColumnMapping())
    wapes = {name: row["wape"] for name, row in metrics.items()}
    assert wapes == pytest.approx({"demand": 0.1, "sarima": 0.2})


def test_without_a_shared_window_both_keep_theirs() -> None:
    sarima = forecasts(20.0, (14,), unique_id="total", model="sarima")[list(BACKTEST_COLUMNS)]
    both = add_demand_total(sarima, forecasts(10.0, (7,)))
    assert both.groupby("model", sort=False)["cutoff"].unique().to_dict() == {
        "demand": [DAYS[6]],
        "sarima": [DAYS[13]],
    }


def test_the_total_is_tested_on_the_days_that_sarima_was_tested_on() -> None:
    """A day without records, which SARIMA's backtest leaves out, and days further ahead than SARIMA went."""
    sarima = forecasts(20.0, (14,), unique_id="total", model="sarima")[list(BACKTEST_COLUMNS)].iloc[[0, 2, 3]]
    both = add_demand_total(sarima, forecasts(10.0, (14, 21)))
    days = both.groupby("model")["ds"].apply(list)
    assert days["demand"] == days["sarima"] == [DAYS[14], DAYS[16], DAYS[17]]


def test_sarima_is_judged_only_on_the_days_that_the_demand_forecast_has() -> None:
    """A demand forecast of three days: errors of further days, which are larger, do not count against SARIMA."""
    sarima = forecasts(20.0, (14,), unique_id="total", model="sarima")[list(BACKTEST_COLUMNS)]
    both = add_demand_total(sarima, forecasts(10.0, (14,)).iloc[:3])
    days = both.groupby("model")["ds"].apply(list)
    assert days["demand"] == days["sarima"] == [DAYS[14], DAYS[15], DAYS[16]]
