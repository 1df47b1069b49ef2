"""im2col: every window of an image as a column; col2im, its adjoint: every column added back where it came from."""

from __future__ import annotations

import numpy as np

from zfkernels.geometry import Padding, Pair, axes, output_size


def window_slices(axis, o: int) -> tuple[slice, slice]:
    """Taps of window `o` that fall on pixels, and those pixels: two slices of equal length."""
    first = o * axis.stride - axis.before
    taps = [k for k in range(axis.kernel) if 0 <= first + k * axis.dilation < axis.size]
    if not taps:
        return slice(0, 0), slice(0, 0)
    start, stop = first + taps[0] * axis.dilation, first + taps[-1] * axis.dilation + 1
    return slice(taps[0], taps[-1] + 1), slice(start, stop, axis.dilation)


def im2col(x: np.ndarray, kernel_size: Pair, stride: Pair, padding: Padding, dilation: Pair) -> np.ndarray:
    """Each window becomes a column; taps on padding are zero.

    ``cols[n, (c*KH + kh)*KW + kw, oh*OW + ow] = x[n, c, oh*SH - top + kh*DH, ow*SW - left + kw*DW]``

    Shapes: x (N, C, H, W) -> cols (N, C*KH*KW, OH*OW), dtype of x.
    Adjoint: `col2im`.
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
    return cols.reshape(N, C * KH * KW, OH * OW)


def col2im(
    cols: np.ndarray, output_size: Pair, kernel_size: Pair, stride: Pair, padding: Padding, dilation: Pair
) -> np.ndarray:
    """Add every column back to the pixels it was taken from; what fell on padding is dropped.

    ``x[n, c, ih, iw] = sum of cols[n, (c, kh, kw), (oh, ow)] with ih = oh*SH - top + kh*DH, iw = ow*SW - left + kw*DW``

    Shapes: cols (N, C*KH*KW, OH*OW) -> x (N, C, H, W) with (H, W) = output_size.
    Adjoint: `im2col`.
    """
    KH, KW = kernel_size
    N, C = cols.shape[0], cols.shape[1] // (KH * KW)
    vertical, horizontal = axes(output_size, kernel_size, stride, padding, dilation)
    OH, OW = vertical.outputs(), horizontal.outputs()
    windows = cols.reshape(N, C, KH, KW, OH, OW)
    x = np.zeros((N, C, *output_size), cols.dtype)
    for oh in range(OH):
        kh, ih = window_slices(vertical, oh)
        for ow in range(OW):
            kw, iw = window_slices(horizontal, ow)
            x[:, :, ih, iw] += windows[:, :, kh, kw, oh, ow]
    return x
