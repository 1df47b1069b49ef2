"""Strengths and spectra of first-layer filters, and the spectra in which aliasing shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from zfcore.errors import printable
from zfcore.figures.plots import COLOURS, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

THIRD = 1 / 6
"""Of the range up to Nyquist's frequency, in cycles per pixel."""
DECADES = 4
"""Of energy that a map of a spectrum tells apart."""


class Curves(NamedTuple):
    """What is drawn of a network's filters.

    `rms` (O,) and the `limit` of dead ones, over the median RMS of the others; `frequencies` (R,) in cycles per pixel and `density` (K, R)
    of the living filters, 1 where even; the `stride` of the layer.
    """

    rms: np.ndarray
    limit: float
    frequencies: np.ndarray
    density: np.ndarray
    stride: int


def strengths_and_spectra(networks: Mapping[str, Curves], dominating: float) -> Figure:
    """Two plots: RMS of the filters, strongest first, with the limits; and their mean spectra with the middle half of the filters.

    Parameters
    ----------
    networks : dict of str to Curves
        By the name for the legend.
    dominating : float
        Filters above so many times the median are said to dominate.
    """
    figure = new_figure(11, 4.6)
    strengths, spectra = figure.subplots(1, 2)
    for (name, curves), colour in zip(networks.items(), COLOURS, strict=False):
        finite = np.sort(curves.rms[np.isfinite(curves.rms)])[::-1]
        ranks = np.array([50.0]) if len(finite) == 1 else np.linspace(0, 100, len(finite))
        strengths.plot(ranks, finite, color=colour, marker="o", markersize=3, linewidth=1, label=label(name))
        _spectrum(spectra, name, curves, colour)
        if np.isfinite(curves.limit):
            strengths.axhline(curves.limit, color=colour, linewidth=1, linestyle=":", label="dead below")
    strengths.axhline(dominating, color="#555555", linewidth=1, linestyle="--", label="dominating above")
    strengths.set(yscale="log", xlabel="filters, strongest first, in %", ylabel="RMS / median of those not dead")
    strengths.set_title("strength", pad=18)
    spectra.axhline(1, color="#555555", linewidth=1)
    for edge in (THIRD, 2 * THIRD, 3 * THIRD):
        spectra.axvline(edge, color="#999999", linewidth=1)
    for middle, words in ((THIRD / 2, "low"), (1.5 * THIRD, "middle"), (2.5 * THIRD, "high"), (3.6 * THIRD, "corners")):
        spectra.annotate(words, (middle, 1.0), xycoords=("data", "axes fraction"), ha="center", va="bottom", fontsize=9, color="#555555")
    spectra.set(yscale="log", xlabel="radial frequency, cycles per pixel", ylabel="energy density, 1 = even spectrum", xlim=(0, 0.71))
    spectra.set_ylim(max(spectra.get_ylim()[0], 1e-3), None)
    spectra.set_title("mean spectrum; shaded: the middle half of the filters", pad=18)
    for axes in (strengths, spectra):
        axes.grid(alpha=0.25)
        if axes.get_legend_handles_labels()[0]:  # none of a layer that is all dead
            axes.legend(fontsize=9)
    return figure


def _spectrum(axes, name: str, curves: Curves, colour: str) -> None:  # type: ignore[no-untyped-def]
    if not len(curves.density):
        return
    axes.plot(curves.frequencies, curves.density.mean(axis=0), color=colour, label=label(name))
    axes.fill_between(curves.frequencies, *np.percentile(curves.density, (25, 75), axis=0), color=colour, alpha=0.2, linewidth=0)
    if curves.stride > 1:
        words = f"Nyquist of stride {curves.stride}"
        axes.axvline(0.5 / curves.stride, color=colour, linestyle=":", label=words)


class Spectra(NamedTuple):
    """What is drawn of aliasing.

    Mean `spectra` (2, n, n) of projections and of patches, in the order of `numpy.fft.fftfreq`; the first layer's `stride`; the `excess` of
    both.
    """

    spectra: np.ndarray
    stride: Sequence[int]
    excess: tuple[float, float]


def aliasing_maps(networks: Mapping[str, Spectra]) -> Figure:
    """For each network the mean spectra of its projections and of the patches; rings around the multiples of the sampling frequency."""
    figure = new_figure(10.5, 4.7 * len(networks))
    rows = figure.subplots(len(networks), 2, squeeze=False)
    for (name, given), pair in zip(networks.items(), rows, strict=True):
        with np.errstate(divide="ignore"):
            both = np.log10(np.fft.fftshift(given.spectra, axes=(1, 2)) * given.spectra[0].size)
        top = both.max()  # one scale for both, which are compared
        for axes, levels, what, excess in zip(pair, both, ("projections", "patches"), given.excess, strict=True):
            low, high = (side - 0.5 / len(levels) for side in (-0.5, 0.5))
            image = axes.imshow(levels, "magma", extent=(low, high, high, low), vmin=top - DECADES, vmax=top)
            axes.set(xlabel="cycles per pixel, across", ylabel="cycles per pixel, down")
            axes.set_title(f"{label(name)}: {what}, excess {excess:.2f}", fontsize=10)
            _ring(axes, given.stride)
            figure.colorbar(image, ax=axes, label="log10 of energy / an even spectrum's", shrink=0.85)
    return figure


def _ring(axes, stride: Sequence[int]) -> None:  # type: ignore[no-untyped-def]
    """Ellipses around the multiples of the sampling frequency."""
    from matplotlib.patches import Ellipse

    rows, columns = (np.arange(-(s // 2), s // 2 + 1) / s for s in stride)
    for fy in rows:
        for fx in columns:
            if fy or fx:
                axes.add_patch(Ellipse((fx, fy), 0.25 / stride[1], 0.25 / stride[0], fill=False, color="#56b4e9", linewidth=1.2))


def label(name: str) -> str:
    """A name as text that matplotlib takes as it is."""
    return printable(name).replace("$", r"\$")
