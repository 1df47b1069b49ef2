"""The cpu backend's layout of images: no larger than im2col's matrix, however far apart the taps lie."""

from __future__ import annotations

import numpy as np
import pytest
from zfkernels import cpu, reference
from zfkernels.cpu.layout import SLACK, windows
from zfkernels.geometry import output_size

from zfcore.testing import parity_test

#: Kernel, stride, padding, dilation, image: one output and several, taps that share phases and taps that do not.
WIDE = [
    (2, 65536, 60000, 60000, 8),
    (2, 1, 29997, 60000, 8),
    (3, 7, 59999, 60000, 8),
    (3, 50000, 80000, 60000, 8),
    (2, 1, 8, 20, 8),
    (3, 2, 9, 9, 8),
    (3, 50, 9, 1, 40),
]


@pytest.mark.parametrize(("kernel", "stride", "padding", "dilation", "size"), WIDE)
def test_taps_far_apart_take_little_memory_and_are_right(kernel, stride, padding, dilation, size):
    rng = np.random.default_rng(0)
    x = rng.integers(-4, 5, (2, 2, size, size)).astype(np.float32)
    w = rng.integers(-4, 5, (3, 2, kernel, kernel)).astype(np.float32)
    geometry = (stride, stride), ((padding, padding), (padding, padding)), (dilation, dilation)
    grid = output_size(x.shape[2:], w.shape[2:], *geometry)

    layout, _ = windows(x, w.shape[2:], *geometry, grid, 1)
    assert layout.values.size - SLACK <= x.shape[0] * w[0].size * grid[0] * grid[1]

    gy = rng.integers(-4, 5, (2, 3, *grid)).astype(np.float32)
    for name, arguments in (
        ("conv2d", (x, w, None, *geometry, 1)),
        ("conv2d_adjoint_x", (gy, w, x.shape[2:], *geometry, 1)),
        ("conv2d_adjoint_w", (gy, x, w.shape[2:], *geometry, 1)),
    ):
        parity_test(getattr(cpu, name)(*arguments), getattr(reference, name)(*arguments), name=name)
