"""A contact sheet: some images of every class, side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from zfcore.errors import printable
from zfcore.figures.grid import EMPTY, SMALL, TEXT, enlarged, fitted, mosaic, page_columns, sheet, shrunk


def contact_sheet(rows: Sequence[tuple[str, Sequence[np.ndarray]]], title: str, note: str) -> Image.Image:
    """A page with a row of tiles for every class.

    Parameters
    ----------
    rows : sequence of (str, sequence of arrays (H, W, 3) uint8)
        A class's name and its images, of any sizes; not all may be there.
    title, note : str
        Above and below.
    """
    shown = [(name, [_fitted(image) for image in images]) for name, images in rows]
    height, width = (max((image.shape[axis] for _, images in shown for image in images), default=SMALL) for axis in (0, 1))
    most = max(1, *(len(images) for _, images in shown))
    blocks = []
    for name, images in shown:
        blank = np.full((height, width, 3), EMPTY, np.uint8)
        tiles = [_centred(image, blank) for image in images] + [blank] * (most - len(images))
        strip = mosaic(tiles, most)
        blocks.append((fitted(printable(name), strip.shape[1], TEXT + 2), strip))
    return sheet(blocks, page_columns(len(blocks), blocks[0][1].shape[:2]), printable(title), note)


def _fitted(image: np.ndarray) -> np.ndarray:
    """An image made smaller, or its pixels repeated, to a longer side of at most `SMALL`."""
    fitted = shrunk(image, SMALL)
    side = max(fitted.shape[:2])
    return enlarged(fitted, SMALL // side * side)


def _centred(image: np.ndarray, ground: np.ndarray) -> np.ndarray:
    top, left = ((g - i) // 2 for g, i in zip(ground.shape[:2], image.shape[:2], strict=True))
    tile = ground.copy()
    tile[top : top + image.shape[0], left : left + image.shape[1]] = image
    return tile
