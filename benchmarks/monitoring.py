"""How often monitoring alarms when nothing is wrong, and how soon when something is: `python -m benchmarks.monitoring`.

Made-up shops are sold from for two years, trained on, and then watched once a week for another year, each time with
everything sold since the training. A run alarms when an incident opens. The same shops with a drift injected tell how
many days pass until then. Writes `benchmarks/monitoring.json`.
"""

import argparse
import json
import platform
import tempfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from salesforecast.core.params import ForecastParams, MonitorParams, Params
from salesforecast.datasets import Drift, DriftKind, SyntheticSales, generate_sales
from salesforecast.monitoring.monitor import monitor
from salesforecast.training.orchestration import train_models

RESULTS = Path(__file__).with_name("monitoring.json")
END = pd.Timestamp("2025-10-01")  # first day after the training
WEEKS = 52
DRIFT_START = pd.Timestamp("2026-03-01")
WATCHED = 42  # days in which an injected drift may be found
BEFORE = 5  # days of looking before it begins
KINDS: dict[DriftKind, tuple[float, ...]] = {
    "price_level": (0.1, 0.3),
    "mix": (0.3,),
    "changed_promotions": (0.3, 1.0),
    "new_region": (0.1,),
    "broken_feed": (0.3,),
}
EXPECTED = {  # how a check's name begins that names the cause
    "price_level": ("drift: Price_Level",),
    "mix": ("drift: Category", "sales: Category "),
    "changed_promotions": ("drift: Realised_Share",),
    "new_region": ("new: Region",),
    "broken_feed": ("missing: Category",),
}
SMALL = Params(
    random_forest=[{"n_estimators": 8, "min_samples_leaf": 20}],
    xgboost=[{"n_estimators": 120, "max_depth": 4, "learning_rate": 0.1}],
    forecast=ForecastParams(windows=4),
)


def write_until(sales: SyntheticSales, path: Path, first: pd.Timestamp, last: pd.Timestamp) -> Path:
    """The rows from `first` to `last` as a CSV file."""
    sales.frame[sales.truth["ds"].between(first, last)].to_csv(path, index=False)
    return path


def watch(
    sales: SyntheticSales, models: Path, folder: Path, days: list[pd.Timestamp]
) -> list[tuple[pd.Timestamp, str]]:
    """The incidents that open when the shop is looked at on each of these days: day and check."""
    state, opened = folder / "state.json", []
    state.unlink(missing_ok=True)
    for day in days:
        source = write_until(sales, folder / "new.csv", END, day)
        report = monitor(source, models_dir=models, params=MonitorParams(), state=state, as_of=day.date())
        opened += [(day, alert.check) for alert in report.alerts if alert.status == "opened"]
    return opened


def weekly(first: pd.Timestamp, count: int) -> list[pd.Timestamp]:
    """Days a week apart, the first one a week after `first`."""
    return [first + pd.Timedelta(days=7 * i - 1) for i in range(1, count + 1)]


def one_shop(seed: int, rows: int, folder: Path) -> dict[str, Any]:
    """Incidents in a year without drift, and the days until each drift is found."""
    sales, models = generate_sales(rows=rows, seed=seed), folder / "models"
    old = write_until(sales, folder / "old.csv", pd.Timestamp("2023-10-01"), END - pd.Timedelta(days=1))
    train_models(old, models_dir=models, params=SMALL, track=False)
    found: dict[str, Any] = {"calm": [check for _, check in watch(sales, models, folder, weekly(END, WEEKS))]}
    # looked at daily, from some days before the drift on, so that the runs before it count as they would
    looks = list(pd.date_range(DRIFT_START - pd.Timedelta(days=BEFORE), periods=BEFORE + WATCHED))
    for kind, strengths in KINDS.items():
        for strength in strengths:
            drifted = generate_sales(
                rows=rows, seed=seed, drift=Drift(kind, f"{DRIFT_START:%Y-%m-%d}", strength)
            )
            opened = [hit for hit in watch(drifted, models, folder, looks) if hit[0] >= DRIFT_START]
            named = [day for day, check in opened if check.startswith(EXPECTED[kind])]
            found[f"{kind} {strength:g}"] = {
                "any": (opened[0][0] - DRIFT_START).days + 1 if opened else None,
                "first": opened[0][1] if opened else None,
                "named": (named[0] - DRIFT_START).days + 1 if named else None,
            }
    return found


def told_shop(seed: int, rows: int) -> dict[str, Any]:
    """`one_shop` in a folder of its own, printed."""
    with tempfile.TemporaryDirectory() as folder:
        shop = one_shop(seed, rows, Path(folder))
    print(seed, json.dumps(shop), flush=True)
    return shop


def summary(shops: list[dict[str, Any]]) -> dict[str, Any]:
    """False alarms per year and by check; by drift the share that is found, and the days until then."""
    calm = Counter(check for shop in shops for check in shop["calm"])
    drifts = {}
    for name in shops[0].keys() - {"calm"}:
        out = {}
        for what in ("any", "named"):
            days = [shop[name][what] for shop in shops if shop[name][what] is not None]
            out |= {
                f"found_{what}": len(days) / len(shops),
                f"days_{what}": float(np.median(days)) if days else None,
            }
        out["first_checks"] = dict(Counter(shop[name]["first"] for shop in shops).most_common(3))
        drifts[name] = out
    return {
        "shops": len(shops),
        "runs_a_year": WEEKS,
        "incidents_a_year": sum(calm.values()) / len(shops),
        "years_without_any": sum(not shop["calm"] for shop in shops) / len(shops),
        "incidents_by_check": dict(calm.most_common()),
        "drift": {name: drifts[name] for name in sorted(drifts)},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shops", type=int, default=8)
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--rows", type=int, default=60_000, help="sales of a shop in three years")
    parser.add_argument("--first-seed", type=int, default=100)
    parser.add_argument("--out", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    seeds = range(chosen.first_seed, chosen.first_seed + chosen.shops)
    with ProcessPoolExecutor(chosen.jobs) as pool:
        shops = list(pool.map(told_shop, seeds, [chosen.rows] * len(seeds)))
    about = {"rows": chosen.rows, "python": platform.python_version(), "first_seed": chosen.first_seed}
    chosen.out.write_text(json.dumps(about | summary(shops), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
