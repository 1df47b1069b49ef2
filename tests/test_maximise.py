"""`zfcore maximise`: the highest point where it is known, the regularisers one by one, and what is written."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from zfcore import ZfcoreError, cli, save, zoo
from zfcore.commands import maximise as command
from zfcore.data.preprocessing import PRESETS, Preprocessing
from zfcore.experiments import maximise
from zfcore.experiments.ascent import STYLES, Style, ascend
from zfcore.experiments.subject import open_subject
from zfcore.testing import parity_test, rounding_bound

CLASSES = ("a, b", "b", "c$")
OWN = Preprocessing("BGR", 14, (12, 12), mean=np.array([100.0, 110.0, 120.0]), scale=np.array([0.02]))


def tiny(seed=1, bias=0.1):
    plan = zoo.Architecture((zoo.Conv(5, 3, 1, 1, pool=3, norm=True), zoo.Conv(6, 3, padding=1), zoo.Full(7)), size=12, classes=3)
    net = zoo.build(plan, seed, "he", CLASSES)
    net.layer("conv1").bias[:] = bias
    net.preprocessing = OWN
    return net


@pytest.fixture
def subject(tmp_path):
    save(tiny(), tmp_path / "net.safetensors")
    return open_subject(tmp_path / "net.safetensors")


def linear(w):
    return lambda z: ((w * z).sum(axis=(1, 2, 3)), np.broadcast_to(w, z.shape).copy())


W = np.random.default_rng(0).standard_normal((1, 3, 5, 6))


# ---- the ascent


def test_a_linear_score_is_highest_at_w_over_two_lambda():
    steps, step = 300, 0.1
    found = ascend(linear(W), np.zeros_like(W), Style(l2=0.25), steps, step)
    # On the line to it a step overshoots by no more than its own length; the last two steps are step * (2, 1) / steps.
    distance = np.sqrt(np.mean((found.images - W / 0.5) ** 2))
    assert distance <= 2 * step / steps
    assert found.scores.shape == (1, steps + 1) and found.scores[0, 0] == 0


def test_without_a_penalty_an_image_walks_the_length_of_its_steps():
    found = ascend(linear(W), np.zeros_like(W), Style(), 4, 1.0)
    unit = W / np.sqrt(np.mean(W**2))
    parity_test(found.images, unit * (1 + 0.75 + 0.5 + 0.25), rounding_bound(100, 10 * np.abs(unit), np.float64))
    assert (np.diff(found.scores) > 0).all()


def test_every_image_climbs_by_itself():
    start = np.random.default_rng(1).standard_normal((5, *W.shape[1:]))
    style = Style(l2=0.1, decay=0.01, blur=0.6, every=2, norm_percentile=20, contribution_percentile=10)
    whole = ascend(linear(W), start, style, 5, 0.5)
    for n in range(5):
        np.testing.assert_array_equal(ascend(linear(W), start[n : n + 1], style, 5, 0.5).images[0], whole.images[n])
    assert np.isfinite(whole.images).all()


def test_bounds_hold_and_where_there_is_no_slope_nothing_moves():
    low, high = np.full(W.shape[1:], -0.5), np.full(W.shape[1:], 0.25)
    found = ascend(linear(np.sign(W)), np.zeros_like(W), Style(), 20, 1.0, (low, high))
    np.testing.assert_array_equal(found.images, np.where(W > 0, 0.25, -0.5))
    start = np.ones_like(W)
    np.testing.assert_array_equal(ascend(linear(np.zeros_like(W)), start, Style(), 3, 1.0).images, start)
    assert (start == 1).all()


def test_decay_takes_its_share():
    flat = linear(np.zeros_like(W))
    found = ascend(flat, np.ones_like(W), Style(decay=0.5), 4, 1.0)
    np.testing.assert_array_equal(found.images, np.full_like(W, 0.125))  # after the last step nothing is taken


def test_blur_keeps_the_sum_and_flattens():
    start = np.zeros((1, 1, 21, 21))
    start[..., 10, 10] = 1
    found = ascend(linear(np.zeros_like(start)), start, Style(blur=1.0, every=2), 4, 1.0).images  # before the steps 0 and 2
    parity_test(found.sum(), np.float64(1), rounding_bound(start.size * 40, 1.0, np.float64))
    offset = np.arange(21) - 10
    variance = (found[0, 0].sum(axis=0) * offset**2).sum()
    assert 1.9 < variance < 2.1  # of two blurs, each of variance 1 but for its being cut off


def test_pixels_below_a_percentile_become_zero():
    start = np.arange(1.0, 13).reshape(1, 1, 3, 4)
    found = ascend(linear(np.zeros_like(start)), start, Style(norm_percentile=50), 2, 1.0).images
    np.testing.assert_array_equal(found, np.where(start > 6, start, 0))
    w = 13 - start  # contributions (13 - z) * z are smallest at both ends
    found = ascend(lambda z: (np.zeros(1), w * 1e-9), start, Style(contribution_percentile=50), 2, 1e-9).images
    assert (found < 0.5).ravel().tolist() == [True] * 3 + [False] * 6 + [True] * 3


@pytest.mark.parametrize("field", ["l2", "decay", "blur", "norm_percentile", "contribution_percentile"])
@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf])
def test_a_style_refuses_what_it_cannot_be(field, value):
    with pytest.raises(ZfcoreError, match=f"{field}: got"):
        Style(**{field: value})


def test_the_commands_styles_are_those_there_are():
    assert command.STYLES == tuple(STYLES) and set(command.FIELDS) == set(Style.__dataclass_fields__)


# ---- a network's


def climbed(subject, out, **options):
    outcome = maximise.run(subject, out=out, **{"steps": 12, **options})
    with np.load(out / "maximise.npz") as stored:
        return outcome, dict(stored), json.loads(outcome.record.read_text())


@pytest.mark.parametrize("style", STYLES)
def test_the_score_rises_and_what_is_seen_is_what_was_judged(subject, tmp_path, style):
    _, arrays, record = climbed(subject, tmp_path / style, style=style, starts=2)
    assert (arrays["scores"][:, -1] > arrays["scores"][:, 0]).all()
    assert [(row["target"], row["start"]) for row in record["numbers"]["images"]] == [(c, s) for c in CLASSES for s in (0, 1)]
    bgr = arrays["pictures"].transpose(0, 3, 1, 2)[:, ::-1].astype(np.float32)
    x = (bgr - OWN.mean.astype(np.float32)[:, None, None]) * np.float32(0.02)
    p = subject.net(np.ascontiguousarray(x)).astype(np.float64)
    own = p[np.arange(6), [0, 0, 1, 1, 2, 2]]
    parity_test(np.array([row["probability"] for row in record["numbers"]["images"]]), own, rounding_bound(64, own, np.float32))
    assert [row["taken_for"] for row in record["numbers"]["images"]] == [CLASSES[k] for k in p.argmax(axis=1)]


def test_results_hang_on_the_seed_alone_and_not_on_the_batch(subject, tmp_path):
    calls = ((10, 0), (1, 0), (4, 0), (4, 1))
    arrays = [climbed(subject, tmp_path / str(n), starts=2, batch=batch, seed=seed)[1] for n, (batch, seed) in enumerate(calls)]
    for other in arrays[1:3]:
        assert all(np.array_equal(arrays[0][name], other[name]) for name in other)
    assert not np.array_equal(arrays[3]["scores"][1], arrays[0]["scores"][1])
    assert np.array_equal(arrays[3]["scores"][0], arrays[0]["scores"][0])  # from the zero image


def test_where_zero_has_no_slope_noise_begins(tmp_path, capsys):
    save(tiny(bias=-1e-3), tmp_path / "net.safetensors")
    _, arrays, record = climbed(open_subject(tmp_path / "net.safetensors"), tmp_path / "out")
    assert "no slope at the zero image for 3 of 3" in capsys.readouterr().err
    assert record["configuration"]["began_from_noise_for_want_of_a_slope"] == [0, 1, 2]
    assert (arrays["scores"][:, -1] > arrays["scores"][:, 0]).all()


def test_units_and_maps(subject, tmp_path, capsys):
    _, arrays, record = climbed(subject, tmp_path / "maps", layer="relu2", maps=[0, 5, 5])
    assert "conv2, is climbed" in capsys.readouterr().err
    assert [row["target"] for row in record["numbers"]["images"]] == ["map 0", "map 5"] and len(arrays["pictures"]) == 2
    _, arrays, record = climbed(subject, tmp_path / "unit", layer="conv2", unit=(1, 2, 0))
    seen = arrays["pictures"][0].transpose(2, 0, 1)[::-1].astype(np.float32)
    trace = subject.net.forward(((seen - OWN.mean.astype(np.float32)[:, None, None]) * np.float32(0.02))[None], keep=["conv2"])
    assert record["numbers"]["images"][0]["score_of_8_bit_picture"] == float(trace["conv2"][0, 1, 2, 0])


def test_real_images_are_compared(subject, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for n in range(5):
        Image.fromarray(np.random.default_rng(n).integers(0, 256, (12, 12, 3), dtype=np.uint8)).save(folder / f"{n}.png")
    (folder / "broken.png").write_bytes(b"no")
    outcome, _, record = climbed(subject, tmp_path / "out", images=folder, classes=["2"])
    x = np.stack([subject.preprocessing(np.asarray(Image.open(folder / f"{n}.png"))) for n in range(5)])
    highest = float(subject.net.forward(x, keep=["fc4"])["fc4"][:, 2].max())
    assert record["numbers"]["real_images"] == 5 and record["numbers"]["images"][0]["highest_of_real_images"] == highest
    assert "real images" in outcome.found


def test_an_interrupted_call_goes_on(subject, tmp_path, monkeypatch, capsys):
    _, whole, _ = climbed(subject, tmp_path / "whole", batch=1)
    climb, calls = maximise.Climber.climb, []

    def interrupting(self, items, done):
        calls.append(items)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return climb(self, items, done)

    monkeypatch.setattr(maximise.Climber, "climb", interrupting)
    with pytest.raises(KeyboardInterrupt, match="stopped after 24 of 36 steps; 2 of 3 batches are kept"):
        climbed(subject, tmp_path / "out", batch=1)
    assert [place.name for place in (tmp_path / "out").iterdir()] == [maximise.KEPT]
    _, arrays, _ = climbed(subject, tmp_path / "out", batch=1)
    assert len(calls) == 4 and "2 of 3 batches are ready" in capsys.readouterr().err
    assert all(np.array_equal(arrays[name], whole[name]) for name in whole)
    assert not (tmp_path / "out" / maximise.KEPT).exists()
    (tmp_path / "out" / maximise.KEPT).mkdir()
    climbed(subject, tmp_path / "out", batch=1, seed=1)
    assert len(calls) == 7  # another call's are not taken


def test_a_damaged_batch_is_climbed_anew(subject, tmp_path, monkeypatch, capsys):
    _, whole, _ = climbed(subject, tmp_path / "whole", batch=1)
    climb = maximise.Climber.climb

    def interrupting(self, items, done):
        if items[0] == 2:
            raise KeyboardInterrupt
        return climb(self, items, done)

    out = tmp_path / "out"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(maximise.Climber, "climb", interrupting)
        climbed(subject, out, batch=1)
    kept = out / maximise.KEPT / "0000.npz"
    for damaged in (kept.read_bytes()[:500], b"", b"no batch"):
        kept.write_bytes(damaged)
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(maximise.Climber, "climb", interrupting)
            climbed(subject, out, batch=1)
        said = capsys.readouterr().err
        assert f"{kept}: damaged" in said and "1 of 3 batches are ready" in said
    _, arrays, _ = climbed(subject, out, batch=1)
    assert all(np.array_equal(arrays[name], whole[name]) for name in whole)


def test_scores_that_are_not_finite_are_refused(tmp_path):
    net = tiny()
    net.layer("fc4").bias[:] = np.nan
    save(net, tmp_path / "net.safetensors")
    with pytest.raises(ZfcoreError, match="values of fc4 are not finite"):
        climbed(open_subject(tmp_path / "net.safetensors"), tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_a_score_that_fell_did_not_rise(subject, tmp_path):
    options = {"begin": "noise", "noise": 100.0, "steps": 2, "step": 1e-6, "changes": {"decay": 0.99}}  # to the zero image, whatever it has
    rises = []
    for number in "012":
        outcome, arrays, _ = climbed(subject, tmp_path / number, classes=[number], **options)
        rises.append(bool(arrays["scores"][0, -1] > arrays["scores"][0, 0]))
        assert f"the score {'rose' if rises[-1] else 'went'} from" in outcome.found
    assert set(rises) == {True, False}


def test_images_of_which_none_can_be_read_cost_no_climb(subject, tmp_path, monkeypatch):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(b"no")
    monkeypatch.setattr(maximise.Climber, "climb", None)
    with pytest.raises(ZfcoreError, match="none of 1 images can be used"):
        climbed(subject, tmp_path / "out", images=tmp_path / "images")


def test_results_are_kept_out_of_the_images(subject, tmp_path):
    (tmp_path / "images").mkdir()
    Image.fromarray(np.zeros((12, 12, 3), np.uint8)).save(tmp_path / "images" / "a.png")
    with pytest.raises(ZfcoreError, match="lies in the data's folder"):
        climbed(subject, tmp_path / "images" / "out", images=tmp_path / "images")
    assert [place.name for place in (tmp_path / "images").iterdir()] == ["a.png"]


def test_grey_networks(tmp_path):
    net = zoo.build(zoo.Architecture((zoo.Conv(4, 3, 1, 1),), size=8, classes=2), 0, "he", channels=1)
    net.preprocessing = PRESETS["unit"].for_input((1, 8, 8))
    save(net, tmp_path / "net.safetensors")
    _, arrays, _ = climbed(open_subject(tmp_path / "net.safetensors"), tmp_path / "out")
    assert arrays["pictures"].shape == (2, 8, 8, 3) and (arrays["pictures"][..., 0] == arrays["pictures"][..., 2]).all()


# ---- the command


def test_the_command(tmp_path, subject, capsys):
    out = tmp_path / "out"
    arguments = ["maximise", str(subject.path), "--class", "a, b", "--class", "1,c$", "--steps", "5", "--starts", "2", "--out", str(out)]
    assert cli.main(arguments) == 0
    said = capsys.readouterr()
    assert "taken for" in said.out and "style l2" in said.err
    assert {place.name for place in out.iterdir()} == {
        "maximise.png", "maximise-course.png", "maximise-course.svg", "maximise.npz", "maximise.json",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--class", "d"], "class: got 'd'"),
        (["--class", "b", "--all"], "needed one of them"),
        (["--layer", "conv2"], "needed a unit of it"),
        (["--layer", "conv2", "--maps", "6"], "maps: got 6"),
        (["--layer", "conv2", "--unit", "0,99,0"], "lies outside"),
        (["--layer", "conv2", "--class", "b"], "needed one of them"),
        (["--unit", "1"], "name its layer"),
        (["--decay", "1"], "decay: got 1.0"),
        (["--step", "0"], "step: got 0.0"),
        (["--step", "nan"], "step: got nan"),
        (["--noise=-1"], "noise: got -1.0"),
        (["--images", "nowhere"], "nowhere"),
        (["--images", ""], "got an empty path"),
        (["--blur", "1e9"], "blur: got 1000000000.0"),
        (["--starts", "67"], "starts: got 67 of 3 targets"),
        (["--style", "dream"], "invalid choice"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(subject, tmp_path, capsys, options, words):
    try:
        status = cli.main(["maximise", str(subject.path), "--out", str(tmp_path / "out"), *options])
    except SystemExit as stop:
        status = stop.code
    assert status == 2
    assert words in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_many_classes_have_to_be_named(tmp_path):
    net = zoo.build(zoo.Architecture((zoo.Conv(4, 3, 1, 1),), size=8, classes=300), 0, "he")
    save(net, tmp_path / "net.safetensors")
    subject = open_subject(tmp_path / "net.safetensors")
    for options in ({}, {"every_class": True}):
        with pytest.raises(ZfcoreError, match="has 300 classes; name some with --class"):
            maximise.run(subject, out=tmp_path / "out", **options)
