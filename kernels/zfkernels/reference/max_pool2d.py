"""Max-pooling with switches, the gather at those switches, and unpooling, which is the gather's adjoint.

That sentence is the deconvnet's *unpool* step (paper, section 2.1): pooling is not linear, but once the switches are fixed it only
picks elements, and picking has an adjoint: putting back.
"""

from __future__ import annotations

import numpy as np

from zfkernels.geometry import Padding, Pair, axes, pool_output_size
from zfkernels.reference.im2col import window_slices


def max_pool2d(
    x: np.ndarray, kernel_size: Pair, stride: Pair, padding: Padding, dilation: Pair, ceil_mode: bool
) -> tuple[np.ndarray, np.ndarray]:
    """The largest pixel of each window, and where it was.

    ``y[n, c, oh, ow] = max over kh, kw of x[n, c, oh*SH - top + kh*DH, ow*SW - left + kw*DW]``; ``switches`` holds ih*W + iw of it.

    Shapes: x (N, C, H, W) -> y (N, C, OH, OW) and switches (N, C, OH, OW) int32.
    Edge cases: the first maximum in row-major order wins a tie; padding is never selected; the first NaN of a window wins.
    """
    N, C, H, W = x.shape
    OH, OW = pool_output_size((H, W), kernel_size, stride, padding, dilation, ceil_mode)
    vertical, horizontal = axes((H, W), kernel_size, stride, padding, dilation)
    index = np.arange(H * W, dtype=np.int32).reshape(H, W)
    switches = np.zeros((N, C, OH, OW), np.int32)
    for oh in range(OH):
        _, ih = window_slices(vertical, oh)
        for ow in range(OW):
            _, iw = window_slices(horizontal, ow)
            places = index[ih, iw].ravel()
            window = x[:, :, ih, iw].reshape(N, C, places.size)
            switches[:, :, oh, ow] = places[window.argmax(axis=2)]  # argmax: the first, NaN above all
    return max_pool2d_gather(x, switches), switches


def max_pool2d_gather(x: np.ndarray, switches: np.ndarray) -> np.ndarray:
    """Pick the pixels that the switches name: pooling with its decisions already taken, linear in x.

    ``y[n, c, oh, ow] = x[n, c].flat[switches[n, c, oh, ow]]``

    Shapes: x (N, C, H, W), switches (N, C, OH, OW) int32 -> y (N, C, OH, OW).
    Adjoint: `max_unpool2d` with collisions "add".
    """
    N, C, OH, OW = switches.shape
    planes, places = x.reshape(N, C, x.shape[2] * x.shape[3]), switches.reshape(N, C, OH * OW)
    return np.take_along_axis(planes, places, axis=2).reshape(N, C, OH, OW)


def max_unpool2d(y: np.ndarray, switches: np.ndarray, output_size: Pair, collisions: str) -> np.ndarray:
    """Put every element back where its switch says; the rest is zero.

    ``x[n, c].flat[switches[n, c, oh, ow]] += y[n, c, oh, ow]``

    Overlapping windows can name one pixel. collisions "add" sums them, and only that is an adjoint; "max" keeps the largest,
    "last" the last in row-major order of the windows. A window without a signal (0) takes no part, so that what comes down from
    one unit does not depend on how much of the map around it is computed.

    Shapes: y (N, C, OH, OW), switches (N, C, OH, OW) int32 -> x (N, C, H, W) with (H, W) = output_size.
    Adjoint: `max_pool2d_gather` ("add" only).
    """
    N, C, OH, OW = y.shape
    x = np.zeros((N * C, output_size[0] * output_size[1]), y.dtype)
    planes = np.arange(N * C)
    values, places = y.reshape(N * C, OH * OW), switches.reshape(N * C, OH * OW)
    for p in range(OH * OW):
        here, value = (planes, places[:, p]), values[:, p]
        if collisions == "add":
            x[here] += value
        elif collisions == "max":
            larger = np.where(x[here] == 0, value, np.maximum(x[here], value))
            x[here] = np.where(value == 0, x[here], larger)
        else:
            x[here] = np.where(value == 0, x[here], value)
    return x.reshape(N, C, *output_size)
