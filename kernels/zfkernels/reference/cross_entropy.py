"""Cross-entropy of logits against class labels, and its derivative's transpose."""

from __future__ import annotations

import numpy as np

from zfkernels.reference.softmax import log_softmax, softmax


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How surprised the softmax is by the labels, on average.

    ``-mean over n of log(softmax(logits[n])[labels[n]])``

    Parameters
    ----------
    logits : float (N, K)
    labels : int64 (N,)
        From 0 to K - 1.

    Returns
    -------
    loss : float, 0-d

    Notes
    -----
    Derivative: `cross_entropy_vjp`.
    Edge cases: the mean over an empty batch is NaN.
    Source: paper, section 2 (loss).

    Examples
    --------
    >>> cross_entropy(np.array([[0.0, 1000.0], [0.0, 1000.0]]), np.array([0, 1])).item()
    500.0
    """
    N = len(labels)
    assert len(logits) == N
    total = -log_softmax(logits, 1)[np.arange(N), labels].sum()
    return np.asarray(total / logits.dtype.type(N) if N else np.nan, logits.dtype)


def cross_entropy_vjp(gy: np.ndarray, logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The transpose of the derivative in the logits.

    ``gx[n, j] = gy / N * (softmax(logits[n])[j] - [j == labels[n]])``

    Parameters
    ----------
    gy : float, 0-d
    logits : float (N, K)
    labels : int64 (N,)

    Returns
    -------
    gx : float (N, K)

    Notes
    -----
    Derivative of: `cross_entropy`.
    Edge cases: an empty batch has no rows.
    Source: the derivative of `cross_entropy`'s formula; Goodfellow, Bengio & Courville 2016, "Deep Learning", section 6.2.2.3.

    Examples
    --------
    >>> cross_entropy_vjp(np.array(2.0), np.zeros((1, 2)), np.array([0]))
    array([[-1.,  1.]])
    """
    N = len(labels)
    assert len(logits) == N and gy.shape == ()
    gx = softmax(logits, 1)
    gx[np.arange(N), labels] -= 1
    return gx * (gy / logits.dtype.type(max(N, 1)))
