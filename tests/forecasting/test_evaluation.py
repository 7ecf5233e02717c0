"""The total from the cutoffs of cross-validation: each window is forecast by what other days teach."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from salesforecast.forecasting.evaluation import backtest_total
from salesforecast.forecasting.forecaster import DemandModel, fit_demand
from salesforecast.forecasting.panel import Panel, make_panel, parse_levels
from salesforecast.sales.reading import SalesData, read_sales
from support.shops import simulate_shop

BOUNDS = ["lo-95", "lo-80", "lo-50", "hi-50", "hi-80", "hi-95"]


def panel_of(days: int) -> Panel:
    sales: SalesData = read_sales(simulate_shop(days=days))
    return make_panel(sales, parse_levels("Category"), target="revenue")


@pytest.fixture(scope="module")
def model() -> DemandModel:
    return fit_demand(panel_of(260), 14, candidates=("window_average", "ets_seasonal", "tsb"))


def test_a_window_learns_nothing_from_its_own_days(model: DemandModel) -> None:
    """Sales of its days, and of those after it, change neither its forecast nor its interval."""
    rng, values = np.random.default_rng(0), model.panel.values.copy()
    values[:, model.cutoffs[-1] :] *= rng.uniform(3, 9, values[:, model.cutoffs[-1] :].shape)
    before = backtest_total(model)
    after = backtest_total(replace(model, panel=replace(model.panel, values=values)))
    assert before.held_out
    (one, other) = (rows[rows["cutoff"] == rows["cutoff"].max()] for rows in (before.rows, after.rows))
    assert (one["y"] * 3 < other["y"] + 1e-9).all()
    columns = ["yhat", "median", "naive", *BOUNDS]
    pd.testing.assert_frame_equal(one[columns], other[columns])
    first = [rows[rows["cutoff"] == rows["cutoff"].min()] for rows in (before.rows, after.rows)]
    assert not np.allclose(*(rows["yhat"] for rows in first))  # which learns from days far from it


def test_the_rows_are_those_of_the_days(model: DemandModel) -> None:
    rows, panel = backtest_total(model).rows, model.panel
    assert len(rows) == len(model.cutoffs) * model.horizon and set(rows["unique_id"]) == {"total"}
    at = pd.Index(panel.days).get_indexer(rows["ds"])
    assert rows["y"].tolist() == panel.values[0, at].tolist()
    assert rows["naive"].tolist() == [
        panel.values[0, cutoff - 7 + ahead % 7] for cutoff in model.cutoffs for ahead in range(model.horizon)
    ]
    assert (
        rows["cutoff"].unique().tolist() == pd.to_datetime(panel.days[np.array(model.cutoffs) - 1]).tolist()
    )
    ordered = rows[["lo-95", "lo-80", "lo-50", "median", "hi-50", "hi-80", "hi-95"]].to_numpy()
    assert (np.diff(ordered, axis=1) >= -1e-9).all()


def test_a_short_history_says_that_it_is_not_held_out() -> None:
    short = fit_demand(panel_of(90), 28, candidates=("window_average", "ets_seasonal"))
    tested = backtest_total(short)
    assert not tested.held_out
    total = short.accuracy.set_index("level")["wape"]["total"]
    assert np.abs(tested.rows["yhat"] - tested.rows["y"]).sum() / tested.rows["y"].sum() == pytest.approx(
        total, rel=0.2
    )
