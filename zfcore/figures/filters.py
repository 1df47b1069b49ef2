"""Filters as pictures (figure 6; CS231n, lecture 9): telling for the first layer, where they are in colour."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from zfcore.errors import ZfcoreError
from zfcore.figures.grid import enlarged, page_columns, sheet
from zfcore.figures.signed import signed_picture, signed_scale

NOTE = (
    "Every filter of the layer, by the number of its map; grey is zero. One scale for all, the 99.5th percentile: "
    "a flat grey tile is a weak filter."
)
OWN_SCALES = (
    "Every filter of the layer, by the number of its map; grey is zero. Each on its own scale, its 99.5th percentile: weak filters look as "
    "strong as others, and one that is dead like noise."
)
MARKED = " Which are dead or dominate is judged by the root mean square of their weights: the limits are in the plot of strengths."


def filters_picture(
    weight: np.ndarray,
    title: str = "first-layer filters",
    own_scales: bool = False,
    remarks: Sequence[str] | None = None,
) -> Image.Image:
    """First-layer filters, all on one scale or each on its own.

    Parameters
    ----------
    weight : array (O, C, KH, KW)
        C is 1 or 3.
    title : str
        Above the picture.
    own_scales : bool
        Show each on its own scale.
    remarks : sequence of str, optional
        For each filter what stands behind its number.

    Raises
    ------
    ZfcoreError
        If the filters have another number of channels.
    """
    if weight.ndim != 4 or weight.shape[1] not in (1, 3) or not len(weight):
        raise ZfcoreError(f"weight: got shape {weight.shape}, needed (O, C, KH, KW) with 1 or 3 channels: a first layer")
    scale = None if own_scales else signed_scale(weight)
    captions = [f"{number} {remark}".rstrip() for number, remark in enumerate(remarks or [""] * len(weight))]
    tiles = [(caption, enlarged(signed_picture(w, scale))) for caption, w in zip(captions, weight, strict=True)]
    note = (OWN_SCALES if own_scales else NOTE) + MARKED * any(remarks or ())
    return sheet(tiles, page_columns(len(tiles), tiles[0][1].shape[:2]), title, note)
