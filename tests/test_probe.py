"""`zfcore probe`: classifiers on every layer, the network with random weights, and going on after a stop."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from PIL import Image

from zfcore import cli, zoo
from zfcore.data.choice import choose
from zfcore.data.datasets import open_data
from zfcore.data.preprocessing import PRESETS
from zfcore.experiments import probe
from zfcore.experiments.kept import FeaturesOfLayer, Kept, KeptFeatures
from zfcore.experiments.subject import Subject
from zfcore.formats import save
from zfcore.layers import BatchNorm, Conv2d, Input, ReLU
from zfcore.network import Network
from zfcore.testing import parity_test, rounding_bound

CLASSES = ("a$b", "green_2", "blue")


@pytest.fixture
def folder(tmp_path):
    """Six images for each of three classes, each of the colour of its class."""
    rng = np.random.default_rng(0)
    for label, name in enumerate(CLASSES):
        (tmp_path / "colours" / name).mkdir(parents=True)
        for number in range(6):
            pixels = rng.integers(0, 60, (18, 18, 3), dtype=np.uint8)
            pixels[..., label] += 180
            Image.fromarray(pixels).save(tmp_path / "colours" / name / f"{number}.png")
    return tmp_path / "colours"


@pytest.fixture
def checkpoint(tmp_path):
    net = zoo.build(zoo.Architecture((zoo.Conv(6, 3, 1, 1, pool=3), zoo.Conv(5, 3, padding=1), zoo.Full(12)), 16, 4), init="he")
    net.preprocessing = PRESETS["unit"].for_input(net.input_shape)
    save(net, tmp_path / "net.safetensors")
    return tmp_path / "net.safetensors"


def arguments(checkpoint, folder, out, *more):
    return [str(a) for a in ("probe", checkpoint, "--data", folder, "--out", out, "--shots", "3", "--folds", "2", "--pool", "4", *more)]


def accuracies(record, network="trained"):
    rows = record["numbers"]["mean_per_class_accuracy"]
    return {(row["layer"], row["classifier"]): row["folds"] for row in rows if row["network"] == network}


def test_random_weights_are_of_the_same_sizes_and_no_others_change():
    rng = np.random.default_rng(0)
    values = [rng.random(4, np.float32) + 1 for _ in range(4)]
    layers = [
        Input("image", (), (3, 8, 8)),
        Conv2d("conv", ("image",), rng.random((4, 3, 3, 3), np.float32), rng.random(4, np.float32), (1, 1), ((0, 0), (0, 0)), (1, 1), 1),
        BatchNorm("norm", ("conv",), *values),
        ReLU("relu", ("norm",)),
    ]
    net = Network(layers, ["relu"], "small", preprocessing=PRESETS["unit"].for_input((3, 8, 8)), classes=("x", "y"))
    before = {name: {field: array.copy() for field, array in layer.arrays.items()} for name, layer in net.layers.items()}
    control = probe.untrained(net, 3)
    for name, layer in net.layers.items():
        for field, array in layer.arrays.items():
            assert np.array_equal(array, before[name][field])
            other = control.layers[name].arrays[field]
            assert other.shape == array.shape and other.dtype == array.dtype and not np.array_equal(other, array)
    assert np.array_equal(control.layers["conv"].weight, probe.untrained(net, 3).layers["conv"].weight)
    assert not np.array_equal(control.layers["conv"].weight, probe.untrained(net, 4).layers["conv"].weight)
    assert control.preprocessing == net.preprocessing and control.shapes == net.shapes
    x = rng.random((1, 3, 8, 8), np.float32)
    values = control.forward(x)
    expected = values["conv"].astype(np.float64) / np.sqrt(1 + control.layers["norm"].eps)
    parity_test(values["norm"], expected, rounding_bound(4, np.abs(expected), np.float32))


def test_probe_end_to_end(checkpoint, folder, tmp_path, capsys):
    out = tmp_path / "out"
    assert cli.main(arguments(checkpoint, folder, out, "--control")) == 0
    said = capsys.readouterr()
    record = json.loads((out / "probe.json").read_text())
    assert record["found"] in said.out and "SVM, Caltech-256" in said.out and (out / "probe.svg").is_file()
    layers = record["configuration"]["layers"]
    assert [(layer["name"], layer["features"], layer["pooling"]) for layer in layers] == [
        ("relu1", 6 * 16, "average of 4x4 parts"),
        ("relu2", 5 * 16, "average of 4x4 parts"),
        ("relu3", 12, None),
    ]
    for network in ("trained", "control"):
        found = accuracies(record, network)
        assert list(found) == [(layer, kind) for layer in ("relu1", "relu2", "relu3") for kind in ("svm", "softmax")]
        assert set(found["relu1", "svm"]) == {1.0}  # colours are told apart by any weights
    assert record["numbers"]["test_images"] == 9
    assert len({path.parent for path in out.glob("features/*/part-*.npz")}) == 2


def test_stopped_and_gone_on_it_gives_the_same_numbers(checkpoint, folder, tmp_path, capsys, monkeypatch):
    assert cli.main(arguments(checkpoint, folder, tmp_path / "whole")) == 0
    put, writes = Kept.put, 0

    def stopping(self, facts, result):
        nonlocal writes
        put(self, facts, result)
        writes += 1
        if writes in (1, 6):
            raise KeyboardInterrupt
        return result

    monkeypatch.setattr(Kept, "put", stopping)
    out = tmp_path / "stopped"
    for _ in range(2):
        capsys.readouterr()
        assert cli.main(arguments(checkpoint, folder, out)) == 130
        assert "the same command goes on" in capsys.readouterr().err.splitlines()[-1]
        assert not (out / "probe.json").exists()
    assert cli.main(arguments(checkpoint, folder, out)) == 0
    assert writes == 3 * 2 * 3  # of each layer and classifier the choice of C and two folds, nothing twice
    whole, resumed = (json.loads((place / "probe.json").read_text()) for place in (tmp_path / "whole", out))
    assert whole["numbers"] == resumed["numbers"]


def test_layers_are_taken_from_the_image_upwards(checkpoint, folder, tmp_path, capsys):
    assert cli.main(arguments(checkpoint, folder, tmp_path / "out", "--layers", "fc4,conv1,fc4")) == 0
    record = json.loads((tmp_path / "out" / "probe.json").read_text())
    assert list(accuracies(record)) == [("conv1", "svm"), ("conv1", "softmax"), ("fc4", "svm"), ("fc4", "softmax")]


def test_no_fold_has_an_image_that_one_of_the_networks_has_no_features_of(checkpoint, folder, tmp_path, monkeypatch):
    out, broken = tmp_path / "out", folder / "blue" / "2.png"
    picture = broken.read_bytes()
    broken.write_bytes(b"x" * len(picture))
    assert cli.main(arguments(checkpoint, folder, out)) == 0
    broken.write_bytes(picture)  # of the same size: for the listing nothing has changed
    rows, plain = [], FeaturesOfLayer.__getitem__
    monkeypatch.setattr(FeaturesOfLayer, "__getitem__", lambda self, numbers: rows.extend(self.rows[numbers]) or plain(self, numbers))
    assert cli.main(arguments(checkpoint, folder, out, "--control")) == 0
    assert min(rows) >= 0
    record = json.loads((out / "probe.json").read_text())
    assert list(record["numbers"]["skipped"]) == ["blue/2.png"] and record["numbers"]["test_images"] == 3 + 3 + 2


def test_random_weights_of_two_networks_are_two(tmp_path, folder):
    """Of the same weights, but with other strides: their random weights are the same, their features are not."""
    folders = []
    for name, stride in (("one", 1), ("two", 2)):
        blocks = zoo.Conv(6, 3, stride, 1), zoo.Conv(5, 3, 3 - stride, padding=1), zoo.Full(12)
        net = zoo.build(zoo.Architecture(blocks, 16, 4), init="he")
        net.preprocessing = PRESETS["unit"].for_input(net.input_shape)
        subject = Subject(name, probe.untrained(net, 0), choose(net))
        images = open_data(folder).part("train")
        folders.append(KeptFeatures(subject, images, ["relu2"], {}, tmp_path).folder)
    assert folders[0] != folders[1]


def test_a_seed_may_be_as_large_as_one_likes(checkpoint, folder, tmp_path):
    assert cli.main(arguments(checkpoint, folder, tmp_path / "out", "--layers", "fc4", "--seed", str(2**40))) == 0


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (("--shots", "6"), "class 'a\\$b' of .* has 6 images, and one at least must remain to test; ask for at most 5 with --shots"),
        (("--shots", "0"), "needed a whole number, at least 1"),
        (("--layers", "relu1,relu9"), "relu9"),
        (("--part", "validation"), "has no part 'validation'"),
        (("--pool", "0"), "at least 1"),
    ],
)
def test_wrong_input_is_one_line_and_writes_nothing(checkpoint, folder, tmp_path, capsys, more, reason):
    try:
        status = cli.main(arguments(checkpoint, folder, tmp_path / "out", *more))
    except SystemExit as stop:  # argparse
        status = stop.code
    said = capsys.readouterr()
    assert status == 2 and not said.out
    assert re.search(reason, said.err.splitlines()[-1]) and "Traceback" not in said.err
    assert not (tmp_path / "out").exists()
