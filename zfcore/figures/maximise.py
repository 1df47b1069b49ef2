"""Images that maximise a score, and the course of their scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from zfcore.figures.grid import TEXT, enlarged, fitted, page_columns, sheet, shrunk
from zfcore.figures.invariance import style
from zfcore.figures.plots import COLOURS, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIDE, SMALL, FEW = 256, 128, 12
"""Sides of an image where there are few, and of one among many."""
LABELLED = 16
"""Curves that a legend can name."""


def maximise_picture(pictures: np.ndarray, captions: Sequence[tuple[str, str]], starts: int, title: str, note: str) -> Image.Image:
    """A page of images, the starts of one target side by side.

    Parameters
    ----------
    pictures : uint8 array (N, H, W, 3)
    captions : sequence of (name, figures)
        Above each; the name is cut where there is no room.
    starts : int
        Images of each target.
    title, note : str
    """
    side = SIDE if len(pictures) <= FEW else SMALL
    tiles = [enlarged(shrunk(picture, side), side) for picture in pictures]
    across = 8 if side == SMALL else 4
    columns = page_columns(len(tiles), tiles[0].shape[:2]) if starts == 1 else starts * max(1, across // starts)
    blocks = [(fitted(name, tile.shape[1], TEXT, figures), tile) for tile, (name, figures) in zip(tiles, captions, strict=True)]
    return sheet(blocks, columns, title, note)


def course_figure(names: Sequence[str], scores: np.ndarray, starts: int, score: str) -> Figure:
    """Score against step, a colour and stroke for every target as long as there are few.

    Parameters
    ----------
    names : sequence of str
        Of the targets.
    scores : array (targets * starts, steps + 1)
        Without the penalty.
    starts : int
        Images of each target, one behind the other.
    score : str
        What is on the axis.
    """
    figure = new_figure(9, 5)
    axes = figure.subplots()
    few = len(names) <= LABELLED
    for number, course in enumerate(scores):
        target, start = divmod(number, starts)
        name = names[target] if len(names[target]) <= 30 else f"{names[target][:27]}..."
        label = name if few and start == 0 else None
        colour, stroke = style(target) if few else (COLOURS[0], "-")
        axes.plot(course, color=colour, linestyle=stroke, alpha=1 if few else 0.4, linewidth=1.2, label=label)
    axes.set(xlabel="step", ylabel=score)
    axes.locator_params(axis="x", integer=True)
    axes.grid(alpha=0.3)
    axes.margins(x=0.01)
    if few:
        for text in figure.legend(loc="outside right upper", fontsize="small", frameon=False).get_texts():
            text.set_parse_math(False)
    return figure
