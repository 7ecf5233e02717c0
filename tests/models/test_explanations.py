"""Explanations add up, are those of the model, and are Shapley values as shap computes them."""

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.ensemble import RandomForestRegressor

from salesforecast.core.settings import UserError
from salesforecast.features.columns import add_segment
from salesforecast.features.history import build_history
from salesforecast.features.preprocessor import fit_preprocessor, model_inputs
from salesforecast.models.catalogue import XGBoost
from salesforecast.models.explanations import (
    Explainer,
    Explanation,
    FeatureSource,
    describe_explanation,
    enforce_additivity,
    global_importance,
    input_sources,
)
from salesforecast.models.regression import RevenueModel, fit_model
from salesforecast.models.shapley import build_path_shap, forest_paths
from salesforecast.registry.bundle import load_bundle
from salesforecast.registry.predictor import ModelInputs, predict_inputs, prepare_inputs
from support.models import Trained

KINDS = ("random_forest", "xgboost")
COLUMNS = {"Units_Sold", "Unit_Price", "Category", "Region", "Product_ID", "Transaction_Date"}


@pytest.fixture(scope="module")
def explainers(trained: Trained) -> dict[str, Explainer]:
    bundle = load_bundle(trained.models)
    return {kind: Explainer(bundle.load(kind), bundle.preprocessor) for kind in KINDS}


@pytest.fixture(scope="module")
def process(trained: Trained) -> Callable[[dict[str, Any]], ModelInputs]:
    """Column arrays as the model takes them."""
    bundle = load_bundle(trained.models)
    return lambda columns: prepare_inputs(bundle.preprocessor, bundle.history, add_segment(columns))


@pytest.fixture(scope="module")
def rows(process: Callable[[dict[str, Any]], ModelInputs]) -> ModelInputs:
    """Sales and returns, of known and unknown products, cheap, dear and free."""
    n, rng = 120, np.random.default_rng(1)
    units = rng.integers(1, 30, n).astype(float)
    price = rng.uniform(1, 300, n)
    units[:10] *= -1
    price[10:15] = 0.0
    price[15:18] = np.nan
    names = {"Category": ["Toys", "Books", "Cars", None], "Region": ["North", "West", "Mars", ""]}
    return process(
        {name: rng.choice(np.array(values, dtype=object), n) for name, values in names.items()}
        | {
            "Product_ID": np.array(["nobody's"] * n, dtype=object),
            "Transaction_Date": np.datetime64("2026-10-01") + rng.integers(-500, 90, n),
            "Units_Sold": units,
            "Unit_Price": price,
        }
    )


def explain(explainer: Explainer, rows: ModelInputs) -> Explanation:
    return explainer.explain(rows.inputs, rows.scale, rows.sign)


def assert_adds_up(found: Explanation) -> None:
    eps = 1e-9 * max(1.0, np.nanmax(np.abs(found.prediction), initial=0.0))
    assert_allclose(found.base + found.values.sum(1), found.prediction, rtol=0, atol=eps)
    by_column = sum(found.by_sale_column().values())
    assert_allclose(found.base + by_column, found.prediction, rtol=0, atol=eps)
    assert_allclose(sum(found.by_source().values()), by_column, rtol=0, atol=eps)


@pytest.mark.parametrize("kind", KINDS)
def test_the_parts_add_up_to_the_served_prediction(
    explainers: dict[str, Explainer], rows: ModelInputs, kind: str
) -> None:
    found = explain(explainers[kind], rows)
    served = predict_inputs(explainers[kind].model, rows)["predicted_revenue"]
    assert_array_equal(found.prediction, served)
    assert_adds_up(found)
    assert set(found.by_sale_column()) == COLUMNS


@pytest.mark.parametrize("kind", KINDS)
def test_returns_free_and_unpriced_rows(
    explainers: dict[str, Explainer], rows: ModelInputs, kind: str
) -> None:
    found = explain(explainers[kind], rows)
    assert (found.base[:10] < 0).all() and (found.prediction[:10] <= 0).all()
    assert (found.base[10:15] == 0).all() and (found.values[10:15] == 0).all()
    assert np.isnan(found.base[15:18]).all() and np.isnan(found.values[15:18]).all()
    assert not np.isnan(found.values[18:]).any()


@pytest.mark.parametrize("kind", KINDS)
def test_one_row_and_none_and_many(explainers: dict[str, Explainer], rows: ModelInputs, kind: str) -> None:
    every = explain(explainers[kind], rows)
    for i in (0, 40, 119):
        one = explain(explainers[kind], ModelInputs(*(a[[i]] for a in (rows.inputs, rows.scale, rows.sign))))
        assert_array_equal(one.values[0], every.values[i])
        assert one.row() == every.row(i)
    none = explain(explainers[kind], ModelInputs(rows.inputs[:0], rows.scale[:0], rows.sign[:0]))
    assert none.values.shape == rows.inputs[:0].shape
    assert none.base.shape == none.prediction.shape == (0,)
    assert {values.shape for values in none.by_sale_column().values()} == {(0,)}


@pytest.mark.parametrize("kind", KINDS)
def test_threads_change_no_bit_of_an_explanation(
    explainers: dict[str, Explainer], rows: ModelInputs, kind: str
) -> None:
    alone = explain(explainers[kind], rows)

    def one(i: int) -> np.ndarray:
        part = ModelInputs(*(a[[i]] for a in (rows.inputs, rows.scale, rows.sign)))
        return explain(explainers[kind], part).values[0]

    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(one, [*range(len(rows.scale))] * 2))
    assert_array_equal(together, np.concatenate([alone.values, alone.values]))


def test_the_explained_booster_is_not_touched(trained: Trained, rows: ModelInputs) -> None:
    bundle = load_bundle(trained.models)
    model = bundle.load("xgboost")
    model.estimator.set_param({"nthread": 2})
    before = model.estimator.save_config()
    two = explain(Explainer(model, bundle.preprocessor), rows)
    assert model.estimator.save_config() == before
    model.estimator.set_param({"nthread": 1})
    assert_array_equal(two.values, explain(Explainer(model, bundle.preprocessor), rows).values)


def test_a_booster_with_names_is_explained(explainers: dict[str, Explainer], trained: Trained) -> None:
    import xgboost as xgb

    preprocessor = load_bundle(trained.models).preprocessor
    names = [f"input {i}" for i in range(len(preprocessor["feature_names"]))]
    inputs = np.random.default_rng(0).random((200, len(names))).astype("float32")
    types = ["float"] * len(names)
    table = xgb.DMatrix(inputs, inputs[:, 0], feature_names=names, feature_types=types)
    booster = xgb.train({"nthread": 1}, table, 5)
    model = replace(explainers["xgboost"].model, regressor=XGBoost(booster), cap=np.inf)
    assert_adds_up(Explainer(model, preprocessor).explain(inputs, np.ones(200)))


# --- the values ------------------------------------------------------------------------


def noisy(n: int, features: int, missing: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    inputs = (
        rng.normal(size=(n, features)).astype("float32").round(1)
    )  # rounded: values that lie on thresholds
    target = inputs[:, 0] * inputs[:, 1] + np.abs(inputs[:, 2]) + rng.normal(0, 0.3, n)
    inputs[rng.random(inputs.shape) < missing] = np.nan
    return inputs, target, rng.uniform(0.1, 5.0, n)


@pytest.mark.parametrize("missing", [0.0, 0.2])
@pytest.mark.parametrize(
    "params",
    [
        {"n_estimators": 3},
        {"n_estimators": 8, "max_leaf_nodes": 50, "max_features": 0.3},
        {"n_estimators": 4, "bootstrap": False, "max_depth": 1},
        {"n_estimators": 6, "max_depth": 5, "max_samples": 200, "min_samples_leaf": 5},
    ],
    ids=str,
)
def test_a_forest_is_explained_as_shap_does(params: dict[str, Any], missing: float) -> None:
    shap = pytest.importorskip("shap")
    inputs, target, weight = noisy(800, 6, missing)
    forest = RandomForestRegressor(random_state=0, **params).fit(inputs, target, sample_weight=weight)
    asked = noisy(100, 6, 0.3, seed=1)[0]  # missing values where the training had none
    base, values = build_path_shap(forest_paths(forest))(asked)
    tree_explainer = shap.TreeExplainer(forest, feature_perturbation="tree_path_dependent")
    assert_allclose(values, tree_explainer.shap_values(asked), rtol=0, atol=1e-10)
    assert_allclose(base, float(np.ravel(tree_explainer.expected_value)[0]), rtol=1e-10)
    assert_allclose(base + values.sum(1), forest.predict(asked), rtol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_a_published_model_is_explained_as_shap_does(
    explainers: dict[str, Explainer], rows: ModelInputs, kind: str
) -> None:
    shap = pytest.importorskip("shap")
    estimator = explainers[kind].model.estimator
    expected = shap.TreeExplainer(estimator).shap_values(rows.inputs)
    found = explainers[kind]._shap(rows.inputs)[1]
    assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_a_forest_is_explained_as_the_definition_says() -> None:
    inputs, target, _ = noisy(60, 3, 0.0)
    forest = RandomForestRegressor(2, max_depth=4, random_state=0).fit(inputs, target)

    def mean(tree: Any, row: np.ndarray, known: frozenset[int], node: int = 0) -> float:
        """The tree's output where only some inputs are known."""
        children = tree.children_left[node], tree.children_right[node]
        if children[0] < 0:
            return tree.value[node, 0, 0]
        if tree.feature[node] in known:
            return mean(tree, row, known, children[int(row[tree.feature[node]] > tree.threshold[node])])
        weights = [tree.weighted_n_node_samples[child] for child in children]
        return float(np.average([mean(tree, row, known, child) for child in children], weights=weights))

    def game(row: np.ndarray, known: frozenset[int]) -> float:
        return float(np.mean([mean(each.tree_, row, known) for each in forest.estimators_]))

    values = build_path_shap(forest_paths(forest))(inputs[:5])[1]
    for row, found in zip(inputs[:5], values, strict=True):
        expected = np.zeros(3)
        for order in permutations(range(3)):
            for k, i in enumerate(order):
                expected[i] += game(row, frozenset(order[: k + 1])) - game(row, frozenset(order[:k]))
        assert_allclose(found, expected / 6, atol=1e-12)


def test_a_forest_without_splits_has_only_a_base() -> None:
    inputs = np.ones((20, 2), "float32")
    forest = RandomForestRegressor(3, random_state=0).fit(inputs, np.full(20, 0.7))
    base, values = build_path_shap(forest_paths(forest))(inputs)
    assert_allclose(base, 0.7)
    assert (values == 0).all()


def test_trees_without_splits_among_others() -> None:
    rng = np.random.default_rng(0)
    inputs, target = rng.random((30, 2)).astype("float32"), (np.arange(30) == 0).astype(float)
    forest = RandomForestRegressor(30, random_state=0).fit(inputs, target)  # the 1 is not in every sample
    assert {each.tree_.node_count == 1 for each in forest.estimators_} == {True, False}
    base, values = build_path_shap(forest_paths(forest))(inputs)
    assert_allclose(base + values.sum(1), forest.predict(inputs), atol=1e-12)


def test_a_row_is_explained_alike_alone_and_among_others() -> None:
    inputs, target, _ = noisy(2_000, 6, 0.1)
    forest = RandomForestRegressor(4, min_samples_leaf=3, random_state=0).fit(inputs, target)
    shares = build_path_shap(forest_paths(forest))
    each = np.concatenate([shares(inputs[i : i + 1])[1] for i in range(100)])
    assert_array_equal(shares(inputs[:100])[1], each)


# --- limits ----------------------------------------------------------------------------


@pytest.mark.parametrize("cap", [1.0, 0.5, np.inf])
def test_settled_contributions_keep_sign_and_order(cap: float) -> None:
    rng = np.random.default_rng(0)
    base, values = rng.uniform(-0.2, 1.3, 500), rng.normal(0, 0.4, (500, 4))
    share = np.clip(base + values.sum(1), 0.0, cap)
    mean, cut = enforce_additivity(base, values, share, cap)
    assert_allclose(mean + cut.sum(1), share, atol=1e-12)
    assert ((mean >= 0) & (mean <= cap)).all()
    assert (cut * values >= -1e-12).all() and (np.abs(cut) <= np.abs(values) + 1e-12).all()
    free = (share == base + values.sum(1)) & (mean == base)
    assert_allclose(cut[free], values[free], atol=1e-12)


def test_contributions_that_cancel_are_kept() -> None:
    values = np.array([[0.3, -0.3], [0.3, -0.3 + 1e-17]])
    base, cut = enforce_additivity(np.array([0.9, 0.9]), values, np.array([0.9 + 1e-7, 0.9]), 1.0)
    assert_allclose(cut, values, atol=1e-6)
    assert_allclose(base + cut.sum(1), [0.9 + 1e-7, 0.9], rtol=0, atol=1e-15)


def test_a_model_that_always_says_more_than_the_cap_is_at_the_cap() -> None:
    base, values = enforce_additivity(np.array([1.5]), np.array([[0.2, 0.1]]), np.array([1.0]), 1.0)
    assert base == 1.0 and (values == 0).all()
    base, values = enforce_additivity(np.array([0.7]), np.zeros((1, 2)), np.array([0.7 + 1e-8]), 1.0)
    assert base == 0.7 + 1e-8


@pytest.mark.parametrize("kind", KINDS)
def test_clipped_rows_add_up(
    explainers: dict[str, Explainer], trained: Trained, rows: ModelInputs, kind: str
) -> None:
    low = replace(explainers[kind].model, cap=0.85)
    found = explain(Explainer(low, load_bundle(trained.models).preprocessor), rows)
    assert (found.prediction == 0.85 * rows.scale * rows.sign).sum() > 10
    assert_adds_up(found)


def test_another_models_explanation_is_refused(explainers: dict[str, Explainer], rows: ModelInputs) -> None:
    for explainer in explainers.values():
        share = explainer.model.predict_share(rows.inputs)
        with pytest.raises(RuntimeError, match="off by"):
            enforce_additivity(*explainer._shap(rows.inputs), np.maximum(share - 0.05, 0.0), 1.0)


# --- errors ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: (r.inputs[:, 1:], r.scale, r.sign), "inputs need shape"),
        (lambda r: (r.inputs[0], r.scale, r.sign), "inputs need shape"),
        (lambda r: (r.inputs, r.scale[:-1], r.sign), "scale needs shape (120,)"),
        (lambda r: (r.inputs, r.scale, 1.0), "sign needs shape (120,)"),
        (
            lambda r: (np.where(r.inputs == r.inputs[0, 0], np.inf, r.inputs), r.scale, r.sign),
            "Units_Sold_scaled",
        ),
    ],
)
def test_what_cannot_be_explained_is_refused(
    explainers: dict[str, Explainer],
    rows: ModelInputs,
    change: Callable[[ModelInputs], tuple[Any, ...]],
    message: str,
) -> None:
    for explainer in explainers.values():
        with pytest.raises(UserError) as error:
            explainer.explain(*change(rows))
        assert message in str(error.value)


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_of_another_training_is_refused(
    explainers: dict[str, Explainer], trained: Trained, kind: str
) -> None:
    inputs, target, _ = noisy(100, 6, 0.0)
    params = {"n_estimators": 2}
    other = fit_model(kind, params, inputs, target, np.ones(100), np.inf, threads=1)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="has 6 inputs"):
        Explainer(other, load_bundle(trained.models).preprocessor)


# --- columns and words -----------------------------------------------------------------


def test_names_that_look_like_others() -> None:
    n = 40
    columns = {
        "Transaction_Date": np.datetime64("2026-01-01") + np.arange(n),
        "Units_Sold": np.ones(n),
        "Region": np.array(["share_7", "Category_North"] * (n // 2), dtype=object),
        "month": np.ones(n),
    }
    parts = fit_preprocessor(columns, ["Region"], ["month"])
    sources = input_sources(parts)
    named = list(zip(parts["feature_names"], sources, strict=True))
    assert ("Region_Category_North", FeatureSource(("Region",))) in named
    assert {source for name, source in named if name == "Region_share_7"} == {
        FeatureSource(("Region",)),
        FeatureSource(("Region",), "past prices"),
    }
    assert {source.columns[0] for name, source in named if name == "month"} == {"month", "Transaction_Date"}
    assert ("share_7", FeatureSource(("Transaction_Date",), "past prices")) in named


def explanation_of(parts: dict[FeatureSource, float], prediction: float = 100.0) -> Explanation:
    values = np.array([list(parts.values())])
    names = tuple(f"input {i}" for i in range(len(parts)))
    return Explanation(prediction - values.sum(1), values, np.array([prediction]), names, tuple(parts))


def test_sentences() -> None:
    discounts, price = FeatureSource(("Category", "Region"), "past discounts"), FeatureSource(("Unit_Price",))
    sale = {"Category": "Electronics", "Region": "North", "Unit_Price": 5.99}
    both = explanation_of({price: 2.1, discounts: -12.3})
    assert (
        describe_explanation(both, sale)
        == "Mostly the past discounts of Electronics in North (-12.30) and the price (+2.10)."
    )
    assert "the past discounts of the category in the region" in describe_explanation(
        both, {"Region": np.nan}
    )
    assert describe_explanation(both, sale, most=1).endswith("in North (-12.30).")
    three = explanation_of(
        {price: 2.0, FeatureSource(("Units_Sold", "Unit_Price")): 1.5, FeatureSource(("Weather",)): 1000.0}
    )
    assert describe_explanation(three, {"Weather": "rain"}, most=3) == "Mostly Weather rain (+1,000.00)."
    three = explanation_of(
        {price: 2.0, FeatureSource(("Units_Sold", "Unit_Price")): 1.5, FeatureSource(("Region",)): -1.0}
    )
    assert (
        describe_explanation(three, sale, most=3)
        == "Mostly the price (+2.00), the size of the order (+1.50) and the region North (-1.00)."
    )
    total = explanation_of({FeatureSource(("Transaction_Date",), "past sales"): 1.0})
    assert describe_explanation(total, {}) == "Mostly the past sales of all products (+1.00)."


@pytest.mark.parametrize(
    ("amounts", "told"),
    [
        ([50.0, 5.0], "Mostly the price (+50.00) and the quantity (+5.00)."),  # a tenth of the largest
        ([50.0, 4.9], "Mostly the price (+50.00)."),
        ([50.0, 20.0, 10.0], "Mostly the price (+50.00) and the quantity (+20.00)."),  # the two largest
        ([0.005], "Mostly the price (+0.01)."),  # half a cent
        ([0.0049], "Nothing moves this prediction away from the mean."),
    ],
)
def test_a_sentence_names_what_matters(amounts: list[float], told: str) -> None:
    columns = ("Unit_Price", "Units_Sold", "Region")
    parts = {FeatureSource((name,)): amount for name, amount in zip(columns, amounts, strict=False)}
    assert describe_explanation(explanation_of(parts), {}) == told


def test_sentences_where_there_is_nothing_to_tell() -> None:
    source = FeatureSource(("Region",))
    assert describe_explanation(explanation_of({source: 0.001}), {}).startswith("Nothing moves")
    assert (
        describe_explanation(explanation_of({source: 1.0}, np.nan), {})
        == "There is no prediction to explain."
    )


@pytest.mark.parametrize("kind", KINDS)
def test_global_importance(explainers: dict[str, Explainer], rows: ModelInputs, kind: str) -> None:
    found = global_importance(explainers[kind], rows.inputs, rows.scale)
    parts = explainers[kind].explain(rows.inputs, rows.scale).by_sale_column()
    assert set(found) == COLUMNS
    assert list(found.values()) == sorted(found.values(), reverse=True)
    for name, value in found.items():
        assert value == pytest.approx(np.nanmean(np.abs(parts[name])))
    with pytest.raises(UserError, match="no row"):
        global_importance(explainers[kind], rows.inputs, np.full(120, np.nan))


def test_other_scales() -> None:
    """Without prices a model predicts revenue per piece; explanations are in currency all the same."""
    n, rng = 400, np.random.default_rng(0)
    columns = {
        "Transaction_Date": np.datetime64("2026-01-01") + np.sort(rng.integers(0, 200, n)),
        "Units_Sold": rng.integers(1, 9, n).astype(float),
        "Region": rng.choice(np.array(["North", "South"], dtype=object), n),
    }
    columns["Revenue"] = columns["Units_Sold"] * np.where(columns["Region"] == "North", 40_000.0, 10_000.0)
    parts = fit_preprocessor(columns, ["Region"])
    history = build_history(columns, columns["Units_Sold"], ["Region"])
    inputs = model_inputs(parts, history, columns)
    for kind, params in {"random_forest": {"n_estimators": 4}, "xgboost": {"n_estimators": 20}}.items():
        model: RevenueModel = fit_model(
            kind,  # type: ignore[arg-type]
            params,
            inputs,
            columns["Revenue"],
            columns["Units_Sold"],
            np.inf,
            threads=1,
        )
        found = Explainer(model, parts).explain(inputs, columns["Units_Sold"])
        assert_adds_up(found)
        assert set(found.by_sale_column()) == {"Units_Sold", "Region", "Transaction_Date"}
        assert (
            next(iter(global_importance(Explainer(model, parts), inputs, columns["Units_Sold"]))) == "Region"
        )


def test_a_forest_is_explained_without_shap_or_numba(trained: Trained) -> None:
    code = (
        "import sys; from pathlib import Path; import numpy as np\n"
        "from salesforecast.registry.bundle import load_bundle; from salesforecast.models.explanations import Explainer\n"
        f"bundle = load_bundle(Path({str(trained.models)!r}))\n"
        "explainer = Explainer(bundle.load('random_forest'), bundle.preprocessor)\n"
        "explainer.explain(np.zeros((1, len(explainer.names)), 'float32'), np.ones(1))\n"
        "print({'shap', 'numba', 'matplotlib', 'statsmodels'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
