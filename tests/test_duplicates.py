"""`zfcore duplicates-between`: copies are found however they were made, other images are not, and blocks are only blocks."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image

from zfcore import cli
from zfcore.data.scenes import make_scenes
from zfcore.errors import ZfcoreError
from zfcore.experiments import correlation, duplicates
from zfcore.experiments.correlation import Pairs, correlated, needless, unit_image
from zfcore.figures.duplicates import Pair, duplicates_sheet

COUNT = 40


@pytest.fixture(scope="module")
def scenes():
    return make_scenes(COUNT, 5).images


def resized(image):
    return np.asarray(Image.fromarray(image).resize((96, 80), Image.Resampling.LANCZOS))


def compressed(image):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=40)
    return np.asarray(Image.open(buffer))


def brightened(image):
    return (image * 0.7 + 60).astype(np.uint8)


def mirrored(image):
    return image[:, ::-1].copy()


COPIES = {"resized": resized, "compressed": compressed, "brightened": brightened, "mirrored": mirrored, "the same": np.copy}


def units(images, side=32, colour=False):
    return np.stack([unit_image(image, side, colour) for image in images])


def pairs_of(found):
    return list(zip(found.pairs.first.tolist(), found.pairs.second.tolist(), strict=True))


def saved(folder, images):
    folder.mkdir(parents=True, exist_ok=True)
    for name, image in images.items():
        Image.fromarray(image).save(folder / name)
    return folder


# ---- correlation


@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("how", COPIES)
def test_copies_are_found_and_other_images_are_not(scenes, how, colour):
    copies = [COPIES[how](image) for image in scenes[:10]]
    found = correlated(units(scenes, colour=colour), units(copies, colour=colour), duplicates.THRESHOLD)
    assert sorted(pairs_of(found)) == [(n, n) for n in range(10)]
    assert found.pairs.mirrored.tolist() == [how == "mirrored"] * 10
    assert found.nearest[10:].max() < duplicates.THRESHOLD


def test_mirrored_copies_can_be_left_alone(scenes):
    found = correlated(units(scenes), units([mirrored(image) for image in scenes]), duplicates.THRESHOLD, mirror=False)
    assert not len(found.pairs)


def test_correlation_is_pearsons(scenes):
    a, b = (np.asarray(Image.fromarray(image).convert("L"), np.float64) for image in scenes[:2])
    expected = np.corrcoef(a.ravel(), b.ravel())[0, 1]
    got, turned = correlation.correlation(unit_image(scenes[0], 64), unit_image(scenes[1], 64), mirror=False)
    eps = float(np.finfo(np.float32).eps)
    assert abs(got - expected) <= 2 * eps * 64 and not turned  # the units were rounded to float32: 64 is the norm of so many ones


@pytest.mark.parametrize("block", [1, 7, 13, 39, 1000])
@pytest.mark.parametrize("within", [False, True])
def test_blocks_do_not_change_the_result(scenes, block, within):
    """At a threshold that many pairs reach, each computed by itself."""
    a, b = units(scenes[:30]), units(scenes[10:])
    whole = correlated(a, None if within else b, 0.3, block=512)
    got = correlated(a, None if within else b, 0.3, block=block)
    assert len(whole.pairs) > 30
    assert pairs_of(got) == pairs_of(whole)
    assert got.pairs.correlation.tolist() == whole.pairs.correlation.tolist()
    assert np.abs(got.nearest - whole.nearest).max() < correlation.MARGIN
    products = []
    correlated(a, None if within else b, 0.3, block=block, on_block=products.append)
    assert sum(products) >= (30 * 31 // 2 if within else 30 * 30)


def test_every_pair_is_there_and_the_nearest_is_the_best_of_them(scenes):
    a = units(scenes)
    every = [correlation.correlation(x, y)[0] for x in a for y in a]
    table = np.array(every).reshape(COUNT, COUNT)
    found = correlated(a, None, 0.4, block=16)
    assert sorted(pairs_of(found)) == [(i, j) for i in range(COUNT) for j in range(i + 1, COUNT) if table[i, j] >= 0.4]
    np.fill_diagonal(table, -1)
    assert np.abs(found.nearest - table.max(axis=1)).max() < correlation.MARGIN
    assert (np.diff(found.pairs.correlation) <= 0).all()


def test_equal_images_are_in_the_plot(scenes):
    """Its last bar ends at 1, which products in float32 exceed."""
    a = units(scenes)
    assert correlated(a, a.copy(), 0.95).nearest.max() <= 1 < (a.reshape(COUNT, -1) @ a.reshape(COUNT, -1).T).max()


@pytest.mark.parametrize("level", [0, 128, 255])
def test_images_of_one_colour_correlate_with_nothing(level):
    assert unit_image(np.full((9, 7, 3), level, np.uint8), 32) is None
    nearly = np.full((64, 64, 3), level, np.uint8)
    nearly[5, 5] ^= 1  # what would correlate is the rounding
    assert unit_image(nearly, 32) is None


@pytest.mark.parametrize("shape", [(1, 40), (40, 1), (3, 500)])
def test_any_shape(shape):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    assert unit_image(image, 32).shape == (1, 32, 32)
    assert unit_image(image, 32, colour=True).shape == (3, 32, 32)


def test_too_many_pairs_are_refused(scenes, monkeypatch):
    monkeypatch.setattr(correlation, "MOST_PAIRS", 20)
    with pytest.raises(ZfcoreError, match=r"threshold: got 0.9, which more than 20 pairs reach; give a higher one"):
        correlated(units([scenes[0]] * 8), None, 0.9)


def test_one_of_each_group_stays():
    def found(*pairs):
        first, second = np.array(pairs).T
        return Pairs(first, second, np.ones(len(first)), np.zeros(len(first), bool))

    assert needless(found((0, 1), (0, 2), (1, 2), (4, 7)), within=True).tolist() == [1, 2, 7]
    assert needless(found((3, 9), (3, 1), (0, 2)), within=False).tolist() == [0, 3]


# ---- the experiment


@pytest.fixture
def sets(scenes, tmp_path):
    """A: scenes 0 to 9, a damaged file, one of one colour. B: others, and three copies of A's."""
    own = {f"a{n}.png": image for n, image in enumerate(scenes[:10])}
    a = saved(tmp_path / "a", {**own, "a1 blank.png": np.full((20, 20, 3), 7, np.uint8)})
    (a / "a00 damaged.png").write_bytes((a / "a0.png").read_bytes()[:300])
    b = {f"b{n}.png": image for n, image in enumerate(scenes[20:30])}
    b |= {"small.png": resized(scenes[2])[::2, ::2], "turned.png": mirrored(scenes[5]), "bright.jpg": brightened(scenes[7])}
    return a, saved(tmp_path / "b", b)


def test_what_is_written(sets, tmp_path, capsys):
    out = tmp_path / "out"
    outcome = duplicates.run(*sets, out=out)
    names = ["duplicates-between.json", "nearest.png", "nearest.svg", "pairs.png", "remove.txt"]
    assert sorted(path.name for path in out.iterdir()) == names
    record = json.loads(outcome.record.read_text())
    pairs = {(pair["a"], pair["b"]): pair["mirrored"] for pair in record["numbers"]["list"]}
    assert pairs == {("a2.png", "small.png"): False, ("a5.png", "turned.png"): True, ("a7.png", "bright.jpg"): False}
    assert (out / "remove.txt").read_text() == "a2.png\na5.png\na7.png\n"
    assert outcome.found.startswith("3 of 10 images of ") and "30.00 %" in outcome.found
    assert list(record["numbers"]["skipped"]["a"]) == ["a00 damaged.png"] and record["numbers"]["constant"]["a"] == ["a1 blank.png"]
    looks = {pair["b"]: pair["second_look"] for pair in record["numbers"]["list"]}
    assert looks["turned.png"] > 0.99 and looks["small.png"] >= 0.95  # in frames of 64, and of 40
    said = capsys.readouterr().err
    assert "skipped a00 damaged.png" in said and "of one colour" in said and "threshold 0.95" in said


def test_within_one_set(scenes, tmp_path):
    place = saved(tmp_path / "a", {"1.png": scenes[0], "2.png": scenes[1], "3.jpg": scenes[0], "4.png": mirrored(scenes[0])})
    outcome = duplicates.run(place, tmp_path / "a" / ".." / "a", out=tmp_path / "out")
    assert {(pair["a"], pair["b"]) for pair in outcome.numbers["list"]} == {("1.png", "3.jpg"), ("1.png", "4.png"), ("3.jpg", "4.png")}
    assert (tmp_path / "out" / "remove.txt").read_text() == "3.jpg\n4.png\n"
    assert "2 of 4 images" in outcome.found


def test_parts_of_one_set_are_two_sets(tmp_path):
    outcome = duplicates.run("scenes:20", "scenes:20", part_a="train", part_b="test", out=tmp_path)
    assert not outcome.numbers["list"] and outcome.numbers["images"] == {"a": 20, "b": 1000}
    assert outcome.found.startswith("0 of 20 images") and outcome.table == ""
    assert (tmp_path / "remove.txt").read_text() == "" and not (tmp_path / "pairs.png").exists()


def test_the_second_look_tells_apart_what_a_small_frame_does_not(tmp_path):
    """Two images that differ in texture alone, finer than the small frame."""
    rng = np.random.default_rng(0)
    large = np.kron(rng.integers(60, 200, (4, 4)), np.ones((32, 32)))
    fine = [np.clip(large + rng.normal(0, 40, large.shape), 0, 255).astype(np.uint8)[..., None].repeat(3, axis=2) for _ in range(2)]
    a, b = (saved(tmp_path / name, {"x.png": image}) for name, image in zip("ab", fine, strict=True))
    plain = duplicates.run(a, b, out=tmp_path / "out", look=0)
    assert len(plain.numbers["list"]) == 1 and json.loads(plain.record.read_text())["numbers"]["list"][0]["second_look"] is None
    assert (tmp_path / "out" / "pairs.png").exists()
    outcome = duplicates.run(a, b, out=tmp_path / "out")
    assert outcome.numbers["candidates"] == 1 and outcome.numbers["pairs"] == 0
    assert not (tmp_path / "out" / "pairs.png").exists()  # of the search before


def test_pairs_of_any_shape_and_name():
    thin, wide = np.zeros((1, 1, 3), np.uint8), np.zeros((30, 900, 3), np.uint8)
    picture = duplicates_sheet([Pair(thin, wide, "x" * 90, "y\n$\x1b", 0.95, float("nan"), True)] * 3, "title", "all")
    assert picture.width > 480


def test_refusals(sets, tmp_path):
    a, b = sets
    out = tmp_path / "out"
    blank = saved(tmp_path / "blank", {"x.png": np.zeros((9, 9, 3), np.uint8)})
    for places, options, message in (
        ((a, b), {"threshold": 0.0}, "threshold: got 0, needed above 0, at most 1"),
        ((a, b), {"threshold": float("nan")}, "threshold: got nan"),
        ((a, b), {"side": 1}, "side: got 1, needed at least 4"),
        ((a, b), {"side": 100_000}, "side: got 100000, needed at most 256"),
        ((a, tmp_path / "nothing"), {}, "nothing: no such file or folder"),
        ((a, b), {"part_a": "test"}, "a: "),
        (("scenes", b), {"part_a": "validation"}, "scenes: has no part 'validation'"),
    ):
        with pytest.raises(ZfcoreError, match=message):
            duplicates.run(*places, out=out, **options)
        assert not out.exists()
    with pytest.raises(ZfcoreError, match=r"blank: none of 1 images can be compared; the first, x.png: of one colour"):
        duplicates.run(a, blank, out=out)
    lone = saved(tmp_path / "lone", {"x.png": np.zeros((9, 9, 3), np.uint8), "y.png": np.arange(243, dtype=np.uint8).reshape(9, 9, 3)})
    with pytest.raises(ZfcoreError, match=r"lone: y.png can be compared with no other image; needed two at least"):
        duplicates.run(lone, lone, out=out)
    assert not list(out.iterdir())
    with pytest.raises(ZfcoreError, match="lies in the data's folder"):
        duplicates.run(a, b, out=b / "out")


def test_interrupted(sets, tmp_path, monkeypatch):
    def pressed(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(correlation, "_flat", pressed)
    with pytest.raises(KeyboardInterrupt, match="stopped while comparing; nothing was written"):
        duplicates.run(*sets, out=tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_the_command(sets, tmp_path, capsys):
    a, b = map(str, sets)
    out = tmp_path / "out"
    assert cli.main(["duplicates-between", a, b, "--out", str(out), "--no-mirror", "--colour", "--show", "1"]) == 0
    said = capsys.readouterr().out
    assert "2 of 10 images" in said and str(out / "pairs.png") in said and "a7.png" in said
    assert cli.main(["duplicates-between", a, b, "--out", str(out), "--threshold", "2"]) == 2
    assert cli.main(["duplicates-between", a, str(tmp_path / "none"), "--out", str(out)]) == 2
    assert "no such file or folder" in capsys.readouterr().err


def test_photographs_that_are_in_caltech_twice(shared_data, tmp_path):
    outcome = duplicates.run(shared_data / "caltech20", shared_data / "caltech20", out=tmp_path)
    found = {(pair["a"], pair["b"]) for pair in outcome.numbers["list"]}
    assert ("ketch/image_0035.jpg", "ketch/image_0041.jpg") in found  # the same yacht, compressed twice
    assert all(a.split("/")[0] == b.split("/")[0] for a, b in found)
