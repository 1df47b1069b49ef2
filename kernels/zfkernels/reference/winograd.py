"""Convolution of 3x3 with stride 1, which has faster algorithms than its definition; here is the definition."""

from __future__ import annotations

import numpy as np

from zfkernels.geometry import Padding
from zfkernels.reference.conv2d import conv2d, conv2d_relu


def conv2d_winograd(x: np.ndarray, w: np.ndarray, b: np.ndarray | None, padding: Padding, groups: int) -> np.ndarray:
    """Each output is one filter of 3x3 against one window, plus a bias; windows move by 1.

    ``y[n, o, oh, ow] = b[o] + sum over c, kh, kw of w[o, c, kh, kw] * x[n, g*C/G + c, oh - top + kh, ow - left + kw]``
    with g the group of o.

    Parameters
    ----------
    x : float (N, C, H, W)
    w : float (O, C/G, 3, 3)
    b : float (O,) or None
    padding : pair of pairs of int
    groups : int

    Returns
    -------
    y : float (N, O, OH, OW)

    Raises
    ------
    GeometryError
        If the window is larger than the padded image.

    Notes
    -----
    Adjoint: `conv2d_adjoint_x`, `conv2d_adjoint_w`, `conv2d_adjoint_b`.
    Edge cases: as for `conv2d`. A faster twin mixes the pixels of a tile of outputs and sums them apart again. So its rounding
    errors are of the size of all of them (`zfkernels.minimal_filtering.term_sizes`), sums overflow earlier, and where a tile meets
    NaN or an infinity, every output of the tile may be NaN: nothing of the kind is lost, but an infinity may become NaN.
    Source: Winograd 1980, "Arithmetic complexity of computations"; Lavin & Gray 2016, arXiv 1509.09308.

    Examples
    --------
    >>> x, w = np.ones((1, 1, 3, 3)), np.ones((1, 1, 3, 3))
    >>> conv2d_winograd(x, w, np.array([0.5]), ((0, 0), (1, 1)), 1)[0, 0]
    array([[6.5, 9.5, 6.5]])
    """
    return conv2d(x, w, b, (1, 1), padding, (1, 1), groups)


def conv2d_winograd_relu(x: np.ndarray, w: np.ndarray, b: np.ndarray | None, padding: Padding, groups: int) -> np.ndarray:
    """The positive part of the convolution, for when nobody asks for the value before it.

    ``y = max(conv2d_winograd(x, w, b, ...), 0)``

    Parameters
    ----------
    x, w, b, padding, groups
        As for `conv2d_winograd`.

    Returns
    -------
    y : float (N, O, OH, OW)

    Raises
    ------
    GeometryError
        If the window is larger than the padded image.

    Notes
    -----
    Derivative: `relu_vjp`, to which y is as good as what it came from, then the adjoints of `conv2d`.
    Edge cases: as for `conv2d_winograd` and `relu`.
    Source: as for `conv2d_winograd`.

    Examples
    --------
    >>> x, w = -np.ones((1, 1, 3, 3)), np.ones((1, 1, 3, 3))
    >>> conv2d_winograd_relu(x, w, np.array([7.0]), ((0, 0), (1, 1)), 1)[0, 0]
    array([[1., 0., 1.]])
    """
    return conv2d_relu(x, w, b, (1, 1), padding, (1, 1), groups)
