"""Figure 4: a row for every map, a column for every epoch; below each projection the patch that caused it. And the same in curves."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw

from zfcore.figures.features import LARGE, SHRUNK, shrunk_projection
from zfcore.figures.grid import EMPTY, FAINT, INK, PAGE, enlarged, font, sheet, shrunk
from zfcore.figures.plots import png_of
from zfcore.figures.project import MARK

PATCH = 48
"""A patch's longest side: half a projection's, so that there is room for numbers beside it."""
NUMBERS = 46
"""Width of these numbers."""
HEAD = 100
"""Width of the rows' heads."""
SPACE, LINE = 10, 15
NOTE = (
    "Rows: maps. Columns: the strongest activation of each over all training images at an epoch, projected down to pixels; grey is zero, "
    "each is scaled to the 99.5th percentile of its |pixels|. Below: the same window of the image that caused it, framed in orange where "
    "it is another image than in the column before; violet lies outside the image. Beside it: the activation, and the change of the "
    "projection from the column before (1 - cosine, windows laid over each other). Settled: the epoch from which on that stays below "
    "{small:g}; image: the epoch from which on the image stays the same."
)


def evolution_picture(
    projections: np.ndarray,
    patches: np.ndarray,
    values: np.ndarray,
    images: np.ndarray,
    changes: np.ndarray,
    heads: Sequence[Sequence[str]],
    epochs: Sequence[int],
    small: float,
    title: str,
) -> Image.Image:
    """The figure for maps of one layer.

    Parameters
    ----------
    projections : array (M, E, C, h, w), float
        In RGB order.
    patches : array (M, E, h, w, 3), uint8
        The same windows of the images.
    values : array (M, E), float
        The activations; not above 0 where the map is dead, NaN where it is not finite.
    images : array (M, E), int
        Which image it is.
    changes : array (M, E - 1), float
        From each column to the next; NaN where it is not known.
    heads : sequence of sequences of str
        Lines at the left of each row.
    epochs : sequence of int
        Of the columns.
    small : float
        Below it a change is taken for none.
    title : str
        Network, layer, rule, receptive field.
    """
    cells = [
        [_cell(projections[m, e], patches[m, e], values[m, e], *_news(images[m], changes[m], e)) for e in range(len(epochs))]
        for m in range(len(heads))
    ]
    height, width = cells[0][0].height + SPACE, cells[0][0].width + SPACE
    page = Image.new("RGB", (HEAD + len(epochs) * width - SPACE, LINE + 4 + len(heads) * height - SPACE), PAGE)
    pen = ImageDraw.Draw(page)
    for column, epoch in enumerate(epochs):
        pen.text((HEAD + column * width, 0), f"epoch {epoch}", INK, font(13))
    for row, (lines, tiles) in enumerate(zip(heads, cells, strict=True)):
        y = LINE + 4 + row * height
        for number, line in enumerate(lines):
            pen.text((0, y + number * LINE), line, FAINT if number else INK, font(12 if number else 13))
        for column, tile in enumerate(tiles):
            page.paste(tile, (HEAD + column * width, y))
    return sheet([("", np.asarray(page))], 1, title, NOTE.format(small=small) + SHRUNK * (max(patches.shape[2:4]) > LARGE))


def _news(images: np.ndarray, changes: np.ndarray, column: int) -> tuple[bool, float]:
    """Whether the image is another one than in the column before, and how much the projection changed."""
    return (bool(images[column] != images[column - 1]), float(changes[column - 1])) if column else (False, np.nan)


def _cell(projection: np.ndarray, patch: np.ndarray, value: float, other: bool, change: float) -> Image.Image:
    small = enlarged(shrunk(patch, PATCH), PATCH)
    blank = not value > 0
    above = enlarged(shrunk(patch, LARGE)) if blank else enlarged(shrunk_projection(projection))
    height, width = above.shape[:2]
    cell = Image.new("RGB", (max(width, small.shape[1] + NUMBERS), height + 4 + small.shape[0] + 2), PAGE)
    pen = ImageDraw.Draw(cell)
    if blank:
        pen.rectangle((0, 0, width - 1, height - 1), EMPTY)
        words = "not finite" if np.isnan(value) else "dead"
        pen.text((width / 2, height / 2), words, FAINT, font(13), anchor="mm")
        return cell
    cell.paste(Image.fromarray(above), (0, 0))
    cell.paste(Image.fromarray(small), (1, height + 3))
    frame = 0, height + 2, small.shape[1] + 1, height + 3 + small.shape[0]
    pen.rectangle(frame, outline=MARK if other else EMPTY, width=2 if other else 1)
    x = small.shape[1] + 5
    pen.text((x, height + 4), f"{value:.3g}", INK, font(11))
    if not np.isnan(change):
        pen.text((x, height + 4 + LINE), f"{change:.2f}", FAINT, font(11))
    return cell


def convergence_png(
    epochs: Sequence[int],
    changes: Mapping[str, Mapping[str, np.ndarray]],
    same: Mapping[str, np.ndarray],
    small: float,
    title: str,
) -> bytes:
    """Curves against the epoch as a PNG, a line for every layer, from dark (the first) to bright.

    Parameters
    ----------
    epochs : sequence of int
        The columns.
    changes : dict of str to dict of str to array (E - 1,)
        By what is compared and layer: the mean change from each column to the next, drawn at the latter.
    same : dict of str to array (E,)
        By layer: share of the maps whose strongest image is already that of the last column.
    small : float
        Below it a change is taken for none.
    title : str
    """
    from matplotlib import colormaps  # a second to import
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5 * (len(changes) + 1), 4.2), dpi=110, layout="constrained")
    axes = figure.subplots(1, len(changes) + 1)
    colours = dict(zip(same, colormaps["viridis"](np.linspace(0, 0.9, len(same))), strict=True))
    marks = {"marker": "o", "markersize": 3}
    for axis, (what, of_layers) in zip(axes, changes.items(), strict=False):
        for layer, means in of_layers.items():
            axis.plot(epochs[1:], means, color=colours[layer], label=layer, **marks)
        axis.axhline(small, color="#999999", linestyle=":", linewidth=1)
        axis.set(title=f"change from the column before, {what}", ylabel="1 - cosine, mean over maps", ylim=(0, None))
    for layer, shares in same.items():
        axes[-1].plot(epochs, 100 * shares, color=colours[layer], label=layer, **marks)
    axes[-1].set(title="strongest image is already the last one", ylabel="% of maps", ylim=(0, 105))
    named = [epochs[0]]  # where there is room for a number
    named += [epoch for before, epoch in itertools.pairwise(epochs) if epoch >= 1.25 * before or epoch % 10 == 0]
    for axis in axes:
        axis.set_xscale("log", base=2)
        axis.set_xticks(named, map(str, named))
        axis.set_xlim(epochs[0] / 1.1, epochs[-1] * 1.1)
        axis.minorticks_off()
        axis.set_xlabel("epoch")
        axis.grid(alpha=0.3)
    for text in axes[0].legend().get_texts():
        text.set_parse_math(False)
    return png_of(figure, title)
