"""The dashboard's data: reading a file apart, filters, key figures, exports, and the two panels, without a browser."""

import asyncio
import gzip
import io
import json
import subprocess
import sys
from datetime import date, datetime
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pyarrow.parquet as pq
import pytest

from salesforecast.api.schemas import BacktestOutput, ModelInfoOutput
from salesforecast.client import Client
from salesforecast.core.settings import UserError
from salesforecast.dashboard.export import csv_bytes, workbook
from salesforecast.dashboard.model import aggregates
from salesforecast.dashboard.model.dataset import Dataset, from_sales
from salesforecast.dashboard.model.forecasts import DayForecast, ForecastContext
from salesforecast.dashboard.model.reader import UploadOptions, UploadResult, read_in_subprocess
from salesforecast.dashboard.model.rows import Rows, load_dataset, rows_at, write_rows
from salesforecast.dashboard.model.selection import Filters, Selection
from salesforecast.dashboard.model.state import ApiConnection, AppState
from salesforecast.dashboard.tabs import history
from salesforecast.dashboard.tabs.data import DataPanel
from salesforecast.dashboard.tabs.history import HistoryPanel
from salesforecast.dashboard.tabs.history_views import write_csv
from support.sales import EVIL, sales


@pytest.fixture
def shop(tmp_path: Path) -> tuple[pd.DataFrame, Dataset]:
    """Sales and their dataset."""
    frame = sales().assign(is_return=False)
    frame.loc[::50, ["Revenue", "Units_Sold"]] *= -1
    frame.loc[::50, "is_return"] = True
    path = tmp_path / "rows.parquet"
    data, segment = from_sales(frame, "shop", currency="£", rows=path)
    write_rows(frame, data, segment, path)
    return frame, data


def test_ids_stand_once_in_the_file_of_rows_not_in_every_group(shop, tmp_path: Path, monkeypatch) -> None:
    frame, data = shop
    frame = frame.assign(Transaction_ID=pd.Categorical([f"T{i}" for i in range(len(frame))]))
    frame["Category"] = frame["Category"].astype("category")
    monkeypatch.setattr("salesforecast.dashboard.model.rows.MANY_VALUES", 50)
    path = tmp_path / "many.parquet"
    write_rows(frame, data, np.zeros(len(frame), np.int32), path)
    file = pq.ParquetFile(path)
    group = file.metadata.row_group(0)
    dictionaries = {
        group.column(i).path_in_schema: group.column(i).has_dictionary_page for i in range(group.num_columns)
    }
    assert dictionaries["Category"]
    assert not dictionaries["Transaction_ID"]
    read = rows_at(path, np.arange(len(frame)))
    assert read["Transaction_ID"].tolist() == frame["Transaction_ID"].tolist()


def chosen(frame: pd.DataFrame, filters: Filters) -> pd.DataFrame:
    """The rows that pandas finds."""
    day = frame["Transaction_Date"].dt.date
    keep = pd.Series(True, frame.index)
    keep &= day >= filters.start if filters.start else True
    keep &= day <= filters.end if filters.end else True
    keep &= frame["Category"].isin(filters.categories) if filters.categories else True
    keep &= frame["Region"].isin(filters.regions) if filters.regions else True
    text = filters.product.casefold()
    names = frame["Product_Name"].str.casefold() + "\n" + frame["Product_ID"].str.casefold()
    return frame[keep & names.str.contains(text, regex=False)]


FILTERS = [
    Filters(),
    Filters(date(2024, 6, 3), date(2025, 2, 11)),
    Filters(categories=("Category 1", "Category 4"), regions=("West",)),
    Filters(product="thing 1"),
    Filters(product="p00"),
    Filters(date(2025, 1, 1), None, ("Category 7",), ("North", "South"), "script"),
]


@pytest.mark.parametrize("filters", FILTERS)
def test_a_selection_is_what_pandas_finds(shop, filters: Filters) -> None:
    frame, data = shop
    part, rows = Selection(data, filters), chosen(frame, filters)
    figures = {figure.name: figure.value for figure in aggregates.kpis(part)}
    assert figures["Revenue"] == pytest.approx(rows["Revenue"].sum())
    assert figures["Transactions"] == (~rows["is_return"]).sum()
    assert figures["Units"] == pytest.approx(rows["Units_Sold"].sum())
    assert figures["Active categories"] == rows.loc[~rows["is_return"], "Category"].nunique()
    for grain in ("day", "week", "month"):
        assert aggregates.trend(part, grain)["revenue"].sum() == pytest.approx(rows["Revenue"].sum())
        assert aggregates.over_time(part, "Category", grain).to_numpy().sum() == pytest.approx(
            rows["Revenue"].sum()
        )
    for name in ("Category", "Region"):
        found = aggregates.sums_by_dimension(part, name).set_index(name)["revenue"]
        expected = rows.groupby(name)["Revenue"].sum()
        pd.testing.assert_series_equal(
            found.sort_index(), expected, check_names=False, check_index_type=False
        )
    assert sorted(aggregates.values(part)) == pytest.approx(
        sorted(rows.loc[~rows["is_return"], "Revenue"]), rel=1e-6
    )


@pytest.mark.parametrize("filters", FILTERS)
def test_pages_hold_every_row_once_in_order(shop, filters: Filters, tmp_path: Path) -> None:
    frame, data = shop
    rows, expected = Rows(Selection(data, filters), "Revenue", descending=True), chosen(frame, filters)
    pages = pd.concat([rows.page(start, 400) for start in range(0, rows.total, 400)])
    assert pages["Revenue"].tolist() == sorted(expected["Revenue"], reverse=True)
    text = write_csv(Rows(Selection(data, filters)), tmp_path / "all.csv").read_text("utf-8-sig")
    assert pd.read_csv(io.StringIO(text))["Revenue"].tolist() == pytest.approx(expected["Revenue"].tolist())


def test_no_comparison_without_a_full_period_before(shop) -> None:
    _, data = shop
    assert all(
        figure.before is None for figure in aggregates.kpis(Selection(data, Filters(end=date(2024, 3, 31))))
    )
    assert all(
        figure.before is not None for figure in aggregates.kpis(Selection(data, Filters(date(2025, 6, 1))))
    )


def test_a_year_before_means_the_same_weekday_or_month(shop) -> None:
    frame, data = shop
    part = Selection(data, Filters(date(2025, 2, 1), date(2025, 3, 31)))
    daily = frame.groupby(frame["Transaction_Date"].dt.normalize())["Revenue"].sum()
    days = aggregates.trend(part, "day").set_index("date")["year_before"]
    assert days["2025-02-10"] == pytest.approx(daily.get("2024-02-12", 0.0))
    months = aggregates.trend(part, "month").set_index("date")["year_before"]
    assert months["2025-02-01"] == pytest.approx(daily["2024-02"].sum())  # with its 29th day


def read(
    path: Path, folder: Path, name: str = "mine.csv", wish: UploadOptions | None = None, seconds: float = 60
) -> UploadResult:
    """What comes of a file."""
    return asyncio.run(read_in_subprocess(path, name, folder, wish or UploadOptions(), seconds))


def write(path: Path, content: bytes) -> Path:
    """A file of these bytes."""
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".xlsx", ".parquet"])
def test_each_kind_of_file_gives_the_same_figures(tmp_path: Path, suffix: str) -> None:
    frame, path = sales(300), tmp_path / f"upload{suffix}"
    if suffix == ".xlsx":
        frame.to_excel(path, index=False)
    elif suffix == ".parquet":
        frame.to_parquet(path)
    else:
        text = frame.to_csv(index=False).encode()
        path.write_bytes(gzip.compress(text) if suffix == ".csv.gz" else text)
    answer = read(path, tmp_path / "out", f"mine{suffix}")
    assert answer.problem == ""
    data = load_dataset(tmp_path / "out", "mine", "£")
    assert data.arrays["revenue"].sum() == pytest.approx(frame["Revenue"].sum())
    assert EVIL in data.names["Product"]


OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600 + "EncryptedPackage".encode("utf-16-le")
BAD = {
    "empty": (".csv", b"", "is empty"),
    "pdf": (".csv", b"%PDF-1.7 whatever", "PDF"),
    "password": (".xlsx", OLE, "password"),
    "no rows": (".csv", b"Transaction_Date,Revenue\n", "no row below"),
    "web page": (".csv", b"<!DOCTYPE html><html></html>", "web page"),
    "zip": (".csv", b"PK\x03\x04rest", "Excel or zip"),
    "no excel": (".xlsx", b"PK\x03\x04 nonsense", "no Excel file"),
    "cut gzip": (
        ".csv.gz",
        gzip.compress(b"Transaction_Date,Revenue\n" * 999, mtime=0)[:60],
        "not a whole gzip",
    ),
    "all bad": (".csv", b"Transaction_Date,Revenue\nx,y\nz,w\n", "no row is left"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_refused_in_plain_words(tmp_path: Path, kind: str) -> None:
    suffix, content, says = BAD[kind]
    answer = read(write(tmp_path / f"upload-x1{suffix}", content), tmp_path / "out", f"my file{suffix}")
    shown = " ".join([answer.problem, *answer.details])
    assert says in shown and str(tmp_path) not in shown and "upload-x1" not in shown and "--" not in shown
    assert not (tmp_path / "out" / "dataset.npz").exists()


def test_other_names_are_asked_for_with_a_guess(tmp_path: Path) -> None:
    path = write(tmp_path / "u.csv", b"Tag;Umsatz;Filiale\n31.12.2025;1.234,50;Nord\n30.12.2025;10,00;Sud\n")
    answer = read(path, tmp_path / "out")
    assert answer.problem.startswith("Which column is which?") and answer.columns == [
        "Tag",
        "Umsatz",
        "Filiale",
    ]
    wish = UploadOptions({"Transaction_Date": "Tag", "Revenue": "Umsatz", "Region": "Filiale"}, decimal=",")
    answer = read(path, tmp_path / "out2", wish=wish)
    assert answer.problem == "" and answer.report["revenue_total"] == pytest.approx(1244.5)


def test_a_proposal_is_read_whole(tmp_path: Path) -> None:
    text = b"day,goods,code,paid\n2025-12-30,Tea,USD,10\n2025-12-30,Cup,JPY,900\n2025-12-31,Tea,USD,5\n"
    path = write(tmp_path / "u.csv", text)
    names = {"Transaction_Date": "day", "Revenue": "paid"}
    answer = read(
        path, tmp_path / "out", wish=UploadOptions(names, currency="USD", further={"currency_column": "code"})
    )
    assert answer.problem == "" and answer.report["revenue_total"] == 15
    text = b"Transaction_Date,Currency,Revenue\n" + b"2025-12-30,USD,10\n2025-12-31,JPY,900\n" * 40
    answer = read(write(tmp_path / "u.csv", text), tmp_path / "out2")
    assert "do not add up" in answer.problem and "currency_column" not in " ".join(
        [answer.problem, *answer.details]
    )
    assert answer.proposed["further"]["currency_column"] == "Currency"


def test_titles_above_the_header_are_found_and_the_number_can_be_chosen(tmp_path: Path) -> None:
    lines = [
        "Acme Ltd,,",
        "Printed in January,,",
        "Day,Item,Amount",
        *(f"2025-12-{d:02},Tea,10" for d in range(1, 29)),
    ]
    path = write(tmp_path / "u.csv", "\n".join(lines).encode())
    assert read(path, tmp_path / "out").columns == ["Day", "Item", "Amount"]
    assert read(path, tmp_path / "out2", wish=UploadOptions(skip_rows=2)).columns == ["Day", "Item", "Amount"]


def test_a_column_name_is_never_an_expression(tmp_path: Path) -> None:
    path = write(tmp_path / "u.csv", b"day (local),a+b\n2025-12-31,5\n2025-12-30,7\n")
    answer = read(
        path, tmp_path / "out", wish=UploadOptions({"Transaction_Date": "day (local)", "Revenue": "a+b"})
    )
    assert answer.problem == "" and answer.report["revenue_total"] == 12


def test_a_reader_that_is_late_or_dies_is_reported(tmp_path: Path, monkeypatch) -> None:
    path = write(tmp_path / "u.csv", sales(100).to_csv(index=False).encode())
    with pytest.raises(UserError, match="was not read within"):
        read(path, tmp_path / "late", seconds=0.05)
    kill = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    monkeypatch.setattr("salesforecast.dashboard.model.reader.START", kill)
    with pytest.raises(UserError, match="ended early"):
        read(path, tmp_path / "dead")


def test_personal_columns_stay_out(tmp_path: Path) -> None:
    frame = sales(100).assign(Customer_ID="C-secret")
    frame.loc[3, "Revenue"] = np.nan
    answer = read(write(tmp_path / "u.csv", frame.to_csv(index=False).encode()), tmp_path / "out")
    assert answer.report["rows_quarantined"] == 1
    for name in ("rows.parquet", "rejected.parquet"):
        assert "Customer_ID" not in pd.read_parquet(tmp_path / "out" / name)


def test_the_panels_follow_an_upload_and_keep_the_last_good_one(tmp_path: Path) -> None:
    state = AppState(Client("http://127.0.0.1:9", retries=0))
    data_panel, history = DataPanel(state), HistoryPanel(state)
    history.on_open()
    frame = sales(400)
    data_panel.reader.take(write(state.folder / "a.csv", frame.to_csv(index=False).encode()), "a.csv")
    first = state.dataset
    assert first.name == "a.csv" and f"{frame['Revenue'].sum():,.0f}" in history.report.figures.value
    state.filters = Filters(product="script")
    history.report.choice.value = "Products"
    assert history.report.views["Products"].table["Product"].tolist() == [EVIL]
    assert EVIL not in str(history.report.views["Products"].top.chart.to_plotly_json())
    history.report.choice.value = "Rows"
    assert EVIL not in history.report.views["Rows"].place.children[0].body.value
    data_panel.reader.take(write(state.folder / "b.csv", b"%PDF"), "b.csv")
    assert state.dataset is first and "PDF" in data_panel.reader.outcome.children[0].value
    data_panel.reader.take(write(state.folder / "c.csv", sales(50).to_csv(index=False).encode()), "c.csv")
    assert state.dataset.name == "c.csv" and not first.rows.exists() and state.filters == Filters()


def test_a_cancelled_file_changes_nothing(tmp_path: Path) -> None:
    state = AppState(Client("http://127.0.0.1:9", retries=0))
    panel = DataPanel(state)
    path = write(state.folder / "a.csv", sales(400).to_csv(index=False).encode())

    async def cancel() -> None:
        panel.reader.take(path, "a.csv")
        await asyncio.sleep(0.2)
        panel.reader.stop()
        await asyncio.wait([panel.reader.task])

    asyncio.run(cancel())
    assert state.dataset is None and "cancelled" in panel.reader.outcome.children[0].value
    assert not panel.reader.folder.exists()


def test_files_hold_numbers_and_no_formula() -> None:
    frame = pd.DataFrame(
        {"Product": ["=1+1", "@x", "-5%", "+3", "plain"], "revenue": [1.5, -2.0, np.nan, np.inf, 0.0]}
    )
    cells = openpyxl.load_workbook(io.BytesIO(workbook({"All": frame}, {"What": "=about"}, "£")))
    assert [cell.data_type for cell in cells["All"]["A"][1:]] == ["s"] * 5
    assert [cell.value for cell in cells["All"]["B"][1:]] == [1.5, -2, None, None, 0]
    assert cells["About"]["B1"].value == "=about" and cells["About"]["B1"].data_type == "s"
    lines = csv_bytes(frame, mark=False).decode().splitlines()
    assert lines[1] == '"\'=1+1",1.5' and lines[2] == '"\'@x",-2'


def test_a_workbook_has_words_dates_and_numbers() -> None:
    frame = pd.DataFrame(
        {
            "ds": ["2026-03-01", "2026-03-02", None],
            "Product_ID": ["00123", "7", None],
            "predicted_revenue": [1234.5, -2.0, np.nan],
            "lower_95": [1.0, 2.0, 3.0],
            "wape": [0.25, 0.5, np.nan],
            "Change against August 2026": [-1806.0, 0.5, 3.0],
            "From, 80%": [12394.0, 1.0, 2.0],
            "change": [-0.136, 0.5, np.nan],
        }
    )
    sheet = openpyxl.load_workbook(io.BytesIO(workbook({"All": frame}, {}, "EUR", words=True)))["All"]
    head, *rows = list(sheet.values)
    assert head == (
        "Date", "Product", "Predicted revenue", "From, 95%", "Error (WAPE)", "Change against August 2026", "From, 80%",
        "Change",
    )  # fmt: skip
    assert rows[0][:5] == (datetime(2026, 3, 1), "00123", 1234.5, 1.0, 0.25) and rows[2][:3] == (
        None,
        None,
        None,
    )
    formats = {title: sheet.cell(2, i).number_format for i, title in enumerate(head, 1)}
    assert formats["Date"] == "yyyy-mm-dd" and formats["Predicted revenue"] == '#,##0.00 "EUR"'
    assert formats["From, 95%"] == '#,##0.00 "EUR"'
    shares = [title for title, code in formats.items() if code == "0.0%"]
    assert shares == [
        "Error (WAPE)",
        "Change",
    ]  # an amount is no share, though its title has a change or a percent
    kept = openpyxl.load_workbook(io.BytesIO(workbook({"All": frame}, {})))["All"]
    assert [cell.value for cell in kept[1]] == list(frame) and kept["A2"].value == "2026-03-01"


def test_the_page_needs_no_training_library() -> None:
    code = (
        "import sys, json, salesforecast.dashboard.tabs.data, salesforecast.dashboard.tabs.history; "
        "print(json.dumps([m for m in ('xgboost', 'sklearn', 'statsmodels', 'mlflow', 'matplotlib', 'shap') if m in sys.modules]))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(said.stdout) == []


def test_the_report_says_whose_forecast_it_shows(shop, monkeypatch: pytest.MonkeyPatch) -> None:
    past = pd.Series(100.0, pd.date_range("2025-08-01", "2025-09-30"))
    context = ForecastContext(past, 1, BacktestOutput(horizon=28, windows=0, rows=[]), {})
    ahead = pd.DataFrame({"date": pd.date_range("2025-10-01", periods=28), "predicted_revenue": 50.0})
    ahead = ahead.assign(lower_80=40.0, upper_80=60.0, lower_95=30.0, upper_95=70.0, in_history=False)
    monkeypatch.setattr(history, "fetch_context", lambda client, info: context)
    monkeypatch.setattr(history, "fetch_forecast", lambda client, start, end, step: DayForecast(ahead))
    state = AppState(Client("http://127.0.0.1:9", retries=0))
    period = {"start": "2023-01-01", "end": "2025-09-30"}
    state.info = ModelInfoOutput.model_construct(
        version="v1", model_type="XGBRegressor", training_period=period, currency="€"
    )
    state.connection = ApiConnection(True, None, "", datetime(2025, 10, 1))
    _, data = shop
    of_the_model = (
        "Forecast of the served model, trained on sales from 1 Jan 2023 to 30 Sep 2025, not of this file"
    )
    without_filters = "The filters do not apply to the forecast."
    for field, title in (("served", "What is ahead"), ("uploaded", of_the_model)):
        setattr(state, field, data)
        page = history.sales_report(state, Selection(data)).decode()
        assert f"<h2>{title}</h2>" in page and "1,400" in page and without_filters not in page
        page = history.sales_report(state, Selection(data, Filters(regions=("West",)))).decode()
        assert f"<h2>{title}</h2>" in page and without_filters in page
        setattr(state, field, None)
