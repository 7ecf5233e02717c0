"""Forecasts that add up: what becomes of a total that was forecast without an error."""

import numpy as np
from numpy.testing import assert_allclose
from scipy import sparse

from salesforecast.forecasting.reconciliation import cross_validate_reconciliation

SUMMING = sparse.csr_matrix(np.array([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0]]))  # a total of two series


def windows(total_error: float) -> tuple[np.ndarray, np.ndarray]:
    """Return forecasts and sales of 20 in all each day, which one series or the other has; shape (6, 3, 7)."""
    rng = np.random.default_rng(0)
    first = 20.0 * rng.integers(0, 2, (6, 7))
    actual = np.stack([np.full((6, 7), 20.0), first, 20.0 - first], axis=1)
    forecasts = np.stack(
        [np.full((6, 7), 20.0 + total_error), np.full((6, 7), 6.0), np.full((6, 7), 6.0)], axis=1
    )
    return forecasts, actual


def test_a_total_without_an_error_stays_as_it_was_forecast() -> None:
    forecasts, actual = windows(total_error=0.0)
    reconciled, total_is_kept, _ = cross_validate_reconciliation(SUMMING, forecasts, actual)
    assert total_is_kept
    assert_allclose(reconciled[:, 0], 20.0)
    assert_allclose(reconciled[:, 1] + reconciled[:, 2], 20.0)


def test_parts_without_an_error_make_a_total_without_one() -> None:
    _, actual = windows(total_error=0.0)
    reconciled, total_is_kept, grown = cross_validate_reconciliation(SUMMING, actual, actual)
    assert not total_is_kept and grown == 0
    assert_allclose(reconciled, actual, atol=1e-9)
