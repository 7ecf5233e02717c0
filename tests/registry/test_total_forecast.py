"""One question, one answer: the total of the next days by the command line, the API, Python and the report."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import salesforecast as sf
from salesforecast.api.example import example_client
from salesforecast.cli.terminal import output, version_report
from salesforecast.core.params import DemandParams, GateParams
from salesforecast.datasets import generate_sales, write_sales
from salesforecast.lifecycle.gate import baseline_checks
from salesforecast.lifecycle.training_report import daily_leaderboard, parts_table, training_tiles
from salesforecast.monitoring.forecast_accuracy import forecast_accuracy
from salesforecast.registry.bundle import load_bundle
from salesforecast.registry.ledger import read_ledger
from salesforecast.registry.manifest import Manifest
from salesforecast.registry.total_forecast import with_demand_total
from salesforecast.training.fitting import HELD_OUT
from salesforecast.training.orchestration import TrainingResult, train_models
from support.models import SMALL, Trained

HORIZON, QUICK = 14, ("ets_seasonal", "sarima")
BOUNDS = ["lo-80", "hi-80", "lo-95", "hi-95"]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = write_sales(generate_sales(rows=5_000, seed=6), tmp_path_factory.mktemp("total") / "sales.csv")
    pd.read_csv(path, dtype=str).drop(columns="Product_ID").to_csv(path, index=False)  # few series
    return path


@pytest.fixture(scope="module")
def training(source: Path) -> TrainingResult:
    """A small training whose demand forecast has all default levels."""
    demand = DemandParams(targets=["revenue"], horizon=HORIZON, candidates=list(QUICK))
    params = SMALL.model_copy(update={"demand": demand})
    return train_models(source, models_dir=source.parent / "models", params=params, track=False)


def cents(table: pd.DataFrame, columns: list[str]) -> list[list[float]]:
    return np.round(table[columns].to_numpy(float), 2).tolist()


def test_the_same_days_have_the_same_total_everywhere(
    training: TrainingResult, source: Path, run_command: Callable, tmp_path: Path
) -> None:
    models = training.path.parent
    client = example_client(models)
    answer = client.post("/forecast", json={"limit": 1, "levels": [80, 95]}).get_json()
    rows = pd.DataFrame(answer["forecasts"])
    assert rows["unique_id"].unique().tolist() == ["total"] and len(rows) == HORIZON
    api = cents(
        rows.rename(columns=lambda name: name.replace("_8", "-8").replace("_9", "-9")), ["yhat", *BOUNDS]
    )

    anew = ["forecast", "--models-dir", models, "--out", tmp_path / "served.csv"]
    done = run_command(*anew)
    assert done.returncode == 0, done.stderr
    served = pd.read_csv(tmp_path / "served.csv")
    assert served["unique_id"].unique().tolist() == ["total"] and served["ds"].tolist() == rows["ds"].tolist()
    assert cents(served, ["yhat", *BOUNDS]) == api

    days = ["forecast", "--start", rows["ds"].iloc[0], "--end", rows["ds"].iloc[-1], "--models-dir", models]
    done = run_command(*days, "--out", tmp_path / "days.csv")
    assert done.returncode == 0, done.stderr
    by_day = pd.read_csv(tmp_path / "days.csv")
    columns = ["predicted_revenue", "lower_80", "upper_80", "lower_95", "upper_95"]
    assert cents(by_day, columns) == api and set(by_day["model"]) == {"demand"}

    predicted = sf.load_model(models).forecast(rows["ds"].iloc[0], rows["ds"].iloc[-1])
    assert cents(predicted, columns) == api
    report = training.forecast.head(HORIZON)
    assert cents(report, columns) == api and set(training.forecast["model"]) == {"demand", "sarima"}

    fitted = sf.forecast(str(source), HORIZON, candidates=QUICK)  # from the sales, as the training did
    assert fitted["unique_id"].unique().tolist() == ["total"]
    assert cents(fitted, ["yhat", *BOUNDS]) == api

    shown = run_command("forecast", "--models-dir", models).stdout
    total = answer["sums"][0]
    for value in (total["yhat"], total["lo_80"], total["hi_95"]):
        assert f"{value:,.0f}" in shown, shown


def test_a_part_is_that_of_the_served_version(
    training: TrainingResult, run_command: Callable, tmp_path: Path
) -> None:
    out, models = tmp_path / "parts.csv", training.path.parent
    done = run_command("forecast", "--by", "Region", "--horizon", 5, "--models-dir", models, "--out", out)
    assert done.returncode == 0 and "anew" not in done.stderr, done.stderr
    found = pd.read_csv(out)
    made = (
        training.demand["revenue-D"]
        .to_frame()
        .merge(found.assign(ds=pd.to_datetime(found["ds"])), on=["unique_id", "ds"])
    )
    assert len(made) == len(found) == 5 * found["unique_id"].nunique()
    np.testing.assert_allclose(made["yhat_x"], made["yhat_y"])
    plan = tmp_path / "plan.csv"
    plan.write_text(f"start,end,closed\n{found['ds'][0]},{found['ds'][0]},true\n")
    done = run_command("forecast", "--plan", plan, "--models-dir", models, "--out", out)
    assert done.returncode == 0, done.stderr
    rows = [{"start": found["ds"][0], "end": found["ds"][0], "closed": True}]
    answer = example_client(models).post("/forecast", json={"plan": rows, "limit": 1}).get_json()
    assert pd.read_csv(out)["yhat"].tolist() == pytest.approx([row["yhat"] for row in answer["forecasts"]])
    assert answer["forecasts"][0]["yhat"] == 0


def test_what_the_version_does_not_hold_is_forecast_anew(
    training: TrainingResult, run_command: Callable, tmp_path: Path
) -> None:
    place = ["--models-dir", training.path.parent, "--out", tmp_path / "longer.csv", "--freq", "W"]
    done = run_command("forecast", *place, "--horizon", 3)
    assert done.returncode == 0, done.stderr
    assert "has no demand forecast of revenue by W: forecast anew" in " ".join(done.stderr.split())
    assert len(pd.read_csv(tmp_path / "longer.csv")) == 3


def test_sarima_answers_by_its_name(training: TrainingResult, run_command: Callable, tmp_path: Path) -> None:
    first, models = training.demand["revenue-D"].days[0], training.path.parent
    body = {"start_date": str(first), "end_date": str(first + 3), "confidence": 80}
    answer = example_client(models).post("/forecast_sarima", json=body).get_json()
    assert answer["model"] == training.manifest.served_daily
    words = ["forecast", "--sarima", "--start", first, "--end", first + 3, "--models-dir", models]
    done = run_command(*words, "--out", tmp_path / "sarima.csv")
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "sarima.csv")
    assert set(table["model"]) == {answer["model"]}
    expected = [row["predicted_revenue"] for row in answer["forecasts"]]
    assert table["predicted_revenue"].tolist() == pytest.approx(expected)
    done = run_command("forecast", "--sarima", "--models-dir", models)
    assert done.returncode == 2 and "--start and --end" in done.stderr
    board = training.demand["revenue-D"].model.leaderboard.query("level == 'total'")
    assert {"sarima", "seasonal_naive"} <= set(board["model"])  # it takes part


def test_days_that_an_update_added_to_the_history_are_no_longer_of_the_demand_forecast(
    training: TrainingResult,
) -> None:
    demand = training.demand["revenue-D"]
    dates = pd.to_datetime(demand.days[:3])
    bounds = dict.fromkeys(("lower_80", "upper_80", "lower_95", "upper_95"), 1.0)
    table = pd.DataFrame({"date": dates, "predicted_revenue": 1.0, **bounds, "model": "sarima"})
    found = with_demand_total(table.assign(in_history=[True, False, False]), demand)
    assert found["model"].tolist() == ["sarima", "demand", "demand"]
    assert found["predicted_revenue"].tolist() == [1.0, *demand.yhat[0, 1:3]]


def test_the_ledger_keeps_the_total_that_is_served(training: TrainingResult) -> None:
    models, demand = training.path.parent, training.demand["revenue-D"]
    kept = read_ledger(models)
    kept = kept[kept["version"] == training.version]
    np.testing.assert_allclose(kept["predicted_revenue"][:HORIZON], demand.yhat[0])
    assert len(kept) > HORIZON  # beyond it SARIMA's
    joined = kept.assign(y=kept["predicted_revenue"])
    found = forecast_accuracy(joined, load_bundle(models)).set_index("lead")["backtest_wape"]
    own = training.daily.backtest.query("model == 'demand'")
    lead, error = (own["ds"] - own["cutoff"]).dt.days, (own["yhat"] - own["y"]).abs()
    for name, first, last in (("1 day", 1, 1), ("2 to 7 days", 2, 7), ("8 to 14 days", 8, 14)):
        inside = lead.between(first, last)
        assert found[name] == pytest.approx(error[inside].sum() / own["y"][inside].sum())


def test_the_accuracy_that_is_shown_is_that_of_the_forecast_that_is_shown(training: TrainingResult) -> None:
    """The bundle, the API, the terminal and the report have the demand forecast's own error, tested on other days."""
    bundle, manifest = load_bundle(training.path.parent), training.manifest
    rows = pd.read_parquet(bundle.open("backtest.parquet"))
    own = rows[rows["model"] == "demand"]
    assert own["cutoff"].nunique() == rows["cutoff"].nunique() == 2 and len(own) == 2 * HORIZON
    wape = (own["yhat"] - own["y"]).abs().sum() / own["y"].sum()
    client = example_client(training.path.parent)
    info = client.get("/model_info").get_json()
    assert info["daily_metrics"]["demand"]["wape"] == pytest.approx(wape)
    assert info["parts"]["demand"]["errors"]["demand"] == pytest.approx(wape)
    assert info["parts"]["demand"]["tested"] == HELD_OUT
    leads = [row for row in client.get("/backtest").get_json()["rows"] if row["model"] == "demand"]
    assert len(leads) == HORIZON
    assert sum(row["mae"] * row["n"] for row in leads) / own["y"].sum() == pytest.approx(wape)
    with output.capture() as shown:
        output.print(version_report(manifest))
    (served,) = [line for line in shown.get().splitlines() if "demand" in line and "←" in line]
    assert f"{wape:.1%}" in served and f"WAPE {wape:.1%}" in shown.get()
    board = daily_leaderboard(training).data
    assert f"{wape:.1%}" in board[board.index("demand") :][:60]
    assert HELD_OUT in parts_table(manifest).data


def test_without_a_demand_forecast_sarima_gives_the_total(trained: Trained) -> None:
    assert set(trained.training.forecast["model"]) == {trained.training.manifest.served_daily}


def test_the_gate_judges_the_forecast_that_is_served(training: TrainingResult) -> None:
    checks = {check.name.split(":")[0]: check for check in baseline_checks(training.manifest, GateParams())}
    errors = checks["demand"].numbers
    assert checks["demand"].passed and errors["demand"] <= errors["seasonal_naive"] * 1.01
    assert (
        errors["demand"] == training.manifest.metrics.daily["demand"]["wape"] == training.manifest.total_wape
    )
    assert "In total, forecasts of the past were off by" in checks["demand"].reason
    assert f"{errors['demand']:.1%}" in training_tiles(training).data


def test_sarima_worse_than_a_baseline_does_not_stop_a_version_whose_total_is_another_forecast() -> None:
    """As versions of an earlier release have it, which named no parts."""
    metrics = {"transactional": {}, "daily": {"sarima": {"wape": 0.3}, "seasonal_naive": {"wape": 0.2}}}
    champions = [{"level": "total", "model": "theta", "against_naive": -0.2}]
    manifest = Manifest.model_validate(
        {"served": "xgboost", "metrics": metrics, "demand": {"revenue-D": {"champions": champions}}}
    )
    assert all(check.passed for check in baseline_checks(manifest, GateParams()))
    alone = manifest.model_copy(update={"demand": {}})
    assert not all(check.passed for check in baseline_checks(alone, GateParams()))
