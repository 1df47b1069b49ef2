"""Convolution's own law: its adjoint in x is the textbook's convolution of a stuffed signal by turned filters."""

from __future__ import annotations

import numpy as np
import pytest
import zfkernels
from batteries import call
from draws import HypothesisDraw, SeededDraw
from hypothesis import given
from hypothesis import strategies as st
from zfkernels.catalog import CORNERS, Case, sample_conv2d

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
    return backend.conv2d(stuffed, swapped, None, (1, 1), padding, (DH, DW), G)


@pytest.mark.parametrize("name", zfkernels.BACKENDS)
@pytest.mark.parametrize("corner", CORNERS)
def test_adjoint_x_is_the_textbooks_convolution_in_corners(name, corner):
    backend = zfkernels.get(name)
    for seed in range(10):
        case = sample_conv2d(SeededDraw(seed, "integers", np.float32, corner))
        parity_test(call(backend, "conv2d_adjoint_x", case), textbook_adjoint_x(backend, case), name="conv2d_adjoint_x")


@pytest.mark.parametrize("name", zfkernels.BACKENDS)
@given(data=st.data())
def test_adjoint_x_is_the_textbooks_convolution(name, data):
    backend = zfkernels.get(name)
    case = sample_conv2d(HypothesisDraw(data, "integers", np.float32))
    parity_test(call(backend, "conv2d_adjoint_x", case), textbook_adjoint_x(backend, case), name="conv2d_adjoint_x")


@pytest.mark.parametrize("name", zfkernels.BACKENDS)
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
