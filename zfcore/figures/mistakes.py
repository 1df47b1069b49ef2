"""Images that a network got wrong, with what it took them for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from zfcore.errors import printable
from zfcore.figures.grid import EMPTY, INK, TEXT, enlarged, fitted, font, page_columns, sheet, shrunk

SIDE = 144
"""Of a tile, in pixels: wide enough for the names of most classes."""
LINE = TEXT + 4


@dataclass(frozen=True)
class Mistake:
    """An image (H, W, 3) uint8 of any size, its class, the predicted one and its probability."""

    image: np.ndarray
    true: str
    predicted: str
    probability: float


def mistakes_picture(mistakes: Sequence[Mistake], title: str, note: str) -> Image.Image:
    """A page of tiles, in the given order: the true class above, the predicted one below. There must be one at least."""
    blocks = [(fitted(printable(mistake.true), SIDE - 4, TEXT), _tile(mistake)) for mistake in mistakes]
    return sheet(blocks, page_columns(len(blocks), (SIDE + 2 * LINE, SIDE)), printable(title), printable(note))


def _tile(mistake: Mistake) -> np.ndarray:
    image = shrunk(mistake.image, SIDE)
    image = enlarged(image, SIDE // max(image.shape[:2]) * max(image.shape[:2]))  # whole factors, that fit
    tile = Image.new("RGB", (SIDE, SIDE + LINE), EMPTY)
    tile.paste(Image.fromarray(image), ((SIDE - image.shape[1]) // 2, (SIDE - image.shape[0]) // 2))
    share = f", {100 * mistake.probability:.3g} %"
    ImageDraw.Draw(tile).text((2, SIDE), fitted(printable(mistake.predicted), SIDE - 4, TEXT, share), INK, font(TEXT))
    return np.asarray(tile)
