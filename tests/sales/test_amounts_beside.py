"""Amounts that hold more than the sale: tax, returns, discounts as rates, cents and thousands, totals of orders."""

import numpy as np
import pandas as pd
import pytest

from salesforecast.sales.proposals import propose_mapping
from salesforecast.sales.reading import read_sales

RNG = np.random.default_rng(5)
ROWS = 200
UNITS = RNG.integers(1, 6, ROWS)
PRICE = RNG.choice([3.25, 4.5, 45.0, 189.0], ROWS)
LINE = np.round(UNITS * PRICE, 2)
RATE = RNG.choice([0, 0.1, 0.2, 0.5], ROWS)
BACK = (np.arange(ROWS) % 9 == 0).astype(int)
ORDER = 500 + np.arange(ROWS) // 2
NET = LINE * (1 - RATE)
OFF = np.round(LINE * RATE, 2)

EXPORTS = {
    "rates without the word": ({"Qty": UNITS, "Price": PRICE, "Discount": RATE}, NET),
    "percents without the word": (
        {"Qty": UNITS, "Price": PRICE, "Discount": (RATE * 100).astype(int)},
        NET,
    ),
    "money": ({"Qty": UNITS, "Price": PRICE, "Discount": OFF}, LINE - OFF),
    "units that came back": (
        {"Qty Sold": UNITS, "Qty Returned": -BACK, "Unit Price": PRICE},
        (UNITS - BACK) * PRICE,
    ),
    "gross, returns, discounts": (
        {"Qty": UNITS, "Gross Sales": LINE, "Returns": -BACK * PRICE, "Discounts": -OFF * (1 - BACK)},
        LINE - OFF * (1 - BACK) - BACK * PRICE,
    ),
    "net beside gross": (
        {"Menge": UNITS, "Preis brutto": PRICE * 1.19, "Brutto": LINE * 1.19, "Netto": LINE},
        LINE,
    ),
    "gross and tax": ({"Menge": UNITS, "Bruttobetrag": LINE * 1.19, "MwSt": LINE * 0.19}, LINE),
    "gross and its rate": ({"Menge": UNITS, "Bruttobetrag": LINE * 1.19, "MwSt-Satz": "19%"}, LINE),
    "cents": ({"quantity": UNITS, "amount_cents": (LINE * 100).round().astype(int)}, LINE),
    "price in cents": ({"quantity": UNITS, "unit_price_cents": (PRICE * 100).round().astype(int)}, LINE),
    "thousands": ({"Revenue (k€)": LINE / 1000}, LINE),
    "the order's total on each line": (
        {"Order": ORDER, "Qty": UNITS, "Total": pd.Series(LINE).groupby(ORDER).transform("sum")},
        LINE,
    ),
}


@pytest.mark.parametrize("name", EXPORTS)
def test_the_proposal_gives_the_revenue(name: str) -> None:
    columns, revenue = EXPORTS[name]
    days = pd.Timestamp("2024-01-02") + pd.to_timedelta(np.arange(ROWS) // 2, "D")
    product = pd.Series(PRICE).map({3.25: "Jam", 4.5: "Tea", 45.0: "Lamp", 189.0: "Chair"})
    export = pd.DataFrame({"Date": days.strftime("%Y-%m-%d"), "Product": product, **columns})
    read = read_sales(export, propose_mapping(export).mapping)
    assert read.frame["Revenue"].sum() == pytest.approx(float(np.sum(revenue)), rel=1e-6)


def test_the_currency_is_that_of_most_cells() -> None:
    days = pd.date_range("2024-01-01", periods=120)
    money = [f"{v:.2f} {'$' if i % 60 == 0 else '€'}" for i, v in enumerate(np.resize(LINE, 120))]
    proposal = propose_mapping(pd.DataFrame({"Date": days, "Product": "Tea", "Amount": money}))
    assert proposal.value("currency") == "€"
    assert "$ on 2% of the rows are left out" in proposal.table().set_index("key").loc["currency", "reason"]
