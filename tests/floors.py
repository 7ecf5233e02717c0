"""What has to work with the lowest versions of the dependencies that settings.ini admits: `make test-floors`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PARAMS = """\
random_forest: [{n_estimators: 4, min_samples_leaf: 20}]
xgboost: [{n_estimators: 20, max_depth: 3}]
forecast: {windows: 1}
"""


def environment(folder: Path) -> dict[str, str]:
    """Return the variables of a process whose versions are in `folder`."""
    return os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "MODEL_DIR": str(folder / "models")}


def salesforecast(folder: Path, *words: str) -> str:
    """Run the command in `folder`; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", "from salesforecast.cli.main import main; main()", *words],
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment(folder),
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Synthetic sales, and a version trained on them."""
    folder = tmp_path_factory.mktemp("floors")
    (folder / "params.yaml").write_text(PARAMS)
    salesforecast(folder, "generate", "--rows", "3000", "--out", "sales.csv")
    salesforecast(folder, "train", "sales.csv", "--gate", "report-only")
    return folder


def test_the_command_lists_its_commands(tmp_path: Path) -> None:
    assert "train" in salesforecast(tmp_path, "--help")


@pytest.mark.parametrize("name", ["sales.csv", "sales.parquet", "sales.xlsx"])
def test_files_are_read_written_and_predicted(folder: Path, name: str) -> None:
    if name != "sales.csv":
        salesforecast(folder, "validate", "sales.csv", "--out", name)
    salesforecast(folder, "predict", name, "--out", f"predicted-{name}")
    assert (folder / f"predicted-{name}").stat().st_size > 10_000


def test_demand_is_forecast(folder: Path) -> None:
    salesforecast(folder, "forecast", "sales.csv", "--by", "Category", "--out", "demand.csv")
    assert (folder / "demand.csv").read_text().count("\n") > 28


def test_the_api_predicts(folder: Path) -> None:
    code = """
from salesforecast.api.main import create_app
answer = create_app().test_client().post("/predict", json={"Units_Sold": 2, "Unit_Price": 5.0})
print(answer.status_code, answer.get_json()["predicted_revenue"] > 0)
"""
    env = environment(folder) | {"SALESFORECAST_API_AUTH": "off"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=folder, env=env)
    assert done.stdout.split() == ["200", "True"], done.stderr
