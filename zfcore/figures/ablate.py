"""Table 3 as a plot: the errors of a network's variants, and how far each is from the full one, beside the paper's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from zfcore.figures.plots import COLOURS, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from zfcore.experiments.ablation import Difference, Row

MARKS = {"train": "s", "validation": "o", "test": "^"}
APART = 0.22
"""Between the dots of a variant, of which rows are 1 apart."""


def ablation_figure(rows: Sequence[Row], part: str, differences: Sequence[Difference]) -> Figure:
    """Dots with 95 % intervals, a line for each variant.

    Parameters
    ----------
    rows : sequence of Row
        The variants, the full network first.
    part : str
        The part of the data that the differences are of.
    differences : sequence of Difference
        Of each variant to the full network.
    """
    figure = new_figure(11, 1.9 + 0.52 * len(rows))
    left, right = figure.subplots(1, 2, sharey=True)
    _errors(left, rows)
    _differences(right, rows, part, differences)
    names = [f"{row.variant.name}\n{row.parameters:,} parameters" for row in rows]
    left.set_yticks(range(len(rows)), names, fontsize=8)
    left.set_ylim(len(rows) - 0.4, -0.6)
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.set_axisbelow(True)
        axes.legend(fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False)
    note = "bars: 95 % intervals over images; another training with another seed would move the dots, too"
    figure.supxlabel(note, fontsize=8, color="#6e6e6e")
    return figure


def _errors(axes: Axes, rows: Sequence[Row]) -> None:
    parts = [part for part in MARKS if part in rows[0].wrong]
    for number, part in enumerate(parts):
        errors = [row.wrong[part].error for row in rows]
        ends = [row.wrong[part].interval for row in rows]
        below = [100 * (error - low) for error, (low, _) in zip(errors, ends, strict=True)]
        above = [100 * (high - error) for error, (_, high) in zip(errors, ends, strict=True)]
        places = [place + APART * (number - (len(parts) - 1) / 2) for place in range(len(rows))]
        label = "train, after training" if part == "train" else part
        axes.errorbar([100 * e for e in errors], places, xerr=[below, above], fmt=MARKS[part], color=COLOURS[number], ms=5, label=label)
    axes.set_xlim(left=0)
    axes.set_xlabel("top-1 error in %, centre crop, without dropout")


def _differences(axes: Axes, rows: Sequence[Row], part: str, differences: Sequence[Difference]) -> None:
    axes.axvline(0, color="#999999", linewidth=1)
    spans = [[100 * (d.value - d.low) for d in differences[1:]], [100 * (d.high - d.value) for d in differences[1:]]]
    colour = COLOURS[list(MARKS).index(part)]
    values = [100 * d.value for d in differences[1:]]
    axes.errorbar(values, range(1, len(rows)), xerr=spans, fmt=MARKS[part], color=colour, markersize=5, label=f"here, {part}")
    stated = {place: row.variant.stated for place, row in enumerate(rows) if place}
    nets = dict.fromkeys(one.net for one in stated.values() if one is not None)
    for number, net in enumerate(nets):
        those = [(one.difference, place + APART) for place, one in stated.items() if one is not None and one.net == net]
        axes.plot(*zip(*those, strict=True), "Ds"[number % 2], markerfacecolor="none", color="#000000", label=f"paper, {net}")
    axes.set_xlabel(f"{part} error above the full network's, in points")
