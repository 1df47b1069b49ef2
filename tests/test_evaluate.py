"""`zfcore evaluate`: its figures are those of training and of the plain definition, its classes and parts the right ones."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from zfcore import cli
from zfcore.data.datasets import open_data
from zfcore.data.images import ImageError
from zfcore.data.labelled import DataSet, Labelled
from zfcore.data.preprocessing import Preprocessing
from zfcore.data.sources import ArraySource
from zfcore.errors import ZfcoreError
from zfcore.experiments import evaluate, evaluation
from zfcore.experiments.evaluate import evaluated
from zfcore.experiments.evaluation import interval
from zfcore.experiments.matching import Chosen, chosen, matched
from zfcore.experiments.train import split
from zfcore.experiments.trained import Model, opened
from zfcore.figures.confusion import RIGHT, confusion_picture
from zfcore.figures.grid import PAGE
from zfcore.figures.mistakes import Mistake, mistakes_picture
from zfcore.formats import save
from zfcore.network import Network
from zfcore.testing import parity_test, rounding_bound
from zfcore.training import Recipe, State, crops_of, errors, gathered
from zfcore.training.runs import BEST, Run
from zfcore.zoo import Architecture, Conv, Full, build

CLASSES = ("ant", "bee", "cat", "dog", "eel", "fox", "gnu", "hen")
TINY = Architecture((Conv(6, 3, padding=1, pool=3, norm=True), Full(16)), size=12, classes=len(CLASSES))
RECIPE = Recipe(batch=4, validation=0.4)
OWN = Preprocessing(size=(12, 12), mean=np.full(3, 120.0), scale=np.full(3, 1 / 50))


def tiny(seed=0, classes=CLASSES, preprocessing=OWN):
    net = build(TINY, seed, "he", classes)
    net.preprocessing = preprocessing
    return net


def pixels(count, seed=0, side=16):
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def data_set(classes=CLASSES, labels=None, count=24, **parts):
    labels = np.arange(count) % len(classes) if labels is None else labels
    train = Labelled(ArraySource(pixels(len(labels))), labels, classes)
    return DataSet("arrays", "made", {"train": train, **parts})


@pytest.fixture
def folder(tmp_path):
    """Five images for each of eight classes."""
    root = tmp_path / "zoo animals"
    for number, image in enumerate(pixels(5 * len(CLASSES), side=18)):
        place = root / CLASSES[number // 5]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{number:02}.png")
    return root


def made_run(data, out, seed=0, flip=True):
    """A run as it is after an epoch that taught nothing; with the error that training would report."""
    recipe = replace(RECIPE, seed=seed, flip=flip)
    images, training, validation = split(open_data(data), recipe)
    got = gathered(images, Preprocessing("RGB", 14, (14, 14)), np.arange(len(images)), training)
    crops = crops_of(got.frames, got.mean, 64.0, (12, 12))
    described = {"path": str(data), "kind": "folder of class folders", "listing": images.listing()}
    facts = {"zfcore": "0", "architecture": "tiny", "recipe": recipe.to_dict(), "channels": "RGB", "frame": 14, "data": described}
    out.mkdir()
    run = Run.begin(out, {**facts, "classes": list(images.classes)}, training, validation)
    net = tiny(seed, images.classes, crops.preprocessing)
    for path in (run.checkpoint(1), out / BEST):
        path.write_bytes(run.bytes_of(net, State(), crops))
    return run, net, crops, errors(net, got.frames, crops, validation)


def model(net, **options):
    """As `opened` makes one of a network that was not trained here."""
    path = options.pop("path")
    save(net, path)
    return opened(path, **options)


# ---- the figures


def test_the_centre_crops_errors_are_those_of_training(folder, tmp_path):
    run, _, _, (top1, top5) = made_run(folder, tmp_path / "run", seed=1)
    found = evaluate.run([tmp_path / "run"], folder)
    assert found.chosen.part == "validation"
    assert found.chosen.numbers.tolist() == run.validation.tolist()
    assert (found.error("centre"), found.error("centre", 5)) == (top1, top5)
    assert 0 < top5 < top1 < 1  # or nothing was compared
    epoch = evaluate.run([tmp_path / "run"], folder, epoch=1)
    assert epoch.error("centre") == top1


@pytest.mark.parametrize("flip", [True, False])
def test_ten_crops_and_several_networks_are_means_of_probabilities(folder, tmp_path, flip):
    """Of networks that were trained without mirrored images, of the five crops that are not."""
    runs = [made_run(folder, tmp_path / f"run{seed}", seed, flip) for seed in (0, 1)]
    found = evaluate.run([run.folder for run, *_ in runs], folder, "train")
    numbers = np.intersect1d(runs[0][0].training, runs[1][0].training)
    assert found.chosen.numbers.tolist() == numbers.tolist()
    source, labels = found.chosen.images.source, found.chosen.images.labels[numbers]
    sums = {"centre": 0, "ten": 0}
    for _, net, crops, _ in runs:
        frames = np.stack([crops.frame.pixels(source.read(int(n))) for n in numbers])
        for kind in sums:
            for place in getattr(crops, kind)[: 10 if flip else 5]:
                sums[kind] += net(crops.inputs(frames, place[None])).astype(np.float64)
    assert not np.array_equal(runs[0][2].frame.mean, runs[1][2].frame.mean)  # each has its own mean image
    for kind, windows in (("centre", 2), ("ten", 20 if flip else 10)):
        p, answers, each = sums[kind] / windows, found.answers[kind], np.arange(len(numbers))
        # The network's own softmax is in float32: a sum of 8 exponentials, and one division.
        parity_test(answers.right, p[each, labels], rounding_bound(16, p[each, labels], np.float32), kind)
        parity_test(answers.probability, p.max(axis=1), rounding_bound(16, p.max(axis=1), np.float32), kind)
        assert answers.predicted.tolist() == p.argmax(axis=1).tolist()
        assert answers.rank.tolist() == (p > p[each, labels][:, None]).sum(axis=1).tolist()


def test_the_centre_crop_is_the_networks_own_preprocessing(tmp_path):
    net, data = tiny(), data_set()
    m = model(net, path=tmp_path / "net.safetensors")
    found = evaluated(data, [m], chosen(data, None, [m]), matched(data, [m]))
    train = data.part("train")
    p = net(np.stack([OWN(train.source.read(i)) for i in range(len(train))])).astype(np.float64)
    right = p[np.arange(len(p)), train.labels]
    parity_test(found.answers["centre"].right, right, rounding_bound(16, right, np.float32))
    assert found.answers["centre"].predicted.tolist() == p.argmax(axis=1).tolist()
    assert m.ten.frame.crop == (14, 14)
    assert not np.array_equal(found.answers["centre"].right, found.answers["ten"].right)


def test_logits_are_made_probabilities(tmp_path, capsys):
    net, data = tiny(), data_set()
    full = model(net, path=tmp_path / "full.safetensors")
    cut = Network([layer for name, layer in net.layers.items() if name != "softmax"], ["fc3"], "cut", preprocessing=OWN)
    bare = model(cut, path=tmp_path / "bare.safetensors")
    which = chosen(data, None, [full])
    a, b = (evaluated(data, [m], which, matched(data, [m])) for m in (full, bare))
    for kind in ("centre", "ten"):
        assert a.answers[kind].rank.tolist() == b.answers[kind].rank.tolist()
        parity_test(b.answers[kind].probability, a.answers[kind].probability)
    evaluate._say_model(bare)
    assert "'fc3' is no softmax" in capsys.readouterr().err


def test_probabilities_too_small_for_a_number_keep_their_order(tmp_path):
    data = data_set(count=8)
    net = tiny()
    net.layers["fc3"].weight = np.zeros_like(net.layers["fc3"].weight)
    net.layers["fc3"].bias = np.arange(8, dtype=np.float32) * -1000
    m = model(net, path=tmp_path / "net.safetensors")
    found = evaluated(data, [m], chosen(data, None, [m]), matched(data, [m]))
    for kind in ("centre", "ten"):
        assert found.answers[kind].rank.tolist() == list(range(8))
    assert found.error("centre", 5) == 3 / 8


def test_outputs_that_are_not_finite_are_wrong_and_counted(tmp_path, capsys):
    data = data_set()
    net = tiny()
    net.layers["fc3"].bias = np.full(8, np.nan, np.float32)
    m = model(net, path=tmp_path / "net.safetensors")
    found = evaluated(data, [m], chosen(data, None, [m]), matched(data, [m]))
    assert "for 24 images an output is not finite" in capsys.readouterr().err
    assert found.error("centre") == found.error("ten") == found.error("centre", 5) == 1.0
    assert evaluation.facts(found)["ten"]["not_finite"] == 24
    assert "no answer (3)" in evaluation.table(found)
    out = tmp_path / "out"
    out.mkdir()
    evaluate._write(found, out)
    record = json.loads((out / "evaluation.json").read_text())
    assert record["per_image"][0]["centre"] == {"predicted": None, "probability": None, "probability_of_class": None, "rank": 9}
    assert not (out / "mistakes.png").exists()  # nothing was predicted


@pytest.mark.parametrize(("wrong", "images"), [(0, 7), (7, 7), (3, 50), (712, 2000)])
def test_interval_is_where_the_share_is_two_deviations_away(wrong, images):
    share = wrong / images
    low, high = interval(wrong, images)
    assert low <= share <= high
    ends = [end for end in (low, high) if 0 < end < 1]
    for end in ends:  # the equation that Wilson solved
        deviation = evaluation.Z * math.sqrt(end * (1 - end) / images)
        parity_test(np.array(abs(end - share)), np.array(deviation), rounding_bound(32, np.array(1.0), np.float64))
    assert len(ends) == 2 - (wrong in (0, images))


# ---- classes


def test_classes_are_matched_by_name(tmp_path):
    net, data = tiny(), data_set()
    m = model(net, path=tmp_path / "net.safetensors")
    which = chosen(data, None, [m])
    plain = evaluated(data, [m], which, matched(data, [m]))
    turned = data_set(CLASSES[::-1], 7 - data.part("train").labels)
    classes = matched(turned, [m])
    assert classes.names == CLASSES and "by name" in classes.said
    other = evaluated(turned, [m], chosen(turned, None, [m]), classes)
    assert other.answers["ten"].rank.tolist() == plain.answers["ten"].rank.tolist()
    few = data_set(("hen", "bee"), np.arange(6) % 2)
    assert matched(few, [m]).labels.tolist() == [7, 1]
    some = evaluated(few, [m], chosen(few, None, [m]), matched(few, [m]))
    assert [row["class"] for row in evaluation.per_class(some)] == ["bee", "hen"]
    assert "2 of them" in matched(few, [m]).said


def test_networks_in_an_ensemble_may_order_their_classes_differently(tmp_path):
    data, net = data_set(), tiny()
    a = model(net, path=tmp_path / "a.safetensors")
    order = np.random.default_rng(0).permutation(8)
    net.layers["fc3"].weight, net.layers["fc3"].bias = net.layers["fc3"].weight[order], net.layers["fc3"].bias[order]
    net.classes = tuple(CLASSES[k] for k in order)
    b = model(net, path=tmp_path / "b.safetensors")
    which = chosen(data, None, [a])
    alone, both = (evaluated(data, ms, which, matched(data, ms)) for ms in ([a], [a, b]))
    right = alone.answers["ten"].right
    parity_test(both.answers["ten"].right, right, rounding_bound(64, right, np.float32))


def test_classes_without_names_go_by_position(tmp_path):
    data = data_set()
    m = model(tiny(classes=None), path=tmp_path / "net.safetensors")
    net = m.net
    assert net.classes is None
    assert "by position" in matched(data, [m]).said
    with pytest.raises(ZfcoreError, match=r"has 8 outputs, but the data have 2 classes: ant, bee; needed one for each"):
        matched(data_set(("ant", "bee"), np.arange(4) % 2), [m])


def test_classes_that_differ_are_named(tmp_path):
    m = model(tiny(), path=tmp_path / "net.safetensors")
    with pytest.raises(ZfcoreError, match=r"made: has classes that .*net.safetensors lacks: yak; its own are ant, bee"):
        matched(data_set((*CLASSES[:7], "yak")), [m])
    other = model(tiny(classes=(*CLASSES[:7], "yak")), path=tmp_path / "other.safetensors")
    with pytest.raises(ZfcoreError, match=r"other.safetensors: not of the same classes as the other networks: yak, hen"):
        matched(data_set(), [m, other])


def test_of_five_classes_there_is_no_top_five(tmp_path):
    data = data_set(CLASSES[:5], np.arange(10) % 5)
    net = build(replace(TINY, classes=5), 0, "he", CLASSES[:5])
    net.preprocessing = OWN
    m = model(net, path=tmp_path / "net.safetensors")
    found = evaluated(data, [m], chosen(data, None, [m]), matched(data, [m]))
    facts = evaluation.facts(found)
    assert found.error("ten", 5) is None and facts["ten"]["top5"] is None and facts["ten"]["top1"] is not None
    assert "of no more than 5 classes" in evaluation.table(found)


def test_the_matrix_counts_what_was_taken_for_what(tmp_path):
    def found(predicted, labels):
        data = data_set(labels=np.array(labels))
        m = model(tiny(), path=tmp_path / "net.safetensors")
        result = evaluated(data, [m], chosen(data, None, [m]), matched(data, [m]))
        return replace(result, answers={"centre": replace(result.answers["centre"], predicted=np.array(predicted))})

    counts, rows, columns = evaluate.confusion(found([5, 2, 2, 5, 5], [2, 2, 5, 5, 5]))
    assert (counts.tolist(), rows, columns) == ([[1, 1], [1, 2]], ["cat", "fox"], ["cat", "fox"])
    counts, rows, columns = evaluate.confusion(found([-1, 2, 7, 5, 2], [2, 2, 5, 5, 5]))  # no answer, and a class without images
    assert (counts.tolist(), rows, columns) == ([[1, 0, 1], [1, 1, 1]], ["cat", "fox"], ["cat", "fox", "any other"])


# ---- which images


def test_parts(folder, tmp_path):
    run, *_ = made_run(folder, tmp_path / "run")
    m, foreign = opened(tmp_path / "run"), model(tiny(), path=tmp_path / "net.safetensors")
    found = open_data(folder)
    held_out = chosen(found, None, [m])
    assert (held_out.part, held_out.numbers.tolist()) == ("validation", run.validation.tolist())
    learnt = chosen(found, "train", [m])
    assert learnt.numbers.tolist() == run.training.tolist() and "was trained on" in learnt.why
    everything = chosen(found, None, [foreign])
    assert (everything.part, len(everything.numbers)) == ("train", 40) and "no other part" in everything.why
    assert "other networks" in chosen(found, None, [m, foreign]).why
    with pytest.raises(ZfcoreError, match="has no part 'validation', only train"):
        chosen(found, "validation", [foreign])
    with pytest.raises(ZfcoreError, match="has no part 'test', only train"):
        chosen(found, "test", [m])


def test_a_part_of_the_data_comes_first(tmp_path):
    m = model(tiny(), path=tmp_path / "net.safetensors")
    part = {name: Labelled(ArraySource(pixels(n)), np.zeros(n, np.int64), CLASSES) for name, n in (("validation", 3), ("test", 2))}
    assert chosen(data_set(**part), None, [m]).part == "test"
    assert len(chosen(data_set(**part), "validation", [m]).numbers) == 3
    del part["test"]
    assert chosen(data_set(**part), None, [m]).part == "validation"


def test_a_validation_part_of_the_datas_own(folder, tmp_path):
    (tmp_path / "data").mkdir()
    folder.rename(tmp_path / "data" / "train")
    for number, image in enumerate(pixels(4, seed=1, side=18)):
        place = tmp_path / "data" / "val" / CLASSES[number]
        place.mkdir(parents=True)
        Image.fromarray(image).save(place / f"v{number}.png")
    _, _, _, (top1, top5) = made_run(tmp_path / "data", tmp_path / "run")
    found = evaluate.run([tmp_path / "run"], tmp_path / "data")
    assert found.chosen.numbers.tolist() == [40, 41, 42, 43]
    assert (found.error("centre"), found.error("centre", 5)) == (top1, top5)
    assert evaluation.facts(found)["per_class"][0]["images"] == 1


def test_other_data_than_the_runs_is_said(folder, tmp_path, capsys):
    made_run(folder, tmp_path / "run")
    (folder / "ant" / "00.png").unlink()
    found = evaluate.run([tmp_path / "run"], folder)
    assert found.chosen.part == "train" and len(found.labels) == 39
    assert "was trained on other data" in capsys.readouterr().err


def test_damaged_images_are_named_skipped_and_counted(folder, tmp_path, capsys):
    m = model(tiny(), path=tmp_path / "net.safetensors")
    (folder / "bee" / "07.png").write_bytes((folder / "bee" / "07.png").read_bytes()[:60])
    found = evaluate.run([m.path], folder, batch=7)
    assert "skipped bee/07.png: broken image" in capsys.readouterr().err
    assert len(found.labels) == len(found.answers["ten"].rank) == 39 and 7 not in found.chosen.numbers
    facts = evaluation.facts(found)
    assert [skipped["image"] for skipped in facts["skipped"]] == ["bee/07.png"] and facts["per_class"][1]["images"] == 4
    assert "39 of the part train, 1 skipped" in evaluation.table(found)
    for path in folder.glob("*/*.png"):
        path.write_bytes(b"")
    with pytest.raises(ZfcoreError, match=r"none of 40 images can be used; the first, ant/00.png"):
        evaluate.run([m.path], folder)


@pytest.mark.parametrize("damaged", [[0, 1, 2, 3], [20, 21, 22, 23], [23]])
def test_a_batch_may_hold_nothing_but_damaged_images(damaged, tmp_path):
    class Holed(ArraySource):
        def read(self, index):
            if index in damaged:
                raise ImageError(f"{index}.png", "a hole")
            return super().read(index)

    m, data = model(tiny(), path=tmp_path / "net.safetensors"), data_set()
    images = Labelled(Holed(pixels(24)), data.part("train").labels, CLASSES)
    found = evaluated(data, [m], Chosen(images, np.arange(24), "train", ""), matched(data, [m]), batch=4)
    assert list(found.skipped) == damaged and len(found.labels) == 24 - len(damaged)
    assert set(found.chosen.numbers.tolist()) | set(damaged) == set(range(24))


# ---- what is written


def test_writes_pictures_and_a_record_of_every_image(folder, tmp_path):
    made_run(folder, tmp_path / "run")
    found = evaluate.run([tmp_path / "run"], folder, "train", out=tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["confusion.png", "evaluation.json", "mistakes.png"]
    record = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    images = record["per_image"]
    assert len(images) == record["images"] == len(found.labels) == 24
    assert all(image["image"].startswith(image["class"] + "/") for image in images)
    for kind in ("centre", "ten"):
        wrong = [image for image in images if image[kind]["rank"] > 1]
        assert len(wrong) == record[kind]["top1"]["wrong"]
        assert all((image[kind]["predicted"] == image["class"]) == (image not in wrong) for image in images)
        assert sum(image[kind]["rank"] > 5 for image in images) == record[kind]["top5"]["wrong"]
    for row in record["per_class"]:
        own = [image["centre"]["predicted"] for image in images if image["class"] == row["class"]]
        assert {p["class"]: p["images"] for p in row["predicted"]} == {name: own.count(name) for name in own}
        parity_test(np.array(row["centre_error"]), np.array(1 - own.count(row["class"]) / len(own)), rounding_bound(2, 1.0, np.float64))
    accuracies = [1 - row["ten_error"] for row in record["per_class"]]
    parity_test(np.array(record["ten"]["mean_per_class_accuracy"]), np.mean(accuracies), rounding_bound(16, 1.0, np.float64))
    worst = [mistake.probability for mistake in evaluate._worst(found)]
    assert worst == sorted((i["centre"]["probability"] for i in images if i["centre"]["rank"] > 1), reverse=True)[: len(worst)]


def test_nothing_is_written_among_the_images(folder, tmp_path):
    m = model(tiny(), path=tmp_path / "net.safetensors")
    with pytest.raises(ZfcoreError, match="lies in the data's folder"):
        evaluate.run([m.path], folder, out=folder / "out")
    assert not (folder / "out").exists()


def test_the_matrix_is_where_its_numbers_say():
    counts = np.array([[4, 0, 1], [0, 2, 2], [0, 0, 5]])
    picture = np.asarray(confusion_picture(counts, "abc", ["a", "b", "other"], "title", "note"))
    everywhere = (picture == RIGHT).all(axis=2)  # full blue: a share of 1
    rows, columns = np.flatnonzero(everywhere.any(axis=1)), np.flatnonzero(everywhere.any(axis=0))
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (40, 40)
    corner = picture[rows[0] + 2, columns[0] + 2]
    assert (corner == RIGHT).all()
    at = lambda r, c: picture[rows[0] + 2 + 40 * (r - 2), columns[0] + 2 + 40 * (c - 2)].tolist()  # noqa: E731
    assert at(0, 1) == at(1, 0) == at(2, 0) == at(2, 1) == list(PAGE)
    assert at(0, 2)[0] > at(0, 2)[2] and at(1, 2)[2] < at(0, 2)[2]  # red, and redder
    assert at(1, 1)[0] < at(1, 1)[2]


@pytest.mark.parametrize("classes", [2, 31, 1000])
def test_matrices_of_few_and_many_classes(classes):
    names = [f"a class of a rather long name, number {k}" for k in range(classes)]
    picture = confusion_picture(np.eye(classes, dtype=int) * 5 + 1, names, names, "title", "note")
    assert 480 < max(picture.size) < 1600


def test_mistakes_of_any_size_and_name():
    images = [np.zeros(size, np.uint8) for size in ((1, 1, 3), (28, 28, 3), (500, 20, 3), (30, 1000, 3))]
    picture = mistakes_picture([Mistake(image, "x" * 80, "y\n" * 40, 1.0) for image in images], "title", "note")
    assert picture.width > 480


# ---- refusals


def test_refusals(folder, tmp_path):
    _, net, _, _ = made_run(folder, tmp_path / "run")
    made_run(folder, tmp_path / "other", seed=1)
    foreign = model(tiny(), path=tmp_path / "net.safetensors")
    for given, epoch, message in (
        ("zfnet-small", None, "zfnet-small: an untrained network of the zoo; needed the folder of a run"),
        ("nothing.onnx", None, "nothing.onnx: no such file or folder; needed"),
        (folder, None, "holds no run"),
        (tmp_path / "run", 2, "the run has no checkpoint of epoch 2, only of 1"),
        (foreign.path, 1, "is no folder of a run, which --epoch 1 needs"),
    ):
        with pytest.raises(ZfcoreError, match=message):
            opened(given, epoch)
    (tmp_path / "run" / BEST).write_bytes((tmp_path / "other" / BEST).read_bytes())
    with pytest.raises(ZfcoreError, match=r"best.safetensors: a checkpoint of another run"):
        opened(tmp_path / "run")
    with pytest.raises(ZfcoreError, match="preset: of no use"):
        evaluate.run([tmp_path / "other"], folder, preset="raw")
    with pytest.raises(ZfcoreError, match="is not one number for each of several classes"):
        net.outputs = ("conv1",)
        matched(data_set(), [model(net, path=tmp_path / "maps.safetensors")])


def test_interrupted(folder, tmp_path, monkeypatch):
    m, computed = model(tiny(), path=tmp_path / "net.safetensors"), Model.log_probabilities
    calls = iter(range(100))

    def interrupting(self, x):
        if next(calls) == 13:  # the second batch; one takes eleven
            raise KeyboardInterrupt
        return computed(self, x)

    monkeypatch.setattr(Model, "log_probabilities", interrupting)
    with pytest.raises(KeyboardInterrupt, match="stopped after 16 of 40 images; nothing was written"):
        evaluate.run([m.path], folder, batch=16)


def test_the_command(folder, tmp_path, capsys):
    made_run(folder, tmp_path / "run")
    command = ["evaluate", str(tmp_path / "run"), "--data", str(folder), "--part", "train"]
    assert cli.main(command) == 0
    assert "centre crop, top-1" in capsys.readouterr().out
    assert cli.main([*command, "--json", "--epoch", "1"]) == 0
    assert json.loads(capsys.readouterr().out)["images"] == 24
    assert cli.main([*command, "--preset", "raw"]) == 2
    assert cli.main(["evaluate", "zfnet", "--data", str(folder)]) == 2
    assert "untrained" in capsys.readouterr().err


# ---- real data


def test_a_published_networks_accuracy(shared_data):
    found = evaluate.run([shared_data / "models" / "mnist-cntk.onnx"], shared_data / "mnist", batch=1000, preset="raw", channels="grey")
    assert found.chosen.part == "test" and len(found.labels) == 10_000
    assert int((found.answers["centre"].rank > 0).sum()) == 109  # 98.91 %, as stated by those who publish it
