"""The fitted preprocessor at the edges: constant columns, many values, absent columns, numbers beyond float32."""

from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from salesforecast.core.settings import UserError
from salesforecast.core.stored import write_stored
from salesforecast.features.columns import select_rows
from salesforecast.features.history import History, build_history
from salesforecast.features.preprocessor import (
    HOLIDAY_YEARS_AHEAD,
    LARGEST,
    MAX_ONE_HOT,
    Preprocessor,
    fill_missing_columns,
    fit_preprocessor,
    load_preprocessor,
    model_inputs,
    number_columns,
    one_hot_columns,
    prepare_inputs,
    save_preprocessor,
    scaled_columns,
)

DAYS = np.array(["2026-01-01", "2026-01-02", "2026-01-02", "2026-01-05"], "datetime64[D]")


def rows(**changed: object) -> dict[str, object]:
    """Four sales as columns."""
    return {
        "Transaction_Date": DAYS,
        "Units_Sold": np.array([1.0, 2.0, 3.0, 5.0]),
        "Unit_Price": np.full(4, 8.0),
        "Category": ["Books", "Toys", "Books", None],
    } | changed


@pytest.fixture
def fitted() -> Preprocessor:
    return fit_preprocessor(rows(), ["Category"])


@pytest.fixture
def history() -> History:
    revenue = np.array([8.0, 16.0, 24.0, 40.0])
    return build_history(rows(Revenue=revenue), revenue, ["Category"])


def test_numbers_are_scaled_by_the_range_of_training_and_a_constant_one_by_one(fitted: Preprocessor) -> None:
    scaled = scaled_columns(fitted, rows(Units_Sold=[1.0, 3.0, 5.0, -9.0], Unit_Price=[8.0, 8.5, 7.0, 10.0]))
    assert_allclose(scaled["Units_Sold_scaled"], [0, 0.5, 1, 2])  # a return counts by its size
    assert_allclose(scaled["Unit_Price_scaled"], [0, 0.5, -1, 2])


def test_a_text_column_is_one_hot_up_to_a_number_of_values() -> None:
    for count, encoded in ((MAX_ONE_HOT, True), (MAX_ONE_HOT + 1, False)):
        sales = rows() | {
            "Transaction_Date": np.full(count, DAYS[0]),
            "Units_Sold": np.arange(count) + 1.0,
            "Unit_Price": np.ones(count),
            "Category": [f"c{i:02d}" for i in range(count)],
        }
        parts = fit_preprocessor(sales, ["Category"])
        assert ("Category" in parts["encoder"]) == encoded
        assert parts["known"]["Category"] == count


def test_a_row_has_its_own_value_and_an_unknown_one_has_none(fitted: Preprocessor) -> None:
    encoded = one_hot_columns(fitted, rows(Category=["Toys", "Books", "Garden", None]))
    assert_array_equal(encoded["Category_Toys"], [1, 0, 0, 0])
    assert_array_equal(encoded["Category_Books"], [0, 1, 0, 0])


def test_holidays_are_known_three_years_past_the_sales() -> None:
    first, last = (
        date(2026, 1, 5),
        date(2026 + HOLIDAY_YEARS_AHEAD, 1, 7),
    )  # 3 × 366 days after 5 January 2026
    beyond = date(2029, 1, 8)
    parts = fit_preprocessor(rows(), [], holidays=[first, last, beyond])
    assert [day.item() for day in parts["holidays"]] == [first, last]


def test_gross_revenue_enters_by_its_logarithm_where_price_and_units_are_there(fitted: Preprocessor) -> None:
    assert_allclose(number_columns(fitted, rows())["List_Revenue_log"], np.log1p([8, 16, 24, 40]))
    without = rows()
    del without["Unit_Price"]
    parts = fit_preprocessor(without, ["Category"])
    assert parts["scale"] == "units"
    assert "List_Revenue_log" not in number_columns(parts, without)
    assert "List_Revenue_log" not in parts["feature_names"]


def test_absent_columns_are_unknown_or_named(fitted: Preprocessor) -> None:
    given = {name: values for name, values in rows().items() if name != "Category"}
    assert fill_missing_columns(fitted, given)["Category"].isna().all()
    del given["Unit_Price"]
    with pytest.raises(UserError, match="'Unit_Price'"):
        fill_missing_columns(fitted, given)


def test_a_number_column_that_is_not_given_is_unknown() -> None:
    discount = np.array([0.0, 0.1, 0.0, 0.2])
    parts = fit_preprocessor(rows(Discount=discount), ["Category"], ["Discount"])
    assert np.isnan(fill_missing_columns(parts, rows())["Discount"]).all()
    assert_array_equal(fill_missing_columns(parts, rows(Discount=discount))["Discount"], discount)


def test_a_preprocessor_of_another_format_is_refused(
    fitted: Preprocessor, history: History, tmp_path: Path
) -> None:
    path = tmp_path / "preprocessor.pkl"
    save_preprocessor(fitted, history, path)
    np.testing.assert_equal(load_preprocessor(path)["scaler"], fitted["scaler"])
    for other in ({**fitted, "format": 0}, [1, 2]):
        write_stored(other, path)
        with pytest.raises(UserError, match="Train again"):
            load_preprocessor(path)


def test_a_number_beyond_float32_is_its_largest(fitted: Preprocessor, history: History) -> None:
    inputs = model_inputs(fitted, history, rows(Units_Sold=[1e300, 1.0, 1.0, 1.0]))
    assert inputs[0, fitted["feature_names"].index("Units_Sold_scaled")] == np.float32(LARGEST)
    assert np.isfinite(inputs[~np.isnan(inputs)]).all()


def test_a_single_row_is_the_same_with_and_without_the_cache(fitted: Preprocessor, history: History) -> None:
    cache: dict = {}
    for units in (2.0, 4.0):
        row = {
            "Transaction_Date": DAYS[3:],
            "Units_Sold": [units],
            "Unit_Price": [8.0],
            "Category": ["Toys"],
        }
        expected = model_inputs(fitted, history, row)
        assert_array_equal(model_inputs(fitted, history, row, cache), expected)
    assert len(cache) == 1


def test_many_rows_have_the_inputs_of_few(fitted: Preprocessor, history: History) -> None:
    order = np.random.default_rng(0).integers(0, 4, 3_000)
    many = {
        name: np.asarray(values, object if name == "Category" else None)[order]
        for name, values in rows().items()
    }
    many["Transaction_Date"] = many["Transaction_Date"].copy()
    many["Transaction_Date"][::7] = np.datetime64("NaT")  # as of rows without a date
    parts = [model_inputs(fitted, history, select_rows(many, slice(i, i + 10))) for i in range(0, 3_000, 10)]
    assert_array_equal(model_inputs(fitted, history, many), np.concatenate(parts))


def test_returns_count_negative_by_their_mark_else_by_their_units(
    fitted: Preprocessor, history: History
) -> None:
    units = np.array([1.0, -2.0, 3.0, 0.0])
    found = prepare_inputs(fitted, history, rows(Units_Sold=units))
    assert_array_equal(found.sign, [1, -1, 1, 1])
    assert_allclose(found.scale, [8, 16, 24, 0])
    marked = prepare_inputs(fitted, history, rows(is_return=pd.array([True, False, False, True])))
    assert_array_equal(marked.sign, [-1, 1, 1, -1])
