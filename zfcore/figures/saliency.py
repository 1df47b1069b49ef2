"""Saliency maps beside their image, and what is left of them when weights are random."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from zfcore.figures.grid import TEXT, enlarged, fitted, sheet, shrunk
from zfcore.figures.plots import COLOURS, new_figure
from zfcore.figures.signed import signed_picture, signed_scale

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIDE = 256
"""Of a map beside its image, in pixels."""
SMALL = 160
"""Of a map among many."""
NOTE = (
    "Left: what the network was shown. Grey is zero, and each map has its own scale: the number above it, the 99.5th percentile of "
    "|values|, is the value of white; black is minus that. The unit of the first three is the change of the score per unit of the "
    "network's input."
)
RANDOM_NOTE = (
    "First column: the maps of the network as it is. Above every other the last layer whose weights are random ({how}), and the rank "
    "correlation (Spearman) of its |values| with those of the first column; {draws}. A map that looks the same with random "
    "weights does not show what the network has learnt. Each map has its own scale; grey is zero."
)
Spread = tuple[np.ndarray, np.ndarray]
"""Mean and deviation over draws."""
CASCADING, INDEPENDENT = "with all above it", "it alone"


def map_tile(pixels: np.ndarray, side: int) -> np.ndarray:
    """A map (C, H, W) in RGB order as a tile (h, w, 3) of about that side: shrunk before it is scaled, so that thin edges stay."""
    return enlarged(signed_picture(np.stack([shrunk(plane.astype(np.float32), side) for plane in pixels])), side)


def saliency_picture(frame: np.ndarray, maps: Mapping[str, np.ndarray], title: str) -> Image.Image:
    """The image and its maps side by side.

    Parameters
    ----------
    frame : uint8 array (H, W, 3)
        What the network was shown.
    maps : dict of str to array (C, H, W)
        By method, in RGB order.
    title : str
    """
    shown = enlarged(shrunk(frame, SIDE), SIDE)
    blocks = [("the image", shown)]
    for method, values in maps.items():
        blocks.append((fitted(method, shown.shape[1], TEXT, f"   ±{signed_scale(values):.3g}"), map_tile(values, SIDE)))
    return sheet(blocks, len(blocks), title, NOTE)


def randomisation_picture(
    columns: Sequence[tuple[str, Mapping[str, np.ndarray], Mapping[str, float]]], draws: int, independent: bool, title: str
) -> Image.Image:
    """A row for every method, a column for every depth of randomisation.

    Parameters
    ----------
    columns : sequence of (layer, maps, correlations)
        The original first, whose correlations are not shown. Maps (C, H, W) are in RGB order, by method.
    draws : int
        How many there were; shown is the first.
    independent : bool
        Whether one layer was random at a time.
    title : str
    """
    blocks = []
    for method in columns[0][1]:
        for number, (layer, maps, correlations) in enumerate(columns):
            tile = map_tile(maps[method], SMALL)
            behind = "" if number == 0 else f": {_told(correlations[method])}"
            blocks.append((fitted(layer if number else method, tile.shape[1], TEXT, behind), tile))
    drawn = "of one draw" if draws == 1 else f"of the first of {draws} draws"
    return sheet(blocks, len(columns), title, RANDOM_NOTE.format(how=INDEPENDENT if independent else CASCADING, draws=drawn))


def _told(correlation: float) -> str:
    return f"{correlation:.2f}" if np.isfinite(correlation) else "undefined"


def randomisation_figure(
    layers: Sequence[str], methods: Sequence[str], absolute: Spread, signed: Spread, independent: bool
) -> Figure:
    """Rank correlation with the original maps against how far down weights are random.

    Parameters
    ----------
    layers : sequence of str
        That each point came to.
    methods : sequence of str
    absolute, signed : (mean, deviation), arrays (points, methods)
    independent : bool
        Whether one layer was random at a time: then points are not joined.
    """
    figure = new_figure(11, 5)
    places = np.arange(1, len(layers) + 1)
    panels = zip(figure.subplots(1, 2, sharey=True), (absolute, signed), ("|values|", "values with sign"), strict=True)
    for axes, (mean, deviation), name in panels:
        for m, method in enumerate(methods):
            at, middle, spread = places, mean[:, m], deviation[:, m]
            if not independent:
                at, middle, spread = np.r_[0, places], np.r_[1, middle], np.r_[0, spread]
            colour, line = COLOURS[m], "none" if independent else "-"
            axes.plot(at, middle, color=colour, linestyle=line, marker="os^D"[m], markersize=4, label=method)
            if independent:
                axes.errorbar(at, middle, spread, color=colour, linestyle="none", capsize=2)
            else:
                axes.fill_between(at, middle - spread, middle + spread, color=colour, alpha=0.18, linewidth=0)
        axes.axhline(0, color="#999999", linewidth=0.8)
        axes.set_title(f"of {name}")
        axes.set_xticks(places if independent else [0, *places])
        names = [layer if len(layer) <= 26 else f"{layer[:23]}..." for layer in layers]
        ticks = names if independent else ["nothing", *names]
        axes.set_xticklabels(ticks, rotation=55, ha="right", rotation_mode="anchor", parse_math=False)
        axes.set_xlabel(f"weights random: this layer, {INDEPENDENT if independent else CASCADING}")
        axes.grid(alpha=0.3)
        axes.set_ylim(min(-0.25, float(np.nanmin([*(mean - deviation).ravel(), 0])) - 0.05), 1.05)
    figure.axes[0].set_ylabel("rank correlation with the original map")
    figure.axes[0].legend(fontsize="small")
    return figure
