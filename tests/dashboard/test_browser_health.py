"""Whether the model is still good, in a real browser: what the tab shows is what monitoring wrote."""

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from playwright.sync_api import Locator, expect

from salesforecast.monitoring.monitor import monitor
from salesforecast.monitoring.report import MonitorReport, keep_report
from support.browsing import WAIT, eventually, free_port, serving, showing, visiting
from support.models import Trained, small_training


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return small_training(tmp_path_factory.mktemp("health"))


@pytest.fixture(scope="module")
def api(own: Trained) -> Iterator[str]:
    with serving(own.models, free_port()) as served:
        yield served.url


@pytest.fixture(scope="module")
def board(api: str, own: Trained) -> Iterator[str]:
    """A dashboard that can read the folder of models of its API."""
    with showing(api, MODEL_DIR=str(own.models)) as shown:
        yield shown.url


def raised_prices(own: Trained) -> pd.DataFrame:
    """The last eight weeks again, eight weeks later, at prices half as high again and revenue of six tenths."""
    sales = pd.read_csv(own.source, dtype=str)
    days = pd.to_datetime(sales["Transaction_Date"], format="mixed", errors="coerce")
    last = pd.Timestamp(own.training.manifest.data.last)
    recent = sales[(days > last - pd.Timedelta(days=56)) & (days < last + pd.Timedelta(days=1))].copy()
    later = days[recent.index] + pd.Timedelta(days=56)
    recent["Transaction_Date"] = later.dt.strftime("%Y-%m-%d %H:%M:%S")
    recent["Transaction_ID"] = [f"N{i:06d}" for i in range(len(recent))]
    for name, factor in (("Revenue", 0.6), ("Unit_Price", 1.5)):
        recent[name] = (pd.to_numeric(recent[name], errors="coerce") * factor).round(2)
    return recent


@pytest.fixture(scope="module")
def report(own: Trained) -> MonitorReport:
    """What monitoring finds on the day after the last sale, with the state that the command keeps."""
    recent = raised_prices(own)
    newest = pd.to_datetime(recent["Transaction_Date"]).max().date() + timedelta(days=1)
    return monitor(recent, models_dir=own.models, state=own.models / "alerts.json", as_of=newest)


def bars(tab: Locator, index: int) -> dict[str, dict[str, float]]:
    """The values of a chart by trace and category."""
    plot = tab.locator(".js-plotly-plot").nth(index)
    traces = plot.evaluate(
        "p => (p.data ?? []).map(t => [t.name, t.orientation, Array.from(t.x), Array.from(t.y)])"
    )
    return {
        name: dict(zip(y, x, strict=True) if turned == "h" else zip(x, y, strict=True))
        for name, turned, x, y in traces
    }


def test_the_model_is_not_monitored_then_the_model_is_found_to_be_bad(
    browser: Any, board: str, own: Trained, request: pytest.FixtureRequest
) -> None:
    with visiting(browser, board) as visitor:
        visitor.open("Health")
        tab = visitor.page.locator(".sf-panel:visible")
        expect(tab.get_by_text("The model has not been monitored yet.")).to_be_visible(timeout=WAIT)
        found: MonitorReport = request.getfixturevalue("report")
        assert found.level == "critical"
        tab.get_by_role("button", name="Refresh").click()
        expect(tab.get_by_text("Act now")).to_be_visible(timeout=WAIT)
        single = tab.locator(".sf-light", has_text="single sales")
        expect(single).to_have_attribute("data-colour", "red")
        expect(single).to_contain_text("Red: act")
        expect(single).to_contain_text(next(f.message for f in found.findings if f.check == "performance"))
        expect(tab.get_by_text("Train on newer sales")).to_be_visible()
        expect(tab.locator(".js-plotly-plot").nth(1)).to_be_visible(timeout=WAIT)
        accuracy = found.forecast_accuracy.set_index("lead")["wape"]
        price = found.drift[found.drift["column"] == "Unit_Price"]

        def charts() -> None:
            drawn, drift = bars(tab, 0), bars(tab, 1)
            assert drawn.get("Published forecasts") == pytest.approx(accuracy.to_dict(), rel=1e-6)
            largest = (price["value"] / price["limit"]).max()
            assert drift.get("Value over limit", {}).get("Unit price") == pytest.approx(largest, rel=1e-6)

        eventually(tab, charts)
        opened = [alert for alert in found.alerts if alert.status == "opened"]
        rows = tab.locator(".sf-card", has_text="Incidents").last.locator("tbody tr", has_text="opened")
        expect(rows).to_have_count(len(opened))
    visitor.check()


def test_a_feed_that_is_late_is_named_and_the_model_is_not_blamed(
    browser: Any, board: str, own: Trained, tmp_path: Path
) -> None:
    last = date.fromisoformat(own.training.manifest.data.last)
    for days, verdict in (
        (1, "No new sales have arrived since the training: the model cannot be evaluated yet."),
        (12, "Act now: sales are late, missing or rejected."),
    ):
        found = monitor(
            own.source, models_dir=own.models, state=tmp_path / "a.json", as_of=last + timedelta(days=days)
        )
        keep_report(found, own.models)
        with visiting(browser, board, width=390, height=844) as visitor:
            visitor.open("Health")
            tab = visitor.page.locator(".sf-panel:visible")
            expect(tab.locator(".sf-message strong").first).to_have_text(verdict, timeout=WAIT)
            single = tab.locator(".sf-light", has_text="single sales")
            expect(single).to_have_attribute("data-colour", "grey")
            expect(single).to_contain_text("accuracy and drift can be evaluated when new sales arrive")
            assert visitor.page.evaluate("document.documentElement.scrollWidth") == 390
        visitor.check()


def test_a_dashboard_without_the_models_says_so(browser: Any, api: str, tmp_path: Any) -> None:
    with showing(api, MODEL_DIR=str(tmp_path)) as shown, visiting(browser, shown.url) as visitor:
        visitor.open("Health")
        expect(visitor.page.get_by_text("cannot be seen from here")).to_be_visible(timeout=WAIT)
