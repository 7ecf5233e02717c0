"Currencies that exist only as the number format of a cell."

from pathlib import Path

import openpyxl
import pandas as pd
import pytest

from salesforecast.core.settings import UserError
from salesforecast.sales.number_formats import format_currency
from salesforecast.sales.proposals import propose_mapping
from salesforecast.sales.reading import read_sales
from salesforecast.sales.schema import ColumnMapping, SourceOptions

EURO, DOLLAR, AUSTRALIAN, PLAIN = "#,##0.00 [$€-407]", '"$"#,##0.00', "[$$-C09]#,##0.00", "0.00"
DAYS = pd.date_range("2024-01-01", periods=60)


def write_book(path: Path, sheets: dict[str, list[str]], amount: float = 10.0) -> Path:
    "Write sheets with a sale a day, in the number formats given by row in turn, below a title."
    book = openpyxl.Workbook()
    book.remove(book.active)
    for k, (name, formats) in enumerate(sheets.items()):
        sheet = book.create_sheet(name)
        sheet.append(["Transaction_Date", "Product_ID", "Revenue"])
        for i, day in enumerate(DAYS):
            sheet.append([day + pd.Timedelta(days=100 * k), f"P{i % 4}", amount + i])
            sheet.cell(i + 2, 3).number_format = formats[i % len(formats)]
    book.save(path)
    return path


TOTAL = sum(10.0 + i for i in range(60))
EVEN = sum(10.0 + i for i in range(0, 60, 2))


@pytest.mark.parametrize(
    "text, code",
    [
        (EURO, "EUR"),
        (DOLLAR, "USD"),
        ("$#,##0", "USD"),
        (AUSTRALIAN, "AUD"),
        ("[$CHF-807] #,##0.00", "CHF"),
        ('#,##0.00\\ "kr"', ""),
        ("#,##0.00 [$kr-41D]", "SEK"),
        ("[$¥-411]#,##0", "JPY"),
        ("[$£-809]#,##0.00;[Red]-[$£-809]#,##0.00", "GBP"),
        ('0 "Stk"', ""),
        ("[$-409]mmm-yy", ""),
        ("0.00", ""),
    ],
)
def test_a_format_shows_a_currency(text: str, code: str) -> None:
    assert format_currency(text) == code


@pytest.mark.parametrize("formats", [[EURO], [PLAIN], [EURO, PLAIN], [DOLLAR, PLAIN]])
def test_one_currency_is_read_as_before(tmp_path: Path, formats: list[str]) -> None:
    sales = read_sales(write_book(tmp_path / "a.xlsx", {"S": formats}))
    assert sales.report.revenue_total == TOTAL and "Currency" not in sales.report.ignored_columns


@pytest.mark.parametrize("formats", [[EURO, DOLLAR], [DOLLAR, AUSTRALIAN]])
def test_a_column_in_two_currencies_stops(tmp_path: Path, formats: list[str]) -> None:
    with pytest.raises(
        UserError, match=r"'Currency' holds several currencies(.|\n)*number format of each row"
    ):
        read_sales(write_book(tmp_path / "a.xlsx", {"S": formats}))


def test_one_of_two_currencies_is_taken_or_converted(tmp_path: Path) -> None:
    path = write_book(tmp_path / "a.xlsx", {"S": [EURO, DOLLAR]})
    taken = ColumnMapping(currency_column="Currency", currency="EUR")
    assert read_sales(path, taken).report.revenue_total == EVEN
    converted = taken.model_copy(update={"rates": {"USD": 0.5}})
    assert read_sales(path, converted).report.revenue_total == pytest.approx(EVEN + 0.5 * (TOTAL - EVEN))
    proposal = propose_mapping(path)
    assert proposal.mapping.currency_column == "Currency" and proposal.mapping.currency in ("EUR", "USD")


def test_sheets_in_different_currencies_do_not_add_up(tmp_path: Path) -> None:
    path = write_book(tmp_path / "a.xlsx", {"Jan": [EURO], "Apr": [DOLLAR]})
    read = SourceOptions(sheets="all")
    with pytest.raises(UserError, match="EUR 50.0%, USD 50.0%|USD 50.0%, EUR 50.0%"):
        read_sales(path, ColumnMapping(read=read))
    mapping = ColumnMapping(read=read, currency_column="Currency", currency="USD")
    assert read_sales(path, mapping).report.revenue_total == TOTAL


def test_files_in_different_currencies_do_not_add_up(tmp_path: Path) -> None:
    write_book(tmp_path / "a.xlsx", {"S": [EURO]})
    write_book(tmp_path / "b.xlsx", {"S": [DOLLAR]}, amount=500.0)
    with pytest.raises(UserError, match="several currencies"):
        read_sales(str(tmp_path / "*.xlsx"))
    write_book(tmp_path / "b.xlsx", {"S": [EURO]}, amount=500.0)
    assert read_sales(str(tmp_path / "*.xlsx")).report.revenue_total == 2 * TOTAL + 60 * 490


def test_columns_in_one_currency_each_are_no_mixture(tmp_path: Path) -> None:
    path = write_book(tmp_path / "a.xlsx", {"S": [EURO]})
    book = openpyxl.load_workbook(path)
    for i, cell in enumerate(book["S"]["D"][:61] if book["S"].max_column > 3 else []):
        cell.value = i
    for i in range(2, 62):
        book["S"].cell(i, 4, 3.0).number_format = DOLLAR
    book["S"].cell(1, 4, "Cost USD")
    book.save(path)
    sales = read_sales(path)
    assert sales.report.revenue_total == TOTAL
