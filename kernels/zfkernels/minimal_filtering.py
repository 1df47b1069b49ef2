"""Winograd's minimal filtering F(m x m, 3x3): the matrices, which m, and how far rounding takes results from the exact ones.

m neighbouring outputs of a filter of three taps depend on m + 2 inputs, and as many multiplications are enough for them: so many
points fix the product of two polynomials with so many coefficients. In two dimensions a tile of (m + 2)^2 inputs gives m^2 outputs
by (m + 2)^2 products, where the definition has 9 m^2:

    ``Y = A' [ sum over channels of (G g G') * (B' d B) ] A``,   g a filter's taps, d a tile of a channel, * element by element

Sources: Winograd 1980, "Arithmetic complexity of computations", chapter 5; Lavin & Gray 2016, arXiv 1509.09308, section 4;
Barabasz, Anderson, Soodhalter & Gregg 2020, arXiv 1803.10986, for the rounding errors and what the points do to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import prod
from typing import NamedTuple

import numpy as np

from zfkernels.geometry import Padding, Pair, output_size

TAPS = 3
KERNEL_SIZE = TAPS, TAPS


def _both_signs(*points: Fraction) -> tuple[Fraction, ...]:
    return tuple(sign * point for point in points for sign in (1, -1))


POINTS = {
    4: (Fraction(0), *_both_signs(Fraction(3, 4), Fraction(3, 2))),
    5: _both_signs(Fraction(1, 4), Fraction(7, 8), Fraction(7, 4)),
}
"""m -> where the polynomials are evaluated; infinity is one point more. Both signs of a point share their arithmetic. Among the
fractions of eight these give about the least rounding errors, for m = 5 as small as the usual 0, 1, -1, 2, -2 have for m = 4; and A
and B are exact in binary."""

Matrix = tuple[tuple[Fraction, ...], ...]


class Transforms(NamedTuple):
    """The matrices A' (m, m + 2), G (m + 2, 3) and B' (m + 2, m + 2)."""

    outputs: Matrix
    filters: Matrix
    inputs: Matrix


def transforms(points: Sequence[Fraction]) -> Transforms:
    """The matrices of evaluation at the points and at infinity, and of interpolation (Toom and Cook's construction).

    Examples
    --------
    >>> a, g, b = transforms((Fraction(0), Fraction(1), Fraction(-1)))
    >>> [[str(c) for c in row] for row in a]
    [['1', '1', '1', '0'], ['0', '1', '-1', '1']]
    >>> [[str(c) for c in row] for row in g]
    [['-1', '0', '0'], ['1/2', '1/2', '1/2'], ['1/2', '-1/2', '1/2'], ['0', '0', '1']]
    """
    outputs = len(points) - TAPS + 2
    others = [[q for q in points if q != p] for p in points]
    scales = [prod(p - q for q in rest) for p, rest in zip(points, others, strict=True)]
    at_infinity = [tuple(Fraction(int(k == size - 1)) for k in range(size)) for size in (outputs, TAPS)]
    a = [*(tuple(p**i for i in range(outputs)) for p in points), at_infinity[0]]
    g = [*(tuple(p**k / scale for k in range(TAPS)) for p, scale in zip(points, scales, strict=True)), at_infinity[1]]
    b = [_with_roots(roots, len(points) + 1) for roots in (*others, points)]
    return Transforms(tuple(zip(*a, strict=True)), tuple(g), tuple(b))


def _with_roots(roots: Sequence[Fraction], size: int) -> tuple[Fraction, ...]:
    """Coefficients of the polynomial that has these roots, the constant one first."""
    coefficients = [Fraction(1)]
    for root in roots:
        coefficients = [a - root * b for a, b in zip([Fraction(0), *coefficients], [*coefficients, Fraction(0)], strict=True)]
    return tuple(coefficients + [Fraction(0)] * (size - len(coefficients)))


TRANSFORMS = {outputs: transforms(points) for outputs, points in POINTS.items()}


def halves(a: tuple[Fraction, ...], b: tuple[Fraction, ...]) -> tuple[tuple[Fraction, ...], tuple[Fraction, ...]] | None:
    """(p, q) with ``a = p + q`` and ``b = p - q`` where a and b differ in signs alone, else None."""
    if any(abs(i) != abs(j) for i, j in zip(a, b, strict=True)):
        return None
    p = tuple(i if i == j else Fraction(0) for i, j in zip(a, b, strict=True))
    return p, tuple(i - k for i, k in zip(a, p, strict=True))


def tiles(size: Pair, outputs: int) -> Pair:
    """Tiles of ``outputs x outputs`` that cover a map, down and across."""
    return -(-size[0] // outputs), -(-size[1] // outputs)


def outputs_for(size: Pair) -> int:
    """The m for maps of that size: 5 where it saves more than an eighth of the products, else 4, whose errors are smaller.

    Examples
    --------
    >>> outputs_for((13, 13)), outputs_for((14, 14)), outputs_for((7, 7)), outputs_for((56, 56))
    (5, 5, 4, 4)
    """
    few, many = (prod(tiles(size, m)) * (m + TAPS - 1) ** 2 for m in (5, 4))
    return 5 if 8 * few < 7 * many else 4


def roundings(size: Pair, channels: int) -> int:
    """Roundings between a term of a result and its exact value, at most, in whatever order each sum is taken.

    A sum of n products has n: one of the product, and n - 1 of the sums. Each matrix is applied twice; the coefficients of G are
    rounded themselves; then come the products of both transforms, their sum over channels, and the bias.
    """
    longest = [max(sum(c != 0 for c in row) for row in matrix) for matrix in TRANSFORMS[outputs_for(size)]]
    return 2 * (sum(longest) + 1) + channels + 1


def term_sizes(x: np.ndarray, w: np.ndarray, b: np.ndarray | None, padding: Padding, groups: int) -> np.ndarray:
    """The algorithm run on absolute values: the sizes of all terms that a result is summed from.

    ``|A'| [ sum over channels of (|G| |g| |G'|) * (|B'| |d| |B|) ] |A| + |b|``. No result lies further from the exact one than
    ``gamma(roundings)`` times this (gamma as in Higham, "Accuracy and stability of numerical algorithms", section 3.1): each
    term carries that many factors ``1 + delta``.

    Parameters
    ----------
    x : float (N, C, H, W)
    w : float (O, C/G, 3, 3)
    b : float (O,) or None
    padding : pair of pairs of int
    groups : int

    Returns
    -------
    float (N, O, OH, OW)
    """
    (N, C, H, W), O = x.shape, len(w)
    OH, OW = output_size((H, W), KERNEL_SIZE, padding=padding)
    m = outputs_for((OH, OW))
    (TH, TW), tile = tiles((OH, OW), m), m + TAPS - 1
    a, g, b_ = (np.abs(np.array(matrix, float)).astype(x.dtype) for matrix in TRANSFORMS[m])
    (top, _), (left, _) = padding
    image = np.zeros((N, C, TH * m + TAPS - 1, TW * m + TAPS - 1), x.dtype)
    image[:, :, top : top + H, left : left + W] = np.abs(x)
    patches = np.lib.stride_tricks.sliding_window_view(image, (tile, tile), axis=(2, 3))[:, :, ::m, ::m]
    inputs = b_ @ patches.reshape(N, groups, C // groups, TH, TW, tile, tile) @ b_.T
    filters = (g @ np.abs(w) @ g.T).reshape(groups, O // groups, C // groups, tile, tile)
    y = a @ np.einsum("ngchwij,gocij->ngohwij", inputs, filters) @ a.T
    y = y.reshape(N, O, TH, TW, m, m).swapaxes(3, 4).reshape(N, O, TH * m, TW * m)[:, :, :OH, :OW]
    return y if b is None else y + np.abs(b)[:, None, None]
