"""How certain a learnt effect is: on sales whose true uplift is known, 80% intervals hold it about 80 times in 100."""

import numpy as np
import pytest

from salesforecast.forecasting.effects import (
    EffectEvidence,
    PlannedEffect,
    effect_words,
    event_evidence,
    local_level,
    number_occasions,
    price_elasticity,
)

DAYS, SERIES, SHOPS = 420, 8, 300
WEEK = np.array([0.8, 0.8, 0.9, 1.0, 1.2, 1.4, 0.9])
USE = np.ones(DAYS, bool)


def shop(rng: np.random.Generator, factor: np.ndarray) -> np.ndarray:
    """Sales of a shop whose demand drifts from day to day, and which an effect moves; shape (SERIES, DAYS)."""
    shock = np.zeros(DAYS)
    for i in range(1, DAYS):
        shock[i] = 0.7 * shock[i - 1] + rng.normal(0, 0.06)
    mean = rng.uniform(3, 30, SERIES)[:, None] * np.resize(WEEK, DAYS) * np.exp(shock) * factor
    return rng.poisson(rng.gamma(8, mean / 8)).astype(float)


def promotions(rng: np.random.Generator, occasions: int, days: int) -> np.ndarray:
    """The code of each day: 1 on the days of as many occasions, spread over the year."""
    code = np.zeros((1, DAYS), int)
    for start in np.linspace(30, DAYS - 40, occasions).astype(int) + rng.integers(0, 20, occasions):
        code[0, start : start + days] = 1
    return code


@pytest.mark.parametrize(
    ("occasions", "days", "differ"), [(1, 7, 0.0), (2, 5, 0.0), (4, 5, 0.0), (12, 3, 0.0), (8, 5, 0.15)]
)
def test_intervals_of_an_uplift_hold_the_true_one(occasions: int, days: int, differ: float) -> None:
    """Also where one promotion does more than another (`differ`); not so wide that they say nothing."""
    rng, held, widths = np.random.default_rng(5), 0, []
    for _ in range(SHOPS):
        code = promotions(rng, occasions, days)
        own = np.repeat(1.3 * np.exp(rng.normal(-(differ**2) / 2, differ, occasions)), days)
        factor = np.ones(DAYS)
        factor[code[0] == 1] = own
        values = shop(rng, factor)
        level = local_level(values, (code[0] == 0), 7)
        evidence = event_evidence(values, level, code, 1, USE)
        assert evidence is not None and evidence.occasions == occasions
        held += evidence.low <= 1.3 <= evidence.high
        widths.append(evidence.high - evidence.low)
    assert 0.74 <= held / SHOPS <= 0.95
    assert np.median(widths) < 0.6


def test_intervals_of_an_elasticity_hold_the_true_one() -> None:
    """A price that moves for all products in some weeks, with an error of the week in common."""
    rng, held, widths = np.random.default_rng(6), 0, []
    for _ in range(SHOPS):
        weeks = rng.permutation(DAYS // 7)[:16]
        moved = np.zeros((SERIES, DAYS))
        for week in weeks:
            moved[:, 7 * week : 7 * week + 7] = np.log(1 - rng.choice([0.1, 0.2, 0.3]))
        values = shop(rng, np.exp(-1.4 * moved[0]))
        level = local_level(values, np.abs(moved[0]) < 1e-9, 7)
        used, evidence = price_elasticity(values, level, moved, USE)
        assert evidence is not None and evidence.occasions == 16
        assert evidence.low <= used <= evidence.high
        held += evidence.low <= -1.4 <= evidence.high
        widths.append(evidence.high - evidence.low)
    assert 0.72 <= held / SHOPS <= 0.95
    assert np.median(widths) < 1.5


def test_what_the_past_does_not_have_has_no_interval() -> None:
    values = np.full((1, DAYS), 10.0)
    code = np.zeros((1, DAYS), int)
    assert event_evidence(values, values, code, 1, USE) is None
    assert price_elasticity(values, values, np.zeros((1, DAYS)), USE) == (0.0, None)
    assert event_evidence(values, values, np.ones((1, DAYS), int), 1, USE) is None  # no usual day beside it


def test_an_interval_stays_within_what_an_elasticity_can_be() -> None:
    """A week of prices 2% lower tells nothing of 50% off."""
    rng, moved = np.random.default_rng(7), np.zeros((SERIES, DAYS))
    moved[:, 210:217] = np.log(0.98)
    values = shop(rng, np.ones(DAYS))
    used, evidence = price_elasticity(values, local_level(values, np.abs(moved[0]) < 1e-9, 7), moved, USE)
    assert evidence is not None and -6 <= evidence.low <= used <= evidence.high <= 0
    words = effect_words(PlannedEffect(1, "50% off", 1.0, 0.0, 60.0, 1))
    assert (
        words
        == "50% off: usually +100%, likely (80%) between +0% and more than +500%, from 1 week in which prices moved."
    )


def test_a_closed_weekend_does_not_end_an_occasion() -> None:
    assert number_occasions(np.array([3, 4, 5, 8, 9, 13])).tolist() == [0, 0, 0, 0, 0, 1]
    values = np.full((1, DAYS), 10.0)
    code = np.zeros((1, DAYS), int)
    code[0, [50, 51, 100]] = 1
    values[0, [50, 51, 100]] = [20.0, 20.0, 20.0]
    assert event_evidence(values, np.full((1, DAYS), 10.0), code, 1, USE) == EffectEvidence(2.0, 2.0, 2)
