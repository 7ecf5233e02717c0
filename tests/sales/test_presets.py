"""Exports of known systems, each with the rows that mislead: refunds, discounts, tax, shipping, what is unpaid."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from salesforecast.sales.number_columns import agreement
from salesforecast.sales.proposals import propose_mapping
from salesforecast.sales.reading import read_sales

GOODS = {"A1": ("Tea", 4.5), "B2": ("Jam", 3.25), "C3": ("Lamp", 45.0), "D4": ("Chair", 129.0)}
Export = tuple[
    list[dict[str, object]], float, dict[str, str]
]  # rows, revenue, expressions that must be proposed
EXPORTS: dict[str, Callable[[], Export]] = {}


def export(build: Callable[[], Export]) -> Callable[[], Export]:
    EXPORTS[build.__name__] = build
    return build


def lines(orders: int = 60) -> list[dict]:
    """Order lines, two to an order, an order a day."""
    return [
        {
            "n": n,
            "first": n % 2 == 0,
            "order": 1000 + n // 2,
            "day": pd.Timestamp("2024-01-05") + pd.Timedelta(n // 2, "D"),
            "sku": sku,
            "name": GOODS[sku][0],
            "price": GOODS[sku][1],
            "qty": 1 + n % 3,
            "line": round(GOODS[sku][1] * (1 + n % 3), 2),
        }
        for n in range(2 * orders)
        for sku in [list(GOODS)[n * 7 % 4]]
    ]


def cents(value: float) -> str:
    return f"{value:.2f}"


@export
def ebay_transactions() -> Export:
    return ebay(
        "Transaction creation date|Type|Order number|Buyer username|Ship to country|Net amount|Payout currency|Item ID|Item title|Custom label|Quantity|Item subtotal|Shipping and handling|Gross transaction amount|Description",
        "%b %-d, %Y",
        ("Order", "Refund", "Claim", "Shipping label", "Payout"),
    )


@export
def ebay_transactions_in_german() -> Export:
    return ebay(
        "Datum der Transaktionserstellung|Typ|Bestellnummer|Nutzername des Käufers|Versandziel - Land|Betrag abzügl. Kosten|Auszahlungswährung|Artikelnr.|Angebotstitel|Bestandseinheit|Stückzahl|Zwischensumme Artikel|Verpackung und Versand|Transaktionsbetrag (inkl. Kosten)|Beschreibung",
        "%d.%m.%Y",
        ("Bestellung", "Rückerstattung", "Fall", "Versandetikett", "Auszahlung"),
    )


def ebay(header: str, date: str, kinds: tuple[str, ...]) -> Export:
    names, rows, revenue = header.split("|"), [], 0.0
    order, refund, claim, label, payout = kinds

    def add(at: dict, kind: str, net: float, goods: float | None, number: str, item: bool = True) -> None:
        of_item = [at["sku"] + "1", at["name"], at["sku"], number] if item else ["--"] * 4
        of_order = [at["day"].strftime(date), kind, str(at["order"]), "buyer", "DE"]
        amounts = [cents(goods), "5.00"] if goods is not None else ["--", "--"]
        rows.append(
            dict(
                zip(
                    names,
                    [*of_order, cents(net), "EUR", *of_item, *amounts, cents(net), "--"],
                    strict=True,
                )
            )
        )

    for at in lines():
        if at["first"]:  # the row of an order of several items
            add(at, order, at["line"] * 0.8, None, "--", item=False)
        add(at, order, 0, at["line"], str(at["qty"]))
        revenue += at["line"]
        if at["n"] % 9 == 0:
            add(at, refund if at["n"] % 2 else claim, -at["line"], -at["line"], "--")
            revenue -= at["line"]
        if at["n"] % 5 == 0:
            add(at, label, -4.2, None, "--", item=False)
    add(at, payout, -2500, None, "--", item=False)
    return rows, revenue, {"Revenue": names[11], "Product_ID": names[7]}


@export
def etsy_orders() -> Export:
    rows, revenue = [], 0.0
    for at in lines():
        off = round(at["line"] * 0.1, 2) if at["n"] % 4 == 0 else 0.0
        total = round((at["line"] - off) * 1.08 + 4.5, 2)
        left = round(total * 0.5, 2) if at["n"] % 10 == 0 else 0.0
        rows.append(
            {
                "Sale Date": f"{at['day']:%m/%d/%y}",
                "Order ID": 5000 + at["n"],
                "Buyer User ID": f"b{at['n'] % 9}",
                "Number of Items": at["qty"],
                "Ship State": "NY",
                "Currency": "USD",
                "Order Value": cents(at["line"]),
                "Discount Amount": cents(off),
                "Shipping": "4.50",
                "Sales Tax": cents((at["line"] - off) * 0.08),
                "Order Total": cents(total),
                "Status": "Refunded" if at["n"] == 7 else "",
                "Card Processing Fees": cents(total * 0.03),
                "Order Net": cents(total * 0.97),
                "Adjusted Order Total": cents(left),
            }
        )
        if at["n"] != 7:
            revenue += (at["line"] - off) * (left / total if left else 1)
    return rows, revenue, {"Units_Sold": "Number of Items"}


@export
def etsy_items() -> Export:
    rows, revenue = [], 0.0
    for at in lines():
        off = round(at["line"] * 0.1, 2) if at["n"] % 4 == 0 else 0.0
        rows.append(
            {
                "Sale Date": f"{at['day']:%m/%d/%y}",
                "Item Name": at["name"],
                "Buyer": f"b{at['n'] % 9}",
                "Quantity": at["qty"],
                "Price": cents(at["price"]),
                "Coupon Code": "TEN" if off else "",
                "Discount Amount": cents(off),
                "Order Shipping": "4.50",
                "Order Sales Tax": "2.00",
                "Item Total": cents(at["line"]),
                "Currency": "USD",
                "Transaction ID": 7000 + at["n"],
                "Listing ID": at["sku"],
                "Ship Country": "United States",
                "Order ID": at["order"],
                "SKU": "",
            }
        )
        revenue += at["line"] - off
    return rows, revenue, {"Product_ID": "Listing ID", "Transaction_ID": "Order ID", "Unit_Price": "Price"}


@export
def square_transactions() -> Export:
    rows, revenue = [], 0.0
    for at in lines():
        sign = -1 if at["n"] % 11 == 5 else 1
        off = round(at["line"] * 0.1, 2) if at["n"] % 4 == 0 and sign > 0 else 0.0
        service = 2.5 if at["n"] % 6 == 0 else 0.0
        back = 1.5 if at["n"] % 7 == 0 else 0.0
        net = sign * at["line"] - off + service
        dollars = [
            sign * at["line"],
            -off,
            service,
            net,
            25.0 * (at["n"] == 8),
            net * 0.08,
            -back,
            net * 1.08,
        ]
        names = "Gross Sales|Discounts|Service Charges|Net Sales|Gift Card Sales|Tax|Partial Refunds|Total Collected"
        rows.append(
            {
                "Date": f"{at['day']:%m/%d/%y}",
                "Time": f"12:{at['n'] % 60:02}:00",
                "Time Zone": "Eastern Time (US & Canada)",
                **{
                    name: f"{'-' if value < 0 else ''}${abs(value):,.2f}"
                    for name, value in zip(names.split("|"), dollars, strict=True)
                },
                "Transaction ID": f"T{at['n']}",
                "Description": f"{at['qty']} x {at['name']}",
                "Event Type": "Refund" if sign < 0 else "Payment",
                "Location": "North",
            }
        )
        revenue += sign * at["line"] - off - back
    return rows, revenue, {"Region": "Location"}


@export
def amazon_transactions() -> Export:
    rows, revenue = [], 0.0

    def add(at: dict, kind: str, goods: float, shipping: float, rebate: float) -> None:
        rows.append(
            {
                "date/time": f"{at['day']:%b %-d, %Y} 10:45:16 AM PDT",
                "settlement id": "19000",
                "type": kind,
                "order id": f"112-{at['order']}",
                "sku": at["sku"],
                "description": at["name"],
                "quantity": at["qty"],
                "marketplace": "amazon.com",
                "order state": "CA",
                "product sales": cents(goods),
                "product sales tax": cents(goods * 0.08),
                "shipping credits": cents(shipping),
                "promotional rebates": cents(rebate),
                "selling fees": cents(-goods * 0.15),
                "total": cents(goods + shipping + rebate),
            }
        )

    for at in lines():
        shipping, off = 5.99 * (at["n"] % 3 > 0), round(at["line"] * 0.2, 2) * (at["n"] % 5 == 0)
        free = shipping * (at["n"] % 2)
        if off > shipping > free:
            off = 1.0  # a rebate below the credit is of goods
        add(at, "Order", at["line"], shipping, -free - off)
        revenue += at["line"] - off
        if at["n"] % 8 == 0:
            add(at, "Refund" if at["n"] % 16 else "Chargeback Refund", -at["line"], -shipping, free + off)
            revenue -= at["line"] - off
    add(at, "Transfer", 0, 0, 0)
    return rows, revenue, {"Product_ID": "sku"}


def amazon_date_range(
    names: str, kinds: str, day: Callable[[dict], str], number: Callable[[float], str]
) -> Export:
    """Date range report of a language: a refund in each eighth row, a rebate in each fifth, fees and a payout among them."""
    sold, refunded, payout, fee = kinds.split(";")
    rows, revenue = [], 0.0

    def add(at: dict, kind: str, goods: float, rebate: float, total: float) -> None:
        values = [day(at), "10020000004", kind, f"112-{at['order']}" * (goods != 0), at["sku"] * (goods != 0)]
        values += [
            at["name"],
            str(at["qty"]) if goods else "",
            "NY",
            number(goods),
            number(goods * 0.19),
            "0",
        ]
        rows.append(dict(zip(names.split(";"), [*values, number(rebate), number(total)], strict=True)))

    for at in lines():
        off = round(at["line"] * 0.2, 2) * (at["n"] % 5 == 0)
        add(at, sold, at["line"], -off, (at["line"] - off) * 0.85)
        revenue += at["line"] - off
        if at["n"] % 8 == 0:
            add(at, refunded, -at["line"], off, -(at["line"] - off) * 0.85)
            revenue -= at["line"] - off
        if at["n"] % 20 == 0:
            add(at, payout, 0, 0, -1165.83)
            add(at, fee, 0, 0, -39.0)
    return rows, revenue, {}


def with_comma(value: float, thousands: str = ".") -> str:
    return f"{value:,.2f}".replace(",", "|").replace(".", ",").replace("|", thousands)


@export
def amazon_transactions_de() -> Export:
    return amazon_date_range(
        "Datum/Uhrzeit;Abrechnungsnummer;Typ;Bestellnummer;SKU;Beschreibung;Menge;Bundesland;Umsätze;Produktumsatzsteuer;Gutschrift für Versandkosten;Rabatte aus Werbeaktionen;Gesamt",
        "Bestellung;Erstattung;Übertrag;Servicegebühr",
        lambda at: f"{at['day']:%d.%m.%Y} 09:59:43 UTC",
        with_comma,
    )


@export
def amazon_transactions_fr() -> Export:
    months = [
        "janv.",
        "févr.",
        "mars",
        "avr.",
        "mai",
        "juin",
        "juil.",
        "août",
        "sept.",
        "oct.",
        "nov.",
        "déc.",
    ]
    return amazon_date_range(
        "date/heure;numéro de versement;type;numéro de la commande;sku;description;quantité;Région d'où provient la commande;ventes de produits;Taxes sur la vente des produits;crédits d'expédition;Rabais promotionnels;total",
        "Commande;Remboursement;Transfert;Frais de service",
        lambda at: f"{at['day'].day} {months[at['day'].month - 1]} {at['day'].year} 07:09:23 UTC",
        lambda value: with_comma(value, "\u202f"),
    )


@export
def amazon_transactions_it() -> Export:
    months = ["gen", "feb", "mar", "apr", "mag", "giu", "lug", "ago", "set", "ott", "nov", "dic"]
    return amazon_date_range(
        "Data/Ora:;Numero pagamento;Tipo;Numero ordine;SKU;Descrizione;Quantità;Provincia di provenienza dell'ordine;Vendite;imposta sulle vendite dei prodotti;Accrediti per le spedizioni;Sconti promozionali;totale",
        "Ordine;Rimborso;Trasferimento;Commissione di servizio",
        lambda at: f"{at['day'].day} {months[at['day'].month - 1]} {at['day'].year} 05:44:21 UTC",
        with_comma,
    )


@export
def amazon_transactions_es() -> Export:
    months = ["ene", "feb", "mar", "abr", "may", "jun", "jul", "ago", "sept", "oct", "nov", "dic"]
    return amazon_date_range(
        "fecha y hora;identificador de pago;tipo;número de pedido;sku;descripción;cantidad;comunidad autónoma de procedencia del pedido;ventas de productos;impuesto de ventas de productos;abonos de envío;devoluciones promocionales;total",
        "Pedido;Reembolso;Transferir;Tarifa de prestación de servicio",
        lambda at: f"{at['day'].day} {months[at['day'].month - 1]} {at['day'].year} 05:44:21 UTC",
        with_comma,
    )


@export
def amazon_transactions_ja() -> Export:
    rows, _, _ = amazon_date_range(
        "日付/時間;決済番号;トランザクションの種類;注文番号;SKU;説明;数量;都道府県;商品売上;商品の売上税;配送料;プロモーション割引額;合計",
        "注文;返金;振込み;注文外料金",
        lambda at: f"{at['day']:%Y/%m/%d} 9:40:55 JST",
        lambda value: f"{value * 100:,.0f}",
    )
    goods = [int(row[name].replace(",", "")) for row in rows for name in ("商品売上", "プロモーション割引額")]
    return rows, sum(goods), {}


@export
def amazon_vat() -> Export:
    rows, revenue = [], 0.0

    def add(at: dict, kind: str, units: int, net: float | None) -> None:
        priced = net is not None
        rows.append(
            {
                "ACTIVITY_PERIOD": f"{at['day']:%Y-%b}".upper(),
                "TRANSACTION_TYPE": kind,
                "TRANSACTION_EVENT_ID": f"302-{at['order']}",
                "TRANSACTION_COMPLETE_DATE": f"{at['day']:%d-%m-%Y}",
                "SELLER_SKU": at["sku"],
                "QTY": units,
                "COST_PRICE_OF_ITEMS": "2.00",
                "TOTAL_PRICE_OF_ITEMS_AMT_VAT_EXCL": cents(net) if net is not None else "",
                "SHIP_CHARGE_AMT_VAT_EXCL": "3.35" if priced else "",
                "TOTAL_PRICE_OF_ITEMS_AMT_VAT_INCL": cents(net * 1.19) if net is not None else "",
                "TRANSACTION_CURRENCY_CODE": "EUR" if priced else "",
            }
        )

    for at in lines():
        add(at, "SALE", at["qty"], at["line"])
        revenue += at["line"]
        if at["n"] % 8 == 0:
            add(at, "RETURN", at["qty"], None)
            add(at, "REFUND", at["qty"], -at["line"])
            revenue -= at["line"]
        if at["n"] % 6 == 0:
            add(at, "FC_TRANSFER" if at["n"] % 12 else "INBOUND", 40, None)
    return rows, revenue, {}


@export
def rakuten() -> Export:
    """A coupon that repeats on both lines of an order, two rates of tax, and lines whose price is without tax."""
    rows = []
    for at in lines():
        price, coupon = round(at["price"] * 100), 100 * (at["order"] % 5 == 0)
        rate, plain = ("8%", 1.08) if at["sku"] in ("A1", "B2") else ("10%", 1.1), at["n"] % 11 == 0
        status = (
            "キャンセル" if at["order"] % 9 == 0 else "注文確認待ち" if at["order"] % 13 == 0 else "発送済"
        )
        row = {
            "注文番号": f"3000-{at['order']}",
            "注文日時": f"{at['day']:%Y/%m/%d} 09:28",
            "ステータス": status,
        }
        row |= {
            "商品名": at["name"],
            "商品管理番号": at["sku"],
            "単価": price,
            "個数": at["qty"],
            "小計": price * at["qty"],
        }
        row |= {
            "消費税率": rate[0],
            "税込別": "税別" if plain else "税込",
            "クーポン利用額": coupon,
            "ポイント利用額": 50,
        }
        rows.append(row | {"rate": 1.0 if plain else rate[1]})
    table = pd.DataFrame(rows)
    goods = table["小計"] / table.groupby("注文番号")["小計"].transform("sum")
    paid = (table["小計"] - table["クーポン利用額"] * goods) / table.pop("rate")
    revenue = float(paid[table["ステータス"] == "発送済"].sum())
    return table.to_dict("records"), revenue, {"Product_ID": "商品管理番号"}


def kaufland_units(price: Callable[[float], object]) -> Export:
    """A row for each unit, of which a seventh came back."""
    rows, revenue = [], 0.0
    for at in lines():
        for unit in range(at["qty"]):
            status = (
                ("returned", "returned_paid", "cancelled")[at["n"] % 3] if at["n"] % 7 == 0 else "received"
            )
            row = {"id_order_unit": len(rows) + 1, "id_order": f"M{at['order']}", "status": status}
            row |= {"ts_created_iso": f"{at['day']:%Y-%m-%d}T15:04:{unit:02}Z", "price": price(at["price"])}
            row |= {"revenue_net": price(at["price"] * 0.7), "vat": 19, "currency": "EUR", "ean": at["sku"]}
            rows.append(row)
            revenue += at["price"] / 1.19 * (status == "received")
    return rows, revenue, {}


@export
def kaufland() -> Export:
    return kaufland_units(lambda value: round(value * 100))


@export
def kaufland_in_euros() -> Export:
    return kaufland_units(cents)


def ebay_order_rows(sold_for: Callable[[dict], float]) -> Export:
    """Orders of two items with a row of their sum, and an order of one in each third."""
    rows, revenue = [], 0.0
    all_lines = lines()

    def add(at: dict, item: bool, units: int, sold: float, goods: float, shipping: float) -> None:
        rows.append(
            {
                "Sales Record Number": at["order"],
                "Order Number": f"27-{at['order']}",
                "Buyer Username": "ida",
                "Item Number": at["sku"] + "1" if item else "",
                "Item Title": at["name"] if item else "",
                "Quantity": units,
                "Sold For": f"${cents(sold)}",
                "Shipping And Handling": f"${cents(shipping)}",
                "eBay Collect And Remit Tax Type": "Sales tax" if shipping else "",
                "Seller Collected Tax": "$0.00",
                "eBay Collected Tax": f"${cents(goods * 0.07)}",
                "Total Price": f"${cents(goods * 1.07 + shipping)}",
                "Sale Date": f"{at['day']:%b-%d-%y}",
            }
        )

    for one, other in zip(all_lines[::2], all_lines[1::2], strict=True):
        if one["order"] % 3 == 0:
            add(one, True, one["qty"], sold_for(one), one["line"], 4.99)
            revenue += one["line"]
            continue
        both = one["line"] + other["line"]
        add(one, False, one["qty"] + other["qty"], both, both, 4.99)
        for at in (one, other):
            add(at, True, at["qty"], sold_for(at), at["line"], 0)
        revenue += both
    return rows, revenue, {}


@export
def ebay_orders() -> Export:
    return ebay_order_rows(lambda at: at["price"])


@export
def ebay_orders_of_lines() -> Export:
    return ebay_order_rows(lambda at: at["line"])


@export
def paypal_activity() -> Export:
    rows, revenue = [], 0.0

    def add(at: dict, kind: str, gross: float, sku: str, units: object, ref: str, impact: str) -> None:
        rows.append(
            {
                "Date": f"{at['day']:%m/%d/%Y}",
                "Time": "16:32:26",
                "TimeZone": "PST",
                "Name": "Ida",
                "Type": kind,
                "Status": "Completed",
                "Currency": "USD",
                "Gross": cents(gross),
                "Transaction ID": f"T{len(rows):05}",
                "Item Title": GOODS[sku][0] if sku else "",
                "Item ID": sku,
                "Reference Txn ID": ref,
                "Quantity": units,
                "Balance Impact": impact,
            }
        )

    all_lines = lines()
    for one, other in zip(all_lines[::2], all_lines[1::2], strict=True):
        payment, paid = f"T{len(rows):05}", one["line"] + other["line"]
        add(one, "Express Checkout Payment", paid, "", "", "", "Credit")
        revenue += paid
        for at in (one, other):
            add(at, "Shopping Cart Item", at["line"], at["sku"], at["qty"], payment, "Memo")
        if one["n"] % 12 == 0:
            add(one, "Payment Refund", -one["line"], "", "", payment, "Debit")
            revenue -= one["line"]
        if one["n"] % 30 == 0:
            add(one, "General Withdrawal", -900, "", "", "", "Debit")
            add(one, "PreApproved Payment Bill User Payment", -45, "", "", "", "Debit")
    return rows, revenue, {}


def square(names: str, gift: str, money: Callable[[float], str]) -> Export:
    """Items of Square: a returned one in each tenth row, a gift card that is sold in each twelfth."""
    rows, revenue = [], 0.0
    for at in lines():
        sign, off = -1 if at["n"] % 10 == 0 else 1, at["line"] * 0.1 * (at["n"] % 7 == 0)
        kind = gift if at["n"] % 12 == 5 else "-"
        gross, net = sign * at["line"], round(sign * (at["line"] - off), 2)
        values = [
            f"{at['day']:%Y-%m-%d}",
            "10:11:30",
            "Tea",
            at["name"],
            sign * at["qty"],
            at["sku"],
            money(gross),
        ]
        values += [money(net - gross), money(net), money(net * 0.15), f"T{at['order']}", "Centre", kind]
        rows.append(dict(zip(names.split(";"), values, strict=True)))
        revenue += net * (kind == "-")
    return rows, revenue, {}


@export
def stripe_itemised_with_what_customers_paid() -> Export:
    """A tenth of the customers paid in dollars, which Stripe has converted to the euros of `gross`."""
    rows, revenue = [], 0.0

    def add(at: dict, kind: str, gross: float) -> None:
        abroad = at["n"] % 10 == 0
        paid = kind in ("charge", "refund")
        rows.append(
            {
                "balance_transaction_id": f"txn_{len(rows)}",
                "created_utc": f"{at['day']:%Y-%m-%d} 10:00:00",
                "created": f"{at['day']:%Y-%m-%d} 11:00:00",
                "currency": "eur",
                "gross": cents(gross),
                "fee": cents(abs(gross) * 0.015),
                "net": cents(gross - abs(gross) * 0.015),
                "reporting_category": kind,
                "customer_facing_amount": cents(gross * (1.08 if abroad else 1)) if paid else "",
                "customer_facing_currency": ("usd" if abroad else "eur") if paid else "",
            }
        )

    for at in lines():
        add(at, "charge", at["line"])
        revenue += at["line"]
        if at["n"] % 9 == 0:
            add(at, "refund", -at["line"])
            revenue -= at["line"]
        if at["n"] % 20 == 0:
            add(at, "payout", -300)
    return rows, revenue, {}


@export
def woocommerce_orders_with_taxes_packed_first() -> Export:
    """Two columns of packed items, behind those of packed taxes and coupons."""
    rows, revenue = [], 0.0

    def packed(at: dict, off: float) -> str:
        net = cents(at["line"] - off)
        return f"name:{at['name']}|product_id:1{at['n'] % 4}|sku:{at['sku']}|quantity:{at['qty']}|total:{net}|sub_total:{cents(at['line'])}|tax:{cents(at['line'] * 0.2)}|tax_data:"

    all_lines = lines()
    for one, other in zip(all_lines[::2], all_lines[1::2], strict=True):
        off, alone = 1.0 * (one["order"] % 5 == 0), one["order"] % 3 == 0
        goods = one["line"] - off + (0 if alone else other["line"])
        status = "failed" if one["order"] % 13 == 0 else "completed"
        rows.append(
            {
                "order_id": one["order"],
                "order_date": f"{one['day']:%Y-%m-%d} 10:00:00",
                "status": status,
                "shipping_total": "3.95",
                "tax_total": cents(goods * 0.2),
                "order_total": cents(goods * 1.2 + 3.95),
                "order_subtotal": cents(goods + off),
                "order_currency": "GBP",
                "tax_items": f"rate_id:1|code:GB-VAT-1|total:{cents(goods * 0.2)}|label:VAT|tax_rate_compound:",
                "coupon_items": f"code:save|amount:{cents(off)}" if off else "",
                "line_item_1": packed(one, off),
                "line_item_2": "" if alone else packed(other, 0),
            }
        )
        revenue += goods * (status == "completed")
    return rows, revenue, {}


@export
def woocommerce_orders_with_items_side_by_side() -> Export:
    """Items in numbered columns, beside two lines of an address and two taxes, which are numbered too."""
    rows, revenue = [], 0.0
    all_lines = lines()
    for one, other in zip(all_lines[::2], all_lines[1::2], strict=True):
        off = 0.2 * (one["order"] % 5 == 0)
        items = [one] if one["order"] % 3 == 0 else [one, other]
        paid = [round(at["line"] * (1 - off), 2) for at in items]
        status = "Failed" if one["order"] % 13 == 0 else "Completed"
        row = {
            "Order Number": one["order"],
            "Order Status": status,
            "Order Date": f"{one['day']:%Y-%m-%d} 17:54",
            "Address 1": "1 Elm St",
            "Address 2": "",
            "Cart Discount Amount": cents(sum(at["line"] for at in items) * off),
            "Order Subtotal Amount": cents(sum(at["line"] for at in items)),
            "Order Shipping Amount": "7.00",
            "Order Total Amount": cents(sum(paid) * 1.08 + 7),
            "Order Total Tax Amount": cents(sum(paid) * 0.08),
            "Tax 1 Title": "State",
            "Tax 1 Price": cents(sum(paid) * 0.06),
            "Tax 2 Title": "City",
            "Tax 2 Price": cents(sum(paid) * 0.02),
        }
        for number in (1, 2):
            at, total = (items[number - 1], paid[number - 1]) if number <= len(items) else ({}, None)
            row |= {f"SKU #{number}": at.get("sku", ""), f"Item Name #{number}": at.get("name", "")}
            row |= {f"Quantity #{number}": at.get("qty", ""), f"Order Line Total #{number}": total}
        rows.append(row)
        revenue += sum(paid) * (status == "Completed")
    return rows, revenue, {"Product_ID": "SKU", "Revenue": "Order Line Total"}


@export
def woocommerce_lines_of_costs_after_the_coupon() -> Export:
    """An order's coupon stands on each of its lines, and is in the cost of their items already."""
    rows, revenue = [], 0.0
    for at in lines():
        off = 0.1 * (at["order"] % 4 == 0)
        back = 1 if at["n"] % 9 == 0 else 0
        each = round(at["price"] * (1 - off), 2)
        rows.append(
            {
                "Order Number": at["order"],
                "Order Status": "Completed",
                "Order Date": f"{at['day']:%Y-%m-%d} 17:54",
                "Cart Discount Amount": "4.00" if off else "0.00",
                "SKU": at["sku"],
                "Item Name": at["name"],
                "Quantity (- Refund)": at["qty"] - back,
                "Quantity": at["qty"],
                "Item Cost": cents(each),
                "Discount Amount": "4.00" if off else "0.00",
            }
        )
        revenue += each * (at["qty"] - back)
    return rows, revenue, {}


def matrixify(included: bool) -> Export:
    """Rows of an order's lines, discount, shipping, payment and refund; what is of the order stands on the first."""
    rows, revenue = [], 0.0
    all_lines = lines()
    for one, other in zip(all_lines[::2], all_lines[1::2], strict=True):
        name, cancelled = f"#{one['order']}", one["order"] % 13 == 0
        off = round(one["line"] * 0.1, 2) * (one["order"] % 4 == 0)
        goods = one["line"] - off + other["line"]
        tax = (goods + 6.5) / 6 if included else goods * 0.08
        top = {
            "Created At": f"{one['day']:%Y-%m-%d} 10:15:00 -0500",
            "Cancelled At": f"{one['day']:%Y-%m-%d} 12:15:00 -0500" if cancelled else "",
            "Currency": "USD",
            "Payment: Status": "paid",
            "Tax: Included": included,
            "Tax: Total": cents(tax),
            "Price: Total": cents(goods + 6.5 + (0 if included else tax)),
        }
        net = (lambda amount: amount * 5 / 6) if included else (lambda amount: amount)

        def line(kind: str, at: dict, units: object, price: object, less: float, total: float) -> dict:
            item = {"Line: Type": kind, "Line: Title": at["name"], "Line: SKU": at.get("sku", "")}
            item |= {"Line: Quantity": units, "Line: Price": price, "Line: Discount": cents(-less)}
            return item | {"Line: Total": cents(total), "Refund: Created At": ""}

        of_order = [
            line("Line Item", one, one["qty"], one["price"], off, one["line"] - off),
            line("Line Item", other, other["qty"], other["price"], 0, other["line"]),
            line("Shipping Line", {"name": "Standard"}, 1, 6.5, 0, 6.5),
            {"Line: Type": "Transaction", "Transaction: Amount": cents(goods + tax + 6.5)},
        ]
        revenue += net(goods) * (not cancelled)
        if off:
            of_order.append(
                {"Line: Type": "Discount", "Line: Title": "percentage", "Line: Discount": cents(-off)}
            )
        if one["order"] % 7 == 0:
            back = line("Refund Line", other, -other["qty"], other["price"], 0, -other["line"])
            of_order.append(back | {"Refund: Created At": f"{other['day']:%Y-%m-%d} 18:00:00 -0500"})
            revenue -= net(other["line"]) * (not cancelled)
        of_order[0] = top | of_order[0]
        rows += [{"Name": name} | row for row in of_order]
    return rows, revenue, {"Product_ID": "Line: SKU"}


@export
def matrixify_orders() -> Export:
    return matrixify(included=False)


@export
def matrixify_orders_with_tax_in_the_prices() -> Export:
    return matrixify(included=True)


@export
def square_items_in_french() -> Export:
    return square(
        "Date;Heure;Catégorie;Article;Qté;UGS;Ventes brutes;Réductions;Ventes nettes;Taxe;N° de transaction;Point de vente;Type d'article",
        "Carte-cadeau",
        lambda value: f"{with_comma(value, chr(160))}\xa0$",
    )


@export
def square_items_in_japanese() -> Export:
    rows, _, _ = square(
        "日付;時間;カテゴリ;商品;数量;SKU;総売上高;ディスカウント;純売上高;税金;取引ID;店舗;商品タイプ",
        "ギフトカード",
        lambda value: f"{'-' * (value < 0)}¥{abs(value) * 100:,.0f}",
    )
    sold = [row for row in rows if row["商品タイプ"] == "-"]
    return rows, sum(int(str(row["純売上高"]).replace("¥", "").replace(",", "")) for row in sold), {}


@export
def lightspeed_x() -> Export:
    rows, revenue = [], 0.0

    def add(at: dict, kind: str, units: object, subtotal: object, off: float, details: str, sku: str) -> None:
        rows.append(
            {
                "Date": f"{at['day']:%Y-%m-%d} 10:00:00",
                "Receipt Number": at["order"],
                "Line Type": kind,
                "Quantity": units,
                "Subtotal": subtotal,
                "Discount": cents(off),
                "Details": details,
                "Register": "North",
                "Status": "VOIDED" if at["order"] % 10 == 3 else "CLOSED",
                "Sku": sku,
            }
        )

    for at in lines():
        sign, off = -1 if at["n"] % 11 == 5 else 1, 0.5 * (at["n"] % 3 == 0)
        whole = 2.0 * (at["order"] % 4 == 0)
        if at["first"]:
            add(at, "Sale", 1, "7.77", 0, "", "")
        add(at, "Sale Line", sign * at["qty"], cents(sign * (at["line"] - off)), off, at["name"], at["sku"])
        if not at["first"] and whole:
            add(at, "Sale Line", 1, cents(-whole), whole, "Discount", "vend-discount")
        if at["order"] % 10 != 3:
            revenue += sign * (at["line"] - off) - whole * (not at["first"])
        if not at["first"]:
            add(at, "Payment", "", "", 0, "Cash", "")
    return rows, revenue, {"Product_ID": "Sku"}


@export
def shopify_orders_with_tax() -> Export:
    rows, revenue = [], 0.0
    for at in lines():
        first, order = at["first"], [a for a in lines() if a["order"] == at["order"]]
        goods = sum(a["line"] for a in order)
        status = {3: "pending", 4: "authorized", 5: "refunded"}.get(at["order"] % 10, "paid")
        tags = {6: "vip, Test", 7: "latest"}.get(at["order"] % 10, "")
        gateway = "bogus" if at["order"] % 10 == 8 else "Shopify Payments"
        back = 10.8 if at["order"] % 10 == 9 else 0.0  # 10 and 8% tax
        of_order = {
            "Financial Status": status,
            "Currency": "EUR" if at["order"] % 10 == 1 else "USD",
            "Subtotal": cents(goods),
            "Shipping": "5.00",
            "Taxes": cents(goods * 0.08),
            "Total": cents(goods + 5 + round(goods * 0.08, 2)),
            "Discount Amount": "0.00",
            "Payment Method": gateway,
            "Refunded Amount": cents(back),
            "Tags": tags,
        }
        rows.append(
            {
                "Name": f"#{at['order']}",
                **{name: value if first else "" for name, value in of_order.items()},
                "Created at": f"{at['day']:%Y-%m-%d} 10:00:00 -0500",
                "Lineitem quantity": at["qty"],
                "Lineitem name": at["name"],
                "Lineitem price": cents(at["price"]),
                "Lineitem sku": at["sku"],
                "Lineitem discount": "0.00",
            }
        )
        counts = status == "paid" and "Test" not in tags and gateway != "bogus" and at["order"] % 10 != 1
        revenue += (at["line"] - (back / 1.08 if first else 0)) * counts
    return rows, revenue, {"Product_ID": "Lineitem sku"}


@export
def woocommerce_analytics() -> Export:
    rows, revenue = [], 0.0
    for at in lines():
        status = {3: "On hold", 4: "Cancelled", 5: "Processing"}.get(at["n"] % 10, "Completed")
        rows.append(
            {
                "Date": f"{at['day']:%Y-%m-%d} 10:00:{at['n'] % 60:02}",
                "Order #": at["n"] + 500,
                "N. Revenue (formatted)": f"€{at['line']:.2f}",
                "Status": status,
                "Customer": f"c{at['n'] % 9}",
                "Product(s)": f"{at['qty']}× {at['name']}",
                "Items sold": at["qty"],
                "N. Revenue": cents(at["line"]),
            }
        )
        revenue += at["line"] * (status in ("Processing", "Completed"))
    return rows, revenue, {"Revenue": "N. Revenue"}


@export
def woocommerce_orders_of_several_columns() -> Export:
    """Items in columns of their own, whose refunds are 0: the order has one, with tax at the items' rates."""
    rows, revenue = [], 0.0
    for order in range(1000, 1060):
        items = [at for at in lines() if at["order"] == order]
        rates = [0.2, 0.05]
        net = [round(at["line"] * 0.9, 2) for at in items]
        taxes = [round(value * rate, 2) for value, rate in zip(net, rates, strict=True)]
        whole = sum(net) + sum(taxes)
        back = round(whole / 4, 2) if order % 10 == 4 else 0.0
        rows.append(
            {
                "order_id": order,
                "order_date": f"{items[0]['day']:%Y-%m-%d} 10:00:00",
                "status": "on-hold" if order % 10 == 2 else "completed",
                "shipping_total": "5.00",
                "tax_total": cents(sum(taxes)),
                "order_total": cents(whole + 5),
                "refunded_total": cents(back),
                "order_currency": "GBP",
                **{
                    f"line_item_{i}": f"name:{at['name']}|sku:{at['sku']}|quantity:{at['qty']}|total:{net[i - 1]:.2f}|"
                    f"sub_total:{at['line']:.2f}|tax:{taxes[i - 1]:.2f}|refunded:0.00|meta:"
                    for i, at in enumerate(items, 1)
                },
            }
        )
        revenue += sum(net) * (1 - back / whole) * (order % 10 != 2)
    return rows, revenue, {"Product_ID": "sku"}


@export
def tiktok_shop() -> Export:
    names = "Order ID|Order Status|Cancelation/Return Type|SKU ID|Product Name|Quantity|Sku Quantity of return|SKU Unit Original Price|SKU Subtotal Before Discount|SKU Platform Discount|SKU Seller Discount|SKU Subtotal After Discount|Order Amount|Order Refund Amount|Created Time|Cancelled Time"
    described = "Platform unique order ID.|Current order status.|Type|SKU ID|Product name|SKU sold quantity in the order.|Quantity returned|It refers to the original selling price of the SKU|= SKU Unit Original Price*SKU Quantity|Discount by platform|Discount by seller|= SKU Subtotal Before Discount - discounts|Buyer paid|Refund|Order created time.|Cancelled time"
    rows = [dict(zip(names.split("|"), described.split("|"), strict=True))]
    revenue = 0.0
    for at in lines():
        status = {2: "Canceled", 3: "Unpaid"}.get(at["order"] % 10, "Completed")
        back = 1 if at["order"] % 10 == 4 else 0
        after = round(at["line"] * 0.85, 2)
        cells = [577110000 + at["order"], status, "Cancel" if status == "Canceled" else ""]
        cells += [f"17{at['sku']}", at["name"], at["qty"], back, cents(at["price"]), cents(at["line"])]
        cells += [cents(at["line"] * 0.05), cents(at["line"] * 0.1), cents(after), "99.00"]
        cells += [cents(at["price"] * back), f"{at['day']:%m/%d/%Y} 02:54:29 PM", ""]
        rows.append(dict(zip(names.split("|"), map(str, cells), strict=True)))
        revenue += after * (1 - back / at["qty"]) * (status == "Completed")
    return rows, revenue, {"Product_ID": "SKU ID"}


@export
def wildberries() -> Export:
    rows, revenue = [], 0.0
    for at in lines():
        back = at["n"] % 11 == 5
        for why, amount in (
            ("Логистика", 0.0),
            ("Возврат" if back else "Продажа", round(at["price"] * 0.8, 2)),
        ):
            rows.append(
                {
                    "Предмет": "Чай",
                    "Артикул поставщика": at["sku"],
                    "Название": at["name"],
                    "Тип документа": why if amount else "",
                    "Обоснование для оплаты": why,
                    "Дата заказа покупателем": f"{at['day']:%Y-%m-%d}",
                    "Дата продажи": f"{at['day']:%Y-%m-%d}",
                    "Кол-во": 1 if amount else 0,
                    "Цена розничная": cents(at["price"]),
                    "Вайлдберриз реализовал Товар (Пр)": cents(amount),
                    "К перечислению Продавцу за реализованный Товар": cents(amount * 0.75),
                    "Склад": "Коледино",
                }
            )
            revenue += -amount if back else amount
    return rows, revenue, {"Revenue": "Вайлдберриз реализовал Товар (Пр)"}


@export
def stripe_balance() -> Export:
    def row(at: dict, kind: str, amount: float, why: str, source: str) -> dict[str, object]:
        return {
            "id": f"txn_{kind}{at['n']}{why[:12]}",
            "Type": kind,
            "Source": f"{source}_{at['n']}",
            "Amount": cents(amount),
            "Fee": "0.30",
            "Net": cents(amount - 0.3),
            "Currency": "usd",
            "Created (UTC)": f"{at['day']:%Y-%m-%d} 10:21",
            "Available On (UTC)": f"{at['day']:%Y-%m-%d} 10:21",
            "Description": why,
        }

    rows, revenue = [], 0.0
    for at in lines():
        rows.append(row(at, "charge", at["line"], f"Order {at['order']}", "ch"))
        revenue += at["line"]
        if at["n"] % 9 == 0:
            rows.append(row(at, "refund", -at["line"], "REFUND FOR CHARGE", "re"))
            revenue -= at["line"]
        if at["n"] % 20 == 5:
            rows.append(row(at, "adjustment", -at["line"], "Chargeback withdrawal for ch_1", "dp"))
            revenue -= at["line"]
        if at["n"] % 10 == 3:
            rows.append(row(at, "adjustment", -3, "Reserve for risk", "adj"))
            rows.append(row(at, "payout", -500, "STRIPE PAYOUT", "po"))
            rows.append(row(at, "stripe_fee", -12, "Billing - Usage Fee", "fee"))
    return rows, revenue, {"Revenue": "Amount"}


@export
def stripe_itemised() -> Export:
    rows, revenue = [], 0.0
    for at in lines():
        kinds = {"charge": 1.0} | ({"refund": -0.5, "payout": -9.0} if at["n"] % 9 == 0 else {})
        kinds |= {"dispute": -1.0, "dispute_reversal": 1.0, "fee": -2.0} if at["n"] % 20 == 5 else {}
        for kind, share in kinds.items():
            gross = round(at["line"] * share, 2)
            rows.append(
                {
                    "balance_transaction_id": f"txn_{kind}{at['n']}",
                    "created_utc": f"{at['day']:%Y-%m-%d} 20:21:54",
                    "created": f"{at['day']:%Y-%m-%d} 12:21:54",
                    "currency": "usd",
                    "gross": cents(gross),
                    "fee": "0.30",
                    "net": cents(gross - 0.3),
                    "reporting_category": kind,
                    "description": f"Order {at['order']}",
                }
            )
            revenue += gross if kind not in ("payout", "fee") else 0
    return rows, revenue, {"Transaction_Date": "created"}


@export
def zettle() -> Export:
    rows, revenue = [], 0.0

    def add(at: dict, name: str, units: int, price: float, off: str) -> None:
        vat = round(price / 6, 2)
        rows.append(
            {
                "Date": f"{at['day']:%Y-%m-%d}",
                "Time": "09:40",
                "Receipt number": at["order"],
                "VAT": "20%",
                "Discount": off,
                "Name": name,
                "Quantity": units,
                "SKU": "",
                "Category": "Shop",
                "Price (GBP)": cents(price - vat),
                "VAT (GBP)": cents(vat),
                "Final price (GBP)": cents(price),
            }
        )

    for at in lines():
        sign = -1 if at["n"] % 11 == 5 else 1
        add(at, at["name"], sign * at["qty"], sign * at["line"], "")
        revenue += sign * (at["line"] - round(at["line"] / 6, 2))
        if at["n"] % 5 == 0:
            add(at, "Discount", 1, -2.4, "10 %")
            revenue -= 2.0
    return rows, revenue, {"Product_ID": "Name"}


@pytest.mark.parametrize("name", EXPORTS)
def test_an_export_is_recognised_and_read_right(name: str, tmp_path: Path) -> None:
    rows, revenue, expressions = EXPORTS[name]()
    source = tmp_path / "export.csv"
    pd.DataFrame(rows).to_csv(source, index=False)
    proposal = propose_mapping(source)
    assert proposal.preset and name.startswith(proposal.preset.key)
    for column, expression in expressions.items():
        assert proposal.value(f"columns.{column}") == expression
    sales = read_sales(source, proposal.mapping, now=pd.Timestamp("2025-06-30"))
    assert sales.frame["Revenue"].sum() == pytest.approx(revenue, abs=0.05), proposal.to_yaml()


@pytest.mark.parametrize(
    "header",
    [
        "Day;Product title;Net items sold;Gross sales;Discounts;Returns;Net sales;Taxes;Total sales",
        "Woche;Produkttitel;Verkaufte Artikel (netto);Bruttoumsatz;Rabatte;Rückgaben;Nettoumsatz;Steuern;Gesamtumsatz",
        "Jour;Titre du produit;Articles nets vendus;Ventes brutes;Réductions;Retours;Ventes nettes;Taxes;Ventes totales",
        "Día;Título del producto;Artículos netos vendidos;Ventas brutas;Descuentos;Devoluciones;Ventas netas;Impuestos;Ventas totales",
        "Giorno;Titolo del prodotto;Articoli netti venduti;Vendite lorde;Sconti;Resi;Vendite nette;Imposte;Vendite totali",
        "Dia;Título do produto;Itens líquidos vendidos;Vendas brutas;Descontos;Devoluções;Vendas líquidas;Impostos;Vendas totais",
        "Dag;Productnaam;Netto verkochte artikelen;Bruto-omzet;Kortingen;Retouren;Netto-omzet;Belastingen;Totale omzet",
        "Dag;Produkttitel;Nettosålda artiklar;Bruttoförsäljning;Rabatter;Returer;Nettoförsäljning;Moms;Total försäljning",
        "日;商品タイトル;純販売アイテム数;総売上高;ディスカウント;返品;純売上高;税金;合計売上高",
    ],
)
def test_net_sales_of_a_shopify_report_count_with_days_of_equal_sales_and_returns(
    header: str, tmp_path: Path
) -> None:
    rows, revenue = [], 0.0
    for at in lines():
        off = round(at["line"] * 0.1, 2) * (at["n"] % 5 == 0)
        back = (
            at["line"] + (2.5 if at["n"] % 2 else 0) if at["n"] % 9 == 0 else 0.0
        )  # all that was sold that day
        units, net = at["qty"] * (back == 0), at["line"] - off - back
        if at["n"] % 11 == 0:
            units, net, off, back = -1, -at["price"], 0.0, at["price"]
        amounts = [net + off + back, -off, -back, net, net * 0.08, net * 1.08]
        values = [f"{at['day']:%Y-%m-%d}", at["name"], units, *map(cents, amounts)]
        rows.append(dict(zip(header.split(";"), values, strict=True)))
        revenue += round(net, 2)
    source = tmp_path / "report.csv"
    pd.DataFrame(rows).to_csv(source, index=False)
    sales = read_sales(source, propose_mapping(source).mapping, now=pd.Timestamp("2025-06-30"))
    assert sales.frame["Revenue"].sum() == pytest.approx(revenue, abs=0.05)


@pytest.mark.parametrize("sign", [-1, 1])
def test_the_discount_of_returned_goods_comes_back_with_them(sign: int, tmp_path: Path) -> None:
    """A discount is taken off with its sign where it has that of the goods, and by its size where sales have it negative."""
    rows, revenue = [], 0.0
    for at in lines():
        way = -1 if sign > 0 and at["n"] % 9 == 0 else 1
        off = round(at["line"] * 0.15, 2) * (at["n"] % 3 == 0)
        net = way * (at["line"] - off)
        values = [
            2200 + at["order"],
            f"{at['day']:%m/%d/%Y} 08:07 AM",
            at["name"],
            at["sku"],
            way * at["qty"],
        ]
        amounts = [at["price"], way * at["line"], sign * way * off, net * 0.08, net * 1.08]
        names = [
            "Sale ID",
            "Date",
            "Item",
            "System ID",
            "Quantity",
            "Retail",
            "Subtotal",
            "Discount",
            "Tax",
            "Total",
        ]
        rows.append(dict(zip(names, [*values, *map(cents, amounts)], strict=True)))
        revenue += net
    source = tmp_path / "lines.csv"
    pd.DataFrame(rows).to_csv(source, index=False)
    sales = read_sales(source, propose_mapping(source).mapping, now=pd.Timestamp("2025-06-30"))
    assert sales.frame["Revenue"].sum() == pytest.approx(revenue, abs=0.05)


def test_refunds_that_refer_to_a_sale_are_none_of_its_parts(tmp_path: Path) -> None:
    """An export of no known system: a booking, the items that are its parts, and refunds, all of which name the booking."""
    rows, revenue, _ = paypal_activity()
    named = {"Date": "Day", "Transaction ID": "Booking", "Reference Txn ID": "Of booking", "Gross": "Amount"}
    kinds = ("Express Checkout Payment", "Shopping Cart Item", "Payment Refund")
    booked = [{to: row[name] for name, to in named.items()} for row in rows if row["Type"] in kinds]
    source = tmp_path / "bookings.csv"
    pd.DataFrame(booked).to_csv(source, index=False)
    assert any(float(str(row["Amount"])) < 0 for row in booked)
    sales = read_sales(source, propose_mapping(source).mapping)
    assert sales.frame["Revenue"].sum() == pytest.approx(revenue, abs=0.01)


def test_the_number_of_a_settlement_times_nothing_is_no_amount() -> None:
    numbers, amounts = np.full(20, 10_020_000_004.0), np.linspace(5, 90, 20)
    assert agreement(numbers * 0, amounts, numbers) == 0
    units = np.arange(20.0) + 400
    assert agreement(units * 0.12, units * 0.1249, units) == 1, (
        "a price of 12.49 cents that is written as 0.12"
    )


@pytest.mark.parametrize("of_line", [False, True])
def test_the_price_amount_of_an_item_is_of_one_unless_it_grows_with_the_units(
    of_line: bool, tmp_path: Path
) -> None:
    """Items below the row of their order, whose total has the delivery."""
    rows = []
    all_lines = lines()
    for one, other in zip(all_lines[::2], all_lines[1::2], strict=True):
        total = cents(one["line"] + other["line"] + 12.99)
        day, order = f"{one['day']:%Y-%m-%d}T11:54:09Z", f"a1-{one['order']}"
        top = {"Type": "order", "OrderId": order, "SellerStatus": "SENT", "OrderDate": day}
        rows.append(top | {"TotalToPayAmount": total, "TotalToPayCurrency": "PLN"})
        for at in (one, other):
            item = {"Type": "lineItem", "OrderId": order, "Sku": at["sku"], "Quantity": at["qty"]}
            rows.append(item | {"PriceAmount": at["line" if of_line else "price"], "PriceCurrency": "PLN"})
    source = tmp_path / "orders.csv"
    pd.DataFrame(rows).to_csv(source, index=False)
    sales = read_sales(source, propose_mapping(source).mapping)
    assert sales.frame["Revenue"].sum() == pytest.approx(sum(at["line"] for at in all_lines), abs=0.01)


def wide(rows: dict[str, list[float]], path: Path) -> Path:
    """Write a table with a column for each day of a month."""
    days = [f"{day:%m/%d/%Y}" for day in pd.date_range("2024-03-01", periods=30)]
    cells = [
        [f"${value:,.2f}" if value >= 0 else f"(${-value:,.2f})" for value in row] for row in rows.values()
    ]
    table = pd.DataFrame(cells, columns=days)
    table.insert(0, "Sales", list(rows))
    table.to_csv(path, index=False)
    return path


def test_of_measures_by_day_only_net_sales_count(tmp_path: Path) -> None:
    gross = [1200.5 + 37 * (n % 7) for n in range(30)]
    off = [-12.25 * (n % 3) for n in range(30)]
    net = [a + b for a, b in zip(gross, off, strict=True)]
    tax, tip = [0.07 * value for value in net], [20.0 + n for n in range(30)]
    total = [a + b + c for a, b, c in zip(net, tax, tip, strict=True)]
    rows = {"Gross Sales": gross, "Discounts & Comps": off, "Net Sales": net, "Gift Card Sales": [25.0] * 30}
    rows |= {"Tax": tax, "Tip": tip, "Total Collected": total, "Fees": [-30.5] * 30, "Net Total": total}
    source = wide(rows, tmp_path / "summary.csv")
    proposal = propose_mapping(source)
    assert not proposal.questions
    assert read_sales(source, proposal.mapping).frame["Revenue"].sum() == pytest.approx(sum(net), abs=0.5)


def test_of_products_by_day_all_count_whatever_their_names(tmp_path: Path) -> None:
    names = ["Fishing net", "Net bag", "Tax form", "Discount tea"]
    rows = {name: [10.5 + k + n % 5 for n in range(30)] for k, name in enumerate(names)}
    source = wide(rows, tmp_path / "products.csv")
    sales = read_sales(source, propose_mapping(source).mapping)
    assert sales.frame["Revenue"].sum() == pytest.approx(sum(map(sum, rows.values())), abs=0.01)


def test_refunds_in_spanish_are_taken_off_and_the_word_behind_a_time_is_read(tmp_path: Path) -> None:
    rows = [
        {
            "# de venta": 2000 + at["n"],
            "Fecha de venta": f"{at['day'].day} de enero de 2025 09:{at['n'] % 60:02} hs.",
            "Unidades": at["qty"],
            "Ingresos por productos (ARS)": cents(at["line"]),
            "Anulaciones y reembolsos (ARS)": cents(-at["line"]) if at["n"] % 9 == 0 else "",
            "Total (ARS)": cents(at["line"] * 0.8),
            "SKU": at["sku"],
            "Precio unitario (ARS)": cents(at["price"]),
        }
        for at in lines(40)
    ]
    source = tmp_path / "ventas.csv"
    pd.DataFrame(rows).to_csv(source, index=False)
    sales = read_sales(source, propose_mapping(source).mapping)
    kept = sum(at["line"] for at in lines(40) if at["n"] % 9)
    assert sales.frame["Revenue"].sum() == pytest.approx(kept, abs=0.05)
    assert sales.frame["Transaction_Date"].dt.month.eq(1).all()


def test_it_is_asked_whether_unpaid_orders_are_sales(tmp_path: Path) -> None:
    rows, revenue, _ = woocommerce_analytics()
    source = tmp_path / "export.csv"
    pd.DataFrame(rows).to_csv(source, index=False)
    proposal = propose_mapping(source)
    question = next(question for question in proposal.questions if question.key == "where")
    assert "On hold" in question.text
    sales = read_sales(source, proposal.answer("where", question.choices["sales"]).mapping)
    on_hold = sum(float(str(row["N. Revenue"])) for row in rows if row["Status"] == "On hold")
    assert sales.frame["Revenue"].sum() == pytest.approx(revenue + on_hold, abs=0.01)
