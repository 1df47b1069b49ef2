"""Figure 5: what transforms do to pictures, to features, and to the probability of a class."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from zfcore.errors import printable
from zfcore.figures.grid import enlarged, mosaic, shrunk
from zfcore.figures.plots import COLOURS, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STROKES = ("-", "--", ":", "-.")
"""Of the first pictures, of as many again, and so on: the colours repeat."""
TILE, FRAME = 96, 4
"""Pixels of a sample, and of the line round it in the picture's colour."""
WIDTH, ROW, TEXT_LINE = 11.0, 2.35, 0.2
"""Inches."""
LONGEST_LABEL, SHORT_LABEL, NOTE_LINE = 80, 54, 185
"""Signs; three short labels fit side by side, else two."""


@dataclass(frozen=True, eq=False)
class Row:
    """A transform.

    Parameters
    ----------
    name, unit : str
        "rotation", "degrees".
    amounts : array (V,)
    samples : sequence of sequence of array (h, w, 3), uint8
        Of some pictures, each by several amounts.
    sampled : sequence of float
        These amounts.
    curves : sequence of array (I, V)
        For every column of curves, a line for each picture.
    """

    name: str
    unit: str
    amounts: np.ndarray
    samples: Sequence[Sequence[np.ndarray]]
    sampled: Sequence[float]
    curves: Sequence[np.ndarray]

    @property
    def label(self) -> str:
        """Of the axis of amounts."""
        return f"{self.name} in {self.unit}" if self.unit else f"{self.name} (factor)"


def style(number: int) -> tuple[str, str]:
    """Colour and stroke of the line of a picture."""
    return COLOURS[number % len(COLOURS)], STROKES[number // len(COLOURS) % len(STROKES)]


def invariance_figure(rows: Sequence[Row], columns: Sequence[str], tops: Sequence[float], labels: Sequence[str], note: str) -> Figure:
    """Rows are transforms; the first column shows samples, the others curves on one scale.

    Parameters
    ----------
    rows : sequence of Row
    columns : sequence of str
        Titles of the columns of curves.
    tops : sequence of float
        Where their axes end; they begin at 0.
    labels : sequence of str
        One for each picture, for the legend.
    note : str
        How to read it.
    """
    lines = textwrap.wrap(printable(note), NOTE_LINE)
    named = [textwrap.shorten(printable(label), LONGEST_LABEL, placeholder="...") for label in labels]
    per_line = min(3 if max(map(len, named)) < SHORT_LABEL else 2, len(named))
    foot = TEXT_LINE * (math.ceil(len(named) / per_line) + len(lines) + 1)
    figure = new_figure(WIDTH, ROW * len(rows) + foot)
    widths, heights = [1.1] + [1.0] * len(columns), [ROW] * len(rows) + [foot]
    grid = figure.add_gridspec(len(heights), len(widths), width_ratios=widths, height_ratios=heights)
    for r, row in enumerate(rows):
        samples = figure.add_subplot(grid[r, 0])
        _draw_samples(samples, row)
        plots = [figure.add_subplot(grid[r, 1 + c]) for c in range(len(columns))]
        for column, axes in enumerate(plots):
            _draw_curves(axes, row, column, tops[column])
        if r == 0:
            for axes, title in zip((samples, *plots), ("the pictures", *columns), strict=True):
                axes.set_title("\n".join(map(printable, title.splitlines())), fontsize=9, parse_math=False)
            handles = plots[0].get_lines()
    below = figure.add_subplot(grid[-1, :])
    below.axis("off")
    legend = below.legend(handles, named, loc="upper center", ncols=per_line, fontsize=8, frameon=False, borderaxespad=0)
    for text in legend.get_texts():
        text.set_parse_math(False)
    below.text(0, 0, "\n".join(lines), fontsize=8, color="#555555", va="bottom", parse_math=False)
    return figure


def _draw_curves(axes: Axes, row: Row, column: int, top: float) -> None:
    for picture, curve in enumerate(row.curves[column]):
        colour, stroke = style(picture)
        axes.plot(row.amounts, curve, color=colour, linestyle=stroke, linewidth=1.4)
    axes.set_xlabel(row.label, fontsize=8)
    axes.set_ylim(0, top)
    axes.tick_params(labelsize=7)
    axes.margins(x=0.02)
    if row.unit:
        axes.locator_params(axis="x", integer=True)
    axes.grid(alpha=0.3)


def _draw_samples(axes: Axes, row: Row) -> None:
    tiles = [_framed(tile, style(number)[0]) for number, own in enumerate(row.samples) for tile in own]
    page, across = mosaic(tiles, len(row.sampled), gap=4), tiles[0].shape[1] + 4
    axes.imshow(page, interpolation="antialiased")
    axes.set_xticks([across * (k + 0.5) - 2 for k in range(len(row.sampled))], [f"{amount:.4g}" for amount in row.sampled], fontsize=7)
    axes.set_yticks([])
    axes.set_xlabel(row.label, fontsize=8)
    for side in axes.spines.values():
        side.set_visible(False)


def _framed(tile: np.ndarray, colour: str) -> np.ndarray:
    """A picture of about TILE pixels in a frame of its line's colour."""
    tile = enlarged(shrunk(tile, TILE), TILE)
    height, width = tile.shape[:2]
    framed = np.empty((height + 2 * FRAME, width + 2 * FRAME, 3), np.uint8)
    framed[:] = [int(colour[k : k + 2], 16) for k in (1, 3, 5)]
    framed[FRAME:-FRAME, FRAME:-FRAME] = tile
    return framed
