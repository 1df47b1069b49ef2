"""im2col: every window of an image as a column; col2im, its adjoint: every column added back where it came from."""

from __future__ import annotations

import numpy as np

from zfkernels.geometry import Axis, Padding, Pair, axes, output_size


def window_slices(axis: Axis, o: int) -> tuple[slice, slice]:
    """Taps of window `o` that fall on pixels, and those pixels: two slices of equal length.

    Examples
    --------
    The first of three-tap windows on four pixels with one of padding:

    >>> window_slices(Axis(4, kernel=3, before=1), 0)
    (slice(1, 3, None), slice(0, 2, 1))
    """
    first = o * axis.stride - axis.before
    taps = [k for k in range(axis.kernel) if 0 <= first + k * axis.dilation < axis.size]
    if not taps:
        return slice(0, 0), slice(0, 0)
    start, stop = first + taps[0] * axis.dilation, first + taps[-1] * axis.dilation + 1
    return slice(taps[0], taps[-1] + 1), slice(start, stop, axis.dilation)


def im2col(x: np.ndarray, kernel_size: Pair, stride: Pair, padding: Padding, dilation: Pair) -> np.ndarray:
    """Each window becomes a column; taps on padding are zero.

    ``cols[n, (c*KH + kh)*KW + kw, oh*OW + ow] = x[n, c, oh*SH - top + kh*DH, ow*SW - left + kw*DW]``

    Parameters
    ----------
    x : float (N, C, H, W)
    kernel_size, stride, dilation : pair of int
    padding : pair of pairs of int

    Returns
    -------
    cols : float (N, C*KH*KW, OH*OW)

    Raises
    ------
    GeometryError
        If the window is larger than the padded image.

    Notes
    -----
    Adjoint: `col2im`.
    Edge cases: a window wholly on padding is a column of zeros.
    Source: Chellapilla, Puri & Simard 2006, "High performance convolutional neural networks for document processing" (unrolling).

    Examples
    --------
    >>> im2col(np.array([[[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]]), (2, 2), (1, 1), ((0, 0), (0, 0)), (1, 1))[0].T
    array([[1., 2., 4., 5.],
           [2., 3., 5., 6.]])
    """
    N, C, H, W = x.shape
    KH, KW = kernel_size
    OH, OW = output_size((H, W), kernel_size, stride, padding, dilation)
    vertical, horizontal = axes((H, W), kernel_size, stride, padding, dilation)
    cols = np.zeros((N, C, KH, KW, OH, OW), x.dtype)
    for oh in range(OH):
        kh, ih = window_slices(vertical, oh)
        for ow in range(OW):
            kw, iw = window_slices(horizontal, ow)
            cols[:, :, kh, kw, oh, ow] = x[:, :, ih, iw]
            assert cols[..., oh, ow].shape == (N, C, KH, KW)
    return cols.reshape(N, C * KH * KW, OH * OW)


def col2im(cols: np.ndarray, output_size: Pair, kernel_size: Pair, stride: Pair, padding: Padding, dilation: Pair) -> np.ndarray:
    """Add every column back to the pixels it was taken from; what fell on padding is dropped.

    ``x[n, c, ih, iw] = sum of cols[n, (c*KH + kh)*KW + kw, oh*OW + ow] with ih = oh*SH - top + kh*DH, iw = ow*SW - left + kw*DW``

    Parameters
    ----------
    cols : float (N, C*KH*KW, OH*OW)
    output_size : pair of int
        (H, W), the image of `im2col`.
    kernel_size, stride, dilation : pair of int
    padding : pair of pairs of int

    Returns
    -------
    x : float (N, C, H, W)

    Notes
    -----
    Adjoint: `im2col`.
    Edge cases: pixels that no window meets are zero.
    Source: Chellapilla, Puri & Simard 2006 (unrolling), read backwards.

    Examples
    --------
    The middle column of pixels lies in both windows:

    >>> col2im(np.ones((1, 4, 2)), (2, 3), (2, 2), (1, 1), ((0, 0), (0, 0)), (1, 1))[0, 0]
    array([[1., 2., 1.],
           [1., 2., 1.]])
    """
    KH, KW = kernel_size
    N, C = cols.shape[0], cols.shape[1] // (KH * KW)
    vertical, horizontal = axes(output_size, kernel_size, stride, padding, dilation)
    OH, OW = vertical.outputs(), horizontal.outputs()
    assert cols.shape == (N, C * KH * KW, OH * OW)
    windows = cols.reshape(N, C, KH, KW, OH, OW)
    x = np.zeros((N, C, *output_size), cols.dtype)
    for oh in range(OH):
        kh, ih = window_slices(vertical, oh)
        for ow in range(OW):
            kw, iw = window_slices(horizontal, ow)
            x[:, :, ih, iw] += windows[:, :, kh, kw, oh, ow]
    return x
