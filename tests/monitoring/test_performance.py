"""The error to expect: by season, and where the test period had none."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from salesforecast.core.params import MonitorParams
from salesforecast.lifecycle.update import update_bundle
from salesforecast.monitoring.baseline import load_baseline
from salesforecast.monitoring.errors import YEAR_DAYS
from salesforecast.monitoring.performance import estimate_error, season_factor
from salesforecast.monitoring.recent_sales import prepare_monitored_sales
from salesforecast.registry.bundle import load_bundle
from salesforecast.registry.new_sales import read_new_sales
from salesforecast.sales.reading import read_sales
from salesforecast.sales.schema import ColumnMapping, load_mapping
from salesforecast.training.orchestration import train_models
from support.models import ROOT, SMALL

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


@pytest.mark.slow
def test_the_error_that_is_expected_before_revenue_is_known_is_near_the_real_one(
    real_data: Path, tmp_path: Path
) -> None:
    """Six months of Complete Journey, each after an update with all before it.

    The estimate is above the real error: its level is that of the model as fitted before the test period, and the served
    one is fitted on all rows.
    """
    mapping = load_mapping(ROOT / "data/mappings/complete_journey.yaml")
    sales = read_sales(real_data / "complete_journey.csv.gz", mapping).frame
    sales = (
        sales[~sales["is_return"]].drop(columns="is_return").sort_values("Transaction_Date", kind="stable")
    )
    month = sales["Transaction_Date"].dt.to_period("M").astype(str)

    def rows(first: str, last: str) -> pd.DataFrame:
        return sales[month.between(first, last)].reset_index(drop=True)

    train_models(rows("", "2017-06"), ColumnMapping(), models_dir=tmp_path, params=SMALL, track=False)
    off = {}
    for number in range(7, 13):
        if number > 7:
            update_bundle(tmp_path, rows("2017-07", f"2017-{number - 1:02d}"), ColumnMapping())
        bundle, newest = load_bundle(tmp_path), rows(f"2017-{number:02d}", f"2017-{number:02d}")
        unknown = read_new_sales(bundle, newest.drop(columns="Revenue"), ColumnMapping())
        recent = prepare_monitored_sales(bundle, unknown, MonitorParams()).since_training
        real = np.abs(recent.predicted - newest["Revenue"]).sum() / newest["Revenue"].sum()
        off[number] = float(estimate_error(recent, load_baseline(bundle))["wape"] / real - 1)
    assert all(0.0 < share < 0.1 for share in off.values()), off
