"""Is an answer right? A part of it is computed again by the reference, in float64, and compared within its rounding bound.

The part is drawn: an image of the batch, a few maps, with every pixel of them, so that all edges are seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from zfkernels import reference
from zfkernels.catalog import NOT_A_SUM, Op, call

from zfcore.testing import ROUNDINGS, parity_test, rounding_bound

TF32 = 2 * 2**-10 + 2**-20
"""What a product is off by at most, as a share of it, if both factors are cut to the 10 bits behind the point that TF32 has."""
MAPS = 4  #: So many output maps (and input maps, of a gradient in w) are computed again.


@dataclass(frozen=True)
class Part:
    """Where in a result, what must be there, and how far off it may be; of sums of products the sums of their absolute values."""

    index: Any
    ref: np.ndarray
    bound: np.ndarray | float
    products: np.ndarray | None = None


@dataclass(frozen=True)
class Check:
    """What answers to one problem are held against.

    Parameters
    ----------
    text : str
        What was computed again, and by what.
    parts : tuple of Part
        One for every array of the answer, in order; none if a peer's answers cannot be compared.
    why_not : str
        The reason for that.
    """

    text: str
    parts: tuple[Part, ...]
    why_not: str = ""

    def __call__(self, result: Any) -> None:
        """Raise AssertionError, which names the worst element, if an answer is wrong."""
        results = tuple(result) if isinstance(result, tuple | list) else (result,)
        for got, part in zip(results, self.parts, strict=False):  # peers may answer with switches or without
            parity_test(np.asarray(got)[part.index], part.ref, part.bound)

    def with_tf32(self) -> Check:
        """For answers from products of factors that were cut to TF32, summed in float32: kernels within a bound of their own.

        Networks multiply what is rounded already; theirs are not compared.
        """
        if any(part.products is None for part in self.parts):
            return Check(self.text, (), "networks with TF32 are only timed")
        parts = [replace(p, bound=p.bound * (1 + TF32) + TF32 * p.products) for p in self.parts if p.products is not None]
        return Check(self.text, tuple(parts), self.why_not)


def check_kernel(op: Op, function: str, arguments: Mapping[str, Any], rng: np.random.Generator) -> Check:
    """The check of a call of a kernel: a drawn part of the result, computed again."""
    text, case, index = part_of(function, dict(arguments), rng)
    terms = op.terms(function, case)
    if terms == 0:
        refs = call(reference, function, case)
        refs = refs if isinstance(refs, tuple) else (refs,)
        return Check(f"{text}, bit for bit", tuple(Part(index, ref, 0.0) for ref in refs))
    exact = in_float64(case)
    ref = call(reference, function, exact)
    roundings, size = op.roundings(function, exact)
    if terms == NOT_A_SUM:
        bound: Any = ROUNDINGS[function] * np.finfo(np.float32).eps * max(size.max(initial=0), np.abs(ref).max(initial=0), 1)
    else:
        bound = rounding_bound(roundings - 1, size, np.float32)
    return Check(f"{text}, by the reference in float64", (Part(index, ref, bound, size if terms != NOT_A_SUM else None),))


def in_float64(case: Mapping[str, Any]) -> dict[str, Any]:
    """The case with its arrays of floats in float64; those that stand for their shapes keep taking no memory."""

    def wide(value: Any) -> Any:
        if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
            return value
        empty = value.size and not any(value.strides)
        return np.broadcast_to(np.float64(value.flat[0]), value.shape) if empty else value.astype(np.float64)

    return {name: wide(value) for name, value in case.items()}


#: What has a row for every image, in the arguments of functions that treat images alone.
BY_IMAGE = ("x", "y", "gy", "switches")


def part_of(function: str, case: dict[str, Any], rng: np.random.Generator) -> tuple[str, dict[str, Any], Any]:
    """A smaller problem whose answer is a part of the answer: what it is in words, its case, and where it lies in the answer."""
    if function in ("conv2d_adjoint_w", "linear_adjoint_w"):
        return _part_of_weights(function, case, rng)
    n = int(rng.integers(len(case["x"])))
    case |= {name: case[name][n : n + 1] for name in BY_IMAGE if name in case}
    if function in ("conv2d", "conv2d_winograd", "conv2d_adjoint_x"):
        return _maps_of_image(function, case, n, rng)
    return f"image {n}", case, slice(n, n + 1)


def _maps_of_image(function: str, case: dict[str, Any], n: int, rng: np.random.Generator) -> tuple[str, dict[str, Any], Any]:
    """A few maps of one group: of y for the forward pass, of x for the adjoint."""
    (O, CG), groups = case["w"].shape[:2], case["groups"]
    g, OG = int(rng.integers(groups)), O // groups
    outs, ins = slice(g * OG, (g + 1) * OG), slice(g * CG, (g + 1) * CG)
    forward = function != "conv2d_adjoint_x"
    few = _few(OG if forward else CG, rng)
    if forward:
        outs = slice(outs.start + few.start, outs.start + few.stop)
        w, result = case["w"][outs], outs
    else:
        w, result = case["w"][outs, few], slice(ins.start + few.start, ins.start + few.stop)
        ins = result
    case |= {"w": w, "x": case["x"][:, ins], "gy": case["gy"][:, outs], "b": case["b"][outs], "groups": 1}
    return f"image {n}, maps {result.start} to {result.stop - 1}", case, (slice(n, n + 1), result)


def _part_of_weights(function: str, case: dict[str, Any], rng: np.random.Generator) -> tuple[str, dict[str, Any], Any]:
    """A few filters, in a few of their maps."""
    O, CG = case["w"].shape[:2]
    outs, ins = _few(O, rng), _few(CG, rng)
    if function == "linear_adjoint_w":
        case |= {"w": case["w"][outs], "gy": case["gy"][:, outs]}
        return f"rows {outs.start} to {outs.stop - 1}", case, outs
    OG = O // case["groups"]
    g = outs.start // OG
    outs = slice(outs.start, min(outs.stop, (g + 1) * OG))
    x = case["x"][:, g * CG + ins.start : g * CG + ins.stop]
    case |= {"w": case["w"][outs, ins], "x": x, "gy": case["gy"][:, outs], "groups": 1}
    return f"filters {outs.start} to {outs.stop - 1}, maps {ins.start} to {ins.stop - 1}", case, (outs, ins)


def _few(count: int, rng: np.random.Generator) -> slice:
    first = int(rng.integers(max(count - MAPS, 0) + 1))
    return slice(first, min(first + MAPS, count))


def network_check(text: str, refs: Sequence[np.ndarray], index: tuple[Any, ...], dtype: Any) -> Check:
    """The check of answers of a network: within its roundings, relative to the largest element of each."""
    roundings = ROUNDINGS["network"] * np.finfo(dtype).eps
    return Check(text, tuple(Part(index, ref, float(roundings * np.abs(ref).max(initial=0))) for ref in refs))
