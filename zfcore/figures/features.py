"""Figure 2: of each map a block of projections beside the block of the patches that caused them."""

from __future__ import annotations

import numpy as np
from PIL import Image

from zfcore.figures.grid import EMPTY, GAP, PAGE, enlarged, mosaic, page_columns, sheet, shrunk, square_columns
from zfcore.figures.signed import signed_picture

LARGE = 112
"""A tile's longest side in the picture: 288 tiles of 224 pixels, photographs and what looks like noise, would make a PNG of 25 MB."""
NOTE = (
    "Left: the strongest activations of each map, one per image, strongest first, row by row, projected down to pixels; grey is zero, "
    "each is scaled to the 99.5th percentile of its |pixels|. Right: what caused them, the same windows of the images in the same "
    "order. Violet lies outside the image; blank: nothing more excites the map."
)
SHRUNK = f" Windows larger than {LARGE} pixels are shown smaller; the arrays (npz) hold every pixel."


def features_picture(projections: np.ndarray, patches: np.ndarray, values: np.ndarray, maps: np.ndarray, title: str) -> Image.Image:
    """The figure for the maps of one layer.

    Parameters
    ----------
    projections : array (M, k, C, h, w), float
        In RGB order.
    patches : array (M, k, h, w, 3), uint8
        The same windows of the images.
    values : array (M, k), float
        The activations; places where they are not above 0 are left blank. NaN where a map has none because it is not finite.
    maps : array (M,), int
        The maps' numbers.
    title : str
        Model, layer, rule, receptive field.
    """
    blocks = [
        (_caption(number, value), _block(projection, patch, value > 0))
        for number, value, projection, patch in zip(maps, values, projections, patches, strict=True)
    ]
    note = NOTE + SHRUNK * (max(patches.shape[2:4]) > LARGE)
    return sheet(blocks, page_columns(len(blocks), blocks[0][1].shape[:2]), title, note)


def _caption(number: int, values: np.ndarray) -> str:
    if np.isnan(values[0]):
        return f"map {number}   not finite"
    return f"map {number}   strongest {values[0]:.4g}" if values[0] > 0 else f"map {number}   dead: nothing above 0"


def shrunk_projection(projection: np.ndarray, large: int = LARGE) -> np.ndarray:
    """A projection (C, h, w) as a tile. It is shrunk before it is scaled: what averaging takes from thin edges, the scale gives back."""
    return signed_picture(np.stack([shrunk(plane.astype(np.float32), large) for plane in projection]))


def _block(projections: np.ndarray, patches: np.ndarray, active: np.ndarray) -> np.ndarray:
    blank = np.full_like(shrunk(patches[0], LARGE), EMPTY[0])
    left = [shrunk_projection(p) if a else blank for p, a in zip(projections, active, strict=True)]
    right = [shrunk(p, LARGE) if a else blank for p, a in zip(patches, active, strict=True)]
    halves = [mosaic([enlarged(tile) for tile in tiles], square_columns(len(active))) for tiles in (left, right)]
    return mosaic(halves, columns=2, gap=4 * GAP, background=PAGE)
