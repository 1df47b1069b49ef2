"""Tiles in grids, and captioned blocks on a page. A tile is enlarged by whole factors, so that its pixels are seen as they are."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

PAGE = (255, 255, 255)
INK = (24, 24, 24)
FAINT = (110, 110, 110)
PAD = (98, 78, 150)
"""Outside the image: a violet that photographs seldom have, so that it is not taken for picture."""
EMPTY = (236, 236, 236)
"""Where there is nothing to show."""
SMALL = 96
"""A tile's side in the picture, in pixels: smaller ones are enlarged to about this."""
GAP, MARGIN = 2, 16
TEXT = 13
"""Height of the text on a small page; on a wide one it grows, to be read when the page is seen as a whole."""


def enlarged(tile: np.ndarray, small: int = SMALL) -> np.ndarray:
    """A tile (h, w, 3) whose longer side is about `small` or more: every pixel repeated."""
    factor = max(1, int(small / max(tile.shape[:2]) + 0.5))
    return tile.repeat(factor, axis=0).repeat(factor, axis=1)


def shrunk(pixels: np.ndarray, large: int) -> np.ndarray:
    """Pixels (h, w) float32 or (h, w, 3) uint8, if need be made smaller, to a longest side of `large`.

    Lanczos' filter keeps more of lines a pixel wide, whose two sides have opposite signs, than averaging does.
    """
    height, width = pixels.shape[:2]
    factor = large / max(height, width)
    if factor >= 1:
        return pixels
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))


def mosaic(tiles: Sequence[np.ndarray], columns: int, gap: int = GAP, background: tuple[int, int, int] = PAGE) -> np.ndarray:
    """Tiles (h, w, 3) of one size, row by row, with a gap between them.

    Examples
    --------
    >>> mosaic([np.zeros((2, 3, 3), np.uint8)] * 5, columns=2, gap=1).shape
    (8, 7, 3)
    """
    h, w = tiles[0].shape[:2]
    rows = math.ceil(len(tiles) / columns)
    grid = np.empty((rows * (h + gap) - gap, columns * (w + gap) - gap, 3), np.uint8)
    grid[:] = background
    for index, tile in enumerate(tiles):
        y, x = (index // columns) * (h + gap), (index % columns) * (w + gap)
        grid[y : y + h, x : x + w] = tile
    return grid


def square_columns(count: int) -> int:
    """Columns of the squarest grid that holds `count` tiles."""
    return math.ceil(math.sqrt(count))


def page_columns(count: int, block: tuple[int, int], aspect: float = 1.4) -> int:
    """How many blocks (height, width) to put side by side: the page about `aspect` times as wide as high, the last row full."""

    def error(columns: int) -> float:
        rows = math.ceil(count / columns)
        return abs(math.log(columns * block[1] / (rows * block[0] * aspect))) + (rows * columns - count) / count

    return min(range(1, count + 1), key=error)


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font, so that a picture looks the same everywhere."""
    return ImageFont.load_default(size)


def fitted(text: str, width: float, size: int, behind: str = "") -> str:
    """As much of a text as is, with what stands behind it, no wider than `width` pixels; "..." where it was cut."""
    face = font(size)
    if face.getlength(text + behind) <= width:
        return text + behind
    while text and face.getlength(text + "..." + behind) > width:
        text = text[:-1]
    return text + "..." + behind


def wrapped(text: str, width: int, size: int) -> list[str]:
    """A text in lines no wider than `width` pixels."""
    lines, face = [""], font(size)
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and face.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def sheet(blocks: Sequence[tuple[str, np.ndarray]], columns: int, title: str, note: str) -> Image.Image:
    """A page: title, captioned blocks (caption, picture (h, w, 3)) of one size in a grid, and a note on how to read them."""
    height, width = blocks[0][1].shape[:2]
    spacing = min(18 + width // 30, 60)
    inner = max(columns * (width + spacing) - spacing, 480)
    text = max(TEXT, min(inner // 110, 3 * TEXT))
    line, headline = text + text // 3, 2 * text
    titles, notes = wrapped(title, inner, text + text // 3), wrapped(note, inner, text)
    head, foot = len(titles) * headline + text // 2, len(notes) * line
    rows = math.ceil(len(blocks) / columns)
    page = Image.new("RGB", (inner + 2 * MARGIN, head + rows * (line + height + spacing) + foot + 2 * MARGIN), PAGE)
    pen = ImageDraw.Draw(page)
    for number, words in enumerate(titles):
        pen.text((MARGIN, MARGIN + number * headline), words, INK, font(text + text // 3))
    for index, (words, picture) in enumerate(blocks):
        x = MARGIN + (index % columns) * (width + spacing)
        y = MARGIN + head + (index // columns) * (line + height + spacing)
        pen.text((x, y), words, INK, font(text))
        page.paste(Image.fromarray(picture), (x, y + line))
    for number, words in enumerate(notes):
        pen.text((MARGIN, page.height - MARGIN - foot + number * line), words, FAINT, font(text))
    return page
