"""Amounts with CR and DR beside them, and numbers in wide characters."""

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from salesforecast.api.batch import mapped_tables
from salesforecast.cli.main import app
from salesforecast.core.settings import UserError
from salesforecast.dashboard.model.reader import UploadOptions, read_upload
from salesforecast.sales.currencies import amount_currency
from salesforecast.sales.numbers import credit_examples, parse_numbers
from salesforecast.sales.proposals import propose_mapping
from salesforecast.sales.reading import parse_prediction_rows, read_sales
from salesforecast.sales.schema import ColumnMapping, ReturnRule, SourceOptions

NOW = pd.Timestamp("2024-12-31")


def ledger(marks: list[str], pattern: str = "{amount:,.2f} {mark}") -> str:
    """Sixty days of postings, with the marks in turn; every amount is 1,000 and a bit."""
    days = pd.date_range("2024-01-01", periods=60)
    cells = [pattern.format(amount=1000 + i, mark=marks[i % len(marks)]).strip() for i in range(60)]
    return "Transaction_Date,Product_ID,Revenue\n" + "".join(
        f'{day:%Y-%m-%d},P{i % 3},"{cell}"\n' for i, (day, cell) in enumerate(zip(days, cells, strict=True))
    )


AMOUNTS = np.arange(1000, 1060)


@pytest.mark.parametrize(
    "pattern", ["{amount:,.2f} {mark}", "{mark} {amount:,.2f}", "${amount:,.2f}{mark}", "{mark}. {amount}"]
)
@pytest.mark.parametrize("mark", ["CR", "Dr"])
def test_one_mark_says_nothing_and_is_told(pattern: str, mark: str, tmp_path: Path) -> None:
    path = tmp_path / "ledger.csv"
    path.write_text(ledger([mark], pattern))
    report = read_sales(path, now=NOW).report
    assert report.revenue_total == AMOUNTS.sum()
    assert any(f"every amount is marked {mark.upper()}" in note for note in report.warnings)
    assert any(f"read: {{negative: {mark.upper()}}}" in note for note in report.warnings)


@pytest.mark.parametrize("marks", [["CR", "CR", "CR", "DR"], ["", "", "", "CR"]])
def test_two_signs_are_asked_for_at_every_door(marks: list[str], tmp_path: Path) -> None:
    path = tmp_path / "ledger.csv"
    path.write_text(ledger(marks))
    says = r"1,000\.00.*' and '1,003\.00 (CR|DR)' differ"
    with pytest.raises(UserError, match=says + r"(.|\n)*read: \{negative: DR\} or read: \{negative: CR\}"):
        read_sales(path, now=NOW)
    printed = CliRunner().invoke(app, ["validate", str(path)])
    assert printed.exit_code != 0 and "negative: DR" in str(printed.exception)
    upload = read_upload(path, path.name, tmp_path, UploadOptions())
    assert upload.report is None and "differ in CR and DR" in upload.problem
    assert "with a minus" in " ".join(upload.details)
    negative = "DR" if "DR" in marks else "CR"
    subtracted = np.where(np.arange(60) % 4 == 3, -AMOUNTS, AMOUNTS)
    mapping = ColumnMapping(read=SourceOptions(negative=negative), returns=ReturnRule(when="Revenue < 0"))
    assert read_sales(path, mapping, now=NOW).frame["Revenue"].sum() == subtracted.sum()
    proposal = propose_mapping(path)
    assert proposal.mapping.read.negative == negative
    assert "read.negative" in [question.key for question in proposal.questions]
    assert read_sales(path, proposal.mapping, now=NOW).report.revenue_total == subtracted.sum()


def test_a_zero_without_a_mark_is_no_other_sign() -> None:
    assert parse_numbers(pd.Series(["12.50 CR", "0.00", "-", ""])).data[:2].tolist() == [12.5, 0]


def test_ids_are_no_credits() -> None:
    parsed = parse_numbers(pd.Series(["CR", "DR-12 x", "12 kr"]))
    assert parsed.bad.tolist() == [True, True, False]


def test_a_minus_beside_the_mark_of_the_subtracted_is_no_second_sign() -> None:
    cells = pd.Series(["100 DR", "-100 DR", "(100) DR", "DR 100-", "100 CR", "0 DR"])
    assert parse_numbers(cells, SourceOptions(negative="DR")).data.tolist() == [
        -100,
        -100,
        -100,
        -100,
        100,
        0,
    ]


WIDE = {
    "１，２３４．５０": 1234.5,
    "1，234．50": 1234.5,
    "￥１，２３４": 1234,
    "－１２．５": -12.5,
    "（１２．５０）": -12.5,
    "１２％": 0.12,
    "１，２３４円": 1234,
}


@pytest.mark.parametrize("text", WIDE)
def test_a_number_in_wide_characters(text: str) -> None:
    assert parse_numbers(pd.Series([text, "７．２５"])).data[0] == pytest.approx(WIDE[text])


def test_every_door_reads_wide_characters(tmp_path: Path) -> None:
    path = tmp_path / "wide.csv"
    wide = str.maketrans("0123456789.,/", "０１２３４５６７８９．，／")
    rows = [(f"2024/01/{day:02}", "茶，緑", str(1 + day % 4), f"{1000 + day:,}.50") for day in range(1, 31)]
    lines = [",".join(f'"{cell.translate(wide)}"' for cell in row) for row in rows]
    path.write_text("\n".join(["Transaction_Date,Product_ID,Units_Sold,Unit_Price", *lines]), "utf-8")
    truth = sum((1 + day % 4) * (1000.5 + day) for day in range(1, 31))
    sales = read_sales(path, now=NOW)
    assert sales.report.revenue_total == pytest.approx(truth)
    assert set(sales.frame["Product_ID"]) == {"茶，緑"}
    assert sales.frame["Transaction_Date"].iloc[0] == pd.Timestamp("2024-01-01")
    printed = CliRunner().invoke(app, ["validate", str(path), "--json"])
    assert json.loads(printed.stdout)["revenue_total"] == pytest.approx(truth)
    upload = read_upload(path, path.name, tmp_path, UploadOptions())
    assert upload.report and upload.report["revenue_total"] == pytest.approx(truth)
    pieces = mapped_tables(io.BytesIO(path.read_bytes()), path.name, ColumnMapping(), 2**20)
    frame = pd.concat([parse_prediction_rows(piece.table, piece.mapping).frame for piece in pieces])
    assert (frame["Units_Sold"] * frame["Unit_Price"]).sum() == pytest.approx(truth)
    assert read_sales(path, propose_mapping(path).mapping, now=NOW).report.revenue_total == pytest.approx(
        truth
    )


@pytest.mark.parametrize(
    ("cells", "currency", "credits"),
    [
        (["0", "", "12.50", "-3"], "", {"": "12.50"}),
        (["0.00", None], "", {}),
        (["12.50", "$3"], "$", {"": "12.50"}),
        (["12.50", "3 CR", "4 dr", "5 CR"], "", {"": "12.50", "CR": "3 CR", "DR": "4 dr"}),
        (["١٢", "3 cr"], "", {"": "12", "CR": "3 cr"}),
    ],
)
@pytest.mark.parametrize("kind", [object, pd.ArrowDtype(pa.string())])
def test_marks_beside_amounts_are_found_among_plain_numbers(
    cells: list[str | None], currency: str, credits: dict[str, str], kind: object
) -> None:
    column = pd.Series(cells, dtype=kind)
    assert amount_currency(column) == currency
    assert credit_examples(column) == credits
