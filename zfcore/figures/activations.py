"""Raw activations of a layer (CS231n, lecture 9): maps as a grid of grey tiles, numbers as bars; and how many maps are dead."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from zfcore.figures.grid import SMALL, TEXT, enlarged, fitted, page_columns, sheet, shrunk
from zfcore.figures.plots import COLOURS, new_figure
from zfcore.figures.signed import PERCENTILE, signed_levels, signed_scale
from zfcore.figures.spectra import label

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LARGE = 2 * SMALL
"""A map's longer side in the picture at the most: larger ones are made smaller."""
LETTERS = 150
"""Of a line above a plot."""
NAMED, TICKED = 5, 12
"""Of the largest numbers of a layer so many are named; of so many all, along the axis."""


def maps_picture(maps: np.ndarray, shown: Sequence[int], title: str, own_scales: bool) -> Image.Image:
    """Maps of a layer as grey tiles.

    Parameters
    ----------
    maps : array (C, H, W), float
        All maps of the layer.
    shown : sequence of int
        Which are shown, in which order.
    title : str
    own_scales : bool
        A scale for every map instead of one for the layer.
    """
    signed = bool((maps < 0).any())
    small = [_reduced(maps[number]) for number in shown]
    scale = None if own_scales else signed_scale(maps)
    blocks = []
    for number, tile in zip(shown, small, strict=True):
        pixels = enlarged(_grey(tile, scale, signed))
        blocks.append((_caption(number, maps[number], pixels.shape[1]), pixels))
    whose = "each map's own scale" if own_scales else "one scale for the layer"
    ends = "grey is zero, white and black are plus and minus" if signed else "black is zero, white"
    largest = f"the {PERCENTILE:g}th percentile of |activation|" + ("" if scale is None else f", {scale:.4g}")
    note = f"Above each map its number and its activation of the largest size. {whose.capitalize()}: {ends} {largest}."
    if max(maps.shape[1:]) > LARGE:
        note += f" Maps larger than {LARGE} pixels are shown smaller."
    return sheet(blocks, page_columns(len(blocks), blocks[0][1].shape[:2]), title, note)


def _reduced(plane: np.ndarray) -> np.ndarray:
    return shrunk(np.nan_to_num(plane.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0), LARGE)


def _grey(plane: np.ndarray, scale: float | None, signed: bool) -> np.ndarray:
    """(h, w) as (h, w, 3) uint8."""
    scale = signed_scale(plane) if scale is None else scale
    if signed:
        levels = signed_levels(plane, scale)
    else:
        levels = np.rint(255 * np.clip(plane / scale if scale > 0 else np.zeros_like(plane), 0, 1)).astype(np.uint8)
    return np.repeat(levels[..., None], 3, axis=2)


def _caption(number: int, plane: np.ndarray, width: int) -> str:
    peak = plane.ravel()[np.abs(plane).argmax()]
    words = f"{peak:.3g}" if np.isfinite(plane).all() else "not finite"
    return fitted(f"{number}: {words}" if plane.any() else f"{number}: zero", width + 8, TEXT)


def numbers_plot(values: np.ndarray, what: str, names: Sequence[str] | None) -> Figure:
    """A layer of numbers as bars over their places, the largest named.

    Parameters
    ----------
    values : array (F,), float
    what : str
        What is counted: "unit", "class".
    names : sequence of str, optional
        Names of all.
    """
    from matplotlib.ticker import MaxNLocator

    figure = new_figure(11, 3.6)
    axes = figure.subplots()
    finite = np.where(np.isfinite(values), values, 0)
    few = len(values) <= 100
    if few:
        axes.bar(np.arange(len(values)), finite, color=COLOURS[0])
    else:  # one collection: a bar for each would take a minute
        axes.vlines(np.arange(len(values)), 0, finite, color=COLOURS[0], linewidth=0.8)
    axes.set(xlabel=f"number of the {what}", ylabel="activation", xlim=(-0.5, len(values) - 0.5))
    if names is not None and len(values) <= TICKED:
        axes.set_xticks(range(len(values)), [f"{k}\n{_short(name)}" for k, name in enumerate(names)], fontsize=8, parse_math=False)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3, axis="y")
    axes.axhline(0, color="#555555", linewidth=0.8)
    largest = [k for k in np.argsort(-np.abs(finite), kind="stable")[:NAMED].tolist() if finite[k]]
    said = [f"{k}{'' if names is None else ' (' + _short(names[k]) + ')'}: {finite[k]:.3g}" for k in largest]
    words = textwrap.fill("largest: " + (", ".join(said) or "none, all are zero"), LETTERS)
    axes.set_title(words, fontsize=9, loc="left", parse_math=False)
    return figure


def _short(name: str) -> str:
    return name if len(name) <= 28 else name[:25] + "..."


def zeros_plot(dead: Mapping[str, tuple[int, int]], zero: Mapping[str, float], images: int) -> Figure:
    """Two bars for every layer: its share of maps that are zero on all images, and of activations that are zero.

    Parameters
    ----------
    dead : dict of str to (int, int)
        By layer how many of how many maps.
    zero : dict of str to float
        Share of activations.
    images : int
        How many they were.
    """
    figure = new_figure(10, 1.6 + 0.42 * len(dead))
    axes = figure.subplots()
    places = np.arange(len(dead))
    shares = [100 * count / of for count, of in dead.values()]
    axes.barh(places - 0.2, shares, 0.38, color=COLOURS[1], label=f"maps that are zero on every image, of {images:,}")
    axes.barh(places + 0.2, [100 * share for share in zero.values()], 0.38, color=COLOURS[0], label="activations that are zero")
    for place, (count, of), share in zip(places, dead.values(), shares, strict=True):
        axes.annotate(f" {count} of {of}", (share, place - 0.2), va="center", fontsize=8)
    axes.set_yticks(places, [label(_short(name)) for name in dead])
    axes.invert_yaxis()
    axes.set(xlabel="share in %", xlim=(0, 108), ylabel="layer, from the image upwards")
    axes.grid(alpha=0.3, axis="x")
    figure.legend(loc="outside lower center", ncols=2, fontsize=9)
    return figure
