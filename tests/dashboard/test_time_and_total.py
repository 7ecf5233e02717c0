"""The header tells how old the data are; the forecast tab shows the total of the demand forecast and its range."""

import asyncio
import json
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from types import SimpleNamespace

import ipywidgets as w
import pandas as pd
import pytest

from salesforecast.api.schemas import (
    BacktestForecast,
    BacktestOutput,
    BacktestRow,
    BatchSarimaForecastOutput,
    ChampionRow,
    DemandChoices,
    DemandOutput,
    DemandRow,
    DemandSum,
    ModelInfoOutput,
    SarimaForecastOutput,
    StatusOutput,
)
from salesforecast.client import Client
from salesforecast.dashboard.app import App, status_pill
from salesforecast.dashboard.model import health
from salesforecast.dashboard.model.forecasts import (
    ForecastContext,
    fetch_forecast,
    past_forecast,
    total_forecast,
)
from salesforecast.dashboard.model.state import ApiConnection, AppState, refresh
from salesforecast.dashboard.tabs.forecast import forecast_tiles, forecast_words, time_words

STATUS = StatusOutput(
    timestamp="",
    transactional_model_loaded=True,
    preprocessor_loaded=True,
    sarima_model_loaded=True,
    transactional_model_type="RandomForestRegressor",
    parts={},
    version="v1",
    loaded_at="",
    history_until="2026-09-30",
)


@pytest.mark.parametrize(
    ("today", "critical", "kind", "text"),
    [
        (date(2026, 10, 1), (), "good", "Models ready"),
        (date(2026, 10, 13), (), "good", "Models ready"),
        (date(2026, 10, 14), (), "warn", "Models ready; data end 2 weeks ago"),
        (date(2026, 10, 1), ("no sales for 3 days",), "bad", "Monitoring has a critical finding"),
    ],
)
def test_the_pill_tells_old_data_and_critical_findings(
    today: date, critical: tuple[str, ...], kind: str, text: str
) -> None:
    state = AppState(Client("http://127.0.0.1:9", retries=0))
    state.connection = ApiConnection(True, STATUS, "", datetime(2026, 10, 1))
    state.today, state.critical = today, critical
    found = status_pill(state)
    assert (found["kind"], found["text"]) == (kind, text)
    assert ("Model for single sales", "Random forest") in found["lines"]
    assert [value for name, value in found["lines"] if name == "Critical finding"] == list(critical)


class OnePanel:
    """A tab without content."""

    title = "One"

    def __init__(self, state: AppState):
        self.view = w.HTML()

    def on_open(self) -> None:
        """Do nothing."""


class Watcher(Client):
    """Stands for a client whose API serves v1."""

    def status(self) -> StatusOutput:
        """Return the status."""
        return STATUS


def test_an_open_page_shows_what_monitoring_finds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(health, "settings", lambda: SimpleNamespace(model_dir=tmp_path))
    state = AppState(Client("http://127.0.0.1:9", retries=0), Watcher("http://127.0.0.1:9", retries=0))
    state.info = ModelInfoOutput.model_construct(version="v1", training_date="2026-09-30T06:00:00+00:00")
    app = App(state, [OnePanel])
    asyncio.run(refresh(state))
    assert app.shell.status["kind"] != "bad"
    alert = {"check": "silence", "level": "critical", "status": "opened", "message": "no sales for 3 days"}
    path = tmp_path / "monitoring.json"
    path.write_text(json.dumps({"version": "v1", "alerts": [alert]}))
    asyncio.run(refresh(state))
    assert app.shell.status["kind"] == "bad"
    assert ["Critical finding", "no sales for 3 days"] in [list(line) for line in app.shell.status["lines"]]
    path.write_text(json.dumps({"version": "v1", "alerts": [{**alert, "status": "resolved"}]}))
    asyncio.run(refresh(state))
    assert app.shell.status["kind"] != "bad"


def test_the_days_ahead_begin_after_the_data() -> None:
    words = time_words(date(2026, 9, 30), date(2026, 11, 29))
    assert words == (
        "The data end on 30 Sep 2026, 60 days ago. The days ahead begin after the data, on 1 Oct 2026, not today."
    )
    assert time_words(date(2026, 9, 30), date(2026, 10, 1)) == "The data end on 30 Sep 2026."


def answer() -> DemandOutput:
    """A demand forecast of two days."""
    bounds = {"lo_80": 80.0, "hi_80": 130.0, "lo_95": 60.0, "hi_95": 150.0}
    rows = [
        DemandRow(unique_id="total", ds=day, yhat=mean, median=mean, **bounds)
        for day, mean in (("2026-10-01", 100.0), ("2026-10-02", 110.0))
    ]
    total = DemandSum(unique_id="total", level="total", yhat=210.0, median=208.0, lo_80=170.0, hi_80=250.0)
    champion = ChampionRow(
        level="total", model="direct", wape=0.2, against_naive=None, low=None, high=None, bias=None
    )
    choices = DemandChoices(targets=["revenue"], freq=["D"], levels=["total"], horizon=28, segments={})
    return DemandOutput(
        target="revenue", currency="", first_date="2026-10-01", last_date="2026-10-02", series=1, forecasts=rows,
        sums=[total], accuracy=[], champions=[champion], choices=choices, notes=[],
    )  # fmt: skip


def sarima_of(first: str, means: list[float], in_history: int = 0) -> pd.DataFrame:
    """SARIMA's forecast of the days from `first`, of which the first ones are in the history."""
    days = pd.date_range(first, periods=len(means))
    bounds = {f"{side}_{level}": means for side in ("lower", "upper") for level in (80, 95)}
    past = [n < in_history for n in range(len(means))]
    return pd.DataFrame({"date": days, "predicted_revenue": means, **bounds, "in_history": past})


def test_the_total_is_that_of_the_demand_forecast_and_sarima_stands_beside() -> None:
    found = total_forecast(answer(), sarima_of("2026-10-01", [90.0, 95.0]))
    assert found.rows["predicted_revenue"].tolist() == [100.0, 110.0]
    assert found.rows["sarima"].tolist() == [90.0, 95.0]
    tiles = "".join(forecast_tiles(found.rows, None, pd.Series(dtype=float), "", found.total))
    assert "210" in tiles and "170.00 to 250.00" in tiles
    assert found.made_by("SARIMA") == found.model
    second = total_forecast(answer(), sarima_of("2026-10-02", [95.0]))
    assert second.rows["predicted_revenue"].tolist() == [110.0]
    assert second.total is None  # of the second day alone, the range of the sum is not known


def test_each_day_is_by_the_demand_forecast_where_it_has_that_day_and_none_is_lost() -> None:
    """As `with_demand_total` does for the command line: after an update its first day is in the history."""
    found = total_forecast(answer(), sarima_of("2026-10-01", [90.0, 95.0, 96.0], in_history=1))
    assert found.rows["predicted_revenue"].tolist() == [90.0, 110.0, 96.0]
    assert found.rows["upper_95"].tolist() == [90.0, 150.0, 96.0]
    assert found.demand_days.tolist() == [False, True, False] and found.total is None
    assert found.made_by("SARIMA").endswith(" from 2 Oct 2026 to 2 Oct 2026; SARIMA for the other days")
    late = total_forecast(answer(), sarima_of("2026-11-01", [90.0, 95.0]))  # after an update by 30 days
    assert late.rows["predicted_revenue"].tolist() == [90.0, 95.0]
    assert (late.model, late.made_by("SARIMA"), late.demand_days.any()) == ("", "SARIMA", False)


@dataclass
class Api:
    """The API of a version whose history ends on 30 September and whose demand forecast has two days."""

    asked: list[tuple[str, int | None]] = field(default_factory=list)

    def forecast_sarima(self, start: date, end: date, level: int) -> BatchSarimaForecastOutput:
        rows = [
            SarimaForecastOutput(
                date=str(day.date()), predicted_revenue=90.0, confidence_interval_lower=80.0,
                confidence_interval_upper=100.0, in_history=False,
            )
            for day in pd.date_range(start, end)
        ]  # fmt: skip
        return BatchSarimaForecastOutput.model_validate({"forecasts": rows})

    def forecast(self, freq: str, horizon: int | None, **_: object) -> DemandOutput:
        self.asked.append((freq, horizon))
        if horizon is not None and horizon > 2:
            raise AssertionError("the forecast goes 2 periods ahead")
        whole = answer()
        return whole.model_copy(update={"forecasts": whole.forecasts[:horizon]})


def test_days_beyond_the_demand_forecast_are_shown_with_those_it_has() -> None:
    api = Api()
    found = fetch_forecast(api, date(2026, 10, 1), date(2026, 10, 4))  # type: ignore[arg-type]
    assert found.rows["predicted_revenue"].tolist() == [100.0, 110.0, 90.0, 90.0]
    first = fetch_forecast(api, date(2026, 10, 1), date(2026, 10, 1))  # type: ignore[arg-type]
    assert first.rows["predicted_revenue"].tolist() == [100.0] and first.total is not None
    fetch_forecast(api, date(2026, 10, 2), date(2026, 10, 2), 7)  # type: ignore[arg-type]
    assert api.asked == [("D", None), ("D", None), ("D", 1), ("W", None)]


@pytest.mark.parametrize(
    ("step", "first", "says"),
    [
        (
            1,
            "2026-09-17",
            "14 of the 28 days that you chose were forecast in the backtest: the figures are of these. ",
        ),
        (1, "2026-09-03", ""),
        (
            7,
            "2026-09-16",
            "3 of the 4 weeks that you chose were forecast in the backtest: the figures are of these. ",
        ),
    ],
)
def test_days_of_the_past_that_the_backtest_lacks_are_counted(step: int, first: str, says: str) -> None:
    last = date(2026, 9, 30)
    tested = [
        BacktestForecast(
            model="sarima", cutoff="2026-08-31", date=f"{day:%Y-%m-%d}", actual=10, predicted_revenue=10,
            lower_80=9, upper_80=11, lower_95=8, upper_95=12,
        )
        for day in pd.date_range(first, last, freq=f"{step}D")
    ]  # fmt: skip
    history = pd.Series(10.0, pd.date_range(end=last, periods=60, freq=f"{step}D"))
    backtest = BacktestOutput(horizon=28, windows=1, rows=[], forecasts=tested)
    context = ForecastContext(history, step, backtest, {})
    made = past_forecast(context, date(2026, 9, 3), last)
    assert made is not None and len(made.rows) == len(tested)
    words = forecast_words(context, made, 0, 80)
    assert words.startswith(says + "SARIMA in the backtest: it knew the sales until 31 Aug 2026")


def test_past_days_by_the_demand_forecast_say_on_which_days_its_weights_were_learnt() -> None:
    last = date(2026, 9, 30)
    tested = [
        BacktestForecast(
            model="demand", cutoff="2026-08-31", date=f"{day:%Y-%m-%d}", actual=10, predicted_revenue=10,
            lower_80=9, upper_80=11, lower_95=8, upper_95=12,
        )
        for day in pd.date_range("2026-09-03", last)
    ]  # fmt: skip
    row = BacktestRow(model="demand", lead_days=1, n=28, mae=0, wape=0, bias=0, coverage_80=1, coverage_95=1)
    history = pd.Series(10.0, pd.date_range(end=last, periods=60))
    backtest = BacktestOutput(horizon=28, windows=1, rows=[row], forecasts=tested)
    for tested_on in ("Weights were learnt from other days.", ""):
        context = ForecastContext(history, 1, backtest, {}, tested_on=tested_on)
        made = past_forecast(context, date(2026, 9, 3), last)
        assert made is not None
        words = forecast_words(context, made, 0, 80)
        assert f"in the backtest: its models knew the sales until 31 Aug 2026. {tested_on}" in words
        assert "none of the days" not in words and "  " not in words
