"""Many units brought down side by side: the same as one by one, and nothing computed that is known to be zero."""

from __future__ import annotations

import itertools
from collections import defaultdict
from types import SimpleNamespace

import numpy as np
import pytest
import zfkernels
from networks import BUILDERS, Weights, branches, chain

from zfcore import Network, ZfcoreError, descent
from zfcore.layers import AvgPool2d, Concat, Conv2d, ConvTranspose2d, Dropout, Input, MaxPool2d, Pad, ReLU
from zfcore.rules import RULES
from zfcore.signals import Signals
from zfcore.testing import parity_test
from zfcore.window import Window, Windows, unit_window, whole


def mixed_units(shape: tuple[int, ...], rng: np.random.Generator) -> list[tuple[int, ...]]:
    """Corners, one position twice, random places; of any image and map, in no order."""
    corners = [(int(rng.integers(shape[0])), int(rng.integers(shape[1])), *p) for p in itertools.product(*({0, s - 1} for s in shape[2:]))]
    anywhere = [tuple(int(rng.integers(size)) for size in shape) for _ in range(3)]
    units = [*corners, *anywhere, anywhere[0], (0, *anywhere[1][1:])]
    return [units[i] for i in rng.permutation(len(units))]


def check_batch(net: Network, trace, layer: str, rule: str, units: list[tuple[int, ...]]) -> None:
    together = net.project_many(trace, layer, units, rule)
    assert [p.unit for p in together] == units
    for unit, got in zip(units, together, strict=True):
        ref = net.project(trace, layer, unit, rule)
        assert (got.window, got.value, got.layer) == (ref.window, ref.value, layer)
        parity_test(got.pixels, ref.pixels, name=f"{layer} {unit} {rule}")


@pytest.mark.parametrize(("backend", "rule"), [*(("reference", rule) for rule in RULES), ("cpu", "deconvnet")])
@pytest.mark.parametrize("builder", BUILDERS)
def test_many_units_are_brought_down_as_each_alone_bit_for_bit(builder, rule, backend):
    net = BUILDERS[builder](3, integers=True, backend=backend)
    rng = np.random.default_rng(1)
    trace = net.forward(Weights(5, True).image(3, *net.input_shape))
    for layer in net.layers:
        if not (builder == "branches" and layer.startswith(("c/", "d/"))):  # averages of odd counts are not exact
            check_batch(net, trace, layer, rule, mixed_units(trace[layer].shape, rng))


@pytest.mark.parametrize("rule", ["deconvnet", "gradient"])
@pytest.mark.parametrize("builder", BUILDERS)
def test_many_units_are_brought_down_as_each_alone_in_floats(builder, rule):
    net = BUILDERS[builder](4)
    rng = np.random.default_rng(2)
    trace = net.forward(Weights(6, False).image(3, *net.input_shape))
    for layer in net.layers:
        check_batch(net, trace, layer, rule, mixed_units(trace[layer].shape, rng))


def test_how_many_are_brought_down_at_once_does_not_matter(monkeypatch):
    net = branches(1)
    trace = net.forward(Weights(6, False).image(2, *net.input_shape))
    units = mixed_units(trace["b/sum"].shape, np.random.default_rng(0))
    ref = net.project_many(trace, "b/sum", units)
    for numbers in (0, 4 * 4 * 14 * 16 * 3):  # one at a time; three
        monkeypatch.setattr(descent, "MEMORY", numbers)
        for got, expected in zip(net.project_many(trace, "b/sum", units), ref, strict=True):
            parity_test(got.pixels, expected.pixels)
    assert net.project_many(trace, "b/sum", []) == []


def test_every_unit_is_checked():
    net = chain()
    trace = net.forward(np.zeros((1, 2, 23, 21), np.float32))
    with pytest.raises(ZfcoreError, match=r"\(0, 6, 0, 0\) lies outside"):
        net.project_many(trace, "conv1", [(0, 0, 0, 0), (0, 6, 0, 0)])
    with pytest.raises(ZfcoreError, match="has no layer 'conv9'"):
        net.project_many(trace, "conv9", [])


def test_units_at_borders_of_averages_count_what_is_there():
    """The averages at a border are over fewer pixels; units there and inside come down in one batch."""
    pools = [
        AvgPool2d("pool", ("image",), (3, 3), (2, 2), ((1, 1), (1, 1)), ceil_mode, count_include_pad)
        for ceil_mode, count_include_pad in itertools.product((False, True), repeat=2)
    ]
    for pool in pools:
        net = Network([Input("image", shape=(2, 8, 7)), pool], ["pool"], backend="reference")
        trace = net.forward(np.ones((1, 2, 8, 7), np.float32))
        units = [(0, 1, y, x) for y, x in np.ndindex(net.shapes["pool"][1:])]
        for got in net.project_many(trace, "pool", units):
            seed = np.zeros_like(trace["pool"])
            seed[got.unit] = got.value
            geometry = pool.kernel_size, pool.stride, pool.padding, pool.ceil_mode, pool.count_include_pad, None
            full = net.kernels.avg_pool2d_adjoint_x(seed, (8, 7), *geometry)
            parity_test(net.pullback(trace, "pool", seed), full, name=f"{pool} {got.unit}")
            inside = got.window.intersection(whole((8, 7)))
            assert np.count_nonzero(got.pixels) == np.count_nonzero(full)
            parity_test(got.pixels[:, *inside.relative_to(got.window).slices], full[0, :, *inside.slices], name=f"{pool} {got.unit}")


def test_a_projection_through_dropout_sees_the_mask_of_its_place():
    layers = [Input("image", shape=(2, 6, 6)), Dropout("drop", ("image",), 0.5), MaxPool2d("pool", ("drop",), (2, 2))]
    net = Network(layers, ["pool"], backend="reference")
    trace = net.forward(np.random.default_rng(0).standard_normal((3, 2, 6, 6)).astype(np.float32) + 9, seed=4)
    units = list(np.ndindex(trace["pool"].shape))
    for got in net.project_many(trace, "pool", units):
        seed = np.zeros_like(trace["pool"])
        seed[got.unit] = got.value
        parity_test(got.pixels, net.pullback(trace, "pool", seed)[got.unit[0], :, *got.window.slices], name=f"{got.unit}")


def test_receptive_fields_of_many_are_those_of_each():
    for net in (chain(), branches()):
        for layer in net.layers:
            size = net.shapes[layer][1:]
            positions = list(np.ndindex(size)) if len(size) == 2 else [(), ()]
            got = net.receptive_fields(layer, positions)
            assert got == [net.receptive_field(layer, unit_window(position)) for position in positions], layer


# ---- what is not computed


class Counting:
    """Kernels that write down the shapes of what they are given."""

    def __init__(self, monkeypatch) -> None:
        self.calls: dict[str, list[tuple[int, ...]]] = defaultdict(list)
        real = zfkernels.get("reference")
        stub = SimpleNamespace(**vars(real) | {name: self._counted(name, getattr(real, name)) for name in real.__all__})
        monkeypatch.setattr(Network, "kernels", property(lambda net: stub))

    def _counted(self, name, kernel):
        def counted(*arguments):
            self.calls[name].append(arguments[0].shape)
            return kernel(*arguments)

        return counted


def test_filters_and_branches_of_other_maps_are_skipped(monkeypatch):
    w = Weights(0, True)
    layers = [
        Input("image", shape=(2, 9, 9)),
        Conv2d("a", ("image",), w(4, 2, 3, 3), None, padding=((1, 1), (1, 1))),
        Conv2d("b", ("image",), w(5, 2, 3, 3), None, padding=((1, 1), (1, 1))),
        Concat("both", ("a", "b")),
        ReLU("relu", ("both",)),
    ]
    net = Network(layers, ["relu"])
    counting = Counting(monkeypatch)
    trace = net.forward(np.ones((1, 2, 9, 9), np.float32))
    trace["relu"][:] = 1
    net.project_many(trace, "relu", [(0, 4, 2, 2), (0, 6, 5, 5), (0, 6, 2, 2)])  # maps 0 and 2 of b
    assert counting.calls["conv2d_adjoint_x"] == [(3, 2, 1, 1)]
    trace["relu"][0, 4] = 0
    assert not net.project(trace, "relu", (0, 4, 2, 2)).pixels.any()
    assert len(counting.calls["conv2d_adjoint_x"]) == 1, "a unit that is not active has nothing to bring down"


def test_what_unpooling_leaves_empty_is_skipped(monkeypatch):
    layers = [
        Input("image", shape=(2, 11, 11)),
        Conv2d("conv", ("image",), Weights(0, True)(4, 2, 3, 3)),
        MaxPool2d("pool1", ("conv",), (3, 3), (2, 2)),
        MaxPool2d("pool2", ("pool1",), (2, 2), (2, 2)),
    ]
    net = Network(layers, ["pool2"])
    counting = Counting(monkeypatch)
    trace = net.forward(Weights(3, True).image(2, 2, 11, 11) + np.float32(9))
    trace["pool2"][:] = 1
    units = [(0, 1, 0, 0), (1, 1, 1, 1), (1, 3, 0, 1)]
    projections = net.project_many(trace, "pool2", units)
    assert counting.calls["conv2d_adjoint_x"] == [(3, 2, 1, 1)], "each seed is one pixel still, of 7 x 7 that it could be"
    for got in projections:
        seed = np.zeros_like(trace["pool2"])
        seed[got.unit] = got.value
        parity_test(got.pixels, net.pullback(trace, "pool2", seed)[got.unit[0], :, *got.window.slices])


def test_trimming_leaves_what_is_not_zero():
    values = np.zeros((3, 2, 5, 6), np.float32)
    values[0, 0, 1, 2] = values[0, 1, 2, 2] = values[1, 0, 4, 5] = np.nan
    windows = Windows.of([Window(0, 5, 0, 6), Window(7, 12, 1, 7), Window(3, 8, 3, 9)])
    got = Signals(values, windows, True).trimmed(zfkernels.get("cpu"))
    assert list(got.windows.each()) == [Window(1, 3, 2, 3), Window(10, 12, 6, 7), Window(3, 5, 3, 4)]
    parity_test(got.values[0], values[0, :, 1:3, 2:3])
    parity_test(got.values[1], values[1, :, 3:5, 5:6])
    assert not got.values[2].any() and Signals(values[2:], windows, True).trimmed(zfkernels.get("cpu")) is None


def test_windows_that_skip_pixels_come_down_together(monkeypatch):
    """Through a transposed convolution windows of one size see windows of several; a border of zeros lies between."""
    w = Weights(7, True)
    layers = [
        Input("image", shape=(2, 6, 5)),
        Pad("border", ("image",), ((0, 0), (1, 2), (2, 0))),
        ConvTranspose2d("up", ("border",), w(2, 3, 2, 3), None, (2, 2), ((0, 1), (1, 0))),
        Conv2d("conv", ("up",), w(3, 3, 2, 2), None, (2, 1)),
    ]
    net = Network(layers, ["conv"], backend="reference")
    trace = net.forward(w.image(2, 2, 6, 5))
    check_batch(net, trace, "conv", "linear", list(np.ndindex(trace["conv"].shape))[::7])
    check_batch(net, trace, "up", "linear", list(np.ndindex(trace["up"].shape))[::11])
