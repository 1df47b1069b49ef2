"""Local response normalisation of more pixels than the batteries draw, by any power, and of numbers at the ends of the range."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from zfkernels import cpu, reference

from zfcore.testing import ROUNDINGS, parity_test

BETAS = (0.25, 0.5, 0.6, 0.75, 1.0, 1.5, 0.0)


def compare(x, gy, *constants):
    for function, arrays in (("local_response_norm", (x,)), ("local_response_norm_vjp", (gy, x))):
        exact = getattr(reference, function)(*(a.astype(np.longdouble) for a in arrays), *constants)
        allowed = float(ROUNDINGS[function] * np.finfo(x.dtype).eps * max(np.abs(exact).max(), 1))
        parity_test(getattr(cpu, function)(*arrays, *constants), exact, allowed, f"{function} of {x.shape}, {constants}")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("beta", BETAS)
def test_many_pixels(beta, dtype):
    """Fewer than a vector, a vector and a part, several tiles and a part."""
    rng = np.random.default_rng(0)
    for C, pixels, size in ((7, (3, 5), 5), (3, (17,), 4), (9, (27, 27), 5), (4, (37, 41), 9), (5, (16,), 1)):
        x = 10 * rng.standard_normal((2, C, *pixels)).astype(dtype)
        compare(x, rng.standard_normal(x.shape).astype(dtype), size, 0.5, beta, 2.0)


@pytest.mark.parametrize("beta", BETAS)
def test_each_element_is_right_not_only_the_largest(beta):
    """One map, window and constants of nothing: ``y = x / |x|**(2*beta)``, of very different sizes side by side."""
    x = np.exp2(np.linspace(-15, 15, 200)).astype(np.float32).reshape(1, 1, 200)
    ref = reference.local_response_norm(x.astype(np.longdouble), 1, 1.0, beta, 0.0)
    bound = ROUNDINGS["local_response_norm"] * np.finfo(np.float32).eps * np.abs(ref)
    parity_test(cpu.local_response_norm(x, 1, 1.0, beta, 0.0), ref, bound, f"beta {beta}")


@pytest.mark.parametrize("beta", BETAS[:-1])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_ends_of_the_range(beta, dtype):
    """Beyond where roots are found by iteration: zero, infinity, NaN, the very small and the very large."""
    x = np.ones((1, 3, 40), dtype)
    x[0, 1, :7] = 0, np.inf, -np.inf, np.nan, 1e-18, 1e18, np.finfo(dtype).tiny
    x[0, ::2, :7] = 0
    with np.errstate(all="ignore"):
        ref = reference.local_response_norm(x.astype(np.longdouble), 3, 1.0, beta, 0.0).astype(dtype)
        kinds = np.isnan, np.isposinf, np.isneginf
        got = cpu.local_response_norm(x, 3, 1.0, beta, 0.0)
        same_square = reference.local_response_norm(x, 3, 1.0, beta, 0.0)  # whose squares underflow alike
    for kind in kinds:
        assert (kind(got) == kind(same_square)).all(), f"{kind.__name__}: {got[0, 1, :7]}, reference {same_square[0, 1, :7]}"
    rest = slice(7, None)
    parity_test(got[..., rest], ref[..., rest], ROUNDINGS["local_response_norm"] * np.finfo(dtype).eps, "beside them")


def test_an_infinity_does_not_outlive_its_window():
    x = np.ones((1, 20, 16), np.float32)
    x[0, 3, 5] = np.inf
    got = cpu.local_response_norm(x, 5, 1e-4, 0.75, 2.0)
    assert np.isfinite(np.delete(got, 5, axis=2)).all()
    assert np.isfinite(got[0, 6:, 5]).all() and (got[0, [1, 2, 4, 5], 5] == 0).all() and np.isnan(got[0, 3, 5])


def test_windows_over_most_maps_agree_with_the_reference():
    """What a task keeps for them is large enough for its memory to be taken away as soon as it is let go of."""
    x = np.random.default_rng(0).standard_normal((1, 64, 32, 32))
    arguments = x, x, 63, 1e-4, 0.75, 2.0
    exact = reference.local_response_norm_vjp(*(a.astype(np.longdouble) if isinstance(a, np.ndarray) else a for a in arguments))
    allowed = ROUNDINGS["local_response_norm_vjp"] * np.finfo(np.float64).eps * np.abs(exact).max()
    parity_test(cpu.local_response_norm_vjp(*arguments), exact, allowed)


MANY = """
import hashlib, numba, numpy as np
from zfkernels import cpu
x = np.random.default_rng(0).standard_normal((1, 4, 111, 143)).astype(np.float32)
x[..., -1, -1] = np.nan
for function, signals in ((cpu.local_response_norm, (x,)), (cpu.local_response_norm_vjp, (x, x))):
    found = set()
    for threads in (1, 2, 31, 32):
        numba.set_num_threads(threads)
        found |= {hashlib.md5(function(*signals, 5, 1e-4, 0.75, 2.0).tobytes()).hexdigest() for _ in range(30)}
    print(len(found))
"""


def test_many_threads_write_nothing_twice():
    """Tiles that overlapped were written by two threads at a time, and gave other bits now and then."""
    environment = os.environ | {"NUMBA_NUM_THREADS": "32", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", MANY], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "1"]
