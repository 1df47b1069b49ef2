"""Where explanations point, beside the object's mask, and how often they are right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from zfcore.errors import printable
from zfcore.experiments.pointing import estimate, seed_means
from zfcore.figures.grid import TEXT, enlarged, fitted, mosaic, sheet, shrunk
from zfcore.figures.plots import COLOURS, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIDE = 128
PERCENTILE = 99.5
"""Of a map's values: shown as the brightest."""
OUTLINE, HIT, MISS = (0, 220, 255), (60, 255, 60), (255, 50, 50)
ARM = 6
NOTE = (
    "The outline (cyan) is the object's true mask. Maps: black is 0, the 99.5th percentile and above is brightest, each map on its own "
    "scale. The ring or cross is the map's maximum: a green ring inside the mask, a red cross outside; of several equal maxima the first "
    "is marked, and green if half of them lie inside. Edges and centre know nothing of the network."
)


@dataclass(frozen=True, eq=False)
class Shown:
    """A scene: frame (H, W, 3) uint8, mask (H, W) bool, maps (H, W) float, and each map's hit, 0 to 1."""

    frame: np.ndarray
    mask: np.ndarray
    maps: Sequence[np.ndarray]
    hits: Sequence[float]


def truth_picture(names: Sequence[str], shown: Sequence[Shown], title: str) -> Image.Image:
    """A row for every scene: the scene, then each of the named maps."""
    columns = [[_outlined(enlarged(shrunk(one.frame, SIDE * 2), SIDE), one.mask) for one in shown]]
    for k in range(len(names)):
        columns.append([_marked(one.maps[k], one.mask, one.hits[k]) for one in shown])
    named = zip(("scene", *names), columns, strict=True)
    blocks = [(fitted(printable(name), tiles[0].shape[1], TEXT), mosaic(tiles, 1, gap=6)) for name, tiles in named]
    return sheet(blocks, len(blocks), printable(title), NOTE)


def heat(values: np.ndarray) -> np.ndarray:
    """A map (H, W) that is not negative as a picture (H, W, 3) uint8, RGB; black is 0."""
    import matplotlib

    scale = np.percentile(values, PERCENTILE) or values.max() or 1.0
    colours = matplotlib.colormaps["inferno"](np.clip(values / scale, 0, 1))
    return np.rint(255 * colours[..., :3]).astype(np.uint8)


def _marked(values: np.ndarray, mask: np.ndarray, hit: float) -> np.ndarray:
    picture = enlarged(shrunk(heat(values), SIDE * 2), SIDE)
    image = Image.fromarray(_outlined(picture, mask))
    pen = ImageDraw.Draw(image)
    factor = image.height / values.shape[0]
    y, x = ((place + 0.5) * factor for place in np.unravel_index(values.argmax(), values.shape))
    y, x = (min(max(v, ARM + 1), n - ARM - 2) for v, n in ((y, image.height), (x, image.width)))
    if hit >= 0.5:
        for arm, width, colour in ((ARM + 1, 4, (0, 0, 0)), (ARM, 2, HIT)):
            pen.ellipse((x - arm, y - arm, x + arm, y + arm), outline=colour, width=width)
    else:
        for width, colour in ((4, (0, 0, 0)), (2, MISS)):
            pen.line((x - ARM, y - ARM, x + ARM, y + ARM), fill=colour, width=width)
            pen.line((x - ARM, y + ARM, x + ARM, y - ARM), fill=colour, width=width)
    return np.asarray(image)


def _outlined(picture: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A picture with the border of a mask of any size drawn into it."""
    large = np.asarray(Image.fromarray(mask).resize(picture.shape[1::-1], Image.Resampling.NEAREST))
    inner = np.pad(large, 1, mode="edge")
    inner = inner[:-2, 1:-1] & inner[2:, 1:-1] & inner[1:-1, :-2] & inner[1:-1, 2:]
    outlined = picture.copy()
    outlined[large & ~inner] = OUTLINE
    return outlined


def scores_plot(methods: Sequence[str], baselines: Sequence[str], hits: np.ndarray, shares: np.ndarray, interval: str) -> Figure:
    """Mean and 95 % interval of both measures, a line for each method, with the mean of every draw.

    Parameters
    ----------
    methods : sequence of str
        The last is chance, drawn as a line through all.
    baselines : sequence of str
        Those of them that know nothing of a network.
    hits, shares : array (methods, M, D, n)
        0 to 1.
    interval : str
        How it came about.
    """
    figure = new_figure(11, 4.6)
    panels = figure.subplots(1, 2, sharey=True)
    height = np.arange(len(methods))
    words = ("pointing game: maximum inside the mask, % of scenes", "share of the map's sum inside the mask, %")
    for panel, values, label in zip(panels, (hits, shares), words, strict=True):
        for k, name in enumerate(methods):
            e, colour = estimate(values[k]), COLOURS[6] if name in baselines else COLOURS[0]
            points = seed_means(values[k])
            panel.plot(100 * points, np.full(len(points), k + 0.25), ".", color=colour, alpha=0.5, markersize=5)
            half = [[100 * (e.mean - e.low)], [100 * (e.high - e.mean)]]
            panel.errorbar(100 * e.mean, k, xerr=None if np.isnan(half).any() else half, fmt="o", color=colour, capsize=4)
        panel.axvline(100 * values[-1].mean(), color=COLOURS[1], linestyle="--", linewidth=1, label="chance: the mask's share of the image")
        panel.set(xlabel=label, xlim=(0, 103), ylim=(len(methods) - 0.5, -0.5))
        panel.grid(alpha=0.3)
    panels[0].set_yticks(height, methods)
    handles, labels = panels[0].get_legend_handles_labels()
    title = (
        "blue: explanations; grey: what knows nothing of the network (the picture's edges, a Gaussian on its middle, chance)\n"
        f"bars: intervals of 95 %, {interval}; small points: each draw of scenes"
    )
    figure.legend(handles, labels, loc="outside lower center", title=title, title_fontsize=9, fontsize=9, frameon=False, alignment="left")
    return figure
