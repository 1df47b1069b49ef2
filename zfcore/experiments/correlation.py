"""Normalised correlation of images, all with all: what finds near-identical ones among many (paper, section 5)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from zfcore.errors import ZfcoreError

CONSTANT = 1.0
"""Standard deviation in grey levels, of 0 to 255: under it an image is one colour, and what correlates is its rounding."""
BLOCK = 1024
"""Images of each set whose products are in memory at a time: 4 MB of them."""
MARGIN = 1e-4
"""Products in float32 of a thousand terms are off by less; a pair this close to the threshold is computed again in float64."""
MOST_PAIRS = 200_000
"""More than anyone will look through; sets of many equal images would fill memory with their pairs."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of images, (P,) each, strongest first.

    Parameters
    ----------
    first, second : int64
        Rows of the two sets.
    correlation : float64
        -1 to 1.
    mirrored : bool
        Whether it is that of the one and the mirrored other.
    """

    first: np.ndarray
    second: np.ndarray
    correlation: np.ndarray
    mirrored: np.ndarray

    def __len__(self) -> int:
        return len(self.first)

    def those(self, chosen: np.ndarray) -> Pairs:
        """Some of them, by number or mask."""
        return Pairs(self.first[chosen], self.second[chosen], self.correlation[chosen], self.mirrored[chosen])


@dataclass(frozen=True, eq=False)
class Correlated:
    """What a comparison of two sets came to: pairs, and of each image (N,) float32 of the first the highest correlation with any other."""

    pairs: Pairs
    nearest: np.ndarray


def unit_image(image: np.ndarray, side: int, colour: bool = False) -> np.ndarray | None:
    """An image in a small square frame, of mean 0 and norm 1: dot products of such are normalised correlations.

    Parameters
    ----------
    image : uint8 array (H, W, 3)
        Its shape is given up: the whole of it fills the frame.
    side : int
        Of the frame, in pixels. Smaller images are enlarged.
    colour : bool
        Keep the three colours, each of mean 0, instead of their grey (ITU-R BT.601 luma).

    Returns
    -------
    float32 array (C, side, side), or None
        None of an image of one colour, which correlates with nothing.

    Examples
    --------
    >>> picture = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    >>> bright = 5 * picture + 9
    >>> round(float((unit_image(picture, 4) * unit_image(bright, 4)).sum()), 4)
    1.0
    """
    picture = Image.fromarray(image)
    bands = picture.split() if colour else (picture.convert("L"),)
    small = (np.asarray(band.convert("F").resize((side, side), Image.Resampling.BILINEAR)) for band in bands)
    planes = np.stack([plane.astype(np.float64) for plane in small])
    planes -= planes.mean(axis=(1, 2), keepdims=True)
    norm = np.sqrt((planes**2).sum())
    return None if norm < CONSTANT * np.sqrt(planes.size) else (planes / norm).astype(np.float32)


def correlated(
    a: np.ndarray,
    b: np.ndarray | None,
    threshold: float,
    mirror: bool = True,
    block: int = BLOCK,
    on_block: Callable[[int], None] = lambda products: None,
) -> Correlated:
    """The pairs of two sets whose correlation reaches a threshold: matrix products of blocks.

    Parameters
    ----------
    a : float32 array (N, C, S, S)
        As `unit_image` makes them.
    b : float32 array (M, C, S, S), or None
        The other set; None for pairs within `a`: each once, the first before the second in the set.
    threshold : float
        Above 0.
    mirror : bool
        Compare with mirrored images, too: the better of both counts.
    block : int
        So many of each set at a time; it changes neither pairs nor correlations.
    on_block : callable (int), optional
        Told after each block of so many products.

    Raises
    ------
    ZfcoreError
        If there are more than `MOST_PAIRS`.
    """
    same, other = b is None, a if b is None else b
    nearest = np.full(len(a), -1, np.float32)
    found = [np.empty((2, 0), np.int64)]
    count = 0
    for i in range(0, len(a), block):
        left = _flat(a[i : i + block])
        for j in range(i if same else 0, len(other), block):
            right = other[j : j + block]
            best = left @ _flat(right).T
            if mirror:
                np.maximum(best, left @ _flat(right[..., ::-1]).T, out=best)
            if same and i == j:
                best[np.tril_indices(len(best))] = -1
            if best.size:
                nearest[i : i + block] = np.maximum(nearest[i : i + block], best.max(axis=1))
                if same:
                    nearest[j : j + block] = np.maximum(nearest[j : j + block], best.max(axis=0))
            rows, columns = np.nonzero(best >= threshold - MARGIN)
            found.append(np.stack([rows + i, columns + j]))
            count += len(rows)
            if count > MOST_PAIRS:
                raise ZfcoreError(f"threshold: got {threshold:g}, which more than {MOST_PAIRS:,} pairs reach; give a higher one")
            on_block(best.size)
    first, second = np.concatenate(found, axis=1)
    np.minimum(nearest, 1, out=nearest)  # products in float32 of equal images may be above it
    pairs = _exact(a, other, first, second, mirror)
    return Correlated(pairs.those(np.flatnonzero(pairs.correlation >= threshold)), nearest)


def _flat(units: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(units).reshape(len(units), -1)


def _exact(a: np.ndarray, b: np.ndarray, first: np.ndarray, second: np.ndarray, mirror: bool) -> Pairs:
    """Correlations of some pairs, each computed by itself in float64; strongest first."""
    values, turned = np.empty(len(first)), np.zeros(len(first), bool)
    for n, (i, j) in enumerate(zip(first, second, strict=True)):
        values[n], turned[n] = correlation(a[i], b[j], mirror)
    order = np.lexsort((second, first, -values))
    return Pairs(first, second, values, turned).those(order)


def correlation(a: np.ndarray, b: np.ndarray, mirror: bool = True) -> tuple[float, bool]:
    """Of two unit images (C, S, S), at most 1; and whether it is with the second one mirrored, which then correlates better."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    scale = np.sqrt((a**2).sum() * (b**2).sum())  # 1 but for the rounding to float32
    plain = float((a * b).sum() / scale)
    turned = float((a * b[..., ::-1]).sum() / scale) if mirror else plain
    return min(1.0, max(plain, turned)), turned > plain


def needless(pairs: Pairs, within: bool) -> np.ndarray:
    """Rows of the first set that can go, ascending: those with a partner; within one set all but the first of those that are alike.

    Examples
    --------
    >>> chain = Pairs(np.array([0, 1]), np.array([1, 2]), np.array([0.99, 0.98]), np.array([False, False]))
    >>> needless(chain, within=True), needless(chain, within=False)
    (array([1]), array([0, 1]))
    """
    if not within:
        return np.unique(pairs.first)
    gone: set[int] = set()
    for first, second in sorted(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)):
        if first not in gone:  # one that goes takes no other with it
            gone.add(second)
    return np.array(sorted(gone), np.int64)
