"""The served version survives a kill at any moment, a full disk, and files that are not what was published."""

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest

from salesforecast.core.settings import UserError, settings
from salesforecast.core.stored import read_stored, write_stored
from salesforecast.registry.bundle import load_bundle
from salesforecast.registry.files import digest
from salesforecast.registry.manifest import Manifest
from salesforecast.registry.predictor import Predictor
from salesforecast.registry.publishing import prune, publish
from salesforecast.registry.versions import current_version, list_versions
from support.models import SMALL_YAML, Trained, small_training, whole
from support.pickles import Harmful

PUBLISH_FOREVER = """
import itertools, os, sys
from pathlib import Path
from salesforecast.registry.manifest import Manifest
from salesforecast.registry.publishing import publish
from salesforecast.registry.versions import new_version

models = Path(sys.argv[1])
for i in itertools.count():
    def write(folder):
        for name in ("preprocessor.pkl", "sarima_model.pkl"):
            with (folder / name).open("wb") as file:
                for _ in range(20):
                    file.write(os.urandom(20_000))
                    file.flush()
    publish(models, f"{new_version()}{os.getpid()}{i}", Manifest(served="xgboost"), write, keep=3)
    print(i, flush=True)
"""


def kill_while_publishing(models: Path, rounds: int) -> None:
    seeded = random.Random(rounds)
    for _ in range(rounds):
        process = subprocess.Popen(
            [sys.executable, "-c", PUBLISH_FOREVER, str(models)], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        process.stdout.readline()  # it has published once
        time.sleep(seeded.uniform(0, 0.1))
        process.send_signal(signal.SIGKILL)
        process.wait()
        whole(models)


def test_a_kill_while_publishing_leaves_a_whole_version(tmp_path: Path) -> None:
    kill_while_publishing(tmp_path, rounds=5)
    publish(tmp_path, "20990101-000000-ffff", Manifest(served="xgboost"), lambda folder: None, keep=2)
    left = [path.name for path in tmp_path.iterdir() if path.name.startswith(".building")]
    assert left == []  # the next run clears away what killed ones left
    assert len(list_versions(tmp_path)) == 2


@pytest.mark.slow
def test_many_kills_while_publishing(tmp_path: Path) -> None:
    kill_while_publishing(tmp_path, rounds=20)


@pytest.mark.slow
def test_a_kill_in_training_leaves_the_served_version(trained: Trained, tmp_path: Path) -> None:
    """Kill a real `salesforecast train` at moments from its start to its end."""
    (tmp_path / "params.yaml").write_text(SMALL_YAML)
    models = shutil.copytree(trained.models, tmp_path / "models", symlinks=True)  # others share those
    served, words = whole(models), ["train", str(trained.source), "--models-dir", str(models), "--no-track"]
    words += ["--gate", "report-only"]  # the same sales again would be no better
    words += ["--params", str(tmp_path / "params.yaml")]
    command = [sys.executable, "-c", "from salesforecast.cli.main import main; main()", *words]
    command += ["--processed-dir", str(tmp_path / "processed"), "--reports-dir", str(tmp_path / "reports")]
    began = time.monotonic()
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    took = time.monotonic() - began
    served, killed = whole(models), 0
    for share in (0.3, 0.6, 0.8, 0.9, 0.95, 0.98, 1.0):
        process = subprocess.Popen(
            command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        began = time.monotonic()
        try:
            process.wait(share * took)
            took = time.monotonic() - began  # quicker than the first, as nothing else was busy
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            killed += process.wait() == -signal.SIGKILL
        after = whole(models)
        if after == served:
            continue
        served = after  # it published before it was killed: whole as well
    assert killed >= 3
    assert Predictor.load(models).model is not None


def test_a_failing_write_leaves_the_served_version(tmp_path: Path) -> None:
    publish(tmp_path, "20260101-000000-0000", Manifest(served="xgboost"), lambda folder: None)

    def fail(folder: Path) -> None:
        (folder / "preprocessor.pkl").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        publish(tmp_path, "20260102-000000-0000", Manifest(served="xgboost"), fail)
    assert (current_version(tmp_path), list_versions(tmp_path)) == (
        "20260101-000000-0000",
        ["20260101-000000-0000"],
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["20260101-000000-0000", "current"]


def publish_pickle(models: Path, content: object) -> Path:
    return publish(
        models, "20260101-000000-0000", Manifest(), lambda at: joblib.dump(content, at / "preprocessor.pkl")
    )


def test_an_edited_model_is_never_unpickled(tmp_path: Path) -> None:
    marker, models = tmp_path / "ran", tmp_path / "models"
    path = publish_pickle(models, {})
    joblib.dump(Harmful(marker), path / "preprocessor.pkl")
    with pytest.raises(UserError, match="SHA-256"):
        _ = load_bundle(models).preprocessor
    assert not marker.exists()


def test_a_pickle_in_place_of_a_stored_file_is_refused_even_under_its_digest(tmp_path: Path) -> None:
    marker, models = tmp_path / "ran", tmp_path / "models"
    write = lambda at: write_stored({"format": 1}, at / "preprocessor.pkl")  # noqa: E731
    path = publish(models, "20260101-000000-0000", Manifest(), write)
    joblib.dump(Harmful(marker), path / "preprocessor.pkl")
    manifest = json.loads((path / "manifest.json").read_text())
    data = (path / "preprocessor.pkl").read_bytes()
    manifest["files"]["preprocessor.pkl"] = {"sha256": digest(data), "bytes": len(data)}
    (path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match="is a pickle.* manifest does not list it"):
        _ = load_bundle(models).preprocessor
    assert not marker.exists()


def test_pickles_can_be_refused_altogether(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish_pickle(tmp_path, {"scale": "units"})
    assert load_bundle(tmp_path).pickles == ["preprocessor.pkl"]
    assert load_bundle(tmp_path).preprocessor == {"scale": "units"}
    monkeypatch.setenv("SALESFORECAST_ALLOW_PICKLES", "false")
    settings.cache_clear()
    try:
        with pytest.raises(UserError, match="SALESFORECAST_ALLOW_PICKLES is off"):
            _ = load_bundle(tmp_path).preprocessor
    finally:
        monkeypatch.undo()
        settings.cache_clear()


def as_older_release(path: Path) -> None:
    """Turn a version into one of bundle format 1, whose models, preprocessor and daily forecast are pickles."""
    bundle = load_bundle(path.parent, path.name)
    manifest = json.loads((path / "manifest.json").read_text()) | {"format_version": 1}
    for name in [name for name in bundle.manifest.files if name.endswith(".pkl")]:
        value: Any = read_stored((path / name).read_bytes(), name)
        if name == "best_random_forest_model.pkl":
            value = {key: value[key] for key in ("kind", "params", "cap", "ranges", "sklearn")}
            value["estimator"] = bundle.load("random_forest").estimator
        joblib.dump(value, path / name, compress=3)
        data = (path / name).read_bytes()
        manifest["files"][name] = {"sha256": digest(data), "bytes": len(data)}
    (path / "manifest.json").write_text(json.dumps(manifest))


def test_a_training_leaves_no_pickle_and_one_of_an_older_release_predicts_the_same(tmp_path: Path) -> None:
    trained = small_training(tmp_path)
    bundle = load_bundle(trained.models)
    assert bundle.pickles == []
    inputs = np.random.default_rng(0).normal(size=(50, len(bundle.manifest.feature_names))).astype("float32")
    kinds = ("random_forest", "xgboost")
    before = {kind: bundle.load(kind).predict_share(inputs) for kind in kinds}
    importance = {kind: bundle.load(kind).regressor.importance() for kind in kinds}
    days = str(bundle.sarima.last), str(bundle.sarima.last + 30)
    ahead, preprocessor = bundle.sarima.forecast(*days), bundle.preprocessor

    as_older_release(bundle.path)
    older = load_bundle(trained.models)
    assert set(older.pickles) == {name for name in older.manifest.files if name.endswith(".pkl")}
    for kind in kinds:
        np.testing.assert_array_equal(older.load(kind).predict_share(inputs), before[kind])
        np.testing.assert_array_equal(older.load(kind).regressor.importance(), importance[kind])
    pd.testing.assert_frame_equal(older.sarima.forecast(*days), ahead)
    assert repr(older.preprocessor) == repr(preprocessor)


def test_a_truncated_or_missing_file_is_named(tmp_path: Path) -> None:
    path = publish(
        tmp_path, "20260101-000000-0000", Manifest(), lambda at: joblib.dump({}, at / "preprocessor.pkl")
    )
    (path / "preprocessor.pkl").unlink()
    with pytest.raises(UserError, match=r"preprocessor\.pkl is missing"):
        _ = load_bundle(tmp_path).preprocessor
    (path / "manifest.json").write_text('{"format_version": 1, "fi')
    with pytest.raises(UserError, match="not readable"):
        load_bundle(tmp_path)


def test_a_newer_bundle_format_is_refused(tmp_path: Path) -> None:
    path = publish(tmp_path, "20260101-000000-0000", Manifest(), lambda at: None) / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format_version": 99}))
    with pytest.raises(UserError, match="format 99"):
        load_bundle(tmp_path)


def test_with_a_key_only_signed_manifests_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def with_key(key: str | None) -> None:
        if key is None:
            monkeypatch.delenv("SALESFORECAST_SIGNING_KEY", raising=False)
        else:
            monkeypatch.setenv("SALESFORECAST_SIGNING_KEY", key)
        settings.cache_clear()

    try:
        publish(tmp_path / "plain", "20260101-000000-0000", Manifest(), lambda at: None)
        with_key("one")
        publish(tmp_path / "signed", "20260101-000000-0000", Manifest(), lambda at: None)
        assert load_bundle(tmp_path / "signed").version
        with pytest.raises(UserError, match="no signature"):
            load_bundle(tmp_path / "plain")
        with_key("other")
        with pytest.raises(UserError, match="wrong signature"):
            load_bundle(tmp_path / "signed")
    finally:
        with_key(None)


def test_a_served_version_is_never_pruned(tmp_path: Path) -> None:
    publish(tmp_path, "20260101-000000-0000", Manifest(), lambda at: None)
    for i in range(2, 6):
        publish(tmp_path, f"2026010{i}-000000-0000", Manifest(), lambda at: None, keep=2, serve=False)
    assert current_version(tmp_path) == "20260101-000000-0000"
    assert list_versions(tmp_path) == ["20260101-000000-0000", "20260105-000000-0000"]


def test_nothing_published_says_how_to_train(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="salesforecast train SOURCE"):
        load_bundle(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"\xbd\x00\xff", b"../elsewhere\n", b"20200101-000000-abcd\n"])
def test_a_broken_current_is_named_with_the_fix(tmp_path: Path, content: bytes) -> None:
    version = "20260101-000000-0000"
    publish(tmp_path, version, Manifest(), lambda at: (at / "model.pkl").write_bytes(b"model"))
    (tmp_path / "current").write_bytes(content)
    with pytest.raises(UserError, match=rf"current names .*, which is no published version\. .*{version}"):
        load_bundle(tmp_path)
    assert load_bundle(tmp_path, version).version == version
    assert prune(tmp_path, keep=5) == []
