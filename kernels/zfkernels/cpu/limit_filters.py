"""The paper's limit on filters: none of them may dominate."""

from __future__ import annotations

import numpy as np

from zfkernels.cpu.arrays import empty, frozen


def limit_filters(w: np.ndarray, limit: float) -> np.ndarray:
    """Scale every filter whose RMS exceeds `limit` back to it; see the reference. In NumPy: once a step, of few numbers."""
    y, w = empty(w.shape, w.dtype), frozen(w)
    with np.errstate(over="ignore", invalid="ignore"):  # as compiled: weights that ran away give no warning
        rms = np.sqrt((w**2).mean(axis=(1, 2, 3), keepdims=True, dtype=np.float64))
        return np.multiply(w, np.where(rms > limit, limit / np.where(rms > 0, rms, 1), 1).astype(w.dtype), out=y)
