"""Small models, versions and disks that tests share."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from salesforecast.core.params import ForecastParams, Params
from salesforecast.registry.bundle import load_bundle
from salesforecast.training.orchestration import TrainingResult

ROOT = Path(__file__).parents[2]

OLD, NEW = "20260101-000000-0000", "20260102-000000-0000"

SMALL = Params(
    random_forest=[{"n_estimators": 8, "min_samples_leaf": 20}],
    xgboost=[{"n_estimators": 60, "max_depth": 4}],
    forecast=ForecastParams(windows=2),
)


@dataclass(frozen=True)
class Trained:
    """A small training and where it lies."""

    source: Path
    models: Path
    training: TrainingResult


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[tuple[Path, Callable[[int], None]]]:
    """A file system of so many bytes, and what gives it another size."""
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={size // 1024}k", "tmpfs", str(folder)]
    mounted = subprocess.run(words, capture_output=True)
    if mounted.returncode != 0:
        pytest.skip(f"a small tmpfs cannot be mounted here: {mounted.stderr.decode().strip()}")

    def grow(size: int) -> None:
        subprocess.run(["mount", "-o", f"remount,size={size // 1024}k", str(folder)], check=True)

    try:
        yield folder, grow
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def whole(models: Path) -> str:
    """The served version, after reading every file of it against its digest."""
    bundle = load_bundle(models)
    for name in bundle.manifest["files"]:
        bundle.open(name)
    return bundle.version
