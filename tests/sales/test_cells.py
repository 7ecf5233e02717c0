"""Cells of exports as people have them: each is read right, or refused with the key to set."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pydantic import ValidationError

from salesforecast.core.settings import UserError, settings
from salesforecast.sales.dates import parse_dates
from salesforecast.sales.numbers import UnclearNumberError, parse_numbers
from salesforecast.sales.reading import SalesData, read_sales
from salesforecast.sales.schema import ColumnMapping, SourceOptions

DAYS = pd.date_range("2024-01-01", periods=60)
ISO = [f"{day:%Y-%m-%d}" for day in DAYS]
AMOUNTS = np.array([19.0, 1299.0, 12450.5, 0.75] * 15)
TOTAL = AMOUNTS.sum()


def export(
    folder: Path,
    cells: list[str],
    dates: list[str] = ISO,
    header: str = "Transaction_Date;Revenue",
    above: str = "",
    end: str = "\n",
    encoding: str = "utf-8",
) -> Path:
    """A file with a `;` between date and amount."""
    lines = [f"{date};{cell}{end}" for date, cell in zip(dates, cells, strict=False)]
    (folder / "export.csv").write_bytes((above + header + "\n" + "".join(lines)).encode(encoding))
    return folder / "export.csv"


def revenue(sales: SalesData) -> float:
    """All revenue, with no row rejected."""
    assert sales.quarantine.empty
    return float(sales.frame["Revenue"].sum())


def written(value: float, thousands: str, decimal: str) -> str:
    """An amount with two decimals."""
    return f"{value:,.2f}".translate(str.maketrans({",": thousands, ".": decimal}))


# --- marks -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "thousands", "decimal"),
    [
        ("{}", ",", "."),
        ("${}", ",", "."),
        ("{} €", ".", ","),
        ("{}\u00a0€", "\u202f", ","),
        ("CHF {}", "'", "."),
        ("{}", "", ","),
        ("{}", "", "."),
    ],
)
def test_marks_that_can_be_one_thing_need_no_setting(
    tmp_path: Path, pattern: str, thousands: str, decimal: str
) -> None:
    cells = [pattern.format(written(value, thousands, decimal)) for value in AMOUNTS]
    assert revenue(read_sales(export(tmp_path, cells))) == pytest.approx(TOTAL)


def test_three_digits_behind_every_mark_are_asked_for(tmp_path: Path) -> None:
    source = export(tmp_path, [f"{value:,}".replace(",", ".") for value in range(1725, 1785)])
    with pytest.raises(UserError, match=r"'1\.725' may be 1725 or 1\.725.*thousands: '\.'.*decimal: '\.'"):
        read_sales(source)
    right = sum(range(1725, 1785))
    assert revenue(read_sales(source, ColumnMapping(read=SourceOptions(thousands=".")))) == right
    assert revenue(read_sales(source, ColumnMapping(read=SourceOptions(decimal=".")))) == pytest.approx(
        right / 1000
    )


def test_plain_hundreds_show_that_thousands_are_parted(tmp_path: Path) -> None:
    cells = [f"{value:,}".replace(",", ".") for value in range(510, 1990, 25)]
    sales = read_sales(export(tmp_path, cells))
    assert revenue(sales) == sum(range(510, 1990, 25))
    assert any("is read as 1010; if it has decimals" in note for note in sales.report.warnings)


def test_other_columns_tell_the_decimal_mark(tmp_path: Path) -> None:
    header = "Transaction_Date;Units_Sold;Unit_Price"
    source = export(tmp_path, ["1,500;12,50"] * 60, header=header)
    sales = read_sales(source)
    assert revenue(sales) == pytest.approx(60 * 1.5 * 12.5)
    assert sales.mapping.read.decimal == ","
    assert any("decimal mark is ',', as in other columns" in note for note in sales.report.warnings)
    with pytest.raises(UserError, match="Units_Sold"):  # pieces beside weights tell nothing
        read_sales(export(tmp_path, ["1.500;2", "3;4"] * 30, header=header))


def test_typed_numbers_are_what_they_are() -> None:
    cells = pd.Series([1.725, "12,50", 2], dtype=object)
    assert parse_numbers(cells).data.tolist() == [1.725, 12.5, 2]
    assert parse_numbers(pd.Series([1.725, 2.523])).data.tolist() == [1.725, 2.523]
    with pytest.raises(UnclearNumberError):
        parse_numbers(pd.Series(["1,725", "2,523"]))
    with pytest.raises(UserError, match="different decimal marks"):
        parse_numbers(pd.Series(["1,50", "2.50"]))


# --- currencies ----------------------------------------------------------------------------------


def test_currencies_in_a_column_are_never_added(tmp_path: Path) -> None:
    cells = [f"{100 if i % 3 else 15000};{'USD' if i % 3 else 'JPY'}" for i in range(60)]
    source = export(tmp_path, cells, header="Transaction_Date;Revenue;Currency")
    with pytest.raises(
        UserError, match=r"USD 66\.7%, JPY 33\.3%.*currency_column: Currency with currency: USD"
    ):
        read_sales(source)
    dollars = {"currency": "$", "currency_column": "Currency"}
    taken = read_sales(source, ColumnMapping(**dollars))
    assert revenue(taken) == 4000
    assert any(
        "20 of 60 rows are in JPY, not in USD, and are left out" in note for note in taken.report.warnings
    )
    assert revenue(read_sales(source, ColumnMapping(**dollars, rates={"JPY": 0.01}))) == 4000 + 20 * 150
    assert revenue(read_sales(source, ColumnMapping(currency_column="none"))) == 4000 + 20 * 15000
    with pytest.raises(UserError, match="rates has none for JPY"):
        read_sales(source, ColumnMapping(**dollars, rates={"GBP": 1.2}))


# --- dates ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "first", "note"),
    [
        (["1704103200", "1704189600"], "2024-01-01", "seconds since 1970"),
        (["1704103200000", "1704189600000"], "2024-01-01", "milliseconds"),
        (["45292", "45293"], "2024-01-01", "Excel"),
        (["2022-W01", "2022-W02"], "2022-01-03", "weeks"),
        (["202212", "202301"], "2022-12-01", "months"),
        (["2022-11", "2023-01"], "2022-11-01", "months"),
        (["2024010123", "2024010200"], "2024-01-01", ""),
        (["20240101233000", "20240102000000"], "2024-01-01", ""),
    ],
)
def test_dates_that_programs_count(cells: list[str], first: str, note: str) -> None:
    parsed = parse_dates(pd.Series(cells))
    assert str(parsed.data[0])[:10] == first and not parsed.bad.any()
    assert note in " ".join(parsed.notes) and bool(note) == bool(parsed.notes)


def test_what_may_be_a_month_or_a_week_is_asked_for() -> None:
    with pytest.raises(UserError, match="date_format: '%Y%m' or date_format: iso_week"):
        parse_dates(pd.Series(["202201", "202202"]))
    weeks = parse_dates(pd.Series(["202201", "202202"]), "iso_week")
    assert str(weeks.data[1])[:10] == "2022-01-10"
    assert parse_dates(pd.Series(["1001", "1002"])).bad.all()


UTC = [f"{day}T03:00:00Z" for day in ISO]


def test_a_time_zone_gives_local_days(tmp_path: Path) -> None:
    source = export(tmp_path, ["9.50"] * 60, UTC)
    sales = read_sales(source)
    assert sum("time_zone: America/New_York" in note for note in sales.report.warnings) == 1
    local = read_sales(source, ColumnMapping(time_zone="America/Los_Angeles"))
    assert local.report.first_date == "2023-12-31" and local.report.warnings == []
    assert read_sales(source, ColumnMapping(time_zone="UTC")).report.first_date == "2024-01-01"
    midnights = export(tmp_path, ["9.50"] * 60, [f"{day}T00:00:00.000Z" for day in ISO])
    assert (
        read_sales(midnights, ColumnMapping(time_zone="America/Los_Angeles")).report.first_date
        == "2024-01-01"
    )


def test_a_column_of_time_zones(tmp_path: Path) -> None:
    zones = ["Pacific Time (US & Canada)", "Europe/Berlin", ""]
    source = export(
        tmp_path,
        [f"9.50;{zones[i % 3]}" for i in range(60)],
        UTC,
        header="Transaction_Date;Revenue;Time Zone",
    )
    sales = read_sales(source, ColumnMapping(time_zone="Time Zone"))
    assert [str(day) for day in sales.frame["Transaction_Date"].head(3)] == [
        "2023-12-31 19:00:00",
        "2024-01-02 04:00:00",
        "2024-01-03 03:00:00",
    ]


def test_zones_that_are_written_out() -> None:
    texts = ["Jan 1, 2024 11:26:00 PM PST", "01.01.2024 23:26:00 UTC", "2024-01-01 23:26:00 -0500"]
    assert [str(day)[:16] for day in parse_dates(pd.Series(texts)).data] == ["2024-01-01T23:26"] * 3
    berlin = parse_dates(pd.Series(texts), time_zone="Europe/Berlin").data
    assert [str(day)[:16] for day in berlin] == ["2024-01-02T08:26", "2024-01-02T00:26", "2024-01-02T05:26"]


# --- lines ----------------------------------------------------------------------------------------


def test_titles_above_the_header(tmp_path: Path) -> None:
    source = export(tmp_path, [f"{value:.2f}" for value in AMOUNTS], above="Sales by day\nACME\n\n")
    sales = read_sales(source)
    assert revenue(sales) == pytest.approx(TOTAL) and sales.frame.index[0] == 5
    assert any("3 lines above the header are left out" in note for note in sales.report.warnings)
    frame = pd.DataFrame({"Transaction_Date": DAYS, "Revenue": AMOUNTS, "Item": "Tea"})
    frame.to_excel(tmp_path / "titled.xlsx", index=False, startrow=3)
    excel = read_sales(tmp_path / "titled.xlsx")
    assert revenue(excel) == pytest.approx(TOTAL) and excel.frame.index[0] == 5


@pytest.mark.parametrize("end", [";\n", ";;\n", ";\r\n"])
def test_a_delimiter_at_the_end_of_each_row(tmp_path: Path, end: str) -> None:
    source = export(tmp_path, [f"{value:.2f}" for value in AMOUNTS], end=end)
    assert revenue(read_sales(source)) == pytest.approx(TOTAL)


def test_a_stray_byte_leaves_the_rest_utf8(tmp_path: Path) -> None:
    cells = [f"{value};Café" for value in AMOUNTS]
    source = export(tmp_path, cells, header="Transaction_Date;Revenue;Product_Name")
    lines = source.read_bytes().split(b"\n")
    lines[7] = lines[7].replace("é".encode(), b"\xe9")
    source.write_bytes(b"\n".join(lines))
    sales = read_sales(source)
    assert sales.frame["Product_Name"].unique().tolist() == ["Café"]
    assert any("line 8 of this UTF-8 file" in note for note in sales.report.warnings)


@pytest.mark.parametrize("name", ["コーヒー", "ｺｰﾋｰ", "珈琲と紅茶"])
def test_japanese(tmp_path: Path, name: str) -> None:
    cells = [f"{value};{name}" for value in AMOUNTS]
    source = export(tmp_path, cells, header="Transaction_Date;Revenue;Product_Name", encoding="cp932")
    assert read_sales(source).frame["Product_Name"].unique().tolist() == [name]


# --- nonsense ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "keys",
    [
        {"date_format": "dd.mm.yyyy"},
        {"date_format": "%Q"},
        {"date_format": "%d/%m"},
        {"time_zone": "Europe/Berln"},
        {"rates": {"USD": 0}},
        {"rates": {"USD": float("nan")}},
        {"read": {"delimiter": "ä"}},
        {"read": {"delimiter": "\n"}},
        {"read": {"thousands": "5"}},
    ],
)
def test_keys_that_cannot_be_meant_are_refused_when_the_mapping_is_read(keys: dict) -> None:
    with pytest.raises(ValidationError):
        ColumnMapping(**keys)


def test_more_lines_to_skip_than_there_are(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="empty below the 10000 lines"):
        read_sales(export(tmp_path, ["1.50"] * 60), ColumnMapping(read=SourceOptions(skip_rows=10_000)))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RATE_LIMIT", "0"),
        ("RATE_LIMIT", "many"),
        ("RATE_LIMIT", "0 per minute"),
        ("RATE_LIMIT_STORAGE", "x"),
    ],
)
def test_settings_that_cannot_be_meant(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"SALESFORECAST_{name}", value)
    settings.cache_clear()
    with pytest.raises(UserError, match=name.lower()):
        settings()
    settings.cache_clear()


def test_letters_behind_a_zone_make_no_date() -> None:
    texts = ["2024-01-01 10:00:00", "2024-01-02 10:00:00 ", "2024-01-03 10:00:00 +0200p2", "2024-01-04"]
    parsed = parse_dates(pd.Series(texts, dtype=object))
    assert parsed.bad.tolist() == [False, False, True, False]
    assert parsed.data[3] == np.datetime64("2024-01-04")


def test_dates_of_several_kinds_are_read_one_by_one() -> None:
    texts = [
        "2024-01-31 10:30",
        "31.01.2024 10:30",
        "1/2/2024",
        "2024-02-30",
        "",
        "45000",
        "31 Jan 2024",
        None,
    ]
    column = pd.Series(texts, dtype=pd.ArrowDtype(pa.string()))
    parsed, alike = parse_dates(column, day_first=True), parse_dates(column.astype(object), day_first=True)
    stamps = ["2024-01-31T10:30", "2024-01-31T10:30", "2024-02-01", "NaT", "NaT", "NaT", "2024-01-31", "NaT"]
    assert (np.array(stamps, "datetime64[ns]") == parsed.data)[[0, 1, 2, 6]].all()
    assert np.isnat(parsed.data).tolist() == [stamp == "NaT" for stamp in stamps]
    assert parsed.bad.tolist() == [False, False, False, True, False, True, False, False]
    assert np.array_equal(parsed.data, alike.data, equal_nan=True)
    assert np.array_equal(parsed.bad, alike.bad)
