"Files that are not a row a sale, read by the dashboard's form."

import json
from pathlib import Path

import pandas as pd
import pytest

from salesforecast.dashboard.model.reader import UploadOptions, UploadResult, read_upload
from salesforecast.dashboard.ui.column_form import ColumnForm


def wide(folder: Path) -> Path:
    "Write a file with a column a month; its cells are small whole numbers."
    months = [f"{year}-{month:02}" for year in (2023, 2024) for month in range(1, 13)]
    frame = pd.DataFrame({"SKU": ["a", "b"]} | {m: [i + 1, i + 2] for i, m in enumerate(months)})
    frame.to_csv(folder / "wide.csv", index=False)
    return folder / "wide.csv"


def packed(folder: Path) -> Path:
    "Write orders with their line items in one cell."
    items = [
        json.dumps(
            [
                {"name": "Tea", "quantity": 2, "price": 4.5},
                {"name": "Jam", "quantity": i % 3 + 1, "price": 3.0},
            ]
        )
        for i in range(90)
    ]
    days = pd.date_range("2024-01-01", periods=90).strftime("%Y-%m-%d")
    pd.DataFrame({"Order": range(90), "Date": days, "Items": items}).to_csv(
        folder / "packed.csv", index=False
    )
    return folder / "packed.csv"


def confirm(path: Path, folder: Path, choose: object = None) -> UploadResult:
    "Read a file, then read it again as the form proposes."
    answer = read_upload(path, path.name, folder, UploadOptions())
    assert answer.report is None
    chosen: list[UploadOptions] = []
    form = ColumnForm(answer, UploadOptions(), chosen.append)
    if choose:
        form.melted.value = choose
    form.read()
    assert chosen, form.problem
    folder.mkdir(exist_ok=True)
    return read_upload(path, path.name, folder, chosen[0])


@pytest.mark.parametrize("choice", ["Units_Sold", "Revenue"])
def test_a_wide_file_is_read_as_the_form_proposes(tmp_path: Path, choice: str) -> None:
    answer = confirm(wide(tmp_path), tmp_path / "out", choice)
    assert answer.report is not None and answer.report["revenue_total"] == 624
    assert answer.report["rows_accepted"] == 48
    units = pd.read_parquet(tmp_path / "out" / "rows.parquet").columns
    assert ("Units_Sold" in units) == (choice == "Units_Sold")


def test_packed_items_are_read_as_the_form_proposes(tmp_path: Path) -> None:
    answer = confirm(packed(tmp_path), tmp_path / "out")
    assert answer.report is not None and answer.report["rows_accepted"] == 180
    assert answer.report["revenue_total"] == 90 * 9 + 30 * 3 * (1 + 2 + 3)
