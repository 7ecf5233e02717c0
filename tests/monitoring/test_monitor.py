"""Updating without training, monitoring, and alerts: real files, real processes, a real HTTP server."""

import errno
import json
import logging
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from shutil import copytree
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pandas as pd
import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from salesforecast.core.optional import require
from salesforecast.core.params import ForecastParams, MonitorParams, Params
from salesforecast.core.settings import UserError
from salesforecast.datasets import Drift, DriftKind, SyntheticSales, generate_sales
from salesforecast.features.columns import compute_row_scale, frame_columns
from salesforecast.features.history import TOTAL, build_history
from salesforecast.forecasting.sarima.state import to_model_scale
from salesforecast.forecasting.sarima.state import update_state as filter_on
from salesforecast.lifecycle.promotion import repair
from salesforecast.lifecycle.update import update_bundle
from salesforecast.monitoring.alerts import Channels, notify, post_webhook
from salesforecast.monitoring.findings import Finding
from salesforecast.monitoring.incidents import read_alert_state
from salesforecast.monitoring.monitor import monitor as monitor_as_of
from salesforecast.monitoring.report import MonitorReport, write_prometheus
from salesforecast.registry.bundle import load_bundle
from salesforecast.registry.events import read_events
from salesforecast.registry.ledger import read_ledger
from salesforecast.registry.new_sales import daily_totals
from salesforecast.registry.predictor import Predictor, predict_source
from salesforecast.registry.versions import current_version, list_versions, set_current
from salesforecast.sales.reading import read_sales
from salesforecast.sales.schema import ColumnMapping
from salesforecast.training.orchestration import train_models
from support.models import ROOT, small_disk

END = pd.Timestamp("2026-07-01")  # first day after the training


def monitor(*given: Any, **more: Any) -> MonitorReport:
    """A run on the first day after the training, so that the feed is never late."""
    return monitor_as_of(*given, **{"as_of": END.date()} | more)


ROWS, SEED = 40_000, 11
SMALL = Params(
    random_forest=[{"n_estimators": 4, "min_samples_leaf": 20}],
    xgboost=[{"n_estimators": 100, "max_depth": 4, "learning_rate": 0.1}],
    forecast=ForecastParams(windows=2),
)


def part(sales: SyntheticSales, path: Path, first: str, last: str) -> Path:
    """The rows from `first` to `last` as a CSV file."""
    sales.frame[sales.truth["ds"].between(first, last)].to_csv(path, index=False)
    return path


@dataclass(frozen=True)
class Watched:
    """A model of the time before `END`, and the sales of which that is a part."""

    sales: SyntheticSales
    models: Path
    version: str


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory: pytest.TempPathFactory) -> Watched:
    folder = tmp_path_factory.mktemp("watched")
    sales = generate_sales(rows=ROWS, seed=SEED)
    source = part(sales, folder / "old.csv", "2023-10-01", "2026-06-30")
    training = train_models(source, models_dir=folder / "models", params=SMALL, track=False)
    return Watched(sales, folder / "models", training.version)


@pytest.fixture
def watched(trained_once: Watched, tmp_path: Path) -> Watched:
    """The same in a folder of the test's own."""
    return Watched(
        trained_once.sales, copytree(trained_once.models, tmp_path / "models"), trained_once.version
    )


# --- update -----------------------------------------------------------------------------------------------------------


def test_an_update_knows_what_a_training_on_everything_would(watched: Watched, tmp_path: Path) -> None:
    base = load_bundle(watched.models)
    for first, last in (("2026-07-01", "2026-07-14"), ("2026-07-10", "2026-08-31")):  # the second overlaps
        done = update_bundle(watched.models, part(watched.sales, tmp_path / "new.csv", first, last))
    assert done.last == "2026-08-31" and "known already" in done.notes[0]
    bundle = load_bundle(watched.models)
    sales = read_sales(part(watched.sales, tmp_path / "all.csv", "2023-10-01", "2026-08-31"))
    columns = frame_columns(sales.frame)
    scale = compute_row_scale(bundle.preprocessor["scale"], columns)
    whole = build_history(columns, scale, [name for name in base.history.levels if name != TOTAL])
    for name, level in whole.levels.items():
        for what in ("keys", "slots", "sums"):
            np.testing.assert_array_equal(getattr(bundle.history.levels[name], what), getattr(level, what))
    assert bundle.manifest.metrics == base.manifest.metrics
    assert bundle.manifest.updated.trained == watched.version
    assert [entry["action"] for entry in read_events(watched.models)[-2:]] == ["update", "update"]
    assert read_events(watched.models)[-1]["to"] == bundle.version


@pytest.mark.slow
def test_a_kill_in_an_update_leaves_a_served_version(watched: Watched, tmp_path: Path) -> None:
    """Kill a real `salesforecast update` at moments from its start to its end; the next one takes everything in."""
    new = part(watched.sales, tmp_path / "new.csv", "2026-07-01", "2026-07-31")
    words = ["update", str(new), "--models-dir"]
    command = [sys.executable, "-c", "from salesforecast.cli.main import main; main()", *words]
    began = time.monotonic()
    subprocess.run(
        [*command, copytree(watched.models, tmp_path / "first")], cwd=ROOT, check=True, capture_output=True
    )
    took, killed = time.monotonic() - began, 0
    for share in (0.3, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 1.0):
        models = copytree(watched.models, tmp_path / str(share))
        process = subprocess.Popen([*command, models], cwd=ROOT, stdout=subprocess.DEVNULL)
        began = time.monotonic()
        try:
            process.wait(share * took)
            took = time.monotonic() - began  # quicker than the first, as nothing else was busy
        except subprocess.TimeoutExpired:
            process.kill()
            killed += process.wait() == -signal.SIGKILL
        bundle = load_bundle(models)
        assert all(bundle.open(name) for name in bundle.manifest.files)
        if bundle.version == watched.version:
            update_bundle(models, new)
        assert str(load_bundle(models).sarima.last) == "2026-07-31"
        repair(models)
        assert read_events(models)[-1]["to"] == current_version(models)
    assert killed >= 3


def test_a_full_disk_in_an_update_leaves_what_is_served(watched: Watched, tmp_path: Path) -> None:
    new = part(watched.sales, tmp_path / "new.csv", "2026-07-01", "2026-07-31")
    size = sum(path.stat().st_size for path in watched.models.rglob("*") if path.is_file())
    with small_disk(int(1.5 * size)) as (small, grow):
        models = copytree(watched.models, small / "models")
        with pytest.raises(OSError) as full:
            update_bundle(models, new)
        assert full.value.errno == errno.ENOSPC
        assert load_bundle(models).version == watched.version
        grow(4 * size)
        update_bundle(models, new)
        assert str(load_bundle(models).sarima.last) == "2026-07-31"


def test_the_state_after_an_update_is_that_of_filtering_the_whole_series(
    watched: Watched, tmp_path: Path
) -> None:
    base = load_bundle(watched.models)
    update_bundle(watched.models, part(watched.sales, tmp_path / "new.csv", "2026-07-01", "2026-08-31"))
    updated = load_bundle(watched.models)
    series = daily_totals(updated.history, base.sarima.first, updated.sarima.last)
    p, d, q, sp, sd, sq, s = base.sarima.order
    assert (d, sd) == (1, 0), "the comparison below is of a model that starts diffuse"
    days = series.index.to_numpy().astype("datetime64[D]")
    values = to_model_scale(series.to_numpy(), base.sarima.calendar.closed(days), base.sarima.log)
    known = values - base.sarima.calendar.regressors(days) @ base.sarima.coefficients
    sarimax = require("statsmodels.tsa.statespace.sarimax", "train")
    model = sarimax.SARIMAX(known, order=(p, d, q), seasonal_order=(sp, sd, sq, s))
    result = model.filter(_params_of(base.sarima), cov_type="none")
    later = len(series) - 62
    mine = updated.sarima.past_mean - base.sarima.calendar.regressors(days) @ base.sarima.coefficients
    np.testing.assert_allclose(mine[later:], result.filter_results.forecasts[0][later:], rtol=1e-6)
    np.testing.assert_allclose(
        updated.sarima.past_sd[later:] ** 2,
        result.filter_results.forecasts_error_cov[0, 0][later:],
        rtol=1e-6,
    )


def _params_of(state: Any) -> np.ndarray:
    """Parameters of a SARIMA model without a constant, read from its matrices."""
    p, _, q, sp, _, sq, s = state.order
    transition, noise = state.transition[1:, 1:], state.noise[1:, 1:]
    variance = noise[0, 0]
    ar, ma = transition[:, 0], noise[:, 0] / variance
    lags = [*ar[:p], *ma[1 : q + 1], *([ar[s - 1]] if sp else []), *([ma[s]] if sq else []), variance]
    return np.array(lags)


def test_updates_do_not_push_trained_versions_out(watched: Watched, tmp_path: Path) -> None:
    for day in range(1, 9):
        update_bundle(
            watched.models, part(watched.sales, tmp_path / "new.csv", "2026-07-01", f"2026-07-0{day}")
        )
    kept = list_versions(watched.models)
    assert watched.version in kept and len(kept) == 3
    assert current_version(watched.models) in kept
    origins = read_ledger(watched.models)["origin"].unique()
    assert len(origins) == 9, "every forecast that was served is in the ledger"


def test_a_gap_is_refused_unless_it_is_allowed(watched: Watched, tmp_path: Path) -> None:
    late = part(watched.sales, tmp_path / "late.csv", "2026-07-11", "2026-07-20")
    with pytest.raises(UserError, match=r"10 days without a sale .* 2026-07-01 to 2026-07-10"):
        update_bundle(watched.models, late)
    assert current_version(watched.models) == watched.version
    update_bundle(watched.models, late, allow_gap=True)
    base, updated = load_bundle(watched.models, watched.version).sarima, load_bundle(watched.models).sarima
    days = daily_totals(load_bundle(watched.models).history, base.last + 1, updated.last)
    days[:10] = np.nan
    np.testing.assert_allclose(filter_on(base, days.to_numpy()).mean, updated.mean)


def test_a_gap_within_the_new_sales_is_missing_as_in_training(watched: Watched, tmp_path: Path) -> None:
    days = watched.sales.truth["ds"]
    lost = days.between("2026-07-08", "2026-07-31")
    frame = watched.sales.frame[days.between("2026-07-01", "2026-08-10") & ~lost]
    frame.to_csv(tmp_path / "holes.csv", index=False)
    result = update_bundle(watched.models, tmp_path / "holes.csv")
    assert any("24 days from 2026-07-08 to 2026-07-31: taken as missing" in note for note in result.notes)
    base, updated = load_bundle(watched.models, watched.version).sarima, load_bundle(watched.models)
    lost_days = np.arange("2026-07-08", "2026-08-01", dtype="datetime64[D]")
    assert np.isin(lost_days, updated.history.missing).all()
    totals = daily_totals(updated.history, base.last + 1, updated.sarima.last)
    totals[pd.to_datetime(lost_days)] = np.nan
    np.testing.assert_allclose(filter_on(base, totals.to_numpy()).mean, updated.sarima.mean)


def test_an_unfinished_day_is_taken_anew_by_the_next_update(watched: Watched, tmp_path: Path) -> None:
    frame = watched.sales.frame[watched.sales.truth["ds"].between("2026-07-01", "2026-08-10")]
    morning = frame[frame["Transaction_Date"] < "2026-08-10 12"]
    morning.to_csv(tmp_path / "morning.csv", index=False)
    first = update_bundle(watched.models, tmp_path / "morning.csv")
    assert morning["Transaction_Date"].max()[:10] == "2026-08-10", "something was sold in the morning"
    assert first.last == "2026-08-09"
    frame.to_csv(tmp_path / "evening.csv", index=False)
    assert update_bundle(watched.models, tmp_path / "evening.csv").last == "2026-08-10"
    totals = daily_totals(
        load_bundle(watched.models).history, np.datetime64("2026-08-10"), np.datetime64("2026-08-10")
    )
    sales = read_sales(tmp_path / "evening.csv").frame
    day = sales["Transaction_Date"].dt.normalize() == "2026-08-10"
    assert totals.iloc[0] == pytest.approx(sales.loc[day, "Revenue"].sum())


def test_an_update_gives_way_to_a_version_that_was_published_meanwhile(
    watched: Watched, tmp_path: Path
) -> None:
    source = part(watched.sales, tmp_path / "new.csv", "2026-07-01", "2026-07-10")
    update_bundle(watched.models, source)
    first = current_version(watched.models)
    assert first is not None
    set_current(watched.models, watched.version)

    def meanwhile(done: float, label: str) -> None:
        if label == "publishing":
            set_current(watched.models, first)

    with pytest.raises(UserError, match="was replaced by"):
        update_bundle(watched.models, source, progress=meanwhile)
    assert current_version(watched.models) == first


# --- odd input --------------------------------------------------------------------------------------------------------


def corrupted(path: Path) -> Path:
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40)
    return path


def header_only(path: Path) -> Path:
    path.write_text("Transaction_ID,Transaction_Date,Units_Sold,Unit_Price,Revenue\n")
    return path


@pytest.mark.parametrize("make", [corrupted, header_only])
@pytest.mark.parametrize(
    "what",
    [lambda models, source: monitor(source, models_dir=models), update_bundle],
    ids=["monitor", "update"],
)
def test_what_is_no_table_of_sales_is_refused(
    watched: Watched, tmp_path: Path, make: Callable[[Path], Path], what: Callable[..., Any]
) -> None:
    source = make(tmp_path / "odd.csv")
    with pytest.raises(UserError, match=r"odd\.csv"):
        what(watched.models, source)
    assert current_version(watched.models) == watched.version


def test_another_currency_is_refused(watched: Watched, tmp_path: Path) -> None:
    source = part(watched.sales, tmp_path / "old.csv", "2024-10-01", "2026-06-30")
    models = tmp_path / "pounds"
    train_models(source, ColumnMapping(currency="GBP"), models_dir=models, params=SMALL, track=False)
    new = part(watched.sales, tmp_path / "new.csv", "2026-07-01", "2026-07-28")
    with pytest.raises(UserError, match="in USD, and version .* was trained in GBP"):
        monitor(new, ColumnMapping(currency="USD"), models_dir=models, params=MonitorParams())
    assert monitor(new, models_dir=models, params=MonitorParams()).window["days"] == 28


def test_one_day_is_reported_and_not_judged(watched: Watched, tmp_path: Path) -> None:
    source = part(watched.sales, tmp_path / "day.csv", "2026-07-01", "2026-07-01")
    report = monitor(source, models_dir=watched.models, params=MonitorParams())
    assert report.window["days"] == 1 and report.level == "ok"
    assert report.performance.loc["wape", "current"] > 0
    assert report.drift.set_index(["column", "statistic"])["value"].isna()["Unit_Price", "psi"]


def test_days_missing_before_the_new_ones_are_told(watched: Watched, tmp_path: Path) -> None:
    report = monitor(
        part(watched.sales, tmp_path / "late.csv", "2026-07-11", "2026-07-20"),
        models_dir=watched.models,
        params=MonitorParams(),
    )
    silence = next(alert for alert in report.alerts if alert.check == "silence")
    assert silence.level == "critical" and "10 open days without a sale" in silence.message


def test_what_was_trained_on_is_left_out(watched: Watched, tmp_path: Path) -> None:
    alone = part(watched.sales, tmp_path / "new.csv", "2026-07-01", "2026-07-28")
    whole = part(watched.sales, tmp_path / "all.csv", "2025-01-01", "2026-07-28")
    one, other = (
        monitor(source, models_dir=watched.models, params=MonitorParams()) for source in (alone, whole)
    )
    pd.testing.assert_frame_equal(one.performance, other.performance)
    assert "were trained on and are left out" in other.notes[0]
    frame = monitor(pd.read_csv(alone), models_dir=watched.models, params=MonitorParams())
    pd.testing.assert_frame_equal(one.performance, frame.performance)


def test_after_an_update_the_same_days_are_still_judged(watched: Watched, tmp_path: Path) -> None:
    source = part(watched.sales, tmp_path / "new.csv", "2026-07-01", "2026-07-28")
    before = monitor(source, models_dir=watched.models, params=MonitorParams())
    update_bundle(watched.models, source)
    after = monitor(source, models_dir=watched.models, params=MonitorParams())
    pd.testing.assert_frame_equal(before.performance, after.performance)
    pd.testing.assert_frame_equal(before.drift, after.drift)


# --- drift ------------------------------------------------------------------------------------------------------------

DRIFTS: dict[DriftKind, tuple[float, str]] = {
    "price_level": (0.3, "drift: Price_Level"),
    "mix": (0.8, "sales: Category Toys"),
    "changed_promotions": (1.0, "drift: Realised_Share"),
    "new_region": (0.1, "new: Region"),
    "broken_feed": (0.3, "missing: Category"),
}


@pytest.mark.parametrize("kind", DRIFTS)
def test_a_drift_is_found_within_its_window(watched: Watched, tmp_path: Path, kind: DriftKind) -> None:
    strength, check = DRIFTS[kind]
    drifted = generate_sales(rows=ROWS, seed=SEED, drift=Drift(kind, "2026-07-29", strength))
    source = part(drifted, tmp_path / "new.csv", "2026-07-01", "2026-08-25")
    report = monitor(source, models_dir=watched.models, params=MonitorParams())
    assert check in {alert.check for alert in report.alerts}, report.findings
    assert report.exit_code >= 3


def test_without_drift_nothing_is_found(watched: Watched, tmp_path: Path) -> None:
    for last in ("2026-07-28", "2026-08-25"):
        report = monitor(
            part(watched.sales, tmp_path / "new.csv", "2026-07-01", last),
            models_dir=watched.models,
            params=MonitorParams(),
        )
        assert report.level == "ok", report.alerts
        json.dumps(report.to_dict(), allow_nan=False)


def wape_with_old_lags(watched: Watched, source: Path, whole: Path) -> float:
    """What predictions for the source, with lags as old as the version, turn out to be off by."""
    rows, _ = predict_source(Predictor.load(watched.models), source)
    predicted = rows.set_index("Transaction_ID")["predicted_revenue"].astype(float)
    sales = read_sales(whole).frame
    sales = sales[~sales["is_return"]]
    error = (
        sales["Transaction_ID"].astype(str).map(predicted[~predicted.index.duplicated()]) - sales["Revenue"]
    )
    return float(error.abs().sum() / sales["Revenue"].sum())


def test_without_revenue_the_error_is_estimated(watched: Watched, tmp_path: Path) -> None:
    whole = part(watched.sales, tmp_path / "whole.csv", "2026-07-01", "2026-07-28")
    known, source = monitor(whole, models_dir=watched.models, params=MonitorParams()), tmp_path / "new.csv"
    pd.read_csv(whole, dtype=str).drop(columns="Revenue").to_csv(source, index=False)
    unknown = monitor(source, models_dir=watched.models, params=MonitorParams())
    assert unknown.performance.empty and unknown.forecast_accuracy.empty and unknown.concept.empty
    assert not {"Realised_Share", "Predicted_Share"} & set(unknown.drift["column"])
    assert unknown.level == "ok", unknown.alerts
    assert known.estimate["wape"] == pytest.approx(known.performance.loc["wape", "current"], rel=0.15)
    assert unknown.estimate["wape"] == pytest.approx(wape_with_old_lags(watched, source, whole), rel=0.4)
    assert unknown.estimate["wape"] > 1.2 * known.estimate["wape"]


def test_the_prometheus_file_is_one(watched: Watched, tmp_path: Path) -> None:
    source = part(watched.sales, tmp_path / "new.csv", "2026-07-01", "2026-07-28")
    report = monitor(source, models_dir=watched.models, params=MonitorParams())
    write_prometheus(report, tmp_path / "out" / "sales.prom")
    families = {
        family.name: family
        for family in text_string_to_metric_families((tmp_path / "out" / "sales.prom").read_text())
    }
    wape = {s.labels["metric"]: s.value for s in families["salesforecast_monitor_metric_current"].samples}[
        "wape"
    ]
    assert wape == pytest.approx(report.performance.loc["wape", "current"])
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["sales.prom"]
    with pytest.raises(UserError, match=r"end with \.prom"):
        write_prometheus(report, tmp_path / "sales.txt")


# --- prices and sales by segment ---------------------------------------------------------------------------------------


def months_after(watched: Watched, tmp_path: Path) -> pd.DataFrame:
    """July and August, with canonical columns."""
    return pd.read_csv(part(watched.sales, tmp_path / "new.csv", "2026-07-01", "2026-08-25"))


def of_august(frame: pd.DataFrame, **conditions: str) -> pd.Series:
    """The rows of the four weeks that are evaluated, with these values."""
    rows = pd.to_datetime(frame["Transaction_Date"], errors="coerce", format="mixed") >= "2026-07-29"
    for name, value in conditions.items():
        rows &= frame[name] == value
    return rows


def found(watched: Watched, frame: pd.DataFrame, **more: Any) -> dict[str, Finding]:
    """The findings by check that are warnings or worse."""
    report = monitor(frame, models_dir=watched.models, params=MonitorParams(), **more)
    json.dumps(report.to_dict(), allow_nan=False)
    return {f.check: f for f in report.findings if f.level in ("warning", "critical")}


def scaled(frame: pd.DataFrame, rows: pd.Series, factor: float, *names: str) -> pd.DataFrame:
    """The columns of some rows times a factor."""
    numbers = {name: pd.to_numeric(frame[name], errors="coerce") for name in names}
    return frame.assign(
        **{n: v.mask(rows, v * factor).where(v.notna(), frame[n]) for n, v in numbers.items()}
    )


def test_a_price_that_rises_in_one_category_is_named_with_its_money(watched: Watched, tmp_path: Path) -> None:
    frame = months_after(watched, tmp_path)
    rows = of_august(frame, Category="Sports")
    findings = found(watched, scaled(frame, rows, 1.3, "Unit_Price", "Revenue"))
    finding = findings["price: Category Sports"]
    assert finding.value == pytest.approx(0.3, abs=0.03)
    revenue = pd.to_numeric(frame["Revenue"], errors="coerce")
    share = revenue[rows].sum() / revenue[of_august(frame)].sum()
    assert finding.money == pytest.approx(0.3 * share, rel=0.35)
    assert [check for check in findings if check.startswith("price:")] == ["price: Category Sports"]


def test_units_times_a_hundred_in_one_category_are_named(watched: Watched, tmp_path: Path) -> None:
    frame = months_after(watched, tmp_path)
    rows = of_august(frame, Category="Sports")
    finding = found(watched, scaled(frame, rows, 100.0, "Units_Sold", "Revenue"))["units: Category Sports"]
    assert finding.level == "critical" and finding.value == pytest.approx(99, rel=0.2)


def test_a_region_that_is_gone_and_another_currency_are_named(watched: Watched, tmp_path: Path) -> None:
    frame = months_after(watched, tmp_path)
    finding = found(watched, frame[~of_august(frame, Region="Central")])["sales: Region Central"]
    assert finding.value is not None and finding.value < -0.9
    findings = found(watched, scaled(frame, of_august(frame), 0.85, "Unit_Price", "Revenue"))
    assert findings["price: all sales"].value == pytest.approx(
        -0.15, abs=0.04
    )  # the nearer of two references counts
    assert [check for check in findings if check.startswith("price:")] == ["price: all sales"]


def test_a_day_that_came_twice_and_a_feed_that_stopped_are_reported(watched: Watched, tmp_path: Path) -> None:
    frame = months_after(watched, tmp_path)
    day = pd.to_datetime(frame["Transaction_Date"], errors="coerce", format="mixed").dt.normalize()
    doubled = pd.concat([frame, frame[day == "2026-08-12"]])
    assert found(watched, doubled)["repeated day"].message.startswith("the sales of 2026-08-12 came twice")
    stopped = frame[day <= "2026-08-11"]
    assert "feed" not in found(watched, stopped, as_of=pd.Timestamp("2026-08-12").date())
    finding = found(watched, stopped, as_of=pd.Timestamp("2026-08-26").date())["feed"]
    assert finding.level == "critical" and finding.value == 14
    params = MonitorParams(feed_days=14)
    report = monitor_as_of(
        stopped, models_dir=watched.models, params=params, as_of=pd.Timestamp("2026-08-26").date()
    )
    assert "feed" not in {finding.check for finding in report.findings}


def test_a_shop_without_revenue_is_trained_updated_and_monitored(watched: Watched, tmp_path: Path) -> None:
    """Revenue is units × price in every row: the usual error is 0, and that is no alarm."""
    frame = watched.sales.frame[watched.sales.truth["ds"] < "2026-08-26"].drop(columns="Revenue")
    days = watched.sales.truth["ds"][frame.index]
    models = tmp_path / "plain"
    train_models(
        frame[days.between("2025-01-01", "2026-06-30")], models_dir=models, params=SMALL, track=False
    )
    report = monitor(frame[days > "2026-06-30"], models_dir=models, params=MonitorParams())
    assert report.performance.loc["wape", "current"] < 0.01
    assert report.level == "ok", report.alerts
    assert len(report.forecast_accuracy)
    assert not (report.drift["statistic"] == "missing")[report.drift["column"] == "Price_Level"].any()
    assert update_bundle(models, frame[days > "2026-06-30"]).last == "2026-08-25"


def test_without_revenue_prices_and_the_forecast_are_still_watched(watched: Watched, tmp_path: Path) -> None:
    frame = months_after(watched, tmp_path).drop(columns="Revenue")
    findings = found(watched, scaled(frame, of_august(frame, Category="Sports"), 1.3, "Unit_Price"))
    assert findings["price: Category Sports"].value == pytest.approx(0.3, abs=0.03)
    july = frame[~of_august(frame)]
    report = monitor(july, models_dir=watched.models, params=MonitorParams())
    (forecast,) = [finding for finding in report.findings if finding.check == "forecast"]
    assert "as the model estimates it" in forecast.message
    lost = monitor(july.sample(frac=0.3, random_state=1), models_dir=watched.models, params=MonitorParams())
    assert next(f for f in lost.findings if f.check == "forecast").level == "critical"


# --- alerts -----------------------------------------------------------------------------------------------------------


@dataclass
class Hook:
    """A webhook that answers as it is told, and 200 when there is nothing left to tell."""

    answers: list[int] = field(default_factory=list)  # status codes; 0 hangs
    got: list[dict[str, Any]] = field(default_factory=list)
    url: SecretStr = field(default_factory=lambda: SecretStr(""))


@pytest.fixture
def hook() -> Iterator[Hook]:
    told = Hook()
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            status = told.answers.pop(0) if told.answers else 200
            if status == 0:
                over.wait(20)
                return
            self.send_response(status)
            if status == 302:
                self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    told.url = SecretStr(f"http://127.0.0.1:{server.server_port}/services/T0SECRET")
    yield told
    over.set()
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("answers", "asked", "problem", "timeout"),
    [
        ([500, 502], 3, "", 60),
        ([500, 500, 500], 3, "HTTP 500", 60),
        ([429], 2, "", 60),
        ([404], 1, "HTTP 404", 60),
        ([302], 1, "HTTP 302", 60),
        ([0, 200], 2, "", 3),
        ([0, 0, 0], 3, "did not answer within 0.3 s", 0.3),
    ],
)
def test_a_webhook_is_asked_again_where_that_may_help(
    hook: Hook,
    caplog: pytest.LogCaptureFixture,
    answers: list[int],
    asked: int,
    problem: str,
    timeout: float,
) -> None:
    caplog.set_level(logging.DEBUG)
    hook.answers = list(answers)
    said = post_webhook(hook.url, {"text": "hello"}, timeout=timeout, wait=0.01)
    assert (problem in said) if problem else said == ""
    for _ in range(600 if 0 in answers else 0):  # what was given up may be read later
        if len(hook.got) < asked:
            time.sleep(0.1)
    assert len(hook.got) == asked
    assert "T0SECRET" not in said + caplog.text


OFF = Finding("performance", "warning", "WAPE is 12%")


def test_one_message_per_incident_and_one_when_it_is_over(hook: Hook, tmp_path: Path) -> None:
    channels = Channels(tmp_path / "alerts.jsonl", hook.url, wait=0.01)
    for day, seen in enumerate([[OFF], [OFF], [OFF], [], [OFF], [], [], []], 1):
        for _ in range(2):  # a run that is repeated on the same data
            _, problems = notify(tmp_path / "state.json", seen, f"2026-10-0{day}", channels=channels)
            assert problems == []
    assert [("fine again" in message["text"]) for message in hook.got] == [False, True]
    statuses = [json.loads(line)["status"] for line in (tmp_path / "alerts.jsonl").read_text().splitlines()]
    assert statuses == ["opened", "resolved"]
    assert read_alert_state(tmp_path / "state.json")["checks"] == {}


def test_a_message_that_was_not_taken_is_sent_with_the_next_run(hook: Hook, tmp_path: Path) -> None:
    hook.answers = [503, 503, 503]
    channels = Channels(tmp_path / "alerts.jsonl", hook.url, wait=0.01)
    critical = Finding("new: Region", "critical", "7% are new")
    _, problems = notify(tmp_path / "state.json", [critical], "2026-10-01", channels=channels)
    assert problems == ["the webhook answered with HTTP 503"]
    assert "T0SECRET" not in (tmp_path / "state.json").read_text()
    alerts, problems = notify(tmp_path / "state.json", [critical], "2026-10-02", channels=channels)
    assert (problems, alerts[0].status, len(hook.got)) == ([], "open", 4)
    notify(tmp_path / "state.json", [critical], "2026-10-03", channels=channels)
    assert len(hook.got) == 4
    assert len((tmp_path / "alerts.jsonl").read_text().splitlines()) == 1


def test_two_runs_at_once_tell_of_an_incident_once(hook: Hook, tmp_path: Path) -> None:
    critical = Finding("new: Region", "critical", "7% are new")
    runs = [
        threading.Thread(
            target=notify,
            args=(tmp_path / "state.json", [critical], "2026-10-01"),
            kwargs={"channels": Channels(None, hook.url)},
        )
        for _ in range(4)
    ]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert len(hook.got) == 1


# --- the commands -----------------------------------------------------------------------------------------------------


def test_the_commands_tell_a_scheduler(
    watched: Watched, tmp_path: Path, hook: Hook, run_command: Callable[..., CompletedProcess[str]]
) -> None:
    where = ("--models-dir", watched.models)
    today = ("--as-of", "2026-07-29")
    env = {
        "SALESFORECAST_ALERT_WEBHOOK": hook.url.get_secret_value(),
        "SALESFORECAST_ALERT_FILE": str(tmp_path / "alerts.jsonl"),
    }
    calm = part(watched.sales, tmp_path / "calm.csv", "2026-07-01", "2026-07-28")
    outputs = ("--json", tmp_path / "report.json", "--prometheus", tmp_path / "sales.prom")
    done = run_command("monitor", calm, *where, *today, *outputs, env=env)
    assert done.returncode == 0, done.stderr
    assert "all is well" in done.stdout and hook.got == []
    assert json.loads((tmp_path / "report.json").read_text())["level"] == "ok"
    drifted = generate_sales(rows=ROWS, seed=SEED, drift=Drift("new_region", "2026-07-01", 0.1))
    new = part(drifted, tmp_path / "drifted.csv", "2026-07-01", "2026-07-28")
    done = run_command("monitor", new, *where, *today, env=env)
    assert done.returncode == 4, done.stderr
    assert "T0SECRET" not in done.stdout + done.stderr
    assert len(hook.got) == 1 and "Overseas" in hook.got[0]["text"]
    assert run_command("monitor", new, *where, "--limit", "newt=1").returncode == 2
    assert run_command("monitor", tmp_path / "none.csv", *where).returncode == 2
    done = run_command("update", calm, *where)
    assert done.returncode == 0 and "every day up to 2026-07-28" in done.stdout, done.stderr
    done = run_command("update", calm, *where)
    assert done.returncode == 0 and "nothing new" in done.stderr
