"""The dashboard's tabs of predictions, forecasts and explanations, without a browser, against a real API."""

import asyncio
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Coroutine, Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import ipywidgets as w
import numpy as np
import pandas as pd
import pytest
from openpyxl import load_workbook

from salesforecast.api.schemas import PredictionOutput
from salesforecast.client import Client, to_frame
from salesforecast.core.settings import UserError
from salesforecast.dashboard.model import state as module
from salesforecast.dashboard.model.batch import BatchResult
from salesforecast.dashboard.model.comparisons import what_if_values
from salesforecast.dashboard.model.explanations import effect_words
from salesforecast.dashboard.model.forecasts import decompose
from salesforecast.dashboard.model.prediction_rows import RowsResult
from salesforecast.dashboard.model.state import AppState, refresh
from salesforecast.dashboard.tabs.batch import EXCEL_ROWS, BatchPanel, predictions_workbook
from salesforecast.dashboard.tabs.explain import ExplainPanel
from salesforecast.dashboard.tabs.forecast import ForecastPanel
from salesforecast.dashboard.tabs.predict import PredictPanel
from salesforecast.dashboard.ui.forecast_charts import decomposition_chart
from salesforecast.dashboard.ui.model_panel import ModelPanel
from salesforecast.dashboard.ui.prediction_charts import range_chart, sums_chart
from salesforecast.registry.predictor import COLUMNS
from salesforecast.registry.publishing import publish
from support.models import OLD, Trained
from support.sales import german_orders
from support.server import serving

EVIL = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def url(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of the small model."""
    with serving(trained.models, tmp_path_factory.mktemp("api"), workers=1) as server:
        yield f"http://127.0.0.1:{server.port}"


async def settle() -> None:
    """Wait until nothing is under way."""
    while waiting := [task for task in module._running if not task.done()]:
        await asyncio.wait(waiting)


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run as a kernel does, in one loop."""
    asyncio.run(work)


async def opened(panel: type[ModelPanel], url: str) -> Any:
    """A panel whose tab has been opened, and has done what it does by itself."""
    client = Client(url)
    state = AppState(client, watcher=client)  # as patient as the calls: other tests share the cores
    found = panel(state)
    await refresh(state)
    found.on_open()
    await settle()
    return found


def widgets(view: w.Widget) -> Iterator[w.Widget]:
    """All widgets of a view."""
    yield view
    for child in getattr(view, "children", ()):
        yield from widgets(child)


def text(view: w.Widget) -> str:
    """What a view says."""
    return "\n".join(part.value for part in widgets(view) if isinstance(part, w.HTML))


def figures(view: w.Widget) -> list[Any]:
    """The charts of a view."""
    return [part for part in widgets(view) if hasattr(part, "to_plotly_json")]


def button(view: w.Widget, name: str) -> w.Button:
    return next(part for part in widgets(view) if isinstance(part, w.Button) and part.description == name)


# --- predict one -----------------------------------------------------------------------------


def test_one_prediction_is_that_of_the_api_with_its_comparisons_and_reasons(url: str) -> None:
    async def work() -> None:
        before = str(date.today())
        panel = await opened(PredictPanel, url)
        fields = panel.form.fields
        assert before <= fields["Transaction_Date"].value <= str(date.today())  # also around midnight
        assert fields["Category"].value in panel.info.choices["Category"]
        assert fields["Product_ID"].value is None
        fields["Units_Sold"].control.value, fields["Unit_Price"].control.value = 4, 25.0
        button(panel.view, "Predict").click()
        await settle()
        want = panel.state.client.predict(panel.form.row())
        answer = panel.result.answer
        assert answer.prediction == want
        assert answer.list_revenue == 100.0
        assert answer.similar.count >= 10 and 0 < answer.similar.share <= 1
        assert answer.contributions.prediction == pytest.approx(want.predicted_revenue)
        said = text(panel.outcome)
        assert f"{want.predicted_revenue:,.2f}" in said and "past sales" in said
        assert len(figures(panel.outcome)) == 3
        waterfall = figures(panel.outcome)[1].data[0]
        assert sum(waterfall.x[:-1]) == pytest.approx(want.predicted_revenue, abs=0.05)
        curve = panel.result.cards[2].table
        assert 25.0 in curve["Unit_Price"].tolist()
        panel.result.what_if.vary.value = "Units_Sold"
        await settle()
        curve = panel.result.cards[2].table.set_index("Units_Sold")
        assert curve.loc[4, "predicted_revenue"] == pytest.approx(want.predicted_revenue)
        assert (curve["lower_95"] <= curve["upper_95"]).all()

    run(work())


def test_an_error_is_shown_at_its_field_and_goes_away(url: str) -> None:
    async def work() -> None:
        panel = await opened(PredictPanel, url)
        fields = panel.form.fields
        fields["Unit_Price"].control.value = -1.0
        panel.predict()
        await settle()
        assert "greater than or equal to 0" in fields["Unit_Price"].error.value
        assert "sf-invalid" in fields["Unit_Price"]._dom_classes
        assert fields["Units_Sold"].error.value == "" and not figures(panel.outcome)
        fields["Unit_Price"].control.value = 10.0
        panel.predict()
        await settle()
        assert fields["Unit_Price"].error.value == "" and figures(panel.outcome)

    run(work())


def test_defaults_are_those_of_a_usual_sale_and_what_was_typed_stays(url: str) -> None:
    async def work() -> None:
        state = AppState(Client(url))
        panel = PredictPanel(state)
        await refresh(state)
        units = panel.form.fields["Units_Sold"].control
        assert units.disabled  # a suggestion is to come
        units.value = 77
        panel.on_open()
        await settle()
        assert not units.disabled
        assert panel.form.fields["Units_Sold"].value == 77
        price = panel.form.fields["Unit_Price"].value
        assert price == pytest.approx(panel.sample["Unit_Price"].median(), abs=0.005)
        assert panel.form.fields["Category"].value == panel.sample["Category"].mode().iloc[0]

    run(work())


def test_a_sale_unlike_any_other_is_warned_of(url: str) -> None:
    async def work() -> None:
        panel = await opened(PredictPanel, url)
        panel.form.fields["Units_Sold"].control.value = 100_000
        panel.form.fields["Product_ID"].control.value = EVIL
        panel.predict()
        await settle()
        said = text(panel.outcome)
        assert "far above" in said and "was not in the training data" in said
        assert EVIL not in said and "&lt;script&gt;" in said
        drawn = json.dumps([figure.to_plotly_json() for figure in figures(panel.outcome)], default=str)
        assert EVIL not in drawn

    run(work())


def test_what_was_typed_stays_while_the_api_is_away(trained: Trained, tmp_path: Path) -> None:
    async def work() -> None:
        with serving(trained.models, tmp_path, workers=1) as server:
            client = Client(f"http://127.0.0.1:{server.port}", retries=0, timeout=60)
            panel = PredictPanel(state := AppState(client, client))
            assert "Connecting to the API" in text(panel.view)
            await refresh(state)
            panel.on_open()
            await settle()
            panel.form.fields["Units_Sold"].control.value = 7
            server.stop()
            panel.predict()
            await settle()
            assert "cannot be reached" in text(panel.outcome)
            await refresh(state)
            assert "is not available" in text(panel.view)
            assert panel.form.fields["Units_Sold"].value == 7

    run(work())


def test_a_version_without_a_sample_still_predicts_and_explains(trained: Trained, tmp_path: Path) -> None:
    manifest = trained.training.manifest

    def without(folder: Path) -> None:
        for name in set(manifest.files) - {"sample.parquet"}:
            shutil.copy(trained.training.path / name, folder)

    publish(tmp_path / "models", OLD, manifest, without)

    async def work(url: str) -> None:
        one = await opened(PredictPanel, url)
        assert "without a sample" in text(one.view)
        one.predict()
        await settle()
        assert one.result.answer.similar is None and len(figures(one.outcome)) == 3
        why = await opened(ExplainPanel, url)
        assert "without a sample" in text(why.view) and len(figures(why.view)) == 2

    with serving(tmp_path / "models", tmp_path, workers=1) as server:
        run(work(f"http://127.0.0.1:{server.port}"))


@pytest.mark.parametrize(
    ("name", "value"), [("Unit_Price", 0.01), ("Units_Sold", -3.0), ("Units_Sold", 0.5), ("Unit_Price", 1e9)]
)
def test_a_curve_ascends_and_holds_the_value_that_was_asked_for(name: str, value: float) -> None:
    found = what_if_values(name, value)
    assert value in found and (np.diff(found) > 0).all()


# --- predict many -------------------------------------------------------------------------------


def rows_file(trained: Trained, folder: Path, rows: int) -> Path:
    """The first sales of the source, one of them bad and one with a product that is called like a tag."""
    lines = trained.source.read_text().splitlines()[: rows - 1]
    bad = f'TXN9,2026-09-01,P9,"{EVIL}","{EVIL}",many,3.00,1.00,C9,North'
    path = folder / f"upload-{rows}.csv"
    path.write_text("\n".join([*lines, bad]) + "\n")
    return path


def test_a_file_is_predicted_with_its_faults_charts_and_downloads(url: str, trained: Trained) -> None:
    async def work() -> None:
        panel = await opened(BatchPanel, url)
        folder = panel.state.folder
        path = rows_file(trained, folder, 301)
        want = panel.state.client.predict_file(path)
        panel.take(path, "my sales.csv")
        assert "Predicting my sales.csv" in text(panel.place)
        await settle()
        found = panel.result.outcome
        assert (found.count, len(found.failed)) == (300, int((want["problem"] != "").sum()))
        assert found.total == pytest.approx(want["predicted_revenue"].sum())
        assert found.predictions["problem"].iloc[-1] == "Units_Sold is not a number"
        page = found.page(20, 10)
        assert page["predicted_revenue"].tolist() == want["predicted_revenue"].iloc[20:30].tolist()
        said = text(panel.place)
        assert "Units_Sold is not a number" in said and EVIL not in said
        assert len(figures(panel.place)) == 3  # distribution, category, region
        assert EVIL not in json.dumps(
            [figure.to_plotly_json() for figure in figures(panel.place)], default=str
        )
        panel.result.table.turn(1)
        assert "26–50 of 300" in text(panel.result.table)
        book = load_workbook(io.BytesIO(predictions_workbook(panel.state, found, "my sales.csv")))
        cells = list(book["Predictions"].values)
        at = cells[0].index("predicted_revenue")
        assert [row[at] for row in cells[1:4]] == pytest.approx(want["predicted_revenue"].iloc[:3].tolist())
        assert {"Predictions", "Rows without a prediction", "About"} <= set(book.sheetnames)
        assert pd.read_csv(found.csv())["problem"].notna().sum() == len(found.failed)
        panel.take(rows_file(trained, folder, 11), "again.csv")
        await settle()
        assert not found.folder.exists() and panel.result.outcome.count == 10

    run(work())


@pytest.mark.parametrize(
    ("data", "name", "says"),
    [
        (b"a,b\n1,2\n", "few.csv", "Which column is which?"),
        (b"\0" * 100 + b"PAR0", "few.parquet", "Parquet"),
        (b"Units_Sold,Unit_Price\n", "few.csv", "no row"),
    ],
)
def test_a_file_that_cannot_be_predicted_is_explained(url: str, data: bytes, name: str, says: str) -> None:
    async def work() -> None:
        panel = await opened(BatchPanel, url)
        path = panel.state.folder / f"upload-1{Path(name).suffix}"
        path.write_bytes(data)
        panel.take(path, name)
        await settle()
        said = text(panel.place)
        assert says in said and "sf-message" in said and "Traceback" not in said and str(path) not in said
        assert not list(panel.state.folder.glob("predict-*"))

    run(work())


def test_a_file_that_is_cancelled_ends_and_leaves_nothing(url: str, trained: Trained) -> None:
    async def work() -> None:
        panel = await opened(BatchPanel, url)
        path = rows_file(trained, panel.state.folder, 2_000)
        panel.take(path, "sales.csv")
        button(panel.place, "Cancel").click()
        await settle()
        assert "Cancelled" in text(panel.place) and panel.result is None
        assert not list(panel.state.folder.glob("predict-*"))

    run(work())


def test_corrected_rows_are_predicted_alone_and_as_if_they_had_been_right(url: str, tmp_path: Path) -> None:
    async def work() -> None:
        panel = await opened(BatchPanel, url)
        cells = german_orders(60)
        path = panel.state.folder / "orders.xlsx"
        cells.to_excel(path, index=False)
        panel.take(path, "orders.xlsx")
        await settle()
        form = next(one for one in widgets(panel.place) if getattr(one, "description", "") == "Units")
        assert form.value == "Menge"
        button(panel.place, "Read the file").click()
        await settle()
        first = panel.result.outcome
        assert first.failed.tolist() == [10, 20, 30]
        assert "Menge (Units_Sold) is not a number" in text(panel.place)
        kept = first.predictions.copy()
        faulty = panel.result.faulty
        for line, name, value in (
            (12, "Menge", "3"),
            (22, "Datum", "31.12.2025"),
            (32, "Stückpreis", "many"),
        ):
            faulty.edit(line, name, value)
        faulty.run()
        await settle()
        found = panel.result.outcome
        assert found.failed.tolist() == [30] and "2 corrected rows have a prediction now" in text(panel.place)
        pd.testing.assert_frame_equal(found.predictions.drop([10, 20, 30]), kept.drop([10, 20, 30]))
        right = cells.loc[[10, 20]].assign(Menge=[3, cells.loc[20, "Menge"]])
        right["Datum"] = [cells.loc[10, "Datum"], pd.Timestamp("2025-12-31")]
        names = {"Datum": "Transaction_Date", "Menge": "Units_Sold", "Stückpreis": "Unit_Price"}
        names |= {"Warengruppe": "Category", "Gebiet": "Region"}
        want = panel.state.client.predict_batch(
            right.rename(columns=names)[list(names.values())].to_dict("records")
        )
        assert found.predictions["predicted_revenue"][[10, 20]].tolist() == pytest.approx(
            [one.predicted_revenue for one in want.predictions]
        )
        book = load_workbook(io.BytesIO(predictions_workbook(panel.state, found, "orders.xlsx")))
        head, *rows = list(book["Predictions"].values)
        units, day = head.index("Menge"), head.index("Datum")
        assert [type(row[units]) for row in rows] == [int] * 60 and rows[10][units] == 3
        assert rows[20][day] == datetime(2025, 12, 31) and rows[30][head.index("Stückpreis")] == "many"
        assert book["Predictions"].cell(22, day + 1).number_format == "yyyy-mm-dd"

    run(work())


def test_many_rows_are_paged_and_saved_as_csv_only(tmp_path: Path) -> None:
    rows = 60_000
    cells = pd.DataFrame({"Category": np.where(np.arange(rows) % 2, "A", "B"), "Note": "a\nb"})
    cells.to_parquet(tmp_path / "cells.parquet", row_group_size=10_000)
    cells[["Category"]].to_parquet(tmp_path / "frame.parquet")
    predictions = pd.DataFrame(dict.fromkeys(COLUMNS, 1.5), index=range(rows)).assign(problem="", warning="")
    found = BatchResult(tmp_path, RowsResult(sources={"Category": ["Category"]}), predictions)
    assert (found.count, len(found.failed), found.total) == (rows, 0, 1.5 * rows)
    assert found.sums()["Category"].to_dict() == {"A": 0.75 * rows, "B": 0.75 * rows}
    assert found.page(rows - 3, 25)["Category"].tolist() == ["A", "B", "A"]
    assert found.page(rows + 50, 25).empty
    assert len(pd.read_csv(found.csv())) == rows > EXCEL_ROWS
    with pytest.raises(UserError, match="Save CSV"):
        predictions_workbook(AppState(Client("http://127.0.0.1:9")), found, "x.csv")


# --- the forecast ---------------------------------------------------------------------------------


def test_the_forecast_of_the_next_days_is_there_when_the_tab_opens(url: str) -> None:
    async def work() -> None:
        panel = await opened(ForecastPanel, url)
        last = panel.context.history.index[-1].date()
        assert (panel.form.start.value, panel.form.end.value) == (last + timedelta(1), last + timedelta(28))
        client = panel.state.client
        want = to_frame(client.forecast_sarima(panel.form.start.value, panel.form.end.value, 80))
        assert panel.result.forecast["predicted_revenue"].tolist() == want["predicted_revenue"].tolist()
        assert panel.result.forecast["lower_80"].tolist() == want["confidence_interval_lower"].tolist()
        said = text(panel.view)
        assert "Compared with the same days last year" in said and "The 95% interval contained" in said
        before = panel.context.history.reindex(want["date"] - pd.Timedelta(days=364)).sum()
        assert f"{before:,.0f}" in said
        assert len(figures(panel.view)) == 4
        assert len({figure.layout.height for figure in figures(panel.past)}) == 1  # side by side
        names = [trace.name for trace in panel.result.card.figure.data if trace.name]
        assert {"Revenue", "Forecast", "80% interval", "95% interval", "Same days last year"} == set(names)
        panel.form.confidence.value = 80
        assert "95% interval" not in [trace.name for trace in panel.result.card.figure.data]
        assert list(panel.result.sheets()["Forecast"])[2:4] == ["lower_80", "upper_80"]

    run(work())


def test_past_days_are_shown_beside_what_was_sold_and_far_ones_warned_of(url: str) -> None:
    async def work() -> None:
        panel = await opened(ForecastPanel, url)
        button(panel.form.presets, "Past 4 weeks").click()
        await settle()
        assert panel.result.forecast["in_history"].all() and "Actual revenue" in text(panel.outcome)
        sold = panel.context.history.tail(28).sum()
        assert f"{sold:,.0f}" in text(panel.outcome)
        button(panel.form.presets, "Next 3 months").click()
        await settle()
        assert "were not tested" in text(panel.outcome)

    run(work())


@pytest.mark.parametrize(
    ("start", "end", "says"),
    [
        (date(2026, 12, 2), date(2026, 12, 1), "is after the last day"),
        (None, date(2026, 12, 1), "Choose the first"),
        (date(1999, 1, 1), date(1999, 1, 2), "before the history"),
        (date(2026, 10, 1), date(2199, 1, 1), ""),
    ],
)
def test_days_that_cannot_be_forecast_are_explained(url: str, start: Any, end: Any, says: str) -> None:
    async def work() -> None:
        panel = await opened(ForecastPanel, url)
        panel.form.start.value, panel.form.end.value = start, end
        panel.ask()
        await settle()
        said = text(panel.view)
        assert says in said and 'role="alert"' in said and "Something went wrong" not in said

    run(work())


@pytest.mark.parametrize("days", [1, 5, 40, 400, 900])
def test_the_parts_of_any_history_add_up_and_can_be_drawn(days: int) -> None:
    index = pd.date_range("2024-01-01", periods=days)
    series = pd.Series(np.random.default_rng(1).gamma(2.0, 50.0, days), index)
    parts = decompose(series)
    assert np.allclose(parts.drop(columns="actual").sum(axis=1), series)
    assert ("year" in parts) == (days >= 731) and ("week" in parts) == (days >= 28)
    assert decomposition_chart(parts, "€").data


# --- explanations ---------------------------------------------------------------------------------


def test_explanations_are_those_of_the_api(url: str) -> None:
    async def work() -> None:
        panel = await opened(ExplainPanel, url)
        sample = panel.state.client.sample().rows
        why = panel.state.client.shap_values([row.transaction for row in sample])
        means = {
            name: np.mean([abs(one.shap_values_by_feature[name]) for one in why])
            for name in why[0].shap_values_by_feature
        }
        top = max(means, key=lambda name: means[name])
        assert panel.result.dependence.feature.value == top
        shares = panel.model.importance.table["share"]
        assert shares.sum() == pytest.approx(1) and shares.is_monotonic_decreasing
        assert len(figures(panel.view)) == 6
        worst = panel.result.detail.sale.value
        assert abs(sample[worst].revenue - why[worst].prediction) == max(
            abs(row.revenue - one.prediction) for row, one in zip(sample, why, strict=True)
        )
        assert sum(panel.result.detail.waterfall.figure.data[0].x[:-1]) == pytest.approx(
            why[worst].prediction, abs=0.05
        )
        panel.result.detail.sale.value = panel.result.detail.sale.options[3][1]
        words = effect_words(why[panel.result.detail.sale.value], panel.state.currency)
        assert words in text(panel.result.detail.summary).replace("&#x27;", "'")
        assert "best baseline" in text(panel.view) and "not used for training" in text(panel.view)

    run(work())


def test_inputs_of_the_model_have_labels_and_every_feature_can_be_followed(url: str) -> None:
    async def work() -> None:
        panel = await opened(ExplainPanel, url)
        panel.by_input.value = True
        assert len(panel.model.importance.table) == 15
        assert not any("_" in name for name in panel.model.importance.table["feature"])
        panel.by_input.value = False
        for _, name in panel.result.dependence.feature.options:
            panel.result.dependence.feature.value = name
            assert len(panel.result.dependence.card.figure.data[0].y) == len(panel.past.rows)
        panel.result.dependence.relative.value = True
        assert panel.result.dependence.card.figure.layout.yaxis.tickformat == ".1%"

    run(work())


# --- all of them ------------------------------------------------------------------------------------


def test_charts_follow_the_theme(url: str) -> None:
    async def work() -> None:
        panel = await opened(ForecastPanel, url)
        light = [figure.layout.template.layout.font.color for figure in figures(panel.view)]
        panel.state.theme = "dark"
        dark = [figure.layout.template.layout.font.color for figure in figures(panel.view)]
        assert len(light) == 4 and not set(light) & set(dark)

    run(work())


def test_nothing_is_asked_before_the_tab_is_opened_and_again_only_for_another_version(url: str) -> None:
    async def work() -> None:
        state = AppState(Client(url))
        panel = ForecastPanel(state)
        await refresh(state)
        await settle()
        assert panel.context is None
        panel.on_open()
        await settle()
        known = panel.context
        panel.on_open()
        await refresh(state)
        await settle()
        assert panel.context is known
        state.info = state.info.model_copy(update={"version": "20990101-000000-0000"})
        await settle()
        assert panel.context is not known

    run(work())


def test_text_of_the_data_is_drawn_as_it_is() -> None:
    figure = sums_chart(pd.Series({"<b>bold</b>": 1.0, "<b>bold</b> ": 2.0}), "<i>")
    assert figure.layout.yaxis.ticktext[0] == "&lt;b&gt;bold&lt;/b&gt;"
    assert "<i>" not in json.dumps(figure.to_plotly_json(), default=str)
    ranged = range_chart(
        PredictionOutput(predicted_revenue=1.0, lower_80=0.5, upper_80=2.0), "<i>", {EVIL: 1.0}
    )
    assert "<script>" not in json.dumps(ranged.to_plotly_json(), default=str)


def test_the_panels_need_no_training_library() -> None:
    names = ("predict", "batch", "forecast", "explain", "demand")
    code = f"""
import sys
from importlib import import_module
for name in {names}:
    import_module(f"salesforecast.dashboard.tabs.{{name}}")
print(*sorted({{"xgboost", "sklearn", "statsmodels", "mlflow", "matplotlib", "shap"}} & set(sys.modules)))
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == ""
