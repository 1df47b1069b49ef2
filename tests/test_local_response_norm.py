"""Local response normalisation of more pixels than the batteries draw, by any power, and of numbers at the ends of the range."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import zfkernels
from batteries import usable
from zfkernels import cpu, reference
from zfkernels.catalog import call

from zfcore.testing import ROUNDINGS, parity_test

BETAS = (0.25, 0.5, 0.6, 0.75, 1.0, 1.5, 0.0)


@pytest.fixture(params=[name for name in zfkernels.BACKENDS if name != "reference"])
def backend(request):
    return usable(request.param)


def norm(backend, x, size, alpha, beta, k):
    return call(backend, "local_response_norm", {"x": x, "size": size, "alpha": alpha, "beta": beta, "k": k})


def compare(backend, x, gy, *constants):
    for function in ("local_response_norm", "local_response_norm_vjp"):
        case = dict(zip(("size", "alpha", "beta", "k"), constants, strict=True)) | {"x": x, "gy": gy}
        exact = call(reference, function, case | {"x": x.astype(np.longdouble), "gy": gy.astype(np.longdouble)})
        allowed = float(ROUNDINGS[function] * np.finfo(x.dtype).eps * max(np.abs(exact).max(), 1))
        parity_test(call(backend, function, case), exact, allowed, f"{function} of {x.shape}, {constants}")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("beta", BETAS)
def test_many_pixels(beta, dtype):
    """Fewer than a vector, a vector and a part, several tiles and a part."""
    rng = np.random.default_rng(0)
    for C, pixels, size in ((7, (3, 5), 5), (3, (17,), 4), (9, (27, 27), 5), (4, (37, 41), 9), (5, (16,), 1)):
        x = 10 * rng.standard_normal((2, C, *pixels)).astype(dtype)
        compare(cpu, x, rng.standard_normal(x.shape).astype(dtype), size, 0.5, beta, 2.0)


@pytest.mark.parametrize("beta", BETAS)
def test_each_element_is_right_not_only_the_largest(beta, backend):
    """One map, window and constants of nothing: ``y = x / |x|**(2*beta)``, of very different sizes side by side."""
    x = np.exp2(np.linspace(-15, 15, 200)).astype(np.float32).reshape(1, 1, 200)
    ref = reference.local_response_norm(x.astype(np.longdouble), 1, 1.0, beta, 0.0)
    bound = ROUNDINGS["local_response_norm"] * np.finfo(np.float32).eps * np.abs(ref)
    parity_test(norm(backend, x, 1, 1.0, beta, 0.0), ref, bound, f"beta {beta}")


@pytest.mark.parametrize("beta", BETAS[:-1])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_ends_of_the_range(beta, dtype, backend):
    """Beyond where roots are found by iteration: zero, infinity, NaN, the very small and the very large."""
    x = np.ones((1, 3, 40), dtype)
    x[0, 1, :7] = 0, np.inf, -np.inf, np.nan, 1e-18, 1e18, np.finfo(dtype).tiny
    x[0, ::2, :7] = 0
    with np.errstate(all="ignore"):
        ref = reference.local_response_norm(x.astype(np.longdouble), 3, 1.0, beta, 0.0).astype(dtype)
        kinds = np.isnan, np.isposinf, np.isneginf
        got = norm(backend, x, 3, 1.0, beta, 0.0)
        same_square = reference.local_response_norm(x, 3, 1.0, beta, 0.0)  # whose squares underflow alike
    for kind in kinds:
        assert (kind(got) == kind(same_square)).all(), f"{kind.__name__}: {got[0, 1, :7]}, reference {same_square[0, 1, :7]}"
    rest = slice(7, None)
    parity_test(got[..., rest], ref[..., rest], ROUNDINGS["local_response_norm"] * np.finfo(dtype).eps, "beside them")


def test_an_infinity_does_not_outlive_its_window(backend):
    x = np.ones((1, 20, 16), np.float32)
    x[0, 3, 5] = np.inf
    got = norm(backend, x, 5, 1e-4, 0.75, 2.0)
    assert np.isfinite(np.delete(got, 5, axis=2)).all()
    assert np.isfinite(got[0, 6:, 5]).all() and (got[0, [1, 2, 4, 5], 5] == 0).all() and np.isnan(got[0, 3, 5])


def test_windows_over_most_maps_agree_with_the_reference():
    """What a task keeps for them is large enough for its memory to be taken away as soon as it is let go of."""
    x = np.random.default_rng(0).standard_normal((1, 64, 32, 32))
    compare(cpu, x, x, 63, 1e-4, 0.75, 2.0)


@pytest.mark.parametrize("size", [8, 30, 77])
def test_windows_of_more_maps_than_a_block_has(size, backend):
    """On a device, whose blocks then keep parts of them, one after the other."""
    x, gy = np.random.default_rng(0).standard_normal((2, 2, 40, 2, 3))
    compare(backend, x, gy, size, 0.5, 0.75, 2.0)


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
