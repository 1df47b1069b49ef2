"""Windows of maps, one for each of some units: cut out, laid down, patched, and switches counted from a window's corner.

A projection follows a unit down inside the window of each map that it reaches, an occlusion up inside the window that it changes. Units
have windows of one size, each at its own place; a window may reach beyond its map.
"""

from __future__ import annotations

import numpy as np

from zfkernels.geometry import Pair


def cut_windows(x: np.ndarray, images: np.ndarray, low: np.ndarray, size: Pair) -> np.ndarray:
    """Of each unit's image the window that begins at `low`; zero where that lies beyond the map.

    ``y[b, c, i, j] = x[images[b], c, low[b, 0] + i, low[b, 1] + j]``

    Parameters
    ----------
    x : float or int32 (N, C, H, W)
    images : int64 (B,)
        Of each unit, from 0 to N - 1.
    low : int64 (B, 2)
        First row and column of each window; they may be negative, or beyond the map.
    size : pair of int
        (h, w) of all windows.

    Returns
    -------
    y : x's type (B, C, h, w)

    Notes
    -----
    Adjoint: `place_windows`, where each unit has an image of its own: `images` is 0, 1, ... B - 1.
    Edge cases: a window wholly beyond the map is zero.
    Source: paper, section 2.1 (a projection lies inside the unit's receptive field).

    Examples
    --------
    >>> x = np.array([[[[1.0, 2.0], [3.0, 4.0]]]])
    >>> cut_windows(x, np.array([0, 0]), np.array([[0, 1], [-1, 0]]), (2, 1))[:, 0].tolist()
    [[[2.0], [4.0]], [[0.0], [1.0]]]
    """
    (_, C, H, W), (h, w) = x.shape, size
    assert images.shape == (len(low),) and low.shape[1:] == (2,)
    y = np.zeros((len(low), C, h, w), x.dtype)
    for b in range(len(low)):
        for i in range(h):
            for j in range(w):
                ih, iw = low[b, 0] + i, low[b, 1] + j
                if 0 <= ih < H and 0 <= iw < W:
                    y[b, :, i, j] = x[images[b], :, ih, iw]
    return y


def place_windows(y: np.ndarray, low: np.ndarray, output_size: Pair) -> np.ndarray:
    """Maps of zeros, with each unit's window laid over its own; what lies beyond the map is lost.

    ``x[b, c, low[b, 0] + i, low[b, 1] + j] = y[b, c, i, j]``

    Parameters
    ----------
    y : float or int32 (B, C, h, w)
    low : int64 (B, 2)
        Where the first pixel of each comes to lie; beyond the map, perhaps.
    output_size : pair of int
        (H, W)

    Returns
    -------
    x : y's type (B, C, H, W)

    Notes
    -----
    Adjoint: `cut_windows`, where each unit has an image of its own.
    Edge cases: of a window wholly beyond the map nothing is left.
    Source: the transpose of `cut_windows`' formula.

    Examples
    --------
    >>> place_windows(np.array([[[[1.0, 2.0]]]]), np.array([[1, -1]]), (2, 2))[0, 0]
    array([[0., 0.],
           [2., 0.]])
    """
    (B, C, h, w), (H, W) = y.shape, output_size
    assert low.shape == (B, 2)
    x = np.zeros((B, C, H, W), y.dtype)
    for b in range(B):
        for i in range(h):
            for j in range(w):
                ih, iw = low[b, 0] + i, low[b, 1] + j
                if 0 <= ih < H and 0 <= iw < W:
                    x[b, :, ih, iw] = y[b, :, i, j]
    return x


def patch_windows(image: np.ndarray, patch: np.ndarray, at: np.ndarray, low: np.ndarray, size: Pair, fill: float) -> np.ndarray:
    """Windows of one image's maps, with each unit's patch laid over them.

    ``y[b, c, i, j] = patch[b, c, ih - at[b, 0], iw - at[b, 1]]`` where the patch has that pixel, else ``image[0, c, ih, iw]``; in both
    ``ih, iw = low[b, 0] + i, low[b, 1] + j``

    Parameters
    ----------
    image : float (1, C, H, W)
    patch : float (B, C, KH, KW)
        Each inside the map.
    at : int64 (B, 2)
        First row and column of each patch.
    low : int64 (B, 2)
        First row and column of each window; they may be negative, or beyond the map.
    size : pair of int
        (h, w) of all windows.
    fill : float
        What is beyond the map.

    Returns
    -------
    y : float (B, C, h, w)

    Notes
    -----
    Adjoint: none is needed.
    Edge cases: a patch that its window does not meet is not seen.
    Source: paper, section 4.2 (occlusion), computed where a layer changes.

    Examples
    --------
    >>> image, patch = np.array([[[[1.0, 2.0], [3.0, 4.0]]]]), np.array([[[[9.0]]]])
    >>> patch_windows(image, patch, np.array([[0, 1]]), np.array([[-1, 0]]), (3, 2), 0.0)[0, 0].tolist()
    [[0.0, 0.0], [1.0, 9.0], [3.0, 4.0]]
    """
    (_, C, H, W), (B, _, KH, KW), (h, w) = image.shape, patch.shape, size
    assert len(image) == 1 and patch.shape[1] == C and at.shape == low.shape == (B, 2)
    y = np.full((B, C, h, w), fill, image.dtype)
    for b in range(B):
        for i in range(h):
            for j in range(w):
                ih, iw = low[b, 0] + i, low[b, 1] + j
                kh, kw = ih - at[b, 0], iw - at[b, 1]
                if 0 <= ih < H and 0 <= iw < W:
                    y[b, :, i, j] = patch[b, :, kh, kw] if 0 <= kh < KH and 0 <= kw < KW else image[0, :, ih, iw]
    return y


def rebase_switches(switches: np.ndarray, width: int, low: np.ndarray, narrow: int) -> np.ndarray:
    """Switches of a map as switches of the part of it that is each unit's window.

    ``(ih - low[b, 0])*narrow + iw - low[b, 1]`` for ``ih, iw = divmod(switches[b, c, oh, ow], width)``

    Parameters
    ----------
    switches : int32 (B, C, OH, OW)
    width : int
        Of the map.
    low : int64 (B, 2)
        First row and column of each window.
    narrow : int
        Width of the windows.

    Returns
    -------
    rebased : int32 (B, C, OH, OW)

    Notes
    -----
    Adjoint: none, these are places.
    Edge cases: of a switch that is not in the window the formula makes a number that names no pixel, or another one.
    Source: paper, section 2.1 (switches).

    Examples
    --------
    Row 2 and column 3 of a map five pixels wide, in a window from row 1 and column 2 on, two pixels wide:

    >>> rebase_switches(np.full((1, 1, 1, 1), 13, np.int32), 5, np.array([[1, 2]]), 2).item()
    3
    """
    assert low.shape == (len(switches), 2)
    rows, columns = np.divmod(switches.astype(np.int64), width)
    top, left = (low[:, axis, None, None, None] for axis in (0, 1))
    return ((rows - top) * narrow + columns - left).astype(np.int32)
