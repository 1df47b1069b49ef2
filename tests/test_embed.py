"""`zfcore embed`: clusters stay apart, the grid holds every image once, shares are those counted by hand; and the command."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from PIL import Image

from zfcore import cli
from zfcore.data.preprocessing import Preprocessing
from zfcore.errors import ZfcoreError
from zfcore.experiments import embed
from zfcore.experiments.embed import drawn, measures
from zfcore.experiments.neighbours import (
    components,
    grid_cells,
    nearest_ones,
    neighbours_kept,
    plane,
    same_class,
    same_class_by_chance,
    unit_square,
)
from zfcore.figures.embed import MOST_CLASSES, SIDE, dots_figure, grid_picture, scatter_picture, thumbnail
from zfcore.figures.grid import GAP
from zfcore.formats import save
from zfcore.testing import parity_test, rounding_bound
from zfcore.zoo import Architecture, Conv, Full, build

CLASSES = ("dark", "light", "$red$", "_blue")
TINY = Architecture((Conv(6, 3, padding=1, pool=3), Full(8)), size=12, classes=len(CLASSES))


def clusters(apart=50.0, each=15, features=20, seed=0):
    """Points round four centres, and the numbers of the centres."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(4), each)
    return (apart * rng.standard_normal((4, features))[labels] + rng.standard_normal((4 * each, features))).astype(np.float32), labels


# ---- the pieces


def test_clusters_that_are_apart_stay_apart():
    codes, labels = clusters()
    places = plane(components(codes), perplexity=8.0)
    assert same_class(nearest_ones(places, 10), labels) == 1
    distances = np.linalg.norm(places[:, None] - places, axis=2)
    same = labels[:, None] == labels
    assert distances[same].max() < distances[~same].min()
    assert np.array_equal(places, plane(components(codes), perplexity=8.0))


def test_components_keep_distances_and_are_few():
    codes, _ = clusters(features=5)
    few = components(codes)
    assert few.shape == (60, 5) and components(codes, count=3).shape == (60, 3)
    before, after = (np.linalg.norm(points[:, None] - points, axis=2) for points in (codes.astype(np.float64), few))
    parity_test(after, before, rounding_bound(100, np.full(before.shape, before.max()), np.float64))
    for wrong, reason in ((np.ones((9, 4), np.float32), "all images are the same"), (codes[:, :1], "got 1 feature")):
        with pytest.raises(ZfcoreError, match=reason):
            components(wrong)


@pytest.mark.parametrize("count", [1, 5, 6, 37, 144])
def test_the_grid_holds_every_image_once(count):
    places = np.random.default_rng(count).standard_normal((count, 2)) ** 3
    cells = grid_cells(places)
    side = int(np.ceil(np.sqrt(count)))
    assert len({tuple(cell) for cell in cells.tolist()}) == count
    assert cells.min() >= 0 and cells.max() < side


def test_what_is_a_grid_already_keeps_its_order():
    rows, columns = np.divmod(np.random.default_rng(0).permutation(49), 7)
    cells = grid_cells(np.stack([columns, rows], axis=1) * 3.5)
    assert np.array_equal(cells, np.stack([rows, columns], axis=1))


def test_places_that_are_all_alike_are_in_the_middle():
    assert unit_square(np.full((3, 2), 7.0)).tolist() == [[0.5, 0.5]] * 3
    assert unit_square(np.array([[1.0, 5], [3, 5]])).tolist() == [[0, 0.5], [1, 0.5]]


def test_shares_counted_by_hand():
    line = np.array([[0.0], [1.0], [2.1], [10.0], [11.0]])
    near = nearest_ones(line, 1)
    assert near.ravel().tolist() == [1, 0, 1, 4, 3]
    assert same_class(near, np.array([0, 0, 1, 1, 1])) == 0.8
    assert same_class_by_chance(np.array([0, 0, 0, 1])) == 0.5
    assert neighbours_kept(np.array([[1, 2], [0, 2]]), np.array([[2, 3], [2, 0]])) == 0.75


def test_chance_is_what_random_neighbours_have():
    labels = np.random.default_rng(0).integers(0, 4, 600)
    noise = np.random.default_rng(1).standard_normal((600, 3))
    share, chance = same_class(nearest_ones(noise, 10), labels), same_class_by_chance(labels)
    assert abs(share - chance) < 4 * np.sqrt(chance * (1 - chance) / 600)


def test_measures_of_known_classes_and_of_none():
    codes, labels = clusters()
    noise = np.random.default_rng(0).standard_normal(codes.shape)
    found = measures({"code": codes, "plane": codes, "raw_pixels": noise}, labels, 5)
    shares = found["neighbours_of_the_same_class"]
    assert shares["code"] == 1 and shares["raw_pixels"] < 0.5 and shares["chance"] == pytest.approx(14 / 59)
    assert found["neighbours_kept_in_the_plane"] == 1
    assert "neighbours_of_the_same_class" not in measures({"code": codes, "plane": codes}, None, 5)


def test_images_are_drawn_by_seed():
    assert drawn(50, 9, 3).tolist() == drawn(50, 9, 3).tolist() != drawn(50, 9, 4).tolist()
    assert len(set(drawn(50, 9, 3).tolist())) == 9


# ---- pictures


def test_every_thumbnail_lies_in_its_cell_and_at_its_place():
    tiles = [np.full((40, 40, 3), 10 * (k + 1), np.uint8) for k in range(4)]
    cells = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    page = np.asarray(grid_picture(tiles, cells, "$t$", "n"))
    where = [np.argwhere((page == 10 * (k + 1)).all(axis=2)) for k in range(4)]
    assert [len(own) for own in where] == [1600] * 4
    top_left = [own.min(axis=0).tolist() for own in where]
    (y, x), step = top_left[2], 40 + GAP  # row 1 is above row 0, as in the plane
    assert top_left == [[y + step, x], [y + step, x + step], [y, x], [y, x + step]]
    page = np.asarray(scatter_picture(tiles, np.array([[0, 0], [1, 0], [0, 1], [0.5, 0.5]]), "t", "n"))
    where = [np.argwhere((page == 10 * (k + 1)).all(axis=2)).mean(axis=0) for k in range(4)]
    assert where[0][0] - where[2][0] == where[1][1] - where[0][1] == SIDE - 40
    assert where[0][1] < where[3][1] < where[1][1] and where[2][0] < where[3][0] < where[0][0]


def test_thumbnails_are_enlarged_by_whole_factors():
    frame = np.random.default_rng(0).integers(0, 255, (10, 8, 3), dtype=np.uint8)
    tile = thumbnail(frame, 34)
    assert np.array_equal(tile[2:32, 5:29], frame.repeat(3, axis=0).repeat(3, axis=1))
    assert thumbnail(frame.repeat(9, axis=0), 20).shape == (20, 20, 3)


def test_more_classes_than_colours():
    labels = np.repeat(np.arange(MOST_CLASSES + 5), 2)
    names = [f"_{k} $x^" for k in range(MOST_CLASSES + 5)]
    figure = dots_figure(np.random.default_rng(0).random((len(labels), 2)), labels, names, "n")
    texts = [text.get_text().strip() for text in figure.legends[0].get_texts()]
    assert texts == ["5 other classes", *names[:MOST_CLASSES]]
    figure.canvas.draw()


# ---- the command


@pytest.fixture
def network(tmp_path):
    net = build(TINY, 0, "he", CLASSES)
    net.preprocessing = Preprocessing(size=(12, 12), mean=np.full(3, 120.0), scale=np.full(3, 1 / 50))
    save(net, tmp_path / "net.safetensors")
    return tmp_path / "net.safetensors"


@pytest.fixture
def folder(tmp_path):
    """Eight images for each of three classes, told apart by their colour."""
    rng = np.random.default_rng(0)
    for name, colour in (("dark", (20, 20, 20)), ("light", (230, 230, 230)), ("$red$", (230, 20, 20))):
        place = tmp_path / "images" / name
        place.mkdir(parents=True)
        for number in range(8):
            pixels = np.clip(np.array(colour) + rng.integers(-15, 16, (14, 14, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(place / f"{number}.png")
    return tmp_path / "images"


def command(*arguments):
    try:
        return cli.main(["embed", *map(str, arguments)])
    except SystemExit as stop:  # argparse
        return stop.code


def test_the_command_writes_pictures_places_and_record(network, folder, tmp_path, capsys):
    (folder / "light" / "3.png").write_bytes(b"broken")
    out = tmp_path / "out"
    assert command(network, "--images", folder, "--neighbours", 3, "--out", out) == 0
    said = capsys.readouterr()
    assert "Of the 3 nearest neighbours" in said.out and "skipped light/3.png" in said.err
    record = json.loads((out / "embed.json").read_text())
    shares = record["numbers"]["neighbours_of_the_same_class"]
    assert shares["code"] == shares["raw_pixels"] == 1 and 0.2 < shares["chance"] < 0.4  # colours tell them apart
    assert list(record["numbers"]["skipped"]) == ["light/3.png"]
    assert record["configuration"]["perplexity"] == pytest.approx(22 / 3) and record["configuration"]["layer"]["name"] == "relu2"
    assert {place.name for place in out.iterdir()} == {*record["files"], "embed.json"}
    arrays = np.load(out / "embed.npz")
    assert arrays["places"].shape == (23, 2) and len(np.unique(arrays["cells"], axis=0)) == 23


def test_images_without_classes(network, folder, tmp_path, capsys):
    inner = folder / "dark"
    assert command(network, "--images", inner, "--count", 6, "--out", tmp_path / "out") == 0
    said = capsys.readouterr()
    assert "classes are not known" in said.out and "6 principal components" in said.err
    assert not (tmp_path / "out" / "embed-classes.png").exists()
    assert json.loads((tmp_path / "out" / "embed.json").read_text())["numbers"]["images"] == 6


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--layer", "relu9"], "relu9"),
        (["--perplexity", "8"], "perplexity: got 8, needed 1 to 7.667"),
        (["--perplexity", "nan"], "perplexity: got nan"),
        (["--count", "4"], "images: got 4, needed 5 or more"),
        (["--count", "0"], "at least 1"),
        (["--part", "test"], "has no part 'test'"),
        (["--images", "nowhere"], "no such file or folder"),
    ],
)
def test_wrong_input_is_one_line(network, folder, tmp_path, capsys, options, reason):
    out = tmp_path / "out"
    assert command(network, "--images", folder, "--out", out, *options) == 2
    said = capsys.readouterr()
    assert not said.out and not out.exists()
    assert len(said.err.splitlines()) == 1 and reason in said.err


def test_an_empty_path_is_not_the_current_folder(network, folder, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    assert command(network, "--images", "", "--out", tmp_path / "out") == 2
    assert "got an empty path" in capsys.readouterr().err


def test_results_are_kept_out_of_the_images(network, folder, capsys):
    before = sorted(os.listdir(folder))
    assert command(network, "--images", folder, "--out", folder / "out") == 2
    assert "lies in the data's folder" in capsys.readouterr().err
    assert sorted(os.listdir(folder)) == before


def test_codes_that_are_all_alike(network, tmp_path, capsys):
    place = tmp_path / "same"
    place.mkdir()
    for number in range(6):
        Image.fromarray(np.full((12, 12, 3), 90, np.uint8)).save(place / f"{number}.png")
    assert command(network, "--images", place, "--out", tmp_path / "out") == 2
    assert "those of all images are the same" in capsys.readouterr().err.splitlines()[-1]
    assert not list((tmp_path / "out").iterdir())


def test_interrupted_it_says_that_nothing_was_written(network, folder, tmp_path, capsys, monkeypatch):
    def stopped(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(embed, "plane", stopped)
    assert command(network, "--images", folder, "--out", tmp_path / "out") == 130
    assert "stopped during t-SNE; nothing was written" in capsys.readouterr().err.splitlines()[-1]
    assert not list((tmp_path / "out").iterdir())
