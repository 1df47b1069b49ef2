"""One activation, brought down to pixels: the result, and the window of the image it lies in."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from zfcore.window import Window


@dataclass(frozen=True)
class Projection:
    """What one unit responds to, in pixels.

    Parameters
    ----------
    pixels : array (C, y1 - y0, x1 - x0)
        In the network's input space; zero outside the image.
    window : Window
        The unit's receptive field in input pixels; it may reach beyond the image.
    value : float
        The activation, which was the seed.
    layer, unit
        Which one it was.
    """

    pixels: np.ndarray = field(repr=False)
    window: Window
    value: float
    layer: str
    unit: tuple[int, ...]


def framed(a: np.ndarray, inside: Window | None, window: Window, fill: float = 0) -> np.ndarray:
    """`a` (..., h, w), which lies at `inside`, as an array of all of `window`: what it does not cover is `fill`."""
    full = np.full((*a.shape[:-2], *window.size), fill, a.dtype)
    if inside is not None and not (common := inside.intersection(window)).empty:
        full[..., *common.relative_to(window).slices] = a[..., *common.relative_to(inside).slices]
    return full
