"""Small models, versions and disks that tests share."""

import hashlib
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import joblib
import pytest
from filelock import FileLock

from salesforecast.core.params import DemandParams, ForecastParams, Params
from salesforecast.datasets import generate_sales, write_sales
from salesforecast.registry.bundle import load_bundle
from salesforecast.training.orchestration import TrainingResult, train_models

ROOT = Path(__file__).parents[2]

OLD, NEW = "20260101-000000-0000", "20260102-000000-0000"

SMALL = Params(
    random_forest=[{"n_estimators": 8, "min_samples_leaf": 20}],
    xgboost=[{"n_estimators": 60, "max_depth": 4}],
    forecast=ForecastParams(windows=2),
)


SMALL_YAML = """\
random_forest: [{n_estimators: 8, min_samples_leaf: 20}]
xgboost: [{n_estimators: 30, max_depth: 4}]
forecast: {windows: 2}
"""


@dataclass(frozen=True)
class Trained:
    """A small training and where it lies."""

    source: Path
    models: Path
    training: TrainingResult


CACHE = ROOT / ".pytest_cache" / "trainings"
Made = TypeVar("Made")


@cache
def code_digest() -> str:
    """Hash the library's code, which everything that is cached depends on."""
    parts = sorted((ROOT / "salesforecast").rglob("*.py"))
    return hashlib.sha256(b"".join(part.read_bytes() for part in parts)).hexdigest()[:16]


def cached(name: str, make: Callable[[Path], Made], into: Path) -> Made:
    """Copy the files that `make` writes for this code into `into`; return what it returned.

    All test processes share the cache, and a later run of the tests finds it: `make` runs once per state of the code.
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    folder = CACHE / f"{name}-{code_digest()}"
    with FileLock(CACHE / f"{name}.lock"):
        if not (folder / "made.joblib").exists():  # written last
            for outdated in CACHE.glob(f"{name}-*"):
                shutil.rmtree(outdated)
            (folder / "files").mkdir(parents=True)
            joblib.dump(make(folder / "files"), folder / "made.joblib")
        shutil.copytree(folder / "files", into, dirs_exist_ok=True)
        return joblib.load(folder / "made.joblib")


def train_small(folder: Path) -> TrainingResult:
    """Train on 8,000 synthetic sales: `sales.csv` and `models` in `folder`."""
    source = write_sales(generate_sales(rows=8_000, seed=3), folder / "sales.csv")
    return train_models(source, models_dir=folder / "models", params=SMALL, track=False)


def small_training(folder: Path) -> Trained:
    """Give a small training of its own to whoever asks; it may be changed."""
    training = cached("small", train_small, folder)
    models = folder / "models"
    return Trained(folder / "sales.csv", models, replace(training, path=models / training.version))


def train_with_demand(folder: Path) -> TrainingResult:
    """Train as `train_small`, with forecasts of units and revenue by category, region, product, and product and region."""
    source = write_sales(generate_sales(rows=8_000, seed=3), folder / "sales.csv")
    levels = "Category;Region;Product_ID;Product_ID,Region"
    demand = DemandParams(by=levels, candidates=["window_average"])
    params = SMALL.model_copy(update={"demand": demand})
    training = train_models(source, models_dir=folder / "models", params=params, track=False)
    return replace(training, demand={})  # which cannot be pickled; the version holds it as well


def demand_training(folder: Path) -> Trained:
    """Give a small training with demand of its own to whoever asks; it may be changed."""
    training = cached("demand", train_with_demand, folder)
    models = folder / "models"
    return Trained(folder / "sales.csv", models, replace(training, path=models / training.version))


@contextmanager
def small_disk(size: int) -> Iterator[tuple[Path, Callable[[int], None]]]:
    """A file system of so many bytes, and what gives it another size.

    It is not below `tmp_path`: pytest cannot remove what a run that was killed has left mounted there, and says so in later ones.
    """
    with TemporaryDirectory(prefix="small-disk-") as folder:
        words = ["mount", "-t", "tmpfs", "-o", f"size={size // 1024}k", "tmpfs", folder]
        mounted = subprocess.run(words, capture_output=True)
        if mounted.returncode != 0:
            pytest.skip(f"a small tmpfs cannot be mounted here: {mounted.stderr.decode().strip()}")

        def grow(size: int) -> None:
            subprocess.run(["mount", "-o", f"remount,size={size // 1024}k", folder], check=True)

        try:
            yield Path(folder), grow
        finally:
            subprocess.run(["umount", folder], check=True)


def whole(models: Path) -> str:
    """The served version, after reading every file of it against its digest."""
    bundle = load_bundle(models)
    for name in bundle.manifest.files:
        bundle.open(name)
    return bundle.version
