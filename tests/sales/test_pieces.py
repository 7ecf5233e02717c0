"""What needs the whole source is refused where it is read in pieces, and never computed from a piece alone."""

from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pytest

from salesforecast.core.engine import LOCAL_ENGINE
from salesforecast.core.settings import UserError
from salesforecast.sales.delimited import SourceTable
from salesforecast.sales.partitions import read_partitioned_sales
from salesforecast.sales.reading import parse_prediction_rows, read_sales
from salesforecast.sales.schema import ColumnMapping, ReturnRule, SourceOptions

NOW = pd.Timestamp("2025-01-01")


def orders(revenue: list[str]) -> pd.DataFrame:
    """A day a row, and an order that has rows in both halves."""
    days = pd.date_range("2024-01-01", periods=len(revenue)).astype(str)
    return pd.DataFrame({"Transaction_Date": days, "order": "1", "shipping": "5", "Revenue": revenue})


@pytest.mark.parametrize(
    ("mapping", "place"),
    [
        (
            ColumnMapping(columns={"Revenue": "Revenue - allocate(shipping, order, 1)"}),
            "columns.Revenue: allocate",
        ),
        (ColumnMapping(where="first(shipping, order) == '5'"), "where: first"),
        (ColumnMapping(returns=ReturnRule(when="first(shipping, order) == '9'")), "returns.when: first"),
    ],
)
def test_functions_over_orders_are_refused_in_parts(
    mapping: ColumnMapping, place: str, tmp_path: Path
) -> None:
    source = tmp_path / "sales.parquet"
    orders(["10"] * 40).to_parquet(source, row_group_size=20)
    with pytest.raises(UserError, match=rf"{place}\(\) needs all rows of an order.*salesforecast validate"):
        read_partitioned_sales(source, mapping, LOCAL_ENGINE, now=NOW, partition_rows=20)
    assert read_sales(source, mapping, now=NOW).report.rows_accepted == 40


def test_functions_over_orders_are_refused_in_a_batch_where_the_model_needs_them() -> None:
    rows = SourceTable(
        pd.DataFrame({"qty": ["1", "2"], "order": ["1", "1"], "fee": ["4", ""]}, index=[2, 3]), {}, []
    )
    price = ColumnMapping(columns={"Units_Sold": "qty", "Unit_Price": "allocate(fee, order, qty)"})
    with pytest.raises(UserError, match="columns.Unit_Price: allocate.*salesforecast predict"):
        parse_prediction_rows(rows, price, {"Units_Sold", "Unit_Price"})
    assert len(parse_prediction_rows(rows, price, {"Units_Sold"}).frame) == 2


def test_parts_in_different_currencies_are_not_added(tmp_path: Path) -> None:
    source = tmp_path / "sales.parquet"
    orders(["$5.00"] * 20 + ["5.00 €"] * 20).to_parquet(source, row_group_size=20)
    with pytest.raises(UserError, match=r"'Revenue' are in \$ in one part .* and in EUR in another"):
        read_partitioned_sales(source, None, LOCAL_ENGINE, now=NOW, partition_rows=20)
    orders(["$5.00"] * 40).to_parquet(source, row_group_size=20)
    sales = read_partitioned_sales(source, None, LOCAL_ENGINE, now=NOW, partition_rows=20)
    assert sales.report.revenue_total == 200


@pytest.mark.parametrize(
    "halves", [("{} CR", "{} DR"), ("{} DR", "{}.00"), ("{}.00", "Cr {}"), ("({}) DR", "{} CR")]
)
def test_parts_that_differ_in_cr_and_dr_are_asked_for_as_the_whole_is(
    halves: tuple[str, str], tmp_path: Path
) -> None:
    amounts = [halves[i // 20].format(10 + i) for i in range(40)]
    for i, name in enumerate("ab"):
        orders(amounts[:20] if i == 0 else amounts[20:]).to_parquet(tmp_path / f"{name}.parquet")
    for mapping in (ColumnMapping(), ColumnMapping(columns={"Revenue": "Revenue * 2"})):
        for read in (
            lambda given: read_sales(tmp_path, given, now=NOW),
            lambda given: read_partitioned_sales(tmp_path, given, LOCAL_ENGINE, now=NOW),
        ):
            with pytest.raises(UserError, match=r"Revenue: .*differ in CR and DR .* read: \{negative: DR\}"):
                read(mapping)
    negative: Literal["CR", "DR"] = "DR" if "DR" in "".join(halves) else "CR"
    said = ColumnMapping(read=SourceOptions(negative=negative), returns=ReturnRule(when="Revenue < 0"))
    signs = [-1 if negative.lower() in text.lower() else 1 for text in amounts]
    truth = sum(sign * (10 + i) for i, sign in enumerate(signs))
    for sales in (
        read_sales(tmp_path, said.model_copy(update={"odd_rows": "keep"}), now=NOW),
        read_partitioned_sales(tmp_path, said.model_copy(update={"odd_rows": "keep"}), LOCAL_ENGINE, now=NOW),
    ):
        assert sales.report.revenue_total == truth


def test_parts_of_one_mark_are_read(tmp_path: Path) -> None:
    source = tmp_path / "sales.parquet"
    orders(["5.00 CR"] * 20 + ["5.00 CR"] * 19 + ["0.00"]).to_parquet(source, row_group_size=20)
    sales = read_partitioned_sales(source, None, LOCAL_ENGINE, now=NOW, partition_rows=20)
    assert sales.report.revenue_total == 39 * 5


def test_an_orders_total_on_each_line_stops_in_parts_as_well(tmp_path: Path) -> None:
    lines = pd.DataFrame(
        {
            "Transaction_ID": np.repeat(np.arange(60), 2).astype(str),
            "Transaction_Date": pd.date_range("2024-01-01", periods=60).repeat(2),
            "Product_ID": ["A", "B"] * 60,
            "Revenue": np.repeat(np.arange(60) * 3.5 + 10, 2),
        }
    )
    lines.to_parquet(tmp_path / "orders.parquet", index=False, row_group_size=40)
    source = tmp_path / "orders.parquet"
    messages = []
    for read in (
        read_sales,
        lambda path: read_partitioned_sales(path, None, LOCAL_ENGINE, partition_rows=40),
    ):
        with pytest.raises(UserError, match="the same on all lines of an order") as error:
            read(source)
        messages.append(str(error.value))
    assert messages[0] == messages[1]
    with pytest.raises(UserError, match="the same on all lines of an order"):
        read_partitioned_sales(source, None, LOCAL_ENGINE, partition_rows=40, max_local_rows=30)


def test_equal_rows_and_what_was_not_looked_for_are_told(tmp_path: Path) -> None:
    days = pd.date_range("2024-01-01", periods=100).repeat(2)
    sales = pd.DataFrame(
        {"Transaction_Date": days, "Product_ID": "A", "Revenue": np.repeat(np.arange(100.0) % 7 + 1, 2)}
    )
    sales.to_parquet(tmp_path / "equal.parquet", index=False, row_group_size=50)
    source = tmp_path / "equal.parquet"
    whole = read_sales(source).report.warnings
    parts = read_partitioned_sales(source, None, LOCAL_ENGINE, partition_rows=50).report.warnings
    assert any("100 rows (50.0%) equal an earlier one" in text for text in whole)
    assert parts[:-1] == whole and "sum of the rows above" in parts[-1]
