"""Planners' numbers: how the parts of a total are fitted to them, and whether they helped."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import date
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy.sparse import csr_matrix

from salesforecast.core.settings import UserError
from salesforecast.forecasting import overrides
from salesforecast.forecasting.effects import no_causes
from salesforecast.forecasting.overrides import override_levels, value_added

PANEL = SimpleNamespace(  # a total of two parts
    ids=["Total", "A", "B"], summing=csr_matrix(np.array([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0]]))
)


@pytest.mark.parametrize(
    ("values", "targets", "fitted"),
    [
        ([3.0, 1.0], {0: 8.0}, [6.0, 2.0]),  # a total scales its parts
        ([0.0, 0.0], {0: 8.0}, [4.0, 4.0]),  # parts without a forecast share alike
        ([3.0, 1.0], {1: 5.0}, [5.0, 1.0]),
        ([3.0, 1.0], {0: 8.0, 1: 5.0}, [5.0, 3.0]),
        ([3.0, 1.0], {0: 0.0}, [0.0, 0.0]),
        ([3.0, 1.0], {0: 7.0, 1: 5.0, 2: 2.0}, [5.0, 2.0]),
    ],
)
def test_parts_are_fitted_to_what_planners_say(
    values: list[float], targets: dict[int, float], fitted: list[float]
) -> None:
    before = np.array(values)
    assert_allclose(overrides._fit_to_targets(PANEL, before, targets, "2026-01-01"), fitted, rtol=1e-8)
    assert before.tolist() == values


@pytest.mark.parametrize("targets", [{0: 4.0, 1: 5.0}, {0: 8.0, 1: 5.0, 2: 2.9999}])
def test_what_cannot_all_hold_is_refused(targets: dict[int, float]) -> None:
    with pytest.raises(UserError, match="overrides of 2026-01-01 cannot all hold: Total = ") as error:
        overrides._fit_to_targets(PANEL, np.array([3.0, 1.0]), targets, "2026-01-01")
    assert "A = 5" in str(error.value)


def test_only_periods_that_contradict_do_not_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    panel = SimpleNamespace(step=1, ids=np.array(PANEL.ids), summing=PANEL.summing, bottom=slice(1, 3))
    days = np.array(["2026-12-01", "2026-12-02", "2026-12-03"], "datetime64[D]")
    forecast = SimpleNamespace(
        panel=panel, days=days, yhat=np.array([[4.0] * 3, [3.0] * 3, [1.0] * 3]), row=PANEL.ids.index
    )
    forecast.revenue, forecast.notes, forecast.model, forecast.effects = np.empty((0, 0)), (), None, None
    forecast.unplanned, forecast.causes = None, no_causes()
    monkeypatch.setattr(overrides, "build_forecast", lambda model, effects, yhat, *others, **more: yhat)
    rows = told(
        ("Total", "2026-12-01", 2.0, "Ann", "", 4.0),
        ("A", "2026-12-01", 3.0, "Bob", "", 3.0),
        ("A", "2026-12-02", 5.0, "Bob", "", 3.0),
        ("A", "2026-12-03", 5.0, "Bob", "", 3.0),
        ("Total", "2026-12-03", 4.0, "Ann", "", 4.0),
        ("Nowhere", "2026-12-03", 4.0, "Ann", "", 4.0),
    )
    held, _, left_out, problem = overrides.hold_overrides(forecast, rows)
    assert_allclose(held, [[4.0, 6.0, 4.0], [3.0, 5.0, 3.0], [1.0, 1.0, 1.0]])
    assert left_out["unique_id"].tolist() == ["Nowhere"]
    assert "overrides of 2026-12-01 cannot all hold: Total = 2, A = 3" in problem
    assert problem.endswith("Nor can those of 2026-12-03.")
    held, _, _, problem = overrides.hold_overrides(forecast, rows[2:4])
    assert_allclose(held[0], [4.0, 6.0, 6.0])
    assert problem == ""


def connecting(monkeypatch: pytest.MonkeyPatch, connect: Callable[[Path], sqlite3.Connection]) -> None:
    """Let the store connect so."""
    monkeypatch.setattr(
        overrides,
        "sqlite3",
        SimpleNamespace(
            Error=sqlite3.Error,
            SQLITE_BUSY=sqlite3.SQLITE_BUSY,
            SQLITE_LOCKED=sqlite3.SQLITE_LOCKED,
            connect=lambda path, timeout: connect(path),
        ),
    )


def test_a_store_that_cannot_be_used_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, other, store = tmp_path / "folder.db", tmp_path / "other.db", tmp_path / "store.db"
    folder.mkdir()
    other.write_text("no database " * 100)
    for path in (folder, other):
        with pytest.raises(UserError, match=f"{path.name}.*: .* allowed to write the file"):
            overrides.load_overrides(path)
    with closing(sqlite3.connect(store)) as connection, connection:
        connection.execute(f"CREATE TABLE overrides ({', '.join(overrides.OVERRIDE_COLUMNS)})")
        connection.execute("INSERT INTO overrides VALUES ('A', '2026-12-01', 1, '', '', 2, '')")
    with monkeypatch.context() as patch:
        connecting(patch, lambda path: sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True))
        assert len(overrides.load_overrides(store)) == 1  # reading needs no right to write
        with pytest.raises(UserError, match="store.db.*readonly"):
            overrides.remove_overrides(store, [1])
    with closing(sqlite3.connect(store)) as writer, monkeypatch.context() as patch:
        writer.execute("BEGIN EXCLUSIVE")
        connecting(patch, partial(sqlite3.connect, timeout=0))
        for use in (overrides.load_overrides, partial(overrides.remove_overrides, numbers=[1])):
            with pytest.raises(UserError, match="store.db.*is locked.*Nothing was changed. Try again"):
                use(store)
    assert overrides.LOCK_SECONDS <= 3  # nobody waits longer for a locked store
    with pytest.raises(UserError, match="no override 2"):
        overrides.remove_overrides(store, [1, 2])
    assert overrides.load_overrides(store).index.tolist() == [1]  # all are removed, or none
    overrides.remove_overrides(store, [1])


WEEKS = SimpleNamespace(  # the weeks that end on these Sundays
    row=lambda name: 0,
    days=np.array(["2026-12-06", "2026-12-13", "2026-12-20"], "datetime64[D]"),
    yhat=np.array([[700.0, 800.0, 900.0]]),
    panel=SimpleNamespace(step=7),
)


@pytest.mark.parametrize(
    ("first", "last", "nearest"),
    [
        ("2026-12-05", "2026-12-07", "2026-11-30 to 2026-12-06"),  # Saturday to Monday
        ("2026-12-13", "2026-12-13", "2026-12-07 to 2026-12-13"),  # the last day of a week
        ("2026-12-09", "2026-12-15", "2026-12-07 to 2026-12-13"),  # seven days of two weeks
        ("2026-11-30", "2026-12-12", "2026-11-30 to 2026-12-13"),
        ("2026-12-14", "2026-12-27", "2026-12-14 to 2026-12-20"),  # beyond the forecast
    ],
)
def test_a_part_of_a_week_is_no_span(first: str, last: str, nearest: str) -> None:
    with pytest.raises(UserError, match=f"nearest whole weeks from {nearest}$") as error:
        overrides.spread_override(WEEKS, "total", date.fromisoformat(first), date.fromisoformat(last), 50.0)
    assert f"{first} to {last} is not forecast as a whole. The periods go from 2026-11-30 to" in str(
        error.value
    )


def test_whole_weeks_share_a_number_as_they_are_forecast() -> None:
    rows = overrides.spread_override(WEEKS, "total", date(2026, 11, 30), date(2026, 12, 13), 150.0)
    assert rows["ds"].tolist() == [pd.Timestamp("2026-12-06"), pd.Timestamp("2026-12-13")]
    assert rows["value"].tolist() == pytest.approx([70.0, 80.0])
    with pytest.raises(UserError, match="No period"):  # ends before it begins
        overrides.spread_override(WEEKS, "total", date(2026, 12, 14), date(2026, 12, 13), 1.0)


def told(*rows: tuple) -> pd.DataFrame:
    names = ["unique_id", "ds", "value", "author", "reason", "model_yhat"]
    return pd.DataFrame(rows, columns=names).assign(ds=lambda f: pd.to_datetime(f["ds"]))


def test_value_added_is_by_how_much_the_error_fell() -> None:
    """Sold were 10 and 20; the later of two numbers for one day is the planner's."""
    sold = told(("A", "2026-01-01", 0, "", "", 0), ("A", "2026-01-02", 0, "", "", 0))[["unique_id", "ds"]]
    panel = SimpleNamespace(to_long_frame=lambda: sold.assign(y=[10.0, 20.0]))
    rows = told(
        ("A", "2026-01-01", 99.0, "Ann", "fair", 16.0),
        ("A", "2026-01-01", 13.0, "Ann", "fair", 16.0),
        ("A", "2026-01-02", 20.0, "Ann", "", 23.0),
        ("A", "2026-01-02", 26.0, "Bob", "", 23.0),
        ("A", "2026-01-03", 1.0, "Ann", "", 2.0),  # has not passed
    )
    by_author = value_added(rows, panel)
    assert by_author.to_dict("records") == [
        {
            "author": "Ann",
            "overrides": 2,
            "wape_model": 0.3,
            "wape_planner": 0.1,
            "value_added": pytest.approx(0.2),
        },
        {
            "author": "Bob",
            "overrides": 1,
            "wape_model": 0.15,
            "wape_planner": 0.3,
            "value_added": pytest.approx(-0.15),
        },
    ]
    assert value_added(rows, panel, "unique_id")["overrides"].tolist() == [3]
    assert value_added(rows, panel, "reason")["reason"].tolist() == ["", "fair"]
    with pytest.raises(UserError, match="not 'ds'"):
        value_added(rows, panel, "ds")


def test_the_levels_are_those_that_the_names_speak_of() -> None:
    names = ["Total", "Category=Toys", "Category=Toys/Region=North", "Category=Food"]
    assert override_levels(names) == (("Category",), ("Category", "Region"))
