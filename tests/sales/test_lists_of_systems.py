"""Lists of merchandise systems and spreadsheets of shops, each with the revenue that is right, beside what looks like them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from salesforecast.core.settings import UserError
from salesforecast.sales.column_names import name_role
from salesforecast.sales.proposals import propose_mapping
from salesforecast.sales.reading import read_sales

NOW = pd.Timestamp("2025-06-30")
random = np.random.default_rng(8)
COUNT = 240
DAYS = (pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(COUNT) // 2, "D")).strftime("%Y-%m-%d")
UNITS, PRICES = random.integers(1, 5, COUNT), random.choice([4.5, 3.25, 45.0, 129.0], COUNT)
LINES = np.round(UNITS * PRICES, 2)
ITEMS = pd.Series(PRICES).map({4.5: "Tea", 3.25: "Jam", 45.0: "Lamp", 129.0: "Chair"}).to_numpy()
SOME = np.arange(COUNT) % 12 == 5


def sold(**columns: object) -> pd.DataFrame:
    "Make an export of dates, items, units and further columns."
    return pd.DataFrame({"Date": DAYS, "Item": ITEMS, "Quantity": UNITS, **columns})


def billed(undone: bool) -> tuple[pd.DataFrame, float]:
    "Make invoices of which some are cancelled, by documents of their own below where `undone`."
    rows = sold(Amount=LINES, Cancelled=np.where(SOME, "Yes", "No"), **{"Billing Type": "Invoice"})
    below = rows[SOME].assign(
        Amount=-LINES[SOME], Quantity=-UNITS[SOME], Cancelled="No", **{"Billing Type": "Invoice Cancellation"}
    )
    return (pd.concat([rows, below]) if undone else rows), LINES[~SOME].sum()


def with_lines(name: str, is_sale: bool) -> tuple[pd.DataFrame, float]:
    "Make an export in which some lines have another name."
    rows = sold(Amount=LINES).assign(Item=np.where(SOME, name, ITEMS))
    return rows, LINES.sum() if is_sale else LINES[~SOME].sum()


def with_state(state: str, is_sale: bool) -> tuple[pd.DataFrame, float]:
    "Make orders of which some have another state."
    rows = sold(Amount=LINES, Status=np.where(SOME, state, "Shipped"))
    return rows, LINES.sum() if is_sale else LINES[~SOME].sum()


def taxed() -> tuple[pd.DataFrame, float]:
    "Make lines of a till: prices with tax, of which the subtotal is given with and without."
    return sold(
        **{"Unit Price": PRICES, "Subtotal w/o Tax": np.round(LINES / 1.21, 2), "Subtotal": LINES}
    ), np.round(LINES / 1.21, 2).sum()


def discounted() -> tuple[pd.DataFrame, float]:
    "Make sales with an amount before the discount beside the one that was paid, without the discount itself."
    paid = np.round(LINES * np.where(SOME, 0.8, 0.95), 2)
    return sold(**{"Total before discount": LINES, "Total": paid}).drop(columns="Quantity"), paid.sum()


def pieces(units: bool) -> tuple[pd.DataFrame, float]:
    "Make order items with a price and freight: a row is one piece unless there are units."
    rows = sold(price=PRICES, freight_value=np.round(PRICES * 2 + 3, 2))
    return (rows, LINES.sum()) if units else (rows.drop(columns="Quantity"), PRICES.sum())


def favorita() -> tuple[pd.DataFrame, float]:
    "Make Favorita's layout with a price beside."
    rows = pd.DataFrame({"id": range(COUNT), "date": DAYS, "store_nbr": 1, "item_nbr": PRICES.astype(int)})
    return rows.assign(unit_sales=UNITS, onpromotion=False, unit_price=PRICES), LINES.sum()


def signed() -> tuple[pd.DataFrame, float]:
    "Make invoices in the currency of the company, with their totals in that of the customer beside."
    codes = np.resize(["EUR", "EUR", "USD"], COUNT)
    total = np.round(LINES * 1.21, 2)
    columns = {
        "Untaxed Amount Signed": LINES,
        "Total Signed": total,
        "Total in Currency Signed": np.round(total * np.where(codes == "USD", 1.08, 1), 2),
    }
    return sold(**columns, Currency=codes).drop(columns="Quantity"), LINES.sum()


def marked() -> tuple[pd.DataFrame, float]:
    "Make a Japanese list: prices with tax, which is given, and triangles for minus."
    back, tax = np.where(SOME, -1, 1), np.round(LINES / 11, 2)
    texts = pd.Series(LINES * back).map(lambda value: f"{value:,.2f}".replace("-", "▲"))
    taxes = pd.Series(tax * back).map(lambda value: f"{value:,.2f}".replace("-", "▲"))
    rows = pd.DataFrame(
        {"売上日": DAYS, "商品名": ITEMS, "金額(税込)": texts, "税率": "10%", "内消費税": taxes}
    )
    return rows, ((LINES - tax) * back).sum()


def starred() -> tuple[pd.DataFrame, float]:
    "Make a list with a total of each month, marked by a star, and of all, marked by two."
    rows = sold(Amount=LINES).astype({"Date": object})
    months = rows.groupby(rows["Date"].str[:7], sort=False)
    parts = [
        part
        for _, one in months
        for part in (one, pd.DataFrame({"Date": ["*"], "Amount": one["Amount"].sum()}))
    ]
    return pd.concat(
        [*parts, pd.DataFrame({"Date": ["**"], "Amount": LINES.sum()})], ignore_index=True
    ), LINES.sum()


def indented(sums: bool) -> tuple[pd.DataFrame, float]:
    "Make a table of groups by month, above each group its parent: the sum of its parts, or an amount of its own."
    months = pd.period_range("2023-01", periods=12, freq="M").strftime("%b %Y")
    leaves = random.integers(1_000, 9_000, (4, 12)) / 8 + 100
    own = np.zeros((2, 12)) if sums else random.integers(1_000, 9_000, (2, 12)) / 8
    parents = [leaves[:2].sum(0) if sums else own[0], leaves[2:].sum(0) if sums else own[1]]
    table = np.array([parents[0], *leaves[:2], parents[1], *leaves[2:]])
    names = ["Household", "    Kitchen", "    Home", "Outdoor", "    Garden", "    Office"]
    return pd.DataFrame(table, columns=months).assign(Group=names)[
        ["Group", *months]
    ], leaves.sum() + own.sum()


def with_texts() -> tuple[pd.DataFrame, float]:
    "Make invoice lines with lines of text between them."
    rows = sold(Price=PRICES, Discount=0.0).astype({"Quantity": object, "Price": object, "Discount": object})
    rows.loc[SOME, ["Quantity", "Price", "Discount"]] = None
    rows.loc[SOME, "Item"] = [f"Delivery no. {i}" for i in range(SOME.sum())]
    return rows, LINES[~SOME].sum()


def cross_table() -> tuple[pd.DataFrame, float]:
    "Make a table with units and revenue of each month."
    months = ["Janv. 2024", "Févr. 2024", "Mars 2024", "Avr. 2024", "Mai 2024", "Juin 2024"]
    units = random.integers(5, 90, (6, 4))
    columns = {
        f"{month} {what}": values
        for month, one in zip(months, units, strict=True)
        for what, values in (("Qté", one), ("CA HT", one * np.array([4.5, 3.25, 45.0, 129.0])))
    }
    return pd.DataFrame({"Article": ["Thé", "Confiture", "Lampe", "Chaise"], **columns}), float(
        (units * [4.5, 3.25, 45.0, 129.0]).sum()
    )


def ordered() -> tuple[pd.DataFrame, float]:
    "Make order lines of which some are not delivered or invoiced yet, beside the amount of what was ordered."
    less = np.where(SOME, 10, 0)
    amount = np.round(LINES * (1 - less / 100), 2)
    later = np.where(np.arange(COUNT) % 5 == 0, 0, UNITS)
    columns = {"Invoiced Quantity": later, "Unit Price": PRICES, "Discount (%)": less, "Subtotal": amount}
    return sold(**columns), amount.sum()


def technical() -> tuple[pd.DataFrame, float]:
    "Make positions of orders under SAP's technical names, of which some were rejected."
    rows = {"VBELN": np.arange(COUNT) // 2 + 12_001, "POSNR": np.resize([10, 20], COUNT), "ERDAT": DAYS}
    rows |= {
        "MATNR": PRICES.astype(int),
        "ARKTX": ITEMS,
        "KWMENG": UNITS,
        "NETPR": PRICES * 100,
        "KPEIN": 100,
    }
    return pd.DataFrame({**rows, "NETWR": LINES, "WAERK": "EUR", "ABGRU": np.where(SOME, "10", None)}), LINES[
        ~SOME
    ].sum()


def credit_notes() -> tuple[pd.DataFrame, float]:
    "Make Dutch invoices, of which credit notes have no sign."
    kinds = np.where(SOME, "Creditfactuur klant", "Klantfactuur")
    rows = pd.DataFrame(
        {"Factuurdatum": DAYS, "Soort": kinds, "Product": ITEMS, "Aantal": UNITS, "Prijs": PRICES}
    )
    return rows, LINES[~SOME].sum() - LINES[SOME].sum()


def on_offer() -> tuple[pd.DataFrame, float]:
    "Make Danish sales, some of goods on offer (*tilbud*)."
    return pd.DataFrame(
        {"Dato": DAYS, "Vare": ITEMS, "Antal": UNITS, "Beløb": LINES, "Tilbud": np.where(SOME, "Ja", "Nej")}
    ), LINES.sum()


def after_lines() -> tuple[pd.DataFrame, float]:
    "Make WooCommerce's order lines with the line's own total and refund beside the cost before the coupon."
    rows, paid = with_coupons(False)
    part = np.where(rows["Cart Discount Amount"] > 0, 0.9, 1.0)
    total, back = np.round(LINES * part, 4), np.where(SOME, 1.0, 0.0)
    return rows.assign(**{"Order Line Total": total, "Order Line Total Refunded": back}), paid - back.sum()


def with_coupons(after: bool) -> tuple[pd.DataFrame, float]:
    "Make WooCommerce's order lines: two of each order, of which some have a coupon, which the items' cost is after or before."
    orders = np.arange(COUNT) // 2
    part = np.where(orders % 4 == 1, 0.9, 1.0)
    cost = np.round(PRICES * part, 4) if after else PRICES
    before, paid = LINES, np.round(LINES * part, 4)
    rows = pd.DataFrame(
        {"Order Number": orders, "Order Status": "Completed", "Order Date": DAYS, "Item Name": ITEMS}
    )
    rows = rows.assign(**{"Quantity (- Refund)": UNITS, "Item Cost": cost, "before": before, "paid": paid})
    sums = rows.groupby("Order Number")[["before", "paid"]].transform("sum")
    rows["Order Subtotal Amount"], rows["Cart Discount Amount"] = (
        sums["before"],
        (sums["before"] - sums["paid"]).round(2),
    )
    return rows.drop(columns=["before", "paid"]), paid.sum()


def grouped(counted: bool) -> tuple[pd.DataFrame, float]:
    "Make a list with a row above each month: the number of its rows and their sum; or products with a number in brackets."
    rows = sold(Amount=LINES).astype({"Date": object})[["Date", "Item", "Amount"]]
    if not counted:
        return rows[["Item", "Date", "Amount"]].assign(
            Item=[f"{item} ({number})" for item, number in zip(ITEMS, UNITS, strict=True)]
        ), LINES.sum()
    heads = [(month, one) for month, one in rows.groupby(rows["Date"].str[:7], sort=False)]
    parts = [
        pd.concat([pd.DataFrame({"Date": [f"{month} ({len(one)})"], "Amount": one["Amount"].sum()}), one])
        for month, one in heads
    ]
    return pd.concat(parts, ignore_index=True), LINES.sum()


STATES = np.where(SOME, 2, np.where(np.arange(COUNT) % 12 == 7, 0, 1))
LISTS: dict[str, Callable[[], tuple[pd.DataFrame, float]]] = {
    "documents that undo those that are flagged": lambda: billed(True),
    "flagged documents that nothing undoes": lambda: billed(False),
    "drafts and cancelled documents of ERPNext": lambda: (sold(Amount=LINES, docstatus=STATES), LINES[STATES == 1].sum()),
    "levels that are no states": lambda: (sold(Amount=LINES, shelf_level=STATES), LINES.sum()),
    "freight": lambda: with_lines("Freight", False),
    "goods called by freight": lambda: with_lines("Freight scale 200 kg", True),
    "bad debts": lambda: with_lines("Adjust bad debt", False),
    "vouchers of a shop": lambda: with_lines("Dotcomgiftshop Gift Voucher 20.00", False),
    "returned on the way": lambda: with_state("Shipped - Returned to Seller", False),
    "rejected at the door": lambda: with_state("Shipped - Rejected by Buyer", False),
    "delivered": lambda: with_state("Shipped - Delivered to Buyer", True),
    "quotations in Portuguese": lambda: with_state("Orçamento", False),
    "without tax by its name": taxed,
    "before a discount by its name": discounted,
    "a price and freight": lambda: pieces(False),
    "a price, freight and units": lambda: pieces(True),
    "Favorita with a price": favorita,
    "invoices in two currencies": signed,
    "triangles": marked,
    "stars": starred,
    "groups above their parts": lambda: indented(True),
    "indented names that are no sums": lambda: indented(False),
    "item costs beside the line's total and refund": after_lines,
    "goods on offer": on_offer,
    "item costs before the coupon": lambda: with_coupons(False),
    "item costs after the coupon": lambda: with_coupons(True),
    "a list in groups": lambda: grouped(True),
    "numbers in brackets": lambda: grouped(False),
    "lines of text": with_texts,
    "units and revenue by month": cross_table,
    "units that explain the amount": ordered,
    "technical names": technical,
    "credit notes without a sign": credit_notes,
}  # fmt: skip


@pytest.mark.parametrize("kind", LISTS)
def test_a_list_is_read_right(kind: str) -> None:
    table, truth = LISTS[kind]()
    sales = read_sales(table, propose_mapping(table).mapping, now=NOW)
    assert sales.report.revenue_total == pytest.approx(truth, abs=0.02)


def test_only_lines_without_any_number_are_lines_of_text() -> None:
    rows = sold(Amount=LINES).astype({"Quantity": object, "Amount": object})
    fees = np.arange(COUNT) % 24 == 7  # whose units are not written
    rows.loc[SOME | fees, "Quantity"] = None
    rows.loc[SOME, "Amount"] = None
    assert propose_mapping(rows).mapping.where == "Amount is not missing"


def test_pages_of_a_list_and_a_name_given_twice(tmp_path: Path) -> None:
    header = "Date\tDocument\tItem\tQty\tNet Value\tCurr.\tCost\tCurr."
    lines = [
        f"{day}\t9{i}\t{item}\t{n}\t{amount:.2f}\tEUR\t1.00\tEUR"
        for i, (day, item, n, amount) in enumerate(zip(DAYS, ITEMS, UNITS, LINES, strict=True))
    ]
    pages = [lines[i : i + 40] for i in range(0, COUNT, 40)]
    titles = [f"02.09.2024    List of billing documents    Page {i + 1}" for i in range(len(pages))]
    text = "\n".join(
        part for title, page in zip(titles, pages, strict=True) for part in (title, "", header, *page)
    )
    source = tmp_path / "list.txt"
    source.write_text(text)
    sales = read_sales(source, propose_mapping(source).mapping, now=NOW)
    assert sales.report.revenue_total == pytest.approx(LINES.sum())
    assert sales.report.rows_read == COUNT


@pytest.mark.parametrize(
    "name, role",
    [
        ("Subtotal w/o Tax", "amount"),
        ("freight_value", "shipping"),
        ("tax total", "tax"),
        ("sales value", "amount"),
        ("Amount after tax", "amount"),
        ("Ventes nettes", "amount"),
        ("Nombre de ventes", "units"),
        ("price/unit", "unit_price"),
        ("PriceAmount", "unit_price"),
        ("price total", "amount"),
        ("id_order_unit", "order"),
        ("Paid", "amount"),
    ],
)
def test_a_name_tells_its_role(name: str, role: str) -> None:
    assert name_role(name) == role


def test_a_database_file_is_told_its_url(tmp_path: Path) -> None:
    (tmp_path / "shop.sqlite").write_bytes(b"SQLite format 3\0")
    with pytest.raises(UserError, match=f"sqlite:///{tmp_path}/shop.sqlite"):
        read_sales(tmp_path / "shop.sqlite")
