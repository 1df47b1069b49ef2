"""What the device can do: multiplications and additions a second from registers, and bytes a second from memory to memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
from numba import cuda

from zfkernels.cuda.arrays import DeviceArray, empty, filled
from zfkernels.cuda.device import COMPUTE, SIMULATED, THREADS, launch
from zfkernels.cuda.events import elapsed

CHAINS = 16
"""Sums that a thread carries on side by side: a multiply-add takes four cycles, and nothing else in the chain waits for it."""
AT_ONCE = 2 if SIMULATED else 8
"""Steps between two looks at the counter: an instruction of any other kind is one multiply-add less."""
STEPS = 2 if SIMULATED else 8192
"""Of every chain: a millisecond or two, against which launching does not count."""
WAVES = 1 if SIMULATED else 16
"""Blocks for each multiprocessor, of which eight fit at a time."""
COPIES, SAMPLES = 10, 7
"""Copies in a sample, and samples, of which the median counts."""


@cuda.jit(cache=True)
def _multiply_adds(y, factor, term, steps):
    sums = cuda.local.array(CHAINS, y.dtype)  # in registers: every index is a constant once the loops are unrolled
    sums[0] = term
    for k in range(1, CHAINS):
        sums[k] = sums[k - 1] + term  # equal chains would be computed once
    left = steps
    while left >= AT_ONCE:
        left -= AT_ONCE
        for _ in range(AT_ONCE):
            for k in range(CHAINS):
                sums[k] = sums[k] * factor + term
    while left > 0:
        left -= 1
        for k in range(CHAINS):
            sums[k] = sums[k] * factor + term
    total = sums[0]
    for k in range(1, CHAINS):
        total += sums[k]
    i = cuda.grid(1)
    if i < y.shape[0]:  # what nobody stores, the compiler leaves out
        y[i] = total


@cuda.jit(cache=True)
def _copy(y, x):
    i, step = cuda.grid(1), cuda.gridsize(1)
    if i + 3 * step < y.shape[0]:
        a = x[i]  # four loads on their way before the first is waited for
        b = x[i + step]
        c = x[i + 2 * step]
        d = x[i + 3 * step]
        y[i] = a
        y[i + step] = b
        y[i + 2 * step] = c
        y[i + 3 * step] = d
    else:
        for k in range(4):
            if i + k * step < y.shape[0]:
                y[i + k * step] = x[i + k * step]


def multiply_add_peak(dtype: type, seconds: float = 0.5) -> float:
    """Multiplications and additions a second of the whole device: the best of the runs that fit into the time.

    Parameters
    ----------
    dtype : float32 or float64
    seconds : float
        How long to try.
    """
    y = empty((WAVES * multiprocessors() * THREADS,), dtype)
    multiply_adds(y, STEPS)  # compiles
    best, end = 0.0, time.perf_counter() + seconds
    while best == 0.0 or time.perf_counter() < end:
        best = max(best, 2.0 * CHAINS * STEPS * y.size / elapsed(lambda: multiply_adds(y, STEPS)))
    return best


def multiprocessors() -> int:
    """How many there are."""
    return int(getattr(cuda.current_context().device, "MULTIPROCESSOR_COUNT", 1))


def multiply_adds(y: DeviceArray, steps: int) -> None:
    """So many steps of `CHAINS` sums for every element, which gets their total; of ``a = a / 2 + 1 / 4``, which stays finite."""
    number = y.dtype.type
    launch(_multiply_adds, y.size, y, number(0.5), number(0.25), steps)


def copy(y: DeviceArray, x: DeviceArray) -> None:
    """``y[...] = x``, four elements a thread."""
    launch(_copy, -(-y.size // 4), y, x)


def copy_rates(size: int, before: Callable[[], Any] = lambda: None) -> dict[str, float]:
    """Bytes a second, read and written both counted, of copying `size` bytes from one array of the device to another.

    Parameters
    ----------
    size : int
        Of one array.
    before : callable
        Made ahead of each copy, and not counted: what else lay in the caches is gone.

    Returns
    -------
    dict
        By the "driver", and by a kernel of "ours".
    """
    source, target = filled((size // 4,), np.float32), filled((size // 4,), np.float32)
    ways: dict[str, Callable[[], Any]] = {
        "driver": lambda: target.elements.copy_to_device(source.elements, stream=COMPUTE),
        "ours": lambda: copy(target, source),
    }
    rates = {}
    for name, way in ways.items():
        way()  # compiles
        rates[name] = 2.0 * size * COPIES / median(elapsed(way, COPIES, before) for _ in range(SAMPLES))
    return rates
