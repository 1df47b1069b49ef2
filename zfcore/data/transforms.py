"""Pictures moved about their centre: shifted, scaled, rotated (paper, section 4.1 and figure 5), by scipy.ndimage."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from zfcore.errors import ZfcoreError

BORDERS = {"mean": "grid-constant", "nearest": "nearest", "reflect": "reflect", "wrap": "grid-wrap"}
"""What fills the places to which nothing moves, and what scipy.ndimage calls it; "mean" is a colour that is given.

Not its "wrap", whose period is a pixel short, nor its "constant", which leaves the border's own pixels out of the interpolation.
"""
ORDERS = range(6)
"""Of the interpolating spline: 0 the nearest pixel, 1 linear, 3 cubic."""
SIGNIFICANT = 12
"""Decimals of sine and cosine that are kept: with more a quarter turn would miss the pixels at the border by a rounding error."""

Placed = tuple[tuple[float, float, float, float], tuple[float, float]]
"""Where a pixel comes from, about the centre, (row, column): the matrix row by row, and what is subtracted after it."""


@dataclass(frozen=True)
class Transform:
    """A way to move a picture, by some amount.

    Parameters
    ----------
    name : str
    unit : str
        Of the amount, for axes; empty for a factor.
    neutral : float
        The amount that changes nothing.
    placed : callable
        The amount's `Placed`.
    """

    name: str
    unit: str
    neutral: float
    placed: Callable[[float], Placed]


def _rotated(degrees: float) -> Placed:
    turn = math.radians(degrees)
    cos, sin = round(math.cos(turn), SIGNIFICANT), round(math.sin(turn), SIGNIFICANT)
    return (cos, sin, -sin, cos), (0.0, 0.0)


DOWN = Transform("vertical shift", "pixels", 0.0, lambda by: ((1, 0, 0, 1), (by, 0)))
RIGHT = Transform("horizontal shift", "pixels", 0.0, lambda by: ((1, 0, 0, 1), (0, by)))
SCALE = Transform("scale", "", 1.0, lambda by: ((1 / by, 0, 0, 1 / by), (0, 0)))
ROTATION = Transform("rotation", "degrees", 0.0, _rotated)
"""Shifts go down and right, rotations run counter-clockwise."""


def transformed(
    picture: np.ndarray, transform: Transform, amount: float, border: str = "mean", order: int = 1, fill: tuple[int, ...] = (0, 0, 0)
) -> np.ndarray:
    """A picture moved about its centre, of the same size.

    Parameters
    ----------
    picture : array (H, W, C), uint8
    transform : Transform
    amount : float
        How far; `transform.neutral` gives the picture back bit for bit.
    border : {"mean", "nearest", "reflect", "wrap"}
        What is seen where nothing comes from inside the picture: the colour `fill`, the border's own pixels drawn out, the picture
        mirrored at its border (the border's pixels twice), the picture again from the other side.
    order : int
        Of the interpolating spline, 0 to 5; values are rounded to whole levels.
    fill : (C,) int
        0 to 255.

    Returns
    -------
    array (H, W, C), uint8

    Raises
    ------
    ZfcoreError
        If there is no such border or order.

    Examples
    --------
    >>> transformed(np.arange(6, dtype=np.uint8).reshape(3, 2, 1), DOWN, 1, fill=(9,))[..., 0].tolist()
    [[9, 9], [0, 1], [2, 3]]
    """
    from scipy import ndimage  # a third of a second to import

    if border not in BORDERS:
        raise ZfcoreError(f"border: got {border!r}, needed one of {', '.join(BORDERS)}")
    if order not in ORDERS:
        raise ZfcoreError(f"order: got {order!r}, needed {ORDERS[0]} to {ORDERS[-1]}")
    values, shift = transform.placed(amount)
    matrix = np.array(values, float).reshape(2, 2)
    centre = (np.array(picture.shape[:2]) - 1) / 2
    offset = centre - matrix @ centre - np.array(shift, float)
    moved = np.empty_like(picture)
    for c, colour in enumerate(fill):
        ndimage.affine_transform(picture[..., c], matrix, offset, output=moved[..., c], order=order, mode=BORDERS[border], cval=colour)
    return moved
