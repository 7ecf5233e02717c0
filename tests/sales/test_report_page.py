"The data report as a page."

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from salesforecast.sales.reading import read_sales
from salesforecast.sales.report import DataReport
from salesforecast.sales.report_page import category_chart, month_chart, report_html, round_ticks, write_html
from salesforecast.sales.schema import ColumnMapping


def read_days(days: pd.DatetimeIndex, revenue: float = 10.0, **columns: object) -> DataReport:
    "Report a sale of the same revenue on each day."
    frame = pd.DataFrame({"Datum": days.strftime("%Y-%m-%d"), "Betrag": str(revenue), **columns})
    mapping = ColumnMapping(columns={"Transaction_Date": "Datum", "Revenue": "Betrag"}, currency="EUR")
    return read_sales(frame, mapping, now=pd.Timestamp("2026-01-01")).report


def test_a_month_is_a_column_with_its_amount() -> None:
    chart = month_chart(read_days(pd.date_range("2024-01-01", "2024-04-15")))
    titles = re.findall(r"<title>(.*?)</title>", chart)
    assert titles == [
        "2024-01: 310.00 EUR",
        "2024-02: 290.00 EUR",
        "2024-03: 310.00 EUR",
        "2024-04: 150.00 EUR, covered in part",
    ]
    heights = [float(text) for text in re.findall(r'class="bar[^>]* height="([\d.]+)"', chart)]
    assert heights[0] == heights[2] and abs(heights[3] / heights[0] - 150 / 310) < 0.01


def test_months_whose_records_are_missing_are_shaded() -> None:
    days = pd.date_range("2023-01-01", "2024-12-31")
    lost = (days >= "2024-03-10") & (days <= "2024-05-20")
    chart = month_chart(read_days(days[~lost]))
    assert re.findall(r">([\d-]+): records are missing", chart) == ["2024-03", "2024-04", "2024-05"]


def test_many_months_are_summed_by_year() -> None:
    report = read_days(pd.date_range("2010-01-01", "2019-12-31", freq="MS").repeat(2))
    titles = re.findall(r"<title>(.*?)</title>", month_chart(report))
    assert len(titles) == 10 and titles[0].startswith("2010: 240.00 EUR")


@pytest.mark.parametrize("low, high", [(0, 1), (0, 7_268), (-300, 950), (-5e6, 0), (0, 999_999.5), (-1, 1e9)])
def test_ticks_cover_the_values_by_round_steps(low: float, high: float) -> None:
    ticks = round_ticks(low, high)
    assert 3 <= len(ticks) <= 7 and 0 in ticks
    assert ticks[0] <= low and ticks[-1] >= high
    assert np.allclose(np.diff(ticks), ticks[1] - ticks[0])


def test_small_categories_are_one_bar_and_names_are_escaped() -> None:
    sums = {f"<b>{i}</b>": float(100 - i) for i in range(20)}
    chart = category_chart(sums, "")
    assert "8 others" in chart and "<b>0" not in chart and "&lt;b&gt;0" in chart
    assert "100.0%" not in chart  # a share is of all, not of the largest


def test_a_page_says_what_was_left_out_and_how_to_change_the_reading(tmp_path: Path) -> None:
    lines = [
        f"{day:%d/%m/%Y};{i % 3 + 1};5,00;A" for i, day in enumerate(pd.date_range("2024-01-01", periods=200))
    ]
    lines += ["21/07/2024;3 Stk;5,00;A", "30/02/2024;1;5,00;A"]
    path = tmp_path / "till & shop.csv"
    path.write_text("Datum;Menge;Preis;Sorte\n" + "\n".join(lines))
    names = {"Transaction_Date": "Datum", "Units_Sold": "Menge", "Unit_Price": "Preis", "Category": "Sorte"}
    report = read_sales(path, ColumnMapping(columns=names, max_rejected_revenue_share=0.1)).report
    write_html(report, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "till &amp; shop.csv" in page and "2 of 202 rows are left out" in page
    assert "replace(Menge, &#x27;Stk&#x27;, &#x27;&#x27;)" in page
    for setting in ("columns: {Transaction_Date: …}", "day_first", "read.decimal", "returns"):
        assert f"<code>{setting}</code>" in page
    assert "Units_Sold × Unit_Price" in page and "the day before the month" in page
    assert not re.search(r"https?:|<script|<link|url\(", page)


def test_a_reading_is_no_oddity() -> None:
    frame = pd.DataFrame({"Transaction_Date": [1641168000 + 86400 * i for i in range(60)], "Revenue": 5.0})
    report = read_sales(frame, now=pd.Timestamp("2026-01-01")).report
    assert any("seconds since 1970" in note for note in report.reading_notes)
    assert not any("seconds since 1970" in text for text in report.oddities)
    page = report_html(report)
    assert page.index("seconds since 1970") > page.index("How it was read")
