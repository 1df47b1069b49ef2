"""The command `data`: what it says of a set is so, what is damaged is named, and the data are left as they were."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from zfcore import cli
from zfcore.data.sources import FolderSource
from zfcore.errors import ZfcoreError
from zfcore.experiments import data
from zfcore.figures.contact import contact_sheet
from zfcore.figures.grid import EMPTY, SMALL


def picture(seed: int, size: tuple[int, int] = (8, 8), grey: bool = False) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, size if grey else (*size, 3), dtype=np.uint8))


@pytest.fixture
def folder(tmp_path):
    """Cats 0 to 4 (0 grey, 4 larger) and dogs 5 to 7 in train; in test a cat, and dog 5 of train once more."""
    root = tmp_path / "set"
    for kind in ("train/cat", "train/dog", "test/cat", "test/dog"):
        (root / kind).mkdir(parents=True)
    for number in range(8):
        size = (12, 20) if number == 4 else (8, 8)
        picture(number, size, grey=number == 0).save(root / "train" / ("cat" if number < 5 else "dog") / f"{number}.png")
    picture(8).save(root / "test" / "cat" / "8.png")
    picture(5).save(root / "test" / "dog" / "again.bmp")
    return root


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_says_what_is_there(folder, tmp_path, capsys):
    before = contents(folder)
    survey = data.run(folder, tmp_path / "out")
    found = json.loads((tmp_path / "out" / "data.json").read_text())
    assert contents(folder) == before
    assert (found["kind"], found["classes"], found["seed"]) == ("folder of class folders", ["cat", "dog"], 0)
    train, test = found["parts"]["train"], found["parts"]["test"]
    assert (train["images"], train["per_class"], train["grey"], train["channels"]) == (8, [5, 3], 1, 3)
    assert (train["height"], train["width"]) == ([8, 12], [8, 20])
    assert train["most_common_size"] == {"height": 8, "width": 8, "images": 7}
    assert (test["images"], test["per_class"], test["in_train_too"]) == (2, [1, 1], ["dog/again.bmp"])
    said = capsys.readouterr()
    assert not said.out
    assert said.err.splitlines() == [
        "warning: test: 1 image with the same pixels in train, too; the first is dog/again.bmp",
        f"written: {tmp_path / 'out' / 'contact-sheet.png'}, {tmp_path / 'out' / 'data.json'}",
    ]
    cells = [line.split() for line in data.table(survey).splitlines()]
    assert ["train", "8", "3", "4", "5", "0", "-", "8", "to", "12", "8", "to", "20", "8x8", "(88%)", "colour,", "1", "grey"] in cells
    assert ["test", "2", "1", "1", "1", "0", "1", "8", "8", "8x8", "colour"] in cells
    assert ["cat", "5", "1"] in cells and ["dog", "3", "1"] in cells


def test_one_damaged_image_among_thousands_is_named_and_counted(tmp_path, capsys):
    for kind in ("cat", "dog"):
        (tmp_path / "set" / kind).mkdir(parents=True)
    picture(0, (1, 1)).save(tmp_path / "set" / "cat" / "0000.png")
    for number in range(1, 2000):
        shutil.copyfile(tmp_path / "set" / "cat" / "0000.png", tmp_path / "set" / ("cat", "dog")[number % 2] / f"{number:04}.png")
    broken = tmp_path / "set" / "dog" / "1001.png"
    broken.write_bytes(broken.read_bytes()[:40])
    survey = data.run(tmp_path / "set", tmp_path / "out")
    assert capsys.readouterr().err.splitlines()[0].startswith("damaged: train: dog/1001.png: broken image")
    (named,) = data.facts(survey)["parts"]["train"]["damaged"]
    assert named["image"] == "dog/1001.png" and "broken image" in named["reason"]
    assert survey.seen["train"].sizes == {(1, 1): 1999}
    row = next(line for line in data.table(survey).splitlines() if line.startswith("train"))
    assert row.split()[1:6] == ["2,000", "1,000", "1,000", "1,000", "1"]


def test_damaged_images_are_no_duplicates(folder):
    for name in ("train/cat/0.png", "test/cat/8.png"):
        (folder / name).write_bytes(b"nonsense")
    survey = data.run(folder)
    assert survey.in_train["test"].tolist() == [1]
    assert list(survey.seen["train"].damaged) == list(survey.seen["test"].damaged) == [0]


def test_equal_bytes_of_another_shape_are_no_duplicate(tmp_path):
    for kind in ("train/a", "train/b", "test/a"):
        (tmp_path / kind).mkdir(parents=True)
    picture(0, (4, 9)).save(tmp_path / "train" / "a" / "1.png")
    picture(1, (4, 9)).save(tmp_path / "train" / "b" / "1.png")
    Image.fromarray(np.asarray(picture(0, (4, 9))).reshape(9, 4, 3)).save(tmp_path / "test" / "a" / "1.png")
    assert not len(data.run(tmp_path).in_train["test"])


def test_nothing_that_can_be_read(tmp_path):
    for kind in ("cat", "dog"):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "1.png").write_bytes(b"nonsense")
    with pytest.raises(ZfcoreError, match=r"none of 2 images can be read; the first, cat/1\.png: not an image"):
        data.run(tmp_path)


def test_notes_are_said(folder, capsys):
    (folder / "train" / "ant").mkdir()
    data.run(folder)
    assert "note: train: ant: an empty class, without any image; left out" in capsys.readouterr().err.splitlines()


@pytest.mark.parametrize("inside", [".", "contact", "train/cat/contact"])
def test_nothing_is_written_into_the_data(folder, inside):
    before = sorted(folder.rglob("*"))
    with pytest.raises(ZfcoreError, match="nothing is written; give another --out"):
        data.run(folder, folder / inside)
    assert sorted(folder.rglob("*")) == before


def test_without_out_nothing_is_written(folder, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    data.run(folder)
    assert not os.listdir(tmp_path / "here")


def test_of_many_classes_the_ends_are_shown(tmp_path):
    pixels = picture(0, (1, 1))
    for k in range(45):
        (tmp_path / "set" / f"class{k:02}").mkdir(parents=True)
        for number in range(1 + k % 15):
            pixels.save(tmp_path / "set" / f"class{k:02}" / f"{number}.png")
    survey = data.run(tmp_path / "set", tmp_path / "out")
    lines = data.table(survey).splitlines()
    heading = next(i for i, line in enumerate(lines) if line.startswith("the 10 smallest and 10 largest of 45 classes"))
    rows = lines[heading + 2 :]
    assert len(rows) == 21 and rows[10] == "..."
    counts = [int(row.split()[1]) for row in rows if row != "..."]
    assert counts == sorted(counts) and counts[:3] == [1, 1, 1] and counts[-3:] == [15, 15, 15]
    assert Image.open(tmp_path / "out" / "contact-sheet.png").width > SMALL


def test_the_sheet_is_drawn_by_seed(folder, tmp_path):
    for number in range(100, 120):
        picture(number).save(folder / "train" / "cat" / f"{number}.png")
    sheets = []
    for number, seed in enumerate((0, 0, 1)):
        data.run(folder, tmp_path / f"out{number}", seed)
        page = Image.open(tmp_path / f"out{number}" / "contact-sheet.png")
        sheets.append(page.crop((0, 0, page.width, page.height - 60)).tobytes())  # without the note, which says the seed
    assert sheets[0] == sheets[1] != sheets[2]


def test_tiles_are_the_images():
    red, wide = np.full((8, 8, 3), (255, 0, 0), np.uint8), np.full((100, 400, 3), (0, 0, 255), np.uint8)
    page = np.asarray(contact_sheet([("a" * 500, [red, wide]), ("none", [])], "title", "note"))
    colours = {colour: int((page == colour).all(axis=2).sum()) for colour in ((255, 0, 0), (0, 0, 255), EMPTY)}
    assert colours[255, 0, 0] == 96 * 96 and colours[0, 0, 255] == 24 * 96
    assert colours[EMPTY] == 4 * 96 * 96 - 96 * 96 - 24 * 96
    assert contact_sheet([("none", [])], "title", "note").width > SMALL


def test_ctrl_c_is_one_line(folder, capsys, monkeypatch):
    read = FolderSource.read

    def interrupted(self, index):
        if self.name(index) == "cat/2.png":
            raise KeyboardInterrupt
        return read(self, index)

    monkeypatch.setattr(FolderSource, "read", interrupted)
    assert cli.main(["data", str(folder), "--out", str(folder.parent / "out")]) == 130
    said = capsys.readouterr()
    assert not said.out and said.err == "zfcore: stopped after 2 of 8 images of part train\n"
    assert not os.listdir(folder.parent / "out")


def test_the_command_prints_a_table_or_json(folder, capsys):
    assert cli.main(["data", str(folder)]) == 0
    assert "folder of class folders" in capsys.readouterr().out
    assert cli.main(["data", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["parts"]["train"]["images"] == 8


def test_the_command_takes_scenes_by_name(capsys):
    assert cli.main(["data", "scenes:10", "--json", "--seed", "3"]) == 0
    assert json.loads(capsys.readouterr().out)["parts"]["train"]["per_class"] == [1] * 10


def test_a_wrong_path_is_one_line(tmp_path, capsys):
    assert cli.main(["data", str(tmp_path / "missing"), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr()
    assert not said.out and len(said.err.splitlines()) == 1 and "no such file or folder" in said.err
    assert not (tmp_path / "out").exists()


def test_published_photographs(shared_data, tmp_path):
    survey = data.run(shared_data / "caltech20", tmp_path)
    assert survey.seen["train"].sizes.total() == 1000 and not survey.seen["train"].damaged
