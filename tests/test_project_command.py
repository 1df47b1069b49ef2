"""One image, some units: what `zfcore project` finds and writes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from zfcore import Network, Window, ZfcoreError, layers, zoo
from zfcore.data.choice import choose
from zfcore.data.images import read_image
from zfcore.experiments import project
from zfcore.figures.project import MARK, marked


@pytest.fixture
def net() -> Network:
    blocks = (zoo.Conv(5, 3, 1, 1, pool=3, ceil_mode=True), zoo.Conv(6, 3, padding=1), zoo.Full(7))
    net = zoo.build(zoo.Architecture(blocks, size=16, classes=4), init="he")
    net.backend = "reference"
    return net


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "a picture.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 18, 3), dtype=np.uint8)).save(path)
    return path


def results(paths):
    picture, arrays, facts = paths
    return Image.open(picture), np.load(arrays), json.loads(facts.read_bytes())


@pytest.mark.parametrize(("layer", "unit"), [("conv2", (3, 0, 7)), ("relu3", (2,)), ("image", (1, 4, 4))])
def test_a_named_unit_is_projected(net, image, tmp_path, layer, unit):
    choice = choose(net, "caffe")
    picture, arrays, facts = results(project.run(net, image, layer, tmp_path / "out", unit=unit, choice=choice))
    trace = net.forward(choice.preprocessing(read_image(image))[None], keep=[layer])
    ref = net.project(trace, layer, (0, *unit))
    np.testing.assert_array_equal(arrays["projections"][0], ref.pixels[::-1])
    assert facts["units"][0]["value"] == ref.value == arrays["values"][0]
    assert facts["units"][0]["receptive_field"] == ref.window._asdict()
    assert arrays["units"].tolist() == [list(unit)]
    assert "Nie et al. 2018" in facts["caveat"]
    assert (np.asarray(picture) == MARK).all(axis=2).any()


def test_a_cross_marks_where_a_unit_sits_that_sees_more_than_the_picture():
    frame = np.zeros((128, 128, 3), np.uint8)

    def marks(window):
        return (marked(frame, window) == MARK).all(axis=2)[4:-4, 4:-4]  # without the border; drawn twice as large

    assert not marks(Window(0, 128, 0, 128)).any()
    rows, columns = np.nonzero(marks(Window(-100, 140, -10, 210)))  # the centre is at 20, 100
    assert abs(rows.mean() + 4 - 40) < 1 and abs(columns.mean() + 4 - 200) < 1
    assert not marks(Window(-300, 130, 0, 128)).any()  # its centre lies outside


def test_results_of_another_image_or_unit_have_another_name(net, tmp_path):
    for name in ("a.png", "a.tif"):
        Image.new("RGB", (16, 16)).save(tmp_path / name)
    runs = [("a.png", (0, 0, 0)), ("a.tif", (0, 0, 0)), ("a.png", (1, 0, 0)), ("a.png", None)]
    net.layer("conv2").bias[:] = 1
    names = [project.run(net, tmp_path / name, "conv2", tmp_path / "out", unit=unit)[0].name for name, unit in runs]
    assert names == ["a_png-conv2-unit0_0_0.png", "a_tif-conv2-unit0_0_0.png", "a_png-conv2-unit1_0_0.png", "a_png-conv2.png"]


def test_what_the_network_says_is_told(net, image, tmp_path, capsys):
    expected = net(choose(net).preprocessing(read_image(image))[None])[0]
    for classes, name in ((None, f"class {expected.argmax()}"), ("abcd", "abcd"[expected.argmax()])):
        net.classes = classes
        _, _, facts = results(project.run(net, image, "relu2", tmp_path / "out"))
        assert facts["prediction"] == {"index": expected.argmax(), "class": name, "probability": expected.max()}
        assert f"the network says: {name} ({expected.max():.2f})" in capsys.readouterr().err
    net = Network(list(net.layers.values())[:-1], [list(net.layers)[-2]], backend="reference")
    assert results(project.run(net, image, "relu2", tmp_path / "out"))[2]["prediction"] is None


def test_the_strongest_units_come_one_per_map_strongest_first(net, image, tmp_path):
    _, arrays, facts = results(project.run(net, image, "relu2", tmp_path, strongest=3))
    trace = net.forward(choose(net).preprocessing(read_image(image))[None], keep=["relu2"])
    peaks = trace["relu2"][0].max(axis=(1, 2))
    assert [u["map"] for u in facts["units"]] == np.argsort(-peaks, kind="stable")[:3].tolist()
    assert arrays["values"].tolist() == sorted(peaks.tolist(), reverse=True)[:3]


@pytest.mark.parametrize(
    ("shape", "unit", "words"),
    [
        ((6, 64), (5, 63), "map 5, position 63: activation"),
        ((4, 3, 4, 8), (3, 2, 1, 7), "map 3, position 2, position 1, position 7: activation"),
    ],
)
def test_maps_of_any_number_of_axes(net, image, tmp_path, capsys, shape, unit, words):
    kept = list(net.layers.values())
    kept = kept[: list(net.layers).index("relu2") + 1]
    net = Network([*kept, layers.Reshape("flat", ("relu2",), shape)], ["flat"], backend="reference")
    assert project.run(net, image, "flat", tmp_path, strongest=2)
    _, arrays, facts = results(project.run(net, image, "flat", tmp_path, unit=unit))
    assert arrays["units"].tolist() == [list(unit)] and facts["units"][0]["position"] == list(unit[1:])
    assert words in capsys.readouterr().err
    with pytest.raises(ZfcoreError, match=rf"0\.\.{shape[0] - 1} x 0\.\.{shape[1] - 1}"):
        project.run(net, image, "flat", tmp_path, unit=unit[:1])


def test_an_activation_that_is_not_finite_is_null_in_the_record(net, image, tmp_path):
    for value in (np.inf, np.nan):
        net.layer("conv1").bias[0] = value
        paths = project.run(net, image, "conv1", tmp_path, unit=(0, 0, 0))
        record = json.loads(paths[2].read_bytes(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
        assert record["units"][0]["value"] is None
        np.testing.assert_array_equal(np.load(paths[1])["values"], np.float32([value]))


def test_the_same_command_writes_the_same_bytes(net, image, tmp_path):
    one, two = (project.run(net, image, "relu2", tmp_path / name) for name in ("one", "two"))
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"layer": "cnv2"}, "nearest: conv2"),
        ({"unit": (6, 0, 0)}, r"unit: \(6, 0, 0\) lies outside layer 'relu2', whose units run over 0..5 x 0..7 x 0..7"),
        ({"unit": (0, -1, 0)}, r"unit: \(0, -1, 0\) lies outside"),
        ({"unit": (1,)}, r"unit: \(1,\) lies outside"),
        ({"layer": "relu3", "unit": (1, 0, 0)}, r"unit: \(1, 0, 0\) lies outside"),
        ({"unit": (1.0, 2, 3)}, "needed integers"),
        ({"strongest": 0}, "strongest: got 0, needed 1 to 6"),
        ({"strongest": 7}, "strongest: got 7"),
        ({"rule": "deconv"}, "rule: got"),
    ],
)
def test_mistakes_are_named(net, image, tmp_path, options, words):
    with pytest.raises(ZfcoreError, match=words):
        project.run(net, image, options.pop("layer", "relu2"), tmp_path / "out", **options)


def test_an_interrupted_rerun_leaves_nothing_that_looks_whole(net, image, tmp_path, monkeypatch):
    paths = project.run(net, image, "relu2", tmp_path)

    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(project.report, "write_picture", interrupt)
    with pytest.raises(KeyboardInterrupt):
        project.run(net, image, "relu2", tmp_path)
    assert not paths[2].exists()


def test_where_nothing_is_active_a_unit_has_to_be_named(net, image, tmp_path, capsys):
    net.layer("conv2").bias[:] = -1e9
    with pytest.raises(ZfcoreError, match="no unit is above 0"):
        project.run(net, image, "relu2", tmp_path)
    assert project.run(net, image, "relu2", tmp_path, unit=(0, 0, 0))
    assert "not above 0: the image does not excite this unit" in capsys.readouterr().err
    net.layer("conv2").bias[:] = np.nan
    with pytest.raises(ZfcoreError, match="no unit is above 0 for this image and not all are finite"):
        project.run(net, image, "conv2", tmp_path)
    assert "activations of conv2 are not finite" in capsys.readouterr().err


def test_a_missing_image_is_named(net, tmp_path):
    with pytest.raises(ZfcoreError, match=r"nothing\.png: no such file"):
        project.run(net, tmp_path / "nothing.png", "relu2", tmp_path)
