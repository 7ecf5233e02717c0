"""The Demand tab: an amount stands beside the days that it is the sum of."""

import asyncio
from datetime import date, timedelta
from typing import cast

import pytest

from salesforecast.api.schemas import DemandChoices, DemandOutput, DemandRow, DemandSum, LeadRow
from salesforecast.client import ApiError, Client
from salesforecast.dashboard.model import state as module
from salesforecast.dashboard.model.state import AppState
from salesforecast.dashboard.tabs.demand import DemandPanel

JUNE = date(2026, 6, 1), date(2026, 6, 30)


class Api:
    """Forecasts 10 a day of the 56 days from `first` on, of each target by these frequencies."""

    def __init__(self, first: date, **freqs: list[str]):
        self.first, self.freqs = first, freqs or {"revenue": ["D", "W"]}

    def forecast(
        self, target: str, freq: str, sum_from: date | None, sum_to: date | None, **_: object
    ) -> DemandOutput:
        """As the API does: the periods of the sum are those of the forecast that lie within it."""
        if freq not in self.freqs.get(target, []):
            raise ApiError(404, f"There is no forecast of {target}.")
        step = {"D": 1, "W": 7}[freq]
        days = [self.first + timedelta(days=n) for n in range(step - 1, 56, step)]
        inside = [day for day in days if (sum_from or day) <= day <= (sum_to or day)]
        if not inside:
            raise ApiError(400, "No period of the forecast lies in these days.")
        mean = 10.0 * step
        bounds = {"lo_80": mean, "hi_80": mean, "lo_95": mean, "hi_95": mean}
        rows = [DemandRow(unique_id="total", ds=str(day), yhat=mean, median=mean, **bounds) for day in days]
        amount = mean * len(inside)
        whole = dict.fromkeys(("yhat", "median", *bounds), amount)
        choices = DemandChoices(
            targets=list(self.freqs), freq=self.freqs[target], levels=["total"], horizon=56, segments={}
        )
        lead = LeadRow.model_construct(level="total", ahead=1, wape=0.1)
        return DemandOutput(
            target=target, currency="", first_date=str(days[0]), last_date=str(days[-1]), series=1, forecasts=rows,
            sums=[DemandSum(unique_id="total", level="total", **whole)], accuracy=[lead], champions=[],
            choices=choices, notes=[],
        )  # fmt: skip


async def settle() -> None:
    """Wait until nothing is under way."""
    while waiting := [task for task in module._running if not task.done()]:
        await asyncio.wait(waiting)


async def of_june(api: Api) -> DemandPanel:
    """A tab that shows the sum of June."""
    panel = DemandPanel(AppState(Client("http://127.0.0.1:9", retries=0)))
    panel.build()
    panel.state.client = cast(Client, api)
    panel.ask()
    await settle()
    panel.form.span.value = JUNE
    await settle()
    assert sum_and_days(panel) == (300.0, *JUNE)
    return panel


def sum_and_days(panel: DemandPanel) -> tuple[float, date, date]:
    """The amount that the tab shows, and the days that it calls it the sum of."""
    assert panel.result is not None
    return panel.result.series.total.yhat, *panel.result.series.span


def test_the_sum_of_a_month_is_not_shown_as_that_of_all_weeks() -> None:
    async def work() -> None:
        panel = await of_june(Api(JUNE[0]))
        panel.form.freq.value = "W"
        await settle()
        assert sum_and_days(panel) == (560.0, date(2026, 6, 1), date(2026, 7, 26))

    asyncio.run(work())


@pytest.mark.parametrize(
    ("first", "amount"), [(date(2026, 6, 12), 560.0), (date(2026, 7, 10), 560.0), (date(2026, 6, 1), 300.0)]
)
def test_a_new_version_is_asked_for_the_days_that_the_tab_then_names(first: date, amount: float) -> None:
    async def work() -> None:
        api = Api(JUNE[0])
        panel = await of_june(api)
        api.first = first
        panel.refresh_content()
        await settle()
        last = first + timedelta(days=55)
        assert sum_and_days(panel) == (amount, *(JUNE if amount == 300 else (first, last)))
        assert (panel.form.span.value is None) == (amount == 560)

    asyncio.run(work())


def test_what_stands_in_for_a_target_that_is_lacking_is_summed_over_the_chosen_days() -> None:
    async def work() -> None:
        api = Api(JUNE[0], revenue=["D"], units=["D"])
        panel = await of_june(api)
        del api.freqs["units"]
        panel.form.target.value = "units"
        await settle()
        assert panel.form.target.value == "revenue"
        assert sum_and_days(panel) == (300.0, *JUNE)

    asyncio.run(work())
