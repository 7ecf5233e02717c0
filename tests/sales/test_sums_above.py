"""Totals above their rows, totals of orders on each line, balances, and parts that stand twice."""

import numpy as np
import pandas as pd
import pytest

from salesforecast.core.settings import UserError
from salesforecast.sales.reading import read_sales
from salesforecast.sales.schema import ColumnMapping


def shop(rows: int = 120) -> pd.DataFrame:
    """Lines of orders, two to an order."""
    rng = np.random.default_rng(11)
    units = rng.integers(1, 6, rows)
    return pd.DataFrame(
        {
            "Transaction_ID": 900 + np.arange(rows) // 2,
            "Transaction_Date": pd.Timestamp("2024-01-03") + pd.to_timedelta(np.arange(rows) // 2 * 2, "D"),
            "Product_Name": rng.choice(["Lamp", "Chair", "Rug"], rows),
            "Units_Sold": units,
            "Revenue": np.round(units * rng.choice([4.5, 32.9, 189.0], rows), 2),
        }
    )


def with_totals(sales: pd.DataFrame, above: bool, dated: bool, names: bool) -> pd.DataFrame:
    """The sales with a total of each month, above or below its rows."""
    parts = []
    for month, rows in sales.groupby(sales["Transaction_Date"].dt.strftime("%Y-%m"), sort=False):
        total = pd.DataFrame(
            {
                "Transaction_Date": [rows["Transaction_Date"].iloc[-1] if dated else pd.NaT],
                "Product_Name": [f"Month {month}" if names else "all"],
                "Units_Sold": [rows["Units_Sold"].sum()],
                "Revenue": [round(rows["Revenue"].sum(), 2)],
            }
        )
        parts += [total, rows] if above else [rows, total]
    return pd.concat(parts, ignore_index=True)


@pytest.mark.parametrize("above", [True, False])
@pytest.mark.parametrize("dated", [True, False])
@pytest.mark.parametrize("names", [True, False])
def test_totals_above_or_below_are_left_out(above: bool, dated: bool, names: bool) -> None:
    sales = shop().drop(columns="Transaction_ID")
    read = read_sales(with_totals(sales, above, dated, names))
    assert read.frame["Revenue"].sum() == pytest.approx(sales["Revenue"].sum(), abs=0.005)
    assert any("total" in note for note in read.report.warnings)


def test_a_grand_total_above_all_rows_is_left_out() -> None:
    sales = shop().drop(columns="Transaction_ID")
    first = sales.iloc[[0]].assign(
        Product_Name="everything", Units_Sold=sales["Units_Sold"].sum(), Revenue=sales["Revenue"].sum()
    )
    read = read_sales(pd.concat([first, sales], ignore_index=True))
    assert read.frame["Revenue"].sum() == pytest.approx(sales["Revenue"].sum(), abs=0.005)


@pytest.mark.parametrize("by", ["Transaction_ID", "Transaction_Date"])
def test_the_total_of_an_order_on_each_line_is_no_revenue(by: str) -> None:
    sales = shop()
    total = sales.groupby("Transaction_ID")["Revenue"].transform("sum")
    export = sales.assign(Revenue=total, Transaction_Date=sales["Transaction_Date"] + pd.Timedelta("9h"))
    export = export if by == "Transaction_ID" else export.drop(columns="Transaction_ID")
    with pytest.raises(UserError, match="total, repeated on each line"):
        read_sales(export)
    spread = ColumnMapping(columns={"Revenue": f"allocate(Revenue, {by}, 1)"})
    assert read_sales(export, spread).frame["Revenue"].sum() == pytest.approx(sales["Revenue"].sum())
    assert len(read_sales(export, ColumnMapping(odd_rows="keep")).frame) == len(sales)


def test_orders_whose_lines_differ_are_read() -> None:
    sales = shop()
    assert read_sales(sales).frame["Revenue"].sum() == pytest.approx(sales["Revenue"].sum())


def test_a_running_total_is_named() -> None:
    sales = shop().drop(columns="Transaction_ID").assign(Revenue=lambda s: s["Revenue"].cumsum())
    assert any("running total" in note for note in read_sales(sales).report.warnings)


def test_thirty_rows_that_stand_twice_are_named() -> None:
    sales = shop().drop(columns="Transaction_ID")
    export = pd.concat([sales.iloc[:80], sales.iloc[50:]], ignore_index=True)
    warnings = read_sales(export).report.warnings
    assert any("30 rows (20.0%) equal an earlier one" in note for note in warnings)
    kept = read_sales(export, ColumnMapping(duplicates="keep")).report.warnings
    assert not any("equal an earlier one" in note for note in kept)


def test_steady_growth_is_no_running_total() -> None:
    growing = shop().drop(columns="Transaction_ID").assign(Revenue=lambda s: 1000.0 + np.arange(len(s)))
    assert not any("running total" in note for note in read_sales(growing).report.warnings)


def test_rows_that_are_equal_by_chance_are_not_named_and_copies_among_them_are() -> None:
    rng = np.random.default_rng(3)
    units = rng.integers(1, 4, 2000)
    sales = pd.DataFrame(
        {
            "Transaction_Date": np.sort(rng.choice(pd.date_range("2024-01-01", periods=100), 2000)),
            "Product_ID": rng.choice(["coffee", "tea"], 2000),
            "Units_Sold": units,
            "Revenue": 2.5 * units,
        }
    )
    assert sales.duplicated().mean() > 0.5
    assert not any("equal an earlier one" in note for note in read_sales(sales).report.warnings)
    export = pd.concat([sales, sales.iloc[::10]]).sort_values("Transaction_Date", kind="stable")
    assert any("equal an earlier one" in note for note in read_sales(export).report.warnings)
