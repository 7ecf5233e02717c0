"""Small shops that are ordinary or odd, each made by one rule: what the first training of a shop has to cope with."""

from collections.abc import Callable

import numpy as np
import pandas as pd

FIRST_DAY = "2024-01-01"  # a Monday
REVENUE_ONLY = ["Transaction_Date", "Revenue"]


def simulate_shop(
    days: int = 200,
    per_day: float = 6,  # sales on a usual day
    *,
    products: int = 8,
    categories: int = 3,
    weekly: tuple[float, ...] = (1, 0.9, 0.9, 1, 1.3, 1.6, 0.8),  # Monday first; 0 is closed
    growth: float = 0.0,  # of sales per day over the whole time, 1 doubles them
    discount: float = 0.08,  # mean share of the list price that is not paid
    returns: float = 0.0,  # share of rows that are returns
    seed: int = 0,
) -> pd.DataFrame:
    """Sales of a small shop with canonical columns; returns have negative units and revenue."""
    rng = np.random.default_rng(seed)
    day = np.arange(days)
    expected = per_day * np.array(weekly)[day % 7] * (1 + growth * day / days)
    at = np.repeat(day, rng.poisson(expected))
    product = rng.integers(0, products, len(at))
    units = rng.integers(1, 6, len(at)).astype(float)
    price = (5.0 + 3.0 * np.arange(products))[product]
    off = np.round(rng.beta(1, 1 / max(discount, 1e-9) - 1, len(at)), 2) if discount else np.zeros(len(at))
    sign = np.where(rng.random(len(at)) < returns, -1.0, 1.0)
    return pd.DataFrame(
        {
            "Transaction_Date": pd.Timestamp(FIRST_DAY) + pd.to_timedelta(at, "D"),
            "Product_ID": [f"P{number}" for number in product],
            "Category": [f"C{number % categories}" for number in product],
            "Region": [f"R{number}" for number in rng.integers(0, 2, len(at))],
            "Units_Sold": sign * units,
            "Unit_Price": price,
            "Revenue": np.round(sign * units * price * (1 - off), 2),
        }
    )


def _spiked(shop: pd.DataFrame) -> pd.DataFrame:
    """One sale that is a typing error: a billion."""
    shop.loc[len(shop) // 2, ["Units_Sold", "Unit_Price", "Revenue"]] = 1.0, 1e9, 1e9
    return shop


ODD_SHOPS: dict[str, Callable[[], pd.DataFrame]] = {
    "ordinary": simulate_shop,
    "five products only": lambda: simulate_shop(products=5, seed=1),
    "prices that never vary": lambda: simulate_shop(products=1, categories=1, discount=0, seed=2),
    "one category": lambda: simulate_shop(categories=1, seed=3),
    "two weeks": lambda: simulate_shop(days=14, seed=4),
    "weekends closed": lambda: simulate_shop(weekly=(1, 1, 1, 1, 1.2, 0, 0), seed=5),
    "one sale a week": lambda: simulate_shop(days=400, per_day=1, weekly=(0, 0, 0, 1, 0, 0, 0), seed=6),
    "new and growing": lambda: simulate_shop(days=60, growth=4, seed=7),
    "many returns": lambda: simulate_shop(returns=0.3, seed=8),
    "no discount": lambda: simulate_shop(discount=0, seed=9),
    "revenue only": lambda: simulate_shop(seed=10)[REVENUE_ONLY],
    "no prices": lambda: simulate_shop(seed=11).drop(columns="Unit_Price"),
    "constant": lambda: (
        simulate_shop(discount=0, seed=12)
        .drop_duplicates("Transaction_Date")
        .assign(Units_Sold=2.0, Unit_Price=10.0, Revenue=20.0)
    ),
    "a sale on one day in nine": lambda: simulate_shop(days=700, per_day=0.11, seed=13),
    "one day": lambda: simulate_shop(days=1, per_day=40, seed=14),
    "thirteen days": lambda: simulate_shop(days=13, per_day=20, seed=15),
    "a sale of a billion": lambda: _spiked(simulate_shop(seed=16)),
    "weekly rows": lambda: simulate_shop(days=700, per_day=3, weekly=(0, 0, 0, 0, 0, 0, 7), seed=17),
}
