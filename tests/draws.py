"""Where the batteries' cases come from: a seeded generator, or Hypothesis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

KINDS = ("integers", "normal", "distinct")


def numbers(rng: np.random.Generator, shape: tuple[int, ...], kind: str, dtype: type) -> np.ndarray:
    """Small integers (exact, ties come by themselves), normal numbers, or numbers that keep apart.

    Distinct numbers are odd multiples of half a gap, the gap a power of two: no two are equal, none is 0 or 1 or -1.
    """
    if kind == "integers":
        return rng.integers(-4, 5, shape).astype(dtype)
    if kind == "normal":
        return rng.standard_normal(shape).astype(dtype)
    n = int(np.prod(shape))
    return ((rng.permutation(n) - n // 2 + 0.5) * gap(n)).reshape(shape).astype(dtype)


def gap(n: int) -> float:
    """Distance of neighbours among n distinct numbers."""
    return float(2.0 ** -max(0, int(np.ceil(np.log2(max(n, 1) / 4)))))


class SeededDraw:
    """Choices from a seeded generator."""

    def __init__(self, seed: int, kind: str, dtype: type, corner: str = "") -> None:
        self.rng, self.kind, self.dtype, self.corner = np.random.default_rng(seed), kind, dtype, corner

    def integer(self, low: int, high: int, label: str) -> int:
        return int(self.rng.integers(low, high, endpoint=True))

    def choice(self, options: Sequence[Any], label: str) -> Any:
        return options[self.integer(0, len(options) - 1, label)]

    def array(self, shape: tuple[int, ...], label: str) -> np.ndarray:
        return numbers(self.rng, shape, self.kind, self.dtype)


class HypothesisDraw:
    """Choices that Hypothesis makes, and shrinks; the numbers in an array come from a seed that it draws."""

    def __init__(self, data: st.DataObject, kind: str, dtype: type, corner: str = "") -> None:
        self.data, self.kind, self.dtype, self.corner = data, kind, dtype, corner

    def integer(self, low: int, high: int, label: str) -> int:
        return self.data.draw(st.integers(low, high), label)

    def choice(self, options: Sequence[Any], label: str) -> Any:
        return options[self.integer(0, len(options) - 1, label)]

    def array(self, shape: tuple[int, ...], label: str) -> np.ndarray:
        rng = np.random.default_rng(self.integer(0, 2**32 - 1, f"seed of {label} {shape}"))
        return numbers(rng, shape, self.kind, self.dtype)
