"""The command as scripts and people use it: exit codes, files, what is printed; two tests start a real process."""

import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from salesforecast.cli.terminal import paths_table, version_report
from salesforecast.core.params import Params, load_params
from salesforecast.core.settings import UserError, settings
from salesforecast.registry.bundle import load_bundle
from salesforecast.registry.predictor import Predictor, predict_source
from salesforecast.sales.reading import read_prediction_rows
from salesforecast.sales.schema import ColumnMapping
from support.models import ROOT, SMALL_YAML, Trained

COLUMNS = ["predicted_revenue", "lower_80", "upper_80", "lower_95", "upper_95"]


def test_train_prints_a_report_and_shows_it_again(
    trained: Trained, run_command: Callable, tmp_path: Path
) -> None:
    (tmp_path / "params.yaml").write_text(SMALL_YAML)
    models = tmp_path / "models"
    words = ["train", trained.source, "--models-dir", models, "--params", tmp_path / "params.yaml"]
    words += ["--processed-dir", tmp_path / "processed", "--reports-dir", tmp_path / "reports"]
    words += ["--test-start", "2026-05-01"]
    done = run_command(*words)
    assert done.returncode == 0, done.stderr
    for text in ("xgboost", "list_revenue", "seasonal_naive", "Forecast of the next 28 days", "forecast.png"):
        assert text in done.stdout
    shown = run_command("models", "show", "--json", "--models-dir", models)
    manifest = json.loads(shown.stdout)
    assert manifest["split"]["test_start"] == "2026-05-01"
    for model in ("random_forest", "xgboost", "list_revenue", "group_mean_discount"):
        assert {"mae", "mse", "rmse", "r2", "wape", "bias"} <= manifest["metrics"]["transactional"][
            model
        ].keys()
    for row in manifest["metrics"]["daily"].values():
        assert {"mae", "rmse", "wape", "mase", "bias", "coverage_80", "coverage_95"} <= row.keys()
    assert set(manifest["mlflow"]["runs"]) == {"parent", "random_forest", "xgboost", "sarima"}
    processed = pd.read_csv(tmp_path / "processed" / "PreparedSalesData.csv", index_col="Transaction_Date")
    assert {"Units_Sold_scaled", "Unit_Price_scaled", "Revenue_log", "Revenue"} <= set(processed)
    assert list(pd.read_csv(tmp_path / "processed" / "daily_aggregated_revenue.csv")) == [
        "Transaction_Date",
        "Revenue",
    ]
    for plot in (tmp_path / "reports").glob("*/*.png"):
        assert plot.stat().st_size > 5_000
    listed = run_command("models", "list", "--models-dir", models)
    assert "← served" in listed.stdout


def test_training_goes_on_without_mlflow(trained: Trained, run_command: Callable, tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(SMALL_YAML)
    words = ["train", trained.source, "--models-dir", tmp_path, "--params", tmp_path / "params.yaml"]
    words += ["--processed-dir", tmp_path / "processed", "--reports-dir", tmp_path / "reports"]
    done = run_command(*words, env={"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"})
    assert done.returncode == 0, done.stderr
    assert "MLflow did not record this training" in done.stdout
    assert Predictor.load(tmp_path).model is not None


def test_without_a_params_file_the_defaults_are_those_of_the_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = load_params(ROOT / "params.yaml")
    assert shipped.demand  # takes time, so only a params.yaml asks for it
    assert Params() == shipped.model_copy(update={"demand": None})
    monkeypatch.chdir(tmp_path)
    settings.cache_clear()
    assert load_params() == Params()
    monkeypatch.setenv("SALESFORECAST_PARAMS_PATH", str(tmp_path / "mine.yaml"))
    settings.cache_clear()
    with pytest.raises(UserError, match=r"no parameters at .*mine\.yaml"):
        load_params()
    monkeypatch.undo()
    settings.cache_clear()


def test_predict_keeps_rows_and_order(trained: Trained, run_process: Callable, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    done = run_process("predict", trained.source, "--out", out, "--models-dir", trained.models)
    assert done.returncode == 0, done.stderr
    given, result = pd.read_csv(trained.source, dtype=str), pd.read_csv(out, dtype=str)
    pd.testing.assert_frame_equal(result[given.columns], given)
    assert list(result)[-6:] == [*COLUMNS, "warning"]
    late = result["warning"].notna()
    assert (
        set(given.loc[late, "Transaction_Date"].str[:4]) == {"2196"}
        and "more than a year" in result["warning"][late].iloc[0]
    )
    numbers = result[COLUMNS].astype(float)
    whole = numbers.dropna()
    assert len(whole) > 0.99 * len(given)
    assert (whole["lower_95"] <= whole["lower_80"]).all() and (whole["upper_80"] <= whole["upper_95"]).all()
    rows = read_prediction_rows(trained.source)
    assert (numbers.isna().any(axis=1).to_numpy() == (rows.problems != "").to_numpy()).all()
    predicted = Predictor.load(trained.models).predict(rows.frame)["predicted_revenue"].to_numpy()
    good = (rows.problems == "").to_numpy()
    np.testing.assert_allclose(numbers["predicted_revenue"].to_numpy()[good], predicted[good], rtol=1e-12)


@pytest.mark.parametrize("mapping", [None, ColumnMapping()])
def test_predict_knows_the_order_of_day_and_month_from_training(
    trained: Trained, tmp_path: Path, mapping: ColumnMapping | None
) -> None:
    predictor = Predictor.load(trained.models)
    few = tmp_path / "few.csv"
    columns = pd.read_csv(trained.source, dtype=str).head(5)
    columns.assign(Transaction_Date="3/4/2026").to_csv(few, index=False)
    with pytest.raises(UserError, match="the day or the month may be first"):
        predict_source(predictor, few, mapping)
    known = predictor.bundle.manifest
    known.mapping = known.mapping.model_copy(update={"day_first": True})
    result, problems = predict_source(predictor, few, mapping)
    assert (problems == "").all()
    columns.assign(Transaction_Date="2026-04-03").to_csv(few, index=False)
    plain, _ = predict_source(predictor, few)
    pd.testing.assert_frame_equal(result[COLUMNS], plain[COLUMNS])


def test_predict_reads_dates_as_the_given_mapping_says(trained: Trained, tmp_path: Path) -> None:
    predictor, few = Predictor.load(trained.models), tmp_path / "few.csv"
    known = predictor.bundle.manifest
    known.mapping = known.mapping.model_copy(update={"day_first": True})
    columns = pd.read_csv(trained.source, dtype=str).head(5)
    columns.assign(Transaction_Date="2026-03-04").to_csv(few, index=False)
    plain, _ = predict_source(predictor, few)
    columns.assign(Transaction_Date="3/4/2026").to_csv(few, index=False)
    result, _ = predict_source(predictor, few, ColumnMapping(day_first=False))
    pd.testing.assert_frame_equal(result[COLUMNS], plain[COLUMNS])


@pytest.mark.parametrize("suffix", [".parquet", ".xlsx"])
def test_predict_writes_other_formats(
    trained: Trained, run_command: Callable, tmp_path: Path, suffix: str
) -> None:
    few = tmp_path / "few.csv"
    few.write_text("\n".join(trained.source.read_text().splitlines()[:50]) + "\n")
    out = tmp_path / f"out{suffix}"
    assert run_command("predict", few, "--out", out, "--models-dir", trained.models).returncode == 0
    result = pd.read_parquet(out) if suffix == ".parquet" else pd.read_excel(out)
    assert len(result) == 49 and list(result)[-5:] == COLUMNS


def test_forecast_writes_days(trained: Trained, run_command: Callable, tmp_path: Path) -> None:
    out = tmp_path / "forecast.csv"
    words = ["forecast", "--start", "2026-10-01", "--end", "2026-12-29", "--out", out]
    done = run_command(*words, "--models-dir", trained.models)
    assert done.returncode == 0, done.stderr
    result = pd.read_csv(out, parse_dates=["date"])
    assert list(result) == ["date", *COLUMNS, "model"] and len(result) == 90
    assert (result[COLUMNS] >= 0).all().all()


def test_days_too_early_for_a_forecast_are_reported(
    trained: Trained, run_command: Callable, tmp_path: Path
) -> None:
    state = load_bundle(trained.models).sarima
    begin = pd.Timestamp(state.first)
    words = ["forecast", "--start", f"{begin:%Y-%m-%d}", "--end", f"{begin + pd.Timedelta(days=20):%Y-%m-%d}"]
    out = tmp_path / "early.csv"
    done = run_command(*words, "--out", out, "--models-dir", trained.models)
    assert done.returncode == 0, done.stderr
    first = pd.read_csv(out).dropna()["date"].iloc[0]
    assert str(state.first_predicted) == first > f"{begin:%Y-%m-%d}"
    assert f"before {first}" in " ".join(done.stderr.split())


def test_backtest_writes_windows(trained: Trained, run_command: Callable, tmp_path: Path) -> None:
    out = tmp_path / "backtest.csv"
    options = ["--horizon", 14, "--windows", 2, "--out", out]
    done = run_command("backtest", trained.source, *options, "--by", "")
    assert done.returncode == 0, done.stderr
    result = pd.read_csv(out)
    assert list(result) == [
        "unique_id",
        "ds",
        "cutoff",
        "model",
        "y",
        "yhat",
        "lo-80",
        "hi-80",
        "lo-95",
        "hi-95",
    ]
    assert result.groupby("model").size().unique().tolist() == [28]
    assert "demand ←" in done.stdout and "seasonal_naive" in done.stdout
    done = run_command("backtest", trained.source, *options, "--sarima")
    assert done.returncode == 0 and "demand" not in done.stdout
    others = result[result["model"] != "demand"].reset_index(drop=True)
    pd.testing.assert_frame_equal(pd.read_csv(out), others)
    assert "Leave out --by" in run_command("backtest", trained.source, "--sarima", "--target", "units").stderr


def test_validate_names_bad_rows(run_command: Callable, tmp_path: Path) -> None:
    source, bad = tmp_path / "sales.csv", tmp_path / "bad.csv"
    rows = [f"2026-01-{d:02},{d},2.5,{d * 2.5}" for d in range(1, 29)] + ["2026-02-30,1,2.5,2.5"]
    source.write_text("Transaction_Date,Units_Sold,Unit_Price,Revenue\n" + "\n".join(rows) + "\n")
    done = run_command("validate", source, "--quarantine", bad, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rows_quarantined"] == 1
    quarantined = pd.read_csv(bad)
    assert quarantined["row"].tolist() == [30] and "2026-02-30" in quarantined.to_string()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["train", "no-such-file.csv"], "no-such-file.csv"),
        (["forecast", "--start", "2026-13-01", "--end", "2026-12-01"], "2026-13-01"),
        (["forecast", "--start", "2026-12-02", "--end", "2026-12-01"], "2026-12-01"),
        (["predict", "no-such-file.csv", "--out", "x.csv"], "no-such-file.csv"),
        (["models", "show", "19990101-000000-0000"], "19990101"),
        (["train", "x.csv", "--mapping", "no-such.yaml"], "no-such.yaml"),
        (["train", "x.csv", "--test-start", "soon"], "soon"),
        (["train", "x.csv", "--params", "no-such.yaml"], "no parameters at no-such.yaml"),
        (["backtest", "postgresql://user:secret@127.0.0.1:9/db"], "127.0.0.1"),
    ],
)
def test_faults_of_the_user_get_one_message(
    words: list, says: str, trained: Trained, run_command: Callable
) -> None:
    done = run_command(*words, env={"MODEL_DIR": str(trained.models)})
    assert done.returncode == 2, done.stderr
    assert says in done.stderr and "Traceback" not in done.stderr and "secret" not in done.stderr


def test_an_unknown_option_is_refused(run_process: Callable) -> None:
    done = run_process("train", "x.csv", "--modelsdir", "y")
    assert done.returncode == 2 and "--models-dir" in done.stderr


def test_predicting_needs_no_training_library(
    trained: Trained, run_command: Callable, tmp_path: Path
) -> None:
    """The base install predicts: a process that predicts and forecasts imports nothing of training."""
    import subprocess
    import sys

    code = f"""
import sys
from pathlib import Path
from salesforecast.registry.predictor import Predictor, predict_source
from salesforecast.sales.schema import ColumnMapping
import pandas as pd
predictor = Predictor.load(Path({str(trained.models)!r}))
predictor.predict(pd.DataFrame({{"Units_Sold": [2.0], "Unit_Price": [3.0]}}))
predictor.forecast("2026-10-01", "2026-10-02")
print(sorted({{"mlflow", "statsmodels", "statsforecast", "matplotlib", "IPython", "pandera"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ)
    assert done.stdout.strip() == "[]", done.stderr + done.stdout


def test_predicting_a_prediction_replaces_its_columns(
    trained: Trained, run_command: Callable, tmp_path: Path
) -> None:
    once, twice = tmp_path / "once.csv", tmp_path / "twice.csv"
    for source, out in ((trained.source, once), (once, twice)):
        result = run_command("predict", source, "--out", out, "--models-dir", trained.models)
        assert result.returncode == 0, result.stderr
    assert twice.read_bytes() == once.read_bytes()


def test_names_in_brackets_are_shown_as_they_are(trained: Trained) -> None:
    manifest = trained.training.manifest.model_copy(deep=True)
    manifest.data.source = "sales[final].csv"
    manifest.feature_importance[manifest.served] = {"Category_[/Sale]": 0.6, "Category_[new]": 0.4}
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(version_report(manifest), paths_table({"plot": Path("out[draft].png")}))
    for name in ("sales[final].csv", "Category_[/Sale] 60.0%", "Category_[new]", "out[draft].png"):
        assert name in console.export_text(clear=False)
