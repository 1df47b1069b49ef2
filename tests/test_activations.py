"""`zfcore activations`: what is zero, which maps are dead, and what is drawn."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

import zfcore
from zfcore import Network, ZfcoreError, cli, layers, zoo
from zfcore.data.choice import choose
from zfcore.data.gallery import Gallery
from zfcore.data.pictures import Picture
from zfcore.data.preprocessing import PRESETS
from zfcore.data.sources import ArraySource
from zfcore.experiments import activations, dead_maps
from zfcore.experiments.activations import shown_maps, zeros
from zfcore.experiments.dead_maps import Census, State, counted
from zfcore.experiments.subject import Subject
from zfcore.figures.activations import maps_picture, numbers_plot

SIZE = 16


def small_net() -> Network:
    blocks = (zoo.Conv(5, 3, 1, 1, pool=2), zoo.Conv(6, 3, padding=1), zoo.Full(7))
    net = zoo.build(zoo.Architecture(blocks, size=SIZE, classes=4), init="he", classes=("ant", "$bee$", "cat", "dog"))
    net.preprocessing = PRESETS["unit"].for_input(net.input_shape)
    net.layer("conv1").bias[3] = -1e9  # a dead map
    return net


def subject(net: Network | None = None) -> Subject:
    net = small_net() if net is None else net
    return Subject("made", net, choose(net))


def pictures(count: int = 7) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, SIZE, SIZE, 3), dtype=np.uint8)


@pytest.fixture
def model(tmp_path):
    zfcore.save(small_net(), tmp_path / "net.safetensors")
    return tmp_path / "net.safetensors"


@pytest.fixture
def folder(tmp_path):
    """Seven images and two damaged ones, the last among them."""
    place = tmp_path / "images"
    place.mkdir()
    for number, image in enumerate(pictures()):
        Image.fromarray(image).save(place / f"{number}.png")
    for name in ("3a.png", "9.png"):
        (place / name).write_bytes((place / "3.png").read_bytes()[:100])
    return place


# ---- counting


def test_zeros_of_made_maps():
    maps = np.zeros((4, 2, 3))
    maps[1, 0, 2], maps[3] = 5, -1
    found = zeros(maps)
    assert found.maps.tolist() == [0, 2] and found.share == 17 / 24
    assert zeros(np.array([0.0, 1.0])).maps.tolist() == [0]


def test_maps_are_shown_strongest_first_or_by_number():
    maps = np.zeros((5, 2, 2))
    maps[1, 0, 1], maps[2, 1, 1], maps[4, 0, 0] = 3, -7, np.nan
    assert shown_maps(maps, 4, "strongest") == [2, 1, 0, 3]
    assert shown_maps(maps, 5, "strongest")[-1] == 4
    assert shown_maps(maps, 3, "number") == [0, 1, 2]


@pytest.mark.parametrize("batch", [1, 3, 50])
def test_a_count_in_batches_is_that_of_all_at_once(tmp_path, batch):
    given = subject()
    layers = ["relu1", "pool1", "relu3"]
    found = counted(given, ArraySource(pictures()), layers, batch, State(tmp_path / "count.npz", {}))
    xs = np.stack([given.preprocessing(image) for image in pictures()])
    trace = given.net.forward(xs, keep=layers, record=False)
    for layer in layers:
        a = trace[layer]
        axes = tuple(range(2, a.ndim))
        np.testing.assert_array_equal(found.zeros[layer], (a == 0).sum(axis=(0, *axes)))
        np.testing.assert_array_equal(found.alive[layer], (a != 0).any(axis=axes).sum(axis=0))
    assert found.dead("relu1").tolist() == [3]


def test_a_map_that_lives_on_one_image_is_not_dead():
    maps = np.zeros((6, 3, 2, 2))
    maps[4, 1, 0, 0] = 1e-30
    seen = Census.none_yet({"a": 3}).with_batch({"a": maps[:3]}).with_batch({"a": maps[3:]})
    assert seen.dead("a").tolist() == [0, 2] and seen.zeros["a"].tolist() == [24, 23, 24]
    lost = Census.none_yet({"a": 1}).with_batch({"a": np.full((2, 1, 2, 2), np.nan)})
    assert lost.not_finite["a"].tolist() == [2] and not len(lost.dead("a"))


def test_an_interrupted_count_goes_on(tmp_path, monkeypatch):
    given, source, job = subject(), ArraySource(pictures()), {"what": "this"}
    state = State(tmp_path / "count.npz", job)
    forward, calls = Network.forward, []

    def interrupting(net, x, **options):
        calls.append(len(x))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return forward(net, x, **options)

    monkeypatch.setattr(Network, "forward", interrupting)
    with pytest.raises(KeyboardInterrupt, match="stopped after 4 of 7 images; the same command goes on"):
        counted(given, source, ["relu1"], 2, state)
    got = counted(given, source, ["relu1"], 2, state)
    assert calls == [2, 2, 2, 2, 1]
    ref = counted(given, source, ["relu1"], 2, State(tmp_path / "other.npz", job))
    np.testing.assert_array_equal(got.zeros["relu1"], ref.zeros["relu1"])
    with pytest.raises(ZfcoreError, match="belongs to a count with other what"):
        State(state.path, {"what": "that"}).load()
    assert State(state.path, {"what": "that"}, restart=True).load() is None
    state.path.write_bytes(b"PK")
    with pytest.raises(ZfcoreError, match="damaged state"):
        state.load()


# ---- pictures


def test_black_is_zero_and_one_scale_shows_which_map_is_stronger():
    maps = np.zeros((3, 8, 8), np.float32)
    maps[0, :4], maps[1, :4] = 10, 1
    one, own = (np.asarray(maps_picture(maps, [0, 1, 2], "title", scales)) for scales in (False, True))
    half = 96 * 96 // 2  # of a tile: 8 x 8 activations, each 12 pixels wide

    def pixels_of(page, level):
        return np.count_nonzero((page == level).all(axis=2))

    assert pixels_of(one, 26) >= half > 10 * pixels_of(own, 26), "a tenth of white"
    assert pixels_of(one, 0) == pixels_of(own, 0) >= 4 * half


def test_maps_of_both_signs_have_zero_at_mid_grey():
    maps = np.zeros((1, 8, 8), np.float32)
    maps[0, 0], maps[0, 1] = 2, -2
    assert {1, 128, 255} <= set(np.unique(np.asarray(maps_picture(maps, [0], "title", False))).tolist())


def test_the_largest_numbers_are_named():
    figure = numbers_plot(np.array([0.1, 0.7, 0.0]), "class", ("ant", "$bee$", "cat"))
    assert figure.axes[0].get_title(loc="left") == "largest: 1 ($bee$): 0.7, 0 (ant): 0.1"
    assert numbers_plot(np.zeros(3), "unit", None).axes[0].get_title(loc="left") == "largest: none, all are zero"


# ---- the command


def test_activations_end_to_end(model, folder, tmp_path, capsys):
    out = tmp_path / "out"
    options = ["activations", str(model), "scenes/17", "--images", str(folder), "--out", str(out), "--most", "4", "--batch", "4"]
    assert cli.main(options) == 0
    said = capsys.readouterr()
    assert "On 7 images dead maps are at relu1 1 of 5" in said.out and "skipped 3a.png" in said.err and "skipped 9.png" in said.err
    assert "relu1: 4 of 5 maps are shown, strongest first" in said.err
    record = json.loads((out / "activations.json").read_bytes())
    assert record["configuration"]["layers"] == ["relu1", "relu2", "relu3", "softmax"]
    one = record["numbers"]["layers"]["relu1"]
    assert one["zero_maps"] == [3] == one["on_images"]["dead_maps"] and one["on_images"]["dead_share"] == 1 / 5
    assert record["numbers"]["images"]["used"] == 7 and list(record["numbers"]["images"]["skipped"]) == ["3a.png", "9.png"]
    assert {"relu1.png", "relu3.png", "relu3.svg", "softmax.png", "dead-maps.png", "activations.npz"} <= set(record["files"])
    with np.load(out / "activations.npz") as arrays:
        assert arrays["relu1"].shape == (5, 16, 16) and not arrays["relu1"][3].any()
    assert record["numbers"]["prediction"]["class"] in ("ant", "$bee$", "cat", "dog")
    assert cli.main(options) == 0
    assert "9 of 9 images counted before" in capsys.readouterr().err


def test_all_layers_by_number(tmp_path, capsys):
    picture = Picture("made", pictures(1)[0])
    outcome = activations.run(subject(), picture, tmp_path, every=True, order="number", scale="map")
    net = small_net()
    assert list(outcome.numbers["layers"]) == [name for name in net.layers if name != net.input]
    assert len(outcome.table.splitlines()) == 2 + len(net.layers) - 1


def test_layers_may_be_called_anything(tmp_path):
    names = ("name", "path", "file", "allow_pickle", "self")
    made = [layers.Identity(name, (below,)) for name, below in zip(names, ("image", *names), strict=False)]
    net = Network([layers.Input("image", shape=(3, SIZE, SIZE)), *made], [names[-1]])
    activations.run(Subject("made", net, choose(net, "raw")), Picture("made", pictures(1)[0]), tmp_path, every=True)
    with np.load(tmp_path / "activations.npz") as arrays:
        assert set(arrays) == set(names)


def test_what_is_not_finite_is_said(tmp_path, capsys):
    net = small_net()
    net.layer("conv2").bias[1] = np.nan
    picture, images = Picture("made", pictures(1)[0]), Gallery(ArraySource(pictures()))
    outcome = activations.run(subject(net), picture, tmp_path, layers=["relu2"], images=images)
    assert "activations of relu2 are not finite" in capsys.readouterr().err
    assert outcome.numbers["layers"]["relu2"]["on_images"]["maps_not_finite"] == [1]
    assert outcome.numbers["prediction"] is None


@pytest.mark.parametrize(
    ("image", "options", "words"),
    [
        ("nothing.png", [], "nothing.png: no such file"),
        ("scenes/1", ["--layers", "relu9"], "nearest: relu"),
        ("scenes/1", ["--layers", "relu1", "--all"], "not allowed with"),
        ("scenes/1", ["--most", "5000"], "most: got 5000, needed 1 to 1024"),
        ("scenes/1", ["--order", "size"], "invalid choice"),
        ("scenes/1", ["--batch", "0"], "at least 1"),
        ("scenes/1", ["--images", "nowhere"], "nowhere"),
    ],
)
def test_mistakes_are_one_line_and_nothing_is_written(model, tmp_path, capsys, image, options, words):
    out = tmp_path / "out"
    try:
        status = cli.main(["activations", str(model), image, *options, "--out", str(out)])
    except SystemExit as stop:
        status = stop.code
    said = capsys.readouterr()
    assert status == 2 and not said.out and words in said.err and len(said.err.splitlines()) == 1
    assert not out.exists()


def test_images_of_which_none_can_be_read_are_refused(model, tmp_path, capsys):
    place = tmp_path / "images"
    place.mkdir()
    (place / "a.png").write_bytes(b"no picture")
    assert cli.main(["activations", str(model), "scenes/1", "--images", str(place), "--out", str(tmp_path / "out")]) == 2
    assert "none of 1 images can be used; the first, a.png" in capsys.readouterr().err
    assert not any((tmp_path / "out").iterdir())


def test_options_are_checked_where_they_are_used(tmp_path):
    picture = Picture("made", pictures(1)[0])
    cases = (
        ({"order": "size"}, "order: got 'size'"),
        ({"scale": "x"}, "scale: got 'x'"),
        ({"layers": []}, "layers: got none"),
        ({"layers": ["relu1"], "every": True}, "one or the other"),
        ({"limit": 0}, "limit: got 0"),
    )
    for options, words in cases:
        with pytest.raises(ZfcoreError, match=words):
            activations.run(subject(), picture, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_states_are_saved_now_and_then(tmp_path, monkeypatch):
    monkeypatch.setattr(dead_maps, "SAVE_EVERY", -1.0)
    saved = []
    monkeypatch.setattr(State, "save", lambda state, now: saved.append(now.done))
    counted(subject(), ArraySource(pictures()), ["relu1"], 3, State(tmp_path / "count.npz", {}))
    assert saved == [3, 6, 7, 7]


@pytest.mark.parametrize("command", ["filters", "compare", "activations"])
def test_help_explains_and_gives_an_example(capsys, command):
    with pytest.raises(SystemExit) as stop:
        cli.main([command, "--help"])
    text = capsys.readouterr().out
    assert stop.value.code == 0 and max(map(len, text.splitlines())) <= 140
    example = text[text.index("example:") :].split()[2:]
    assert cli.parser().parse_args(example).command, "the example is no valid command"
