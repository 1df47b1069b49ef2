"""Dropout from an explicit seed: the mask depends on the seed and the element's position alone."""

from __future__ import annotations

import numpy as np

GOLDEN, MIX1, MIX2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def uniforms(count: int, seed: int) -> np.ndarray:
    """`count` numbers in [0, 1), float64: the splitmix64 hash of position and seed (Steele, Lea & Flood 2014)."""
    z = (np.arange(count, dtype=np.uint64) + np.uint64(1)) * GOLDEN
    z += np.array([seed % 2**64], np.uint64) * MIX1
    z = (z ^ (z >> np.uint64(30))) * MIX1
    z = (z ^ (z >> np.uint64(27))) * MIX2
    z ^= z >> np.uint64(31)
    return (z >> np.uint64(11)) * 2.0**-53


def dropout(x: np.ndarray, p: float, seed: int) -> np.ndarray:
    """Zero each element with probability p, scale the others by 1/(1-p).

    ``y.flat[i] = x.flat[i] / (1 - p) if uniform(seed, i) >= p else 0``

    Shapes: any x -> y of its shape.
    Adjoint: itself, at the same p and seed.
    Edge cases: p = 1 zeroes everything.
    """
    keep = uniforms(x.size, seed).reshape(x.shape) >= p
    return np.where(keep, x * x.dtype.type(1 / (1 - p) if p < 1 else 0), x.dtype.type(0))
