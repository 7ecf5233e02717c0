"""Nothing learns from the future, and training and serving see the same numbers."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from salesforecast.features.columns import frame_columns, select_rows
from salesforecast.features.preprocessing import PreparedSales, prepare_sales
from salesforecast.features.preprocessor import model_inputs
from salesforecast.registry.predictor import Predictor
from salesforecast.sales.reading import SalesData, read_sales
from salesforecast.training.transactional import make_training_dataset, train_transactional
from support.models import SMALL, Trained

CUT = pd.Timestamp("2026-06-01")


@pytest.fixture(scope="module")
def sales(trained: Trained) -> SalesData:
    return read_sales(trained.source)


def changed_after(sales: SalesData, cut: pd.Timestamp) -> SalesData:
    """The same sales, with every row from `cut` on changed in every column."""
    frame, rng = sales.frame.copy(), np.random.default_rng(0)
    late = (frame["Transaction_Date"] >= cut).to_numpy()
    assert late.sum() > 100
    frame.loc[late, "Revenue"] *= rng.uniform(0.1, 0.9, late.sum())
    frame.loc[late, "Units_Sold"] += 7
    for name in ("Category", "Region", "Product_ID"):
        frame[name] = frame[name].astype(object)
        frame.loc[late, name] = rng.choice(["new A", "new B"], late.sum())
    return SalesData(frame, sales.quarantine, sales.report, sales.mapping)


def before(prepared: PreparedSales, cut: pd.Timestamp) -> dict:
    return select_rows(prepared.columns, prepared.columns["Transaction_Date"] < np.datetime64(cut, "D"))


def test_changing_the_future_changes_no_feature_before_it(sales: SalesData) -> None:
    one, other = prepare_sales(sales), prepare_sales(changed_after(sales, CUT))
    rows = before(one, CUT)
    inputs = model_inputs(one.preprocessor, one.history, rows)
    assert len(inputs) > 1000
    assert_array_equal(inputs, model_inputs(one.preprocessor, other.history, rows))


def test_changing_the_test_period_changes_no_fitted_preprocessor(sales: SalesData) -> None:
    one = prepare_sales(sales)
    other = prepare_sales(changed_after(sales, pd.Timestamp(one.test_start)))
    assert one.preprocessor.keys() == other.preprocessor.keys()
    for name, part in one.preprocessor.items():
        np.testing.assert_equal(other.preprocessor[name], part, err_msg=name)


def test_changing_the_future_changes_no_prediction_before_it(sales: SalesData) -> None:
    found = []
    for data in (sales, changed_after(sales, CUT)):
        prepared = prepare_sales(data)
        evaluated = train_transactional(prepared, SMALL).evaluated["xgboost"]
        days = prepared.columns["Transaction_Date"][~prepared.train]
        found.append(evaluated.predicted[days < np.datetime64(CUT, "D")])
    assert len(found[0]) > 200
    assert_array_equal(found[0], found[1])


def test_the_rows_own_day_is_not_in_its_features(sales: SalesData) -> None:
    """Doubling one day's revenue changes features of later days only."""
    prepared = prepare_sales(sales)
    frame = sales.frame.copy()
    day = pd.Timestamp("2026-02-10")
    frame.loc[frame["Transaction_Date"].dt.normalize() == day, "Revenue"] *= 0.5
    other = prepare_sales(SalesData(frame, sales.quarantine, sales.report, sales.mapping))
    days = prepared.columns["Transaction_Date"]
    inputs = [model_inputs(prepared.preprocessor, p.history, prepared.columns) for p in (prepared, other)]
    differs = ~((inputs[0] == inputs[1]) | np.isnan(inputs[0]) & np.isnan(inputs[1])).all(1)
    assert differs.any()
    assert days[differs].min() == np.datetime64("2026-02-11")


def test_a_shuffled_target_scores_no_better_than_the_baseline(sales: SalesData) -> None:
    frame, rng = sales.frame.copy(), np.random.default_rng(1)
    listed = frame["Units_Sold"] * frame["Unit_Price"]
    share = (frame["Revenue"] / listed).to_numpy()
    frame["Revenue"] = (listed * rng.permutation(share)).round(2)
    shuffled = prepare_sales(SalesData(frame, sales.quarantine, sales.report, sales.mapping))
    metrics = train_transactional(shuffled, SMALL).metrics
    for kind in ("random_forest", "xgboost"):
        assert metrics[kind]["wape"] >= 0.99 * metrics["group_mean_discount"]["wape"]


def test_training_and_serving_inputs_are_identical(trained: Trained) -> None:
    prepared = prepare_sales(read_sales(trained.source))
    predictor = Predictor.load(trained.models)
    trained_on = make_training_dataset(prepared, predictor.preprocessor).inputs
    served = model_inputs(predictor.preprocessor, predictor.history, prepared.columns)
    assert_array_equal(served, trained_on)
    frame = prepared.sales.frame.sort_values("Transaction_Date", kind="stable")
    frame = frame[~frame["is_return"]]
    for i in np.random.default_rng(0).integers(0, len(frame), 40):
        alone = model_inputs(predictor.preprocessor, predictor.history, frame_columns(frame.iloc[[i]]))
        assert_array_equal(alone[0], trained_on[i])


def test_a_memory_that_is_cleared_by_another_thread_changes_nothing(trained: Trained) -> None:
    class Cleared(dict):
        """A memory that another thread clears after every look."""

        def get(self, key: object, default: object = None) -> object:
            found = super().get(key, default)
            self.clear()
            return found

        def __contains__(self, key: object) -> bool:
            found = super().__contains__(key)
            self.clear()
            return found

    prepared, predictor = prepare_sales(read_sales(trained.source)), Predictor.load(trained.models)
    row = frame_columns(prepared.sales.frame.iloc[[0]])
    plain = model_inputs(predictor.preprocessor, predictor.history, row)
    for memory in ({}, Cleared()):
        for _ in range(3):
            found = model_inputs(predictor.preprocessor, predictor.history, row, memory)
            assert_array_equal(found, plain)
