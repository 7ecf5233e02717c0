"""Exports that have Excel's name and are web pages, XML or text: read the same at every door."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from salesforecast.api.batch import mapped_tables
from salesforecast.cli.main import app
from salesforecast.core.settings import UserError
from salesforecast.dashboard.model.reader import UploadOptions, read_upload
from salesforecast.sales.proposals import propose_mapping
from salesforecast.sales.reading import parse_prediction_rows, read_sales
from salesforecast.sales.schema import ColumnMapping
from salesforecast.sales.web_tables import WebSheet, open_markup

NAMES = ("Transaction_Date", "Product_ID", "Units_Sold", "Unit_Price")
ROWS = [(f"2024-01-{day:02}", f"P{day % 3:03}", str(1 + day % 4), f"{1000 + day}.50") for day in range(1, 31)]
TRUTH = sum(float(units) * float(price) for _, _, units, price in ROWS)
SPREADSHEET = "urn:schemas-microsoft-com:office:spreadsheet"


def html(head: str = "", price: str = "{}") -> str:
    """A page as systems write it: no cell is closed, and a table before the data holds the report's title."""
    rows = "".join(
        "<tr>" + "".join(f"<td align=right>{cell}" for cell in (*row[:3], price.format(row[3])))
        for row in ROWS
    )
    names = "".join(f"<th>{name}" for name in NAMES)
    title = "<table><tr><td>Shop<td>North<tr><td>By<td>Ann</table>"
    return f"<html><head>{head}<style>td {{color: red}}</style></head><body>{title}<table border=1><tr>{names}{rows}</table></body></html>"


def xml() -> str:
    """Magento's and other systems' "Excel XML"."""

    def cell(value: str, kind: str) -> str:
        return f'<Cell><Data ss:Type="{kind}">{value}</Data></Cell>'

    kinds = ("String", "String", "Number", "Number")
    lines = [
        "".join(cell(name, "String") for name in NAMES),
        *("".join(cell(value, kind) for value, kind in zip(row, kinds, strict=True)) for row in ROWS),
    ]
    rows = "".join(f"<Row>{line}</Row>" for line in lines)
    return (
        f'<?xml version="1.0"?><Workbook xmlns="{SPREADSHEET}" xmlns:ss="{SPREADSHEET}"><Worksheet ss:Name="Orders"><Table>'
        f"{rows}</Table></Worksheet></Workbook>"
    )


def text() -> str:
    """A report with tabs."""
    return "".join("\t".join(row) + "\n" for row in (NAMES, *ROWS))


CONTENTS = {
    "page": html().encode(),
    "page in cp1252": html('<meta charset="windows-1252">', "{}&nbsp;€").encode(
        "cp1252", "xmlcharrefreplace"
    ),
    "page with marks": html(price="€ {}").encode("utf-8-sig"),
    "xml": xml().encode(),
    "text": text().encode(),
    "text in utf-16": text().encode("utf-16"),
}


@pytest.mark.parametrize("kind", CONTENTS)
def test_every_door_reads_what_has_the_name_of_excel(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "sales.xls"
    path.write_bytes(CONTENTS[kind])
    sales = read_sales(path)
    assert sales.report.revenue_total == pytest.approx(TRUTH)
    assert sales.frame["Product_ID"].astype(str).tolist() == [row[1] for row in ROWS]
    printed = CliRunner().invoke(app, ["validate", str(path), "--json"])
    assert printed.exit_code == 0, printed.output
    assert json.loads(printed.stdout)["revenue_total"] == pytest.approx(TRUTH)
    (tmp_path / "upload").mkdir()
    upload = read_upload(path, path.name, tmp_path / "upload", UploadOptions())
    assert upload.report is not None, upload.problem
    assert upload.report["revenue_total"] == pytest.approx(TRUTH)
    assert upload.columns == list(NAMES)
    (piece,) = mapped_tables(io.BytesIO(path.read_bytes()), path.name, ColumnMapping(), 2**20)
    frame = parse_prediction_rows(piece.table, piece.mapping).frame
    assert (frame["Units_Sold"] * frame["Unit_Price"]).sum() == pytest.approx(TRUTH)
    assert read_sales(path, propose_mapping(path).mapping).report.revenue_total == pytest.approx(TRUTH)


def test_a_note_tells_which_table_of_a_page_is_read(tmp_path: Path) -> None:
    path = tmp_path / "sales.xls"
    path.write_bytes(CONTENTS["page"])
    assert any(
        "took sheet 'table 2' of table 1, table 2" in note for note in read_sales(path).report.warnings
    )


def test_tables_with_the_same_columns_are_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "pages.xls"
    page = "<table><tr><th>Transaction_Date<th>Revenue<tr><td>2024-01-0{}<td>10</table>"
    path.write_text(page.format(1) + page.format(2))
    with pytest.raises(UserError, match=r"2 sheets with the same columns(.|\n)*sheets: all"):
        read_sales(path)
    assert read_sales(path, ColumnMapping(read={"sheets": "all"})).report.revenue_total == 20  # type: ignore[arg-type]


def test_a_merged_amount_counts_once(tmp_path: Path) -> None:
    path = tmp_path / "merged.xls"
    path.write_text(
        "<table><tr><th>Transaction_Date<th>Order<th>Item<th>Revenue"
        "<tr><td rowspan=2>2024-01-01<td rowspan=2>A7<td>tea<td rowspan=2>10.50"
        "<tr><td>jam<tr><td>2024-01-02<td>A8<td>tea<td>4.25</table>"
    )
    mapping = ColumnMapping(
        columns={"Product_Name": "Item", "Transaction_ID": "Order", "Revenue": "coalesce(Revenue, 0)"}
    )
    sales = read_sales(path, mapping)
    assert sales.report.revenue_total == 14.75
    assert sales.frame["Transaction_ID"].astype(str).tolist() == ["A7", "A7", "A8"]


@pytest.mark.parametrize(
    "content, says",
    [
        (b"<html><body>Please log in</body></html>", r"login(.|\n)*save it as \.xlsx"),
        (
            b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "b">]><Workbook/>',
            r"declarations(.|\n)*save it as \.xlsx",
        ),
        (b"<Workbook><Worksheet>", r"broken(.|\n)*save it as \.xlsx"),
        (b"\x00\x01\x02", "no Excel file"),
    ],
)
def test_what_cannot_be_read_says_the_way_out(content: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "report.xls"
    path.write_bytes(content)
    with pytest.raises(UserError, match=says):
        read_sales(path)
    with pytest.raises(UserError, match=says):
        list(mapped_tables(io.BytesIO(content), path.name, ColumnMapping(), 2**20))
    upload = read_upload(path, "report.xls", tmp_path, UploadOptions())
    assert upload.report is None and "report.xls" in upload.problem


def test_text_has_no_sheets(tmp_path: Path) -> None:
    path = tmp_path / "report.xls"
    path.write_text(text())
    with pytest.raises(UserError, match=r"has no sheets\. Leave out read\.sheet"):
        read_sales(path, ColumnMapping(read={"sheet": "Jan"}))  # type: ignore[arg-type]


def test_a_sheet_is_refused_before_its_cells_are_made() -> None:
    sheet = WebSheet()
    with pytest.raises(UserError, match="more than 10,000,000 cells"):
        sheet.put(999_999, 15, "x")
    assert sheet.lines == []
    with pytest.raises(UserError, match="^it has a table of more than 10,000,000 cells"):
        open_markup(of_cells('<Cell ss:Index="16"/></Row><Row ss:Index="1000000"><Cell/>'), None)
    with pytest.raises(UserError, match="more than 10,000,000 cells"):
        WebSheet().put(0, 0, "x", across=10_000_001)


def test_the_lines_are_passed_over_once() -> None:
    class Lines(list[list[object]]):
        passes = 0

        def __iter__(self) -> Iterator[list[object]]:
            Lines.passes += 1
            return super().__iter__()

    sheet = WebSheet(Lines())
    for row in range(50):
        sheet.put(row, row % 3, row)
    assert [len(line) for line in sheet.to_python()] == [3] * 50
    assert Lines.passes <= 1


def of_cells(*cells: str) -> bytes:
    """A workbook of Excel 2003 with one line."""
    return (
        f'<?xml version="1.0"?><Workbook xmlns="{SPREADSHEET}" xmlns:ss="{SPREADSHEET}"><Worksheet ss:Name="Orders">'
        f"<Table><Row>{''.join(cells)}</Row></Table></Worksheet></Workbook>"
    ).encode()


@pytest.mark.parametrize(
    "content, says",
    [
        (of_cells('<Cell ss:MergeAcross="-1"/>'), "column 1 to 1, 0"),
        (of_cells('<Cell ss:MergeDown="-2"/>'), "column 1 to -1, 1"),
        (of_cells('<Cell ss:Index="16385"/>'), "column 16385"),
        (
            f'<?xml version="1.0" encoding="utf-16"?><!DOCTYPE x [<!ENTITY a "b">]>{xml()[21:]}'.encode(
                "utf-16"
            ),
            "declarations",
        ),
        (b"<table><tr><td><![data[x]]></table>", "web page that is broken"),
    ],
)
def test_odd_markup_is_refused_in_words(content: bytes, says: str) -> None:
    with pytest.raises(UserError, match=says):
        open_markup(content, None)


def test_an_empty_number_is_an_empty_cell_and_the_last_column_has_cells() -> None:
    cells = (f'<Cell><Data ss:Type="{kind}"/></Cell>' for kind in ("Number", "DateTime", "String"))
    last = '<Cell ss:Index="16384"><Data ss:Type="Number">7.5</Data></Cell>'
    (line,) = open_markup(of_cells(*cells, last), None).get_sheet_by_name("Orders").to_python()
    assert line[:4] == ["", "", "", ""] and line[16_383:] == [7.5]


@pytest.mark.parametrize(
    "span, lines", [("9" * 5_000, 3), ("0" * 5_000 + "2", 2), ("0", 1), ("x", 1), (" 2 ", 2)]
)
def test_a_span_of_any_length_is_read(span: str, lines: int) -> None:
    page = f"<table><tr><td rowspan='{span}'>a<td>b<tr><td>c<td>d<tr><td>e<td>f</table>"
    read = open_markup(page.encode(), None).get_sheet_by_name("table 1").to_python()
    assert [line[0] for line in read] == ["a", *["" if row < lines else "ce"[row - 1] for row in (1, 2)]]


def test_scripts_and_styles_are_no_text_of_a_cell() -> None:
    page = "<table><tr><td>12.50<script>var a = 3;</script><style>td {color: red}</style><td>x<tr><td>1<td>2</table>"
    assert open_markup(page.encode(), None).get_sheet_by_name("table 1").to_python()[0] == ["12.50", "x"]
