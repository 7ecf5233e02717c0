"""The Predict many tab: what is shown is of the reading, the cells and the warnings that the page names."""

import asyncio
import codecs
import io
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import IO

import ipywidgets as w
import pandas as pd
import pytest

from salesforecast.client import Client
from salesforecast.dashboard.model import state as module
from salesforecast.dashboard.model.reader import UploadOptions
from salesforecast.dashboard.model.state import AppState
from salesforecast.dashboard.tabs import batch
from salesforecast.registry.predictor import COLUMNS
from salesforecast.rest.payloads import WriteCounts

WARNING = "2 rows have a Region that was not in the training data ('<b>Süd</b>' 2); it counts as unknown"
ORDERS = pd.DataFrame(
    {
        "Region": ["North", "<b>Süd</b>", "<b>Süd</b>", "North"],
        "Pieces": ["1", "2", "3", "many"],
        "Packs": ["10", "20", "30", "40"],
        "Price": ["2.5", "2.5", "2.5", "2.5"],
    }
)


class Tens:
    """Stands for a client whose API predicts ten a unit."""

    def __init__(self, *_: object, **__: object):
        pass

    def predict_file(self, file: IO[bytes], out: IO[bytes], name: str) -> WriteCounts:
        """Write ten a unit for each row."""
        units = pd.read_parquet(io.BytesIO(file.read()))["Units_Sold"]
        answer = pd.DataFrame(dict.fromkeys(COLUMNS, 10 * units)).assign(problem="", warning="")
        out.write(answer.to_csv(index=False).encode())
        return WriteCounts(rows=len(units), errors=0, warnings=[WARNING])


def reading(units: str) -> UploadOptions:
    """A reading that takes the units from this column."""
    return UploadOptions({"Units_Sold": units, "Unit_Price": "Price", "Region": "Region"})


async def settle() -> None:
    """Wait until nothing is under way."""
    while waiting := [task for task in module._running if not task.done()]:
        await asyncio.wait(waiting)


def words(view: w.Widget) -> Iterator[str]:
    """The texts of a view."""
    if isinstance(view, w.HTML):
        yield view.value
    for child in getattr(view, "children", ()):
        yield from words(child)


@pytest.fixture
def panel(monkeypatch: pytest.MonkeyPatch) -> batch.BatchPanel:
    """A tab before its first file, and an API that predicts ten a unit."""
    monkeypatch.setattr(batch, "Client", Tens)
    state = AppState(Client("http://127.0.0.1:9", retries=0))
    features = ["Units_Sold", "Unit_Price", "Region"]
    empty: Mapping[str, str] = {}
    info = SimpleNamespace(features=features, mapping=empty, version="v1", currency="")
    monkeypatch.setattr(batch.BatchPanel, "info", info)
    found = batch.BatchPanel(state)
    found.build()
    found.path, found.name = state.folder / "upload-1.csv", "orders.csv"
    ORDERS.to_csv(found.path, index=False)
    return found


def revenue(panel: batch.BatchPanel) -> list[float | None]:
    """The predictions that the tab shows."""
    assert panel.result is not None
    column = panel.result.outcome.predictions["predicted_revenue"]
    return [None if pd.isna(value) else float(value) for value in column]


def test_another_reading_predicts_every_row_anew(panel: batch.BatchPanel) -> None:
    async def work() -> None:
        panel.predict(reading("Pieces"))
        await settle()
        assert revenue(panel) == [10, 20, 30, None]
        panel.correct({5: {"Pieces": "4"}})
        await settle()
        assert revenue(panel) == [10, 20, 30, 40]
        assert panel.result is not None and panel.result.outcome.edits == {5: {"Pieces": "4"}}
        panel.predict(reading("Packs"))
        await settle()
        assert revenue(panel) == [100, 200, 300, 400]
        assert panel.result.outcome.edits == {}
        panel.predict(reading("Pieces"))  # back again, and the cell is as it stands in the file
        await settle()
        assert revenue(panel) == [10, 20, 30, None]

    asyncio.run(work())


def test_the_page_lists_what_makes_the_predictions_less_certain(panel: batch.BatchPanel) -> None:
    async def work() -> None:
        panel.predict(reading("Packs"))
        await settle()
        said = "\n".join(words(panel.place))
        assert "What makes the predictions less certain:" in said
        assert "<li>" + WARNING.replace("<", "&lt;").replace(">", "&gt;").replace("'", "&#x27;") in said
        assert "<b>" not in said

    asyncio.run(work())


def test_the_csv_opens_in_excel_with_its_umlauts(panel: batch.BatchPanel) -> None:
    async def work() -> None:
        panel.predict(reading("Packs"))
        await settle()
        assert panel.result is not None
        data = panel.result.outcome.csv().read_bytes()
        assert data.startswith(codecs.BOM_UTF8) and data.count(codecs.BOM_UTF8) == 1
        table = pd.read_csv(io.BytesIO(data), encoding="utf-8-sig")
        assert list(table)[:2] == ["Region", "Pieces"] and table["Region"].tolist()[1] == "<b>Süd</b>"

    asyncio.run(work())
