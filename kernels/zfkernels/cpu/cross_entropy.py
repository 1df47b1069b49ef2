"""Cross-entropy of logits against class labels, and its derivative's transpose."""

from __future__ import annotations

import numpy as np

from zfkernels.cpu.softmax import log_softmax, softmax


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """``-mean over n of log(softmax(logits[n])[labels[n]])``, 0-d; see the reference. Parallel over n."""
    N = len(labels)
    total = -log_softmax(logits, 1)[np.arange(N), labels].sum()
    return np.asarray(total / logits.dtype.type(N) if N else np.nan, logits.dtype)


def cross_entropy_vjp(gy: np.ndarray, logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """``gx[n, j] = gy / N * (softmax(logits[n])[j] - [j == labels[n]])``; see the reference. Parallel over n."""
    N = len(labels)
    gx = softmax(logits, 1)
    gx[np.arange(N), labels] -= 1
    return gx * (gy / logits.dtype.type(max(N, 1)))
