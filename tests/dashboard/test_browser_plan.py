"""What if, in a real browser: the forecast with and without a plan is the library's."""

import io
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from playwright.sync_api import expect

from salesforecast.client import Client, to_frame
from salesforecast.forecasting.plan import read_plan
from support.boards import DemandBoard
from support.browsing import WAIT, expect_drawn, visiting


def test_a_fifth_off_clothing_in_week_2_kept_and_taken_back(browser: Any, demand_board: DemandBoard) -> None:
    with visiting(browser, demand_board.url) as visitor:
        page = visitor.page
        visitor.open("Plan")
        tab = page.locator(".sf-panel:visible")
        tab.get_by_label("When").select_option(index=1)
        tab.get_by_label("Category", exact=True).select_option(label="Clothing")
        tab.get_by_label("Discount, %").fill("120")
        tab.get_by_role("button", name="Add to the plan").click()
        expect(tab.get_by_text("A discount of 120% cannot be")).to_be_visible(timeout=WAIT)
        tab.get_by_label("Discount, %").fill("20")
        tab.get_by_role("button", name="Add to the plan").click()
        expect(tab.get_by_text("On the days it changes")).to_be_visible(timeout=WAIT)

        client = Client(demand_board.api)
        asked = {"by": "Category", "segments": {"Category": ["Clothing"]}, "levels": [80]}
        usual = to_frame(client.forecast("revenue", **asked))
        days = usual["ds"].sort_values()
        plan = [
            {
                "start": f"{days[7]:%Y-%m-%d}",
                "end": f"{days[13]:%Y-%m-%d}",
                "Category": "Clothing",
                "discount": 0.2,
            }
        ]
        answer = client.forecast("revenue", **asked, plan=plan)
        planned, (effect,) = to_frame(answer), answer.effects
        assert effect.cause == "20% off" and effect.occasions is not None and effect.occasions > 1
        assert (
            effect.low is not None and effect.low <= effect.change <= effect.high and effect.low < effect.high
        )
        assert planned["yhat"][7:14].sum() / usual["yhat"][7:14].sum() - 1 == pytest.approx(effect.change)
        expect(tab.get_by_text("What the past has shown")).to_be_visible()
        expect(tab.get_by_text(effect.words)).to_be_visible()
        title = "The forecast with and without the plan"
        expect_drawn(tab, title, "Without", y=pytest.approx(usual["yhat"].tolist()))
        expect_drawn(tab, title, "With the plan", y=pytest.approx(planned["yhat"].tolist()))
        total = tab.locator(".sf-kpi", has_text="With the plan").locator(".sf-kpi-value")
        expect(total).to_have_text(f"{planned['yhat'].sum():,.0f}")

        with page.expect_download(timeout=WAIT) as waiting:
            tab.get_by_role("button", name="Keep the plan (CSV)").click()
        kept = Path(waiting.value.path()).read_bytes()
        row = read_plan(pd.read_csv(io.BytesIO(kept))).iloc[0]
        assert (row["Category"], row["discount"]) == ("Clothing", 0.2)
        tab.get_by_role("button", name="Remove").click()
        expect(tab.get_by_text("The plan is empty")).to_be_visible(timeout=WAIT)
        tab.get_by_label("What", exact=True).select_option(label="Promotion")
        tab.get_by_label("Name", exact=True).fill("never seen")
        tab.get_by_role("button", name="Add to the plan").click()
        expect(tab.get_by_text("The past has nothing to learn this from")).to_be_visible(timeout=WAIT)
        expect(tab.get_by_text("No change", exact=True)).to_be_visible()
        file = {"name": "plan.csv", "mimeType": "text/csv", "buffer": kept}
        tab.locator("input[type=file]").set_input_files(file)
        expect(tab.get_by_text("20% off Category Clothing")).to_be_visible(timeout=WAIT)
        expect(tab.get_by_text("The past has nothing to learn this from")).to_be_hidden(timeout=WAIT)
    visitor.check()
