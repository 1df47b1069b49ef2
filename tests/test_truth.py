"""`zfcore truth`: scores of maps where they are known, maps that are the plain definitions, refusals."""

from __future__ import annotations

import json

import numpy as np
import pytest

from zfcore import cli, layers, zoo
from zfcore.data.choice import Choice
from zfcore.data.preprocessing import Preprocessing
from zfcore.data.scenes import CLASSES, draw_scene
from zfcore.errors import ZfcoreError
from zfcore.experiments import truth
from zfcore.experiments.occlusion import Squares
from zfcore.experiments.pointing import central, edges, estimate, flat, score
from zfcore.experiments.subject import Subject
from zfcore.figures.truth import HIT, MISS, Shown, heat, truth_picture
from zfcore.formats import save
from zfcore.network import Network
from zfcore.testing import parity_test, rounding_bound

TINY = zoo.Architecture((zoo.Conv(5, 3, padding=1, pool=2), zoo.Full(12)), size=32, classes=len(CLASSES))
OWN = Preprocessing(size=(32, 32), mean=np.full(3, 100.0), scale=np.full(3, 1 / 50))


def subject_of(net):
    net.preprocessing = OWN
    return Subject("tiny", net, Choice(OWN, "made"))


def tiny(classes=CLASSES):
    return subject_of(zoo.build(TINY, 0, "he", classes))


@pytest.fixture
def checkpoint(tmp_path):
    save(tiny().net, tmp_path / "net.safetensors")
    return tmp_path / "net.safetensors"


def made_mask(size=(12, 10)):
    mask = np.zeros(size, bool)
    mask[3:7, 2:6] = True
    return mask


# ---- scores


def test_the_mask_itself_is_perfect_and_its_complement_worthless():
    mask = made_mask()
    for hit, values in ((1, mask), (0, ~mask)):
        got = score(values.astype(float), mask)
        assert (got.hit, got.share) == (hit, hit)


def test_maps_that_say_nothing_score_what_chance_does():
    mask = made_mask()
    for values in (flat(mask.shape), np.zeros(mask.shape), np.full(mask.shape, 7.0)):
        got = score(values, mask)
        parity_test(np.array([got.hit, got.share]), np.full(2, mask.mean()), rounding_bound(256, 1.0, np.float64))


def test_tolerance_is_a_distance():
    mask, values = made_mask(), np.zeros((12, 10))
    values[9, 8] = 1  # three rows below and three columns beside the corner (6, 5)
    assert score(values, mask).hit == score(values, mask, 4.2).hit == 0
    assert score(values, mask, 4.3).hit == 1
    assert score(values, mask, 4.3).share == 0


def test_noise_scores_chance_on_average():
    mask = made_mask((20, 20))
    rng = np.random.default_rng(0)
    hits = np.mean([score(rng.random((20, 20)), mask).hit for _ in range(2000)])
    assert abs(hits - mask.mean()) < 5 * np.sqrt(mask.mean() / 2000)


@pytest.mark.parametrize("values, mask", [(np.ones((2, 2)), np.zeros((2, 2), bool)), (np.ones((2, 3)), np.ones((2, 2), bool)),
                                          (-np.ones((2, 2)), np.ones((2, 2), bool)), (np.full((2, 2), np.nan), np.ones((2, 2), bool)),
                                          (np.full((2, 2), np.inf), np.ones((2, 2), bool))])  # fmt: skip
def test_score_refuses(values, mask):
    with pytest.raises(ZfcoreError, match="got"):
        score(values, mask)


def test_baselines():
    frame = np.zeros((8, 8, 3), np.uint8)
    frame[:, 4:] = 200
    assert set(np.flatnonzero(edges(frame).any(axis=0)).tolist()) == {3, 4}
    middle = central((9, 11))
    assert np.unravel_index(middle.argmax(), middle.shape) == (4, 5)


def test_intervals_are_over_networks_or_scenes():
    rng = np.random.default_rng(0)
    values = rng.random((1, 2, 8))
    one = estimate(values)
    half = 2.131449546 * values.std(ddof=1) / 4  # Student's t of 15 degrees of freedom
    parity_test(np.array(one.high - one.mean), np.array(half), 1e-8 * half)
    same = np.repeat(values, 3, axis=0)
    assert estimate(same).low == estimate(same).high  # networks that all agree
    assert np.isnan(estimate(values[:, :1, :1]).low)


# ---- maps


def bright_network():
    """Of two sums of the whole picture, one against it: the class is on where the picture is bright."""
    weight = np.zeros((len(CLASSES), 3 * 32 * 32), np.float32)
    weight[0] = 0.01
    built = [layers.Input("x", shape=(3, 32, 32)), layers.Flatten("flat", ("x",)), layers.Linear("fc", ("flat",), weight, None),
             layers.Softmax("softmax", ("fc",))]  # fmt: skip
    return subject_of(Network(built, ["softmax"], "bright", preprocessing=OWN, classes=CLASSES))


def test_occlusion_finds_the_only_evidence():
    pixels = np.full((32, 32, 3), 128, np.uint8)
    pixels[8:16, 16:24] = 255
    subject = bright_network()
    found = truth.occlusion_map(subject, OWN(pixels), 0, Squares.over((32, 32), 8, 8))
    assert (found[8:16, 16:24] > 0).all()
    found[8:16, 16:24] = 0
    assert not found.any()


def test_maps_are_the_plain_definitions():
    subject = tiny()
    _, mask, maps, right = truth.explained(subject, 13, truth.Options())
    scene = draw_scene(0, 10_000_013)
    x = OWN(scene.image)[None]
    trace = subject.net.forward(x)
    seed = np.zeros_like(trace[subject.logits])
    seed[0, scene.label] = 1
    gradient = subject.net.pullback(trace, subject.logits, seed, "gradient")[0]
    assert (maps["gradient"] == np.abs(gradient).sum(axis=0)).all() and maps["gradient"].any()
    assert (maps["gradient x input"] == np.abs(gradient * x[0]).sum(axis=0)).all()
    assert set(maps) == set(truth.METHODS) and all(one.shape == mask.shape for one in maps.values())
    assert right == (trace[subject.logits][0].argmax() == scene.label)
    largest = truth.explained(subject, 13, truth.Options(reduce="max"))[2]
    assert (largest["gradient"] == np.abs(gradient).max(axis=0)).all()


def test_the_mask_goes_through_the_preprocessing():
    scene = draw_scene(0, 10_000_004)
    plain = Preprocessing(size=64, crop=(64, 64))
    net = zoo.build(zoo.Architecture((zoo.Conv(4, 3, padding=1),), size=64, classes=len(CLASSES)), 0, "he", CLASSES)
    _, mask, _, _ = truth.explained(Subject("x", net, Choice(plain, "")), 4, truth.Options(square=32, stride=32))
    assert (mask == scene.mask).all()
    _, cropped, _, _ = truth.explained(Subject("x", net, Choice(Preprocessing(size=80, crop=(64, 64)), "")), 4, truth.Options(32, 32))
    assert cropped.mean() > mask.mean()


def test_pictures_mark_hits_and_misses():
    mask, values = np.zeros((16, 16), bool), np.zeros((16, 16))
    mask[4:12, 4:12], values[6, 6] = True, 1
    colours = {}
    for hit in (1.0, 0.0):
        picture = np.asarray(truth_picture(["one"], [Shown(np.zeros((16, 16, 3), np.uint8), mask, [values], [hit])], "title"))
        colours[hit] = [(picture == colour).all(axis=2).any() for colour in (HIT, MISS)]
    assert colours == {1.0: [True, False], 0.0: [False, True]}
    assert not heat(np.zeros((3, 3))).std(axis=(0, 1)).any()


# ---- the command


def test_the_command(checkpoint, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("zfcore.experiments.correspond.CLASSES", ("face", "boat"))  # whose parts are masked: to be quick
    out = tmp_path / "out"
    command = ["truth", checkpoint, checkpoint, "--count", "3", "--draws", "2", "--part-images", "2", "--part-draws", "1",
               "--square", "16", "--stride", "16", "--tolerance", "1", "--out", out]  # fmt: skip
    assert cli.main([str(a) for a in command]) == 0
    said = capsys.readouterr()
    assert "pointing game" in said.out and "Correspondence of parts" in said.out and "the means of 2 networks" in said.out
    record = json.loads((out / "truth.json").read_text())
    assert {path.name for path in out.iterdir()} == {"truth.json", *record["files"]}
    methods = record["numbers"]["methods"]
    assert list(methods) == list(truth.METHODS) and len(methods["edges"]["share"]["draws"]) == 4
    with np.load(out / "truth.npz") as arrays:
        assert arrays["hits"].shape == (len(methods), 2, 2, 3)
        parity_test(np.array(methods["guided"]["share"]["mean"]), arrays["shares"][2].mean(), rounding_bound(16, 1.0, np.float64))
        assert (arrays["shares"][:, 0] == arrays["shares"][:, 1]).all()  # one network twice
    assert methods["chance"]["share"]["mean"] < methods["chance"]["pointing"]["mean"] < 1  # the tolerance is chance's too


def test_refusals(checkpoint, tmp_path, capsys):
    out = tmp_path / "out"

    def refused(*arguments):
        assert cli.main(["truth", *map(str, arguments), "--out", str(out)]) == 2
        said = capsys.readouterr()
        assert not said.out and not out.exists()
        return said.err.splitlines()[-1]

    assert "zfnet-small: does not know the scenes' classes by name, lacks face, car, house, ..." in refused("zfnet-small")
    assert "square and stride: got 4 and 5" in refused(checkpoint, "--square", "4", "--stride", "5")
    assert "square of at most 32" in refused(checkpoint, "--square", "33")
    assert "first: got 9999990, needed at most 9999900" in refused(checkpoint, "--first", "9999990")
    assert "part images: got 1" in refused(checkpoint, "--part-images", "1")
    assert "-1.0" in refused(checkpoint, "--tolerance=-1")
    assert "nan" in refused(checkpoint, "--tolerance=nan")


def test_maps_that_are_not_finite_are_refused():
    subject = tiny()
    subject.net.layers["conv1"].weight = np.full_like(subject.net.layers["conv1"].weight, np.nan)
    with pytest.raises(ZfcoreError, match=r"the map .* of scene 0 is not finite"):
        truth.explained(subject, 0, truth.Options(square=32, stride=32))


def test_interrupted(monkeypatch, tmp_path):
    def interrupting(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(truth, "explained", interrupting)
    with pytest.raises(KeyboardInterrupt, match="stopped after 0 of 6 scenes; nothing was written"):
        truth.run([tiny()], out=tmp_path / "out", scenes=3, draws=2, part_images=0)
