"""What the schedule runs next, by journals that are written out, and what it alerts of."""

import json
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from salesforecast.core.settings import settings
from salesforecast.lifecycle.schedule import (
    DueRun,
    Job,
    Journal,
    end_leftovers,
    next_due_run,
    report_failed_monitoring,
    run_due,
)

MONITOR, TRAIN = Job("monitor", "0 6 * * *"), Job("train", "0 3 1 * *")


def at(day: int, hour: int = 0) -> datetime:
    return datetime(2026, 1, day, hour, tzinfo=UTC)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    found = Journal(tmp_path / "schedule.jsonl")
    for job in ("monitor", "train"):
        found.add("first seen", job, at(1, 12))
    return found


def test_the_last_event_of_a_job_is_found(journal: Journal) -> None:
    journal.add("start", "train", at(2), why="alert")
    last, first = journal.last("train"), journal.last("train", "first seen")
    assert last and last["event"] == "start" and first and first["due"] == at(1, 12).isoformat()
    assert journal.last("monitor", "end") is None and journal.last("report") is None


def test_what_was_missed_is_run_once_by_its_latest_time(journal: Journal) -> None:
    assert next_due_run([MONITOR, TRAIN], journal, at(2, 5)) is None
    assert next_due_run([MONITOR, TRAIN], journal, at(2, 6)) == DueRun(MONITOR, at(2, 6), "schedule")
    assert next_due_run([MONITOR, TRAIN], journal, at(5, 7)) == DueRun(MONITOR, at(5, 6), "schedule")


def test_a_run_that_was_cut_short_comes_first(journal: Journal) -> None:
    journal.add("start", "train", at(2), why="alert")
    assert next_due_run([TRAIN], journal, at(9)) == DueRun(TRAIN, at(2), "alert")


@pytest.mark.parametrize(
    ("trained", "asks"), [(None, True), (at(1, 12), True), (at(2), False), (at(3), False)]
)
def test_an_alert_asks_for_a_training_unless_one_was_due_since(
    journal: Journal, trained: datetime | None, asks: bool
) -> None:
    journal.add("end", "monitor", at(2), retrain=True)
    if trained:
        journal.add("end", "train", trained)
    found = next_due_run([Job("monitor", "0 0 1 1 *"), TRAIN], journal, at(4))
    assert found == (DueRun(TRAIN, at(2), "alert") if asks else None)
    assert next_due_run([TRAIN], journal, at(4), retrain_on_alert=False) is None


def test_one_failure_of_monitoring_is_an_alert_and_one_result_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alerts = tmp_path / "alerts.jsonl"
    monkeypatch.setattr(settings(), "alert_file", alerts)
    failed = {"exit_code": 1, "sentence": "no disk", "retrain": False}
    for day, end in ((2, failed), (3, failed), (4, failed | {"exit_code": 0})):
        report_failed_monitoring(DueRun(MONITOR, at(day, 6), "schedule"), end, tmp_path)  # type: ignore[arg-type]
    report_failed_monitoring(DueRun(TRAIN, at(5), "schedule"), failed, tmp_path)  # type: ignore[arg-type]
    told = [json.loads(line) for line in alerts.read_text().splitlines()]
    assert [each["status"] for each in told] == ["opened", "resolved"]
    assert "2026-01-02 06:00 came to no result: no disk" in told[0]["message"]


def test_a_leftover_is_a_process_of_the_same_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It sees one process of its own alone, so that a fault here ends nobody else's."""
    folder = tmp_path / "run"
    words = [sys.executable, "-c", "import time; time.sleep(60)", "--folder", str(tmp_path / "other")]
    process = subprocess.Popen(words)

    def process_iter(names: list[str]) -> list[psutil.Process]:
        found = psutil.Process(process.pid)
        found.info = found.as_dict(names)
        return [found]

    monkeypatch.setattr(psutil, "process_iter", process_iter)
    try:
        assert end_leftovers(folder) == 0 and process.poll() is None
        assert end_leftovers(tmp_path / "other") == 1 and process.poll() is not None
    finally:
        process.kill()


def test_a_run_notes_its_end_and_what_it_came_to(journal: Journal) -> None:
    command = (sys.executable, "-c", "import sys; sys.exit(3)")
    end = run_due(DueRun(TRAIN, at(2, 3), "schedule"), journal, threading.Event(), command)
    assert end == {"exit_code": 3, "sentence": "The run failed; its report says why.", "retrain": False}
    last = journal.last("train")
    assert last and (last["event"], last["exit_code"], last["folder"]) == (
        "end",
        3,
        "train-20260102-0300-schedule",
    )
