"""Uploaded files before a row is read: how wide and how large they may be, and in how many parts they come."""

import gzip
import io
import json
from collections import Counter
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Literal, cast

import pandas as pd
import pytest

from salesforecast.api import batch
from salesforecast.api.batch import MAX_FILE_COLUMNS, Piece, check_width, mapped_tables, read_excel_upload
from salesforecast.api.endpoints.files import MAX_HEADER, _warnings_header
from salesforecast.core.settings import UserError
from salesforecast.registry.predictor import Predictor, UnlikeValues
from salesforecast.sales.delimited import SourceTable
from salesforecast.sales.schema import ColumnMapping, SourceOptions

LIMIT = 10**8


def csv(columns: int, mark: str = ",", above: int = 0) -> bytes:
    return b"Report\n" * above + mark.join(f"c{i}" for i in range(columns)).encode() + b"\n"


def parquet(columns: int) -> bytes:
    return pd.DataFrame([range(columns)]).rename(columns=str).to_parquet()


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.parquet"])
def test_a_file_has_at_most_two_thousand_columns(name: str) -> None:
    write: Callable[[int], bytes] = parquet if name.endswith("parquet") else csv
    pack = gzip.compress if name.endswith("gz") else bytes
    check_width(io.BytesIO(pack(write(2000))), name, LIMIT)
    with pytest.raises(UserError, match=f"{name} has 2,001 columns or more; up to 2,000 are read"):
        check_width(io.BytesIO(pack(write(2001))), name, LIMIT)
    assert MAX_FILE_COLUMNS == 2000


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_the_widest_of_the_first_thousand_lines_counts(mark: str) -> None:
    with pytest.raises(UserError, match="2,001 columns"):
        check_width(io.BytesIO(csv(2001, mark, above=999)), "a.csv", LIMIT)
    check_width(io.BytesIO(csv(2001, mark, above=1000)), "a.csv", LIMIT)


def test_marks_in_quotes_part_no_cells() -> None:
    check_width(io.BytesIO(b'a,"' + b"," * 5000 + b'"\n'), "a.csv", LIMIT)


def test_a_workbook_holds_at_most_so_many_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    book = io.BytesIO()
    pd.DataFrame({"a": ["x"]}).to_excel(book, index=False)
    with pytest.raises(UserError, match=r"a\.xlsx holds 0 MB, and an Excel file may hold 0\. Save it as CSV"):
        read_excel_upload(book, "a.xlsx", SourceOptions(), 100)
    old = io.BytesIO(b"\0" * (3 * 2**20))
    with pytest.raises(UserError, match=r"a\.xls holds 3 MB, and an Excel file may hold 2\."):
        read_excel_upload(old, "a.xls", SourceOptions(), 2 * 2**20)
    assert batch.MAX_EXCEL_BYTES == 104_857_600
    assert len(read_excel_upload(book, "a.xlsx", SourceOptions(), LIMIT).cells) == 1


@pytest.mark.parametrize(("rows", "whole"), [(1, [True]), (500_000, None)])
def test_a_part_knows_whether_it_is_the_whole_file(rows: int, whole: list[bool] | None) -> None:
    text = b"Transaction_Date,Units_Sold\n" + b"2026-01-01,1\n" * rows
    pieces = list(mapped_tables(io.BytesIO(text), "a.csv", ColumnMapping(), LIMIT))
    assert [piece.whole for piece in pieces] == (whole or [False] * 2)
    assert sum(len(piece.table.cells) for piece in pieces) == rows


def test_parts_that_differ_in_cr_and_dr_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def parts(negative: Literal["DR"] | None) -> Iterator[Piece]:
        for price in ("5.00 CR", "5.00 DR"):
            row = {"Transaction_Date": ["2026-01-01"], "Units_Sold": ["1"], "Unit_Price": [price]}
            mapping = ColumnMapping(read=SourceOptions(negative=negative))
            yield Piece(SourceTable(pd.DataFrame(row), {}, []), mapping, False)

    def predict(needed: set[str], negative: Literal["DR"] | None = None) -> int:
        monkeypatch.setattr(batch, "mapped_tables", lambda *_: parts(negative))
        manifest = SimpleNamespace(mapping=ColumnMapping())
        predictor = SimpleNamespace(bundle=SimpleNamespace(manifest=manifest), required_columns=needed)
        file = io.BytesIO()
        return batch.predict_file(cast(Predictor, predictor), file, "a.csv", io.BytesIO(), False, LIMIT).rows

    monkeypatch.setattr(batch, "predict_rows", lambda predictor, rows: pd.DataFrame(index=rows.frame.index))
    monkeypatch.setattr(batch, "find_unlike_values", lambda predictor, frame: UnlikeValues())
    monkeypatch.setattr(batch, "json_rows", lambda predictions, rows: b"")
    with pytest.raises(UserError, match=r"Unit_Price: .*differ in CR and DR .* read: \{negative: DR\}"):
        predict({"Units_Sold", "Unit_Price"})
    assert predict({"Units_Sold"}) == 2  # the model takes no price
    assert predict({"Units_Sold", "Unit_Price"}, "DR") == 2


def test_long_values_leave_room_for_all_warnings() -> None:
    names = Counter({("Category", letter * 1_000): n for n, letter in enumerate("abcdefg", start=1)})
    unlike = UnlikeValues(unknown=names + Counter({("Region", "Süd" * 13): 1}))
    named = ", ".join(f"'{letter * 39}…' {n}" for n, letter in zip((7, 6, 5, 4, 3), "gfedc", strict=True))
    want = [
        f"28 rows have a Category that was not in the training data ({named} and 2 others); it counts as unknown",
        f"1 row has a Region that was not in the training data ('{'Süd' * 13}' 1); it counts as unknown",
    ]
    assert unlike.describe() == want
    assert json.loads(_warnings_header(want)) == want


@pytest.mark.parametrize(
    ("warnings", "sent"),
    [
        ([], []),
        (["a" * 600, "b"], ["a" * 600, "b"]),
        (["a" * 5_000, "b"], ["a" * 599 + "…", "b"]),
        (["ü" * 600, "b" * 600, "c" * 600], ["ü" * 600, "and 2 more"]),
        (["\U0001f600" * 600, "b"], ["and 2 more"]),
    ],
)
def test_warnings_that_do_not_fit_in_the_header_are_counted(warnings: list[str], sent: list[str]) -> None:
    header = _warnings_header(warnings)
    assert header.isascii() and len(header) <= MAX_HEADER
    assert json.loads(header) == sent
