"""Rows with canonical columns: what a message says of columns that are not found."""

import pandas as pd
import pytest

from salesforecast.core.settings import UserError
from salesforecast.sales.rows import likely_columns, parse_rows
from salesforecast.sales.schema import ColumnMapping

EXPORT = [
    "Country",
    "Discount Amount",
    "Order Date",
    "Date",
    "Qty",
    "Price",
    "Total tax",
    "Net total",
    "Account",
]


@pytest.mark.parametrize(
    ("name", "likely"),
    [
        ("Transaction_Date", ["Order Date", "Date"]),
        ("Units_Sold", ["Qty"]),
        ("Unit_Price", ["Price"]),
        ("Revenue", ["Net total"]),
    ],
)
def test_a_hint_goes_by_the_words_of_a_name(name: str, likely: list[str]) -> None:
    """`Country` and `Discount Amount` hold the letters of count, `Total tax` those of total."""
    assert likely_columns(name, EXPORT) == likely


def test_a_message_names_no_column_of_another_meaning() -> None:
    cells = pd.DataFrame(
        {"Datum": ["2024-01-05"], "Country": ["DE"], "Discount Amount": ["1"], "Einzelpreis": ["2"]}
    )
    with pytest.raises(UserError) as error:
        parse_rows(cells, ColumnMapping())
    message = str(error.value)
    assert "Transaction_Date may be 'Datum'" in message
    assert "Unit_Price may be 'Einzelpreis'" in message
    assert "Units_Sold may be" not in message
    assert "Revenue may be" not in message
