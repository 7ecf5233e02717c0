"""A source with a secret in its address, followed through everything that tells where the sales are from."""

import contextlib
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from salesforecast.core.settings import settings
from salesforecast.datasets import generate_sales, write_sales
from salesforecast.registry.tracking import configure_mlflow
from support.models import SMALL_YAML

SECRET = "s3cret"


@pytest.mark.slow
def test_no_place_that_tells_the_source_tells_its_secret(tmp_path: Path, run_command: Callable) -> None:
    """Reports, messages, the bundle, MLflow's database and artifacts, and what commands print."""
    source = write_sales(generate_sales(rows=4_000, seed=3), tmp_path / "sales.csv")
    with contextlib.closing(sqlite3.connect(tmp_path / "shop.db")) as database:
        pd.read_csv(source).to_sql("sales", database, index=False)
    url = f"sqlite:///file:{tmp_path}/shop.db?uri=true&token={SECRET}"
    (tmp_path / "params.yaml").write_text(SMALL_YAML.replace("windows: 2", "windows: 1"))
    work = tmp_path / "work"
    env = {
        "MODEL_DIR": str(work / "models"),
        "SALESFORECAST_DATA_DIR": str(work / "data"),
        "SALESFORECAST_REPORTS_DIR": str(work / "reports"),
        "MLFLOW_TRACKING_URI": f"sqlite:///{work}/mlflow.db",
    }
    work.mkdir()
    printed = ""
    for words in (
        ["validate", url, "--html", work / "report.html"],
        ["validate", url, "--json"],
        ["validate", url, "--table", "nope"],
        ["train", url, "--params", tmp_path / "params.yaml"],
        ["predict", url, "--out", work / "predictions.csv"],
    ):
        done = run_command(*words, env=env)
        assert done.returncode == (2 if "nope" in words else 0), done.stderr
        printed += done.stdout + done.stderr
    assert "shop.db" in printed and "***" in printed
    assert SECRET not in printed
    files = [path for path in work.rglob("*") if path.is_file()]
    assert any(path.name == "mlflow.db" for path in files) and any("models" in path.parts for path in files)
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []


def test_mlflow_gets_user_and_password_apart_from_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ann:{SECRET}%40x@127.0.0.1:9/mlflow")
    settings.cache_clear()
    try:
        with pytest.raises(ConnectionError) as error:
            configure_mlflow()
        assert "127.0.0.1:9/mlflow" in str(error.value) and SECRET not in str(error.value)
        assert os.environ["MLFLOW_TRACKING_PASSWORD"] == f"{SECRET}@x"
        assert os.environ["MLFLOW_TRACKING_USERNAME"] == "ann"
    finally:
        monkeypatch.undo()
        settings.cache_clear()
