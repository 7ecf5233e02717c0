"""The tabs History and Data in a real browser, against a real API."""

import io
import re
from contextlib import suppress
from pathlib import Path

import openpyxl
import pandas as pd
import pytest
from playwright.sync_api import Locator, Page, TimeoutError, expect

from salesforecast.sales.proposals import propose_mapping
from salesforecast.sales.reading import read_sales
from salesforecast.sales.schema import load_mapping
from support.browsing import WAIT, card, expect_drawn
from support.sales import EVIL, german_books, sales


def figure(page: Page, name: str) -> Locator:
    """The value of a key figure."""
    tile = page.locator(".sf-kpi", has=page.get_by_text(name, exact=True)).first
    return tile.locator(".sf-kpi-value")


def upload(page: Page, name: str, content: bytes) -> None:
    """Give a file on the Data tab."""
    page.get_by_role("tab", name="Data").click()
    place = page.locator(".sf-drop input[type=file]").first
    place.set_input_files({"name": name, "mimeType": "text/csv", "buffer": content})


def test_the_history_is_there_at_once(page: Page) -> None:
    chart = page.locator('.js-plotly-plot[aria-label^="Revenue by"]')
    expect(chart).to_be_visible(timeout=WAIT)
    expect(page.locator(".vega-embed canvas")).to_be_visible(timeout=WAIT)
    expect(figure(page, "Revenue")).to_contain_text(re.compile(r"\d"))


def test_an_upload_is_filtered_and_taken_away_in_excel(page: Page, tmp_path: Path) -> None:
    frame = sales(2_000)
    upload(page, "my <b>sales</b>.csv", frame.to_csv(index=False).encode())
    expect(page.get_by_text("my <b>sales</b>.csv was read.")).to_be_visible(timeout=WAIT)
    page.get_by_role("tab", name="History").click()
    page.locator(".sf-choices summary", has_text="All").nth(1).click()
    page.get_by_role("checkbox", name="West").check()
    rows = frame[frame["Region"] == "West"]
    page.wait_for_function(
        "text => [...document.querySelectorAll('.sf-kpi-value')].some(tile => tile.textContent.includes(text))",
        arg=f"{rows['Revenue'].sum():,.0f}",
    )
    page.get_by_role("button", name="Products").click()
    bars = page.locator('.js-plotly-plot[aria-label^="Revenue by product"]')
    expect(bars).to_be_visible(timeout=WAIT)
    card = page.locator(".sf-card", has=bars)
    for item, suffix in (("Table (Excel)", ".xlsx"), ("Picture (PNG)", ".png"), ("Page (HTML)", ".html")):
        card.locator("summary").click()
        with page.expect_download(timeout=WAIT) as waiting:
            card.get_by_role("button", name=item).click()
        path = tmp_path / f"saved{suffix}"
        waiting.value.save_as(path)
        assert waiting.value.suggested_filename.endswith(suffix) and path.stat().st_size > 1_000
    book = openpyxl.load_workbook(io.BytesIO((tmp_path / "saved.xlsx").read_bytes()))
    found = pd.DataFrame(book["Top products"].values)
    found = found[1:].set_axis(found.iloc[0], axis=1).set_index("Product")["Revenue"].astype(float)
    expected = rows.groupby("Product_Name")["Revenue"].sum()
    assert found.to_dict() == pytest.approx(expected.to_dict()) and EVIL in found.index
    assert "regions West" in [row[1].value for row in book["About"]][4]
    assert (tmp_path / "saved.png").read_bytes().startswith(b"\x89PNG")


def test_other_names_a_bad_file_and_a_filter_without_result(page: Page) -> None:
    upload(page, "foreign.csv", b"Tag,Umsatz,Filiale\n2026-01-30,10.5,Nord\n2026-01-31,20,Sud\n")
    expect(page.get_by_text("Which column is which?")).to_be_visible(timeout=WAIT)
    page.get_by_role("tabpanel", name="Data").get_by_label("Revenue", exact=True).select_option("Umsatz")
    page.get_by_role("tabpanel", name="Data").get_by_label("Date of the sale").select_option("Tag")
    page.get_by_role("button", name="Read the file").click()
    expect(page.get_by_text("foreign.csv was read.")).to_be_visible(timeout=WAIT)
    upload(page, "report.csv", b"%PDF-1.7 not a table")
    expect(page.get_by_text("report.csv is a PDF document")).to_be_visible(timeout=WAIT)
    page.get_by_role("tab", name="History").click()
    expect(figure(page, "Revenue")).to_contain_text("30.50")
    page.get_by_role("tabpanel", name="History").get_by_label("From", exact=True).fill("2026-01-31")
    page.get_by_role("tabpanel", name="History").get_by_label("From", exact=True).press("Tab")
    page.wait_for_function("document.querySelector('.sf-kpi-value').textContent.includes('20.00')")


def test_an_excel_file_with_foreign_names_is_proposed_previewed_and_saved_as_mapping(
    page: Page, tmp_path: Path
) -> None:
    frame, content = german_books()
    upload(page, "umsatzliste.xlsx", content)
    expect(page.get_by_text("Which column is which?")).to_be_visible(timeout=WAIT)
    tab = page.get_by_role("tabpanel", name="Data")
    (tmp_path / "umsatzliste.xlsx").write_bytes(content)
    proposal = propose_mapping(tmp_path / "umsatzliste.xlsx")
    fields = {"Date of the sale": "Transaction_Date", "Revenue": "Revenue", "Units": "Units_Sold"}
    for label, name in fields.items():
        expect(tab.get_by_label(label, exact=True)).to_have_value(str(proposal.mapping.columns[name]))
    expect(tab.get_by_label("Decimal mark")).to_have_value("Comma, as in 1.234,50")
    page.get_by_role("button", name="Read the file").click()
    expect(page.get_by_text("umsatzliste.xlsx was read.")).to_be_visible(timeout=WAIT)
    first = card(page, "First rows as they were read").locator("tbody tr").first
    expect(first).to_contain_text(f"{frame['Revenue'][0]:,.2f}")
    months = frame.groupby(frame["Transaction_Date"].dt.to_period("M"))["Revenue"].sum()
    names = [month.strftime("%b %Y") for month in months.index]
    expect_drawn(page, "Revenue by month", "Revenue", x=names, y=pytest.approx(months.tolist()))
    with page.expect_download(timeout=WAIT) as waiting:
        tab.get_by_role("button", name="Save as mapping").click()
    assert waiting.value.suggested_filename == "umsatzliste-mapping.yaml"
    waiting.value.save_as(tmp_path / "mapping.yaml")
    read = read_sales(tmp_path / "umsatzliste.xlsx", load_mapping(tmp_path / "mapping.yaml"))
    assert read.frame["Revenue"].sum() == pytest.approx(frame["Revenue"].sum())
    assert "# certain: cells such as" in (tmp_path / "mapping.yaml").read_text()


def test_it_fits_a_phone(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    expect(page.locator('.js-plotly-plot[aria-label^="Revenue by"]')).to_be_visible(timeout=WAIT)
    page.wait_for_timeout(1_000)  # charts take their new width, on a busy computer later
    with suppress(TimeoutError):
        page.wait_for_function("document.documentElement.scrollWidth <= 390", timeout=60_000)
    wide = "[...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > 391 && !e.closest('.sf-chart, .sf-table-scroll, .sf-nav-inner')).map(e => e.className)"
    assert page.evaluate("document.documentElement.scrollWidth") <= 390, page.evaluate(wide)
