"""Train on the two public exports of the docs from the command line, and write `benchmarks/real_data.json`.

The files are not part of the project; `SALESFORECAST_REAL_DATA` names the folder that holds them.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from salesforecast.core.metrics import coverage
from salesforecast.features.daily import aggregate_daily_revenue
from salesforecast.forecasting.sarima.backtest import backtest
from salesforecast.registry.bundle import load_bundle
from salesforecast.sales.reading import read_sales
from salesforecast.sales.schema import load_mapping
from salesforecast.training.daily import calendar_covariates

RESULTS = Path(__file__).with_name("real_data.json")
MAPPINGS = Path(__file__).parents[1] / "data" / "mappings"
EXPORTS: dict[str, list[str]] = {"complete_journey": ["--test-start", "2017-10-01"], "online_retail": []}
SERIES = 8  # the largest categories, whose daily ranges are checked
WINDOWS = 4


def trained(name: str, words: list[str], folder: Path) -> dict[str, Any]:
    """Metrics of one export, and the seconds that the whole command took."""
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-c", "from salesforecast.cli.main import main; main()", "train"]
        command += [
            f"{folder / name}.csv.gz",
            "--mapping",
            str(MAPPINGS / f"{name}.yaml"),
            *words,
            "--no-track",
        ]
        for option in ("models", "processed", "reports"):
            command += [f"--{option}-dir", f"{out}/{option}"]
        began = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - began
        manifest = load_bundle(Path(out) / "models").manifest
    return {
        "seconds": round(seconds, 1),
        "test_start": manifest.split.test_start,
        "rows": manifest.data.rows,
        "served": manifest.served,
        **manifest.metrics.model_dump(),
    }


def ranges(name: str, folder: Path) -> dict[str, Any]:
    """Coverage of daily ranges of the largest categories, over rolling origins."""
    mapping = load_mapping(MAPPINGS / f"{name}.yaml")
    frame = read_sales(f"{folder / name}.csv.gz", mapping).frame
    largest = frame.groupby("Category", observed=True)["Revenue"].sum().nlargest(SERIES).index
    found: dict[str, Any] = {}
    for category in largest:
        series = aggregate_daily_revenue(frame[frame["Category"] == category])
        rows = backtest(series, horizon=28, windows=WINDOWS, **calendar_covariates(series, mapping))
        rows = rows[rows["model"] == "sarima"]
        found[str(category)] = {
            str(level): coverage(rows["y"], rows[f"lo-{level}"], rows[f"hi-{level}"]) for level in (80, 95)
        }
    means = {level: sum(row[level] for row in found.values()) / len(found) for level in ("80", "95")}
    return {"horizon": 28, "windows": WINDOWS, "by category": found, "mean": means}


def main() -> None:
    """Run, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    found: dict[str, Any] = {name: trained(name, words, options.folder) for name, words in EXPORTS.items()}
    found["complete_journey"]["ranges"] = ranges("complete_journey", options.folder)
    options.out.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1), f"written to {options.out}", sep="\n")


if __name__ == "__main__":
    main()
