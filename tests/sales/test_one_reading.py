"""One file, one reading: Python, the command line, the dashboard's upload and the API's batch give the same."""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner
from werkzeug.test import TestResponse

from salesforecast.api.batch import mapped_tables
from salesforecast.api.main import create_app
from salesforecast.api.model_loader import ModelStore
from salesforecast.cli.main import app
from salesforecast.core.settings import Settings, UserError
from salesforecast.dashboard.model.reader import UploadOptions, read_upload
from salesforecast.registry.predictor import Predictor, predict_table
from salesforecast.sales.chunks import iter_csv_tables
from salesforecast.sales.reading import parse_prediction_rows, read_sales
from salesforecast.sales.schema import ColumnMapping
from support.models import Trained

ROWS = 60


def table() -> pd.DataFrame:
    """Plain sales; the amounts go over a thousand."""
    rng = np.random.default_rng(1)
    units = rng.integers(1, 9, ROWS)
    price = rng.choice([4.5, 19.99, 1299.0], ROWS)
    return pd.DataFrame(
        {
            "Transaction_Date": pd.date_range("2024-01-17", periods=ROWS).strftime("%Y-%m-%d"),
            "Product_ID": rng.choice(["café", "naïve", "zwölf"], ROWS),
            "Region": rng.choice(["Nord", "Süd"], ROWS),
            "Units_Sold": units.astype(str),
            "Unit_Price": [f"{value:.2f}" for value in price],
        }
    )


def english(value: str) -> str:
    return f"{float(value):,.2f}"


def german(value: str) -> str:
    return english(value).translate(str.maketrans(",.", ".,"))


@dataclass
class File:
    """How a table is written."""

    name: str
    delimiter: str = ","
    encoding: str = "utf-8"
    price: str = "plain"
    bad: int = 0  # rows whose amount nobody can read
    above: str = ""  # what stands above the header

    def write(self, folder: Path) -> Path:
        """Write the file."""
        rows, path = table(), folder / self.name
        marks = {"plain": str, "english": english, "german": german, "euro": lambda v: f"{german(v)} €"}
        marks["dollar"] = lambda v: f"${english(v)}"
        rows["Unit_Price"] = rows["Unit_Price"].map(marks[self.price])
        if self.price in ("german", "euro"):
            rows["Transaction_Date"] = pd.to_datetime(rows["Transaction_Date"]).dt.strftime("%d.%m.%Y")
        rows.loc[10 : 9 + self.bad, "Unit_Price"] = "?"
        if path.suffix == ".xlsx":
            rows.astype({"Units_Sold": int}).to_excel(path, index=False)
        elif path.suffix == ".parquet":
            rows.astype({"Units_Sold": int}).to_parquet(path, index=False)
        else:
            text = self.above + rows.to_csv(
                index=False, sep=self.delimiter, quoting=1 if self.price == "english" else 0
            )
            path.write_bytes(text.encode(self.encoding))
        return path


FILES = [
    File("plain.csv"),
    File("plain.txt", delimiter="\t"),
    File("bar.csv", delimiter="|"),
    File("semicolon.csv", delimiter=";"),
    File("english.csv", price="english"),
    File("dollar.csv", delimiter=";", price="dollar"),
    File("german.csv", delimiter=";", price="german"),
    File("euro.csv", delimiter=";", price="euro"),
    File("latin.csv", delimiter=";", encoding="cp1252", price="german"),
    File("utf16.csv", delimiter="\t", encoding="utf-16"),
    File("mark.csv", encoding="utf-8-sig"),
    File("excel_line.csv", delimiter=";", above="sep=;\n"),
    File("few_bad.csv", bad=2),
    File("many_bad.csv", bad=20),
    File("plain.xlsx"),
    File("english.xlsx", price="english"),
    File("plain.parquet"),
    File("german.parquet", price="german"),
]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_door_reads_the_same(file: File, tmp_path: Path) -> None:
    path = file.write(tmp_path)
    printed = CliRunner().invoke(app, ["validate", str(path), "--json"])
    (tmp_path / "upload").mkdir()
    upload = read_upload(path, path.name, tmp_path / "upload", UploadOptions())
    try:
        sales = read_sales(path)
    except UserError as error:
        assert file.bad > 5 and "cannot be used" in str(error)
        assert printed.exit_code != 0 and upload.report is None and "cannot be used" in upload.problem
        return
    want = table()
    truth = (want["Units_Sold"].astype(float) * want["Unit_Price"].astype(float)).drop(
        range(10, 10 + file.bad)
    )
    assert sales.report.revenue_total == pytest.approx(truth.sum())
    assert (
        sales.frame["Product_ID"].astype(str).tolist()
        == want["Product_ID"].drop(truth.index.symmetric_difference(want.index)).tolist()
    )
    assert printed.exit_code == 0, printed.output
    told = json.loads(printed.stdout)
    expected = json.loads(json.dumps(sales.report.to_dict()))
    assert told == expected
    assert upload.report is not None, upload.problem
    same = ("rows_read", "rows_accepted", "rows_quarantined", "revenue_total", "warnings", "reasons", "gaps")
    assert {name: upload.report[name] for name in same} == {
        name: getattr(sales.report, name) for name in same
    }  # type: ignore[literal-required]


@pytest.mark.parametrize(
    "file", [f for f in FILES if not f.name.endswith(".xlsx") and f.bad < 5], ids=lambda f: f.name
)
def test_the_batch_of_the_api_reads_the_same(file: File, tmp_path: Path) -> None:
    path = file.write(tmp_path)
    sales = read_sales(path)
    parts = [
        parse_prediction_rows(piece.table, piece.mapping)
        for piece in mapped_tables(io.BytesIO(path.read_bytes()), path.name, ColumnMapping(), 2**20)
    ]
    frame = pd.concat([part.frame for part in parts])
    problems = pd.concat([part.problems for part in parts])
    assert problems.index[problems != ""].tolist() == sales.quarantine["row"].tolist()
    usable = frame[(problems == "").to_numpy()]
    assert usable.index.tolist() == sales.frame.index.tolist()
    for name in ("Transaction_Date", "Units_Sold", "Unit_Price"):
        assert (usable[name].to_numpy() == sales.frame[name].to_numpy()).all()
    for name in ("Product_ID", "Region"):
        assert usable[name].astype(str).tolist() == sales.frame[name].astype(str).tolist()


def order_totals(rows: pd.DataFrame) -> pd.DataFrame:
    """Every two lines are an order, and both have its total as revenue."""
    orders = np.arange(len(rows)) // 2
    totals = [f"{order * 3.5 + 10:.2f}" for order in orders]
    return rows.assign(
        Transaction_ID=orders.astype(str),
        Product_ID=np.where(np.arange(len(rows)) % 2, "café", "naïve"),
        Units_Sold="1",
        Unit_Price=totals,
        Revenue=totals,
    )


def a_billion(rows: pd.DataFrame) -> pd.DataFrame:
    """One row has a billion units."""
    return rows.assign(Units_Sold=["1000000000", *rows["Units_Sold"][1:]])


def few_dates(rows: pd.DataFrame) -> pd.DataFrame:
    """Two rows of three have no date."""
    return rows.assign(Transaction_Date=rows["Transaction_Date"].where(rows.index % 3 == 0, ""))


def bad_price(rows: pd.DataFrame) -> pd.DataFrame:
    """A third of the prices is no number."""
    return rows.assign(Unit_Price=rows["Unit_Price"].where(rows.index % 3 > 0, "?"))


@pytest.mark.parametrize(
    ("spoil", "refusal", "warning"),
    [
        (
            order_totals,
            "Revenue is the same on all lines of an order",
            "Revenue is the same on all lines of an order",
        ),
        (
            a_billion,
            "a row is not taken for a sale until you say so",
            "1 row has a Units_Sold far above the largest of the training",
        ),
        (
            few_dates,
            "40 of 60 rows (66.7%) cannot be used",
            "40 of 60 rows (66.7%) have no prediction (Transaction_Date is missing 40); read as sales, the file would be "
            "refused, as at most 5.0% may be bad",
        ),
        (
            bad_price,
            "20 of 60 rows (33.3%) cannot be used",
            "20 of 60 rows (33.3%) have no prediction (Unit_Price is not a number 20); read as sales, the file would be "
            "refused, as at most 5.0% may be bad",
        ),
    ],
)
def test_what_reading_refuses_no_prediction_keeps_silent(
    spoil: Callable[[pd.DataFrame], pd.DataFrame],
    refusal: str,
    warning: str,
    trained: Trained,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "rows.csv"
    spoil(table()).to_csv(path, index=False)
    with pytest.raises(UserError) as error:
        read_sales(path)
    printed = CliRunner().invoke(app, ["validate", str(path)])
    upload = read_upload(path, path.name, tmp_path, UploadOptions())
    assert refusal in str(error.value) and refusal in upload.problem and printed.exit_code != 0
    out = tmp_path / "out.csv"
    told = CliRunner().invoke(
        app, ["predict", str(path), "--out", str(out), "--models-dir", str(trained.models)]
    )
    assert told.exit_code == 0 and warning in " ".join(told.output.split()), told.output
    want = predict_table(Predictor.load(trained.models), path).warnings
    assert any(warning in text for text in want)

    client = create_app(ModelStore(trained.models), Settings(api_auth="off")).test_client()

    def answer(accept: str) -> TestResponse:
        data = {"file": (io.BytesIO(path.read_bytes()), path.name)}
        return client.post("/predict_batch_csv", data=data, headers={"Accept": accept})

    assert answer("application/json").get_json()["warnings"] == want
    assert json.loads(answer("text/csv").headers["X-Warnings"]) == want
    pieces = lambda file, name, read, limit: iter_csv_tables(file, read, size=1_000)  # noqa: E731
    monkeypatch.setattr("salesforecast.api.batch.iter_file_tables", pieces)
    if spoil is not order_totals:  # which stand in the first piece, and this one is too small
        assert any(warning in text for text in answer("application/json").get_json()["warnings"])
