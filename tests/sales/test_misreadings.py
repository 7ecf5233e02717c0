"""Exports of the field whose revenue was read wrong without a word, each by its kind."""

from itertools import product

import numpy as np
import pandas as pd
import pytest

from salesforecast.sales.proposals import propose_mapping
from salesforecast.sales.reading import read_sales

DAYS, NOW = pd.date_range("2026-01-01", periods=120), pd.Timestamp("2026-06-01")
RNG = np.random.default_rng(3)
UNITS, PRICE = RNG.integers(1, 9, 120), np.round(RNG.uniform(4, 90, 120), 2)
LINE = np.round(UNITS * PRICE, 2)
GOODS = np.array(["Pan", "Lamp", "Desk", "Rug", "Vase"])[np.arange(120) % 5]


def sold(**columns: object) -> pd.DataFrame:
    """A sale a day, and these columns."""
    return pd.DataFrame({"Order Date": DAYS.astype(str), "Product": GOODS, **columns})


def read(cells: pd.DataFrame) -> float:
    """The revenue by the mapping that is proposed."""
    proposed = propose_mapping(cells)
    return float(read_sales(cells, proposed.mapping, now=NOW).frame["Revenue"].sum())


def test_a_slash_in_the_name_of_a_price_divides_nothing() -> None:
    assert read(sold(**{"Qty": UNITS, "Price/Unit": PRICE})) == pytest.approx(LINE.sum())


def test_a_price_inc_vat_is_a_price_with_tax() -> None:
    gross = np.round(PRICE * 1.2, 2)
    total = np.round(UNITS * gross, 2)
    cells = sold(**{"Qty": UNITS, "Price inc VAT": gross, "Total inc VAT": total, "VAT Rate": "20%"})
    assert read(cells) == pytest.approx((total / 1.2).sum())


@pytest.mark.parametrize("for_all", ["", "(All)", "Alle"])
def test_subtotals_of_a_single_row_are_no_sales(for_all: str) -> None:
    """Each region and month has its categories, then the sum of them, also where there is only one."""
    rows: list[tuple[str, str, str, float]] = []
    for month, region in product(
        pd.date_range("2026-01-31", periods=5, freq="ME"), ("North", "South", "West")
    ):
        categories = ["Garden", "Kitchen", "Office"][: RNG.integers(1, 4)]
        amounts = np.round(RNG.uniform(50, 900, len(categories)), 2)
        stamp = str(month.date())
        rows += [(stamp, region, name, amount) for name, amount in zip(categories, amounts, strict=True)]
        rows.append((stamp, region, for_all, round(amounts.sum(), 2)))
    cells = pd.DataFrame(rows, columns=["Date", "Region", "Category", "Sales"])
    sales = cells[cells["Category"] != for_all]
    assert (cells.groupby(["Date", "Region"]).size() == 2).any()
    assert read(cells) == pytest.approx(sales["Sales"].sum())


def test_sales_that_equal_the_sale_before_are_sales() -> None:
    """One price, and a fifth of the regions missing: no subtotals, though they equal the row above."""
    cells = sold(Region=np.where(np.arange(120) % 5 == 4, "", "North"), Sales=10.0)
    assert read(cells) == 1_200


def test_twelve_hours_behind_an_iso_date_are_read() -> None:
    times = (DAYS + pd.to_timedelta(np.arange(120) * 7 % 24, "h")).strftime("%Y-%m-%d %I:%M %p")
    cells = sold(Sales=LINE).assign(**{"Order Date": times})
    found = read_sales(cells, propose_mapping(cells).mapping, now=NOW).frame
    assert found["Revenue"].sum() == pytest.approx(LINE.sum())
    assert found["Transaction_Date"].dt.hour.nunique() == 24


@pytest.mark.parametrize(
    "name", ["Sales Tax (8.25%)", "UPS Ground Shipping", "Tip", "VAT 20%", "Standard Shipping"]
)
def test_lines_that_are_no_goods_are_left_out(name: str) -> None:
    goods = np.where(np.arange(120) % 6 == 5, name, GOODS)
    assert read(sold(Sales=LINE).assign(Product=goods)) == pytest.approx(LINE[goods != name].sum())


@pytest.mark.parametrize(
    "name", ["Tip Top Bread", "Tax Software 2026", "Express Shipping Boxes", "Iva Cream"]
)
def test_goods_that_are_called_like_a_tax_or_a_delivery_are_sales(name: str) -> None:
    goods = np.where(np.arange(120) % 6 == 5, name, GOODS)
    assert read(sold(Sales=LINE).assign(Product=goods)) == pytest.approx(LINE.sum())


@pytest.mark.parametrize(
    ("name", "state", "usual"),
    [
        ("État", "Erreur de paiement", "Livré"),
        ("Status", "RTO_COMPLETE", "DELIVERED"),
        ("cancelled_at", "2026-02-03 10:15:00", ""),
    ],
)
def test_orders_that_came_to_nothing_are_left_out(name: str, state: str, usual: str) -> None:
    states = np.where(np.arange(120) % 8 == 7, state, usual)
    assert read(sold(Sales=LINE, **{name: states})) == pytest.approx(LINE[states != state].sum())


def test_the_day_of_a_quotation_says_nothing_of_the_sale() -> None:
    quoted = np.where(np.arange(120) % 8 == 7, "2026-01-02", "")
    assert read(sold(Sales=LINE, **{"Quote Date": quoted})) == pytest.approx(LINE.sum())


def test_a_running_total_is_no_revenue() -> None:
    cells = sold(**{"Sales": LINE, "MTD Sales": np.cumsum(LINE)})
    assert read(cells) == pytest.approx(LINE.sum())
