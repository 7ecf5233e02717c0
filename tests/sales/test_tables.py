"""Every kind of source, read for real."""

import gzip
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa

from salesforecast.core.settings import UserError
from salesforecast.core.text import redact_url
from salesforecast.sales.reading import read_sales, write_quarantine
from salesforecast.sales.schema import ColumnMapping, ReadOptions, SourceOptions
from salesforecast.sales.sinks import write_table
from salesforecast.sales.sources import load_table, open_read_only, read_table

SALES = pd.DataFrame(
    {
        "Transaction_Date": pd.date_range("2024-01-01", periods=40).strftime("%Y-%m-%d"),
        "Product_Name": ["Gänseblümchen", 'Tee, "grün"'] * 20,
        "Units_Sold": np.arange(40) % 5 + 1,
        "Unit_Price": 2.5,
        "Revenue": (np.arange(40) % 5 + 1) * 2.25,
    }
)


def check(
    sales_source: str | Path | pd.DataFrame, mapping: ColumnMapping | None = None, **options: str
) -> None:
    """The source gives `SALES`."""
    sales = read_sales(sales_source, mapping, ReadOptions(**options))
    assert sales.report.rows_quarantined == 0
    assert sales.frame["Transaction_Date"].tolist() == pd.to_datetime(SALES["Transaction_Date"]).tolist()
    assert sales.frame["Product_Name"].tolist() == SALES["Product_Name"].tolist()
    for name in ("Units_Sold", "Unit_Price", "Revenue"):
        np.testing.assert_array_equal(sales.frame[name], SALES[name])
    assert sales.frame.index.tolist() == list(range(2, 42))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_encoding_and_delimiter_are_found(tmp_path: Path, encoding: str, delimiter: str) -> None:
    (tmp_path / "sales.csv").write_bytes(SALES.to_csv(index=False, sep=delimiter).encode(encoding))
    check(tmp_path / "sales.csv")


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("end", ["", "{newline}", "{newline}{newline}"])
def test_line_ends(tmp_path: Path, newline: str, end: str) -> None:
    text = newline.join(SALES.to_csv(index=False).splitlines()) + end.format(newline=newline)
    (tmp_path / "sales.csv").write_bytes(text.encode())
    check(tmp_path / "sales.csv")


def test_gzip_is_known_by_suffix_and_by_content(tmp_path: Path) -> None:
    data = gzip.compress(SALES.to_csv(index=False).encode())
    for name in ("sales.csv.gz", "sales.csv"):
        (tmp_path / name).write_bytes(data)
        check(tmp_path / name)
    (tmp_path / "cut.csv.gz").write_bytes(data[:-20])
    with pytest.raises(UserError, match="not a whole gzip file"):
        read_table(tmp_path / "cut.csv.gz")


def test_lines_above_the_header(tmp_path: Path) -> None:
    (tmp_path / "sales.csv").write_text("Report of ACME\n\n" + SALES.to_csv(index=False))
    sales = read_sales(tmp_path / "sales.csv", ColumnMapping(read=SourceOptions(skip_rows=2)))
    assert sales.frame.index[0] == 4
    (tmp_path / "blank.csv").write_text("\n\n" + SALES.to_csv(index=False))
    assert read_table(tmp_path / "blank.csv").index[0] == 4


@pytest.mark.parametrize("line", ["sep={}\n", "sep={}\r\n", '"sep={}"\n', "SEP={}\n\n"])
@pytest.mark.parametrize("delimiter", [";", ",", "\t", "^"])
def test_the_line_for_excel_names_the_delimiter(tmp_path: Path, line: str, delimiter: str) -> None:
    above, text = line.format(delimiter), SALES.to_csv(index=False, sep=delimiter)
    (tmp_path / "sales.csv").write_bytes((above + text).encode("utf-8-sig"))
    found = read_table(tmp_path / "sales.csv")
    assert list(found) == list(SALES) and len(found) == 40
    assert found.index[0] == 2 + above.count("\n")
    (tmp_path / "sales.csv").write_text(f"ACME\n{above}{text}")
    asked = ColumnMapping(read=SourceOptions(skip_rows=1, delimiter=delimiter))
    assert list(read_table(tmp_path / "sales.csv", asked)) == list(SALES)


def test_parquet_file_and_folder(tmp_path: Path) -> None:
    SALES.assign(Transaction_Date=pd.to_datetime(SALES["Transaction_Date"])).to_parquet(
        tmp_path / "sales.parquet"
    )
    check(tmp_path / "sales.parquet")
    (tmp_path / "parts").mkdir()
    for i in (0, 1):
        SALES[i * 20 : i * 20 + 20].to_parquet(tmp_path / "parts" / f"{i}.parquet", index=False)
    check(tmp_path / "parts")
    (tmp_path / "parts" / "_SUCCESS").touch()
    check(tmp_path / "parts")
    (tmp_path / "parts" / "old.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match=r"other files beside Parquet, such as old\.csv"):
        read_table(tmp_path / "parts")
    (tmp_path / "no.parquet").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="no Parquet file"):
        read_table(tmp_path / "no.parquet")


def test_excel_with_dates(tmp_path: Path) -> None:
    dated = SALES.assign(Transaction_Date=[datetime.fromisoformat(day) for day in SALES["Transaction_Date"]])
    with pd.ExcelWriter(tmp_path / "sales.xlsx") as book:
        pd.DataFrame({"about": ["x"]}).to_excel(book, sheet_name="cover", index=False)
        dated.to_excel(book, sheet_name="sales", index=False)
    check(tmp_path / "sales.xlsx", ColumnMapping(read=SourceOptions(sheet="sales")))
    with pytest.raises(UserError, match="Did you mean 'sales'"):
        read_table(tmp_path / "sales.xlsx", ColumnMapping(read=SourceOptions(sheet="sale")))
    (note,) = load_table(tmp_path / "sales.xlsx", SourceOptions()).notes
    assert note.startswith("took sheet 'cover' of cover, sales") and "read: {sheet: 'sales'}" in note


def test_excel_by_content_and_not_at_all(tmp_path: Path) -> None:
    SALES.to_excel(tmp_path / "sales.xlsx", index=False)
    (tmp_path / "sales.xlsx").rename(tmp_path / "sales.csv")
    with pytest.raises(UserError, match="true suffix"):
        read_table(tmp_path / "sales.csv")
    (tmp_path / "text.xlsx").write_text("no table")
    with pytest.raises(UserError, match="no Excel file"):
        read_table(tmp_path / "text.xlsx")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("empty.csv", b"", "empty"),
        ("blank.csv", b"\n \n", "empty"),
        ("header.csv", b"Transaction_Date,Revenue\n", "no row below it"),
        ("what.doc", b"x", "'.doc' cannot be read"),
    ],
)
def test_files_without_rows(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError) as error:
        read_table(tmp_path / name)
    assert says in str(error.value) and name in str(error.value)


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    (tmp_path / "sales.csv").write_text(SALES.to_csv(index=False))
    with pytest.raises(UserError, match=r"Did you mean 'sales.csv'"):
        read_table(tmp_path / "sale.csv")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="folder without tables"):
        read_table(tmp_path / "empty")
    with pytest.raises(UserError, match="no database file"):
        read_table(f"sqlite:///{tmp_path}/none.db")
    assert not (tmp_path / "none.db").exists()
    (tmp_path / "latin.csv").write_bytes(SALES.to_csv(index=False).encode("cp1252"))
    with pytest.raises(UserError, match=r"Line 2 holds b'\\xe4', which is not utf-8"):
        read_table(tmp_path / "latin.csv", ColumnMapping(read=SourceOptions(encoding="utf-8")))
    with pytest.raises(UserError, match=r"read\.encoding: there is no encoding 'utf-88'"):
        read_table(tmp_path / "sales.csv", ColumnMapping(read=SourceOptions(encoding="utf-88")))


def test_a_wrong_delimiter_is_said(tmp_path: Path) -> None:
    (tmp_path / "sales.csv").write_text(SALES.drop(columns="Product_Name").to_csv(index=False, sep=";"))
    with pytest.raises(UserError, match="is the delimiter ';' instead of ','"):
        read_sales(tmp_path / "sales.csv", ColumnMapping(read=SourceOptions(delimiter=",")))


def test_line_numbers_are_those_of_the_file(tmp_path: Path) -> None:
    lines = SALES.to_csv(index=False).splitlines()
    lines[5:5] = [
        "",
        '2024-01-04,"two\nlines",1,2.5,2.5',
        "2024-01-04,too,few",
        '2024-01-04,"never closed,1,2.5,2.5',
    ]
    (tmp_path / "sales.csv").write_text("\n".join(lines) + "\n")
    found = load_table(tmp_path / "sales.csv", SourceOptions())
    assert found.problems == {9: "3 cells instead of 5", 10: "a quote is not closed"}
    text = (tmp_path / "sales.csv").read_text().split("\n")
    for row, day in found.cells["Transaction_Date"].items():
        assert text[row - 1].startswith(day)
    assert len(found.cells) == 40 + 3


def test_a_cell_of_ten_megabytes_costs_one_row(tmp_path: Path) -> None:
    for quote in ("", '"'):
        lines = SALES.to_csv(index=False).splitlines()
        lines.insert(3, f"2024-01-02,{quote}{'x' * 10_000_000}{quote},1,2.5,2.5")
        (tmp_path / "sales.csv").write_text("\n".join(lines) + "\n")
        sales = read_sales(tmp_path / "sales.csv")
        assert sales.quarantine[["row", "reason"]].to_numpy().tolist() == [
            [4, "a cell is longer than 10,000 characters"]
        ]
        assert len(sales.frame) == 40


def test_equal_headers_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a,a,\n1,2,3\n")
    found = load_table(tmp_path / "x.csv", SourceOptions())
    assert list(found.cells) == ["a", "a.2", "column 3"]
    assert "occurs more than once" in found.notes[0]


# --- databases ---------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["object", "numpy_nullable", "pyarrow", "category", "dated"])
def test_a_data_frame_is_read_as_the_file_it_would_be_written_to(backend: str) -> None:
    frame = SALES.copy()
    if backend in ("numpy_nullable", "pyarrow"):
        frame = frame.convert_dtypes(dtype_backend=backend)  # type: ignore[call-overload]
    elif backend == "category":
        frame = frame.assign(Product_Name=frame["Product_Name"].astype("category"))
    elif backend == "dated":
        dates = pd.DatetimeIndex(pd.to_datetime(frame.pop("Transaction_Date")), name="transaction date")
        frame = frame.set_index(dates).rename(columns=lambda name: f" {name.upper()} ")
    check(frame)


def test_sales_show_what_they_are() -> None:
    sales = read_sales(SALES)
    assert repr(sales).startswith("SalesData(rows: 40, days with sales: ")
    assert sales.report.source == "DataFrame of 40 rows"
    assert "<table>" in sales._repr_html_() and "rejected rows" in sales._repr_html_()


def test_sqlite(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/shop.db"
    write_table(SALES, url, table="sales")
    check(url)
    write_table(SALES.head(3), url, table="other")
    with pytest.raises(UserError, match=r"needs a table or a query.*other, sales"):
        read_table(url)
    with pytest.raises(UserError, match="Did you mean 'sales'"):
        read_table(url, read_options=ReadOptions(table="sale"))
    with pytest.raises(UserError, match="Choose one"):
        read_table(url, read_options=ReadOptions(table="sales", query="select 1"))
    with pytest.raises(UserError, match="no such table: nope"):
        read_table(url, read_options=ReadOptions(query="select * from nope"))
    check(url, table="sales")
    check(url, ColumnMapping(read=SourceOptions(query="select * from sales")))
    assert (
        len(read_table(url, read_options=ReadOptions(query="select * from sales where Units_Sold > 3"))) == 16
    )
    for query in ("drop table sales", "select 1; drop table sales", "with x as (select 1) delete from sales"):
        with pytest.raises(UserError, match="may only read"):
            read_table(url, read_options=ReadOptions(query=query))
    check(url, table="sales")


def test_a_path_may_have_blanks_signs_and_umlauts(tmp_path: Path) -> None:
    folder = tmp_path / "a@b c@d #ä"
    folder.mkdir()
    write_table(SALES, f"sqlite:///{folder}/shop.db", table="sales")
    check(f"sqlite:///{folder}/shop.db")


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a PostgreSQL server that lives as long as the tests."""
    pgserver = pytest.importorskip("pgserver", reason="the pgserver wheel needs Python below 3.13")
    server = pgserver.get_server(tmp_path_factory.mktemp("postgres"))
    yield server.get_uri()
    server.cleanup()


def test_postgresql(postgres: str) -> None:
    engine = sa.create_engine(postgres)
    with engine.begin() as connection:
        connection.execute(sa.text("create schema shop"))
        connection.execute(
            sa.text(
                'create table shop.sales ("Transaction_Date" timestamptz, "Product_Name" text, '
                '"Units_Sold" integer, "Unit_Price" numeric(10, 2), "Revenue" numeric(10, 2))'
            )
        )
        dated = SALES.assign(Transaction_Date=pd.to_datetime(SALES["Transaction_Date"]))
        dated.to_sql("sales", connection, schema="shop", if_exists="append", index=False)
    check(postgres, table="shop.sales")
    check(postgres, query='select * from shop.sales order by "Transaction_Date"')
    write_table(SALES, postgres, table="shop.predictions")
    write_table(SALES, postgres, table="shop.predictions")  # replaced, not doubled
    check(postgres, table="shop.predictions")
    reading = open_read_only(postgres)
    with reading.connect() as connection, pytest.raises(sa.exc.SQLAlchemyError, match="read-only"):
        connection.execute(sa.text("drop table shop.predictions"))
    reading.dispose()
    with pytest.raises(UserError, match="does not exist"):
        read_table(postgres, read_options=ReadOptions(table="shop.nope"))
    engine.dispose()


# Writes a table in a process that waits for a line on its standard input, as soon as the old rows are deleted.
WAITING = """
import sys
import pandas as pd
from salesforecast.sales.sinks import write_table

def wait(*args, to_sql=pd.DataFrame.to_sql, **options):
    print("waiting", flush=True)
    sys.stdin.readline()
    return to_sql(*args, **options)

pd.DataFrame.to_sql = wait
write_table(pd.DataFrame({"day": ["a", "b"]}), sys.argv[1], table="shared")
"""


@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_of_two_that_write_one_table_at_once_one_gives_the_rows(
    tmp_path: Path, database: str, exists: bool, request: pytest.FixtureRequest
) -> None:
    url = f"sqlite:///{tmp_path}/shop.db" if database == "sqlite" else request.getfixturevalue("postgres")
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("drop table if exists shared"))
    if exists:
        write_table(pd.DataFrame({"day": ["old", "older"]}), url, table="shared")
    words = [sys.executable, "-c", WAITING, url]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None and first.stdout.readline() == "waiting\n"
        second = threading.Thread(target=write_table, args=(pd.DataFrame({"day": ["c", "d"]}), url, "shared"))
        second.start()
        second.join(3)  # it waits for the first, unless nothing holds it back
        first.communicate("\n")
        second.join()
    assert first.returncode == 0
    with engine.connect() as connection:
        rows = connection.execute(sa.text("select day from shared order by day")).scalars().all()
    assert rows in (["a", "b"], ["c", "d"])
    engine.dispose()


def test_a_password_is_never_shown() -> None:
    url = "postgresql://ann:s3cret@127.0.0.1:9/shop"
    assert "s3cret" not in redact_url(url)
    with pytest.raises(UserError) as error:
        read_table(url)
    assert "127.0.0.1" in str(error.value) and "s3cret" not in str(error.value)
    with pytest.raises(UserError, match="driver") as error:
        read_table("nosuch://ann:s3cret@host/shop")
    assert "s3cret" not in str(error.value)


# --- out ----------------------------------------------------------------------------------

TRICKY = pd.DataFrame(
    {
        "day": pd.to_datetime(["2024-01-01", "2024-01-02", None]),
        "time": pd.to_datetime(["2024-01-01 10:30", None, "2024-01-02 00:00"]),
        "text": pd.Categorical(["=SUM(A1)", 'a,\n"b" ä', None]),
        "mixed": ["x", 1.0, None],
        "number": [0.1, np.nan, 1e12],
        "flag": [True, False, True],
    }
)


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.parquet", "t.xlsx", "deep/er/t.csv"])
def test_tables_come_back(tmp_path: Path, name: str) -> None:
    write_table(TRICKY, tmp_path / name)
    assert [path.name for path in (tmp_path / name).parent.iterdir()] == [Path(name).name]
    back = read_table(tmp_path / name)
    assert list(back) == list(TRICKY)
    formula = "'=SUM(A1)" if ".csv" in name else "=SUM(A1)"  # Excel would compute what a CSV file holds
    assert back["text"].iloc[:2].tolist() == [formula, 'a,\n"b" ä']
    assert [str(day)[:10] for day in back["day"].iloc[:2]] == ["2024-01-01", "2024-01-02"]
    assert str(back["time"].iloc[0])[:16] == "2024-01-01 10:30"
    assert float(back["number"].iloc[0]) == 0.1
    assert float(back["number"].iloc[2]) == 1e12
    assert pd.isna(back["day"].iloc[2]) or back["day"].iloc[2] == ""


def test_excel_cells_are_text_dates_and_bold_headers(tmp_path: Path) -> None:
    from openpyxl import load_workbook

    write_table(TRICKY, tmp_path / "t.xlsx")
    sheet = load_workbook(tmp_path / "t.xlsx").active
    assert sheet["C2"].data_type == "s" and sheet["C2"].value == "=SUM(A1)"
    assert sheet["A2"].value == datetime(2024, 1, 1) and sheet["A2"].number_format == "yyyy-mm-dd"
    assert sheet["A1"].font.bold and sheet.freeze_panes == "A2"


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    write_table(SALES, tmp_path / "t.xlsx")
    before = (tmp_path / "t.xlsx").read_bytes()
    with pytest.raises(UserError, match="Excel holds"):
        write_table(pd.DataFrame({"a": np.zeros(1_048_576)}), tmp_path / "t.xlsx")
    assert (tmp_path / "t.xlsx").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["t.xlsx"]


def test_targets_that_cannot_be_written(tmp_path: Path) -> None:
    for out in ("t.doc", "t.xlsx.gz", "t"):
        with pytest.raises(UserError, match="cannot write"):
            write_table(SALES, tmp_path / out)
    (tmp_path / "a.csv").touch()
    for out in ("a.csv/t.csv", "a.csv/deep/t.csv"):
        with pytest.raises(UserError, match=r"a\.csv is a file, not a folder"):
            write_table(SALES, tmp_path / out)
    (tmp_path / "t.csv").mkdir()
    with pytest.raises(UserError, match="is a folder"):
        write_table(SALES, tmp_path / "t.csv")


@pytest.mark.parametrize("name", ["bad.csv", "bad.parquet", "bad.xlsx"])
def test_an_empty_quarantine_is_written_too(tmp_path: Path, name: str) -> None:
    (tmp_path / "sales.csv").write_text(SALES.to_csv(index=False))
    write_quarantine(read_sales(tmp_path / "sales.csv"), tmp_path / name)
    assert (tmp_path / name).stat().st_size > 10


@pytest.mark.parametrize("data", [b"", b"\n \n", b"\xef\xbb\xbf", b"\xff\xfe", b"\xef\xbb\xbf\r\n"])
def test_a_file_of_nothing_but_marks_is_empty(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "sales.csv").write_bytes(data)
    with pytest.raises(UserError, match=r"The file is empty\. It needs a header line"):
        load_table(tmp_path / "sales.csv", SourceOptions())


def test_skipping_every_line_is_told(tmp_path: Path) -> None:
    (tmp_path / "sales.csv").write_text("Date,Amount\n2024-01-01,5\n")
    with pytest.raises(UserError, match=r"empty below the 9 lines that read\.skip_rows"):
        load_table(tmp_path / "sales.csv", SourceOptions(skip_rows=9))


def test_a_table_keeps_its_keys_and_views_when_its_rows_are_replaced(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/shop.db"
    with closing(sqlite3.connect(tmp_path / "shop.db")) as database:
        database.execute("create table out (day text primary key, revenue real, note text default 'none')")
        database.execute("create view big as select day from out where revenue > 1")
        database.commit()
    for first in (1.0, 2.0):
        write_table(pd.DataFrame({"day": ["a", "b"], "revenue": [first, 5.0]}), url, table="out")
    with closing(sqlite3.connect(tmp_path / "shop.db")) as database:
        assert database.execute("select * from out").fetchall() == [("a", 2.0, "none"), ("b", 5.0, "none")]
        assert database.execute("select day from big").fetchall() == [("a",), ("b",)]
    with pytest.raises(UserError, match="no column profit"):
        write_table(pd.DataFrame({"day": ["c"], "profit": [1.0]}), url, table="out")
    with pytest.raises(
        UserError, match="does not take the table"
    ):  # a key that is there twice: all stays as it was
        write_table(pd.DataFrame({"day": ["c", "c"], "revenue": [1.0, 1.0]}), url, table="out")
    with closing(sqlite3.connect(tmp_path / "shop.db")) as database:
        assert database.execute("select count(*) from out").fetchone() == (2,)
