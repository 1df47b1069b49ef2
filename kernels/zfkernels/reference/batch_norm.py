"""Batch normalisation at inference: a fixed scale and shift of every map."""

from __future__ import annotations

import numpy as np


def _per_map(a: np.ndarray, like: np.ndarray) -> np.ndarray:
    return a.reshape(1, -1, *(1,) * (like.ndim - 2))


def batch_norm(
    x: np.ndarray, mean: np.ndarray, var: np.ndarray, weight: np.ndarray, bias: np.ndarray, eps: float
) -> np.ndarray:
    """``y[n, c] = (x[n, c] - mean[c]) * weight[c] / sqrt(var[c] + eps) + bias[c]``

    Shapes: x (N, C, ...), the rest (C,) -> y of x's shape.
    Adjoint: `batch_norm_adjoint_x`, of the linear part.
    """
    scale = weight / np.sqrt(var + x.dtype.type(eps))
    return (x - _per_map(mean, x)) * _per_map(scale, x) + _per_map(bias, x)


def batch_norm_adjoint_x(gy: np.ndarray, var: np.ndarray, weight: np.ndarray, eps: float) -> np.ndarray:
    """``gx[n, c] = gy[n, c] * weight[c] / sqrt(var[c] + eps)``: no shift on the way down.

    Shapes: gy (N, C, ...), var and weight (C,) -> gx of gy's shape.
    Adjoint: `batch_norm` with mean and bias 0.
    """
    return gy * _per_map(weight / np.sqrt(var + gy.dtype.type(eps)), gy)
