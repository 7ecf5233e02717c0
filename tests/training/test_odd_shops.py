"""The first training of a shop serves what can be served: a model where it is better than a baseline, else the baseline."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from flask.testing import FlaskClient

from salesforecast.api.main import create_app
from salesforecast.api.model_loader import ModelStore
from salesforecast.core.params import DemandParams, ForecastParams, Params
from salesforecast.core.settings import Settings, UserError
from salesforecast.features.preprocessing import prepare_sales
from salesforecast.lifecycle.retraining import TrainingOutcome, retrain
from salesforecast.registry.predictor import Predictor
from salesforecast.sales.reading import read_sales
from salesforecast.sales.schema import ColumnMapping
from support.shops import ODD_SHOPS, simulate_shop

TINY = Params(
    random_forest=[{"n_estimators": 4, "min_samples_leaf": 20}],
    xgboost=[{"n_estimators": 20, "max_depth": 3}],
    forecast=ForecastParams(windows=1),
)
WITH_DEMAND = TINY.model_copy(update={"demand": DemandParams(candidates=["window_average"])})
QUICK = ("one day", "thirteen days", "constant", "revenue only", "no discount")


def train(
    shop: pd.DataFrame, folder: Path, params: Params = TINY, mapping: ColumnMapping | None = None
) -> TrainingOutcome:
    source, models, plots = folder / "sales.csv", folder / "models", folder / "plots"
    shop.to_csv(source, index=False)
    return retrain(source, mapping, models_dir=models, params=params, plots_dir=plots, track=False)


def check_served(outcome: TrainingOutcome, shop: pd.DataFrame) -> None:
    """A version is served, says by what, and predicts and forecasts numbers of the right size."""
    manifest = outcome.training.manifest
    assert outcome.promoted and outcome.decision.passed, outcome.decision.reasons
    assert {"transactional", "daily"} <= set(manifest.parts)
    assert all(part.why for part in manifest.parts.values())
    assert manifest.parts["transactional"].served == manifest.served
    predictor = Predictor.load(outcome.training.path.parent)
    rows = shop[shop["Revenue"] > 0].tail(50)
    predicted = predictor.predict(rows)
    assert np.isfinite(predicted.to_numpy()).all()
    assert predicted["predicted_revenue"].sum() == pytest.approx(rows["Revenue"].sum(), rel=0.35)
    assert (predicted["lower_95"] <= predicted["predicted_revenue"]).all()
    assert (predicted["predicted_revenue"] <= predicted["upper_95"]).all()
    forecast = outcome.training.forecast
    assert np.isfinite(forecast["predicted_revenue"]).all() and (forecast["predicted_revenue"] >= 0).all()
    assert forecast["predicted_revenue"].sum() > 0


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("name", QUICK)
def test_a_first_version_is_served(name: str, tmp_path: Path) -> None:
    shop = ODD_SHOPS[name]()
    check_served(train(shop, tmp_path), shop)


@pytest.mark.slow
def test_a_sale_of_a_billion_is_left_out_where_the_mapping_says_so(tmp_path: Path) -> None:
    shop = ODD_SHOPS["a sale of a billion"]()
    with pytest.raises(UserError, match="odd_rows: quarantine"):
        train(shop, tmp_path, WITH_DEMAND)
    outcome = train(shop, tmp_path, WITH_DEMAND, ColumnMapping(odd_rows="quarantine"))
    check_served(outcome, shop[shop["Revenue"] < shop["Revenue"].max()])


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in ODD_SHOPS if name != "a sale of a billion"])
def test_every_shop_gets_a_first_version(name: str, tmp_path: Path) -> None:
    shop = ODD_SHOPS[name]()
    outcome = train(shop, tmp_path, WITH_DEMAND)
    check_served(outcome, shop)
    if name not in ("one day", "revenue only"):  # too short for it, and without a level but the total
        assert outcome.training.demand


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["s02-constant.csv.gz", "s05-zero-inflated.csv", "s09-one-day.csv", "s10-thirteen-days.csv"]
)
def test_the_exports_at_hand_are_served(name: str, real_data: Path, tmp_path: Path) -> None:
    shop = pd.read_csv(real_data / "exports" / name)
    check_served(train(shop, tmp_path, WITH_DEMAND), shop)


def test_sales_without_revenue_are_refused_with_the_way_out(tmp_path: Path) -> None:
    shop = simulate_shop(days=40).assign(Revenue=0.0)
    with pytest.raises(UserError, match="Revenue is 0 in all"):
        train(shop, tmp_path)
    with pytest.raises(UserError, match=r"revenue of all .* rows is 0.*Units × price would be"):
        prepare_sales(read_sales(shop, ColumnMapping(odd_rows="keep")))
    assert not (tmp_path / "models" / "current").exists()


def test_short_histories_say_what_is_needed(tmp_path: Path) -> None:
    parts = train(ODD_SHOPS["one day"](), tmp_path, WITH_DEMAND).training.manifest.parts
    assert parts["transactional"].served == "list_revenue"
    assert "About a month of sales is needed" in parts["transactional"].why
    assert parts["daily"].served == "mean" and "SARIMA needs at least 22 days" in parts["daily"].why
    assert parts["demand"].served == "" and "too few" in parts["demand"].why


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> FlaskClient:
    """An open API that serves units × price and a mean."""
    folder = tmp_path_factory.mktemp("baseline")
    outcome = train(ODD_SHOPS["one day"](), folder)
    assert outcome.promoted
    return create_app(ModelStore(folder / "models"), Settings(api_auth="off")).test_client()


SALE = {
    "Units_Sold": 4,
    "Unit_Price": 12.5,
    "Category": "C1",
    "Region": "R0",
    "Transaction_Date": "2024-01-02",
}


def test_the_api_answers_with_the_baseline_and_says_so(client: FlaskClient) -> None:
    status, info = client.get("/status").get_json(), client.get("/model_info").get_json()
    for answer in (status, info):
        assert answer["parts"]["transactional"]["served"] == "list_revenue"
        assert answer["parts"]["transactional"]["baseline"] and answer["parts"]["daily"]["served"] == "mean"
    assert status["transactional_model_type"] == info["model_type"] == "list_revenue"
    assert info["performance_metrics"]["coverage_95"] >= 0.9
    prediction = client.post("/predict", json=SALE).get_json()
    assert prediction["predicted_revenue"] == 50.0
    assert prediction["lower_80"] < 50.0 == prediction["upper_80"]
    csv = b"Transaction_Date,Category,Region,Units_Sold,Unit_Price\n2024-01-02,C1,R0,4,12.5\n"
    answer = client.post("/predict_batch_csv", data={"file": (io.BytesIO(csv), "rows.csv")})
    assert answer.get_json()["predictions"][0]["predicted_revenue"] == 50
    shap = client.post("/shap_values", json=SALE).get_json()
    assert shap["base_value"] == shap["prediction"] == 50.0
    assert "The whole prediction (50.00) is units × price: a baseline is served" in shap["explanation"]
    body = {"start_date": "2024-01-02", "end_date": "2024-01-05"}
    assert client.post("/forecast_sarima", json=body).status_code == 200
    assert client.get("/backtest").get_json()["rows"] == []


def test_a_better_version_replaces_a_baseline(tmp_path: Path) -> None:
    first = train(ODD_SHOPS["one day"](), tmp_path)
    outcome = train(simulate_shop(days=60, per_day=20, seed=14), tmp_path)
    assert outcome.decision.champion == first.training.version
    assert outcome.promoted, outcome.decision.reasons
    assert outcome.training.manifest.served_daily != "mean"
    assert any("squared error of the price realisation" in check.reason for check in outcome.decision.checks)
