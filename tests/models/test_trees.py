"""A booster's trees as arrays say what the booster says, or are not used."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import xgboost as xgb

from salesforecast.models.trees import flat_trees

RANDOM = np.random.default_rng(3)
X = RANDOM.normal(size=(3000, 6)).astype(np.float32)
X[RANDOM.random(X.shape) < 0.2] = np.nan
X[:, 5] = RANDOM.integers(0, 3, len(X))  # values that many rows share: splits fall on them
Y = np.nansum(X[:, :3], axis=1) + (X[:, 5] == 1)


def booster(rounds: int = 30, y: np.ndarray = Y, **params: Any) -> xgb.Booster:
    return xgb.train({"seed": 0, "nthread": 1, **params}, xgb.DMatrix(X, y), num_boost_round=rounds)


@pytest.mark.parametrize(
    "params",
    [
        {"max_depth": 1},
        {"max_depth": 9, "min_child_weight": 0},
        {"grow_policy": "lossguide", "max_leaves": 12, "max_depth": 0},
        {"num_parallel_tree": 3, "subsample": 0.5},
        {"base_score": 0.1},
        {"gamma": 1e9},  # no split at all
        {"tree_method": "exact", "colsample_bytree": 0.4},
    ],
)
def test_a_row_is_predicted_to_the_bit(params: dict[str, Any]) -> None:
    trained = booster(**params)
    flat = flat_trees(trained)
    assert flat is not None
    rows = np.concatenate([X, np.full((1, 6), np.nan, np.float32), np.full((1, 6), np.inf, np.float32)])
    assert np.array_equal(np.concatenate([flat.predict(row) for row in rows]), trained.inplace_predict(rows))


@pytest.mark.parametrize(
    "params",
    [
        {"booster": "dart", "rate_drop": 0.5},
        {"booster": "gblinear"},
        {"objective": "reg:gamma"},
        {"objective": "reg:absoluteerror"},
        {"max_depth": 0, "grow_policy": "lossguide", "max_leaves": 500, "min_child_weight": 0},  # too deep
    ],
)
def test_what_is_more_than_a_sum_of_leaves_stays_with_the_booster(params: dict[str, Any]) -> None:
    rounds = 2000 if "max_leaves" in params else 5
    assert flat_trees(booster(rounds, np.abs(Y) + 0.1, **params)) is None


def test_categories_and_several_targets_stay_with_the_booster() -> None:
    frame = pd.DataFrame({"a": X[:, 0], "b": pd.Categorical(X[:, 5].astype(int))})
    categories = xgb.train({"nthread": 1}, xgb.DMatrix(frame, Y, enable_categorical=True), num_boost_round=5)
    targets = xgb.train({"nthread": 1}, xgb.DMatrix(X, np.stack([Y, -Y], axis=1)), num_boost_round=5)
    assert flat_trees(categories) is None and flat_trees(targets) is None


def test_another_rounding_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    trained = booster()
    honest = trained.inplace_predict
    monkeypatch.setattr(
        trained, "inplace_predict", lambda rows: np.nextafter(honest(rows), np.float32(np.inf))
    )
    assert flat_trees(trained) is None


@pytest.mark.parametrize("said", [b"{}", b'{"learner": 1}', b"UBJ"])
def test_a_release_that_describes_itself_otherwise_is_left_alone(said: bytes) -> None:
    class Other:
        def save_raw(self, _: str) -> bytes:
            return said

    assert flat_trees(Other()) is None
