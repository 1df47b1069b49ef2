"""Whole networks: forward, the one way down, projections; and the errors that other deconvnets made."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from networks import BUILDERS, Weights, branches, chain

from zfcore import Network, Rule, ZfcoreError, load
from zfcore.data.choice import choose
from zfcore.data.images import read_image
from zfcore.layers import AvgPool2d, Conv2d, ConvTranspose2d, GlobalMaxPool2d, Input, Layer, LocalResponseNorm, MaxPool2d, ReLU, Reshape
from zfcore.projection import framed
from zfcore.testing import ROUNDINGS, parity_test, vjp_test
from zfcore.window import unit_window, whole
from zfcore.zoo import ARCHITECTURES, build

RULES = ("deconvnet", "gradient", "guided", "linear")


def allowed(full: np.ndarray) -> float:
    """The table's bound for results of networks."""
    return float(ROUNDINGS["network"] * np.finfo(full.dtype).eps * np.abs(full).max(initial=0))


def full_pullback(net: Network, trace, layer: str, unit: tuple[int, ...], rule: str | Rule) -> np.ndarray:
    """The projection of one unit by way of the whole image, cut to the unit's window."""
    seed = np.zeros_like(trace[layer])
    seed[unit] = trace[layer][unit]
    pixels = net.pullback(trace, layer, seed, rule)
    others = np.delete(pixels, unit[0], axis=0)
    assert not others.any(), "the signal of one image reached another"
    window = net.receptive_field(layer, unit_window(unit[2:]))
    inside = whole(net.input_shape[1:])
    cut = framed(pixels[unit[0]], inside, window)
    outside = pixels[unit[0]].copy()
    outside[:, *window.intersection(inside).slices] = 0
    assert not outside.any(), "reaches beyond its window"
    return cut


def some_units(shape: tuple[int, ...], rng: np.random.Generator) -> list[tuple[int, ...]]:
    """All corners of the map, and random units."""
    corners = itertools.product(*((0, size - 1) for size in shape[2:]))
    units = [(int(rng.integers(shape[0])), int(rng.integers(shape[1])), *position) for position in corners]
    return units + [tuple(int(rng.integers(size)) for size in shape) for _ in range(3)]


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("builder", BUILDERS)
def test_projection_equals_cropped_pullback_bit_for_bit_on_integers(builder, rule, backend):
    net = BUILDERS[builder](3, integers=True, backend=backend)
    rng = np.random.default_rng(0)
    trace = net.forward(Weights(5, True).image(2, *net.input_shape))
    for layer in list(net.layers)[1:]:
        if builder == "branches" and layer.startswith(("c/", "d/")):
            continue  # averages of odd counts are not exact
        for unit in some_units(trace[layer].shape, rng):
            got = net.project(trace, layer, unit, rule)
            parity_test(got.pixels, full_pullback(net, trace, layer, unit, rule), name=f"{layer} {unit}")
            assert got.pixels.shape[1:] == got.window.size
            assert got.value == trace[layer][unit]


@pytest.mark.parametrize("rule", [*RULES, Rule("deconvnet", "gradient", "max"), Rule("deconvnet", collisions="last")], ids=str)
@pytest.mark.parametrize("builder", BUILDERS)
def test_projection_equals_cropped_pullback(builder, rule):
    net = BUILDERS[builder](1)
    rng = np.random.default_rng(0)
    trace = net.forward(Weights(5, False).image(2, *net.input_shape))
    for layer in list(net.layers)[1:]:
        for unit in some_units(trace[layer].shape, rng):
            full = full_pullback(net, trace, layer, unit, rule)
            parity_test(net.project(trace, layer, unit, rule).pixels, full, allowed(full), f"{layer} {unit}")


def check_every_layer(net: Network, x: np.ndarray) -> None:
    """In every layer a border unit of its strongest map, and a random unit."""
    rng = np.random.default_rng(0)
    trace = net.forward(x)
    for layer in list(net.layers)[1:]:
        shape = trace[layer].shape
        strongest = int(trace[layer][0].reshape(shape[1], -1).max(axis=1).argmax())
        border = (0, strongest, *(rng.choice([0, size - 1]) for size in shape[2:]))
        for unit in (border, tuple(int(rng.integers(size)) for size in shape)):
            full = full_pullback(net, trace, layer, unit, "deconvnet")
            parity_test(net.project(trace, layer, unit).pixels, full, allowed(full), f"{layer} {unit}")


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_projection_equals_cropped_pullback_in_the_zoo(name):
    net = build(name, init="he")
    check_every_layer(net, np.random.default_rng(0).standard_normal((1, *net.input_shape), dtype=np.float32))


@pytest.mark.parametrize("name", ["mnist-cntk", "cifar10-pytorch", "squeezenet1.1-fp16", "googlenet"])
def test_projection_equals_cropped_pullback_in_foreign_networks(name, shared_data):
    net = load(shared_data / "models" / f"{name}.onnx")
    photo = choose(net, "raw").preprocessing(read_image(shared_data / "photos" / "chelsea.png"))
    check_every_layer(net, photo[None] - 110)


def tie_free_image(net: Network, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((2, *net.input_shape))


@pytest.mark.parametrize("builder", BUILDERS)
@pytest.mark.parametrize("seed", range(3))
def test_gradient_rule_agrees_with_differences(builder, seed):
    net = BUILDERS[builder](seed).astype(np.float64)
    x = tie_free_image(net, seed)
    rng = np.random.default_rng(seed + 100)
    layer = net.outputs[0]
    gy = rng.standard_normal((2, *net.shapes[layer]))
    trace = net.forward(x)
    vjp_test(
        lambda x: net.forward(x, keep=[layer], record=False)[layer],
        lambda gy: net.pullback(trace, layer, gy, "gradient"),
        x,
        gy,
        rng.uniform(-1, 1, x.shape),
        1e-6,  # so short that no ReLU or pool of these seeds switches on the way
    )


@pytest.mark.parametrize("builder", BUILDERS)
def test_parameter_gradients_agree_with_differences(builder):
    net = BUILDERS[builder](2).astype(np.float64)
    x, layer = tie_free_image(net, 7), net.outputs[0]
    rng = np.random.default_rng(8)
    gy = rng.standard_normal((2, *net.shapes[layer]))
    found = net.gradients(net.forward(x), layer, gy)
    assert {name for name, _ in found} == {n for n, node in net.layers.items() if node.parameters}
    for (name, field), gradient in found.items():
        node = net.layers[name]
        start = getattr(node, field)

        def forward(value, node=node, field=field, start=start):
            setattr(node, field, value)
            try:
                return net.forward(x, keep=[layer], record=False)[layer]
            finally:
                setattr(node, field, start)

        vjp_test(forward, lambda gy, gradient=gradient: gradient, start, gy, rng.uniform(-1, 1, start.shape), 1e-6)


@pytest.mark.parametrize("builder", BUILDERS)
def test_threads_and_repetition_do_not_change_bits(builder):
    numba = pytest.importorskip("numba")
    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("one processor: nothing to compare")
    net = BUILDERS[builder](4)
    x = Weights(5, False).image(3, *net.input_shape)
    answers = []
    for threads in (1, 2, 2):
        numba.set_num_threads(threads)
        trace = net.forward(x, seed=1)
        top = list(net.layers)[-3]
        pixels = net.pullback(trace, top, trace[top])
        answers.append(b"".join(trace[layer].tobytes() for layer in net.layers) + pixels.tobytes())
    assert answers[0] == answers[1] == answers[2]


# ---- the errors of other deconvnets, one by one


def small(*layers: Layer, shape=(1, 6, 6)) -> Network:
    return Network([Input("image", shape=shape), *layers], [layers[-1].name], backend="reference")


@pytest.mark.parametrize(
    ("rule", "passed"), [("gradient", [0, 0, -3, 4]), ("deconvnet", [0, 2, 0, 4]), ("guided", [0, 0, 0, 4]), ("linear", [-1, 2, -3, 4])]
)
def test_a_rule_does_what_its_name_says(rule, passed):
    """Signals -1, 2, -3, 4 over forward inputs -5, -5, 5, 5."""
    net = small(ReLU("relu1", ("image",)), shape=(1, 1, 4))
    trace = net.forward(np.array([-5, -5, 5, 5], np.float32).reshape(1, 1, 1, 4))
    seed = np.array([-1, 2, -3, 4], np.float32).reshape(1, 1, 1, 4)
    parity_test(net.pullback(trace, "relu1", seed, rule).ravel(), np.array(passed, np.float32))
    norm = small(LocalResponseNorm("norm1", ("image",), 3, 1.0, 0.75, 1.0), shape=(1, 1, 4))
    skipped = (norm.pullback(norm.forward(seed), "norm1", seed, rule) == seed).all()
    assert skipped == (rule in ("deconvnet", "linear"))


def test_a_unit_that_sees_no_pixel_projects_to_nothing():
    """Between the taps of a transposed convolution, whose output padding no tap reaches."""
    up = ConvTranspose2d("up", ("pool",), np.ones((1, 1, 1, 1), np.float32), None, (2, 2), output_padding=(1, 1))
    net = small(AvgPool2d("pool", ("image",), (1, 1), (3, 3)), up, shape=(1, 4, 4))
    trace = net.forward(np.ones((1, 1, 4, 4), np.float32))
    assert net.project(trace, "up", (0, 0, 1, 1)).pixels.size == 0
    assert net.project(trace, "up", (0, 0, 2, 2)).pixels.tolist() == [[[1]]]


def test_no_bias_on_the_way_down():
    net = chain(0, integers=True)
    trace = net.forward(Weights(1, True).image(1, *net.input_shape))
    before = net.pullback(trace, "relu3", trace["relu3"])
    for node in net.layers.values():
        if isinstance(node, Conv2d):
            node.bias = node.bias + 10
    parity_test(net.pullback(trace, "relu3", trace["relu3"]), before)


def test_the_signal_is_rectified_at_a_relu_but_pixels_are_not():
    filters = np.array([1, -1], np.float32).reshape(2, 1, 1, 1)
    net = small(Conv2d("conv1", ("image",), filters), ReLU("relu1", ("conv1",)))
    trace = net.forward(np.ones((1, 1, 6, 6), np.float32))
    seed = np.stack([np.full((6, 6), -5), np.full((6, 6), 2)])[None].astype(np.float32)
    parity_test(net.pullback(trace, "relu1", seed), np.full((1, 1, 6, 6), -2, np.float32))


def test_deconvnet_is_not_guided_backpropagation():
    net = small(Conv2d("conv1", ("image",), np.ones((1, 1, 1, 1), np.float32)), ReLU("relu1", ("conv1",)))
    trace = net.forward(np.full((1, 1, 6, 6), -1, np.float32))
    seed = np.ones((1, 1, 6, 6), np.float32)
    parity_test(net.pullback(trace, "relu1", seed, "deconvnet"), seed)
    for rule in ("guided", "gradient"):
        assert not net.pullback(trace, "relu1", seed, rule).any()


def test_normalisation_is_skipped_not_run_forwards():
    net = small(LocalResponseNorm("norm1", ("image",), 3, 1.0, 0.75, 1.0), shape=(4, 5, 5))
    x = np.random.default_rng(0).standard_normal((1, 4, 5, 5)).astype(np.float32)
    trace, seed = net.forward(x), x[:, ::-1].copy()
    parity_test(net.pullback(trace, "norm1", seed, "deconvnet"), seed)
    assert np.abs(net.pullback(trace, "norm1", seed, Rule("deconvnet", "gradient")) - seed).max() > 0


def test_one_unit_is_seeded_not_its_whole_map():
    net = chain(0, integers=True)
    trace = net.forward(Weights(2, True).image(1, *net.input_shape))
    n, c, y, x = np.unravel_index(trace["relu2"].argmax(), trace["relu2"].shape)
    seed = np.zeros_like(trace["relu2"])
    seed[n, c] = trace["relu2"][n, c]
    whole_map = net.pullback(trace, "relu2", seed)
    one = net.project(trace, "relu2", (n, c, y, x))
    assert np.count_nonzero(one.pixels) < np.count_nonzero(whole_map)


def test_overlapping_windows_add():
    x = np.zeros((1, 1, 5, 5), np.float32)
    x[0, 0, 2, 2] = 1
    net = small(MaxPool2d("pool1", ("image",), (3, 3), (2, 2)), shape=(1, 5, 5))
    trace = net.forward(x)
    assert (trace["pool1"] == 1).all(), "all four windows name the centre"
    for collisions, value in (("add", 10), ("max", 4), ("last", 4)):
        seed = np.array([1, 2, 3, 4], np.float32).reshape(1, 1, 2, 2)
        pixels = net.pullback(trace, "pool1", seed, Rule("deconvnet", collisions=collisions))
        assert pixels[0, 0, 2, 2] == value and np.count_nonzero(pixels) == 1


def test_switches_are_of_the_same_image():
    net = small(MaxPool2d("pool1", ("image",), (2, 2), (2, 2)), shape=(1, 2, 2))
    x = np.zeros((2, 1, 2, 2), np.float32)
    x[0, 0, 0, 1] = x[1, 0, 1, 0] = 3
    trace = net.forward(x)
    parity_test(net.project(trace, "pool1", (1, 0, 0, 0)).pixels, x[1])
    parity_test(net.project(trace, "pool1", (0, 0, 0, 0)).pixels, x[0])


def test_rows_that_no_window_sees_come_back_as_zeros():
    net = small(Conv2d("conv1", ("image",), np.ones((1, 1, 2, 2), np.float32), None, (3, 3)))
    trace = net.forward(np.ones((1, 1, 6, 6), np.float32))
    pixels = net.pullback(trace, "conv1", trace["conv1"])
    assert pixels.shape == (1, 1, 6, 6)
    assert not pixels[..., 5, :].any() and not pixels[..., :, 2].any() and pixels[..., 0, 0].all()


# ---- the paper's facts


@pytest.mark.parametrize(
    ("layer", "shape", "field", "jump"),
    [
        ("conv1", (96, 110, 110), 7, 2),
        ("pool1", (96, 55, 55), 11, 4),
        ("conv2", (256, 26, 26), 27, 8),
        ("pool2", (256, 13, 13), 43, 16),
        ("conv3", (384, 13, 13), 75, 16),
        ("conv4", (384, 13, 13), 107, 16),
        ("conv5", (256, 13, 13), 139, 16),
        ("pool5", (256, 6, 6), 171, 32),
    ],
)
def test_zfnet_is_the_papers(zfnet, layer, shape, field, jump):
    assert zfnet.shapes[layer] == shape
    first, second = (zfnet.receptive_field(layer, unit_window((i, i))) for i in (0, 1))
    assert first.size == (field, field)
    assert (second.y0 - first.y0, second.x0 - first.x0) == (jump, jump)


@pytest.fixture(scope="module")
def zfnet():
    return build("zfnet")


def test_zoo_has_the_papers_sizes(zfnet):
    assert (zfnet.parameters, zfnet.macs) == (62_357_608, 1_168_032_896)
    assert build("zfnet-b").parameters == 107_627_624
    alexnet = build("alexnet")
    fields = [alexnet.receptive_field(f"conv{i}", unit_window((0, 0))).size[0] for i in range(1, 6)]
    assert fields == [11, 51, 99, 131, 163]
    drawn = np.concatenate([zfnet.layers[f"conv{i}"].weight.ravel() for i in range(1, 6)]).astype(np.float64)
    deviation_of_deviation = 0.01 / np.sqrt(2 * drawn.size)  # of a normal sample
    assert abs(drawn.std() - 0.01) < 5 * deviation_of_deviation and not zfnet.layers["conv1"].bias.any()


def test_same_seed_same_weights():
    first, again, other = (build("zfnet-small", seed=s).layers["fc6"].weight for s in (1, 1, 2))
    parity_test(first, again)
    assert (first != other).any()


# ---- receptive fields


def with_ones(net: Network) -> Network:
    """The network with all weights 1, and nothing that could cut a signal off: what a unit sees, it depends on."""
    for layer in net.layers.values():
        for name, array in layer.arrays.items():
            setattr(layer, name, np.ones_like(array))
    return net


@pytest.mark.parametrize("builder", BUILDERS)
def test_receptive_field_is_exactly_what_reaches_the_unit(builder):
    """Against brute force: the pixels that a signal from the unit reaches, under the linear rule, in a network of ones."""
    net = with_ones(BUILDERS[builder](0, integers=True))
    trace = net.forward(np.zeros((1, *net.input_shape), np.float32))
    for layer in list(net.layers)[1:]:
        below = [net.layers[i] for i in net.ancestors([layer])]
        if len(net.shapes[layer]) != 3 or any(isinstance(node, MaxPool2d | GlobalMaxPool2d | Reshape) for node in below):
            continue  # a max-pool sends its signal to one of the pixels it saw; behind a reshape a unit is taken to see all
        for position in itertools.product(*({0, size // 2, size - 1} for size in net.shapes[layer][1:])):
            seed = np.zeros_like(trace[layer])
            seed[:, :, *position] = 1
            rows, columns = (np.flatnonzero(net.pullback(trace, layer, seed, "linear")[0].any(axis=(0, axis))) for axis in (2, 1))
            window = net.receptive_field(layer, unit_window(position)).intersection(whole(net.input_shape[1:]))
            assert window == (rows[0], rows[-1] + 1, columns[0], columns[-1] + 1), f"{layer} {position}"


@pytest.mark.parametrize("builder", BUILDERS)
def test_pixels_outside_the_receptive_field_do_not_change_the_unit(builder):
    net = BUILDERS[builder](0, integers=True)
    x = Weights(9, True).image(1, *net.input_shape)
    trace = net.forward(x)
    for layer in list(net.layers)[1:]:
        if len(net.shapes[layer]) != 3:
            continue
        position = tuple(size // 2 for size in net.shapes[layer][1:])
        window = net.receptive_field(layer, unit_window(position)).intersection(whole(net.input_shape[1:]))
        noisy = Weights(10, True).image(1, *net.input_shape)
        noisy[:, :, *window.slices] = x[:, :, *window.slices]
        parity_test(net.forward(noisy)[layer][:, :, *position], trace[layer][:, :, *position], name=layer)


def test_transposed_convolution_with_holes_sees_only_its_taps():
    weight = np.ones((1, 1, 2, 2), np.float32)
    net = small(ConvTranspose2d("up", ("image",), weight, None, (2, 2), dilation=(3, 3)))
    assert net.receptive_field("up", unit_window((2, 2))) == (1, 2, 1, 2)


# ---- mistakes


@pytest.mark.parametrize("name", ["conv", "Relu2", "nothing like it"])
def test_unknown_layer_names_the_nearest(name):
    with pytest.raises(ZfcoreError, match="has no layer"):
        chain().forward(np.zeros((1, 2, 23, 21), np.float32), keep=[name])


def test_near_name_is_offered():
    with pytest.raises(ZfcoreError, match="conv1"):
        chain().layer("conv_1")


def test_one_string_is_not_a_list_of_names():
    with pytest.raises(ZfcoreError, match=r"needed a list of names, \['conv1'\]"):
        chain().forward(np.zeros((1, 2, 23, 21), np.float32), keep="conv1")


def test_receptive_field_of_no_layer():
    with pytest.raises(ZfcoreError, match="nearest: conv"):
        chain().receptive_field("conv9", None)


@pytest.mark.parametrize("dtype", [np.float16, np.longdouble, np.int32])
def test_only_two_float_types(dtype):
    with pytest.raises(TypeError, match="needed float32 or float64"):
        chain().astype(dtype)


def test_unit_must_be_integers():
    net = chain()
    with pytest.raises(ZfcoreError, match="needed integers"):
        net.project(net.forward(np.zeros((1, 2, 23, 21), np.float32)), "conv1", (0, 0, 1.5, 1))


@pytest.mark.parametrize("unit", [(0, 6, 0, 0), (1, 0, 0, 0), (0, 0, 99, 0), (0, 0, -1, 0), (0, 0, 0), (0, 0)])
def test_unit_outside_its_map(unit):
    net = chain()
    trace = net.forward(np.zeros((1, 2, 23, 21), np.float32))
    with pytest.raises(ZfcoreError, match="outside"):
        net.project(trace, "conv1", unit)


@pytest.mark.parametrize("shape", [(2, 6, 5, 5), (1, 6, 12, 10), (6,)])
def test_gradients_refuse_a_seed_of_another_shape(shape):
    net = chain()
    trace = net.forward(np.zeros((2, 2, 23, 21), np.float32))
    with pytest.raises(ZfcoreError, match="seed: got shape"):
        net.gradients(trace, "conv1", np.zeros(shape, np.float32))


@pytest.mark.parametrize("dtype", ["float64", float, np.float64])
def test_astype_takes_every_name_of_a_type(dtype):
    assert chain().astype(dtype).dtype == np.float64


def test_inputs_are_checked():
    net = chain()
    with pytest.raises(ZfcoreError, match="got shape"):
        net(np.zeros((1, 3, 23, 21), np.float32))
    with pytest.raises(TypeError, match="int64"):
        net(np.zeros((1, 2, 23, 21), np.int64))
    with pytest.raises(ZfcoreError, match="seed"):
        net.pullback(net.forward(np.zeros((1, 2, 23, 21), np.float32)), "conv1", np.zeros(3))


def test_trace_keeps_what_was_asked_for():
    net, x = branches(), np.zeros((1, 3, 14, 16), np.float32)
    trace = net.forward(x, keep=["a/pool"], record=False)
    assert list(trace.values) == ["a/pool"]
    with pytest.raises(KeyError, match="stem"):
        trace["stem"]
    with pytest.raises(ZfcoreError, match="record"):
        net.project(trace, "a/pool", (0, 0, 0, 0))
    assert "b/conv" not in net.forward(x, keep=["a/pool"]).values, "it does not depend on it"


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([ReLU("relu", ("image",))], "must be the Input"),
        ([Input("image", shape=(1, 4, 4)), ReLU("relu", ("conv",))], "does not stand before it"),
        ([Input("image", shape=(1, 4, 4)), ReLU("image", ("image",))], "unique"),
        ([Input("image", shape=(1, 4, 4)), MaxPool2d("pool", ("image",), (9, 9))], "pool.*empty output"),
        ([Input("image", shape=(1, 4, 4)), Conv2d("conv", ("image",), np.ones((1, 2, 1, 1), np.float32))], "conv.*\\(2, H, W\\)"),
    ],
)
def test_graphs_that_do_not_hold_together(layers, message):
    with pytest.raises(ZfcoreError, match=message):
        Network(layers, [layers[-1].name])


def test_every_architecture_of_the_zoo_runs_empty():
    for name in ARCHITECTURES:
        if name == "zfnet-b":
            continue  # 430 MB of weights; its sizes are tested above
        net = build(name)
        assert net(np.zeros((0, *net.input_shape), np.float32)).shape == (0, *net.shapes["softmax"])


# ---- algorithms


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("algorithm", ["winograd", "auto"])
def test_a_network_by_another_algorithm(algorithm, backend):
    """The same numbers but for rounding; ZFNet-small has convolutions that cannot be Winograd's, too."""
    net = build("zfnet-small", seed=1)
    net.backend = backend
    x = np.random.default_rng(2).standard_normal((2, *net.input_shape)).astype(net.dtype)
    plain = net.forward(x)
    net.algorithm = algorithm
    other = net.forward(x)
    for name in net.layers:
        parity_test(other[name], plain[name], allowed(plain[name]))


def test_the_algorithm_is_used(monkeypatch):
    used = []
    monkeypatch.setattr("zfcore.algorithms.fastest", lambda *_: used.append("auto") or "im2col")
    net = build("zfnet-small", seed=1)
    x = np.zeros((1, *net.input_shape), net.dtype)
    net(x)
    assert not used
    net.algorithm = "auto"
    net(x)
    assert used


def test_the_way_down_is_of_one_algorithm():
    """Though the adjoint of a transposed convolution is a convolution."""
    weight = np.random.default_rng(0).standard_normal((1, 1, 3, 3)).astype(np.float32)
    net = small(ConvTranspose2d("up", ("image",), weight, None, (1, 1)))
    net.backend = "cpu"
    trace = net.forward(np.random.default_rng(1).standard_normal((1, *net.input_shape)).astype(np.float32))
    plain = net.pullback(trace, "up", trace["up"])
    net.algorithm = "winograd"
    parity_test(net.pullback(trace, "up", trace["up"]), plain)


def test_an_unknown_algorithm_is_refused():
    net = build("zfnet-small", seed=1)
    with pytest.raises(ValueError, match="algorithm: got 'fft', needed one of im2col, winograd, auto"):
        net.algorithm = "fft"
