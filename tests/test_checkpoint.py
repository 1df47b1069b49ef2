"""Checkpoints come back as they went; damaged ones are one clear line."""

from __future__ import annotations

import json

import numpy as np
import pytest
from networks import BUILDERS, Weights

import zfcore
from zfcore import ZfcoreError
from zfcore.data.preprocessing import PRESETS, Preprocessing
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
    with pytest.raises(ZfcoreError, match="is a folder"):
        zfcore.load(tmp_path)
