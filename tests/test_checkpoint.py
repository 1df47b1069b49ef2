"""Checkpoints come back as they went; damaged ones are one clear line."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from networks import BUILDERS, Weights

import zfcore
from zfcore import Network, ZfcoreError
from zfcore.data.preprocessing import PRESETS, Preprocessing
from zfcore.layers import BatchNorm, Conv2d, ConvTranspose2d, Identity, Input, LeakyReLU, Pad
from zfcore.testing import parity_test


@pytest.mark.parametrize("builder", BUILDERS)
def test_round_trip(builder, tmp_path):
    net = BUILDERS[builder](1)
    net.classes = ("a", "b", "c", "d")
    if builder == "branches":
        net.preprocessing = PRESETS["caffe"]
    zfcore.save(net, tmp_path / "net.safetensors")
    again = zfcore.load(tmp_path / "net.safetensors")
    x = Weights(2, False).image(2, *net.input_shape)
    for got, ref in zip(again.forward(x).values.values(), net.forward(x).values.values(), strict=True):
        parity_test(got, ref)
    assert (again.classes, again.outputs, again.name, list(again.layers)) == (net.classes, net.outputs, net.name, list(net.layers))
    assert again.preprocessing == net.preprocessing


def test_mean_image_comes_back(tmp_path):
    net = zfcore.load("zfnet-small")
    mean = np.random.default_rng(0).uniform(0, 255, (3, 64, 64))
    net.preprocessing = Preprocessing(size=(64, 64), mean=mean, scale=np.full(3, 0.5))
    zfcore.save(net, tmp_path / "net.safetensors")
    image = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    parity_test(zfcore.load(tmp_path / "net.safetensors").preprocessing(image), net.preprocessing(image))


def saved(tmp_path):
    path = tmp_path / "net.safetensors"
    zfcore.save(BUILDERS["chain"](0), path)
    return path, path.read_bytes()


@pytest.mark.parametrize("keep", [0, 7, 9, 100, 2000, -1])
def test_truncated(keep, tmp_path):
    path, content = saved(tmp_path)
    path.write_bytes(content[:keep])
    with pytest.raises(ZfcoreError, match=r"net\.safetensors"):
        zfcore.load(path)


def test_random_damage_is_never_a_traceback(tmp_path):
    path, content = saved(tmp_path)
    rng = np.random.default_rng(0)
    for _ in range(200):
        damaged = bytearray(content)
        for place in rng.integers(0, 3000, 3):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            zfcore.load(path)
        except ZfcoreError as error:
            assert "\n" not in str(error) and "net.safetensors" in str(error)


# ---- whole files whose content is wrong

Facts = dict[str, Any]
Tensors = dict[str, np.ndarray]


def contents(path: Path) -> tuple[Facts, Tensors]:
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        return json.loads(file.metadata()["zfcore"]), {name: file.get_tensor(name) for name in file.keys()}


def write(path: Path, architecture: str, tensors: Tensors) -> Path:
    from safetensors.numpy import save_file

    save_file(tensors, path, {"zfcore": architecture})
    return path


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) in a JSON value."""
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from places(value[key])


VALUES = (0, 1, 3, -1, 2**40, 1.5, "x", "\x1b[31m", [], None, True, [[[[1]]]], {}, float("inf"))


@pytest.mark.parametrize("builder", BUILDERS)
def test_wrong_values_are_never_a_traceback(builder, tmp_path):
    path = tmp_path / "net.safetensors"
    net = BUILDERS[builder](0)
    net.preprocessing = PRESETS["caffe"] if builder == "branches" else None
    zfcore.save(net, path)
    facts, tensors = contents(path)
    text, count = json.dumps(facts), len(list(places(facts)))
    rng = np.random.default_rng(0)
    loaded = 0
    for _ in range(300):
        facts = json.loads(text)
        container, key = list(places(facts))[rng.integers(count)]
        container[key] = VALUES[rng.integers(len(VALUES))]
        write(path, json.dumps(facts), tensors)
        try:
            net = zfcore.load(path)
        except ZfcoreError as error:
            assert str(error).isprintable() and "net.safetensors" in str(error)
        else:
            loaded += 1
            with np.errstate(all="ignore"):  # 0 for a constant may divide
                net(np.zeros((1, *net.input_shape), net.dtype))
    assert 0 < loaded < 150


def layer_of(facts: Facts, name: str) -> Facts:
    return next(layer for layer in facts["layers"] if layer["name"] == name)


def in_layer(name: str, /, **values: Any) -> Callable[[Facts, Tensors], None]:
    return lambda facts, tensors: layer_of(facts, name).update(values)


def in_file(**values: Any) -> Callable[[Facts, Tensors], None]:
    return lambda facts, tensors: facts.update(values)


def with_tensor(name: str, array: np.ndarray) -> Callable[[Facts, Tensors], None]:
    return lambda facts, tensors: tensors.update({name: array})


def renamed(facts: Facts, tensors: Tensors) -> None:
    tensors["conv1.biaz"] = tensors.pop("conv1.bias")


CAFFE = PRESETS["caffe"].to_dict()
WRONG = {
    "of a later version": (in_file(version=99), r"version: got 99, needed 1; load it with"),
    "without outputs": (in_file(outputs=[]), r"needed an output"),
    "outputs that are one": (in_file(outputs="fc4"), r"outputs: got 'fc4', needed a list of names"),
    "an unknown output": (in_file(outputs=["fc9"]), r"has no layer 'fc9'"),
    "a name for a terminal": (in_file(name="\x1b[31mred"), r"name: got the name '\\x1b\[31mred', needed one of printable"),
    "a class for a terminal": (in_file(classes=["a", "b\n"]), r"classes: got the name 'b\\n'"),
    "a layer for a terminal": (in_layer("conv1", name="a\rb"), r"layers: got the name 'a\\rb'"),
    "a field for a terminal": (in_layer("relu1", **{"\x1b[2J": 1}), r"relu1.*got '\\x1b\[2J', which it does not have"),
    "a layer without a name": (in_layer("conv1", name=""), r"layers: got the name ''"),
    "no layer": (in_file(layers=[1]), r"layers: got 1"),
    "no layers": (in_file(layers=[]), r"layers: got \[\]"),
    "a number of layers": (in_file(layers=7), r"layers: got 7, needed a list"),
    "a convolution without filters": (lambda facts, tensors: tensors.pop("conv1.weight"), r"conv1.*weight is missing"),
    "a bias too short": (with_tensor("conv1.bias", np.zeros(1, np.float32)), r"conv1.*bias: got float32 of shape \(1,\)"),
    "filters beside it": (with_tensor("conv1.weight", np.zeros((4096, 2, 3, 3), np.float32)), r"conv1.*bias: got float32 of shape \(6,\)"),
    "filters of half floats": (with_tensor("conv1.weight", np.zeros((6, 2, 3, 3), np.float16)), r"conv1.*weight: got float16"),
    "one bias of doubles": (with_tensor("conv1.bias", np.zeros(6)), r"one float type"),
    "an array for a number": (with_tensor("conv2.groups", np.ones(2, np.float32)), r"conv2.*got groups twice"),
    "an array for no layer": (with_tensor("conv9.bias", np.ones(2, np.float32)), r"tensors: got 'conv9.bias', which no layer has"),
    "an array of another name": (renamed, r"conv1.*got 'biaz', which it does not have"),
    "another number of channels": (in_file(preprocessing=CAFFE), r"channels: got"),
    "preprocessing of nothing": (in_file(preprocessing={}), r"preprocessing: got \{\}"),
    "a number beyond floats": (in_layer("norm1", alpha=10**400), r"norm1.*alpha: got 1000"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_hold_together_is_one_clear_line(case, tmp_path):
    path, _ = saved(tmp_path)
    facts, tensors = contents(path)
    damage, message = WRONG[case]
    damage(facts, tensors)
    write(path, json.dumps(facts), tensors)
    with pytest.raises(ZfcoreError, match=message) as caught:
        zfcore.load(path)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("depth", [900, 100_000])
def test_nested_too_deep(depth, tmp_path):
    path, _ = saved(tmp_path)
    facts, tensors = contents(path)
    layer_of(facts, "conv1")["stride"] = "HERE"
    write(path, json.dumps(facts).replace('"HERE"', "[" * depth + "]" * depth), tensors)
    with pytest.raises(ZfcoreError, match=r"nested too deep|stride: got"):
        zfcore.load(path)


@pytest.mark.parametrize(
    "layer",
    [
        Pad("big", ("image",), ((0, 0), (30_000, 0), (30_000, 0))),
        Conv2d("big", ("image",), np.ones((1, 3, 1, 1), np.float32), None, (2**16, 2**16), ((30_000, 0), (30_000, 0))),
        ConvTranspose2d("big", ("image",), np.ones((3, 3, 2, 2), np.float32), None, (1, 1), ((15_000, 15_000),) * 2, (0, 0), (30_000,) * 2),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_maps_larger_than_memory_are_refused(layer, tmp_path):
    net = zfcore.Network([Input("image", shape=(3, 8, 8)), layer], ["big"])
    zfcore.save(net, tmp_path / "net.safetensors")
    with pytest.raises(ZfcoreError, match=r"layers: got \d,\d{3},\d{3},\d{3} numbers for one image, needed at most"):
        zfcore.load(tmp_path / "net.safetensors")


@pytest.mark.parametrize(("dtype", "shape"), [("BF16", [2]), ("F8_E4M3", [4]), ("\x1b[2J", [4])])
def test_numbers_that_numpy_may_not_have(dtype, shape, tmp_path):
    path = tmp_path / "net.safetensors"
    header = json.dumps({"__metadata__": {"zfcore": "{}"}, "a": {"dtype": dtype, "shape": shape, "data_offsets": [0, 4]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    with pytest.raises(ZfcoreError, match=r"net\.safetensors: .*, needed|; needed") as caught:
        zfcore.load(path)
    assert str(caught.value).isprintable()


def test_what_would_not_be_read_back_is_not_written(tmp_path):
    net = zfcore.Network([Input("image", shape=(3, 8, 8)), Identity("a\nb", ("image",))], ["a\nb"])
    with pytest.raises(ZfcoreError, match=r"cannot be written: layers: got the name 'a\\nb'"):
        zfcore.save(net, tmp_path / "net.safetensors")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("name", "keep"), [("net.safetensors", 5), ("net.safetensors", 200), ("net", 200), ("net.safetensors", 0)])
def test_cut_inside_the_header_it_is_a_checkpoint_still(name, keep, tmp_path):
    path, _ = saved(tmp_path)
    (tmp_path / name).write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ZfcoreError, match=r"a damaged checkpoint .* needed a whole safetensors file"):
        zfcore.load(tmp_path / name)


def test_foreign_safetensors(tmp_path):
    from safetensors.numpy import save_file

    save_file({"a": np.zeros(3)}, tmp_path / "net.safetensors")
    with pytest.raises(ZfcoreError, match="without zfcore's architecture"):
        zfcore.load(tmp_path / "net.safetensors")


@pytest.mark.parametrize("kind", ["Crop", "Layer", "dict", "__import__", "nothing"])
def test_only_layers_are_made(kind, tmp_path):
    from safetensors.numpy import save_file

    facts = {"version": 1, "name": "x", "layers": [{"type": kind, "name": "a", "inputs": []}], "outputs": [], "classes": None}
    save_file({}, tmp_path / "net.safetensors", {"zfcore": json.dumps(facts | {"preprocessing": None})})
    with pytest.raises(ZfcoreError, match="does not hold together"):
        zfcore.load(tmp_path / "net.safetensors")


def test_unwritable(tmp_path):
    with pytest.raises(ZfcoreError, match="cannot be written: No such file or directory"):
        zfcore.save(BUILDERS["chain"](0), tmp_path / "nowhere" / "net.safetensors")
    assert not list(tmp_path.iterdir())


def test_names(tmp_path):
    with pytest.raises(ZfcoreError, match=r"no such file, and no network of that name; .* nearest: zfnet"):
        zfcore.load("zfnett")
    with pytest.raises(ZfcoreError, match="too long for a file"):
        zfcore.load("a" * 300)
    with pytest.raises(ZfcoreError, match="is a folder"):
        zfcore.load(tmp_path)


def test_numbers_of_numpy_and_a_layer_called_preprocessing(tmp_path):
    channels = np.arange(1, 4, dtype=np.float32)
    layers = [
        Input("image", shape=(3, 8, 8)),
        BatchNorm("preprocessing", ("image",), channels, channels, channels, channels),
        Conv2d("conv", ("preprocessing",), np.ones((1, 3, 1, 1), np.float32), None, (np.int64(2), np.int64(2))),
        LeakyReLU("relu", ("conv",), np.float32(0.1)),
    ]
    net = Network(layers, ["relu"], preprocessing=Preprocessing(size=(8, 8), mean=np.full((3, 8, 8), 9.0)))
    zfcore.save(net, tmp_path / "net.safetensors")
    again = zfcore.load(tmp_path / "net.safetensors")
    parity_test(again.preprocessing.mean, net.preprocessing.mean)
    parity_test(again.layers["preprocessing"].mean, channels)
    assert again.layers["conv"].stride == (2, 2)
