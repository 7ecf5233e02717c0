"""The model of transactions in MLflow's registry takes what `/predict` takes, and refuses what `/predict` refuses."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from flask.testing import FlaskClient

from salesforecast.api.example import example_client
from salesforecast.core.settings import UserError
from salesforecast.registry.bundle import load_bundle
from salesforecast.registry.predictor import CHUNK_ROWS
from salesforecast.registry.pyfunc import TransactionModel
from support.models import Trained

SALE = {"Units_Sold": 2, "Unit_Price": 9.5, "Category": "Toys", "Region": "North"}


@pytest.fixture(scope="module")
def model(trained: Trained) -> TransactionModel:
    return TransactionModel(load_bundle(trained.models))


@pytest.fixture(scope="module")
def client(trained: Trained) -> FlaskClient:
    return example_client(trained.models)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"Transaction_Date": None, "Category": None},
        {"Transaction_Date": "2026-12-01"},
        {"Transaction_Date": "2026-12-01T23:30:00+05:00"},
        {"Transaction_Date": "01.12.2026"},
        {"Transaction_Date": "12/01/2026"},
        {"Transaction_Date": "soon"},
        {"Transaction_Date": 20261201},
        {"Transaction_Date": "1750-01-01"},
        {"Units_Sold": -2},
        {"Units_Sold": 0.5},
        {"Units_Sold": None},
        {"Units_Sold": "two"},
        {"Units_Sold": "2"},
        {"Units_Sold": True},
        {"Units_Sold": 1e10},
        {"Unit_Price": -1},
        {"Unit_Price": "9,50"},
        {"Region": "Nowhere"},
        {"Region": 7},
        {"Region": ["North"]},
        {"Category": "x" * 501},
        {"Product_ID": 22423},
        {"Customer_ID": "c1", "Product_Name": "Ball"},
        {"Colour": "red"},
    ],
    ids=str,
)
def test_it_answers_as_the_api_does_or_refuses_for_the_same_reason(
    model: TransactionModel, client: FlaskClient, fields: dict[str, Any]
) -> None:
    rows = [SALE, SALE | fields]
    answer = client.post("/predict_batch_json", json={"data": rows})
    content = answer.get_json()
    if answer.status_code == 400:
        with pytest.raises(UserError) as refused:
            model.predict(pd.DataFrame(rows, dtype=object))
        assert str(refused.value) == content["details"]
    else:
        found = model.predict(pd.DataFrame(rows)).to_dict("records")
        assert found == [{name: row[name] for name in found[0]} for row in content["predictions"]]


def test_missing_values_of_any_kind_are_fields_that_are_not_given(model: TransactionModel) -> None:
    expected = model.predict(pd.DataFrame([SALE | {"Region": None}]))
    for missing in (np.nan, pd.NA, pd.NaT, float("nan")):
        found = model.predict(pd.DataFrame([SALE | {"Region": missing}]))
        pd.testing.assert_frame_equal(found, expected)


def test_dates_may_be_datetimes_and_the_index_stays(model: TransactionModel) -> None:
    days = pd.to_datetime(["2026-12-01", "2026-12-02"])
    frame = pd.DataFrame([SALE, SALE], index=[7, 3]).assign(Transaction_Date=days)
    found = model.predict(frame)
    written = model.predict(frame.assign(Transaction_Date=["2026-12-01", "2026-12-02"]))
    pd.testing.assert_frame_equal(found, written)
    assert found.index.tolist() == [7, 3]
    assert model.predict(frame.iloc[:0]).columns.tolist() == found.columns.tolist()


def test_a_row_far_down_is_named_by_its_place(model: TransactionModel) -> None:
    frame = pd.DataFrame([SALE]).iloc[np.zeros(CHUNK_ROWS + 2, int)].reset_index(drop=True)
    frame.loc[CHUNK_ROWS + 1, "Unit_Price"] = -1
    with pytest.raises(UserError, match=f"item {CHUNK_ROWS + 1}, Unit_Price"):
        model.predict(frame)
