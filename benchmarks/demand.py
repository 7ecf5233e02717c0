"""Demand at every level beside its peers, on real shops and at scale; writes `benchmarks/demand.json`.

The files are not part of the project; `SALESFORECAST_REAL_DATA` names the folder that holds them. The peers come with the
extra `peers`, which nothing else needs.
"""

import argparse
import json
import logging
import os
import platform
import resource
import time
import warnings
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from benchmarks.orders import order_frontier
from benchmarks.peers import global_peer, statistical_peers
from salesforecast.core.optional import require
from salesforecast.forecasting.covariates import covariates_from_mapping
from salesforecast.forecasting.evaluation import (
    backtest_demand,
    evaluate_backtest,
    rmsse,
    select_coverage_rows,
    weighted_quantile_loss,
)
from salesforecast.forecasting.forecaster import fit_demand, forecast_demand
from salesforecast.forecasting.panel import Panel, make_panel, parse_levels
from salesforecast.registry.tracking import code_commit, library_versions
from salesforecast.sales.reading import read_sales
from salesforecast.sales.schema import load_mapping

RESULTS = Path(__file__).with_name("demand.json")
MAPPINGS = Path(__file__).parents[1] / "data" / "mappings"
HORIZON, WINDOWS = 28, 6
SHOPS = {"online_retail": ("Region", "GB"), "complete_journey": ("Category", "US")}
COUNTRIES = 10  # the largest of Online Retail, beside its total
LEAST_REVENUE = (
    700  # of a department of Complete Journey in its year, below which there is nothing to forecast
)


def panel_of(name: str, folder: Path, frequency: Any = None) -> tuple[Panel, Any]:
    """The series of a shop, and what is known of their days."""
    mapping = load_mapping(MAPPINGS / f"{name}.yaml")
    sales = read_sales(f"{folder / name}.csv.gz", mapping)
    panel = make_panel(sales, parse_levels(SHOPS[name][0]), frequency=frequency)
    return panel, covariates_from_mapping(panel, mapping)


def shop_products(name: str, folder: Path, frequency: Any = None, count: int = 150) -> Panel:
    """Units of randomly chosen products of a shop that were sold at least twenty times."""
    mapping = load_mapping(MAPPINGS / f"{name}.yaml")
    sales = read_sales(f"{folder / name}.csv.gz", mapping)
    product = sales.frame["Product_ID"].astype(str)
    often = product.value_counts()
    chosen = np.random.default_rng(0).permutation(np.sort(often.index[often >= 20].to_numpy(str)))[:count]
    part = replace(sales, frame=sales.frame[product.isin(chosen)].reset_index(drop=True))
    return make_panel(part, parse_levels("Product_ID"), target="units", frequency=frequency)


def compared(name: str, panel: Panel) -> np.ndarray:
    """Rows that are compared: the issue's series."""
    size = panel.values.sum(1)
    finest = panel.rows(1)
    if name == "online_retail":
        return np.r_[0, finest[np.argsort(-size[finest])[:COUNTRIES]]]
    named = np.array([not str(label).endswith("(none)") for label in panel.ids])
    return np.array([row for row in finest if size[row] > LEAST_REVENUE and named[row]])


# --- peers ------------------------------------------------------------------------------------


def peers(series: pd.DataFrame, country: str) -> pd.DataFrame:
    """Forecasts of the peers: unique_id, ds, a column each, and the bounds of those that give them."""
    parts = [global_peer(series, 1, "D", HORIZON), _trees(series), _prophet(series, country)]
    found = statistical_peers(series, 7, "D", HORIZON)
    for part in parts:
        found = found.merge(part, on=["unique_id", "ds"], validate="one_to_one")
    return found


def _trees(series: pd.DataFrame) -> pd.DataFrame:
    """LightGBM and XGBoost with plain lags."""
    import xgboost
    from mlforecast import MLForecast

    lightgbm = require("lightgbm", "peers")
    models = {
        "LightGBM": lightgbm.LGBMRegressor(verbosity=-1, n_jobs=1, random_state=0),
        "XGBoost": xgboost.XGBRegressor(n_jobs=1, random_state=0),
    }
    runner = MLForecast(models, freq="D", lags=[1, 7, 14, 28], date_features=["dayofweek", "month"])
    return runner.fit(series, static_features=[]).predict(HORIZON)


def _prophet(series: pd.DataFrame, country: str) -> pd.DataFrame:
    """Prophet with the holidays of the country."""
    prophet = require("prophet", "peers")
    found = []
    for name, rows in series.groupby("unique_id"):
        model = prophet.Prophet()
        model.add_country_holidays(country)
        model.fit(rows[["ds", "y"]])
        days = pd.date_range(rows["ds"].max(), periods=HORIZON + 1)[1:]
        found.append(model.predict(pd.DataFrame({"ds": days}))[["ds", "yhat"]].assign(unique_id=name))
    return pd.concat(found).rename(columns={"yhat": "Prophet"})


def with_peers(name: str, folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Our backtest of all series; and that of the compared ones with the peers beside it."""
    panel, covariates = panel_of(name, folder)
    ours = backtest_demand(panel, HORIZON, WINDOWS, covariates)
    chosen = panel.ids[compared(name, panel)]
    frames = []
    for cutoff, window in ours[ours["unique_id"].isin(chosen)].groupby("cutoff"):
        history = panel.to_long_frame()
        history = history[history["unique_id"].isin(chosen) & (history["ds"] <= cutoff)]
        history["unique_id"] = history["unique_id"].astype(str)
        theirs = peers(history, SHOPS[name][1])
        columns = theirs.columns.difference(["unique_id", "ds", "index"])
        theirs[columns] = theirs[columns].clip(lower=0)
        frames.append(window.merge(theirs, on=["unique_id", "ds"], validate="one_to_one"))
        print(f"{name}: {cutoff:%Y-%m-%d}", flush=True)
    return ours.assign(shop=name), pd.concat(frames, ignore_index=True).assign(shop=name)


# --- what they say ------------------------------------------------------------------------------------


def errors_of(table: pd.DataFrame, models: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Absolute errors by model, series and window, and the sales: shapes (models, series, windows) and (series, windows)."""
    keys = [table["shop"] + table["unique_id"], table.groupby("shop")["cutoff"].rank("dense")]
    errors = np.stack(
        [(table[m] - table["y"]).abs().groupby(keys).sum().unstack().to_numpy() for m in models]
    )
    return errors, table["y"].abs().groupby(keys).sum().unstack().to_numpy()


def geometric(errors: np.ndarray, sales: np.ndarray) -> np.ndarray:
    """Geometric mean over series of WAPE, by model."""
    return np.exp(np.log(errors.sum(2) / sales.sum(1)).mean(1))


def comparison(table: pd.DataFrame) -> dict[str, Any]:
    """WAPE, RMSSE and bias by model, and ours against the best single peer with a paired bootstrap over windows and series."""
    names = ["AutoARIMA", "AutoETS", "AutoTheta", "CES", "Prophet", "LightGBM Tweedie", "LightGBM", "XGBoost"]
    models = ["yhat", "median", "SeasonalNaive", *names]
    errors, sales = errors_of(table, models)
    wape = dict(zip(models, geometric(errors, sales).tolist(), strict=True))
    best = min(names, key=lambda name: wape[name])
    rng, draws = np.random.default_rng(0), []
    for _ in range(2000):
        series = rng.integers(0, errors.shape[1], errors.shape[1])
        starts = rng.integers(0, errors.shape[2], errors.shape[2] // 2)
        windows = np.concatenate([starts, (starts + 1) % errors.shape[2]])
        draws.append(geometric(errors[:, series][:, :, windows], sales[series][:, windows]))
    ratios = np.stack(draws) / np.stack(draws)[:, [models.index(best)]]
    found: dict[str, Any] = {
        "wape": {name: round(value, 4) for name, value in wape.items()},
        "best peer": best,
    }
    for name in ("yhat", "median"):
        low, high = np.quantile(ratios[:, models.index(name)], [0.025, 0.975]) - 1
        gain = wape[name] / wape[best] - 1
        found[f"{name} against the best peer"] = {
            "change": round(gain, 4),
            "95%": [round(low, 4), round(high, 4)],
        }
    found["rmsse"] = {name: round(rmsse(table, name), 4) for name in models}
    found["bias"] = {
        name: round(float((table[name] - table["y"]).sum() / table["y"].sum()), 4) for name in models
    }
    found["wql"] = round(weighted_quantile_loss(table), 4)
    by_series = pd.DataFrame((errors.sum(2) / sales.sum(1)).T.round(4), columns=models)
    labels = sorted((table["shop"] + ": " + table["unique_id"]).unique())
    found["by series"] = dict(zip(labels, by_series.to_dict("records"), strict=True))
    return found


def coverage_band(rows: pd.DataFrame, level: int) -> list[float]:
    """Bootstrap 95% band of the coverage of open days, over whole windows of whole series."""
    rows = select_coverage_rows(rows)
    held = (rows[f"lo-{level}"] <= rows["y"]) & (rows["y"] <= rows[f"hi-{level}"])
    parts = held.groupby([rows["unique_id"], rows["cutoff"]])
    hits, counts = (x.unstack(fill_value=0).to_numpy() for x in (parts.sum(), parts.size()))
    rng = np.random.default_rng(0)
    n, w = hits.shape
    draws = [np.ix_(rng.integers(0, n, n), rng.integers(0, w, w)) for _ in range(1000)]
    shares = [hits[draw].sum() / max(counts[draw].sum(), 1) for draw in draws]
    return [round(float(q), 4) for q in np.quantile(shares, [0.025, 0.975])]


def least_coverage(rows: pd.DataFrame, level: int) -> float:
    """Coverage over all series where each holds what it says, or its days without a sale, which a range from 0 cannot miss."""
    sold_nothing = (select_coverage_rows(rows)["y"] == 0).groupby(rows["unique_id"]).agg(["mean", "size"])
    return float(np.average(np.maximum(sold_nothing["mean"], level / 100), weights=sold_nothing["size"]))


def ranges(ours: pd.DataFrame) -> dict[str, Any]:
    """Coverage by level, with its bootstrap band, and accuracy; again for the series that sell on most days."""
    sold = (ours["y"] != 0).groupby(ours["unique_id"]).transform("mean") > 0.5
    parts = {str(name): rows for name, rows in ours.groupby("level", sort=False)}
    parts |= {f"{name}, sold on most days": rows[sold.loc[rows.index]] for name, rows in parts.items()}
    found = {}
    for name, rows in parts.items():
        row = evaluate_backtest(rows).iloc[0].drop("level")
        bands = {f"band_{level}": coverage_band(rows, level) for level in (80, 95)}
        figures = {**row, **{f"least_{level}": least_coverage(rows, level) for level in (80, 95)}}
        found[name] = {key: round(float(value), 4) for key, value in figures.items()} | bands
    return found


# --- scale ------------------------------------------------------------------------------------


def made_up(count: int, days: int = 730, seed: int = 0) -> Panel:
    """Poisson sales of products in twenty categories, most of them slow."""
    rng = np.random.default_rng(seed)
    category = np.sort(rng.integers(0, 20, count))
    week = np.exp(rng.normal(0, 0.2, (20, 7)))[category][:, (np.arange(days) + 2) % 7]
    mood = np.exp(np.cumsum(rng.normal(0, 0.01, (20, days)), 1) + rng.normal(0, 0.1, (20, days)))[category]
    finest = rng.poisson(rng.lognormal(0, 1.2, (count, 1)) * week * mood).astype(float)
    keys = pd.DataFrame(
        {"Category": [f"C{c:02d}" for c in category], "Product_ID": [f"P{i:05d}" for i in range(count)]}
    )
    names, code = np.unique(keys["Category"], return_inverse=True)
    by_category = sparse.csr_matrix((np.ones(count), (code, np.arange(count))))
    summing = sparse.vstack([np.ones((1, count)), by_category, sparse.identity(count)], format="csr")
    first = np.datetime64("2024-10-01")
    index = pd.date_range(str(first), periods=days)
    return Panel(
        ids=np.r_[
            ["total"], "Category=" + names.astype(object), "Product_ID=" + keys["Product_ID"].to_numpy(object)
        ],
        days=first + np.arange(days),
        values=summing @ finest,
        step=1,
        levels=("total", "Category", "Product_ID"),
        level=np.repeat([0, 1, 2], [1, len(names), count]),
        summing=summing,
        keys=keys,
        category=keys["Category"].to_numpy(object),
        target="units",
        price=np.empty((0, 0)),
        daily_total=pd.Series(finest.sum(0), index),
    )


def cost(count: int) -> dict[str, Any]:
    """Seconds to choose the champions and forecast all series with ranges, and the process's largest memory so far."""
    panel = made_up(count)
    began = time.perf_counter()
    model = fit_demand(panel, HORIZON)
    fitted = time.perf_counter()
    found = forecast_demand(model, HORIZON).to_frame()
    ended = time.perf_counter()
    assert len(found) == len(panel.ids) * HORIZON
    return {
        "series": count,
        "seconds to choose": round(fitted - began, 1),
        "seconds to forecast": round(ended - fitted, 1),
        "ms per series": round(1000 * (ended - began) / count, 1),
        "peak memory MB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "champions": {champion.level: champion.name for champion in model.champions},
    }


def note(found: dict[str, Any], part: str) -> None:
    """Note on which day and with which code a part was measured."""
    found.setdefault("measured", {})[part] = {"day": f"{datetime.now(UTC):%Y-%m-%d}", "code": code_commit()}


def main() -> None:
    """Run, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument(
        "--only", choices=["peers", "scale", "orders"], help="one part; the others stay as they were"
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 1_000, 10_000])
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    for name in ("cmdstanpy", "prophet"):
        logging.getLogger(name).setLevel(logging.ERROR)
    found: dict[str, Any] = json.loads(options.out.read_text()) if options.out.exists() else {}
    found["machine"] = {"cores": os.cpu_count(), "python": platform.python_version()}
    found["libraries"] = library_versions(
        "statsforecast", "mlforecast", "hierarchicalforecast", "xgboost", "prophet", "lightgbm"
    )
    if options.only in (None, "peers"):
        ours, compared_ones = (
            pd.concat(part) for part in zip(*(with_peers(n, options.folder) for n in SHOPS), strict=True)
        )
        found["peers"] = {"horizon": HORIZON, "windows": WINDOWS, **comparison(compared_ones)}
        found["ranges"] = {name: ranges(rows) for name, rows in ours.groupby("shop", sort=False)}
        for name in SHOPS:
            panel, covariates = panel_of(name, options.folder, "weekly")
            found["ranges"][f"{name}, weekly"] = ranges(backtest_demand(panel, 4, 6, covariates))
        note(found, "peers")
        note(found, "ranges")
        options.out.write_text(json.dumps(found, indent=1) + "\n")
    if options.only in (None, "scale"):
        found["scale"] = []
        for count in options.sizes:
            found["scale"].append(cost(count))
            print(json.dumps(found["scale"][-1]), flush=True)
        note(found, "scale")
    if options.only in (None, "orders"):
        shops = {
            f"{name}, {often}": shop_products(name, options.folder, often)
            for name in SHOPS
            for often in ("daily", "weekly")
        }
        found["orders"] = order_frontier(shops)
        note(found, "orders")
    options.out.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1), f"written to {options.out}", sep="\n")


if __name__ == "__main__":
    main()
