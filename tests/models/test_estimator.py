"""RevenueRegressor: the training's own predictions, and scikit-learn's conventions."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.utils.estimator_checks import check_estimator

from salesforecast.core.settings import UserError
from salesforecast.models.estimator import RevenueRegressor
from salesforecast.registry.predictor import Predictor
from salesforecast.sales.reading import read_sales
from support.models import Trained

# X is a frame of transactions with dates; these checks of scikit-learn pass arrays of random numbers
NEEDS_A_FRAME = (
    "check_fit_score_takes_y",
    "check_estimators_overwrite_params",
    "check_dont_overwrite_parameters",
    "check_estimators_fit_returns_self",
    "check_readonly_memmap_input",
    "check_n_features_in_after_fitting",
    "check_positive_only_tag_during_fit",
    "check_estimators_dtypes",
    "check_complex_data",
    "check_dtype_object",
    "check_estimators_empty_data_messages",
    "check_pipeline_consistency",
    "check_estimators_nan_inf",
    "check_estimator_sparse_tag",
    "check_estimator_sparse_array",
    "check_estimator_sparse_matrix",
    "check_estimators_pickle",
    "check_f_contiguous_array_estimator",
    "check_regressors_train",
    "check_regressor_data_not_an_array",
    "check_regressors_no_decision_function",
    "check_supervised_y_2d",
    "check_regressors_int",
    "check_methods_sample_order_invariance",
    "check_methods_subset_invariance",
    "check_fit2d_1sample",
    "check_fit2d_1feature",
    "check_dict_unchanged",
    "check_fit_idempotent",
    "check_fit_check_is_fitted",
    "check_n_features_in",
    "check_fit2d_predict1d",
)


def test_it_predicts_what_the_training_path_predicts(trained: Trained) -> None:
    frame = read_sales(trained.source).frame
    for kind, options in trained.training.manifest.configurations.items():
        regressor = RevenueRegressor(kind, options, calibration_share=0, threads=1)
        regressor.fit(frame.drop(columns="Revenue"), frame["Revenue"])
        predictor = Predictor.load(trained.models)
        predictor.model = predictor.bundle.load(kind)
        expected = predictor.predict(frame)["predicted_revenue"].to_numpy()
        assert_array_equal(regressor.predict(frame.drop(columns="Revenue")), expected)


def test_intervals_have_their_coverage_on_later_days(trained: Trained) -> None:
    frame = read_sales(trained.source).frame
    frame = frame[~frame["is_return"]].sort_values("Transaction_Date")
    train, test = frame[: len(frame) * 4 // 5], frame[len(frame) * 4 // 5 :]
    regressor = RevenueRegressor(options={"n_estimators": 60, "max_depth": 4}, threads=1)
    low, high = regressor.fit(train, train["Revenue"]).predict_interval(test, 95).T
    assert 0.85 < ((low - 0.005 <= test["Revenue"]) & (test["Revenue"] <= high + 0.005)).mean() < 1
    with pytest.raises(UserError, match="no intervals"):
        clone(regressor).set_params(calibration_share=0).fit(train, train["Revenue"]).predict_interval(test)


def test_rows_in_another_order_teach_the_same(trained: Trained) -> None:
    frame = read_sales(trained.source).frame.drop_duplicates("Transaction_Date")
    regressor = RevenueRegressor(options={"n_estimators": 20, "max_depth": 3}, calibration_share=0, threads=1)
    mixed = frame.sample(frac=1, random_state=0)
    one, other = (clone(regressor).fit(part, part["Revenue"]).predict(frame) for part in (frame, mixed))
    assert_array_equal(one, other)


@pytest.mark.filterwarnings("ignore")
def test_scikit_learns_own_checks_pass_but_those_that_give_arrays() -> None:
    expected = dict.fromkeys(NEEDS_A_FRAME, "X has to be a frame of transactions with dates, not an array")
    results = check_estimator(RevenueRegressor(), expected_failed_checks=expected, on_skip=None)
    assert {each["check_name"] for each in results if each["status"] == "xfail"} == set(NEEDS_A_FRAME)
    assert sum(each["status"] == "passed" for each in results) >= 14


def test_what_is_no_frame_is_refused() -> None:
    with pytest.raises(UserError, match="not ndarray"):
        RevenueRegressor().fit(np.ones((3, 2)), [1.0, 2.0, 3.0])  # type: ignore[arg-type]
    with pytest.raises(UserError, match="finite revenue"):
        RevenueRegressor().fit(pd.DataFrame({"Transaction_Date": ["2026-01-01"]}), [np.nan])
