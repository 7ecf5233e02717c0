"""Exports that were read wrongly in silence: two header rows, a second table, marks of tills, ledgers, undone sales, home currencies."""

import csv
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from salesforecast.api.batch import mapped_tables
from salesforecast.core.settings import UserError
from salesforecast.dashboard.model.reader import UploadOptions, read_upload
from salesforecast.forecasting.inputs import read_series
from salesforecast.sales.chunks import iter_csv_tables
from salesforecast.sales.delimited import read_text
from salesforecast.sales.input_tables import read_input_table
from salesforecast.sales.numbers import parse_numbers
from salesforecast.sales.proposals import propose_columns, propose_mapping
from salesforecast.sales.reading import read_prediction_rows, read_sales
from salesforecast.sales.schema import ColumnMapping, SourceOptions

ROWS = 300
RNG = np.random.default_rng(5)
DAYS = pd.date_range("2024-01-01", periods=ROWS)
ITEM = RNG.integers(0, 5, ROWS)
UNITS = RNG.integers(1, 7, ROWS)
PRICE = np.array([4.5, 12.9, 45.0, 129.0, 1899.0])[ITEM]
MONEY = (UNITS * PRICE).round(2)
BACK = RNG.random(ROWS) < 0.08


def shop(**columns: object) -> pd.DataFrame:
    table = pd.DataFrame({"Date": DAYS.strftime("%Y-%m-%d"), "Item": np.array(list("ABCDE"))[ITEM]})
    return table.assign(**columns)


def lines_below(*header: str) -> str:
    """Sales and returns, in units and value, below a header of two rows."""
    out = io.StringIO()
    writer = csv.writer(out)
    out.write("\n".join(header) + "\n")
    for i in range(ROWS):
        returned = [UNITS[i], MONEY[i]] if BACK[i] else [0, 0]
        writer.writerow([f"{DAYS[i]:%d %b %Y}", "ABCDE"[ITEM[i]], UNITS[i], MONEY[i], *returned])
    return out.getvalue()


@pytest.mark.parametrize(
    "header",
    [
        (",,Sales,,Returns,", "Date,Item,Units,Value,Units,Value"),
        ("Date,Item,Sales,,Returns,", ",,Units,Value,Units,Value"),
        ("Sales report", "", ",,Sales,,Returns,", "Date,Item,Units,Value,Units,Value"),
    ],
    ids=["names below", "names above", "titles"],
)
def test_a_header_of_two_rows_is_joined(header: tuple[str, ...], tmp_path: Path) -> None:
    path = tmp_path / "report.csv"
    path.write_text(lines_below(*header), "utf-8")
    proposal = propose_mapping(path)
    assert any("the header has two rows" in note and "'Sales Units'" in note for note in proposal.notes)
    sales = read_sales(path, proposal.mapping)
    assert sales.frame["Revenue"].sum() == pytest.approx(MONEY.sum() - MONEY[BACK].sum())
    assert sales.frame.index[0] == len(header) + 1  # the line of the file
    with path.open("rb") as file:
        chunks = list(iter_csv_tables(file, SourceOptions(), size=4_000))
    assert len(chunks) > 1
    joined = pd.concat([chunk.cells for chunk in chunks])
    assert [*joined] == ["Date", "Item", "Sales Units", "Sales Value", "Returns Units", "Returns Value"]
    assert joined.index.tolist() == list(range(len(header) + 1, len(header) + 1 + ROWS))


@pytest.mark.parametrize("titles", [",Report,,\n", "Martin's bakery,,,\nExport of 21/11/2026,,,\n"])
def test_a_title_is_no_group_of_columns(titles: str, tmp_path: Path) -> None:
    path = tmp_path / "report.csv"
    path.write_text(titles + shop(Qty=UNITS, Amount=MONEY).to_csv(index=False), "utf-8")
    proposal = propose_mapping(path)
    assert not any("two rows" in note for note in proposal.notes)
    assert read_sales(path, proposal.mapping).frame["Revenue"].sum() == pytest.approx(MONEY.sum())


CANONICAL = {"Date": "Transaction_Date", "Item": "Product_Name", "Qty": "Units_Sold", "Amount": "Revenue"}


def write(table: pd.DataFrame, top: str, path: Path) -> None:
    """Write a table below one more row."""
    lines = [top.split(","), list(table), *table.to_numpy().tolist()]
    if path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(lines)
    else:
        pd.DataFrame(lines).to_excel(path, header=False, index=False)


@pytest.mark.parametrize("suffix", [".csv", ".xlsx"])
@pytest.mark.parametrize("top", ["Company X,,Period: January 2024,", "Sold,,Value,"])
def test_a_row_above_the_columns_that_are_wanted_is_a_title(top: str, suffix: str, tmp_path: Path) -> None:
    path, table = tmp_path / f"report{suffix}", shop(Qty=UNITS, Amount=MONEY)
    write(table, top, path)
    mapping = ColumnMapping(columns={name: column for column, name in CANONICAL.items()})
    by_mapping = read_sales(path, mapping).frame
    assert by_mapping.index[0] == 3 and len(read_prediction_rows(path, fallback=mapping).raw) == ROWS
    write(table.rename(columns=CANONICAL), top, path)
    for frame in (by_mapping, read_sales(path).frame):
        assert frame["Revenue"].sum() == pytest.approx(MONEY.sum())


def test_a_title_in_parts_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "report.csv"
    mapping = ColumnMapping(columns={name: column for column, name in CANONICAL.items()})
    write(shop(Qty=UNITS, Amount=MONEY), "Company X,,Period: January 2024,", path)
    with path.open("rb") as file:
        pieces = [piece.table.cells for piece in mapped_tables(file, path.name, mapping, 2**20)]
    assert [*pieces[0]] == [*CANONICAL] and pieces[0].index[0] == 3


@pytest.mark.parametrize("suffix", [".csv", ".xlsx"])
def test_every_door_finds_the_columns_that_are_wanted(suffix: str, tmp_path: Path) -> None:
    """A mapping's columns stand in the second row alone: sales, the preview of the upload and the pieces of the API begin there."""
    path, note = tmp_path / f"report{suffix}", "the mapping's columns stand in line 2"
    write(shop(Qty=UNITS, Amount=MONEY), "Company X,,Period: January 2024,", path)
    columns = {name: column for column, name in CANONICAL.items()}
    assert any(note in told for told in read_sales(path, ColumnMapping(columns=columns)).report.warnings)
    (tmp_path / "upload").mkdir()
    upload = read_upload(path, path.name, tmp_path / "upload", UploadOptions(columns))
    assert upload.report is not None and upload.report["revenue_total"] == pytest.approx(MONEY.sum())
    assert upload.columns == [*CANONICAL] and upload.sample[0][0].startswith("2024-01-01")
    with path.open("rb") as file:
        first, *_ = mapped_tables(file, path.name, ColumnMapping(columns=columns), 2**20)
    assert [*first.table.cells] == [*CANONICAL] and any(note in told for told in first.table.notes)


def test_the_notes_on_a_header_are_those_of_the_first_piece(tmp_path: Path) -> None:
    for above in ("Sales report\n", "", "Martin's bakery,,,,,\n\n"):
        path = tmp_path / "report.csv"
        path.write_text(
            above + lines_below(",,Sales,,Returns,", "Date,Item,Units,Value,Units,Value"), "utf-8"
        )
        whole = read_text(path.read_bytes(), SourceOptions())
        with path.open("rb") as file:
            first, *others = iter_csv_tables(file, SourceOptions(), size=4_000)
        assert first.notes == whole.notes and any("two rows" in note for note in first.notes)
        assert others and not any(piece.notes for piece in others)
        assert first.second_row == whole.second_row


@pytest.mark.parametrize("suffix", [".csv", ".xlsx"])
def test_tables_beside_the_sales_find_their_columns_too(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"stock{suffix}"
    stock = pd.DataFrame(
        {"unique_id": ["Tea", "Jam"], "place": ["A", "B"], "on_hand": [3, 4], "note": ["", "x"]}
    )
    write(stock, "Stock,,Count,", path)
    read = read_input_table(
        path, "stock", {"unique_id": "text", "on_hand": "number"}, required=("unique_id", "on_hand")
    )
    assert read.frame["on_hand"].tolist() == [3, 4]
    long = pd.DataFrame(
        {"unique_id": "Tea", "ds": DAYS[:60].astype(str), "y": 2.0, "note": ""}
    ).drop_duplicates("ds")
    path = tmp_path / f"long{suffix}"
    write(long, "Series,,Value,", path)
    assert read_series(path).panel.values[0].sum() == pytest.approx(2.0 * len(long))


@pytest.mark.parametrize("suffix", [".csv", ".xlsx"])
def test_names_in_turn_in_two_rows_are_not_joined(suffix: str, tmp_path: Path) -> None:
    """No group stands above a name: which row is the header is not known."""
    path = tmp_path / f"report{suffix}"
    table = shop(Qty=UNITS, Amount=MONEY).set_axis(["", "Qty", "", "Amount"], axis=1)
    write(table, "Date,,Product,", path)
    with pytest.raises(UserError, match="not found"):
        read_sales(path)


@pytest.mark.parametrize("suffix", [".csv", ".xlsx"])
def test_the_note_on_two_rows_shows_a_joined_name(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"report{suffix}"
    table = shop(Qty=UNITS, Amount=MONEY, Back=0, Money=0.0)
    write(table, ",,Sales,,Returns,", path)
    assert any("as in 'Sales Qty'" in note for note in propose_mapping(path).notes)


def test_a_second_table_below_the_first_stops(tmp_path: Path) -> None:
    path = tmp_path / "day.csv"
    payments = "\nPayments\nDate,Method,Count,Amount\n2024-01-01,Card,3,900.50\n2024-01-02,Cash,5,81.00\n"
    path.write_text(shop(Qty=UNITS, Amount=MONEY).to_csv(index=False) + payments, "utf-8")
    with pytest.raises(
        UserError, match=r"row 304 is the header of another table \(Date, Method, Count, Amount\)"
    ):
        read_sales(path, propose_mapping(path).mapping)


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["9.495,-", "12,-", "-1.250,-"], [9495, 12, -1250]),
        (["12.-", "1'299.–", "5.50"], [12, 1299, 5.5]),
        (["kr 1.250,—", "kr 5,50"], [1250, 5.5]),
        (["–9,495.00", "—12.50", "3.00-"], [-9495, -12.5, -3]),
    ],
)
def test_dashes_of_tills_and_typesetters(cells: list[str], values: list[float]) -> None:
    np.testing.assert_allclose(parse_numbers(pd.Series(cells)).data, values)


def proposed_revenue(table: pd.DataFrame) -> float:
    mapping = propose_columns(table, "export").mapping
    return float(read_sales(table, mapping).frame["Revenue"].sum())


def test_debit_and_credit_of_a_ledger_are_one_amount() -> None:
    table = shop(
        **{"Debit Amount": np.where(BACK, MONEY, np.nan), "Credit Amount": np.where(BACK, np.nan, MONEY)}
    )
    assert proposed_revenue(table) == pytest.approx(MONEY[~BACK].sum() - MONEY[BACK].sum())


def test_a_sale_that_was_undone_is_left_out() -> None:
    state = np.where(BACK, "Returned", np.where(np.arange(ROWS) % 9, "Sold", "Exchanged"))
    assert proposed_revenue(shop(qty=UNITS, amount=MONEY, state=state)) == pytest.approx(MONEY[~BACK].sum())
    places = np.where(BACK, "New York", np.where(np.arange(ROWS) % 9, "Texas", "Ohio"))
    assert proposed_revenue(shop(qty=UNITS, amount=MONEY, state=places)) == pytest.approx(MONEY.sum())


def test_a_total_with_shipping_is_not_the_revenue() -> None:
    table = shop(**{"Grand Total": MONEY + 5, "Subtotal": MONEY, "Shipping and Handling": 5.0})
    assert proposed_revenue(table) == pytest.approx(MONEY.sum())
    tip = (0.18 * MONEY).round(2)
    checks = shop(
        Subtotal=MONEY, Tax=(0.08 * MONEY).round(2), Tip=tip, Total=MONEY + (0.08 * MONEY).round(2) + tip
    )
    proposal = propose_columns(checks.drop(columns="Item"), "export")
    assert proposal.mapping.columns["Revenue"] == "Subtotal"
    assert not any("may hold" in note for note in proposal.notes)


def test_amounts_in_the_home_currency_are_taken() -> None:
    """Beside those of each document, where a second column of currencies holds one code."""
    code = RNG.choice(["EUR", "USD", "JPY"], ROWS, p=[0.7, 0.2, 0.1])
    rate = np.select([code == "USD", code == "JPY"], [0.92, 0.0061], 1.0)
    table = shop(
        **{
            "Net value": (MONEY / rate).round(2),
            "Curr.": code,
            "Net value LC": MONEY,
            "Local currency": "EUR",
        }
    )
    mapping = propose_columns(table, "export").mapping
    assert (mapping.columns["Revenue"], mapping.currency, mapping.currency_column) == (
        "Net value LC",
        "EUR",
        "none",
    )
    assert read_sales(table, mapping).frame["Revenue"].sum() == pytest.approx(MONEY.sum())


@pytest.mark.parametrize(
    ("table", "way"),
    [
        (
            shop(Qty=UNITS, Amount=MONEY)
            .assign(Date=45_292 + np.arange(ROWS))
            .rename(columns={"Date": "Sold"}),
            "excel",
        ),
        (
            pd.DataFrame({"Date,Item,Qty,Amount": ["2024-01-01,A,1,4.50", "2024-01-02,B,2,9.00"]}),
            "saved twice",
        ),
    ],
    ids=["days as Excel counts", "lines in quotes"],
)
def test_a_table_without_a_date_says_what_may_help(table: pd.DataFrame, way: str) -> None:
    with pytest.raises(UserError, match=way):
        propose_columns(table, "export.csv")
