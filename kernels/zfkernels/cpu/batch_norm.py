"""Batch normalisation at inference: a fixed scale and shift of every map."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from zfkernels.cpu.arrays import empty, frozen


@njit(parallel=True, cache=True)
def _scale_and_shift(y, x, mean, scale, bias):
    C = mean.shape[0]
    for plane in prange(x.shape[0]):
        c = plane % C
        for p in range(x.shape[1]):
            y[plane, p] = (x[plane, p] - mean[c]) * scale[c] + bias[c]


def batch_norm(x: np.ndarray, mean: np.ndarray, var: np.ndarray, weight: np.ndarray, bias: np.ndarray, eps: float) -> np.ndarray:
    """``y = (x - mean) * weight / sqrt(var + eps) + bias`` of every map; see the reference. Parallel over planes."""
    y = empty(x.shape, x.dtype)
    planes = (x.shape[0] * x.shape[1], int(np.prod(x.shape[2:])))
    scale = weight / np.sqrt(var + x.dtype.type(eps))
    _scale_and_shift(y.reshape(planes), frozen(x).reshape(planes), frozen(mean), frozen(scale), frozen(bias))
    return y


def batch_norm_adjoint_x(gy: np.ndarray, var: np.ndarray, weight: np.ndarray, eps: float) -> np.ndarray:
    """``gx = gy * weight / sqrt(var + eps)`` of every map; see the reference. Parallel over planes."""
    zeros = np.zeros(var.shape, gy.dtype)
    return batch_norm(gy, zeros, var, weight, zeros, eps)
