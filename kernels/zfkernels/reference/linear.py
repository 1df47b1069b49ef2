"""The fully connected layer and its adjoints."""

from __future__ import annotations

import numpy as np

from zfkernels.reference.relu import relu


def linear(x: np.ndarray, w: np.ndarray, b: np.ndarray | None) -> np.ndarray:
    """Each output is one row of weights against the whole input, plus a bias.

    ``y[n, o] = b[o] + sum over i of w[o, i] * x[n, i]``

    Parameters
    ----------
    x : float (N, I)
    w : float (O, I)
    b : float (O,) or None

    Returns
    -------
    y : float (N, O)

    Notes
    -----
    Adjoint: `linear_adjoint_x`, `linear_adjoint_w`, `linear_adjoint_b`.
    Edge cases: I = 0 gives the bias.
    Source: paper, section 2 and figure 3 (layers 6 and 7).

    Examples
    --------
    >>> linear(np.array([[1.0, 2.0]]), np.array([[1.0, 10.0], [0.0, 1.0]]), np.array([0.5, 0.0]))
    array([[21.5,  2. ]])
    """
    assert w.shape[1] == x.shape[1]
    assert b is None or b.shape == (len(w),)
    y = np.einsum("ni,oi->no", x, w)
    return y if b is None else y + b


def linear_relu(x: np.ndarray, w: np.ndarray, b: np.ndarray | None) -> np.ndarray:
    """The positive part of `linear`, for when nobody asks for the value before it.

    ``y = max(linear(x, w, b), 0)``

    Parameters
    ----------
    x, w, b
        As for `linear`.

    Returns
    -------
    y : float (N, O)

    Notes
    -----
    Derivative: `relu_vjp`, to which y is as good as what it came from, then the adjoints of `linear`.
    Edge cases: as for `linear` and `relu`.
    Source: paper, section 2.

    Examples
    --------
    >>> linear_relu(np.array([[1.0, 2.0]]), np.array([[1.0, 10.0], [0.0, -1.0]]), None)
    array([[21.,  0.]])
    """
    return relu(linear(x, w, b))


def linear_adjoint_x(gy: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Each input gathers the signal of all outputs through its column of weights.

    ``gx[n, i] = sum over o of gy[n, o] * w[o, i]``

    Parameters
    ----------
    gy : float (N, O)
    w : float (O, I)

    Returns
    -------
    gx : float (N, I)

    Notes
    -----
    Adjoint: `linear` without bias, in x.
    Edge cases: O = 0 gives zeros.
    Source: the transpose of `linear`'s formula.

    Examples
    --------
    >>> linear_adjoint_x(np.array([[1.0, 2.0]]), np.array([[1.0, 10.0], [0.0, 1.0]]))
    array([[ 1., 12.]])
    """
    assert gy.shape[1] == len(w)
    return np.einsum("no,oi->ni", gy, w)


def linear_adjoint_w(gy: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Each weight gathers, over the batch, its input weighted by the signal of its output.

    ``gw[o, i] = sum over n of gy[n, o] * x[n, i]``

    Parameters
    ----------
    gy : float (N, O)
    x : float (N, I)

    Returns
    -------
    gw : float (O, I)

    Notes
    -----
    Adjoint: `linear` without bias, in w.
    Edge cases: an empty batch gives zeros.
    Source: the transpose of `linear`'s formula.

    Examples
    --------
    >>> linear_adjoint_w(np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]]))
    array([[3., 4.],
           [6., 8.]])
    """
    assert len(gy) == len(x)
    return np.einsum("no,ni->oi", gy, x)


def linear_adjoint_b(gy: np.ndarray) -> np.ndarray:
    """Each bias gathers the signal of its output over the batch.

    ``gb[o] = sum over n of gy[n, o]``

    Parameters
    ----------
    gy : float (N, O)

    Returns
    -------
    gb : float (O,)

    Notes
    -----
    Adjoint: `linear` in b.
    Edge cases: an empty batch gives zeros.
    Source: the transpose of `linear`'s formula.

    Examples
    --------
    >>> linear_adjoint_b(np.array([[1.0, 2.0], [3.0, 4.0]]))
    array([4., 6.])
    """
    assert gy.ndim == 2
    return gy.sum(axis=0)
