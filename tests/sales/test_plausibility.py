"""Rows are weighed by money, products, regions and days: what is rejected, and what is kept."""

from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pytest

from salesforecast.core.engine import LOCAL_ENGINE
from salesforecast.core.settings import UserError
from salesforecast.sales.partitions import read_partitioned_sales
from salesforecast.sales.plausibility import find_enormous_rows, find_price_jumps, judge_kept, read_loosely
from salesforecast.sales.reading import read_sales
from salesforecast.sales.schema import ColumnMapping

PRICES = {"pen": 2.5, "cup": 12.0, "bag": 40.0, "tent": 1299.0}


def sales_table(rows: int = 600, seed: int = 0) -> pd.DataFrame:
    """A shop of four products, of which the tent is rare and dear."""
    rng = np.random.default_rng(seed)
    product = rng.choice(list(PRICES), rows, p=[0.4, 0.35, 0.23, 0.02])
    units = rng.integers(1, 5, rows)
    price = np.array([PRICES[name] for name in product])
    return pd.DataFrame(
        {
            "Transaction_Date": pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(rows) // 4, "D"),
            "Product_ID": product,
            "Category": np.where(product == "tent", "outdoor", "home"),
            "Region": np.where(np.arange(rows) % 2, "North", "South"),
            "Units_Sold": units,
            "Unit_Price": price,
            "Revenue": units * price,
        }
    )


def unreadable(table: pd.DataFrame, where: pd.Series) -> pd.DataFrame:
    """The table with amounts that no setting reads, but a person does."""
    cells = table.astype({"Unit_Price": object, "Revenue": object})
    for name in ("Unit_Price", "Revenue"):
        cells.loc[where, name] = [f"about {value:,.2f} or so" for value in table.loc[where, name]]
    return cells


def test_few_rows_with_much_money_stop() -> None:
    table = sales_table()
    dear = table["Product_ID"] == "tent"
    assert dear.mean() < 0.03  # within the limit of rows
    with pytest.raises(UserError) as error:
        read_sales(unreadable(table, dear))
    message = str(error.value)
    assert "max_rejected_revenue_share: " in message and "max_rejected_size: " in message
    assert "max_lost: {products: 0.25}" in message and "(tent)" in message
    assert "max_lost: {categories: 0.5}" in message and "1,299.00" in message
    share = table.loc[dear, "Revenue"].sum() / table["Revenue"].sum()
    assert f"{share:.1%} of the money" in message


def test_each_limit_can_be_raised() -> None:
    table = sales_table()
    raised = ColumnMapping(
        max_rejected_revenue_share=0.9, max_rejected_size=1e6, max_lost={"products": 1, "categories": 1}
    )
    sales = read_sales(unreadable(table, table["Product_ID"] == "tent"), raised)
    lost = table.loc[table["Product_ID"] == "tent", "Revenue"].sum()
    assert sales.report.rejected_revenue == pytest.approx(lost)
    assert sales.report.rejected_revenue_share == pytest.approx(lost / table["Revenue"].sum())
    assert any("of the money" in warning for warning in sales.report.warnings)


def test_a_few_ordinary_bad_rows_pass() -> None:
    table = sales_table()
    sales = read_sales(unreadable(table, table.index.isin([5, 17, 200])))
    assert sales.report.rows_quarantined == 3


def test_a_region_that_vanishes_stops() -> None:
    table = sales_table(3000)
    table.loc[table.index[:120:3], "Region"] = "East"
    with pytest.raises(UserError, match=r"1 of 3 regions have no row left \(East\)"):
        read_sales(
            unreadable(table, table["Region"] == "East"), ColumnMapping(max_rejected_revenue_share=0.5)
        )


def test_days_that_vanish_stop() -> None:
    table = sales_table(3000)
    week = table["Transaction_Date"].between("2024-03-01", "2024-03-21")
    with pytest.raises(UserError, match="21 of 750 days have no row left"):
        read_sales(unreadable(table, week), ColumnMapping(max_rejected_revenue_share=0.5))


def test_a_day_in_the_future_is_no_lost_day() -> None:
    table = sales_table(3000)
    wrong = np.arange(5, 300, 3)
    table.loc[wrong, "Transaction_Date"] = pd.Timestamp("2195-01-01") + pd.to_timedelta(wrong, "D")
    sales = read_sales(table, ColumnMapping(max_rejected_revenue_share=0.1, max_quarantined_share=0.1))
    assert len(sales.quarantine) == len(wrong)
    assert sales.quarantine["reason"].eq("Transaction_Date is in the future").all()


def test_repeated_rows_are_no_lost_money() -> None:
    table = sales_table().assign(Transaction_ID=lambda rows: [f"T{i}" for i in range(len(rows))])
    again = pd.concat([table, table[table["Product_ID"] == "tent"]])
    assert read_sales(again).report.rejected_revenue == 0.0


@pytest.mark.parametrize("amount", [1e9, 5e6, -1e9])
def test_one_row_is_not_nearly_all_revenue(amount: float) -> None:
    table = sales_table()[["Transaction_Date", "Revenue"]]
    table.loc[100, "Revenue"] = amount
    mapping = ColumnMapping(returns={"when": "Revenue < 0"})
    with pytest.raises(UserError, match="(?s)row 102 of 2024-01-26.*odd_rows: quarantine"):
        read_sales(table, mapping)
    left_out = read_sales(table, mapping.model_copy(update={"odd_rows": "quarantine"}))
    assert left_out.quarantine["row"].tolist() == [102]
    assert left_out.report.revenue_total == pytest.approx(table["Revenue"].drop(100).sum())
    kept = read_sales(table, mapping.model_copy(update={"odd_rows": "keep"}))
    assert kept.report.revenue_total == pytest.approx(table["Revenue"].sum())
    assert any("row 102" in warning for warning in kept.report.warnings)


def test_lost_decimal_marks_stop() -> None:
    table = sales_table(2000)
    rows = table.index[table["Product_ID"] == "cup"][:30]
    table.loc[rows, "Unit_Price"] *= 100
    table = table.drop(columns="Revenue")
    with pytest.raises(UserError, match="100 times the product's usual price"):
        read_sales(table)
    assert len(read_sales(table, ColumnMapping(odd_rows="quarantine")).quarantine) == 30


def test_a_price_that_jumps_tenfold_is_named() -> None:
    table = sales_table(2000).drop(columns="Revenue")
    late = (table["Product_ID"] == "cup") & (table["Transaction_Date"] > "2024-12-01")
    table.loc[late, "Unit_Price"] *= 10
    assert any("Unit_Price of cup jumps" in warning for warning in read_sales(table).report.warnings)


def test_units_that_are_counted_otherwise_later_are_named() -> None:
    table = sales_table(2000).drop(columns=["Revenue", "Unit_Price"]).assign(Unit_Price=2.0)
    late = (table["Product_ID"] == "pen") & (table["Transaction_Date"] > "2024-09-01")
    table.loc[late, "Units_Sold"] *= 100
    assert any("Units_Sold of pen" in warning for warning in read_sales(table).report.warnings)


def test_revenue_that_is_zero_or_negative_is_refused() -> None:
    table = sales_table()[["Transaction_Date", "Revenue"]]
    with pytest.raises(UserError, match="Revenue is 0 in all 600 rows"):
        read_sales(table.assign(Revenue=0.0))


def test_ordinary_heavy_tails_pass() -> None:
    for seed in range(100):
        rng = np.random.default_rng(seed)
        assert not len(find_enormous_rows(rng.lognormal(3, 1.5, 500), 0.2))
        prices = pd.DataFrame({"Product_ID": "x", "Unit_Price": rng.lognormal(2, 1.2, 200)})
        assert find_price_jumps(prices).empty


@pytest.mark.parametrize(
    ("text", "decimal", "amount"),
    [
        ("$1,299.00", ".", 1299),
        ("1.299,00", ",", 1299),
        ("1'200.50", ".", 1200.5),
        ("1.725", ",", 1725),
        ("1.725", ".", 1.725),
    ],
)
def test_amounts_are_read_loosely(text: str, decimal: str, amount: float) -> None:
    assert read_loosely(text, decimal) == pytest.approx(amount)


def test_partitions_are_weighed_together(tmp_path: Path) -> None:
    table = sales_table()
    unreadable(table, table["Product_ID"] == "tent").astype(str).to_parquet(
        tmp_path / "a.parquet", row_group_size=100
    )
    with pytest.raises(UserError) as error:
        read_partitioned_sales(tmp_path / "a.parquet", None, LOCAL_ENGINE, partition_rows=100)
    assert "max_lost: {products: 0.25}" in str(error.value)
    table.loc[333, ["Unit_Price", "Revenue"]] = 1e9
    table.to_parquet(tmp_path / "b.parquet", row_group_size=100)
    with pytest.raises(UserError, match="row 335"):
        read_partitioned_sales(tmp_path / "b.parquet", None, LOCAL_ENGINE, partition_rows=100)


def test_a_jump_of_all_amounts_stops_in_partitions_too(tmp_path: Path) -> None:
    """Without a price, so that no product tells: as the whole file, as a sample, and in a file that is sorted by product."""
    table = sales_table(20_000).drop(columns="Unit_Price")
    table["Transaction_Date"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(20_000) // 40, "D")
    amounts = np.random.default_rng(2).lognormal(3, 0.6, 20_000)  # of a shop with many goods
    table["Revenue"] = (amounts * np.where(np.arange(20_000) < 13_000, 1, 100)).round(2)
    for name, rows in (("by_day", table), ("by_product", table.sort_values("Product_ID", kind="stable"))):
        path = tmp_path / f"{name}.parquet"
        rows.to_parquet(path, row_group_size=2_500, index=False)
        says = r"100 times as large(.|\n)*odd_rows: keep"
        with pytest.raises(UserError, match=says):
            read_sales(path)
        for most in (10**6, 15_000):
            with pytest.raises(UserError, match=says):
                read_partitioned_sales(path, None, LOCAL_ENGINE, partition_rows=2_500, max_local_rows=most)
        kept = read_partitioned_sales(
            path, ColumnMapping(odd_rows="keep"), LOCAL_ENGINE, partition_rows=2_500
        )
        assert kept.report.revenue_total == pytest.approx(rows["Revenue"].sum())


def test_an_odd_row_that_is_left_out_hides_no_jump_and_no_total() -> None:
    table = sales_table(2_000)[["Transaction_Date"]]
    table["Revenue"] = np.random.default_rng(2).lognormal(3, 0.6, 2_000)  # of a shop with many goods
    left_out = ColumnMapping(odd_rows="quarantine", returns={"when": "Revenue < 0"})

    def with_odd_row(amounts: pd.Series) -> pd.DataFrame:
        return table.assign(Revenue=amounts.where(np.arange(2_000) != 100, 5e8))

    jump = with_odd_row(table["Revenue"] * np.where(np.arange(2_000) < 1_300, 1, 100))
    says = r"100 times as large(.|\n)*odd_rows: keep"
    with pytest.raises(UserError, match=says):
        read_sales(jump, left_out)
    with pytest.raises(UserError, match=says):
        judge_kept("sales", jump, left_out, jump)  # of partitions, in which the row stays
    with pytest.raises(UserError, match="Are sales written with a minus"):
        read_sales(with_odd_row(table["Revenue"] * np.where(np.arange(2_000) % 10, -1, 1)), left_out)
    sales = read_sales(with_odd_row(table["Revenue"]), left_out)
    assert sales.report.revenue_total == pytest.approx(table["Revenue"].drop(100).sum())


@pytest.mark.parametrize("choice", ["stop", "keep", "quarantine"])
def test_odd_rows_of_partitions_are_told(
    choice: Literal["stop", "keep", "quarantine"], tmp_path: Path
) -> None:
    table = sales_table(4_000)
    table.loc[[99, 1_777], ["Unit_Price", "Revenue"]] *= 100
    table.to_parquet(tmp_path / "odd.parquet", row_group_size=500, index=False)
    mapping = ColumnMapping(odd_rows=choice, max_row_revenue_share=1)
    if choice == "stop":
        for read in (
            read_sales,
            lambda *told: read_partitioned_sales(*told, LOCAL_ENGINE, partition_rows=500),
        ):
            with pytest.raises(UserError, match=r"2 rows are not taken(.|\n)*row 101(.|\n)*row 1779"):
                read(tmp_path / "odd.parquet", mapping)
        return
    sales = read_partitioned_sales(tmp_path / "odd.parquet", mapping, LOCAL_ENGINE, partition_rows=500)
    assert sales.report.revenue_total == pytest.approx(table["Revenue"].sum())
    says = {"keep": "odd_rows: keep counts row 101", "quarantine": "2 odd rows are kept"}[choice]
    assert any(says in note for note in sales.report.warnings)
