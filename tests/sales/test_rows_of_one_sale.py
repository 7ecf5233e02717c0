"""Exports in which one sale stands on several rows: each sale counts once as proposed, and a mapping that counts it again is told."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from salesforecast.cli.main import app
from salesforecast.core.engine import LOCAL_ENGINE
from salesforecast.core.settings import UserError
from salesforecast.dashboard.model.reader import UploadOptions, read_upload
from salesforecast.sales.partitions import read_partitioned_sales
from salesforecast.sales.proposals import propose_mapping
from salesforecast.sales.reading import read_sales
from salesforecast.sales.rows_of_one_sale import sale_figure
from salesforecast.sales.schema import ColumnMapping, load_mapping

NOW = pd.Timestamp("2026-01-01")
PRICES = {"Tea": 4.5, "Jam": 3.25, "Lamp": 45.0, "Chair": 129.0, "Mug": 12.5}
ITEMS = pd.Series(list(PRICES))


def shop(rows: int = 240, seed: int = 3) -> pd.DataFrame:
    """Lines of orders of two lines each; a receipt may hold the same line twice."""
    rng = np.random.default_rng(seed)
    item = rng.integers(0, len(ITEMS), rows)
    item[1::40] = item[::40]
    units = rng.integers(1, 5, rows)
    units[1::40] = units[::40]
    return pd.DataFrame(
        {
            "Order No": 1001 + np.arange(rows) // 2,
            "Line": np.arange(rows) + 1,
            "Date": (pd.Timestamp("2025-01-01") + pd.to_timedelta(np.arange(rows) // 4, "D")).astype(str),
            "SKU": [f"SKU-{number}" for number in item],
            "Product": ITEMS.to_numpy()[item],
            "Qty": units,
            "Unit Price": (prices := ITEMS.map(PRICES).to_numpy()[item]),
            "Amount": (units * prices).round(2),
        }
    )


def orders_above_items() -> pd.DataFrame:
    """The row of an order, without a product, stands above its items and has their sum as its price."""
    lines = shop()
    orders = lines.groupby("Order No", as_index=False).agg({"Date": "first", "Qty": "sum", "Amount": "sum"})
    orders = orders.rename(columns={"Amount": "Unit Price"}).assign(Line=0)
    return pd.concat([orders, lines]).sort_values(["Order No", "Line"], ignore_index=True)[
        ["Order No", "Date", "SKU", "Product", "Qty", "Unit Price"]
    ]


def bundles() -> pd.DataFrame:
    """Each third order is a set of its two lines: a row of its own, to which they refer."""
    lines = shop().assign(parent_id=lambda t: (t["Order No"] * 10).where(t["Order No"] % 3 == 0))
    sets = (
        lines[lines["parent_id"].notna()]
        .groupby("Order No", as_index=False)
        .agg({"Date": "first", "Amount": "sum"})
    )
    sets = sets.assign(Line=sets["Order No"] * 10, SKU="SET-1", Product="Set", Qty=1)
    sets["Unit Price"] = sets["Amount"]
    return pd.concat([sets, lines]).sort_values(
        ["Order No", "parent_id"], ignore_index=True, na_position="first"
    )


def tenders() -> pd.DataFrame:
    """Each third line was paid with two cards, and stands there for each."""
    lines = shop().assign(Tender="Visa", **{"Tender Amount": lambda t: t["Amount"]})
    split = lines.iloc[::3].assign(
        Tender="Gift Card", **{"Tender Amount": lambda t: (t["Amount"] * 0.3).round(2)}
    )
    lines.loc[split.index, "Tender Amount"] -= split["Tender Amount"]
    return pd.concat([lines, split]).sort_values("Line", ignore_index=True, kind="stable")


def parcels() -> pd.DataFrame:
    """Each line of several units was sent in two parcels, and stands there for each."""
    lines = shop().rename(columns={"Qty": "Qty Ordered", "Amount": "Line Total"})
    lines = lines.assign(**{"Qty Shipped": lines["Qty Ordered"], "Parcel": lines["Line"] * 10})
    second = lines[lines["Qty Ordered"] > 1].assign(**{"Qty Shipped": 1, "Parcel": lambda t: t["Parcel"] + 1})
    lines.loc[second.index, "Qty Shipped"] -= 1
    return (
        pd.concat([lines, second]).sort_values("Line", ignore_index=True, kind="stable").drop(columns="Line")
    )


def figures(name: str, of: dict[str, float]) -> pd.DataFrame:
    """A row for each figure of a line, which is a multiple of its amount."""
    lines = shop().drop(columns=["Qty", "Unit Price", "Line"]).drop_duplicates(["Order No", "SKU"])
    parts = [
        lines.assign(**{name: value, "Amount": (lines["Amount"] * times).round(2)})
        for value, times in of.items()
    ]
    return pd.concat(parts).sort_index(kind="stable").reset_index(drop=True)


def changes() -> pd.DataFrame:
    """Each third line was first written with a unit more, on the day before; the log has both, the earlier one last."""
    lines = shop().rename(columns={"Line": "line_id"}).assign(updated_at=lambda t: t["Date"] + " 12:00:00")
    earlier = lines.iloc[::3].assign(updated_at=lambda t: t["Date"] + " 08:00:00", Qty=lambda t: t["Qty"] + 1)
    earlier["Amount"] = (earlier["Qty"] * earlier["Unit Price"]).round(2)
    return pd.concat([lines, earlier], ignore_index=True)


def first_figure(table: pd.DataFrame, name: str, value: str) -> float:
    """The amount of the rows with a figure."""
    return float(table.loc[table[name] == value, "Amount"].sum())


LINES = float(shop()["Amount"].sum())
BUDGET = figures("Version", {"Actual": 1, "Budget": 1.1, "Prior Year": 0.9})
TABLEAU = figures("Measure Names", {"Quantity": 0.2, "Sales": 1, "Profit": 0.4})
LEDGER = figures("Account Name", {"Sales revenue": 1, "Sales tax payable": 0.2, "Cost of goods sold": 0.55})
GERMAN = figures("Konto", {"Umsatzerlöse": 1, "Umsatzsteuer": 0.19, "Wareneinsatz": 0.5})
EXPORTS: dict[str, tuple[pd.DataFrame, float, dict[str, str]]] = {  # table, revenue, a mapping that counts twice
    "order above items": (orders_above_items(), LINES, {"Revenue": "Qty * `Unit Price`", "Product_Name": "Product"}),
    "bundle above parts": (bundles(), LINES, {"Revenue": "Amount", "Units_Sold": "Qty"}),
    "tenders": (tenders(), LINES, {"Revenue": "Amount", "Units_Sold": "Qty", "Product_ID": "SKU"}),
    "parcels": (parcels(), LINES, {"Revenue": "`Line Total`", "Units_Sold": "`Qty Ordered`", "Product_ID": "SKU"}),
    "budget": (BUDGET, first_figure(BUDGET, "Version", "Actual"), {"Revenue": "Amount", "Product_ID": "SKU"}),
    "measures": (TABLEAU, first_figure(TABLEAU, "Measure Names", "Sales"), {"Revenue": "Amount", "Product_ID": "SKU"}),
    "ledger": (LEDGER, first_figure(LEDGER, "Account Name", "Sales revenue"), {"Revenue": "Amount", "Product_Name": "Product"}),
    "German ledger": (GERMAN, first_figure(GERMAN, "Konto", "Umsatzerlöse"), {"Revenue": "Amount", "Product_Name": "Product"}),
    "changes": (changes(), LINES, {"Revenue": "Amount", "Units_Sold": "Qty", "Product_ID": "SKU"}),
}  # fmt: skip


def told(warnings: list[str]) -> list[str]:
    """The warnings about sales that count more than once."""
    return [text for text in warnings if "is counted again" in text or "All are added up" in text]


@pytest.mark.parametrize("name", EXPORTS)
def test_a_proposal_counts_each_sale_once(name: str) -> None:
    table, revenue, _ = EXPORTS[name]
    sales = read_sales(table, propose_mapping(table).mapping, now=NOW)
    assert sales.frame["Revenue"].sum() == pytest.approx(revenue, abs=0.05)
    assert told(sales.report.warnings) == []
    if "Units_Sold" in sales.frame:
        sold = table[table["parent_id"].isna()] if "parent_id" in table else shop()
        assert sales.frame["Units_Sold"].sum() == pytest.approx(sold["Qty"].sum())


@pytest.mark.parametrize("name", EXPORTS)
def test_a_mapping_that_counts_twice_is_told(name: str, tmp_path: Any) -> None:
    table, revenue, columns = EXPORTS[name]
    mapping = ColumnMapping(columns={"Transaction_Date": "Date", "Transaction_ID": "`Order No`", **columns})
    sales = read_sales(table, mapping, now=NOW)
    (note,) = told(sales.report.warnings)
    too_much = sales.frame["Revenue"].sum() - revenue
    assert too_much > 0.1 * revenue and f"{too_much:,.2f} (" in note
    rule = yaml.safe_load("{" + note.split(", set ")[1] + "}")
    rule["columns"] = mapping.columns | rule.get("columns", {})
    (path := tmp_path / "mapping.yaml").write_text(yaml.safe_dump(rule), "utf-8")
    once = read_sales(table, load_mapping(path), now=NOW)  # what it says to set does what it says
    assert once.frame["Revenue"].sum() == pytest.approx(revenue, abs=0.05)
    assert told(once.report.warnings) == []


def shipping_rows() -> pd.DataFrame:
    """A row of each order without a product has what its shipping cost."""
    lines = shop()
    fee = lines.drop_duplicates("Order No").assign(
        SKU=None, Product=None, Qty=1, Amount=4.9, **{"Unit Price": 4.9}
    )
    return pd.concat([lines, fee]).sort_values("Order No", ignore_index=True, kind="stable")


def extras() -> pd.DataFrame:
    """Each second line is an extra that was sold with the line above, to which it refers."""
    lines = shop().assign(parent_id=None)
    lines["parent_id"] = np.where(lines["Line"] % 2 == 0, lines["Line"] - 1, np.nan)
    return lines


def exchanges() -> pd.DataFrame:
    """Each second line is for the same goods in another size, and refers to the line above, which was taken back elsewhere."""
    lines = extras()
    lines.loc[1::2, "Amount"] = lines["Amount"].to_numpy()[::2]
    lines.loc[1::2, ["Qty", "Unit Price"]] = lines[["Qty", "Unit Price"]].to_numpy()[::2]
    return lines.assign(**{"Order No": lines["Line"] + 1_000})


def paid_at_once() -> pd.DataFrame:
    """Each line was paid in full, and the same thing was sold twice now and then."""
    lines = shop().drop(columns="Line").assign(Tender="Visa", **{"Tender Amount": lambda t: t["Amount"]})
    return pd.concat([lines, lines.iloc[::3]]).sort_values("Order No", ignore_index=True, kind="stable")


def dimension(name: str, *values: str) -> Callable[[], pd.DataFrame]:
    """Each thing is sold for each value of a dimension on each day."""
    return lambda: figures(name, {value: 1 + 0.1 * i for i, value in enumerate(values)}).drop(
        columns="Order No"
    )


def last_change() -> pd.DataFrame:
    """Each line says when it was changed last, in an order of several lines."""
    return (
        shop()
        .drop(columns="Line")
        .assign(updated_at=[f"2025-06-01 10:{i % 60:02}:{i // 60:02}" for i in range(240)])
    )


HONEST = {
    "shipping": shipping_rows,
    "extras": extras,
    "exchanges": exchanges,
    "paid at once": paid_at_once,
    "channel": dimension("Channel", "Web", "Store"),
    "store": dimension("Store", "North", "South", "East"),
    "payment": dimension("Payment", "Cash", "Visa", "Gift Card"),
    "size": dimension("Size", "S", "M", "L"),
    "colour": dimension("Colour", "Red", "Actual blue"),
    "kind of sale": dimension("Type", "Online sales", "Store sales"),
    "last change": last_change,
}


@pytest.mark.parametrize("name", HONEST)
def test_sales_of_their_own_stay(name: str) -> None:
    table = HONEST[name]()
    amount = float(table["Amount"].sum())
    sales = read_sales(table, propose_mapping(table).mapping, now=NOW)
    assert sales.frame["Revenue"].sum() == pytest.approx(amount)
    own = {"Transaction_Date": "Date", "Revenue": "Amount", "Product_ID": "SKU"}
    own |= {"Transaction_ID": "`Order No`"} if "Order No" in table else {}
    report = read_sales(table, ColumnMapping(columns=own), now=NOW).report
    assert (
        report.revenue_total == pytest.approx(amount) and told(report.warnings + sales.report.warnings) == []
    )


def test_figures_whose_words_do_not_tell_are_asked_about() -> None:
    table = dimension("Scenario", "A", "B")()
    proposal = propose_mapping(table)
    assert any("Scenario has A, B, each once" in note for note in proposal.notes)
    sales = read_sales(table, proposal.mapping, now=NOW)
    assert sales.frame["Revenue"].sum() == pytest.approx(table["Amount"].sum())
    (note,) = told(sales.report.warnings)
    assert "keep that one, as in where: Scenario == 'A'" in note


@pytest.mark.parametrize(
    ("values", "sale"),
    [
        (["Ist", "Soll"], "Ist"),
        (["Réel", "Budget"], "Réel"),
        (["Ventas", "Costo", "Margen"], "Ventas"),
        (["実績", "予算"], "実績"),
        (["Gross sales", "Net sales", "Tax"], "Net sales"),
        (["Gross sales", "Total sales", "Tax"], ""),
        (["Budget", "Forecast"], ""),
        (["Web", "Store"], ""),
        (["Sales", "Wholesale"], ""),
    ],
)
def test_words_of_figures(values: list[str], sale: str) -> None:
    assert sale_figure(values) == sale


def test_figures_of_numbered_lines_are_no_versions() -> None:
    lines = shop()
    parts = [
        lines.assign(Version=name, Amount=(lines["Amount"] * times).round(2))
        for name, times in [("Actual", 1), ("Budget", 1.1)]
    ]
    table = pd.concat(parts, ignore_index=True)
    sales = read_sales(table, propose_mapping(table).mapping, now=NOW)
    assert sales.frame["Revenue"].sum() == pytest.approx(LINES)


def test_a_discount_row_takes_something_off() -> None:
    table = figures("Type", {"Sales": 1, "Discount": -0.1})
    sales = read_sales(table, propose_mapping(table).mapping, now=NOW)
    assert sales.frame["Revenue"].sum() == pytest.approx(table["Amount"].sum())


def test_the_condition_of_a_mapping_stays() -> None:
    table = BUDGET.assign(Status=["void" if i % 30 < 3 else "paid" for i in range(len(BUDGET))])
    mapping = ColumnMapping(
        columns={"Transaction_Date": "Date", "Product_ID": "SKU", "Revenue": "Amount"},
        where="Status != 'void'",
    )
    (note,) = told(read_sales(table, mapping, now=NOW).report.warnings)
    assert "set where: (Status != 'void') & (Version == 'Actual')" in note
    proposal = propose_mapping(table)
    sold = table[(table["Status"] != "void") & (table["Version"] == "Actual")]
    assert read_sales(table, proposal.mapping, now=NOW).frame["Revenue"].sum() == pytest.approx(
        sold["Amount"].sum()
    )


def test_the_last_version_is_the_latest_not_the_last_in_the_file() -> None:
    table = changes()
    columns = {"Transaction_Date": "Date", "Product_ID": "SKU", "Revenue": "Amount"}
    versions = {"of": "line_id", "by": "updated_at"}
    status = table.assign(Status=["void" if i % 9 == 0 and i < 240 else "paid" for i in range(len(table))])
    mapping = ColumnMapping(columns=columns, versions=versions, where="Status != 'void'")
    sold = status.iloc[:240]
    sales = read_sales(status, mapping, now=NOW)
    assert sales.frame["Revenue"].sum() == pytest.approx(sold.loc[sold["Status"] == "paid", "Amount"].sum())
    assert any("left out 80 earlier versions of rows" in note for note in sales.report.warnings)
    with pytest.raises(UserError, match="versions.by: 'changed' is no column of the source"):
        read_sales(
            table, ColumnMapping(columns=columns, versions={"of": "line_id", "by": "changed"}), now=NOW
        )
    with pytest.raises(UserError, match="versions.by: SKU: 'SKU-.' is neither a time nor a number"):
        read_sales(table, ColumnMapping(columns=columns, versions={"of": "line_id", "by": "SKU"}), now=NOW)


def test_a_misspelt_key_of_versions_is_named(tmp_path: Any) -> None:
    (path := tmp_path / "mapping.yaml").write_text("versions: {off_: line_id, by: updated_at}", "utf-8")
    with pytest.raises(UserError, match="versions.off_: there is no such key. Did you mean 'of'"):
        load_mapping(path)


def test_sales_in_partitions_are_told_too(tmp_path: Any) -> None:
    table = tenders().drop(columns="Line").astype({"Order No": str})
    columns = {
        "Transaction_Date": "Date",
        "Transaction_ID": "Order No",
        "Product_ID": "SKU",
        "Revenue": "Amount",
    }
    table.to_parquet(tmp_path / "sales.parquet", row_group_size=100)
    whole = told(
        read_sales(tmp_path / "sales.parquet", ColumnMapping(columns=columns), now=NOW).report.warnings
    )
    parts = read_partitioned_sales(
        tmp_path / "sales.parquet", ColumnMapping(columns=columns), LOCAL_ENGINE, now=NOW, partition_rows=100
    )
    assert len(parts.rows) > 1 and told(parts.report.warnings) == whole and len(whole) == 1
    with pytest.raises(UserError, match="versions needs all versions of a row"):
        read_partitioned_sales(
            tmp_path / "sales.parquet",
            ColumnMapping(columns=columns, versions={"of": "SKU", "by": "Date"}),
            LOCAL_ENGINE,
            now=NOW,
            partition_rows=100,
        )


def test_the_upload_and_the_command_line_say_it_alike(tmp_path: Any) -> None:
    (path := tmp_path / "ledger.csv").write_text(LEDGER.to_csv(index=False), "utf-8")
    columns = {"Transaction_Date": "Date", "Product_ID": "SKU", "Revenue": "Amount"}
    (note,) = told(read_sales(path, ColumnMapping(columns=columns)).report.warnings)
    (tmp_path / "upload").mkdir()
    upload = read_upload(path, path.name, tmp_path / "upload", UploadOptions(columns))
    assert upload.report is not None and told(upload.report["warnings"]) == [note]
    (mapping := tmp_path / "mapping.yaml").write_text(yaml.safe_dump({"columns": columns}), "utf-8")
    answer = CliRunner().invoke(app, ["validate", str(path), "--json", "--mapping", str(mapping)])
    assert "is counted again" in " ".join(answer.output.split())


@pytest.mark.parametrize("name", ["ledger", "changes", "tenders"])
def test_the_form_of_the_dashboard_counts_each_sale_once(name: str, tmp_path: Any) -> None:
    table, revenue, _ = EXPORTS[name]
    (path := tmp_path / "sales.csv").write_text(table.to_csv(index=False), "utf-8")
    (tmp_path / "upload").mkdir()
    asked = read_upload(path, path.name, tmp_path / "upload", UploadOptions())
    options = replace(UploadOptions(asked.guess), **asked.proposed)
    read = read_upload(path, path.name, tmp_path / "upload", options)
    assert read.report is not None and read.report["revenue_total"] == pytest.approx(revenue, abs=0.05)


def test_a_large_table_is_looked_at_by_days() -> None:
    many = [
        tenders().assign(
            Date=lambda t, n=n: (pd.to_datetime(t["Date"]) - pd.Timedelta(days=60 * n)).astype(str)
        )
        for n in range(80)
    ]
    table = pd.concat(
        [part.assign(**{"Order No": part["Order No"] + 1_000 * n}) for n, part in enumerate(many)]
    )
    mapping = ColumnMapping(
        columns={
            "Transaction_Date": "Date",
            "Transaction_ID": "`Order No`",
            "Product_ID": "SKU",
            "Revenue": "Amount",
        }
    )
    (note,) = told(read_sales(table.sort_values("Tender"), mapping, now=NOW).report.warnings)
    assert f"{80 * (tenders()['Amount'].sum() - LINES):,.2f} (" in note


def test_a_number_of_the_row_is_no_product() -> None:
    table = shop().rename(columns={"Line": "item_id", "SKU": "sku"})
    assert propose_mapping(table).value("columns.Product_ID") == "sku"


DAYS = pd.date_range("2025-01-01", "2025-05-31")


def days_of_stores(seed: int = 7) -> pd.DataFrame:
    """What two stores sold on each day."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({"Date": DAYS.repeat(2), "Store": ["North", "South"] * len(DAYS)})
    return table.assign(Sales=(rng.gamma(2, 80, len(table)) * (rng.random(len(table)) > 0.1)).round(2))


def to_date(table: pd.DataFrame, period: str) -> pd.Series:
    """The sales of each store since the beginning of the month or the year."""
    return table.groupby([table["Date"].dt.to_period(period), "Store"])["Sales"].cumsum().round(2)


@pytest.mark.parametrize("store", [True, False])
@pytest.mark.parametrize("order", ["Date", "Store"])
def test_a_running_total_without_such_a_name_is_refused(store: bool, order: str) -> None:
    table = days_of_stores()
    table = table.assign(Sales=to_date(table, "M")).sort_values(order, kind="stable")
    with pytest.raises(
        UserError, match="Sales never falls within a month and begins anew.*export the amount of each day"
    ):
        propose_mapping(table)
    columns = {"Transaction_Date": "Date", "Revenue": "Sales"} | ({"Region": "Store"} if store else {})
    with pytest.raises(UserError, match="Revenue never falls within a month.*odd_rows: keep"):
        read_sales(table, ColumnMapping(columns=columns), now=NOW)
    kept = read_sales(table, ColumnMapping(columns=columns, odd_rows="keep"), now=NOW)
    assert kept.frame["Revenue"].sum() == pytest.approx(table["Sales"].sum())


def test_a_running_total_of_the_year_is_refused() -> None:
    table = pd.concat(
        [days_of_stores().assign(Date=lambda t, n=n: t["Date"] - pd.DateOffset(years=n)) for n in (1, 0)]
    )
    with pytest.raises(UserError, match="Sales never falls within a year"):
        propose_mapping(table.assign(Sales=to_date(table, "Y")))


def test_another_amount_is_taken_beside_a_running_total() -> None:
    table = days_of_stores()
    table = table.assign(Amount=table["Sales"], Sales=to_date(table, "M"))[
        ["Date", "Store", "Sales", "Amount"]
    ]
    proposal = propose_mapping(table)
    sales = read_sales(table, proposal.mapping, now=NOW)
    assert sales.frame["Revenue"].sum() == pytest.approx(table["Amount"].sum())


def test_a_running_total_by_name_has_the_same_way_out() -> None:
    table = days_of_stores()
    named = table.assign(**{"MTD Sales": to_date(table, "M")}).drop(columns="Sales")
    with pytest.raises(UserError, match="A running total cannot be added up: export the amount of each day"):
        propose_mapping(named)


def test_sales_that_grow_within_the_month_are_sales() -> None:
    table = days_of_stores()
    growing = table.assign(Sales=(100 + 10 * table["Date"].dt.day + table["Sales"] / 10).round(2))
    sales = read_sales(growing, propose_mapping(growing).mapping, now=NOW)
    assert sales.frame["Revenue"].sum() == pytest.approx(growing["Sales"].sum())


def compact_pivot() -> pd.DataFrame:
    """Days and the items of each day in one column, the days with the sum of their items."""
    lines = shop().astype({"Date": "datetime64[ns]"}).assign(Date=lambda t: t["Date"].dt.date)
    rows: list[tuple[object, float]] = []
    for day, part in lines.groupby(["Date", "Product"], as_index=False)["Amount"].sum().groupby("Date"):
        rows += [(day, part["Amount"].sum().round(2)), *zip(part["Product"], part["Amount"], strict=True)]
    return pd.DataFrame([*rows, ("Grand Total", LINES)], columns=["Row Labels", "Sum of Sales"])


@pytest.mark.parametrize("suffix", [".csv", ".xlsx"])
def test_a_pivot_in_compact_form_is_named(suffix: str, tmp_path: Any) -> None:
    path, pivot = tmp_path / f"pivot{suffix}", compact_pivot()
    pivot.to_csv(path, index=False) if suffix == ".csv" else pivot.to_excel(path, index=False)
    way_out = "pivot table in compact form. In Excel, choose Design > Report Layout > Show in Tabular Form"
    with pytest.raises(UserError, match=f"{path.name}: 'Row Labels' holds days .* {way_out}"):
        propose_mapping(path)
    mapping = ColumnMapping(columns={"Transaction_Date": "Row Labels", "Revenue": "Sum of Sales"})
    with pytest.raises(UserError, match=way_out):
        read_sales(path, mapping, now=NOW)


def test_weeks_above_their_days_are_no_pivot() -> None:
    table = days_of_stores().groupby("Date", as_index=False)["Sales"].sum().head(140).astype({"Date": str})
    rows: list[list[object]] = []
    for start in range(0, 140, 7):
        week = table.iloc[start : start + 7]
        rows += [[f"Week {start // 7 + 1}", week["Sales"].sum().round(2)], *week.to_numpy().tolist()]
    weeks = pd.DataFrame(rows, columns=[*table])
    mapping = ColumnMapping(
        columns={"Transaction_Date": "Date", "Revenue": "Sales"}, max_quarantined_share=0.2
    )
    sales = read_sales(weeks, mapping, now=NOW)
    assert sales.frame["Revenue"].sum() == pytest.approx(table["Sales"].sum())


def test_headings_between_sales_are_no_pivot() -> None:
    table = days_of_stores().head(60).astype({"Date": str})
    rows = table.to_numpy().tolist()
    for place in range(50, -1, -10):
        rows.insert(place, ["Week", None, None])
    parts = pd.DataFrame(rows, columns=[*table])
    sales = read_sales(parts, propose_mapping(table).mapping, now=NOW)
    assert sales.frame["Revenue"].sum() == pytest.approx(table["Sales"].sum())


WEEKS = np.repeat(pd.date_range("2025-01-05", periods=40, freq="7D").astype(str), 6)
PLACES, GROUPS = np.tile(np.repeat(["North", "South"], 3), 40), np.tile(["Kitchen", "Decor", "Garden"], 80)
SUMS = np.round(np.random.default_rng(11).uniform(900, 9_000, 240), 2)


def weekly(**columns: object) -> pd.DataFrame:
    """The sales of a week, place and group a row, and these columns."""
    return pd.DataFrame({"Date": WEEKS, "Store": PLACES, "Department": GROUPS, "Net sales": SUMS, **columns})


def proposed_revenue(cells: pd.DataFrame) -> float:
    return float(read_sales(cells, propose_mapping(cells).mapping).frame["Revenue"].sum())


def test_lists_of_the_same_sales_count_once() -> None:
    """By department and by payment, and by store, region and company."""
    lines = weekly(Section="Departments")
    paid = (
        lines.groupby("Date", as_index=False)["Net sales"]
        .sum()
        .assign(Section="Tenders", Store="All", Department="Cash")
    )
    assert proposed_revenue(pd.concat([lines, paid], ignore_index=True)) == pytest.approx(SUMS.sum())
    stores = (
        lines.groupby(["Date", "Store"], as_index=False)["Net sales"]
        .sum()
        .assign(Level="Region", Department="")
    )
    company = paid.drop(columns="Section").assign(Level="Company", Department="")
    levels = pd.concat([weekly(Level="Store"), stores, company], ignore_index=True)
    assert proposed_revenue(levels) == pytest.approx(SUMS.sum())


@pytest.mark.parametrize("name", ["Data status", "Version"])
def test_figures_beside_their_corrections_are_told(name: str) -> None:
    first, last = ("Preliminary", "Final") if name == "Data status" else ("1", "2")
    final = weekly(**{name: last}).assign(**{"Net sales": np.round(SUMS * 1.02, 2)}).iloc[:180]
    cells = pd.concat([weekly(**{name: first}), final], ignore_index=True)
    proposal = propose_mapping(cells)
    assert proposal.value("versions.by") == name and [q.key for q in proposal.questions] == ["versions.of"]
    notes = read_sales(cells, proposal.mapping.model_copy(update={"versions": None})).report.warnings
    told = [note for note in notes if "as figures that were corrected have" in note]
    assert len(told) == 1 and f"versions: {{by: {name}, of: [" in told[0]
    assert not any("each once for rows" in note for note in notes)


@pytest.mark.parametrize("values", [("Web", "Counter"), ("Card", "Cash")])
def test_an_honest_division_of_sales_is_added_up_without_a_word(values: tuple[str, str]) -> None:
    other = np.round(np.random.default_rng(12).uniform(900, 9_000, 240), 2)
    cells = pd.concat(
        [weekly(Way=values[0]), weekly(Way=values[1]).assign(**{"Net sales": other})], ignore_index=True
    )
    sales = read_sales(cells, propose_mapping(cells).mapping)
    assert sales.frame["Revenue"].sum() == pytest.approx(SUMS.sum() + other.sum())
    assert not any("Way" in note for note in sales.report.warnings)


def test_sales_of_one_thing_at_one_price_are_no_corrections() -> None:
    """Paid by card and in cash, on one day, in one place: equal amounts, which are two sales."""
    one = weekly(Way="Card").assign(**{"Net sales": 12.5})
    cells = pd.concat([one, one.assign(Way="Cash")], ignore_index=True)
    notes = read_sales(cells, propose_mapping(cells).mapping).report.warnings
    assert not any("corrected" in note for note in notes)
