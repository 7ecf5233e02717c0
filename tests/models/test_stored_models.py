"""A model's file runs no code when it is read, or is read only where it is known."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from salesforecast.core.params import ModelOptions
from salesforecast.core.settings import UserError
from salesforecast.core.stored import is_stored
from salesforecast.models.regression import (
    RevenueModel,
    fit_model,
    load_model,
    read_pickle,
    restore_model,
    save_model,
)

RANDOM = np.random.default_rng(0)
INPUTS = RANDOM.normal(size=(400, 4)).astype("float32")
SCALE = RANDOM.uniform(1, 9, 400)
REVENUE = SCALE * RANDOM.uniform(0.5, 1, 400)

MODELS: dict[str, ModelOptions] = {
    "random_forest": {"n_estimators": 6, "max_features": 0.5, "min_samples_leaf": 3},
    "xgboost": {"n_estimators": 20, "max_depth": 3},
    "boosted": {"model": "sklearn.ensemble:HistGradientBoostingRegressor", "max_iter": 5},
    "gradient": {"model": "sklearn.ensemble:GradientBoostingRegressor", "n_estimators": 5},
    "extra_trees": {"model": "sklearn.ensemble:ExtraTreesRegressor", "n_estimators": 5},
    "linear": {"model": "sklearn.linear_model:HuberRegressor"},
}


def fitted(kind: str, options: ModelOptions) -> RevenueModel:
    return fit_model(kind, options, INPUTS, REVENUE, SCALE, threads=1)


@pytest.mark.parametrize("kind", MODELS)
def test_the_file_of_a_model_is_no_pickle_and_predicts_the_same_bits(kind: str, tmp_path: Path) -> None:
    model = fitted(kind, MODELS[kind])
    save_model(model, tmp_path / "model.pkl")
    assert is_stored((tmp_path / "model.pkl").read_bytes())
    loaded = load_model(tmp_path / "model.pkl")
    np.testing.assert_array_equal(loaded.predict_share(INPUTS), model.predict_share(INPUTS))
    np.testing.assert_array_equal(loaded.predict_share(INPUTS[:1]), model.predict_share(INPUTS[:1]))
    np.testing.assert_array_equal(loaded.regressor.importance(), model.regressor.importance())
    base, values = model.regressor.shap_function()(INPUTS[:5])
    again, same = loaded.regressor.shap_function()(INPUTS[:5])
    np.testing.assert_array_equal(values, same)
    np.testing.assert_array_equal(base, again)


def test_mlflow_gets_no_pickle_and_does_not_warn(tmp_path: Path) -> None:
    program = f"""
import mlflow, numpy as np
from salesforecast.models.baselines import OverallMean
from salesforecast.models.regression import fit_model
mlflow.set_tracking_uri("sqlite:///mlflow.db")
inputs = np.random.default_rng(0).normal(size=(50, 4)).astype("float32")
revenue, scale = np.arange(50.0) + 1, np.full(50, 60.0)
boosted = fit_model("gradient", {MODELS["gradient"]!r}, inputs, revenue, scale, threads=1).regressor
for model in (boosted, OverallMean.fit({{}}, inputs, revenue / scale, scale)):
    with mlflow.start_run():
        logged = model.log_to_mlflow()
    again = mlflow.sklearn.load_model(logged.model_uri)
    np.testing.assert_allclose(again.predict(inputs), model.predict(inputs), rtol=1e-6)
"""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    env = ours | {"MLFLOW_DISABLE_TELEMETRY": "true"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "pickle" not in done.stderr
    files = [path.name for path in tmp_path.rglob("*") if path.is_file()]
    assert files.count("model.skops") == 2 and "model.pkl" not in files


class OwnRegressor(Ridge):
    """A class that skops does not know."""


def test_a_class_of_ones_own_is_pickled_and_read_only_where_it_is_verified(tmp_path: Path) -> None:
    model = fitted("own", {"model": f"{__name__}:OwnRegressor"})
    path = tmp_path / "model.pkl"
    save_model(model, path)
    assert not is_stored(path.read_bytes())
    with pytest.raises(UserError, match=r"model\.pkl.* may be a pickle"):
        load_model(path)
    loaded = restore_model(read_pickle(path.read_bytes()))
    np.testing.assert_array_equal(loaded.predict_share(INPUTS), model.predict_share(INPUTS))


def test_a_forest_of_a_scikit_learn_with_other_trees_says_so() -> None:
    model = fitted("random_forest", MODELS["random_forest"])
    stored = model.regressor.to_stored()
    nodes = stored["nodes"]
    assert isinstance(nodes, dict)
    del nodes["missing_go_to_left"]
    with pytest.raises(UserError, match="trained with scikit-learn .* or train again"):
        type(model.regressor).from_stored(stored)
