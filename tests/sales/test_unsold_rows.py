"""Rows that a column says are no sales count until the mapping says otherwise, and that is told."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from salesforecast.core.engine import LOCAL_ENGINE
from salesforecast.sales.partitions import read_partitioned_sales
from salesforecast.sales.proposals import propose_mapping
from salesforecast.sales.reading import read_sales
from salesforecast.sales.schema import ColumnMapping, ReturnRule

NOW = pd.Timestamp("2026-06-01")


def sales_with(name: str, values: list[str]) -> pd.DataFrame:
    """Sixty sales of 1 to 60, and a column of these values in turn."""
    return pd.DataFrame(
        {
            "Transaction_Date": pd.date_range("2026-01-01", periods=60).astype(str),
            "Product_ID": [f"P{number % 3}" for number in range(60)],
            "Revenue": np.arange(60) + 1,
            name: [values[number % len(values)] for number in range(60)],
        }
    )


def notes(cells: pd.DataFrame, mapping: dict[str, Any] | None = None) -> list[str]:
    """What the report says of rows that are no sales."""
    warnings = read_sales(cells, ColumnMapping(**(mapping or {})), now=NOW).report.warnings
    return [note for note in warnings if "which count as sales" in note]


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("Status", ["complete", "complete", "cancelled"], "Status is 'cancelled' in 20 of 60 rows"),
        (
            "State",
            ["paid", "paid", "paid", "refunded", "paid", "voided"],
            "State is 'refunded' or 'voided' in 20 of 60 rows",
        ),
        ("Order Status", ["paid", "paid", " Storno "], "Order Status is 'Storno' in 20 of 60 rows"),
        ("is_refunded", ["false", "false", "true"], "is_refunded is 'true' in 20 of 60 rows"),
        ("Soll/Haben", ["H", "H", "S"], "Soll/Haben is 'S' in 20 of 60 rows"),
        ("cancelled_at", ["", "", "2026-02-03 10:15:00"], "cancelled_at is filled in 20 of 60 rows"),
    ],
)
def test_a_column_that_says_that_rows_are_no_sales_is_told(name: str, values: list[str], said: str) -> None:
    cells = sales_with(name, values)
    (note,) = notes(cells)
    assert note.startswith(said)
    where = note.split('where: "')[1].split('"')[0]
    marked = {"cancelled", "refunded", "voided", " Storno ", "true", "S", "2026-02-03 10:15:00"}
    kept = cells[~cells[name].isin(marked)]
    money = 1 - kept["Revenue"].sum() / cells["Revenue"].sum()
    assert f"{money:.1%} of the revenue" in note
    sold = read_sales(cells, ColumnMapping(where=where), now=NOW)
    assert sold.frame["Revenue"].sum() == kept["Revenue"].sum()  # what it says to set does what it says
    assert notes(cells, {"where": where}) == []
    when = note.split('when: "')[1].split('"')[0]
    taken_back = read_sales(cells, ColumnMapping(returns=ReturnRule(when=when)), now=NOW)
    assert taken_back.frame["Revenue"].sum() == 2 * kept["Revenue"].sum() - cells["Revenue"].sum()


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("Status", ["complete", "paid", "shipped"]),
        ("Payment Method", ["Credit", "Debit", "Paid"]),
        ("Store", ["Returned Goods Shop", "Main Street", "Harbour"]),
        ("Size", ["S", "H"]),
        ("gift", ["yes", "no"]),
        ("is_void", ["1"]),
        ("refunded", ["no", "yes", "yes"]),
        ("Returned_Qty", ["0", "0", "1"]),
        ("Refunded_Amount", ["", "", "10.50"]),
        ("created_at", ["", "", "2026-02-03 10:15:00"]),
        ("Quote Date", ["", "", "2026-02-03"]),
        ("Note", [f"refund {number}" for number in range(30)]),
    ],
)
def test_columns_that_say_something_else_are_not(name: str, values: list[str]) -> None:
    assert notes(sales_with(name, values)) == []


def test_rows_whose_sign_says_it_and_columns_that_are_used_are_not_told() -> None:
    cells = sales_with("Status", ["complete", "complete", "refunded"])
    negative = cells.assign(Revenue=cells["Revenue"].where(cells["Status"] == "complete", -cells["Revenue"]))
    assert notes(negative, {"returns": {"when": "Revenue < 0"}}) == []
    assert notes(cells, {"features": ["Status"]}) == []


@pytest.mark.parametrize("values", [[False, False, True], [0, 0, 1], [0.0, 0.0, 1.0]])
def test_a_yes_that_is_no_text_is_told_with_a_rule_that_finds_it(values: list[float]) -> None:
    cells = sales_with("is_void", ["no"]).assign(is_void=[values[number % 3] for number in range(60)])
    (note,) = notes(cells)
    sold = read_sales(cells, ColumnMapping(where=note.split('where: "')[1].split('"')[0]), now=NOW)
    assert sold.frame["Revenue"].sum() == cells.loc[cells["is_void"] == 0, "Revenue"].sum()


def test_what_a_proposal_sets_is_not_told() -> None:
    cells = sales_with("Status", ["complete", "complete", "complete", "cancelled"])
    proposal = propose_mapping(cells)
    read = read_sales(cells, proposal.mapping, now=NOW)
    assert read.frame["Revenue"].sum() == cells.loc[cells["Status"] == "complete", "Revenue"].sum()
    assert [note for note in read.report.warnings if "which count as sales" in note] == []


def test_parts_of_a_source_add_up(tmp_path: Path) -> None:
    cells = sales_with("Status", ["complete", "complete", "cancelled"])
    cells.to_parquet(tmp_path / "sales.parquet", row_group_size=20)
    read = read_partitioned_sales(tmp_path / "sales.parquet", None, LOCAL_ENGINE, now=NOW, partition_rows=20)
    (note,) = notes(cells)
    assert note in read.report.warnings
