"""Runs by papermill: what they refuse, what they leave when a kernel dies or hangs, and what the schedule does."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import nbformat
import psutil
import pytest
from filelock import FileLock

from salesforecast.core.settings import CLI_COMMAND, UserError, settings
from salesforecast.lifecycle.runs import notebook_path, parameters, run_notebook
from salesforecast.lifecycle.schedule import (
    JOURNAL,
    DueRun,
    Job,
    Journal,
    local_now,
    next_due_run,
    read_schedule,
    run_due,
    run_schedule,
)
from support.models import ROOT
from support.processes import kernels

KERNEL = {"kernelspec": {"name": "python3", "display_name": "python3", "language": "python"}}


def notebook(path: Path, *cells: str) -> Path:
    """A notebook whose first code cell has the parameters."""
    first = nbformat.v4.new_code_cell(
        "days: int = 7\nshare: float = 0.5\nfast: bool = False\nfolder: str = ''",
        metadata={"tags": ["parameters"]},
    )
    rest = [nbformat.v4.new_code_cell(source) for source in cells]
    nbformat.write(nbformat.v4.new_notebook(cells=[first, *rest], metadata=KERNEL), path)
    return path


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"dayz": "7"}, r"no parameter dayz. It takes: days"),
        ({"days": "1.5"}, "days takes a whole number; '1.5' is none"),
        ({"share": "half"}, "share takes a number; 'half' is none"),
        ({"fast": "perhaps"}, "fast takes true or false; 'perhaps' is none"),
    ],
)
def test_an_unknown_or_ill_typed_parameter_is_refused(tmp_path: Path, given: dict, message: str) -> None:
    path = notebook(tmp_path / "n.ipynb")
    with pytest.raises(UserError, match=message):
        run_notebook("n", given, tmp_path / "run", path=path)
    assert not (tmp_path / "run").exists()


def test_parameters_get_their_types(tmp_path: Path) -> None:
    path = notebook(tmp_path / "n.ipynb")
    given = {"days": "3", "share": "0.25", "fast": "yes"}
    assert parameters(path, given) == {"days": 3, "share": 0.25, "fast": True}


def test_the_run_notebooks_say_what_each_parameter_is() -> None:
    import papermill

    for name in ("train", "monitor"):
        known = papermill.inspect_notebook(str(notebook_path(name)))
        assert {"source", "mapping", "models_dir", "folder"} <= set(known)
        assert all(parameter["help"] for parameter in known.values())


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "The kernel died"),
        ("import time; time.sleep(600)", "longer than 3 seconds"),
        ("raise ValueError('no such luck')", "ValueError: no such luck"),
    ],
)
def test_a_run_that_breaks_leaves_a_partial_report(tmp_path: Path, cell: str, message: str) -> None:
    path = notebook(
        tmp_path / "n.ipynb", "from IPython.display import HTML\nHTML('<b>so far</b>')", cell, "1 / 0"
    )
    done = run_notebook("n", {}, tmp_path / "run", timeout=3 if "sleep" in cell else 600, path=path)
    assert done.exit_code == 1
    assert message in done.sentence
    html = done.html.read_text()
    assert "This run ended early" in html
    assert "<b>so far</b>" in html
    assert "ZeroDivisionError" not in done.notebook.read_text()  # nothing ran after it
    assert kernels() == set()


def test_a_fault_of_the_user_is_exit_code_2(tmp_path: Path) -> None:
    cell = "from salesforecast.core.settings import UserError\nraise UserError('name another file')"
    done = run_notebook("n", {}, tmp_path / "run", path=notebook(tmp_path / "n.ipynb", cell))
    assert (done.exit_code, done.sentence) == (2, "name another file")


def test_a_run_that_is_done_is_not_run_again(tmp_path: Path) -> None:
    count = tmp_path / "count"
    path = notebook(
        tmp_path / "n.ipynb",
        f"open({str(count)!r}, 'a').write('x')",
        "from salesforecast.lifecycle.run_io import write_outcome\nwrite_outcome(folder, 3, 'refused')",
    )
    runs = [run_notebook("n", {}, tmp_path / "run", path=path) for _ in range(2)]
    assert [(run.exit_code, run.sentence) for run in runs] == [(3, "refused")] * 2
    assert count.read_text() == "x"


# a stand-in for `salesforecast run`: it notes that it ran, and leaves an outcome, or hangs where it is told to
STAND_IN = """
import json, sys, time
from pathlib import Path
name, folder = sys.argv[1], Path(sys.argv[3])
folder.mkdir(parents=True, exist_ok=True)
with (folder.parent / "ran").open("a") as file:
    file.write(name + "\\n")
if (folder.parent / "hang").exists():
    time.sleep(600)
alert = name == "monitor"
(folder / "outcome.json").write_text(json.dumps({"exit_code": 4 * alert, "sentence": "ran", "retrain": alert}))
sys.exit(4 * alert)
"""
COMMAND = (sys.executable, "-c", STAND_IN)


def yearly(days: int) -> str:
    """At midnight of the day so many days from now, and then not for a year: no run falls due while a test runs."""
    day = local_now() + timedelta(days=days)
    return f"0 0 {day.day} {day.month} *"


def past(journal: Journal, *jobs: Job) -> None:
    for job in jobs:
        journal.add("first seen", job.name, local_now() - timedelta(days=3))


def test_what_was_missed_is_made_up_for_once_and_an_alert_trains(tmp_path: Path) -> None:
    jobs = [Job("monitor", yearly(-1)), Job("train", yearly(100))]
    past(Journal(tmp_path / JOURNAL), *jobs)
    for _ in range(2):  # the second has nothing left to do
        run_schedule(jobs, once=True, folder=tmp_path, command=COMMAND, on_message=lambda text: None)
        assert (tmp_path / "ran").read_text().split() == ["monitor", "train"]
    events = [
        (e["event"], e["job"], e.get("why"), e.get("exit_code")) for e in Journal(tmp_path / JOURNAL).lines()
    ]
    assert events[2:] == [
        ("start", "monitor", "schedule", None),
        ("end", "monitor", "schedule", 4),
        ("start", "train", "alert", None),
        ("end", "train", "alert", 0),
    ]


SCHEDULE = """
import sys
from pathlib import Path
from salesforecast.lifecycle.schedule import Job, run_schedule
run_schedule([Job("train", sys.argv[3])], folder=Path(sys.argv[1]), command=(sys.executable, "-c", sys.argv[2]))
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_schedule_that_is_stopped_takes_up_its_run_again(tmp_path: Path, how: signal.Signals) -> None:
    journal, job = Journal(tmp_path / JOURNAL), Job("train", yearly(-1))
    past(journal, job)
    (tmp_path / "hang").touch()
    process = subprocess.Popen(
        [sys.executable, "-c", SCHEDULE, str(tmp_path), STAND_IN, job.cron], stdout=subprocess.DEVNULL
    )
    while not (tmp_path / "ran").exists():
        assert process.poll() is None
        time.sleep(0.05)
    children = psutil.Process(process.pid).children(recursive=True)
    with pytest.raises(UserError, match="Another schedule is at work"):
        run_schedule([job], folder=tmp_path, command=COMMAND, on_message=lambda text: None)
    process.send_signal(how)
    process.wait(120)
    (tmp_path / "hang").unlink()
    run_schedule([job], once=True, folder=tmp_path, command=COMMAND, on_message=lambda text: None)
    gone, left = psutil.wait_procs(children, timeout=120)
    assert len(gone) >= 1 and left == []  # no orphan goes on beside the run that took its place
    starts = [line["due"] for line in journal.lines() if line["event"] == "start"]
    assert len(starts) == 2
    assert starts[0] == starts[1]
    assert next_due_run([job], journal, local_now()) is None


def test_a_run_ends_with_a_schedule_that_is_killed(tmp_path: Path) -> None:
    """The command as it is, a kernel and what it has started: none is left, without another schedule."""
    pids = tmp_path / "pids"
    work = f"""import os, subprocess, sys, time
from pathlib import Path
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
beside = Path({str(pids)!r} + ".new")
beside.write_text(f"{{os.getpid()}} {{child.pid}}")
beside.replace({str(pids)!r})
time.sleep(600)"""
    path = notebook(tmp_path / "train.ipynb", work)
    content = nbformat.read(path, as_version=4)
    content.cells[0].source += "\nsource: str = ''"
    nbformat.write(content, path)
    past(Journal(tmp_path / JOURNAL), Job("train", "0 * * * *"))
    folders = {"SALESFORECAST_RUNS_DIR": str(tmp_path), "SALESFORECAST_REPORTS_DIR": str(tmp_path)}
    words = [*CLI_COMMAND, "schedule", "sales.csv", "--train", "0 * * * *", "--monitor", ""]
    with (tmp_path / "log").open("wb") as log:
        scheduler = subprocess.Popen(words, env=os.environ | folders, stdout=log, stderr=log)
    processes: list[psutil.Process] = []
    try:
        until = time.monotonic() + 120
        while not pids.exists():
            assert scheduler.poll() is None and time.monotonic() < until, (tmp_path / "log").read_text()
            time.sleep(0.1)
        processes = psutil.Process(scheduler.pid).children(recursive=True)
        assert {int(pid) for pid in pids.read_text().split()} < {process.pid for process in processes}
        scheduler.kill()
        scheduler.wait(20)
        assert psutil.wait_procs(processes, timeout=60)[1] == []
    finally:
        for process in (scheduler, *processes):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
    assert [line["event"] for line in Journal(tmp_path / JOURNAL).lines()] == ["first seen", "start"]


@pytest.mark.parametrize(
    ("cron", "after", "runs"),
    [
        ("0 3 * * 1", "2026-11-25T12:00", ["Mon 11-30 03:00", "Mon 12-07 03:00"]),
        ("0 3 * * 0", "2026-11-25T12:00", ["Sun 11-29 03:00", "Sun 12-06 03:00"]),
        ("0 3 * * 7", "2026-11-25T12:00", ["Sun 11-29 03:00", "Sun 12-06 03:00"]),
        ("0 3 * * sun", "2026-11-25T12:00", ["Sun 11-29 03:00", "Sun 12-06 03:00"]),
        ("0 0 13 * 5", "2026-11-10T12:00", ["Fri 11-13 00:00", "Fri 11-20 00:00"]),  # the 13th, and Fridays
        ("0 0 1 * 1", "2026-11-25T12:00", ["Mon 11-30 00:00", "Tue 12-01 00:00"]),
        # clocks go forward at 2:00 on 29 March, and back at 3:00 on 25 October
        ("30 2 * * *", "2026-03-28T12:00", ["Sun 03-29 03:00", "Mon 03-30 02:30"]),
        ("30 2 * * *", "2026-10-24T12:00", ["Sun 10-25 02:30", "Mon 10-26 02:30"]),
        ("0 3 * * *", "2026-10-24T12:00", ["Sun 10-25 03:00", "Mon 10-26 03:00"]),
    ],
)
def test_times_are_those_of_cron(cron: str, after: str, runs: list[str]) -> None:
    zone, job, times = ZoneInfo("Europe/Berlin"), Job("train", cron), []
    time = datetime.fromisoformat(after).replace(tzinfo=zone)
    for _ in runs:
        time = job.next_after(time)
        times.append(f"{time:%a %m-%d %H:%M}")
        time = datetime.fromisoformat(time.isoformat()).astimezone(zone)  # as the journal gives it back
    assert times == runs


def test_the_schedule_has_the_rules_of_its_time_zone() -> None:
    """An offset alone would shift every run by an hour when the clocks change."""
    code = "from salesforecast.lifecycle.schedule import local_now; print(local_now().tzinfo)"
    env = os.environ | {"TZ": "Europe/Berlin"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert done.stdout.strip() == "Europe/Berlin"


def test_a_monitoring_that_comes_to_no_result_is_an_alert_until_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SALESFORECAST_ALERT_FILE", str(tmp_path / "alerts.jsonl"))
    settings.cache_clear()
    journal = Journal(tmp_path / JOURNAL)
    for day, code in enumerate((2, 1, 4), 1):
        due = DueRun(Job("monitor", "0 0 * * *"), local_now().replace(day=day), "schedule")
        run_due(due, journal, threading.Event(), (sys.executable, "-c", f"import sys; sys.exit({code})"))
    monkeypatch.undo()
    settings.cache_clear()
    alerts = [json.loads(line) for line in (tmp_path / "alerts.jsonl").read_text().splitlines()]
    assert [(alert["check"], alert["status"]) for alert in alerts] == [
        ("monitoring", "opened"),
        ("monitoring", "resolved"),
    ]
    assert "came to no result" in alerts[0]["message"]


def test_a_schedule_that_is_refused_leaves_the_jobs_of_the_other_one(tmp_path: Path) -> None:
    run_schedule([], once=True, folder=tmp_path)
    kept = read_schedule(tmp_path)
    assert kept is not None
    with FileLock(tmp_path / ".schedule.lock"), pytest.raises(UserError, match="Another schedule"):
        run_schedule([Job("train", "0 0 * * *")], once=True, folder=tmp_path)
    assert read_schedule(tmp_path) == kept


def test_half_a_line_in_the_journal_is_no_harm(tmp_path: Path) -> None:
    journal = Journal(tmp_path / JOURNAL)
    journal.add("first seen", "train", local_now())
    with journal.path.open("a") as file:
        file.write('{"time": "2026')
    journal.add("start", "train", local_now(), why="schedule")
    assert [line["event"] for line in journal.lines()] == ["first seen", "start"]


def test_a_command_that_cannot_do_it_is_noted(tmp_path: Path) -> None:
    journal = Journal(tmp_path / JOURNAL)
    due = DueRun(Job("train", "0 0 * * *"), local_now(), "schedule")
    run_due(due, journal, threading.Event(), (sys.executable, "-c", "import sys; sys.exit(1)"))
    assert journal.lines()[-1]["exit_code"] == 1


@pytest.mark.slow
def test_the_run_notebooks_on_their_defaults(
    tmp_path: Path, run_process: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """Training, then monitoring, on the sample that ships: by papermill, and in Jupyter from their own folder."""
    env = {
        "MODEL_DIR": str(tmp_path / "models"),
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db",
        "SALESFORECAST_DATA_DIR": str(tmp_path / "data"),
        "SALESFORECAST_REPORTS_DIR": str(tmp_path / "reports"),
        "SALESFORECAST_GATE": "report-only",
        "SALESFORECAST_PARAMS_PATH": str(tmp_path / "params.yaml"),
    }
    (tmp_path / "params.yaml").write_text("selection_metric: wape\n")  # and no demand
    folder = tmp_path / "reports" / "train"
    done = run_process("run", "train", "--folder", folder, env=env)
    assert done.returncode == 0, done.stderr
    html = (folder / "train.html").read_text()
    for words in (
        "is served now",
        "The decision",
        "seasonal_naive",
        "group_mean_discount",
        "Rows in quarantine",
    ):
        assert words in html
    assert html.count('src="data:image/png;base64,') == 4
    assert "<script" not in html
    assert "http://" not in html and "https://" not in html
    outcome = json.loads((folder / "outcome.json").read_text())
    listed = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import mlflow; print([a.path for a in mlflow.MlflowClient().list_artifacts('{outcome['mlflow_run']}', 'report')])",
        ],
        env=os.environ | env,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "report/train.html" in listed.stdout and "report/train.ipynb" in listed.stdout, listed.stderr

    folder = tmp_path / "reports" / "monitor"
    done = run_process("run", "monitor", "--folder", folder, env=env)
    assert done.returncode in (0, 3, 4), done.stderr
    report = json.loads((folder / "monitoring.json").read_text())
    assert report["window"]["days"] <= 28 and report["source"].endswith("sales_sample.csv")
    assert (
        f"salesforecast_monitor_rows {float(report['window']['rows'])}"
        in (tmp_path / "reports" / "salesforecast.prom").read_text()
    )

    nbval = [sys.executable, "-m", "pytest", "--nbval-lax", "--nbval-cell-timeout=600", "-q", "nbs/runs"]
    checked = subprocess.run(
        nbval, cwd=ROOT, env=os.environ | env, capture_output=True, text=True, timeout=900
    )
    assert checked.returncode == 0, checked.stdout
