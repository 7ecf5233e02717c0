"""Monitoring on the export that the model was trained on: nothing new is no fault, wherever it is asked."""

import json
import math
import os
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from salesforecast.core.params import MonitorParams
from salesforecast.core.settings import settings
from salesforecast.dashboard.model.health import health_lights, next_steps, read_health, verdict
from salesforecast.lifecycle.schedule import JOURNAL, Job, Journal, local_now, run_schedule
from salesforecast.lifecycle.update import update_bundle
from salesforecast.monitoring.alerts import Channels
from salesforecast.monitoring.incidents import read_alert_state
from salesforecast.monitoring.monitor import monitor
from salesforecast.monitoring.report import MonitorReport, write_prometheus
from salesforecast.registry.versions import current_version, list_versions
from support.models import ROOT, Trained, small_training

AN_INCIDENT = {
    "format": 1,
    "unsent": [],
    "checks": {
        "bias": {
            "runs": [["2026-09-01", "critical"]],
            "incident": {
                "check": "bias",
                "level": "critical",
                "message": "predictions are off",
                "value": 0.3,
                "limit": 0.1,
                "since": "2026-09-01",
            },
        },
        "segments": {"runs": [["2026-09-01", "warning"]], "incident": None},
    },
}


@pytest.fixture
def own(tmp_path: Path) -> Trained:
    return small_training(tmp_path)


def last_day(own: Trained) -> date:
    """The last day of the training."""
    return date.fromisoformat(own.training.manifest.data.last)


def sentence(own: Trained) -> str:
    """What every face says."""
    return (
        f"no sales since {last_day(own)}, the last day that the model was trained on: "
        "accuracy and drift can be evaluated when new sales arrive"
    )


def days_later(own: Trained, days: int, source: Any = None, **more: Any) -> MonitorReport:
    """What a run so many days after the last sale finds."""
    as_of = last_day(own) + timedelta(days=days)
    source = own.source if source is None else source
    return monitor(source, models_dir=own.models, params=MonitorParams(), as_of=as_of, **more)


def test_a_run_on_the_export_of_the_training_judges_nothing_but_the_feed(own: Trained) -> None:
    report = days_later(own, 1)
    assert (report.exit_code, report.findings, report.alerts) == (0, (), ())
    assert report.summary == f"{own.training.version}: {sentence(own)}."
    assert report.window["rows"] == report.window["days"] == 0 and not report.needs_retraining
    json.dumps(report.to_dict(), allow_nan=False)
    late = days_later(own, 20)
    assert [(alert.check, alert.level) for alert in late.alerts] == [("feed", "critical")]
    assert late.exit_code == 4 and not late.needs_retraining
    assert late.summary == f"{own.training.version}: 1 critical incident open; {sentence(own)}."


def test_returns_and_old_sales_are_nothing_new_either(own: Trained) -> None:
    sales = pd.read_csv(own.source)
    days = pd.to_datetime(sales["Transaction_Date"], format="mixed", errors="coerce")
    returned = sales[days.dt.date == last_day(own)].head(1).copy()
    returned["Transaction_Date"] = str(last_day(own) + timedelta(days=1))
    returned["Transaction_ID"] = "R1"
    returned[["Units_Sold", "Revenue"]] = -1.0, -5.0
    report = days_later(own, 2, pd.concat([sales, returned]))
    assert (report.exit_code, report.window["rows"]) == (0, 0)
    old = days_later(own, 1, sales[days < pd.Timestamp(last_day(own)) - pd.Timedelta(days=30)])
    assert [alert.check for alert in old.alerts] == ["feed"]
    assert old.window["last"] < str(last_day(own))


def test_what_is_open_stays_open_and_nothing_opens(own: Trained, tmp_path: Path) -> None:
    state, channels = own.models / "alerts.json", Channels(tmp_path / "alerts.jsonl")
    state.write_text(json.dumps(AN_INCIDENT))
    report = days_later(own, 1, state=state, channels=channels)
    assert [(alert.check, alert.status) for alert in report.alerts] == [("bias", "unchecked")]
    assert (report.exit_code, report.needs_retraining) == (0, False)
    assert read_alert_state(state) == AN_INCIDENT
    assert not (tmp_path / "alerts.jsonl").exists()


def test_a_feed_that_is_late_day_after_day_opens_an_incident_that_new_sales_resolve(own: Trained) -> None:
    """The last day of the data stays the same, so the runs are told apart by their own."""
    state = own.models / "alerts.json"
    usual = MonitorParams(feed_days=2)
    statuses = []
    for days in (3, 4, 4, 5, 10):
        as_of = last_day(own) + timedelta(days=days)
        report = monitor(own.source, models_dir=own.models, params=usual, state=state, as_of=as_of)
        statuses.append([(alert.check, alert.status, alert.level) for alert in report.alerts])
    assert statuses == [
        [],
        [("feed", "pending", "warning")],
        [("feed", "pending", "warning")],
        [("feed", "opened", "warning")],
        [("feed", "worse", "critical")],
    ]
    for days, status in ((11, "open"), (12, "resolved")):
        sales = pd.read_csv(own.source)
        sales["Transaction_Date"] = str(last_day(own) + timedelta(days=days - 1))
        newest = sales.tail(3).assign(Transaction_ID=["n1", "n2", "n3"])
        as_of = last_day(own) + timedelta(days=days)
        report = monitor(newest, models_dir=own.models, params=usual, state=state, as_of=as_of)
        assert [alert.status for alert in report.alerts if alert.check == "feed"] == [status]


def test_the_commands_end_well(own: Trained, tmp_path: Path) -> None:
    """Real processes: `monitor`, its module, and `update`, as cron starts them one after the other."""
    environment = os.environ | {"COLUMNS": "300", "SALESFORECAST_ALERT_FILE": str(tmp_path / "alerts.jsonl")}
    places = [str(own.source), "--models-dir", str(own.models)]
    today = ["--as-of", str(last_day(own) + timedelta(days=1))]
    files = ["--json", str(tmp_path / "report.json"), "--prometheus", str(tmp_path / "sales.prom")]
    command = "from salesforecast.cli.main import main; main()"
    for words in (
        ["-c", command, "monitor", *places, *today, *files],
        ["-m", "salesforecast.monitor", *places, *today],
        ["-c", command, "update", *places],
    ):
        done = subprocess.run(
            [sys.executable, *words], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        expected = "stays as it is" if "update" in words else sentence(own)
        assert expected in done.stdout and "all is well" not in done.stdout
    assert json.loads((tmp_path / "report.json").read_text())["window"]["rows"] == 0
    assert "salesforecast_monitor_level 0.0" in (tmp_path / "sales.prom").read_text()
    assert not (tmp_path / "alerts.jsonl").exists()


def test_an_update_with_nothing_new_leaves_the_version(own: Trained) -> None:
    before = list_versions(own.models)
    done = update_bundle(own.models, own.source)
    assert (done.version, done.rows, done.last) == (own.training.version, 0, str(last_day(own)))
    assert "has nothing new" in done.notes[0]
    assert list_versions(own.models) == before and current_version(own.models) == own.training.version


def test_the_schedule_has_a_result_and_asks_for_no_training(
    own: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run notebook in a kernel, started by the schedule, as it is shipped."""
    monkeypatch.setenv("SALESFORECAST_ALERT_FILE", str(tmp_path / "alerts.jsonl"))
    settings.cache_clear()
    yesterday = local_now() - timedelta(days=1)
    given = {"source": str(own.source), "models_dir": str(own.models), "as_of": str(last_day(own))}
    job = Job("monitor", f"0 0 {yesterday.day} {yesterday.month} *", given)
    journal = Journal(tmp_path / "reports" / JOURNAL)
    journal.add("first seen", "monitor", local_now() - timedelta(days=3))
    run_schedule([job], once=True, folder=journal.path.parent, on_message=lambda text: None)
    settings.cache_clear()
    end = journal.last("monitor", "end")
    assert end is not None and (end["exit_code"], end["retrain"]) == (0, False)
    assert sentence(own) in end["sentence"]
    assert not (tmp_path / "alerts.jsonl").exists()
    page = (journal.path.parent / end["folder"] / "monitor.html").read_text()
    assert "accuracy and drift can be evaluated when new sales arrive" in page and "No new sales yet." in page
    assert "sales evaluated" in page and "nan" not in page.lower().split("<main>")[1]


def test_the_health_tab_says_so(own: Trained, tmp_path: Path) -> None:
    state = own.models / "alerts.json"
    report = days_later(own, 1, state=state)
    now = pd.Timestamp(report.checked).to_pydatetime()
    health = read_health(own.models, tmp_path)
    lights = {light.question: light for light in health_lights(health, now)}
    for question in (
        "Are single sales predicted as well as before?",
        "Are sales still like those of the training?",
    ):
        assert lights[question].colour == "grey" and lights[question].why.lower() == sentence(own).lower()
    assert lights["Do all sales arrive?"].colour == "green"
    colour, words = verdict(health, list(lights.values()))
    assert (colour, words) == (
        "grey",
        "No new sales have arrived since the training: the model cannot be evaluated yet.",
    )
    assert "Accuracy and drift are evaluated as soon as new sales arrive" in next_steps(health, now)
    state.write_text(json.dumps(AN_INCIDENT))
    days_later(own, 1, state=state)
    single = health_lights(read_health(own.models, tmp_path), now)[0]
    assert single.colour == "yellow" and "there are no new sales to check it by" in single.why


def test_prometheus_has_no_error_to_tell(own: Trained, tmp_path: Path) -> None:
    write_prometheus(days_later(own, 1), tmp_path / "sales.prom")
    lines = dict(
        line.rsplit(" ", 1)
        for line in (tmp_path / "sales.prom").read_text().splitlines()
        if not line.startswith("#")
    )
    assert lines["salesforecast_monitor_rows"] == "0.0"
    assert math.isnan(float(lines["salesforecast_monitor_expected_wape"]))
