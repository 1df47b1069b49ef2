"""Softmax, its logarithm, and their derivatives' transposes."""

from __future__ import annotations

import math

import numpy as np
from numba import njit, prange

from zfkernels.cpu.arrays import empty, frozen


@njit(cache=True)
def _logarithm_of_sum(row):
    """(max, log of the sum of exp(x - max)) of a row: the two numbers by which softmax shifts it."""
    most = row[0]
    for j in range(1, row.shape[0]):
        most = max(most, row[j])
    total = row.dtype.type(0)
    for j in range(row.shape[0]):
        total += math.exp(row[j] - most)
    return most, math.log(total)


@njit(parallel=True, cache=True)
def _softmax(y, x, logarithm):
    for i in prange(x.shape[0]):
        most, shift = _logarithm_of_sum(x[i])
        for j in range(x.shape[1]):
            value = x[i, j] - most - shift
            y[i, j] = value if logarithm else math.exp(value)


@njit(parallel=True, cache=True)
def _softmax_vjp(gx, gy, x, logarithm):
    for i in prange(x.shape[0]):
        most, shift = _logarithm_of_sum(x[i])
        total = gx.dtype.type(0)
        for j in range(x.shape[1]):
            y = math.exp(x[i, j] - most - shift)
            gx[i, j] = y
            total += gy[i, j] if logarithm else gy[i, j] * y
        for j in range(x.shape[1]):
            y = gx[i, j]
            gx[i, j] = gy[i, j] - y * total if logarithm else y * (gy[i, j] - total)


def _rows(a: np.ndarray, axis: int) -> np.ndarray:
    """`a` with `axis` last, as a matrix."""
    return frozen(np.moveaxis(a, axis, -1)).reshape(-1, a.shape[axis])


def _along(axis: int, logarithm: bool, compiled, *arrays: np.ndarray) -> np.ndarray:
    """Run a compiled function of rows along `axis` of its arrays."""
    result = empty(np.moveaxis(arrays[0], axis, -1).shape, arrays[0].dtype)
    if result.size:
        rows = [_rows(a, axis) for a in arrays]
        compiled(result.reshape(rows[0].shape), *rows, logarithm)
    return np.ascontiguousarray(np.moveaxis(result, -1, axis))


def softmax(x: np.ndarray, axis: int) -> np.ndarray:
    """``y = exp(x) / sum of exp(x)`` along `axis`; see the reference. Parallel over the other axes."""
    return _along(axis, False, _softmax, x)


def softmax_vjp(gy: np.ndarray, x: np.ndarray, axis: int) -> np.ndarray:
    """``gx = y * (gy - sum of gy * y)``; see the reference. Parallel over the other axes."""
    return _along(axis, False, _softmax_vjp, gy, x)


def log_softmax(x: np.ndarray, axis: int) -> np.ndarray:
    """``y = x - log(sum of exp(x))`` along `axis`; see the reference. Parallel over the other axes."""
    return _along(axis, True, _softmax, x)


def log_softmax_vjp(gy: np.ndarray, x: np.ndarray, axis: int) -> np.ndarray:
    """``gx = gy - softmax(x) * sum of gy``; see the reference. Parallel over the other axes."""
    return _along(axis, True, _softmax_vjp, gy, x)
