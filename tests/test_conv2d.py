"""Convolution's own law: its adjoint in x is the textbook's convolution of a stuffed signal by turned filters."""

from __future__ import annotations

import sys

import numba
import numpy as np
import pytest
import zfkernels
from batteries import call, simulated, usable
from draws import HypothesisDraw, SeededDraw
from hypothesis import given
from hypothesis import strategies as st
from zfkernels import cpu, reference
from zfkernels.catalog import CORNERS, Case, sample_conv2d
from zfkernels.cpu.scatter import pays, scatter
from zfkernels.geometry import output_size

from zfcore.testing import parity_test


def textbook_adjoint_x(backend, case: Case) -> np.ndarray:
    """A plain convolution, stride 1, of gy with zeros between its elements, by filters flipped both ways, channels swapped."""
    gy, w, G = case["gy"], case["w"], case["groups"]
    (SH, SW), (DH, DW), (H, W) = case["stride"], case["dilation"], case["input_size"]
    (top, _), (left, _) = case["padding"]
    N, O, OH, OW = gy.shape
    _, CG, KH, KW = w.shape
    stuffed = np.zeros((N, O, (OH - 1) * SH + 1, (OW - 1) * SW + 1), gy.dtype)
    stuffed[:, :, ::SH, ::SW] = gy
    swapped = w.reshape(G, O // G, CG, KH, KW).swapaxes(1, 2).reshape(G * CG, O // G, KH, KW)[:, :, ::-1, ::-1]
    # What the input has before the first window's last tap, and behind the last window's first.
    before = ((KH - 1) * DH - top, (KW - 1) * DW - left)
    after = (H - stuffed.shape[2] + (KH - 1) * DH - before[0], W - stuffed.shape[3] + (KW - 1) * DW - before[1])
    stuffed = stuffed[:, :, max(0, -before[0]) :, max(0, -before[1]) :]
    stuffed = stuffed[:, :, : stuffed.shape[2] + min(0, after[0]), : stuffed.shape[3] + min(0, after[1])]
    padding = tuple((max(0, b), max(0, a)) for b, a in zip(before, after, strict=True))
    return backend.to_numpy(backend.conv2d(stuffed, swapped, None, (1, 1), padding, (DH, DW), G))


@pytest.mark.parametrize("name", zfkernels.BACKENDS)
@pytest.mark.parametrize("corner", CORNERS)
def test_adjoint_x_is_the_textbooks_convolution_in_corners(name, corner):
    backend = usable(name)
    for seed in range(1 if simulated(backend) else 10):
        case = sample_conv2d(SeededDraw(seed, "integers", np.float32, corner))
        parity_test(call(backend, "conv2d_adjoint_x", case), textbook_adjoint_x(backend, case), name="conv2d_adjoint_x")


@pytest.mark.parametrize("name", ["reference", "cpu"])
@given(data=st.data())
def test_adjoint_x_is_the_textbooks_convolution(name, data):
    backend = zfkernels.get(name)
    case = sample_conv2d(HypothesisDraw(data, "integers", np.float32))
    parity_test(call(backend, "conv2d_adjoint_x", case), textbook_adjoint_x(backend, case), name="conv2d_adjoint_x")


@pytest.mark.parametrize("name", ["reference", "cpu"])
@given(data=st.data())
def test_convolution_is_a_product_with_im2col(name, data):
    """The name of the method: ``conv2d(x, w) == w @ im2col(x)``, group by group."""
    backend = zfkernels.get(name)
    case = sample_conv2d(HypothesisDraw(data, "integers", np.float32)) | {"b": None}
    y, G = call(backend, "conv2d", case), case["groups"]
    cols = call(backend, "im2col", case)
    N, _, L = cols.shape
    product = np.einsum("gok,ngkl->ngol", case["w"].reshape(G, y.shape[1] // G, -1), cols.reshape(N, G, cols.shape[1] // G, L))
    parity_test(y, product.reshape(y.shape), name="conv2d")


# ---- the adjoint of signals that are mostly zero

GEOMETRY = ("input_size", "stride", "padding", "dilation", "groups")
#: Images, channels and filters of a group, groups, kernel, stride, padding, dilation, image: channels in blocks of a vector and
#: over; few channels at each place in a vector; rows of windows of 1 to 7 vectors.
SPARSE = [
    (2, 16, 5, 1, (5, 5), (2, 2), ((0, 0), (0, 0)), (1, 1), (23, 27)),
    (1, 33, 4, 2, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), (13, 13)),
    (3, 20, 3, 2, (2, 7), (3, 1), ((1, 0), (2, 3)), (2, 1), (11, 19)),
    (1, 18, 3, 1, (3, 2), (1, 2), ((2, 2), (1, 1)), (1, 3), (9, 20)),
    (2, 3, 6, 1, (7, 7), (2, 2), ((1, 1), (1, 1)), (1, 1), (41, 58)),
    (1, 3, 4, 1, (11, 11), (4, 4), ((2, 2), (2, 2)), (1, 1), (67, 51)),
    (2, 1, 5, 3, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), (12, 17)),
    (2, 2, 4, 2, (2, 3), (1, 1), ((0, 1), (1, 0)), (2, 2), (15, 33)),
    (1, 5, 4, 2, (3, 3), (3, 2), ((1, 2), (0, 2)), (1, 2), (21, 22)),
    (1, 12, 3, 1, (1, 1), (3, 3), ((0, 0), (0, 0)), (1, 1), (20, 20)),
    (1, 16, 3, 1, (2, 2), (5, 5), ((3, 3), (3, 3)), (1, 1), (16, 16)),
]


def thinned(case: Case, seed: int) -> Case:
    """The case with most of its signal zero, and some maps of it all zero."""
    rng, gy = np.random.default_rng(seed), case["gy"]
    keeps = (rng.random(gy.shape) < 0.15) & (rng.random(gy.shape[1]) < 0.8)[:, None, None]
    return case | {"gy": np.where(keeps, gy, gy.dtype.type(0))}


def sparse_case(geometry: tuple, kind: str, dtype: type, seed: int = 0) -> Case:
    N, CG, OG, G, kernel, stride, padding, dilation, size = geometry
    draw = SeededDraw(seed, kind, dtype)
    w = draw.array((G * OG, CG, *kernel), "w")
    gy = draw.array((N, G * OG, *output_size(size, kernel, stride, padding, dilation)), "gy")
    case = {"gy": gy, "w": w, "input_size": size, "stride": stride, "padding": padding, "dilation": dilation, "groups": G}
    return thinned(case, seed)


def scattered(case: Case) -> np.ndarray:
    return scatter(case["gy"], case["w"], *(case[name] for name in GEOMETRY))


@pytest.fixture
def multiplied(monkeypatch):
    """The adjoint as products of matrices, whatever is zero."""
    monkeypatch.setattr(sys.modules["zfkernels.cpu.conv2d"], "pays", lambda *arguments: False)
    return lambda case: call(cpu, "conv2d_adjoint_x", case)


def same_in_both(case: Case, multiplied) -> None:
    parity_test(scattered(case), multiplied(case), name="scatter")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("corner", CORNERS)
def test_a_sparse_signal_is_scattered_to_the_same_bits_in_corners(corner, dtype, multiplied):
    for seed in range(10):
        case = thinned(sample_conv2d(SeededDraw(seed, "integers", dtype, corner)), seed)
        parity_test(scattered(case), call(reference, "conv2d_adjoint_x", case), name="scatter")
        same_in_both(thinned(sample_conv2d(SeededDraw(seed, "normal", dtype, corner)), seed), multiplied)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("geometry", SPARSE)
def test_a_sparse_signal_is_scattered_to_the_same_bits(geometry, dtype, multiplied):
    case = sparse_case(geometry, "integers", dtype)
    parity_test(scattered(case), call(reference, "conv2d_adjoint_x", case), name="scatter")
    case = sparse_case(geometry, "normal", dtype)
    same_in_both(case, multiplied)
    same_in_both(case | {"gy": np.zeros_like(case["gy"])}, multiplied)
    same_in_both(case | {"gy": np.ones_like(case["gy"])}, multiplied)


@pytest.mark.parametrize("geometry", SPARSE)
def test_scattering_gives_the_same_bits_with_any_number_of_threads(geometry):
    """One image is cut into bands, many are put together: what a thread does depends on their number."""
    threads, case = numba.get_num_threads(), sparse_case(geometry, "normal", np.float32)
    several = scattered(case)
    try:
        numba.set_num_threads(1)
        parity_test(scattered(case), several, name="scatter")
    finally:
        numba.set_num_threads(threads)


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("geometry", SPARSE)
def test_what_is_not_finite_reaches_its_window_and_no_other_pixel(geometry, number):
    case = sparse_case(geometry, "normal", np.float32)
    gy = case["gy"]
    gy[-1, 0, gy.shape[2] // 2, gy.shape[3] // 2] = number
    case["w"][case["w"] == 0] = 1
    parity_test(np.isfinite(scattered(case)), np.isfinite(call(reference, "conv2d_adjoint_x", case)), name="scatter")


def test_scattering_is_chosen_where_most_is_zero():
    """conv2 and conv1 of ZFNet under a unit of conv5; not where little is zero, nor where a filter meets few outputs."""
    rng = np.random.default_rng(0)
    conv2, conv1, conv4 = (
        ((1, 256, 10, 12), (256, 96, 5, 5), (23, 27), (2, 2)),
        ((1, 96, 46, 54), (96, 3, 7, 7), (97, 113), (2, 2)),
        ((1, 384, 3, 3), (384, 384, 3, 3), (5, 5), (1, 1)),
    )

    def chosen(case: tuple, share: float) -> bool:
        shape, filters, size, stride = case
        gy = (rng.random(shape) < share).astype(np.float32)
        return pays(gy, np.zeros(filters, np.float32), size, stride, ((0, 0), (0, 0)), (1, 1))

    assert chosen(conv2, 0.1)
    assert chosen(conv1, 0.1)
    assert not chosen(conv2, 0.5)
    assert not chosen(conv1, 0.5)
    assert not chosen(conv4, 0.01)
