"""Convolution (cross-correlation, as networks mean it) and its adjoints in the input, the filters and the bias.

The adjoint in x is the transposed convolution: the *filter* step of the deconvnet (paper, section 2.1).
"""

from __future__ import annotations

import numpy as np

from zfkernels.geometry import Padding, Pair, axes, output_size
from zfkernels.reference.im2col import window_slices
from zfkernels.reference.relu import relu


def conv2d(x: np.ndarray, w: np.ndarray, b: np.ndarray | None, stride: Pair, padding: Padding, dilation: Pair, groups: int) -> np.ndarray:
    """Each output is one filter against one window, plus a bias.

    ``y[n, o, oh, ow] = b[o] + sum over c, kh, kw of w[o, c, kh, kw] * x[n, g*C/G + c, oh*SH - top + kh*DH, ow*SW - left + kw*DW]``
    with g the group of o.

    Parameters
    ----------
    x : float (N, C, H, W)
    w : float (O, C/G, KH, KW)
    b : float (O,) or None
    stride, dilation : pair of int
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
    Edge cases: padding is left out of the sum, so that an infinite weight on it is not NaN; a faster twin may multiply it by 0.
    Source: paper, section 2; Goodfellow, Bengio & Courville 2016, "Deep Learning", equation 9.6 and section 9.5.

    Examples
    --------
    >>> x, w = np.array([[[[1.0, 2.0], [3.0, 4.0]]]]), np.array([[[[1.0, 10.0]]]])
    >>> conv2d(x, w, np.array([0.5]), (1, 1), ((0, 0), (0, 0)), (1, 1), 1)[0, 0]
    array([[21.5],
           [43.5]])
    """
    N, C, H, W = x.shape
    O, CG, KH, KW = w.shape
    assert C == groups * CG and O % groups == 0
    assert b is None or b.shape == (O,)
    OH, OW = output_size((H, W), (KH, KW), stride, padding, dilation)
    vertical, horizontal = axes((H, W), (KH, KW), stride, padding, dilation)
    xg, wg = x.reshape(N, groups, CG, H, W), w.reshape(groups, O // groups, CG, KH, KW)
    y = np.zeros((N, groups, O // groups, OH, OW), x.dtype)
    for oh in range(OH):
        kh, ih = window_slices(vertical, oh)
        for ow in range(OW):
            kw, iw = window_slices(horizontal, ow)
            y[..., oh, ow] = np.einsum("ngchw,gochw->ngo", xg[..., ih, iw], wg[..., kh, kw])
    y = y.reshape(N, O, OH, OW)
    return y if b is None else y + b[:, None, None]


def conv2d_relu(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, stride: Pair, padding: Padding, dilation: Pair, groups: int
) -> np.ndarray:
    """The positive part of the convolution, for when nobody asks for the value before it.

    ``y = max(conv2d(x, w, b, ...), 0)``

    Parameters
    ----------
    x, w, b, stride, padding, dilation, groups
        As for `conv2d`.

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
    Edge cases: as for `conv2d` and `relu`.
    Source: paper, section 2.

    Examples
    --------
    >>> x, w = np.array([[[[1.0, -2.0], [3.0, -4.0]]]]), np.array([[[[1.0]]]])
    >>> conv2d_relu(x, w, None, (1, 1), ((0, 0), (0, 0)), (1, 1), 1)[0, 0]
    array([[1., 0.],
           [3., 0.]])
    """
    return relu(conv2d(x, w, b, stride, padding, dilation, groups))


def conv2d_adjoint_x(
    gy: np.ndarray, w: np.ndarray, input_size: Pair, stride: Pair, padding: Padding, dilation: Pair, groups: int
) -> np.ndarray:
    """Each output puts its filter, weighted, back into its window: the transposed convolution.

    ``gx[n, g*C/G + c, ih, iw] = sum of w[o, c, kh, kw] * gy[n, o, oh, ow] over o in group g and all taps that meet (ih, iw)``

    Equally: a plain convolution of gy with zeros put between its elements, by filters flipped both ways and channels swapped.

    Parameters
    ----------
    gy : float (N, O, OH, OW)
    w : float (O, C/G, KH, KW)
    input_size : pair of int
        (H, W), the image of `conv2d`.
    stride, dilation : pair of int
    padding : pair of pairs of int
    groups : int

    Returns
    -------
    gx : float (N, C, H, W)

    Notes
    -----
    Adjoint: `conv2d` without bias, in x.
    Edge cases: pixels that no window meets are zero; gy may have fewer rows and columns than the image has room for (a transposed
    convolution with output padding), the others count as zero.
    Source: paper, section 2.1 (filtering); Dumoulin & Visin 2016, arXiv 1603.07285, chapter 4; "Deep Learning", equation 9.13.

    Examples
    --------
    >>> gy, w = np.array([[[[1.0, 2.0]]]]), np.array([[[[1.0, 10.0]]]])
    >>> conv2d_adjoint_x(gy, w, (1, 3), (1, 1), ((0, 0), (0, 0)), (1, 1), 1)[0, 0]
    array([[ 1., 12., 20.]])
    """
    N, O, OH, OW = gy.shape
    _, CG, KH, KW = w.shape
    vertical, horizontal = axes(input_size, (KH, KW), stride, padding, dilation)
    assert w.shape[0] == O and O % groups == 0
    assert OH <= vertical.outputs() and OW <= horizontal.outputs()
    gyg, wg = gy.reshape(N, groups, O // groups, OH, OW), w.reshape(groups, O // groups, CG, KH, KW)
    gx = np.zeros((N, groups, CG, *input_size), gy.dtype)
    for oh in range(OH):
        kh, ih = window_slices(vertical, oh)
        for ow in range(OW):
            kw, iw = window_slices(horizontal, ow)
            gx[..., ih, iw] += np.einsum("ngo,gochw->ngchw", gyg[..., oh, ow], wg[..., kh, kw])
    return gx.reshape(N, groups * CG, *input_size)


def conv2d_adjoint_w(
    gy: np.ndarray, x: np.ndarray, kernel_size: Pair, stride: Pair, padding: Padding, dilation: Pair, groups: int
) -> np.ndarray:
    """Each output adds its window, weighted, to its filter.

    ``gw[o, c, kh, kw] = sum over n, oh, ow of gy[n, o, oh, ow] * x[n, g*C/G + c, oh*SH - top + kh*DH, ow*SW - left + kw*DW]``

    Parameters
    ----------
    gy : float (N, O, OH, OW)
    x : float (N, C, H, W)
    kernel_size, stride, dilation : pair of int
    padding : pair of pairs of int
    groups : int

    Returns
    -------
    gw : float (O, C/G, KH, KW)

    Notes
    -----
    Adjoint: `conv2d` without bias, in w.
    Edge cases: an empty batch gives zeros.
    Source: "Deep Learning", equation 9.11.

    Examples
    --------
    >>> gy, x = np.array([[[[1.0, 10.0]]]]), np.array([[[[1.0, 2.0, 3.0]]]])
    >>> conv2d_adjoint_w(gy, x, (1, 2), (1, 1), ((0, 0), (0, 0)), (1, 1), 1)[0, 0]
    array([[21., 32.]])
    """
    N, O, OH, OW = gy.shape
    C, H, W = x.shape[1:]
    vertical, horizontal = axes((H, W), kernel_size, stride, padding, dilation)
    assert len(x) == N and C % groups == O % groups == 0
    assert OH <= vertical.outputs() and OW <= horizontal.outputs()
    xg, gyg = x.reshape(N, groups, C // groups, H, W), gy.reshape(N, groups, O // groups, OH, OW)
    gw = np.zeros((groups, O // groups, C // groups, *kernel_size), gy.dtype)
    for oh in range(OH):
        kh, ih = window_slices(vertical, oh)
        for ow in range(OW):
            kw, iw = window_slices(horizontal, ow)
            gw[..., kh, kw] += np.einsum("ngo,ngchw->gochw", gyg[..., oh, ow], xg[..., ih, iw])
    return gw.reshape(O, C // groups, *kernel_size)


def conv2d_adjoint_b(gy: np.ndarray) -> np.ndarray:
    """Each bias gathers the signal of its whole map.

    ``gb[o] = sum over n, oh, ow of gy[n, o, oh, ow]``

    Parameters
    ----------
    gy : float (N, O, OH, OW)

    Returns
    -------
    gb : float (O,)

    Notes
    -----
    Adjoint: `conv2d` in b.
    Edge cases: an empty batch gives zeros.
    Source: the derivative of `conv2d`'s formula.

    Examples
    --------
    >>> conv2d_adjoint_b(np.array([[[[1.0, 2.0], [3.0, 4.0]]]]))
    array([10.])
    """
    return gy.sum(axis=(0, 2, 3))
