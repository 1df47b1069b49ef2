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

    Parameters
    ----------
    x : float (N, C, H, W)
    kernel_size, stride, dilation : pair of int
    padding : pair of pairs of int
    ceil_mode : bool
        Keep a last, partial window.

    Returns
    -------
    y : float (N, C, OH, OW)
    switches : int32 (N, C, OH, OW)

    Raises
    ------
    GeometryError
        If the window is larger than the padded image, or one holds padding alone.

    Notes
    -----
    Adjoint: none, it is not linear; at fixed switches it is `max_pool2d_gather`.
    Edge cases: the first maximum in row-major order wins a tie; padding is never selected; the first NaN of a window wins.
    Source: paper, section 2.1 (unpooling: "switch" variables).

    Examples
    --------
    >>> y, switches = max_pool2d(np.array([[[[1.0, 5.0], [5.0, 2.0]]]]), (2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1), False)
    >>> y.item(), switches.item()
    (5.0, 1)
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
            assert 0 < places.size <= kernel_size[0] * kernel_size[1]
            switches[:, :, oh, ow] = places[window.argmax(axis=2)]  # argmax: the first, NaN above all
    return max_pool2d_gather(x, switches), switches


def max_pool2d_gather(x: np.ndarray, switches: np.ndarray) -> np.ndarray:
    """Pick the pixels that the switches name: pooling with its decisions already taken, linear in x.

    ``y[n, c, oh, ow] = x[n, c].flat[switches[n, c, oh, ow]]``

    Parameters
    ----------
    x : float (N, C, H, W)
    switches : int32 (N, C, OH, OW)

    Returns
    -------
    y : float (N, C, OH, OW)

    Notes
    -----
    Adjoint: `max_unpool2d` with collisions "add".
    Edge cases: a pixel may be named by several windows, or by none.
    Source: paper, section 2.1 (unpooling).

    Examples
    --------
    >>> max_pool2d_gather(np.array([[[[1.0, 2.0], [3.0, 4.0]]]]), np.array([[[[3, 0]]]], np.int32))[0, 0]
    array([[4., 1.]])
    """
    N, C, OH, OW = switches.shape
    assert x.shape[:2] == (N, C)
    planes, places = x.reshape(N, C, x.shape[2] * x.shape[3]), switches.reshape(N, C, OH * OW)
    return np.take_along_axis(planes, places, axis=2).reshape(N, C, OH, OW)


def max_unpool2d(y: np.ndarray, switches: np.ndarray, output_size: Pair, collisions: str) -> np.ndarray:
    """Put every element back where its switch says; the rest is zero.

    ``x[n, c].flat[switches[n, c, oh, ow]] += y[n, c, oh, ow]``

    Parameters
    ----------
    y : float (N, C, OH, OW)
    switches : int32 (N, C, OH, OW)
    output_size : pair of int
        (H, W), the image of `max_pool2d`.
    collisions : {"add", "max", "last"}
        Where windows overlap and name one pixel: the sum, the largest, or the last in row-major order of the windows.

    Returns
    -------
    x : float (N, C, H, W)

    Notes
    -----
    Adjoint: `max_pool2d_gather`, of "add" alone.
    Edge cases: for "max" and "last" a window without a signal (0) takes no part, so that what comes down from one unit does not
    depend on how much of the map around it is computed.
    Source: paper, section 2.1 (unpooling); what happens to collisions it does not say.

    Examples
    --------
    >>> y, switches = np.array([[[[3.0, 1.0]]]]), np.array([[[[2, 2]]]], np.int32)
    >>> [max_unpool2d(y, switches, (2, 2), collisions)[0, 0].tolist() for collisions in ("add", "max", "last")]
    [[[0.0, 0.0], [4.0, 0.0]], [[0.0, 0.0], [3.0, 0.0]], [[0.0, 0.0], [1.0, 0.0]]]
    """
    N, C, OH, OW = y.shape
    assert switches.shape == y.shape
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
