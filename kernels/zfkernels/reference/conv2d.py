"""Convolution (cross-correlation, as networks mean it) and its adjoints in the input, the filters and the bias.

The adjoint in x is the transposed convolution: the *filter* step of the deconvnet (paper, section 2.1).
"""

from __future__ import annotations

import numpy as np

from zfkernels.geometry import Padding, Pair, axes, output_size
from zfkernels.reference.im2col import window_slices


def conv2d(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, stride: Pair, padding: Padding, dilation: Pair, groups: int
) -> np.ndarray:
    """Each output is one filter against one window, plus a bias.

    ``y[n, o, oh, ow] = b[o] + sum over c, kh, kw of w[o, c, kh, kw] * x[n, g*C/G + c, oh*SH - top + kh*DH, ow*SW - left + kw*DW]``
    with g the group of o.

    Shapes: x (N, C, H, W), w (O, C/G, KH, KW), b (O,) or None -> y (N, O, OH, OW).
    Adjoint: `conv2d_adjoint_x`, `conv2d_adjoint_w`, `conv2d_adjoint_b`.
    """
    N, _, H, W = x.shape
    O, CG, KH, KW = w.shape
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


def conv2d_adjoint_x(
    gy: np.ndarray, w: np.ndarray, input_size: Pair, stride: Pair, padding: Padding, dilation: Pair, groups: int
) -> np.ndarray:
    """Each output puts its filter, weighted, back into its window: the transposed convolution.

    ``gx[n, g*C/G + c, ih, iw] = sum of w[o, c, kh, kw] * gy[n, o, oh, ow] over o in group g and all taps that meet (ih, iw)``

    Equally: a plain convolution of gy with zeros put between its elements, by filters flipped both ways and channels swapped.

    Shapes: gy (N, O, OH, OW), w (O, C/G, KH, KW) -> gx (N, C, H, W) with (H, W) = input_size.
    Adjoint: `conv2d` without bias, in x.
    """
    N, O, OH, OW = gy.shape
    _, CG, KH, KW = w.shape
    vertical, horizontal = axes(input_size, (KH, KW), stride, padding, dilation)
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

    Shapes: gy (N, O, OH, OW), x (N, C, H, W) -> gw (O, C/G, KH, KW).
    Adjoint: `conv2d` without bias, in w.
    """
    N, O, OH, OW = gy.shape
    C, H, W = x.shape[1:]
    vertical, horizontal = axes((H, W), kernel_size, stride, padding, dilation)
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

    Shapes: gy (N, O, OH, OW) -> gb (O,).
    Adjoint: `conv2d` in b.
    """
    return gy.sum(axis=(0, 2, 3))
