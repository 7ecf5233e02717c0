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
from dvc.repo import Repo

from salesforecast.core.params import Params
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


BEFORE = [
    "core",
    "sales",
    "features",
]  # what each package of the pipeline imports, in the order of the architecture
TRAINING = [*BEFORE, "models", "forecasting", "registry", "monitoring", "training"]
STAGES = {
    "generate": ["core", "datasets.py"],
    "preprocess": [*BEFORE, "lifecycle/stages.py"],
    "feature_engineering_and_aggregate": [*BEFORE, "lifecycle/stages.py"],
    "train": [*TRAINING, "lifecycle/stages.py"],
    "evaluate": ["core", "registry", "training/plots.py", "lifecycle/stages.py"],
}


@pytest.fixture
def stand_ins(tmp_path: Path) -> Path:
    """The pipeline with commands that only write what their stages promise; made, and up to date."""
    folder = clone_of_the_project(tmp_path / "project")
    pipeline = yaml.safe_load((folder / "dvc.yaml").read_text())
    for stage in pipeline["stages"].values():
        outs = [*stage.get("outs", []), *stage.get("metrics", []), *stage.get("plots", [])]
        names = [next(iter(out)) if isinstance(out, dict) else out for out in outs]
        stage["cmd"] = "; ".join(f"mkdir -p $(dirname {name}); echo {{}} > {name}" for name in names)
    (folder / "dvc.yaml").write_text(yaml.safe_dump(pipeline))
    (folder / "dvc.lock").unlink(missing_ok=True)
    dvc(folder, "repro")
    return folder


def out_of_date(folder: Path) -> set[str]:
    """The stages that DVC would run because of what they depend on."""
    with Repo(str(folder)) as repo:
        status = repo.status()
    return {
        stage
        for stage, changes in status.items()
        if any(isinstance(change, dict) and "changed deps" in change for change in changes)
    }


def test_a_change_of_any_module_or_parameter_makes_its_stages_run(
    stand_ins: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(stand_ins)
    assert out_of_date(stand_ins) == set()
    modules = sorted((stand_ins / "salesforecast").rglob("*.py"))
    for path in modules:
        name = path.relative_to(stand_ins / "salesforecast").as_posix()
        needs = {
            stage for stage, parts in STAGES.items() for part in parts if f"{name}/".startswith(f"{part}/")
        }
        if not needs:
            continue
        text = path.read_bytes()
        path.write_bytes(text + b"# changed\n")
        assert needs <= out_of_date(stand_ins), name
        path.write_bytes(text)
    params = stand_ins / "params.yaml"
    text = params.read_text()
    kept = yaml.safe_load(text)
    for name in Params.model_fields:
        changed = {"baseline_margin": 0.25} if name == "gate" else "another"
        params.write_text(yaml.safe_dump(kept | {name: changed}))
        assert out_of_date(stand_ins) == (set() if name == "monitor" else {"train"}), name
    params.write_text(text)
    assert out_of_date(stand_ins) == set()


def result_files(folder: Path) -> dict[str, bytes]:
    """The files of the trained version, without those that tell which training it was, and when."""
    files = [path for path in (folder / "models" / "pipeline").rglob("*") if path.is_file()]
    telling = {"manifest.json", "ledger.sqlite3", "current"}
    return {path.name: path.read_bytes() for path in files if path.name not in telling}


def test_the_pipeline_and_a_fresh_clone(tmp_path: Path) -> None:
    first = clone_of_the_project(tmp_path / "first")
    assert "Running stage 'evaluate'" in dvc(first, "repro")
    commit(first, "trained")
    assert "Data and pipelines are up to date." in dvc(first, "repro")
    results = result_files(first)
    dvc(first, "repro", "--force")
    assert result_files(first) == results
    assert git(first, "status", "--porcelain") == " M dvc.lock\n"  # which holds the name of the training
    git(first, "commit", "-q", "-a", "-m", "trained again")
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
