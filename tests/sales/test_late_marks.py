"""Marks that appear only late in a file are noticed: by the proposal, and by every reading."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from salesforecast.core.settings import UserError
from salesforecast.dashboard.model.reader import UploadOptions, read_upload
from salesforecast.sales.numbers import parse_numbers
from salesforecast.sales.plausibility import find_scale_jump
from salesforecast.sales.proposals import propose_columns, propose_mapping, sample_rows
from salesforecast.sales.reading import read_prediction_rows, read_sales
from salesforecast.sales.schema import ColumnMapping, SourceOptions

PRICES = np.array([4.5, 12.9, 145.0, 1299.0, 7.25, 89.9, 2350.0])
ROWS, LATE = 3_000, 2_000


def english(value: float) -> str:
    return f"{value:.2f}"


def german(value: float) -> str:
    return f"{value:,.2f}".translate(str.maketrans(",.", ".,"))


def whole_german(value: float) -> str:
    return f"{round(value):,}".replace(",", ".")


def cents(value: float) -> str:
    return str(round(100 * value))


def shop(late: Callable[[float], str], *, prices: bool = True) -> pd.DataFrame:
    """A shop whose last third of rows is written by another program."""
    rng = np.random.default_rng(0)
    product, units = rng.integers(0, len(PRICES), ROWS), rng.integers(1, 9, ROWS)
    days = pd.date_range("2023-01-01", periods=750).repeat(4)
    write = [late if i >= LATE else english for i in range(ROWS)]
    table = pd.DataFrame({"Transaction_Date": days.strftime("%Y-%m-%d"), "Product_ID": product})
    if prices:
        price = [f(v) for f, v in zip(write, PRICES[product], strict=True)]
        table = table.assign(Units_Sold=units, Unit_Price=price)
    return table.assign(Revenue=[f(v) for f, v in zip(write, units * PRICES[product], strict=True)])


REFUSED = {
    "decimals": (german, "have different decimal marks"),
    "thousands": (whole_german, "ends in 0, beside"),
    "cents": (cents, "100 times"),
}


@pytest.mark.parametrize("prices", [True, False], ids=["with prices", "revenue alone"])
@pytest.mark.parametrize("name", REFUSED)
def test_a_second_program_is_never_read_in_silence(name: str, prices: bool, tmp_path: Path) -> None:
    late, message = REFUSED[name]
    path = tmp_path / "sales.csv"
    shop(late, prices=prices).to_csv(path, index=False, sep=";")
    with pytest.raises(UserError, match=message):
        read_sales(path)
    answer = read_upload(path, "sales.csv", tmp_path, UploadOptions())
    assert answer.report is None and message.split()[0] in "\n".join([answer.problem, *answer.details])
    proposal = propose_mapping(path)
    if name != "cents":  # of which no cell is odd
        assert any("two programs wrote" in note for note in proposal.notes)
        with pytest.raises(UserError, match=message):
            read_prediction_rows(path)
    with pytest.raises(UserError, match=message):
        read_sales(path, proposal.mapping)


def test_a_second_program_is_read_where_someone_says_so(tmp_path: Path) -> None:
    table = shop(whole_german, prices=False)
    sales = read_sales(table, ColumnMapping(read=SourceOptions(decimal="."), odd_rows="keep"))
    assert sales.frame["Revenue"].iloc[LATE:].max() < 1000
    assert read_sales(shop(cents), ColumnMapping(odd_rows="keep")).frame["Revenue"].max() == 8 * 235_000


def test_three_decimals_are_no_thousands() -> None:
    """Values as a program writes that leaves zeros out, and as one that writes three decimals throughout."""
    rng = np.random.default_rng(1)
    values = rng.uniform(0.1, 900, ROWS).round(3)
    table = shop(english, prices=False)
    for cells in (values.astype(str), [f"{value:.3f}" for value in values]):
        read = read_sales(table.assign(Revenue=cells)).frame["Revenue"]
        np.testing.assert_allclose(read, values)


@pytest.mark.parametrize("factor", [1, 3, 30])
def test_a_shop_that_grows_has_no_other_unit(factor: float) -> None:
    rng = np.random.default_rng(2)
    amounts = rng.lognormal(3, 1, ROWS)
    amounts[LATE:] *= factor
    assert find_scale_jump(amounts) == (0, 0)
    steady = amounts * np.geomspace(1, 100, ROWS) / np.where(np.arange(ROWS) < LATE, 1, factor)
    assert find_scale_jump(steady) == (0, 0)  # a hundredfold, but not from one day to the next


def test_a_season_a_closure_and_the_order_of_a_file_are_no_other_unit() -> None:
    rng, days = np.random.default_rng(3), np.arange(1_461)
    noise = np.exp(rng.normal(0, 0.3, len(days)))
    season = (
        500 * 12.0 ** (-np.cos(2 * np.pi * days / 365.25) / 2) * noise
    )  # ice cream: twelve times as much in summer
    closure = 500 * np.where((days > 700) & (days < 900), 0.01, 1) * noise
    dates = pd.date_range("2021-01-01", periods=len(days))
    for amounts in (season, closure, 500 * np.where(days < 900, 1, 10) * noise):
        assert find_scale_jump(amounts) == (0, 0)
    sizes = {"Bread": 30.0, "Cake": 300.0, "Television": 3_000.0, "Car": 30_000.0}
    by_product = pd.concat(
        pd.DataFrame({"Transaction_Date": dates, "Product_ID": product, "Revenue": (size * noise).round(2)})
        for product, size in sizes.items()
    )
    assert len(read_sales(by_product.reset_index(drop=True)).frame) == len(by_product)


def test_a_proposal_looks_at_the_whole_of_a_large_table() -> None:
    rows = 300_000
    table = pd.DataFrame(
        {
            "Datum": pd.date_range("2022-01-01", periods=1_000).repeat(300).strftime("%d.%m.%Y"),
            "Artikel": np.arange(rows) % 90,
            "Umsatz": np.where(np.arange(rows) < 250_000, "12,50", "1.299,00"),
            "Waehrung": np.where(np.arange(rows) == 263_001, "USD", "EUR"),
        },
        index=pd.RangeIndex(2, rows + 2),
    )
    some = sample_rows(table)
    assert len(some) < rows / 2 and some.index.is_monotonic_increasing
    proposal = propose_columns(table, "sales.csv")
    assert proposal.mapping.read.thousands == "."
    assert ["USD" in question.text for question in proposal.questions] == [True]


SIZES = ["10.5", "10,5", "12.5", "12,5", "9.25", "8,75"]


def german_shop(amount: str, **columns: list[str]) -> tuple[pd.DataFrame, float]:
    """An export with German marks, and its revenue; columns are drawn from cells."""
    rng = np.random.default_rng(3)
    units, price = rng.integers(1, 40, 300), rng.choice([2.35, 4.1, 1250.5], 300)
    table = pd.DataFrame(
        {
            "Datum": pd.date_range("2024-01-01", periods=300).strftime("%d.%m.%Y"),
            "Artikel": rng.choice(["Brot", "Torte", "Tee"], 300),
            "Menge": units,
            amount: [german(value) for value in (price if amount == "Einzelpreis" else units * price)],
        }
    )
    table = table.assign(**{name: rng.choice(cells, 300) for name, cells in columns.items()})
    return table, (units * price).sum()


@pytest.mark.parametrize(
    "columns",
    [{"Größe": SIZES}, {"Punkte": SIZES}, {"Punkte": ["3", "8", "12"], "Größe": SIZES}],
    ids=["sizes", "points", "points and sizes"],
)
@pytest.mark.parametrize("amount", ["Einzelpreis", "Betrag"])
def test_a_mixed_column_that_is_not_needed_stops_nothing(amount: str, columns: dict[str, list[str]]) -> None:
    table, revenue = german_shop(amount, **columns)
    proposal = propose_columns(table, "export.csv")
    assert (proposal.mapping.read.decimal, proposal.mapping.read.thousands) == (",", ".")
    assert not any("two programs wrote" in note for note in proposal.notes)
    assert read_sales(table, proposal.mapping).frame["Revenue"].sum() == pytest.approx(revenue)


def test_a_mixed_column_that_the_revenue_needs_is_named() -> None:
    table, _ = german_shop("Einzelpreis", **{"Rabatt %": SIZES})
    proposal = propose_columns(table, "export.csv")
    assert any("Rabatt % has" in note and "two programs wrote" in note for note in proposal.notes)
    with pytest.raises(UserError, match="different decimal marks"):
        read_sales(table, proposal.mapping)


@pytest.mark.parametrize(
    "cells",
    [
        ["1.459", "1.450", "1.389", "1.390", "1.520", "12.50", "3.20"],
        ["1.459", "1.450", "1.390", "1.520", "12.50", "3.20", "499.00"],
        ["1.540", "2.150", "1.080", "1.920", "2.3", "1.1", "2.9"],
        ["1.080", "1.120", "1.090", "1.1", "1.05"],
    ],
    ids=["fuel", "fuel and a bicycle", "weights", "rates"],
)
@pytest.mark.parametrize("column", ["Units_Sold", "Unit_Price"])
def test_three_decimals_beside_fewer_are_fractions(cells: list[str], column: str) -> None:
    rng = np.random.default_rng(4)
    days = pd.date_range("2024-01-01", periods=300).strftime("%Y-%m-%d")
    table = pd.DataFrame({"Transaction_Date": days, "Units_Sold": rng.integers(1, 9, 300), "Unit_Price": 2.5})
    table = table.assign(**{column: rng.choice(cells, 300)})
    np.testing.assert_allclose(read_sales(table).frame[column], table[column].astype(float))
    assert not any("two programs" in note for note in propose_columns(table, "export.csv").notes)


@pytest.mark.parametrize(
    "cells",
    [
        ["4.50", "1299.00", "12.90", "145", "1.299", "2.350", "1.160", "4.700"],
        ["1299.00", "2350.00", "1899.50", "1.290", "2.350", "1.160", "4.705"],
    ],
    ids=["whole amounts", "nothing below a thousand"],
)
def test_thousands_beside_fractions_stop(cells: list[str]) -> None:
    with pytest.raises(UserError, match="ends in 0, beside"):
        parse_numbers(pd.Series(cells))
