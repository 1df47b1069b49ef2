"""Winograd's algorithm: its matrices, its bound, and that nothing but speed depends on how the work is shared out."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from zfkernels import geometry, reference
from zfkernels.minimal_filtering import TAPS, TRANSFORMS, outputs_for, roundings, term_sizes

from zfcore import algorithms, ops
from zfcore.testing import parity_test, rounding_bound

winograd = pytest.importorskip("zfkernels.cpu.winograd")
numba = pytest.importorskip("numba")

PADDING = ((1, 1), (2, 0))


@pytest.mark.parametrize("m", TRANSFORMS)
def test_the_matrices_are_a_convolution(m):
    """Sum over points of A'[i, p] G[p, k] B'[p, j] is 1 where input j is tap k of output i, else 0: exactly."""
    a, g, b = TRANSFORMS[m]
    points = range(m + TAPS - 1)
    for i in range(m):
        for k in range(TAPS):
            assert [sum(a[i][p] * g[p][k] * b[p][j] for p in points) for j in points] == [int(j == i + k) for j in points]


@pytest.mark.parametrize("m", TRANSFORMS)
def test_the_bound_counts_no_rounding_of_a_and_b(m):
    for matrix in (TRANSFORMS[m].outputs, TRANSFORMS[m].inputs):
        assert all(Fraction(float(np.float32(c))) == c for row in matrix for c in row)


def drawn(N, C, O, size, groups, dtype=np.float32):
    rng = np.random.default_rng(0)
    shapes = (N, C, *size), (O, C // groups, 3, 3), (O,)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


#: Channels of more than one slab and piece, filters of more than one panel, tiles of both kinds, more of them than the kernel's rows.
SHAPES = [(3, 150, 70, (13, 13), 1), (2, 70, 140, (9, 22), 2), (5, 20, 33, (4, 3), 1)]


@pytest.mark.parametrize("shape", SHAPES)
def test_sharing_out_changes_no_bit(shape, monkeypatch):
    x, w, b = drawn(*shape)
    monkeypatch.setattr(winograd, "_plan", winograd._plan.__wrapped__)  # which remembers
    answers, before = set(), numba.get_num_threads()
    for few, room in ((1000, 1), (20, 1), (1, 1), (1, 1 << 30)):  # by filters; in blocks, where there are two threads; by tiles
        for name, value in (("FEW", few), ("CACHE", room), ("ROOM", room)):
            monkeypatch.setattr(winograd, name, value)
        for threads in {1, before}:
            numba.set_num_threads(threads)
            answers.add(winograd.conv2d_winograd(x, w, b, PADDING, shape[-1]).tobytes())
    assert len(answers) == 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_many_channels_stay_within_the_bound(shape, dtype):
    x, w, b = drawn(*shape, dtype)
    wide = [a.astype(np.longdouble) for a in (x, w, b)]
    sizes = term_sizes(*wide, PADDING, shape[-1])
    bound = rounding_bound(roundings(sizes.shape[2:], w.shape[1]) - 1, sizes, dtype)
    ref = reference.conv2d_winograd(*wide, PADDING, shape[-1])
    parity_test(winograd.conv2d_winograd(x, w, b, PADDING, shape[-1]), ref, bound)
    parity_test(winograd.conv2d_winograd_relu(x, w, b, PADDING, shape[-1]), np.maximum(ref, 0), bound)


def test_both_kinds_of_tiles_are_drawn_here():
    sizes = [geometry.output_size(size, (3, 3), padding=PADDING) for _, _, _, size, _ in SHAPES]
    assert {outputs_for(size) for size in sizes} == set(TRANSFORMS)


# ---- choosing


def test_conv2d_by_name():
    x, w, b = drawn(2, 6, 4, (7, 6), 2, np.float64)
    got = ops.conv2d(x, w, b, padding=1, groups=2, algorithm="winograd")
    parity_test(got, winograd.conv2d_winograd(x, w, b, ((1, 1), (1, 1)), 2))


def test_conv2d_says_why_it_cannot_be_winograd():
    x, w, b = drawn(2, 6, 4, (7, 6), 1)
    with pytest.raises(ValueError, match=r"algorithm: got 'winograd', needed 'im2col' or 'auto': it is for .* stride \(2, 2\)"):
        ops.conv2d(x, w, b, stride=2, algorithm="winograd")
    with pytest.raises(ValueError, match="algorithm: got 'fft', needed one of im2col, winograd, auto"):
        ops.conv2d(x, w, b, algorithm="fft")


@pytest.mark.parametrize("faster", ["im2col", "winograd"])
def test_auto_measures_once_and_keeps_to_the_faster(faster, monkeypatch):
    measured = []

    def seconds(*arguments):
        measured.append(arguments)
        return {name: float(name != faster) for name in ("im2col", "winograd")}

    monkeypatch.setattr(algorithms, "_measured", {})
    monkeypatch.setattr(algorithms, "_seconds", seconds)
    x, w, b = drawn(2, 6, 4, (7, 6), 1)
    for _ in range(2):
        parity_test(ops.conv2d(x, w, b, algorithm="auto"), ops.conv2d(x, w, b, algorithm=faster))
        assert ops.algorithm_of(x, w) == faster
    assert len(measured) == 1
    assert ops.algorithm_of(x, w, stride=2) == "im2col"
    assert ops.algorithm_of(x[:0], w) == "im2col"


def test_auto_really_measures(monkeypatch):
    monkeypatch.setattr(algorithms, "_measured", {})
    x, w, _ = drawn(1, 3, 2, (5, 5), 1)
    assert ops.algorithm_of(x, w) in ("im2col", "winograd")
    assert len(algorithms._measured) == 1
