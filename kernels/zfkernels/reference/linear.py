"""The fully connected layer and its adjoints."""

from __future__ import annotations

import numpy as np


def linear(x: np.ndarray, w: np.ndarray, b: np.ndarray | None) -> np.ndarray:
    """``y[n, o] = b[o] + sum over i of w[o, i] * x[n, i]``

    Shapes: x (N, I), w (O, I), b (O,) or None -> y (N, O).
    Adjoint: `linear_adjoint_x`, `linear_adjoint_w`, `linear_adjoint_b`.
    """
    y = np.einsum("ni,oi->no", x, w)
    return y if b is None else y + b


def linear_adjoint_x(gy: np.ndarray, w: np.ndarray) -> np.ndarray:
    """``gx[n, i] = sum over o of gy[n, o] * w[o, i]``

    Shapes: gy (N, O), w (O, I) -> gx (N, I).
    Adjoint: `linear` without bias, in x.
    """
    return np.einsum("no,oi->ni", gy, w)


def linear_adjoint_w(gy: np.ndarray, x: np.ndarray) -> np.ndarray:
    """``gw[o, i] = sum over n of gy[n, o] * x[n, i]``

    Shapes: gy (N, O), x (N, I) -> gw (O, I).
    Adjoint: `linear` without bias, in w.
    """
    return np.einsum("no,ni->oi", gy, x)


def linear_adjoint_b(gy: np.ndarray) -> np.ndarray:
    """``gb[o] = sum over n of gy[n, o]``

    Shapes: gy (N, O) -> gb (O,).
    Adjoint: `linear` in b.
    """
    return gy.sum(axis=0)
