"""`zfcore filters` and `zfcore compare`: measures on filters and projections where the answer is known, and what is written."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import zfcore
from zfcore import Network, ZfcoreError, cli, layers, zoo
from zfcore.data.choice import choose
from zfcore.data.gallery import Gallery
from zfcore.data.preprocessing import PRESETS
from zfcore.data.sources import ArraySource
from zfcore.experiments import compare, filters
from zfcore.experiments.aliasing import aliasing, distances, excess, resolved
from zfcore.experiments.examined import Looking, examined
from zfcore.experiments.filter_facts import few_middle
from zfcore.experiments.first_layer import convolutions, even_shares, first_layer, measured, rectified, second_convolution
from zfcore.experiments.subject import Subject
from zfcore.figures.compare import filters_block
from zfcore.figures.filters import filters_picture
from zfcore.testing import rounding_bound

SIZE = 24


def small_net(stride: int = 2, channels: str = "RGB", count: int = 6) -> Network:
    blocks = (zoo.Conv(count, 5, stride, 2, pool=2), zoo.Conv(5, 3, padding=1), zoo.Full(7))
    net = zoo.build(zoo.Architecture(blocks, size=SIZE, classes=4), init="he")
    net.preprocessing = replace(PRESETS["unit"], channels=channels).for_input(net.input_shape)
    return net


def subject(net: Network) -> Subject:
    return Subject("made", net, choose(net))


def pictures(count: int = 6) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, SIZE, SIZE, 3), dtype=np.uint8)


@pytest.fixture
def model(tmp_path):
    zfcore.save(small_net(), tmp_path / "net.safetensors")
    return tmp_path / "net.safetensors"


@pytest.fixture
def folder(tmp_path):
    """Six images and a damaged one."""
    place = tmp_path / "images"
    place.mkdir()
    for number, image in enumerate(pictures()):
        Image.fromarray(image).save(place / f"{number}.png")
    (place / "3a.png").write_bytes((place / "3.png").read_bytes()[:100])
    return place


def grating(frequency: float, direction: float, size: int = 15) -> np.ndarray:
    """A filter (3, size, size) that looks at one frequency, in cycles per pixel."""
    y, x = np.indices((size, size)) - size // 2
    wave = np.cos(2 * np.pi * frequency * (x * math.cos(direction) + y * math.sin(direction)))
    return np.broadcast_to(wave * np.hanning(size + 2)[1:-1] * np.hanning(size + 2)[1:-1, None], (3, size, size))


# ---- filters


def test_a_first_layer_that_is_all_dead_has_no_figures(tmp_path):
    net = small_net()
    net.layer("conv1").weight[:] = 0
    outcome = filters.run(subject(net), tmp_path / "out")
    assert "6 by their weights dead, none dominating." in outcome.found and "nan" not in outcome.found + outcome.table
    assert compare.run(subject(net), subject(small_net()), tmp_path / "both").record.exists()


def test_the_first_layer_is_no_second_layer(model, folder, tmp_path, capsys):
    out = tmp_path / "out"
    assert cli.main(["filters", str(model), "--images", str(folder), "--second", "relu1", "--out", str(out)]) == 2
    assert "second layer 'relu1': is the first convolution's rectifier" in capsys.readouterr().err
    assert not out.exists()


def test_dead_and_dominating_filters_are_those_that_were_made_so():
    weight = np.random.default_rng(0).standard_normal((20, 3, 7, 7))
    weight /= np.sqrt((weight**2).mean(axis=(1, 2, 3), keepdims=True))
    factors = np.ones(20)
    factors[[2, 7, 11]], factors[[5, 13]], factors[9] = (0, 0.01, 0.04), (2.5, 30), 1.9
    found = measured(weight * factors[:, None, None, None])
    assert np.flatnonzero(found.dead).tolist() == [2, 7, 11]
    assert np.flatnonzero(found.dominating).tolist() == [5, 13]
    assert abs(found.strongest_to_median - 30) < rounding_bound(weight[0].size, np.array(30), found.rms.dtype)
    assert np.isnan(found.bands[found.dead]).all() and np.isfinite(found.band_shares).all()


def test_most_filters_may_be_dead():
    weight = np.zeros((9, 1, 3, 3))
    weight[:3] = np.random.default_rng(0).standard_normal((3, 1, 3, 3))
    assert measured(weight).dead.tolist() == [False] * 3 + [True] * 6
    nothing = measured(np.zeros((2, 3, 3, 3)))
    assert nothing.dead.all() and np.isnan(nothing.band_shares).all() and not nothing.dominating.any()


@pytest.mark.parametrize(("frequency", "band"), [(0.05, 0), (0.12, 0), (0.25, 1), (0.4, 2), (0.48, 2)])
@pytest.mark.parametrize("direction", [0.0, 0.6, math.pi / 2])
def test_a_grating_has_its_energy_in_its_band(frequency, band, direction):
    found = measured(grating(frequency, direction)[None])
    assert found.bands[0].argmax() == band and found.peak_shares[band] == 1
    assert abs(found.bands[0].sum() - 1) < rounding_bound(64 * 64, np.ones(()), found.bands.dtype)
    assert abs(found.peaks[0] - frequency) < 1 / 15, "what a grating of 15 pixels tells apart"


def test_a_filter_of_one_pixel_has_an_even_spectrum():
    weight = np.zeros((1, 3, 7, 7))
    weight[0, :, 2, 4] = (1, -3, 2)
    found = measured(weight, (2, 2))
    bound = rounding_bound(64 * 64, np.ones(()), weight.dtype)
    assert (np.abs(found.bands[0] - even_shares()) < bound).all()
    assert (np.abs(found.density[0] - 1) < bound).all()
    area = np.array([1 / 6, 1 / 3]) ** 2 * math.pi
    assert np.abs(even_shares() - [area[0], area[1] - area[0], 1 - area[1]]).max() < 0.01  # pixels of a circle are not its area


def test_every_living_filter_counts_the_same_however_strong():
    weight = np.stack([grating(0.05, 0), 100 * grating(0.4, 0), 60 * grating(0.4, 1)])
    found = measured(np.concatenate([weight, 80 * weight[:1]]))
    assert found.dead.tolist() == [True, False, False, False]
    assert abs(found.peak_shares[0] - 1 / 3) < rounding_bound(3, np.ones(()), weight.dtype)


def test_few_middle_frequencies_are_seen_where_they_are_few():
    mix = np.stack([grating(f, d) for f in (0.04, 0.45) for d in (0, 0.7, 1.5)])
    covered = np.stack([grating(f, d) for f in (0.04, 0.25, 0.25, 0.45) for d in (0, 0.7, 1.5)])
    assert few_middle(measured(mix)) and not few_middle(measured(covered))


def test_what_a_stride_cannot_tell_lies_beyond_its_nyquist():
    fine, coarse = grating(0.4, 0)[None], grating(0.05, 0)[None]
    assert measured(fine, (1, 1)).beyond_share == 0
    assert measured(fine, (2, 2)).beyond_share > 0.9 and measured(coarse, (2, 2)).beyond_share < 0.1
    assert measured(fine.swapaxes(2, 3), (2, 1)).beyond_share > 0.9 > 0.1 > measured(fine.swapaxes(2, 3), (1, 2)).beyond_share
    assert measured(fine, (2, 1)).beyond_share < 0.1 < measured(fine, (1, 2)).beyond_share  # it changes along rows alone


def test_filters_that_are_not_finite_are_left_out(capsys):
    net = small_net()
    net.layer("conv1").weight[2, 0, 1, 1] = np.nan
    found = examined(subject(net))
    assert np.flatnonzero(found.measures.not_finite).tolist() == [2] and np.isfinite(found.measures.band_shares).all()
    assert "1 filters of conv1 have weights that are NaN or infinite" in capsys.readouterr().err
    assert filters.remarks_of(found)[2] == "not finite"


def test_filters_are_in_rgb_order():
    rgb, bgr = (first_layer(subject(small_net(channels=order))) for order in ("RGB", "BGR"))
    np.testing.assert_array_equal(rgb.weight, bgr.weight[:, ::-1])


def test_own_scales_show_what_one_scale_hides():
    weight = np.random.default_rng(0).standard_normal((1, 3, 5, 5)).repeat(2, axis=0)
    weight[1] *= 1e-3
    pages = [np.asarray(filters_picture(weight, own_scales=own)).astype(int) for own in (False, True)]
    one, own = (np.count_nonzero((np.abs(page - 128) <= 1).all(axis=2)) for page in pages)
    assert one >= 95 * 95 > 10 * own, "a tile of 5 x 5 weights, each 19 pixels wide, is flat on one scale"


def test_layers_are_found():
    net = small_net()
    assert convolutions(net) == ["conv1", "conv2"] and second_convolution(net) == "conv2"
    assert rectified(net, "conv1") == "relu1"
    bare = Network(list(net.layers.values())[:2], ["conv1"])
    assert rectified(bare, "conv1") == "conv1" and second_convolution(bare) is None


# ---- aliasing


def sampled(stride: int, kernel: np.ndarray, seed: int, size: int = 129) -> np.ndarray:
    """A smooth random signal, seen every `stride` pixels and brought back by a transposed convolution with a kernel."""
    rng = np.random.default_rng(seed)
    y, x = np.indices((size, size))
    waves = rng.uniform(-0.06, 0.06, (20, 3)) * (1 / stride, 1 / stride, 60)
    smooth = sum(np.cos(2 * np.pi * (fy * y + fx * x) + phase) for fy, fx, phase in waves)
    comb = np.zeros((size, size))
    comb[::stride, ::stride] = smooth[::stride, ::stride]
    return np.real(np.fft.ifft2(np.fft.fft2(comb) * np.fft.fft2(kernel, (size, size))))[None]


@pytest.mark.parametrize("stride", [2, 4])
def test_a_signal_left_at_its_samples_aliases_and_white_noise_does_not(stride):
    rng = np.random.default_rng(1)
    pairs = [(sampled(stride, np.ones((1, 1)), seed), rng.standard_normal((1, 129, 129))) for seed in range(20)]
    found = aliasing(pairs, (stride, stride))
    assert found.count == 20 and found.projections > 20 and 0.8 < found.patches < 1.25 and found.index > 20
    assert found.share > 0.8 * (1 - 1 / stride**2), "of stride^2 equal copies of the spectrum all but the one at zero"


def test_a_filter_that_is_smooth_over_the_stride_removes_it():
    bare, smooth = (aliasing([(sampled(4, kernel, n),) * 2 for n in range(10)], (4, 4)) for kernel in (np.ones((1, 1)), np.ones((4, 4))))
    assert smooth.share < bare.share / 20


@pytest.mark.parametrize("stride", [(2, 2), (3, 3), (4, 4), (1, 4)])
def test_the_fall_of_natural_spectra_counts_as_nothing(stride):
    frequency = np.fft.fftfreq(256)
    radial = np.maximum(np.hypot(frequency[:, None], frequency), 1e-9)
    for power in (0, 2):
        found = excess(radial**-power, stride)
        assert 0.8 < found < 1.25, "only the fold at Nyquist's frequency keeps it from 1"


def test_multiples_are_where_the_stride_puts_them():
    found = distances(16, (4, 2))
    zero = {tuple(place) for place in np.argwhere(found == 0).tolist()}
    assert zero == {(y, x) for y in (0, 4, 8, 12) for x in (0, 8)} - {(0, 0)}
    assert np.isinf(found[0, 0]) and np.isinf(distances(16, (1, 1))[1:8, 1:8]).all()


def test_aliasing_that_cannot_be_seen_is_not_measured():
    picture = np.random.default_rng(0).standard_normal((1, 40, 40))
    assert aliasing([(picture, picture)], (1, 1)) is None
    assert aliasing([], (2, 2)) is None
    assert aliasing([(np.zeros((1, 40, 40)), picture)], (2, 2)) is None
    assert resolved((22, 22), (4, 4)) and not resolved((21, 22), (4, 4)) and resolved((3, 22), (1, 4))


def test_a_network_that_leaves_samples_alone_aliases_and_one_that_spreads_them_does_not(tmp_path):
    """First layers of one pixel in each stride, against the mean over it: what comes down is dotted, or smooth."""
    y, x = np.indices((48, 48))
    waves = [np.sin((y * a + x * b) / 9 + n) for n, (a, b) in enumerate(((1, 0), (0, 1), (1, 1)))]
    images = np.stack([np.repeat(np.uint8(127 + 120 * wave)[..., None], 3, axis=2) for wave in waves])
    found = []
    for kernel in (np.pad(np.ones((1, 1)), ((0, 3), (0, 3))), np.full((4, 4), 1 / 16)):
        weight = np.broadcast_to(kernel, (1, 3, 4, 4)).astype(np.float32).copy()
        second = np.full((1, 1, 7, 7), 1 / 49, np.float32)
        made = [
            layers.Input("image", (), (3, 48, 48)),
            layers.Conv2d("conv1", ("image",), weight, stride=(4, 4)),
            layers.ReLU("relu1", ("conv1",)),
            layers.Conv2d("conv2", ("relu1",), second),
            layers.ReLU("relu2", ("conv2",)),
        ]
        net = Network(made, ["relu2"])
        net.preprocessing = PRESETS["unit"].for_input(net.input_shape)
        seen = examined(subject(net), Gallery(ArraySource(images)), Looking(top=3), state=tmp_path / f"{len(found)}.npz").responses
        found.append(seen.aliasing)
    dotted, spread = found
    assert dotted.share > 10 * spread.share and dotted.index > 1.25


# ---- what is written


def test_filters_with_images_end_to_end(model, folder, tmp_path, capsys):
    out = tmp_path / "out"
    assert cli.main(["filters", str(model), "--images", str(folder), "--out", str(out), "--maps", "3", "--top", "2"]) == 0
    said = capsys.readouterr()
    assert "6 filters of 5x5, stride 2" in said.out and "skipped 3a.png" in said.err and "Nie et al." in said.err
    record = json.loads((out / "filters.json").read_bytes())
    assert record["experiment"] == "filters" and record["found"] in said.out
    numbers = record["numbers"]
    assert numbers["filters"] == 6 and numbers["images"]["used"] == 6 and list(numbers["images"]["skipped"]) == ["3a.png"]
    assert numbers["projections"] == {"layer": "relu2", "count": 6}
    names = {"filters.png", "filters-own-scales.png", "planes-conv2.png", "spectrum.png", "spectrum.svg", "projections.png", "filters.npz"}
    assert names <= set(record["files"])
    assert all((out / name).stat().st_size for name in record["files"])
    assert str(tmp_path) not in json.dumps(record["files"])


def test_a_search_is_taken_up_and_not_repeated(model, folder, tmp_path, capsys):
    options = ["filters", str(model), "--images", str(folder), "--out", str(tmp_path / "out")]
    assert cli.main(options) == 0
    first = (tmp_path / "out" / "filters.json").read_bytes()
    capsys.readouterr()
    assert cli.main(options) == 0
    assert "7 of 7 images searched before" in capsys.readouterr().err
    assert (tmp_path / "out" / "filters.json").read_bytes() == first
    assert cli.main([*options, "--top", "2"]) == 2
    assert "--restart to begin anew" in capsys.readouterr().err


def test_a_dead_map_is_found_by_images(tmp_path):
    net = small_net()
    net.layer("conv1").bias[3] = -1e9
    seen = examined(subject(net), Gallery(ArraySource(pictures())), Looking(), state=tmp_path / "search.npz").responses
    assert seen.dead.tolist() == [3] and seen.rectifier == "relu1" and seen.images == 6
    limited = examined(subject(net), Gallery(ArraySource(pictures())), Looking(limit=2), state=tmp_path / "other.npz").responses
    assert limited.images == 2


def test_compare_networks_that_differ_in_everything(model, folder, tmp_path, capsys):
    other = small_net(stride=1, channels="BGR", count=3)
    grey = zoo.build(zoo.Architecture((zoo.Conv(4, 3),), size=12, classes=2, channels=1), init="he")
    for name, net in (("other", other), ("grey", grey)):
        zfcore.save(net, tmp_path / f"{name}.safetensors")
        out = tmp_path / name
        assert cli.main(["compare", str(model), str(tmp_path / f"{name}.safetensors"), "--images", str(folder), "--out", str(out)]) == 0
        said = capsys.readouterr()
        assert "A: net.safetensors" in said.out and f"B: {name}.safetensors" in said.out
        record = json.loads((out / "compare.json").read_bytes())
        assert [len(record["numbers"][letter]["rms"]) for letter in "AB"] == [6, {"other": 3, "grey": 4}[name]]
        assert len(record["models"]) == 2 and (out / "compare.png").is_file()
        assert record["numbers"]["B"]["aliasing"] is None


def test_compare_without_images(tmp_path):
    outcome = compare.run(subject(small_net()), subject(small_net(stride=3)), tmp_path)
    assert [path.name for path in outcome.pictures] == ["compare.png", "spectrum.png"]
    assert "untrained" in outcome.remarks[0]


def test_filters_of_a_comparison_are_on_one_scale_for_each_network():
    weight = np.random.default_rng(0).standard_normal((7, 3, 5, 5))
    np.testing.assert_array_equal(filters_block(weight), filters_block(2 * weight))
    weight[0] = 0
    assert (filters_block(weight)[:20, :20] == 128).all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--layers", "cnv2"], "nearest: conv"),
        (["--layers", "relu1"], "relu1': is no convolution, so has no planes to show; convolutions are conv1, conv2"),
        (["--planes", "0"], "needed a whole number, at least 1"),
        (["--planes", "65"], "planes: got 65, needed 1 to 64"),
        (["--images", "nowhere"], "nowhere"),
        (["--second", "relu2"], "of no use without images; give --images"),
        (["--second", "relu9"], "nearest: relu"),
        (["--maps", "100"], "needed at most 288 on a page"),
        (["--top", "0"], "at least 1"),
    ],
)
def test_mistakes_are_one_line_and_nothing_is_written(model, tmp_path, capsys, options, words):
    out = tmp_path / "out"
    try:
        status = cli.main(["filters", str(model), *options, "--out", str(out)])
    except SystemExit as stop:
        status = stop.code
    said = capsys.readouterr()
    assert status == 2 and not said.out and words in said.err and len(said.err.splitlines()) == 1
    assert not out.exists()


def test_networks_without_pictures_for_filters_are_refused(tmp_path):
    plain = zoo.build(zoo.Architecture((zoo.Full(4),), size=4, classes=2), init="he")
    with pytest.raises(ZfcoreError, match="has no convolution"):
        filters.run(subject(plain), tmp_path / "out")
    parts = [layers.Input("image", (), (3, 8, 8)), layers.Reshape("folded", ("image",), (12, 4, 4)),
             layers.Conv2d("conv1", ("folded",), np.ones((2, 12, 3, 3), np.float32))]  # fmt: skip
    net = Network(parts, ["conv1"])
    for experiment, subjects in ((filters, [subject(net)]), (compare, [subject(small_net()), subject(net)])):
        with pytest.raises(ZfcoreError, match="look at 12 channels; needed 1 or 3"):
            experiment.run(*subjects, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_results_do_not_go_among_the_images(model, folder, capsys):
    assert cli.main(["filters", str(model), "--images", str(folder), "--out", str(folder / "out")]) == 2
    assert "give another --out" in capsys.readouterr().err and not (folder / "out").exists()


def test_published_networks(shared_data, tmp_path):
    """GoogLeNet's first layer is RGB after turning, covers the middle, and has nothing dead."""
    from zfcore.experiments.subject import open_subject

    given = open_subject(shared_data / "models" / "googlenet.onnx", "caffe")
    found = examined(given)
    assert not found.measures.dead.any() and not few_middle(found.measures)
    np.testing.assert_array_equal(found.first.weight, given.net.layer("conv1/7x7_s2").weight[:, ::-1])


@pytest.mark.parametrize(
    ("other", "options", "words"),
    [
        ("nothing.onnx", [], "nothing.onnx"),
        ("zfnet-smal", [], "zfnet-small"),
        ("zfnet-small", ["--preset-b", "kaffe"], "invalid choice: 'kaffe'"),
        ("zfnet-small", ["--images", "nowhere"], "nowhere"),
        ("zfnet-small", ["--maps", "0"], "at least 1"),
    ],
)
def test_mistakes_in_a_comparison_are_one_line(model, tmp_path, capsys, other, options, words):
    try:
        status = cli.main(["compare", str(model), other, *options, "--out", str(tmp_path / "out")])
    except SystemExit as stop:
        status = stop.code
    said = capsys.readouterr()
    assert status == 2 and not said.out and words in said.err and len(said.err.splitlines()) == 1
    assert not (tmp_path / "out").exists()
