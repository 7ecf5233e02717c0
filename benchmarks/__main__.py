"""Run every benchmark and write `benchmarks/results.json`.

A figure in seconds belongs to one machine; what is compared with a limit is a ratio of two figures of the same run.
"""

import argparse
import json
import os
import platform
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import xgboost as xgb

from benchmarks import best, clock
from benchmarks.api import api
from benchmarks.dashboard import dashboard
from benchmarks.reading import reading
from salesforecast.core.metrics import regression_metrics
from salesforecast.core.params import ForecastParams, Params, load_params
from salesforecast.datasets import generate_sales, write_sales
from salesforecast.features.columns import compute_row_scale, frame_columns
from salesforecast.features.preprocessing import prepare_sales
from salesforecast.features.preprocessor import model_inputs
from salesforecast.models.regression import fit_model, save_model
from salesforecast.registry.predictor import COLUMNS, Predictor
from salesforecast.registry.tracking import library_versions
from salesforecast.sales.reading import read_sales
from salesforecast.training.orchestration import train_models
from salesforecast.training.transactional import make_training_dataset

RESULTS = Path(__file__).with_name("results.json")


def training(rows: int, folder: Path) -> dict[str, Any]:
    """XGBoost from a CSV file to an evaluated model, over the bare fit on the same matrices."""
    source = write_sales(generate_sales(rows=rows, seed=1), folder / "sales.csv")
    params, times = load_params().xgboost[0], {}
    with clock(times, "read and check"):
        sales = read_sales(source)
    with clock(times, "history and inputs"):
        prepared = prepare_sales(sales)
        table = make_training_dataset(prepared, prepared.preprocessor)
        train, test = table.rows(prepared.train), table.rows(~prepared.train)
    with clock(times, "fit"):
        model = fit_model("xgboost", params, train.inputs, train.revenue, train.scale)
    with clock(times, "evaluate"):
        metrics = regression_metrics(
            test.revenue, model.predict(test.inputs, test.scale)["predicted_revenue"]
        )
    weight = train.scale / train.scale.mean()
    bare = best(
        lambda: xgb.XGBRegressor(tree_method="hist", random_state=0, **params).fit(
            train.inputs, train.share, sample_weight=weight
        ),
        tries=1,
    )
    forest = fit_model(
        "random_forest", load_params().random_forest[0], train.inputs, train.revenue, train.scale
    )
    save_model(forest, folder / "forest.pkl")
    return {
        "rows": rows,
        "seconds": {name: round(seconds, 2) for name, seconds in times.items()},
        "bare fit seconds": round(bare, 2),
        "file to evaluated model / bare fit": round(sum(times.values()) / bare, 3),
        "wape": round(metrics["wape"], 4),
        "random forest file MB": round((folder / "forest.pkl").stat().st_size / 1e6, 2),
    }


def predicting(rows: int, folder: Path) -> dict[str, Any]:
    """Predictions with ranges from a frame, over the bare booster call on ready matrices."""
    small = Params(
        random_forest=[{"n_estimators": 4, "min_samples_leaf": 50}],
        xgboost=load_params().xgboost[:1],
        forecast=ForecastParams(windows=1),
    )
    source = write_sales(generate_sales(rows=60_000, seed=1), folder / "small.csv")
    train_models(source, models_dir=folder / "models", params=small, track=False)
    predictor = Predictor.load(folder / "models")
    booster = predictor.bundle.load("xgboost")
    predictor.model = booster
    frame = read_sales(write_sales(generate_sales(rows=rows, seed=2), folder / "many.csv")).frame
    columns = frame_columns(frame)
    inputs = model_inputs(predictor.preprocessor, predictor.history, columns)
    scale = compute_row_scale(predictor.preprocessor["scale"], columns)
    bare = best(lambda: booster.estimator.inplace_predict(inputs) * scale)
    ours = best(lambda: predictor.predict(frame))
    one = frame.iloc[[0]]
    return {
        "rows": len(frame),
        "bare booster seconds": round(bare, 3),
        "frame to predictions seconds": round(ours, 3),
        "frame to predictions / bare booster": round(ours / bare, 3),
        "one row from a frame, ms": round(
            1000 * best(lambda: [predictor.predict(one) for _ in range(50)]) / 50, 2
        ),
        "columns": list(COLUMNS),
    } | forecasting(folder / "models")


def forecasting(models: Path) -> dict[str, Any]:
    """Size of the stored forecast model, and the time to load it and forecast 90 days."""
    bundle = Predictor.load(models).bundle
    last = np.datetime64(bundle.sarima.last_date, "D")
    start, end = (str(last + np.timedelta64(n, "D")) for n in (1, 90))

    def load_and_forecast() -> None:
        replace(bundle).sarima.forecast(start, end)

    return {
        "forecast model file KB": round(bundle.manifest.files["sarima_model.pkl"].bytes / 1e3, 1),
        "load forecast model and forecast 90 days, ms": round(1000 * best(load_and_forecast, 10), 2),
    }


BENCHMARKS = {
    "reading": reading,
    "training": training,
    "predicting": predicting,
    "api": api,
    "dashboard": dashboard,
}


def circumstances() -> dict[str, Any]:
    """When and on what was measured."""
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "system": platform.system(),
        },
        "libraries": library_versions("numpy", "pandas", "xgboost", "scikit-learn"),
    }


def main() -> None:
    """Run, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--only", choices=BENCHMARKS, help="measure this again, and keep the others")
    options = parser.parse_args()
    found = json.loads(options.out.read_text()) if options.only else {}
    for name in [options.only] if options.only else BENCHMARKS:
        with tempfile.TemporaryDirectory() as folder:
            found[name] = BENCHMARKS[name](options.rows, Path(folder)) | circumstances()
        print(json.dumps({name: found[name]}, indent=1), flush=True)
        options.out.write_text(json.dumps(found, indent=1) + "\n")
    print(f"written to {options.out}")


if __name__ == "__main__":
    main()
