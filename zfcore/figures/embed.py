"""Images placed by their codes (CS231n, lecture 9): thumbnails on a grid, thumbnails where they fall, dots coloured by class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from zfcore.errors import printable
from zfcore.figures.grid import EMPTY, GAP, PAGE, enlarged, sheet, shrunk
from zfcore.figures.plots import COLOURS, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIDE, SMALLEST, LARGEST = 1180, 28, 96
"""Pixels: of the picture where thumbnails have room; of a thumbnail."""
SCATTERED = 0.75
"""Side of a thumbnail in the scatter, of that on the grid."""
MARKERS = ("o", "s", "^", "D", "v")
MOST_CLASSES = len(COLOURS) * len(MARKERS)
"""That can be told apart."""
LEGEND_LINES, LONGEST_NAME = 30, 28


def thumbnail_side(count: int) -> int:
    """Pixels, for a grid of so many.

    Examples
    --------
    >>> thumbnail_side(9), thumbnail_side(400), thumbnail_side(2500)
    (96, 57, 28)
    """
    return int(np.clip(SIDE / np.ceil(np.sqrt(count)) - GAP, SMALLEST, LARGEST))


def thumbnail(frame: np.ndarray, side: int) -> np.ndarray:
    """A picture (H, W, 3) in a square of `side`: reduced, or enlarged by a whole factor; the rest is the page."""
    height, width = frame.shape[:2]
    fits = side // max(height, width)
    tile = enlarged(frame, fits * max(height, width)) if fits > 1 else shrunk(frame, side)
    square = np.empty((side, side, 3), np.uint8)
    square[:] = PAGE
    top, left = (side - tile.shape[0]) // 2, (side - tile.shape[1]) // 2
    square[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return square


def grid_picture(tiles: Sequence[np.ndarray], cells: np.ndarray, title: str, note: str) -> Image.Image:
    """Thumbnails (side, side, 3) each in its own cell (N, 2), row and column; row 0 is at the bottom, as the plane's ordinate is."""
    side, (rows, columns) = len(tiles[0]), (int(cells[:, 0].max()) + 1, int(cells[:, 1].max()) + 1)
    page = np.empty((rows * (side + GAP) - GAP, columns * (side + GAP) - GAP, 3), np.uint8)
    page[:] = EMPTY
    for tile, (row, column) in zip(tiles, cells.tolist(), strict=True):
        y, x = (rows - 1 - row) * (side + GAP), column * (side + GAP)
        page[y : y + side, x : x + side] = tile
    return sheet([("", page)], 1, printable(title), printable(note))


def scatter_picture(tiles: Sequence[np.ndarray], places: np.ndarray, title: str, note: str) -> Image.Image:
    """Thumbnails (side, side, 3) at their places (N, 2), 0 to 1 in both directions; later ones lie over earlier ones."""
    side = len(tiles[0])
    page = np.empty((SIDE, SIDE, 3), np.uint8)
    page[:] = EMPTY
    corners = np.rint(places * (SIDE - side)).astype(int)
    for tile, (x, y) in zip(tiles, corners.tolist(), strict=True):
        page[SIDE - side - y : SIDE - y, x : x + side] = tile
    return sheet([("", page)], 1, printable(title), printable(note))


def dots_figure(places: np.ndarray, labels: np.ndarray, classes: Sequence[str], note: str) -> Figure:
    """A dot for each image at its place (N, 2), coloured by its class (N,); beyond 40 classes the smaller ones are grey."""
    counts = np.bincount(labels, minlength=len(classes))
    shown = np.sort(np.argsort(-counts, kind="stable")[:MOST_CLASSES])
    shown = shown[counts[shown] > 0]
    figure = new_figure(11, 8)
    axes = figure.subplots()
    rest = ~np.isin(labels, shown)
    size = float(np.clip(16000 / len(places), 10, 60))
    handles, names = [], []
    if rest.any():
        handles.append(axes.scatter(places[rest, 0], places[rest, 1], s=size / 2, color="#cccccc", linewidths=0))
        names.append(f"{(counts > 0).sum() - len(shown)} other classes")
    for number, k in enumerate(shown.tolist()):
        colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number // len(COLOURS)]
        own = places[labels == k]
        handles.append(axes.scatter(own[:, 0], own[:, 1], s=size, color=colour, marker=marker, alpha=0.8, linewidths=0))
        name = printable(classes[k])
        names.append(name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 3] + "...")
    axes.set(xticks=[], yticks=[], aspect="equal")
    axes.set_xlabel(printable(note), fontsize=8, color="#555555", parse_math=False)
    columns = -(-len(names) // LEGEND_LINES)
    named = [" " + name for name in names]  # matplotlib leaves out names that begin with _
    legend = figure.legend(handles, named, loc="outside right upper", ncols=columns, fontsize=8, frameon=False, markerscale=1.6)
    for text in legend.get_texts():
        text.set_parse_math(False)
    return figure
