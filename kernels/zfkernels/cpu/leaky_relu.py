"""The leaky rectifier, and the ways a signal passes it on the way down."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from zfkernels.choices import GATES
from zfkernels.cpu.arrays import empty, frozen


@njit(parallel=True, cache=True)
def _leaky_relu(y, x, slope):
    zero = x.dtype.type(0)
    for i in prange(x.shape[0]):
        y[i] = slope * x[i] if x[i] <= zero else x[i]


def leaky_relu(x: np.ndarray, negative_slope: float) -> np.ndarray:
    """``y = x`` where x > 0, else ``negative_slope * x``; see the reference. Parallel over elements."""
    y = empty(x.shape, x.dtype)
    _leaky_relu(y.reshape(-1), frozen(x).reshape(-1), x.dtype.type(negative_slope))
    return y


@njit(parallel=True, cache=True)
def _leaky_relu_vjp(gx, gy, x, slope, by_input, by_signal):
    zero = gy.dtype.type(0)
    for i in prange(gy.shape[0]):
        signal = gy[i]
        if by_input and x[i] <= zero:
            signal = slope * signal
        if by_signal and gy[i] <= zero:
            signal = slope * signal
        gx[i] = signal


def leaky_relu_vjp(gy: np.ndarray, x: np.ndarray, negative_slope: float, rule: str) -> np.ndarray:
    """Pass a signal down through the leaky rectifier; see the reference. Parallel over elements."""
    gx = empty(gy.shape, gy.dtype)
    slope = gy.dtype.type(negative_slope)
    _leaky_relu_vjp(gx.reshape(-1), frozen(gy).reshape(-1), frozen(x).reshape(-1), slope, *GATES[rule])
    return gx
