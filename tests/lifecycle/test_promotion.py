"""Promotion and rollback survive kills, lost registries, a full disk, bad data, and each other."""

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import requests

from salesforecast.core.params import GateParams, Params
from salesforecast.core.settings import UserError, settings
from salesforecast.lifecycle import retraining
from salesforecast.lifecycle.comparison import Comparison, WindowPredictions
from salesforecast.lifecycle.gate import Decision, GateWindow, coverage_check
from salesforecast.lifecycle.promotion import models_lock, promote, repair, rollback
from salesforecast.lifecycle.retraining import retrain
from salesforecast.registry import registration
from salesforecast.registry.events import EVENT_LOG, append_event, read_events
from salesforecast.registry.manifest import Manifest, UpdateSummary
from salesforecast.registry.publishing import publish
from salesforecast.registry.registration import registered_numbers, registry_aliases
from salesforecast.registry.tracking import Run, configure_mlflow, record_training
from salesforecast.registry.versions import current_version, list_versions, previous_version, set_current
from support.browsing import free_port
from support.models import NEW, OLD, ROOT, SMALL, Trained, small_disk, whole
from support.server import serving

WORSE = Params(
    random_forest=[{"n_estimators": 2, "max_depth": 1}],
    xgboost=[{"n_estimators": 2, "max_depth": 1, "learning_rate": 0.01}],
    forecast=SMALL.forecast,
)
A, B, C = (f"2026010{i}-000000-0000" for i in (1, 2, 3))


@pytest.fixture
def three(tmp_path: Path) -> Path:
    """A folder of three versions without content; the first is served."""
    for version in (A, B, C):
        publish(
            tmp_path, version, Manifest(), lambda at: (at / "model.pkl").write_bytes(b"model"), serve=False
        )
    promote(tmp_path, A)
    return tmp_path


@pytest.fixture
def copied(trained: Trained, tmp_path: Path) -> Path:
    """A copy of the folder with the small model, which tests may change."""
    return Path(shutil.copytree(trained.models, tmp_path / "models"))


@contextmanager
def environment(**values: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ |= values
    settings.cache_clear()
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        settings.cache_clear()


def test_going_back_again_goes_back_further(three: Path) -> None:
    promote(three, B)
    promote(three, C)
    assert [rollback(three)[0], rollback(three)[0]] == [B, A]
    with pytest.raises(UserError, match="none to go back to"):
        rollback(three)


def test_a_version_that_is_not_there_or_damaged_is_not_served(three: Path) -> None:
    with pytest.raises(UserError, match="no version 'x'"):
        promote(three, "x")
    (three / B / "model.pkl").write_bytes(b"other")
    with pytest.raises(UserError, match="SHA-256"):
        promote(three, B)
    with pytest.raises(UserError, match="served already"):
        promote(three, A)
    assert current_version(three) == A
    assert [entry["to"] for entry in read_events(three)] == [A]


def test_who_when_and_why_are_kept_and_half_a_line_is_no_harm(three: Path) -> None:
    with (three / EVENT_LOG).open("a") as file:
        file.write('{"time": "2026-0')
    promote(three, B, why="newer prices")
    last = read_events(three)[-1]
    assert (last["from"], last["to"], last["why"]) == (A, B, "newer prices")
    assert last["who"] and last["time"]


def test_what_another_hand_served_is_found(three: Path) -> None:
    set_current(three, C)
    assert repair(three) == [f"{C} is served, which was not in the history."]
    assert (repair(three), previous_version(three)) == ([], A)


def test_an_update_with_newer_days_is_no_other_training(three: Path) -> None:
    promote(three, B)
    publish(
        three,
        "20260104-000000-0000",
        Manifest(updated=UpdateSummary(trained=B, from_version=B)),
        lambda at: None,
    )
    assert repair(three) == []
    assert read_events(three)[-1]["action"] == "update"
    assert rollback(three)[0] == A


def test_what_can_be_gone_back_to_is_not_pruned(three: Path) -> None:
    promote(three, B)
    for i in range(4, 9):
        publish(three, f"2026010{i}-000000-0000", Manifest(), lambda at: None, keep=3, serve=False)
    assert {A, B} <= set(list_versions(three))
    assert rollback(three)[0] == A


def test_a_promotion_of_what_was_judged_against_another_is_refused(three: Path) -> None:
    promote(three, B)
    with pytest.raises(UserError, match="came to be served; nothing was promoted"):
        promote(three, C, expected=A)
    assert current_version(three) == B


PROMOTE_FOREVER = """
import sys
from pathlib import Path
from salesforecast.registry.versions import current_version
from salesforecast.lifecycle.promotion import promote, rollback
models, one, other = Path(sys.argv[1]), *sys.argv[2:]
while True:
    promote(models, other if current_version(models) == one else one)
    print("promoted", flush=True)
"""


def test_a_kill_while_promoting_leaves_a_served_version_and_a_true_history(three: Path) -> None:
    seeded = random.Random(5)
    for _ in range(12):
        words = [sys.executable, "-c", PROMOTE_FOREVER, str(three), A, B]
        process = subprocess.Popen(words, stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(seeded.uniform(0, 0.03))
        process.send_signal(signal.SIGKILL)
        process.wait()
        served = whole(three)
        repair(three)
        last = read_events(three)[-1]
        assert served == (last["from"] if last["action"] == "interrupted" else last["to"])
    promote(three, C)
    assert whole(three) == C


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_kill_on_either_side_of_the_step_is_put_in_order(three: Path, moment: str) -> None:
    """The history's line is written; `current` is not yet, or already, replaced."""
    append_event(three, {"action": "promote", "from": A, "to": B, "who": "me", "why": "a kill"})
    if moment == "after":
        set_current(three, B)
    told = repair(three)
    assert told == ([f"A promote of {B} was interrupted: {A} is still served."] if moment == "before" else [])
    assert current_version(three) == (A if moment == "before" else B)
    assert previous_version(three) == (None if moment == "before" else A)


def test_a_running_server_follows_promotion_and_rollback(
    two_versions: Path, tmp_path: Path, run_command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    models = Path(shutil.copytree(two_versions, tmp_path / "models"))
    with serving(models, tmp_path) as server:

        def answering() -> set[str]:
            """Versions that answer now; a server that is slow to start is waited for."""
            for _ in range(600):
                try:
                    server.ask("GET", "/readyz")
                    break
                except requests.ConnectionError:
                    time.sleep(0.1)
            return {server.predict().headers["X-Model-Version"] for _ in range(8)}

        assert answering() == {OLD}
        done = run_command("models", "promote", NEW, "--why", "a test", "--models-dir", models)
        assert done.returncode == 0, done.stderr
        assert answering() == {NEW}
        done = run_command("models", "rollback", "--models-dir", models)
        assert done.returncode == 0, done.stderr
        assert answering() == {OLD}
    events = json.loads(run_command("models", "history", "--json", "--models-dir", models).stdout)
    assert [(e["action"], e["to"]) for e in events] == [("found", OLD), ("promote", NEW), ("rollback", OLD)]


@pytest.mark.parametrize(
    "content", [b"", b"\x00\x01\x02" * 999, b"a,b\n1,2\n", b"Transaction_Date,Revenue\nx,y\n"]
)
def test_corrupted_new_data_leaves_what_is_served(
    copied: Path, trained: Trained, tmp_path: Path, content: bytes
) -> None:
    served, broken = whole(copied), tmp_path / "broken.csv"
    broken.write_bytes(content)
    with pytest.raises(UserError):
        retrain(broken, models_dir=copied, params=SMALL, track=False)
    assert (whole(copied), list_versions(copied)) == (served, [served])


def test_a_full_disk_leaves_what_is_served_and_the_next_run_succeeds(
    trained: Trained, tmp_path: Path
) -> None:
    size = sum(path.stat().st_size for path in trained.training.path.iterdir())
    manifest = trained.training.manifest

    def copy(folder: Path) -> None:
        for name in trained.training.manifest.files:
            shutil.copy(trained.training.path / name, folder)

    with small_disk(int(1.5 * size)) as (small, grow):
        publish(small, A, manifest, copy)
        with pytest.raises(OSError) as full:
            publish(small, B, manifest, copy)
        assert full.value.errno == errno.ENOSPC
        assert (whole(small), list_versions(small)) == (A, [A])
        assert not list(small.glob(".building*"))
        grow(4 * size)
        publish(small, C, manifest, copy)
        assert whole(small) == C


@contextmanager
def mlflow_server(folder: Path, port: int) -> Iterator[subprocess.Popen]:
    """A real tracking server, from when it answers."""
    words = ["server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    words += [
        "--backend-store-uri",
        f"sqlite:///{folder}/server.db",
        "--artifacts-destination",
        f"{folder}/artifacts",
    ]
    env = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    env.pop("MLFLOW_TRACKING_URI", None)
    with (folder / "mlflow.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *words], env=env, stdout=log, stderr=log, start_new_session=True
        )
    try:
        for _ in range(900):
            try:
                requests.get(f"http://127.0.0.1:{port}/health", timeout=2)
                break
            except requests.RequestException:
                assert process.poll() is None, (folder / "mlflow.log").read_text()
                time.sleep(0.1)
        yield process
    finally:
        end(process)


def end(process: subprocess.Popen) -> None:
    """Kill a server with its workers."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait(20)


@pytest.mark.slow
def test_a_tracking_server_that_goes_in_the_middle(trained: Trained, copied: Path, tmp_path: Path) -> None:
    """It is killed between a run's start and its end, then at the gate, and comes back."""
    port = free_port()
    with environment(MLFLOW_TRACKING_URI=f"http://127.0.0.1:{port}", SALESFORECAST_MLFLOW_TIMEOUT="5"):
        with mlflow_server(tmp_path, port) as server:
            recorded = record_training(
                Run("training"), [Run("xgboost", {"depth": 4}, log_model=lambda: end(server)), Run("sarima")]
            )
            assert set(recorded.ids) == {"parent", "xgboost"}
            assert "MLflow did not record this training" in recorded.problem
        with mlflow_server(tmp_path, port) as server:

            def kill_at_the_gate(done: float, label: str) -> None:
                if label.startswith("the gate"):
                    end(server)

            options = {"models_dir": copied, "params": SMALL, "plots_dir": tmp_path / "plots"}
            outcome = retrain(trained.source, progress=kill_at_the_gate, **options)
            version = outcome.training.version
            assert outcome.training.recorded.ids and not outcome.training.recorded.problem
            assert outcome.promoted and whole(copied) == version
            assert "registry is not in step" in outcome.problem
        with mlflow_server(tmp_path, port):
            mlflow = configure_mlflow()
            assert repair(copied) == [
                f"MLflow's registry has {version} now.",
                f"The registry's champion is {version} now.",
            ]
            number = registered_numbers(mlflow)["salesforecast"][version]
            assert registry_aliases(mlflow) == {"champion": number}
            assert repair(copied) == []


def training(models: Path, source: Path, folder: Path) -> subprocess.Popen:
    """`salesforecast train`, started."""
    words = [
        "train",
        str(source),
        "--models-dir",
        str(models),
        "--no-track",
        "--params",
        str(folder / "small.yaml"),
    ]
    words += ["--processed-dir", str(folder / "processed"), "--reports-dir", str(folder / "reports")]
    (folder / "small.yaml").write_text(json.dumps(SMALL.model_dump(mode="json")))  # JSON is YAML
    return subprocess.Popen(
        [sys.executable, "-c", "from salesforecast.cli.main import main; main()", *words],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@pytest.mark.slow
def test_two_trainings_at_once_follow_each_other(copied: Path, trained: Trained, tmp_path: Path) -> None:
    first = whole(copied)
    both = [training(copied, trained.source, tmp_path) for _ in range(2)]
    assert [process.wait(500) for process in both] == [0, 0]
    promoted = [entry for entry in read_events(copied) if entry["action"] == "promote"]
    one, other = (entry["to"] for entry in promoted)
    assert [entry["from"] for entry in promoted] == [first, one]  # the second was judged against the first
    assert whole(copied) == other
    assert len(list((copied / "decisions").glob("*.json"))) == 2


@pytest.mark.parametrize("passed", [True, False])
def test_a_training_brings_the_registry_into_step_once(
    copied: Path, trained: Trained, monkeypatch: pytest.MonkeyPatch, passed: bool
) -> None:
    calls: list[Path] = []
    monkeypatch.setattr(registration, "_bundles", lambda folder: calls.append(folder) or [])
    monkeypatch.setattr(retraining, "train_models", lambda *_, **options: trained.training)
    window: GateWindow = {"first": "2026-01-01", "last": "2026-01-31", "rows": 1}
    decision = Decision(trained.training.version, None, "served", passed, [], "", window)
    monkeypatch.setattr(retraining, "evaluate_challenger", lambda *_: decision)
    (copied / "current").unlink()  # what is served cannot be promoted again
    outcome = retrain("sales.csv", models_dir=copied, params=SMALL)
    assert (outcome.promoted, calls) == (passed, [copied])


def is_training(models: Path) -> bool:
    """Whether a training holds the lock of the models."""
    try:
        with models_lock(models, "training", 0):
            return False
    except UserError:
        return True


@pytest.mark.slow
def test_a_worse_challenger_is_refused_and_a_killed_training_holds_up_nobody(
    copied: Path, trained: Trained, tmp_path: Path
) -> None:
    served = whole(copied)
    process = training(copied, trained.source, tmp_path)
    while not is_training(copied):
        assert process.poll() is None
        time.sleep(0.5)
    process.kill()
    process.wait()
    assert whole(copied) == served
    refused = retrain(trained.source, models_dir=copied, params=WORSE, track=False, wait=5)
    assert (refused.promoted, whole(copied)) == (False, served)
    decision = json.loads((copied / "decisions" / f"{refused.training.version}.json").read_text())
    failed = [check["name"] for check in decision["checks"] if not check["passed"]]
    assert "error of a transaction's revenue" in failed
    assert decision["promoted"] is False


@pytest.mark.slow
def test_the_whole_loop_as_it_is_shown(tmp_path: Path) -> None:
    """Train, serve, drift, alert, a refusal, a promotion that the API follows, and the way back."""
    told = subprocess.run(
        [sys.executable, "-m", "benchmarks.loop", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=1800,
    )
    assert told.returncode == 0, told.stdout + told.stderr
    for words in ("critical incident", "did not pass the gate", "passed the gate", "is served again"):
        assert words in told.stdout


@pytest.mark.parametrize(
    ("challenger", "champion", "passes"),
    [
        (0.81, 0.95, True),  # what it says
        (0.74, 0.90, False),  # less than it says, and than the other
        (0.66, 0.67, True),  # after a change that neither has seen
        (0.60, 0.67, False),
    ],
)
def test_ranges_may_hold_as_little_as_those_that_are_served(
    challenger: float, champion: float, passes: bool
) -> None:
    def holding(share: float) -> WindowPredictions:
        "The first rows lie in its ranges, the others above."
        high = np.where(np.arange(100) < 100 * share, 2.0, 0.5)
        always = np.full(100, 2.0)
        low = np.zeros(100)
        bounds = {"lower_80": low, "upper_80": high, "lower_95": low, "upper_95": always}
        return WindowPredictions(np.ones(100), bounds)

    prepared: Any = SimpleNamespace(revenue=np.ones(100), train=np.zeros(100, bool))
    both = Comparison("served", prepared, holding(challenger), holding(champion), None)
    assert coverage_check(both, GateParams()).passed == passes
