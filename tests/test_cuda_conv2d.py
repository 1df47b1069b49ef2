"""The convolution on a device: every tile that a device may choose, and sums that are split, which small batteries never reach."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
import zfkernels
from zfkernels import reference
from zfkernels.catalog import call

from zfcore.testing import parity_test

if reason := zfkernels.backends()["cuda"]:
    pytest.skip(f"backend cuda: {reason}", allow_module_level=True)

from zfkernels import cuda
from zfkernels.cuda import few_rows, products

TILES = [(np.dtype(f"f{size}"), tile) for size, tiles in products.DEVICE_TILES.items() for tile in tiles]


def integers(shape, dtype):
    return np.random.default_rng(sum(shape)).integers(-4, 5, shape).astype(dtype)


def layer(dtype, images, channels, filters, width, taps, height=1, groups=1, stride=1):
    """A layer of lines, with padding on one side."""
    outputs = (width + 1 - taps) // stride + 1
    return {
        "x": integers((images, channels, height, width), dtype),
        "w": integers((filters, channels // groups, 1, taps), dtype),
        "b": integers((filters,), dtype),
        "gy": integers((images, filters, height, outputs), dtype),
        "kernel_size": (1, taps),
        "input_size": (height, width),
        "stride": (1, stride),
        "padding": ((0, 0), (1, 0)),
        "dilation": (1, 1),
        "groups": groups,
    }


def check(function, case):
    parity_test(call(cuda, function, case), call(reference, function, case), name=function)


@pytest.mark.parametrize("dtype, tile", TILES, ids=lambda p: "x".join(map(str, p[:3])) if isinstance(p, tuple) else p.name)
def test_every_tile(dtype, tile, monkeypatch):
    monkeypatch.setattr(products, "shares", lambda *_: (tile, 1))
    rows, half, few = tile.rows - 1, tile.columns // 2, tile.depth // 2
    check("conv2d_relu", layer(dtype, 2, few + 1, rows, half, 3))  # a in elements: the k are odd in number
    check("conv2d", layer(dtype, 2, few + 2, rows, half, 2))  # a in vectors
    monkeypatch.setattr(products, "shares", lambda *_: (tile, 2))
    check("conv2d_adjoint_w", layer(dtype, 2, tile.columns // 3 + 1, rows, few + 3, 3))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("splits", [1, 3])
def test_split_sums_of_groups_and_classes(stride, splits, monkeypatch):
    tile = products.TILES[4][0]
    monkeypatch.setattr(products, "shares", lambda *_: (tile, splits))
    case = layer(np.float32, 2, 10, 12, 9, 3, height=2, groups=2, stride=stride)
    for function in ("conv2d", "conv2d_relu", "conv2d_adjoint_x", "conv2d_adjoint_w"):
        check(function, case)


@pytest.mark.parametrize("channels", range(1, few_rows.LANES + 1))
@pytest.mark.parametrize("size", [(4, 3), (8, 16)], ids=str)
@pytest.mark.parametrize("filters", [5, 34])
def test_few_channels(channels, size, filters, monkeypatch):
    monkeypatch.setattr(importlib.import_module("zfkernels.cuda.conv2d"), "FEW", few_rows.LANES)
    monkeypatch.setattr(few_rows, "MAPS", size[0])
    monkeypatch.setattr(few_rows, "TAPS", size[1])
    few_rows._kernel.cache_clear()
    check("conv2d_adjoint_x", layer(np.float32, 2, channels, filters, 11, 5))
    check("conv2d_adjoint_x", layer(np.float64, 2, 2 * channels, 2 * filters, 11, 5, groups=2, stride=2))
    few_rows._kernel.cache_clear()


def test_biases_of_many_outputs():
    check("conv2d_adjoint_b", layer(np.float32, 3, 1, 2, 129, 3, height=2))
    check("conv2d_adjoint_b", layer(np.float32, 40, 1, 3, 2, 3))
    check("linear_adjoint_b", {"gy": integers((40, 3), np.float32)})


def test_work_is_shared_by_its_shape():
    tiles = products.DEVICE_TILES[4]
    large, _ = products.shares(tiles, 384, ((3456, 64 * 169),), 1, 4)
    assert (large.rows, large.columns) == (128, 128)
    first, splits = products.shares(tiles, 96, ((147, 64 * 12100),), 1, 4)
    assert (first.rows, splits) == (96, 1), "96 filters fill a tile of 96 rows"
    single, splits = products.shares(tiles, 4096, ((9216, 1),), 1, 4)
    assert single.columns == 8 and splits > 1
    _, splits = products.shares(tiles, 96, ((64 * 12100, 147),), 1, 4)
    assert splits > 32, "few results, long sums"


def test_places_beyond_32_bits_are_refused():
    k = products.entries(np.arange(2) << 31, 0, 0, 0)
    with pytest.raises(OverflowError, match="elements"):
        products.places([(k, k)], (1, 1))
