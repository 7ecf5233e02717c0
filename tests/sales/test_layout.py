"""Relations between rows: totals, repeated headers, filling down, filters, wide tables, packed items, repeats."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from salesforecast.core.settings import UserError
from salesforecast.sales.reading import SalesData, read_prediction_rows, read_sales
from salesforecast.sales.schema import ColumnMapping

COLUMNS = {"Transaction_Date": "Date", "Product_Name": "Item", "Units_Sold": "Qty", "Revenue": "Amount"}
MAPPING = ColumnMapping(columns=COLUMNS)


def sales_of_a_shop(days: int = 60, seed: int = 0) -> pd.DataFrame:
    """Three sales a day, all different in money."""
    random = np.random.default_rng(seed)
    dates = np.repeat(pd.date_range("2026-01-01", periods=days).strftime("%Y-%m-%d"), 3)
    units = random.integers(1, 9, len(dates))
    price = random.uniform(3, 90, len(dates)).round(2)
    items = random.choice(["Shirt", "Oil", "Tea", "Lamp"], len(dates))
    return pd.DataFrame({"Date": dates, "Item": items, "Qty": units, "Amount": (units * price).round(2)})


def with_totals(frame: pd.DataFrame, *, label: str, grand: str, dated: bool) -> pd.DataFrame:
    """The table with a subtotal after each month and a grand total at its end."""
    parts = []
    for month, rows in frame.groupby(frame["Date"].str[:7]):
        total = {"Date": rows["Date"].iloc[-1] if dated else "", "Item": label.format(month=month)}
        total |= {"Qty": rows["Qty"].sum(), "Amount": round(rows["Amount"].sum(), 2)}
        parts += [rows, pd.DataFrame([total])]
    total = {"Date": frame["Date"].iloc[-1] if dated else "", "Item": grand}
    total |= {"Qty": frame["Qty"].sum(), "Amount": round(frame["Amount"].sum(), 2)}
    return pd.concat([*parts, pd.DataFrame([total])], ignore_index=True)


def read_text(text: str, folder: Path, mapping: ColumnMapping = MAPPING) -> SalesData:
    """Sales of a CSV file with this text."""
    (folder / "export.csv").write_text(text)
    return read_sales(folder / "export.csv", mapping)


def read(frame: pd.DataFrame, folder: Path, mapping: ColumnMapping = MAPPING) -> SalesData:
    """Sales of a table, written as CSV."""
    return read_text(frame.to_csv(index=False), folder, mapping)


@pytest.mark.parametrize("dated", [True, False])
@pytest.mark.parametrize(
    ("label", "grand"),
    [
        ("Subtotal {month}", "Grand total"),
        ("Zwischensumme", "Gesamtsumme"),
        ("Total {month}", "Total"),
        ("{month} Total", "TOTAL:"),
        ("Sous-total", "Total général"),
        ("小計", "合計"),
        ("", ""),
        ("*", "All items"),
    ],
)
def test_totals_are_left_out(tmp_path: Path, label: str, grand: str, dated: bool) -> None:
    frame = sales_of_a_shop(100)
    table = with_totals(frame, label=label, grand=grand, dated=dated)
    sales = read(table, tmp_path)
    assert sales.frame["Revenue"].sum() == pytest.approx(frame["Amount"].sum())
    assert len(sales.frame) == len(frame)
    (note,) = [note for note in sales.report.warnings if "of other rows" in note]
    assert f"left out {len(table) - len(frame)}" in note and "totals: keep" in note


def test_totals_of_days_months_and_all(tmp_path: Path) -> None:
    frame = sales_of_a_shop(60)
    days = [
        pd.concat([rows, pd.DataFrame([{"Item": "Total", "Amount": round(rows["Amount"].sum(), 2)}])])
        for _, rows in frame.groupby("Date")
    ]
    whole = pd.DataFrame([{"Item": "Total", "Amount": round(frame["Amount"].sum(), 2)}])
    sales = read(pd.concat([*days, whole]), tmp_path)
    assert sales.frame["Revenue"].sum() == pytest.approx(frame["Amount"].sum())


def test_totals_with_dates_and_nothing_else(tmp_path: Path) -> None:
    days = sales_of_a_shop(35).groupby("Date", as_index=False)["Amount"].sum().round(2)
    weeks = [days.iloc[i : i + 7] for i in range(0, 35, 7)]
    totals = [
        pd.DataFrame([{"Date": w["Date"].iloc[-1], "Amount": round(w["Amount"].sum(), 2)}]) for w in weeks
    ]
    table = pd.concat([part for pair in zip(weeks, totals, strict=True) for part in pair])
    mapping = ColumnMapping(columns={"Transaction_Date": "Date", "Revenue": "Amount"})
    assert read(table, tmp_path, mapping).frame["Revenue"].sum() == pytest.approx(days["Amount"].sum())


def test_a_product_may_be_called_total(tmp_path: Path) -> None:
    frame = sales_of_a_shop(300)
    frame.loc[frame["Item"] == "Tea", "Item"] = "Total Zero Yoghurt"
    sales = read(frame, tmp_path)
    assert sales.frame["Revenue"].sum() == pytest.approx(frame["Amount"].sum())
    assert not any("total" in note for note in sales.report.warnings)
    frame.loc[frame.index[10:12], "Item"] = "Total"
    sales = read(frame, tmp_path)
    assert sales.frame["Revenue"].sum() == pytest.approx(frame["Amount"].sum())
    assert any("called total" in note and "rows 12, 13" in note for note in sales.report.warnings)


def test_much_money_in_doubt_is_asked_for(tmp_path: Path) -> None:
    frame = sales_of_a_shop()
    total = {"Date": "2026-03-01", "Item": "Total", "Qty": 1, "Amount": frame["Amount"].sum() + 500}
    table = pd.concat([frame, pd.DataFrame([total])])
    with pytest.raises(UserError, match="row 182.*may be totals.*totals: keep"):
        read(table, tmp_path)
    left = MAPPING.model_copy(update={"where": "Item != 'Total'"})
    with pytest.raises(UserError, match="may be totals"):
        read(table, tmp_path, left.model_copy(update={"where": None}))
    assert len(read(table, tmp_path, left).frame) == len(frame)


def test_totals_are_kept_on_demand(tmp_path: Path) -> None:
    frame = with_totals(sales_of_a_shop(), label="Subtotal", grand="Grand total", dated=True)
    sales = read(frame, tmp_path, MAPPING.model_copy(update={"totals": "keep", "odd_rows": "keep"}))
    assert len(sales.frame) == len(frame)


@pytest.mark.parametrize("seed", range(30))
def test_plain_sales_lose_nothing(tmp_path: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    frame = sales_of_a_shop(30, seed)
    frame["Amount"] = random.choice(
        [5.0, 10.0, 15.0, 20.0, 30.0], len(frame)
    )  # many equal the sum of two others
    frame["Item"] = frame["Item"].mask(random.random(len(frame)) < 0.1, "")
    sales = read(frame, tmp_path, MAPPING.model_copy(update={"duplicates": "keep"}))
    assert sales.frame["Revenue"].sum() == frame["Amount"].sum()


def test_repeated_headers_and_remarks(tmp_path: Path) -> None:
    text = sales_of_a_shop(20).to_csv(index=False)
    lines = text.splitlines()
    lines[30:30] = [lines[0], "Branch North,,,"]
    sales = read_text("\n".join([*lines, "Printed by Ann,,,"]), tmp_path)
    assert len(sales.frame) == 60 and sales.quarantine.empty
    assert sales.frame.index.tolist() == [*range(2, 31), *range(33, 64)]
    assert any("left out 1 repeated header line (row 31)" in note for note in sales.report.warnings)


def test_merged_dates_are_filled_down(tmp_path: Path) -> None:
    frame = sales_of_a_shop(40)
    merged = frame.assign(Date=frame["Date"].mask(frame["Date"].duplicated()))
    sales = read(merged, tmp_path)
    assert sales.frame["Transaction_Date"].dt.strftime("%Y-%m-%d").tolist() == frame["Date"].tolist()
    assert any("fill_down: [Date]" in note for note in sales.report.warnings)


def test_a_missing_day_is_not_filled(tmp_path: Path) -> None:
    days = pd.Series(pd.date_range("2026-01-01", periods=40).strftime("%Y-%m-%d"))
    frame = pd.DataFrame({"Date": days.mask(np.arange(40) % 3 == 1), "Amount": np.arange(1.0, 41)})
    with pytest.raises(UserError, match="fill_down") as error:
        read(frame, tmp_path, ColumnMapping(columns={"Transaction_Date": "Date", "Revenue": "Amount"}))
    assert "coalesce" not in str(error.value)


ORDERS = """Name,Status,Total,Date,Sku,Qty,Price
#1,paid,57.9,2026-01-01,C,3,16
#1,,,,A,1,9.9
#2,refunded,19.8,2026-01-02,A,2,9.9
#2,,,,C,1,16
#3,paid,32,2026-01-03,C,1,16
#3,,,,C,1,16
#4,,5,2026-01-04,B,1,5
#4,,,,A,1,9.9
"""
ORDER_MAPPING = ColumnMapping(
    columns={
        **{"Transaction_ID": "Name", "Transaction_Date": "Date", "Product_ID": "Sku"},
        **{"Units_Sold": "Qty", "Unit_Price": "Price"},
    }
)


def test_orders_with_their_fields_on_the_first_line(tmp_path: Path) -> None:
    sales = read_text(ORDERS, tmp_path, ORDER_MAPPING)
    assert sales.frame["Revenue"].sum() == pytest.approx(48 + 9.9 + 19.8 + 16 + 32 + 5 + 9.9)
    assert any("Total are amounts of the whole order" in note for note in sales.report.warnings)
    paid = ORDER_MAPPING.model_copy(update={"where": "Status == 'paid'"})
    assert read_text(ORDERS, tmp_path, paid).frame["Revenue"].sum() == pytest.approx(48 + 9.9 + 32)


def test_what_the_filter_leaves_out_is_told(tmp_path: Path) -> None:
    frame = sales_of_a_shop()
    chosen = MAPPING.model_copy(update={"where": "Item not in ('Lamp', 'Tea') and Qty is not missing"})
    kept = frame[~frame["Item"].isin(["Lamp", "Tea"])]
    sales = read(frame, tmp_path, chosen)
    assert sales.frame["Revenue"].sum() == pytest.approx(kept["Amount"].sum())
    (note,) = [note for note in sales.report.warnings if note.startswith("where left out")]
    assert f"{len(frame) - len(kept)} of {len(frame)} rows" in note
    assert f"{frame['Amount'].sum() - kept['Amount'].sum():,.2f}" in note
    with pytest.raises(UserError, match="no row meets"):
        read(frame, tmp_path, MAPPING.model_copy(update={"where": "Item == 'shirt'"}))
    odd = read(frame, tmp_path, MAPPING.model_copy(update={"where": "Item != 'cancelled'"}))
    assert any("left out no row" in note for note in odd.report.warnings)


@pytest.mark.parametrize("form", ["%Y-%m-%d", "%d.%m.%Y", "%d/%m/%Y", "%b %Y", "%Y-%m", "%G-W%V"])
def test_wide_tables(tmp_path: Path, form: str) -> None:
    step = "D" if "%d" in form else "MS" if "W" not in form else "W-MON"
    dates = pd.date_range("2024-01-01", periods=20, freq=step)
    wide = pd.DataFrame({date.strftime(form): [i % 3, i + 1.0] for i, date in enumerate(dates)})
    wide.insert(0, "Product_ID", ["A", "B"])
    wide.loc[2] = ["Total", *wide.iloc[:, 1:].sum()]
    with pytest.raises(UserError, match=r"wide.*melt: \{value: Units_Sold\}"):
        read(wide, tmp_path, ColumnMapping())
    sales = read(wide, tmp_path, ColumnMapping(melt={"value": "Revenue"}))
    assert sales.frame["Revenue"].sum() == wide.iloc[:2, 1:].to_numpy().sum()
    assert sorted(sales.frame["Transaction_Date"].unique()) == list(dates)
    assert set(sales.frame.index) == {2, 3}


def test_packed_items(tmp_path: Path) -> None:
    text = (
        "order_id,order_date,order_total,line_items\n"
        "7,2026-01-05,47.90,name:Shirt|quantity:2|total:38.00; name:Oil; extra|quantity:1|total:9.90\n"
        "8,2026-01-06,4.50,name:Tea|quantity:1|total:4.50\n"
        '9,2026-01-07,9.90,"[{""name"": ""Oil"", ""quantity"": 1, ""total"": 9.9}]"\n'
        "10,2026-01-08,3,gift\n"
    )
    columns = {"Transaction_ID": "order_id", "Transaction_Date": "order_date", "Product_Name": "name"}
    columns |= {"Units_Sold": "quantity", "Revenue": "total"}
    mapping = ColumnMapping(columns=columns, unpack="line_items", max_quarantined_share=0.5)
    sales = read_text(text, tmp_path, mapping)
    assert sales.frame["Revenue"].sum() == pytest.approx(62.30)
    assert sales.frame["Product_Name"].tolist() == ["Shirt", "Oil; extra", "Tea", "Oil"]
    assert "line items" in sales.quarantine["reason"].iloc[0]
    whole = mapping.model_copy(update={"columns": columns | {"Revenue": "order_total"}})
    with pytest.raises(UserError, match="whole order"):
        read_text(text, tmp_path, whole)


def test_an_order_that_comes_again_is_a_repeat(tmp_path: Path) -> None:
    lines = ORDERS.splitlines()
    again = "\n".join([*lines, *lines[1:3]])
    mapping = ORDER_MAPPING.model_copy(update={"max_quarantined_share": 0.5})
    sales = read_text(again, tmp_path, mapping)
    assert len(sales.frame) == 8 and sales.quarantine["row"].tolist() == [10, 11]


def test_an_id_of_single_lines_that_comes_again_is_a_repeat(tmp_path: Path) -> None:
    frame = sales_of_a_shop().assign(Id=lambda rows: np.arange(len(rows)))
    mapping = MAPPING.model_copy(update={"columns": COLUMNS | {"Transaction_ID": "Id"}})
    sales = read(pd.concat([frame, frame.iloc[[3, 3]]]), tmp_path, mapping)
    assert len(sales.frame) == len(frame) and len(sales.quarantine) == 2


def test_a_block_that_stands_twice_is_asked_for(tmp_path: Path) -> None:
    frame = sales_of_a_shop()
    with pytest.raises(UserError, match=r"180 rows stand twice.*duplicates: quarantine"):
        read(pd.concat([frame, frame]), tmp_path)


def test_rows_to_predict_stay(tmp_path: Path) -> None:
    text = (
        "Date,Item,Qty,Price\n2026-01-01,Shirt,2,19\n,Total,2,\nDate,Item,Qty,Price\n2026-01-02,Oil,1,9.9\n"
    )
    (tmp_path / "rows.csv").write_text(text)
    columns = {"Transaction_Date": "Date", "Product_Name": "Item", "Units_Sold": "Qty", "Unit_Price": "Price"}
    rows = read_prediction_rows(tmp_path / "rows.csv", ColumnMapping(columns=columns, fill_down=["Order"]))
    assert len(rows.raw) == 4
    assert [bool(problem) for problem in rows.problems] == [False, True, True, False]
    assert "total" in rows.problems.iloc[1] and "header" in rows.problems.iloc[2]


def test_text_in_memory_is_a_table_too() -> None:
    frame = pd.read_csv(io.StringIO(ORDERS))
    assert read_sales(frame, ORDER_MAPPING).frame["Revenue"].sum() == pytest.approx(140.6)
