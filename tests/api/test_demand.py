"""Demand forecasts that a version brings along: trained, served, asked for, tried with plans."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import requests
from playwright.sync_api import expect

from salesforecast.client import ApiError, Client, to_frame
from salesforecast.core.params import DemandParams
from salesforecast.core.settings import UserError
from salesforecast.datasets import generate_sales, write_sales
from salesforecast.forecasting.forecaster import select_series, sum_interval
from salesforecast.forecasting.order_policy import OrderPolicy
from salesforecast.forecasting.orders import order_up_to_levels, plan_orders
from salesforecast.forecasting.overrides import apply_overrides, load_overrides
from salesforecast.rest.errors import BadRequest
from salesforecast.training.orchestration import TrainingResult, train_models
from support.browsing import WAIT, free_port, serving, showing, visiting
from support.models import SMALL, Trained

HORIZON, QUICK = 14, ["ets_seasonal", "window_average"]


@pytest.fixture(scope="module")
def with_demand(tmp_path_factory: pytest.TempPathFactory) -> TrainingResult:
    """A small training with forecasts by region and category, in units by day and in revenue by week."""
    folder = tmp_path_factory.mktemp("demand")
    source = write_sales(generate_sales(rows=6_000, seed=4), folder / "sales.csv")
    demand = DemandParams(
        by="Region;Category,Region", targets=["units", "revenue"], horizon=HORIZON, candidates=QUICK
    )
    params = SMALL.model_copy(update={"demand": demand})
    return train_models(source, models_dir=folder / "models", params=params, plots_dir=folder / "plots")


@pytest.fixture(scope="module")
def client(with_demand: TrainingResult) -> Iterator[Client]:
    with serving(with_demand.path.parent, free_port()) as result, Client(result.url) as asking:
        yield asking


def test_the_api_answers_what_training_forecast(client: Client, with_demand: TrainingResult) -> None:
    made = with_demand.demand["units-D"]
    answer = client.forecast("units", by="Region", levels=[50, 80, 95])
    result = to_frame(answer).set_index(["unique_id", "ds"])
    expected = made.to_frame().set_index(["unique_id", "ds"]).loc[result.index]
    for column in ("yhat", "median", "lo-50", "hi-80", "lo-95", "revenue"):
        np.testing.assert_allclose(result[column.replace("-", "_")], expected[column], rtol=1e-6)
    assert answer.series == (made.panel.level == 1).sum()
    assert answer.choices.levels == ["total", "Region", "Category,Region"]
    assert answer.choices.targets == ["revenue", "units"]
    assert answer.champions[0].model == made.model.leaderboard.query("chosen")["model"].iloc[0]


def test_the_parts_of_an_answer_add_up(client: Client) -> None:
    rows = to_frame(client.forecast("revenue", limit=1000))
    wide = rows.pivot(index="ds", columns="unique_id", values="yhat")
    regions = wide[[name for name in wide if name.startswith("Region=")]]
    finest = wide[[name for name in wide if name.startswith("Category=")]]
    np.testing.assert_allclose(regions.sum(axis=1), wide["total"])
    np.testing.assert_allclose(finest.sum(axis=1), wide["total"])


def test_a_segment_is_drilled_down(client: Client) -> None:
    answer = client.forecast("units", segments={"Region": ["North"]})
    names = {row.unique_id for row in answer.forecasts}
    assert "Region=North" in names and "total" not in names
    assert all(name.endswith("Region=North") for name in names)


def test_planners_numbers_hold_in_forecasts_and_orders(client: Client, with_demand: TrainingResult) -> None:
    forecast = with_demand.demand["units-D"]
    day, order = str(forecast.days[1]), {"lead_time": 2, "review": 5, "level": "Region"}
    usual = client.forecast("units", by="Region", order=order)
    level = {row.unique_id: row.yhat for row in usual.forecasts if row.ds == day}
    number = {"unique_id": "Region=North", "ds": day, "value": 5 * level["Region=North"]}
    answer = client.forecast("units", by="Region", order=order, overrides=[number])
    held = {row.unique_id: row.yhat for row in answer.forecasts if row.ds == day}
    assert held == pytest.approx(level | {"Region=North": number["value"]})
    want = apply_overrides(forecast, pd.DataFrame([number]))
    policy = OrderPolicy(lead_time=2, review_period=5)
    planned = plan_orders(want, policy, level="Region").set_index("unique_id")["order_up_to"]
    told = {row.unique_id: row.order_up_to for row in answer.orders}
    assert told == pytest.approx(planned.to_dict(), rel=1e-6)
    before = {row.unique_id: row.order_up_to for row in usual.orders}
    more = told["Region=North"] - before["Region=North"]
    assert more >= number["value"] - level["Region=North"] - 1  # a planner's number comes in full
    assert any("planners' numbers that hold: 1" in note for note in answer.notes)


@pytest.mark.parametrize(
    ("number", "told"),
    [
        ({"unique_id": "Region=Nroth", "value": 5}, "row 1"),
        ({"unique_id": "Region=North", "value": 5, "ds": "1999-01-01"}, "It is not forecast"),
        ({"unique_id": "Region=North", "value": -5}, "greater than or equal to 0"),
        ({"unique_id": "Region=North", "value": 1e9}, "cannot all hold"),
    ],
)
def test_a_planners_number_that_cannot_hold_is_named(
    client: Client, with_demand: TrainingResult, number: dict[str, Any], told: str
) -> None:
    day = str(with_demand.demand["units-D"].days[0])
    numbers = [{"ds": day} | number, {"ds": day, "unique_id": "total", "value": 10}]
    with pytest.raises((ApiError, UserError), match=told):
        client.forecast("units", overrides=numbers)


def test_a_plan_changes_what_it_names(client: Client) -> None:
    before = to_frame(client.forecast("units", by="Region"))
    day = before["ds"].min()
    plan = [{"start": f"{day:%Y-%m-%d}", "end": f"{day:%Y-%m-%d}", "closed": True}]
    answer = client.forecast("units", by="Region", plan=plan)
    after, (cause,) = to_frame(answer), answer.causes
    assert (cause.ds, cause.cause) == (plan[0]["start"], "plan")
    assert cause.amount == pytest.approx(-before.loc[before["ds"] == day, "yhat"].sum())
    closed = before["ds"] == day
    assert (after.loc[closed, ["yhat", "hi_95", "revenue"]] == 0).all().all()
    pd.testing.assert_series_equal(after.loc[~closed, "yhat"], before.loc[~closed, "yhat"])


def test_an_unknown_promotion_is_reported(client: Client) -> None:
    plan = [{"start": "2026-01-01", "end": "2026-01-02", "promotion": "never seen", "Region": "North"}]
    answer = client.forecast("units", plan=plan)
    assert any("promotion never seen is new to the history" in note for note in answer.notes)


def test_orders_are_those_of_the_training(client: Client, with_demand: TrainingResult) -> None:
    answer = client.forecast(
        "units", by="Category,Region", order={"lead_time": 3, "review": 4, "service_level": 0.9}, limit=1000
    )
    result = pd.DataFrame([row.model_dump() for row in answer.orders]).set_index("unique_id")
    expected = order_up_to_levels(
        with_demand.demand["units-D"], lead_time=3, review_period=4, service_level=0.9
    )
    expected = expected.set_index("unique_id").loc[result.index]
    assert result[["on_hand", "on_order", "order"]].isna().all(axis=None)
    pd.testing.assert_frame_equal(result[list(expected)], expected, check_names=False, atol=1.0)


def test_a_policy_of_a_request_is_that_of_python(client: Client, with_demand: TrainingResult) -> None:
    policy = {
        "lead_time": 3,
        "service": "fill_rate",
        "service_level": 0.9,
        "lead_time_sd": 1.5,
        "pack_size": 4,
    }
    policy |= {"rule": "reorder_point", "order_cost": 30, "holding_cost": 0.2, "shelf_life": 40}
    forecast = with_demand.demand["units-D"]
    for level in ("Region", "Category,Region"):
        answer = client.forecast("units", by=level, order={**policy, "review": 4, "level": level}, limit=1000)
        result = pd.DataFrame([row.model_dump() for row in answer.orders]).set_index("unique_id")
        expected = plan_orders(forecast, OrderPolicy(review_period=4, **policy), level=level)
        expected = expected.set_index("unique_id").loc[result.index]
        assert len(result) == len(forecast.panel.rows(forecast.panel.levels.index(level)))
        columns = ["expected", "stockout_risk", "fill_rate"]
        pd.testing.assert_frame_equal(result[columns], expected[columns], check_names=False, atol=0.05)
    asked = {"target": "units", "by": "Region", "limit": 10}
    for wrong, message in (
        ({"stockout_cost": 1}, "need holding_cost"),
        ({"level": "Regio"}, "no such level"),
    ):
        with pytest.raises(BadRequest, match=message):
            client.forecast(**asked, order={"lead_time": 3, **wrong})


def test_the_stock_of_a_request_is_checked_as_that_of_a_file(client: Client) -> None:
    order = {"lead_time": 3, "review": 4}
    names = [
        row.unique_id
        for row in client.forecast("units", by="Category,Region", order=order, limit=1000).orders
    ]
    rows = [{"unique_id": name, "on_hand": 4.5, "on_order": 1} for name in names]
    asked = {"target": "units", "by": "Category,Region", "limit": 1000}
    full = client.forecast(**asked, order=order | {"stock": rows}).orders
    assert all(row.order == pytest.approx(max(row.order_up_to - 5.5, 0)) for row in full)
    some = {"stock": rows[:2], "missing_stock": "skip"}
    assert {row.unique_id for row in client.forecast(**asked, order=order | some).orders} == set(names[:2])
    lost = {"stock": [*rows, {"unique_id": "Toys", "on_hand": 1}], "unknown_stock": "skip"}
    answer = client.forecast(**asked, order=order | lost)
    assert "1 unique_id of the stock are not in the forecast and left out: 'Toys'" in answer.notes
    for wrong, message in (
        ({"stock": rows[:2]}, f"no on_hand for {len(names) - 2} of {len(names)} series"),
        ({"stock": lost["stock"]}, f"'Toys' .row {len(names) + 1}."),
        ({"stock": [*rows, rows[0]]}, "more than one row"),
        ({"stock": [{"unique_id": names[0], "on_hand": -1}, *rows[1:]]}, "column on_hand: -1 .row 1."),
    ):
        with pytest.raises(BadRequest, match=message):
            client.forecast(**asked, order=order | wrong)


def test_sums_have_the_interval_of_their_sample_paths(client: Client) -> None:
    answer = client.forecast("units", by="total", levels=[80])
    total, days = answer.sums[0], to_frame(answer)
    assert total.lo_80 is not None and total.hi_80 is not None
    assert total.yhat == pytest.approx(days["yhat"].sum())
    assert days["lo_80"].sum() < total.lo_80 < total.yhat < total.hi_80 < days["hi_80"].sum()
    assert total.lo_95 is None


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"freq": "W"}, "no forecast of revenue by W. It has revenue by D and units by D"),
        ({"by": "Shop"}, "no level 'Shop' in this forecast. It has total; Region; Category,Region"),
        ({"segments": {"Shop": ["1"]}}, "not made by 'Shop'. Its columns are Category, Region"),
        (
            {"segments": {"Region": ["Nord"]}},
            "no Region 'Nord' in this forecast. It has Central, East, North",
        ),
        ({"horizon": 15}, "goes 14 periods ahead, not 15"),
    ],
)
def test_what_the_version_does_not_hold_is_404_and_named(
    client: Client, asked: dict[str, Any], told: str
) -> None:
    with pytest.raises(ApiError, match=told) as error:
        client.forecast(**asked)
    assert error.value.code == 404


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"plan": [{"start": "2026-01-02", "end": "2026-01-01", "discount": 0.1}]}, "the earlier one first"),
        ({"plan": [{"start": "2026-01-01", "end": "2026-01-02", "Shop": "1", "discount": 0.1}]}, "'Shop'"),
        ({"plan": [{"start": "2026-01-01", "end": "2026-01-02"}]}, "The plan says nothing"),
        ({"order": {"lead_time": 3}}, "Orders are of units"),
        ({"target": "units", "order": {"lead_time": 30}}, "forecast with a horizon of at least"),
    ],
)
def test_an_unusable_request_is_400(client: Client, asked: dict[str, Any], told: str) -> None:
    with pytest.raises(BadRequest, match=told) as error:
        client.forecast(**asked)
    assert error.value.code == 400


def test_a_wrong_field_is_named_by_server_and_client(client: Client) -> None:
    answer = requests.post(f"{client.url}/forecast", json={"targets": "units"}, timeout=30)
    assert answer.status_code == 400 and "targets" in answer.json()["details"]
    with pytest.raises(UserError, match="target"):
        client.forecast("profit")  # type: ignore[arg-type]


def test_a_version_without_demand_says_how_to_get_it(api: str) -> None:
    with Client(api) as asking, pytest.raises(ApiError, match=r"section demand of params\.yaml") as error:
        asking.forecast()
    assert error.value.code == 404


def test_serving_imports_nothing_of_the_training(with_demand: TrainingResult) -> None:
    code = f"""
import sys
from pathlib import Path
from salesforecast.api.demand import demand_response
from salesforecast.api.model_loader import load_served
from salesforecast.api.schemas import DemandInput
served = load_served(Path({str(with_demand.path.parent)!r}))
assert demand_response(served.demand, DemandInput(), "EUR")["forecasts"]
print(sorted({{"statsforecast", "mlforecast", "hierarchicalforecast", "statsmodels", "mlflow"}} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300
    )
    assert done.stdout.strip() == "[]"


def test_the_manifest_lists_the_demand_forecasts(with_demand: TrainingResult) -> None:
    about = with_demand.manifest.demand
    assert set(about) == {"units-D", "revenue-D"}
    assert about["units-D"].levels == ["total", "Region", "Category,Region"]
    assert [row["level"] for row in about["units-D"].champions] == about["units-D"].levels
    assert Path(with_demand.path, "demand-units-D.npz").exists()


def test_mlflow_and_the_report_have_the_leaderboard(with_demand: TrainingResult) -> None:
    import mlflow

    from salesforecast.lifecycle.training_pictures import demand_picture
    from salesforecast.lifecycle.training_report import demand_table

    assert with_demand.recorded.problem == ""
    run = mlflow.get_run(with_demand.recorded.ids["demand units-D"])
    board = with_demand.demand["units-D"].model.leaderboard.query("chosen").set_index("level")
    assert run.data.params["champion.Category/Region"] == board.loc["Category,Region", "model"]
    assert run.data.metrics["against_naive.total"] == pytest.approx(board.loc["total", "against_naive"])
    table = pd.read_csv(mlflow.artifacts.download_artifacts(f"{run.info.artifact_uri}/leaderboard.csv"))
    assert len(table) == len(with_demand.demand["units-D"].model.leaderboard)
    said = demand_table(with_demand).data
    assert said is not None and board.loc["Region", "model"] in said and "units-D" in said
    assert len(demand_picture(with_demand).data) > 10_000


def test_the_answer_has_the_history(client: Client, with_demand: TrainingResult) -> None:
    answer = client.forecast("units", by="total", history=14)
    panel = with_demand.demand["units-D"].panel
    np.testing.assert_allclose([row.y for row in answer.history], panel.values[0, -14:])
    assert [row.ds for row in answer.history] == [str(when) for when in panel.days[-14:]]


def test_any_crossing_is_a_sum_with_its_range(client: Client, with_demand: TrainingResult) -> None:
    """Toys are no level of this forecast; toys in the north are, and are answered by its own bounds."""
    made = with_demand.demand["units-D"]
    names = [name for name in made.panel.ids if name.startswith("Category=Toys/")]
    days = {"sum_from": str(made.days[1]), "sum_to": str(made.days[3])}
    answer = client.forecast(
        "units", segments={"Category": ["Toys"]}, combine=True, history=7, levels=[80, 95], **days
    )
    (total,) = answer.sums
    want = sum_interval(made, names, made.days[1], made.days[3])
    assert (total.unique_id, total.level) == ("Category=Toys", "Category")
    got = [total.yhat, total.median, total.lo_80, total.hi_80, total.lo_95, total.hi_95]
    assert got == pytest.approx(
        [want[name] for name in ("yhat", "median", "lo-80", "hi-80", "lo-95", "hi-95")]
    )
    rows = [made.row(name) for name in names]
    assert [row.yhat for row in answer.forecasts] == pytest.approx(made.yhat[rows].sum(0).tolist())
    assert [row.y for row in answer.history] == pytest.approx(made.panel.values[rows, -7:].sum(0).tolist())
    cells = {"Category": ["Toys"], "Region": ["North"]}
    north = client.forecast("units", segments=cells, combine=True, levels=[80])
    usual = client.forecast("units", by="Category,Region", segments=cells, levels=[80])
    assert (north.sums, north.forecasts) == (usual.sums, usual.forecasts)
    total_ = client.forecast("units", combine=True, levels=[80])
    assert total_.sums == client.forecast("units", by="total", levels=[80]).sums
    for wrong, words in (
        ({"by": "total"}, "leave out `by`"),
        ({"sum_from": "2031-01-01"}, "No period of the forecast"),
        ({"segments": {"Region": ["Nord"]}}, "There is no Region 'Nord'"),
    ):
        with pytest.raises(ApiError, match=words):
            client.forecast("units", combine=True, **wrong)  # type: ignore[arg-type]


def test_the_command_line_sums_any_crossing(
    client: Client, with_demand: TrainingResult, run_command: Callable, tmp_path: Path
) -> None:
    """As the API does, to the last digit that CSV keeps."""
    out, models = tmp_path / "toys.csv", with_demand.path.parent
    words = ["forecast", "--target", "units", "--of", "Category=Toys", "--models-dir", models]
    done = run_command(*words, "--out", out)
    assert done.returncode == 0, done.stderr
    got = pd.read_csv(out)
    want = to_frame(client.forecast("units", segments={"Category": ["Toys"]}, combine=True, levels=[80]))
    for name, column in (("yhat", "yhat"), ("lo-80", "lo_80"), ("hi-80", "hi_80"), ("revenue", "revenue")):
        np.testing.assert_allclose(got[name], want[column], rtol=1e-9)
    told = run_command(*words, "--of", "Region=North")
    assert "Category=Toys/Region=North" in told.stdout, told.stderr
    for wrong, problem in ((["--of", "Toys"], "is no cell"), (["--by", "Region"], "Leave one of them out")):
        refused = run_command(*words, *wrong)
        assert refused.returncode == 2 and problem in " ".join(refused.stderr.split())


def test_a_level_within_a_segment_of_another_column(with_demand: TrainingResult) -> None:
    """Series whose parts all lie in the segment are its series, also where their level lacks the column."""
    panel = with_demand.demand["units-D"].panel
    everywhere = {"Category": sorted(set(panel.keys["Category"]))}
    assert len(select_series(panel, ["Region"], everywhere)) == len(panel.rows(1))
    assert len(select_series(panel, ["Region"], {"Category": ["Toys"]})) == 0


def test_the_dashboard_goes_down(client: Client, browser: Any) -> None:
    """In a real browser: units, the total into its regions, one of them into its parts, and files."""
    with showing(client.url) as dashboard, visiting(browser, dashboard.url) as visitor:
        visitor.open("Demand")
        tab = visitor.page.locator(".sf-panel:visible")
        down = tab.get_by_role("button", name="Show its parts")
        expect(down).to_be_visible(timeout=WAIT)
        tab.get_by_label("What", exact=True).select_option(label="Units")
        expect(tab.get_by_text("What to order of each product is in the tab Orders.")).to_be_visible(
            timeout=WAIT
        )
        down.click()
        expect(tab.get_by_label("Split by", exact=True)).to_have_value("Region", timeout=WAIT)
        tab.get_by_label("Series", exact=True).select_option(label="North")
        total = client.forecast("units", by="Region", segments={"Region": ["North"]}).sums[0]
        told = tab.locator(".sf-kpi", has_text="Expected").locator(".sf-kpi-value").first
        expect(told).to_have_text(f"{total.yhat:.{0 if total.yhat >= 100 else 1}f}", timeout=WAIT)
        down.click()
        expect(tab.get_by_label("Region", exact=True)).to_have_value("North", timeout=WAIT)
        parts = tab.get_by_label("Series", exact=True)
        expect(parts.locator("option").nth(1)).to_contain_text(" · North", timeout=WAIT)
        parts.select_option(index=1)
        expect(down).to_be_disabled()
        with visitor.page.expect_download(timeout=WAIT) as waiting:
            tab.get_by_role("button", name="Excel").last.click()
        book = pd.read_excel(Path(waiting.value.path()), sheet_name=None)
        assert {"Demand", "Sums", "Accuracy", "Models"} <= set(book)
        assert book["Sums"]["Series"].str.endswith("North").all()
    assert (visitor.errors, visitor.outside) == ([], [])


def test_the_dashboard_says_why_there_is_no_demand(page: Any) -> None:
    page.get_by_role("tab", name="Demand", exact=True).click()
    place = page.locator(".sf-panel:visible")
    expect(place.get_by_text("section demand of params.yaml")).to_be_visible(timeout=WAIT)


def test_planners_override_and_are_evaluated(
    with_demand: TrainingResult, run_command: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """By command: kept beside what the model said, listed, judged by the days that came, taken back."""
    made = with_demand.demand["units-D"]
    day, said = str(made.days[0]), float(made.yhat[made.row("Region=North"), 0])
    env = {"SALESFORECAST_DATA_DIR": str(tmp_path), "MODEL_DIR": str(with_demand.path.parent)}
    units = ("--target", "units")

    def run(*words: object) -> subprocess.CompletedProcess[str]:
        return run_command("override", *words, *units, env=env)

    added = run("add", "Region=North", day, 10 * said, "--author", "Ana", "--reason", "a large order")
    assert added.returncode == 0, added.stderr
    assert run("add", "Region=Nowhere", day, 1, "--author", "Ana").returncode != 0
    listed = run("list").stdout
    assert "Ana" in listed and "a large order" in listed and day in listed
    expected = {}
    for options in ((), ("--overrides",)):
        out = tmp_path / f"orders{len(options)}.csv"
        words = ["--by", "Region", "--lead-time", 3, "--review", 4, *options, "--out", out]
        ordered = run_command("order", with_demand.report.source, *words, env=env)
        assert ordered.returncode == 0, ordered.stderr
        expected[options] = pd.read_csv(out).set_index("unique_id")["expected"]
    more = expected["--overrides",] - expected[()]
    assert more["Region=North"] == pytest.approx(9 * said, rel=0.3)
    assert more.drop("Region=North").abs().max() < 0.1 * said
    sales = pd.read_csv(with_demand.report.source)
    last = pd.Timestamp(made.panel.days[-1])
    later = [sales]
    for ahead in range(1, 4):
        rows = (
            sales[sales["Region"] == "North"]
            .head(20)
            .assign(Transaction_Date=str((last + pd.Timedelta(days=ahead)).date()))
        )
        later.append(rows.assign(Transaction_ID=[f"L{ahead}-{i}" for i in range(len(rows))]))
    pd.concat(later).to_csv(tmp_path / "later.csv", index=False)
    judged = run("judge", tmp_path / "later.csv")
    assert judged.returncode == 0, judged.stderr
    assert "Ana" in judged.stdout and " planner " in judged.stdout
    assert "is gone" in run("remove", 1).stdout
    assert "no overrides" in run("list").stdout
    assert "no override 1" in run("remove", 1).stderr
    assert run("add", "total", day, 90, "--until", str(made.days[2]), "--author", "Ana").returncode == 0
    spread = load_overrides(tmp_path / "overrides-units-D.db")
    usual = made.yhat[0, :3]
    assert spread["value"].tolist() == pytest.approx((90 * usual / usual.sum()).tolist())
    assert (
        "not forecast as a whole"
        in run("add", "total", day, 9, "--until", "2099-01-01", "--author", "A").stderr
    )


def test_a_plain_training_has_none(trained: Trained) -> None:
    assert trained.training.demand == {}
    assert trained.training.manifest.demand == {}
