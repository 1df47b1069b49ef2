"""Sets of images with or without classes, and single pictures."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from zfcore.data.gallery import open_images
from zfcore.data.pictures import open_picture
from zfcore.data.scenes import CLASSES
from zfcore.errors import ZfcoreError


def saved(path, value=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 9, 3), value, np.uint8)).save(path)


def test_a_folder_without_classes(tmp_path):
    saved(tmp_path / "b.png")
    saved(tmp_path / "a.png")
    found = open_images(tmp_path)
    assert [found.source.name(n) for n in range(len(found))] == ["a.png", "b.png"]
    assert (found.labelled, found.data, found.part) == (None, None, "")
    with pytest.raises(ZfcoreError):
        open_images(tmp_path, "test")


def test_class_folders_have_classes(tmp_path):
    for label in ("x", "y"):
        saved(tmp_path / label / "1.png")
    found = open_images(tmp_path)
    assert found.part == "train" and found.labelled.classes == ("x", "y") and len(found) == 2


def test_the_test_part_comes_first_and_others_by_name():
    assert open_images("scenes:20").part == "test" and len(open_images("scenes:20")) == 1000
    assert len(open_images("scenes:20", "train")) == 20
    with pytest.raises(ZfcoreError, match="has no part 'validation', only train, test"):
        open_images("scenes:20", "validation")


def test_no_images(tmp_path):
    with pytest.raises(ZfcoreError, match="no such file or folder"):
        open_images(tmp_path / "nothing")
    with pytest.raises(ZfcoreError, match="found an empty folder"):
        open_images(tmp_path)


def test_damage_in_labelled_data_is_said(tmp_path):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(b"\0\0\10\3")
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(b"\0\0\10\1")
    with pytest.raises(ZfcoreError, match="train-"):  # and not that the folder holds no image
        open_images(tmp_path)


def test_one_class_folder_alone_is_a_folder_of_images(tmp_path):
    saved(tmp_path / "x" / "1.png")
    assert open_images(tmp_path).labelled is None


# ---- pictures


def test_a_picture_from_a_file(tmp_path):
    saved(tmp_path / "a cat.png", 7)
    found = open_picture(tmp_path / "a cat.png")
    assert (found.name, found.label, found.scene) == ("a cat.png", None, None)
    assert found.pixels.shape == (8, 9, 3) and (found.pixels == 7).all()


def test_a_scene_is_that_of_the_test_part():
    found, gallery = open_picture("scenes/17"), open_images("scenes", "test")
    assert np.array_equal(found.pixels, gallery.source.read(17))
    assert found.label == CLASSES[gallery.labelled.labels[17]] == gallery.source.name(17).split()[0]
    assert found.scene.mask.any() and found.name == f"scene 17, {found.label}"


def test_a_file_of_a_scenes_name(tmp_path, monkeypatch):
    (tmp_path / "scenes").mkdir()
    Image.fromarray(np.full((8, 9, 3), 3, np.uint8)).save(tmp_path / "scenes" / "17", "PNG")
    monkeypatch.chdir(tmp_path)
    assert open_picture("scenes/17").scene is not None and open_picture("./scenes/17").scene is None


@pytest.mark.parametrize("given", ["scenes/10000000", "scenes/x", "scenes/-1", "nothing.png"])
def test_no_picture(given):
    with pytest.raises(ZfcoreError, match=given):
        open_picture(given)
