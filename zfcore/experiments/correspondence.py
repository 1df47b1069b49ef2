"""Whether features change alike where the same part is masked in several images (paper, section 4.3, table 1): the arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from zfcore.errors import ZfcoreError

MOST_ELEMENTS = 2**24
"""Compared at a time, so that memory is bounded; whole numbers up to this are exact in float32."""
BOOTSTRAPS = 2000
LEVEL = 0.05


@dataclass(frozen=True, eq=False)
class Delta:
    """How unlike the changes of some images are; lower is tighter correspondence.

    Parameters
    ----------
    mean : float
        The paper's Delta: the mean over pairs of images of the share of elements whose signs differ, 0 to 1.
    deviation : float
        Standard deviation over the pairs.
    distances : float64 array (n, n)
        The share for each pair.
    """

    mean: float
    deviation: float
    distances: np.ndarray


def delta(changes: np.ndarray) -> Delta:
    """The paper's measure of correspondence (section 4.3): the mean Hamming distance between signs of changes, per element.

    Parameters
    ----------
    changes : array (n, F), float or int
        ``e_i = x_i - x~_i``, the change of a layer's features when a part is masked in image i; n at least 2. The sign has three
        values: 0, unchanged, is unlike both others.

    Raises
    ------
    ZfcoreError
        If there are fewer than two images, no element, or a change is NaN.

    Examples
    --------
    >>> delta(np.array([[1.0, -2.0, 0.0, 3.0], [5.0, 2.0, 1.0, 0.5]])).mean
    0.5
    """
    changes = np.asarray(changes)
    if changes.ndim != 2 or len(changes) < 2 or not changes.shape[1]:
        raise ZfcoreError(f"changes: got shape {changes.shape}, needed (n, F): two images or more, one element or more")
    unlike = disagreements(changes)
    n, size = changes.shape
    pairs = unlike[np.triu_indices(n, 1)] / size
    return Delta(float(unlike.sum() / (n * (n - 1) * size)), float(pairs.std()), unlike / size)


def disagreements(changes: np.ndarray) -> np.ndarray:
    """In how many elements the three-valued signs of changes (n, F) differ, for every pair: (n, n) int64.

    Where both are minus, both zero or both plus is counted by products of matrices that say where each sign is.

    Raises
    ------
    ZfcoreError
        If a change is NaN.
    """
    count, size = changes.shape
    agree = np.zeros((count, count), np.int64)
    step = max(1, MOST_ELEMENTS // max(count, 1))
    for start in range(0, size, step):
        signs = np.sign(changes[:, start : start + step])
        if np.isnan(signs).any():
            raise ZfcoreError("changes: some are NaN, which has no sign")
        for sign in (-1, 0, 1):
            there = (signs == sign).astype(np.float32)
            agree += (there @ there.T).astype(np.int64)
    return size - agree


@dataclass(frozen=True, eq=False)
class Comparison:
    """One part at one layer, against other masks of the same size.

    Parameters
    ----------
    images : int
        n.
    part, part_deviation, part_error : float
        Delta of the part; its standard deviation over pairs of images; its standard error, by the bootstrap over images.
    apart : float64 array (K,)
        Delta of K draws of masks at random places, in each image another: the paper's rival.
    apart_deviation : float
        Over pairs of images of all draws.
    together : float64 array (K,)
        Delta of K draws of masks at a random place that is the same in all images.
    gain : (float, float)
        95 % interval of ``apart.mean() - part``, by the bootstrap over images.
    null_apart, null_together : float64 array (B,)
        Delta under exchange, see `compared`.
    """

    images: int
    part: float
    part_deviation: float
    part_error: float
    apart: np.ndarray
    apart_deviation: float
    together: np.ndarray
    gain: tuple[float, float]
    null_apart: np.ndarray
    null_together: np.ndarray

    @property
    def p_apart(self) -> float:
        """One-sided: how probable so low a Delta is if the part's mask is one like the random ones."""
        return p_value(self.part, self.null_apart)

    @property
    def p_together(self) -> float:
        """Likewise if the part's masks are like those at one place of all images; with K draws at least about 1 / (K + 1)."""
        return p_value(self.part, self.null_together)


def compared(changes: np.ndarray, draws: int, permutations: int, rng: np.random.Generator) -> Comparison:
    """Compare a part's masks with random ones.

    Two tests by permutation. Against masks apart: within every image the part's mask and its K random masks are exchanged, independently
    of the other images (paired by image; exact, since under the null hypothesis the part's mask is one more random one). Against masks
    together: whole sets of masks are exchanged, the part's with the K that lie at one place of all images.

    Parameters
    ----------
    changes : array (n, 1 + 2 K, F)
        Of each image: with the part masked, K times with a mask apart, K times with one together.
    draws : int
        K.
    permutations : int
        B.
    rng : numpy.random.Generator

    Raises
    ------
    ZfcoreError
        If there are fewer than two images, or a change is NaN.
    """
    n, masks, size = changes.shape
    if n < 2 or draws < 1 or masks != 1 + 2 * draws or not size:
        raise ZfcoreError(f"changes: got shape {changes.shape}, needed (n, {1 + 2 * draws}, F) of two images or more")
    unlike = disagreements(changes.reshape(n * masks, size)).reshape(n, masks, n, masks)
    sets = np.array([_total(unlike, np.full((1, n), mask))[0] for mask in range(masks)])
    scale = n * (n - 1) * size
    part, apart, together = sets[0], sets[1 : 1 + draws], sets[1 + draws :]
    exchanged = _total(unlike, rng.integers(1 + draws, size=(permutations, n)))
    whole = np.concatenate([[part], together])[rng.integers(1 + draws, size=permutations)]

    pair = np.triu_indices(n, 1)
    of_part = unlike[:, 0, :, 0] / size
    of_apart = np.stack([unlike[:, mask, :, mask] for mask in range(1, 1 + draws)]) / size
    weights = rng.multinomial(n, np.full(n, 1 / n), size=BOOTSTRAPS).astype(np.float64)
    gains = _weighted(of_apart.mean(axis=0) - of_part, weights)
    return Comparison(
        n,
        float(part / scale),
        float(of_part[pair].std()),
        float(np.nanstd(_weighted(of_part, weights))),
        apart / scale,
        float(of_apart[:, pair[0], pair[1]].std()),
        together / scale,
        (float(np.nanpercentile(gains, 2.5)), float(np.nanpercentile(gains, 97.5))),
        exchanged / scale,
        whole / scale,
    )


def _total(unlike: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Sum of the disagreements over ordered pairs of images, with one mask of each chosen, (B, n): (B,) int64."""
    n = len(unlike)
    total = np.zeros(len(chosen), np.int64)
    for i in range(n):
        for j in range(i):
            total += 2 * unlike[i, chosen[:, i], j, chosen[:, j]]
    return total


def _weighted(distances: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean over pairs of different images, each as often as a weight (B, n) says; NaN where one image was drawn alone."""
    off = distances - np.diag(np.diag(distances))
    pairs = weights.sum(axis=1) ** 2 - (weights**2).sum(axis=1)
    with np.errstate(invalid="ignore"):
        return np.einsum("bi,ij,bj->b", weights, off, weights) / pairs


def p_value(observed: float, null: np.ndarray) -> float:
    """The share of values as low as the observed one, which counts as one of them.

    Examples
    --------
    >>> p_value(0.5, np.array([0.4, 0.5, 0.6]))
    0.75
    """
    return float((1 + (null <= observed).sum()) / (1 + len(null)))


def pooled(comparisons: Sequence[Comparison], against: str, looser: bool = False) -> float:
    """p-value of so low, or so high, a mean Delta over parts, each exchanged independently; `against` is "apart" or "together".

    Raises
    ------
    ZfcoreError
        If there is nothing to compare.
    """
    if not comparisons:
        raise ZfcoreError("comparisons: got none")
    nulls = [getattr(c, f"null_{against}") for c in comparisons]
    columns = np.stack([np.concatenate([[c.part], null]) for c, null in zip(comparisons, nulls, strict=True)])
    means = columns.mean(axis=0) * (-1 if looser else 1)
    return p_value(means[0], means[1:])


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """p-values adjusted for being many (Holm 1979).

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    return adjusted


def random_boxes(
    sizes: np.ndarray, regions: np.ndarray, frame: tuple[int, int], rng: np.random.Generator, together: bool = False
) -> np.ndarray:
    """Boxes of given sizes whose centres are uniform in given regions, moved into the frame where they stick out.

    Parameters
    ----------
    sizes : int array (n, 2)
        Height and width of each box; no larger than the frame.
    regions : int array (n, 4)
        (y0, x0, y1, x1) for each.
    frame : (int, int)
        (H, W).
    rng : numpy.random.Generator
    together : bool
        One place, relative to the regions, for all, instead of one for each.

    Returns
    -------
    int64 array (n, 4)
        (y0, x0, y1, x1) of each box. It may overlap the part that it stands beside.
    """
    places = rng.random((1 if together else len(sizes), 2))
    centres = regions[:, :2] + places * (regions[:, 2:] - regions[:, :2])
    corners = np.clip(np.rint(centres - sizes / 2).astype(np.int64), 0, np.array(frame) - sizes)
    return np.concatenate([corners, corners + sizes], axis=1)
