"""`zfcore invariance`: transforms that are known, distances that can be computed by hand, and the command."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from zfcore import cli
from zfcore.data.choice import choose
from zfcore.data.pictures import open_picture
from zfcore.data.preprocessing import PRESETS, Preprocessing
from zfcore.data.scenes import CLASSES as SCENES
from zfcore.data.transforms import BORDERS, DOWN, ORDERS, RIGHT, ROTATION, SCALE, transformed
from zfcore.errors import ZfcoreError
from zfcore.experiments import invariance
from zfcore.experiments.invariance import amounts, followed_class, small_shift
from zfcore.experiments.movement import Series, fill_colour, linearity, moved, small_moves
from zfcore.experiments.subject import Subject
from zfcore.figures.invariance import Row, invariance_figure
from zfcore.formats import save
from zfcore.layers import Conv2d, Identity, Input, Softmax
from zfcore.network import Network
from zfcore.testing import parity_test, rounding_bound
from zfcore.zoo import Architecture, Conv, Full, build

CLASSES = ("ant", "bee", "$cat$", "_dog")
TINY = Architecture((Conv(6, 3, padding=1, pool=3), Full(8)), size=12, classes=len(CLASSES))
SIDE = 12


def pictures(count=2, size=(SIDE, SIDE), seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *size, 3), dtype=np.uint8)


def subject_of(net, preset="raw"):
    return Subject("made", net, choose(net, preset))


def of_layers(*layers, outputs=None):
    return Network([Input("image", shape=(3, SIDE, SIDE)), *layers], [outputs or layers[-1].name])


def sums():
    """A network of one sum over all pixels."""
    return of_layers(Conv2d("sum", ("image",), np.ones((1, 3, SIDE, SIDE), np.float32), np.zeros(1, np.float32)))


def copy():
    """A network that is its own input."""
    return of_layers(Identity("same", ("image",)))


def series(transform, *by):
    return Series(transform, np.array(by, float))


# ---- transforms


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("transform", [DOWN, RIGHT, SCALE, ROTATION], ids=lambda t: t.name)
def test_what_changes_nothing_gives_the_picture_back(transform, border, order):
    for size in ((SIDE, SIDE), (7, 10), (1, 1)):
        picture = pictures(1, size)[0]
        before = picture.copy()
        assert np.array_equal(transformed(picture, transform, transform.neutral, border, order, (1, 200, 3)), picture)
        assert np.array_equal(picture, before)


@pytest.mark.parametrize("order", ORDERS)
def test_moves_that_are_known(order):
    picture = pictures(1)[0]
    down = transformed(picture, DOWN, 3, "mean", order, (9, 8, 7))
    assert (down[:3] == (9, 8, 7)).all() and np.array_equal(down[3:], picture[:-3])
    left = transformed(picture, RIGHT, -2, "nearest", order)
    assert np.array_equal(left[:, :-2], picture[:, 2:]) and (left[:, -2:] == picture[:, -1:]).all()
    assert np.array_equal(transformed(picture, DOWN, 5, "wrap", order), np.roll(picture, 5, axis=0))
    assert np.array_equal(transformed(picture, DOWN, 2, "reflect", order)[:2], picture[1::-1])
    for border in BORDERS:
        assert np.array_equal(transformed(picture, ROTATION, 90, border, order), np.rot90(picture))
        assert np.array_equal(transformed(picture, ROTATION, 360, border, order), picture)


def test_twice_as_large_shows_the_middle():
    picture = np.zeros((SIDE, SIDE, 3), np.uint8)
    picture[3:9, 3:9] = pictures(1, (6, 6))[0]
    got = transformed(picture, SCALE, 2.0, order=0)
    assert np.array_equal(got, picture[3:9, 3:9].repeat(2, axis=0).repeat(2, axis=1))


def test_the_fill_is_what_becomes_nothing():
    assert fill_colour(PRESETS["caffe"]) == (123, 117, 104)  # RGB
    assert fill_colour(Preprocessing("grey", mean=np.array([12.4]))) == (12, 12, 12)
    image = np.stack([np.full((2, 2), 10.0), np.full((2, 2), 20.0), np.array([[0.0, 60], [30, 30]])])
    assert fill_colour(Preprocessing("RGB", crop=(2, 2), mean=image)) == (10, 20, 30)
    with pytest.raises(ZfcoreError, match="border: got 'black'"):
        transformed(pictures(1)[0], DOWN, 1, "black")
    with pytest.raises(ZfcoreError, match="order: got 6"):
        transformed(pictures(1)[0], DOWN, 1, order=6)


# ---- distances


def test_one_global_sum_is_invariant_to_circular_shifts():
    got = moved(subject_of(sums()), pictures(), [series(DOWN, -5, 0, 4), series(RIGHT, 3)], ["sum", "image"], border="wrap")
    assert not got.distances["sum"][0].any() and not got.distances["sum"][1].any()
    assert got.distances["image"][0][:, [0, 2]].all() and got.distances["image"][1].all()
    outside = moved(subject_of(sums()), pictures(), [series(DOWN, -5)], ["sum"], border="nearest")
    assert outside.distances["sum"][0].all()  # or nothing was shifted


def test_distances_of_a_network_that_is_its_input():
    frames = pictures(3)
    got = moved(subject_of(copy()), frames, [series(DOWN, 0, 2), series(RIGHT, -1)], ["same"], border="wrap", batch=2)
    pixels = frames.astype(np.float64)

    def length(a):
        return np.sqrt((a**2).sum(axis=(1, 2, 3)))

    down, left = length(np.roll(pixels, 2, axis=1) - pixels), length(np.roll(pixels, -1, axis=2) - pixels)
    bound = rounding_bound(pixels[0].size, down, np.float64)
    assert not got.distances["same"][0][:, 0].any()
    parity_test(got.distances["same"][0][:, 1], down, bound)
    parity_test(got.distances["same"][1][:, 0], left, bound)
    parity_test(got.norms["same"], length(pixels), bound)
    parity_test(got.relative("same", 0)[:, 1], down / length(pixels), rounding_bound(pixels[0].size, down, np.float64))
    between = np.mean([length(pixels[[a]] - pixels[[b]]) for a, b in ((0, 1), (0, 2), (1, 2))])
    parity_test(np.array(got.between["same"]), np.array(between), bound.max())
    parity_test(got.per_difference("same", 1)[:, 0], left / between, bound)
    assert got.classes is None and got.probabilities is None


def test_mean_and_scale_come_after_the_transform():
    """What comes from outside is the mean colour, and with it 0."""
    frames = np.full((1, SIDE, SIDE, 3), 200, np.uint8)
    net = copy()
    subject = Subject("made", net, choose(net, "raw", mean=[100.0], scale=[0.5]))
    got = moved(subject, frames, [series(DOWN, 3)], ["same"])
    assert got.distances["same"][0][0, 0] == np.sqrt(3 * 3 * SIDE * 50.0**2)
    assert got.norms["same"][0] == np.sqrt(3 * SIDE * SIDE * 50.0**2)


def test_batches_change_nothing():
    net = build(TINY, 0, "he", CLASSES)
    every = [series(DOWN, -2, 1), series(ROTATION, 0, 40, 90)]
    one, many = (moved(subject_of(net), pictures(3), every, ["relu1", "relu2"], batch=batch) for batch in (1, 50))
    for layer in one.layers:
        for s in range(len(every)):
            scale = one.norms[layer][:, None] + one.distances[layer][s]
            parity_test(one.distances[layer][s], many.distances[layer][s], rounding_bound(1000, scale, np.float32))
    assert [p.shape for p in many.probabilities] == [(3, 2), (3, 3)]


def test_the_class_that_is_followed():
    net = build(TINY, 0, "he", CLASSES)
    subject, frames = subject_of(net, "unit"), pictures(3)
    answers = net(np.stack([subject.preprocessing(frame) for frame in frames])).reshape(3, -1)
    best = answers.argmax(axis=1)
    least = int(answers[1].argmin())
    got = moved(subject, frames, [series(DOWN, 0)], ["relu1"], [None, least, None])
    assert got.classes.tolist() == [best[0], least, best[2]]
    wanted = answers[np.arange(3), got.classes]
    parity_test(got.clean, wanted.astype(np.float64), rounding_bound(64, wanted, np.float32))
    assert got.kept[0][:, 0].tolist() == [True, False, True]
    assert np.array_equal(got.probabilities[0][:, 0], got.clean)


def test_features_that_are_not_numbers_are_refused():
    weight = np.full((4, 3, SIDE, SIDE), 1e38, np.float32)
    net = of_layers(Conv2d("conv", ("image",), weight, np.zeros(4, np.float32)), Softmax("p", ("conv",)))
    with np.errstate(over="ignore", invalid="ignore"), pytest.raises(ZfcoreError, match="values of conv are not finite"):
        moved(subject_of(net), pictures(1), [series(DOWN, 0)], ["conv"])


def test_summaries():
    straight = np.array([[0.0, 1, 2, 3], [0, 5, 10, 15]])
    assert linearity(np.arange(4.0), straight) == 1
    assert linearity(np.arange(4.0), np.array([[0.0, 1, 1, 0]])) == 0
    assert np.isnan(linearity(np.arange(4.0), np.ones((1, 4))))
    shifts = series(DOWN, -8, -2, 0, 2, 8)
    assert small_moves(shifts, 3).tolist() == [False, True, False, True, False]
    assert small_moves(shifts, 1).tolist() == [False, True, False, True, False]  # the least there is


def test_amounts():
    down, right, scale, rotation = amounts((224, 112))
    assert down.amounts.tolist() == list(range(-60, 61, 5))
    assert right.amounts.min() == -30 and right.amounts.max() == 30
    assert scale.amounts[0] == 1 and scale.amounts[-1] == 1.8
    assert rotation.amounts.tolist() == list(range(0, 360, 10))
    few = amounts((64, 64), steps=2)[0].amounts.tolist()
    assert few == [-17, -3, 0, 3, 17]
    assert small_shift((224, 224)) == 10 and small_shift((12, 12)) == 1
    assert amounts((64, 64), shift=1)[0].amounts.tolist() == [-1, 0, 1]


# ---- picture and command


def test_a_figure_of_many_pictures_and_strange_names():
    frames = pictures(9)
    curves = np.random.default_rng(0).random((9, 4))
    row = Row("scale", "", np.linspace(1, 2, 4), [[frame, frame] for frame in frames], [1.0, 2.0], [curves])
    figure = invariance_figure([row, row], ["distance of\n$layer$"], [1.0], ["1: _a $x^", *"bcdefghi"], "how to read it")
    assert len(figure.axes) == 5
    lines = figure.axes[1].get_lines()
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 9
    assert [text.get_text() for text in figure.axes[-1].get_legend().get_texts()] == ["1: _a $x^", *"bcdefghi"]
    figure.canvas.draw()


@pytest.fixture
def network(tmp_path):
    net = build(TINY, 0, "he", CLASSES)
    net.preprocessing = Preprocessing(size=(SIDE, SIDE), mean=np.full(3, 120.0), scale=np.full(3, 1 / 50))
    save(net, tmp_path / "net.safetensors")
    return tmp_path / "net.safetensors"


@pytest.fixture
def files(tmp_path):
    places = [tmp_path / f"{name}.png" for name in ("one", "$two$")]
    for place, pixels in zip(places, pictures(2, (20, 16)), strict=True):
        Image.fromarray(pixels).save(place)
    return places


def command(*arguments):
    try:
        return cli.main(["invariance", *map(str, arguments)])
    except SystemExit as stop:  # argparse
        return stop.code


def test_the_command_writes_figures_arrays_and_record(network, files, tmp_path, capsys):
    out = tmp_path / "out"
    assert command(network, *files, "scenes/3", "--class", "bee", "--steps", 3, "--out", out) == 0
    said = capsys.readouterr()
    assert "relu1 moves" in said.out and "of 3 pictures" in said.out and "invariance-euclidean.png" in said.out
    record = json.loads((out / "invariance.json").read_text())
    assert record["configuration"]["layers"] == ["relu1", "relu2"] and record["configuration"]["fill"] == [120, 120, 120]
    assert [one["class"] for one in record["numbers"]["pictures"]] == ["bee"] * 3
    assert {place.name for place in out.iterdir()} == {*record["files"], "invariance.json"}
    arrays = np.load(out / "invariance.npz")
    assert arrays["vertical_shift_distances"].shape == (2, 3, len(arrays["vertical_shift_amounts"]))
    assert not arrays["rotation_distances"][:, :, 0].any()
    mean = arrays["scale_distances"].mean(axis=(1, 2))
    assert list(record["numbers"]["transforms"]["scale"]["distance"].values()) == pytest.approx(mean.tolist())


def test_a_label_is_followed_where_the_network_has_it():
    picture = open_picture("scenes/7")
    knows = subject_of(build(Architecture(TINY.blocks, size=SIDE, classes=len(SCENES)), classes=SCENES))
    assert followed_class(knows, picture, None) == (7, "its label")
    assert followed_class(knows, picture, SCENES[2]) == (2, "given")
    assert followed_class(subject_of(build(TINY, classes=CLASSES)), picture, None) == (None, "most probable")
    assert followed_class(subject_of(copy()), picture, None) == (None, "most probable")


def test_a_network_that_does_not_classify(tmp_path, files):
    outcome = invariance.run(subject_of(copy()), files, out=tmp_path / "out", layers=["image", "same"], steps=2, border="wrap")
    assert "moves as far as same" in outcome.found and "P(class)" not in outcome.table
    with pytest.raises(ZfcoreError, match="is not one number for each"):
        invariance.run(subject_of(copy()), files, out=tmp_path / "new", classes=["ant"])
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--class", "ox"], "has no such class"),
        (["--class", "ant", "--class", "bee", "--class", "ant"], "class: got 3 for 2 pictures"),
        (["--layers", "relu9"], "relu9"),
        (["--zoom", "1"], "scale: got 1, needed more than 1"),
        (["--zoom", "nan"], "scale: got nan"),
        (["--rotation", "0"], "rotation: got 0"),
        (["--steps", "1"], "at least 2"),
        (["--shift", "0"], "at least 1"),
        (["--shift", "1" + 400 * "0"], "needed 1 to 100000 pixels"),
        (["--steps", "1000000000"], "steps: got 1000000000, needed 2 to 1000"),
        (["--border", "black"], "invalid choice"),
        (["--order", "9"], "invalid choice"),
        (["none.png"], "no such file"),
    ],
)
def test_wrong_input_is_one_line(network, files, tmp_path, capsys, options, reason):
    out = tmp_path / "out"
    assert command(network, *files, *options, "--out", out) == 2
    said = capsys.readouterr()
    assert not said.out and not out.exists()
    assert len(said.err.splitlines()) == 1 and reason in said.err


def test_interrupted_it_says_how_far_it_came(network, files, tmp_path, monkeypatch, capsys):
    from zfcore.experiments import movement

    seen = []

    def stopped(*arguments):
        seen.append(arguments)
        if len(seen) == 20:
            raise KeyboardInterrupt
        return transformed(*arguments[:3])

    monkeypatch.setattr(movement, "transformed", lambda *a, **k: stopped(*a))
    assert command(network, *files, "--batch", 4, "--out", tmp_path / "out") == 130
    assert "stopped after 16 of" in capsys.readouterr().err.splitlines()[-1]
    assert not list((tmp_path / "out").iterdir())
