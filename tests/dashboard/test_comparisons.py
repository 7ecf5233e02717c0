"""What a prediction is compared with: quartiles of similar sales, and the values of the what-if curve."""

import numpy as np
import pandas as pd
import pytest

from salesforecast.api.schemas import SampleRow
from salesforecast.dashboard.model.comparisons import (
    list_revenue,
    sample_frame,
    similar_sales,
    what_if_rows,
    what_if_values,
)

SALE = {"Category": "Toys", "Region": "East", "Units_Sold": 2.0, "Unit_Price": 5.0}


def sample(**shares: list[float]) -> pd.DataFrame:
    "A sample with the shares of each category and region, such as `Toys_East`."
    rows = [(*name.split("_"), share) for name, some in shares.items() for share in some]
    return pd.DataFrame(rows, columns=["Category", "Region", "share"])


def test_the_narrowest_group_of_ten_sales_is_compared() -> None:
    ten, eleven = [0.5, *[0.9] * 8, 1.0], [i / 10 for i in range(11)]
    found = similar_sales(sample(Toys_East=ten, Toys_West=[0.1], Food_East=[0.2]), SALE)
    assert found and (found.count, found.same) == (10, ("Category", "Region"))
    found = similar_sales(sample(Toys_East=ten[1:], Toys_West=[0.1], Food_East=[0.2]), SALE)
    assert found and (found.count, found.same) == (10, ("Category",))
    found = similar_sales(sample(Toys_East=[0.5], Food_West=ten), SALE)
    assert found and (found.count, found.same) == (11, ())
    found = similar_sales(sample(Toys_East=eleven), SALE)
    assert found and (found.low, found.share, found.high) == pytest.approx((0.25, 0.5, 0.75))


def test_what_is_not_given_does_not_part_the_sales() -> None:
    ten = [0.9] * 10
    found = similar_sales(sample(Toys_East=ten, Food_East=ten), SALE | {"Category": None})
    assert found and (found.count, found.same) == (20, ("Region",))


def test_there_is_nothing_to_compare_with() -> None:
    assert similar_sales(sample(Toys_East=[0.9] * 9), SALE) is None
    assert similar_sales(sample(Toys_East=[0.9] * 20).drop(columns="share"), SALE) is None


def test_a_share_needs_units_and_price_above_nothing() -> None:
    rows = [
        SampleRow(transaction={"Units_Sold": units, "Unit_Price": 5.0}, revenue=8.0, predicted_revenue=9.0)
        for units in (2, 0.5)
    ]
    assert sample_frame(rows)["share"].tolist() == [0.8, 3.2]
    none = [SampleRow(transaction={"Units_Sold": 2}, revenue=8.0, predicted_revenue=9.0)]
    assert "share" not in sample_frame(none)
    assert (list_revenue(SALE), list_revenue(SALE | {"Unit_Price": None})) == (10.0, None)


def test_a_price_runs_from_its_half_to_its_double() -> None:
    values = what_if_values("Unit_Price", 10.0)
    assert (values[0], values[-1], len(values)) == (5.0, 20.0, 25)
    assert 10.0 in values and (np.diff(values) > 0).all()


@pytest.mark.parametrize(
    ("units", "first", "last"),
    [(4.0, 1.0, 12.0), (1.0, 1.0, 3.0), (0.4, 0.4, 1.4), (-4.0, -12.0, -1.0), (0.0, 0.0, 1.0)],
)
def test_units_run_from_one_to_three_times_as_many(units: float, first: float, last: float) -> None:
    values = what_if_values("Units_Sold", units)
    assert (values[0], values[-1]) == (first, last)
    assert units in values
    assert all(value.is_integer() for value in values) == units.is_integer()


def test_a_row_differs_by_the_value_alone() -> None:
    assert what_if_rows(SALE, "Unit_Price", [4, 5]) == [SALE | {"Unit_Price": 4.0}, SALE]
