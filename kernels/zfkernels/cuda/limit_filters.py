"""The paper's limit on filters: none of them may dominate."""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
from numba import cuda

from zfkernels.cuda.arrays import DeviceArray, empty, resident
from zfkernels.cuda.device import launch_blocks
from zfkernels.cuda.reductions import BLOCK, team, teams, total


@cuda.jit(cache=True)
def _limit_filters(y, w, filters, length, limit):
    shared = cuda.shared.array(BLOCK, numba.float64)
    o, place = team(1)
    first, end = o * length + place[0], min(o + 1, filters) * length
    part = np.float64(0)
    at = first
    while at < end:
        part += np.float64(w[at] * w[at])
        at += place[1]
    rms = math.sqrt(total(shared, part, place) / length)
    scale = w.dtype.type(limit / rms if rms > limit else 1)
    at = first
    while at < end:
        y[at] = w[at] * scale
        at += place[1]


def limit_filters(w: Any, limit: float) -> DeviceArray:
    """Scale every filter whose RMS exceeds `limit` back to it; see the reference. Parallel over filters and their weights."""
    y, filters = empty(w.shape, w.dtype), w.shape[0]
    if y.size:
        length = y.size // filters
        launch_blocks(_limit_filters, *teams(filters, length, 1), y, resident(w), filters, length, float(limit))
    return y
