"""Mappings that write themselves: layouts of many systems and languages, each with the revenue that is right."""

import os
import pty
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from salesforecast.core.settings import UserError
from salesforecast.sales.column_names import name_role
from salesforecast.sales.column_profiles import profile_table
from salesforecast.sales.presets import PRESETS, find_preset
from salesforecast.sales.proposals import propose_mapping
from salesforecast.sales.proposed_filters import propose_currency
from salesforecast.sales.reading import read_sales
from salesforecast.sales.schema import load_mapping

NOW = pd.Timestamp("2025-06-30")
GOODS = {"A1": ("Tea", 4.5), "B2": ("Jam", 3.25), "C3": ("Lamp", 45.0), "D4": ("Chair", 1299.0)}


@dataclass
class Shop:
    """Sales of a made-up shop, two lines to an order."""

    rows: int = 400
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(3))

    def __post_init__(self) -> None:
        self.sku = self.rng.choice(list(GOODS), self.rows, p=[0.4, 0.4, 0.15, 0.05])
        self.name = np.array([GOODS[s][0] for s in self.sku])
        self.price = np.array([GOODS[s][1] for s in self.sku])
        self.qty = self.rng.integers(1, 5, self.rows)
        self.day = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(self.rows) // 4, "D")
        self.order = 1000 + np.arange(self.rows) // 2
        self.line = np.round(self.qty * self.price, 2)
        self.rate = self.rng.choice([0, 0.1, 0.2], self.rows)
        self.discount = np.round(self.line * self.rate, 2)
        self.net = np.round(self.line - self.discount, 2)
        self.cancelled = self.rng.random(self.rows) < 0.1
        self.clock = [
            f"{h:02}:{m:02}:00"
            for h, m in zip(
                self.rng.integers(9, 20, self.rows), self.rng.integers(0, 60, self.rows), strict=True
            )
        ]


def german(values: np.ndarray) -> list[str]:
    """Numbers with decimal comma and dots between thousands."""
    return [f"{v:,.2f}".translate(str.maketrans(",.", ".,")) for v in values]


Layout = tuple[pd.DataFrame, float, dict[str, str]]  # export, revenue, expressions that must be proposed
LAYOUTS: dict[str, Callable[[Shop], Layout]] = {}


def layout(build: Callable[[Shop], Layout]) -> Callable[[Shop], Layout]:
    LAYOUTS[build.__name__] = build
    return build


@layout
def discount_amount_and_country_are_no_units(s: Shop) -> Layout:
    frame = pd.DataFrame(
        {
            "Order Date": s.day,
            "Country": "DE",
            "Discount Amount": s.discount,
            "Item Count": s.qty,
            "Unit Price": s.price,
        }
    )
    return frame, s.net.sum(), {"Units_Sold": "Item Count", "Region": "Country"}


@layout
def item_price_is_the_lines(s: Shop) -> Layout:
    frame = pd.DataFrame({"date": s.day, "sku": s.sku, "quantity": s.qty, "item-price": s.line})
    return frame, s.line.sum(), {"Revenue": "item-price", "Unit_Price": "`item-price` / quantity"}


@layout
def a_price_of_one_without_an_amount(s: Shop) -> Layout:
    frame = pd.DataFrame({"sold_at": s.day, "item": s.name, "qty": s.qty, "price": s.price})
    return frame, s.line.sum(), {"Unit_Price": "price"}


@layout
def a_discount_in_percent(s: Shop) -> Layout:
    frame = pd.DataFrame(
        {"date": s.day, "product": s.name, "units": s.qty, "unit price": s.price, "discount %": s.rate * 100}
    )
    return frame, (s.line * (1 - s.rate)).sum(), {}


@layout
def a_rate_with_percent_signs(s: Shop) -> Layout:
    frame = pd.DataFrame(
        {
            "date": s.day,
            "product": s.name,
            "units": s.qty,
            "unit price": s.price,
            "discount": [f"{r:.0%}" for r in s.rate],
        }
    )
    return frame, (s.line * (1 - s.rate)).sum(), {}


@layout
def net_and_gross_and_tax(s: Shop) -> Layout:
    tax = np.round(s.net * 0.2, 2)
    frame = pd.DataFrame(
        {
            "Date": s.day,
            "Item": s.name,
            "Qty": s.qty,
            "Price": s.price,
            "Discount": s.discount,
            "Tax": tax,
            "Total": s.net + tax,
            "Subtotal": s.net,
        }
    )
    return frame, s.net.sum(), {"Revenue": "Subtotal"}


@layout
def german_headers(s: Shop) -> Layout:
    frame = pd.DataFrame(
        {
            "Verkaufsdatum": [f"{d:%d.%m.%Y}" for d in s.day],
            "Artikelnummer": s.sku,
            "Warengruppe": s.name,
            "Menge": s.qty,
            "Einzelpreis": german(s.price),
            "Rabattbetrag": german(s.discount),
            "Nettoumsatz": german(s.net),
        }
    )
    return frame, s.net.sum(), {"Revenue": "Nettoumsatz", "Units_Sold": "Menge", "Category": "Warengruppe"}


@layout
def french_headers(s: Shop) -> Layout:
    frame = pd.DataFrame(
        {
            "Date de commande": [f"{d:%d/%m/%Y}" for d in s.day],
            "N° commande": s.order,
            "Désignation": s.name,
            "Quantité": s.qty,
            "Prix unitaire HT": german(s.price),
            "Montant HT": german(s.line),
            "TVA": german(s.line * 0.2),
            "Montant TTC": german(s.line * 1.2),
        }
    )
    return (
        frame,
        s.line.sum(),
        {"Revenue": "Montant HT", "Product_Name": "Désignation", "Transaction_ID": "N° commande"},
    )


@layout
def spanish_headers(s: Shop) -> Layout:
    frame = pd.DataFrame(
        {
            "Fecha": [f"{d:%d/%m/%Y}" for d in s.day],
            "Factura": s.order,
            "Artículo": s.name,
            "Cantidad": s.qty,
            "Precio": german(s.price),
            "Importe": german(s.line),
            "Tienda": "Sur",
        }
    )
    return frame, s.line.sum(), {"Revenue": "Importe", "Region": "Tienda", "Product_Name": "Artículo"}


@layout
def italian_headers(s: Shop) -> Layout:
    frame = pd.DataFrame(
        {
            "Data vendita": s.day,
            "Prodotto": s.name,
            "Quantità": s.qty,
            "Prezzo unitario": s.price,
            "Sconto": s.discount,
            "Totale": s.net,
        }
    )
    return frame, s.net.sum(), {"Revenue": "Totale", "Units_Sold": "Quantità"}


@layout
def portuguese_headers(s: Shop) -> Layout:
    frame = pd.DataFrame(
        {
            "Data da venda": s.day,
            "Produto": s.name,
            "Qtd": s.qty,
            "Preço unitário": s.price,
            "Valor total": s.line,
            "Loja": "Porto",
        }
    )
    return frame, s.line.sum(), {"Revenue": "Valor total", "Unit_Price": "Preço unitário"}


@layout
def dutch_headers(s: Shop) -> Layout:
    frame = pd.DataFrame(
        {
            "Besteldatum": s.day,
            "Artikelcode": s.sku,
            "Aantal": s.qty,
            "Stuksprijs": s.price,
            "Korting": s.discount,
            "Bedrag": s.net,
        }
    )
    return frame, s.net.sum(), {"Revenue": "Bedrag", "Product_ID": "Artikelcode"}


@layout
def polish_headers(s: Shop) -> Layout:
    frame = pd.DataFrame(
        {
            "Data sprzedaży": s.day,
            "Nazwa towaru": s.name,
            "Ilość": s.qty,
            "Cena jednostkowa": s.price,
            "Wartość": s.line,
            "Miasto": "Łódź",
        }
    )
    return frame, s.line.sum(), {"Revenue": "Wartość", "Region": "Miasto"}


@layout
def japanese_headers(s: Shop) -> Layout:
    frame = pd.DataFrame(
        {
            "売上日": s.day,
            "商品名": s.name,
            "数量": s.qty,
            "単価": s.price,
            "売上金額": s.line,
            "店舗": "東京",
        }
    )
    return frame, s.line.sum(), {"Revenue": "売上金額", "Units_Sold": "数量"}


@layout
def cancelled_orders(s: Shop) -> Layout:
    frame = pd.DataFrame(
        {
            "created_at": s.day,
            "order_id": s.order,
            "sku": s.sku,
            "qty": s.qty,
            "amount": s.line,
            "status": np.where(s.cancelled, "canceled", "complete"),
        }
    )
    return frame, s.line[~s.cancelled].sum(), {}


@layout
def returns_by_a_flag_with_positive_amounts(s: Shop) -> Layout:
    frame = pd.DataFrame(
        {
            "day": s.day,
            "type": np.where(s.cancelled, "CREDIT", "SALE"),
            "product": s.name,
            "units": s.qty,
            "price": s.price,
            "total": s.line,
        }
    )
    return frame, s.line[~s.cancelled].sum() - s.line[s.cancelled].sum(), {}


@layout
def refunds_with_negative_amounts_alone(s: Shop) -> Layout:
    sign = np.where(s.cancelled, -1, 1)
    frame = pd.DataFrame(
        {"day": s.day, "product": s.name, "units": s.qty, "price": s.price, "total": sign * s.line}
    )
    return frame, (sign * s.line).sum(), {}


@layout
def a_ledger_with_credits(s: Shop) -> Layout:
    frame = pd.DataFrame({"Posting Date": s.day, "Document No": s.order, "Amount": -s.line})
    return frame, s.line.sum(), {"Revenue": "-Amount"}


@layout
def date_and_time_apart(s: Shop) -> Layout:
    frame = pd.DataFrame(
        {
            "Date": [f"{d:%Y-%m-%d}" for d in s.day],
            "Time": s.clock,
            "Item": s.name,
            "Net": s.line,
            "Gross": s.line * 1.2,
        }
    )
    return frame, s.line.sum(), {"Transaction_Date": "join(Date, ' ', Time)", "Revenue": "Net"}


@layout
def the_total_of_the_order_on_each_line(s: Shop) -> Layout:
    total = pd.Series(s.line).groupby(s.order).transform("sum")
    frame = pd.DataFrame(
        {
            "date": s.day,
            "order": s.order,
            "product": s.name,
            "qty": s.qty,
            "unit price": s.price,
            "order total": total,
        }
    )
    return frame, s.line.sum(), {"Unit_Price": "unit price"}


@layout
def the_discount_of_the_order_on_its_first_line(s: Shop) -> Layout:
    first = ~pd.Series(s.order).duplicated()
    of_order = pd.Series(s.discount).groupby(s.order).transform("sum").round(2)
    frame = pd.DataFrame(
        {
            "date": s.day,
            "order no": s.order,
            "product": s.name,
            "qty": s.qty,
            "unit price": s.price,
            "discount": of_order.where(first),
        }
    )
    return frame, s.line.sum() - s.discount.sum(), {}


@layout
def gift_cards_and_shipping_lines(s: Shop) -> Layout:
    name = np.where(s.cancelled, "Gift card", np.where(np.arange(s.rows) % 50 == 7, "Shipping", s.name))
    frame = pd.DataFrame({"date": s.day, "item name": name, "qty": s.qty, "line total": s.line})
    return frame, s.line[~np.isin(name, ["Gift card", "Shipping"])].sum(), {"Revenue": "line total"}


@layout
def dollars_with_thousands(s: Shop) -> Layout:
    frame = pd.DataFrame(
        {
            "Sale Date": [f"{d:%m/%d/%Y}" for d in s.day],
            "SKU": s.sku,
            "Qty": s.qty,
            "Total": [f"${v:,.2f}" for v in s.line],
            "Cost": s.line / 2,
            "Profit": s.line / 2,
        }
    )
    return frame, s.line.sum(), {"Revenue": "Total"}


@layout
def two_currencies_are_never_added(s: Shop) -> Layout:
    code = np.where(s.cancelled, "JPY", "EUR")
    frame = pd.DataFrame({"date": s.day, "sku": s.sku, "amount": s.line, "currency": code})
    return frame, s.line[~s.cancelled].sum(), {}


def written(folder: Path, frame: pd.DataFrame, delimiter: str = ",") -> Path:
    path = folder / "export.csv"
    frame.to_csv(path, index=False, sep=delimiter)
    return path


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_is_read_right(name: str, tmp_path: Path) -> None:
    frame, revenue, expressions = LAYOUTS[name](Shop())
    source = written(tmp_path, frame, ";" if name.startswith("german") else ",")
    proposal = propose_mapping(source)
    sales = read_sales(source, proposal.mapping, now=NOW)
    assert sales.frame["Revenue"].sum() == pytest.approx(revenue, abs=0.02), proposal.to_yaml()
    assert {key: proposal.value(f"columns.{key}") for key in expressions} == expressions
    assert {line.doubt for line in proposal.lines} <= {"certain", "likely", "unsure"}
    assert all(line.reason for line in proposal.lines)
    (tmp_path / "mapping.yaml").write_text(proposal.to_yaml(), encoding="utf-8")
    assert load_mapping(tmp_path / "mapping.yaml") == proposal.mapping


def shopify(s: Shop) -> tuple[pd.DataFrame, float]:
    orders = pd.DataFrame({"order": s.order, "line": s.line})
    first = ~orders["order"].duplicated()
    total = orders.groupby("order")["line"].transform("sum")
    discount = (total * 0.6).round(2).where(orders["order"] % 5 == 0, 0.0)
    status = pd.Series(np.where(orders["order"] % 7 == 0, "refunded", "paid"))
    cancelled = pd.Series(
        np.where(orders["order"] % 11 == 0, "2024-02-01 10:00:00 -0500", None), dtype=object
    )
    frame = pd.DataFrame(
        {
            "Name": "#" + orders["order"].astype(str),
            "Email": "a@example.com",
            "Financial Status": status.where(first),
            "Currency": pd.Series("USD", orders.index).where(first),
            "Subtotal": (total - discount).where(first),
            "Discount Amount": discount.where(first),
            "Created at": [f"{d:%Y-%m-%d} 10:00:00 -0500" for d in s.day],
            "Lineitem quantity": s.qty,
            "Lineitem name": s.name,
            "Lineitem price": s.price,
            "Lineitem sku": s.sku,
            "Refunded Amount": pd.Series(np.where(status == "refunded", total - discount, 0)).where(first),
            "Cancelled at": cancelled.where(first),
        }
    )
    kept = first & (status == "paid") & cancelled.isna()
    return frame, float((total - discount)[kept].sum())


def amazon(s: Shop) -> tuple[pd.DataFrame, float]:
    frame = pd.DataFrame(
        {
            "amazon-order-id": s.order,
            "purchase-date": [f"{d:%Y-%m-%d}T03:00:00+00:00" for d in s.day],
            "order-status": np.where(s.cancelled, "Cancelled", "Shipped"),
            "sales-channel": "Amazon.com",
            "product-name": s.name,
            "sku": s.sku,
            "quantity": np.where(s.cancelled, 0, s.qty),
            "currency": "USD",
            "item-price": np.where(s.cancelled, np.nan, s.line),
            "item-promotion-discount": np.where(s.discount > 0, s.discount, np.nan),
        }
    )
    return frame, float(s.net[~s.cancelled].sum())


def square(s: Shop) -> tuple[pd.DataFrame, float]:
    sign = np.where(s.cancelled, -1, 1)
    money = lambda values: [f"{'-' if v < 0 else ''}${abs(v):,.2f}" for v in values]  # noqa: E731
    frame = pd.DataFrame(
        {
            "Date": [f"{d:%m/%d/%y}" for d in s.day],
            "Time": s.clock,
            "Time Zone": "Pacific Time (US & Canada)",
            "Category": "None",
            "Item": s.name,
            "Qty": sign * s.qty,
            "SKU": s.sku,
            "Gross Sales": money(sign * s.line),
            "Discounts": money(-sign * s.discount),
            "Net Sales": money(sign * s.net),
            "Tax": money(sign * s.net * 0.1),
            "Transaction ID": s.order,
            "Event Type": np.where(s.cancelled, "Refund", "Payment"),
            "Location": "Main",
            "Count": "",
        }
    )
    return frame, float((sign * s.net).sum())


def sap(s: Shop) -> tuple[pd.DataFrame, float]:
    sign = np.where(s.cancelled, "-", "")
    frame = pd.DataFrame(
        {
            "Billing Document": s.order,
            "Billing Date": [f"{d:%d.%m.%Y}" for d in s.day],
            "Material": s.sku,
            "Description": s.name,
            "Billed Quantity": [f"{q}{m}" for q, m in zip(s.qty, sign, strict=True)],
            "Net Value": [f"{v}{m}" for v, m in zip(german(s.net), sign, strict=True)],
            "Curr.": "EUR",
        }
    )
    return frame, float(np.where(s.cancelled, -s.net, s.net).sum())


def odoo(s: Shop) -> tuple[pd.DataFrame, float]:
    first = ~pd.Series(s.order).duplicated()
    status = pd.Series(
        np.where(s.order % 9 == 0, "Cancelled", np.where(s.order % 8 == 0, "Quotation", "Sales Order"))
    )
    frame = pd.DataFrame(
        {
            "Order Reference": pd.Series([f"S{o}" for o in s.order]).where(first),
            "Order Date": pd.Series([f"{d:%Y-%m-%d} 10:00:00" for d in s.day]).where(first),
            "Status": status.where(first),
            "Order Lines/Product": s.name,
            "Order Lines/Quantity": s.qty.astype(float),
            "Order Lines/Unit Price": s.price,
            "Order Lines/Subtotal": s.net,
        }
    )
    return frame, float(s.net[(status == "Sales Order").to_numpy()].sum())


def walmart(s: Shop) -> tuple[pd.DataFrame, float]:
    weeks = pd.Timestamp("2024-01-05") + pd.to_timedelta(np.arange(s.rows) // 8 * 7, "D")
    sales = np.where(s.cancelled, -5.0, s.line)
    frame = pd.DataFrame(
        {
            "Store": np.arange(s.rows) % 2,
            "Dept": np.arange(s.rows) % 8 // 2,
            "Date": weeks,
            "Weekly_Sales": sales,
            "IsHoliday": False,
        }
    )
    return frame, float(sales.sum())


def rossmann(s: Shop) -> tuple[pd.DataFrame, float]:
    frame = pd.DataFrame(
        {
            "Store": np.arange(s.rows) % 4,
            "DayOfWeek": 1,
            "Date": s.day,
            "Sales": np.where(s.cancelled, 0, s.qty * 100),
            "Customers": s.qty * 10,
            "Open": np.where(s.cancelled, 0, 1),
            "Promo": 0,
            "StateHoliday": "0",
            "SchoolHoliday": 0,
        }
    )
    return frame, float(frame["Sales"].sum())


SYSTEMS = {
    "shopify_orders": shopify,
    "amazon_orders": amazon,
    "square_items": square,
    "sap": sap,
    "odoo_sales": odoo,
    "walmart": walmart,
    "rossmann": rossmann,
}


@pytest.mark.parametrize("key", SYSTEMS)
def test_a_system_is_recognised_and_read_right(key: str, tmp_path: Path) -> None:
    frame, revenue = SYSTEMS[key](Shop())
    source = written(tmp_path, frame, ";" if key == "sap" else ",")
    proposal = propose_mapping(source)
    assert proposal.preset and proposal.preset.key == key
    sales = read_sales(source, proposal.mapping, now=NOW)
    assert sales.frame["Revenue"].sum() == pytest.approx(revenue, abs=0.02), proposal.to_yaml()
    if key == "amazon_orders":
        assert sales.frame["Transaction_Date"].min() < pd.Timestamp("2024-01-01")  # the evening before, there


def test_each_preset_recognises_its_own_columns() -> None:
    for preset in PRESETS:
        columns = [names.split("|")[0] for names in preset.signature]
        columns += [
            p.split("|")[0]
            for t in preset.columns.values()
            for p in __import__("re").findall(r"\{([^}]+)\}", t[0])
        ]
        found = find_preset(columns)
        assert found is not None and found.key == preset.key
    assert find_preset(["date", "product", "revenue"]) is None


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("Discount Amount", "discount"),
        ("Country", "region"),
        ("Account", ""),
        ("Unit Cost", "cost"),
        ("Net price", "unit_price"),
        ("Lieferdatum", "other_date"),
        ("Total tax", "tax"),
        ("Stückpreis", "unit_price"),
        ("Mehrwertsteuer", "tax"),
    ],
)
def test_whole_words_tell(name: str, role: str) -> None:
    assert name_role(name) == role


def test_day_and_month_are_asked_where_no_date_tells(tmp_path: Path) -> None:
    frame = pd.DataFrame({"date": ["3/1/2024", "4/1/2024", "5/1/2024", "6/1/2024"], "amount": [1, 2, 3, 4]})
    proposal = propose_mapping(frame)
    assert [q.key for q in proposal.questions] == ["day_first"]
    assert proposal.mapping.day_first is True  # so the rows are days in order
    assert proposal.answer("day_first", False).mapping.day_first is False


def test_three_digits_behind_every_dot_are_asked() -> None:
    frame = pd.DataFrame(
        {"Datum": ["01.02.2024", "02.02.2024", "03.02.2024"], "Umsatz": ["1.725", "597", "2.523"]}
    )
    proposal = propose_mapping(frame)
    assert [q.key for q in proposal.questions] == ["read.decimal"]
    assert read_sales(frame, proposal.mapping, now=NOW).frame["Revenue"].sum() == 4845
    other = proposal.answer("read.decimal", ".")
    assert read_sales(frame, other.mapping, now=NOW).frame["Revenue"].sum() == pytest.approx(601.248)


def test_what_has_no_revenue_is_refused_with_its_columns() -> None:
    with pytest.raises(UserError, match="no column looks like a revenue.*name \\(text\\)"):
        propose_mapping(pd.DataFrame({"day": ["2024-01-01"], "name": ["x"]}))


def test_the_command_writes_and_never_overwrites_unasked(run_command: Callable, tmp_path: Path) -> None:
    source = written(tmp_path, LAYOUTS["cancelled_orders"](Shop())[0])
    out = tmp_path / "shop.yaml"
    refused = run_command("train", source)
    assert refused.returncode == 2
    assert f"salesforecast map {source}" in " ".join(refused.stderr.split())
    done = run_command("map", source, "--out", out, "--yes")
    assert done.returncode == 0, done.stderr
    for text in ("no sales of goods: canceled", "First rows", "Revenue by month", "2024-02"):
        assert text in done.stdout
    out.write_text("name: mine\n")
    again = run_command("map", source, "--out", out, "--yes")
    assert again.returncode == 2 and "exists" in again.stderr
    assert out.read_text() == "name: mine\n"
    assert run_command("map", source, "--out", out, "--force").returncode == 0
    assert load_mapping(out).where == "status != 'canceled'"


@pytest.mark.skipif(sys.platform == "win32", reason="needs a terminal of Unix")
def test_a_terminal_is_asked(tmp_path: Path) -> None:
    source = written(
        tmp_path, pd.DataFrame({"date": ["3/1/2024", "4/1/2024", "5/1/2024"], "amount": [1, 2, 3]})
    )
    out = tmp_path / "asked.yaml"
    ours, theirs = pty.openpty()
    start = [
        sys.executable,
        "-c",
        "from salesforecast.cli.main import main; main()",
        "map",
        str(source),
        "--out",
        str(out),
    ]
    process = subprocess.Popen(start, stdin=theirs, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    os.write(ours, b"2\n")
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    assert b"is the day or the month first?" in stderr
    assert load_mapping(out).day_first is False


def wide(values: np.ndarray, periods: list[str]) -> pd.DataFrame:
    """One row a product, one column a period, and a total below."""
    frame = pd.DataFrame(values, columns=periods)
    frame.insert(0, "Item", [f"Item {i}" for i in range(len(values))])
    return pd.concat([frame, pd.DataFrame([{"Item": "Total", **frame[periods].sum()}])], ignore_index=True)


def test_a_column_a_day_is_melted_and_the_meaning_of_its_cells_is_asked(tmp_path: Path) -> None:
    units = np.random.default_rng(0).integers(0, 6, (5, 40))
    days = [f"{day:%Y-%m-%d}" for day in pd.date_range("2024-01-01", periods=40)]
    source = written(tmp_path, wide(units, days))
    proposal = propose_mapping(source)
    assert {line.key: (line.value, line.doubt) for line in proposal.lines} == {
        "columns.Product_Name": ("Item", "likely"),
        "constants.Unit_Price": (1, "unsure"),
        "melt.value": ("Units_Sold", "unsure"),
    }
    assert read_sales(source, proposal.mapping, now=NOW).frame["Units_Sold"].sum() == units.sum()
    [question] = proposal.questions
    money = proposal.answer("melt.value", question.choices["money: the revenue of each product"])
    assert money.value("constants.Unit_Price") is None and not money.questions
    assert read_sales(source, money.mapping, now=NOW).frame["Revenue"].sum() == units.sum()


@pytest.mark.parametrize(
    ("periods", "start"),
    [
        (["31/12/2023", "01/01/2024", "02/01/2024", "03/01/2024"], "2023-12-31"),
        (["2024-W01", "2024-W02", "2024-W03", "2024-W04"], "2024-01-01"),
        (["Jan 2024", "Feb 2024", "Mar 2024", "Apr 2024"], "2024-01-01"),
    ],
)
def test_amounts_of_days_weeks_and_months_are_money(periods: list[str], start: str, tmp_path: Path) -> None:
    amounts = np.round(np.random.default_rng(0).uniform(5, 500, (6, 4)), 2)
    source = written(tmp_path, wide(amounts, periods))
    sales = read_sales(source, propose_mapping(source).mapping, now=NOW)
    assert sales.frame["Revenue"].sum() == pytest.approx(amounts.sum())
    assert sales.frame["Transaction_Date"].min() == pd.Timestamp(start)


def test_days_whose_month_is_unclear_are_asked(tmp_path: Path) -> None:
    amounts = np.full((3, 4), 2.5)
    source = written(tmp_path, wide(amounts, ["01/02/2024", "02/02/2024", "03/02/2024", "04/02/2024"]))
    proposal = propose_mapping(source)
    assert [q.key for q in proposal.questions] == ["melt.value", "day_first"]
    assert read_sales(source, proposal.mapping, now=NOW).frame["Transaction_Date"].max() == pd.Timestamp(
        "2024-02-04"
    )


def test_a_wide_table_with_prices_is_units(tmp_path: Path) -> None:
    units = np.random.default_rng(0).integers(0, 6, (4, 30))
    days = [f"{day:%Y-%m-%d}" for day in pd.date_range("2024-01-01", periods=30)]
    frame = pd.DataFrame(units, columns=days)
    frame.insert(0, "SKU", ["A1", "B2", "C3", "D4"])
    frame.insert(1, "Unit Price", [price := 4.5, 3.25, 45.0, 1299.0])
    source = written(tmp_path, frame)
    proposal = propose_mapping(source)
    assert proposal.mapping.columns == {"Product_ID": "SKU", "Unit_Price": "Unit Price"}
    revenue = (units.sum(axis=1) * np.array([price, 3.25, 45.0, 1299.0])).sum()
    assert read_sales(source, proposal.mapping, now=NOW).frame["Revenue"].sum() == pytest.approx(revenue)


def packed(s: Shop, refund: float = 0.0) -> tuple[pd.DataFrame, float]:
    """WooCommerce orders: two lines to an order, packed into one cell; some orders cancelled, one partly refunded."""
    orders = []
    for order in np.unique(s.order):
        rows = np.flatnonzero(s.order == order)
        items = [
            f"name:{s.name[i]}|sku:{s.sku[i]}|quantity:{s.qty[i]}|subtotal:{s.line[i]:.2f}|total:{s.net[i]:.2f}|"
            f"total_tax:{s.net[i] / 5:.2f}"
            for i in rows
        ]
        orders.append(
            {
                "order_id": order,
                "order_date": f"{s.day[rows[0]]:%Y-%m-%d} 10:00:00",
                "status": "cancelled" if s.cancelled[rows[0]] else "completed",
                "shipping_total": "5.00",
                "tax_total": f"{s.net[rows].sum() / 5 + 1:.2f}",
                "order_total": f"{s.net[rows].sum() * 1.2 + 6:.2f}",
                "refunded_total": "0.00",
                "line_items": "; ".join(items),
            }
        )
    frame = pd.DataFrame(orders)
    frame.loc[(frame["status"] == "completed").idxmax(), "refunded_total"] = f"{refund:.2f}"
    kept = ~s.cancelled[np.arange(s.rows) // 2 * 2]
    return frame, float(s.net[kept].sum()) - refund / 1.2  # which holds the tax


@pytest.mark.parametrize("refund", [0.0, 2.5])
def test_packed_line_items_are_unpacked(refund: float, tmp_path: Path) -> None:
    frame, revenue = packed(Shop(), refund)
    source = written(tmp_path, frame)
    proposal = propose_mapping(source)
    assert proposal.mapping.unpack == "line_items"
    assert proposal.preset and proposal.preset.key == "woocommerce_orders"
    sales = read_sales(source, proposal.mapping, now=NOW)
    assert sales.frame["Revenue"].sum() == pytest.approx(revenue, abs=0.01)
    assert set(sales.frame["Product_ID"]) <= set(GOODS)


def test_totals_and_headers_among_the_rows_are_no_part_of_a_proposal(tmp_path: Path) -> None:
    s = Shop(40)
    frame = pd.DataFrame({"Date": s.day.astype(str), "Item": s.name, "Qty": s.qty, "Amount": s.line}).astype(
        object
    )
    header = pd.DataFrame([{name: name for name in frame}])
    total = pd.DataFrame([{"Date": "Total", "Item": "", "Qty": s.qty.sum(), "Amount": s.line.sum()}])
    parts = [frame[:10], header, total, frame[10:20], header, total, frame[20:], header, total]
    source = written(tmp_path, pd.concat(parts, ignore_index=True))
    proposal = propose_mapping(source)
    assert proposal.mapping.columns["Transaction_Date"] == "Date"
    assert read_sales(source, proposal.mapping, now=NOW).frame["Revenue"].sum() == pytest.approx(s.line.sum())


@pytest.mark.parametrize("kind", ["wide", "packed"])
def test_the_command_reads_tables_that_are_not_a_row_a_sale(
    kind: str, run_command: Callable, tmp_path: Path
) -> None:
    days = [f"{day:%Y-%m-%d}" for day in pd.date_range("2024-01-01", periods=20)]
    frame = wide(np.full((3, 20), 2), days) if kind == "wide" else packed(Shop(60))[0]
    out = tmp_path / "shop.yaml"
    done = run_command("map", written(tmp_path, frame), "--out", out, "--yes")
    assert done.returncode == 0, done.stderr
    assert "Revenue by month" in done.stdout
    assert bool(load_mapping(out).melt) == (kind == "wide")
    if kind == "wide":
        assert "Do their cells hold money or units? units sold" in " ".join(done.stderr.split())


SHARED = Path(__file__).parents[3] / "shared" / "data" / "exports"
FILES = {
    "01-shopify-orders.csv.gz": 477_112.32,
    "02-square-items.csv.gz": 512_457.20,
    "05-sap-lightspeed.csv.gz": 507_408.10,
    "08-thousands-dot.csv": 1_598_295.0,
    "08b-few-thousands.csv.gz": 532_762.68,
    "17b-dates-as-columns.csv": 7_299.0,  # units, at a price of 1
}


@pytest.mark.parametrize("name", FILES)
def test_exports_of_others(name: str) -> None:
    if not (SHARED / name).exists():
        pytest.skip("the exports are not here")
    proposal = propose_mapping(SHARED / name)
    assert read_sales(SHARED / name, proposal.mapping).frame["Revenue"].sum() == pytest.approx(
        FILES[name], abs=0.005
    )


def test_the_currency_is_that_of_the_first_amount_that_names_one() -> None:
    codes = ("EUR", "USD", "GBP", "CHF", "SEK", "NOK")
    cells = {"Note": ["$5 off", "a gift", "for Ann"]} | {
        f"Amount {i} ({code})": ["1.50", "2", "3"] for i, code in enumerate(codes)
    }
    (line,), _, _ = propose_currency(profile_table(pd.DataFrame(cells)), set(cells))
    assert (line.value, line.reason) == ("EUR", "it stands in Amount 0 (EUR)")
