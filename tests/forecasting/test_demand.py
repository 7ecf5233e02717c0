"""Forecasts and orders from a DataFrame: the numbers of the command line, the ids that were given, errors with the fix."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from salesforecast.core.settings import UserError
from salesforecast.datasets import generate_sales, write_sales
from salesforecast.forecasting.demand import DemandForecaster, forecast, order_quantities

COLUMNS = ["unique_id", "ds", "yhat", "lo-80", "hi-80", "lo-95", "hi-95"]
QUICK = ("ets_seasonal",)


def long_frame(ids: tuple = ("a", "b"), days: int = 120, freq: str = "D") -> pd.DataFrame:
    """Poisson sales of these series."""
    rng = np.random.default_rng(0)
    ds = pd.date_range("2025-01-05", periods=days, freq=freq)
    frames = [pd.DataFrame({"unique_id": name, "ds": ds, "y": rng.poisson(9, days)}) for name in ids]
    return pd.concat(frames, ignore_index=True)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sales(generate_sales(rows=6_000, seed=3), tmp_path_factory.mktemp("demand") / "sales.csv")


# --- the same numbers as the command line --------------------------------------------------------


def test_a_forecast_is_that_of_the_command_line(run_command: Callable, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "forecast.csv"
    options = ["--by", "Category", "--freq", "W", "--horizon", 4, "--out", out]
    done = run_command("forecast", source, *options)
    assert done.returncode == 0, done.stderr
    expected = pd.read_csv(out, parse_dates=["ds"])[COLUMNS]
    for sales in (str(source), pd.read_csv(source, dtype=str)):
        frame = forecast(sales, 4, by="Category", freq="W")
        assert list(frame) == COLUMNS
        pd.testing.assert_frame_equal(pd.DataFrame(frame), expected, rtol=1e-12)


def test_orders_are_those_of_the_command_line(run_command: Callable, source: Path, tmp_path: Path) -> None:
    out, stock = tmp_path / "orders.csv", tmp_path / "stock.csv"
    stock.write_text("unique_id;on_hand\nCategory=Toys;3,5\n")
    options = ["--by", "Category", "--freq", "W", "--lead-time", 7, "--stock", stock, "--out", out]
    refused = run_command("order", source, *options)
    assert refused.returncode == 2, refused.stderr
    assert "no on_hand for 7 of 8 series" in refused.stderr and not out.exists()
    done = run_command("order", source, *options, "--missing-stock", "zero")
    assert done.returncode == 0, done.stderr
    assert pd.read_csv(out)["on_hand"].sum() == 3.5
    model = DemandForecaster("W", by="Category", target="units", horizon=2).fit(source)
    for given in (model, model.predict()):
        orders = order_quantities(given, stock, lead_time=7, missing_stock="zero")
        pd.testing.assert_frame_equal(orders, pd.read_csv(out), rtol=1e-12, check_dtype=False)
    policy = [
        "--service",
        "fill_rate",
        "--service-level",
        0.9,
        "--lead-time-sd",
        2,
        "--pack-size",
        6,
        "--shelf-life",
        60,
    ]
    point = ["--rule", "reorder_point", "--order-cost", 40, "--holding-cost", 0.3, "--level", "total"]
    done = run_command("order", source, *options[:-4], "--out", out, *policy, *point)
    assert done.returncode == 0, done.stderr
    orders = order_quantities(
        model,
        lead_time=7,
        service="fill_rate",
        service_level=0.9,
        lead_time_sd=2,
        pack_size=6,
        shelf_life=60,
        rule="reorder_point",
        order_cost=40,
        holding_cost=0.3,
        by="total",
    )
    assert orders["unique_id"].tolist() == ["total"] and "reorder_point" in orders
    pd.testing.assert_frame_equal(orders, pd.read_csv(out), rtol=1e-12, check_dtype=False)
    refused = run_command("order", source, *options[:-4], "--stockout-cost", 2)
    assert refused.returncode == 2 and "need holding_cost" in refused.stderr


# --- long frames ---------------------------------------------------------------------------------


def test_the_series_of_statsforecasts_own_generator() -> None:
    """Integer ids as a category, series that begin on different days."""
    from statsforecast.utils import generate_series

    df = generate_series(4, freq="D", min_length=80, max_length=200, equal_ends=True, seed=1)
    model = DemandForecaster("D", horizon=7, candidates=QUICK, n_windows=3).fit(df)
    frame = model.predict(7)
    assert list(frame) == COLUMNS
    assert frame["unique_id"].tolist() == np.repeat([0, 1, 2, 3], 7).tolist()
    assert frame["ds"].min() == df["ds"].max() + pd.Timedelta(days=1)
    validation = model.cross_validation(df, h=7, n_windows=2)
    assert list(validation) == ["unique_id", "ds", "cutoff", "y", *COLUMNS[2:]]
    truth = df.assign(unique_id=df["unique_id"].astype(int)).set_index(["unique_id", "ds"])["y"]
    ours = validation.set_index(["unique_id", "ds"])["y"]
    np.testing.assert_allclose(ours, truth.loc[ours.index], atol=1e-6)


def test_cross_validation_is_evaluated_by_utilsforecast() -> None:
    from utilsforecast.evaluation import evaluate
    from utilsforecast.losses import mae

    model = DemandForecaster(candidates=QUICK, n_windows=3)
    validation = model.cross_validation(long_frame(), h=7, n_windows=2)
    scores = evaluate(validation.drop(columns="cutoff"), metrics=[mae], models=["yhat"])
    assert scores["unique_id"].tolist() == ["a", "b"]
    assert (scores["yhat"] < 9).all()


@pytest.mark.parametrize("freq", ["W", "W-SUN", None])
def test_weekly_rows(freq: str | None) -> None:
    frame = forecast(long_frame(days=80, freq="W-SUN"), 4, freq=freq, candidates=QUICK)
    assert (frame["ds"].dt.day_name() == "Sunday").all()
    assert frame.groupby("unique_id").size().tolist() == [4, 4]


def test_days_are_summed_up_to_weeks() -> None:
    frame = forecast(long_frame(days=140), 3, freq="W", candidates=QUICK)
    assert frame["yhat"].mean() == pytest.approx(63, rel=0.15)


def test_one_series_alone_with_a_plan() -> None:
    df = long_frame(("tea",))
    plan = pd.DataFrame(
        {"unique_id": ["tea"], "start": ["2025-05-07"], "end": ["2025-05-07"], "closed": ["yes"]}
    )
    model = DemandForecaster(horizon=7, candidates=QUICK, n_windows=3).fit(df)
    frame, closed = model.predict(), model.predict(plan=plan)
    assert frame["unique_id"].unique().tolist() == ["tea"]
    day = closed["ds"] == "2025-05-07"
    assert closed.loc[day, "yhat"].item() == 0 < frame.loc[day, "yhat"].item()
    assert order_quantities(model, lead_time=1, review_period=3)["unique_id"].tolist() == ["tea"]
    with pytest.raises(UserError, match="'milk'; the only series is 'tea'"):
        model.predict(plan=plan.assign(unique_id="milk"))


def test_odd_frames_are_read_as_they_are_meant(tmp_path: Path) -> None:
    """Dates as text, integer ids out of order, the id as index, further columns; a file."""
    df = long_frame((10, 2))
    plain = forecast(df, 3, candidates=QUICK)
    assert plain["unique_id"].tolist() == [2, 2, 2, 10, 10, 10]
    odd = df.assign(ds=df["ds"].dt.strftime("%Y-%m-%d"), colour="red").sample(frac=1, random_state=0)
    df.to_csv(tmp_path / "long.csv", index=False)
    for other in (odd, odd.set_index("unique_id")):
        pd.testing.assert_frame_equal(forecast(other, 3, candidates=QUICK), plain)
    read = forecast(tmp_path / "long.csv", 3, candidates=QUICK)
    assert sorted(read["yhat"]) == sorted(plain["yhat"])


# --- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda df: df.rename(columns={"y": "sales"}), "no column 'y'.*has unique_id, ds, sales"),
        (lambda df: pd.concat([df, df.tail(1)]), "unique_id 'b', ds 2025-05-04.*earlier row.*groupby"),
        (lambda df: df.drop(5), "unique_id 'a' has no row for ds 2025-01-10.*fill_gaps"),
        (lambda df: df.drop(range(100, 120)), "unique_id 'a' has no row for ds 2025-04-15 and 19 later"),
        (lambda df: df.assign(y=np.nan), "unique_id 'a', ds 2025-01-05.*y is no number"),
        (lambda df: df.assign(ds=range(len(df))), "ds holds numbers such as 0"),
        (lambda df: df.assign(ds=df["ds"] + pd.Timedelta(hours=3)), "ds has a time of day"),
        (lambda df: df.assign(unique_id=None), "unique_id is missing in 240 rows"),
        (lambda df: df.head(5), "too few"),
    ],
)
def test_what_is_wrong_with_a_long_frame_is_named(change: Callable, message: str) -> None:
    with pytest.raises(UserError, match=f"(?s){message}"):
        forecast(change(long_frame()), 3, candidates=QUICK)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"freq": "M"}, "freq='M' is not supported"),
        ({"by": "Region"}, "this frame has its series in unique_id"),
        ({"level": (90,)}, "no interval of level 90"),
        ({"level": 80}, r"level is 80; write a list of percents, as in level=\[80, 95\]"),
        ({"level": None}, "level is None; write a list"),
        ({"level": [0.8]}, r"no interval of level 0\.8"),
        ({"quantiles": 0.9}, r"quantiles is 0\.9; write a list"),
        ({"quantiles": ["0.9"]}, "no quantile 0.9"),
        ({"candidates": "theta"}, r"candidates is 'theta'; write a list, as in candidates=\['theta'\]"),
        ({"mapping": {"day_first": True}}, "mapping is a dict. Give a ColumnMapping or the path of its file"),
        *[({"horizon": wrong}, f"horizon is {wrong!r}; write a whole number") for wrong in (0, 7.5, "7")],
    ],
)
def test_an_invalid_argument_is_refused_by_name(options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        forecast(long_frame(), **({"candidates": QUICK} | options))


def test_levels_and_quantiles_are_given_as_arrays_too() -> None:
    found = forecast(
        long_frame(),
        candidates=QUICK,
        level=np.array([80.0, 95.0]),
        quantiles=np.array([0.5, 0.9], "float32"),  # type: ignore[arg-type]
    )
    assert {"lo-80", "hi-95", "q-0.5", "q-0.9"} <= set(found)


def test_the_fix_for_a_gap_works() -> None:
    from utilsforecast.preprocessing import fill_gaps

    df = fill_gaps(long_frame().drop([5, 239]), freq="D").fillna({"y": 0})
    assert len(forecast(df, 3, candidates=QUICK)) == 6


def test_stock_is_checked(source: Path) -> None:
    frame = forecast(long_frame(("a", 7)), 14, candidates=QUICK)
    stock = pd.DataFrame({"unique_id": ["a", "7"], "on_hand": ["4", ""]})
    orders = order_quantities(frame, stock, missing_stock="zero")
    assert orders["unique_id"].tolist() == [7, "a"]
    assert orders["on_hand"].tolist() == [0, 4]
    assert (orders["order"] == orders["order_up_to"] - orders["on_hand"]).all()
    assert order_quantities(frame, stock, missing_stock="skip")["unique_id"].tolist() == ["a"]
    below = stock.assign(on_hand=["4", "-3"])
    for choice, on_hand in (("backorder", -3), ("zero", 0)):
        orders = order_quantities(frame, below, negative_stock=choice)
        assert orders["order"][0] == orders["order_up_to"][0] - on_hand
    other = pd.concat([stock.assign(on_hand=1), pd.DataFrame({"unique_id": ["b"], "on_hand": [1]})])
    with pytest.warns(
        UserWarning, match="1 unique_id of the stock are not in the forecast and left out: 'b'"
    ):
        assert len(order_quantities(frame, other, unknown_stock="skip")) == 2
    for wrong, message in (
        (stock, "no on_hand for 1 of 2 series: 7"),
        (stock.assign(unique_id=["a", "z"]), "1 unique_id that the forecast does not have: 'z' \\(row 3\\)"),
        (stock.assign(on_hand=["4", "many"]), "column on_hand: 'many' \\(row 3\\)"),
        (below, "column on_hand: -3 \\(row 3\\)"),
        (stock.assign(on_hand=1, on_order=[1, -1]), "column on_order: -1 \\(row 3\\)"),
        (stock.assign(unique_id="a"), "more than one row for 'a' \\(rows 2, 3\\)"),
        (stock.drop(columns="on_hand"), "no column 'on_hand'"),
    ):
        with pytest.raises(UserError, match=message):
            order_quantities(frame, wrong)
    with pytest.raises(UserError, match="missing_stock='none' is no choice"):
        order_quantities(frame, stock, missing_stock="none")
    with pytest.raises(UserError, match="no sample paths"):
        order_quantities(pd.DataFrame(frame))
    with pytest.raises(UserError, match="target='units'"):
        order_quantities(forecast(source, 14, candidates=QUICK))


def test_a_forecaster_describes_itself() -> None:
    model = DemandForecaster("D", horizon=7, candidates=QUICK, n_windows=3)
    assert repr(model) == "DemandForecaster(freq='D', horizon=7, candidates=('ets_seasonal',), n_windows=3)"
    with pytest.raises(UserError, match="Call fit"):
        model.predict()
    model.fit(long_frame())
    assert repr(model).endswith("fitted on 2 series, 2025-01-05 to 2025-05-04")
    assert "ets_seasonal" in model._repr_html_()
    assert set(model.leaderboard_["level"]) == {"total", "unique_id"}
    assert set(model.accuracy_) == {"level", "series", "wape", "bias"}


def test_quantiles_have_their_names_and_the_numbers_of_the_bounds() -> None:
    model = DemandForecaster("D", horizon=7, candidates=QUICK, n_windows=3).fit(long_frame())
    frame = model.predict(7, level=(95,), quantiles=(0.975, 0.5))
    assert list(frame) == ["unique_id", "ds", "yhat", "lo-95", "hi-95", "q-0.5", "q-0.975"]
    assert frame["q-0.975"].tolist() == frame["hi-95"].tolist()
    assert (frame["lo-95"] <= frame["q-0.5"]).all() and (frame["q-0.5"] <= frame["hi-95"]).all()
    with pytest.raises(UserError, match="no quantile 0.3. Quantiles are 0.025, 0.1"):
        forecast(long_frame(), 7, candidates=QUICK, quantiles=[0.3])
