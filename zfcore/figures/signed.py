"""Arrays of both signs as pictures: zero is mid-grey, and the scale is the same up and down."""

from __future__ import annotations

import numpy as np

ZERO = 128
"""Mid-grey. Stretching minimum to maximum instead would hide where zero is, and with it the sign."""
PERCENTILE = 99.5
"""Of |pixels|: the scale is not left to a single outlier."""


def signed_scale(pixels: np.ndarray) -> float:
    """The absolute value that is shown as black or white: the 99.5th percentile, or the largest if so few pixels are not 0."""
    sizes = np.abs(pixels[np.isfinite(pixels)])
    if sizes.size == 0:
        return 0.0
    return float(np.percentile(sizes, PERCENTILE)) or float(sizes.max())


def signed_levels(pixels: np.ndarray, scale: float | None = None) -> np.ndarray:
    """An array of both signs as uint8 levels: 0 becomes 128, +scale 255, -scale 1; beyond is clipped, NaN is 128.

    Examples
    --------
    >>> signed_levels(np.array([-2.0, -1.0, 0.0, 0.5, 1.0]), scale=1).tolist()
    [1, 1, 128, 192, 255]
    """
    scale = signed_scale(pixels) if scale is None else scale
    unit = np.nan_to_num(pixels / scale if scale > 0 else np.zeros(pixels.shape), nan=0.0)
    return np.rint(ZERO + 127 * np.clip(unit, -1, 1)).astype(np.uint8)


def signed_picture(pixels: np.ndarray, scale: float | None = None) -> np.ndarray:
    """A projection (C, H, W) of 1 or 3 channels as (H, W, 3) uint8, RGB."""
    levels = signed_levels(pixels, scale)
    return np.ascontiguousarray(np.broadcast_to(levels, (3, *levels.shape[1:])).transpose(1, 2, 0))
