"""How well maps of importance point at an object whose mask is known, and the maps that they have to beat: the arithmetic."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zfcore.errors import ZfcoreError


@dataclass(frozen=True)
class Score:
    """Of one map and one mask.

    Parameters
    ----------
    hit : float
        Pointing game (Zhang et al. 2016): 1 if the map's maximum lies inside the mask, else 0; of several equal maxima the share inside.
    share : float
        Share of the map's sum that lies inside the mask; of a map of zeros the mask's share of the image.
    """

    hit: float
    share: float


def score(importance: np.ndarray, mask: np.ndarray, tolerance: float = 0.0) -> Score:
    """Score a map against a mask. A map that is the same everywhere gets what chance gets, the mask's share of the image, for both.

    Parameters
    ----------
    importance : array (H, W), float
        Not negative.
    mask : bool array (H, W)
    tolerance : float
        In pixels: a maximum no farther than this from the mask is a hit. The share knows no tolerance.

    Raises
    ------
    ZfcoreError
        If the shapes differ, the mask is empty, or the map has a value that is negative or not finite.

    Examples
    --------
    >>> score(np.array([[3.0, 1.0], [0.0, 0.0]]), np.array([[True, False], [True, False]]))
    Score(hit=1.0, share=0.75)
    """
    if importance.shape != mask.shape or not mask.any():
        raise ZfcoreError(f"mask: got {mask.shape}, {int(mask.sum())} pixels inside; needed one or more, and the map's {importance.shape}")
    if not (importance >= 0).all() or not np.isfinite(importance).all():
        raise ZfcoreError("map: got values that are negative or not finite, needed 0 or more")
    inside = mask
    if tolerance > 0:
        from scipy.ndimage import distance_transform_edt

        inside = distance_transform_edt(~mask) <= tolerance
    total = importance.sum(dtype=np.float64)
    share = importance[mask].sum(dtype=np.float64) / total if total > 0 else mask.mean()
    return Score(float(inside[importance == importance.max()].mean()), float(share))


def flat(size: tuple[int, int]) -> np.ndarray:
    """The same everywhere: chance."""
    return np.ones(size)


def central(size: tuple[int, int]) -> np.ndarray:
    """A Gaussian on the middle, its deviation a quarter of either side: for photographers and programs put objects there."""
    rows, columns = ((np.arange(n) - (n - 1) / 2) / (n / 4) for n in size)
    return np.exp(-(rows[:, None] ** 2 + columns[None] ** 2) / 2)


def edges(frame: np.ndarray) -> np.ndarray:
    """Length of the picture's own gradient, summed over colours; frame (H, W, 3) uint8. It knows nothing of any network."""
    down, across = np.gradient(frame.astype(np.float64), axis=(0, 1))
    return np.hypot(down, across).sum(axis=2)


@dataclass(frozen=True)
class Estimate:
    """A mean and its 95 % interval."""

    mean: float
    low: float
    high: float


def estimate(values: np.ndarray) -> Estimate:
    """Mean and Student's t interval of scores (M, D, n) of M networks, D draws of n scenes each.

    The interval is over the means of the networks where there are several, else over all scenes, which are drawn independently; for one
    scene there is none, and it is NaN.
    """
    from scipy.stats import t

    units = values.mean(axis=(1, 2)) if len(values) > 1 else values.ravel()
    mean, count = float(values.mean()), len(units)
    if count < 2:
        return Estimate(mean, float("nan"), float("nan"))
    half = float(t.ppf(0.975, count - 1) * units.std(ddof=1) / np.sqrt(count))
    return Estimate(mean, mean - half, mean + half)


def seed_means(values: np.ndarray) -> np.ndarray:
    """The mean of every seed: of each network's every draw of scenes, (M D,)."""
    return values.mean(axis=2).ravel()


def unit_words(shape: tuple[int, ...]) -> str:
    """How an interval came about, for people; shape (M, D, n)."""
    models, draws, scenes = shape
    return f"Student's t over {f'the means of {models} networks' if models > 1 else f'{draws * scenes} scenes'}"
