"""Closed days, missing periods and regressors of a daily series, by hand."""

from datetime import date

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from salesforecast.forecasting.sarima.calendar import (
    Calendar,
    closed_weekdays,
    fill_missing_periods,
    group_dates_by_holiday,
    holiday_closures,
    weekday_of,
)

MONDAY = np.datetime64("2026-01-05")


def days(count: int, first: np.datetime64 = MONDAY) -> np.ndarray:
    return first + np.arange(count)


def test_monday_is_0() -> None:
    assert weekday_of(days(8)).tolist() == [0, 1, 2, 3, 4, 5, 6, 0]


@pytest.mark.parametrize(
    ("weeks", "sundays", "closed"),
    [
        (8, [0] * 8, [6]),
        (8, [1] + [0] * 7, [6]),
        (8, [1, 1] + [0] * 6, []),
        (4, [0] * 4, [6]),
        (3, [0] * 3, []),
    ],
)
def test_a_weekday_with_at_most_one_sale_in_eight_is_closed(
    weeks: int, sundays: list[int], closed: list[int]
) -> None:
    values = np.ones((weeks, 7))
    values[:, 6] = sundays
    assert closed_weekdays(values.ravel(), np.tile(np.arange(7), weeks)) == closed


def test_only_the_last_eight_weeks_tell() -> None:
    values = np.ones((20, 7))
    values[12:, 6] = 0
    assert closed_weekdays(values.ravel(), np.tile(np.arange(7), 20)) == [6]
    assert closed_weekdays(values[:-1].ravel(), np.tile(np.arange(7), 19)) == [6]  # one sale in eight weeks
    assert closed_weekdays(values[:-2].ravel(), np.tile(np.arange(7), 18)) == []


def test_a_missing_period_is_the_mean_of_four_of_its_season_on_either_side() -> None:
    values = np.arange(30.0)[None] ** 2
    missing = np.zeros(30, bool)
    missing[14] = True
    same = [i for i in range(14 - 2 * 4, 14 + 2 * 4 + 1, 2) if i != 14]
    filled = fill_missing_periods(values, missing, 2)
    assert filled[0, 14] == np.mean(values[0, same])
    assert_array_equal(np.delete(filled, 14, 1), np.delete(values, 14, 1))


def test_without_another_of_its_season_all_known_periods_fill_it() -> None:
    assert fill_missing_periods(np.array([[1.0, 9.0, 5.0]]), np.array([False, True, False]), 7)[0, 1] == 3.0
    nothing = np.full((1, 2), np.nan)
    assert fill_missing_periods(nothing, np.array([True, True]), 7) is nothing


def test_holidays_without_a_name_recur_by_their_date() -> None:
    groups = group_dates_by_holiday(
        {date(2026, 1, 1): "holiday", date(2025, 1, 1): "holiday", date(2026, 5, 1): "May"}
    )
    assert {name: each.astype(str).tolist() for name, each in groups.items()} == {
        "holiday 01-01": ["2025-01-01", "2026-01-01"],
        "May": ["2026-05-01"],
    }


def test_a_shop_that_closes_on_a_holiday_and_the_day_after_does_so_next_year() -> None:
    """Sundays are closed anyway; the holiday of another name, on which it sells, closes nothing."""
    all_days = days(730, np.datetime64("2024-01-01"))
    feasts = {date(year, 5, 1): "May" for year in (2024, 2025, 2026)} | {
        date(year, 9, 1): "Fair" for year in (2024, 2025, 2026)
    }
    regular = weekday_of(all_days) == 6
    closed = np.isin(all_days, np.array(["2024-05-01", "2024-05-02", "2025-05-01", "2025-05-02"], "M8[D]"))
    found = holiday_closures(all_days, regular | closed, regular, feasts)
    assert found.astype(str).tolist() == [
        *("2024-05-01", "2024-05-02", "2025-05-01", "2025-05-02", "2026-05-01", "2026-05-02")
    ]


def test_a_shop_that_was_open_once_is_not_closed_by_the_holiday() -> None:
    all_days = days(730, np.datetime64("2024-01-01"))
    feasts = {date(year, 5, 1): "May" for year in (2024, 2025)}
    none = np.zeros(730, bool)
    assert len(holiday_closures(all_days, all_days == np.datetime64("2024-05-01"), none, feasts)) == 0


def test_regressors_are_waves_of_a_year_flags_and_weekday_effects_that_add_up_to_nothing() -> None:
    calendar = Calendar(
        weekdays=(6,),
        closures=np.array(["2026-01-07"], "M8[D]"),
        fourier=1,
        groups={"May": np.array(["2026-01-06"], "M8[D]")},
        week=True,
    )
    assert calendar.closed(days(7)).tolist() == [False, False, True, False, False, False, True]
    rows = calendar.regressors(days(6))
    assert calendar.names == ["sin 1", "cos 1", "May", *(f"weekday {i}" for i in range(5))]
    angle = 2 * np.pi * MONDAY.astype("int64") / 365.25
    assert_allclose(rows[0, :2], [np.sin(angle), np.cos(angle)])
    assert rows[:, 2].tolist() == [0, 1, 0, 0, 0, 0]
    assert_array_equal(rows[:, 3:].sum(0), np.zeros(5))
    assert_array_equal(rows[5, 3:], -np.ones(5))
    assert Calendar().regressors(days(3)).shape == (3, 0)
