"""Trainings as processes of their own: their record, a second one, and what ends them."""

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from salesforecast.core.settings import UserError
from salesforecast.lifecycle import jobs
from salesforecast.lifecycle.jobs import JobRecord, latest_job, read_jobs, read_log, start_training, stop_job
from salesforecast.registry.versions import models_lock

WORK = """
import sys, time
from pathlib import Path
from salesforecast.core.settings import no_progress
from salesforecast.lifecycle.jobs import record_job
folder = Path(sys.argv[sys.argv.index("--job") + 1])
with record_job(folder) as recorder:
    print(Path(sys.argv[1]).read_text(), flush=True)
    recorder.progress(no_progress)(0.5, "fitting")
    while not (folder / "go").exists():
        time.sleep(0.05)
    recorder.finish("20260101-000000-0000", True, "It is served.")
"""


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], JobRecord]:
    """Start a job that works until it finds a file `go`."""
    monkeypatch.setattr(jobs, "TRAIN", (sys.executable, "-c", WORK))
    source = tmp_path / "upload-1.csv"
    source.write_text("the sales")
    return lambda: start_training(tmp_path / "models", source, "my sales.csv", "name: mine\n", "anna")


def wait_for(models: Path, state: str, label: str = "") -> JobRecord:
    """The newest job, once it is in this state."""
    end = time.monotonic() + 120
    while (record := latest_job(models)) is None or record.state != state or label not in record.label:
        assert time.monotonic() < end, record
        time.sleep(0.05)
    return record


def test_a_job_is_recorded_and_its_copy_of_the_sales_removed(start: Callable, tmp_path: Path) -> None:
    models, first = tmp_path / "models", start()
    running = wait_for(models, "running", "fitting")
    folder = models / "jobs" / first.name
    assert (running.source, running.done, running.name) == ("my sales.csv", 0.5, first.name)
    assert (running.who, running.pid) == ("anna", first.pid)
    assert (folder / "mapping.yaml").read_text() == "name: mine\n"
    (folder / "go").touch()
    ended = wait_for(models, "promoted")
    assert (ended.message, ended.version, ended.done) == ("It is served.", "20260101-000000-0000", 1.0)
    assert "the sales" in read_log(models, first.name) and not (folder / "upload").exists()
    second = start()  # which is allowed again
    wait_for(models, "running", "fitting")
    (models / "jobs" / second.name / "go").touch()
    wait_for(models, "promoted")


def test_a_second_job_is_refused_with_the_reason(start: Callable, tmp_path: Path) -> None:
    models, first = tmp_path / "models", start()
    with pytest.raises(UserError, match="A training of my sales.csv has been running since"):
        start()
    wait_for(models, "running", "fitting")
    with pytest.raises(UserError, match="50%: fitting"):
        start()
    assert len(read_jobs(models)) == 1
    (models / "jobs" / first.name / "go").touch()
    wait_for(models, "promoted")
    with (
        models_lock(models, "training", 0),
        pytest.raises(UserError, match="Another training in .* is running"),
    ):
        start()


def test_a_job_that_is_killed_is_told_as_such(start: Callable, tmp_path: Path) -> None:
    models = tmp_path / "models"
    start()
    os.kill(wait_for(models, "running", "fitting").pid, signal.SIGKILL)
    record = wait_for(models, "killed")
    assert not list((models / "jobs").glob("*/upload"))
    assert "ended unexpectedly" in record.message and "still served" in record.message
    again = start()  # nothing is in its way
    wait_for(models, "running", "fitting")
    stop_job(models, again.name)
    assert wait_for(models, "stopped").message == "The training was stopped."


def test_of_two_jobs_of_one_second_the_later_is_the_latest(tmp_path: Path) -> None:
    names: list[str] = []
    for _ in range(5):
        names.append(jobs._next_name(tmp_path))
        (tmp_path / names[-1]).mkdir()
    assert names == sorted(names)


def sleep_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let jobs stay at their start, as while libraries are imported."""
    monkeypatch.setattr(jobs, "TRAIN", (sys.executable, "-c", "import time; time.sleep(600)"))


def test_a_job_that_is_starting_can_be_stopped(
    start: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = tmp_path / "models"
    sleep_before(monkeypatch)
    first = start()
    folder = models / "jobs" / first.name
    old = first.model_copy(update={"started": "2026-01-01T12:00:00+00:00"})
    jobs.write_record(folder, old)  # however long it takes, it is starting as long as its process is there
    assert jobs.read_job(folder) == old and (folder / "upload").exists()
    stop_job(models, first.name)
    assert wait_for(models, "stopped").message == "The training was stopped."
    assert not (folder / "upload").exists()


def test_a_job_that_dies_while_it_starts_is_in_nobody_s_way(
    start: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = tmp_path / "models"
    sleep_before(monkeypatch)
    first = start()
    os.kill(first.pid, signal.SIGKILL)
    wait_for(models, "killed")
    assert not (models / "jobs" / first.name / "upload").exists()
    stop_job(models, start().name)


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    """A file that cannot be trained on."""
    path = tmp_path / "bad.csv"
    path.write_text("a,b\n1,2\n")
    return path


def test_the_last_trainings_stay_and_one_that_runs(
    start: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = tmp_path / "models"
    assert latest_job(models) is None
    for day in range(1, 26):
        folder = models / "jobs" / f"202601{day:02}-000000-0000"
        folder.mkdir(parents=True)
        record = JobRecord(name=folder.name, source="sales.csv", started="", state="failed", copied=day != 2)
        jobs.write_record(folder, record.model_copy(update={"state": "running"} if day == 3 else {}))
    monkeypatch.setattr(jobs, "refuse_second", lambda models_dir: None)
    with FileLock(models / "jobs" / "20260103-000000-0000" / jobs.LOCK):  # which runs
        started = start()
    kept = [record.name[6:8] for record in read_jobs(models) if record.name != started.name]
    assert kept == [f"{day:02}" for day in range(25, 6, -1)] + ["03", "02"]  # 02 is a person's own
    monkeypatch.setattr(jobs, "read_job", read_only(started.name))
    latest = latest_job(models)
    assert latest is not None and latest.name == started.name
    stop_job(models, started.name)


def read_only(name: str) -> Callable[[Path], JobRecord | None]:
    """Read the job of this name, and no other."""
    read = jobs.read_job

    def checked(folder: Path) -> JobRecord | None:
        assert folder.name == name
        return read(folder)

    return checked


def test_a_folder_that_is_no_job_is_left_as_it_is(run_command: Callable, tmp_path: Path, bad: Path) -> None:
    project = tmp_path / "project"
    for name in ("tmp", "upload"):
        (project / name).mkdir(parents=True)
        (project / name / "mine.txt").write_text("mine")
    (project / "record.json").write_text("[1]")
    before = sorted(project.rglob("*"))
    done = run_command("train", bad, "--models-dir", tmp_path / "models", "--job", project)
    assert done.returncode == 2 and "is not the folder of a training: it has record.json, tmp" in done.stderr
    assert sorted(project.rglob("*")) == before and (project / "record.json").read_text() == "[1]"


def test_only_the_copy_of_the_sales_is_removed_from_a_folder(tmp_path: Path) -> None:
    with jobs.record_job(tmp_path / "job", "sqlite:///x.db?password=1") as recorder:
        (tmp_path / "job" / "tmp").mkdir()
    assert (tmp_path / "job" / "tmp").exists() and recorder.record is not None
    assert recorder.record.source == "sqlite:///x.db?password=***"
    with jobs.record_job(
        tmp_path / "job", "of/sales.csv"
    ) as recorder:  # a second training in the same folder
        assert recorder.record is not None
        assert (recorder.record.source, recorder.record.ended, recorder.why) == ("sales.csv", "", "training")


def test_a_job_that_has_ended_keeps_no_copy_of_the_sales(tmp_path: Path) -> None:
    with jobs.record_job(tmp_path) as recorder:
        (tmp_path / "upload").mkdir()
        recorder.update(copied=True)
        assert (tmp_path / "upload").exists()
        recorder.finish("20260101-000000-0000", True, "It is served.")
        assert not (tmp_path / "upload").exists()  # before anyone can read that it has ended


def test_a_training_takes_its_threads_from_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("SALESFORECAST_THREADS", "2")
    assert {name: value for name, value in jobs.command_environment().items() if "THREADS" in name} == {
        "SALESFORECAST_THREADS": "2"
    }


def test_the_command_records_why_it_failed(run_command: Callable, tmp_path: Path, bad: Path) -> None:
    folder = tmp_path / "models" / "jobs" / "20260101-000000-0000"
    done = run_command("train", bad, "--models-dir", tmp_path / "models", "--job", folder)
    record = read_jobs(tmp_path / "models")[0]
    assert done.returncode == 2 and (record.state, record.source) == ("failed", "bad.csv")
    assert "Transaction_Date" in record.message and record.ended
