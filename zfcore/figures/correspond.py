"""Table 1 as a plot, and figure 8: images with parts masked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from zfcore.errors import printable
from zfcore.experiments.correspondence import Comparison
from zfcore.figures.grid import TEXT, enlarged, fitted, mosaic, sheet, shrunk
from zfcore.figures.plots import COLOURS, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGE_WIDTH, MOST_SIDE, LEAST_SIDE = 1160, 224, 96
MASKS_NOTE = (
    "The first {shown}, a row each, as the network sees them; each column the mask of one part, as large as the part's box. The last two: "
    "masks of the first part's size at random places, another in each image (apart), and one place of the object for all images "
    "(together). A white tile: the part is not seen in that image."
)


def comparison_plot(names: Sequence[str], layers: Sequence[tuple[str, Sequence[Comparison]]]) -> Figure:
    """Delta of every part beside those of random masks, a panel for every layer.

    Parameters
    ----------
    names : sequence of str
        The parts.
    layers : sequence of (str, sequence of Comparison)
        Name of the layer, and the comparison of each part.
    """
    figure = new_figure(11, 2.2 + 0.26 * len(names))
    panels = figure.subplots(1, len(layers), sharey=True, squeeze=False)[0]
    height = np.arange(len(names))
    for panel, (layer, found) in zip(panels, layers, strict=True):
        for colour, marker, label, kind, shift in (
            (COLOURS[6], "s", "random, apart (mean, deviation over draws)", "apart", -0.2),
            (COLOURS[4], "D", "random, together (likewise)", "together", 0.2),
        ):
            draws = [getattr(c, kind) for c in found]
            means, deviations = [d.mean() for d in draws], [d.std() for d in draws]
            panel.errorbar(means, height + shift, xerr=deviations, fmt=marker, color=colour, markersize=4, label=label, linewidth=1)
        deltas, errors = [c.part for c in found], [c.part_error for c in found]
        label = "the part (standard error over images)"
        panel.errorbar(deltas, height, xerr=errors, fmt="o", color=COLOURS[0], markersize=5, label=label)
        panel.set_title(printable(layer), parse_math=False)
        panel.set_xlabel("Delta: share of signs that differ")
        panel.grid(alpha=0.3)
        panel.set_xlim(left=0)
        panel.set_ylim(len(names) - 0.5, -0.5)
    panels[0].set_yticks(height, [printable(name) for name in names], parse_math=False)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    return figure


def masks_picture(captions: Sequence[str], columns: Sequence[Sequence[np.ndarray]], title: str) -> Image.Image:
    """Images in columns, each with a caption; of one size, (H, W, 3) uint8."""
    side = min(MOST_SIDE, max(LEAST_SIDE, PAGE_WIDTH // len(columns) - 24))
    blocks = []
    for caption, tiles in zip(captions, columns, strict=True):
        column = mosaic([enlarged(shrunk(tile, side), side) for tile in tiles], 1, gap=6)
        blocks.append((fitted(printable(caption), column.shape[1], TEXT), column))
    shown = "image" if len(columns[0]) == 1 else f"{len(columns[0])} images"
    return sheet(blocks, len(blocks), printable(title), MASKS_NOTE.format(shown=shown))
