"""What the CUDA backend is to reach, computed from stored results: no test asserts a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product

from zfcore.bench.results import Results, Timed

PEER = "torch-cuda"
"""PyTorch with TF32 off: whose convolutions are cuDNN's in float32."""


@dataclass(frozen=True)
class Bar:
    """One of them.

    Parameters
    ----------
    text : str
        What is asked.
    cases : tuple of str
        The ids of those that have to reach it, every single one.
    least : float
        How much: times `PEER`'s speed, or as a share of the speed of a copy.
    of_copy : bool
        The latter: of copying from memory to memory as many bytes as the case moves.
    """

    text: str
    cases: tuple[str, ...]
    least: float
    of_copy: bool = False

    def found(self, results: Results) -> dict[str, float | None]:
        """What was measured, by case; None where a case is wrong, or has no time."""
        there = {case.id: case for case in results.cases}
        return {name: self._measured(results, there[name]) if name in there else None for name in self.cases}

    def _measured(self, results: Results, case: Timed) -> float | None:
        return results.of_copy(case) if self.of_copy else case.ratio(PEER)

    def verdict(self, found: Mapping[str, float | None]) -> str:
        """In a word: reached, missed, or open where that hangs on cases without a figure."""
        if any(value is not None and value < self.least for value in found.values()):
            return "missed"
        return "open" if None in found.values() else "reached"


def _each(functions: Iterable[str], layers: Iterable[str], *batches: int) -> tuple[str, ...]:
    """The ids of functions at layers of ZFNet."""
    return tuple(f"{function}/zfnet-{layer}/n{n}" for function, layer, n in product(functions, layers, batches))


CONVOLUTIONS = tuple(f"conv{number}" for number in range(1, 6))
RECTIFIERS = tuple(f"relu{number}" for number in range(1, 6))
POOLS, NORMS, MATRICES = ("pool1", "pool2", "pool5"), ("norm1", "norm2"), ("fc6", "fc7", "fc8")

BARS = (
    Bar(
        "convolutions, N = 64, float32: at least 0.50 of cuDNN's speed, TF32 off",
        _each(("conv2d", "conv2d_adjoint_x", "conv2d_adjoint_w"), CONVOLUTIONS, 64),
        0.5,
    ),
    Bar("projections: at least PyTorch's speed", _each(("project",), CONVOLUTIONS, 1, 9), 1.0),
    Bar("unpooling, N = 64: at least PyTorch's speed", _each(("max_unpool2d",), POOLS, 64), 1.0),
    Bar(
        "other kernels that move memory, N = 64: at least 0.70 of the speed of a copy of as many bytes",
        (
            *_each(("max_pool2d", "avg_pool2d", "avg_pool2d_adjoint_x"), POOLS, 64),
            *_each(("local_response_norm", "local_response_norm_vjp"), NORMS, 64),
            *_each(("relu", "relu_vjp"), RECTIFIERS, 64),
        ),
        0.7,
        of_copy=True,
    ),
    Bar(
        "fully connected layers, N = 1: at least 0.70 of the speed of a copy of as many bytes",
        _each(("linear", "linear_adjoint_x", "linear_adjoint_w"), MATRICES, 1),
        0.7,
        of_copy=True,
    ),
)
"""On layers of ZFNet."""
