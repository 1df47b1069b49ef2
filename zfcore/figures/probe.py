"""Table 7 as a plot: accuracy by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from zfcore.figures.plots import COLOURS, new_figure
from zfcore.figures.transfer import MARKERS, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHIFT = 0.1
"""Between two classifiers of a layer, so that neither hides the other."""
LONGEST = 28
"""Signs of a layer's name: its end says more than its beginning."""


def probe_figure(
    layers: Sequence[str], curves: Mapping[str, tuple[Sequence[float], Sequence[float]]], chance: float, note: str
) -> Figure:
    """Accuracies with error bars, layers from left to right.

    Parameters
    ----------
    layers : sequence of str
        From the lowest upwards.
    curves : dict of str to (accuracies, deviations)
        By name, each as a share from 0 to 1; after the first two they are dashed, in the colours of those.
    chance : float
        What guessing comes to, likewise.
    note : str
        What was measured.
    """
    figure = new_figure(max(10, 2 + 0.6 * len(layers)), 6)
    axes = figure.subplots()
    places = range(len(layers))
    for number, (name, (accuracies, deviations)) in enumerate(curves.items()):
        percent, bars = [100 * a for a in accuracies], [100 * d for d in deviations]
        line, alpha = ("-", 1.0) if number < 2 else ("--", 0.6)
        style = f"{MARKERS[number % 2]}{line}"
        beside = [place + SHIFT * (number % 2 - 0.5) for place in places]
        axes.errorbar(beside, percent, bars, fmt=style, color=COLOURS[number % 2], alpha=alpha, capsize=4, label=plain(name))
    axes.axhline(100 * chance, color="#999999", linestyle=":", label=f"chance, {100 * chance:.1f} %")
    short = [name if len(name) <= LONGEST else "..." + name[3 - LONGEST :] for name in layers]
    axes.set_xticks(list(places), [plain(name) for name in short], rotation=30, ha="right", fontsize=9)
    axes.set(xlabel="layer, from the image upwards", ylabel="mean per-class accuracy in %", ylim=(0, 104))
    axes.set_title(plain(note), fontsize=9, color="#555555")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2, fontsize=9, frameon=False)
    return figure
