"""The same on a Dask cluster as on one machine: a real scheduler, and workers in other processes."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pandas as pd
import pytest
from distributed import Client

from salesforecast.core.engine import LOCAL_ENGINE, DaskEngine, connect
from salesforecast.core.params import DemandParams, Params
from salesforecast.core.settings import UserError, settings
from salesforecast.datasets import generate_sales
from salesforecast.forecasting.forecaster import fit_demand, forecast_demand
from salesforecast.forecasting.panel import hierarchy_columns, make_panel, parse_levels
from salesforecast.lifecycle.retraining import retrain
from salesforecast.models.distributed import DistributedXGBoost, prepare_partitions
from salesforecast.sales.partitions import read_partitioned_sales
from salesforecast.sales.reading import SalesData, read_sales
from salesforecast.sales.report import DataReport
from salesforecast.sales.schema import ColumnMapping
from salesforecast.training.orchestration import TrainingResult, train_models
from salesforecast.training.transactional import make_training_dataset
from support.clusters import Processes, dask_processes
from support.models import SMALL

ROWS = 8_000


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    """A scheduler and two workers."""
    with dask_processes(tmp_path_factory.mktemp("dask")) as found:
        yield found


@pytest.fixture(scope="module")
def cluster(processes: Processes) -> Iterator[DaskEngine]:
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


def test_results_come_in_order_and_errors_as_they_were(cluster: DaskEngine) -> None:
    def square(x: int) -> int:
        if x == 1000:
            raise UserError("1000 is too much")
        return x * x

    assert list(cluster.map(square, ((x,) for x in range(30)))) == [x * x for x in range(30)]
    shared = cluster.broadcast(10)
    assert list(cluster.map(pow, ((shared, x) for x in range(3)))) == [1, 10, 100]
    with pytest.raises(UserError, match="1000 is too much"):
        list(cluster.map(square, [(1000,)]))


@pytest.mark.slow  # each worker compiles the models first
def test_demand_is_that_of_one_machine(cluster: DaskEngine, sales: SalesData) -> None:
    panel = make_panel(sales, parse_levels("Category;Category,Region"))
    names = ("ets_seasonal", "tsb", "pooled", "direct")
    here, there = (
        forecast_demand(fit_demand(panel, 14, candidates=names, n_windows=3, **where), 14, **where)
        for where in ({}, {"engine": cluster})
    )
    assert [c.name for c in here.model.champions] == [c.name for c in there.model.champions]
    np.testing.assert_allclose(there.yhat, here.yhat, rtol=1e-9)
    for name, values in here.intervals.items():
        np.testing.assert_allclose(there.intervals[name], values, rtol=1e-9, atol=1e-9)


def test_nobody_there_is_said() -> None:
    with (
        pytest.raises(UserError, match="No Dask scheduler answers at 'tcp://127.0.0.1:9'"),
        connect("tcp://127.0.0.1:9", timeout=1),
    ):
        pass


def test_a_scheduler_without_workers_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wait = Client.wait_for_workers
    monkeypatch.setattr(Client, "wait_for_workers", lambda client, number, _: wait(client, number, 1))
    with (
        dask_processes(tmp_path, workers=0) as alone,
        pytest.raises(UserError, match="has no workers. Start some with: dask worker tcp://"),
        connect(alone.address, timeout=60),
    ):
        pass


def test_a_killed_worker_does_not_lose_the_job(tmp_path: Path) -> None:
    def slow(x: int, shared: int) -> int:
        time.sleep(0.2)
        return x + shared

    with dask_processes(tmp_path) as own, connect(own.address, timeout=60) as cluster:
        cluster.client.wait_for_workers(2, 60)
        results = cluster.map(slow, ((x, cluster.broadcast(100)) for x in range(20)))
        found = [next(results)]
        own.kill_worker()
        found += results
        assert found == list(range(100, 120))
        assert len(cluster.workers()) == 1


def test_a_cluster_that_is_gone_is_said(tmp_path: Path) -> None:
    with dask_processes(tmp_path, workers=1) as own, connect(own.address, timeout=60) as cluster:
        cluster.worker_timeout = 3.0
        threading.Timer(1.0, own.kill_worker).start()
        with pytest.raises(UserError, match="All workers have left"):
            list(cluster.map(time.sleep, [(1.0,)] * 20))


FORECAST = ("forecast", "--target", "units", "--horizon", 4)
BACKTEST = ("backtest", "--target", "units", "--horizon", 4, "--windows", 1)
ORDER = ("order", "--lead-time", 14)


@pytest.mark.slow  # two commands each, and the models compiled in every process
@pytest.mark.parametrize("words", [FORECAST, BACKTEST, ORDER], ids=lambda words: words[0])
def test_the_command_works_on_the_cluster_as_here(
    words: tuple[object, ...],
    processes: Processes,
    folder: Path,
    tmp_path: Path,
    run_process: Callable[..., CompletedProcess[str]],
) -> None:
    asked = (words[0], folder, *words[1:], "--by", "Category", "--freq", "W")
    there = ("--engine", "dask", "--scheduler", processes.address)
    for name, more in (("here", ()), ("there", there)):
        done = run_process(*asked, "--out", tmp_path / f"{name}.parquet", *more)
        assert done.returncode == 0, done.stderr
    on_cluster = pd.read_parquet(tmp_path / "there.parquet")
    here = pd.read_parquet(tmp_path / "here.parquet")
    assert len(here)
    pd.testing.assert_frame_equal(on_cluster, here, rtol=1e-9)


def wape(training: TrainingResult) -> float:
    """The error of XGBoost in the test period."""
    return float(training.manifest.metrics.transactional["xgboost"]["wape"])


@pytest.mark.slow  # two trainings
def test_training_is_that_of_one_machine(cluster: DaskEngine, folder: Path, tmp_path: Path) -> None:
    here, there = (
        train_models(folder, models_dir=tmp_path / name, params=params(), track=False, cluster=where)
        for name, where in (("here", None), ("there", cluster))
    )
    assert abs(wape(there) - wape(here)) < 0.005
    known, found = here.manifest, there.manifest
    for name in ("feature_names", "scale", "mapping", "split"):
        assert getattr(found, name) == getattr(known, name), name
    for name in ("fingerprint", "rows", "first", "last"):
        assert getattr(found.data, name) == getattr(known.data, name), name
    forests = [manifest.metrics.transactional["random_forest"] for manifest in (known, found)]
    assert forests[1] == pytest.approx(forests[0])
    np.testing.assert_allclose(
        there.forecast["predicted_revenue"], here.forecast["predicted_revenue"], rtol=1e-5
    )
    assert set(found.files) == set(known.files)
    np.testing.assert_allclose(there.demand["units-W"].yhat, here.demand["units-W"].yhat, rtol=1e-9)
    assert retrain(
        folder, models_dir=tmp_path / "there", params=params(), track=False, cluster=cluster
    ).promoted


def params() -> Params:
    """Small models, and a forecast of units by category."""
    return SMALL.model_copy(
        update={"demand": DemandParams(by="Category", targets=["units"], freq=["W"], candidates=["year_ago"])}
    )


@pytest.mark.slow  # starts a cluster, and trains on half of it
def test_xgboost_survives_a_killed_worker(folder: Path, tmp_path: Path) -> None:
    told: list[str] = []

    def kill_one_that_trains() -> None:
        """Kill a worker once both add trees: one that dies as they meet would leave the other waiting for it."""
        while not growing(cluster, 2):
            time.sleep(0.05)
        own.kill_worker()

    def progress(done: float, label: str) -> None:
        told.append(label)
        if "rows on the workers" in label:
            threading.Thread(target=kill_one_that_trains, daemon=True).start()

    with dask_processes(tmp_path) as own, connect(own.address, timeout=60) as cluster:
        cluster.client.wait_for_workers(2, 60)
        parted = read_partitioned_sales(folder, None, cluster)
        prepared = prepare_partitions(parted)
        fit = DistributedXGBoost(cluster, parted, prepared.history)
        asked = ({"n_estimators": 400, "max_depth": 6}, prepared.preprocessor, prepared.test_start, 1.0)
        model = fit(*asked, progress)
        assert len(cluster.workers()) == 1 and len(told) == 2
        table = make_training_dataset(prepared, prepared.preprocessor)
        np.testing.assert_allclose(
            model.predict_share(table.inputs), fit(*asked).predict_share(table.inputs), atol=0.02
        )


def growing(cluster: DaskEngine, workers: int) -> bool:
    """Whether so many workers add trees."""
    stacks = cluster.client.call_stack() or {}
    return sum("_LIB.XGBoosterUpdateOneIter" in str(stack) for stack in stacks.values()) == workers


def test_workers_that_wait_for_a_dead_one_are_named(folder: Path, tmp_path: Path) -> None:
    with dask_processes(tmp_path, workers=1) as own, connect(own.address, timeout=60) as cluster:
        cluster.client.wait_for_workers(1, 60)
        fit = DistributedXGBoost(cluster, read_partitioned_sales(folder, None, cluster), None)
        fit._check_survivors()  # it is free
        held = cluster.client.submit(time.sleep, 30, pure=False)
        cluster.worker_timeout = 1.0
        with pytest.raises(UserError, match="Restart the workers"):
            fit._check_survivors()
        held.cancel()


def counts(report: DataReport) -> dict[str, int]:
    """Refused rows by reason."""
    return {reason: about["count"] for reason, about in report.reasons.items()}


def test_parts_are_read_on_the_workers_as_here(cluster: DaskEngine, folder: Path, sales: SalesData) -> None:
    parted = read_partitioned_sales(folder, None, cluster, max_local_rows=1_000)
    assert counts(parted.report) == counts(sales.report)
    assert parted.report.revenue_total == pytest.approx(sales.report.revenue_total, rel=1e-12)
    pd.testing.assert_frame_equal(parted.quarantine, sales.quarantine)
    assert 900 < len(parted.sample.frame) < 1_100
    levels = parse_levels("Region;Category;Category,Region")
    for target in ("revenue", "units"):
        here, there = (
            make_panel(rows, levels, target=target)  # type: ignore[arg-type]
            for rows in (sales, parted.aggregate_daily(hierarchy_columns(parted.sample, levels)))
        )
        assert there.ids.tolist() == here.ids.tolist() and there.category.tolist() == here.category.tolist()
        np.testing.assert_allclose(there.values, here.values, atol=1e-9)
        np.testing.assert_array_equal(there.price, here.price)


@pytest.mark.parametrize("partition_rows", [300, 10**9])
def test_rules_that_need_all_rows_hold_over_parts(partition_rows: int, tmp_path: Path) -> None:
    frame = generate_sales(rows=2_000, seed=5).frame.astype({"Transaction_Date": str})
    frame = pd.concat([frame, frame.iloc[:3]], ignore_index=True)  # repeats, in another file
    frame.loc[[10, 1500], "Transaction_Date"] = "1970-01-01"  # far from all others
    days = pd.to_datetime(frame["Transaction_Date"], errors="coerce")
    frame["Transaction_Date"] = days.dt.strftime("%m/%d/%Y").fillna(
        "?"
    )  # the order is told by some days only
    frame = frame.sort_values("Transaction_Date", kind="stable")
    frame["Region"] = (
        frame["Region"].astype("string").where(np.arange(len(frame)) > 800)
    )  # empty in the first files
    for i in range(5):
        frame.iloc[400 * i : 400 * i + (400 if i < 4 else 10**6)].to_parquet(
            tmp_path / f"{i}.parquet", index=False, row_group_size=100
        )
    here = read_sales(tmp_path, ColumnMapping(max_quarantined_share=0.1))
    there = read_partitioned_sales(
        tmp_path, ColumnMapping(max_quarantined_share=0.1), LOCAL_ENGINE, partition_rows=partition_rows
    )
    assert there.mapping.day_first is False
    assert counts(there.report) == counts(here.report)
    pd.testing.assert_frame_equal(there.quarantine, here.quarantine)
    pd.testing.assert_frame_equal(there.sample.frame, here.frame)


def test_sources_that_cannot_be_read_in_parts_are_refused(tmp_path: Path) -> None:
    (tmp_path / "not.parquet").write_text("a,b")
    with pytest.raises(UserError, match="is no Parquet file"):
        read_partitioned_sales(tmp_path / "not.parquet", None, LOCAL_ENGINE)
    with pytest.raises(UserError, match="There is no file .*no.parquet"):
        read_partitioned_sales(tmp_path / "no.parquet", None, LOCAL_ENGINE)
    with pytest.raises(UserError, match="validate sales.csv --out sales.parquet"):
        read_partitioned_sales("sales.csv", None, LOCAL_ENGINE)
    pd.DataFrame({"Transaction_Date": ["x"] * 30, "Revenue": "1"}).to_parquet(tmp_path / "not.parquet")
    with pytest.raises(UserError, match="30 of 30 rows .* cannot be used; no row is left"):
        read_partitioned_sales(tmp_path, None, LOCAL_ENGINE)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--engine", "dask"), "needs the address of a scheduler"),
        (("--engine", "dask", "--scheduler", "nowhere:1"), "No Dask scheduler answers at 'nowhere:1'"),
        (("--scheduler", "tcp://x:1"), "Use it with --engine dask"),
        (("--engine", "spark"), "'spark' is not one of"),
    ],
)
def test_wrong_engines_are_refused(
    words: tuple[str, ...], said: str, folder: Path, run_command: Callable[..., CompletedProcess[str]]
) -> None:
    done = run_command("forecast", folder, *words, env={"DASK_SCHEDULER_ADDRESS": ""})
    assert said in " ".join(done.stderr.split()) and done.returncode == 2


def test_the_setting_names_the_scheduler_and_is_no_hindrance_to_dask(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", processes.address)
    settings.cache_clear()
    try:
        with connect(timeout=60) as found:
            assert list(found.map(pow, [(2, 3)])) == [8]
    finally:
        settings.cache_clear()
