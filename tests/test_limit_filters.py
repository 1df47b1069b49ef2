"""The limit on filters: its own laws, and weights that ran away."""

from __future__ import annotations

import numpy as np
import pytest
import zfkernels
from zfkernels.catalog import call

from zfcore.testing import parity_test, rounding_bound


@pytest.fixture(params=zfkernels.BACKENDS)
def limited(request):
    """The function on NumPy arrays."""
    reason = zfkernels.backends()[request.param]
    if reason:
        pytest.skip(f"backend {request.param}: {reason}")
    return lambda w, limit: call(zfkernels.get(request.param), "limit_filters", {"w": w, "limit": limit})


def test_filters_are_scaled_back_to_the_limit(limited):
    w = np.stack([np.full((2, 3, 3), 0.5), np.full((2, 3, 3), 0.05), np.zeros((2, 3, 3))]).astype(np.float32)
    got = limited(w, 0.1)
    rms = np.sqrt((got.astype(np.float64) ** 2).mean(axis=(1, 2, 3)))
    parity_test(rms, [0.1, 0.05, 0.0], rounding_bound(20, np.full(3, 0.1), np.float32))
    parity_test(got[1:], w[1:])


def test_an_infinite_limit_changes_nothing(limited):
    w = np.random.default_rng(0).standard_normal((3, 2, 3, 3)).astype(np.float32)
    parity_test(limited(w, np.inf), w)


def test_squares_that_overflow_are_an_infinite_rms(limited):
    w = np.ones((2, 1, 2, 2), np.float32)
    w[0, 0, 0, 0], w[1, 0, 0, 0] = 1e30, np.nan
    with np.errstate(over="ignore"):
        got = limited(w, 0.1)
    parity_test(got[0], np.zeros((1, 2, 2), np.float32))
    parity_test(got[1], w[1])
