"""Exports that were joined, list payments beside goods, or have several currencies or figures; and plain sales that look like them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from salesforecast.core.settings import UserError
from salesforecast.sales.mapping_proposal import MappingProposal
from salesforecast.sales.proposals import propose_mapping
from salesforecast.sales.reading import SalesData, read_sales
from salesforecast.sales.schema import ColumnMapping

ROWS = 200
NOW = pd.Timestamp("2025-12-31")
rng = np.random.default_rng(21)
DAYS = (pd.Timestamp("2025-01-01") + pd.to_timedelta(np.arange(ROWS) // 4, "D")).astype(str)
UNITS = rng.integers(1, 6, ROWS)
PRICES = {"Tea": 4.5, "Jam": 3.25, "Lamp": 45.0, "Chair": 129.0}
ITEMS = rng.choice(list(PRICES), ROWS)
AMOUNTS = np.round(UNITS * pd.Series(ITEMS).map(PRICES).to_numpy(), 2)


def orders(**columns: object) -> pd.DataFrame:
    """Make an export of two lines an order, with further columns."""
    return pd.DataFrame(
        {
            "Order ID": 1000 + np.arange(ROWS) // 2,
            "Order Date": DAYS,
            "Item": ITEMS,
            "Quantity": UNITS,
            "Amount": AMOUNTS,
            **columns,
        }
    )


def read(source: pd.DataFrame | Path, mapping: ColumnMapping | None = None) -> SalesData:
    """Read an export as it is proposed, or as a mapping says."""
    return read_sales(source, mapping or propose_mapping(source).mapping, now=NOW)


def revenue(source: pd.DataFrame | Path, mapping: ColumnMapping | None = None) -> float:
    """Return the revenue of an export as it is proposed."""
    return float(read(source, mapping).frame["Revenue"].sum())


def answers(proposal: MappingProposal, key: str, source: pd.DataFrame) -> dict[str, float]:
    """Return the revenue by each answer of a question."""
    (question,) = [question for question in proposal.questions if question.key == key]
    return {
        label: revenue(source, proposal.answer(key, value).mapping)
        for label, value in question.choices.items()
    }


def joined(path: Path, *parts: pd.DataFrame) -> Path:
    """Write exports below one another, each with its header."""
    path.write_text("".join(part.to_csv(index=False) for part in parts), "utf-8")
    return path


@pytest.mark.parametrize("stamped", [True, False])
def test_what_two_joined_exports_have_both_counts_once(tmp_path: Path, stamped: bool) -> None:
    table = orders()
    first, second = table.iloc[:120], table.iloc[80:]
    if stamped:
        first, second = (
            part.assign(**{"Exported At": day}) for part, day in ((first, "05-01"), (second, "06-01"))
        )
    path = joined(tmp_path / "runs.csv", first, second)
    sales = read(path)
    assert sales.frame["Revenue"].sum() == pytest.approx(AMOUNTS.sum()) and sales.quarantine.empty
    (note,) = [note for note in sales.report.warnings if "exported twice" in note]
    but = " but for Exported At" if stamped else ""
    assert note.startswith(f"left out 40 rows below a repeated header that equal rows above it{but}")
    assert f"{AMOUNTS[80:120].sum():,.2f} in all" in note and "duplicates: keep" in note
    keep = propose_mapping(path).mapping.model_copy(update={"duplicates": "keep"})
    assert revenue(path, keep) == pytest.approx(AMOUNTS.sum() + AMOUNTS[80:120].sum())


def test_pages_with_a_header_each_lose_no_equal_sales(tmp_path: Path) -> None:
    """A kiosk: a few goods at a few prices, so that many rows of a day are equal by chance."""
    table = pd.DataFrame({"Date": np.repeat(DAYS[::20], 20), "Item": rng.choice(["Tea", "Jam"], ROWS)})
    table["Amount"] = table["Item"].map(PRICES)
    path = joined(tmp_path / "pages.csv", *(table.iloc[i : i + 50] for i in range(0, ROWS, 50)))
    assert revenue(path) == pytest.approx(table["Amount"].sum())


def test_shops_below_one_another_lose_no_equal_sales(tmp_path: Path) -> None:
    table = pd.DataFrame({"Date": DAYS[:150], "Item": ITEMS[:150], "Amount": AMOUNTS[:150]})
    other = table.assign(Amount=np.where(np.arange(150) % 3, table["Amount"], table["Amount"] * 2), Till="B")
    path = joined(tmp_path / "shops.csv", table.assign(Till="A"), other)
    assert revenue(path) == pytest.approx(table["Amount"].sum() + other["Amount"].sum())


FOREIGN = rng.random(ROWS // 2).repeat(2)
CODES = np.where(FOREIGN < 0.15, "USD", np.where(FOREIGN < 0.25, "SEK", ""))
RATES = pd.Series(CODES).map({"USD": 1.08, "SEK": 11.4, "": 1.0}).to_numpy()
OF_DOCUMENT = np.round(AMOUNTS * RATES, 2)


@pytest.mark.parametrize("rates", [{"Currency Factor": RATES}, {}])
def test_amounts_in_the_local_currency_are_taken(rates: dict[str, np.ndarray]) -> None:
    table = orders(**{"Currency Code": CODES, "Amount": OF_DOCUMENT, "Amount (LCY)": AMOUNTS, **rates})
    proposal = propose_mapping(table)
    assert proposal.value("columns.Revenue") == "Amount (LCY)" and not proposal.value("currency")
    assert revenue(table) == pytest.approx(AMOUNTS.sum())


def test_an_empty_currency_may_be_the_one_to_read() -> None:
    states = np.where(np.arange(ROWS) // 2 % 9 == 0, "cancelled", "paid")
    table = orders(**{"Currency Code": CODES, "Amount": OF_DOCUMENT, "Status": states})
    sold = {code: OF_DOCUMENT[(code == CODES) & (states == "paid")].sum() for code in ("", "USD", "SEK")}
    assert revenue(table) == pytest.approx(sold[""])
    by_answer = answers(propose_mapping(table), "currency", table)
    assert list(by_answer.values()) == pytest.approx([sold["USD"], sold["SEK"], sold[""]])
    columns = {"Transaction_Date": "Order Date", "Revenue": "Amount"}
    mapping = ColumnMapping(columns=columns, currency="USD", currency_column="Currency Code")
    with pytest.raises(UserError, match="(?s)has no currency.*Is it the shop's own") as error:
        read(table, mapping)
    assert "coalesce" not in str(error.value)


def test_a_currency_on_the_first_line_of_an_order_is_that_of_the_others() -> None:
    named = np.where(FOREIGN < 0.3, "USD", "EUR")
    table = orders(**{"Currency": np.where(np.arange(ROWS) % 2, "", named), "Amount": OF_DOCUMENT})
    proposal = propose_mapping(table)
    assert proposal.value("fill_down") == ("Currency",)
    assert revenue(table) == pytest.approx(OF_DOCUMENT[named == "EUR"].sum())


def test_signs_of_several_currencies_are_asked_about() -> None:
    signs = np.where(FOREIGN < 0.15, "£", "€")
    table = orders(Amount=[f"{amount:.2f} {sign}" for amount, sign in zip(AMOUNTS, signs, strict=True)])
    by_answer = answers(propose_mapping(table), "currency", table)
    assert by_answer == pytest.approx(
        {"only €": AMOUNTS[signs == "€"].sum(), "only £": AMOUNTS[signs == "£"].sum()}
    )
    assert revenue(table) == pytest.approx(by_answer["only €"])


def test_one_currency_written_in_two_ways_is_one() -> None:
    signs = np.where(FOREIGN < 0.15, "EUR", "€")
    table = orders(Amount=[f"{amount:.2f} {sign}" for amount, sign in zip(AMOUNTS, signs, strict=True)])
    assert not propose_mapping(table).questions and revenue(table) == pytest.approx(AMOUNTS.sum())


@pytest.mark.parametrize("sheets", [("North", "South"), ("Lines",)])
def test_sheets_with_dates_are_read_not_the_summary_before_them(
    tmp_path: Path, sheets: tuple[str, ...]
) -> None:
    parts = dict(zip(sheets, np.array_split(np.arange(ROWS), len(sheets)), strict=True))
    with pd.ExcelWriter(path := tmp_path / "shops.xlsx") as book:
        sums = [AMOUNTS[rows].sum() for rows in parts.values()]
        pd.DataFrame({"Shop": sheets, "Net sales": sums}).to_excel(book, sheet_name="Summary", index=False)
        for name, rows in parts.items():
            orders().iloc[rows].to_excel(book, sheet_name=name, index=False)
    proposal = propose_mapping(path)
    line = next(line for line in proposal.lines if line.key.startswith("read.sheet"))
    assert line.value == (sheets if len(sheets) > 1 else sheets[0]) and "Summary has no date" in line.reason
    assert revenue(path) == pytest.approx(AMOUNTS.sum())


def test_a_first_sheet_with_dates_is_the_one_that_is_read(tmp_path: Path) -> None:
    with pd.ExcelWriter(path := tmp_path / "shop.xlsx") as book:
        orders().to_excel(book, sheet_name="Sales", index=False)
        for month in ("January", "February"):
            pd.DataFrame({"Paid": DAYS[:9], "Wages": 100}).to_excel(book, sheet_name=month, index=False)
    assert not propose_mapping(path).value("read.sheets") and revenue(path) == pytest.approx(AMOUNTS.sum())


def journal(**columns: object) -> pd.DataFrame:
    """Make a journal of receipts, whose payments have a minus."""
    goods = orders(Type="Article")
    paid = goods.groupby(["Order ID", "Order Date"], as_index=False)["Amount"].sum()
    paid = paid.assign(Amount=-paid["Amount"], Quantity=1, Type="Tender", Item=["Cash", "Card"] * (ROWS // 4))
    return (
        pd.concat([goods, paid], ignore_index=True).sort_values("Order ID", kind="stable").assign(**columns)
    )


def test_payments_that_offset_the_goods_of_a_receipt_are_left_out() -> None:
    proposal = propose_mapping(journal())
    (line,) = [line for line in proposal.lines if line.key == "where"]
    assert line.value == "Type != 'Tender'" and "add up to 0: Tender offset the sales" in line.reason
    assert revenue(journal()) == pytest.approx(AMOUNTS.sum())


def test_returns_beside_sales_are_no_payments() -> None:
    back = np.where(np.arange(ROWS) % 2, -1, 1)  # most of what is sold comes back
    table = orders(
        Amount=AMOUNTS * np.where(AMOUNTS < 40, back, 1), Quantity=UNITS * np.where(AMOUNTS < 40, back, 1)
    )
    assert revenue(table) == pytest.approx(table["Amount"].sum())


def test_a_total_that_is_not_positive_names_the_rows_that_may_offset_it() -> None:
    table = orders(Amount=np.where(np.arange(ROWS) % 2, -2 * AMOUNTS.max(), AMOUNTS))
    columns = {"Transaction_Date": "Order Date", "Revenue": "Amount"}
    with pytest.raises(UserError, match="such as payments or payouts, offset them"):
        read(table, ColumnMapping(columns=columns, returns={"when": "Revenue < 0"}))


def voids(share: float) -> pd.DataFrame:
    """Make receipts of which some are undone by others that name them, with a share of their amount."""
    table = orders(Kind="SALE", Undoes="")
    undone = table[table["Order ID"] % 10 == 0]
    again = undone.assign(
        **{
            "Undoes": undone["Order ID"].astype(str),
            "Order ID": undone["Order ID"] + 5000,
            "Kind": "POST VOID",
        }
    )
    return pd.concat([table, again.assign(Amount=again["Amount"] * share)], ignore_index=True)


def test_a_void_that_names_the_sale_undoes_it() -> None:
    table = voids(1)
    assert revenue(table) == pytest.approx(AMOUNTS[orders()["Order ID"] % 10 > 0].sum())


def test_a_void_of_another_amount_is_left_out_alone() -> None:
    table = voids(0.3)
    assert propose_mapping(table).mapping.where == "Kind != 'POST VOID'"
    assert revenue(table) == pytest.approx(AMOUNTS.sum())


@pytest.mark.parametrize(("kind", "goods"), [("Line Type", "ITEM"), ("Line Type", "PLU")])
def test_lines_with_codes_of_services_are_no_goods(kind: str, goods: str) -> None:
    codes = rng.choice([goods, "SVC", "RND", "DEP"], ROWS, p=[0.7, 0.1, 0.1, 0.1])
    assert revenue(orders(**{kind: codes})) == pytest.approx(AMOUNTS[codes == goods].sum())


def test_departments_with_such_names_are_goods() -> None:
    codes = rng.choice(["DEP", "SVC", "TOP"], ROWS)
    assert revenue(orders(**{"Line Type": codes})) == pytest.approx(AMOUNTS.sum())


def test_orders_that_are_not_delivered_are_asked_about() -> None:
    states = np.where(np.arange(ROWS) // 2 % 5 == 0, "Pre-order", "Delivered")
    delivered = np.where(states == "Delivered", "2025-06-01", "")
    table = orders(**{"Delivered On": delivered, "Status": states})
    proposal = propose_mapping(table)
    assert proposal.value("fill_down") is None
    by_answer = answers(proposal, "where", table)
    assert by_answer == pytest.approx(
        {
            "all orders, on the day of the order": AMOUNTS.sum(),
            "what was delivered": AMOUNTS[states == "Delivered"].sum(),
        }
    )


def test_actual_amounts_are_taken_not_the_expected_ones_beside_them() -> None:
    """The entries of a stock: what is delivered is expected, until the invoice takes that back and books the actual amount."""
    delivered = orders(
        **{"Sales Amount (Expected)": AMOUNTS, "Sales Amount (Actual)": 0.0, "Invoiced Quantity": 0}
    )
    invoiced = orders(
        **{"Sales Amount (Expected)": -AMOUNTS, "Sales Amount (Actual)": AMOUNTS, "Invoiced Quantity": -UNITS}
    )
    table = pd.concat([delivered, invoiced], ignore_index=True).drop(columns=["Amount", "Quantity"])
    table["Entry No."] = np.arange(len(table))
    assert propose_mapping(table).value("columns.Revenue") == "Sales Amount (Actual)"
    assert revenue(table) == pytest.approx(AMOUNTS.sum())


@pytest.mark.parametrize(("name", "words"), [("Data status", ("Preliminary", "Final")), ("Version", (1, 2))])
def test_the_last_of_figures_that_were_corrected_counts(name: str, words: tuple[object, object]) -> None:
    """The last weeks have not been corrected yet."""
    days = pd.Series(pd.date_range("2024-01-07", periods=ROWS // 4, freq="7D").astype(str).repeat(4))
    first = pd.DataFrame(
        {"Week": days, "Shop": list("ABCD") * (ROWS // 4), "Net sales": AMOUNTS + 500, name: words[0]}
    )
    last = first.iloc[:-20].assign(
        **{"Net sales": np.round(first["Net sales"][:-20] * 1.03, 2), name: words[1]}
    )
    table = pd.concat([first, last], ignore_index=True)
    once = last["Net sales"].sum() + first["Net sales"][-20:].sum()
    assert revenue(table) == pytest.approx(once)
    by_answer = answers(propose_mapping(table), "versions.of", table)
    assert by_answer == pytest.approx({"the last of each": once, "all of them": table["Net sales"].sum()})
