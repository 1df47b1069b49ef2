"""Figure 4: what is found at each epoch of a run, what is written of it, and the numbers that say when a layer comes to rest."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zfcore import Network, Window, ZfcoreError, cli, zoo
from zfcore.data.crops import Crops
from zfcore.data.datasets import open_data
from zfcore.data.preprocessing import Preprocessing
from zfcore.experiments import convergence, evolve, features, strongest, train
from zfcore.experiments.convergence import AS_SHOWN, IN_PLACE, Evolved
from zfcore.figures.evolution import evolution_picture
from zfcore.figures.grid import EMPTY
from zfcore.figures.project import MARK
from zfcore.formats.checkpoint import load_checkpoint
from zfcore.projection import framed
from zfcore.training import RECIPES, State
from zfcore.training.runs import Run

SIZE, FRAME = 20, 22
EPOCHS = (1, 2, 5)
DEAD = 3
"""A map of conv1 that is dead at epoch 2."""


def network(seed: int) -> Network:
    """Overlapping pools, contrast normalisation, a layer that sees more than the image, a fully connected one."""
    blocks = (zoo.Conv(6, 3, 1, 1, pool=3, ceil_mode=True, norm=True), zoo.Conv(8, 5, padding=2, pool=3, ceil_mode=True), zoo.Full(7))
    return zoo.build(zoo.Architecture(blocks, size=SIZE, classes=2), seed=seed, init="he")


def with_weights(net: Network, layer: str, **arrays: np.ndarray) -> Network:
    layers = [replace(old, **arrays) if name == layer else old for name, old in net.layers.items()]
    return Network(layers, net.outputs, net.name)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    """Two classes of six images."""
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for label in ("a", "b"):
        (folder / label).mkdir()
        for number in range(6):
            Image.fromarray(rng.integers(0, 256, (24, 30, 3), dtype=np.uint8)).save(folder / label / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory, pictures) -> Path:
    """A run: from epoch 2 to 5 conv1 stays but for a factor and a map that awakes; all else is drawn anew every epoch."""
    folder = tmp_path_factory.mktemp("run")
    images = open_data(pictures).part("train")
    facts = {
        "zfcore": "0",
        "architecture": "made",
        "recipe": RECIPES["small"].to_dict(),
        "classes": list(images.classes),
        "channels": "RGB",
        "frame": FRAME,
        "data": {"path": str(pictures), "kind": "folder of class folders", "listing": images.listing()},
    }
    begun = Run.begin(folder, facts, np.array([0, 2, 3, 5, 6, 7, 8, 10, 11]), np.array([1, 4, 9]))
    mean = np.random.default_rng(1).uniform(100, 150, (3, FRAME, FRAME))
    crops = Crops(Preprocessing("RGB", FRAME, (FRAME, FRAME), mean, np.full(3, 1 / 64)), (SIZE, SIZE))
    first = network(2).layers["conv1"].arrays
    awake = np.arange(6) != DEAD
    for epoch in EPOCHS:
        net = network(epoch)
        if epoch == 2:
            weight = first["weight"] * awake[:, None, None, None]
            net = with_weights(net, "conv1", weight=weight.astype(np.float32), bias=np.where(awake, first["bias"], -1).astype(np.float32))
        if epoch == 5:
            net = with_weights(net, "conv1", weight=first["weight"] * 2, bias=first["bias"] * 2)
        net.preprocessing = crops.preprocessing
        begun.checkpoint(epoch).write_bytes(begun.bytes_of(net, State(), crops))
    return folder


def contents(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


# ---- what is found


@pytest.mark.parametrize("rule", ["deconvnet", "guided"])
def test_each_column_is_what_the_network_of_its_epoch_projects(made, pictures, tmp_path, rule):
    found = evolve.run(made, tmp_path, ("conv1", "pool2", "relu3"), maps=[1, DEAD, 5], rule=rule, batch=4)
    begun, images = Run.open(made), open_data(pictures).part("train").source
    assert list(found.epochs) == list(EPOCHS)
    facts, checked, dead = json.loads(found.facts.read_bytes()), 0, 0
    assert "Nie et al. 2018" in facts["caveat"] and facts["rule"]["rectifier"] == rule
    for of_layer in facts["layers"]:
        layer, arrays = of_layer["layer"], np.load(tmp_path / f"{of_layer['layer']}.npz")
        for column, epoch in enumerate(EPOCHS):
            net = load_checkpoint(begun.checkpoint(epoch))
            trace = net.forward(np.stack([net.preprocessing(images.read(int(n))) for n in begun.training]), keep=[layer])
            for m, number in enumerate(arrays["maps"]):
                entry = of_layer["units"][m]["columns"][column]
                activations = trace[layer][:, number]
                assert entry["epoch"] == epoch
                if not activations.max() > 0:
                    dead += 1
                    assert entry["dead"] and arrays["images"][m, column] == -1 and not arrays["projections"][m, column].any()
                    continue
                n, *position = np.unravel_index(activations.argmax(), activations.shape)
                ref = net.project(trace, layer, (n, number, *position), rule)
                shown = Window(*arrays["windows"][m, column])
                np.testing.assert_array_equal(arrays["projections"][m, column], framed(ref.pixels, ref.window, shown))
                assert arrays["values"][m, column] == ref.value == np.float32(entry["value"])
                assert arrays["images"][m, column] == begun.training[n] and entry["image"] == images.name(int(begun.training[n]))
                assert arrays["positions"][m, column].tolist() == position == (entry["position"] or [])
                frame = net.preprocessing.frame(images.read(int(begun.training[n])))
                inside = shown.intersection(Window(0, SIZE, 0, SIZE))
                patch = arrays["patches"][m, column][inside.relative_to(shown).slices]
                np.testing.assert_array_equal(patch, frame[inside.slices])
                checked += 1
    assert checked + dead == 27 and checked > 20 and dead > 0


def test_the_draw_is_that_of_features(made, tmp_path):
    found = evolve.run(made, tmp_path, ["conv2"], random=3, seed=4, epochs=[1])
    net = load_checkpoint(Run.open(made).checkpoint(1))
    assert np.load(tmp_path / "conv2.npz")["maps"].tolist() == features.chosen_maps(net, "conv2", None, 3, 4)
    assert found.layers["conv2"].facts()["change"][IN_PLACE]["mean"] == []  # one column: nothing to compare
    assert "conv2" in found.table


def test_what_stays_but_for_a_factor_has_settled(made, tmp_path):
    found = evolve.run(made, tmp_path, random=None)
    assert list(found.layers) == ["conv1", "conv2"]  # every convolution
    low, high = (numbers.changes[AS_SHOWN] for numbers in found.layers.values())
    others = np.arange(6) != DEAD
    assert np.isnan(low.of_maps[DEAD]).all() and (low.of_maps[others, 0] > convergence.SMALL).all()
    assert low.settled == 2 and (low.settled_maps[others] == 2).all() and low.settled_maps[DEAD] == np.inf
    assert high.settled == np.inf
    assert found.layers["conv1"].resting[DEAD] == 5  # dead in the column before
    assert found.layers["conv1"].still_changing == 1 - 5 / 6
    text = found.table
    assert "not" in text and "17%" in text


def test_a_real_run(tmp_path):
    recipe = replace(RECIPES["small"], epochs=3, batch=10, schedule="constant")
    train.run("scenes:20", "zfnet-28", tmp_path / "run", recipe)
    found = evolve.run(tmp_path / "run", tmp_path / "run" / "evolution", random=2)
    assert list(found.epochs) == [1, 2, 3]
    assert list(found.layers) == ["conv1", "conv2", "conv3", "conv4", "conv5"]
    assert [path.name for path in found.pictures] == [*(f"{layer}.png" for layer in found.layers), "convergence.png"]


# ---- stopping and going on


def test_interrupted_anywhere_it_goes_on_to_the_same_files(made, tmp_path, monkeypatch):
    evolve.run(made, tmp_path / "whole", batch=2)
    asked, arrived = [], strongest._arrived

    def stopped(images, *others):
        asked.extend(images)
        if len(asked) in (4, 15):  # in the middle of the first epoch, and of the second
            raise KeyboardInterrupt
        return arrived(images, *others)

    monkeypatch.setattr(strongest, "_arrived", stopped)
    for where in ("epoch 1: stopped after 2 of 9 images", "epoch 2: stopped after 2 of 9 images"):
        with pytest.raises(KeyboardInterrupt, match=f"{where}.*the same command goes on from there"):
            evolve.run(made, tmp_path / "parts", batch=2)
        assert not (tmp_path / "parts" / "evolution.json").exists()
    evolve.run(made, tmp_path / "parts", batch=2)
    assert len(asked) == 3 * 9 + 2 * 2  # two batches were lost
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")


def test_what_was_searched_is_not_searched_again(made, tmp_path, monkeypatch):
    evolve.run(made, tmp_path, batch=3)
    before = contents(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(evolve, "search", None)
        evolve.run(made, tmp_path, batch=3)
        assert contents(tmp_path) == before
        evolve.run(made, tmp_path, epochs=[2, 5], rule="guided")  # other columns, another rule: the same search
        with pytest.raises(TypeError):
            evolve.run(made, tmp_path, batch=3, restart=True)
    with pytest.raises(ZfcoreError, match=r"epoch-0001\.npz: belongs to a search with other maps; .*--restart"):
        evolve.run(made, tmp_path, maps=[0])
    evolve.run(made, tmp_path, maps=[0], restart=True)


def test_images_are_decoded_once(made, tmp_path, monkeypatch):
    read, asked = evolve.Subset.read, []
    monkeypatch.setattr(evolve.Subset, "read", lambda self, index: asked.append(index) or read(self, index))
    evolve.run(made, tmp_path / "kept")
    assert sorted(asked) == list(range(9))
    monkeypatch.setattr(evolve, "KEPT_BYTES", 9 * SIZE * SIZE * 3 - 1)
    evolve.run(made, tmp_path / "again")
    assert len(asked) > 9 + 3 * 9
    assert contents(tmp_path / "kept") == contents(tmp_path / "again")


# ---- the numbers


def evolved(projections: np.ndarray, corners: np.ndarray, images: np.ndarray, size: tuple[int, int] = (4, 6)) -> Evolved:
    """Projections (M, E, C, h, w) whose windows begin at corners (M, E, 2)."""
    count, columns, _, h, w = projections.shape
    (y, x), empty = np.moveaxis(corners, -1, 0), np.zeros((count, columns, 2), np.int64)
    windows = np.stack([y, y + h, x, x + w], axis=-1)
    values = np.where(images < 0, 0.0, 1.0)
    patches = np.zeros((count, columns, h, w, 3), np.uint8)
    epochs = np.array([1, 2, 5, 10])[:columns]
    return Evolved("l", epochs, np.arange(count), values, images, empty, windows, windows, projections, patches, size, "made")


def test_change_in_place_and_as_shown():
    signal = np.array([[1.0, 2.0], [0.0, -2.0]])
    other = np.array([[0.0, 0.0], [3.0, 0.0]])  # at a right angle to the first
    projections = np.stack([signal, 2 * signal, -signal, other])[None, :, None]
    corners = np.array([[0, 0], [0, 0], [0, 0], [0, 0]])[None]
    numbers = convergence.convergence(evolved(projections, corners, np.zeros((1, 4), int)))
    for change in numbers.changes.values():
        assert change.of_maps.tolist() == [[0, 2, 1]] and change.settled == np.inf
    moved = np.array([[0, 0], [2, 4], [2, 3], [-1, -1]])[None]  # elsewhere; overlapping; partly outside the input
    same = np.stack([signal, signal, signal, signal])[None, :, None]
    numbers = convergence.convergence(evolved(same, moved, np.array([[3, 3, 4, 4]])))
    assert numbers.changes[AS_SHOWN].of_maps.tolist() == [[0, 0, 0]] and numbers.changes[AS_SHOWN].settled == 1
    # Overlapping by a column, 2 meets 1 and -2 meets 0: 2 of 9.
    assert numbers.changes[IN_PLACE].of_maps.tolist() == [[1, 1 - 2 / 9, 1]]
    assert numbers.resting.tolist() == [5] and numbers.same.tolist() == [0, 0, 1, 1] and numbers.still_changing == 0


def test_dead_maps_are_left_out_of_the_means():
    projections = np.ones((3, 3, 1, 2, 2))
    projections[0, 1] = [[1, -1], [1, -1]]  # at a right angle to its neighbours
    projections[1, 1] = projections[2, 2] = 0
    images = np.array([[0, 1, 0], [0, -1, 0], [5, 5, -1]])
    numbers = convergence.convergence(evolved(projections, np.zeros((3, 3, 2), int), images))
    change = numbers.changes[IN_PLACE]
    np.testing.assert_array_equal(change.of_maps, [[1, 1], [np.nan, np.nan], [0, np.nan]])
    assert change.mean.tolist() == [0.5, 1] and change.median.tolist() == [0.5, 1]
    np.testing.assert_array_equal(change.settled_maps, [np.inf, np.inf, np.nan])
    np.testing.assert_array_equal(numbers.resting, [5, 5, np.nan])
    assert numbers.alive == 2 and numbers.same.tolist() == [1, 0, 1] and numbers.still_changing == 1
    json.dumps(numbers.facts())


# ---- which epochs


@pytest.mark.parametrize(
    ("there", "chosen"),
    [
        (range(1, 71), [1, 2, 5, 10, 20, 30, 40, 64, 70]),
        (range(1, 31), [1, 2, 5, 10, 20, 30]),
        ([3, 6, 9, 12], [3, 6, 9, 12]),
        ([10, 20, 33], [10, 20, 33]),
        ([1], [1]),
    ],
)
def test_columns_are_the_papers_or_the_nearest(tmp_path, capsys, there, chosen):
    for epoch in there:
        (tmp_path / f"epoch-{epoch:04d}.safetensors").touch()
    begun = Run(tmp_path, {}, np.zeros(0, np.int64), np.zeros(0, np.int64))
    assert evolve.chosen_epochs(begun) == chosen
    assert ("nearest" in capsys.readouterr().err) == (not set(chosen) <= set(evolve.PAPER_EPOCHS))
    assert evolve.chosen_epochs(begun, [there[-1], there[0]]) == sorted({there[0], there[-1]})
    with pytest.raises(ZfcoreError, match=f"epochs: got 99, but .* has checkpoints of {there[0]}"):
        evolve.chosen_epochs(begun, [there[0], 99])


# ---- mistakes


def test_mistakes_are_said_before_any_work(made, pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(evolve, "search", None)
    out = tmp_path / "out"
    other = tmp_path / "other"
    for label in ("a", "b"):
        (other / label).mkdir(parents=True)
        (other / label / "0.png").write_bytes((pictures / label / "0.png").read_bytes())
    for message, changes in {
        "no layer 'conv7'": {"layers": ["conv7"]},
        "maps: got 6, layer 'conv1' has maps 0 to 5": {"maps": [1, 6]},
        "epochs: got 3, but .* has checkpoints of 1, 2, 5": {"epochs": [1, 3]},
        "seed: got -1": {"seed": -1},
        "not the data that .* began with; give --data": {"data": other},
        "lies in the data's folder": {"out": pictures / "a" / "out"},
    }.items():
        with pytest.raises(ZfcoreError, match=message):
            evolve.run(**{"folder": made, "out": out, **changes})
    with pytest.raises(ZfcoreError, match="holds no run"):
        evolve.run(tmp_path, out)
    assert not out.exists() and not (pictures / "a" / "out").exists()


def test_a_checkpoint_of_another_run_is_refused(made, tmp_path):
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    for path in made.iterdir():
        content = path.read_bytes()
        if path.name == "epoch-0005.safetensors":
            content = content.replace(Run.open(made).id.encode(), b"0" * 64)
        (mixed / path.name).write_bytes(content)
    with pytest.raises(ZfcoreError, match=r"epoch-0005\.safetensors: a checkpoint of another run"):
        evolve.run(mixed, tmp_path / "out")


def test_a_damaged_image_is_left_out_and_said(made, pictures, tmp_path, monkeypatch, capsys):
    damaged = tmp_path / "damaged"
    for label in ("a", "b"):
        (damaged / label).mkdir(parents=True)
        for path in (pictures / label).iterdir():
            content = path.read_bytes()
            cut = content[:200] + bytes(len(content) - 200) if (label, path.stem) == ("a", "2") else content  # the listing is of sizes
            (damaged / label / path.name).write_bytes(cut)
    found = evolve.run(made, tmp_path / "out", data=damaged)
    assert "skipped a/2.png" in capsys.readouterr().err
    skipped = json.loads(found.facts.read_bytes())["images"]["skipped"]
    assert {epoch: [entry["image"] for entry in entries] for epoch, entries in skipped.items()} == {str(e): ["a/2.png"] for e in EPOCHS}


# ---- pictures


def test_picture_shows_new_images_and_dead_maps():
    rng = np.random.default_rng(0)
    projections, patches = rng.standard_normal((1, 3, 3, 20, 20)), np.full((1, 3, 20, 20, 3), 128, np.uint8)

    def coloured(colour, values, images):
        page = evolution_picture(
            projections, patches, np.array([values]), np.array([images]), np.zeros((1, 2)), [("map 1",)], [1, 2, 5], 0.1, "t"
        )
        return int((np.asarray(page) == colour).all(axis=2).sum())

    assert coloured(MARK, [1, 1, 1], [4, 4, 4]) == 0
    once, twice = coloured(MARK, [1, 1, 1], [4, 4, 5]), coloured(MARK, [1, 1, 1], [4, 3, 5])
    assert 0 < once and twice == 2 * once
    assert coloured(EMPTY, [1, 0, 1], [4, -1, 4]) > coloured(EMPTY, [1, 1, 1], [4, 4, 4]) + 50 * 50
    assert coloured(EMPTY, [1, np.nan, 1], [4, -1, 4]) > coloured(EMPTY, [1, 1, 1], [4, 4, 4]) + 50 * 50


def test_many_maps_come_on_several_pages(made, tmp_path, monkeypatch):
    monkeypatch.setattr(evolve, "MAPS_PER_PAGE", 4)
    found = evolve.run(made, tmp_path, ["conv1"], random=None, epochs=[1, 2])
    assert [path.name for path in found.pictures] == ["conv1-page1.png", "conv1-page2.png", "convergence.png"]
    assert all(Image.open(path).size > (300, 300) for path in found.pictures)


def test_command(made, tmp_path, capsys):
    assert cli.main(["evolve", str(made), "--layers", "conv1,pool2", "--random", "2", "--out", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert "settled" in out and out.splitlines()[-1] == str(tmp_path / "convergence.png")
    assert "9 training images x 3 epochs (1, 2, 5): 27 images to forward" in err and "To keep in mind" in err
    assert cli.main(["evolve", str(made), "--epochs", "1,4", "--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
