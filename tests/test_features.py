"""Figure 2: the search for what excites a map most, and what is written of it."""

from __future__ import annotations

import errno
import json
import os
import shutil
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from zfcore import Network, Window, ZfcoreError, layers, zoo
from zfcore.data.choice import Choice, choose
from zfcore.data.preprocessing import PRESETS
from zfcore.data.sources import ArraySource, FolderSource, read_ahead
from zfcore.experiments import features, strongest
from zfcore.experiments.strongest import Strongest
from zfcore.figures.features import LARGE, features_picture, shrunk_projection
from zfcore.figures.filters import filters_picture
from zfcore.figures.grid import EMPTY, PAD, shrunk
from zfcore.figures.signed import signed_levels, signed_picture
from zfcore.files import write_whole

SIZE = 20
LAYERS = ("relu1", "pool2", "relu3")


def small_net(seed: int = 0) -> Network:
    """Overlapping pools in ceil mode, contrast normalisation, a layer that sees more than the image, a fully connected one."""
    blocks = (
        zoo.Conv(6, 3, 1, 1, pool=3, ceil_mode=True, norm=True),
        zoo.Conv(8, 5, padding=2, pool=3, ceil_mode=True),
        zoo.Full(7),
    )
    net = zoo.build(zoo.Architecture(blocks, size=SIZE, classes=4), seed=seed, init="he")
    net.backend = "reference"
    return net


def pictures(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 24, 30, 3), dtype=np.uint8)


@pytest.fixture
def net() -> Network:
    return small_net()


@pytest.fixture
def choice(net) -> Choice:
    return choose(net, "caffe")


@pytest.fixture
def folder(tmp_path):
    """Nine good images, and a broken one among them."""
    images = tmp_path / "images"
    (images / "more").mkdir(parents=True)
    for index, picture in enumerate(pictures(9)):
        Image.fromarray(picture).save(images / ("more" if index % 2 else ".") / f"{index}.png")
    (images / "4a.png").write_bytes((images / "4.png").read_bytes()[:200])
    return images


def contents(out) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(out.iterdir())}


def facts_of(page: features.Page) -> dict:
    return json.loads(page.facts.read_bytes())


# ---- the search


@pytest.mark.parametrize("batch", [1, 3, 7, 20])
def test_strongest_equals_sorting_everything(batch):
    rng = np.random.default_rng(1)
    activations = rng.integers(-3, 4, (20, 5, 3, 4)).astype(np.float32)  # small integers: ties everywhere
    activations[rng.random(activations.shape) < 0.2] = np.nan
    activations[7] = np.nan
    maps = [0, 2, 4]
    found = Strongest.none_yet(maps, 6, activations.dtype)
    for start in range(0, 20, batch):
        found = found.with_batch(activations[start : start + batch], range(start, min(start + batch, 20)))
    for row, number in enumerate(maps):
        best = []  # (-value, image, position): sorting it settles ties by image, then by position
        for image in range(20):
            places = [(-v, p) for p, v in np.ndenumerate(activations[image, number]) if not np.isnan(v)]
            best += [(least[0], image, least[1]) for least in [min(places, default=None)] if least]
        for k, (negative, image, position) in enumerate(sorted(best)[:6]):
            assert found.values[row, k] == -negative
            assert found.images[row, k] == image
            assert tuple(found.positions[row, k]) == position


def test_each_image_counts_once(net, choice, tmp_path):
    page = features.run(net, ArraySource(pictures(5)), ["relu1"], tmp_path, choice=choice, random=None)[0]
    for unit in facts_of(page)["units"]:
        images = [entry["image"] for entry in unit["strongest"]]
        assert len(images) == len(set(images))


def test_random_maps_follow_the_seed_and_nothing_else(net):
    drawn = features.chosen_maps(net, "conv2", None, 3, 5)
    assert drawn == features.chosen_maps(net, "conv2", None, 3, 5) == sorted(set(drawn))
    assert any(drawn != features.chosen_maps(net, "conv2", None, 3, seed) for seed in range(5))
    assert features.chosen_maps(net, "conv2", None, 99, 0) == features.chosen_maps(net, "conv2", None, None, 0) == list(range(8))
    assert features.chosen_maps(net, "conv2", [5, 1, 5], 3, 0) == [1, 5]


# ---- what is written


@pytest.mark.parametrize("rule", ["deconvnet", "guided"])
def test_files_agree_with_the_network(net, choice, tmp_path, rule):
    images = pictures(12)
    names = [f"picture {i}" for i in range(12)]
    pages = features.run(net, ArraySource(images, names), LAYERS, tmp_path, choice=choice, random=3, top=4, rule=rule, batch=5)
    assert [page.layer for page in pages] == list(LAYERS)
    for page in pages:
        facts, arrays = facts_of(page), np.load(page.arrays)
        assert arrays["maps"].tolist() == facts["maps"] == [unit["map"] for unit in facts["units"]]
        checked = 0
        for m, unit in enumerate(facts["units"]):
            for k, entry in enumerate(unit["strongest"]):
                index = names.index(entry["image"])
                x = choice.preprocessing(images[index])[None]
                trace = net.forward(x, keep=[page.layer])
                position = tuple(entry["position"] or ())
                projection = net.project(trace, page.layer, (0, unit["map"], *position), rule)
                assert entry["value"] == projection.value == trace[page.layer][0, unit["map"]].max() == arrays["values"][m, k]
                assert arrays["images"][m, k] == index and tuple(arrays["positions"][m, k]) == position
                assert Window(**entry["receptive_field"]) == projection.window
                shown = Window(**entry["shown"])
                assert shown.size == tuple(facts["shown_size"]) == arrays["patches"].shape[2:4]
                frame = choice.preprocessing.frame(images[index])
                for y in range(shown.size[0]):
                    for x in range(shown.size[1]):
                        row, column = shown.y0 + y, shown.x0 + x
                        inside = 0 <= row < SIZE and 0 <= column < SIZE
                        assert tuple(arrays["patches"][m, k, y, x]) == (tuple(frame[row, column]) if inside else PAD)
                        bgr = projection.pixels[:, row - projection.window.y0, column - projection.window.x0]
                        assert arrays["projections"][m, k, :, y, x].tolist() == bgr[::-1].tolist()
                checked += 1
        assert checked
        assert Image.open(page.picture).size > (100, 100)


def test_a_window_larger_than_the_image_is_shown_as_the_image(net, choice, tmp_path):
    page = features.run(net, ArraySource(pictures(3)), ["pool2"], tmp_path, choice=choice, random=2)[0]
    facts = facts_of(page)
    entry = next(unit["strongest"][0] for unit in facts["units"] if unit["strongest"])
    field = Window(**entry["receptive_field"])
    assert field.size[0] <= SIZE and Window(**entry["shown"]) == field
    blocks = tuple(zoo.Conv(4, 5, padding=2, pool=3, ceil_mode=True) for _ in range(3))
    deep = zoo.build(zoo.Architecture(blocks, size=SIZE, classes=4), init="he")
    deep.backend = "reference"
    page = features.run(deep, ArraySource(pictures(3)), ["pool3"], tmp_path / "deep", choice=choice, random=2)[0]
    entry = next(unit["strongest"][0] for unit in facts_of(page)["units"] if unit["strongest"])
    assert Window(**entry["receptive_field"]).size == (43, 43)  # 5, 7; 15, 19; 35, 43
    assert Window(**entry["shown"]) == Window(0, SIZE, 0, SIZE)


def test_what_was_used_is_recorded(net, choice, folder, tmp_path):
    source = FolderSource(folder)
    page = features.run(net, source, ["relu1"], tmp_path / "out", choice=choice, random=2, seed=3, model="small")[0]
    facts = facts_of(page)
    assert facts["selection"] == {"maps": "random", "count": 2, "seed": 3}
    assert facts["rule"] == {"rectifier": "deconvnet", "normalisation": "identity", "collisions": "add"}
    assert facts["preprocessing"]["origin"] == "preset caffe" and facts["preprocessing"]["channels"] == "BGR"
    assert facts["images"]["count"] == 10 and facts["zfcore"] and len(facts["model"]["sha256"]) == 64
    assert "Nie et al. 2018" in facts["caveat"] and "Adebayo et al. 2018" in facts["caveat"]


def test_dead_maps_are_called_dead_and_left_blank(net, choice, tmp_path):
    net.layer("conv1").bias[2] = -1e9
    page = features.run(net, ArraySource(pictures(3)), ["relu1"], tmp_path, choice=choice, maps=[1, 2])[0]
    facts, arrays = facts_of(page), np.load(page.arrays)
    assert [unit["dead"] for unit in facts["units"]] == [False, True]
    assert (arrays["images"][1] == -1).all() and not arrays["projections"][1].any() and not arrays["values"][1].any()
    assert (arrays["images"][0] >= 0).sum() == 3  # nine were asked for, there are three images
    assert (np.asarray(Image.open(page.picture)) == EMPTY).all(axis=2).any()


@pytest.mark.parametrize("batch", [1, 4])
def test_results_are_the_same_bytes_on_every_run(net, choice, folder, tmp_path, batch):
    def files(name: str, batch: int) -> dict[str, bytes]:
        features.run(net, FolderSource(folder), LAYERS, tmp_path / name, choice=choice, random=3, batch=batch)
        return contents(tmp_path / name)

    assert files("one", 16) == files("two", batch)


def test_many_maps_come_in_pages(net, choice, tmp_path, monkeypatch):
    source = ArraySource(pictures(4))
    whole = features.run(net, source, ["relu1"], tmp_path / "whole", choice=choice, random=None)
    monkeypatch.setattr(features, "UNITS_PER_PAGE", 18)
    pages = features.run(net, source, ["relu1"], tmp_path / "pages", choice=choice, random=None)
    assert len(whole) == 1 and len(pages) == 3
    for name in ("maps", "values", "projections", "patches"):
        np.testing.assert_array_equal(np.load(whole[0].arrays)[name], np.concatenate([np.load(page.arrays)[name] for page in pages]))


def test_layers_of_like_names_do_not_overwrite_each_other(choice, tmp_path):
    net = small_net()
    layers = list(net.layers.values())
    layers[1].name, layers[2].name, layers[2].inputs, layers[3].inputs = "a/b", "a:b", ("a/b",), ("a:b",)
    net = Network(layers, net.outputs, backend="reference")
    pages = features.run(net, ArraySource(pictures(2)), ["a/b", "a:b"], tmp_path, choice=choice, random=1)
    assert [facts_of(page)["layer"]["name"] for page in pages] == ["a/b", "a:b"]


@pytest.mark.parametrize("shape", [(6, 400), (4, 6, 10, 10), (2400,)])
def test_maps_of_any_number_of_axes_are_shown(net, choice, tmp_path, shape):
    first = list(net.layers.values())[:3]  # relu1 is (6, 20, 20)
    net = Network([*first, layers.Reshape("flat", ("relu1",), shape)], ["flat"], backend="reference")
    page = features.run(net, ArraySource(pictures(3)), ["flat"], tmp_path, choice=choice, random=3)[0]
    seen = [entry for unit in facts_of(page)["units"] for entry in unit["strongest"]]
    assert seen and all(len(entry["position"] or ()) == len(shape) - 1 for entry in seen)


def test_an_infinite_activation_is_null_in_the_record(net, choice, tmp_path):
    net.layer("conv1").bias[0] = np.inf
    page = features.run(net, ArraySource(pictures(2)), ["conv1"], tmp_path, choice=choice, maps=[0])[0]
    record = json.loads(page.facts.read_bytes(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert [entry["value"] for entry in record["units"][0]["strongest"]] == [None, None]
    assert np.isposinf(np.load(page.arrays)["values"][0, :2]).all()


def test_activations_that_are_not_finite_are_not_called_dead(net, choice, tmp_path, capsys):
    net.layer("conv1").bias[0] = np.nan
    page = features.run(net, ArraySource(pictures(2)), ["conv1"], tmp_path, choice=choice, maps=[0, 1])[0]
    assert [(unit["dead"], unit["images_not_finite"]) for unit in facts_of(page)["units"]] == [(False, 2), (False, 0)]
    line = "activations of conv1 are not finite (NaN or infinite) in 1 of 2 maps"
    assert line in capsys.readouterr().err
    features.run(net, ArraySource(pictures(2)), ["conv1"], tmp_path, choice=choice, maps=[0, 1])
    said = capsys.readouterr().err
    assert line in said and "2 of 2 images searched before; nothing is left to search" in said


def test_less_than_was_asked_for_is_said(net, choice, tmp_path, capsys):
    features.run(net, ArraySource(pictures(2)), ["conv1"], tmp_path, choice=choice, random=7, top=3)
    said = capsys.readouterr().err
    assert "conv1: 6 maps, fewer than 7: all are shown" in said
    assert "2 images, fewer than 3: at most 2 activations of each map are shown" in said


@pytest.mark.parametrize("suffix", ["png", "npz"])
def test_a_damaged_result_is_written_again(net, choice, tmp_path, suffix):
    features.run(net, ArraySource(pictures(2)), ["conv1"], tmp_path, choice=choice, random=2)
    whole = contents(tmp_path)
    (tmp_path / f"conv1.{suffix}").write_bytes(whole[f"conv1.{suffix}"][:-1] + b"?")
    features.run(net, ArraySource(pictures(2)), ["conv1"], tmp_path, choice=choice, random=2)
    assert contents(tmp_path) == whole


# ---- stopping and going on


class Stopping(ArraySource):
    """Is interrupted when a given image is read."""

    def __init__(self, images, at):
        super().__init__(images)
        self.at = at
        self.reads: list[int] = []

    def read(self, index):
        if index == self.at:
            raise KeyboardInterrupt
        self.reads.append(index)
        return super().read(index)


def test_an_interrupted_search_goes_on_to_the_same_result(net, choice, tmp_path):
    images = pictures(11)
    options = {"choice": choice, "random": 3, "batch": 2}
    features.run(net, ArraySource(images), LAYERS, tmp_path / "whole", **options)
    source = Stopping(images, at=7)
    with pytest.raises(KeyboardInterrupt, match=r"stopped after \d of 11 images; the same command without --restart goes on"):
        features.run(net, source, LAYERS, tmp_path / "parts", restart=True, **options)
    assert [path.name for path in (tmp_path / "parts").iterdir()] == [features.STATE]
    again = Stopping(images, at=None)
    features.run(net, again, LAYERS, tmp_path / "parts", **options)
    assert 0 < again.reads[0] < 7
    assert contents(tmp_path / "whole") == contents(tmp_path / "parts")


def test_an_interrupt_does_not_wait_for_a_reader_that_is_blocked():
    blocked = threading.Event()
    images = read_ahead(lambda index: index if index == 0 else blocked.wait(60), range(5), ahead=1)
    began = time.monotonic()
    assert next(images) == (0, 0)
    images.close()
    assert time.monotonic() - began < 30
    assert all(thread.daemon for thread in threading.enumerate() if thread.name == "read-ahead")
    blocked.set()


def test_an_interrupt_leaves_no_half_written_file(tmp_path, monkeypatch):
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "a", b"content")
    assert not contents(tmp_path)


def test_an_interrupted_projection_keeps_the_pages_that_are_done(net, choice, tmp_path, monkeypatch):
    source = ArraySource(pictures(4))
    features.run(net, source, LAYERS, tmp_path / "whole", choice=choice, random=3)
    project, calls = features.project_strongest, []

    def stop_at_second(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return project(*arguments)

    monkeypatch.setattr(features, "project_strongest", stop_at_second)
    with pytest.raises(KeyboardInterrupt, match="same command goes on"):
        features.run(net, source, LAYERS, tmp_path / "parts", choice=choice, random=3)
    features.run(net, source, LAYERS, tmp_path / "parts", choice=choice, random=3)
    assert [layer for _, layer, *_ in calls] == ["relu1", "pool2", "pool2", "relu3"]
    assert contents(tmp_path / "whole") == contents(tmp_path / "parts")


def test_another_rule_does_not_search_again(net, choice, tmp_path, monkeypatch):
    source = ArraySource(pictures(4))
    first = features.run(net, source, ["pool2"], tmp_path, choice=choice, random=3)[0]
    before = np.load(first.arrays)["projections"]
    monkeypatch.setattr(strongest.Strongest, "with_batch", lambda *_: pytest.fail("searched again"))
    second = features.run(net, source, ["pool2"], tmp_path, choice=choice, random=3, rule="linear")[0]
    assert facts_of(second)["rule"]["rectifier"] == "linear"
    assert not np.array_equal(before, np.load(second.arrays)["projections"])


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"top": 5}, "top"),
        ({"layers": ["relu1", "pool2"]}, "layers"),
        ({"seed": 1}, "maps"),
        ({"images": pictures(4, seed=9)}, "images"),
        ({"net": small_net(seed=9)}, "model"),
        ({"preset": "raw"}, "preprocessing"),
    ],
)
def test_a_state_belongs_to_one_job(net, tmp_path, change, word):
    def run(restart=False, **change):
        job = {"net": net, "images": pictures(4), "layers": ["relu1"], "top": 9, "seed": 0, "preset": "caffe"} | change
        source, chosen = ArraySource(job["images"]), choose(job["net"], job["preset"])
        options = {"choice": chosen, "random": 2, "seed": job["seed"], "top": job["top"], "restart": restart}
        return features.run(job["net"], source, job["layers"], tmp_path, **options)

    run()
    with pytest.raises(ZfcoreError, match=rf"other .*{word}.*--restart"):
        run(**change)
    run(restart=True, **change)


def test_a_picture_replaced_by_another_of_the_same_size_is_noticed(net, choice, tmp_path):
    (tmp_path / "images").mkdir()
    one, other = (Image.fromarray(picture) for picture in pictures(2))
    path = tmp_path / "images" / "a.bmp"
    one.save(path)
    before = path.stat()
    options = {"choice": choice, "random": 2}
    features.run(net, FolderSource(path.parent), ["relu1"], tmp_path / "out", **options)
    other.save(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    with pytest.raises(ZfcoreError, match=r"other images; .*--restart"):
        features.run(net, FolderSource(path.parent), ["relu1"], tmp_path / "out", **options)


def test_a_copied_folder_is_the_same_images(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "copy", copy_function=shutil.copyfile)
    assert FolderSource(folder).fingerprint() == FolderSource(tmp_path / "copy").fingerprint()
    (folder / "0.png").rename(folder / "z.png")
    assert FolderSource(folder).fingerprint() != FolderSource(tmp_path / "copy").fingerprint()


def test_a_file_that_cannot_be_read_has_a_fingerprint_too(folder):
    os.mkfifo(folder / "pipe.png")
    (folder / "broken.png").symlink_to("nowhere.png")
    source = FolderSource(folder)
    assert source.fingerprint() == source.fingerprint()


@pytest.mark.parametrize("content", [b"", b"nonsense", b"PK\x03\x04nonsense"])
def test_a_damaged_state_is_refused(net, choice, tmp_path, content):
    (tmp_path / features.STATE).write_bytes(content)
    with pytest.raises(ZfcoreError, match=r"a damaged state of an earlier search; give another --out, or --restart"):
        features.run(net, ArraySource(pictures(2)), ["relu1"], tmp_path, choice=choice)


# ---- mistakes


def test_a_broken_image_is_named_skipped_and_counted(net, choice, folder, tmp_path, capsys):
    page = features.run(net, FolderSource(folder), ["relu1"], tmp_path / "out", choice=choice, random=None, batch=2)[0]
    skipped = facts_of(page)["images"]["skipped"]
    assert [entry["image"] for entry in skipped] == ["4a.png"] and skipped[0]["reason"]
    lines = capsys.readouterr().err
    assert "skipped 4a.png: " in lines and "10 images: 9 used, 1 skipped" in lines
    (folder / "4a.png").unlink()
    without = features.run(net, FolderSource(folder), ["relu1"], tmp_path / "without", choice=choice, random=None)[0]
    names = [[entry["image"] for entry in unit["strongest"]] for unit in facts_of(page)["units"]]
    assert names == [[entry["image"] for entry in unit["strongest"]] for unit in facts_of(without)["units"]]


def test_no_usable_image_is_an_error(net, choice, tmp_path):
    (tmp_path / "images").mkdir()
    for name in "ab":
        (tmp_path / "images" / f"{name}.png").write_bytes(b"no picture")
    with pytest.raises(ZfcoreError, match=r"none of 2 images.*a\.png"):
        features.run(net, FolderSource(tmp_path / "images"), ["relu1"], tmp_path / "out", choice=choice)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"layers": ["rlu1"]}, "nearest: .*relu1"),
        ({"layers": "relu1"}, "layers: got the string 'relu1', needed a list of names"),
        ({"layers": []}, "layers: got none"),
        ({"maps": [0, 6]}, "maps: got 6, layer 'relu1' has maps 0 to 5"),
        ({"maps": []}, "maps"),
        ({"random": 0}, "random: got 0"),
        ({"top": 0}, "top: got 0"),
        ({"top": 101}, "top: got 101"),
        ({"batch": 0}, "batch: got 0"),
        ({"rule": "deconv"}, "rule: got 'deconv'"),
    ],
)
def test_wrong_options_are_named_before_any_work(net, choice, tmp_path, options, words):
    layers = options.pop("layers", ["relu1"])
    with pytest.raises(ZfcoreError, match=words):
        features.run(net, ArraySource(pictures(2)), layers, tmp_path / "out", choice=choice, **options)
    assert not (tmp_path / "out").exists()


def test_a_page_that_is_not_whole_has_no_record(net, choice, tmp_path, monkeypatch):
    def fail(*_):
        raise ZfcoreError("the disk is full")

    source = ArraySource(pictures(3))
    features.run(net, source, ["relu1"], tmp_path, choice=choice, random=2)
    with monkeypatch.context() as patch, pytest.raises(ZfcoreError, match="the disk is full"):
        patch.setattr(features.report, "write_picture", fail)
        features.run(net, source, ["relu1"], tmp_path, choice=choice, random=2, rule="linear")
    assert "relu1.json" not in contents(tmp_path)


def test_a_full_disk_leaves_nothing_that_looks_whole(net, choice, tmp_path, monkeypatch):
    features.run(net, ArraySource(pictures(3)), ["relu1"], tmp_path, choice=choice, random=2)
    (tmp_path / "relu1.json").unlink()

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ZfcoreError, match="No space left"):
        features.run(net, ArraySource(pictures(3)), ["relu1"], tmp_path, choice=choice, random=2)
    assert "relu1.json" not in contents(tmp_path) and not [name for name in contents(tmp_path) if name.startswith(".")]


# ---- preprocessing


def test_preprocessing_is_the_presets_the_networks_own_or_assumed(net):
    assert choose(net).origin.startswith("assumed: preset torchvision")
    net.preprocessing = PRESETS["unit"]
    assert choose(net).origin == "the network's own"
    assert choose(net).preprocessing == PRESETS["unit"].for_input((3, SIZE, SIZE))
    assert choose(net, "caffe").preprocessing == PRESETS["caffe"].for_input((3, SIZE, SIZE))


def test_single_changes_stand_on_the_preset_or_on_raw(net):
    assert choose(net, mean=[1, 2, 3]).preprocessing.scale.tolist() == [1, 1, 1]
    turned = choose(net, "caffe", channels="RGB").preprocessing
    assert (turned.channels, turned.mean.tolist()) == ("RGB", [123, 117, 104])
    assert choose(net, "caffe", channels="RGB", mean=[1, 2, 3]).preprocessing.mean.tolist() == [1, 2, 3]
    assert choose(net, size=40).preprocessing.crop == (SIZE, SIZE)
    net.preprocessing = replace(PRESETS["raw"], size=(SIZE, SIZE), mean=np.full((3, SIZE, SIZE), 7.0))
    own = choose(net, size=40).preprocessing
    assert (own.size, own.crop, own.mean.shape) == (40, (SIZE, SIZE), (3, SIZE, SIZE))
    for wrong in ({"mean": [1, 2]}, {"crop": (5, 5)}, {"channels": "grey"}, {"preset": "cafe"}):
        with pytest.raises(ZfcoreError):
            choose(net, **wrong)


def test_a_mistake_is_blamed_on_what_was_given(net):
    small = {"size": SIZE - 1}, rf"^size: got {SIZE - 1}, needed at least {SIZE}"
    grey = {"channels": "grey"}, "^channels: got grey, needed RGB or BGR for the network's 3$"
    for preprocessing in (None, PRESETS["caffe"].for_input(net.input_shape)):
        net.preprocessing = preprocessing
        for changes, words in (small, grey):
            with pytest.raises(ZfcoreError, match=words):
                choose(net, **changes)


def test_grey_for_a_network_of_one_channel():
    net = Network([layers.Input("image", shape=(1, 8, 8))], ["image"])
    for preset in (None, "raw", "unit"):
        assert choose(net, preset, channels="grey").preprocessing.channels == "grey"
    own = choose(net, "caffe", channels="grey", mean=33, scale=0.1).preprocessing
    assert (own.channels, own.mean.tolist(), own.scale.tolist()) == ("grey", [33], [0.1])
    with pytest.raises(ZfcoreError, match="channels: got BGR with a mean or scale for each"):
        choose(net, "caffe", channels="grey")


# ---- pictures


def test_a_large_window_is_shown_small_and_its_lines_do_not_fade():
    noise = np.random.default_rng(0).standard_normal((1, 2, 3, 300, 200)).astype(np.float32)
    patches = np.zeros((1, 2, 300, 200, 3), np.uint8)
    sizes = [
        features_picture(p, q, np.ones((1, 2)), np.array([0]), "title").size
        for p, q in ((noise, patches), (noise[..., :LARGE, :75], patches[:, :, :LARGE, :75]))
    ]
    assert sizes[0][0] == sizes[1][0] and shrunk(patches[0, 0], LARGE).shape == (LARGE, 75, 3)
    edge = np.zeros((3, 224, 224), np.float32)
    edge[:, :, 100], edge[:, :, 101] = 1, -1
    tile = shrunk_projection(edge)
    assert tile.shape == (LARGE, LARGE, 3) and tile.max() == 255 and tile.min() < 64 and tile[0, 0, 0] == 128


def test_zero_is_mid_grey_and_the_scale_symmetric():
    pixels = np.linspace(-3, 5, 2000).reshape(1, 40, 50)
    levels = signed_levels(pixels)
    assert signed_levels(np.zeros((1, 2, 2))).tolist() == [[[128, 128], [128, 128]]]
    assert ((levels > 128) <= (pixels > 0)).all() and ((levels < 128) <= (pixels < 0)).all()
    np.testing.assert_array_equal(signed_levels(-pixels).astype(int), 256 - levels.astype(int))
    assert signed_levels(np.array([np.nan, np.inf, -np.inf, 1.0, -1.0])).tolist() == [128, 255, 1, 255, 1]


def test_a_lone_outlier_does_not_set_the_scale():
    pixels = np.ones((3, 20, 20))
    pixels[0, 0, 0] = 1000
    assert (signed_picture(pixels)[1:] == 255).all()


def test_filters_are_shown_on_one_scale(net):
    picture = np.asarray(filters_picture(np.stack([np.ones((3, 3, 3)), np.zeros((3, 3, 3))])))
    assert (picture == 255).all(axis=2).any() and (picture == 128).all(axis=2).any()
    with pytest.raises(ZfcoreError, match="first layer"):
        filters_picture(net.layer("conv2").weight)


def test_maps_may_be_numpys(net, tmp_path):
    source = ArraySource(np.zeros((2, *net.input_shape[1:], 3), np.uint8) + 200)
    assert features.chosen_maps(net, "conv1", np.array([2, 1]), None, 0) == [1, 2]
    with pytest.raises(ZfcoreError, match="seed: got -1"):
        features.run(net, source, ["conv1"], tmp_path, seed=-1)
