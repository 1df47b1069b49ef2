"""Units of one image: where each looks, what it sees there, and what it says."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from zfcore.figures.features import shrunk_projection
from zfcore.figures.grid import PAGE, enlarged, sheet, shrunk
from zfcore.window import Window

MARK = (255, 106, 0)
ARM = 9
"""Length of a cross' arms."""
SIDE, LARGE = 256, 512
"""Sides of the three pictures of a unit: enlarged to about the first, reduced below the second."""
NOTE = (
    "Left: what the network was shown, and the unit's receptive field (orange; of one larger than the picture a cross marks the centre). "
    "Middle: the image in that window; violet lies outside the image. Right: the activation projected down to the same window; grey is "
    "zero, scaled to the 99.5th percentile of |pixels|."
)


def projections_picture(
    frame: np.ndarray,
    fields: Sequence[Window],
    patches: np.ndarray,
    projections: np.ndarray,
    captions: Sequence[str],
    title: str,
) -> Image.Image:
    """A row for every unit.

    Parameters
    ----------
    frame : array (H, W, 3), uint8
        The image, as the network was shown it.
    fields : sequence of Window
        The units' receptive fields in it.
    patches : array (K, h, w, 3), uint8
        What is shown of each.
    projections : array (K, C, h, w), float
        The same windows of the projections, in RGB order.
    captions, title : str
        Words.
    """
    rows = []
    for field, patch, projection in zip(fields, patches, projections, strict=True):
        tiles = shrunk(patch, LARGE), shrunk_projection(projection, LARGE)
        rows.append(side_by_side([marked(frame, field), *(enlarged(tile, SIDE) for tile in tiles)]))
    columns = max(1, round(len(rows) ** 0.5 / 1.5))
    return sheet(list(zip(captions, rows, strict=True)), columns, title, NOTE)


def marked(frame: np.ndarray, window: Window) -> np.ndarray:
    """A picture, enlarged, with a window drawn into it; of one larger than the picture its border, and a cross at its centre."""
    large = enlarged(shrunk(frame, LARGE), SIDE)
    factor = large.shape[0] / frame.shape[0]
    picture = Image.fromarray(large)
    y0, y1, x0, x1 = (round(edge * factor) for edge in window)
    right, bottom = large.shape[1] - 1, large.shape[0] - 1
    box = max(x0, 0), max(y0, 0), min(x1 - 1, right), min(y1 - 1, bottom)
    pen = ImageDraw.Draw(picture)
    pen.rectangle(box, outline=MARK, width=2)
    if exceeds(window, frame):
        x, y = (x0 + x1) / 2, (y0 + y1) / 2
        pen.line((x - ARM, y, x + ARM, y), MARK, width=2)
        pen.line((x, y - ARM, x, y + ARM), MARK, width=2)
    return np.asarray(picture)


def exceeds(window: Window, frame: np.ndarray) -> bool:
    """Whether a window is higher or wider than a picture: then its border does not tell where it sits."""
    return window.size[0] > frame.shape[0] or window.size[1] > frame.shape[1]


def side_by_side(pictures: Sequence[np.ndarray], gap: int = 10) -> np.ndarray:
    """Pictures (h, w, 3) of any size in a row, on the page's colour."""
    height = max(picture.shape[0] for picture in pictures)
    row = np.empty((height, sum(picture.shape[1] + gap for picture in pictures) - gap, 3), np.uint8)
    row[:] = PAGE
    x = 0
    for picture in pictures:
        h, w = picture.shape[:2]
        row[:h, x : x + w] = picture
        x += w + gap
    return row
