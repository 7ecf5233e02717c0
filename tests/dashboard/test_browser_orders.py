"""What to order, in a real browser against a real API: every figure is the library's."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd
import pytest
from playwright.sync_api import Locator, Page, expect

from salesforecast.forecasting.order_policy import OrderPolicy
from salesforecast.forecasting.orders import plan_orders
from salesforecast.forecasting.overrides import apply_overrides, record_overrides
from salesforecast.registry.bundle import load_bundle
from salesforecast.registry.total_forecast import load_demand_states
from support.boards import DemandBoard
from support.browsing import WAIT, eventually, showing, visiting
from support.models import Trained


@pytest.fixture
def demand(demand_board: DemandBoard) -> Trained:
    return demand_board.trained


@pytest.fixture
def tab(browser: Any, demand_board: DemandBoard) -> Iterator[Locator]:
    """The Orders tab, once its products are there."""
    with visiting(browser, demand_board.url) as visitor:
        visitor.open("Orders")
        place = visitor.page.locator(".sf-panel:visible")
        expect(place.get_by_label("On hand").first).to_be_visible(timeout=WAIT)
        yield place
    visitor.check()


def drawn(place: Locator) -> dict[str, dict[str, float]]:
    """What the chart shows: by trace, the value of each bar or mark."""
    traces = place.locator(".js-plotly-plot").first.evaluate(
        "plot => (plot.data ?? []).map(trace => [trace.name, "
        "Array.from(trace.y, place => plot.layout.yaxis.ticktext[place]), Array.from(trace.x)])"
    )
    return {name: dict(zip(names, values, strict=True)) for name, names, values in traces}


def saved(page: Page, button: Locator) -> bytes:
    with page.expect_download(timeout=WAIT) as waiting:
        button.click()
    return Path(waiting.value.path()).read_bytes()


def test_an_order_follows_the_planners_numbers(
    browser: Any, demand_board: DemandBoard, tmp_path: Path
) -> None:
    """What is kept in the tab Plan holds in the order, unless it is switched off."""
    models = demand_board.trained.models
    forecast = load_demand_states(load_bundle(models))["units", "D"].forecast
    value = 10 * float(forecast.yhat[0, 3])
    numbers = pd.DataFrame({"unique_id": ["total"], "ds": forecast.days[3:4], "value": [value]})
    record_overrides(
        tmp_path / "overrides-units-D.db", forecast, numbers.assign(author="Ada", reason="a fair")
    )
    env = {"MODEL_DIR": str(models), "SALESFORECAST_DATA_DIR": str(tmp_path)}
    with showing(demand_board.api, **env) as board, visiting(browser, board.url) as visitor:
        visitor.open("Orders")
        place = visitor.page.locator(".sf-panel:visible")
        expect(place.get_by_label("On hand").first).to_be_visible(timeout=WAIT)
        for held in (True, False):
            place.get_by_label("Use planners' numbers").set_checked(held)
            place.get_by_role("button", name="Calculate the order").click()
            wanted = apply_overrides(forecast, numbers) if held else forecast
            rows = plan_orders(wanted, OrderPolicy(lead_time=7, review_period=7), level="Product_ID")
            total = place.locator(".sf-kpi", has_text="Order up to").locator(".sf-kpi-value")
            expect(total).to_have_text(f"{rows['order_up_to'].sum():,.0f}", timeout=WAIT)
            expect(place.get_by_text("planners' numbers that hold: 1")).to_have_count(int(held))
    visitor.check()


def test_an_order_by_product_and_region_from_an_uploaded_stock_list(tab: Locator, demand: Trained) -> None:
    page, forecast = tab.page, load_demand_states(load_bundle(demand.models))["units", "D"].forecast
    level = "Product_ID,Region"
    rows = forecast.panel.rows(forecast.panel.levels.index(level))
    keys = forecast.panel.keys[["Product_ID", "Region"]].assign(unique_id=forecast.panel.ids[rows])
    north = keys[keys["Region"] == "North"].reset_index(drop=True)
    stock = north.assign(on_hand=[float(i % 7) for i in north.index], on_order=2.0)
    book = io.BytesIO()
    stray = pd.DataFrame({"Product_ID": ["P999"], "Region": ["North"], "on_hand": [3.0]})
    columns = ["Product_ID", "Region", "on_hand", "on_order"]
    pd.concat([stock[columns], stray]).to_excel(book, index=False)
    file = {"name": "stock.xlsx", "mimeType": "application/octet-stream", "buffer": book.getvalue()}

    tab.get_by_label("Order by").select_option(label="Product × Region")
    expect(tab.get_by_text(f"1–10 of {len(keys):,}")).to_be_visible(timeout=WAIT)
    tab.get_by_label("Region", exact=True).select_option(label="North")
    tab.locator("input[type=file]").set_input_files(file)
    refusal = tab.locator('.sf-message[data-kind="error"]')
    expect(refusal).to_contain_text("Product_ID=P999/Region=North", timeout=WAIT)
    expect(refusal).to_contain_text(f"row {len(stock) + 2}")
    tab.get_by_label("Unknown products").select_option(label="Leave them out (skip)")
    tab.locator("input[type=file]").set_input_files(file)
    expect(tab.get_by_text(f"has the stock of {len(stock)} of {len(keys)}")).to_be_visible(timeout=WAIT)
    tab.get_by_label("Lead time, days").fill("5")
    tab.get_by_label("Pack size, units").fill("4")
    tab.get_by_role("button", name="Calculate the order").click()
    supplier = tab.get_by_role("button", name="Order for the supplier (CSV)")
    expect(supplier).to_be_visible(timeout=WAIT)

    policy = OrderPolicy(lead_time=5, review_period=7, pack_size=4)
    held = stock[["unique_id", "on_hand", "on_order"]]
    want = plan_orders(forecast, policy, stock=_of_all(held, keys), level=level).set_index("unique_id")
    want = want.loc[north["unique_id"]]
    total = tab.locator(".sf-kpi", has_text="To order").locator(".sf-kpi-value")
    expect(total).to_have_text(f"{want['order'].sum():,.0f}")
    sent = pd.read_csv(io.BytesIO(saved(page, supplier))).set_index("Product")["Units to order"]
    ordered = want[want["order"] > 0]["order"]
    names = ordered.index.str.extract(r"Product_ID=(P\d+)/")[0]
    assert sent.to_dict() == dict(zip(names, ordered, strict=True)) and (sent % 4 == 0).all()

    largest = want.nlargest(12, "expected")
    products = [name.removeprefix("Product_ID=").removesuffix("/Region=North") for name in largest.index]
    labels = [f"{forecast.panel.product_names[product]} ({product}) · North" for product in products]

    def chart() -> None:
        shown = drawn(tab)
        for trace, column in (("On hand", "on_hand"), ("Order", "order"), ("Most ever sold", "most_sold")):
            found = [shown.get(trace, {}).get(name) for name in labels]
            assert found == pytest.approx(largest[column].tolist())

    eventually(tab, chart)
    excel = saved(page, tab.get_by_role("button", name="Excel, with everything"))
    sheets = openpyxl.load_workbook(io.BytesIO(excel))
    assert {"For the supplier", "Orders", "By product", "By region"} <= set(sheets.sheetnames)
    head, *cells = list(sheets["Orders"].values)
    assert sum(row[head.index("Order")] for row in cells) == want["order"].sum()


def _of_all(held: pd.DataFrame, keys: pd.DataFrame) -> pd.DataFrame:
    """Stock for all series; that of other regions does not matter to an order."""
    return keys[["unique_id"]].merge(held, how="left").fillna(0.0)


def test_stock_is_typed_and_faults_are_named(tab: Locator, demand: Trained) -> None:
    forecast = load_demand_states(load_bundle(demand.models))["units", "D"].forecast
    tab.get_by_role("button", name="Calculate the order").click()
    expect(tab.get_by_text("No stock is given")).to_be_visible(timeout=WAIT)
    tab.get_by_label("Find").fill("P0005")
    tab.get_by_label("Find").press("Enter")
    expect(tab.get_by_text("1–1 of 1")).to_be_visible(timeout=WAIT)
    tab.get_by_label("On hand").first.fill("many")
    tab.get_by_role("button", name="Calculate the order").click()
    expect(tab.locator('.sf-message[data-kind="error"]')).to_contain_text("'many'", timeout=WAIT)
    tab.get_by_label("On hand").first.fill("2,5")
    tab.get_by_label("Products without stock").select_option(label="Leave them out (skip)")
    tab.get_by_label("Service by").select_option(label="Lowest cost")
    tab.get_by_role("button", name="Calculate the order").click()
    expect(tab.locator('.sf-message[data-kind="error"]')).to_contain_text("Write both above 0", timeout=WAIT)
    tab.get_by_label("Cost of holding a unit").fill("0.1")
    tab.get_by_label("Cost of a unit short").fill("1.9")
    tab.get_by_role("button", name="Calculate the order").click()
    tile = tab.locator(".sf-kpi", has_text="To order").locator(".sf-kpi-value")
    expect(tile).to_be_visible(timeout=WAIT)
    policy = OrderPolicy(7, 7, holding_cost=0.1, stockout_cost=1.9)
    rows = forecast.panel.rows(forecast.panel.levels.index("Product_ID"))
    everything = pd.DataFrame({"unique_id": forecast.panel.ids[rows], "on_hand": 2.5})
    want = plan_orders(forecast, policy, stock=everything, level="Product_ID").set_index("unique_id")
    expect(tile).to_have_text(f"{want['order']['Product_ID=P0005']:,.0f}")
