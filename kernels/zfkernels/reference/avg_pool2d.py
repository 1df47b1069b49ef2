"""Average pooling and its adjoint."""

from __future__ import annotations

import numpy as np

from zfkernels.geometry import Axis, Padding, Pair, axes, pool_output_size
from zfkernels.reference.im2col import window_slices


def taps_counted(axis: Axis, o: int, count_include_pad: bool) -> int:
    """Taps of window `o` that the average divides by: those on the padded image, or on the image alone.

    Examples
    --------
    Three taps from one before the first of four pixels on:

    >>> axis = Axis(4, kernel=3, before=1)
    >>> taps_counted(axis, 0, count_include_pad=True), taps_counted(axis, 0, count_include_pad=False)
    (3, 2)
    """
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
    count_include_pad on the image and its padding.

    Parameters
    ----------
    x : float (N, C, H, W)
    kernel_size, stride : pair of int
    padding : pair of pairs of int
    ceil_mode : bool
        Keep a last, partial window.
    count_include_pad : bool
    divisor_override : int or None

    Returns
    -------
    y : float (N, C, OH, OW)

    Raises
    ------
    GeometryError
        If the window is larger than the padded image, or one holds padding alone.

    Notes
    -----
    Adjoint: `avg_pool2d_adjoint_x`.
    Edge cases: a last window of ceil mode counts no tap beyond the padding.
    Source: Lin, Chen & Yan 2013, "Network in network", section 3.2; divisors: PyTorch, torch.nn.AvgPool2d.

    Examples
    --------
    >>> avg_pool2d(np.array([[[[1.0, 2.0], [3.0, 4.0]]]]), (2, 2), (2, 2), ((0, 0), (0, 0)), False, True, None)
    array([[[[2.5]]]])
    """
    size = x.shape[2:]
    OH, OW = pool_output_size(size, kernel_size, stride, padding, (1, 1), ceil_mode)
    vertical, horizontal = axes(size, kernel_size, stride, padding)
    y = np.zeros((*x.shape[:2], OH, OW), x.dtype)
    for oh in range(OH):
        _, ih = window_slices(vertical, oh)
        for ow in range(OW):
            _, iw = window_slices(horizontal, ow)
            divisor = divisor_override or (taps_counted(vertical, oh, count_include_pad) * taps_counted(horizontal, ow, count_include_pad))
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

    Parameters
    ----------
    gy : float (N, C, OH, OW)
    input_size : pair of int
        (H, W), the image of `avg_pool2d`.
    kernel_size, stride : pair of int
    padding : pair of pairs of int
    ceil_mode, count_include_pad : bool
    divisor_override : int or None

    Returns
    -------
    gx : float (N, C, H, W)

    Notes
    -----
    Adjoint: `avg_pool2d`.
    Edge cases: what would fall on padding is dropped; pixels that no window meets are zero.
    Source: the transpose of `avg_pool2d`'s formula.

    Examples
    --------
    >>> avg_pool2d_adjoint_x(np.array([[[[4.0]]]]), (2, 2), (2, 2), (2, 2), ((0, 0), (0, 0)), False, True, None)[0, 0]
    array([[1., 1.],
           [1., 1.]])
    """
    OH, OW = gy.shape[2:]
    vertical, horizontal = axes(input_size, kernel_size, stride, padding)
    assert OH <= vertical.outputs(ceil_mode) and OW <= horizontal.outputs(ceil_mode)
    gx = np.zeros((*gy.shape[:2], *input_size), gy.dtype)
    for oh in range(OH):
        _, ih = window_slices(vertical, oh)
        for ow in range(OW):
            _, iw = window_slices(horizontal, ow)
            divisor = divisor_override or (taps_counted(vertical, oh, count_include_pad) * taps_counted(horizontal, ow, count_include_pad))
            gx[:, :, ih, iw] += (gy[:, :, oh, ow] / gy.dtype.type(divisor))[:, :, None, None]
    return gx
