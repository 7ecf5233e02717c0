"""Exports whose documents are no invoices, whose amounts hold a tax, and whose own totals say what counts."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from salesforecast.sales.proposals import propose_mapping
from salesforecast.sales.reading import read_sales

DAYS, NOW = pd.date_range("2026-01-01", periods=240, freq="12h").astype(str), pd.Timestamp("2026-08-01")
RNG = np.random.default_rng(7)
UNITS, AT = RNG.integers(1, 5, 240), RNG.integers(0, 5, 240)
GOODS = np.array(["Pan", "Lamp", "Desk", "Rug", "Vase"])[AT]
PRICE = np.array([54.9, 39.9, 149.0, 64.0, 29.5])[AT]
LINE = np.round(UNITS * PRICE, 2)
SOME = RNG.random(240) < 0.12


def sold(**columns: object) -> pd.DataFrame:
    """Two sales a day, and these columns."""
    return pd.DataFrame({"Date": DAYS, "Product": GOODS, **columns})


def read(source: pd.DataFrame | Path) -> float:
    """The revenue by the mapping that is proposed."""
    mapping = propose_mapping(source).mapping
    return float(read_sales(source, mapping, now=NOW).frame["Revenue"].sum())


@pytest.mark.parametrize(
    ("kind", "invoice", "offer"),
    [
        ("Document Type", "Invoice", "Pro forma"),
        ("Document Type", "Sales Invoice", "Sales Order"),
        ("Transaction Type", "Invoice", "Estimate"),
        ("Belegart", "Rechnung", "Auftragsbestätigung"),
        ("Belegart", "Rechnung", "Lieferschein"),
        ("Type", "Facture", "Bon de livraison"),
        ("Tipo documento", "Fattura", "Preventivo"),
        ("Tipo", "Factura", "Albarán"),
        ("Soort", "Verkoopfactuur", "Offerte"),
        ("Tipo", "Venda de mercadoria", "Remessa em bonificação"),
        ("伝票区分", "掛売上", "見積"),
    ],
)
def test_documents_before_an_invoice_are_no_sales(kind: str, invoice: str, offer: str) -> None:
    cells = sold(**{kind: np.where(SOME, offer, invoice), "Qty": UNITS, "Amount": LINE})
    assert read(cells) == pytest.approx(LINE[~SOME].sum())


def test_orders_without_invoices_are_sales() -> None:
    cells = sold(**{"Transaction Type": np.where(SOME, "Order", "Wholesale"), "Qty": UNITS, "Amount": LINE})
    assert read(cells) == pytest.approx(LINE.sum())


@pytest.mark.parametrize(
    "state", ["On Hold", "Awaiting payment", "Fraud", "Disputed", "Denegada", "Batal", "반품완료"]
)
def test_orders_that_are_not_paid_or_denied_are_no_sales(state: str) -> None:
    cells = sold(**{"Order Status": np.where(SOME, state, "Completed"), "Qty": UNITS, "Amount": LINE})
    assert read(cells) == pytest.approx(LINE[~SOME].sum())


@pytest.mark.parametrize("state", ["Partially refunded", "Shipped", "In store"])
def test_other_states_are_sales(state: str) -> None:
    cells = sold(**{"Order Status": np.where(SOME, state, "Completed"), "Qty": UNITS, "Amount": LINE})
    assert read(cells) == pytest.approx(LINE.sum())


def test_invoices_that_wait_for_their_payment_are_sales() -> None:
    cells = sold(
        **{
            "Due Date": DAYS,
            "Status": np.where(SOME, "Awaiting Payment", "Paid"),
            "Qty": UNITS,
            "Amount": LINE,
        }
    )
    assert read(cells) == pytest.approx(LINE.sum())


@pytest.mark.parametrize("name", ["Items refunded", "Quantity refunded"])
def test_one_unit_that_came_back_does_not_take_the_row_away(name: str) -> None:
    back = (SOME & (UNITS > 1)).astype(int)
    net = np.round(LINE - back * PRICE, 2)
    assert read(sold(**{"Items sold": UNITS, name: back, "Net sales": net})) == pytest.approx(net.sum())


def test_pro_forma_invoices_by_their_code_are_no_sales() -> None:
    cells = sold(**{"FkArt": np.where(SOME, "F8", "F2"), "Qty": UNITS, "Net": LINE})
    assert read(cells) == pytest.approx(LINE[~SOME].sum())


@pytest.mark.parametrize(
    ("gross", "net"), [("Gross Amount", "Net Amount"), ("Total", "Subtotal"), ("Amount", "Amount (ex GST)")]
)
def test_an_amount_that_is_another_with_tax_is_not_taken(gross: str, net: str) -> None:
    tax = np.round(LINE / 6, 2)
    cells = sold(**{"Qty": UNITS, "Unit Price": PRICE, gross: LINE, "VAT": tax, net: np.round(LINE - tax, 2)})
    assert read(cells) == pytest.approx((LINE - tax).sum())


def test_a_tax_that_is_one_rate_of_the_rest_is_held() -> None:
    tax = np.round(LINE - LINE / 1.2, 2)
    assert read(sold(**{"Qty": UNITS, "Price": PRICE, "Tax Included": tax})) == pytest.approx(
        (LINE - tax).sum()
    )
    assert read(sold(**{"Takings": LINE, "MwSt": tax})) == pytest.approx((LINE - tax).sum())


def test_a_tax_that_is_one_rate_of_the_amount_is_on_top() -> None:
    on_top = np.round(LINE * 0.2, 2)
    assert read(sold(**{"Qty": UNITS, "Price": PRICE, "VAT": on_top})) == pytest.approx(LINE.sum())
    assert read(sold(**{"Takings": LINE, "MwSt": on_top})) == pytest.approx(LINE.sum())


def test_a_second_discount_is_of_what_the_first_left() -> None:
    first, second = np.where(SOME, 10, 0), np.where(AT == 1, 5, 0)
    cells = sold(**{"Qty": UNITS, "List Price": PRICE, "Disc 1 %": first, "Disc 2 %": second})
    assert read(cells) == pytest.approx((LINE * (1 - first / 100) * (1 - second / 100)).sum())


def shopify(
    shipping_code: bool = False, line_discount: bool = False, tax_included: bool = False
) -> tuple[pd.DataFrame, float]:
    """Orders of two lines as the shop exports them, and their revenue."""
    order = np.arange(240) // 2
    first = np.arange(240) % 2 == 0
    off = np.round(np.where(SOME & line_discount, 0.1 * LINE, 0), 2)
    lines = pd.Series(LINE - off).groupby(order).transform("sum").to_numpy()
    code = np.where(shipping_code & (order % 5 == 0), 5.0, 0.0)
    tax = np.round(lines - lines / 1.2, 2) if tax_included else np.round(lines * 0.08, 2)
    total = lines + 5 - code + (0 if tax_included else tax)

    def once(values: object) -> pd.Series:
        return pd.Series(values).where(first)

    cells = pd.DataFrame({
        "Name": [f"#{1000 + n}" for n in order], "Email": "a@b.c", "Financial Status": once(np.full(240, "paid")),
        "Currency": once(np.full(240, "GBP")), "Subtotal": once(lines), "Shipping": once(5 - code), "Taxes": once(tax),
        "Total": once(total), "Discount Amount": once(code + pd.Series(off).groupby(order).transform("sum")),
        "Created at": pd.Series(DAYS).groupby(order).transform("first") + " +0000", "Lineitem quantity": UNITS, "Lineitem name": GOODS,
        "Lineitem price": PRICE, "Lineitem sku": GOODS, "Cancelled at": None, "Refunded Amount": once(np.zeros(240)),
        "Lineitem discount": off,
    })  # fmt: skip
    share = (1 - once(tax).dropna() / once(total).dropna()).repeat(2).to_numpy() if tax_included else 1.0
    return cells, float(((LINE - off) * share).sum())


@pytest.mark.parametrize("kind", ["shipping_code", "line_discount", "tax_included"])
def test_a_shops_own_totals_say_which_discount_and_tax_counts(kind: str) -> None:
    cells, revenue = shopify(**{kind: True})
    assert read(cells) == pytest.approx(revenue, rel=1e-6)
    assert read(shopify()[0]) == pytest.approx(LINE.sum())


def test_tips_among_the_items_of_a_shop_are_no_goods() -> None:
    cells, _ = shopify()
    cells.loc[SOME, "Lineitem name"] = "Tip"
    assert read(cells) == pytest.approx(LINE[~SOME].sum())


def test_a_tax_within_the_price_of_a_marketplace_is_taken_off() -> None:
    tax = np.round(LINE - LINE / 1.19, 2)
    cells = pd.DataFrame(
        {
            "amazon-order-id": np.arange(240).astype(str),
            "purchase-date": DAYS,
            "sku": GOODS,
            "item-status": "Shipped",
        }
    )
    cells = cells.assign(**{"quantity": UNITS, "item-price": LINE, "item-tax": tax})
    assert read(cells) == pytest.approx((LINE - tax).sum())
    assert read(cells.assign(**{"item-tax": np.round(LINE * 0.08, 2)})) == pytest.approx(LINE.sum())


def test_items_in_numbered_columns_are_all_unpacked() -> None:
    items = [
        f"name:{name}|quantity:{n}|total:{total:.2f}"
        for name, n, total in zip(GOODS, UNITS, LINE, strict=True)
    ]
    cells = pd.DataFrame(
        {
            "order_id": np.arange(120),
            "order_date": DAYS[::2],
            "line_item_1": items[::2],
            "line_item_2": items[1::2],
        }
    )
    cells.loc[5:40, "line_item_2"] = None
    kept = np.ones(240, bool)
    kept[np.arange(5, 41) * 2 + 1] = False
    assert read(cells) == pytest.approx(LINE[kept].sum())


@pytest.mark.parametrize(
    ("encoding", "names"),
    [
        ("cp1250", ["Śrubokręt", "Młotek", "Wąż", "Żarówka", "Gwóźdź"]),
        ("cp1252", ["Cœur", "Œuf", "Bœuf", "Crème", "Gâteau"]),
    ],
)
def test_letters_of_central_europe_are_told_from_western_ones(
    encoding: str, names: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "sales.csv"
    cells = pd.DataFrame(
        {
            "Data": DAYS,
            "Towar": np.array(names)[AT],
            "Ilość" if encoding == "cp1250" else "Qté": UNITS,
            "Kwota": LINE,
        }
    )
    cells.to_csv(path, index=False, encoding=encoding)
    sales = read_sales(path, propose_mapping(path).mapping, now=NOW).frame
    assert set(sales["Product_Name"]) == set(names)
    assert sales["Revenue"].sum() == pytest.approx(LINE.sum())


def test_a_time_of_payment_is_not_filled_from_the_order_above() -> None:
    cells = sold(
        **{"Order ID": np.arange(240), "Qty": UNITS, "Amount": LINE, "Paid At": np.where(SOME, None, DAYS)}
    )
    assert "Paid At" not in (propose_mapping(cells).value("fill_down") or ())


def test_a_collection_called_training_is_sold() -> None:
    cells = sold(**{"Collection": np.where(SOME, "Training", "Running"), "Qty": UNITS, "Amount": LINE})
    assert read(cells) == pytest.approx(LINE.sum())


def test_refunds_of_a_marketplace_by_any_name_and_rebates_of_shipping() -> None:
    """A date range report: chargebacks are refunds, and a rebate that takes the shipping back is none of goods."""
    kind = np.where(SOME, "Chargeback Refund", "Order")
    sign = np.where(SOME, -1.0, 1.0)
    credit, rebate = sign * np.where(AT == 2, 4.99, 0.0), np.where(AT == 3, -2.0, 0.0) * sign
    free = rebate - credit
    cells = pd.DataFrame({
        "date/time": pd.to_datetime(DAYS).strftime("%b %d, %Y %I:%M:%S %p PST"), "settlement id": 1, "type": kind, "order id": np.arange(240).astype(str),
        "sku": GOODS, "description": GOODS, "quantity": UNITS, "product sales": sign * LINE, "shipping credits": credit, "promotional rebates": free,
    })  # fmt: skip
    want = sign * LINE + rebate
    assert read(cells) == pytest.approx(want.sum())


def test_a_payment_service_in_german_counts_payments_and_refunds_before_its_fee() -> None:
    kind = np.select([SOME, AT == 3], ["Rückzahlung", "Von Nutzer eingeleitete Abbuchung"], "Website-Zahlung")
    gross = np.where(kind == "Website-Zahlung", LINE, -LINE)
    cells = pd.DataFrame({
        "Datum": pd.to_datetime(DAYS).strftime("%d.%m.%Y"), "Uhrzeit": "10:15:00", "Zeitzone": "CET", "Typ": kind, "Status": "Abgeschlossen",
        "Währung": "EUR", "Brutto": gross, "Gebühr": -np.round(LINE * 0.03, 2), "Netto": np.round(gross - LINE * 0.03, 2),
        "Transaktionscode": [f"W{n}" for n in range(240)], "Artikelbezeichnung": GOODS,
    })  # fmt: skip
    assert read(cells) == pytest.approx(gross[kind != "Von Nutzer eingeleitete Abbuchung"].sum())


def test_a_subtotal_is_taken_before_a_total_with_shipping_and_untold_tax() -> None:
    cells = sold(**{"Subtotal": LINE, "Shipping": 5.0, "Grand Total": np.round(LINE * 1.19 + 5, 2)})
    assert read(cells) == pytest.approx(LINE.sum())


def test_pro_forma_invoices_of_a_known_system_are_no_sales() -> None:
    kind = np.select([SOME, AT == 3], ["F8", "G2"], "F2")
    cells = pd.DataFrame(
        {"Faktura": np.arange(240), "Fakturaart": kind, "Fakturadatum": DAYS, "Material": GOODS}
    )
    cells = cells.assign(Menge=UNITS, Nettowert=LINE)
    assert propose_mapping(cells).preset.key == "sap"
    assert read(cells) == pytest.approx(LINE[kind == "F2"].sum() - LINE[kind == "G2"].sum())


@pytest.mark.parametrize(("name", "mark"), [("Transaction refunded", "Yes"), ("Status", "Refunded")])
def test_a_refunded_sale_beside_its_refund_is_not_taken_off_twice(name: str, mark: str) -> None:
    usual = "" if mark == "Yes" else "Completed"
    sales = sold(**{name: np.where(SOME, mark, usual), "Type": "Sale", "Qty": UNITS, "Amount": LINE})
    back = sales[SOME].assign(Type="Refund", Amount=-LINE[SOME], **{name: usual})
    assert read(pd.concat([sales, back], ignore_index=True)) == pytest.approx(LINE[~SOME].sum())
    assert read(sales) == pytest.approx(LINE[~SOME].sum())  # where no row takes them back


def test_refunds_among_exported_events_of_an_online_shop_are_taken_off() -> None:
    is_refund = SOME & (np.arange(240) % 2 == 1)
    events = pd.DataFrame(
        {
            "event_date": [day[:10].replace("-", "") for day in DAYS],
            "event_name": np.where(is_refund, "refund", np.where(SOME, "add_to_cart", "purchase")),
            "transaction_id": [f"T{number:03}" for number in range(240)],
            "item_id": AT,
            "item_name": GOODS,
            "quantity": UNITS,
            "item_revenue": np.where(SOME, np.nan, LINE),
            "item_refund": np.where(is_refund, LINE, np.nan),
        }
    )
    assert read(events) == pytest.approx(LINE[~SOME].sum() - LINE[is_refund].sum())


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_total_with_tax_tells_that_a_discount_is_still_to_be_taken_off(sign: int) -> None:
    off = np.where(SOME, np.round(LINE / 10, 2), 0)
    tax = np.round((LINE - off) * 0.08, 2)
    amounts = {"Total Revenue": LINE, "Discounts": sign * off, "Tax Amount": tax}
    cells = sold(**amounts, **{"Item Total": np.round(LINE - off + tax, 2)})
    assert read(cells) == pytest.approx((LINE - off).sum())
    net = cells.assign(**{"Net Revenue": np.round(LINE - off, 2)})
    assert propose_mapping(net).mapping.columns["Revenue"] == "Net Revenue"


def test_an_open_payment_beside_paid_ones_is_no_sale() -> None:
    cells = sold(**{"Payment State": np.where(SOME, "Open", "Paid"), "Qty": UNITS, "Amount": LINE})
    assert read(cells) == pytest.approx(LINE[~SOME].sum())
    assert read(cells.rename(columns={"Payment State": "Window"})) == pytest.approx(LINE.sum())


@pytest.mark.parametrize(
    "kinds",
    [("Netto", "MwSt", "Brutto"), ("Brutto", "MwSt"), ("Brutto",), ("Net sales", "VAT", "Gross sales")],
)
def test_amounts_in_a_column_for_each_rate_of_tax_are_added_up(kinds: tuple[str, ...]) -> None:
    reduced, usual = np.round(LINE * 3, 2), np.round(LINE[::-1] * 5, 2)
    cells = {}
    for rate, net in ((7, reduced), (19, usual)):
        tax = np.round(net * rate / 100, 2)
        amounts = {
            "Netto": net,
            "Net sales": net,
            "MwSt": tax,
            "VAT": tax,
            "Brutto": net + tax,
            "Gross sales": net + tax,
        }
        cells |= {f"{kind} {rate}%": np.round(amounts[kind], 2) for kind in kinds}
    cents = 1e-6 if kinds != ("Brutto",) else 1e-5  # what rounding leaves of a tax that only its rate tells
    assert read(pd.DataFrame({"Datum": DAYS, **cells})) == pytest.approx((reduced + usual).sum(), rel=cents)


@pytest.mark.parametrize(
    ("name", "is_net"), [("Qty Cancelled", False), ("Menge storniert", False), ("Qty Cancelled", True)]
)
def test_units_that_were_cancelled_are_taken_off_those_that_were_ordered(name: str, is_net: bool) -> None:
    off = np.where(SOME, np.where(is_net, UNITS + 1, 1), 0)  # more than the units, which are what is left
    cells = sold(**{"Qty": UNITS, name: off, "Price": PRICE, "Line Total": LINE})
    assert read(cells) == pytest.approx((LINE - (0 if is_net else off * PRICE)).sum())


def test_a_chinese_marketplace_counts_goods_before_shipping_less_refunds() -> None:
    back = np.where(SOME, np.round(LINE / 2, 2), 0)
    cells = {"订单编号": np.arange(240), "订单创建时间": DAYS, "宝贝标题": GOODS, "宝贝总数量": UNITS}
    amounts = {"买家应付货款": LINE, "买家应付邮费": 10.0, "总金额": LINE + 10, "退款金额": back}
    assert read(pd.DataFrame(cells | amounts)) == pytest.approx((LINE - back).sum())
