"""Figure 7: a square slides over an image. Where the answer is known, and the command."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

import zfcore
from zfcore import Network, ZfcoreError, cli, zoo
from zfcore.data.preprocessing import PRESETS
from zfcore.experiments.occlusion import Squares, occlude
from zfcore.layers import Conv2d, Flatten, GlobalAvgPool2d, Input, Linear, ReLU, Softmax


def detector(place: tuple[int, int], size: int = 12) -> Network:
    """A network whose first class has one piece of evidence: that the pixel at `place` is bright."""
    weight = np.zeros((2, size * size), np.float32)
    weight[0, place[0] * size + place[1]] = 1
    layers = [
        Input("image", shape=(1, size, size)),
        Conv2d("conv", ("image",), np.ones((1, 1, 1, 1), np.float32)),
        ReLU("relu", ("conv",)),
        Flatten("flat", ("relu",)),
        Linear("scores", ("flat",), weight),
        Softmax("softmax", ("scores",)),
    ]
    return Network(layers, ["softmax"], "detector")


@pytest.fixture
def model(tmp_path):
    """A small network with its preprocessing, as a file."""
    blocks = (zoo.Conv(5, 3, 1, 1, pool=3, ceil_mode=True, norm=True), zoo.Conv(6, 3, padding=1))
    net = zoo.build(zoo.Architecture(blocks, size=16, classes=4), init="he")
    net.preprocessing = PRESETS["unit"].for_input(net.input_shape)
    zfcore.save(net, tmp_path / "net.safetensors")
    return tmp_path / "net.safetensors"


@pytest.fixture
def image(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "image.png")
    return tmp_path / "image.png"


@pytest.mark.parametrize(
    ("size", "side", "stride"),
    [((224, 224), None, None), ((64, 64), None, None), ((20, 31), 5, 4), ((7, 7), 7, 3), ((9, 9), 3, 10**30)],
)
def test_squares_lie_inside_and_leave_the_same_border_on_both_sides(size, side, stride):
    squares = Squares.over(size, side, stride)
    for starts, extent in zip((squares.tops, squares.lefts), size, strict=True):
        before, after = starts[0], extent - (starts[-1] + squares.side)
        assert 0 <= before <= after <= before + 1
        assert len(set(np.diff(starts))) <= 1


def test_blocks_hold_every_square_once():
    squares = Squares.over((40, 61), 5, 4)
    count = np.zeros(squares.shape, int)
    for rows, columns in squares.blocks(4):
        count[rows, columns] += 1
        assert len(squares.corners(rows, columns)) == count[rows, columns].size
    assert (count == 1).all()


def test_a_spread_number_is_the_mean_over_the_squares_that_hide_a_pixel():
    squares = Squares(2, np.array([0, 1]), np.array([0]))
    spread = squares.spread(np.array([[1.0], [3.0]]), (3, 3))
    assert spread[:, 0].tolist() == [1, 2, 3] and spread[0, 1] == 1
    assert np.isnan(spread[:, 2]).all()


def test_hiding_the_only_evidence_takes_the_probability_to_the_base_rate():
    net, squares = detector((4, 7)), Squares.over((12, 12), 3, 1)
    x = np.full((1, 12, 12), 5, np.float32)
    found = occlude(net, x, squares, np.zeros_like(x), ("relu", "scores"), 0)
    hides = ((squares.tops <= 4) & (squares.tops > 1))[:, None] & ((squares.lefts <= 7) & (squares.lefts > 4))
    scores = found.logits.astype(np.float64)
    probability = np.exp(scores[..., 0]) / np.exp(scores).sum(axis=2)
    np.testing.assert_array_equal(probability[hides], 0.5)
    np.testing.assert_array_equal(found.logits[~hides], [[5, 0]] * int((~hides).sum()))
    np.testing.assert_array_equal(found.sums, 5 * (144 - 9))


def test_hiding_nothing_changes_nothing():
    """The square is covered with what it hides."""
    net = zoo.build("zfnet-28", init="he")
    x = np.random.default_rng(0).standard_normal(net.input_shape).astype(np.float32)
    trace = net.forward(x[None], record=False)
    logits = net.layers["softmax"].inputs[0]
    found = occlude(net, x, Squares.over((28, 28)), x, ("relu5", logits), 3)
    np.testing.assert_array_equal(found.logits, np.broadcast_to(trace[logits][0], found.logits.shape))
    assert np.unique(found.sums).size == 1


def test_a_sum_over_the_image_does_not_ask_where():
    """One global mean: every place of the square gives the same number, if the image is the same everywhere."""
    layers = [Input("image", shape=(2, 10, 10)), GlobalAvgPool2d("mean", ("image",))]
    net = Network([*layers, Flatten("scores", ("mean",))], ["scores"], "mean")
    found = occlude(net, np.ones((2, 10, 10), np.float32), Squares.over((10, 10), 5, 1), np.zeros((2, 10, 10)), ("image", "scores"), 0)
    np.testing.assert_array_equal(found.logits, np.float32(0.75))


@pytest.mark.parametrize("name", ["zfnet-28", "alexnet-64"])
@pytest.mark.parametrize("at_once", [1, 4, 100])
def test_recomputing_what_changes_gives_the_bits_of_computing_everything(name, at_once):
    net = zoo.build(name, init="he")
    x = np.random.default_rng(1).standard_normal(net.input_shape).astype(np.float32)
    cover = np.full(net.input_shape, 0.5)
    layers = "relu5", net.layers["softmax"].inputs[0]
    squares = Squares.over(net.input_shape[1:], stride=7)
    ref, got = (occlude(net, x, squares, cover, layers, 2, incremental=i, at_once=n) for i, n in ((False, 4), (True, at_once)))
    np.testing.assert_array_equal(got.sums, ref.sums)
    np.testing.assert_array_equal(got.logits, ref.logits)


# ---- the command


def test_the_command_writes_the_figure_the_numbers_and_a_sentence(model, image, tmp_path, capsys):
    assert cli.main(["occlude", str(model), str(image), "--square", "5", "--others", str(tmp_path), "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    out = tmp_path / "out"
    assert {p.name for p in out.iterdir()} == {f"occlude.{form}" for form in ("png", "svg", "npz", "json")}
    record = json.loads((out / "occlude.json").read_text())
    (row,) = record["numbers"]["images"]
    assert row["found"] in said and row["found"] in record["found"]
    with np.load(out / "occlude.npz") as arrays:
        assert arrays["probability"].min() == row["lowest_probability"]
        assert arrays["sums"].shape == (1, *record["configuration"]["places"])
    assert record["configuration"]["square"] == 5


def test_the_plain_way_gives_the_same_numbers(model, image, tmp_path, capsys):
    for out, more in (("a", []), ("b", ["--no-incremental"])):
        assert cli.main(["occlude", str(model), str(image), *more, "--grey", "9", "--out", str(tmp_path / out)]) == 0
    one, other = (np.load(tmp_path / out / "occlude.npz") for out in "ab")
    for name in one.files:
        np.testing.assert_array_equal(one[name], other[name])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--square 17", "at most 16"),
        ("--square 0", "at least 1"),
        ("--layer conv9", "no layer 'conv9'"),
        ("--layer fc3", "no map of pixels"),
        ("--map 6", "maps 0 to 5"),
        ("--class dog", "no such class"),
        ("--grey 256", "needed 0 to 255"),
        ("--others nowhere", "no such"),
        ("--classes nowhere", "cannot be read"),
    ],
)
def test_a_mistake_is_one_clear_line_and_nothing_is_written(model, image, tmp_path, capsys, options, words):
    try:
        status = cli.main(["occlude", str(model), str(image), *options.split(), "--out", str(tmp_path / "out")])
    except SystemExit as stop:
        status = stop.code
    said = capsys.readouterr()
    assert status == 2 and words in said.err.splitlines()[-1] and not said.out
    assert not (tmp_path / "out").exists()


def test_a_network_that_does_not_classify_is_refused(image, tmp_path):
    from zfcore.data.pictures import open_picture
    from zfcore.experiments import occlude as experiment
    from zfcore.experiments.subject import open_subject

    layers = [Input("image", shape=(3, 16, 16)), Conv2d("conv", ("image",), np.ones((2, 3, 3, 3), np.float32))]
    zfcore.save(Network(layers, ["conv"], "features"), tmp_path / "f.safetensors")
    with pytest.raises(ZfcoreError, match="not one number for each of several classes"):
        experiment.run(open_subject(tmp_path / "f.safetensors"), [open_picture(image)], tmp_path / "out")
