"""Dropout from an explicit seed: the mask depends on the seed and the element's position alone."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from zfkernels.cuda.arrays import DeviceArray
from zfkernels.cuda.elementwise import elementwise

ONE, GOLDEN = np.uint64(1), np.uint64(0x9E3779B97F4A7C15)
MIX1, MIX2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
S30, S27, S31, S11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)


@elementwise
def _dropout(i, x, _, numbers):
    zero, scale, least, origin = numbers
    # splitmix64 of the position, as in the reference; every operand is uint64, or Numba would go over to floats
    z = (i + ONE) * GOLDEN + origin
    z = (z ^ (z >> S30)) * MIX1
    z = (z ^ (z >> S27)) * MIX2
    z = z ^ (z >> S31)
    return x * scale if (z >> S11) >= least else zero


def dropout(x: Any, p: float, seed: int) -> DeviceArray:
    """Zero each element with probability p, scale the others by 1/(1-p); see the reference. Parallel over elements."""
    t = x.dtype.type
    least = np.uint64(math.ceil(p * 2.0**53))  # of the hash's 53 bits, for what they are as a number of [0, 1) to reach p
    origin = np.uint64(seed * int(MIX1) % 2**64)
    return _dropout(x, x, t(0), t(1 / (1 - p) if p < 1 else 0), least, origin)
