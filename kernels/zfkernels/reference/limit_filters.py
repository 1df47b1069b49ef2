"""The paper's limit on filters: none of them may dominate."""

from __future__ import annotations

import numpy as np


def limit_filters(w: np.ndarray, limit: float) -> np.ndarray:
    """Scale every filter whose RMS exceeds a limit back to it.

    ``w[o] * limit / rms[o]`` where ``rms[o] = sqrt(mean of w[o]**2)`` exceeds limit, else ``w[o]``

    Parameters
    ----------
    w : float (O, C, KH, KW)
    limit : float
        Infinite: none is scaled.

    Returns
    -------
    w : float, w's shape

    Notes
    -----
    Adjoint: none; no signal passes.
    Edge cases: the squares are summed in float64 at least. A filter with a NaN stays as it is; of one whose RMS is infinite, what is
    finite becomes 0 and what is not NaN.
    Source: paper, section 3 (filters whose RMS exceeds 10^-1 are renormalised to it).

    Examples
    --------
    >>> limit_filters(np.array([[3.0, -3.0], [0.5, 0.25]]).reshape(2, 1, 1, 2), 1.0).reshape(2, 2)
    array([[ 1.  , -1.  ],
           [ 0.5 ,  0.25]])
    """
    assert w.ndim == 4
    rms = np.sqrt((w**2).mean(axis=(1, 2, 3), keepdims=True, dtype=np.result_type(w, np.float64)))
    return w * np.where(rms > limit, limit / np.where(rms > 0, rms, 1), 1).astype(w.dtype)
