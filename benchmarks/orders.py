"""Order quantities by simulation: the share of spans that the stock lasts, and the stock that it takes, beside peers.

From each of several cutoffs every series is forecast, and raised to the level that is to last for lead time and review
with the asked probability; then comes the demand that really followed.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from scipy import sparse, stats

from salesforecast.forecasting.forecaster import fit_demand, forecast_demand
from salesforecast.forecasting.orders import order_up_to_levels
from salesforecast.forecasting.panel import Panel

SERVICE = (0.9, 0.95, 0.98)
KINDS = ("busy", "slow", "lumpy")
CANDIDATES = ("window_average", "ets_seasonal", "tsb")


def order_shop(seed: int, step: int = 1, count: int = 90) -> Panel:
    """Generate busy, slow and lumpy products, a third each, with a season, a week and demand shocks in common."""
    rng, days = np.random.default_rng(seed), 1095 if step == 1 else 200
    kind = np.repeat(np.arange(3), count // 3)
    year = 1 + 0.2 * np.sin(2 * np.pi * np.arange(days) * step / 365 + rng.uniform(0, 6))
    week = np.exp(rng.normal(0, 0.2, 7))[np.arange(days) % 7] if step == 1 else np.ones(days)
    mood = np.cumsum(rng.normal(0, 0.008 * np.sqrt(step), (10, days)), 1)[rng.integers(0, 10, count)]
    level = np.where(kind == 0, rng.lognormal(2, 0.7, count), rng.lognormal(-2.3, 0.8, count)) * step
    rate = level[:, None] * year * week * np.exp(mood) * rng.gamma(4, 0.25, (count, days))
    often = rng.uniform(0.01, 0.06, (count, 1)) * step**0.7 * year
    size = rng.lognormal(1.8, 0.6, (count, 1))
    lump = (rng.random((count, days)) < often) * (
        1 + rng.negative_binomial(1.5, 1 / (1 + size / 1.5), (count, days))
    )
    finest = np.where((kind == 2)[:, None], lump, rng.poisson(rate)).astype(float)
    first = np.datetime64("2023-01-02") + (step - 1)
    name = np.array([f"Product_ID={KINDS[k]}{i:03d}" for i, k in enumerate(kind)], object)
    daily = pd.Series(finest.sum(0), pd.date_range(str(first), periods=days))
    return Panel(
        ids=np.r_[np.array(["total"], object), name],
        days=first + np.arange(days) * step,
        values=np.vstack([finest.sum(0), finest]),
        step=step,
        levels=("total", "Product_ID"),
        level=np.r_[0, np.ones(count, int)],
        summing=sparse.csr_matrix(np.vstack([np.ones(count), np.eye(count)])),
        keys=pd.DataFrame({"Product_ID": [str(i)[11:] for i in name]}),
        category=np.array([KINDS[k] for k in kind], object),
        target="units",
        price=np.empty((0, 0)),
        daily_total=daily if step == 1 else pd.Series(dtype=float, index=pd.DatetimeIndex([])),
    )


def demand_kind(values: np.ndarray, span: int) -> np.ndarray:
    """Name series by their past spans: lumpy where the variance is over three times the mean and most periods are 0, else slow or busy."""
    sums = np.cumsum(values, 1)
    sums = sums[:, span:] - sums[:, :-span]
    mean = sums.mean(1)
    rare = (values == 0).mean(1) > 0.5
    lumpy = rare & (sums.var(1) > 3 * mean)
    return np.where(lumpy, "lumpy", np.where(rare, "slow", "busy"))


def _croston(values: np.ndarray, span: int) -> np.ndarray:
    """Forecast a span by the Syntetos-Boylan approximation with smoothing 0.1."""
    rates = np.zeros(len(values))
    for row, series in enumerate(values):
        sold = np.flatnonzero(series)
        if len(sold):
            gaps = np.diff(np.r_[-1, sold])
            size, gap = series[sold[0]], gaps.mean()
            for amount, pause in zip(series[sold], gaps, strict=True):
                size, gap = size + 0.1 * (amount - size), gap + 0.1 * (pause - gap)
            rates[row] = 0.95 * size / gap
    return rates * span


def peer_levels(
    values: np.ndarray,  # history, shape (k, t)
    expected: np.ndarray,  # forecast of the span, shape (k,)
    errors: np.ndarray,  # of the forecast in cross-validation, summed over spans, shape (k, cutoffs)
    span: int,
    year: int,  # periods of a year
    service: float,
) -> dict[str, np.ndarray]:
    """Levels of the peers: quantile of last year's spans, normal errors about the forecast, negative binomial about Croston's."""
    sums = np.cumsum(np.concatenate([np.zeros((len(values), 1)), values], 1), 1)
    past = (sums[:, span:] - sums[:, :-span])[:, -year:]
    rate = np.maximum(_croston(values, span), 1e-6)
    variance = np.maximum(past.var(1), 1.05 * rate)
    normal = expected + stats.norm.ppf(service) * np.sqrt((errors**2).mean(1))
    return {
        "empirical quantile": np.quantile(past, service, axis=1),
        "normal": np.ceil(np.maximum(normal, 0.0)),
        "Croston, negative binomial": stats.nbinom.ppf(service, rate**2 / (variance - rate), rate / variance),
    }


def simulate_orders(
    panel: Panel,
    lead_time: int = 7,
    review_period: int = 7,
    windows: int = 6,
    candidates: Sequence[str] = CANDIDATES,
    kinds: Callable[[np.ndarray, int], np.ndarray] = demand_kind,
) -> pd.DataFrame:
    """Compute achieved service and stock by kind of series, asked service and method, over cutoffs two spans apart."""
    span, year = -(-(lead_time + review_period) // panel.step), 364 // panel.step
    rows, frames = np.arange(panel.bottom.start, panel.bottom.stop), []
    for back in range(windows):
        count = len(panel.days) - span - 2 * span * back
        past, values = panel.truncate(count), panel.values[rows, :count]
        model = fit_demand(past, max(span, 28 // panel.step), candidates=candidates, n_windows=4)
        forecast = forecast_demand(model, max(span, 28 // panel.step))
        errors = model.errors[rows].reshape(len(rows), len(model.cutoffs), -1)[..., :span].sum(2)
        demand, kind = panel.values[rows, count : count + span].sum(1), kinds(values, span)
        most = None
        for service in SERVICE:
            orders = order_up_to_levels(
                forecast, lead_time=lead_time, review_period=review_period, service_level=service
            )
            most = orders["most_sold"].to_numpy() if "most_sold" in orders else most
            expected = orders["expected"].to_numpy()
            levels = {"product": orders["order_up_to"].to_numpy()}
            levels |= peer_levels(values, expected, errors, span, year, service)
            for method, level in levels.items():
                frames.append(
                    pd.DataFrame(
                        {
                            "kind": kind,
                            "asked": service,
                            "method": method,
                            "achieved": demand <= level,
                            "filled": np.minimum(demand, level),
                            "demand": demand,
                            "stock": level,
                            "above the most ever": level > most if most is not None else np.nan,
                        }
                    )
                )
    table = pd.concat(frames).groupby(["kind", "asked", "method"], sort=False)
    found = table.agg(
        achieved=("achieved", "mean"),
        filled=("filled", "sum"),
        demand=("demand", "sum"),
        stock=("stock", "sum"),
        above=("above the most ever", "mean"),
    )
    found["fill rate"] = found["filled"] / found["demand"].clip(lower=1e-9)
    found["stock"] /= windows
    return found[["achieved", "fill rate", "stock", "above"]].reset_index()


def order_frontier(panels: dict[str, Panel]) -> dict[str, list[dict[str, object]]]:
    """Simulate orders of the generated shops, daily and weekly, and of the given ones."""
    shops = {"generated, daily": order_shop(0), "generated, weekly": order_shop(1, step=7), **panels}
    return {name: simulate_orders(panel).round(4).to_dict("records") for name, panel in shops.items()}
