"""The error to expect: by season, and where the test period had none."""

import numpy as np
import pytest

from salesforecast.monitoring.errors import YEAR_DAYS
from salesforecast.monitoring.performance import season_factor

YEAR_BEFORE = 10  # day of the baseline's daily sums that is a year before the window


@pytest.fixture
def baseline() -> dict[str, object]:
    """30 days from 2024-01-01: errors of 20 in each day's sales of 100, of 40 about the tenth day."""
    errors = np.full(60, 20.0)
    errors[YEAR_BEFORE - 7 : YEAR_BEFORE + 8] = 40.0
    daily = {"first": "2024-01-01", "sums": [errors.tolist(), [0.0] * 60, [100.0] * 60]}
    return {"metrics": {"wape": 0.2}, "daily": daily}


@pytest.mark.parametrize(("wape", "factor"), [(0.2, 2.0), (0.4, 1.0), (0.8, 1.0), (0.0, 1.0)])
def test_the_season_a_year_before_raises_the_expected_error(
    baseline: dict[str, object], wape: float, factor: float
) -> None:
    baseline["metrics"] = {"wape": wape}
    day = np.datetime64("2024-01-01") + YEAR_DAYS + YEAR_BEFORE
    assert season_factor(baseline, day, day) == pytest.approx(factor)  # type: ignore[arg-type]


def test_days_before_the_baseline_are_not_known(baseline: dict[str, object]) -> None:
    day = np.datetime64("2024-01-03")
    assert season_factor(baseline, day, day) == 1.0  # type: ignore[arg-type]
