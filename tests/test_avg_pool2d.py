"""Average pooling of maps wider and higher than the batteries draw: vectors, their tails, strips of rows, whole maps."""

from __future__ import annotations

import numpy as np
import pytest
from zfkernels import cpu, reference

from zfcore.testing import parity_test, rounding_bound

#: Kernel, stride, padding of an axis before and after.
WINDOWS = [(3, 2, (0, 0)), (3, 2, (1, 1)), (3, 1, (1, 1)), (2, 2, (0, 1)), (5, 3, (2, 4)), (7, 4, (0, 3)), (1, 3, (0, 0)), (4, 1, (0, 0))]
SIZES = [(14, 15), (15, 33), (33, 16), (9, 71), (300, 40)]


def compare(x, *geometry, backend=cpu):
    terms, size = geometry[0][0] * geometry[0][1] + 1, x.shape[2:]
    exact = reference.avg_pool2d(x.astype(np.float64), *geometry)
    allowed = rounding_bound(terms, reference.avg_pool2d(np.abs(x).astype(np.float64), *geometry), x.dtype.type)
    parity_test(backend.to_numpy(backend.avg_pool2d(x, *geometry)), exact, allowed, f"mean of {x.shape}, {geometry}")
    gy = np.random.default_rng(1).integers(-4, 5, exact.shape).astype(x.dtype)
    exact = reference.avg_pool2d_adjoint_x(gy.astype(np.float64), size, *geometry)
    allowed = rounding_bound(terms, reference.avg_pool2d_adjoint_x(np.abs(gy).astype(np.float64), size, *geometry), x.dtype.type)
    got = backend.to_numpy(backend.avg_pool2d_adjoint_x(gy, size, *geometry))
    parity_test(got, exact, allowed, f"adjoint into {x.shape}, {geometry}")


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize(("ceil_mode", "count_include_pad", "divisor"), [(False, True, None), (True, False, None), (True, True, 3)])
def test_wide_maps(window, ceil_mode, count_include_pad, divisor):
    kernel, stride, padding = window
    for size in SIZES:
        x = np.random.default_rng(0).integers(-4, 5, (2, 2, *size)).astype(np.float32)
        compare(x, (kernel, kernel), (stride, stride), (padding, padding), ceil_mode, count_include_pad, divisor)


@pytest.mark.parametrize("size", [(7, 7), (13, 13), (4, 4), (1, 1), (1, 40), (5, 3)])
@pytest.mark.parametrize("pad", [0, 1])
def test_one_window_over_the_whole_map(size, pad):
    """GoogLeNet's and SqueezeNet's last pooling; with padding around, it is counted or not."""
    x = np.random.default_rng(0).standard_normal((3, 50, *size)).astype(np.float32)
    kernel = size[0] + 2 * pad, size[1] + 2 * pad
    padding = tuple((min(pad, k // 2),) * 2 for k in kernel)
    for count_include_pad in (False, True):
        compare(x, kernel, (1, 1), padding, False, count_include_pad, None)
