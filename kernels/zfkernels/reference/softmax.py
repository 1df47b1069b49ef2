"""Softmax, its logarithm, and their derivatives' transposes."""

from __future__ import annotations

import numpy as np


def softmax(x: np.ndarray, axis: int) -> np.ndarray:
    """``y[i] = exp(x[i]) / sum over j of exp(x[j])`` along `axis`, computed on x - max(x).

    Shapes: any x -> y of its shape.
    """
    e = np.exp(x - x.max(axis=axis, keepdims=True, initial=-np.inf))
    return e / e.sum(axis=axis, keepdims=True)


def softmax_vjp(gy: np.ndarray, x: np.ndarray, axis: int) -> np.ndarray:
    """``gx[i] = y[i] * (gy[i] - sum over j of gy[j] * y[j])`` with y = softmax(x).

    Shapes: gy and x alike -> gx of the same shape.
    """
    y = softmax(x, axis)
    return y * (gy - (gy * y).sum(axis=axis, keepdims=True))


def log_softmax(x: np.ndarray, axis: int) -> np.ndarray:
    """``y[i] = x[i] - log(sum over j of exp(x[j]))`` along `axis`, computed on x - max(x).

    Shapes: any x -> y of its shape.
    """
    d = x - x.max(axis=axis, keepdims=True, initial=-np.inf)
    return d - np.log(np.exp(d).sum(axis=axis, keepdims=True))


def log_softmax_vjp(gy: np.ndarray, x: np.ndarray, axis: int) -> np.ndarray:
    """``gx[i] = gy[i] - softmax(x)[i] * sum over j of gy[j]``

    Shapes: gy and x alike -> gx of the same shape.
    """
    return gy - softmax(x, axis) * gy.sum(axis=axis, keepdims=True)
