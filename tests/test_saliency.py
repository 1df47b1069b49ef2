"""`zfcore saliency`: four maps in cases where they are known, and the check with random weights."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from zfcore import Network, cli, layers, save, zoo
from zfcore.data.preprocessing import PRESETS
from zfcore.experiments import saliency
from zfcore.experiments.randomisation import depths_of, randomisation_check, randomised, rank_correlation, ranks, summary, top_down
from zfcore.experiments.report import CAVEAT
from zfcore.experiments.saliency_maps import METHODS, saliency_maps
from zfcore.experiments.subject import open_subject
from zfcore.testing import ROUNDINGS, parity_test, rounding_bound

CLASSES = ("a fish", "b$1", "c")


def tiny(seed=0, bias=0.0):
    """No normalisation, dropout aside everything that a network of the paper has."""
    plan = zoo.Architecture((zoo.Conv(5, 3, 1, 1, pool=3), zoo.Conv(6, 3, padding=1), zoo.Full(40)), size=12, classes=3)
    net = zoo.build(plan, seed, "he", CLASSES)
    net.layer("conv1").bias[:] = bias
    net.preprocessing = PRESETS["unit"].for_input(net.input_shape)
    net.backend = "reference"
    return net


def picture(seed=0, shape=(3, 12, 12)):
    return np.random.default_rng(seed).random(shape, np.float32)


@pytest.fixture
def checkpoint(tmp_path):
    save(tiny(bias=0.1), tmp_path / "net.safetensors")
    return tmp_path / "net.safetensors"


@pytest.fixture
def image(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (14, 12, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    return tmp_path / "a.png"


# ---- the maps


def test_in_a_linear_network_every_map_is_the_weights():
    rng = np.random.default_rng(0)
    weight = rng.integers(-4, 5, (3, 27)).astype(np.float32)
    flat, full = layers.Flatten("flat", ("image",)), layers.Linear("fc", ("flat",), weight, np.ones(3, np.float32))
    net, x = Network([layers.Input("image", shape=(3, 3, 3)), flat, full], ["fc"]), rng.integers(-4, 5, (3, 3, 3)).astype(np.float32)
    found = saliency_maps(net, x, "fc", (1,))
    w = weight[1].reshape(3, 3, 3)
    for method in ("gradient", "guided", "deconvnet"):
        np.testing.assert_array_equal(found.maps[method], w)
    np.testing.assert_array_equal(found.maps["gradient x input"], w * x)
    assert found.value == (w * x).sum() + 1


def test_without_biases_gradient_x_input_sums_to_the_score():
    net, x = tiny().astype(np.float64), picture().astype(np.float64)
    for k in range(3):
        found = saliency_maps(net, x, "fc4", (k,))
        product = found.maps["gradient x input"]
        bound = ROUNDINGS["network"] * np.finfo(np.float64).eps * np.abs(product).sum()
        parity_test(product.sum(), np.float64(found.value), bound)
        assert found.value
    assert saliency_maps(tiny(bias=0.5).astype(np.float64), x, "fc4", (0,)).maps["gradient x input"].sum() != found.value


def test_the_methods_differ_where_there_are_rectifiers():
    found = saliency_maps(tiny(), picture(), "fc4", (0,)).maps
    assert list(found) == list(METHODS)
    assert len({values.tobytes() for values in found.values()}) == len(METHODS)


# ---- the check


def test_rank_correlation_is_spearmans():
    rng = np.random.default_rng(0)
    a = rng.integers(-3, 4, 200).astype(np.float32)  # with ties
    b = a + rng.standard_normal(200)
    from scipy.stats import spearmanr

    one = rounding_bound(len(a), 2.0, np.float64)
    parity_test(np.float64(rank_correlation(ranks(a), ranks(a))), np.float64(1), one)
    parity_test(np.float64(rank_correlation(ranks(a), ranks(np.exp(a)))), np.float64(1), one)
    parity_test(np.float64(rank_correlation(ranks(a), ranks(-a))), np.float64(-1), one)
    parity_test(np.float64(rank_correlation(ranks(a), ranks(b))), np.float64(spearmanr(a, b).statistic), 8 * one)
    assert np.isnan(rank_correlation(ranks(a), ranks(np.zeros(200))))
    assert ranks(np.array([1.0, np.nan])) is None


def test_to_randomise_nothing_changes_nothing():
    net, x = tiny(), picture()
    same = randomised(net, (), (0, 0))
    for method, values in saliency_maps(net, x, "fc4", (2,)).maps.items():
        np.testing.assert_array_equal(saliency_maps(same, x, "fc4", (2,)).maps[method], values)


def test_weights_are_random_where_asked_of_their_own_deviation_and_the_network_stays():
    net = tiny(bias=0.5)
    net.layer("fc3").weight *= 3
    before = {name: {field: array.copy() for field, array in layer.arrays.items()} for name, layer in net.layers.items()}
    made = randomised(net, ("fc3", "conv1"), (5, 1))
    for name, arrays in before.items():
        for field, array in arrays.items():
            np.testing.assert_array_equal(getattr(net.layers[name], field), array)
            assert (getattr(made.layers[name], field) is getattr(net.layers[name], field)) == (name not in ("fc3", "conv1"))
    new, old = made.layers["fc3"].weight, net.layers["fc3"].weight
    assert new.dtype == old.dtype and abs(np.corrcoef(new.ravel(), old.ravel())[0, 1]) < 4 / np.sqrt(old.size)
    assert abs(new.std() / old.std() - 1) < 4 / np.sqrt(2 * old.size)
    assert not made.layers["conv1"].bias.any()  # equal ones have no deviation
    np.testing.assert_array_equal(randomised(net, ("fc3",), (5, 1)).layers["fc3"].weight, new)  # whatever else is random
    assert not np.array_equal(randomised(net, ("fc3",), (5, 2)).layers["fc3"].weight, new)


def test_layers_come_from_the_top_down_and_only_those_that_count():
    net = tiny()
    assert top_down(net, "fc4") == ("fc4", "fc3", "conv2", "conv1")
    assert top_down(net, "relu2") == ("conv2", "conv1")
    assert depths_of(1, 5) == (1,) and depths_of(2, 1) == (1, 2)


@pytest.mark.parametrize("independent", [False, True])
def test_points_are_what_they_say(independent):
    net, x = tiny(bias=0.1), picture()
    check = randomisation_check(net, x, "fc4", (1,), draws=2, independent=independent, seed=3)
    assert check.absolute.shape == check.signed.shape == (2, 4, len(METHODS)) and check.layers == check.order
    own = saliency_maps(net, x, "fc4", (1,)).maps
    for draw in range(2):
        for point in range(4):
            chosen = check.order[point : point + 1] if independent else check.order[: point + 1]
            maps = saliency_maps(randomised(net, chosen, (3, draw)), x, "fc4", (1,)).maps
            for m, method in enumerate(METHODS):
                a, b = own[method], maps[method]
                np.testing.assert_array_equal(check.signed[draw, point, m], rank_correlation(ranks(a), ranks(b)))
                np.testing.assert_array_equal(check.absolute[draw, point, m], rank_correlation(ranks(abs(a)), ranks(abs(b))))
    assert np.isfinite(check.absolute).mean() > 0.5  # or little was compared
    few = randomisation_check(net, x, "fc4", (1,), draws=2, points=1, independent=independent, seed=3)
    assert few.depths == (1, 3, 4)
    np.testing.assert_array_equal(few.absolute, check.absolute[:, [0, 2, 3]])


def test_summary_leaves_out_what_is_undefined():
    mean, deviation = summary(np.array([[1.0, np.nan, np.nan], [0.0, 0.5, np.nan]]))
    np.testing.assert_array_equal(mean, [0.5, 0.5, np.nan])
    np.testing.assert_array_equal(deviation, [np.sqrt(0.5), 0, np.nan])


# ---- the command


def test_the_command(checkpoint, image, tmp_path, capsys):
    out = tmp_path / "out"
    assert cli.main(["saliency", str(checkpoint), str(image), "--class", "b$1", "--draws", "2", "--out", str(out)]) == 0
    said = capsys.readouterr()
    assert CAVEAT in said.err and "random down to" in said.out and "change least" in said.out
    names = {place.name for place in out.iterdir()}
    plots = {"randomisation.png", "randomisation-plot.png", "randomisation-plot.svg"}
    assert names == plots | {"saliency.png", "saliency.npz", "saliency.json"}
    record = json.loads((out / "saliency.json").read_text())
    assert record["configuration"]["unit"] == [1] and CAVEAT in record["remarks"]
    assert len(record["numbers"]["correlation"]["guided"]["signed"]["mean"]) == 4


def test_a_colour_is_where_it_is_seen(checkpoint, image, tmp_path):
    subject = open_subject(checkpoint, channels="BGR")
    saliency.run(subject, image, out=tmp_path / "out", draws=1, points=1)
    x = subject.preprocessing(np.asarray(Image.open(image)))
    number = int(subject.net(x[None]).argmax())
    with np.load(tmp_path / "out" / "saliency.npz") as stored:
        np.testing.assert_array_equal(stored["guided"], saliency_maps(subject.net, x, "fc4", (number,)).maps["guided"][::-1])


def test_what_is_explained(checkpoint, image, tmp_path):
    subject = open_subject(checkpoint)
    for options, unit, why in (
        ({"layer": "relu2"}, None, "strongest"),
        ({"layer": "conv2", "unit": (5, 0, 1)}, [5, 0, 1], "as asked"),
        ({}, None, "most probable"),
        ({"wanted": "2", "independent": True}, [2], "as asked"),
    ):
        outcome = saliency.run(subject, image, out=tmp_path / "out", draws=1, points=2, **options)
        configuration = json.loads(outcome.record.read_text())["configuration"]
        assert why in configuration["why"] and unit in (None, configuration["unit"])


def test_a_scene_is_explained_by_its_own_class(tmp_path):
    net = tiny()
    net.classes = ("fish", "face", "car")
    save(net, tmp_path / "net.safetensors")
    outcome = saliency.run(open_subject(tmp_path / "net.safetensors"), "scenes/3", out=tmp_path / "out", draws=1, points=1)
    assert "class 'fish'" in outcome.found


def test_a_map_that_is_nothing_is_said(tmp_path, image, capsys):
    net = tiny()
    net.layer("conv2").bias[:] = -1e9
    save(net, tmp_path / "net.safetensors")
    outcome = saliency.run(open_subject(tmp_path / "net.safetensors"), image, out=tmp_path / "out", layer="relu2", unit=(0, 0, 0), draws=1)
    assert "the map gradient is zero everywhere" in capsys.readouterr().err and "undefined" in outcome.found


def test_a_value_that_is_not_finite_is_not_explained(tmp_path, image, capsys):
    net = tiny()
    net.layer("fc4").bias[:] = np.nan
    save(net, tmp_path / "net.safetensors")
    arguments = ["saliency", str(tmp_path / "net.safetensors"), str(image), "--class", "c", "--out", str(tmp_path / "out")]
    assert cli.main(arguments) == 2
    assert "the value of class 'c' before the softmax is nan" in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--class", "d"], "class: got 'd'"),
        (["--layer", "cnv2"], "nearest: conv2"),
        (["--layer", "conv2", "--unit", "6,0,0"], "lies outside"),
        (["--unit", "1"], "name its layer"),
        (["--layer", "conv2", "--class", "c"], "needed one of them"),
        (["--layer", "image", "--unit", "0,0,0"], "nothing to randomise"),
        (["--draws", "0"], "at least 1"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(checkpoint, image, tmp_path, capsys, options, words):
    try:
        status = cli.main(["saliency", str(checkpoint), str(image), "--out", str(tmp_path / "out"), *options])
    except SystemExit as stop:
        status = stop.code
    assert status == 2
    assert words in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_a_missing_image_is_named(checkpoint, tmp_path, capsys):
    assert cli.main(["saliency", str(checkpoint), str(tmp_path / "no.png"), "--out", str(tmp_path / "out")]) == 2
    assert "no such file" in capsys.readouterr().err


def test_interrupted(checkpoint, image, tmp_path, monkeypatch):
    def interrupt(*arguments, done, **options):
        done()
        done()
        raise KeyboardInterrupt

    monkeypatch.setattr(saliency, "randomisation_check", interrupt)
    with pytest.raises(KeyboardInterrupt, match="stopped after 2 of 20 networks with random weights; nothing was written"):
        saliency.run(open_subject(checkpoint), image, out=tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())
