"""Kinds of exports that a mapping is proposed for, each with the revenue that is right."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import yaml

from salesforecast.core.settings import UserError
from salesforecast.sales.column_names import are_statuses, is_planned
from salesforecast.sales.mapping_proposal import MappingProposal
from salesforecast.sales.proposals import propose_mapping
from salesforecast.sales.reading import SalesData, read_sales
from salesforecast.sales.schema import ColumnMapping

NOW = pd.Timestamp("2025-06-30")
GOODS = {4.5: "Tea", 3.25: "Jam", 45.0: "Lamp", 129.0: "Chair"}
rng = np.random.default_rng(5)
DAYS = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(300) // 2, "D")
UNITS, PRICES = rng.integers(1, 5, 300), rng.choice(list(GOODS), 300)
LINES, ITEMS = np.round(UNITS * PRICES, 2), [GOODS[price] for price in PRICES]
BACK = rng.random(300) < 0.05
STATES = rng.choice(["completed", "cancelled", "refunded"], 300, p=[0.85, 0.1, 0.05])
MONTHS = pd.period_range("2019-01", "2023-12", freq="M").repeat(2)
BY_MONTH = np.arange(len(MONTHS)) * 3.5 + 10
WEEKS = pd.date_range("2020-01-06", periods=120, freq="7D").isocalendar()


def german(values: np.ndarray) -> list[str]:
    "Write numbers with a decimal comma; nothing for a missing one."
    return ["" if np.isnan(value) else f"{value:.2f}".replace(".", ",") for value in values]


def sold(**columns: object) -> pd.DataFrame:
    "Make an export of dates, items and further columns."
    return pd.DataFrame({"Date": DAYS.strftime("%Y-%m-%d"), "Item": ITEMS, **columns})


Kind = tuple[Callable[[], pd.DataFrame], float]
KINDS: dict[str, Kind] = {
    "pieces": (lambda: sold(Ordered=[f"{n} pcs" for n in UNITS], **{"Price each": PRICES}), LINES.sum()),
    "pieces in German": (
        lambda: sold(Menge=[f"{n} Stk." for n in UNITS], Einzelpreis=german(PRICES)),
        LINES.sum(),
    ),
    "singular and plural": (
        lambda: sold(Qty=["1 pc" if n == 1 else f"{n} pcs" for n in UNITS], Price=PRICES),
        LINES.sum(),
    ),
    "debit and credit": (
        lambda: sold(Debit=np.where(BACK, LINES, np.nan), Credit=np.where(BACK, np.nan, LINES)),
        LINES[~BACK].sum() - LINES[BACK].sum(),
    ),
    "Soll und Haben": (
        lambda: sold(Soll=german(np.where(BACK, LINES, np.nan)), Haben=german(np.where(BACK, np.nan, LINES))),
        LINES[~BACK].sum() - LINES[BACK].sum(),
    ),
    "sales are debits": (
        lambda: sold(Debit=np.where(BACK, np.nan, LINES), Credit=np.where(BACK, LINES, np.nan)),
        LINES[~BACK].sum() - LINES[BACK].sum(),
    ),
    "budget and actual": (lambda: sold(Budget=np.round(LINES * 1.1), Actual=LINES), LINES.sum()),
    "budget revenue": (
        lambda: sold(**{"Budget Revenue": np.round(LINES * 1.1), "Actual Revenue": LINES}),
        LINES.sum(),
    ),
    "plan and last year": (
        lambda: sold(**{"Sales Plan": np.round(LINES * 1.1), "Sales": LINES, "Sales LY": LINES * 0.9}),
        LINES.sum(),
    ),
    "Plan, Ist, Vorjahr": (
        lambda: sold(**{"Umsatz Vorjahr": LINES * 0.9, "Umsatz Soll": LINES * 1.1, "Umsatz Ist": LINES}),
        LINES.sum(),
    ),
    "year, month, day": (
        lambda: pd.DataFrame({"Year": DAYS.year, "Month": DAYS.month, "Day": DAYS.day, "Sales": LINES}),
        LINES.sum(),
    ),
    "Jahr, Monat, Tag": (
        lambda: pd.DataFrame({"Jahr": DAYS.year, "Monat": DAYS.month, "Tag": DAYS.day, "Umsatz": LINES}),
        LINES.sum(),
    ),
    "year and month": (
        lambda: pd.DataFrame({"Year": MONTHS.year, "Month": MONTHS.month, "Revenue": BY_MONTH}),
        BY_MONTH.sum(),
    ),
    "year and name of month": (
        lambda: pd.DataFrame({"Year": MONTHS.year, "Month": MONTHS.strftime("%B"), "Revenue": BY_MONTH}),
        BY_MONTH.sum(),
    ),
    "year and week": (
        lambda: pd.DataFrame({"Year": WEEKS["year"], "Week": WEEKS["week"], "Revenue": BY_MONTH}),
        BY_MONTH.sum(),
    ),
    "Swiss marks": (
        lambda: sold(Umsatz=[f"{value * 100:,.2f}".replace(",", "’") for value in LINES]),
        LINES.sum() * 100,
    ),
    "a state that is a status": (
        lambda: sold(quantity=UNITS, price=PRICES, state=STATES),
        LINES[STATES == "completed"].sum(),
    ),
    "a state that is a region": (
        lambda: sold(quantity=UNITS, price=PRICES, state=np.where(BACK, "CA", "New York")),
        LINES.sum(),
    ),
}
PERIODS = [f"{year}-{month:02}" for year in (2022, 2023) for month in range(1, 13)]
NAMED = [pd.Period(period, "M").strftime("%b %Y") for period in PERIODS]
SALES = np.arange(72).reshape(24, 3) * 5.0 + 5


def wide(headers: dict[str, np.ndarray]) -> pd.DataFrame:
    "Make a table of three products with these columns."
    return pd.DataFrame({"SKU": list("abc"), **headers})


KINDS |= {
    "quantity and amount per month": (
        lambda: wide(
            {
                f"{p} {w}": row / d
                for p, row in zip(PERIODS, SALES, strict=True)
                for w, d in (("Qty", 5), ("Amount", 1))
            }
        ),
        SALES.sum(),
    ),
    "amount before the name of the month": (
        lambda: wide(
            {
                f"{w} {p}": row / d
                for w, d in (("Amount", 1), ("Qty", 5))
                for p, row in zip(NAMED, SALES, strict=True)
            }
        ),
        SALES.sum(),
    ),
    "budget and actual per month": (
        lambda: wide(
            {
                f"{w} {p}": row * f
                for w, f in (("Budget", 1.1), ("Actual", 1))
                for p, row in zip(PERIODS, SALES, strict=True)
            }
        ),
        SALES.sum(),
    ),
    "M5": (
        lambda: pd.DataFrame(
            {
                "id": ["a_CA_1", "b_TX_1"],
                "item_id": ["a", "b"],
                "dept_id": "F1",
                "cat_id": "FOODS",
                "store_id": ["CA_1", "TX_1"],
                "state_id": ["CA", "TX"],
            }
            | {f"d_{day}": [day % 4, day % 3] for day in range(1, 201)}
        ),
        float(sum(day % 4 + day % 3 for day in range(1, 201))),
    ),
}


def propose(frame: pd.DataFrame) -> tuple[MappingProposal, SalesData]:
    "Return what is proposed for an export, and the sales that it gives."
    proposal = propose_mapping(frame)
    return proposal, read_sales(frame, proposal.mapping, now=NOW)


@pytest.mark.parametrize("kind", KINDS)
def test_the_revenue_is_right(kind: str) -> None:
    make, revenue = KINDS[kind]
    _, sales = propose(make())
    assert sales.report.revenue_total == pytest.approx(revenue, abs=0.005)
    assert sales.report.rows_quarantined == 0


def test_dates_of_parts_are_the_days() -> None:
    for kind in ("year, month, day", "Jahr, Monat, Tag"):
        _, sales = propose(KINDS[kind][0]())
        assert (sales.report.first_date, sales.report.last_date) == ("2024-01-01", "2024-05-29")
    _, weeks = propose(KINDS["year and week"][0]())
    assert weeks.mapping.frequency == "weekly" and weeks.report.first_date == "2020-01-06"


def test_m5_counts_from_its_first_day() -> None:
    proposal, sales = propose(KINDS["M5"][0]())
    assert (sales.report.first_date, sales.report.last_date) == ("2011-01-29", "2011-08-16")
    path = yaml.safe_load(proposal.to_yaml())
    assert ColumnMapping(**path).melt == proposal.mapping.melt


def test_wide_tables_without_a_mapping_are_refused_with_the_way_out() -> None:
    with pytest.raises(
        UserError, match=r"qty, amount(.|\n)*melt: \{value: Revenue, columns: \['2022-01 Amount'"
    ):
        read_sales(KINDS["quantity and amount per month"][0]())
    with pytest.raises(UserError, match=r"200 of its 206 columns count days(.|\n)*first_day: 2011-01-29"):
        read_sales(KINDS["M5"][0]())


def test_a_plan_is_named_and_never_taken_alone() -> None:
    proposal, _ = propose(KINDS["budget and actual"][0]())
    assert any("Budget" in note and "never taken" in note for note in proposal.notes)
    with pytest.raises(UserError, match=r"Budget: by the name a plan(.|\n)*columns: \{Revenue: Budget\}"):
        propose_mapping(sold(Budget=LINES))


def test_units_of_several_measures_are_refused_with_their_names() -> None:
    measures = np.where(np.arange(300) % 3 == 0, "kg", "pcs")
    frame = sold(
        Qty=[f"{n} {word}" for n, word in zip(UNITS, measures, strict=True)], **{"Unit price": PRICES}
    )
    with pytest.raises(UserError, match=r"Qty holds pcs, kg(.|\n)*where: contains\(Qty, 'pcs'\)"):
        propose_mapping(frame)


def test_a_ledger_asks_by_its_doubt_and_nets_returns() -> None:
    proposal, sales = propose(KINDS["debit and credit"][0]())
    line = next(line for line in proposal.lines if line.key == "columns.Revenue")
    assert line.doubt == "unsure" and "Credit" in line.reason
    assert sales.report.returns == BACK.sum()


def test_a_status_is_no_region() -> None:
    proposal, _ = propose(KINDS["a state that is a status"][0]())
    assert "Region" not in proposal.mapping.columns
    assert proposal.mapping.where == "(state != 'cancelled') & (state != 'refunded')" or (
        proposal.mapping.where == "(state != 'refunded') & (state != 'cancelled')"
    )
    proposal, _ = propose(KINDS["a state that is a region"][0]())
    assert proposal.mapping.columns["Region"] == "state"


@pytest.mark.parametrize(
    "values, expected", [(["paid", "Refunded"], True), (["CA", "NY"], False), ([], False)]
)
def test_statuses_are_told_by_their_words(values: list[str], expected: bool) -> None:
    assert are_statuses(values) is expected


@pytest.mark.parametrize(
    "name, expected",
    [("Sales Plan", True), ("Net sales last year", True), ("Planet", False), ("Soll", False)],
)
def test_plans_are_told_by_their_words(name: str, expected: bool) -> None:
    assert is_planned(name) is expected


def magento(refund: bool) -> tuple[pd.DataFrame, float]:
    "Make a grid of orders as Magento exports it, of which closed ones are refunded whole, with their shipping; and its revenue."
    states = np.where(
        np.arange(300) % 20 == 0, "closed", np.where(np.arange(300) % 20 == 1, "canceled", "complete")
    )
    orders = pd.DataFrame(
        {
            "ID": range(100, 400),
            "Purchase Date": DAYS.strftime("%b %d, %Y"),
            "Grand Total (Base)": LINES + 4.9,
            "Status": states,
            "Subtotal": LINES,
            "Shipping and Handling": 4.9,
        }
    )
    if refund:
        orders["Total Refunded"] = np.where(states == "closed", LINES + 4.9, np.nan)
    return orders, float(LINES[states == "complete"].sum())


@pytest.mark.parametrize("refund", [True, False])
def test_a_closed_order_of_magento_brings_nothing(refund: bool) -> None:
    orders, truth = magento(refund)
    proposal = propose_mapping(orders)
    assert read_sales(orders, proposal.mapping, now=NOW).report.revenue_total == pytest.approx(truth)
    asked = next((question for question in proposal.questions if question.key == "where"), None)
    assert (asked is None) == refund
    if asked:
        sales = proposal.answer("where", asked.choices["sales"]).mapping
        both = orders["Status"].isin(["complete", "closed"])
        assert read_sales(orders, sales, now=NOW).report.revenue_total == pytest.approx(LINES[both].sum())


def test_closed_alone_is_a_sale() -> None:
    orders = magento(False)[0].replace({"Status": {"complete": "closed", "closed": "open"}})
    assert "closed" not in str(propose_mapping(orders).mapping.where)


@pytest.mark.parametrize(
    "name, sides",
    [("Soll/Haben-Kennzeichen", "HS"), ("D/C", "CD"), ("Side", ("Credit", "Debit"))],
)
def test_a_column_that_says_debit_or_credit_tells_the_sign(name: str, sides: tuple[str, str]) -> None:
    given_back = np.arange(300) % 20 == 3
    ledger = sold(Umsatz=LINES, **{name: np.where(given_back, sides[1], sides[0])})
    proposal = propose_mapping(ledger)
    truth = np.where(given_back, -LINES, LINES).sum()
    assert read_sales(ledger, proposal.mapping, now=NOW).report.revenue_total == pytest.approx(truth)
    (asked,) = [question for question in proposal.questions if question.key == "returns.when"]
    assert set(asked.choices) == set(sides) and asked.assumed == sides[1]


def test_credit_and_debit_cards_are_no_sides_of_an_account() -> None:
    cards = sold(Amount=LINES, **{"Payment method": np.where(np.arange(300) % 3 == 0, "Debit", "Credit")})
    assert read_sales(cards, propose_mapping(cards).mapping, now=NOW).report.revenue_total == pytest.approx(
        LINES.sum()
    )


@pytest.mark.parametrize("sign", [1, -1])
def test_a_fee_is_a_cost_and_no_discount(sign: int) -> None:
    signed = np.where(np.arange(300) % 20 == 3, -LINES, LINES)
    fees = (signed * 0.03).round(2)
    paid = sold(Gross=signed, Fee=sign * fees, Net=(signed - fees).round(2))
    sales = read_sales(paid, propose_mapping(paid).mapping, now=NOW)
    assert sales.report.revenue_total == pytest.approx(signed.sum())


FEES = (LINES * 0.03).round(2) + 0.3
WITH_FEE = (LINES + FEES).round(2)


@pytest.mark.parametrize(
    "columns, doubt",
    [
        ({"Amount": LINES, "Fee": FEES, "Payout amount": (LINES - FEES).round(2)}, "unsure"),
        ({"Net sales": LINES, "Delivery fee": FEES, "Total": WITH_FEE}, "likely"),
        ({"Net sales": LINES, "Service fee": FEES, "Total": WITH_FEE}, "likely"),
        ({"Net sales": LINES, "Booking fee": FEES, "Total": WITH_FEE}, "likely"),
        ({"Quantity": UNITS, "Price": PRICES, "Net sales": LINES, "Fee": FEES, "Total": WITH_FEE}, "certain"),
        ({"Order amount": LINES, "Commission": FEES, "Net amount": (LINES - FEES).round(2)}, "likely"),
    ],
)
def test_a_fee_is_put_back_where_the_seller_pays_it(columns: dict[str, np.ndarray], doubt: str) -> None:
    table = sold(**columns)
    proposal = propose_mapping(table)
    assert read_sales(table, proposal.mapping, now=NOW).report.revenue_total == pytest.approx(LINES.sum())
    (line,) = [line for line in proposal.lines if line.key == "columns.Revenue"]
    assert line.doubt == doubt and not proposal.questions


def test_a_fee_that_buyer_or_seller_may_pay_is_asked_for() -> None:
    table = sold(**{"Net sales": LINES, "Fee": FEES, "Total": WITH_FEE})
    proposal = propose_mapping(table)
    (asked,) = proposal.questions
    assert (asked.key, asked.assumed) == ("columns.Revenue", "Net sales")
    for name, truth in (("Net sales", LINES), ("Total", WITH_FEE)):
        answered = proposal.answer(asked.key, asked.choices[name])
        assert read_sales(table, answered.mapping, now=NOW).report.revenue_total == pytest.approx(truth.sum())


@pytest.mark.parametrize("name, known", [("Amount EUR", True), ("Base amount", True), ("Amount 2", False)])
def test_a_converted_amount_is_taken_by_its_currency_or_asked_for(name: str, known: bool) -> None:
    """An amount times a rate is the other, and the other divided by it is the one: the name tells which is the shop's."""
    codes = rng.choice(["EUR", "USD"], 300, p=[0.7, 0.3])
    rates = np.where(codes == "EUR", 1.0, 0.92)
    orders = sold(Currency=codes, Amount=LINES, **{"Exchange rate": rates, name: (LINES * rates).round(2)})
    proposal = propose_mapping(orders)
    asked = [question.key for question in proposal.questions]
    assert (asked == []) == known
    truth = (LINES * rates).round(2).sum() if known else LINES[codes == "EUR"].sum()
    assert read_sales(orders, proposal.mapping, now=NOW).report.revenue_total == pytest.approx(truth)


@pytest.mark.parametrize("first", ["states", "currency"])
def test_answers_about_rows_hold_beside_one_another(first: str) -> None:
    dollars = np.arange(len(LINES)) % 3 == 2
    orders = magento(False)[0].assign(Currency=np.where(dollars, "USD", None))
    proposal = propose_mapping(orders)
    states = next(question for question in proposal.questions if "closed" in question.text)
    currency = next(question for question in proposal.questions if "Currency" in question.text)
    answers = [(states, "sales"), (currency, "only USD")]
    for question, label in answers if first == "states" else answers[::-1]:
        proposal = proposal.answer(question.key, question.choices[label])
    is_sale = orders["Status"].isin(["complete", "closed"]) & dollars
    report = read_sales(orders, proposal.mapping, now=NOW).report
    assert report.revenue_total == pytest.approx(LINES[is_sale].sum())
    assert not [question for question in proposal.questions if question in (states, currency)]
