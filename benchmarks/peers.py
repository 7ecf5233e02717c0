"""Forecasts of other libraries, as their documentation shows them; they come with the extras `train` and `peers`."""

import numpy as np
import pandas as pd

from salesforecast.core.optional import require
from salesforecast.forecasting.intervals import INTERVAL_LEVELS
from salesforecast.forecasting.panel import Panel

LAGS = {1: [1, 2, 3, 7, 14, 21, 28], 7: [1, 2, 3, 4, 8, 13]}  # of the global model, by the days of a period
MEANS = {1: (7, 28), 7: (4, 13)}  # periods
DATES = {1: ["dayofweek", "month", "day"], 7: ["month", "week"]}
YEAR_WEEKS = 52


def peer_history(panel: Panel) -> pd.DataFrame:
    """Return a panel's history in the columns that the peers take: unique_id, ds, y."""
    history = panel.to_long_frame()[["unique_id", "ds", "y"]]
    return history.assign(unique_id=history["unique_id"].astype(str), y=history["y"].clip(lower=0))


def statistical_peers(series: pd.DataFrame, season: int, freq: str, horizon: int) -> pd.DataFrame:
    """Forecast by the automatic models of statsforecast, with the bounds that they give; not below 0."""
    sf, models = require("statsforecast", "train"), require("statsforecast.models", "train")
    chosen = [
        models.SeasonalNaive(season),
        models.AutoARIMA(season_length=season),
        models.AutoETS(season_length=season),
        models.AutoTheta(season_length=season),
        models.AutoCES(season_length=season),
    ]
    runner = sf.StatsForecast(chosen, freq=freq, fallback_model=models.SeasonalNaive(season))
    found = runner.forecast(df=series, h=horizon, level=list(INTERVAL_LEVELS))
    return _not_negative(found)


def global_peer(series: pd.DataFrame, step: int, freq: str, horizon: int) -> pd.DataFrame:
    """Forecast by one LightGBM over all series: Tweedie loss, lags, means, the calendar and the series as features."""
    from mlforecast import MLForecast
    from mlforecast.lag_transforms import RollingMean

    lightgbm = require("lightgbm", "peers")
    model = lightgbm.LGBMRegressor(
        objective="tweedie",
        tweedie_variance_power=1.3,
        n_estimators=300,
        learning_rate=0.05,
        subsample=0.8,
        subsample_freq=1,
        colsample_bytree=0.8,
        verbosity=-1,
        n_jobs=1,
        random_state=0,
    )
    has_two_years = step == 7 and series["ds"].nunique() > 1.5 * YEAR_WEEKS
    runner = MLForecast(
        {"LightGBM Tweedie": model},
        freq=freq,
        lags=[*LAGS[step], *([YEAR_WEEKS] if has_two_years else [])],
        lag_transforms={1: [RollingMean(count) for count in MEANS[step]]},
        date_features=DATES[step],
    )
    known = series.assign(series=series["unique_id"].astype("category"))
    return _not_negative(runner.fit(known, static_features=["series"]).predict(horizon))


def _not_negative(forecasts: pd.DataFrame) -> pd.DataFrame:
    """Cut forecasts off at 0."""
    columns = forecasts.columns.difference(["unique_id", "ds"])
    return forecasts.assign(**{name: np.maximum(forecasts[name], 0.0) for name in columns})
