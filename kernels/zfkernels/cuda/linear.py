"""The fully connected layer and its adjoints as products of matrices that lie where they are (see `products`)."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numba import cuda

from zfkernels.cuda.arrays import DeviceArray, empty, resident
from zfkernels.cuda.device import launch
from zfkernels.cuda.products import Places, Strides, entries, places, product


@lru_cache(maxsize=64)
def _matrices(ks: int, k_in_b: int, columns: int, column_in_b: int, column_in_y: int) -> Places:
    """The places in matrices: of b from k to k and from column to column, of the result from column to column; of a k lies beside k."""
    k, column = np.arange(ks), np.arange(columns)
    return places([(entries(k * k_in_b, k, 0, 0), entries(column * column_in_b, column * column_in_y, 0, 0))], (1, 1))


def _linear(x: Any, w: Any, b: Any, rectified: bool) -> DeviceArray:
    (N, I), O = x.shape, w.shape[0]
    y = empty((N, O), x.dtype)
    product(
        y, resident(w), resident(x), None if b is None else resident(b), _matrices(I, 1, N, I, O), 1, O,
        Strides(0, I, 0), Strides(0, 0, 0), Strides(0, 1, 0), by_pixels=True, rectified=rectified,
    )  # fmt: skip
    return y


def linear(x: Any, w: Any, b: Any) -> DeviceArray:
    """Each output is one row of weights against the whole input, plus a bias; see the reference. A block for every tile of them."""
    return _linear(x, w, b, rectified=False)


def linear_relu(x: Any, w: Any, b: Any) -> DeviceArray:
    """The positive part of `linear`, taken as it is stored; see the reference."""
    return _linear(x, w, b, rectified=True)


def linear_adjoint_x(gy: Any, w: Any) -> DeviceArray:
    """Each input gathers the signal of all outputs through its column of weights; see the reference. A block for every tile of them."""
    (N, O), I = gy.shape, w.shape[1]
    gx = empty((N, I), gy.dtype)
    product(gx, resident(gy), resident(w), None, _matrices(O, I, I, 1, 1), 1, N, Strides(0, O, 0), Strides(0, 0, 0), Strides(0, I, 0))
    return gx


@lru_cache(maxsize=64)
def _outer(images: int, outputs: int, inputs: int) -> Places:
    n, i = np.arange(images), np.arange(inputs)
    return places([(entries(n * inputs, n * outputs, 0, 0), entries(i, i, 0, 0))], (1, 1))


def linear_adjoint_w(gy: Any, x: Any) -> DeviceArray:
    """Each weight gathers, over the batch, its input weighted by the signal of its output; see the reference.

    A block for every tile of weights.
    """
    (N, O), I = gy.shape, x.shape[1]
    gw = empty((O, I), gy.dtype)
    product(gw, resident(gy), resident(x), None, _outer(N, O, I), 1, O, Strides(0, 1, 0), Strides(0, 0, 0), Strides(0, I, 0))
    return gw


@cuda.jit(cache=True)
def _summed(parts, gy, share, images, outputs):
    i = cuda.grid(1)
    part = i // outputs
    o = i - part * outputs
    if part * share < images or part == 0:
        total = gy.dtype.type(0)
        for n in range(part * share, min((part + 1) * share, images)):
            total += gy[n * outputs + o]
        parts[i] = total


@cuda.jit(cache=True)
def add_shares(gb, parts, splits):
    """The shares of each sum, in order."""
    o = cuda.grid(1)
    if o < gb.shape[0]:
        total = parts[o]
        for split in range(1, splits):
            total += parts[split * gb.shape[0] + o]
        gb[o] = total


SHARE = 16
"""Images whose signals one thread adds."""


def linear_adjoint_b(gy: Any) -> DeviceArray:
    """Each bias gathers the signal of its output over the batch; see the reference. A thread for an output in a few images."""
    N, O = gy.shape
    gb, splits = empty((O,), gy.dtype), max(-(-N // SHARE), 1)
    parts = gb if splits == 1 else empty((splits * O,), gy.dtype)
    launch(_summed, splits * O, parts, resident(gy), SHARE, N, O)
    if splits > 1:
        launch(add_shares, O, gb, parts, splits)
    return gb
