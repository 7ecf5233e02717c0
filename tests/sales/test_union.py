"""Several sheets or files as one source."""

from datetime import datetime
from pathlib import Path

import pandas as pd
import pytest

from salesforecast.core.settings import UserError
from salesforecast.sales.reading import read_sales
from salesforecast.sales.schema import ColumnMapping, SourceOptions
from salesforecast.sales.sources import load_table

ALL = ColumnMapping(read=SourceOptions(sheets="all"))


def month(number: int) -> pd.DataFrame:
    """Sales of ten days, worth 10 × (1 + … + 10) × the month."""
    days = pd.date_range(f"2026-{number:02}-01", periods=10)
    return pd.DataFrame(
        {"Transaction_Date": days, "Product_ID": "A", "Revenue": [10.0 * i * number for i in range(1, 11)]}
    )


@pytest.fixture
def book(tmp_path: Path) -> Path:
    """A book with a sheet a month, the columns of one in another order, and a summary."""
    path = tmp_path / "months.xlsx"
    with pd.ExcelWriter(path) as out:
        month(1).to_excel(out, sheet_name="Jan", index=False)
        month(2)[["Revenue", "Transaction_Date", "Product_ID"]].to_excel(out, sheet_name="Feb", index=False)
        pd.DataFrame({"Month": ["Jan", "Feb"], "Total": [550, 1100]}).to_excel(
            out, sheet_name="Summary", index=False
        )
    return path


def test_all_sheets_of_the_same_columns(book: Path) -> None:
    sales = read_sales(book, ALL)
    assert sales.frame["Revenue"].sum() == 1650
    assert sales.frame.index.tolist() == [*range(102, 112), *range(202, 212)]
    assert any("2 sheets are read as one table" in note for note in sales.report.warnings)
    assert any("Summary" in note and "other columns" in note for note in sales.report.warnings)


def test_sheets_by_name(book: Path) -> None:
    one = ColumnMapping(read=SourceOptions(sheets=("Feb",)))
    assert read_sales(book, one).frame["Revenue"].sum() == 1100
    with pytest.raises(UserError, match="Did you mean 'Feb'"):
        read_sales(book, ColumnMapping(read=SourceOptions(sheets=("Jan", "Febr"))))
    with pytest.raises(UserError, match="different columns"):
        read_sales(book, ColumnMapping(read=SourceOptions(sheets=("Jan", "Summary"))))


def test_sheets_of_the_same_columns_are_asked_for(book: Path) -> None:
    with pytest.raises(UserError, match=r"2 sheets with the same columns.*read: \{sheets: all\}"):
        read_sales(book)


def test_a_folder_and_a_pattern(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        month(number).to_csv(tmp_path / f"2026-{number:02}.csv", index=False)
    (tmp_path / ".hidden").write_text("no table")
    assert read_sales(tmp_path).frame["Revenue"].sum() == 3300
    assert read_sales(str(tmp_path / "2026-0[12].csv")).frame["Revenue"].sum() == 1650
    assert read_sales(tmp_path / "*3.csv").frame["Revenue"].sum() == 1650
    with pytest.raises(UserError, match="No file fits"):
        read_sales(tmp_path / "2025-*.csv")


def test_files_of_other_kinds_are_one_pattern(tmp_path: Path) -> None:
    month(1).to_csv(tmp_path / "a.csv", index=False)
    month(2).to_excel(tmp_path / "b.xlsx", index=False)
    month(3).to_parquet(tmp_path / "c.parquet", index=False)
    assert read_sales(tmp_path / "*").frame["Revenue"].sum() == 3300
    with pytest.raises(UserError, match="other files beside Parquet"):
        read_sales(tmp_path)


def test_a_copy_is_refused(tmp_path: Path) -> None:
    month(1).to_csv(tmp_path / "a.csv", index=False)
    pd.concat([month(1), month(2)]).to_csv(tmp_path / "b.csv", index=False)
    with pytest.raises(UserError, match=r"'a.csv' and 'b.csv' hold 10 equal rows.*twice"):
        read_sales(tmp_path)


def test_a_column_that_a_file_lacks_is_told(tmp_path: Path) -> None:
    month(1).assign(Region="North").to_csv(tmp_path / "a.csv", index=False)
    month(2).to_csv(tmp_path / "b.csv", index=False)
    sales = read_sales(tmp_path)
    assert "the file 'b.csv' has no column 'Region'; it is empty there" in sales.report.warnings
    assert sales.report.missing["Region"] == 10


def test_a_line_with_a_problem_keeps_its_number(tmp_path: Path) -> None:
    month(1).to_csv(tmp_path / "a.csv", index=False)
    month(2).to_csv(tmp_path / "b.csv", index=False)
    with (tmp_path / "b.csv").open("a") as file:
        file.write("too,few\n")
    assert load_table(tmp_path, SourceOptions()).problems == {212: "2 cells instead of 3"}


def test_a_merged_cell_holds_for_its_rows(tmp_path: Path) -> None:
    import openpyxl

    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(["Transaction_Date", "Product_ID", "Revenue"])
    for i in range(6):
        sheet.append([datetime(2026, 1, 1 + i // 3), "A", 10])
    for first in (2, 5):
        sheet.merge_cells(f"A{first}:A{first + 2}")
    sheet.merge_cells("C2:C4")  # an amount of three rows is there once
    book.save(tmp_path / "merged.xlsx")
    cells = load_table(tmp_path / "merged.xlsx", SourceOptions()).cells
    assert [str(day)[:10] for day in cells["Transaction_Date"]] == ["2026-01-01"] * 3 + ["2026-01-02"] * 3
    assert (cells["Revenue"] == 10).sum() == 4
