"""The daily forecast: exact against statsmodels, honest in the backtest, sane on odd series."""

import io
from datetime import date, timedelta
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest

from salesforecast.core.metrics import leaderboard, mase, smape
from salesforecast.core.settings import UserError
from salesforecast.features.calendar import holiday_dates
from salesforecast.forecasting.sarima.backtest import backtest
from salesforecast.forecasting.sarima.calibration import standardised_errors
from salesforecast.forecasting.sarima.fit import SarimaModel, fit_sarima
from salesforecast.forecasting.sarima.state import SarimaState, forecast_steps, update_state

BOUNDS = ["lower_95", "lower_80", "predicted_revenue", "upper_80", "upper_95"]
WEEK = np.array([1.0, 0.9, 0.9, 1.0, 1.2, 1.5, 1.1])


def daily(days: int, seed: int = 0, noise: float = 0.1, closed: int | None = None) -> pd.Series:
    """Revenue with a week, a slow drift and noise."""
    rng, index = np.random.default_rng(seed), pd.date_range("2024-01-01", periods=days, freq="D")
    week = WEEK if closed is None else np.where(np.arange(7) == closed, 0.0, WEEK)
    drift = np.cumsum(rng.normal(0, 0.01, days))
    return pd.Series(1000 * week[index.dayofweek] * np.exp(drift + rng.normal(0, noise, days)), index)


def noisy(days: int, seed: int, noise: float = 0.8) -> pd.Series:
    """Revenue with a week, no trend and much noise."""
    rng, index = np.random.default_rng(seed), pd.date_range("2024-01-01", periods=days, freq="D")
    return pd.Series(1000 * WEEK[index.dayofweek] * np.exp(rng.normal(0, noise, days)), index)


@pytest.fixture(scope="module")
def model() -> SarimaModel:
    holidays = holiday_dates("US", date(2024, 1, 1), date(2029, 1, 1))
    return fit_sarima(daily(800), holidays=holidays, events={"fair": [date(2024, 5, 1), date(2025, 5, 1)]})


def test_the_stored_state_forecasts_what_statsmodels_does(model: SarimaModel) -> None:
    days = model.state.last + np.arange(1, 91)
    sarimax, params = model.statsmodels_inputs
    exact = sarimax.filter(params, cov_type="none").get_forecast(
        90, exog=model.state.calendar.regressors(days)
    )
    mean, sd = forecast_steps(model.state, 90)
    np.testing.assert_allclose(mean, exact.predicted_mean, rtol=1e-9)
    np.testing.assert_allclose(sd, exact.se_mean, rtol=1e-9)


def test_update_is_the_kalman_filter(model: SarimaModel) -> None:
    """New days, a closed one among them, move the state as statsmodels' append does."""
    new = np.array([900.0, 0.0, 1100.0, 1250.0, 990.0])
    days = model.state.last + np.arange(1, 6)
    sarimax, params = model.statsmodels_inputs
    scaled = np.where(new > 0, np.log1p(new), np.nan)
    longer = sarimax.clone(
        np.r_[sarimax.endog[:, 0], scaled],
        exog=np.vstack([sarimax.exog, model.state.calendar.regressors(days)]),
    ).filter(params, cov_type="none")
    moved = update_state(model.state, new)
    np.testing.assert_allclose(moved.mean, longer.predicted_state[:, -1], rtol=1e-6)
    np.testing.assert_allclose(moved.past_mean[-5:], longer.filter_results.forecasts[0, -5:], rtol=1e-8)
    assert moved.last == model.state.last + np.timedelta64(5, "D")


def test_a_stored_state_is_small_and_complete(model: SarimaModel) -> None:
    stored = io.BytesIO()
    joblib.dump(model.state.to_dict(), stored, compress=3)
    assert len(stored.getvalue()) < 1_000_000
    stored.seek(0)
    again = SarimaState.from_dict(joblib.load(stored))
    asked = ("2025-12-25", "2026-06-01")
    pd.testing.assert_frame_equal(again.forecast(*asked), model.state.forecast(*asked))


def test_bounds_are_ordered_and_never_below_zero() -> None:
    noisy = fit_sarima(daily(200, noise=1.5)).state
    found = noisy.forecast(str(noisy.last_date), "2025-01-31")
    assert (found[BOUNDS] >= 0).all().all()
    assert (found[BOUNDS].diff(axis=1).iloc[:, 1:] >= 0).all().all()


def test_the_sum_of_a_noisy_series_is_forecast() -> None:
    """Median days would add up to 27 % less than what the shop takes."""
    shares = []
    for seed in range(5):
        series = noisy(400, seed)
        state = fit_sarima(series).state
        found = state.forecast(str(state.last + 1), str(state.last + 90))
        shares.append(found["predicted_revenue"].mean() / series.mean())
    assert 0.9 < np.mean(shares) < 1.1


def test_predictions_of_the_history_add_up() -> None:
    series = noisy(300, 1)
    state = fit_sarima(series).state
    found = state.forecast(str(state.first + 28), str(state.last))
    assert abs(found["predicted_revenue"].sum() / series.iloc[28:].sum() - 1) < 0.08


def test_a_state_stored_before_smearing_loads(model: SarimaModel) -> None:
    parts = model.state.to_dict()
    del parts["smearing"]
    assert SarimaState.from_dict(parts).smearing == 1


@pytest.mark.parametrize("days", [60, 119, 200])
@pytest.mark.parametrize("noise", [0.4, 0.8])
def test_a_series_without_trend_stays_level(days: int, noise: float) -> None:
    for seed in range(4):
        series = noisy(days, seed, noise)
        state = fit_sarima(series).state
        found = state.forecast(str(state.last + 1), str(state.last + 365))["predicted_revenue"]
        assert 0.5 < found[-28:].mean() / series.mean() < 1.6


def test_a_level_that_grew_is_kept_and_grows_on_no_further() -> None:
    index = pd.date_range("2024-01-01", periods=240, freq="D")
    series = noisy(240, 0, 0.15) * np.exp(np.arange(240) / 240)
    found = fit_sarima(series).state.forecast("2024-08-28", str(index[-1].date() + timedelta(365)))
    share = found["predicted_revenue"].iloc[-28:].mean() / series.iloc[-28:].mean()
    assert 0.8 < share < 1.5


def test_listed_closures_are_closed_and_teach_nothing() -> None:
    """Two weeks of August closed in 2024, other weeks planned for 2025; 15 August is a holiday."""
    series, days = daily(500), [date(2024, 8, 5) + timedelta(n) for n in range(14)]
    series["2024-08-05":"2024-08-17"] = 0.0  # the 18th had revenue, though listed
    planned = [date(2025, 7, 28) + timedelta(n) for n in range(14)]
    holidays = {date(2024, 8, 15): "Assumption", date(2025, 8, 15): "Assumption"}
    state = fit_sarima(series, holidays=holidays, closures=[*days, *planned]).state
    found = state.forecast("2024-08-01", "2025-08-31").set_index("date")[BOUNDS]
    assert (found["2024-08-05":"2024-08-17"] == 0).all().all()
    assert (found["2025-07-28":"2025-08-10"] == 0).all().all()
    assert (found["2025-08-11":"2025-08-31"] > 100).all().all() and (found.loc["2024-08-18"] > 100).all()
    table = backtest(series, horizon=28, windows=1, closures=[date(2025, 5, 1)]).set_index("ds")
    sarima = table[table["model"] == "sarima"]
    assert sarima.loc["2025-05-01", "yhat"] == 0 < sarima.loc["2025-05-02", "yhat"]


def test_weekly_rows_ignore_closures() -> None:
    index = pd.date_range("2023-01-01", periods=60, freq="W-SUN")
    series = pd.Series(1000 * np.exp(np.random.default_rng(0).normal(0, 0.05, 60)), index)
    state = fit_sarima(series, horizon=4, closures=[date(2024, 3, 3)]).state
    assert (state.forecast("2024-02-25", "2024-03-10")["predicted_revenue"] > 500).all()


def test_closed_weekdays_are_forecast_as_zero() -> None:
    state = fit_sarima(daily(300, closed=6)).state
    found = state.forecast("2024-11-01", "2024-12-31")
    closed = found["date"].dt.dayofweek == 6
    assert (found.loc[closed, BOUNDS] == 0).all().all()
    assert (found.loc[~closed, "predicted_revenue"] > 500).all()


def test_known_closed_weekdays_win_over_what_is_found() -> None:
    state = fit_sarima(daily(100), closed=[6]).state
    assert state.calendar.weekdays == (6,)


def test_a_holiday_that_closed_the_shop_closes_it_again() -> None:
    series = daily(700)
    series["2024-12-25":"2024-12-26"] = 0.0
    state = fit_sarima(series, holidays=holiday_dates("GB", date(2024, 1, 1), date(2027, 1, 1))).state
    found = state.forecast("2025-12-24", "2025-12-27").set_index("date")["predicted_revenue"]
    assert found["2025-12-25"] == 0 == found["2025-12-26"]
    assert found["2025-12-24"] > 500 and found["2025-12-27"] > 500


def test_a_holiday_on_a_closed_weekday_closes_no_other_day() -> None:
    """4 July was a Sunday in 2021, and the shop sold on the Monday that it was in 2022."""
    index = pd.date_range("2021-01-01", "2022-12-31", freq="D")
    noise = np.exp(np.random.default_rng(0).normal(0, 0.1, len(index)))
    series = pd.Series(np.where(index.dayofweek == 6, 0.0, 1000 * noise), index)
    state = fit_sarima(series, holidays=holiday_dates("US", date(2021, 1, 1), date(2024, 1, 1))).state
    found = state.forecast("2023-01-01", "2023-12-31")
    empty = found["date"][found["predicted_revenue"] == 0]
    assert (empty.dt.dayofweek == 6).all() and len(empty) == 53


def test_a_closure_moves_with_its_holiday() -> None:
    """Closed from Good Friday to Easter Monday: 29 March to 1 April 2024, 18 to 21 April 2025."""
    series = daily(450)
    series["2024-03-29":"2024-04-01"] = 0.0
    series = series[:"2024-12-31"]
    state = fit_sarima(series, holidays=holiday_dates("GB", date(2024, 1, 1), date(2026, 1, 1))).state
    found = state.forecast("2025-03-25", "2025-04-25").set_index("date")["predicted_revenue"]
    assert (found["2025-04-18":"2025-04-21"] == 0).all()
    assert (found["2025-03-25":"2025-04-17"] > 300).all() and (found["2025-04-22":] > 300).all()


def test_a_closed_day_speaks_for_its_nearest_holiday_alone() -> None:
    """24 December 2010, closed, is three days before a substitute holiday, as the open 23rd is in 2011."""
    index = pd.date_range("2010-11-01", "2011-11-30", freq="D")
    series = pd.Series(daily(len(index)).to_numpy(), index)
    series["2010-12-24":"2011-01-03"] = 0.0
    state = fit_sarima(series, holidays=holiday_dates("GB", date(2010, 11, 1), date(2012, 12, 31))).state
    found = state.forecast("2011-12-20", "2011-12-31").set_index("date")["predicted_revenue"]
    assert (found[:"2011-12-23"] > 300).all() and (found["2011-12-24":"2011-12-26"] == 0).all()


def test_a_holiday_on_a_closed_weekday_within_a_closure_is_closed() -> None:
    """Christmas was a Saturday in 2010, closed anyway, between two closed days; in 2011 it is a Sunday."""
    index = pd.date_range("2010-11-01", "2011-11-30", freq="D")
    series = pd.Series(np.where(index.dayofweek == 5, 0.0, daily(len(index)).to_numpy()), index)
    series["2010-12-24":"2011-01-03"] = 0.0
    state = fit_sarima(series, holidays=holiday_dates("GB", date(2010, 11, 1), date(2012, 12, 31))).state
    found = state.forecast("2011-12-18", "2011-12-26").set_index("date")["predicted_revenue"]
    assert found["2011-12-18"] > 300 and found["2011-12-25"] == 0


def test_the_first_days_have_no_prediction(model: SarimaModel) -> None:
    """Before the first day the filter knows nothing; later predictions are near the sales."""
    found = model.state.forecast(str(model.state.first), "2024-12-31")
    first = found["predicted_revenue"].first_valid_index()
    assert 1 <= first <= 8 and found.loc[: first - 1, BOUNDS].isna().all().all()
    assert model.state.first_predicted == found.loc[first, "date"].date()
    late = found.loc[first:, "predicted_revenue"] / daily(800).iloc[first:366].to_numpy()
    assert late.between(0.2, 5).all()


def test_invalid_spans_of_days_are_refused(model: SarimaModel) -> None:
    for start, end, says in [
        ("2026-05-01", "2026-04-01", "2026-05-01 and ends on 2026-04-01"),
        ("2023-12-31", "2026-04-01", "2023-12-31 is before"),
        ("2026-04-01", "2030-01-01", "2030-01-01 is beyond"),
        ("2026-02-30", "2026-04-01", "'2026-02-30' is no date"),
    ]:
        with pytest.raises(UserError, match=says):
            model.state.forecast(start, end)


def test_an_event_is_learnt_and_repeated() -> None:
    series, fairs = daily(700, noise=0.05), [date(2024, 5, 1), date(2024, 11, 20), date(2025, 5, 1)]
    for fair in fairs:
        series[pd.Timestamp(fair)] *= 3
    state = fit_sarima(series, events={"fair": [*fairs, date(2025, 12, 10)]}).state
    found = state.forecast("2025-12-01", "2025-12-14").set_index("date")["predicted_revenue"]
    assert found["2025-12-10"] > 1.8 * found["2025-12-03"]


@pytest.mark.parametrize("days", [21, 40, 90])
def test_short_histories(days: int) -> None:
    state = fit_sarima(daily(days)).state
    assert (state.forecast(*(str(state.last + n) for n in (1, 28)))["predicted_revenue"] > 300).all()


def test_weekly_rows() -> None:
    index = pd.date_range("2023-01-01", periods=150, freq="W-SUN")
    wave = 1000 + 300 * np.sin(2 * np.pi * np.arange(150) / 52.18)
    series = pd.Series(wave * np.exp(np.random.default_rng(0).normal(0, 0.05, 150)), index)
    model = fit_sarima(series, horizon=8)
    assert model.state.step == 7 and model.state.calendar.fourier > 0
    found = model.state.forecast("2025-11-17", "2026-02-15")
    assert found["date"].dt.dayofweek.eq(6).all() and len(found) == 13
    table = leaderboard(backtest(series, horizon=8, windows=3), series, 52)
    assert set(table["model"]) == {"sarima", "naive", "seasonal_naive", "auto_ets"}
    short = series.iloc[:35]
    assert len(backtest(short, horizon=4, windows=2)["cutoff"].unique()) == 2


@pytest.mark.parametrize("value", [0.0, 250.0])
def test_a_series_that_never_changes(value: float) -> None:
    state = fit_sarima(pd.Series(value, pd.date_range("2026-01-01", periods=60, freq="D"))).state
    assert (state.forecast("2026-03-02", "2026-03-10")[BOUNDS] - value).abs().max().max() < 1e-6


def test_one_huge_outlier_and_negative_days() -> None:
    series = daily(200)
    series.iloc[100], series.iloc[120] = 1e6, -500.0
    found = fit_sarima(series).state.forecast("2024-07-19", "2024-08-15")
    assert found["predicted_revenue"].between(200, 5000).all()


@pytest.mark.parametrize(
    ("series", "says"),
    [
        (daily(10), "at least 21"),
        (daily(60).drop(pd.Timestamp("2024-01-20")), "without gaps"),
    ],
)
def test_unusable_series_are_refused(series: pd.Series, says: str) -> None:
    with pytest.raises(UserError, match=says):
        fit_sarima(series)


def test_days_in_the_history_are_one_step_predictions(model: SarimaModel) -> None:
    """The prediction of a past day is what the model says with the days before it alone."""
    found = model.state.forecast("2025-12-25", "2026-03-15").set_index("date")
    assert found["in_history"].sum() == (model.state.last_date - date(2025, 12, 24)).days
    earlier = daily(800).iloc[:-10]
    sarimax, params = model.statsmodels_inputs
    cut = sarimax.clone(sarimax.endog[:-10, 0], exog=sarimax.exog[:-10]).filter(params, cov_type="none")
    day = earlier.index[-1] + pd.Timedelta(days=1)
    step = cut.forecast(1, exog=model.state.calendar.regressors(np.array([day], "datetime64[D]")))
    assert np.isclose(
        found.loc[day, "predicted_revenue"], model.state.smearing * np.expm1(step[0]), rtol=1e-8
    )


def test_the_backtest_knows_nothing_of_the_future() -> None:
    series = daily(260)
    other = series.copy()
    other.iloc[-28:] *= 5
    one, changed = (backtest(s, horizon=28, windows=2) for s in (series, other))
    for name in ("yhat", "lo-80", "hi-95"):
        np.testing.assert_array_equal(one[name], changed[name])
    assert not np.array_equal(one["y"], changed["y"])


def test_prediction_intervals_of_sarima_have_their_coverage() -> None:
    """On series of the model's own kind, pooled over windows and series."""
    inside = {80: [], 95: []}
    for seed in range(6):
        found = backtest(daily(400, seed), horizon=28, windows=4)
        found = found[found["model"] == "sarima"]
        for level, shares in inside.items():
            shares.append(found["y"].between(found[f"lo-{level}"], found[f"hi-{level}"]).mean())
    assert 0.72 <= np.mean(inside[80]) <= 0.88
    assert 0.90 <= np.mean(inside[95]) <= 0.99


def test_standardised_errors_of_a_true_model_are_normal() -> None:
    state = fit_sarima(daily(300, noise=0.08)).state
    rng, values, now = np.random.default_rng(5), [], state
    for _ in range(400):
        mean, sd = forecast_steps(now, 1)
        values.append(np.expm1(rng.normal(mean[0], sd[0])))
        now = update_state(now, np.array(values[-1:]))
    z = np.concatenate(standardised_errors(state, np.array(values), horizon=1, step=1))
    assert abs(z.std() - 1) < 0.1 and abs(z.mean()) < 0.1


def test_m4_weekly_figures(real_data: Path) -> None:
    """Seasonal naive (m = 1) on M4 Weekly has published scores: sMAPE 9.161, MASE 2.777."""
    train, test = (
        pd.read_csv(real_data / f"m4_weekly_{part}.csv.gz", index_col=0) for part in ("train", "test")
    )
    scores = []
    for name, row in train.iterrows():
        history, actual = row.dropna().to_numpy(float), test.loc[name].dropna().to_numpy(float)
        predicted = np.full(len(actual), history[-1])
        scores.append((smape(actual, predicted), mase(actual, predicted, history)))
    assert np.round(np.mean(scores, axis=0), 3).tolist() == [9.161, 2.777]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("closed", [(), (5, 6)], ids=["open", "closed at weekends"])
@pytest.mark.parametrize("level", [0.0, 70.0, 7e9 / 3])
def test_a_series_that_never_changes_is_forecast_as_it_is_without_a_warning(
    closed: tuple[int, ...], level: float
) -> None:
    """Two years, enough for Fourier terms; the sums of a day differ in their last bit, as sums of floats do."""
    days = pd.date_range("2023-01-01", "2024-12-31")
    series = pd.Series(level * (1 + 1e-15 * (np.arange(len(days)) % 2)), days)
    series[days.weekday.isin(closed)] = 0.0
    model = fit_sarima(series)
    assert model.notes == ("the series never changes",)
    ahead = pd.date_range("2025-01-01", periods=14).weekday
    expected = np.where(ahead.isin(closed), 0.0, level)
    np.testing.assert_allclose(
        model.state.forecast("2025-01-01", "2025-01-14")["predicted_revenue"], expected, rtol=1e-9, atol=1e-6
    )
    tested = backtest(series, horizon=14, windows=3)
    tested = tested[tested["model"] == "sarima"]
    assert len(tested) == 42
    np.testing.assert_allclose(tested["yhat"], tested["y"], rtol=1e-9, atol=1e-6)
