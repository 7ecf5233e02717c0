"""When a finding opens an incident, worsens it and ends it, by runs that are written out."""

import pytest

from salesforecast.core.settings import UserError
from salesforecast.monitoring.findings import Finding
from salesforecast.monitoring.incidents import empty_state, read_alert_state, update_incidents

Run = tuple[
    str, str | None, str | None, str | None
]  # day, level of the finding, status and level of the alert


def follow(*runs: Run, **options: int) -> None:
    "Run after run, compare the alert with what it should be; None for none."
    state = empty_state()
    for day, level, status, told in runs:
        findings = [Finding("drift", level, f"on {day}")] if level else []  # type: ignore[arg-type]
        alerts = update_incidents(state, findings, day, **options)
        assert [(a.status, a.level) for a in alerts] == ([(status, told)] if status else []), day


def test_a_warning_opens_at_its_second_run_of_three_and_ends_after_two_fine_ones() -> None:
    follow(
        ("2026-01-01", "warning", "pending", "warning"),
        ("2026-01-02", None, None, None),
        ("2026-01-03", "warning", "opened", "warning"),
        ("2026-01-04", None, "open", "warning"),
        ("2026-01-05", None, "resolved", "warning"),
        ("2026-01-06", None, None, None),
    )


def test_two_warnings_that_lie_three_runs_apart_open_nothing() -> None:
    follow(
        ("2026-01-01", "warning", "pending", "warning"),
        ("2026-01-02", None, None, None),
        ("2026-01-03", None, None, None),
        ("2026-01-04", "warning", "pending", "warning"),
    )


def test_a_critical_finding_opens_at_once_and_a_warning_after_it_keeps_its_level() -> None:
    follow(
        ("2026-01-01", "critical", "opened", "critical"),
        ("2026-01-02", "warning", "open", "critical"),
        ("2026-01-03", "critical", "open", "critical"),
    )


def test_a_warning_that_becomes_critical_is_worse_once() -> None:
    follow(
        ("2026-01-01", "warning", "opened", "warning"),
        ("2026-01-02", "critical", "worse", "critical"),
        ("2026-01-03", "critical", "open", "critical"),
        needed=1,
    )


def test_a_day_that_is_run_again_counts_once() -> None:
    follow(("2026-01-01", "warning", "pending", "warning"), ("2026-01-01", "warning", "pending", "warning"))


def test_a_run_without_new_sales_touches_the_feed_alone() -> None:
    state = empty_state()
    update_incidents(state, [Finding("drift", "critical", "far")], "2026-01-01")
    late = Finding("feed", "warning", "late")
    seen = []
    for feed_day in ("2026-01-05", "2026-01-05", "2026-01-06"):
        alerts = update_incidents(state, [late], "2026-01-01", feed_day=feed_day, feed_only=True)
        seen.append([(alert.check, alert.status) for alert in alerts])
    waits = [("drift", "unchecked"), ("feed", "pending")]
    assert seen == [waits, waits, [("drift", "unchecked"), ("feed", "opened")]]
    assert state["checks"]["drift"]["runs"] == [("2026-01-01", "critical")]


def test_it_is_dated_from_the_first_run_that_saw_it() -> None:
    state = empty_state()
    for day in ("2026-01-01", "2026-01-02"):
        alerts = update_incidents(state, [Finding("drift", "warning", "far")], day)
    assert [alert.since for alert in alerts] == ["2026-01-01"]


def test_the_most_severe_comes_first_and_nothing_is_kept_of_what_is_fine() -> None:
    state = empty_state()
    findings = [Finding("a", "info", "x"), Finding("b", "critical", "y"), Finding("c", "ok", "z")]
    assert [alert.check for alert in update_incidents(state, findings, "2026-01-01", needed=1)] == ["b", "a"]
    assert sorted(state["checks"]) == ["a", "b"]
    for day in ("2026-01-02", "2026-01-03", "2026-01-04"):
        update_incidents(state, [], day)
    assert state["checks"] == {}


def test_a_file_of_another_kind_is_refused(tmp_path) -> None:
    path = tmp_path / "state.json"
    assert read_alert_state(path) == empty_state()
    for text in ("[]", '{"format": 99, "checks": {}}', "{"):
        path.write_text(text)
        with pytest.raises(UserError, match="Move it away"):
            read_alert_state(path)
