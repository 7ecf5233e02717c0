"""What a period is compared with, and what changed."""

from datetime import date

import numpy as np
import pandas as pd
import pytest

from salesforecast.dashboard.model import aggregates
from salesforecast.dashboard.model.dataset import Dataset
from salesforecast.dashboard.model.selection import Filters, Selection
from salesforecast.dashboard.model.spans import (
    describe_mix,
    period_before,
    span_name,
    this_period,
    weekday_mix,
    year_before,
)
from salesforecast.dashboard.ui.filters import ALL, CUSTOM, preset_of, preset_range, presets

FIRST = date(2024, 1, 1)


def shop(days: int = 1_004) -> Dataset:
    """Two categories by day from 1 January 2024: Toys sells its day of the year, Books 10, on Saturdays 50."""
    dates = pd.date_range(FIRST, periods=days)
    toys, books = dates.dayofyear.to_numpy(float), np.where(dates.dayofweek == 5, 50.0, 10.0)
    day = np.repeat(np.arange(days, dtype=np.int32), 2)
    revenue = np.stack([books, toys], axis=1).ravel()
    arrays = {"day": day, "segment": np.tile(np.array([0, 1], np.int32), days), "revenue": revenue}
    arrays |= {"units": revenue / 2, "transactions": np.ones(2 * days)}
    return Dataset(
        "a shop", FIRST, days, arrays, {"Category": np.array([0, 1])}, {"Category": ["Books", "Toys"]}
    )


def part(first: str, last: str, data: Dataset | None = None) -> Selection:
    return Selection(data or shop(), Filters(date.fromisoformat(first), date.fromisoformat(last)))


@pytest.mark.parametrize(
    ("first", "last", "before", "year"),
    [
        ("2026-09-01", "2026-09-30", "August 2026", "September 2025"),
        ("2025-03-01", "2025-03-31", "February 2025", "March 2024"),
        ("2025-02-01", "2025-02-28", "January 2025", "February 2024"),  # which has a day more
        ("2026-07-01", "2026-09-30", "quarter 2 of 2026", "quarter 3 of 2025"),
        ("2026-05-01", "2026-06-30", "1 Mar 2026 to 30 Apr 2026", "1 May 2025 to 30 Jun 2025"),
        ("2025-01-01", "2025-12-31", "2024", "2024"),
        ("2026-09-02", "2026-09-30", "4 Aug 2026 to 1 Sep 2026", "3 Sep 2025 to 1 Oct 2025"),
        ("2024-03-01", "2024-03-31", "February 2024", None),
        ("2024-01-01", "2024-01-31", None, None),
        ("2024-12-30", "2026-09-30", None, None),
        ("2025-01-02", "2026-02-01", None, None),  # as many days before are too many, a year before overlaps
    ],
)
def test_months_are_compared_with_months(first: str, last: str, before: str | None, year: str | None) -> None:
    spans = period_before(part(first, last)), year_before(part(first, last))
    assert tuple(span.name if span else None for span in spans) == (before, year)


def test_the_figures_are_those_of_the_calendar_months() -> None:
    september = part("2026-09-01", "2026-09-30")
    daily = pd.DataFrame({"day": pd.date_range(FIRST, periods=1_004)})
    daily["revenue"] = daily["day"].dt.dayofyear + np.where(daily["day"].dt.dayofweek == 5, 50.0, 10.0)
    monthly = daily.groupby(daily["day"].dt.to_period("M"))["revenue"].sum()
    revenue = aggregates.kpis(september)[0]
    assert (revenue.value, revenue.before, revenue.year_before) == pytest.approx(
        (monthly["2026-09"], monthly["2026-08"], monthly["2025-09"])
    )
    assert revenue.year_change == pytest.approx(monthly["2026-09"] / monthly["2025-09"] - 1)


def test_the_largest_fall_comes_first_and_the_changes_add_up() -> None:
    september = part("2026-09-01", "2026-09-30")
    table = aggregates.changes(september, "Category").set_index("Category")
    assert table.index.tolist() == ["Books", "Toys"]
    # September 2026 has 4 Saturdays in 30 days, August 5 in 31, September 2025 4 in 30
    assert table.loc["Books", ["now", "before", "year_before"]].tolist() == [460.0, 510.0, 460.0]
    assert table.loc["Books", ["change", "growth", "year_change", "year_growth"]].tolist() == pytest.approx(
        [-50.0, -50 / 510, 0.0, 0.0]
    )
    total = aggregates.kpis(september)[0]
    assert total.value and total.before and table["change"].sum() == pytest.approx(total.value - total.before)
    units = aggregates.changes(september, "Category", "units").set_index("Category")
    assert units["change"].tolist() == pytest.approx((table["change"] / 2).tolist())
    assert "before" not in aggregates.changes(part("2024-01-01", "2024-01-31"), "Category")


def test_weekdays_alone_explain_a_part() -> None:
    september = part("2026-09-01", "2026-09-30")
    august, last_year = period_before(september), year_before(september)
    assert august and last_year
    mix = weekday_mix(september, august)
    assert mix.more == (-1, 1, 1, 0, 0, -1, -1)
    daily = pd.Series(september.daily["revenue"], pd.date_range(FIRST, periods=1_004))["2026-08"]
    by_weekday = daily.groupby(daily.index.dayofweek).mean()
    effect = sum(by_weekday[weekday] * count for weekday, count in enumerate(mix.more)) / daily.sum()
    assert mix.effect == pytest.approx(effect)
    assert describe_mix(september, august) == (
        "September 2026 has 1 Tuesday and 1 Wednesday more, and 1 Monday, 1 Saturday and 1 Sunday fewer than August "
        f"2026; that alone makes −{abs(effect):.1%} revenue."
    )
    quarter = part("2026-09-01", "2026-09-28")
    before = period_before(quarter)
    assert before and describe_mix(quarter, before).endswith("has the same weekdays.")
    assert this_period(quarter).name == "1 Sep 2026 to 28 Sep 2026"
    assert (
        weekday_mix(part("2026-09-01", "2026-09-30"), period_before(part("2026-09-02", "2026-09-04"))).effect
        is None
    )  # type: ignore[arg-type]


def test_full_months_and_quarters_are_those_that_the_data_hold_whole() -> None:
    whole, cut, short = shop(1_004), shop(1_003), shop(20)
    assert (whole.last, cut.last) == (date(2026, 9, 30), date(2026, 9, 29))
    assert preset_range("Last full month", whole) == (date(2026, 9, 1), None)  # None: the end of the data
    assert preset_range("Last full month", cut) == (date(2026, 8, 1), date(2026, 8, 31))
    assert preset_range("Last full quarter", cut) == (date(2026, 4, 1), date(2026, 6, 30))
    for name in ("Last full month", "Last full quarter"):
        assert preset_of(Filters(*preset_range(name, cut)), cut) == name
        assert name not in presets(short)
    assert preset_of(Filters(date(2026, 8, 1), date(2026, 8, 30)), cut) == CUSTOM
    assert preset_of(Filters(), short) == ALL
    january = shop(31)
    assert preset_range("Last full month", january) == (None, None)
    assert span_name(january.first, january.last) == "January 2024"
