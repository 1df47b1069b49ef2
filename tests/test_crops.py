"""Crops: the paper's ten lie where it says, every window is the image's less the mean's, and the centre is what inference sees."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zfcore import ZfcoreError
from zfcore.data.crops import CROPS, Crops, usual_frame
from zfcore.data.preprocessing import Preprocessing
from zfcore.testing import parity_test


def crops(side=32, size=28, channels="RGB", seed=0):
    rng = np.random.default_rng(seed)
    count = 1 if channels == "grey" else 3
    mean = rng.integers(0, 256, (count, side, side)).astype(np.float64)
    return Crops(Preprocessing(channels, side, (side, side), mean, np.full(count, 0.5)), (size, size))


def test_ten_as_the_paper_has_them():
    ten = crops(256, 224).ten
    five = [[0, 0], [0, 32], [32, 0], [32, 32], [16, 16]]
    assert ten[:, :2].tolist() == five + five and ten[:, 2].tolist() == [0] * 5 + [1] * 5


@given(st.integers(4, 40), st.integers(0, 6), st.sampled_from(["RGB", "BGR", "grey"]), st.integers(0, 99))
def test_a_window_is_the_frames_less_the_means(size, margin, channels, seed):
    made = crops(size + 2 * margin, size, channels, seed)
    rng = np.random.default_rng(seed)
    frames = rng.integers(0, 256, (10, *made.frame.mean.shape), dtype=np.uint8)
    got = made.inputs(frames, made.ten)
    assert got.dtype == np.float32 and got.shape == (10, len(made.frame.mean), size, size)
    for x, frame, (top, left, mirrored) in zip(got, frames, made.ten, strict=True):
        window = (frame - made.frame.mean)[:, top : top + size, left : left + size] * 0.5
        parity_test(x, window[:, :, ::-1] if mirrored else window)


@given(st.integers(6, 40), st.integers(0, 5), st.integers(30, 90), st.integers(30, 90), st.sampled_from(["RGB", "BGR", "grey"]))
def test_the_centre_is_what_inference_sees(size, margin, height, width, channels):
    """The preprocessing of a trained network cuts the same pixels as the centre crop in training.

    Resizing rounds to a level along each axis, and where a sum lies between two, parts of it may go either way: two levels of 0.5.
    """
    made = crops(size + 2 * margin, size, channels)
    image = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
    trained = made.inputs(made.frame.pixels(image)[None], made.centre)[0]
    parity_test(made.preprocessing(image), trained, 2 * 0.5)


@pytest.mark.parametrize("kind", CROPS)
@pytest.mark.parametrize("flip", [False, True])
def test_drawn_windows_are_of_their_kind_and_all_occur(kind, flip):
    made = crops(8, 4)
    places = made.drawn(np.random.default_rng(0), 2000, kind, flip)
    anywhere = {(y, x) for y in range(5) for x in range(5)}
    allowed = {"ten": {(0, 0), (0, 4), (4, 0), (4, 4), (2, 2)}, "centre": {(2, 2)}, "anywhere": anywhere}
    assert {tuple(p) for p in places[:, :2].tolist()} == allowed[kind]
    assert set(places[:, 2].tolist()) == ({0, 1} if flip else {0})


def test_a_network_known_by_its_input_alone():
    own = Preprocessing(size=24, crop=(24, 24), mean=np.arange(3 * 24 * 24).reshape(3, 24, 24))
    made = Crops.around(own, (24, 24))
    assert made.frame.crop == (usual_frame(24),) * 2 == (28, 28) and made.frame.mean.tolist() == own.mean.mean(axis=(1, 2)).tolist()
    assert Crops.around(Preprocessing(), (20, 30)).frame.size == (usual_frame(20), usual_frame(30))


@pytest.mark.parametrize(("side", "size"), [(27, 28), (31, 28)])
def test_windows_that_do_not_fit(side, size):
    with pytest.raises(ZfcoreError, match=r"frame: got .* needed the input's size, \(28, 28\), or an even number"):
        Crops(Preprocessing(size=side, crop=(side, side)), (size, size))
