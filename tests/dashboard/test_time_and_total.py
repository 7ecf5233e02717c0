"""The header tells how old the data are; the forecast tab shows the total of the demand forecast and its range."""

from datetime import date, datetime

import pandas as pd
import pytest

from salesforecast.api.schemas import (
    ChampionRow,
    DemandChoices,
    DemandOutput,
    DemandRow,
    DemandSum,
    StatusOutput,
)
from salesforecast.client import Client
from salesforecast.dashboard.app import status_pill
from salesforecast.dashboard.model.state import ApiConnection, AppState
from salesforecast.dashboard.tabs.forecast import forecast_tiles, time_words, total_forecast

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
    found = status_pill(state, today, critical)
    assert (found["kind"], found["text"]) == (kind, text)
    assert ("Model for single sales", "Random forest") in found["lines"]
    assert [value for name, value in found["lines"] if name == "Critical finding"] == list(critical)


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


def test_the_total_is_that_of_the_demand_forecast_and_sarima_stands_beside() -> None:
    days = pd.to_datetime(["2026-10-01", "2026-10-02"])
    sarima = pd.DataFrame({"date": days, "predicted_revenue": [90.0, 95.0]})
    found = total_forecast(answer(), sarima)
    assert found.rows["predicted_revenue"].tolist() == [100.0, 110.0]
    assert found.rows["sarima"].tolist() == [90.0, 95.0]
    tiles = "".join(forecast_tiles(found.rows, None, pd.Series(dtype=float), "", found.total))
    assert "210" in tiles and "170.00 to 250.00" in tiles
    second = total_forecast(
        answer(), sarima[1:]
    )  # of the second day alone, the range of the sum is not known
    assert second.rows["predicted_revenue"].tolist() == [110.0] and second.total is None
