"""Pooling on a device, beyond what the batteries draw: switches in any order, windows that many threads share, planes of several blocks."""

from __future__ import annotations

import os

import numpy as np
import pytest
import zfkernels
from test_avg_pool2d import compare
from zfkernels import reference
from zfkernels.catalog import call
from zfkernels.choices import COLLISIONS

from zfcore.testing import parity_test

SIMULATED = os.environ.get("NUMBA_ENABLE_CUDASIM") == "1"

#: Maps of less than a tile, of one and of several; on a device its tiles are larger.
SIZES = [(2, 3), (4, 4), (9, 10)] + [(13, 13), (64, 64), (110, 110), (3, 5000)] * (not SIMULATED)


@pytest.fixture(scope="module")
def cuda():
    reason = zfkernels.backends()["cuda"]
    if reason:
        pytest.skip(f"backend cuda: {reason}")
    return zfkernels.get("cuda")


def switches_of(kind, shape, pixels, rng):
    """Places in maps of so many pixels: anywhere, only a few of them, or from the last to the first."""
    places = rng.integers(min(pixels, 3) if kind == "few" else pixels, size=shape)
    return (-np.sort(-places.reshape(*shape[:2], -1)).reshape(shape) if kind == "backwards" else places).astype(np.int32)


@pytest.mark.parametrize("collisions", COLLISIONS)
@pytest.mark.parametrize("kind", ["anywhere", "few", "backwards"])
def test_unpooling_at_any_switches(kind, collisions, cuda):
    rng = np.random.default_rng(0)
    for size in SIZES:
        for outputs in ((1, 1), (1, 4), (5, 3), (size[0] // 2, size[1] // 2)):
            y = rng.integers(-4, 5, (2, 2, *outputs)).astype(np.float32)
            y.flat[rng.integers(y.size)] = np.nan
            switches = switches_of(kind, y.shape, size[0] * size[1], rng)
            case = {"y": y, "switches": switches, "output_size": size, "collisions": collisions}
            got, ref = (call(module, "max_unpool2d", case) for module in (cuda, reference))
            parity_test(got, ref, name=f"{outputs} into {size}")


def test_unpooling_has_the_same_bits_every_time(cuda):
    rng = np.random.default_rng(1)
    for size in SIZES:
        y = rng.standard_normal((2, 3, 5, 5)).astype(np.float32)
        switches = switches_of("few", y.shape, size[0] * size[1], rng)
        first, *others = (cuda.to_numpy(cuda.max_unpool2d(y, switches, size, "add")) for _ in range(3))
        assert all(other.tobytes() == first.tobytes() for other in others)


@pytest.mark.parametrize("stride", [(1, 1), (2, 3)])
@pytest.mark.parametrize("numbers", ["integers", "NaN", "lowest"])
def test_large_windows(numbers, stride, cuda):
    rng = np.random.default_rng(2)
    for H, W in SIZES:
        x = rng.integers(-4, 5, (2, 2, H, W)).astype(np.float32)
        if numbers == "NaN":
            x.flat[rng.integers(x.size, size=3)] = np.nan
        elif numbers == "lowest":
            x[0] = -np.inf
        for kernel in ((H, W), (max(H - 1, 1), max(W - 2, 1))):
            geometry = kernel, stride, ((0, 0), (0, 0))
            got = (cuda.to_numpy(a) for a in cuda.max_pool2d(x, *geometry, (1, 1), False))
            for a, ref, name in zip(got, reference.max_pool2d(x, *geometry, (1, 1), False), ("y", "switches"), strict=True):
                parity_test(a, ref, name=f"{name} of {x.shape}, {geometry}")
            if numbers == "integers":
                compare(x, *geometry, False, True, None, backend=cuda)


def test_quotients_are_exact(cuda):
    from zfkernels.cuda.indices import divisor

    largest = 2**31 - 1
    for n in (1, 2, 3, 5, 7, 55, 110, 127, 128, 129, 224, 641, 65535, 65537, 6700417, largest):
        factor, shift = divisor(n)
        for multiple in {0, 1, largest // n - 1, largest // n}:
            for a in {max(multiple * n - 1, 0), multiple * n, min(multiple * n + n - 1, largest)}:
                assert a * factor >> shift == a // n
                assert a * factor < 2**63
