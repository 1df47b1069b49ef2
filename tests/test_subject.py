"""Subjects, their codes, and what experiments leave: names, numbers, refusals; the record comes last."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from zfcore.data.images import ImageError
from zfcore.data.preprocessing import Preprocessing
from zfcore.data.sources import ArraySource
from zfcore.errors import ZfcoreError
from zfcore.experiments import codes as codes_module
from zfcore.experiments.codes import codes
from zfcore.experiments.results import Results
from zfcore.experiments.subject import load_network, open_subject
from zfcore.figures.plots import new_figure
from zfcore.formats import save
from zfcore.layers import Conv2d
from zfcore.network import Network
from zfcore.testing import parity_test, rounding_bound
from zfcore.zoo import Architecture, Conv, Full, build

CLASSES = ("2", "cat", "dog")
TINY = Architecture((Conv(4, 3, padding=1, pool=3), Full(8)), size=12, classes=len(CLASSES))


@pytest.fixture
def path(tmp_path):
    net = build(TINY, 1, "he", CLASSES)
    net.preprocessing = Preprocessing(size=(12, 12), scale=np.full(3, 1 / 50))
    save(net, tmp_path / "tiny.safetensors")
    return tmp_path / "tiny.safetensors"


@pytest.fixture
def subject(path):
    return open_subject(path)


def images(count):
    return np.random.default_rng(0).integers(0, 256, (count, 16, 20, 3), dtype=np.uint8)


# ---- subjects


def test_a_checkpoint(subject, path):
    assert (subject.name, subject.path, subject.run) == (path.name, path, None)
    assert subject.logits == "fc3" and subject.classes == CLASSES
    assert subject.described["given"] == str(path) and subject.described["sha256_of"] == "file"
    assert subject.choice.origin == "the network's own"


def test_a_name_of_the_zoo():
    subject = open_subject("zfnet-28", "raw")
    assert (subject.name, subject.path) == ("zfnet-28", None)
    assert subject.classes == tuple(f"class {k}" for k in range(10)) and subject.class_number("class 3") == 3
    assert subject.choice.origin == "preset raw" and subject.described["sha256_of"] == "weights"


def test_classes_by_name_before_number(subject):
    assert [subject.class_number(text) for text in ("dog", "1", "2")] == [2, 1, 0]
    for text in ("3", "-1", "bird", ""):
        with pytest.raises(ZfcoreError, match=f"class: got '{text}'"):
            subject.class_number(text)
    with pytest.raises(ZfcoreError, match="nearest: dog"):
        subject.class_number("dogs")


def test_probabilities_are_those_of_the_network(subject):
    x = np.stack([subject.preprocessing(image) for image in images(5)])
    got = subject.probabilities(subject.net.forward(x, keep=["fc3"], record=False)["fc3"])
    assert got.dtype == np.float64 and got.shape == (5, 3)
    parity_test(subject.net(x).astype(np.float64), got, rounding_bound(16, got, np.float32))


def test_a_network_that_does_not_classify(path):
    net = build(TINY, 1, "he", CLASSES)
    maps = Network([layer for layer in net.layers.values() if layer.name in ("image", "conv1")], ["conv1"], "maps")
    save(maps, path)
    with pytest.raises(ZfcoreError, match=r"tiny.safetensors: its first output, 'conv1' of shape \(4, 12, 12\), is not one number"):
        _ = open_subject(path).classes


def test_answers_shaped_as_maps_of_one_pixel(path):
    """As fully convolutional networks give them."""
    net = build(TINY, 1, "he", CLASSES)
    layers = [layer for name, layer in net.layers.items() if name in ("image", "conv1", "relu1", "pool1")]
    layers.append(Conv2d("score", ("pool1",), np.ones((3, 4, 5, 5), np.float32), None, (1, 1), ((0, 0), (0, 0))))
    save(Network(layers, ["score"], "fully", classes=CLASSES), path)
    subject = open_subject(path)
    assert subject.net.shapes["score"] == (3, 1, 1) and subject.classes == CLASSES
    assert subject.probabilities(np.zeros((2, 3, 1, 1), np.float32)).shape == (2, 3)


@pytest.mark.parametrize("given", ["nothing.onnx", "zfnet-29"])
def test_no_network(given):
    with pytest.raises(ZfcoreError, match=given):
        load_network(given)


def test_a_folder_without_a_run(tmp_path):
    with pytest.raises(ZfcoreError, match="holds no run"):
        load_network(tmp_path)


# ---- codes


class Damaged(ArraySource):
    """The second image cannot be read."""

    def read(self, index):
        if index == 1:
            raise ImageError("x", "broken")
        return super().read(index)


@pytest.mark.parametrize("batch", [1, 3, 100])
def test_codes_are_the_layers_of_each_image(subject, batch, capsys):
    source = Damaged(images(8))
    got = codes(subject, source, [6, 1, 0, 3, 7], ["fc3", "relu1", "fc3"], batch)
    assert got.numbers.tolist() == [6, 0, 3, 7] and got.skipped == {"1": "broken"} and "skipped 1: broken" in capsys.readouterr().err
    assert {layer: values.shape for layer, values in got.values.items()} == {"fc3": (4, 3), "relu1": (4, 4 * 12 * 12)}
    for row, number in enumerate(got.numbers):
        trace = subject.net.forward(subject.preprocessing(source.images[number])[None], keep=["fc3", "relu1"], record=False)
        for layer, values in got.values.items():
            parity_test(values[row], trace[layer].ravel(), rounding_bound(1000, 1 + np.abs(trace[layer].ravel()), np.float32))


def test_codes_that_cannot_be(subject, monkeypatch):
    with pytest.raises(ZfcoreError, match="none of 1 images can be used; the first, 1: broken"):
        codes(subject, Damaged(images(2)), [1], ["fc3"])
    with pytest.raises(ZfcoreError, match="fc9"):
        codes(subject, Damaged(images(2)), [0], ["fc9"])
    with pytest.raises(ZfcoreError, match="none of 0 images"):
        codes(subject, Damaged(images(2)), [], ["fc3"])
    subject.net.layers["fc3"].bias = np.full(3, np.nan, np.float32)
    with pytest.raises(ZfcoreError, match="features of fc3 are not finite"):
        codes(subject, Damaged(images(2)), [0], ["fc3"])
    monkeypatch.setattr(codes_module, "MOST_BYTES", 10)
    with pytest.raises(ZfcoreError, match=r"features of 1 images at fc3 would take .*; take fewer"):
        codes(subject, Damaged(images(2)), [0], ["fc3"])


# ---- results


def test_the_record_comes_last_and_an_earlier_one_goes_first(subject, tmp_path):
    out = tmp_path / "new" / "folder"
    results = Results(out, "trial")
    assert not list(out.iterdir())
    (out / "trial.json").write_text("of an earlier one")
    results.picture("tile", Image.new("RGB", (3, 3)))
    assert not (out / "trial.json").exists()
    results.arrays("numbers", x=np.arange(3))
    results.plot("curve", new_figure(2, 2), r"a $\title")
    outcome = results.conclude(subject, {"choice": 1}, {"value": float("nan")}, "It was found.", "table", ["remark"])
    assert sorted(path.name for path in out.iterdir()) == ["curve.png", "curve.svg", "numbers.npz", "tile.png", "trial.json"]
    assert [path.name for path in outcome.pictures] == ["tile.png", "curve.png"]  # those to look at
    record = json.loads(outcome.record.read_text())
    assert set(record["files"]) == {"curve.png", "curve.svg", "numbers.npz", "tile.png"}
    assert record["numbers"] == {"value": None} and record["found"] == "It was found." and record["configuration"] == {"choice": 1}
    assert record["models"][0]["given"] == subject.given and record["models"][0]["preprocessing"]["origin"] == "the network's own"
    assert (outcome.table, outcome.remarks) == ("table", ("remark",))


def test_results_of_several_subjects_and_of_none(subject, tmp_path):
    results = Results(tmp_path / "out", "trial")
    assert len(json.loads(results.conclude([subject, subject], {}, {}, "").record.read_text())["models"]) == 2
    assert json.loads(results.conclude(None, {}, {}, "").record.read_text())["models"] == []


def test_results_where_a_file_is(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ZfcoreError, match="is not a folder"):
        Results(tmp_path / "file", "trial")


def test_what_an_earlier_result_left_goes_when_another_is_there(tmp_path):
    for name in ("a", "b"):
        results = Results(tmp_path, "try")
        results.arrays(name, x=np.zeros(1))
        results.conclude(None, {}, {}, name)
    assert {path.name for path in tmp_path.iterdir()} == {"b.npz", "try.json"}
