"""Every row is checked: what is accepted, what is refused and why, and how foreign exports become canonical."""

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from salesforecast.core.settings import UserError, settings
from salesforecast.features.preprocessing import prepare_sales
from salesforecast.features.preprocessor import model_inputs
from salesforecast.sales.dates import parse_dates
from salesforecast.sales.expressions import ExpressionContext, evaluate_expression
from salesforecast.sales.numbers import parse_numbers
from salesforecast.sales.reading import SalesData, read_prediction_rows, read_sales, write_quarantine
from salesforecast.sales.report import suggest_fixes
from salesforecast.sales.schema import ColumnMapping, ReadOptions, ReturnRule, SourceOptions, load_mapping
from support.models import ROOT

NOW = pd.Timestamp("2024-12-31")
HEADER = (
    "Transaction_ID,Transaction_Date,Product_ID,Category,Units_Sold,Unit_Price,Revenue,Customer_ID,Region"
)


def line(i: int = 0, **cells: object) -> str:
    """A good row, with some cells changed."""
    good = {
        "id": f"T{i}",
        "date": str(np.datetime64("2024-01-01") + i % 300),
        "product": f"P{i % 5}",
        "category": "Toys",
        "units": 2,
        "price": "5.00",
        "revenue": "9.00",
        "customer": f"C{i}",
        "region": "North",
    }
    return ",".join(str(cell) for cell in (good | cells).values())


GOOD = [line(i) for i in range(200)]


def written(folder: Path, *lines: str, header: str = HEADER, name: str = "sales.csv") -> Path:
    (folder / name).write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return folder / name


def read(
    folder: Path,
    *bad: str,
    mapping: ColumnMapping | None = None,
    header: str = HEADER,
    lines: list[str] = GOOD,
) -> SalesData:
    """Sales of good lines with others after them; those begin at row 202."""
    return read_sales(written(folder, *lines, *bad, header=header), mapping, now=NOW)


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"date": "2024-02-30"}, "Transaction_Date is not a date"),
        ({"date": "yesterday"}, "Transaction_Date is not a date"),
        ({"date": "45000"}, "Transaction_Date is not a date"),
        ({"date": ""}, "Transaction_Date is missing"),
        ({"date": "2025-01-01"}, "Transaction_Date is in the future"),
        ({"date": "9999-12-31"}, "Transaction_Date is not a date"),
        ({"revenue": ""}, "Revenue is missing"),
        ({"revenue": "NaN"}, "Revenue is missing"),
        ({"units": "null"}, "Units_Sold is missing"),
        ({"revenue": "inf"}, "Revenue is infinite; Revenue is above Units_Sold × Unit_Price"),
        ({"price": "-inf"}, "Unit_Price is infinite; Unit_Price is zero or negative"),
        ({"units": "12 pcs"}, "Units_Sold is not a number"),
        ({"price": "1,5".replace(",", "'")}, "Unit_Price is not a number"),
        ({"price": "0"}, "Unit_Price is zero or negative"),
        ({"units": "0"}, "Units_Sold is zero"),
        ({"price": "-5"}, "Unit_Price is zero or negative"),
        ({"units": "0", "revenue": "0"}, "Units_Sold is zero"),
        ({"revenue": "-9"}, "Revenue is negative and the row is no return"),
        ({"revenue": "10.02"}, "Revenue is above Units_Sold × Unit_Price"),
        ({"region": "x" * 10_001}, "a cell is longer than 10,000 characters"),
        ({"region": "North,East"}, "10 cells instead of 9"),
    ],
)
def test_bad_rows_are_quarantined_with_reason(tmp_path: Path, cells: dict, reason: str) -> None:
    sales = read(tmp_path, line(900, **cells))
    assert sales.quarantine["row"].tolist() == [202]
    assert sorted(sales.quarantine["reason"][0].split("; ")) == sorted(reason.split("; "))
    assert sales.quarantine["Transaction_ID"].tolist() == ["T900"]
    assert len(sales.frame) == 200
    assert sales.report.rows_quarantined == 1
    for part in reason.split("; "):
        assert sales.report.reasons[part]["count"] == 1


@pytest.mark.parametrize(
    "cells",
    [
        {"revenue": "10.009"},  # rounding
        {"revenue": "0"},  # given away
        {"price": "£5.00", "revenue": " 9.00 "},
        {"price": "5.00 €"},
        {"units": "2.0", "revenue": "9e0"},
        {"category": "", "region": "null", "product": "", "customer": ""},
        {"date": "2024-12-31 23:59:59"},
        {"date": "2024-06-01T10:00:00Z"},
    ],
)
def test_good_rows_are_accepted(tmp_path: Path, cells: dict) -> None:
    sales = read(tmp_path, line(900, **cells))
    assert sales.quarantine.empty, sales.quarantine["reason"].tolist()
    assert sales.frame.index[-1] == 202


def test_missing_text_is_unknown(tmp_path: Path) -> None:
    sales = read(tmp_path, line(900, category="", region="N/A", product="  "))
    assert sales.frame.loc[202, ["Category", "Region", "Product_ID"]].isna().all()
    assert sales.report.missing == {"Product_ID": 1, "Category": 1, "Region": 1}


def test_nothing_is_lost(tmp_path: Path) -> None:
    bad = [line(900, units="x", price="0"), line(901, date=""), "", line(902) + ",", '"' + line(903)]
    sales = read(tmp_path, *bad)
    rows = [*sales.frame.index, *sales.quarantine["row"]]
    assert sorted(rows) == [*range(2, 204), 205, 206]
    assert sales.report.rows_read == sales.report.rows_accepted + sales.report.rows_quarantined == 204
    assert "1 blank lines are left out" in sales.report.warnings
    write_quarantine(sales, tmp_path / "bad.csv")
    assert pd.read_csv(tmp_path / "bad.csv")["row"].tolist() == [202, 203, 205, 206]


def test_too_many_bad_rows_stop_with_reasons_and_hints(tmp_path: Path) -> None:
    bad = [line(i, price="4,50".replace(",", ";")) for i in range(900, 920)]
    with pytest.raises(UserError) as error:
        read(tmp_path, *bad)
    said = str(error.value)
    assert "20 of 220 rows (9.1%) cannot be used; at most 5.0% may be bad" in said
    assert "20 × Unit_Price is not a number, e.g. row 202: Unit_Price='4;50'" in said
    assert "read: {decimal: ','" in said and "--max-quarantined-share 0.1" in said
    source = tmp_path / "sales.csv"
    assert len(read_sales(source, read_options=ReadOptions(max_quarantined_share=0.1), now=NOW).frame) == 200
    assert len(read_sales(source, ColumnMapping(max_quarantined_share=0.1), now=NOW).frame) == 200


def test_no_usable_row_is_an_error_at_any_limit(tmp_path: Path) -> None:
    source = written(tmp_path, line(1, units="x"), line(2, units="y"))
    with pytest.raises(UserError, match="no row is left"):
        read_sales(source, read_options=ReadOptions(max_quarantined_share=1.0))


# --- duplicates, returns, shares -----------------------------------------------------------


def test_equal_rows_with_an_id_are_one_sale(tmp_path: Path) -> None:
    sales = read(tmp_path, GOOD[0], GOOD[0], GOOD[1])
    assert sales.quarantine["row"].tolist() == [202, 203, 204]
    assert set(sales.quarantine["reason"]) == {"the row repeats an earlier one"}
    kept = read(tmp_path, GOOD[0], mapping=ColumnMapping(duplicates="keep"))
    assert (len(kept.frame), kept.report.duplicates_kept) == (201, 1)


def test_equal_rows_without_an_id_may_be_two_sales(tmp_path: Path) -> None:
    header, lines = HEADER.partition(",")[2], [row.partition(",")[2] for row in GOOD]
    sales = read(tmp_path, lines[0], header=header, lines=lines)
    assert (len(sales.frame), sales.report.duplicates_kept) == (201, 1)
    asked = read(
        tmp_path, lines[0], header=header, lines=lines, mapping=ColumnMapping(duplicates="quarantine")
    )
    assert asked.quarantine["row"].tolist() == [202]


def test_returns_are_negative_revenue_or_excluded(tmp_path: Path) -> None:
    returns = [line(900, units=-2, revenue=-9), line(901, units=-1, revenue=4.5)]
    net = read(tmp_path, *returns)
    assert net.frame.loc[[202, 203], "Revenue"].tolist() == [-9, -4.5]
    assert net.frame["is_return"].sum() == net.report.returns == 2
    assert net.report.returns_value == -13.5
    assert net.report.revenue_total == 200 * 9 - 13.5
    excluded = read(tmp_path, *returns, mapping=ColumnMapping(returns=ReturnRule(effect="exclude")))
    assert len(excluded.frame) == 200 and not excluded.frame["is_return"].any()
    assert (excluded.report.returns, excluded.report.returns_value) == (2, -13.5)
    assert excluded.report.rows_quarantined == 0


@pytest.mark.parametrize(
    "when", ["kind == 'R'", "startswith(kind, 'R')", "returned", "(kind == 'R') & (Units_Sold > 0)"]
)
def test_returns_by_a_flag(tmp_path: Path, when: str) -> None:
    lines = [
        f"{row},{'R' if i % 50 == 0 else 'S'},{'yes' if i % 50 == 0 else 'no'}" for i, row in enumerate(GOOD)
    ]
    sales = read(
        tmp_path,
        header=HEADER + ",kind,returned",
        lines=lines,
        mapping=ColumnMapping(returns=ReturnRule(when=when)),
    )
    assert sales.frame.index[sales.frame["is_return"]].tolist() == [2, 52, 102, 152]
    assert (sales.frame.loc[sales.frame["is_return"], ["Units_Sold", "Revenue"]] == [-2, -9]).all(axis=None)


def test_a_flag_that_is_none_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"returns\.when: 'Toys' is neither yes nor no"):
        read(tmp_path, mapping=ColumnMapping(returns=ReturnRule(when="Category")))


def test_shares_below_a_limit_are_refused(tmp_path: Path) -> None:
    sales = read(tmp_path, line(900, revenue=1), mapping=ColumnMapping(min_realised_share=0.2))
    assert sales.quarantine["reason"].tolist() == ["Revenue is below 0.2 of Units_Sold × Unit_Price"]


# --- foreign exports -------------------------------------------------------------------------


def test_a_german_export(tmp_path: Path) -> None:
    lines = [f"{d:02}.{m:02}.2024;Öl & Essig;1.234;2,50 €;3.085,00" for m in (1, 2) for d in range(1, 29)]
    (tmp_path / "umsatz.csv").write_bytes(
        "\n".join(["Datum;Artikel;Menge;Preis;Umsatz", *lines]).encode("cp1252")
    )
    columns = {"Transaction_Date": "Datum", "Product_Name": "Artikel", "Units_Sold": "Menge"}
    mapping = ColumnMapping(
        columns={**columns, "Unit_Price": "Preis", "Revenue": "Umsatz"},
        read=SourceOptions(decimal=",", thousands="."),
    )
    sales = read_sales(tmp_path / "umsatz.csv", mapping)
    assert sales.frame["Product_Name"].unique().tolist() == ["Öl & Essig"]
    assert (sales.frame[["Units_Sold", "Unit_Price", "Revenue"]] == [1234, 2.5, 3085]).all(axis=None)
    assert sales.frame["Transaction_Date"].iloc[-1] == pd.Timestamp("2024-02-28")
    with pytest.raises(UserError, match=r"Transaction_Date may be 'Datum'.*Units_Sold may be 'Menge'"):
        read_sales(tmp_path / "umsatz.csv")
    unset = read_sales(tmp_path / "umsatz.csv", mapping.model_copy(update={"read": SourceOptions()}))
    pd.testing.assert_frame_equal(unset.frame, sales.frame)
    assert unset.mapping.read.decimal == ","  # for the rows to predict
    english = mapping.model_copy(update={"read": SourceOptions(decimal=".")})
    with pytest.raises(UserError, match=r"read: \{decimal"):
        read_sales(tmp_path / "umsatz.csv", english)


def test_a_discount_column_and_a_price_per_line(tmp_path: Path) -> None:
    lines = [f"2024-01-{d:02},{d},{d * 4},10%" for d in range(1, 31)]
    source = written(tmp_path, *lines, header="day,qty,line total,discount")
    columns = {
        "Transaction_Date": "day",
        "Units_Sold": "qty",
        "Unit_Price": "`line total` / qty",
        "Revenue": "`line total` * (1 - discount)",
    }
    sales = read_sales(source, ColumnMapping(columns=columns))
    np.testing.assert_allclose(sales.frame["Unit_Price"], 4)
    np.testing.assert_allclose(sales.frame["Revenue"], 3.6 * np.arange(1, 31))
    assert sales.report.ignored_columns == []


def test_bad_cells_in_expressions_are_named(tmp_path: Path) -> None:
    lines = [f"2024-01-{d:02},{d},{d * 4}" for d in range(1, 31)] + [
        "2024-01-31,two,8",
        "2024-01-31,0,8",
        "2024-01-31,,8",
    ]
    source = written(tmp_path, *lines, header="Transaction_Date,qty,total")
    mapping = ColumnMapping(
        columns={"Units_Sold": "qty", "Unit_Price": "total / qty"}, max_quarantined_share=0.2
    )
    sales = read_sales(source, mapping)
    assert sales.quarantine["row"].tolist() == [32, 33, 34]
    assert "Unit_Price is not a number" in sales.quarantine["reason"][0]
    assert {"Units_Sold is zero", "Unit_Price is infinite"} <= set(sales.quarantine["reason"][1].split("; "))
    assert "Unit_Price is missing" in sales.quarantine["reason"][2]
    assert sales.report.reasons["Unit_Price is not a number"]["examples"] == ["row 32: total='8', qty='two'"]


def test_revenue_alone_is_enough(tmp_path: Path) -> None:
    source = written(tmp_path, *[f"2024-01-{d:02},{d}" for d in range(1, 31)], header="date,Revenue")
    sales = read_sales(
        source, ColumnMapping(columns={"Transaction_Date": "date"}, constants={"Category": "all"})
    )
    assert list(sales.frame) == ["Transaction_Date", "Category", "Revenue", "is_return"]
    assert sales.frame["Category"].unique().tolist() == ["all"]


def test_revenue_is_computed_where_it_is_missing(tmp_path: Path) -> None:
    header = HEADER.replace(",Revenue", "")
    lines = [",".join(cell for i, cell in enumerate(row.split(",")) if i != 6) for row in GOOD]
    sales = read(tmp_path, header=header, lines=lines)
    assert (sales.frame["Revenue"] == 10).all()
    empty = read(tmp_path, lines=[line(i, revenue="") for i in range(50)])
    assert (empty.frame["Revenue"] == 10).all()
    assert "Revenue is empty in every row; it counts as absent" in empty.report.warnings


def test_a_column_that_is_not_there_is_explained(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"columns.Region: 'Regoin' is neither a column.*Did you mean 'Region'"
    ):
        read(tmp_path, mapping=ColumnMapping(columns={"Region": "Regoin"}))
    with pytest.raises(UserError, match=r"columns.Revenue: in 'Unit_Prise \* 2', 'Unit_Prise' is no column"):
        read(tmp_path, mapping=ColumnMapping(columns={"Revenue": "Unit_Prise * 2"}))


def test_headers_may_differ_in_case_and_blanks(tmp_path: Path) -> None:
    sales = read(tmp_path, header=HEADER.replace("_", " ").upper())
    assert len(sales.frame.columns) == 10


def test_columns_that_nobody_knows_are_ignored_and_reported(tmp_path: Path) -> None:
    sales = read(tmp_path, header=HEADER + ",note", lines=[row + ",x" for row in GOOD])
    assert sales.report.ignored_columns == ["note"]
    assert "note" not in sales.frame


def test_features_are_text_unless_they_are_called_numbers(tmp_path: Path) -> None:
    lines = [f"{row},{i % 3},{i % 4}" for i, row in enumerate(GOOD)]
    mapping = ColumnMapping(features=("size", "weight"), numeric_features=("weight",))
    sales = read(
        tmp_path,
        GOOD[0].replace("T0", "T900") + ",1,heavy",
        header=HEADER + ",size,weight",
        lines=lines,
        mapping=mapping,
    )
    assert sales.frame["size"].dtype == "category" and sales.frame["weight"].dtype == float
    assert sales.quarantine["reason"].tolist() == ["weight is not a number"]


@pytest.mark.parametrize(
    ("mapping", "when"),
    [
        (ColumnMapping(date_format="%m/%d/%Y %H:%M"), "{m:02}/{d:02}/2024 10:30"),
        (ColumnMapping(), "{m}/{d}/2024 10:30 AM"),
        (ColumnMapping(), "{d}/{m}/24"),
        (ColumnMapping(), "{d:02}.{m:02}.2024"),
        (ColumnMapping(), "2024{m:02}{d:02}"),
        (ColumnMapping(), "2024/{m}/{d}"),
        (ColumnMapping(), "2024-{m:02}-{d:02} 10:30:00.123+02:00"),
        (ColumnMapping(date_format="%Y-%m-%dT%H:%M:%S%z"), "2024-{m:02}-{d:02}T23:30:00-0500"),
        (
            ColumnMapping(date_format="%m/%d/%Y %H:%M"),
            "2024-{m:02}-{d:02} 10:30:00",
        ),  # as Excel's date cells come
        (ColumnMapping(date_format="%Y-%d-%m"), "2024-{d:02}-{m:02}"),
    ],
)
def test_date_formats(tmp_path: Path, mapping: ColumnMapping, when: str) -> None:
    lines = [line(i, date=when.format(m=1 + i // 28, d=1 + i % 28)) for i in range(112)]
    sales = read(tmp_path, lines=lines, mapping=mapping)
    expected = [pd.Timestamp(2024, 1 + i // 28, 1 + i % 28) for i in range(112)]
    assert sales.frame["Transaction_Date"].dt.normalize().tolist() == expected


def test_day_and_month_are_never_guessed(tmp_path: Path) -> None:
    lines = [line(i, date=f"{1 + i % 12:02}/{1 + i % 7:02}/2024") for i in range(50)]
    with pytest.raises(UserError, match=r"the day or the month may be first.*%d/%m/%Y"):
        read(tmp_path, lines=lines)
    one_typo = [line(i, date=f"{1 + i % 28:02}/03/2024") for i in range(100)] + [line(900, date="03/31/2024")]
    assert read(tmp_path, lines=one_typo).quarantine["row"].tolist() == [102]


@pytest.mark.parametrize(("when", "day_first"), [("{d}/{m}/2024", True), ("{m}/{d}/2024", False)])
def test_the_order_of_day_and_month_is_remembered(tmp_path: Path, when: str, day_first: bool) -> None:
    lines = [line(i, date=when.format(m=1 + i // 28, d=1 + i % 28)) for i in range(112)]
    trained = read(tmp_path, lines=lines).mapping
    assert trained == ColumnMapping(day_first=day_first)
    few = written(tmp_path, line(1, date=when.format(m=4, d=3)), name="few.csv")
    assert read_prediction_rows(few, fallback=trained).frame["Transaction_Date"].tolist() == [
        pd.Timestamp("2024-04-03")
    ]
    with pytest.raises(UserError, match="day_first: true or day_first: false"):
        read_prediction_rows(few)
    other = written(tmp_path, line(1, date="5/20/2024" if day_first else "20/5/2024"), name="other.csv")
    with pytest.raises(UserError, match=rf"does not fit day_first: {str(day_first).lower()}"):
        read_prediction_rows(other, fallback=trained)
    dots = written(tmp_path, line(1, date="03.04.2024"), name="dots.csv")
    assert read_prediction_rows(dots, fallback=trained).frame["Transaction_Date"].tolist() == [
        pd.Timestamp("2024-04-03")
    ]


def test_dots_and_iso_dates_tell_nothing_of_slashes(tmp_path: Path) -> None:
    assert read(tmp_path).mapping.day_first is None
    dots = [line(i, date=f"{1 + i % 28:02}.03.2024") for i in range(100)]
    assert read(tmp_path, lines=dots).mapping.day_first is None


def test_day_names_and_month_names() -> None:
    found = parse_dates(pd.Series(["5 March 2024", "Mar 5, 2024", "05-Mar-24", "Tue, 5 Mar 2024 10:00:00"]))
    assert set(found.data.astype("datetime64[D]").astype(str)) == {"2024-03-05"}
    assert parse_dates(pd.Series(["March 2024", "Mar", "12 marbles"])).bad.all()


def test_numbers_as_people_write_them() -> None:
    found = parse_numbers(
        pd.Series(["1 234", "1\u202f234,5", "12 34"]), SourceOptions(decimal=",", thousands=" ")
    )
    np.testing.assert_array_equal(found.data, [1234, 1234.5, np.nan])
    found = parse_numbers(
        pd.Series(["1,234.5", "12,34", "$1,000", "-1,000.00", "1,234,5"]), SourceOptions(thousands=",")
    )
    np.testing.assert_array_equal(found.data, [1234.5, np.nan, 1000, -1000, np.nan])
    assert parse_numbers(pd.Series(["0x10", "1_000", "1e", "one", "--1", "1.2.3"])).bad.all()


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("EUR 12.50", 12.5),
        ("eur12.50", 12.5),
        ("12.50EUR", 12.5),
        ("12 kr", 12),
        ("kr. 12", 12),
        ("-12.5 USD", -12.5),
        ("CHF -12.5", -12.5),
        ("-CHF 12.5", -12.5),
        ("(12.50 GBP)", -12.5),
        ("12.50- EUR", -12.5),
        ("US$ 12.50", 12.5),
        ("R$12", 12),
        ("Rs. 500", 500),
        ("12 zł", 12),
        ("12 pcs", np.nan),
        ("12 doz", np.nan),
        ("EURO-Pallet 12", np.nan),
        ("EUR", np.nan),
        ("12 EUR each", np.nan),
    ],
)
def test_amounts_with_a_currency(text: str, number: float) -> None:
    found = parse_numbers(pd.Series([text, "1"]))
    np.testing.assert_array_equal(found.data, [number, 1])
    assert found.bad.tolist() == [bool(np.isnan(number)), False]


def test_a_german_amount_with_its_currency() -> None:
    cells = pd.Series(["1.234,50 €", "EUR 1.234,50", "1.234,50 Euro"])
    assert parse_numbers(cells, SourceOptions(decimal=",", thousands=".")).data.tolist() == [1234.5] * 3


def test_amounts_in_two_currencies_do_not_add_up(tmp_path: Path) -> None:
    found = parse_numbers(pd.Series(["EUR 5", "6 €", "USD 7", "$8", "9"]))
    np.testing.assert_array_equal(found.data, [5, 6, np.nan, np.nan, 9])
    lines = [line(i, price=f"{'USD' if i % 4 else 'EUR'} 5.00") for i in range(200)]
    with pytest.raises(UserError, match=r"Unit_Price='EUR 5.00'(.|\n)*several currencies do not add up"):
        read(tmp_path, lines=lines)


def test_pieces_are_taken_off_by_the_mapping(tmp_path: Path) -> None:
    lines = [line(i, units="2 pcs") for i in range(200)]
    with pytest.raises(UserError, match=r"replace\(Units_Sold, 'pcs', ''\)"):
        read(tmp_path, lines=lines)
    sales = read(
        tmp_path, lines=lines, mapping=ColumnMapping(columns={"Units_Sold": "replace(Units_Sold, 'pcs', '')"})
    )
    assert (sales.frame["Units_Sold"] == 2).all() and sales.quarantine.empty


# --- small, weekly, large ----------------------------------------------------------------------


def test_weekly_rows(tmp_path: Path) -> None:
    days = [str(np.datetime64("2023-01-02") + 7 * i) for i in range(100)]
    source = written(tmp_path, *[line(i, date=day) for i, day in enumerate(days)])
    weekly = read_sales(source, ColumnMapping(frequency="weekly"), now=NOW)
    assert (weekly.report.frequency, weekly.report.days_without_sale) == ("weekly", 0)
    assert not any("weekly" in warning for warning in weekly.report.warnings)
    daily = read_sales(source, now=NOW)
    assert any("set frequency: weekly" in warning for warning in daily.report.warnings)


def test_240_rows_of_three_months(tmp_path: Path) -> None:
    lines = [line(i, date=str(np.datetime64("2024-01-01") + i % 90)) for i in range(240)]
    report = read(tmp_path, lines=lines).report
    assert (report.rows_accepted, report.days, report.days_without_sale) == (240, 90, 0)


def test_closed_weekdays_are_no_days_without_sale(tmp_path: Path) -> None:
    days = pd.bdate_range("2024-01-01", periods=60)
    source = written(tmp_path, *[line(i, date=str(day.date())) for i, day in enumerate(days)])
    assert read_sales(source, now=NOW).report.days_without_sale == 22
    closed = ColumnMapping(closed_weekdays=("saturday", "sunday"))
    assert read_sales(source, closed, now=NOW).report.days_without_sale == 0
    monday = read_sales(source, ColumnMapping(closed_weekdays=("monday",)), now=NOW)
    assert any("12 days with sales fall on a weekday" in warning for warning in monday.report.warnings)


FAR = "Transaction_Date is more than two years from all other sales"


@pytest.mark.parametrize(
    ("days", "quarantined"),
    [
        (["1900-01-01"], 1),
        (["1900-01-01"] * 8, 8),  # a date that stands for none
        (["1900-01-01", "1970-01-01", "2021-06-01"], 3),
        (["2021-06-01", "2021-06-03"], 2),
        (["2022-06-01"], 0),
        ([f"2019-03-{d:02}" for d in range(1, 11)], 0),  # a company that paused
        ([f"2019-03-{d:02}" for d in range(1, 11)] + ["1900-01-01"], 1),
    ],
)
def test_dates_far_from_the_others_are_quarantined(tmp_path: Path, days: list[str], quarantined: int) -> None:
    bad = [line(900 + i, date=day) for i, day in enumerate(days)]
    sales = read(tmp_path, *bad, mapping=ColumnMapping(max_rejected_revenue_share=0.05))
    assert sales.quarantine["reason"].tolist() == [FAR] * quarantined
    assert sales.report.rows_accepted == 200 + len(days) - quarantined
    kept = read(tmp_path, *bad, mapping=ColumnMapping(far_dates="keep"))
    assert kept.quarantine.empty
    assert any(f"First {min(days)}" in warning for warning in kept.report.warnings)


def test_a_far_date_does_not_stop_training(tmp_path: Path) -> None:
    lines = [line(i, date=str(np.datetime64("2024-01-01") + i % 300)) for i in range(1000)]
    prepared = prepare_sales(read(tmp_path, line(9000, date="1900-01-01"), lines=lines))
    assert (len(prepared.revenue), prepared.daily.index[0]) == (1000, pd.Timestamp("2024-01-01"))


@pytest.mark.slow
def test_a_million_rows(tmp_path: Path) -> None:
    rows = 1_000_000
    random = np.random.default_rng(0)
    units, price = random.integers(1, 9, rows), random.integers(100, 9999, rows) / 100
    frame = pd.DataFrame(
        {
            "Transaction_ID": np.arange(rows),
            "Transaction_Date": np.datetime64("2023-01-01") + random.integers(0, 700, rows),
            "Category": random.choice(["a", "b"], rows),
            "Units_Sold": units,
            "Unit_Price": price,
            "Revenue": (units * price * 0.9).round(2),
        }
    )
    frame.to_csv(tmp_path / "many.csv", index=False)
    sales = read_sales(tmp_path / "many.csv", now=NOW)
    assert len(sales.frame) == rows
    np.testing.assert_array_equal(sales.frame["Revenue"], frame["Revenue"])


# --- persons --------------------------------------------------------------------------------------


def test_personal_cells_are_never_shown(tmp_path: Path) -> None:
    lines = [f"{row},phone{i}" for i, row in enumerate(GOOD)]
    bad = [line(900, units="x") + ",phone900", line(901, customer="y" * 10_001) + ",phone901"]
    mapping = ColumnMapping(columns={"Customer_ID": "Customer_ID"}, personal=("Customer_ID", "phone"))
    report = read(tmp_path, *bad, header=HEADER + ",phone", lines=lines, mapping=mapping).report
    console = Console(width=200, record=True, file=(tmp_path / "out").open("w"))
    console.print(report)
    for text in (json.dumps(report.to_dict()), console.export_text()):
        assert "phone9" not in text and "C900" not in text and "yyy" not in text
    assert "row 202: Units_Sold='x'" in json.dumps(report.to_dict())


def test_personal_columns_are_pseudonymised_on_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [line(i, customer=f"C{i % 3}") for i in range(100)]
    mapping = ColumnMapping(pseudonymise=True)
    monkeypatch.delenv("SALESFORECAST_PSEUDONYM_KEY", raising=False)
    settings.cache_clear()
    with pytest.raises(UserError, match="SALESFORECAST_PSEUDONYM_KEY"):
        read(tmp_path, lines=lines, mapping=mapping)
    found = []
    for key in ("one", "two"):
        monkeypatch.setenv("SALESFORECAST_PSEUDONYM_KEY", key)
        settings.cache_clear()
        sales = read(tmp_path, line(900, units="x", customer="C1"), lines=lines, mapping=mapping)
        assert sales.frame["Customer_ID"].nunique() == 3
        assert sales.quarantine["Customer_ID"][0] == sales.frame["Customer_ID"].iloc[1]
        assert not sales.frame["Customer_ID"].astype(str).str.startswith("C").any()
        found.append(sales.frame["Customer_ID"].iloc[0])
    settings.cache_clear()
    assert found[0] != found[1]


# --- rows to predict ----------------------------------------------------------------------------


def test_rows_to_predict_keep_their_places(tmp_path: Path) -> None:
    bad = {
        "Units_Sold is not a number": line(1, units="x"),
        "Units_Sold is missing": line(2, units=""),
        "Unit_Price is negative": line(3, price=-1),
        "Unit_Price is infinite": line(4, price="inf"),
        "Transaction_Date is not a date": line(5, date="soon"),
        "Transaction_Date is missing": line(6, date=""),
        "8 cells instead of 9": line(7).rpartition(",")[0],
    }
    fine = [
        line(8, price=0),
        line(9, units=-2),
        line(10, revenue="?"),
        line(11, date="2099-01-01"),
        line(8, price=0),
    ]
    rows = read_prediction_rows(written(tmp_path, *bad.values(), *fine))
    assert rows.problems.tolist() == [*bad, *[""] * 5]
    assert rows.raw["Transaction_ID"].tolist() == [f"T{i}" for i in [*range(1, 12), 8]]
    assert len(rows.frame) == len(rows.raw) == 12
    assert rows.frame["is_return"].tolist() == [False] * 8 + [True] + [False] * 3
    assert rows.frame["Units_Sold"].iloc[8] == -2


def test_rows_to_predict_need_no_date_and_no_revenue(tmp_path: Path) -> None:
    rows = read_prediction_rows(written(tmp_path, "2,5.0,Toys", header="Units_Sold,Unit_Price,Category"))
    assert rows.problems.tolist() == [""]
    assert rows.frame["Transaction_Date"].isna().all()
    assert rows.frame["Transaction_Date"].dtype == "datetime64[ns]"


def test_the_layout_of_the_training_or_the_canonical_one(tmp_path: Path) -> None:
    trained = ColumnMapping(
        columns={
            "Units_Sold": "qty",
            "Unit_Price": "total / qty",
            "Transaction_Date": "day",
            "shelf": "Regal",
        },
        features=("shelf",),
        date_format="%d.%m.%Y",
        read=SourceOptions(delimiter=";"),
    )
    foreign = written(tmp_path, "31.01.2024;2;10;A1", header="day;qty;total;Regal", name="foreign.csv")
    rows = read_prediction_rows(foreign, fallback=trained)
    assert rows.frame[["Units_Sold", "Unit_Price", "shelf"]].to_numpy().tolist() == [[2, 5, "A1"]]
    canonical = written(
        tmp_path, "2024-01-31,2,5,A1", header="Transaction_Date,Units_Sold,Unit_Price,shelf", name="c.csv"
    )
    rows = read_prediction_rows(canonical, fallback=trained)
    assert rows.frame[["Units_Sold", "Unit_Price", "shelf"]].to_numpy().tolist() == [[2, 5, "A1"]]
    assert rows.frame["Transaction_Date"].tolist() == [pd.Timestamp("2024-01-31")]
    assert rows.problems.tolist() == [""]


# --- expressions -----------------------------------------------------------------------------------

TABLE = ExpressionContext(
    pd.DataFrame({"a": ["1", "2", "x", None], "b c": ["4", "0", "5", "6"], "t": ["S", "r ", None, "S"]})
)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("a + 1", [2, 3, np.nan, np.nan]),
        ("-a * `b c`", [-4, 0, np.nan, np.nan]),
        ("a / `b c`", [0.25, np.inf, np.nan, np.nan]),
        ("abs(a - 3)", [2, 1, np.nan, np.nan]),
        ("round(a / 3, 1)", [0.3, 0.7, np.nan, np.nan]),
        ("where(t == 'S', a, 0)", [1, 0, 0, np.nan]),
        ("coalesce(number(a), 0)", [1, 2, 0, 0]),
        ("(a > 1) | (t == 'S')", [True, True, False, True]),
        ("~(a > 1) & (t != 'S')", [False, False, True, False]),
        ("isnull(t)", [False, False, True, False]),
        ("contains(lower(t), 'r')", [False, True, False, False]),
        ("t == lower(t)", [False, True, False, False]),
    ],
)
def test_expressions(expression: str, value: list) -> None:
    np.testing.assert_array_equal(evaluate_expression(expression, TABLE, "columns.x").value, value)


def test_text_expressions() -> None:
    assert evaluate_expression("replace(t, 'S', '')", TABLE, "x").value.cells.fillna("?").tolist() == [
        "",
        "r",
        "?",
        "",
    ]
    assert evaluate_expression("join(t, '-', a)", TABLE, "x").value.cells.tolist() == [
        "S-1",
        "r-2",
        "-x",
        "S-",
    ]
    assert evaluate_expression("where(t == 'S', t, 'other')", TABLE, "x").value.cells.tolist() == [
        "S",
        "other",
        "other",
        "S",
    ]


@pytest.mark.parametrize(
    "expression",
    [
        "a.cells",
        "a.__class__",
        "__import__('os')",
        "a[0]",
        "a if t else t",
        "lambda: 0",
        "[1]",
        "f'{a}'",
        "a := 1",
        "a; t",
        "2 ** 99",
        "'x' * 9",
        "a and t",
        "abs()",
        "nope(a)",
        "a +",
        "(a > 1) | 3",
        "a > 1 | t == 'S'",
    ],
)
def test_nothing_else_is_an_expression(expression: str) -> None:
    with pytest.raises(UserError, match=r"columns\.x"):
        evaluate_expression(expression, TABLE, "columns.x")


# --- the real files ------------------------------------------------------------------------------------


def test_online_retail_reads(real_data: Path) -> None:
    sales = read_sales(
        real_data / "online_retail.csv.gz", load_mapping(ROOT / "data/mappings/online_retail.yaml")
    )
    report, frame = sales.report, sales.frame
    assert report.rows_read == 541_909
    assert {reason: seen["count"] for reason, seen in report.reasons.items()} == {
        "Unit_Price is zero or negative": 2_517,
        "Revenue is negative and the row is no return": 2,
    }
    assert frame["Revenue"].sum() == pytest.approx(
        9_769_872.054
    )  # equal lines of an invoice are separate sales
    assert report.rows_accepted + report.rows_quarantined == report.rows_read
    assert (report.first_date, report.last_date) == ("2010-12-01", "2011-12-09")
    assert report.returns == frame["is_return"].sum() > 9_000
    assert (frame.loc[frame["is_return"], "Revenue"] < 0).all() and (
        frame.loc[~frame["is_return"], "Revenue"] > 0
    ).all()
    assert any("£" in name for name in frame["Product_Name"].cat.categories)
    assert frame.loc[2, ["Product_ID", "Units_Sold", "Unit_Price"]].tolist() == ["85123A", 6, 2.55]


def test_complete_journey_reads(real_data: Path) -> None:
    mapping = load_mapping(ROOT / "data/mappings/complete_journey.yaml")
    sales = read_sales(real_data / "complete_journey.csv.gz", mapping)
    assert sales.report.rows_read == 75_000
    assert 0.005 < sales.report.rows_quarantined / 75_000 < 0.007
    share = sales.frame["Revenue"] / (sales.frame["Units_Sold"] * sales.frame["Unit_Price"])
    assert share.between(0, 1 + 1e-6).all() and share.median() < 1
    assert {"product_category", "product_type", "brand", "Region"} <= set(sales.frame)
    raw = read_prediction_rows(real_data / "complete_journey.csv.gz", mapping)
    assert len(raw.frame) == 75_000 and (raw.problems != "").mean() < 0.01


def test_a_report_of_nothing_but_returns_is_json(tmp_path: Path) -> None:
    sales = read(tmp_path, lines=[line(i, units=-2, revenue="-9.00") for i in range(30)])
    report = sales.report
    with pytest.raises(UserError, match=r"all 30 are returns, as 'Units_Sold < 0' says"):
        prepare_sales(sales)
    assert report.returns == 30
    assert report.share_quantiles == {}
    json.dumps(report.to_dict(), allow_nan=False)


@pytest.mark.parametrize(("units", "total"), [(2, "-9.00"), (-2, "9.00"), (-2, "-9.00"), (2, "9.00")])
def test_a_price_computed_from_a_credit_note_is_positive(tmp_path: Path, units: int, total: str) -> None:
    mapping = ColumnMapping(
        columns={"Unit_Price": "Revenue / Units_Sold"}, returns=ReturnRule(when="Transaction_ID == 'CN'")
    )
    sales = read(tmp_path, line(900, id="CN", units=units, revenue=total), mapping=mapping)
    assert sales.report.reasons == {}
    assert sales.frame.loc[202, ["Units_Sold", "Unit_Price", "Revenue"]].tolist() == [-2, 4.5, -9]


def test_an_empty_discount_and_a_refund_are_told_the_fix(tmp_path: Path) -> None:
    header = "Transaction_Date,total,discount"
    lines = [f"2024-01-{i % 28 + 1:02d},9.00,{'10%' if i % 2 else ''}" for i in range(60)]
    naive = ColumnMapping(columns={"Revenue": "total * (1 - discount)"})
    with pytest.raises(UserError, match=r"Revenue is missing(.|\n)*coalesce\(discount, 0\)"):
        read(tmp_path, header=header, lines=lines, mapping=naive)
    right = ColumnMapping(columns={"Revenue": "total * (1 - coalesce(discount, 0))"})
    assert read(tmp_path, header=header, lines=lines, mapping=right).frame["Revenue"].iloc[0] == 9
    refunds = [f"2024-01-{i % 28 + 1:02d},{-9 if i % 4 else 9}.00," for i in range(60)]
    with pytest.raises(UserError, match=r"returns: \{when: Revenue < 0\}"):
        read(tmp_path, header=header, lines=refunds, mapping=ColumnMapping(columns={"Revenue": "total"}))


def test_the_report_hints_at_refunds_when_the_run_goes_on(tmp_path: Path) -> None:
    refunds = [f"2024-01-{i % 28 + 1:02d},{-9 if i % 30 == 0 else 9}.00" for i in range(60)]
    sales = read(tmp_path, header="Transaction_Date,Revenue", lines=refunds)
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(sales.report)
    said = console.export_text()
    assert sales.report.rows_quarantined == 2
    assert "What may help: Say what marks a return" in said and "returns: {when: Revenue < 0}" in said


def test_an_infinite_feature_is_refused(tmp_path: Path) -> None:
    lines = [f"{good},{i % 30}" for i, good in enumerate(GOOD)]
    mapping = ColumnMapping(features=("warmth",), numeric_features=("warmth",))
    sales = read(tmp_path, line(900) + ",-inf", header=HEADER + ",warmth", lines=lines, mapping=mapping)
    assert sales.quarantine[["row", "reason"]].values.tolist() == [[202, "warmth is infinite"]]


def test_inputs_are_within_float32(tmp_path: Path) -> None:
    prepared = prepare_sales(read(tmp_path))
    columns = {name: values[:3] for name, values in prepared.columns.items()}
    columns["Units_Sold"] = np.array([1e300, 1e39, 2.0])
    assert np.isfinite(model_inputs(prepared.preprocessor, prepared.history, columns)[:, :2]).all()


@pytest.mark.parametrize("amount", ["1e17", "1e300"])
def test_a_sum_beyond_integers_is_refused_and_not_wrapped(tmp_path: Path, amount: str) -> None:
    lines = [f"{pd.Timestamp('2024-01-01') + pd.Timedelta(days=i):%Y-%m-%d},9" for i in range(90)]
    sales = read(
        tmp_path,
        f"2024-02-01,{amount}",
        mapping=ColumnMapping(odd_rows="keep"),
        header="Transaction_Date,Revenue",
        lines=lines,
    )
    with pytest.raises(UserError, match=r"revenue of all rows adds up to 1e\+.*mapped wrongly"):
        prepare_sales(sales)


@pytest.mark.parametrize("cells", [["45292", "45292.75", "x", ""], [45292.0, 45292.75, "x", None]])
def test_days_that_excel_counts(cells: list) -> None:
    found = parse_dates(pd.Series(cells, dtype=object), "excel")
    assert [str(day) for day in found.data[:2]] == [
        "2024-01-01T00:00:00.000000000",
        "2024-01-01T18:00:00.000000000",
    ]
    assert np.isnat(found.data[2:]).all()
    assert found.bad.tolist() == [False, False, True, False]


def test_days_that_excel_counts_are_told_the_fix(tmp_path: Path) -> None:
    lines = [line(i, date=45292 + i) for i in range(30)]
    sales = read(tmp_path, lines=lines)
    assert sales.frame["Transaction_Date"].min() == pd.Timestamp("2024-01-01")
    assert "Transaction_Date: 45292 is one of days as Excel counts them" in sales.report.warnings
    assert len(read(tmp_path, lines=lines, mapping=ColumnMapping(date_format="excel")).frame) == 30
    mixed = [line(i, date=45292 + i) if i % 2 else line(i) for i in range(30)]
    with pytest.raises(UserError, match="date_format: excel"):
        read(tmp_path, lines=mixed)


@pytest.mark.parametrize(
    ("reason", "example", "hint"),
    [
        ("Transaction_Date is not a date", "row 2: day='1641168000'", "date_format: unix"),
        ("Transaction_Date is not a date", "row 2: day='1641168000000'", "date_format: unix_ms"),
        ("Transaction_Date is not a date", "row 2: day='2022-W01'", "date_format: iso_week"),
        ("Transaction_Date is not a date", "row 2: day='45292'", "date_format: excel"),
        ("Transaction_Date is not a date", "row 2: day='soon'", "date_format: '%d/%m/%Y'"),
        ("Transaction_Date is missing", "row 3: day=''", "fill_down: [Date]"),
        ("Units_Sold is not a number", "row 2: Net qty='2 pcs'", "replace(`Net qty`, 'pcs', '')"),
        ("Revenue is not a number", "row 2: total='12,50 €'", "where: not contains(total, '€')"),
        ("Revenue is not a number", "row 2: total='1.234,5.6'", "read: {decimal: ','"),
        ("2 cells instead of 1", "row 2", "read: {skip_rows: 3}"),
        ("10 cells instead of 9", "row 2", "read: {delimiter: ';'}"),
        ("Discount is missing", "row 2: discount=''", "coalesce(discount, 0)"),
    ],
)
def test_a_hint_looks_at_the_value(reason: str, example: str, hint: str) -> None:
    hints = suggest_fixes({reason: {"count": 1, "examples": [example]}})
    assert len(hints) == 1 and hint in hints[0] + "'"


def test_a_word_in_the_units_is_no_missing_amount() -> None:
    assert suggest_fixes({"Revenue is missing": {"count": 1, "examples": ["row 2: qty='2 pcs'"]}}) == []
    days = suggest_fixes({"Transaction_Date is missing": {"count": 1, "examples": ["row 3: day=''"]}})
    assert "coalesce" not in days[0]


def test_a_header_below_titles_that_nobody_found_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"one column.*read: \{skip_rows: 3\}"):
        read(tmp_path, header="Report of all shops", lines=["2024-01-05,9.00"] * 20)
