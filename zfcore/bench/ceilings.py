"""What this machine can do at most: multiply-adds and bytes a second, measured. Every rate in the report is a share of these."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numba
import numpy as np
from numba import njit, prange
from zfkernels.cache import kept_by_source

from zfcore.bench.machine import caches, free_memory

SECONDS = 0.5  #: For each measurement. A ceiling is the best that was seen, not the median.
MOST_BYTES = 2**29  #: Of one array: a virtual machine is told of caches that it shares with others. With 2**28, two threads reached half.

with kept_by_source():
    from zfkernels.cpu.peak import multiply_add_peak

    @njit(parallel=True, cache=True)
    def _copy(target: np.ndarray, source: np.ndarray) -> None:
        for i in prange(source.size):
            target[i] = source[i]


def measured(threads: int, seconds: float = SECONDS, size: int | None = None) -> dict[str, Any]:
    """The ceilings for a number of threads.

    Returns
    -------
    dict
        "multiply_adds" in operations a second (two for each multiply-add), "copy" in bytes a second, read and written both counted,
        of the fastest of NumPy's copy and ours; all of them apart under "copies", and the bytes of one array as "array".
    """
    size = size or array_bytes()
    copies = {f"{name}, {count} thread{'s' * (count > 1)}": rate for name, count, rate in _copies(threads, seconds, size)}
    now = {name: rate for name, rate in copies.items() if name.startswith("numpy") or f", {threads} thread" in name}
    return {"multiply_adds": multiply_adds(threads, seconds), "copy": max(now.values()), "copies": copies, "array": size}


def multiply_adds(threads: int, seconds: float) -> float:
    """Multiplications and additions a second of so many threads, the best that was seen in the time."""
    with _threads(threads):
        return multiply_add_peak(np.float32, seconds)


def array_bytes() -> int:
    """Four times the last cache, but no more than `MOST_BYTES` and an eighth of the memory that is free."""
    last = max(caches().values(), default=2**24)
    return max(2**22, min(4 * last, MOST_BYTES, (free_memory() or 2**32) // 8))


def _copies(threads: int, seconds: float, size: int) -> Iterator[tuple[str, int, float]]:
    source, target = np.ones(size // 4, np.float32), np.ones(size // 4, np.float32)  # every page of both is there
    yield "numpy", 1, 2 * size / best(lambda: np.copyto(target, source), seconds)
    for count in sorted({1, threads}):
        with _threads(count):
            _copy(target, source)  # compiles
            yield "ours", count, 2 * size / best(lambda: _copy(target, source), seconds)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = numba.get_num_threads()
    numba.set_num_threads(count)
    try:
        yield
    finally:
        numba.set_num_threads(before)


def best(call: Callable[[], Any], seconds: float) -> float:
    """The shortest of the calls that fit into so many seconds."""
    shortest, end = float("inf"), time.perf_counter() + seconds
    while shortest == float("inf") or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        shortest = min(shortest, time.perf_counter() - start)
    return shortest
