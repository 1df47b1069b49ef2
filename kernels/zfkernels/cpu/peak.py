"""What the machine can do: multiplications and additions a second, by the tile that all products are made of."""

from __future__ import annotations

import time

import numba
import numpy as np
from numba import njit, prange

from zfkernels.cpu.arrays import frozen
from zfkernels.cpu.microkernel import MR, NV, add_products
from zfkernels.cpu.processor import VECTOR

DEPTH = 1024
"""Steps of the sum: so many that the tile's loads and stores do not count, so few that all stays in the first-level cache."""
REPEATS = 256
"""Tiles a run: about a millisecond, against which starting threads does not count."""


@njit(parallel=True, cache=True)
def _add_tiles(c, a, b, rows, places, repeats):
    lanes = VECTOR // c.itemsize
    for thread in prange(c.shape[0]):
        for _ in range(repeats):
            add_products(c[thread], 0, NV * lanes, a, rows, 0, places, b, places, len(places), 0, MR, NV)


def multiply_add_peak(dtype: type, seconds: float = 0.5) -> float:
    """Multiplications and additions a second on all threads that Numba has been told to use: the best of many short runs.

    Parameters
    ----------
    dtype : float32 or float64
    seconds : float
        How long to try.
    """
    threads, width = numba.get_num_threads(), NV * VECTOR // np.dtype(dtype).itemsize
    c: np.ndarray = np.zeros((threads, MR * width), dtype)
    ones = frozen(np.ones(DEPTH + width, dtype))
    rows, places = frozen(np.zeros(MR, np.int64)), frozen(np.arange(DEPTH, dtype=np.int64) % 16 * 4)
    _add_tiles(c, ones, ones, rows, places, 1)  # compiles
    best, end = 0.0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        _add_tiles(c, ones, ones, rows, places, REPEATS)
        best = max(best, 2.0 * threads * REPEATS * MR * width * DEPTH / (time.perf_counter() - start))
    return best
