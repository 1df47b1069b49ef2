"""Average pooling and its adjoint."""

from __future__ import annotations

import numpy as np

from zfkernels.geometry import Axis, Padding, Pair, axes, pool_output_size
from zfkernels.reference.im2col import window_slices


def taps_counted(axis: Axis, o: int, count_include_pad: bool) -> int:
    """Taps of window `o` that the average divides by: those on the padded image, or on the image alone."""
    first = o * axis.stride - axis.before
    if count_include_pad:
        return min(first + axis.kernel, axis.size + axis.after) - first
    return min(first + axis.kernel, axis.size) - max(first, 0)


def avg_pool2d(
    x: np.ndarray,
    kernel_size: Pair,
    stride: Pair,
    padding: Padding,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> np.ndarray:
    """The mean of each window.

    ``y[n, c, oh, ow] = sum over the window of x / divisor``: divisor_override if given, else the number of taps on the image, with
    count_include_pad on the image and its padding (a last window of ceil mode counts no tap beyond the padding).

    Shapes: x (N, C, H, W) -> y (N, C, OH, OW).
    Adjoint: `avg_pool2d_adjoint_x`.
    """
    size = x.shape[2:]
    OH, OW = pool_output_size(size, kernel_size, stride, padding, (1, 1), ceil_mode)
    vertical, horizontal = axes(size, kernel_size, stride, padding)
    y = np.zeros((*x.shape[:2], OH, OW), x.dtype)
    for oh in range(OH):
        _, ih = window_slices(vertical, oh)
        for ow in range(OW):
            _, iw = window_slices(horizontal, ow)
            divisor = divisor_override or (
                taps_counted(vertical, oh, count_include_pad) * taps_counted(horizontal, ow, count_include_pad)
            )
            y[:, :, oh, ow] = x[:, :, ih, iw].sum(axis=(2, 3)) / x.dtype.type(divisor)
    return y


def avg_pool2d_adjoint_x(
    gy: np.ndarray,
    input_size: Pair,
    kernel_size: Pair,
    stride: Pair,
    padding: Padding,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> np.ndarray:
    """Spread every element evenly over its window.

    ``gx[n, c, ih, iw] = sum of gy[n, c, oh, ow] / divisor(oh, ow) over the windows that hold (ih, iw)``

    Shapes: gy (N, C, OH, OW) -> gx (N, C, H, W) with (H, W) = input_size.
    Adjoint: `avg_pool2d`.
    """
    OH, OW = gy.shape[2:]
    vertical, horizontal = axes(input_size, kernel_size, stride, padding)
    gx = np.zeros((*gy.shape[:2], *input_size), gy.dtype)
    for oh in range(OH):
        _, ih = window_slices(vertical, oh)
        for ow in range(OW):
            _, iw = window_slices(horizontal, ow)
            divisor = divisor_override or (
                taps_counted(vertical, oh, count_include_pad) * taps_counted(horizontal, ow, count_include_pad)
            )
            gx[:, :, ih, iw] += (gy[:, :, oh, ow] / gy.dtype.type(divisor))[:, :, None, None]
    return gx
