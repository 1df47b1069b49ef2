"""The built-in scenes: reproducible, balanced, truthful about masks and parts, and not solvable from pixels alone."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from zfcore.data.scenes import CLASSES, SIZE, SceneSet, draw_scene, make_scenes

TRAINING, HELD_OUT = 1500, 500
LINEAR_LIMIT = 0.45
"""A linear classifier may not do better than this on held-out scenes; ten classes by chance give 0.1."""


@pytest.fixture(scope="module")
def scenes() -> SceneSet:
    return make_scenes(TRAINING + HELD_OUT, seed=5)


def fingerprint(scenes: SceneSet) -> str:
    digest = hashlib.sha256()
    for array in (scenes.images, scenes.labels, scenes.masks):
        digest.update(array.tobytes())
    digest.update(repr(scenes.parts).encode())
    return digest.hexdigest()


def test_a_seed_gives_the_same_bytes_and_another_seed_others():
    assert fingerprint(make_scenes(30, seed=3)) == fingerprint(make_scenes(30, seed=3))
    assert fingerprint(make_scenes(30, seed=3)) != fingerprint(make_scenes(30, seed=4))


def test_a_scene_depends_on_its_index_only(scenes):
    tail = make_scenes(10, seed=5, start=37)
    np.testing.assert_array_equal(tail.images, scenes.images[37:47])
    one = draw_scene(5, 41)
    np.testing.assert_array_equal(one.image, scenes.images[41])
    np.testing.assert_array_equal(one.mask, scenes.masks[41])
    assert (one.label, one.parts) == (scenes.labels[41], scenes.parts[41])


def test_seed_and_index_do_not_stand_in_for_each_other():
    assert (draw_scene(3, 11).image != draw_scene(13, 1).image).any()


def test_no_two_scenes_are_alike(scenes):
    assert len({image.tobytes() for image in scenes.images}) == len(scenes.images)


def test_shapes_and_types(scenes):
    count = TRAINING + HELD_OUT
    assert (scenes.images.shape, scenes.images.dtype) == ((count, SIZE, SIZE, 3), np.uint8)
    assert (scenes.labels.shape, scenes.labels.dtype) == ((count,), np.int64)
    assert (scenes.masks.shape, scenes.masks.dtype) == ((count, SIZE, SIZE), np.bool_)
    assert len(scenes.parts) == count
    empty = make_scenes(0, seed=0)
    assert empty.images.shape == (0, SIZE, SIZE, 3) and empty.parts == []


def test_classes_are_balanced():
    for start in (0, 7):
        assert np.bincount(make_scenes(20, seed=0, start=start).labels).tolist() == [2] * len(CLASSES)


def test_progress_is_told_after_every_scene():
    told = []
    make_scenes(3, seed=0, progress=lambda done, count: told.append((done, count)))
    assert told == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize(
    "arguments, got", [((-1, 0, 0), "got -1"), ((1, -1, 0), "got -1 and 0"), ((1, 0, -1), "got 0 and -1")]
)
def test_negative_numbers_are_refused(arguments, got):
    with pytest.raises(ValueError, match=got):
        make_scenes(*arguments)


def test_the_object_is_neither_a_speck_nor_the_whole_picture(scenes):
    area = scenes.masks.mean((1, 2))
    assert area.min() > 0.05 and area.max() < 0.65


def test_every_part_lies_in_the_picture_and_on_the_object(scenes):
    for mask, parts in zip(scenes.masks, scenes.parts, strict=True):
        for name, (y0, x0, y1, x1) in parts.items():
            assert 0 <= y0 < y1 <= SIZE and 0 <= x0 < x1 <= SIZE, name
            assert mask[y0:y1, x0:x1].any(), name


def test_the_mask_shows_where_the_pixels_are_the_objects():
    """Where the mask begins, neighbouring pixels differ more than they do in the backdrop."""
    differs = []
    for scene in (draw_scene(0, index) for index in range(100)):
        inside = scene.mask[:, 1:] & ~scene.mask[:, :-1]
        step = np.abs(np.diff(scene.image.astype(int), axis=1)).sum(2)
        differs.append(step[inside].mean() / step[~(scene.mask[:, 1:] | scene.mask[:, :-1])].mean())
    assert np.median(differs) > 2


def test_parts_of_a_class_are_where_they_belong(scenes):
    def middle(parts, name):
        y0, x0, y1, x1 = parts[name]
        return (y0 + y1) / 2, (x0 + x1) / 2

    by_class = {name: [scenes.parts[i] for i in np.flatnonzero(scenes.labels == k)] for k, name in enumerate(CLASSES)}
    for parts in by_class["face"]:
        assert middle(parts, "left eye")[1] < middle(parts, "nose")[1] < middle(parts, "right eye")[1]
        assert middle(parts, "left eye")[0] < middle(parts, "nose")[0] < middle(parts, "mouth")[0]
    for parts in by_class["house"]:
        assert middle(parts, "roof")[0] < middle(parts, "left window")[0]
        assert middle(parts, "left window")[1] < middle(parts, "door")[1] < middle(parts, "right window")[1]
    facing = [middle(parts, "front wheel")[1] > middle(parts, "rear wheel")[1] for parts in by_class["car"]]
    assert 0.3 < np.mean(facing) < 0.7


def test_every_scene_of_a_class_has_its_essential_parts(scenes):
    for k in range(len(CLASSES)):
        names = [set(scenes.parts[i]) for i in np.flatnonzero(scenes.labels == k)]
        assert len(set.intersection(*names)) >= 2, CLASSES[k]


def held_out_accuracy(features: np.ndarray, labels: np.ndarray, ridge: float) -> float:
    """Linear regression on one-hot labels, in its dual form: as many unknowns as scenes, not as pixels."""
    features = (features - features[:TRAINING].mean(0)) / (features[:TRAINING].std(0) + 1)
    train, test = features[:TRAINING], features[TRAINING:]
    targets = np.eye(len(CLASSES), dtype=features.dtype)[labels[:TRAINING]]
    gram = train @ train.T + ridge * np.eye(TRAINING, dtype=features.dtype)
    scores = test @ (train.T @ np.linalg.solve(gram, targets))
    return float((scores.argmax(1) == labels[TRAINING:]).mean())


def test_a_linear_classifier_on_pixels_stays_low(scenes):
    pixels = scenes.images.reshape(len(scenes.images), -1).astype(np.float32)
    for ridge in (1e4, 1e5):
        assert held_out_accuracy(pixels, scenes.labels, ridge) < LINEAR_LIMIT


def test_colour_does_not_give_the_class_away(scenes):
    """Neither does the share of each colour in the picture, wherever it stands."""
    bins = (scenes.images // 64).astype(np.int64) @ [16, 4, 1]
    counts = np.array([np.bincount(scene.ravel(), minlength=64) for scene in bins], np.float32)
    assert held_out_accuracy(counts, scenes.labels, 1e2) < LINEAR_LIMIT
