"""Clipping to an interval, and the ways a signal passes it on the way down."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from zfkernels.choices import GATES
from zfkernels.cpu.arrays import empty, frozen


@njit(parallel=True, cache=True)
def _clip(y, x, low, high):
    for i in prange(x.shape[0]):
        y[i] = low if x[i] <= low else (high if x[i] >= high else x[i])


def clip(x: np.ndarray, minimum: float, maximum: float) -> np.ndarray:
    """``y = min(max(x, minimum), maximum)``; NaN stays NaN; see the reference. Parallel over elements."""
    y = empty(x.shape, x.dtype)
    _clip(y.reshape(-1), frozen(x).reshape(-1), x.dtype.type(minimum), x.dtype.type(maximum))
    return y


@njit(parallel=True, cache=True)
def _clip_vjp(gx, gy, x, low, high, by_input, by_signal):
    zero = gy.dtype.type(0)
    for i in prange(gy.shape[0]):
        stopped = (by_input and (x[i] <= low or x[i] >= high)) or (by_signal and gy[i] <= zero)
        gx[i] = zero if stopped else gy[i]


def clip_vjp(gy: np.ndarray, x: np.ndarray, minimum: float, maximum: float, rule: str) -> np.ndarray:
    """Pass a signal down through the clip; see the reference. Parallel over elements."""
    if minimum != 0 and rule in ("deconvnet", "guided"):
        rule = "gradient"  # not a rectifier: the sign of the signal says nothing
    gx = empty(gy.shape, gy.dtype)
    low, high = x.dtype.type(minimum), x.dtype.type(maximum)
    _clip_vjp(gx.reshape(-1), frozen(gy).reshape(-1), frozen(x).reshape(-1), low, high, *GATES[rule])
    return gx
