"""Dropout from an explicit seed: the mask depends on the seed and the element's position alone."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from zfkernels.cpu.arrays import empty, frozen


@njit(parallel=True, cache=True)
def _dropout(y, x, p, seed, scale):
    zero = x.dtype.type(0)
    for i in prange(x.shape[0]):
        # splitmix64 of the position, as in the reference; every operand is uint64, or Numba would go over to floats
        z = (np.uint64(i) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15) + seed * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
        y[i] = x[i] * scale if (z >> np.uint64(11)) * 2.0**-53 >= p else zero


def dropout(x: np.ndarray, p: float, seed: int) -> np.ndarray:
    """Zero each element with probability p, scale the others by 1/(1-p); see the reference. Parallel over elements."""
    y = empty(x.shape, x.dtype)
    scale = x.dtype.type(1 / (1 - p) if p < 1 else 0)
    _dropout(y.reshape(-1), frozen(x).reshape(-1), float(p), np.uint64(seed % 2**64), scale)
    return y
