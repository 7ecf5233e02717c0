"""What other teams find in MLflow's registry: models that predict as the API does, and an alias that tells the truth."""

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

import pytest
import requests

from salesforecast.api.example import example_client
from salesforecast.core.settings import settings
from salesforecast.lifecycle.promotion import promote, repair, rollback
from salesforecast.registry.bundle import load_bundle
from salesforecast.registry.manifest import DemandSummary, Manifest
from salesforecast.registry.publishing import publish
from salesforecast.registry.registration import (
    headline_metrics,
    registered_numbers,
    registry_aliases,
    synchronize,
)
from salesforecast.registry.tracking import Run, artifact_root, configure_mlflow, record_training
from salesforecast.registry.versions import current_version, set_current
from support.browsing import free_port
from support.models import ROOT, SMALL_YAML, Trained

FIRST, SECOND, THIRD = (f"2026010{i}-000000-0000" for i in (1, 2, 3))
AWAY = {"problem": "MLflow did not record this training: it does not answer"}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A SQLite store of this test's own."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    settings.cache_clear()
    yield tmp_path
    settings.cache_clear()


def publish_copy(trained: Trained, models: Path, version: str, mlflow: dict, **more: dict[str, str]) -> None:
    """Publish the small model once more, under another name."""
    bundle = load_bundle(trained.models)
    content = bundle.manifest.to_dict() | {"mlflow": mlflow} | more
    publish(
        models,
        version,
        Manifest.model_validate(content),
        lambda at: [shutil.copy(bundle.path / name, at / name) for name in bundle.manifest.files],
        serve=False,
    )


def champion_version() -> str | None:
    """The published version that the alias names."""
    mlflow = configure_mlflow()
    number = registry_aliases(mlflow).get("champion")
    names = {number: version for version, number in registered_numbers(mlflow)["salesforecast"].items()}
    return names.get(number)


def test_the_alias_follows_what_is_served_whatever_was_away(
    trained: Trained, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = store / "models"
    publish_copy(trained, models, FIRST, AWAY)
    assert promote(models, FIRST) == ""  # trained while MLflow was away: registered by the promotion
    assert champion_version() == FIRST
    publish_copy(trained, models, SECOND, AWAY)
    with monkeypatch.context() as away:
        away.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        settings.cache_clear()
        assert "registry is not in step" in promote(models, SECOND)
    settings.cache_clear()
    assert champion_version() == FIRST  # MLflow could not be told
    assert repair(models) == [
        f"MLflow's registry has {SECOND} now.",
        f"The registry's champion is {SECOND} now.",
    ]
    assert champion_version() == SECOND
    publish_copy(trained, models, THIRD, {})  # without tracking
    assert "salesforecast models sync" in promote(models, THIRD)
    assert champion_version() is None
    assert rollback(models)[1] == ""
    assert champion_version() == SECOND
    assert synchronize(models, everything=True).registered == (THIRD,)


def test_updates_are_forgotten_by_the_folder_of_their_training_alone(trained: Trained, store: Path) -> None:
    here, elsewhere = store / "models", store / "elsewhere"
    update = f"{FIRST[:8]}-120000-0000"
    publish_copy(trained, here, FIRST, AWAY)
    publish_copy(trained, here, update, AWAY, updated={"trained": FIRST, "from_version": FIRST})
    publish_copy(trained, elsewhere, SECOND, AWAY)
    set_current(here, FIRST)
    set_current(elsewhere, SECOND)
    assert synchronize(here).problem == ""
    client = configure_mlflow().MlflowClient()
    entries = [
        client.get_model_version(name, known[update])
        for name, known in registered_numbers(configure_mlflow()).items()
    ]
    for entry in entries:  # the challenger of now is not removed
        client.delete_registered_model_alias(entry.name, "challenger")
    assert synchronize(elsewhere).problem == ""
    assert all(update in known for known in registered_numbers(configure_mlflow()).values())
    shutil.rmtree(here / update)
    assert synchronize(here, alias=False).problem == ""
    assert all(update in known for known in registered_numbers(configure_mlflow()).values())
    assert synchronize(here).problem == ""
    known = registered_numbers(configure_mlflow())
    assert [sorted(numbers) for numbers in known.values()] == [[FIRST, SECOND]] * 2
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    left = {model.model_id for model in client.search_logged_models(experiments)}
    assert left and left.isdisjoint(entry.model_id for entry in entries)


def test_the_alias_follows_though_a_version_cannot_be_registered(
    trained: Trained, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store of artifacts that takes nothing any more does not leave the alias on a version that is served no longer."""
    models = store / "models"
    publish_copy(trained, models, FIRST, AWAY)
    set_current(models, FIRST)
    assert synchronize(models).problem == "" and champion_version() == FIRST
    publish_copy(trained, models, SECOND, AWAY)
    set_current(models, SECOND)

    def full(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("salesforecast.registry.registration.register_version", full)
    assert f"{SECOND} was not registered: OSError: No space left" in synchronize(models).problem
    assert champion_version() is None
    monkeypatch.undo()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store}/mlflow.db")
    settings.cache_clear()
    assert synchronize(models).problem == "" and champion_version() == SECOND


# Runs a statement in a process that waits, before a step of the registration, for a line on its standard input.
WAITING = """
import sys
from pathlib import Path
from salesforecast.lifecycle.promotion import promote
from salesforecast.registry import registration

step, models = sys.argv[1], Path(sys.argv[2])

def wait(*args, then=getattr(registration, step)):
    print("waiting", flush=True)
    sys.stdin.readline()
    return then(*args)

setattr(registration, step, wait)
"""


@contextmanager
def waiting_before(step: str, statement: str, models: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has come as far as a step of the registration."""
    words = [sys.executable, "-c", WAITING + statement, step, models]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        yield process


@pytest.fixture
def two(trained: Trained, store: Path) -> Path:
    """A folder of two registered versions; the first is served."""
    models = store / "models"
    for version in (FIRST, SECOND):
        publish_copy(trained, models, version, AWAY)
    assert promote(models, FIRST) == ""
    return models


def test_a_sync_and_a_promotion_at_once_leave_the_alias_on_what_is_served(two: Path) -> None:
    with waiting_before("set_champion", "registration.synchronize(models)", two) as syncing:
        promotion = threading.Thread(target=promote, args=(two, SECOND))
        promotion.start()
        promotion.join(3)  # it waits for the other, unless nothing holds it back
        syncing.communicate("\n")
        promotion.join()
    assert champion_version() == current_version(two) == SECOND


NEXT_DAY = "2026-10-01"  # after the last day of the sales of `trained`


@pytest.mark.parametrize(
    "command", [["monitor"], pytest.param(["run", "monitor", "-p", "source"], marks=pytest.mark.slow)]
)
def test_monitoring_mends_the_alias_that_a_killed_promotion_left(
    two: Path,
    trained: Trained,
    command: list[str],
    run_command: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    with waiting_before("set_champion", f"promote(models, '{SECOND}')", two) as promotion:
        promotion.kill()
    assert (current_version(two), champion_version()) == (SECOND, FIRST)
    where = ["--models-dir", two, "--as-of", NEXT_DAY]
    if command != ["monitor"]:
        where = ["-p", "models_dir", two, "-p", "as_of", NEXT_DAY]
    env = {"SALESFORECAST_REPORTS_DIR": str(two.parent / "reports")}
    done = run_command(*command, trained.source, *where, env=env)
    assert done.returncode == 0, done.stderr  # all of these sales are known to the version
    assert champion_version() == SECOND


def test_what_monitoring_cannot_mend_is_told(
    two: Path, trained: Trained, run_command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    away = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}
    done = run_command("monitor", trained.source, "--models-dir", two, "--as-of", NEXT_DAY, env=away)
    assert done.returncode == 0 and "registry is not in step" in done.stderr and "no sale" in done.stdout


def test_a_folder_that_is_not_there_is_not_made_by_a_repair(tmp_path: Path) -> None:
    assert repair(tmp_path / "none") == []
    assert not (tmp_path / "none").exists()


@pytest.mark.slow
def test_twenty_promotions_beside_twenty_syncs(two: Path) -> None:
    start = "import sys; from pathlib import Path; from salesforecast.lifecycle.promotion import promote; "
    start += "from salesforecast.registry.registration import synchronize; models = Path(sys.argv[1]); "
    promotions = f"found = [promote(models, version) for version in ['{SECOND}', '{FIRST}'] * 10]; "
    syncs = "found = [synchronize(models).problem for _ in range(20)]; "
    both = [
        subprocess.Popen(
            [sys.executable, "-c", f"{start}{work}print([x for x in found if x])", two],
            stdout=subprocess.PIPE,
            text=True,
        )
        for work in (promotions, syncs)
    ]
    assert [process.communicate()[0] for process in both] == ["[]\n", "[]\n"]
    assert champion_version() == current_version(two) == FIRST
    assert [len(known) for known in registered_numbers(configure_mlflow()).values()] == [2, 2]


def test_two_that_register_at_once_register_each_version_once(trained: Trained, store: Path) -> None:
    models = store / "models"
    publish_copy(trained, models, FIRST, AWAY)
    set_current(models, FIRST)
    with waiting_before("register_version", "registration.synchronize(models)", models) as registering:
        other = threading.Thread(target=synchronize, args=(models,))
        other.start()
        other.join(3)  # it waits for the first, unless nothing holds it back
        registering.communicate("\n")
        other.join()
    client = configure_mlflow().MlflowClient()
    assert [entry.version for entry in client.search_model_versions()] == [1, 1]
    assert champion_version() == FIRST


def test_names_of_levels_are_written_as_mlflow_takes_them(trained: Trained) -> None:
    content = load_bundle(trained.models).manifest
    champion = {"level": "Größe & Co,Region", "wape": 0.2, "bias": 0.0}
    forecasts = {"units-D": DemandSummary(champions=[champion])}
    found = headline_metrics(content.model_copy(update={"demand": forecasts}))
    assert found["demand.units-D.wape.Größe _ Co/Region"] == 0.2


def test_folders_without_tracking_leave_mlflow_alone(trained: Trained, store: Path) -> None:
    publish_copy(trained, store / "models", FIRST, {})
    assert promote(store / "models", FIRST) == ""
    assert not (store / "mlflow.db").exists()


def test_an_environment_without_pip_is_no_warning(
    store: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def version_of(name: str) -> str:
        if name == "pip":
            raise metadata.PackageNotFoundError(name)
        return found(name)

    found = metadata.version
    monkeypatch.setattr(metadata, "version", version_of)
    environment = configure_mlflow().sklearn.get_default_conda_env()
    assert environment["dependencies"][1] == "pip"  # without a version
    assert "pip" not in capfd.readouterr().err
    logging.getLogger("mlflow.utils.environment").warning("another")
    assert "another" in capfd.readouterr().err


def test_artifacts_go_where_the_setting_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_DEFAULT_ARTIFACT_ROOT", "s3://bucket/mlflow")
    settings.cache_clear()
    assert artifact_root("postgresql://mlflow@db/mlflow") == "s3://bucket/mlflow"
    assert artifact_root("http://mlflow:5000") == ""  # a server decides itself
    monkeypatch.delenv("MLFLOW_DEFAULT_ARTIFACT_ROOT")
    settings.cache_clear()


STRANGER = """
import json, sys
import mlflow, pandas as pd
sales = pd.read_json(sys.argv[1], orient="records", convert_dates=["Transaction_Date"])
revenue = mlflow.pyfunc.load_model("models:/salesforecast@champion").predict(sales)
ahead = mlflow.pyfunc.load_model("models:/salesforecast-forecast@champion").predict(pd.DataFrame({"horizon": [7]}))
try:
    from importlib.metadata import version
    version("salesforecast")
    raise SystemExit("the library is installed, so this proves nothing")
except ModuleNotFoundError:
    pass
print(json.dumps([revenue.to_dict("records"), ahead["yhat"].tolist()]))
"""


@pytest.mark.slow
def test_a_stranger_with_mlflow_alone_predicts_and_serves(trained: Trained, store: Path) -> None:
    """A fresh environment has MLflow and the model's requirements, and neither the library nor its wheel."""
    models = store / "models"
    publish_copy(trained, models, FIRST, AWAY)
    assert promote(models, FIRST) == ""
    mlflow = configure_mlflow()
    needed = mlflow.pyfunc.get_model_dependencies("models:/salesforecast@champion")
    python = store / "venv" / "bin" / "python"
    subprocess.run(["uv", "venv", "-q", "--python", sys.executable, store / "venv"], check=True)
    install = [
        "uv",
        "pip",
        "install",
        "-q",
        "--python",
        python,
        f"mlflow=={metadata.version('mlflow')}",
        "-r",
        needed,
    ]
    subprocess.run(install, check=True)
    rows = [
        {
            "Units_Sold": 2,
            "Unit_Price": 10,
            "Category": "Toys",
            "Region": "North",
            "Transaction_Date": "2026-09-01",
        },
        {"Units_Sold": 5, "Unit_Price": 19.99, "Region": "Nowhere", "Transaction_Date": "2026-12-24"},
    ]
    client = example_client(models)
    expected = client.post("/predict_batch_json", json={"data": rows}).get_json()["predictions"]
    expected = [{name: value for name, value in row.items() if name != "warnings"} for row in expected]
    (store / "rows.json").write_text(json.dumps(rows))
    env = {"PATH": f"{python.parent}:/usr/bin:/bin", "MLFLOW_TRACKING_URI": f"sqlite:///{store}/mlflow.db"}
    env |= {"MLFLOW_DISABLE_TELEMETRY": "true", "HOME": str(store)}
    run = subprocess.run(
        [python, "-c", STRANGER, store / "rows.json"], env=env, cwd=store, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr[-3000:]
    found, ahead = json.loads(run.stdout.splitlines()[-1])
    assert found == expected
    bundle = load_bundle(models)
    assert len(ahead) == 7 and bundle.version == FIRST

    port = free_port()
    words = [
        "models",
        "serve",
        "-m",
        "models:/salesforecast@champion",
        "--env-manager",
        "local",
        "--port",
        str(port),
    ]
    with (store / "serve.log").open("w") as log:
        server = subprocess.Popen(
            [python, "-m", "mlflow", *words],
            env=env,
            cwd=store,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        for _ in range(1200):
            assert server.poll() is None, (store / "serve.log").read_text()[-3000:]
            try:
                if requests.get(f"http://127.0.0.1:{port}/ping", timeout=2).ok:
                    break
            except requests.RequestException:
                time.sleep(0.1)
        answer = requests.post(
            f"http://127.0.0.1:{port}/invocations", json={"dataframe_records": rows}, timeout=60
        ).json()
        assert answer["predictions"] == expected
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait(20)


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[str]:
    """The address of a PostgreSQL server of this test's own."""
    pgserver = pytest.importorskip("pgserver", reason="the pgserver wheel needs Python below 3.13")
    server = pgserver.get_server(tmp_path / "postgres")
    yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
    server.cleanup()


@pytest.mark.slow
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_a_training_of_mlflow_run_is_its_child_and_keeps_artifacts_in_the_artifact_store(
    trained: Trained,
    store: Path,
    database: str,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As `MLproject` says: mlflow run . -e train_model --env-manager local."""
    if database == "postgresql":
        monkeypatch.setenv("MLFLOW_TRACKING_URI", request.getfixturevalue("postgres"))
        settings.cache_clear()
    (store / "small.yaml").write_text(SMALL_YAML)
    env = {
        name: value
        for name, value in os.environ.items()
        if name not in ("MLFLOW_EXPERIMENT_ID", "MLFLOW_RUN_ID")
    }
    env |= {"MODEL_DIR": str(store / "models"), "SALESFORECAST_PARAMS_PATH": str(store / "small.yaml")}
    env |= {
        "SALESFORECAST_REPORTS_DIR": str(store / "reports"),
        "SALESFORECAST_DATA_DIR": str(store / "data"),
        "MLFLOW_DEFAULT_ARTIFACT_ROOT": (store / "artifacts").as_uri(),
    }
    env |= {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    words = [
        "run",
        str(ROOT),
        "-e",
        "train_model",
        "--env-manager",
        "local",
        "-P",
        f"source={trained.source}",
    ]
    here = store / "here"
    here.mkdir()
    run = subprocess.run(
        [sys.executable, "-m", "mlflow", *words], env=env, cwd=here, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr[-3000:]
    assert "did not record" not in run.stdout + run.stderr
    bundle = load_bundle(store / "models")
    mlflow = configure_mlflow()
    training = mlflow.get_run(bundle.manifest.mlflow.runs["parent"])
    assert training.data.metrics["transaction.wape"] > 0
    assert mlflow.get_experiment(training.info.experiment_id).name == settings().mlflow_experiment
    started = mlflow.get_run(training.data.tags["mlflow.parentRunId"])
    assert started.data.params["source"] == str(trained.source)
    assert started.data.tags["mlflow.project.entryPoint"] == "train_model"
    assert training.info.run_id in started.data.tags["mlflow.note.content"]
    assert (started.info.status, training.info.status) == ("FINISHED", "FINISHED")
    assert training.info.artifact_uri.startswith((store / "artifacts").as_uri())
    assert list((store / "artifacts").rglob("libraries.txt"))
    assert not [path for path in here.rglob("*") if path.is_file() and path.suffix != ".db"]
    assert not (ROOT / "mlruns").exists()
    assert champion_version() == bundle.version


@pytest.mark.slow
def test_with_postgresql_as_the_store_artifacts_go_to_the_artifact_store(
    tmp_path: Path, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", postgres)
    monkeypatch.setenv("MLFLOW_DEFAULT_ARTIFACT_ROOT", (tmp_path / "artifacts").as_uri())
    settings.cache_clear()
    recorded = record_training(Run("training", texts={"note.txt": "hello"}), [])
    assert recorded.problem == ""
    assert [path.read_text() for path in (tmp_path / "artifacts").rglob("note.txt")] == ["hello"]
    assert list(elsewhere.iterdir()) == []
    settings.cache_clear()
