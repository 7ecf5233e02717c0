"""Order quantities by simulation: how often the stock lasts and what it takes, beside peers.

Shops are run for twelve weeks at a time: each review raises every product to the level that is to last for lead time and
review with the asked probability; then comes the demand that really followed. What cannot be delivered waits. A cycle is
the time from one delivery to the next; its service is kept where nothing waits. All methods see the same history, the
same forecast and the same demand.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import sparse, stats

from salesforecast.forecasting.forecaster import fit_demand, forecast_demand
from salesforecast.forecasting.order_policy import fill_rate_levels
from salesforecast.forecasting.panel import Panel
from salesforecast.forecasting.span_demand import (
    PastForecasts,
    demand_quantiles,
    estimate_span_demand,
    span_distribution,
)

SERVICE = (0.8, 0.85, 0.9, 0.95, 0.98, 0.99, 0.995)  # asked of every method, to draw the frontier
REPORTED = (0.9, 0.95, 0.98)
PATTERNS = ("busy", "slow", "lumpy", "trending", "seasonal", "promotional", "new")
CANDIDATES = ("window_average", "ets_seasonal", "tsb")
REVIEWS = 12  # in a run
TEST_SEEDS, TUNE_SEEDS = (1000, 1001, 1002), (0, 1, 2, 3)

# --- shops ------------------------------------------------------------------------------------


def order_shop(seed: int, step: int = 1, each: int = 24, patterns: tuple[str, ...] = PATTERNS) -> Panel:
    """Generate products of every pattern, with a season, a week and demand shocks in common; days are 1, weeks 7."""
    rng, days, count = np.random.default_rng(seed), 1095 if step == 1 else 1470, each * len(patterns)
    pattern, day = np.repeat(np.array(patterns), each), np.arange(days)
    year = 1 + rng.uniform(0.1, 0.3) * np.sin(2 * np.pi * day / 365 + rng.uniform(0, 6))
    week = np.exp(rng.normal(0, 0.2, 7))[day % 7]
    mood = np.cumsum(rng.normal(0, 0.008, (10, days)), 1)[rng.integers(0, 10, count)]
    level = np.where(pattern == "slow", rng.lognormal(-2.3, 0.8, count), rng.lognormal(1.5, 0.9, count))
    rate = level[:, None] * year * week * np.exp(mood) * rng.gamma(4, 0.25, (count, days))
    rows = pattern == "trending"
    rate[rows] *= np.exp(
        rng.choice([-1, 1], (rows.sum(), 1)) * rng.uniform(0.1, 0.5, (rows.sum(), 1)) * (day - days) / 365
    )
    rows = pattern == "seasonal"
    peak = np.cos(2 * np.pi * (day - rng.uniform(0, 365, (rows.sum(), 1))) / 365)
    rate[rows] *= np.exp(rng.uniform(0.5, 1.2, (rows.sum(), 1)) * peak)
    for row in np.flatnonzero(pattern == "promotional"):
        starts = np.arange(rng.integers(0, 60), days, rng.integers(45, 90)) + rng.integers(0, 14)
        for start in starts:
            rate[row, start : start + 7] *= rng.lognormal(0.9, 0.3)
    sold = rng.poisson(rate).astype(float)
    rows = pattern == "lumpy"
    often = rng.uniform(0.01, 0.06, (rows.sum(), 1)) * year
    size = rng.lognormal(1.8, 0.6, (rows.sum(), 1)) * np.ones(days)
    sold[rows] = (rng.random(often.shape) < often) * (1 + rng.negative_binomial(1.5, 1 / (1 + size / 1.5)))
    for row in np.flatnonzero(pattern == "new"):
        sold[row, : days - rng.integers(20, 420)] = 0
    if step == 7:
        sold = sold.reshape(count, -1, 7).sum(2)
    return _panel(sold, pattern, step)


def _panel(sold: np.ndarray, pattern: np.ndarray, step: int) -> Panel:
    """The series of a shop and their total."""
    count, periods = sold.shape
    first = np.datetime64("2022-01-03") + (step - 1)
    name = np.array([f"Product_ID={p}{i:03d}" for i, p in enumerate(pattern)], object)
    daily = pd.Series(sold.sum(0), pd.date_range(str(first), periods=periods))
    return Panel(
        ids=np.r_[np.array(["total"], object), name],
        days=first + np.arange(periods) * step,
        values=np.vstack([sold.sum(0), sold]),
        step=step,
        levels=("total", "Product_ID"),
        level=np.r_[0, np.ones(count, int)],
        summing=sparse.csr_matrix(np.vstack([np.ones(count), np.eye(count)])),
        keys=pd.DataFrame({"Product_ID": [str(i)[11:] for i in name]}),
        category=pattern.astype(object),
        target="units",
        price=np.empty((0, 0)),
        daily_total=daily if step == 1 else pd.Series(dtype=float, index=pd.DatetimeIndex([])),
    )


def demand_pattern(values: np.ndarray, span: int) -> np.ndarray:
    """Name series by their past spans: lumpy where the variance is over three times the mean and most periods are 0, else slow or busy."""
    sums = np.cumsum(values, 1)
    sums = sums[:, span:] - sums[:, :-span]
    rare = (values == 0).mean(1) > 0.5
    lumpy = rare & (sums.var(1) > 3 * sums.mean(1))
    return np.where(lumpy, "lumpy", np.where(rare, "slow", "busy"))


# --- methods ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Review:
    """What is known at a review."""

    values: np.ndarray  # sales so far, shape (k, t)
    step: int
    span: int  # periods of lead time and review
    expected: np.ndarray  # forecast of the span, shape (k,)
    before: np.ndarray  # forecast of the lead time, which is half of the span, shape (k,)
    cutoffs: tuple[int, ...]  # of cross-validation: periods before each
    forecasts: np.ndarray  # of the periods after each cutoff, shape (cutoffs, k, periods)


Method = Callable[[Review], np.ndarray]  # levels in whole units, shape (SERVICE, k)


def product_levels(review: Review) -> np.ndarray:
    """Ours."""
    past = PastForecasts(review.cutoffs, review.forecasts)
    demand = estimate_span_demand(review.values, review.step, (review.span,), past)
    rows = np.arange(len(review.values))
    levels = [demand_quantiles(demand, rows, review.expected, review.span, p)[0] for p in SERVICE]
    return np.stack([np.ceil(np.maximum(level, review.expected)) for level in levels])


def product_fill_levels(review: Review) -> np.ndarray:
    """Ours, where the asked share is a fill rate."""
    past, lead = PastForecasts(review.cutoffs, review.forecasts), review.span // 2
    demand = estimate_span_demand(review.values, review.step, (lead, review.span), past)
    rows = np.arange(len(review.values))
    whole = span_distribution(demand, rows, review.expected, review.span)
    before = span_distribution(demand, rows, review.before, lead)
    sold = review.expected - review.before
    return np.stack([fill_rate_levels(whole, before, sold, share) for share in SERVICE])


def _past_year(review: Review) -> np.ndarray:
    """Sums of the overlapping spans of the last year, shape (k, spans)."""
    sums = np.cumsum(np.concatenate([np.zeros((len(review.values), 1)), review.values], 1), 1)
    return (sums[:, review.span :] - sums[:, : -review.span])[:, -364 // review.step :]


def empirical_levels(review: Review) -> np.ndarray:
    """Quantiles of the spans of the last year."""
    return np.ceil(np.quantile(_past_year(review), SERVICE, axis=1) - 1e-9)


def normal_levels(review: Review) -> np.ndarray:
    """Normal errors about the forecast, as large as in cross-validation."""
    sold = [review.values[:, cutoff : cutoff + review.span].sum(1) for cutoff in review.cutoffs]
    errors = np.stack(sold) - review.forecasts[:, :, : review.span].sum(2)
    deviation = np.sqrt((errors**2).mean(0))
    return np.ceil(np.maximum(review.expected + stats.norm.ppf(SERVICE)[:, None] * deviation, 0.0))


def croston(values: np.ndarray) -> np.ndarray:
    """Rates by the Syntetos-Boylan approximation with smoothing 0.1, shape (k,)."""
    rates = np.zeros(len(values))
    for row, series in enumerate(values):
        sold = np.flatnonzero(series)
        if len(sold):
            gaps = np.diff(np.r_[-1, sold])
            size, gap = series[sold[0]], gaps.mean()
            for amount, pause in zip(series[sold], gaps, strict=True):
                size, gap = size + 0.1 * (amount - size), gap + 0.1 * (pause - gap)
            rates[row] = 0.95 * size / gap
    return rates


def croston_poisson_levels(review: Review) -> np.ndarray:
    """Poisson about Croston's rate."""
    rate = np.maximum(croston(review.values) * review.span, 1e-6)
    return stats.poisson.ppf(np.array(SERVICE)[:, None], rate)


def croston_binomial_levels(review: Review) -> np.ndarray:
    """Negative binomial about Croston's rate, with the variance of the last year's spans."""
    rate = np.maximum(croston(review.values) * review.span, 1e-6)
    variance = np.maximum(_past_year(review).var(1), 1.05 * rate)
    return stats.nbinom.ppf(np.array(SERVICE)[:, None], rate**2 / (variance - rate), rate / variance)


METHODS: dict[str, Method] = {
    "product": product_levels,
    "product, by fill rate": product_fill_levels,
    "empirical quantile": empirical_levels,
    "normal": normal_levels,
    "Croston, Poisson": croston_poisson_levels,
    "Croston, negative binomial": croston_binomial_levels,
}

# --- simulation ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """The reviews of twelve weeks, and the demand that followed."""

    reviews: tuple[Review, ...]
    demand: np.ndarray  # from the first review on, shape (k, periods)
    pattern: np.ndarray  # of each product
    sellable: np.ndarray  # mask of products that have sold before the first review
    lead: int  # periods
    period: int  # between reviews


def order_runs(panel: Panel, patterns: np.ndarray | None = None, most: int = 4) -> list[Run]:
    """Forecast a shop at each review: champions are chosen before the first review of a run, and forecast anew at each."""
    period, lead = 7 // panel.step, 7 // panel.step
    span, rows = period + lead, np.arange(panel.bottom.start, panel.bottom.stop)
    length, runs = REVIEWS * period, []
    count = min(most, (len(panel.days) - 180 // panel.step - span) // length)
    for back in range(count, 0, -1):
        start = len(panel.days) - span - back * length
        horizon = max(span, 28 // panel.step)
        model = fit_demand(panel.truncate(start), horizon, candidates=CANDIDATES, n_windows=4)
        cutoffs, reviews = model.cutoffs, []
        actual = np.stack([panel.values[rows, cutoff : cutoff + model.horizon] for cutoff in cutoffs])
        past = actual - model.errors[rows].reshape(len(rows), len(cutoffs), -1).transpose(1, 0, 2)
        for now in range(start, start + length, period):
            forecast = forecast_demand(replace(model, panel=panel.truncate(now)), span)
            expected, before = (forecast.yhat[rows, :count].sum(1) for count in (span, lead))
            values = np.maximum(panel.values[rows, :now], 0.0)
            reviews.append(Review(values, panel.step, span, expected, before, cutoffs, past))
        values = panel.values[rows, :start]
        pattern = demand_pattern(values, span) if patterns is None else patterns
        demand = np.maximum(panel.values[rows, start : start + length + lead], 0.0)
        runs.append(Run(tuple(reviews), demand, pattern, values.sum(1) > 0, lead, period))
    return runs


def simulate_run(run: Run, method: Method) -> pd.DataFrame:
    """Order, deliver and sell; a row per product and asked service."""
    levels = np.stack([method(review) for review in run.reviews])  # reviews, services, products
    shape = levels.shape[1:]
    stock, coming = levels[0].copy(), np.zeros((run.demand.shape[1] + run.lead + 1, *shape))
    held, short, sold = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    lasted, cycles, waits = np.zeros(shape), 0, np.zeros(shape, bool)
    for now in range(run.demand.shape[1]):
        if now % run.period == 0 and now // run.period < len(run.reviews):
            position = stock + coming[now:].sum(0)
            coming[now + run.lead] += np.maximum(levels[now // run.period] - position, 0.0)
        stock += coming[now]
        coming[now] = 0
        if now >= run.lead and (now - run.lead) % run.period == 0:
            waits = np.zeros(shape, bool)
        demand = run.demand[:, now]
        if now >= run.lead:
            missing = np.minimum(np.maximum(demand - np.maximum(stock, 0.0), 0.0), demand)
            short, sold = short + missing, sold + demand
        stock -= demand
        if now >= run.lead:
            waits = waits | (stock < 0)
            held += np.maximum(stock, 0.0)
            if (now - run.lead) % run.period == run.period - 1:
                lasted, cycles = lasted + ~waits, cycles + 1
    service, product = np.indices(shape)
    frame = {
        "pattern": run.pattern[product],
        "asked": np.array(SERVICE)[service],
        "lasted": lasted / cycles,
        "short": short,
        "sold": sold,
        "stock": held / (run.demand.shape[1] - run.lead),
        "level": levels.mean(0),
    }
    table = pd.DataFrame({name: np.ravel(value) for name, value in frame.items()})
    return table[run.sellable[product].ravel()]


def frontier(runs: list[Run], methods: dict[str, Method] = METHODS) -> pd.DataFrame:
    """Achieved cycle service, fill rate and mean stock by pattern, method and asked service."""
    frames = [
        simulate_run(run, method).assign(method=name) for run in runs for name, method in methods.items()
    ]
    table = pd.concat(frames).groupby(["pattern", "method", "asked"], sort=False)
    found = table.agg(
        products=("lasted", "size"),
        achieved=("lasted", "mean"),
        short=("short", "sum"),
        sold=("sold", "sum"),
        stock=("stock", "mean"),
        level=("level", "mean"),
    )
    found["fill rate"] = 1 - found["short"] / found["sold"].clip(lower=1e-9)
    return found[["products", "achieved", "fill rate", "stock", "level"]].reset_index()


def against_peers(found: pd.DataFrame, method: str = "product", measure: str = "achieved") -> pd.DataFrame:
    """Our rows at the reported services, each with the stock of the best peer at what we achieved."""
    rows = []
    peers = found[~found["method"].str.startswith("product")]
    for (pattern, asked), ours in found[found["method"] == method].groupby(["pattern", "asked"], sort=False):
        if asked not in REPORTED:
            continue
        row, needed = ours.iloc[0], {}
        for name, peer in peers[peers["pattern"] == pattern].groupby("method"):
            points = peer.sort_values([measure, "stock"])
            if points[measure].iloc[0] <= row[measure] <= points[measure].iloc[-1]:
                needed[name] = float(np.interp(row[measure], points[measure], points["stock"]))
        best = min(needed, key=needed.__getitem__) if needed else None
        rows.append(
            {
                **row[["pattern", "asked", "products", "achieved", "fill rate", "stock"]],
                "best peer": best,
                "its stock": needed[best] if best else np.nan,
                "stock / its": row["stock"] / needed[best] if best else np.nan,
            }
        )
    return pd.DataFrame(rows)


def order_frontier(panels: dict[str, Panel]) -> dict[str, dict[str, list[dict[str, object]]]]:
    """Simulate orders of the generated test shops, daily and weekly, and of the given ones."""
    found = {}
    for name, step in (("generated, daily", 1), ("generated, weekly", 7)):
        shops = [order_shop(seed, step) for seed in TEST_SEEDS]
        found[name] = frontier([run for shop in shops for run in order_runs(shop, shop.category)])
    found |= {name: frontier(order_runs(panel)) for name, panel in panels.items()}
    return {
        name: {
            "frontier": table.round(4).to_dict("records"),
            "against peers": _records(against_peers(table)),
            "by fill rate": _records(against_peers(table, "product, by fill rate", "fill rate")),
        }
        for name, table in found.items()
    }


def _records(table: pd.DataFrame) -> list[dict[str, object]]:
    """Rows as JSON has them."""
    return table.round(4).astype(object).where(table.notna(), None).to_dict("records")
