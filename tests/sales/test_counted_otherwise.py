"""Exports whose numbers count something else than pieces, whole units of money or what was paid, each by its kind."""

import numpy as np
import pandas as pd
import pytest

from salesforecast.sales.proposals import propose_mapping
from salesforecast.sales.reading import read_sales
from salesforecast.sales.schema import ColumnMapping

DAYS, NOW = pd.date_range("2026-01-01", periods=120).astype(str), pd.Timestamp("2026-06-01")
RNG = np.random.default_rng(5)
UNITS = RNG.integers(1, 9, 120)
KIND = np.arange(120) % 5
GOODS = np.array(["Pan", "Lamp", "Desk", "Rug", "Vase"])[KIND]
PRICE = np.array([54.9, 39.9, 149.0, 64.0, 29.0])[KIND]
LINE = np.round(UNITS * PRICE, 2)


def sold(**columns: object) -> pd.DataFrame:
    """A sale a day, and these columns."""
    return pd.DataFrame({"Date": DAYS, "Product": GOODS, **columns})


def read(cells: pd.DataFrame, answer: str = "") -> float:
    """The revenue by the mapping that is proposed, with an answer to its question about amounts."""
    proposed = propose_mapping(cells)
    if answer:
        question = next(q for q in proposed.questions if q.key == "columns.Revenue")
        proposed = proposed.answer(question.key, question.choices[answer])
    return float(read_sales(cells, proposed.mapping, now=NOW).frame["Revenue"].sum())


def asked(cells: pd.DataFrame) -> list[str]:
    """The answers to choose from about amounts; empty where nothing is asked."""
    questions = propose_mapping(cells).questions
    return next((list(q.choices) for q in questions if q.key == "columns.Revenue"), [])


SIZE = np.array([6, 12, 4, 24, 6])[KIND]


def test_cases_hold_units() -> None:
    cells = sold(**{"Cases": UNITS, "Units per Case": SIZE, "Unit Price": PRICE})
    proposed = propose_mapping(cells)
    assert read(cells) == pytest.approx((LINE * SIZE).sum())
    sales = read_sales(cells, proposed.mapping, now=NOW).frame
    assert sales["Units_Sold"].sum() == (UNITS * SIZE).sum()


@pytest.mark.parametrize("price", ["Case Price", "Unit Price"])
def test_a_price_of_a_case_is_times_cases(price: str) -> None:
    """By its name, or because the amounts say so."""
    cells = sold(**{"Cases": UNITS, "Units per Case": SIZE, price: PRICE})
    if price == "Unit Price":
        cells["Total"] = LINE
    assert read(cells) == pytest.approx(LINE.sum())


BASE = np.array([1, 100, 1, 100, 10])[KIND]


@pytest.mark.parametrize("name", ["Preiseinheit", "Price Unit", "Pricing Unit"])
def test_a_price_of_a_hundred_pieces_is_divided(name: str) -> None:
    cells = sold(**{"Qty": UNITS * BASE, "Price": PRICE, name: BASE})
    assert read(cells) == pytest.approx(LINE.sum())


def test_a_price_unit_that_amounts_do_not_know_divides_nothing() -> None:
    assert read(sold(Qty=UNITS, Price=PRICE, Preiseinheit=BASE, Total=LINE)) == pytest.approx(LINE.sum())


def test_grams_at_a_price_per_kilogram() -> None:
    grams = UNITS * 125
    cells = sold(**{"Menge (g)": grams, "Preis/kg": PRICE})
    assert read(cells) == pytest.approx((grams * PRICE / 1000).sum(), abs=1)
    assert read(sold(**{"Menge (g)": grams, "Preis": PRICE})) == pytest.approx((grams * PRICE).sum())


@pytest.mark.parametrize("title", ["Angaben in TEUR, netto", "Figures in thousands of USD", "Revenue, k€"])
def test_a_title_says_that_amounts_are_in_thousands(title: str, tmp_path) -> None:
    path = tmp_path / "report.csv"
    body = sold(Units=UNITS, Sales=LINE / 1000).to_csv(index=False)
    path.write_text(f"Sales by day,,,\n{title.replace(',', ' ')},,,\n{body}")
    mapping = propose_mapping(path).mapping
    assert read_sales(path, mapping, now=NOW).frame["Revenue"].sum() == pytest.approx(LINE.sum())
    own = mapping.model_copy(update={"columns": mapping.columns | {"Revenue": "Sales"}})
    assert any("units of 1,000" in note for note in read_sales(path, own, now=NOW).report.warnings)


@pytest.mark.parametrize("title", ["Thousand Oaks branch", "Our 1000 best articles", "Million Dollar Store"])
def test_a_title_with_a_number_scales_nothing(title: str, tmp_path) -> None:
    path = tmp_path / "report.csv"
    path.write_text(f"{title},,,\n,,,\n{sold(Units=UNITS, Sales=LINE).to_csv(index=False)}")
    sales = read_sales(path, propose_mapping(path).mapping, now=NOW)
    assert sales.frame["Revenue"].sum() == pytest.approx(LINE.sum())
    assert not any("units of" in note for note in sales.report.warnings)


def test_a_row_of_measures_below_the_header() -> None:
    cells = sold(Absatz=UNITS, Umsatz=LINE / 1000).astype(object)
    top = pd.DataFrame([[None, None, "Stück", "TEUR"]], columns=cells.columns)
    assert read(pd.concat([top, cells], ignore_index=True)) == pytest.approx(LINE.sum())


@pytest.mark.parametrize(("currency", "scale"), [("usd", 100), ("jpy", 1)])
def test_a_payment_interface_writes_cents(currency: str, scale: int) -> None:
    cells = sold(amount=(LINE * 100).round().astype(int), currency=currency, livemode="true")
    assert read(cells) == pytest.approx(LINE.sum() * 100 / scale)


def test_whole_amounts_are_no_cents() -> None:
    whole = LINE.round().astype(int)
    assert read(sold(amount=whole, currency="usd")) == whole.sum()


RATE = np.array([0, 10, 0, 20, 5])[(np.arange(120) * 7) % 5]


def test_whole_discounts_may_be_percent_or_money() -> None:
    cells = sold(Menge=UNITS, Einzelpreis=PRICE, Rabatt=RATE)
    assert asked(cells) == ["percent", "money"]
    assert read(cells) == pytest.approx((LINE * (1 - RATE / 100)).sum())
    assert read(cells, "money") == pytest.approx((LINE - RATE).sum())


def test_amounts_tell_what_a_discount_is() -> None:
    cells = sold(Menge=UNITS, Einzelpreis=PRICE, Rabatt=RATE, Summe=LINE - RATE)
    assert not asked(cells)
    assert read(cells) == pytest.approx((LINE - RATE).sum())


@pytest.mark.parametrize("name", ["Unit Discount", "Discount per Unit", "Rabatt/Stk"])
def test_a_discount_of_each_unit_is_times_units(name: str) -> None:
    each = np.round(PRICE * 0.1, 2) * (KIND == 1)
    assert read(sold(**{"Quantity": UNITS, "Unit Price": PRICE, name: each})) == pytest.approx(
        (LINE - each * UNITS).sum()
    )


def test_what_was_delivered_is_sold_and_what_was_ordered_is_asked_for() -> None:
    shipped = np.where(KIND == 2, 0, UNITS)
    cells = sold(
        **{
            "Qty Ordered": UNITS,
            "Qty Shipped": shipped,
            "Qty Backordered": UNITS - shipped,
            "Unit Price": PRICE,
        }
    )
    assert asked(cells) == ["Qty Shipped", "Qty Ordered"]
    assert read(cells) == pytest.approx((shipped * PRICE).sum())
    assert read(cells.assign(Total=LINE)) == pytest.approx(LINE.sum())  # an amount tells


@pytest.mark.parametrize(
    ("buyer", "paid"), [("Retailer Name", "Wholesale Price"), ("Customer", "Retail Price")]
)
def test_of_two_prices_the_likelier_is_taken_and_the_other_asked_for(buyer: str, paid: str) -> None:
    prices = {"Retail Price": PRICE * 2, "Wholesale Price": PRICE}
    cells = sold(**{buyer: "Shop", "Quantity": UNITS, **prices})
    other = next(name for name in prices if name != paid)
    assert asked(cells) == [paid, other]
    assert read(cells) == pytest.approx((UNITS * prices[paid]).sum())
    assert read(cells, other) == pytest.approx((UNITS * prices[other]).sum())


@pytest.mark.parametrize(("number", "with_tax"), [("Receipt No", True), ("Invoice No", False)])
def test_only_the_rate_of_a_tax_is_asked_for(number: str, with_tax: bool) -> None:
    net = LINE / 1.2
    cells = sold(
        **{number: np.arange(120), "Qty": UNITS, "Price": PRICE, "VAT Rate": "20%", "Line Total": LINE}
    )
    assert asked(cells) == ["with tax: take it off", "without tax"]
    assert read(cells) == pytest.approx((net if with_tax else LINE).sum())
    assert read(cells, "without tax") == pytest.approx(LINE.sum())
    assert not asked(cells.rename(columns={"Line Total": "Net Total"}))


@pytest.mark.parametrize(
    ("name", "sale", "credit"), [("Fakturaart", "F2", "G2"), ("Type", "SI", "SC"), ("Doc", "INV", "CRN")]
)
def test_codes_of_credit_notes_are_returns(name: str, sale: str, credit: str) -> None:
    code = np.where(np.arange(120) % 11 == 3, credit, sale)
    cells = sold(**{name: code, "Qty": UNITS, "Net": LINE})
    signed = np.where(code == credit, -LINE, LINE)
    assert read(cells) == pytest.approx(signed.sum())
    assert read(cells.assign(Net=signed, Qty=np.where(code == credit, -UNITS, UNITS))) == pytest.approx(
        signed.sum()
    )


def test_codes_of_credit_notes_are_told_for_an_own_mapping() -> None:
    code = np.where(np.arange(120) % 11 == 3, "SC", "SI")
    cells = sold(Type=code, Qty=UNITS, Net=LINE)
    own = {"Transaction_Date": "Date", "Product_Name": "Product", "Units_Sold": "Qty", "Revenue": "Net"}
    notes = read_sales(cells, ColumnMapping(columns=own), now=NOW).report.warnings
    assert any("Type is 'SC' in 11 of 120 rows" in note for note in notes)


@pytest.mark.parametrize("values", [("IN", "CM"), ("RE", "FR"), ("F2", "L2")])
def test_other_short_codes_are_no_documents(values: tuple[str, str]) -> None:
    cells = sold(Code=np.array(values)[KIND % 2], Qty=UNITS, Net=LINE)
    assert read(cells) == pytest.approx(LINE.sum())


def test_gift_cards_are_told_by_their_category_and_other_kinds_of_rows_by_theirs() -> None:
    cards = KIND == 4
    cells = sold(Category=np.where(cards, "Gift cards", "Home"), Qty=UNITS, Price=PRICE, Total=LINE)
    assert read(cells) == pytest.approx(LINE[~cards].sum())
    meals = cells.assign(Category=np.where(cards, "Delivery", "Dine in"))
    assert read(meals) == pytest.approx(LINE.sum())
    kinds = sold(**{"Sale type": np.where(cards, "Shipping", "Product"), "Net sales": LINE})
    assert read(kinds) == pytest.approx(LINE[~cards].sum())


def test_a_turkish_state_of_return_undoes_the_sale() -> None:
    state = np.where(KIND == 2, "İade Edildi", "Teslim Edildi")
    for name in ("Sipariş Statüsü", "Sipariş Durumu"):
        assert read(sold(**{name: state, "Adet": UNITS, "Birim Fiyatı": PRICE})) == pytest.approx(
            LINE[KIND != 2].sum()
        )


def test_a_price_is_of_what_stands_behind_the_slash() -> None:
    assert read(sold(**{"Menge": UNITS, "Preis/Stk": PRICE})) == pytest.approx(LINE.sum())


def test_shift_jis_with_few_kana_is_read(tmp_path) -> None:
    path = tmp_path / "uriage.csv"
    goods = np.array(["長谷川椅子", "北欧机", "陶器花瓶", "羊毛毛布", "鋳鉄鍋"])[KIND]
    cells = pd.DataFrame({"売上日": DAYS, "商品名": goods, "数量": UNITS, "単価": PRICE})
    cells.to_csv(path, index=False, encoding="cp932")
    sales = read_sales(path, propose_mapping(path).mapping, now=NOW).frame
    assert sales["Revenue"].sum() == pytest.approx(LINE.sum())
    assert set(sales["Product_Name"]) == set(goods)
