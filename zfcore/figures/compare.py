"""Figure 6 for two networks: first-layer filters side by side, and below them projections of the second layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from zfcore.errors import printable
from zfcore.figures.features import shrunk_projection
from zfcore.figures.grid import EMPTY, GAP, INK, PAGE, TEXT, enlarged, fitted, font, mosaic, page_columns, sheet, square_columns
from zfcore.figures.signed import signed_picture, signed_scale

SIDE = 740
"""About the width of a network's column, in pixels."""
NOTE = (
    "Filters in the order of their maps; grey is zero; one scale for each network, its 99.5th percentile: a flat grey tile is a weak "
    "filter."
)
BELOW = (
    " Below: the strongest activations of some maps of the second layer, one per image, projected down to pixels, a block for each map; "
    "grey is zero, each is scaled to the 99.5th percentile of its |pixels|; blank: nothing more excites the map."
)


class Side(NamedTuple):
    """One network: headings, filters (O, C, KH, KW), and projections (M, k, C, h, w) with their activations (M, k), or None."""

    heading: str
    weight: np.ndarray
    below: str = ""
    projections: np.ndarray | None = None
    values: np.ndarray | None = None


def comparison_picture(sides: Sequence[Side], title: str) -> Image.Image:
    """A column for each network."""
    with_projections = any(side.projections is not None for side in sides)
    filters, below = [filters_block(side.weight) for side in sides], [_projections_block(side) for side in sides]
    width = max(SIDE, *(picture.shape[1] for picture in (*filters, *below)))
    filters, below = (_alike(pictures, width) for pictures in (filters, below))
    columns = []
    for side, upper, lower in zip(sides, filters, below, strict=True):
        parts = [upper, _headline(printable(side.below), width), lower] if with_projections else [upper]
        columns.append((printable(side.heading), np.concatenate(parts)))
    return sheet(columns, len(sides), printable(title), NOTE + BELOW * with_projections)


def _headline(words: str, width: int) -> np.ndarray:
    """A line of text above the lower half of a column."""
    line = Image.new("RGB", (width, 3 * TEXT), PAGE)
    ImageDraw.Draw(line).text((0, 3 * TEXT - 4), fitted(words, width, TEXT), INK, font(TEXT), anchor="ls")
    return np.asarray(line)


def filters_block(weight: np.ndarray) -> np.ndarray:
    """All filters in a grid, on one scale."""
    scale = signed_scale(weight)
    tiles = [signed_picture(w, scale) for w in weight]
    columns = page_columns(len(tiles), tiles[0].shape[:2])
    return _fitted(tiles, columns, SIDE)


def _projections_block(side: Side) -> np.ndarray:
    if side.projections is None or side.values is None:
        return np.full((1, 1, 3), PAGE, np.uint8)
    maps, top = side.values.shape
    columns, inner = square_columns(maps), square_columns(top)
    room = SIDE // columns - 4 * GAP
    blank = np.full_like(shrunk_projection(side.projections[0, 0]), EMPTY[0])
    blocks = []
    for projections, values in zip(side.projections, side.values, strict=True):
        tiles = [shrunk_projection(p) if value > 0 else blank for p, value in zip(projections, values, strict=True)]
        blocks.append(_fitted(tiles, inner, room))
    return mosaic(blocks, columns, gap=4 * GAP)


def _fitted(tiles: Sequence[np.ndarray], columns: int, width: int) -> np.ndarray:
    """Tiles in a grid of about that width: enlarged by whole factors, never made smaller."""
    factor = max(1, (width // columns - GAP) // tiles[0].shape[1])
    large = [enlarged(tile, factor * max(tile.shape[:2])) for tile in tiles]
    return mosaic(large, columns, max(GAP, large[0].shape[1] // 20))


def _alike(pictures: Sequence[np.ndarray], width: int) -> list[np.ndarray]:
    """The same, filled up with the page's colour to one height and that width."""
    height = max(picture.shape[0] for picture in pictures)
    pages = []
    for picture in pictures:
        page = np.full((height, width, 3), PAGE, np.uint8)
        page[: picture.shape[0], : picture.shape[1]] = picture
        pages.append(page)
    return pages
