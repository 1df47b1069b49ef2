"""Dropout from an explicit seed: the mask depends on the seed and the element's position alone."""

from __future__ import annotations

import numpy as np

GOLDEN, MIX1, MIX2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def uniforms(count: int, seed: int) -> np.ndarray:
    """`count` numbers in [0, 1), float64: the splitmix64 hash of position and seed.

    Examples
    --------
    The published generator's first two numbers from seed 0, 0xE220A8397B1DCDAF and 0x6E789E6AA1B965F4, over 2**64:

    >>> uniforms(2, seed=0).round(3).tolist()
    [0.883, 0.432]
    """
    z = (np.arange(count, dtype=np.uint64) + np.uint64(1)) * GOLDEN
    z += np.array([seed % 2**64], np.uint64) * MIX1
    z = (z ^ (z >> np.uint64(30))) * MIX1
    z = (z ^ (z >> np.uint64(27))) * MIX2
    z ^= z >> np.uint64(31)
    return (z >> np.uint64(11)) * 2.0**-53


def dropout(x: np.ndarray, p: float, seed: int) -> np.ndarray:
    """Zero each element with probability p, scale the others by 1/(1-p).

    ``y.flat[i] = x.flat[i] / (1 - p) if uniform(seed, i) >= p else 0``

    Parameters
    ----------
    x : float, any shape
    p : float
        From 0 to 1.
    seed : int

    Returns
    -------
    y : float, x's shape

    Notes
    -----
    Adjoint: itself, at the same p and seed.
    Edge cases: p = 1 zeroes everything.
    Source: Hinton et al. 2012, arXiv 1207.0580; paper, section 3 (0.5 in layers 6 and 7); mask: Steele, Lea & Flood 2014, "Fast
    splittable pseudorandom number generators".

    Examples
    --------
    >>> dropout(np.ones((2, 2)), 0.5, 7)
    array([[0., 2.],
           [2., 0.]])
    """
    keep = uniforms(x.size, seed).reshape(x.shape) >= p
    assert keep.shape == x.shape
    return np.where(keep, x * x.dtype.type(1 / (1 - p) if p < 1 else 0), x.dtype.type(0))
