"""A file in blocks is read as `read_text` reads it whole: the same cells, row numbers and problems."""

import gzip
import io
import random

import pandas as pd
import pytest

from salesforecast.core.settings import UserError
from salesforecast.sales import chunks
from salesforecast.sales.chunks import LimitedGzipFile, iter_csv_tables, iter_file_tables
from salesforecast.sales.delimited import read_text
from salesforecast.sales.schema import SourceOptions

CELLS = [
    "",
    "1",
    "2.50",
    "Gänse",
    "a b",
    '"Tee, grün"',
    '"say ""hi"""',
    '"two\nlines"',
    '"two\r\nlines"',
    '""',
]
WRONG = ['5" pipe', '"open', 'close"', '"a"b', '"', '"x\n', "x" * 200, " ", '6"', "a\rb"]


def same(data: bytes, read: SourceOptions, size: int) -> None:
    """Blocks of this size give what the whole file gives."""
    whole = read_text(data, read)
    tables = list(iter_csv_tables(io.BytesIO(data), read, size))
    cells = pd.concat([table.cells for table in tables])
    pd.testing.assert_frame_equal(cells, whole.cells)
    assert {row: told for table in tables for row, told in table.problems.items()} == whole.problems


def made_up(seed: int) -> tuple[str, SourceOptions]:
    """A file as exports are, with faults in some."""
    draw = random.Random(seed)
    delimiter, width, faults = draw.choice(",;\t|"), draw.randint(1, 4), draw.choice([0, 0, 0.02, 0.3])
    newline = draw.choice(["\n", "\n", "\r\n"])
    lines = []
    for _ in range(draw.randint(1, 60)):
        count = draw.randint(0, 5) if draw.random() < faults else width
        cells = [draw.choice(WRONG if draw.random() < faults / 4 else CELLS) for _ in range(count)]
        lines += [delimiter.join(cells), *[""] * (draw.random() < 0.05)]
    header = draw.choice(
        [f"column{delimiter}" * (width - 1) + "last", delimiter.join(['"a\nb"', *"cde"][:width])]
    )
    above, skipped = draw.choice(
        [([], 0), ([], 0), ([""], 0), (["Report of", "ACME"], 2), ([f"sep={delimiter}"], 0)]
    )
    text = newline.join([*above, header, *lines]) + draw.choice(["", newline, 2 * newline])
    return text, SourceOptions(
        skip_rows=skipped, delimiter=None if f"sep={delimiter}" in above else delimiter
    )


@pytest.mark.parametrize("seed", range(300))
def test_blocks_are_what_the_whole_file_is(seed: int) -> None:
    text, read = made_up(seed)
    draw = random.Random(seed)
    data = text.encode(draw.choice(["utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-16-le"]))
    for size in (7, draw.randint(8, 300), 10**6):
        same(data, read, size)


@pytest.mark.parametrize(
    "cell", ["x" * 10_001, '"' + "x\n" * 6_000 + '"', '"' + "x" * 200_000 + '"', '"' + "x" * 200_000]
)
def test_huge_cells_are_told_in_blocks_too(cell: str) -> None:
    data = f"a,b\n1,2\n{cell},3\n4,5\n6,7\n".encode()
    for size in (1000, 50_000):
        same(data, SourceOptions(delimiter=","), size)


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16-be", "utf-8-sig"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_encodings_and_line_ends(encoding: str, newline: str) -> None:
    text = newline.join(["", "Größe;Stück", *[f"{i % 7},5;Müller {i}" for i in range(300)], ""])
    same(text.encode(encoding), SourceOptions(encoding=None if "utf" in encoding else encoding), 500)
    same(text.encode(encoding), SourceOptions(), 10**6)


def test_a_packed_file_in_blocks() -> None:
    data = ("sep=|\r\na|b\r\n" + '"1\r\n2"|3\r\n' * 50).encode()
    tables = list(
        iter_file_tables(io.BytesIO(gzip.compress(data)), "sales.csv.gz", SourceOptions(), len(data))
    )
    pd.testing.assert_frame_equal(
        pd.concat([t.cells for t in tables]), read_text(data, SourceOptions()).cells
    )
    assert tables[0].cells.index[:2].tolist() == [3, 5]


@pytest.mark.parametrize("above", ["", "\n", "Report of March\n\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_header_of_two_rows(above: str, encoding: str) -> None:
    header = "Region,Sales,,Returns,\n,units,revenue,units,revenue\n"
    text = above + header + "".join(f"R{i % 3},{i},{2 * i}.5,{i % 4},1.5\n" for i in range(200))
    for size in (600, 10**6):
        same(text.encode(encoding), SourceOptions(), size)


def test_rows_of_a_parquet_file_have_the_numbers_of_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "PARQUET_BATCH_ROWS", 2)
    file = io.BytesIO()
    pd.DataFrame({"a": range(5)}).to_parquet(file)
    tables = list(iter_file_tables(file, "sales.parquet", SourceOptions(), 10**6))
    assert [table.cells.index.tolist() for table in tables] == [[2, 3], [4, 5], [6]]  # below a header


def test_a_packed_file_unpacks_up_to_the_limit() -> None:
    limit = 2 * 2**20
    assert len(LimitedGzipFile(io.BytesIO(gzip.compress(b"0" * limit)), limit).read()) == limit
    with pytest.raises(UserError, match="unpacks to more than 2 MB. Send it in parts"):
        LimitedGzipFile(io.BytesIO(gzip.compress(b"0" * (limit + 1))), limit).read()


@pytest.mark.parametrize("row", ['5" pipe,1', '"open,1', 'a"b,"two\nlines"', '"a"b,1'])
def test_a_row_is_the_same_whatever_stands_in_others(row: str) -> None:
    alone = read_text(f"a,b\n{row}\n1,2\n".encode(), SourceOptions(delimiter=","))
    beside = read_text(f'a,b\n{row}\n1,2\n"two\nlines",3\n'.encode(), SourceOptions(delimiter=","))
    pd.testing.assert_frame_equal(alone.cells, beside.cells.iloc[:2])
    assert alone.problems == beside.problems
