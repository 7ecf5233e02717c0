"""What needs the whole source is refused where it is read in pieces, and never computed from a piece alone."""

from pathlib import Path

import pandas as pd
import pytest

from salesforecast.core.engine import LOCAL_ENGINE
from salesforecast.core.settings import UserError
from salesforecast.sales.delimited import SourceTable
from salesforecast.sales.partitions import read_partitioned_sales
from salesforecast.sales.reading import parse_prediction_rows, read_sales
from salesforecast.sales.schema import ColumnMapping, ReturnRule

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
