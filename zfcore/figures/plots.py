"""Plots as PNG for a page and as SVG for print; what they show is in the module of each."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from zfcore.errors import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 110
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#999999", "#000000")
"""Told apart by the colour-blind (Okabe & Ito)."""


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of so many inches; at 110 pixels an inch."""
    from matplotlib.figure import Figure  # a second to import

    return Figure(figsize=(width, height), dpi=DPI, layout="constrained")


def files_of(figure: Figure, title: str) -> dict[str, bytes]:
    """A figure with a title as {"png": ..., "svg": ...}; the title is taken as it is, whatever signs are in it."""
    return {form: _saved(figure, title, form) for form in ("png", "svg")}


def png_of(figure: Figure, title: str) -> bytes:
    """A figure with a title, as PNG."""
    return _saved(figure, title, "png")


def _saved(figure: Figure, title: str, form: str) -> bytes:
    import matplotlib

    figure.suptitle(printable(title), parse_math=False)
    buffer = io.BytesIO()
    same_bytes: Mapping[str, Any] = {"svg.hashsalt": "zfcore"}
    with warnings.catch_warnings(), matplotlib.rc_context(dict(same_bytes)):
        warnings.filterwarnings("ignore", "Glyph")  # letters that the font lacks are boxes
        figure.savefig(buffer, format=form, metadata={"Date": None} if form == "svg" else None)
    return buffer.getvalue()
