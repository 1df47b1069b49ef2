"""`zfcore correspond`: Delta where it is known, tests that find an effect and none, boxes that arrive where they belong, refusals."""

from __future__ import annotations

import json
from itertools import combinations, product

import numpy as np
import pytest
from PIL import Image

from zfcore import cli, zoo
from zfcore.data.choice import Choice
from zfcore.data.preprocessing import Preprocessing
from zfcore.data.scene_objects import Box
from zfcore.data.scenes import CLASSES, draw_scene
from zfcore.errors import ZfcoreError
from zfcore.experiments import correspond, parts
from zfcore.experiments.correspondence import compared, delta, disagreements, holm, p_value, pooled, random_boxes
from zfcore.experiments.subject import Subject
from zfcore.formats import save
from zfcore.testing import parity_test, rounding_bound

TINY = zoo.Architecture((zoo.Conv(5, 3, padding=1, pool=2), zoo.Conv(6, 3, padding=1), zoo.Full(12)), size=16, classes=len(CLASSES))
OWN = Preprocessing(size=(16, 16), mean=np.full(3, 100.0), scale=np.full(3, 1 / 50))


def tiny(preprocessing=OWN):
    net = zoo.build(TINY, 0, "he", CLASSES)
    net.preprocessing = preprocessing
    return Subject("tiny", net, Choice(preprocessing, "made"))


@pytest.fixture
def checkpoint(tmp_path):
    save(tiny().net, tmp_path / "net.safetensors")
    return tmp_path / "net.safetensors"


@pytest.fixture
def boxes(tmp_path):
    """Three images of 32 x 48 with two parts each, as a file."""
    rng = np.random.default_rng(0)
    entries = []
    for number in range(3):
        Image.fromarray(rng.integers(0, 256, (32, 48, 3), dtype=np.uint8)).save(tmp_path / f"{number}.png")
        entries.append({"image": f"{number}.png", "parts": {"eye $x_1$": [4, 6, 12, 18], "nose": [16, 20, 24.5, 32]}})
    entries[0]["object"] = [0, 0, 32, 40]
    return written(tmp_path, entries)


def written(folder, entries):
    path = folder / "parts.json"
    path.write_text(json.dumps({"images": entries}))
    return path


# ---- Delta


def test_delta_is_the_plain_definition():
    changes = np.random.default_rng(0).integers(-2, 3, (7, 50)).astype(np.float32)
    pairs = [np.mean([np.sign(a) != np.sign(b) for a, b in zip(changes[i], changes[j], strict=True)]) for i, j in combinations(range(7), 2)]
    got = delta(changes)
    parity_test(np.array([got.mean, got.deviation]), np.array([np.mean(pairs), np.std(pairs)]), rounding_bound(64, 1.0, np.float64))
    assert got.distances.shape == (7, 7) and not np.diag(got.distances).any()


def test_identical_changes_have_delta_0_and_opposite_ones_1():
    change = np.random.default_rng(1).normal(size=(1, 30))
    assert delta(np.repeat(change, 5, axis=0)).mean == 0
    assert delta(np.concatenate([change, -change])).mean == 1


def test_the_sign_has_three_values():
    assert delta(np.array([[0.0, 1.0], [-1.0, 1e-30]])).mean == 0.5  # 0 is unlike -1; the smallest change counts
    assert delta(np.array([[0.0, -0.0], [0.0, 0.0]])).mean == 0


def test_independent_signs_give_the_expected_distance():
    shares = np.array([0.2, 0.5, 0.3])  # of -1, 0, 1
    n, size = 12, 20_000
    signs = np.random.default_rng(2).choice([-1, 0, 1], p=shares, size=(n, size))
    expected = 1 - (shares**2).sum()
    # Pairs are not independent of each other: the deviation of one pair's share bounds that of their mean.
    assert abs(delta(signs).mean - expected) < 5 * np.sqrt(expected * (1 - expected) / size)


def test_blocks_of_elements_add_up(monkeypatch):
    changes = np.random.default_rng(3).integers(-1, 2, (4, 23))
    whole = disagreements(changes)
    monkeypatch.setattr("zfcore.experiments.correspondence.MOST_ELEMENTS", 20)
    assert (disagreements(changes) == whole).all() and whole.any()


@pytest.mark.parametrize("changes", [np.ones((1, 3)), np.ones((2, 0)), np.ones(3), np.array([[1.0], [np.nan]])])
def test_delta_refuses(changes):
    with pytest.raises(ZfcoreError, match="changes: "):
        delta(changes)


# ---- the tests of chance


def made_changes(rng, n=8, draws=4, size=400, common=0.0):
    """Random signs; where a mask is the part's, a share `common` of them is the same in all images."""
    changes = rng.choice([-1, 1], size=(n, 1 + 2 * draws, size))
    if common:
        changes[:, 0, : int(common * size)] = rng.choice([-1, 1], size=int(common * size))
    return changes.astype(np.int8)


def test_a_part_with_common_changes_is_found():
    rng = np.random.default_rng(0)
    got = compared(made_changes(rng, common=0.5), 4, 999, rng)
    assert got.part < got.apart.min() and got.p_apart < 0.01 and got.gain[0] > 0
    assert got.p_together < 0.3  # the part's is the lowest of five sets


def test_under_the_null_hypothesis_p_is_uniform():
    p = np.array([compared(made_changes(rng, 5, 3, 60), 3, 199, rng).p_apart for rng in map(np.random.default_rng, range(200))])
    for level in (0.1, 0.5):  # binomial counts, five deviations
        assert abs((p <= level).mean() - level) < 5 * np.sqrt(level * (1 - level) / len(p)), level


def test_exchange_draws_one_mask_of_every_image():
    changes = made_changes(np.random.default_rng(3), n=3, draws=2, size=997)
    got = compared(changes, 2, 999, np.random.default_rng(0))
    possible = {delta(changes[np.arange(3), list(masks)]).mean for masks in product(range(3), repeat=3)}
    assert set(got.null_apart.tolist()) == possible and len(possible) > 9
    assert set(got.null_together.tolist()) == {got.part, *got.together}


def test_masks_that_are_all_the_same_tell_nothing():
    changes = np.repeat(made_changes(np.random.default_rng(0), draws=2)[:, :1], 5, axis=1)
    got = compared(changes, 2, 99, np.random.default_rng(0))
    assert got.p_apart == got.p_together == 1.0 and got.gain == (0.0, 0.0)


def test_compared_reports_deltas_of_the_sets():
    changes = made_changes(np.random.default_rng(5), common=0.3)
    got = compared(changes, 4, 9, np.random.default_rng(0))
    expected = [delta(changes[:, mask]).mean for mask in range(9)]
    parity_test(np.array([got.part, *got.apart, *got.together]), np.array(expected), rounding_bound(64, 1.0, np.float64))
    parity_test(np.array(got.part_deviation), np.array(delta(changes[:, 0]).deviation), rounding_bound(64, 1.0, np.float64))


def test_weak_effects_of_many_parts_add_up():
    rng = np.random.default_rng(1)
    found = [compared(made_changes(rng, common=0.1), 4, 499, rng) for _ in range(12)]
    assert pooled(found, "apart") <= min(c.p_apart for c in found) and pooled(found, "together") < 0.01
    with pytest.raises(ZfcoreError, match="got none"):
        pooled([], "apart")


def test_p_values_count_the_observed_one():
    assert p_value(0.0, np.ones(9)) == 0.1
    assert holm([0.5, 0.9]).tolist() == [1.0, 1.0]


# ---- boxes


def test_random_boxes_keep_their_size_and_stay_inside():
    rng = np.random.default_rng(0)
    sizes, regions = np.array([[4, 9], [1, 1], [20, 30]]), np.array([[0, 0, 20, 30], [5, 5, 6, 6], [0, 0, 20, 30]])
    for together in (False, True):
        got = np.stack([random_boxes(sizes, regions, (20, 30), rng, together) for _ in range(50)])
        assert (got[..., 2:] - got[..., :2] == sizes).all() and (got[..., :2] >= 0).all() and (got[..., 2:] <= [20, 30]).all()
        assert len({tuple(box) for box in got[:, 0].tolist()}) > 20
        assert set(np.unique(got[:, 1, :2])) <= {4, 5, 6}  # centres in the region
    same = random_boxes(np.full((2, 2), 4), np.array([[0, 0, 20, 20]] * 2), (20, 20), rng, together=True)
    assert (same[0] == same[1]).all()


@pytest.mark.parametrize("options", [{"size": 24, "crop": (16, 16)}, {"size": (16, 16)}, {"crop": (16, 16)}])
def test_boxes_go_where_the_preprocessing_takes_the_pixels(options):
    """A white box on black, through the frame: what is white lies in the box that was computed, and fills it."""
    preprocessing = Preprocessing(**options)
    pixels = np.zeros((36, 50, 3), np.uint8)
    box = Box(9, 14, 24, 33)
    pixels[box.y0 : box.y1, box.x0 : box.x1] = 255
    got = parts.framed(parts.Marked("x", pixels, {"part": box}), preprocessing)
    y0, x0, y1, x1 = got.parts["part"]
    white = got.frame[..., 0] > 127
    assert white[y0 + 1 : y1 - 1, x0 + 1 : x1 - 1].all()
    white[y0:y1, x0:x1] = False
    assert not white.any()


def test_parts_that_are_not_seen_are_left_out():
    wide = np.zeros((32, 96, 3), np.uint8)
    given = {"cut off": Box(0, 0, 10, 20), "half seen": Box(0, 24, 10, 40), "a dot": Box(5, 50, 6, 51)}
    got = parts.framed(parts.Marked("x", wide, given), Preprocessing(size=16, crop=(16, 16)))
    assert got.parts == {"half seen": Box(0, 0, 5, 4)} and got.object == Box(0, 0, 16, 16)
    assert "0 % of it" in got.left_out["cut off"] and "less than 2 pixels" in got.left_out["a dot"]


def test_scenes_bring_their_boxes():
    got = parts.scene_parts("house", 3)
    assert [image.name for image in got] == ["scene 2, house", "scene 12, house", "scene 22, house"]
    scene = draw_scene(0, 10_000_012)
    assert got[1].parts == scene.parts and (got[1].pixels == scene.image).all()
    y0, x0, y1, x1 = got[1].object
    assert scene.mask[y0:y1, x0:x1].sum() == scene.mask.sum() and scene.mask[y0].any() and scene.mask[:, x1 - 1].any()


def test_masks_are_filled_with_grey_or_the_mean():
    x = np.random.default_rng(0).normal(size=(3, 16, 16)).astype(np.float32)
    boxes = np.array([[0, 0, 4, 5], [10, 10, 16, 16]])
    grey, mean = (correspond.masked(x, boxes, OWN, fill) for fill in ("grey", "mean"))
    assert (grey[0, :, :4, :5] == np.float32(28 / 50)).all() and not mean[1, :, 10:, 10:].any()
    for copies in (grey, mean):
        assert (copies[0, :, 4:] == x[:, 4:]).all() and (copies[1, :, :10] == x[:, :10]).all()


# ---- the experiment


def grey_images(count=4):
    """What the mask would be filled with: nothing changes."""
    pixels = np.full((16, 16, 3), 128, np.uint8)
    return {"": [parts.framed(parts.Marked(str(n), pixels, {"part": Box(2, 2, 8, 8)}), OWN) for n in range(count)]}


def test_masks_that_change_nothing_give_0():
    (row,) = correspond.measured(tiny(), grey_images(), ("relu1", "relu3"), "grey", "frame", 3, 9, 0, 2)
    for found in row.layers.values():
        assert found.part == 0 and not found.apart.any() and not found.together.any() and found.p_apart == 1


def test_the_same_image_again_gives_0_for_the_part_alone():
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    images = [parts.framed(parts.Marked(str(n), pixels, {"part": Box(2, 2, 8, 8)}), OWN) for n in range(4)]
    (row,) = correspond.measured(tiny(), {"": images}, ("relu1",), "grey", "frame", 3, 99, 0, 64)
    found = row.layers["relu1"]
    assert found.part == 0 and not found.together.any() and (found.apart > 0).all()
    assert found.p_apart < 0.1


def test_changes_are_those_of_one_image_at_a_time():
    subject = tiny()
    images = parts.scene_parts("face", 3)
    got = correspond.brought({"face": images}, subject.preprocessing)
    rows = correspond.measured(subject, got, ("relu2",), "mean", "object", 2, 9, 0, 3)
    row = next(row for row in rows if row.part == "nose")
    again = correspond.measured(subject, got, ("relu2",), "mean", "object", 2, 9, 0, 64)[rows.index(row)]
    assert (again.boxes == row.boxes).all() and again.layers["relu2"].apart.tolist() == row.layers["relu2"].apart.tolist()
    changes = []
    for image in row.images:
        y0, x0, y1, x1 = image.parts["nose"]
        x = image.x.copy()
        x[:, y0:y1, x0:x1] = 0
        both = subject.net.forward(np.stack([image.x, x]), keep=["relu2"])["relu2"]
        changes.append((both[0] - both[1]).ravel())
    assert row.layers["relu2"].part == delta(np.array(changes)).mean > 0


def test_layers_by_default():
    assert correspond.default_layers(tiny()) == ("relu2", "relu3")
    net = zoo.build(zoo.Architecture((zoo.Conv(4, 3, padding=1), zoo.Conv(5, 3, padding=1)), size=16, classes=3), 0)
    assert correspond.default_layers(Subject("x", net, Choice(OWN, ""))) == ("relu1", "relu2")


def test_the_command_on_scenes(checkpoint, tmp_path, capsys):
    out = tmp_path / "out"
    command = ["correspond", checkpoint, "--scenes", "face,boat", "--count", "2", "--draws", "2", "--permutations", "19", "--out", out]
    assert cli.main([str(a) for a in command]) == 0
    said = capsys.readouterr()
    assert "face: nose" in said.out and "mean Delta" in said.out and "the paper" in said.out
    record = json.loads((out / "correspond.json").read_text())
    assert {path.name for path in out.iterdir()} == {"correspond.json", *record["files"]}
    assert {"correspond.png", "correspond.svg", "masks-face.png", "masks-boat.png"} == set(record["files"])
    found = record["numbers"]["layers"]["relu3"]
    assert found["overall"]["parts"] == len(found["parts"]) >= 6


def test_the_command_on_a_file_of_parts(checkpoint, boxes, tmp_path, capsys):
    out = tmp_path / "out"
    command = ["correspond", checkpoint, "--parts", boxes, "--layers", "relu1", "--draws", "2", "--fill", "mean", "--out", out]
    assert cli.main([str(a) for a in command]) == 0
    record = json.loads((out / "correspond.json").read_text())
    assert [part["part"] for part in record["numbers"]["layers"]["relu1"]["parts"]] == ["eye $x_1$", "nose"]
    assert record["configuration"]["fill"] == "mean" and (out / "masks.png").exists()


def test_a_damaged_image_is_skipped(boxes, tmp_path, capsys):
    (tmp_path / "1.png").write_bytes((tmp_path / "1.png").read_bytes()[:99])
    assert [image.name for image in parts.read_parts(boxes)] == ["0.png", "2.png"]
    assert "skipped 1.png" in capsys.readouterr().err


ENTRY = {"image": "0.png", "parts": {"eye": [4, 6, 12, 18]}}


@pytest.mark.parametrize(
    "content, message",
    [
        ("{", "is no JSON"),
        ("[]", "the whole: got \\[\\], needed"),
        ('{"images": []}', "images: got \\[\\], needed a list"),
        ('{"images": [3]}', "images\\[0\\]: got 3"),
        ('{"images": [{"parts": {"eye": [1, 2, 3, 4]}}]}', "images\\[0\\].image: got null"),
        ('{"images": [{"image": "0.png", "parts": {}}]}', "images\\[0\\].parts: got {}"),
        ('{"images": [{"image": "0.png", "part": 1}]}', "images\\[0\\].part: got 1, needed no such field"),
        ('{"images": [{"image": "none.png", "parts": {"eye": [1, 2, 3, 4]}}]}', "images\\[0\\].image: .*none.png: no such file"),
        ('{"images": [{"image": "0.png", "parts": {"eye": [1, 2, 3]}}]}', 'images\\[0\\].parts\\["eye"\\]: got \\[1, 2, 3\\], needed'),
        ('{"images": [{"image": "0.png", "parts": {"eye": [1, 2, true, 4]}}]}', 'parts\\["eye"\\]: got \\[1, 2, true, 4\\]'),
        ('{"images": [{"image": "0.png", "parts": {"eye": [9, 2, 3, 4]}}]}', 'parts\\["eye"\\]: .* needed y0 < y1'),
        ('{"images": [{"image": "0.png", "parts": {"eye": [1, 2, 33, 4]}}]}', "32 pixels high and 48 wide"),
        ('{"images": [{"image": "0.png", "parts": {"eye": [1, 2, NaN, 4]}}]}', 'parts\\["eye"\\]: .* needed y0 < y1'),
        ('{"images": [{"image": "0.png", "parts": {"eye": [1, 2, 3, 4], "eye": [1, 2, 3, 4]}}]}', 'has "eye" twice'),
        ('{"images": [{"image": "0.png", "parts": {"eye": [1, 2, 3, 4]}, "object": 3}]}', "images\\[0\\].object: got 3"),
    ],
)
def test_a_wrong_field_is_named(boxes, content, message):
    boxes.write_text(content)
    with pytest.raises(ZfcoreError, match=message) as error:
        parts.read_parts(boxes)
    assert str(boxes) in str(error.value)


def test_refusals(checkpoint, boxes, tmp_path, capsys):
    out = tmp_path / "out"

    def refused(*arguments):
        try:
            status = cli.main(["correspond", str(checkpoint), "--out", str(out), *map(str, arguments)])
        except SystemExit as stop:
            status = stop.code
        said = capsys.readouterr()
        assert status == 2 and not said.out and not (out / "correspond.json").exists()
        return said.err.splitlines()[-1]

    assert "do not have; nearest: boat" in refused("--scenes", "boot")
    assert "none.json: cannot be read" in refused("--parts", tmp_path / "none.json")
    assert "not allowed with" in refused("--parts", boxes, "--scenes", "face")
    assert "rel9" in refused("--layers", "rel9")
    assert "at least 2" in refused("--count", "1")
    boxes.write_text(json.dumps({"images": [ENTRY]}))
    assert "none is seen in two images or more" in refused("--parts", boxes)
    with pytest.raises(ZfcoreError, match="needed one of grey, mean"):
        correspond.run(tiny(), out=out, fill="red")


def test_features_that_are_not_finite_are_refused():
    subject = tiny()
    subject.net.layers["conv2"].bias = np.full(6, np.inf, np.float32)
    with pytest.raises(ZfcoreError, match="features of relu2 are not finite"):
        correspond.measured(subject, grey_images(), ("relu2",), "grey", "frame", 1, 9, 0, 2)


def test_interrupted(monkeypatch):
    def interrupting(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(correspond, "masked", interrupting)
    with pytest.raises(KeyboardInterrupt, match="stopped after 0 of 1 parts; nothing was written"):
        correspond.measured(tiny(), grey_images(), ("relu1",), "grey", "frame", 1, 9, 0, 2)
