"""Local response normalisation across maps: the paper's contrast normalisation."""

from __future__ import annotations

import numpy as np


def _window_sums(a: np.ndarray, before: int, after: int) -> np.ndarray:
    """Sum of a over channels c - before .. c + after, for every c."""
    C = a.shape[1]
    sums = np.zeros_like(a)
    for c in range(C):
        sums[:, c] = a[:, max(0, c - before) : min(C, c + after + 1)].sum(axis=1)
    return sums


def local_response_norm(x: np.ndarray, size: int, alpha: float, beta: float, k: float) -> np.ndarray:
    """Each activation over the power of its neighbours across maps.

    ``y[n, c] = x[n, c] / s[n, c]**beta, s[n, c] = k + alpha/size * sum over j of x[n, j]**2``, j from c - size//2 to c + (size-1)//2,
    clipped.

    Parameters
    ----------
    x : float (N, C, ...)
    size : int
    alpha, beta, k : float

    Returns
    -------
    y : float, x's shape

    Notes
    -----
    Derivative: `local_response_norm_vjp`.
    Edge cases: alpha is divided by size, as PyTorch, Caffe and ONNX do and AlexNet's paper does not.
    Source: paper, section 2 (contrast normalisation); Krizhevsky, Sutskever & Hinton 2012, section 3.3.

    Examples
    --------
    Two maps of one pixel, normalised over both:

    >>> local_response_norm(np.array([[1.0, 3.0]]), 3, 3.0, 0.5, 6.0)
    array([[0.25, 0.75]])
    """
    t = x.dtype.type
    s = t(k) + t(alpha / size) * _window_sums(x * x, size // 2, (size - 1) // 2)
    return x / s ** t(beta)


def local_response_norm_vjp(gy: np.ndarray, x: np.ndarray, size: int, alpha: float, beta: float, k: float) -> np.ndarray:
    """The transpose of the derivative.

    ``gx[c] = gy[c] * s[c]**-beta - 2*alpha/size*beta * x[c] * sum over i of gy[i] * x[i] * s[i]**(-beta-1)``, i over the maps
    whose window holds c, s as in the forward pass.

    Parameters
    ----------
    gy, x : float (N, C, ...), alike
    size : int
    alpha, beta, k : float

    Returns
    -------
    gx : float, the same shape

    Notes
    -----
    Derivative of: `local_response_norm`.
    Edge cases: an even size reaches one map further back than ahead; its transpose the other way round.
    Source: the derivative of Krizhevsky, Sutskever & Hinton 2012, section 3.3.

    Examples
    --------
    With these constants ``y = 1 / (2*x)``, of derivative ``-1 / (2*x**2)``:

    >>> local_response_norm_vjp(np.array([[8.0]]), np.array([[2.0]]), 1, 2.0, 1.0, 0.0)
    array([[-1.]])
    """
    assert gy.shape == x.shape
    t = x.dtype.type
    before, after = size // 2, (size - 1) // 2
    s = t(k) + t(alpha / size) * _window_sums(x * x, before, after)
    shared = _window_sums(gy * x * s ** t(-beta - 1), after, before)
    return gy * s ** t(-beta) - t(2 * alpha / size * beta) * x * shared
