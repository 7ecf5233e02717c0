"""Configurations of the transactional models, chosen in the validation period."""

import numpy as np
import pandas as pd
import pytest

from salesforecast.core.params import XGBOOST
from salesforecast.features.preprocessing import PreparedSales, prepare_sales
from salesforecast.sales.reading import read_sales
from salesforecast.training.transactional import (
    make_training_dataset,
    search_configurations,
    split_validation,
)


@pytest.fixture(scope="module")
def prepared() -> PreparedSales:
    """Sales with 35% off on Fridays in three categories, and 5% otherwise: a rule of two columns."""
    rng, rows = np.random.default_rng(0), 4_000
    day = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.sort(rng.integers(0, 360, rows)), unit="D")
    category, units = rng.integers(0, 8, rows), rng.integers(1, 20, rows)
    price = np.round(rng.lognormal(3, 0.6, rows), 2)
    discount = np.where((day.dayofweek == 4) & (category < 3), 0.35, 0.05)
    sales = pd.DataFrame(
        {
            "Transaction_Date": day,
            "Units_Sold": units,
            "Unit_Price": price,
            "Category": [f"C{c}" for c in category],
            "Revenue": np.round(units * price * (1 - discount), 2),
        }
    )
    return prepare_sales(read_sales(sales), None)


def test_a_discount_that_is_a_rule_is_found_by_a_plain_configuration(prepared: PreparedSales) -> None:
    learned = make_training_dataset(prepared, prepared.preprocessor)
    train, validation = split_validation(learned, 0.2)
    scores = [
        search_configurations("xgboost", [one], train, validation, 1.0, "wape").score for one in XGBOOST
    ]
    best = search_configurations("xgboost", XGBOOST, train, validation, 1.0, "wape")
    assert best.score == min(scores) < 0.2 * min(scores[:2])
    assert "colsample_bytree" not in best.params
