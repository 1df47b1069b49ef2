"""Filters of deeper layers as grey planes: less telling than the first layer's (CS231n, lecture 9)."""

from __future__ import annotations

import numpy as np
from PIL import Image

from zfcore.figures.grid import enlarged, mosaic, page_columns, sheet
from zfcore.figures.signed import signed_picture, signed_scale

SIDE = 24
"""A plane's longer side in the picture, in pixels, at the least."""


def planes_picture(weight: np.ndarray, title: str, most: int) -> Image.Image:
    """Filters as blocks of grey planes, one for every map that they look at.

    Parameters
    ----------
    weight : array (O, C, KH, KW), float
    title : str
        Above the picture.
    most : int
        Of the O filters, and of the C planes of each, so many are shown, the first ones.
    """
    scale = signed_scale(weight)
    shown = weight[:most, :most]
    columns = page_columns(shown.shape[1], (1, 1))
    blocks = [(str(o), mosaic([enlarged(signed_picture(plane[None], scale), SIDE) for plane in w], columns)) for o, w in enumerate(shown)]
    counts = [f"{min(most, size)} of {size}" for size in weight.shape[:2]]
    note = (
        f"{counts[0]} filters, by the number of their map; of each {counts[1]} planes, one for every map that it looks at, row by row. "
        "Grey is zero, white above; one scale for all, the 99.5th percentile of the whole layer."
    )
    return sheet(blocks, page_columns(len(blocks), blocks[0][1].shape[:2]), title, note)
