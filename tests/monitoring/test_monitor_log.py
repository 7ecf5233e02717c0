"""The history of monitoring runs outlives a line that a crash cut short."""

from pathlib import Path

import pandas as pd

from salesforecast.monitoring.report import MONITOR_LOG, MonitorReport, keep_report, read_monitor_log


def report(version: str) -> MonitorReport:
    none = pd.DataFrame()
    window = {"first": "2026-09-03", "last": "2026-09-30", "days": 28, "rows": 9, "has_actuals": True}
    return MonitorReport(
        version, "sales.csv", "2026-10-01T05:00:00+00:00", window, none, none, none, none, none, {}, (), ()
    )  # fmt: skip


def test_a_line_that_was_cut_short_spoils_neither_the_next_nor_the_reading(tmp_path: Path) -> None:
    keep_report(report("a"), tmp_path)
    whole = (tmp_path / MONITOR_LOG).read_bytes()
    (tmp_path / MONITOR_LOG).write_bytes(whole + whole[:40])
    keep_report(report("b"), tmp_path)
    assert [line["version"] for line in read_monitor_log(tmp_path)] == ["a", "b"]
    earlier = whole[:40] + whole  # as earlier releases appended to half a line
    (tmp_path / MONITOR_LOG).write_bytes(earlier + whole)
    assert [line["version"] for line in read_monitor_log(tmp_path)] == ["a"]
