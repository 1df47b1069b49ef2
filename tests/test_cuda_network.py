"""Networks on the device: the numbers of the cpu; arrays go in and come out as NumPy's, and stay on the device between."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest
import zfkernels
from graphs import graphs
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import BUILDERS, Weights, chain
from test_incremental import changed

import zfcore
from zfcore import algorithms, ops
from zfcore.errors import ZfcoreError
from zfcore.experiments.occlusion import Squares, occlude
from zfcore.experiments.strongest import _computed
from zfcore.experiments.trained import Model
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
            ref.recorded, ref.rule, other.backend,
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


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_networks_and_traces_can_be_copied(duplicate):
    net = chain(0, False)
    x = Weights(1, False).image(1, *net.input_shape)
    for one in (net, on_device(net)):
        ref = one.forward(x)
        got, trace = duplicate(one), duplicate(ref)
        assert got.backend == trace.backend == one.backend
        np.testing.assert_array_equal(got(x), one(x))
        np.testing.assert_array_equal(got.pullback(trace, "relu3", ref["relu3"]), one.pullback(ref, "relu3", ref["relu3"]))


def test_a_network_of_another_ones_layers_computes_where_it_is_asked_to():
    net = chain(0, False)
    other, x = on_device(net), Weights(1, False).image(1, *net.input_shape)
    made = Network(list(other.layers.values()), other.outputs)
    assert made.backend == "cpu" and isinstance(made.layers["conv1"].weight, np.ndarray)
    np.testing.assert_array_equal(made(x), net(x))
    assert not isinstance(other.layers["conv1"].weight, np.ndarray), "the other one stays where it is"


def test_a_device_without_room_leaves_the_network_where_it_is(monkeypatch):
    net, k = chain(0, False), zfkernels.get("cuda")
    x = Weights(1, False).image(1, *net.input_shape)
    ref, sent, asarray = net(x), [], k.asarray

    def full(a):
        sent.append(a)
        if len(sent) == 3:
            raise MemoryError
        return asarray(a)

    monkeypatch.setattr(k, "asarray", full)
    with pytest.raises(MemoryError):
        net.backend = "cuda"
    assert net.backend == "cpu"
    np.testing.assert_array_equal(net(x), ref)


def test_a_trace_from_before_the_network_moved_is_refused():
    net = chain(0, False)
    x = Weights(1, False).image(1, *net.input_shape)
    for start, end in (("cpu", "cuda"), ("cuda", "cpu")):
        net.backend = start
        trace = net.forward(x)
        seed = trace["relu3"]
        net.backend = end
        for act in (net.pullback, net.gradients, lambda trace, layer, seed: net.project(trace, layer, (0, 0, 0, 0))):
            with pytest.raises(ZfcoreError, match=f"computed on {start}, the network is on {end}"):
                act(trace, "relu3", seed)


def test_only_a_device_has_two_batches_under_way():
    net = chain(0, False)
    batches = [([n], [Weights(n, False).image(1, *net.input_shape)[0]], [], n + 1) for n in range(3)]
    for one, ahead in ((net, 0), (on_device(net), 1)):
        read = []
        found = _computed(one, (read.append(batch) or batch for batch in batches), ["relu3"])
        for number, (images, activations, skipped, done) in enumerate(found):
            assert (images, skipped, done) == ([number], [], number + 1)
            assert len(read) == min(number + 1 + ahead, len(batches))
            np.testing.assert_array_equal(activations["relu3"], one.forward(np.stack(batches[number][1]))["relu3"])


def test_answers_of_a_trained_network_are_numpys():
    net = chain(0, False)
    x = Weights(1, False).image(2, *net.input_shape)
    got, ref = (Model("", Path(), one, None, None).log_probabilities(x) for one in (on_device(net), net))
    assert isinstance(got, np.ndarray) and got.dtype == np.float64
    alike(got.astype(np.float32), ref.astype(np.float32), "log probabilities")


def test_ops_measure_a_convolution_once(monkeypatch):
    measured = []
    monkeypatch.setattr(algorithms, "_measured", {})
    monkeypatch.setattr(algorithms, "_seconds", lambda *_: measured.append(1) or {"im2col": 0.0, "winograd": 1.0})
    x, w = np.ones((1, 1, 5, 5), np.float32), np.ones((2, 1, 3, 3), np.float32)
    for _ in range(2):
        got = ops.conv2d(x, w, algorithm="auto", backend="cuda")
        np.testing.assert_array_equal(got, np.full((1, 2, 3, 3), 9, np.float32))
    assert len(measured) == 1
