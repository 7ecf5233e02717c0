"""RevenueRegressor: the training's own predictions, and scikit-learn's conventions."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.utils.estimator_checks import check_estimator

from salesforecast.core.settings import UserError
from salesforecast.models import estimator
from salesforecast.models.estimator import RevenueRegressor
from salesforecast.models.regression import fit_error_quantiles
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


def shop(days: int = 11, **columns: object) -> pd.DataFrame:
    """Ten sales a day at list price, from 2026-01-01 on; the price tells them apart."""
    dates = np.repeat(pd.date_range("2026-01-01", periods=days), 10)
    frame = pd.DataFrame({"Transaction_Date": dates, "Units_Sold": 2.0, "Unit_Price": 5.0})
    return frame.assign(**columns)


def test_one_sale_is_enough_and_returns_alone_are_not() -> None:
    X = shop(1).head(1)
    regressor = RevenueRegressor(options={"n_estimators": 2}, calibration_share=0, threads=1)
    assert_array_equal(clone(regressor).fit(X, [10.0]).predict(X), [10.0])
    with pytest.raises(UserError, match="no sale to learn from"):
        clone(regressor).fit(X.assign(is_return=True), [-10.0])


def test_the_last_fifth_of_the_days_gives_the_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of eleven days, ten apart, the last two and the day that they begin with, without its returns."""
    measured: list[int] = []

    def count(predicted: np.ndarray, actual: np.ndarray) -> np.ndarray:
        measured.append(len(actual))
        return fit_error_quantiles(predicted, actual)

    monkeypatch.setattr(estimator, "fit_error_quantiles", count)
    X = shop(is_return=[i == 109 for i in range(110)])
    RevenueRegressor(options={"n_estimators": 2}, threads=1).fit(X, np.where(X["is_return"], -10.0, 10.0))
    RevenueRegressor(options={"n_estimators": 2}, calibration_share=0.5, threads=1).fit(X, X["Units_Sold"])
    assert measured == [29, 59]


@pytest.mark.parametrize(
    ("columns", "returned"),
    [
        ({"Units_Sold": [-1.0, 0.0, 1.0]}, [True, False, False]),
        ({"Units_Sold": [-1.0, 0.0, 1.0], "is_return": [False, True, False]}, [False, True, False]),
        ({"Unit_Price": [1.0, 2.0, 3.0]}, [False, False, False]),
    ],
)
def test_returns_are_marked_or_have_negative_units(columns: dict[str, list], returned: list[bool]) -> None:
    assert estimator._returns(pd.DataFrame(columns)).tolist() == returned


def test_an_interval_is_of_80_or_95_percent() -> None:
    X = shop(2)
    fitted = RevenueRegressor(options={"n_estimators": 2}, calibration_share=0.5, threads=1)
    fitted.fit(X, np.tile([10.0, 8.0], 10))
    assert_array_equal(fitted.predict_interval(X), fitted.predict_interval(X, 80))
    with pytest.raises(UserError, match="coverage is 80 or 95, not 90"):
        fitted.predict_interval(X, 90)
