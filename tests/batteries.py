"""The laws of kernels, each as one function of (op, backend, draw) that raises AssertionError: run on every backend, and on mutants."""

from __future__ import annotations

import os
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import zfkernels
from draws import gap
from zfkernels import reference
from zfkernels.catalog import NOT_A_SUM, Adjoint, Case, Draw, Op, Vjp, absolute, call

from zfcore.testing import ROUNDINGS, dot_test, parity_test, rounding_bound, vjp_test


def cast(case: Case, dtype: type) -> Case:
    """The case with its arrays of floats in another type."""
    return {k: v.astype(dtype) if isinstance(v, np.ndarray) and v.dtype.kind == "f" else v for k, v in case.items()}


def usable(name: str) -> ModuleType:
    """A backend; where it cannot be used the test is skipped, with the reason."""
    reason = zfkernels.backends()[name]
    if reason:
        pytest.skip(f"backend {name}: {reason}")
    return zfkernels.get(name)


def simulated(backend: ModuleType) -> bool:
    """Whether it is a device that Python stands in for, where few cases have to do."""
    return backend.__name__ == "zfkernels.cuda" and os.environ.get("NUMBA_ENABLE_CUDASIM") == "1"


def results(module: ModuleType, function: str, case: Case) -> tuple[np.ndarray, ...]:
    """The function's results, as a tuple always."""
    result = call(module, function, case)
    return result if isinstance(result, tuple) else (result,)


def parity(op: Op, backend: ModuleType, draw: Draw) -> None:
    """Tier 0: on small integers every backend equals the reference, switches and types included."""
    case = op.sample(draw)
    for function in op.functions:
        for got, ref in zip(results(backend, function, case), results(reference, function, case), strict=True):
            assert got.dtype == ref.dtype, f"{function}: got {got.dtype}, reference {ref.dtype}"
            parity_test(got, ref, 0.0 if op.exact else bound(op, function, case), function)


def adjoint(op: Op, backend: ModuleType, draw: Draw) -> None:
    """Tier 0: every pair of the record is a pair of adjoints."""
    case = op.sample(draw)
    for law in op.adjoints:
        dot(op, law, backend, case)


def dot(op: Op, law: Adjoint, backend: ModuleType, case: Case) -> None:
    case = case | {name: np.zeros_like(case[name]) for name in law.silent if case[name] is not None} | law.fixed(case)
    if case[law.argument] is None:
        return  # drawn without a bias

    def pair(module: ModuleType, case: Case) -> tuple[Any, Any]:
        return (
            lambda x: call(module, law.forward, case | {law.argument: x}),
            lambda y: call(module, law.adjoint, case | {law.cotangent: y}),
        )

    case = cast(case, np.float64)
    x = case[law.argument]
    y = case["gy"] if law.cotangent == "x" and "gy" in case else case[law.cotangent]
    allowed = 0.0
    if not op.exact:
        forward, _ = pair(reference, op.magnitude(case))
        terms = max(op.terms(law.forward, case), op.terms(law.adjoint, case))
        allowed = 2 * float(rounding_bound(terms, np.vdot(forward(absolute(x)), absolute(y)), np.float64))
    dot_test(*pair(backend, case), x, y, allowed)


def bound(op: Op, function: str, case: Case) -> np.ndarray | float:
    """How far the result of a function may lie from the exact one."""
    dtype = next(v.dtype for v in case.values() if isinstance(v, np.ndarray) and v.dtype.kind == "f")
    terms = op.terms(function, case)
    exact = cast(case, np.longdouble)
    if terms == NOT_A_SUM:
        size = np.abs(call(reference, function, op.magnitude(exact))).max(initial=0)
        size = max(size, np.abs(call(reference, function, exact)).max(initial=0), 1)
        return float(ROUNDINGS[function] * np.finfo(dtype).eps * size)
    roundings, sizes = op.roundings(function, exact)
    return rounding_bound(roundings - 1, sizes, dtype)


def rounding(op: Op, backend: ModuleType, draw: Draw) -> None:
    """Tiers 1 and 3: on any numbers every result lies within its rounding bound; where nothing is summed, the bits are equal."""
    case = op.sample(draw)
    for function in op.functions:
        got = results(backend, function, case)
        if op.terms(function, case) == 0:
            for a, ref in zip(got, results(reference, function, case), strict=True):
                parity_test(a, ref, name=function)
        else:
            exact = results(reference, function, cast(case, np.longdouble))
            parity_test(got[0], exact[0], bound(op, function, case), function)


def derivative(op: Op, backend: ModuleType, draw: Draw) -> None:
    """Tier 2: the transposed derivative agrees with directional differences, in float64, away from ties."""
    case = op.sample(draw)
    for law in op.vjps:
        slope(law, backend, case | dict(law.fixed))


def slope(law: Vjp, backend: ModuleType, case: Case) -> None:
    case = cast(case, np.float64)
    x, gy = case[law.argument], case["gy"]
    rng = np.random.default_rng(x.size)
    direction = rng.uniform(-1, 1, x.shape)
    step = min(1e-3, gap(x.size) / 8)  # distinct numbers lie half a gap from every kink
    vjp_test(
        lambda x: call(backend, law.forward, case | {law.argument: x}),
        lambda gy: call(backend, law.vjp, case | {"gy": gy}),
        x,
        gy,
        direction,
        step,
    )


def layouts(a: np.ndarray) -> dict[str, np.ndarray]:
    """The same numbers in every memory layout that a caller may hand over; sliced and reversed along every axis."""
    sliced = np.zeros([2 * length for length in a.shape], a.dtype)[(*[slice(None, None, 2)] * a.ndim, ...)]
    sliced[...] = a
    turn = (*[slice(None, None, -1)] * a.ndim, ...)
    frozen = a.copy()
    frozen.flags.writeable = False
    return {"Fortran": a.copy(order="F"), "sliced": sliced, "reversed": a[turn].copy()[turn], "read-only": frozen}


def layout(op: Op, backend: ModuleType, draw: Draw) -> None:
    """Any strides, read-only or not, give the same answer (on integers: the same bits), and no input is changed."""
    case = op.sample(draw)
    before = {name: v.copy() for name, v in case.items() if isinstance(v, np.ndarray)}
    for function in op.functions:
        plain = results(backend, function, case)
        allowed = 0.0 if op.exact else 2 * bound(op, function, case)
        laid_out = {name: layouts(v) for name, v in case.items() if isinstance(v, np.ndarray)}
        for kind in ("Fortran", "sliced", "reversed", "read-only"):
            other = case | {name: arrays[kind] for name, arrays in laid_out.items()}
            for got, ref in zip(results(backend, function, other), plain, strict=True):
                parity_test(got, ref, allowed, f"{function} on {kind} arrays")
    for name, value in before.items():
        parity_test(case[name], value, name=f"input {name} after the calls")


def nonfinite(op: Op, backend: ModuleType, draw: Draw) -> None:
    """NaN and infinities are not lost: where the reference has one, so has the backend; equal bits where nothing is summed.

    A sum may have more of them than the reference: a zero of the padding times an infinite weight is NaN, and the reference skips it.
    """
    case = op.sample(draw)
    rng = np.random.default_rng(draw.integer(0, 2**32 - 1, "places"))
    for array in case.values():
        if isinstance(array, np.ndarray) and array.dtype.kind == "f" and array.size:
            array.flat[rng.integers(array.size)] = rng.choice([np.nan, np.inf, -np.inf])
    if "var" in case:
        case["var"] = np.abs(case["var"])
    for function in op.functions:
        with np.errstate(all="ignore"):
            expected = results(reference, function, case)[0]
            got = results(backend, function, case)[0]
        if op.terms(function, case) == 0:
            parity_test(got, expected, name=function)
        lost = np.isfinite(got) & ~np.isfinite(expected)
        assert not lost.any(), f"{function}: lost {expected[lost][0]} at {tuple(map(int, np.argwhere(lost)[0]))}, got {got[lost][0]}"


#: Battery -> the kind of numbers it draws.
BATTERIES = {
    parity: "integers",
    adjoint: "integers",
    rounding: "normal",
    derivative: "distinct",
    layout: "integers",
    nonfinite: "normal",
}
