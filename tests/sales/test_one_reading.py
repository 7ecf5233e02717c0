"""One file, one reading: Python, the command line, the dashboard's upload and the API's batch give the same."""

import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from salesforecast.api.batch import mapped_tables
from salesforecast.cli.main import app
from salesforecast.core.settings import UserError
from salesforecast.dashboard.model.reader import UploadOptions, read_upload
from salesforecast.sales.reading import parse_prediction_rows, read_sales
from salesforecast.sales.schema import ColumnMapping

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
