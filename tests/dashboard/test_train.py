"""The Train tab without a browser: what is rolled back to, what a visitor without a key sees, and what is not in order."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from salesforecast.api.auth import generate_key
from salesforecast.api.schemas import StatusOutput
from salesforecast.client import Client
from salesforecast.core.settings import settings
from salesforecast.dashboard.model import training
from salesforecast.dashboard.model.state import ApiConnection, AppState
from salesforecast.dashboard.tabs.train import TrainPanel
from salesforecast.lifecycle.jobs import LOG, JobRecord, write_record
from salesforecast.registry.events import append_event
from salesforecast.registry.versions import set_current

FIRST, SECOND, THIRD = (f"2026010{day}-000000-0000" for day in (1, 2, 3))
KEY, LINE = generate_key("anna", ["admin"])
STATUS = StatusOutput(
    timestamp="",
    transactional_model_loaded=True,
    preprocessor_loaded=True,
    sarima_model_loaded=True,
    transactional_model_type="xgboost",
    version=SECOND,
    loaded_at="2026-01-02T00:00:00+00:00",
    history_until="2026-01-01",
)


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of three versions, the second of which replaced the first; anna may train."""
    folder = tmp_path / "models"
    for version in (FIRST, SECOND, THIRD):
        (folder / version).mkdir(parents=True)
        (folder / version / "manifest.json").write_text("{}")
    append_event(folder, {"action": "promote", "from": FIRST, "to": SECOND, "why": "better"})
    set_current(folder, SECOND)
    monkeypatch.setenv("MODEL_DIR", str(folder))
    monkeypatch.setenv("SALESFORECAST_API_KEYS", LINE)
    settings.cache_clear()
    yield folder
    monkeypatch.undo()
    settings.cache_clear()


def opened() -> TrainPanel:
    """The tab, as a visitor opens it."""
    panel = TrainPanel(AppState(Client("http://127.0.0.1:9", retries=0)))
    panel.on_open()
    return panel


def text(*widgets: object) -> str:
    """What widgets show."""
    return "".join(
        getattr(widget, "value", "") or text(*getattr(widget, "children", ())) for widget in widgets
    )


def test_what_is_rolled_back_to_is_what_the_button_names(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[object, ...]] = []
    monkeypatch.setattr(training, "run_command", lambda *words: calls.append(words) or ("Done.", ""))
    panel = opened()
    assert panel.back.description == f"Roll back to {FIRST}"
    panel.key.value = KEY
    panel.back.click()
    assert calls.pop()[:3] == ("models", "rollback", FIRST) and "Done." in text(panel.changed)
    append_event(models, {"action": "promote", "from": SECOND, "to": THIRD, "why": "by another"})
    set_current(models, THIRD)  # while the page is open
    panel.back.click()
    assert not calls and f"{THIRD} is served by now, no longer {SECOND}" in text(panel.changed)
    assert panel.back.description == f"Roll back to {SECOND}"
    panel.back.click()
    assert calls.pop()[2] == SECOND


def test_warnings_of_a_command_are_shown(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = "2026/01/01 00:00:00 INFO mlflow.store: Creating tables"
    code = f"import sys; print('It is served.'); print('{log}\\n' + 2 * 'The registry is away.\\n', file=sys.stderr)"
    monkeypatch.setattr(training, "CLI_COMMAND", (sys.executable, "-c", code))
    panel = opened()
    panel.key.value = KEY
    panel.promote.click()
    good, warning = panel.changed.children
    assert "It is served." in text(good)
    assert 'data-kind="warn"' in text(warning) and "<div>The registry is away.</div>" in text(warning)


def test_what_a_training_said_is_shown_to_those_who_have_a_key(models: Path) -> None:
    job = models / "jobs" / FIRST
    job.mkdir(parents=True)
    record = JobRecord(name=FIRST, source="sales.xlsx", state="failed", started="2026-01-01T12:00:00+00:00")
    write_record(job, record.model_copy(update={"message": "Row 7: Miller & Co.", "who": "anna"}))
    (job / LOG).write_text("read Miller")
    panel = opened()
    assert "Miller" not in text(panel.view) and "enter an admin key" in text(panel.job.outcome)
    panel.key.value = "sf_wrong"
    assert "Miller" not in text(panel.view)
    panel.key.value = KEY
    assert "Row 7: Miller" in text(panel.job.outcome) and "read Miller" in text(panel.job.log)
    assert "by anna" in text(panel.job.outcome)


def test_another_folder_than_that_of_the_api_is_named(models: Path) -> None:
    panel = opened()
    panel.state.connection = ApiConnection(True, STATUS, "")
    assert not panel.other.children
    panel.state.connection = ApiConnection(True, STATUS.model_copy(update={"version": "20251231-x"}), "")
    assert f"The API serves 20251231-x, but this tab changes {models}, which serves {SECOND}" in text(
        panel.other
    )
    panel.state.connection = ApiConnection(True, STATUS, "")
    assert not panel.other.children


def test_a_file_of_keys_that_cannot_be_read_is_named(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = models / "keys"
    monkeypatch.setenv("SALESFORECAST_API_KEYS_FILE", str(keys))
    settings.cache_clear()
    panel = opened()
    assert f"SALESFORECAST_API_KEYS_FILE {keys} cannot be read" in text(panel.view)
    keys.write_text("")
    panel.on_open()
    assert "Train on your own sales" in text(panel.view)


def test_a_stop_without_a_key_says_so_beside_the_button(models: Path) -> None:
    job = models / "jobs" / FIRST
    job.mkdir(parents=True)
    now = JobRecord(name=FIRST, source="sales.xlsx", started="2026-01-01T12:00:00+00:00", pid=os.getpid())
    write_record(job, now)
    panel = TrainPanel(AppState(Client("http://127.0.0.1:9", retries=0)))
    panel.job.draw(now)
    panel.job.ending.click()
    assert "Enter the admin key." in text(panel.job.running)
