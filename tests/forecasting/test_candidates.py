"""Candidates: users' own models take part in the selection and can win; what cannot be used is an error with the fix."""

from dataclasses import replace
from datetime import date
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy import sparse
from sklearn.base import BaseEstimator, RegressorMixin

from salesforecast.core.params import CandidateParams, load_params
from salesforecast.core.settings import UserError
from salesforecast.forecasting.candidates.direct import DIRECT
from salesforecast.forecasting.candidates.registry import BASELINE, resolve_candidates
from salesforecast.forecasting.candidates.run import run_candidate
from salesforecast.forecasting.candidates.task import make_forecast_task
from salesforecast.forecasting.covariates import Covariates
from salesforecast.forecasting.forecaster import fit_demand, forecast_demand
from salesforecast.forecasting.panel import Panel
from salesforecast.forecasting.selection import chosen_rows, combination_weights

THETA = {
    "name": "my_theta",
    "model": "statsforecast.models:DynamicOptimizedTheta",
    "arguments": {"season_length": 7},
}
RIDGE = {"name": "my_ridge", "model": "sklearn.linear_model:Ridge", "arguments": {"alpha": 1.0}}


def products(sold: np.ndarray) -> Panel:
    """A panel of products of one category, and their total."""
    count, days = len(sold), np.datetime64("2025-01-06") + np.arange(sold.shape[1])
    summing = sparse.csr_matrix(np.vstack([np.ones((1, count)), np.eye(count)]))
    return Panel(
        ids=np.array(["total", *(f"Product_ID=P{i}" for i in range(count))], object),
        days=days,
        values=summing @ sold,
        step=1,
        levels=("total", "Product_ID"),
        level=np.r_[0, np.ones(count, int)],
        summing=summing,
        keys=pd.DataFrame({"Product_ID": [f"P{i}" for i in range(count)]}),
        category=np.full(count, "all", object),
        target="units",
        price=np.empty((0, 0)),
        daily_total=pd.Series(sold.sum(0), pd.DatetimeIndex(days)),
    )


@pytest.fixture(scope="module")
def panel() -> Panel:
    """Eight products with noise and the same week, of which seasonal naive repeats the noise."""
    week = np.array([1.0, 0.9, 0.9, 1.0, 1.2, 1.5, 1.1])[np.arange(182) % 7]
    return products(np.random.default_rng(0).poisson(8 * week, (8, 182)).astype(float))


WEEKDAYS = """
import numpy as np

class Weekdays:
    def __init__(self, levels):
        self.quantiles = levels

    def forecast(self, context, *, horizon):
        first = context.shape[1] % 7
        days = [np.nanquantile(context[:, (first + day) % 7 :: 7], self.quantiles, axis=1).T for day in range(7)]
        return np.stack([days[day % 7] for day in range(horizon)], axis=1)
"""


def test_a_pretrained_model_of_ones_own_takes_part_and_wins(
    panel: Panel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_pretrained.py").write_text(WEEKDAYS)
    monkeypatch.syspath_prepend(tmp_path)
    own = CandidateParams(
        name="weekdays",
        model="my_pretrained:Weekdays",
        arguments={"levels": [0.1, 0.25, 0.5, 0.75, 0.9]},
        min_periods=22,
    )
    model = fit_demand(panel, 14, candidates=[own], n_windows=2)
    board = model.leaderboard.set_index(["level", "model"])
    assert board.loc[("Product_ID", "weekdays"), "wape"] < 0.8 * board.loc[("Product_ID", BASELINE), "wape"]
    assert abs(forecast_demand(model, 14).yhat[1:].mean() / panel.values[1:].mean() - 1) < 0.05


def test_fracast_is_tried_only_where_it_is_named(panel: Panel) -> None:
    assert "fracast" not in [candidate.name for candidate in resolve_candidates()]
    (fracast,) = resolve_candidates(["fracast"])[1:]
    task = make_forecast_task(panel, 14, Covariates())
    if find_spec("fracast") is None:
        with pytest.raises(UserError, match=r"pip install 'salesforecast\[pretrained\]'"):
            fracast.forecast(task, np.arange(3))
        return
    forecast, expected = fracast.forecast(task, np.arange(9)), panel.values[:, -56:].reshape(9, 8, 7).mean(1)
    assert np.abs(forecast[:, :7] / expected - 1).mean() < 0.15  # the same week, whose noise is less


@pytest.mark.parametrize("own", [THETA, RIDGE], ids=["statsforecast", "scikit-learn"])
def test_a_model_of_params_yaml_takes_part_and_wins(own: dict, panel: Panel, tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    file.write_text(yaml.safe_dump({"demand": {"candidates": [BASELINE, own]}}))
    params = load_params(file).demand
    model = fit_demand(panel, 14, candidates=params.candidates, n_windows=4)
    for champion in model.champions:
        assert [candidate.name for candidate in champion.candidates] == [BASELINE, own["name"]]
        assert own["name"] in set(champion.leaderboard["model"])
        assert champion.weights[1].mean() > 0.5
    forecast = forecast_demand(model, 14).yhat
    np.testing.assert_allclose(forecast[0].mean(), panel.values[0].mean(), rtol=0.15)


def test_a_regressor_without_weights_and_a_new_product_has_a_forecast() -> None:
    """KNeighborsRegressor takes neither sample weights nor missing lags."""
    sold = np.random.default_rng(1).poisson(5, (6, 120)).astype(float)
    sold[0, :-5] = 0
    knn = CandidateParams(name="knn", model="sklearn.neighbors:KNeighborsRegressor")
    candidate = resolve_candidates([knn])[-1]
    task = make_forecast_task(products(sold), 14, Covariates())
    forecast = run_candidate(candidate, task, np.arange(7))
    assert forecast.shape == (7, 14) and (forecast[1] > 1).all()


class Fixed(RegressorMixin, BaseEstimator):
    """A regressor whose answer is its parameter: what the project does with it shows."""

    def __init__(self, value: float = 1.0) -> None:
        self.value = value

    def fit(self, X: pd.DataFrame, y: pd.Series) -> "Fixed":
        self.columns_ = list(X)
        return self

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        assert not X.isna().any().any()
        return np.full(len(X), self.value)


def test_a_class_of_ones_own_file_gets_its_arguments(
    panel: Panel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "my_models.py").write_text(
        "import numpy as np\n"
        "from statsforecast.models import Naive\n"
        "class Flat(Naive):\n"
        "    def __init__(self, value):\n"
        "        super().__init__(alias='Flat')\n"
        "        self.value = value\n"
        "    def forecast(self, y, h, X=None, X_future=None, level=None, fitted=False):\n"
        "        return {'mean': np.full(h, self.value)}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    flat = CandidateParams(name="flat", model="my_models:Flat", arguments={"value": 3.0})
    task = make_forecast_task(panel, 7, Covariates())
    np.testing.assert_allclose(run_candidate(resolve_candidates([flat])[-1], task, np.arange(2)), 3.0)


def test_a_regressor_predicts_on_the_scale_of_each_series(
    panel: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys
    from types import ModuleType

    module = ModuleType("own_regressors")
    module.Fixed = Fixed  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "own_regressors", module)
    twice = CandidateParams(name="twice", model="own_regressors:Fixed", arguments={"value": 2.0})
    task = make_forecast_task(panel, 7, Covariates())
    forecast = run_candidate(resolve_candidates([twice])[-1], task, np.arange(3))
    np.testing.assert_allclose(forecast, 2 * np.repeat(task.scale[:3, None], 7, 1))


def test_candidates_that_are_not_named_are_not_tried() -> None:
    assert [c.name for c in resolve_candidates(["tsb", CandidateParams(**RIDGE)])] == [
        BASELINE,
        "tsb",
        "my_ridge",
    ]
    assert "my_ridge" not in [c.name for c in resolve_candidates()]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"model": "statsforecast.models.Theta"}, "module:Class"),
        ({"model": "no_such_module:Theta"}, "'my_theta'.*PYTHONPATH"),
        ({"model": "statsforecast.models:NoSuchModel"}, "no 'NoSuchModel'"),
        ({"arguments": {"colour": "red"}}, "'colour'"),
        ({"model": "collections:OrderedDict", "arguments": {}}, "neither"),
        ({"name": "theta"}, "built-in"),
    ],
)
def test_what_cannot_be_used_is_an_error_with_the_fix(changes: dict, named: str) -> None:
    with pytest.raises(UserError, match=named):
        resolve_candidates([CandidateParams(**{**THETA, **changes})])


def test_a_limit_of_series_and_periods_holds(panel: Panel) -> None:
    few = {**THETA, "max_series": 1}
    model = fit_demand(panel, 14, candidates=[CandidateParams(**few)], n_windows=4)
    total, items = (set(champion.leaderboard["model"]) for champion in model.champions)
    assert "my_theta" in total and "my_theta" not in items


def weekly(sold: np.ndarray) -> Panel:
    """A weekly panel of products, and their total."""
    panel = products(sold)
    days = np.datetime64("2023-01-08") + 7 * np.arange(sold.shape[1])
    return replace(panel, days=days, step=7, daily_total=panel.daily_total[:0])


def test_direct_follows_growth_and_the_season_that_comes() -> None:
    weeks, rng = np.arange(116), np.random.default_rng(1)
    season = 1 + 0.5 * (weeks % 52 >= 46) - 0.3 * (weeks % 52 < 8)  # high before the new year, low after it
    sold = rng.poisson(np.linspace(80, 400, 12)[:, None] * season * 1.4 ** (weeks / 52)).astype(float)
    panel = weekly(sold)
    wape = {}
    for name in (BASELINE, "pooled", "direct"):
        task = make_forecast_task(panel.truncate(104), 8, Covariates())
        forecasts = run_candidate(name, task, np.arange(len(panel.ids)))
        wape[name] = np.abs(forecasts - panel.values[:, 104:112]).sum() / panel.values[:, 104:112].sum()
    assert wape["direct"] < 0.12
    assert wape["direct"] < 0.5 * wape["pooled"]
    assert wape["direct"] < 0.5 * wape[BASELINE]


def test_a_direct_model_of_a_shorter_history_forecasts_a_longer_one() -> None:
    panel = products(np.random.default_rng(0).poisson(5, (4, 420)).astype(float))
    before = make_forecast_task(panel.truncate(380), 14, Covariates())  # less than a year and a month
    after = make_forecast_task(panel, 14, Covariates(), pooled_from=before)
    forecasts = DIRECT.forecast(after, np.arange(5))
    assert forecasts.shape == (5, 14)
    np.testing.assert_allclose(forecasts[1:].mean(), 5, rtol=0.2)


def test_direct_does_not_depend_on_the_unit() -> None:
    sold = np.random.default_rng(0).poisson(5, (4, 200)).astype(float)
    one, thousand = (
        DIRECT.forecast(make_forecast_task(products(sold * unit), 14, Covariates()), np.arange(5))
        for unit in (1.0, 1000.0)
    )
    np.testing.assert_allclose(thousand, 1000 * one, rtol=1e-4)


def test_weights_are_the_inverse_sixth_power_of_the_errors() -> None:
    pooled, size = np.array([False, False, True, True]), np.array([1e-9])
    loss = np.array([[150.0], [100.0], [100.0], [100.0]])  # one and a half times the error of the others
    weights = combination_weights(loss, size, pooled, by_series=False)
    # by hand: within its kind the first has a share of a / (1 + a), and the mean error of the kind is larger by that
    a = 1.5**-6
    kind = 1.5 ** (-6 * a / (1 + a))
    expected = np.array([kind * a / (1 + a), kind / (1 + a), 0.5, 0.5]) / (1 + kind)
    np.testing.assert_allclose(weights[:, 0], expected, rtol=1e-6)
    loss[0] = 200.0  # 1/64 is less than a twentieth of the largest weight
    assert combination_weights(loss, size, pooled, by_series=False)[0, 0] == 0


def test_every_level_is_forecast_by_a_weighted_mean_that_its_leaderboard_tells() -> None:
    week = np.array([1.0, 0.9, 0.9, 1.0, 1.2, 1.5, 1.1])[np.arange(200) % 7]
    panel = products(np.random.default_rng(0).poisson(8 * week, (5, 200)).astype(float))
    model = fit_demand(panel, 14, candidates=("ets_seasonal", "direct"), n_windows=3)
    for champion in model.champions:
        np.testing.assert_allclose(champion.weights.sum(0), 1.0)
        board = champion.leaderboard
        assert board.loc[board["chosen"], "model"].tolist() == [champion.name]
        alone = board[~board["chosen"]].set_index("model")["weight"]
        for candidate, share in zip(champion.candidates, champion.weights, strict=True):
            assert alone[candidate.name] == pytest.approx(share.mean())
        assert alone["ets_seasonal"] > alone["seasonal_naive"]
        assert alone["direct"] > 0.3
    older = model.leaderboard.drop(columns="weight")
    pd.testing.assert_frame_equal(chosen_rows(older), chosen_rows(model.leaderboard))


def test_an_event_of_a_week_raises_the_week_that_has_it() -> None:
    fair = [date(2023, 6, 7), date(2024, 6, 5), date(2025, 6, 4)]  # Wednesdays
    sold = np.random.default_rng(0).poisson(100, (3, 125)).astype(float)
    panel = weekly(sold)
    weeks = np.r_[panel.days, panel.future_periods(4)]
    at = [int(np.searchsorted(weeks, np.datetime64(day))) for day in fair]
    sold[:, at[:2]] *= 2
    panel = weekly(sold)
    plain, with_fair = (
        run_candidate("ets_seasonal", make_forecast_task(panel, 4, known), np.arange(4))
        for known in (Covariates(), Covariates(events={"fair": fair}))
    )
    ratio = with_fair[0] / plain[0]
    assert ratio[at[2] - 125] > 1.7
    np.testing.assert_allclose(np.delete(ratio, at[2] - 125), 1.0, atol=0.1)
