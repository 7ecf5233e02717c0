"""Exports of further systems, languages and layouts, each with the revenue that is right."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pytest

from salesforecast.core.settings import UserError
from salesforecast.sales.column_names import name_role
from salesforecast.sales.dates import parse_dates
from salesforecast.sales.line_items import line_items
from salesforecast.sales.proposals import propose_mapping
from salesforecast.sales.reading import read_sales
from salesforecast.sales.schema import ColumnMapping
from salesforecast.sales.sinks import escape_formulas

NOW = pd.Timestamp("2025-06-30")
ROWS = 120
rng = np.random.default_rng(8)
GOODS = {4.5: "Tea", 3.25: "Jam", 45.0: "Lamp", 1299.0: "Chair"}
DAYS = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(ROWS) // 2, "D")
UNITS, PRICES = rng.integers(1, 5, ROWS), rng.choice(list(GOODS), ROWS, p=[0.4, 0.3, 0.2, 0.1])
LINES, ITEMS = np.round(UNITS * PRICES, 2), np.array([GOODS[price] for price in PRICES])
DISCOUNTS = np.round(LINES * rng.choice([0, 0.1, 0.2], ROWS), 2)
NET = np.round(LINES - DISCOUNTS, 2)
MARKED = rng.random(ROWS) < 0.15  # void, cancelled, of another kind or currency
ORDERS = 7000 + np.arange(ROWS) // 2


def spaced(values: np.ndarray, sign: str = "") -> list[str]:
    """Write amounts with a decimal comma and a no-break space between thousands."""
    return [f"{value:,.2f}".translate(str.maketrans(",.", "\u00a0,")) + sign for value in values]


def dated(form: str = "%Y-%m-%d", **columns: object) -> pd.DataFrame:
    """Make an export of dates and further columns."""
    return pd.DataFrame({"Date": DAYS.strftime(form), **columns})


def in_language(date: str, item: str, units: str, price: str, total: str, sign: str = "") -> pd.DataFrame:
    """Make an export with these headers."""
    return pd.DataFrame(
        {
            date: [f"{day.day}.{day.month}.{day.year}" for day in DAYS],
            item: ITEMS,
            units: UNITS,
            price: spaced(PRICES, sign),
            total: spaced(LINES, sign),
        }
    )


KINDS: dict[str, Callable[[], tuple[pd.DataFrame, float]]] = {
    "Russian": lambda: (
        in_language("Дата", "Номенклатура", "Количество", "Цена", "Сумма"),
        LINES.sum(),
    ),
    "Swedish": lambda: (
        in_language("Orderdatum", "Benämning", "Antal", "À-pris", "Belopp", " kr"),
        LINES.sum(),
    ),
    "Finnish": lambda: (in_language("Päivämäärä", "Tuote", "Määrä", "Yksikköhinta", "Summa"), LINES.sum()),
    "Czech": lambda: (
        in_language("Datum", "Zboží", "Množství", "Cena za kus", "Cena celkem", " Kč"),
        LINES.sum(),
    ),
    "a language without words here": lambda: (
        in_language("Ημερομηνία", "Προϊόν", "Ποσότητα", "Τιμή", "Σύνολο"),
        LINES.sum(),
    ),
    "Chinese": lambda: (
        pd.DataFrame(
            {
                "下单日期": [f"{day.year}年{day.month}月{day.day}日" for day in DAYS],
                "商品名称": ITEMS,
                "数量": UNITS,
                "单价": PRICES,
                "金额": LINES,
                "订单状态": np.where(MARKED, "已取消", "已完成"),
            }
        ),
        LINES[~MARKED].sum(),
    ),
    "Korean": lambda: (
        pd.DataFrame(
            {
                "주문일자": DAYS.strftime("%Y.%m.%d"),
                "상품명": ITEMS,
                "수량": UNITS,
                "단가": PRICES,
                "금액": LINES,
            }
        ),
        LINES.sum(),
    ),
    "months before the day": lambda: (dated("%b-%d-%y", Item=ITEMS, Amount=LINES), LINES.sum()),
    "invoice lines with UnitAmount": lambda: (
        dated(
            InvoiceNumber=ORDERS,
            Description=ITEMS,
            Quantity=UNITS,
            UnitAmount=PRICES,
            LineAmount=NET,
            TaxAmount=(NET * 0.2).round(2),
        ),
        NET.sum(),
    ),
    "sales without and VAT on sales": lambda: (
        dated(
            **{
                "Sales (excl. VAT)": NET,
                "VAT on sales": (NET * 0.2).round(2),
                "Sales (incl. VAT)": (NET * 1.2).round(2),
                "Total payout": (NET * 0.9).round(2),
            }
        ),
        NET.sum(),
    ),
    "void by a flag": lambda: (
        dated(
            **{"Menu Item": ITEMS, "Qty": UNITS, "Amount": LINES, "Void?": np.where(MARKED, "true", "false")}
        ),
        LINES[~MARKED].sum(),
    ),
    "test orders by 0 and 1": lambda: (
        dated(Item=ITEMS, Qty=UNITS, Amount=LINES, Test=MARKED.astype(int)),
        LINES[~MARKED].sum(),
    ),
    "returns by a flag": lambda: (
        dated(Item=ITEMS, Qty=UNITS, Amount=LINES, **{"Is return": np.where(MARKED, "yes", "no")}),
        LINES[~MARKED].sum() - LINES[MARKED].sum(),
    ),
    "negative price of returns": lambda: (
        dated(Item=ITEMS, Qty=UNITS, Price=np.where(MARKED, -PRICES, PRICES)),
        LINES[~MARKED].sum() - LINES[MARKED].sum(),
    ),
    "a total with tax and a tip": lambda: (
        dated(
            **{
                "Order ID": np.arange(ROWS),
                "Tax Amount": (NET * 0.08).round(2),
                "Tip": 1.5,
                "Order Total": (NET + (NET * 0.08).round(2) + 1.5).round(2),
            }
        ),
        NET.sum(),
    ),
    "a total with shipping": lambda: (
        dated(
            Item=ITEMS,
            Quantity=UNITS,
            **{"Sold For": PRICES, "Shipping And Handling": 4.99, "Total Price": (LINES + 4.99).round(2)},
        ),
        LINES.sum(),
    ),
    "amounts converted already": lambda: (
        dated(
            Item=ITEMS,
            Currency=np.where(MARKED, "JPY", "EUR"),
            **{
                "Exchange rate": np.where(MARKED, 0.0067, 1.0),
                "Amount": np.round(NET / np.where(MARKED, 0.0067, 1.0), 2),
                "Amount (home currency)": NET,
            },
        ),
        NET.sum(),
    ),
    "entries of a stock": lambda: (
        dated(
            Item=ITEMS,
            **{
                "Entry Type": np.where(MARKED, "Purchase", "Sale"),
                "Quantity": np.where(MARKED, UNITS, -UNITS),
                "Sales Amount": np.where(MARKED, 0, LINES),
            },
        ),
        LINES[~MARKED].sum(),
    ),
    "parts of sets without a price": lambda: (
        dated(Item=ITEMS, Qty=UNITS, Price=np.where(MARKED, 0, PRICES), Total=np.where(MARKED, 0, LINES)),
        LINES[~MARKED].sum(),
    ),
    "settlement of fees and principal": lambda: (
        pd.concat(
            [
                pd.DataFrame(
                    {
                        "settlement-id": 1,
                        "transaction-type": np.where(MARKED, "Refund", "Order"),
                        "order-id": ORDERS,
                        "amount-type": kind,
                        "amount-description": about,
                        "amount": np.where(MARKED, -LINES, LINES) * share,
                        "posted-date": DAYS.strftime("%Y-%m-%d"),
                        "sku": ITEMS,
                    }
                )
                for kind, about, share in (("ItemPrice", "Principal", 1), ("ItemFees", "Commission", -0.15))
            ]
        ),
        LINES[~MARKED].sum() - LINES[MARKED].sum(),
    ),
    "months of a year in a column": lambda: (
        pd.DataFrame(
            {"Year": [2022, 2023], "Product": "Tea"}
            | {m: [i * 1.5 + 1, i + 20.25] for i, m in enumerate(("Jan", "Feb", "Mar", "Apr"))}
        ),
        sum(i * 1.5 + 1 + i + 20.25 for i in range(4)),
    ),
    "quarters": lambda: (
        pd.DataFrame({"Product": ["Tea", "Jam"]} | {f"Q{q} 2023": [q * 1.5, q * 2.25] for q in range(1, 5)}),
        sum(q * 3.75 for q in range(1, 5)),
    ),
    "items packed with commas": lambda: (
        pd.DataFrame(
            {
                "Order ID": ORDERS[::2],
                "Order Date": DAYS[::2].strftime("%Y-%m-%d"),
                "Order Total": LINES.reshape(-1, 2).sum(axis=1) + 5,
                "Product Details": [
                    "|".join(
                        f"Product ID: {ITEMS[i]}, Product Qty: {UNITS[i]}, Product Options: , Product Unit Price: {PRICES[i]:.2f}, "
                        f"Product Total Price: {LINES[i]:.2f}"
                        for i in (k, k + 1)
                    )
                    for k in range(0, ROWS, 2)
                ],
            }
        ),
        LINES.sum(),
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_revenue_is_right(kind: str) -> None:
    frame, revenue = KINDS[kind]()
    proposal = propose_mapping(frame)
    sales = read_sales(frame, proposal.mapping, now=NOW)
    assert sales.report.revenue_total == pytest.approx(revenue, abs=0.02), proposal.to_yaml()
    assert sales.report.rows_quarantined == 0


def test_a_product_of_other_columns_is_no_revenue() -> None:
    size = rng.integers(1, 90, ROWS)
    frame = dated(Item=ITEMS, Length=size, Width=PRICES, Area=size * PRICES, Qty=UNITS, Amount=LINES)
    assert propose_mapping(frame).mapping.columns["Revenue"] == "Amount"


def test_a_total_that_may_hold_tax_is_named() -> None:
    tax = rng.uniform(1, 2, ROWS).round(2)
    proposal = propose_mapping(dated(**{"Tax Amount": tax, "Order Total": (NET + tax).round(2)}))
    assert any("Order Total may hold Tax Amount" in note for note in proposal.notes)


def test_columns_that_may_each_be_an_amount_are_named() -> None:
    with pytest.raises(
        UserError, match=r"add them: columns: \{Revenue: \"coalesce\(Berlin, 0\) \+ coalesce\(Rom, 0\)\"\}"
    ):
        propose_mapping(dated(Berlin=LINES, Rom=NET + 1))


def test_months_without_a_year_are_refused_with_the_way_out() -> None:
    frame, _ = KINDS["months of a year in a column"]()
    with pytest.raises(UserError, match=r"months or quarters without a year(.|\n)*year: Year"):
        read_sales(frame)


@pytest.mark.parametrize(
    "name, encoding", [("Birim Fiyatı", "cp1254"), ("Cena 5 Kč", "cp1250"), ("Prix en été", "cp1252")]
)
def test_letters_tell_the_encoding(name: str, encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "export.csv"
    more = ["Çiğ köfte", "güneş gözlüğü", "Kadıköy şubesi"] if encoding == "cp1254" else []
    rows = [f"2024-01-31;5;{text}" for text in [name, *more]]
    text = "\n".join(["Transaction_Date;Revenue;Product_Name", *rows])
    path.write_bytes(text.encode(encoding))
    assert read_sales(path, now=NOW).frame["Product_Name"].astype(str).iloc[0].startswith(name)


def test_titles_above_a_header_whose_first_cell_is_empty(tmp_path: Path) -> None:
    rows: list[list[object]] = [
        ["My Shop"],
        ["Sales by Product"],
        [],
        ["", "Date", "Type", "Qty", "Amount"],
        ["Tea"],
    ]
    rows += [["", f"{day:%Y-%m-%d}", "Invoice", 2, 9.0] for day in DAYS[:20]]
    rows += [["Total for Tea", "", "", 40, 180.0], ["TOTAL", "", "", 40, 180.0]]
    path = tmp_path / "report.xlsx"
    pd.DataFrame(rows).to_excel(path, index=False, header=False)
    proposal = propose_mapping(path)
    assert read_sales(path, proposal.mapping, now=NOW).report.revenue_total == 180


def test_a_record_about_the_file_above_the_header(tmp_path: Path) -> None:
    path = tmp_path / "export.csv"
    rows = "".join(
        f"{day:%d.%m.%Y};{value:.2f};Tee\n".replace(",", "") for day, value in zip(DAYS, LINES, strict=True)
    )
    path.write_text(
        f'"EXTF";700;21;"Buchungsstapel";20240101;4;"EUR"\nBelegdatum;Umsatz;Buchungstext\n{rows}', "utf-8"
    )
    proposal = propose_mapping(path)
    assert read_sales(path, proposal.mapping, now=NOW).report.revenue_total == pytest.approx(LINES.sum())


def test_a_web_page_is_read_as_a_workbook(tmp_path: Path) -> None:
    path = tmp_path / "report.xls"
    dated(Amount=LINES).to_html(path, index=False)
    assert read_sales(path, propose_mapping(path).mapping, now=NOW).report.revenue_total == pytest.approx(
        LINES.sum()
    )


@pytest.mark.parametrize(
    "texts, days",
    [
        (["January 2021", "Februar 2021"], ["2021-01-01", "2021-02-01"]),
        (["Jan-21", "Dec-22"], ["2021-01-01", "2022-12-01"]),
        (["2021-W05", "2021-W06"], ["2021-02-01", "2021-02-08"]),
        (["2021Q1", "2021-Q4"], ["2021-01-01", "2021-10-01"]),
        (["Q2 2021", "3. Quartal 2021"], ["2021-04-01", "2021-07-01"]),
        (["5. 1. 2024", "31.12.2024"], ["2024-01-05", "2024-12-31"]),
        (["2024.01.05.", "2024. 12. 31."], ["2024-01-05", "2024-12-31"]),
        (["2024年1月5日 10:30", "2024년 12월 31일"], ["2024-01-05", "2024-12-31"]),
        (["5 février 2024", "31 de diciembre de 2024"], ["2024-02-05", "2024-12-31"]),
        (["May 5, 2024 10:30 PM", "Jan-05-24"], ["2024-05-05", "2024-01-05"]),
    ],
)
def test_dates_are_read(texts: list[str], days: list[str]) -> None:
    parsed = parse_dates(pd.Series(texts, dtype=object))
    assert parsed.data.astype("datetime64[D]").astype(str).tolist() == days


def test_days_behind_names_of_months_are_no_years() -> None:
    texts = [f"Jan-{day:02}" for day in range(1, 32)]
    assert parse_dates(pd.Series(texts, dtype=object)).bad.all()


@pytest.mark.parametrize(
    "name, role",
    [
        ("Sales (excl. VAT)", "amount"),
        ("VAT on sales", "tax"),
        ("Umsatz ohne MwSt", "amount"),
        ("UnitAmount", "unit_price"),
        ("Discount on order", "discount"),
        ("판매금액", "amount"),
        ("Birim Fiyatı", "unit_price"),
        ("Кол-во", "units"),
    ],
)
def test_names_tell(name: str, role: str) -> None:
    assert name_role(name) == role


def test_choices_of_a_product_are_no_line_items() -> None:
    assert line_items("Product ID: 1, Product Qty: 2|Product ID: 3, Product Qty: 4") == [
        {"Product ID": "1", "Product Qty": "2"},
        {"Product ID": "3", "Product Qty": "4"},
    ]
    frame = dated(Item=ITEMS, Variations="Size: Large, Color: Blue", Qty=UNITS, Price=PRICES)
    assert propose_mapping(frame).mapping.unpack is None


def arabic(text: str) -> str:
    """A number or date in the digits of Arabic."""
    return text.translate(str.maketrans("0123456789.", "٠١٢٣٤٥٦٧٨٩٫"))


@pytest.mark.parametrize(
    ("dates", "write", "number"),
    [
        ("%d/%m/%Y", lambda text: text.replace("2024", "2567"), str),
        ("%Y-%m-%d", lambda text: text.replace("2024", "2567"), str),
        ("%d/%m/%Y", arabic, arabic),
        ("%Y-%m-%d", str, arabic),
    ],
    ids=["Thai years", "Thai years first", "Arabic", "Arabic amounts"],
)
def test_other_eras_and_digits_are_read_and_proposed(
    dates: str, write: Callable[[str], str], number: Callable[[str], str], tmp_path: Path
) -> None:
    days = pd.date_range("2024-01-20", periods=40)
    amounts = [f"{i * 1.5 + 3:.2f}" for i in range(40)]
    cells = {
        "Date": [write(day) for day in days.strftime(dates)],
        "Amount": [number(text) for text in amounts],
    }
    path = tmp_path / "sales.csv"
    pd.DataFrame(cells).assign(Item="Tea").to_csv(path, index=False)
    sales = read_sales(path, propose_mapping(path).mapping)
    assert sales.frame["Transaction_Date"].tolist() == days.tolist()
    assert sales.report.revenue_total == pytest.approx(sum(map(float, amounts)))
    assert ("Buddhist era: 2567 is 2024" in " ".join(sales.report.warnings)) == ("2567" in cells["Date"][0])


def test_one_year_of_another_era_among_others_is_no_date() -> None:
    days = pd.date_range("2024-01-01", periods=40).strftime("%Y-%m-%d").tolist()
    rows = pd.DataFrame({"Transaction_Date": ["2567-01-01", *days[1:]], "Revenue": 5.0})
    assert read_sales(rows).report.reasons.keys() == {"Transaction_Date is not a date"}


@pytest.mark.parametrize("merged", [False, True])
@pytest.mark.parametrize("title", [False, True])
def test_a_header_of_two_rows_in_excel_is_joined(merged: bool, title: bool, tmp_path: Path) -> None:
    days = pd.date_range("2024-01-01", periods=30)
    rows = [[day.to_pydatetime(), "Tea", i % 3 + 1, 4.5, (i % 3 + 1) * 4.5] for i, day in enumerate(days)]
    header = [["Date", "Item", "Sales", None, None], [None, None, "Qty", "Price", "Amount"]]
    book = openpyxl.Workbook()
    for line in [*([["Sales of January"], []] if title else []), *header, *rows]:
        book.active.append(line)
    if merged:
        first = 3 if title else 1
        for cells in (f"A{first}:A{first + 1}", f"B{first}:B{first + 1}", f"C{first}:E{first}"):
            book.active.merge_cells(cells)
    path = tmp_path / "sales.xlsx"
    book.save(path)
    mapping = propose_mapping(path).mapping
    assert {mapping.columns[name] for name in ("Units_Sold", "Unit_Price")} == {"Sales Qty", "Sales Price"}
    sales = read_sales(path, mapping)
    assert sales.report.rows_accepted == 30 and sales.report.revenue_total == sum(row[4] for row in rows)
    assert sales.frame.index[0] == (5 if title else 3)
    assert any(
        "the header has two rows, which are joined, as in 'Sales Qty'" in text
        for text in sales.report.warnings
    )


def test_days_without_a_year_are_refused_with_the_way_out(tmp_path: Path) -> None:
    days = pd.date_range("2024-01-01", periods=40)
    path = tmp_path / "datev.csv"
    cells = {"Umsatz": range(1, 41), "Belegdatum": [f"{day.day}{day.month:02}" for day in days]}
    pd.DataFrame(cells).to_csv(path, index=False, sep=";")
    columns = {"Transaction_Date": "join(pad(Belegdatum, 4), '2024')", "Revenue": "Umsatz"}
    for ask in (
        lambda: read_sales(path, ColumnMapping(columns=columns | {"Transaction_Date": "Belegdatum"})),
        lambda: propose_mapping(path),
    ):
        with pytest.raises(UserError) as error:
            ask()
        assert columns["Transaction_Date"] in str(error.value)
        assert "date_format: '%d%m%Y'" in str(error.value)
    sales = read_sales(path, ColumnMapping(columns=columns, date_format="%d%m%Y"))
    assert sales.frame["Transaction_Date"].tolist() == days.tolist()
    with pytest.raises(UserError, match=r"pad: the length is 1000000000. Write one from 1 to 20"):
        read_sales(path, ColumnMapping(columns=columns | {"Transaction_Date": "pad(Belegdatum, 1000000000)"}))


def test_a_repeated_index_does_not_hinder_escaping() -> None:
    rows = pd.DataFrame({"a": ["=1", "x"], "b": ["-3", None]}, index=[7, 7]).astype("string[pyarrow]")
    assert escape_formulas(rows).equals(rows.assign(a=pd.array(["'=1", "x"], "string[pyarrow]")))
