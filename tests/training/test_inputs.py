"""What a training learns from: all rows here, or parts on the workers of a cluster and a sample."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from salesforecast.core.settings import UserError
from salesforecast.features.preprocessing import prepare_sales
from salesforecast.sales.reading import read_sales
from salesforecast.sales.schema import ReadOptions
from salesforecast.training import inputs
from salesforecast.training.inputs import read_training_input, save_training_input
from salesforecast.training.transactional import BestConfiguration


@pytest.fixture(scope="module")
def sales() -> pd.DataFrame:
    days = pd.date_range("2025-01-01", periods=120)
    frame = pd.DataFrame({"Transaction_Date": days, "Units_Sold": 1 + np.arange(120) % 5, "Unit_Price": 4.0})
    frame["Revenue"] = frame["Units_Sold"] * 4.0
    frame.loc[7, "Units_Sold"] = 0
    return frame


def test_without_a_cluster_all_rows_are_read_here(sales: pd.DataFrame) -> None:
    read = read_training_input(None, sales, None, "2025-04-01", lambda *a: None, ReadOptions())
    assert len(read.sales_by_levels(()).frame) == 119 and not read.prepared.is_sample
    assert read.remote_fit(*[None] * 4) is None  # type: ignore[arg-type]


def test_a_cluster_reads_files(sales: pd.DataFrame) -> None:
    with pytest.raises(UserError, match="A cluster reads files, not a DataFrame. Write it with to_parquet"):
        read_training_input(object(), sales, None, None, lambda *a: None, ReadOptions())  # type: ignore[arg-type]


@pytest.mark.parametrize(("scale", "cap"), [("list_revenue", 1.0), ("units", np.inf)])
def test_on_a_cluster_reading_is_the_first_seven_tenths(
    monkeypatch: pytest.MonkeyPatch, scale: str, cap: float
) -> None:
    """A realised share is at most 1; revenue per unit has no such limit. What does not fit on workers is fitted here."""
    told, fitted = [], []

    def part(*args: Any, progress: Any = None, **more: Any) -> SimpleNamespace:
        for done in (0.0, 1.0):
            (progress or args[-1])(done, "x")
        return SimpleNamespace(preprocessor={"scale": scale}, history=None)

    monkeypatch.setattr(inputs, "read_partitioned_sales", part)
    monkeypatch.setattr(inputs, "prepare_partitions", part)
    monkeypatch.setattr(inputs, "DistributedXGBoost", lambda *a: lambda *b: fitted.append(b))
    read = read_training_input(object(), "s.parquet", None, None, lambda s, _: told.append(s), ReadOptions())  # type: ignore[arg-type]
    assert told == pytest.approx([0.0, 0.7, 0.7, 1.0])
    for kind in ("xgboost", "random_forest"):
        read.remote_fit(BestConfiguration(kind, {}, {}, 0, {}), "pre", None, None)  # type: ignore[arg-type]
    assert fitted == [({}, "pre", None, cap, None)]


def test_rows_days_and_rejected_rows_are_written(sales: pd.DataFrame, tmp_path: Path) -> None:
    save_training_input(prepare_sales(read_sales(sales), "2025-04-01"), tmp_path)
    counts = {path.name: len(pd.read_csv(path)) for path in tmp_path.iterdir()}
    assert counts == {"PreparedSalesData.csv": 119, "daily_aggregated_revenue.csv": 120, "quarantine.csv": 1}
