"""A confusion matrix: which classes are taken for which."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from zfcore.errors import printable
from zfcore.figures.grid import INK, PAGE, TEXT, fitted, font, sheet

SIDE, LARGEST_CELL, NUMBERED = 1200, 40, 30
"""Pixels: of the longer side of all cells, where there are many; of a cell at most; of a cell that has room for its number."""
LONGEST_NAME = 150
"""Pixels."""
RIGHT, WRONG = np.array((0, 114, 178)), np.array((213, 94, 0))
FAINTEST, FAINTEST_PIXEL = 0.15, 0.5
"""How much colour one image in very many gives, so that it can still be seen: a cell, and one of a few pixels alone."""
SMALL_CELL = 4


def confusion_picture(counts: np.ndarray, rows: Sequence[str], columns: Sequence[str], title: str, note: str) -> Image.Image:
    """A page with a cell for every pair of classes, coloured and, where they fit, numbered by the share of its row.

    Parameters
    ----------
    counts : int array (R, C)
        Images of the class of each row that were taken for that of each column; no row is empty. Cell (i, i) is right.
    rows, columns : sequence of str
        Names of the true and of the predicted classes.
    title, note : str
        Above and below.
    """
    share = counts / counts.sum(axis=1, keepdims=True)
    cell = int(np.clip(SIDE // max(counts.shape), 1, LARGEST_CELL))
    matrix = _coloured(share, FAINTEST if cell > SMALL_CELL else FAINTEST_PIXEL).repeat(cell, axis=0).repeat(cell, axis=1)
    every = -(-(TEXT + 1) // cell)
    left = [_named(name) for name in rows[::every]]
    above = [_named(name).rotate(90, expand=True) for name in columns[::every]]
    x0, y0 = max(name.width for name in left), max(name.height for name in above)
    page = Image.new("RGB", (x0 + matrix.shape[1] + TEXT, y0 + matrix.shape[0] + TEXT), PAGE)  # room for the last names
    page.paste(Image.fromarray(matrix), (x0, y0))
    for number, name in enumerate(left):
        page.paste(name, (x0 - name.width, y0 + number * every * cell + max(0, cell - name.height) // 2))
    for number, name in enumerate(above):
        page.paste(name, (x0 + number * every * cell + max(0, cell - name.width) // 2, y0 - name.height))
    pen = ImageDraw.Draw(page)
    pen.rectangle((x0 - 1, y0 - 1, x0 + matrix.shape[1], y0 + matrix.shape[0]), outline=INK)
    if cell >= NUMBERED:
        for r, c in np.argwhere(counts > 0).tolist():
            ink = PAGE if share[r, c] > 0.4 else INK
            pen.text((x0 + (c + 0.5) * cell, y0 + (r + 0.5) * cell), _percent(share[r, c]), ink, font(TEXT), anchor="mm")
    numbers = "; in the cells its share in percent" if cell >= NUMBERED else ""
    names = f"; one class in {every} is named" if every > 1 else ""
    key = f"Rows: the true class; columns: the predicted one. Blue is right, red wrong, darker a larger share of the row{numbers}{names}."
    return sheet([("", np.asarray(page))], 1, printable(title), printable(f"{key} {note}"))


def _coloured(share: np.ndarray, faintest: float) -> np.ndarray:
    """(R, C, 3) uint8: from the page's white to blue on the diagonal, to red elsewhere. The root shows small shares, too."""
    strength = np.where(share > 0, faintest + (1 - faintest) * np.sqrt(share), 0)[..., None]
    hue = np.where((np.eye(*share.shape) > 0)[..., None], RIGHT, WRONG)
    return np.round(np.array(PAGE) * (1 - strength) + hue * strength).astype(np.uint8)


def _percent(share: float) -> str:
    return "<1" if share < 0.01 else f"{100 * share:.0f}"


def _named(name: str) -> Image.Image:
    """A name on a strip, cut if it is long."""
    face, text = font(TEXT), fitted(printable(name), LONGEST_NAME, TEXT)
    strip = Image.new("RGB", (int(face.getlength(text)) + 6, TEXT + 3), PAGE)
    ImageDraw.Draw(strip).text((2, 0), text, INK, face)
    return strip
