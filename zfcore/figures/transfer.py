"""Figure 9: accuracy against the number of training images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from zfcore.errors import printable
from zfcore.figures.grid import fitted
from zfcore.figures.plots import COLOURS, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARKERS = "osD^"
WIDE, LETTERS = 1000, 18
"""Of a title, in pixels."""
NAME = 300
"""Of a network's name in a legend, likewise."""


def headline(name: str, place: str, what: str) -> str:
    """A plot's title: network, data and what of them; names that are too long for a page are cut."""
    return fitted(f"{fitted(name, WIDE / 2, LETTERS)} on {place}", WIDE, LETTERS, f": {what}")


def plain(text: str) -> str:
    """A text in which matplotlib finds no mathematics."""
    return printable(text).replace("$", r"\$")


def transfer_figure(
    shots: Sequence[int], curves: Mapping[str, tuple[Sequence[float], Sequence[float]]], chance: float, note: str
) -> Figure:
    """Curves with error bars.

    Parameters
    ----------
    shots : sequence of int
        Training images a class.
    curves : dict of str to (accuracies, deviations)
        By name, each as a share from 0 to 1.
    chance : float
        What guessing comes to, likewise.
    note : str
        What was measured.
    """
    figure = new_figure(10, 5.6)
    axes = figure.subplots()
    for (name, (accuracies, deviations)), colour, marker in zip(curves.items(), COLOURS, MARKERS, strict=False):
        percent, bars = [100 * a for a in accuracies], [100 * d for d in deviations]
        axes.errorbar(shots, percent, bars, color=colour, marker=marker, capsize=4, label=plain(name))
        for n, value in zip(shots, percent, strict=True):
            axes.annotate(f"{value:.1f}", (n, value), (7, -13), textcoords="offset points", fontsize=9, color=colour)
    axes.axhline(100 * chance, color="#999999", linestyle=":", label=f"chance, {100 * chance:.1f} %")
    axes.set(xlabel="training images a class", ylabel="mean per-class accuracy in %", ylim=(0, 104), xlim=(0, max(shots) * 1.08))
    axes.set_xticks(list(shots))
    axes.set_title(plain(note), fontsize=9, color="#555555")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", fontsize=9, frameon=False)
    return figure
