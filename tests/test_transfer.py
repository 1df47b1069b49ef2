"""`zfcore transfer` and what it shares with `probe`: folds, classifiers, pooling, and going on after a stop."""

from __future__ import annotations

import json
import math
import re

import numpy as np
import pytest
from PIL import Image

from zfcore import cli, zoo
from zfcore.data.datasets import open_data
from zfcore.data.labelled import DataSet, Labelled
from zfcore.data.preprocessing import PRESETS
from zfcore.data.sources import ArraySource
from zfcore.errors import ZfcoreError
from zfcore.experiments import classifiers, folds, kept, scratch, transfer
from zfcore.experiments.folds import Spread, draw_folds, mean_per_class_accuracy, part_to_draw_from, usual_shots
from zfcore.experiments.kept import Kept, KeptFeatures
from zfcore.experiments.pooling import MOST_NUMBERS, Pooling, poolings, size_of
from zfcore.experiments.subject import open_subject
from zfcore.formats import save
from zfcore.layers import Conv2d, Input, ReLU
from zfcore.network import Network
from zfcore.stages import stages
from zfcore.testing import parity_test, rounding_bound

CLASSES = ("red", "green", "blue")
PER_CLASS = 7


def labelled(counts, classes=CLASSES):
    labels = np.repeat(np.arange(len(counts)), counts)
    return Labelled(ArraySource(np.zeros((len(labels), 2, 2, 3), np.uint8)), labels, classes)


@pytest.fixture
def folder(tmp_path):
    """Seven images for each of three classes, each of the colour of its class: nothing is easier to tell apart."""
    rng = np.random.default_rng(0)
    for label, name in enumerate(CLASSES):
        (tmp_path / "colours" / name).mkdir(parents=True)
        for number in range(PER_CLASS):
            pixels = rng.integers(0, 60, (18, 18, 3), dtype=np.uint8)
            pixels[..., label] += 180
            Image.fromarray(pixels).save(tmp_path / "colours" / name / f"{number}.png")
    return tmp_path / "colours"


@pytest.fixture
def checkpoint(tmp_path):
    """A small network with its preprocessing, of other classes than the images."""
    net = zoo.build(zoo.Architecture((zoo.Conv(6, 3, 1, 1, pool=3), zoo.Conv(5, 3, padding=1), zoo.Full(12)), 16, 4), init="he")
    net.preprocessing = PRESETS["unit"].for_input(net.input_shape)
    save(net, tmp_path / "net.safetensors")
    return tmp_path / "net.safetensors"


def refused(capsys, *arguments) -> str:
    """The one line that a wrong command answers with, behind whatever was said before."""
    try:
        status = cli.main([str(a) for a in arguments])
    except SystemExit as stop:  # argparse
        status = stop.code
    said = capsys.readouterr()
    assert status == 2 and not said.out
    assert "Traceback" not in said.err
    return said.err.splitlines()[-1]


# ---- folds


def test_folds_are_disjoint_balanced_and_drawn_by_seed():
    images = labelled([9, 12, 30])
    folds = draw_folds(images, 6, folds=3, most_test=5, seed=1)
    for fold in folds:
        assert not set(fold.training.ravel()) & set(fold.test)
        for shots in (2, 6):
            learnt = fold.learnt(shots)
            assert len(set(learnt)) == 3 * shots and np.bincount(images.labels[learnt]).tolist() == [shots] * 3
        assert set(fold.learnt(2)) < set(fold.learnt(6))
        assert len(set(fold.test)) == len(fold.test)
        assert np.bincount(images.labels[fold.test]).tolist() == [3, 5, 5]
    draws = [[fold.training.tolist() for fold in draw_folds(images, 6, 3, 5, seed)] for seed in (1, 1, 2)]
    assert draws[0] == draws[1] == [fold.training.tolist() for fold in folds]
    assert draws[0] != draws[2] and draws[0][0] != draws[0][1]


def test_unreadable_images_are_passed_over():
    images = labelled([5, 5, 5])
    (before,) = draw_folds(images, 2, 1)
    lost = [int(before.training[0, 0]), int(before.test[-1])]
    (after,) = draw_folds(images, 2, 1, unreadable=lost)
    assert not set(lost) & {*after.training.ravel(), *after.test}
    assert after.training[0, 0] == before.training[0, 1] and after.training[1].tolist() == before.training[1].tolist()


def test_a_class_with_too_few_images_is_named():
    with pytest.raises(ZfcoreError, match=r"shots: got 5, but class 'green' of arrays has 5 images, .*; ask for at most 4 with --shots"):
        draw_folds(labelled([9, 5, 9]), 5)
    assert len(draw_folds(labelled([9, 5, 9]), 4)[0].test) == 11
    with pytest.raises(ZfcoreError, match=r"has 4 images \(1 images cannot be read\)"):
        draw_folds(labelled([9, 5, 9]), 4, unreadable=[9])
    assert [usual_shots(labelled([n, 90, 90])) for n in (2, 10, 50, 80)] == [1, 6, 30, 30]
    with pytest.raises(ZfcoreError, match="class 'red' has 1 images, needed at least 2"):
        usual_shots(labelled([1, 9, 9]))


def test_mean_per_class_accuracy_of_unbalanced_classes():
    labels = np.array([0] * 8 + [1] * 2 + [2])
    predicted = np.array([0] * 6 + [1] * 2 + [1, 0] + [2])
    assert mean_per_class_accuracy(predicted, labels) == (6 / 8 + 1 / 2 + 1) / 3
    assert mean_per_class_accuracy(predicted, labels) != (predicted == labels).mean()


def test_spread():
    assert Spread((0.5, 0.7)).said == "60.0 ± 14.1"
    assert Spread((0.25,)).deviation is None and Spread((0.25,)).said == "25.0"


# ---- classifiers


def blobs(per_class, features=40, classes=4, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), per_class)
    centres = 6 * np.random.default_rng(99).standard_normal((classes, features))
    return (centres[labels] + 0.3 * rng.standard_normal((len(labels), features))).astype(np.float32), labels


@pytest.mark.parametrize("kind", classifiers.KINDS)
@pytest.mark.parametrize("features", [5, 40])
def test_separable_features_are_told_apart_and_shuffled_labels_are_not(kind, features):
    x, labels = blobs(15, features)
    test, answers = blobs(50, features, seed=1)
    C = classifiers.chosen_penalty(kind, x, labels)
    predicted, ended = classifiers.predictions(kind, C, x, labels, test)
    assert ended and mean_per_class_accuracy(predicted, answers) == 1.0
    shuffled = np.random.default_rng(2).permutation(answers)
    predicted, _ = classifiers.predictions(kind, C, x, labels, test)
    deviation = math.sqrt(0.25 * 0.75 / len(answers))  # of the share that guessing among four gets right
    assert abs(mean_per_class_accuracy(predicted, shuffled) - 0.25) < 4 * deviation


def test_labels_that_mean_nothing_are_not_learnt():
    rng = np.random.default_rng(0)
    x, test = rng.standard_normal((120, 60)), rng.standard_normal((400, 60))
    labels, answers = np.arange(120) % 4, np.arange(400) % 4
    for kind in classifiers.KINDS:
        predicted, _ = classifiers.predictions(kind, 1.0, x, labels, test)
        assert abs(mean_per_class_accuracy(predicted, answers) - 0.25) < 4 * math.sqrt(0.25 * 0.75 / 400)


def test_scaling_is_by_the_training_features_alone():
    x, _ = blobs(10, features=5)
    x[:, 4] = 7.0  # a dead feature
    scaled, (same, other) = classifiers.scaled(x, [x, x + 100])
    bound = rounding_bound(64, np.ones(5), np.float64)
    parity_test(scaled.mean(axis=0), np.zeros(5), bound)
    parity_test(5 * (scaled**2).mean(axis=0), np.array([1, 1, 1, 1, 0.0]), bound)
    assert np.array_equal(same, scaled) and other.mean() > 1


@pytest.mark.parametrize("kind", classifiers.KINDS)
def test_more_features_than_images_give_the_same_classifier(kind):
    """Distances and angles are kept, so that scores are, up to where the solver stops: the same answers where classes are apart."""
    x, labels = blobs(6, features=90)
    test, _ = blobs(40, features=90, seed=3)
    mean, deviation = x.astype(np.float64).mean(axis=0), x.astype(np.float64).std(axis=0) * math.sqrt(90)
    plain, other = (x - mean) / deviation, (test - mean) / deviation
    few, (others,) = classifiers.scaled(x, [test])
    assert few.shape == (24, 24) and others.shape == (160, 24)
    products = plain @ plain.T, other @ plain.T
    for got, ref in zip((few @ few.T, others @ few.T), products, strict=True):
        parity_test(got, ref, rounding_bound(90 * 24, np.full(ref.shape, np.abs(ref).max()), np.float64))
    model, _ = classifiers.fitted(kind, 1.0, plain, labels)
    assert classifiers.predictions(kind, 1.0, x, labels, test)[0].tolist() == model.predict(other).tolist()


def test_one_image_a_class_leaves_none_to_choose_by():
    x, labels = blobs(1)
    assert classifiers.chosen_penalty("softmax", x, labels) is None


# ---- pooling


def test_pooling_by_hand():
    maps = np.arange(30, dtype=np.float32).reshape(1, 2, 3, 5)
    whole = Pooling((1, 1))(maps)
    assert whole.tolist() == [[7.0, 22.0]]
    rows = Pooling((3, 1), "max")(maps)
    assert rows.tolist() == [[4, 9, 14, 19, 24, 29]]
    parts = Pooling((2, 2))(maps)[0, :4]  # one row and two, two columns and three
    assert parts.tolist() == [0.5, 3.0, 8.0, 10.5]
    assert np.array_equal(Pooling((3, 5))(maps), maps.reshape(1, -1))


def test_layers_are_pooled_to_at_most_so_many_numbers():
    net = zoo.build("zfnet-64")
    names = [*stages(net), "softmax"]
    pools = poolings(net, names)
    assert "relu1" in pools and "softmax" not in pools
    for name in names:
        C = net.shapes[name][0]
        assert size_of(net, name, pools) <= MOST_NUMBERS
        if name in pools:
            assert C * (pools[name].grid[0] + 1) ** 2 > MOST_NUMBERS
    one = poolings(net, names, side=1, kind="max")
    assert [size_of(net, name, one) for name in names] == [net.shapes[name][0] for name in names]


# ---- what is kept


def test_kept_results_outlive_and_damage_is_said(tmp_path, capsys):
    path = tmp_path / "kept.json"
    Kept(path).put({"a": 1}, {"accuracy": 0.1})
    assert Kept(path).get({"a": 1}) == {"accuracy": 0.1}
    assert Kept(path).get({"a": 2}) is None
    path.write_text(path.read_text().replace("0.1", "0.9"))
    assert Kept(path).get({"a": 1}) is None
    assert "1 results are not as they were written" in capsys.readouterr().err
    path.write_text("{")
    assert Kept(path).get({"a": 1}) is None
    assert "everything is computed anew" in capsys.readouterr().err


def test_features_are_computed_once(checkpoint, folder, tmp_path, monkeypatch):
    subject, images = open_subject(checkpoint), open_data(folder).part("train")
    first = KeptFeatures(subject, images, ["relu1", "relu3"], poolings(subject.net, ["relu1"], 2), tmp_path / "out")
    first.compute(np.arange(8))
    again = KeptFeatures(subject, images, ["relu1", "relu3"], poolings(subject.net, ["relu1"], 2), tmp_path / "out")
    plain, computed = KeptFeatures._computed, []

    def noted(self, numbers, on_image):
        computed.extend(numbers)
        return plain(self, numbers, on_image)

    monkeypatch.setattr(KeptFeatures, "_computed", noted)
    again.compute(np.arange(4, 12))
    assert computed == [8, 9, 10, 11]
    x = np.stack([subject.preprocessing(images.source.read(n)) for n in (9, 2)])
    trace = subject.net.forward(x, keep=["relu1", "relu3"], record=False)
    got, own = again.of("relu3")[np.array([9, 2])], trace["relu3"]
    parity_test(got, own)
    parity_test(again.of("relu1")[np.array([9, 2])], Pooling((2, 2))(trace["relu1"]))
    other = KeptFeatures(subject, images, ["relu1", "relu3"], poolings(subject.net, ["relu1"], 3), tmp_path / "out")
    assert not other.parts and other.folder != again.folder


@pytest.fixture
def features(checkpoint, folder, tmp_path):
    """A function that opens what is kept of the features of a layer."""
    subject, images = open_subject(checkpoint), open_data(folder).part("train")
    return lambda batch=32: KeptFeatures(subject, images, ["relu3"], {}, tmp_path / "out", batch)


def test_a_stop_costs_few_images_of_a_small_layer(features, monkeypatch):
    monkeypatch.setattr(kept, "PART_IMAGES", 4)
    plain, calls = KeptFeatures._computed, []

    def stopped(self, numbers, on_image):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return plain(self, numbers, on_image)

    monkeypatch.setattr(KeptFeatures, "_computed", stopped)
    with pytest.raises(KeyboardInterrupt, match="the features of 8 of 12 images are kept"):
        features(2).compute(np.arange(12))
    assert sum(map(len, features().parts.values())) == 8


@pytest.mark.parametrize("content", [b"", b"PK\3\4 and no more", b"\x93NUMPY"])
def test_damaged_features_are_computed_anew(features, content, capsys):
    features().compute(np.arange(4))
    (path,) = features().parts
    path.write_bytes(content)
    again = features()
    assert not again.parts and "damaged" in capsys.readouterr().err
    again.compute(np.arange(4))
    assert len(again.of("relu3")[np.arange(4)]) == 4


def test_features_that_another_process_put_in_their_place_are_not_taken(features):
    one, other = features(), features()
    one.compute(np.arange(4))
    other.compute(np.arange(4, 8))
    with pytest.raises(ZfcoreError, match="another process has changed it"):
        one.of("relu3")


# ---- the command


def arguments(checkpoint, folder, out, *more):
    few = ("--shots", "1,3", "--folds", "2", "--scratch", "zfnet-28", "--steps", "3")
    return [str(a) for a in ("transfer", checkpoint, "--data", folder, "--out", out, *few, *more)]


@pytest.mark.parametrize(("name", "layer"), [("zfnet-small", "relu6"), ("alexnet-28", "relu7"), ("zfnet-64-without-7", "relu6")])
def test_the_top_layer_is_the_one_below_the_classifier(name, layer):
    assert transfer.top_layer(zoo.build(name)) == layer


def test_without_a_classifier_the_top_layer_is_the_last_stage_or_has_to_be_named():
    rng = np.random.default_rng(0)
    image = Input("image", (), (3, 8, 8))
    conv = Conv2d("conv", ("image",), rng.random((4, 3, 3, 3), np.float32), None, (1, 1), ((0, 0), (0, 0)), (1, 1), 1)
    with pytest.raises(ZfcoreError, match=r"small: has no classifier and no stages, .* name a layer with --layer"):
        transfer.top_layer(Network([image, conv], ["conv"], "small"))
    over = Conv2d("over", ("relu",), rng.random((4, 4, 3, 3), np.float32), None, (1, 1), ((0, 0), (0, 0)), (1, 1), 1)
    assert transfer.top_layer(Network([image, conv, ReLU("relu", ("conv",)), over], ["over"], "small")) == "relu"


def test_what_is_trained_from_scratch(checkpoint):
    assert scratch.usual_architecture(open_subject("zfnet-28")) == ("zfnet-28", True)
    assert scratch.usual_architecture(open_subject(checkpoint)) == (scratch.INSTEAD, False)
    for images in (3, 100, 1000):
        recipe = scratch.recipe_of("zfnet-64", images, 90)
        assert recipe.batch == min(64, images) and recipe.schedule == "linear"
        assert abs(scratch.steps_of(recipe, images) - 90) <= images // recipe.batch


def test_transfer_end_to_end(checkpoint, folder, tmp_path, capsys):
    out = tmp_path / "out"
    assert cli.main(arguments(checkpoint, folder, out)) == 0
    said = capsys.readouterr()
    record = json.loads((out / "transfer.json").read_text())
    assert record["found"] in said.out and str(out / "transfer.png") in said.out
    assert "the paper, Caltech-101 (table 4)" in said.out
    assert (out / "transfer.svg").is_file()
    numbers, configuration = record["numbers"], record["configuration"]
    assert configuration["layer"]["name"] == "relu3" and configuration["from_scratch"]["same_as_the_network"] is False
    assert numbers["mean_per_class_accuracy"]["frozen"]["3"]["mean"] == 1.0  # colours survive random weights
    assert numbers["test_images"] == 12 and len(numbers["each"]) == 8
    assert "zfnet-28: another network than net.safetensors" in said.err


def test_stopped_and_gone_on_it_gives_the_same_numbers(checkpoint, folder, tmp_path, capsys, monkeypatch):
    assert cli.main(arguments(checkpoint, folder, tmp_path / "whole")) == 0
    put, writes = Kept.put, 0

    def stopping(self, facts, result):
        nonlocal writes
        put(self, facts, result)
        writes += 1
        if writes in (2, 5, 8):
            raise KeyboardInterrupt
        return result

    monkeypatch.setattr(Kept, "put", stopping)
    out = tmp_path / "stopped"
    for _ in range(3):
        capsys.readouterr()
        assert cli.main(arguments(checkpoint, folder, out)) == 130
        assert "the same command goes on" in capsys.readouterr().err.splitlines()[-1]
        assert not (out / "transfer.json").exists()
    assert cli.main(arguments(checkpoint, folder, out)) == 0
    monkeypatch.undo()
    assert writes == 10  # a choice of C for each number, then 2 x 2 of either method: nothing twice
    whole, resumed = (json.loads((place / "transfer.json").read_text()) for place in (tmp_path / "whole", out))
    assert whole["numbers"] == resumed["numbers"]
    assert (tmp_path / "whole" / "transfer.png").read_bytes() == (out / "transfer.png").read_bytes()


def test_damaged_images_are_named_and_not_drawn(checkpoint, folder, tmp_path, capsys):
    (folder / "green" / "3.png").write_bytes(b"no image")
    (folder / "green" / "5.png").write_bytes(b"no image")
    assert cli.main(arguments(checkpoint, folder, tmp_path / "out")) == 0
    said = capsys.readouterr().err
    assert "skipped green/3.png" in said and "2 images could not be read" in said
    record = json.loads((tmp_path / "out" / "transfer.json").read_text())
    assert sorted(record["numbers"]["skipped"]) == ["green/3.png", "green/5.png"]
    assert record["numbers"]["test_images"] == 4 + 2 + 4


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (("--shots", "7"), "class 'blue' of .* has 7 images, and one at least must remain to test; ask for at most 6 with --shots"),
        (("--shots", "0"), "got '0', needed a whole number, at least 1"),
        (("--shots", "some"), "needed a whole number"),
        (("--layer", "relu99"), "relu99"),
        (("--scratch", "zfnet-63"), "architecture: got 'zfnet-63'"),
        (("--part", "test"), "has no part 'test', only train"),
        (("--folds", "0"), "at least 1"),
        (("--pooling", "median"), "invalid choice: 'median'"),
    ],
)
def test_wrong_input_is_one_line_and_writes_nothing(checkpoint, folder, tmp_path, capsys, more, reason):
    assert re.search(reason, refused(capsys, *arguments(checkpoint, folder, tmp_path / "out", *more)))
    assert not (tmp_path / "out").exists()


def test_no_labelled_images(checkpoint, folder, tmp_path, capsys):
    assert "one class only" in refused(capsys, *arguments(checkpoint, lone(folder, tmp_path), tmp_path / "out"))
    assert "lies in the data's folder" in refused(capsys, *arguments(checkpoint, folder, folder / "out"))
    assert "no such file or folder" in refused(capsys, *arguments(checkpoint, tmp_path / "gone", tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def lone(folder, tmp_path):
    place = tmp_path / "lone"
    place.mkdir()
    (folder / "red").rename(place / "red")
    return place


@pytest.mark.parametrize(
    ("part", "words"), [("train", "on these very images"), ("validation", "on other images"), ("test", "on other images")]
)
def test_images_that_the_network_knows_are_pointed_out(folder, monkeypatch, part, words):
    images = open_data(folder).part("train")
    data = DataSet("pictures", str(folder), dict.fromkeys(("train", "validation", "test"), images))
    monkeypatch.setattr(folds, "open_data", lambda place: data)
    monkeypatch.setattr(folds, "own_images", lambda run, found: images)
    (remark,) = part_to_draw_from(folder, part, object())[2]
    assert words in remark
