"""The two real exports, from the command line with a mapping alone."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from support.models import ROOT

pytestmark = pytest.mark.slow


def train(run_command: Callable, source: Path, mapping: str, folder: Path, *words: str) -> dict:
    """Train on an export; the manifest."""
    mapping_file = ROOT / "data" / "mappings" / mapping
    done = run_command(
        *(
            "train",
            source,
            "--mapping",
            mapping_file,
            "--models-dir",
            folder / "models",
            "--no-track",
            *words,
        ),
        *("--processed-dir", folder / "processed", "--reports-dir", folder / "reports"),
    )
    assert done.returncode == 0, done.stderr
    return json.loads(run_command("models", "show", "--json", "--models-dir", folder / "models").stdout)


def test_complete_journey(real_data: Path, run_command: Callable, tmp_path: Path) -> None:
    source = real_data / "complete_journey.csv.gz"
    manifest = train(run_command, source, "complete_journey.yaml", tmp_path, "--test-start", "2017-10-01")
    metrics = manifest["metrics"]["transactional"]
    print({name: round(row["wape"], 4) for name, row in metrics.items()})
    assert metrics[manifest["served"]]["wape"] <= 0.113
    assert abs(metrics[manifest["served"]]["bias"]) <= 0.02
    assert (
        manifest["metrics"]["daily"]["sarima"]["wape"]
        <= manifest["metrics"]["daily"]["seasonal_naive"]["wape"]
    )


def test_online_retail(real_data: Path, run_command: Callable, tmp_path: Path) -> None:
    source = real_data / "online_retail.csv.gz"
    manifest = train(run_command, source, "online_retail.yaml", tmp_path)
    metrics = manifest["metrics"]["transactional"]
    print({name: round(row["wape"], 4) for name, row in manifest["metrics"]["daily"].items()})
    assert metrics[manifest["served"]]["wape"] <= 0.01
    assert (
        manifest["metrics"]["daily"]["sarima"]["wape"]
        <= manifest["metrics"]["daily"]["seasonal_naive"]["wape"]
    )
    out = tmp_path / "far.csv"
    far = tmp_path / "asked.csv"
    far.write_text("Transaction_Date,Units_Sold,Unit_Price,Region\n2011-12-12,809950,2.08,United Kingdom\n")
    assert run_command("predict", far, "--out", out, "--models-dir", tmp_path / "models").returncode == 0
    assert np.isclose(pd.read_csv(out)["predicted_revenue"][0], 809950 * 2.08, rtol=0.01)
