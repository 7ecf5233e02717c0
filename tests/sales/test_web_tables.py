"""Exports that have Excel's name and are web pages, XML or text: read the same at every door."""

import io
import json
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
