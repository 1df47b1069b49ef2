"""Batch normalisation at inference: a fixed scale and shift of every map."""

from __future__ import annotations

import numpy as np


def _per_map(a: np.ndarray, like: np.ndarray) -> np.ndarray:
    assert a.shape == (like.shape[1],)
    return a.reshape(1, -1, *(1,) * (like.ndim - 2))


def batch_norm(x: np.ndarray, mean: np.ndarray, var: np.ndarray, weight: np.ndarray, bias: np.ndarray, eps: float) -> np.ndarray:
    """Each map shifted and scaled by statistics that training left behind.

    ``y[n, c] = (x[n, c] - mean[c]) * weight[c] / sqrt(var[c] + eps) + bias[c]``

    Parameters
    ----------
    x : float (N, C, ...)
    mean, var, weight, bias : float (C,)
    eps : float

    Returns
    -------
    y : float, x's shape

    Notes
    -----
    Adjoint: `batch_norm_adjoint_x`, of the linear part.
    Edge cases: var = 0 is divided by the root of eps alone.
    Source: Ioffe & Szegedy 2015, arXiv 1502.03167, algorithm 2 (inference).

    Examples
    --------
    >>> batch_norm(np.array([[3.0, 5.0]]), np.array([1.0, 5.0]), np.array([3.0, 0.0]), np.ones(2), np.array([0.0, 7.0]), 1.0)
    array([[1., 7.]])
    """
    scale = weight / np.sqrt(var + x.dtype.type(eps))
    return (x - _per_map(mean, x)) * _per_map(scale, x) + _per_map(bias, x)


def batch_norm_adjoint_x(gy: np.ndarray, var: np.ndarray, weight: np.ndarray, eps: float) -> np.ndarray:
    """The same scale, and no shift on the way down.

    ``gx[n, c] = gy[n, c] * weight[c] / sqrt(var[c] + eps)``

    Parameters
    ----------
    gy : float (N, C, ...)
    var, weight : float (C,)
    eps : float

    Returns
    -------
    gx : float, gy's shape

    Notes
    -----
    Adjoint: `batch_norm` with mean and bias 0.
    Edge cases: as for `batch_norm`.
    Source: the derivative of Ioffe & Szegedy 2015, algorithm 2, whose statistics are constants.

    Examples
    --------
    >>> batch_norm_adjoint_x(np.array([[2.0, 5.0]]), np.array([3.0, 0.0]), np.ones(2), 1.0)
    array([[1., 5.]])
    """
    return gy * _per_map(weight / np.sqrt(var + gy.dtype.type(eps)), gy)
