"""Bundles of the first layout load and predict the same; what does not fit is refused with the fix."""

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from salesforecast.core.settings import UserError
from salesforecast.registry.bundle import load_bundle
from salesforecast.registry.manifest import Manifest
from salesforecast.registry.predictor import Predictor, load_model
from support.models import OLD, Trained

FORMAT_1 = (  # the keys that the first releases wrote, in their order
    *("created", "salesforecast", "code_commit", "served", "model_type", "data", "split", "scale", "metrics"),
    *("configurations", "selection", "sarima", "feature_names", "feature_importance", "mapping", "libraries"),
    *("mlflow", "version", "format_version", "files"),
)


def write_format_1(trained: Trained, models: Path) -> Path:
    """Write a bundle as the first releases did: a plain JSON manifest, without what came later."""
    folder = models / OLD
    shutil.copytree(trained.training.path, folder)
    content = json.loads((folder / "manifest.json").read_text())
    files = {
        path.name: {
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "bytes": path.stat().st_size,
        }
        for path in sorted(folder.iterdir())
        if path.name != "manifest.json"
    }
    old = {key: content[key] for key in FORMAT_1} | {"version": OLD, "format_version": 1, "files": files}
    (folder / "manifest.json").write_text(json.dumps(old, indent=1))
    (models / "current").write_text(OLD + "\n")
    return folder / "manifest.json"


def test_a_bundle_of_format_1_gives_the_same_predictions(trained: Trained, tmp_path: Path) -> None:
    write_format_1(trained, tmp_path)
    old, new = Predictor.load(str(tmp_path)), Predictor.load(trained.models)
    rows = trained.training.prepared.sales.frame.tail(200)
    pd.testing.assert_frame_equal(old.predict(rows), new.predict(rows), check_exact=True)
    without_parts = new.bundle.manifest.model_copy(
        update={"parts": {}}
    )  # as before a baseline could be served
    same = Predictor(replace(new.bundle, manifest=without_parts))
    days = "2026-10-01", "2026-10-28"
    pd.testing.assert_frame_equal(old.forecast(*days), same.forecast(*days), check_exact=True)
    assert (old.bundle.manifest.demand, old.bundle.manifest.updated) == ({}, None)


def test_the_keys_on_the_disk_stay(trained: Trained) -> None:
    content = json.loads((trained.training.path / "manifest.json").read_text())
    assert set(content) == {*FORMAT_1, "demand", "parts"}
    assert Manifest(**content).to_dict() == content


@pytest.mark.parametrize(
    ("changes", "says"),
    {
        "format": ({"format_version": 3}, "bundle format 3; this version reads 1 and 2. Train again"),
        "field": ({"data": {"rows": "many"}}, r"does not fit: data\.rows: .*Roll back .* or train again"),
        "mapping": ({"mapping": {"moon": 1}}, r"does not fit: mapping\.moon"),
    }.values(),
    ids=["format", "field", "mapping"],
)
def test_what_does_not_fit_is_refused(
    trained: Trained, tmp_path: Path, changes: dict[str, object], says: str
) -> None:
    path = write_format_1(trained, tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(UserError, match=says):
        load_bundle(tmp_path)


def test_a_missing_part_is_named(trained: Trained, tmp_path: Path) -> None:
    path = write_format_1(trained, tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"metrics": None}))
    with pytest.raises(UserError, match="lacks metrics. Train again"):
        load_bundle(tmp_path).manifest.require("served", "metrics")


def test_a_model_loads_by_text_and_takes_columns_in_any_case(trained: Trained) -> None:
    predictor = load_model(str(trained.models))
    rows = trained.training.prepared.sales.frame.tail(20)
    expected = predictor.predict(rows)
    written = rows.rename(columns=str.upper).assign(TRANSACTION_DATE=rows["Transaction_Date"].astype(str))
    pd.testing.assert_frame_equal(predictor.predict(written), expected, check_exact=True)
    assert trained.training.version in repr(predictor) and trained.training.version in predictor._repr_html_()
    assert "<table" in trained.training._repr_html_()
    with pytest.raises(UserError, match="Write dates as 2026-10-01"):
        predictor.predict(rows.assign(Transaction_Date="soon"))
    with pytest.raises(
        UserError, match=r"are a DataFrame, not a str. For a file: predict_source\(model, path\)"
    ):
        predictor.predict("new.csv")  # type: ignore[arg-type]


def test_what_a_manifest_does_not_say_is_none_or_nothing() -> None:
    manifest = Manifest(demand={"revenue_D": {}}, updated={})
    assert (manifest.data.rows, manifest.demand["revenue_D"].series, manifest.updated.rows) == (0, 0, 0)
    split = manifest.split
    assert (split.train_rows, split.test_rows, split.rows_without_history) == (0, 0, 0)
    assert (manifest.data.sample, manifest.data.revenue_computed, manifest.updated.last) == (None, None, "")
    with pytest.raises(UserError, match=r"lacks served, data\. Train again"):
        manifest.require("served", "demand", "data")


def test_the_total_is_that_of_the_demand_forecast_where_there_is_one() -> None:
    metrics = {"daily": {"sarima": {"wape": 0.25}}}
    daily = Manifest(metrics=metrics, parts={"daily": {"served": "sarima"}})
    assert (daily.served_total, daily.total_wape) == ("sarima", 0.25)
    demand = {"served": "demand", "errors": {"demand": 0.125, "seasonal_naive": 0.5}}
    both = Manifest(metrics=metrics, parts={"daily": {"served": "sarima"}, "demand": demand})
    assert (both.served_total, both.total_wape) == ("demand", 0.125)
