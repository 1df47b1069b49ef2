"""Figure 7: what a grey square does to an image's map, to the probability of its class, and to the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from zfcore.errors import printable
from zfcore.figures.features import shrunk_projection
from zfcore.figures.grid import EMPTY, INK, fitted
from zfcore.figures.plots import COLOURS, new_figure
from zfcore.figures.project import side_by_side

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 13, 2.6
"""Inches: of the figure, of a row."""
NAMED = 6
"""Answers with a colour of their own."""
NARROW = 0.1
"""The least range of a colour bar of probabilities."""
SIDE = 160
"""Of a projection, in pixels of the figure; those from other images are a third."""
NOTE = "Places are those of the square's centre. Grey in (c) is zero; violet lies outside the image."


@dataclass(frozen=True, eq=False)
class Row:
    """One image.

    Parameters
    ----------
    name : str
    frame : uint8 array (H, W, 3)
        What the network was shown.
    side : int
        Of the square; `tops` (P,) and `lefts` (Q,) are its places.
    map : int
    sums, clean_sum : array (P, Q) and float
        Sum of the map over its pixels, with the square and without.
    projection : array (C, h, w) or None
        The map's strongest activation in this image; None where it has none.
    others : list of (projection, patch (h, w, 3))
        The same in other images.
    label : int
        The class that is looked for.
    probability, clean_probability : array (P, Q) and float
    best : int array (P, Q)
        The most probable class.
    """

    name: str
    frame: np.ndarray
    side: int
    tops: np.ndarray
    lefts: np.ndarray
    map: int
    sums: np.ndarray
    clean_sum: float
    projection: np.ndarray | None
    others: Sequence[tuple[np.ndarray, np.ndarray]]
    label: int
    probability: np.ndarray
    clean_probability: float
    best: np.ndarray

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """Left, right, bottom and top of the maps, whose pixels are the places of the square's centre."""
        (left, right), (top, bottom) = (self._ends(starts) for starts in (self.lefts, self.tops))
        return left, right, bottom, top

    def _ends(self, starts: np.ndarray) -> tuple[float, float]:
        step = (starts[1] - starts[0]) if len(starts) > 1 else self.side
        first, last = starts[0] + self.side / 2, starts[-1] + self.side / 2
        return first - step / 2, last + step / 2


def occlusion_figure(rows: Sequence[Row], classes: Sequence[str]) -> Figure:
    """The figure: a row for every image, (a) to (e) as in the paper."""
    figure = new_figure(WIDTH, HEIGHT * len(rows) + 0.6)
    grid = figure.subplots(len(rows), 5, squeeze=False, width_ratios=(1, 1, 1.7, 1, 1))
    for axes, row in zip(grid, rows, strict=True):
        _image(axes[0], row)
        _heat(figure, axes[1], row, row.sums, f"(b) sum of map {row.map}\nwhole image: {row.clean_sum:.4g}")
        _projections(axes[2], row)
        name = printable(fitted(classes[row.label], 150, 13))
        title = f"(d) P({name})\nwhole image: {row.clean_probability:.2f}"
        _heat(figure, axes[3], row, row.probability, title, _range(row.probability))
        _answers(axes[4], row, classes)
    figure.supxlabel(NOTE, fontsize=9, color="#6e6e6e")
    return figure


def _range(probability: np.ndarray) -> tuple[float, float]:
    """Of a colour bar: from the lowest to the highest, but never so narrow that what is next to nothing looks like much."""
    high = float(probability.max())
    return min(float(probability.min()), high - NARROW), high


def _image(axes: Axes, row: Row) -> None:
    from matplotlib.patches import Rectangle

    axes.imshow(row.frame, interpolation="nearest")
    middle = row.tops[len(row.tops) // 2], row.lefts[len(row.lefts) // 2]
    axes.add_patch(Rectangle((middle[1] - 0.5, middle[0] - 0.5), row.side, row.side, facecolor="#808080", edgecolor="#ff6a00"))
    axes.set_title(f"(a) {fitted(row.name, 200, 13)}", parse_math=False, fontsize=10)
    axes.set(ylabel="row in px", xlabel="column in px")
    axes.tick_params(labelsize=8)


def _heat(figure: Figure, axes: Axes, row: Row, values: np.ndarray, title: str, limits: tuple[float, float] | None = None) -> None:
    low, high = limits or (None, None)
    shown: Any = axes.imshow(values, extent=row.extent, cmap="viridis", vmin=low, vmax=high, interpolation="nearest")
    _placed(axes, row, title)
    bar = figure.colorbar(shown, cax=axes.inset_axes((1.04, 0, 0.06, 1)))  # inset, so that all panels keep one size
    bar.ax.tick_params(labelsize=8)


def _placed(axes: Axes, row: Row, title: str) -> None:
    axes.set_title(title, parse_math=False, fontsize=10)
    axes.set(xlim=(-0.5, row.frame.shape[1] - 0.5), ylim=(row.frame.shape[0] - 0.5, -0.5), xlabel="column in px")
    axes.set_facecolor("#f4f4f4")
    axes.tick_params(labelsize=8, labelleft=False)


def _projections(axes: Axes, row: Row) -> None:
    blank = np.full((SIDE, SIDE, 3), EMPTY[0], np.uint8)
    main = blank if row.projection is None else _resized(shrunk_projection(row.projection, SIDE), SIDE)
    small = SIDE // 3
    pairs = [np.concatenate([_resized(shrunk_projection(p, small), small), _resized(patch, small)], axis=1) for p, patch in row.others]
    column = [np.concatenate(pairs)] if pairs else []
    axes.imshow(side_by_side([main, *column]), interpolation="nearest")
    beside = ",\nand in other images" if pairs else ""
    nothing = f"(c) map {row.map}: nothing above 0"
    axes.set_title(nothing if row.projection is None else f"(c) map {row.map} projected{beside}", fontsize=10)
    axes.axis("off")


def _resized(picture: np.ndarray, side: int) -> np.ndarray:
    """A picture (h, w, 3) as (side, side, 3)."""
    from PIL import Image

    return np.asarray(Image.fromarray(np.ascontiguousarray(picture)).resize((side, side), Image.Resampling.NEAREST))


def _answers(axes: Axes, row: Row, classes: Sequence[str]) -> None:
    from matplotlib.colors import to_rgb
    from matplotlib.patches import Patch

    numbers, counts = np.unique(row.best, return_counts=True)
    common = numbers[np.argsort(-counts, kind="stable")][:NAMED]
    picture = np.full((*row.best.shape, 3), 200 / 255)
    legend = []
    for colour, number in zip(COLOURS, common, strict=False):
        picture[row.best == number] = to_rgb(colour)
        share = float((row.best == number).mean())
        said = f"{share:.0%}" if share >= 0.005 else "<1%"
        legend.append(Patch(color=colour, label=f"{fitted(printable(classes[number]), 170, 13)} {said}"))
    if len(numbers) > NAMED:
        legend.append(Patch(color="#c8c8c8", label=f"{len(numbers) - NAMED} other{'s' * (len(numbers) > NAMED + 1)}"))
    axes.imshow(picture, extent=row.extent, interpolation="nearest")
    _placed(axes, row, "(e) most probable class")
    found = axes.legend(handles=legend, loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8, frameon=False)
    for text in found.get_texts():
        text.set_parse_math(False)
        text.set_color("#{:02x}{:02x}{:02x}".format(*INK))
