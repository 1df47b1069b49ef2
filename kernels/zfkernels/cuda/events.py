"""How long the device takes: events in the stream that computes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from numba import cuda

from zfkernels.cuda.device import COMPUTE, SIMULATED, synchronize


def elapsed(call: Callable[[], Any], count: int = 1, before: Callable[[], Any] = lambda: None) -> float:
    """Seconds of so many calls, each between two events of its own; in the simulator, which has none, the host's seconds.

    Parameters
    ----------
    call : callable
        What it launches goes into the computing stream.
    count : int
    before : callable
        Made ahead of each call, and not counted. While the device is busy with it, the host launches what is.
    """
    if SIMULATED:
        return sum(_simulated(call, before) for _ in range(count))
    pairs = [(cuda.event(), cuda.event()) for _ in range(count)]
    for start, end in pairs:
        before()
        start.record(COMPUTE)
        call()
        end.record(COMPUTE)
    synchronize()
    return sum(cuda.event_elapsed_time(start, end) for start, end in pairs) / 1e3


def _simulated(call: Callable[[], Any], before: Callable[[], Any]) -> float:
    before()
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
