"""Cross-entropy of logits against class labels, and its derivative's transpose."""

from __future__ import annotations

import math

import numpy as np
from numba import njit, prange

from zfkernels.cpu.arrays import frozen
from zfkernels.cpu.softmax import _logarithm_of_sum


@njit(parallel=True, cache=True)
def _losses(losses, logits, labels):
    for n in prange(logits.shape[0]):
        most, shift = _logarithm_of_sum(logits[n])
        losses[n] = shift - (logits[n, labels[n]] - most)


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """``-mean over n of log(softmax(logits[n])[labels[n]])``, 0-d; see the reference.

    Parallel over n; the losses are then summed in one order, whatever the number of threads.
    """
    N = len(labels)
    losses = np.empty(N, logits.dtype)
    _losses(losses, frozen(logits), frozen(labels))
    return np.asarray(losses.sum() / logits.dtype.type(N) if N else np.nan, logits.dtype)


@njit(parallel=True, cache=True)
def _cross_entropy_vjp(gx, scale, logits, labels):
    N, K = logits.shape
    for n in prange(N):
        most, shift = _logarithm_of_sum(logits[n])
        for j in range(K):
            gx[n, j] = scale * (math.exp(logits[n, j] - most - shift) - (j == labels[n]))


def cross_entropy_vjp(gy: np.ndarray, logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """``gx[n, j] = gy / N * (softmax(logits[n])[j] - [j == labels[n]])``; see the reference. Parallel over n."""
    gx = np.empty(logits.shape, logits.dtype)
    scale = logits.dtype.type(gy) / logits.dtype.type(max(len(labels), 1))
    _cross_entropy_vjp(gx, scale, frozen(logits), frozen(labels))
    return gx
