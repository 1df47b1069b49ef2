"""Softmax, its logarithm, and their derivatives' transposes."""

from __future__ import annotations

import numpy as np


def softmax(x: np.ndarray, axis: int) -> np.ndarray:
    """Exponentials that sum to one along an axis.

    ``y[i] = exp(x[i]) / sum over j of exp(x[j])``, computed on x - max(x)

    Parameters
    ----------
    x : float, any shape
    axis : int

    Returns
    -------
    y : float, x's shape

    Notes
    -----
    Derivative: `softmax_vjp`.
    Edge cases: large logits do not overflow; an infinite one makes its row NaN.
    Source: paper, section 2 (classifier); shift: Blanchard, Higham & Higham 2021, "Accurately computing the log-sum-exp and softmax
    functions".

    Examples
    --------
    >>> softmax(np.array([[0.0, 0.0], [1000.0, 0.0]]), 1)
    array([[0.5, 0.5],
           [1. , 0. ]])
    """
    e = np.exp(x - x.max(axis=axis, keepdims=True, initial=-np.inf))
    return e / e.sum(axis=axis, keepdims=True)


def softmax_vjp(gy: np.ndarray, x: np.ndarray, axis: int) -> np.ndarray:
    """The transpose of the derivative, which is symmetric.

    ``gx[i] = y[i] * (gy[i] - sum over j of gy[j] * y[j])`` with y = softmax(x)

    Parameters
    ----------
    gy, x : float, any shape, alike
    axis : int

    Returns
    -------
    gx : float, the same shape

    Notes
    -----
    Derivative of: `softmax`.
    Edge cases: as for `softmax`.
    Source: the derivative of `softmax`'s formula.

    Examples
    --------
    >>> softmax_vjp(np.array([[4.0, 0.0]]), np.zeros((1, 2)), 1)
    array([[ 1., -1.]])
    """
    assert gy.shape == x.shape
    y = softmax(x, axis)
    return y * (gy - (gy * y).sum(axis=axis, keepdims=True))


def log_softmax(x: np.ndarray, axis: int) -> np.ndarray:
    """The logarithm of `softmax`, without its underflow.

    ``y[i] = x[i] - log(sum over j of exp(x[j]))``, computed on x - max(x)

    Parameters
    ----------
    x : float, any shape
    axis : int

    Returns
    -------
    y : float, x's shape

    Notes
    -----
    Derivative: `log_softmax_vjp`.
    Edge cases: finite for finite logits; an infinite one makes its row NaN.
    Source: Blanchard, Higham & Higham 2021.

    Examples
    --------
    >>> log_softmax(np.array([[1000.0, 0.0]]), 1)
    array([[    0., -1000.]])
    """
    d = x - x.max(axis=axis, keepdims=True, initial=-np.inf)
    return d - np.log(np.exp(d).sum(axis=axis, keepdims=True))


def log_softmax_vjp(gy: np.ndarray, x: np.ndarray, axis: int) -> np.ndarray:
    """The transpose of the derivative.

    ``gx[i] = gy[i] - softmax(x)[i] * sum over j of gy[j]``

    Parameters
    ----------
    gy, x : float, any shape, alike
    axis : int

    Returns
    -------
    gx : float, the same shape

    Notes
    -----
    Derivative of: `log_softmax`.
    Edge cases: as for `log_softmax`.
    Source: the derivative of `log_softmax`'s formula.

    Examples
    --------
    >>> log_softmax_vjp(np.array([[4.0, 0.0]]), np.zeros((1, 2)), 1)
    array([[ 2., -2.]])
    """
    assert gy.shape == x.shape
    return gy - softmax(x, axis) * gy.sum(axis=axis, keepdims=True)
