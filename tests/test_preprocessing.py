"""Preprocessing against its formula, and the arithmetic of resizing and cropping."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from zfcore.data.preprocessing import PRESETS, Preprocessing
from zfcore.errors import ZfcoreError


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height * 1000 + width).integers(0, 256, (height, width, 3), dtype=np.uint8)


def shape(height: int, width: int, **options) -> tuple[int, int]:
    return Preprocessing(**options).frame(noise(height, width)).shape[:2]


# Presets: (pixels - mean) * scale rounds twice in float32, so twice its half unit in the last place bounds the error.
ROUNDING = 2 * np.finfo(np.float32).eps


@pytest.mark.parametrize(
    "name, order, mean, scale",
    [
        ("caffe", [2, 1, 0], [104, 117, 123], [1, 1, 1]),
        ("torchvision", [0, 1, 2], [123.675, 116.28, 103.53], [1 / 58.395, 1 / 57.12, 1 / 57.375]),
        ("unit", [0, 1, 2], [0, 0, 0], [1 / 255] * 3),
        ("raw", [0, 1, 2], [0, 0, 0], [1, 1, 1]),
    ],
)
def test_presets(name, order, mean, scale):
    image = noise(5, 7)
    got = PRESETS[name](image)
    assert (got.shape, got.dtype) == ((3, 5, 7), np.float32) and got.flags.c_contiguous
    for c in range(3):
        exact = (image[..., order[c]].astype(np.float64) - mean[c]) * scale[c]
        bound = ROUNDING * (image[..., order[c]] + mean[c]) * scale[c]
        assert (np.abs(got[c] - exact) <= bound).all()


def test_bgr_and_back():
    image = noise(4, 6)
    bgr = Preprocessing("BGR")
    np.testing.assert_array_equal(bgr(image)[0], image[..., 2])
    np.testing.assert_array_equal(bgr.frame(image), image)
    for preprocessing in (bgr, Preprocessing("RGB")):
        np.testing.assert_array_equal(preprocessing.to_rgb(preprocessing(image)), image)


def test_grey():
    image = noise(4, 6)
    grey = Preprocessing("grey")
    luma = image.astype(np.float64) @ [0.299, 0.587, 0.114]
    got = grey(image)
    assert got.shape == (1, 4, 6) and np.abs(got[0] - luma).max() <= 1
    np.testing.assert_array_equal(grey.frame(image), grey.to_rgb(got))


def test_to_rgb_leaves_values_alone():
    projection = np.random.default_rng(0).standard_normal((3, 4, 5))
    np.testing.assert_array_equal(PRESETS["caffe"].to_rgb(projection), projection[::-1].transpose(1, 2, 0))
    with pytest.raises(ZfcoreError, match="pixels"):
        PRESETS["caffe"].to_rgb(projection[:2])


def test_sizes():
    assert shape(100, 150) == (100, 150)
    assert shape(100, 150, size=50) == (50, 75)
    assert shape(150, 100, size=50) == (75, 50)
    assert shape(100, 155, size=30) == (30, 46)
    assert shape(100, 150, size=200) == (200, 300)
    assert shape(100, 150, size=(20, 90)) == (20, 90)
    assert shape(100, 150, size=50, crop=(40, 30)) == (40, 30)
    assert shape(100, 150, crop=(40, 30)) == (40, 30)


def test_nothing_to_do_changes_nothing():
    image = noise(9, 13)
    for preprocessing in (Preprocessing(), Preprocessing(size=9), Preprocessing(size=(9, 13), crop=(9, 13))):
        np.testing.assert_array_equal(preprocessing.frame(image), image)


@pytest.mark.parametrize("height, width, crop", [(9, 13, (4, 5)), (10, 10, (3, 10)), (8, 7, (8, 1))])
def test_crop_is_the_centre(height, width, crop):
    image = noise(height, width)
    top, left = (height - crop[0]) // 2, (width - crop[1]) // 2
    centre = image[top : top + crop[0], left : left + crop[1]]
    np.testing.assert_array_equal(Preprocessing(crop=crop).frame(image), centre)


@pytest.mark.parametrize("height, width", [(61, 83), (83, 61), (300, 200), (20, 33)])
def test_cropping_while_resizing_equals_cropping_afterwards(height, width):
    image = noise(height, width)
    whole = Preprocessing(size=40).frame(image)
    picture = Image.fromarray(image).resize(whole.shape[1::-1], Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(whole, np.asarray(picture))
    centre = Preprocessing(crop=(32, 36)).frame(whole)
    got = Preprocessing(size=40, crop=(32, 36)).frame(image)
    assert np.abs(got.astype(int) - centre).max() <= 1  # Pillow rounds each of its two passes to whole levels


@pytest.mark.parametrize("height, width", [(1, 1), (1, 50), (50, 1), (3, 500), (31, 33), (32, 40)])
def test_a_small_picture_grows_to_cover_the_crop(height, width):
    assert shape(height, width, crop=(32, 40)) == (32, 40)
    assert shape(height, width, size=40, crop=(32, 40)) == (32, 40)


@pytest.mark.parametrize("side, crop", [(7, 61), (7, 115), (7, 122)])
def test_fractions_that_floats_miss(side, crop):
    assert int(side * (crop / side)) == crop - 1
    assert shape(side, side, crop=(crop, crop)) == (crop, crop)
    assert shape(side, side, size=crop) == (crop, crop)


def test_growing_keeps_the_aspect():
    """A disc that has to grow stays a disc."""
    y, x = np.mgrid[:20, :20] - 9.5
    disc = np.repeat(255 * (y**2 + x**2 < 64)[..., None], 3, axis=2).astype(np.uint8)
    bright = Preprocessing(crop=(40, 80)).frame(disc)[..., 0] > 127
    tall, wide = bright[:, 40].sum(), bright[20].sum()
    assert (tall, wide) == (40, 64)  # four times 16 wide, and cut off above and below


def test_a_very_long_picture_does_not_fill_the_memory():
    strip = np.zeros((1, 60_000, 3), np.uint8)
    assert Preprocessing(size=224, crop=(224, 224)).frame(strip).shape == (224, 224, 3)
    with pytest.raises(ZfcoreError, match="give a crop"):
        Preprocessing(size=224).frame(strip)


def test_mean_image():
    image, mean = noise(6, 8), np.random.default_rng(0).uniform(0, 255, (3, 4, 5)).astype(np.float32)
    scale = np.array([0.5, 1, 2], np.float32)
    preprocessing = Preprocessing("BGR", crop=(4, 5), mean=mean, scale=scale)
    pixels = preprocessing.frame(image)[..., ::-1].transpose(2, 0, 1).astype(np.float32)
    np.testing.assert_array_equal(preprocessing(image), (pixels - mean) * scale[:, None, None])
    with pytest.raises(ZfcoreError, match="mean"):
        replace(preprocessing, crop=(5, 5))
    with pytest.raises(ZfcoreError, match="mean"):
        Preprocessing(mean=mean)


def test_inputs_are_not_modified_and_views_are_read():
    image = noise(12, 10)
    before = image.copy()
    view = image[::2, ::-1]
    view.setflags(write=False)
    np.testing.assert_array_equal(Preprocessing()(view), Preprocessing()(view.copy()))
    np.testing.assert_array_equal(image, before)


def test_for_input_fills_in_what_is_open():
    filled = PRESETS["caffe"].for_input((3, 24, 32))
    assert (filled.size, filled.crop) == (32, (24, 32))
    for height, width in ((50, 90), (90, 50), (5, 5), (24, 32)):
        assert filled(noise(height, width)).shape == (3, 24, 32)
    assert filled.for_input((3, 24, 32)) == filled
    assert replace(PRESETS["caffe"], size=40).for_input((3, 24, 32)).crop == (24, 32)
    exact = replace(PRESETS["caffe"], size=(24, 32)).for_input((3, 24, 32))
    assert (exact.size, exact.crop) == ((24, 32), None)
    assert replace(PRESETS["caffe"], crop=(24, 32)).for_input((3, 24, 32)).size is None


def test_for_input_of_one_channel():
    filled = PRESETS["unit"].for_input((1, 8, 8))
    assert filled.channels == "grey" and filled(noise(8, 8)).shape == (1, 8, 8)
    assert filled.scale.tolist() == [1 / 255]


@pytest.mark.parametrize(
    "preprocessing, needed, named",
    [
        (PRESETS["caffe"], (1, 8, 8), "channels"),
        (Preprocessing("grey"), (3, 8, 8), "channels"),
        (PRESETS["raw"], (4, 8, 8), "channels"),
        (Preprocessing(crop=(8, 9)), (3, 8, 8), "crop"),
        (Preprocessing(size=7), (3, 8, 8), "size"),
        (Preprocessing(size=(7, 9)), (3, 8, 8), "size"),
        (Preprocessing(size=(9, 7)), (3, 8, 8), "size"),
    ],
)
def test_for_input_refuses_contradictions(preprocessing, needed, named):
    with pytest.raises(ZfcoreError, match=f"^{named}: got .* needed"):
        preprocessing.for_input(needed)


@pytest.mark.parametrize("count, rest, last", [(4, (8, 8), False), (32, (64, 64), False), (224, (224, 3), True)])
def test_a_network_that_takes_no_images_is_told_why(count, rest, last):
    with pytest.raises(ZfcoreError, match=rf"network that takes {count} .*{rest[1]}\), needed 3 or 1, as images have") as caught:
        PRESETS["raw"].for_input((count, *rest))
    assert ("channels first" in str(caught.value)) == last


def test_mean_and_scale_stay_with_their_colours():
    rgb = Preprocessing("RGB", mean=[1, 2, 3], scale=[4, 5, 6])
    bgr = rgb.in_order("BGR")
    assert (bgr.mean.tolist(), bgr.scale.tolist()) == ([3, 2, 1], [6, 5, 4]) and bgr.in_order("RGB") == rgb
    assert PRESETS["unit"].in_order("grey").in_order("RGB") == PRESETS["unit"]


@pytest.mark.parametrize(
    "options, named",
    [
        ({"channels": "rgb"}, "channels"),
        ({"size": 0}, "size"),
        ({"size": -3}, "size"),
        ({"size": 2.5}, "size"),
        ({"size": (3,)}, "size"),
        ({"size": (0, 3)}, "size"),
        ({"crop": 5}, "crop"),
        ({"crop": (5, 0)}, "crop"),
        ({"crop": (5, 5.5)}, "crop"),
        ({"size": 10, "crop": (5, 11)}, "crop"),
        ({"size": (10, 20), "crop": (11, 20)}, "crop"),
        ({"mean": [1, 2]}, "mean"),
        ({"mean": "dark"}, "mean"),
        ({"mean": [1, 2, np.nan]}, "mean"),
        ({"mean": np.zeros((3, 4))}, "mean"),
        ({"mean": np.zeros((1, 4, 4)), "crop": (4, 4)}, "mean"),
        ({"scale": [1, 2, 3, 4]}, "scale"),
        ({"scale": np.inf}, "scale"),
        ({"scale": 0}, "scale"),
        ({"scale": [1, 1, 1e-60]}, "scale"),
        ({"scale": 1e39}, "scale"),
        ({"mean": -1e39}, "mean"),
        ({"scale": np.zeros((3, 4, 4))}, "scale"),
        ({"channels": "grey", "mean": [1, 2, 3]}, "mean"),
    ],
)
def test_wrong_options_are_named(options, named):
    with pytest.raises(ZfcoreError, match=f"^{named}: got .* needed"):
        Preprocessing(**options)


@pytest.mark.parametrize("size, dtype", [((4, 4, 3), float), ((4, 4), "u1"), ((4, 4, 4), "u1"), ((0, 4, 3), "u1")])
def test_wrong_images_are_refused(size, dtype):
    with pytest.raises(ZfcoreError, match="image: got"):
        Preprocessing()(np.zeros(size, dtype))


EXAMPLES = [
    *PRESETS.values(),
    PRESETS["torchvision"].for_input((3, 224, 224)),
    Preprocessing("grey", size=(28, 28), mean=np.array(33.3), scale=np.array(0.1)),
]


@pytest.mark.parametrize("preprocessing", EXAMPLES)
def test_through_json_and_back(preprocessing):
    back = Preprocessing.from_dict(json.loads(json.dumps(preprocessing.to_dict())))
    assert back == preprocessing
    np.testing.assert_array_equal(back(noise(30, 31)), preprocessing(noise(30, 31)))


def test_a_mean_image_travels_beside_the_dict():
    original = Preprocessing(size=8, crop=(4, 4), mean=np.random.default_rng(0).random((3, 4, 4)))
    values = json.loads(json.dumps(original.to_dict()))
    assert Preprocessing.from_dict(values, original.mean) == original
    assert Preprocessing.from_dict(values, original.mean + 1) != original
    with pytest.raises(ZfcoreError, match="mean"):
        Preprocessing.from_dict(values)


@pytest.mark.parametrize("values", [{}, {"channels": "RGB"}, [], {**PRESETS["raw"].to_dict(), "gamma": 2}])
def test_a_wrong_dict_is_refused(values):
    with pytest.raises(ZfcoreError, match="preprocessing: got"):
        Preprocessing.from_dict(values)


def test_equality_sees_every_field():
    base = Preprocessing(size=8, crop=(4, 4))
    changed = [
        replace(base, channels="BGR"),
        replace(base, size=9),
        replace(base, crop=(4, 5)),
        replace(base, mean=np.ones(3)),
        replace(base, scale=np.full(3, 2.0)),
    ]
    assert base == replace(base) and all(other != base for other in changed)
    assert base != "RGB"


@pytest.mark.parametrize("preprocessing", EXAMPLES)
def test_description_is_one_line(preprocessing):
    assert preprocessing.describe().isprintable() and preprocessing.channels in preprocessing.describe()
