"""The same on a Dask cluster as on one machine: a real scheduler, and workers in other processes."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pandas as pd
import pytest
from clusters import Processes, dask_processes
from conftest import SMALL

from salesforecast.cluster import Cluster, connect
from salesforecast.data import SalesData, read_sales
from salesforecast.demand import fit_demand, forecast_demand
from salesforecast.hierarchy import make_panel, parse_levels
from salesforecast.settings import UserError
from salesforecast.synthetic import generate_sales
from salesforecast.train import Training, train_models

ROWS = 8_000


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    """A scheduler and two workers."""
    with dask_processes(tmp_path_factory.mktemp("dask")) as found:
        yield found


@pytest.fixture(scope="module")
def cluster(processes: Processes) -> Iterator[Cluster]:
    """A connection to them."""
    with connect(processes.address, timeout=60) as found:
        yield found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made-up sales as five Parquet files, two months or so in each, dirty rows among them."""
    folder = tmp_path_factory.mktemp("sales")
    frame = generate_sales(rows=ROWS, seed=3).frame
    for i, rows in enumerate(np.array_split(np.arange(len(frame)), 5)):
        frame.iloc[rows].astype({"Transaction_Date": str}).to_parquet(
            folder / f"part-{i}.parquet", index=False
        )
    return folder


@pytest.fixture(scope="module")
def sales(folder: Path) -> SalesData:
    """The same rows, read here."""
    return read_sales(folder)


def test_results_come_in_order_and_errors_as_they_were(cluster: Cluster) -> None:
    def square(x: int) -> int:
        if x == 1000:
            raise UserError("1000 is too much")
        return x * x

    assert list(cluster.map(square, ((x,) for x in range(30)))) == [x * x for x in range(30)]
    shared = cluster.share(10)
    assert list(cluster.map(pow, ((shared, x) for x in range(3)))) == [1, 10, 100]
    with pytest.raises(UserError, match="1000 is too much"):
        list(cluster.map(square, [(1000,)]))


def test_demand_is_that_of_one_machine(cluster: Cluster, sales: SalesData) -> None:
    panel = make_panel(sales, parse_levels("Category;Category,Region"))
    names = ("ets_seasonal", "tsb", "pooled")
    here, there = (
        forecast_demand(fit_demand(panel, 14, candidates=names, origins=3, **where), 14, **where)
        for where in ({}, {"engine": cluster})
    )
    assert [c.name for c in here.model.champions] == [c.name for c in there.model.champions]
    np.testing.assert_allclose(there.yhat, here.yhat, rtol=1e-9)
    for name, values in here.ranges.items():
        np.testing.assert_allclose(there.ranges[name], values, rtol=1e-9, atol=1e-9)


def test_nobody_there_is_said() -> None:
    with (
        pytest.raises(UserError, match="No Dask scheduler answers at 'tcp://127.0.0.1:9'"),
        connect("tcp://127.0.0.1:9", timeout=1),
    ):
        pass


def test_a_scheduler_without_workers_is_said(tmp_path: Path) -> None:
    with (
        dask_processes(tmp_path, workers=0) as alone,
        pytest.raises(UserError, match="has no workers. Start some with: dask worker tcp://"),
        connect(alone.address, timeout=3),
    ):
        pass


def test_a_killed_worker_does_not_lose_the_job(tmp_path: Path) -> None:
    def slow(x: int, shared: int) -> int:
        time.sleep(0.2)
        return x + shared

    with dask_processes(tmp_path) as own, connect(own.address, timeout=60) as cluster:
        cluster.client.wait_for_workers(2, 60)
        threading.Timer(1.0, own.kill_worker).start()
        found = list(cluster.map(slow, ((x, cluster.share(100)) for x in range(20))))
        assert found == list(range(100, 120))
        assert len(cluster.workers()) == 1


def test_a_cluster_that_is_gone_is_said(tmp_path: Path) -> None:
    with dask_processes(tmp_path, workers=1) as own, connect(own.address, timeout=60) as cluster:
        cluster.patience = 3
        threading.Timer(1.0, own.kill_worker).start()
        with pytest.raises(UserError, match="All workers have left"):
            list(cluster.map(time.sleep, [(1.0,)] * 20))


def test_the_command_forecasts_on_the_cluster_as_here(
    processes: Processes, folder: Path, tmp_path: Path, run_command: Callable[..., CompletedProcess[str]]
) -> None:
    words = ("forecast", folder, "--by", "Category", "--target", "units", "--freq", "W", "--horizon", 4)
    there = ("--engine", "dask", "--scheduler", processes.address)
    for name, more in (("here", ()), ("there", there)):
        done = run_command(*words, "--out", tmp_path / f"{name}.parquet", *more)
        assert done.returncode == 0, done.stderr
    here, there = (pd.read_parquet(tmp_path / f"{name}.parquet") for name in ("here", "there"))
    pd.testing.assert_frame_equal(there, here, rtol=1e-9)


def wape(training: Training) -> float:
    """The error of XGBoost in the test period."""
    return float(training.manifest["metrics"]["transactional"]["xgboost"]["wape"])


def trained_on(cluster: Cluster, folder: Path, models: Path, **options: Any) -> Training:
    """A training on the cluster."""
    return train_models(folder, models_dir=models, params=SMALL, track=False, cluster=cluster, **options)


def test_training_is_that_of_one_machine(cluster: Cluster, folder: Path, tmp_path: Path) -> None:
    here = train_models(folder, models_dir=tmp_path / "here", params=SMALL, track=False)
    there = trained_on(cluster, folder, tmp_path / "there", processed_dir=tmp_path)
    assert abs(wape(there) - wape(here)) < 0.005
    known, found = here.manifest, there.manifest
    for name in ("feature_names", "scale", "mapping", "sarima", "split"):
        assert found[name] == known[name], name
    for name in ("fingerprint", "rows", "first", "last"):
        assert found["data"][name] == known["data"][name], name
    forest = [manifest["metrics"]["transactional"]["random_forest"] for manifest in (known, found)]
    assert forest[0] == pytest.approx(forest[1])
    np.testing.assert_allclose(
        there.forecast["predicted_revenue"], here.forecast["predicted_revenue"], rtol=1e-6
    )
    assert set(found["files"]) == set(known["files"])
    assert (tmp_path / "PreparedSalesData.csv").exists()
