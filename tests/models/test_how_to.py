"""The how-to pages on models and features, followed as they are written."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from salesforecast.datasets import generate_sales, write_sales
from support.models import ROOT

TRAIN = """
import sys
from pathlib import Path
import numpy as np
from salesforecast.core.params import load_params
from salesforecast.core.settings import settings
from salesforecast.features.preprocessing import prepare_sales
from salesforecast.models.explanations import Explainer
from salesforecast.models.regression import load_model, save_model
from salesforecast.features.preprocessor import model_inputs
from salesforecast.sales.reading import read_sales
from salesforecast.training.transactional import train_transactional

prepared = prepare_sales(read_sales("sales.csv"))
result = train_transactional(prepared, load_params(Path("params.yaml")))
inputs = model_inputs(result.preprocessor, prepared.history, prepared.columns)[:3]
for kind, model in result.models.items():
    save_model(model, Path(f"best_{kind}_model.pkl"))
    loaded = load_model(Path(f"best_{kind}_model.pkl"))
    assert np.array_equal(loaded.predict_share(inputs), model.predict_share(inputs))
    found = Explainer(loaded, result.preprocessor).explain(inputs, prepared.scale[:3])
    assert np.allclose(found.base + found.values.sum(1), found.prediction)
print(",".join(result.models), ",".join(result.preprocessor["feature_names"]))
"""
SMALL = "random_forest: [{n_estimators: 4}]\nxgboost: [{n_estimators: 10}]\n"


def blocks(page: str) -> list[tuple[str, str]]:
    """Language and text of the code blocks in a page's Markdown."""
    cells = json.loads((ROOT / "nbs/how-to" / page).read_text())["cells"]
    text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return re.findall(r"```(\w+)\n(.*?)```", text, re.S)


def train(folder: Path, path: Path) -> str:
    """Train small models in a folder, with packages from a path; returns their names and features."""
    write_sales(generate_sales(rows=1500, seed=3), folder / "sales.csv")
    done = subprocess.run(
        [sys.executable, "-c", TRAIN], cwd=folder, env=os.environ | {"PYTHONPATH": str(path)},
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_model_is_added_as_the_page_says(tmp_path: Path) -> None:
    found = blocks("add-a-model.ipynb")
    (tmp_path / "params.yaml").write_text(SMALL + "".join(text for kind, text in found if kind == "yaml"))
    (tmp_path / "my_models.py").write_text(next(text for kind, text in found if kind == "python"))
    names = train(tmp_path, tmp_path).split()[0]
    assert names == "random_forest,xgboost,extra_trees,mean_realisation"


def test_a_feature_is_added_as_the_page_says(tmp_path: Path) -> None:
    for name in ("salesforecast", "settings.ini", "pyproject.toml"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    page = tmp_path / "nbs/features/00_calendar.ipynb"
    page.parent.mkdir(parents=True)
    notebook = json.loads((ROOT / "nbs/features/00_calendar.ipynb").read_text())
    edits = [text for kind, text in blocks("add-a-feature.ipynb") if kind == "python"]
    for old, new in zip(edits[::2], edits[1::2], strict=True):
        cells = [cell for cell in notebook["cells"] if old.strip("\n") in "".join(cell["source"])]
        assert len(cells) == 1, old
        text = "".join(cells[0]["source"]).replace(old.strip("\n"), new.strip("\n"))
        cells[0]["source"] = text.splitlines(keepends=True)
    page.write_text(json.dumps(notebook))
    (tmp_path / "params.yaml").write_text(SMALL)
    tool = Path(sys.executable).parent / "nbdev_export"
    subprocess.run([tool], cwd=tmp_path, check=True, capture_output=True, timeout=120)
    assert "is_month_end" in train(tmp_path, tmp_path).split(",")
