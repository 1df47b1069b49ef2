"""Networks on the device: the numbers of the cpu; arrays go in and come out as NumPy's, and stay on the device between."""

from __future__ import annotations

import numpy as np
import pytest
import zfkernels
from graphs import graphs
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import BUILDERS, Weights, chain
from test_incremental import changed

import zfcore
from zfcore.experiments.occlusion import Squares, occlude
from zfcore.incremental import Changes, recomputed
from zfcore.layers import Conv2d, Dropout, Flatten, Input, Linear, LocalResponseNorm, MaxPool2d, ReLU, Softmax
from zfcore.network import Network
from zfcore.rules import RULES
from zfcore.testing import ROUNDINGS, parity_test
from zfcore.training.loop import learnt, logits_layer
from zfcore.training.optimiser import SGD
from zfcore.training.recipe import RECIPES
from zfcore.window import Windows

pytest.importorskip("zfkernels.cuda", reason=zfkernels.backends()["cuda"], exc_type=ImportError)


def on_device(net: Network) -> Network:
    """The same network with its weights on the device."""
    other = net.astype(net.dtype.type)
    other.backend = "cuda"
    return other


def alike(got: np.ndarray, ref: np.ndarray, name: str, exact: bool = False) -> None:
    """Equal, or as near as the table has it for whole networks."""
    allowed = 0.0 if exact else ROUNDINGS["network"] * float(np.finfo(ref.dtype).eps * np.abs(ref).max(initial=1))
    assert isinstance(got, np.ndarray), name
    parity_test(got, ref, allowed, name)


@pytest.mark.parametrize("integers", [True, False])
@pytest.mark.parametrize("builder", BUILDERS)
def test_forward_and_every_way_down(builder, integers):
    net = BUILDERS[builder](0, integers)
    other, x = on_device(net), Weights(1, integers).image(1 if builder == "branches" else 2, *net.input_shape)
    trace, ref, exact = other.forward(x), net.forward(x), integers and builder == "chain"  # the others have means
    for name, value in trace.fetch()().items():
        alike(value, ref[name], name, exact)
        np.testing.assert_array_equal(trace[name], value)
    top = list(net.layers)[-2]
    for rule in RULES:
        alike(other.pullback(trace, top, ref[top], rule), net.pullback(ref, top, ref[top], rule), f"{rule} from {top}", exact)
    gradients, expected = (one.gradients(t, top, ref[top]) for one, t in ((other, trace), (net, ref)))
    assert gradients.keys() == expected.keys()
    for key, value in expected.items():
        alike(other.to_numpy(gradients[key]), value, str(key), exact)


@pytest.mark.parametrize("builder", BUILDERS)
def test_projections(builder):
    net = BUILDERS[builder](0, True)
    other, x = on_device(net), Weights(1, True).image(2, *net.input_shape)
    trace, ref = other.forward(x), net.forward(x)
    for layer in (name for name, shape in net.shapes.items() if len(shape) in (1, 3)):
        shape = net.shapes[layer]
        units = [(n, *(size * (n + 1) // 3 for size in shape)) for n in (0, 1)]
        for got, expected in zip(other.project_many(trace, layer, units), net.project_many(ref, layer, units), strict=True):
            assert (got.window, got.value, got.unit) == (expected.window, expected.value, expected.unit)
            alike(got.pixels, expected.pixels, f"{layer} {got.unit}", exact=True)


@settings(max_examples=15)
@given(st.data())
def test_any_graph(data):
    net = data.draw(graphs(), "network")
    other, x = on_device(net), Weights(1, False).image(2, *net.input_shape)
    trace, ref = other.forward(x), net.forward(x)
    for name in net.layers:
        alike(trace[name], ref[name], name)
    top = list(net.layers)[-1]
    rule = data.draw(st.sampled_from(sorted(RULES)), "rule")
    unit = tuple(data.draw(st.integers(0, n - 1), "unit") for n in ref[top].shape)
    if ref[top].ndim in (2, 4):
        # Where the two differ by a rounding a rectifier or a pooling may choose otherwise: the way down is compared on one forward pass.
        same = zfcore.Trace(
            {n: zfkernels.get("cuda").asarray(v) for n, v in ref.values.items()},
            {n: zfkernels.get("cuda").asarray(v) if isinstance(v, np.ndarray) else v for n, v in ref.saved.items()},
            ref.recorded, ref.rule, other.kernels,
        )  # fmt: skip
        alike(other.project(same, top, unit, rule).pixels, net.project(ref, top, unit, rule).pixels, f"{rule} {top}")


def test_a_part_of_an_image_changes():
    net = chain(0, True)
    other, rng, x = on_device(net), np.random.default_rng(0), Weights(1, True).image(1, *net.input_shape)
    corners = np.array([[0, 0], [3, 5], [23 - 4, 21 - 3]])
    values = rng.integers(-3, 4, (3, 2, 4, 3)).astype(np.float32)
    clean, k = other.forward(x, record=False), other.kernels
    keep = [name for name in net.layers if name != net.input]
    found = recomputed(other, clean, Changes(k.asarray(values), Windows(corners, corners + np.array([4, 3]))), keep)
    ref = net.forward(changed(x, corners, values), record=False)
    for name in keep:
        alike(k.to_numpy(found[name].within(k, clean.values[name], None)), ref[name], name, exact=True)
    squares = Squares.over((23, 21), 8, 7)
    got, expected = (occlude(one, x[0], squares, np.zeros_like(x[0]), ("relu3", "fc4"), 2) for one in (other, net))
    alike(got.logits, expected.logits, "logits", exact=True)
    alike(got.sums, expected.sums, "sums", exact=True)


def test_training_takes_the_same_steps():
    w = Weights(0, False)
    net = Network(
        [
            Input("image", shape=(2, 9, 9)),
            Conv2d("conv", ("image",), w(4, 2, 3, 3), w(4)),
            ReLU("relu", ("conv",)),
            LocalResponseNorm("norm", ("relu",)),
            MaxPool2d("pool", ("norm",)),
            Flatten("flatten", ("pool",)),
            Linear("fc6", ("flatten",), w(5, 36), w(5)),
            ReLU("relu6", ("fc6",)),
            Dropout("drop", ("relu6",)),
            Linear("fc7", ("drop",), w(3, 5), w(3)),
            Softmax("softmax", ("fc7",)),
        ],
        ["softmax"],
    )
    other, recipe = on_device(net), RECIPES["small"]
    x, labels = Weights(2, False).image(2, *net.input_shape), np.array([0, 2])
    found = []
    for one in (net, other):
        optimiser, logits = SGD(one, recipe), logits_layer(one)
        for seed in range(2):
            loss, wrong, gradients = learnt(one, logits, x, labels, seed)
            optimiser.step(gradients, 0.1)
        found.append((loss, wrong, {f"{name}.{f}": one.to_numpy(a) for name, layer in one.layers.items() for f, a in layer.arrays.items()}))
    (loss, wrong, weights), (got_loss, got_wrong, got) = found
    alike(np.array(got_loss), np.array(loss), "loss")
    assert got_wrong == wrong and got.keys() == weights.keys()
    for name, value in weights.items():
        alike(got[name], value, name)


def test_a_network_moves_and_is_saved_from_wherever_it_is(tmp_path):
    net = chain(0, False)
    other = on_device(net)
    assert not isinstance(other.layers["conv1"].weight, np.ndarray) and isinstance(net.layers["conv1"].weight, np.ndarray)
    assert not isinstance(other.astype(np.float64).layers["conv1"].weight, np.ndarray) and repr(other) == repr(net)
    zfcore.save(other, tmp_path / "net.safetensors")
    back = zfcore.load(tmp_path / "net.safetensors")
    other.backend = "cpu"
    for moved in (back, other):
        for name, layer in net.layers.items():
            for field, a in layer.arrays.items():
                np.testing.assert_array_equal(getattr(moved.layers[name], field), a)


def test_many_batches_recycle_memory_and_give_the_same_bits():
    net = on_device(chain(0, False))
    xs = [Weights(n, False).image(2, *net.input_shape) for n in range(3)]
    once = [net(x) for x in xs]
    pending = [net.forward(x, keep=net.outputs, record=False).fetch() for x in xs]
    for first, arrived in zip(once, pending, strict=True):
        np.testing.assert_array_equal(arrived()[net.outputs[0]], first)
