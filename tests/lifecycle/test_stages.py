"""The DVC pipeline in clones of the project: it runs what changed, and a fresh clone gets data and models back."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from support.models import ROOT, SMALL

pytestmark = pytest.mark.slow


def clone_of_the_project(folder: Path) -> Path:
    """The tracked files in a repository of their own, with little data and small models."""
    names = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\n")
    for name in filter(None, names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    pipeline = folder / "dvc.yaml"
    pipeline.write_text(re.sub(r"rows: \d+", "rows: 6000", pipeline.read_text()))
    params = SMALL.model_dump(mode="json", include={"random_forest", "xgboost", "forecast"})
    kept = yaml.safe_load((folder / "params.yaml").read_text())
    (folder / "params.yaml").write_text(yaml.safe_dump(kept | params))
    git(folder, "init", "-q")
    commit(folder, "start")
    return folder


def git(folder: Path, *words: str) -> str:
    names = ["-c", "user.name=Test", "-c", "user.email=test@example.invalid"]
    return subprocess.run(
        ["git", *names, *words], cwd=folder, capture_output=True, text=True, check=True
    ).stdout


def commit(folder: Path, message: str) -> None:
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", message)


def dvc(folder: Path, *words: str) -> str:
    env = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
        "DVC_NO_ANALYTICS": "1",
    }
    env.pop("SALESFORECAST_DATA_DIR", None)
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *words],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_pipeline_and_a_fresh_clone(tmp_path: Path) -> None:
    first = clone_of_the_project(tmp_path / "first")
    assert "Running stage 'evaluate'" in dvc(first, "repro")
    commit(first, "trained")
    assert "Data and pipelines are up to date." in dvc(first, "repro")
    assert not (first / "models" / "current").exists()  # nothing of it is served

    params = yaml.safe_load((first / "params.yaml").read_text())
    params["xgboost"][0]["n_estimators"] = 5
    params["random_forest"][0]["n_estimators"] = 2
    (first / "params.yaml").write_text(yaml.safe_dump(params))
    ran = re.findall(r"Running stage '(\w+)'", dvc(first, "repro"))
    assert ran == ["train", "evaluate"]
    changed = json.loads(dvc(first, "metrics", "diff", "--json"))["evaluation/metrics.json"]
    assert changed["transactional.wape"]["diff"] != 0
    dvc(first, "plots", "diff", "--out", "plots")
    page = (first / "plots" / "index.html").read_text()
    assert "<img" in page
    assert "https://" not in page and "http://" not in page
    shutil.rmtree(first / "plots")
    commit(first, "smaller")

    dvc(first, "push")
    git(tmp_path, "clone", "-q", "first", "second")
    second = tmp_path / "second"
    assert not (second / "models" / "pipeline" / "trained").exists()
    dvc(second, "pull")
    assert "Data and pipelines are up to date." in dvc(second, "status")
    paths = [
        p.relative_to(first)
        for p in (first / "models" / "pipeline").rglob("*")
        if p.is_file() and p.suffix != ".lock"
    ]
    assert len(paths) > 8
    for path in [*paths, Path("data/processed/PreparedSalesData.csv")]:
        assert (second / path).read_bytes() == (first / path).read_bytes()
