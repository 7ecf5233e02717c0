"""Accuracy, bias and coverage on many generated shops, by day and by week; writes `benchmarks/shops.json`.

Forty shops of five kinds: with promotions, intermittent, with shifts of the level, with a short history, growing with a season. The
first twenty are for tuning, the others for judging what was tuned. The last horizon of each is forecast from what was known before,
by this library and by others.
"""

import argparse
import json
import warnings
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse

from benchmarks.peers import global_peer, peer_history, statistical_peers
from salesforecast.forecasting.evaluation import (
    backtest_demand,
    evaluate_backtest,
    rmsse,
    weighted_quantile_loss,
)
from salesforecast.forecasting.intervals import INTERVAL_LEVELS
from salesforecast.forecasting.panel import Panel
from salesforecast.registry.tracking import code_commit

RESULTS = Path(__file__).with_name("shops.json")
KINDS = ("promotions", "intermittent", "level shifts", "short history", "growth and season")
SHOPS, TUNING = 40, 20
PRODUCTS, CATEGORIES = 9, 3
HORIZONS = {1: 28, 7: 8}  # periods, by the days of one


def shop_kind(seed: int) -> str:
    """What is special about a shop."""
    return KINDS[seed // 2 % len(KINDS)]


def make_shop(seed: int) -> Panel:
    """Generate a shop: even seeds sell by day, odd ones by week."""
    rng, step, kind = np.random.default_rng(5000 + seed), 7 if seed % 2 else 1, shop_kind(seed)
    lengths = {1: (90, 150), 7: (40, 60)} if kind == "short history" else {1: (300, 480), 7: (110, 170)}
    past = int(rng.integers(*lengths[step]))
    days, category = past + HORIZONS[step], np.arange(PRODUCTS) % CATEGORIES
    year = np.arange(days) * step / 365.25 + rng.random()
    busy = {"promotions": 1.5, "intermittent": -1.0, "growth and season": 2.0}.get(kind, 1.1)
    log_rate = np.log(rng.lognormal(busy + (1.5 if step == 7 else 0.0), 1.0, (PRODUCTS, 1))) + np.zeros(days)
    if step == 1:
        log_rate += rng.normal(0, 0.25, (CATEGORIES, 7))[category][:, np.arange(days) % 7]
    season = rng.uniform(0.25, 0.6) if kind == "growth and season" else rng.uniform(0, 0.35)
    log_rate += season * np.sin(2 * np.pi * year) * rng.uniform(0.5, 1.5, (CATEGORIES, 1))[category]
    log_rate += rng.choice([0.0, 0.5]) * ((year % 1 > 0.93) & (year % 1 < 0.985))  # before a feast
    spread = np.sqrt(step) * np.array([0.012 * rng.uniform(0.2, 1), 0.006])
    log_rate += np.cumsum(rng.normal(0, spread[0], (1, days)), 1)
    log_rate += np.cumsum(rng.normal(0, spread[1], (PRODUCTS, days)), 1)
    log_rate += rng.normal(0, 0.0012 if kind == "growth and season" else 0.0006) * np.arange(days) * step
    if kind == "level shifts":
        for start in rng.integers(past // 2, past - 2, 2):
            log_rate[rng.random(PRODUCTS) < rng.uniform(0.2, 1), start:] += rng.normal(0, 0.5)
    if kind in ("promotions", "intermittent", "short history"):
        for row in np.flatnonzero(rng.random(PRODUCTS) < 0.7):
            apart = int(rng.integers(5, 12) if step == 7 else rng.integers(35, 80))
            for start in range(int(rng.integers(0, 40)), days, apart):
                log_rate[row, start : start + 7 // step] += np.log1p(rng.gamma(2, 0.5))
    shape = 1 / rng.uniform(0.1, 0.6)
    sold = rng.poisson(np.exp(log_rate) * rng.gamma(shape, 1 / shape, log_rate.shape)).astype(float)
    if kind == "intermittent":
        sold *= np.where(rng.random(sold.shape) < 0.2, rng.gamma(1, 3, sold.shape).round(), 1)
    if kind in ("intermittent", "short history"):
        sold[0, : int(rng.integers(0, 0.6 * past))] = 0.0  # a new product
    return _panel(sold, category, step)


def _panel(sold: np.ndarray, category: np.ndarray, step: int) -> Panel:
    """Make the panel of the total, the categories and the products."""
    names = np.array([f"C{number}" for number in category], object)
    groups = (category == np.arange(CATEGORIES)[:, None]).astype(float)
    summing = sparse.csr_matrix(np.vstack([np.ones((1, PRODUCTS)), groups, np.eye(PRODUCTS)]))
    products = np.array([str(number) for number in range(PRODUCTS)], object)
    days = np.datetime64("2023-01-02") + np.arange(sold.shape[1]) * step + (step - 1)
    values = summing @ sold
    daily = (
        pd.Series(values[0], pd.DatetimeIndex(days))
        if step == 1
        else pd.Series(dtype=float, index=pd.DatetimeIndex([]))
    )
    return Panel(
        ids=np.r_[["total"], [f"Category=C{i}" for i in range(CATEGORIES)], "Product_ID=" + products],
        days=days,
        values=values,
        step=step,
        levels=("total", "Category", "Product_ID"),
        level=np.repeat([0, 1, 2], [1, CATEGORIES, PRODUCTS]),
        summing=summing,
        keys=pd.DataFrame({"Category": names, "Product_ID": products}),
        category=names,
        target="units",
        price=np.empty((0, 0)),
        daily_total=daily,
    )


PEERS = ("SeasonalNaive", "AutoARIMA", "AutoETS", "AutoTheta", "CES", "LightGBM Tweedie")


def measure(seed: int, candidates: tuple[str, ...]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Forecast the last horizon of a shop: a row per level; and a row per level and model, the peers among them."""
    panel = make_shop(seed)
    horizon = HORIZONS[panel.step]
    ours = backtest_demand(panel, horizon, 1, candidates=candidates)
    history = peer_history(panel.truncate(len(panel.days) - horizon))
    theirs = statistical_peers(history, 7 if panel.step == 1 else 1, panel.freq, horizon).merge(
        global_peer(history, panel.step, panel.freq, horizon), on=["unique_id", "ds"], validate="one_to_one"
    )
    both = ours.merge(theirs, on=["unique_id", "ds"], validate="one_to_one")
    which = {"seed": seed, "kind": shop_kind(seed), "period": "week" if panel.step == 7 else "day"}
    compared = [
        {**which, "level": level, "model": name, **_errors(rows, name)}
        for level, rows in both.groupby("level", sort=False)
        for name in ("salesforecast", *PEERS)
    ]
    return evaluate_backtest(ours).assign(**which), pd.DataFrame(compared)


def _errors(rows: pd.DataFrame, model: str) -> dict[str, float]:
    """Return WAPE and RMSSE of a model's point forecasts, and the quantile loss of its bounds, NaN without them."""
    if model != "salesforecast":
        bounds = [f"{side}-{level}" for side in ("lo", "hi") for level in INTERVAL_LEVELS]
        own = {name: rows[f"{model}-{name}"] for name in bounds if f"{model}-{name}" in rows}
        rows = rows.drop(columns=bounds).assign(yhat=rows[model], median=rows[model], **own)
    wape = (rows["yhat"] - rows["y"]).abs().sum() / rows["y"].sum()
    has_bounds = "lo-80" in rows
    return {
        "wape": wape,
        "rmsse": rmsse(rows),
        "wql": weighted_quantile_loss(rows) if has_bounds else np.nan,
    }


def against_peers(compared: pd.DataFrame) -> dict[str, object]:
    """Divide our errors by each peer's: geometric means over shops and levels, with a bootstrap over shops."""
    table = np.log(compared.set_index(["seed", "level", "model"])[["wape", "rmsse", "wql"]]).unstack("model")
    rng, found = np.random.default_rng(0), {}
    for peer in PEERS:
        found[peer] = {}
        for measure_ in ("wape", "rmsse", "wql"):
            ratios = (table[measure_, "salesforecast"] - table[measure_, peer]).groupby("seed").mean()
            if ratios.isna().any():
                continue
            means = ratios.to_numpy()[rng.integers(0, len(ratios), (2000, len(ratios)))].mean(1)
            low, high = np.exp(np.quantile(means, [0.025, 0.975]))
            found[peer][measure_] = [round(float(x), 4) for x in (np.exp(ratios.mean()), low, high)]
    return found


def summary(rows: pd.DataFrame, compared: pd.DataFrame) -> dict[str, object]:
    """Means over shops by level, what the total was off by in sum, and our errors over those of the peers."""
    measures = ["rmsse", "wape", "median_wape", "naive_wape", "wql", "coverage_80", "coverage_95"]
    by_level = rows.groupby("level", sort=False)[measures].mean()
    total = rows.loc[rows["level"] == "total", "bias"]
    rng = np.random.default_rng(0)
    means = total.to_numpy()[rng.integers(0, len(total), (2000, len(total)))].mean(1)
    return {
        "shops": int(rows["seed"].nunique()),
        "by level": by_level.round(4).to_dict("index"),
        "bias of the total": round(float(total.mean()), 4),
        "95%": [round(float(q), 4) for q in np.quantile(means, [0.025, 0.975])],
        "absolute bias of the total": round(float(total.abs().mean()), 4),
        "against peers": against_peers(compared),
    }


def main() -> None:
    """Run, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--candidates", nargs="*", default=[], help="all built-in ones by default")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(SHOPS)), help="of the shops")
    options = parser.parse_args()
    day, code, parts = f"{datetime.now(UTC):%Y-%m-%d}", code_commit(), []
    warnings.simplefilter("ignore")  # of the peers
    for seed in options.seeds:
        parts.append(measure(seed, tuple(options.candidates)))
        columns = ["seed", "kind", "period", "level", "rmsse", "wape", "wql", "bias"]
        print(parts[-1][0][columns].round(3).to_string(index=False), flush=True)
    rows, compared = (pd.concat(part, ignore_index=True) for part in zip(*parts, strict=True))
    kinds = {"tuning": lambda seed: seed < TUNING, "judging": lambda seed: seed >= TUNING}
    found = {
        "day": day,
        "code": code,
        "candidates": options.candidates or "all",
        **{
            name: summary(rows[is_one(rows["seed"])], compared[is_one(compared["seed"])])
            for name, is_one in kinds.items()
            if is_one(rows["seed"]).any()
        },
    }
    options.out.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1), f"written to {options.out}", sep="\n")


if __name__ == "__main__":
    main()
