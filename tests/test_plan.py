"""The way forward: what is computed in one, what a trace keeps, what is freed, and how much memory that takes."""

from __future__ import annotations

import tracemalloc
import weakref

import numba
import numpy as np
import pytest
from networks import BUILDERS, Weights, chain
from zfkernels.cpu import arrays

from zfcore import Network, Rule, ZfcoreError
from zfcore.experiments import info
from zfcore.layers import Add, Conv2d, Input, ReLU
from zfcore.plan import Step
from zfcore.rules import RULES
from zfcore.testing import parity_test
from zfcore.zoo import build


def image_of(net: Network, seed: int = 5, count: int = 2) -> np.ndarray:
    return Weights(seed, False).image(count, *net.input_shape)


def steps_of(net: Network, *keep: str) -> list[tuple[str, ...]]:
    """What is computed in one step, each."""
    steps = net.steps(keep)
    return [(step.layer.name,) if step.relu is None else (step.layer.name, step.relu.name) for step in steps]


# ---- a ReLU in one with its filters


def test_a_filter_that_only_a_relu_uses_is_computed_in_one_with_it():
    net = build("zfnet-small")
    steps = steps_of(net, "softmax")
    assert [step for step in steps if len(step) == 2] == [(f"conv{i}", f"relu{i}") for i in range(1, 6)] + [("fc6", "relu6")]
    assert sum(steps, ()) == tuple(net.layers)[1:]


def test_a_filter_that_is_wanted_is_not():
    net = chain()
    assert ("conv2", "relu2") in steps_of(net, "relu2") and ("conv2", "relu2") not in steps_of(net, "relu2", "conv2")
    assert ("conv1", "relu1") in steps_of(net, "relu2", "conv2")
    assert steps_of(net, "conv2")[-1] == ("conv2",), "what is not computed uses nothing"
    assert all(len(step) == 1 for step in steps_of(net, *net.layers))


def test_a_filter_that_another_layer_uses_is_not():
    w = Weights(0, False)
    layers = [
        Input("image", shape=(2, 5, 5)),
        Conv2d("conv", ("image",), w(2, 2, 1, 1)),
        ReLU("relu", ("conv",)),
        Add("sum", ("relu", "conv")),
    ]
    net = Network(layers, ["sum"], backend="reference")
    assert ("conv", "relu") in steps_of(net, "relu") and ("conv", "relu") not in steps_of(net, "sum")
    x = image_of(net)
    parity_test(net(x), net.forward(x)["sum"])


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("builder", BUILDERS)
def test_what_is_kept_changes_no_bit(builder, backend):
    """The way forward and every way down, from a trace of one layer and from the trace of all."""
    net = BUILDERS[builder](3, backend=backend)
    x, rng = image_of(net), np.random.default_rng(0)
    x[0, 0, 0, 0] = np.nan
    everything = net.forward(x, seed=3)
    for layer in list(net.layers)[1 :: 1 if backend == "reference" else 4]:
        alone = net.forward(x, keep=[layer], seed=3)
        parity_test(alone[layer], everything[layer], name=layer)
        seed = rng.standard_normal(alone[layer].shape).astype(np.float32)
        for rule in RULES:
            full = net.pullback(everything, layer, seed, rule)
            parity_test(net.pullback(alone, layer, seed, rule), full, name=f"{layer} {rule}")
            for_it = net.forward(x, keep=[layer], seed=3, record=rule)
            parity_test(net.pullback(for_it, layer, seed, rule), full, name=f"{layer} {rule}, recorded for it")
        ref, got = (net.gradients(trace, layer, seed) for trace in (everything, alone))
        assert ref.keys() == got.keys()
        for key, gradient in ref.items():
            parity_test(got[key], gradient, name=f"{layer} {key}")


def test_a_fused_relu_passes_what_an_unfused_one_passes():
    """Under every rule, whatever the sign of the convolution's value; NaN, infinities and zeros of both signs among them."""
    values = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 3, -3, 1e-45, -1e-45], np.float32)
    x, seed = (a.reshape(1, 1, 9, 9) for a in np.meshgrid(values, values))
    layers = [
        Input("image", shape=(1, 9, 9)),
        Conv2d("conv", ("image",), np.ones((1, 1, 1, 1), np.float32)),
        ReLU("relu", ("conv",)),
    ]
    net = Network(layers, ["relu"], backend="reference")
    for rule in RULES:
        fused, unfused = net.forward(x, keep=["relu"]), net.forward(x, keep=["relu", "conv"])
        parity_test(net.pullback(fused, "relu", seed, rule), net.pullback(unfused, "relu", seed, rule), name=rule)
        expected = net.kernels.relu_vjp(seed, x, rule)
        parity_test(net.pullback(fused, "relu", seed, rule), np.where(seed == 0, 0, expected), name=rule)


# ---- what a trace keeps


def test_a_trace_keeps_what_was_asked_for_and_answers_for_nothing_else():
    net = chain(backend="reference")
    trace = net.forward(image_of(net), keep=["relu2"])
    assert list(trace.values) == ["relu2"] and trace.recorded == {"relu2"}
    with pytest.raises(KeyError, match=r"the trace has no 'conv2'; forward it with keep=\['conv2'\]"):
        trace["conv2"]
    for ask in (
        lambda: net.project(trace, "conv2", (0, 0, 0, 0)),
        lambda: net.pullback(trace, "conv2", np.zeros((2, *net.shapes["conv2"]))),
        lambda: net.gradients(trace, "pool1", np.zeros((2, *net.shapes["pool1"]))),
    ):
        with pytest.raises(ZfcoreError, match=r"the trace did not record '\w+'; forward it with keep=\['\w+'\] and record=True"):
            ask()
    kept = net.forward(image_of(net), keep=["relu2", "conv2"])
    assert kept.recorded == {"relu2", "conv2"} and net.project(kept, "conv2", (0, 0, 0, 0)).value == kept["conv2"][0, 0, 0, 0]


def test_a_trace_for_one_rule_refuses_others():
    net = chain(backend="reference")
    x = image_of(net)
    trace = net.forward(x, keep=["relu2"], record="deconvnet")
    seed = np.ones_like(trace["relu2"])
    arrays = {name for name, saved in trace.saved.items() if isinstance(saved, np.ndarray)}
    assert arrays == {"pool1"}, "the switches alone"
    net.pullback(trace, "relu2", seed, Rule("deconvnet", collisions="max"))
    for ask in (
        lambda: net.pullback(trace, "relu2", seed, "guided"),
        lambda: net.project(trace, "relu2", (0, 0, 0, 0), Rule("deconvnet", "gradient")),
        lambda: net.gradients(trace, "relu2", seed),
    ):
        with pytest.raises(ZfcoreError, match=r"the trace was recorded for Rule\(rectifier='deconvnet'.*forward it with record=True"):
            ask()
    with pytest.raises(ZfcoreError, match="rule: got 'deconv'"):
        net.forward(x, record="deconv")
    assert net.forward(x, keep=["relu2"], record=False).saved == {}


RELUS = {"relu1", "relu2", "relu3"}


@pytest.mark.parametrize(
    ("record", "alive"),
    [(False, {"relu3"}), ("deconvnet", {"relu3"}), ("gradient", RELUS | {"pool1"}), (True, RELUS | {"pool1", "norm1", "pool2"})],
)
def test_what_nothing_needs_is_freed(monkeypatch, record, alive):
    """What is kept is a view of relu3; gradients look at what ReLUs made and at what the normalisation and the filters saw."""
    made: dict[str, weakref.ref] = {}

    def remembered(step, *arguments, run=Step.run):
        if not record:
            needed = set(step.layer.inputs)
            assert {name for name, ref in made.items() if ref() is not None} == needed - {"image"}
        y, saved = run(step, *arguments)
        made[step.name] = weakref.ref(y)
        return y, saved

    monkeypatch.setattr(Step, "run", remembered)
    net = chain(backend="reference")
    trace = net.forward(image_of(net), keep=["flatten"], record=record)
    assert {name for name, ref in made.items() if ref() is not None} == alive | {"flatten"} and trace["flatten"].size


# ---- memory


def measured(net: Network, x: np.ndarray, **options) -> int:
    """Bytes that NumPy had allocated at the worst moment of a forward pass, besides those it had before."""
    net.forward(x[:1], **options)
    tracemalloc.start()
    try:
        trace = net.forward(x, **options)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert trace.values
    return peak


@pytest.mark.parametrize("options", [{"record": False}, {"record": "deconvnet"}, {"record": True}], ids=str)
def test_peak_memory_is_what_is_stated(monkeypatch, options):
    monkeypatch.setattr(arrays, "IDLE", 0)  # what is freed goes back to the system, not to the next result
    arrays.release()
    net = build("zfnet")
    x = np.zeros((8, *net.input_shape), np.float32)
    stated = net.peak_bytes(8, keep=net.outputs, **options)
    scratch = numba.get_num_threads() << 20
    got = measured(net, x, keep=net.outputs, **options)
    assert abs(got - stated) <= scratch, f"{got:,} bytes measured, {stated:,} stated"


def test_stated_memory_is_of_what_exists_at_one_time():
    net = chain()
    numbers = {name: int(np.prod(shape)) for name, shape in net.shapes.items()}
    assert net.peak_bytes(1, keep=["relu1"], record=False) == 4 * net.layers["conv1"].held(net.input_shape)
    assert net.peak_bytes(3, keep=["relu1"], record=False) == 3 * net.peak_bytes(1, keep=["relu1"], record=False)
    both = net.peak_bytes(1, keep=["conv1", "relu1"], record=False)
    assert both == net.peak_bytes(1, keep=["relu1"], record=False), "its laid out image is larger than the second map"
    pooling = 4 * (2 * numbers["relu1"] + 2 * numbers["pool1"])
    net.layers["conv1"].held = lambda shape: numbers["conv1"]
    assert net.peak_bytes(1, keep=["conv1", "pool1"], record=False) == pooling, "switches are counted"
    assert net.peak_bytes(1, keep=["pool1"], record=False) == pooling - 4 * numbers["conv1"]
    assert net.peak_bytes(1, keep=net.outputs) > net.peak_bytes(1, keep=net.outputs, record="deconvnet") >= net.peak_bytes(
        1, keep=net.outputs, record=False
    )
    assert net.astype(np.float64).peak_bytes(1) == 2 * net.peak_bytes(1) > 8 * sum(numbers.values()) - 8 * numbers["image"]
    with pytest.raises(ZfcoreError, match="has no layer"):
        net.peak_bytes(1, keep=["conv9"])


def test_a_network_that_is_never_wider_than_two_layers_takes_no_more():
    """A deep chain takes the memory of its widest two neighbours, however deep it is."""
    w = Weights(0, False)
    layers = [Input("image", shape=(4, 8, 8))]
    for depth in range(20):
        layers.append(Conv2d(f"conv{depth}", (layers[-1].name,), w(4, 4, 1, 1)))
    net = Network(layers, [layers[-1].name])
    one = 4 * 4 * 8 * 8
    assert net.peak_bytes(1, keep=net.outputs, record=False) == 3 * one, "an input, its laid out copy, an output"
    assert net.peak_bytes(1, keep=net.outputs) == 21 * one


def test_info_states_it():
    net = build("zfnet-small")
    stated = net.peak_bytes(1, keep=net.outputs, record=False)
    assert info.facts(net)["peak_bytes"] == stated
    assert f"memory         {stated / 1e6:.1f} MB at most at one time while one image is computed" in info.table(net)
