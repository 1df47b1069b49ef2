"""Max-pooling of maps wider and higher than the batteries draw: vectors, their tails, strips of rows."""

from __future__ import annotations

import numpy as np
import pytest
from zfkernels import cpu, reference
from zfkernels.choices import COLLISIONS

from zfcore.testing import parity_test

#: Kernel, stride, padding of an axis before and after, dilation: of the networks, and such as no network has.
WINDOWS = [
    (3, 2, (0, 0), 1),
    (3, 2, (1, 1), 1),
    (3, 1, (1, 1), 1),
    (2, 2, (0, 0), 1),
    (2, 2, (0, 1), 1),
    (3, 3, (1, 0), 1),
    (5, 1, (4, 2), 1),
    (4, 2, (3, 3), 2),
    (3, 5, (2, 2), 3),
    (7, 4, (0, 3), 1),
    (1, 1, (0, 0), 1),
    (1, 3, (0, 0), 1),
]
#: Outputs of one vector and less, of two vectors and more, and images of several strips.
SIZES = [(14, 15), (15, 33), (33, 16), (9, 71), (300, 40)]


def arguments(window, ceil_mode=False):
    kernel, stride, padding, dilation = window
    return (kernel, kernel), (stride, stride), (padding, padding), (dilation, dilation), ceil_mode


def same(x, *geometry):
    for got, ref, name in zip(cpu.max_pool2d(x, *geometry), reference.max_pool2d(x, *geometry), ("y", "switches"), strict=True):
        parity_test(got, ref, name=f"{name} of {x.shape}, {geometry}")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("ceil_mode", [False, True])
def test_wide_maps(window, ceil_mode, dtype):
    rng = np.random.default_rng(0)
    for size in SIZES:
        same(rng.integers(-4, 5, (2, 2, *size)).astype(dtype), *arguments(window, ceil_mode))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("window", WINDOWS)
def test_nan_and_infinities_in_wide_maps(window, dtype):
    """Seldom, so that most rows of a map have none; and nothing but the lowest number, where the first pixel wins."""
    rng = np.random.default_rng(1)
    for size in SIZES:
        x = rng.integers(-4, 5, (3, 2, *size)).astype(dtype)
        x[0].flat[rng.integers(0, x[0].size, 5)] = np.nan
        x[1][rng.random(x[1].shape) < 0.5] = -np.inf
        x[1].flat[rng.integers(0, x[1].size, 5)] = -np.nan
        x[2, 0] = -np.inf
        x[2, 1] = np.nan
        same(x, *arguments(window))


def test_small_arrays():
    """Rows are read in whole vectors where the array goes on behind them; here it does not."""
    rng = np.random.default_rng(2)
    for width in range(3, 40):
        x = rng.integers(-4, 5, (1, 1, 5, width)).astype(np.float32)
        same(x, (3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1), False)


@pytest.mark.parametrize("collisions", COLLISIONS)
def test_unpooling_into_wide_maps(collisions):
    rng = np.random.default_rng(3)
    for size in SIZES:
        x = rng.integers(-4, 5, (2, 3, *size)).astype(np.float32)
        y, switches = reference.max_pool2d(x, *arguments(WINDOWS[2]))
        y.flat[rng.integers(0, y.size, 9)] = np.nan
        y[rng.random(y.shape) < 0.5] = 0
        ref = reference.max_unpool2d(y, switches, size, collisions)
        for _ in range(2):  # the second time in the memory of the first
            parity_test(cpu.max_unpool2d(y, switches, size, collisions), ref, name=f"{collisions} into {size}")
