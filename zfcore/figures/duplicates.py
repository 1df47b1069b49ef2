"""Near-identical images side by side, and how near the nearest image of each is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from zfcore.errors import printable
from zfcore.figures.grid import FAINT, GAP, PAGE, TEXT, enlarged, fitted, font, mosaic, page_columns, sheet, shrunk
from zfcore.figures.plots import COLOURS, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TILE = 150
"""Side of the square that an image is fitted into."""
LINE = TEXT + 5


@dataclass(frozen=True, eq=False)
class Pair:
    """Two images (H, W, 3) uint8, their names, their correlations (`look` is NaN where there was no second look), and whether mirrored."""

    first: np.ndarray
    second: np.ndarray
    first_name: str
    second_name: str
    correlation: float
    look: float
    mirrored: bool


def duplicates_sheet(pairs: Sequence[Pair], title: str, which: str) -> Image.Image:
    """A page of pairs; `which` says which of all they are."""
    blocks = [(_caption(pair), _block(pair)) for pair in pairs]
    note = (
        f"Pairs, strongest first ({which}): left an image of A, right one of B, below them their names. Above: the normalised correlation "
        "in the small frame, and at a second look in a larger one, where both images are larger. Mirrored: the one correlates with the "
        "mirror image of the other. Images are shrunk, or enlarged by whole factors, to fit."
    )
    return sheet(blocks, min(4, page_columns(len(blocks), blocks[0][1].shape[:2])), printable(title), note)


def _caption(pair: Pair) -> str:
    look = "" if math.isnan(pair.look) else f", second look {pair.look:.3f}"
    return f"{pair.correlation:.3f}{look}{', mirrored' * pair.mirrored}"


def _block(pair: Pair) -> np.ndarray:
    halves = [_named(pair.first, pair.first_name), _named(pair.second, pair.second_name)]
    return mosaic(halves, columns=2, gap=2 * GAP, background=PAGE)


def _named(image: np.ndarray, name: str) -> np.ndarray:
    small = shrunk(image, TILE)
    tile = enlarged(small, TILE // max(small.shape[:2]) * max(small.shape[:2]))
    ground = Image.new("RGB", (TILE, TILE + LINE), PAGE)
    ground.paste(Image.fromarray(tile), ((TILE - tile.shape[1]) // 2, (TILE - tile.shape[0]) // 2))
    ImageDraw.Draw(ground).text((0, TILE + 1), _end_of(printable(name)), FAINT, font(TEXT - 1))
    return np.asarray(ground)


def _end_of(name: str) -> str:
    """As much of the end of a name as fits below a tile: what tells files apart is there."""
    return fitted(name[::-1], TILE, TEXT - 1)[::-1]


def nearest_figure(nearest: np.ndarray, threshold: float) -> Figure:
    """How many images have their nearest at which correlation: where copies are apart from the rest, a threshold lies well between.

    Parameters
    ----------
    nearest : array (N,)
        Of each image the highest correlation.
    threshold : float
    """
    figure = new_figure(9, 4)
    axes = figure.subplots()
    lowest = min(0.0, float(np.floor(10 * nearest.min()) / 10))
    axes.hist(nearest, bins=np.linspace(lowest, 1, round((1 - lowest) * 100) + 1).tolist(), color=COLOURS[0])
    axes.axvline(threshold, color=COLOURS[1], label=f"threshold {threshold:g}")
    axes.set_yscale("log")
    axes.set(xlabel="normalised correlation with the nearest image, in the small frame, before any second look", xlim=(lowest, 1.005))
    axes.set_ylabel("images of A, the first set")
    axes.set_ylim(bottom=0.5)  # one image is a bar, too
    axes.yaxis.set_major_formatter("{x:g}")
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)
    axes.legend(loc="upper left")
    return figure
