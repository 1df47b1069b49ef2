"""The rectifier, and the four ways a signal passes it on the way down."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from zfkernels.choices import GATES
from zfkernels.cpu.arrays import empty, frozen


@njit(parallel=True, cache=True)
def _relu(y, x):
    zero = x.dtype.type(0)
    for i in prange(x.shape[0]):
        y[i] = zero if x[i] <= zero else x[i]


def relu(x: np.ndarray) -> np.ndarray:
    """``y = max(x, 0)``; NaN stays NaN; see the reference. Parallel over elements."""
    y = empty(x.shape, x.dtype)
    _relu(y.reshape(-1), frozen(x).reshape(-1))
    return y


@njit(parallel=True, cache=True)
def _relu_vjp(gx, gy, x, by_input, by_signal):
    zero = gy.dtype.type(0)
    for i in prange(gy.shape[0]):
        stopped = (by_input and x[i] <= zero) or (by_signal and gy[i] <= zero)
        gx[i] = zero if stopped else gy[i]


def relu_vjp(gy: np.ndarray, x: np.ndarray, rule: str) -> np.ndarray:
    """Pass a signal down through the rectifier by "gradient", "deconvnet", "guided" or "linear"; see the reference."""
    gx = empty(gy.shape, gy.dtype)
    _relu_vjp(gx.reshape(-1), frozen(gy).reshape(-1), frozen(x).reshape(-1), *GATES[rule])
    return gx
