"""A part of an image changes, and only what that reaches is computed: the same bits as everything computed anew."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from graphs import graphs
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import BUILDERS, Weights

from zfcore import zoo
from zfcore.incremental import Changes, recomputed
from zfcore.layers import Conv2d, Input, MaxPool2d
from zfcore.network import Network
from zfcore.window import Windows


def changed(x: np.ndarray, corners: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Copies of an image (1, C, H, W), each with a patch of its own laid over it: the plain way."""
    copies = np.repeat(x, len(corners), axis=0)
    for copy, (top, left), patch in zip(copies, corners, values, strict=True):
        copy[:, top : top + patch.shape[1], left : left + patch.shape[2]] = patch
    return copies


def places(shape: tuple[int, ...], side: tuple[int, int], count: int, rng: np.random.Generator) -> np.ndarray:
    """The corners, and places anywhere."""
    room = np.subtract(shape[1:], side)
    ends = np.array(list(itertools.product((0, room[0]), (0, room[1]))))
    return np.concatenate([ends, rng.integers(0, room + 1, (count, 2))])


def check(net: Network, side: tuple[int, int], seed: int, integers: bool = False) -> None:
    rng = np.random.default_rng(seed)
    x = Weights(seed, integers).image(1, *net.input_shape)
    corners = places(net.input_shape, side, 4, rng)
    values = Weights(seed + 1, integers).image(len(corners), net.input_shape[0], *side)
    keep = [name for name in net.layers if name != net.input]
    clean = net.forward(x, record=False)
    found = recomputed(net, clean, Changes(values, Windows(corners, corners + side)), keep)
    ref = net.forward(changed(x, corners, values), record=False)
    for name in keep:
        got = found[name].within(net.kernels, clean.values[name], None)
        np.testing.assert_array_equal(got, ref[name], err_msg=f"{net.name} {name} {side}")


@settings(max_examples=300)  # a layer of one kind with one set of fields comes up in few of them
@given(st.data())
def test_any_graph_has_the_bits_of_computing_everything(data):
    net = data.draw(graphs(), "network")
    side = tuple(data.draw(st.integers(1, n), "side") for n in net.input_shape[1:])
    room = np.subtract(net.input_shape[1:], side).tolist()
    corners = np.array(data.draw(st.lists(st.tuples(*(st.integers(0, n) for n in room)), min_size=1, max_size=4), "corners"))
    keep = data.draw(st.lists(st.sampled_from(list(net.layers)), min_size=1, unique=True), "keep")
    x, values = Weights(1, False).image(1, *net.input_shape), Weights(2, False).image(len(corners), net.input_shape[0], *side)
    clean = net.forward(x, record=False)
    found = recomputed(net, clean, Changes(values, Windows(corners, corners + side)), keep)
    ref = net.forward(changed(x, corners, values), keep=keep, record=False)
    for name in keep:
        got = found[name].within(net.kernels, clean.values[name], None)
        np.testing.assert_array_equal(got, ref[name], err_msg=f"{name} of {list(net.layers.values())}")


@pytest.mark.parametrize("builder", BUILDERS)
@pytest.mark.parametrize("side", [(1, 1), (3, 2), (7, 8)])
def test_every_layer_has_the_bits_of_computing_everything(builder, side):
    check(BUILDERS[builder](3), side, seed=1)


def test_the_reference_kernels_agree_where_sums_are_exact():
    check(BUILDERS["chain"](3, integers=True, backend="reference"), (3, 2), seed=1, integers=True)


@pytest.mark.parametrize("name", ["zfnet-28", "alexnet-64"])
def test_networks_of_the_zoo(name):
    check(zoo.build(name, init="he"), (6, 6), seed=2)


def test_a_square_as_large_as_the_image():
    net = BUILDERS["chain"](1)
    check(net, net.input_shape[1:], seed=3)


def test_only_what_changes_is_computed():
    net = zoo.build("zfnet", init="he")
    clean = net.forward(np.zeros((1, *net.input_shape), np.float32), keep=[*list(net.layers)[:9]], record=False)
    corner = np.array([[100, 50]])
    found = recomputed(net, clean, Changes(np.ones((1, 3, 27, 27), np.float32), Windows(corner, corner + 27)), ["relu2"])["relu2"]
    assert found.windows is not None
    assert found.windows.size < (10, 10)  # of 26 x 26


def test_pixels_that_strides_skip_change_nothing():
    net = Network([Input("image", shape=(1, 9, 9)), Conv2d("conv", ("image",), np.ones((1, 1, 1, 1), np.float32), stride=(4, 4))], ["conv"])
    check(net, (1, 1), seed=4)


def test_padding_is_never_the_maximum():
    net = Network([Input("image", shape=(1, 9, 9)), MaxPool2d("pool", ("image",), (3, 3), (2, 2), ((1, 1), (1, 1)))], ["pool"])
    corners = np.array([[0, 0], [8, 8]])
    clean = net.forward(np.full((1, 1, 9, 9), -3, np.float32), record=False)
    found = recomputed(net, clean, Changes(np.full((2, 1, 1, 1), -2, np.float32), Windows(corners, corners + 1)), ["pool"])["pool"]
    assert found.windows is not None and found.windows.size == (1, 1)
    assert found.values.ravel().tolist() == [-2, -2]


def test_what_is_nan_elsewhere_does_not_spread():
    net = Network([Input("image", shape=(1, 8, 8)), MaxPool2d("pool", ("image",), (3, 3), (2, 2), ((1, 1), (1, 1)))], ["pool"])
    x = np.zeros((1, 1, 8, 8), np.float32)
    x[0, 0, 7, 7] = np.nan
    clean = net.forward(x, record=False)
    corners = np.array([[0, 0], [1, 2]])
    found = recomputed(net, clean, Changes(np.full((2, 1, 2, 2), 5, np.float32), Windows(corners, corners + 2)), ["pool"])["pool"]
    maps = found.within(net.kernels, clean.values["pool"], None)
    assert np.isnan(maps[:, 0, -1, -1]).all() and np.isnan(maps).sum() == 2
    assert maps[0, 0, 0, 0] == 5 and maps[1, 0, 1, 1] == 5
