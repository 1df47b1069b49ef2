"""Arrays on the device: NumPy's views and the few operations that networks need, the same numbers; all else refused."""

from __future__ import annotations

import copy
import gc
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import zfkernels

k = pytest.importorskip("zfkernels.cuda", reason=zfkernels.backends()["cuda"], exc_type=ImportError)

VIEWS = {
    "all": lambda a: a,
    "rows": lambda a: a[:, :, 1:3],
    "steps back": lambda a: a[:, ::-1, ::2],
    "one image": lambda a: a[1],
    "new axis": lambda a: a[:, None, ..., 2],
    "an element": lambda a: a[0, 1, 2, 3],
    "nothing": lambda a: a[2:],
    "transposed": lambda a: a.transpose(0, 2, 3, 1),
    "transposed by a tuple": lambda a: a.transpose((3, 2, 1, 0)),
    "reshaped": lambda a: a.reshape(2, -1),
    "transposed and reshaped": lambda a: a.transpose(1, 0, 3, 2).reshape(6, 20),
    "part reshaped": lambda a: a[:, 1].reshape(40),
    "stretched": lambda a: np.broadcast_to(a[:1, :, :, :1], (2, 3, 4, 5)),
    "other type": lambda a: a.astype(np.float64),
    "other type of a view": lambda a: a[:, ::2].astype(np.int32),
}


@pytest.fixture
def a():
    return np.random.default_rng(0).standard_normal((2, 3, 4, 5)).astype(np.float32)


@pytest.mark.parametrize("view", VIEWS)
def test_views_are_those_of_numpy(view, a):
    got, ref = VIEWS[view](k.asarray(a)), VIEWS[view](a)
    assert (got.shape, got.dtype, got.ndim, got.size, got.nbytes) == (ref.shape, ref.dtype, ref.ndim, ref.size, ref.size * ref.itemsize)
    np.testing.assert_array_equal(k.to_numpy(got), ref)
    np.testing.assert_array_equal(k.fetch(got)(), ref)


@pytest.mark.parametrize("view", VIEWS)
def test_sums_products_and_quotients(view, a):
    x, ref = VIEWS[view](k.asarray(a)), VIEWS[view](a)
    other = (ref[..., :1] if ref.ndim else ref) + ref.dtype.type(2)
    for got, expected in ((x + other, ref + other), (x * k.asarray(other), ref * other), (other + x, other + ref), (x * 2, ref * 2)):
        np.testing.assert_array_equal(k.to_numpy(got), expected, strict=True)
    if ref.dtype.kind == "f":
        np.testing.assert_array_equal(k.to_numpy(x / k.asarray(other)), ref / other, strict=True)


def test_joining_splitting_and_padding(a):
    x, widths = k.asarray(a), ((0, 0), (2, 0), (0, 1), (3, 2))
    joined, ref = (np.concatenate([one, one[:, ::-1], one[:, 1:2]], axis=1) for one in (x, a))
    np.testing.assert_array_equal(k.to_numpy(joined), ref)
    for axis in (-1, 0):
        np.testing.assert_array_equal(k.to_numpy(np.concatenate([x, x], axis=axis)), np.concatenate([a, a], axis=axis))
    for got, ref in zip(np.split(x, [2], axis=-1), np.split(a, [2], axis=-1), strict=True):
        np.testing.assert_array_equal(k.to_numpy(got), ref)
    for got, ref in zip(np.split(x, [1, 2], axis=1), np.split(a, [1, 2], axis=1), strict=True):
        np.testing.assert_array_equal(k.to_numpy(got), ref)
    np.testing.assert_array_equal(k.to_numpy(np.pad(x, widths, constant_values=-1)), np.pad(a, widths, constant_values=-1))
    np.testing.assert_array_equal(k.to_numpy(np.zeros_like(x)), np.zeros_like(a))
    np.testing.assert_array_equal(k.to_numpy(np.ones_like(x[0])), np.ones_like(a[0]))


@pytest.mark.parametrize(
    "act",
    [
        np.sum, np.asarray, np.square, float, bool,
        lambda x: x[[0, 1]], lambda x: x[True], lambda x: x == x, lambda x: 0 in x,
        lambda x: x + np.ones(6, np.float32), lambda x: x + x.astype(np.float64), lambda x: x + 1j,
        lambda x: x.astype(np.int32) * 1.5, lambda x: x.astype(np.int32) / 2,
        lambda x: np.concatenate([x, x[:, :2]]), lambda x: np.concatenate([x[:, :2], x]),
        lambda x: np.concatenate([x, x.astype(np.float64)]),
        lambda x: np.pad(x, ((0, 0), (0, 0), (-1, 0), (0, 0)), constant_values=0),
    ],
)  # fmt: skip
def test_what_would_copy_to_the_host_or_is_not_there_is_refused(act, a):
    with pytest.raises((TypeError, ValueError)):
        act(k.asarray(a))


def test_inputs_may_be_of_any_layout_and_stay_as_they_are(a):
    for laid_out in (np.asfortranarray(a), a[:, ::-1], a[:, :, ::2], a.T):
        before = laid_out.copy()
        x = k.asarray(laid_out)
        laid_out_again = k.to_numpy(x)
        np.testing.assert_array_equal(laid_out_again, before)
        laid_out_again[...] = 0
        np.testing.assert_array_equal(k.to_numpy(x), before)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
@pytest.mark.parametrize("view", VIEWS)
def test_copies_have_the_same_elements(view, duplicate, a):
    got, ref = duplicate(VIEWS[view](k.asarray(a))), VIEWS[view](a)
    np.testing.assert_array_equal(k.to_numpy(got), ref, strict=True)
    np.testing.assert_array_equal(k.to_numpy(got[..., None] + 1), ref[..., None] + ref.dtype.type(1), strict=True)


def test_large_arrays_are_sent_through_stages():
    """Three at once through two stages: none overtakes another."""
    arrays = [np.random.default_rng(n).standard_normal((3, 70_000 // (n + 1))).astype(np.float32) for n in range(3)]
    sent = [k.asarray(a) for a in (*arrays, arrays[1][:, ::2])]
    for x, a in zip(sent, (*arrays, arrays[1][:, ::2]), strict=True):
        np.testing.assert_array_equal(k.to_numpy(x), a)


def test_a_view_keeps_its_memory(a):
    part = k.asarray(a)[1]
    gc.collect()
    others = [k.asarray(np.zeros_like(a)) for _ in range(4)]
    np.testing.assert_array_equal(k.to_numpy(part), a[1])
    assert len(others) == 4


def test_memory_is_recycled_when_nothing_refers_to_it(monkeypatch):
    from zfkernels.cuda import arrays

    monkeypatch.setattr(arrays._Buffer, "__init__", getattr(arrays._Buffer, "recycling", arrays._Buffer.__init__))
    x = arrays.empty((3, 5), np.float32)
    part, memory = x[1], x.elements
    del x
    assert arrays.empty((15,), np.float32).elements is not memory, "a view still looks at it"
    del part
    arrays.release()
    x = arrays.empty((15,), np.float32)
    memory = x.elements
    del x
    assert arrays.empty((15,), np.int32).elements is not memory, "of another type"
    assert arrays.empty((5, 3), np.float32).elements is memory


def test_fetched_copies_are_their_own(monkeypatch):
    """What a device does beside its kernels; the simulator's streams do everything at once."""
    from zfkernels.cuda import arrays

    if arrays.SIMULATED:
        event = SimpleNamespace(record=lambda stream: None, wait=lambda stream: None, synchronize=lambda: None)
        monkeypatch.setattr(arrays, "SIMULATED", False)
        monkeypatch.setattr(arrays.cuda, "event", lambda timing: event)
    sent = [np.random.default_rng(n).standard_normal((3, n)).astype(np.float32) for n in (40, 7, 40)]
    for _ in range(2):
        coming = [k.fetch(k.asarray(a)[:, ::-1]) for a in sent]
        for arrived, a in [*zip(coming, sent, strict=True), (coming[0], sent[0])]:
            np.testing.assert_array_equal(arrived(), a[:, ::-1])
    arrays.release()


def test_page_locked_memory_is_recycled():
    from zfkernels.cuda import arrays

    arrays.release()
    small, large = arrays._landing(100), arrays._landing(1000)
    arrays._landings.update((landing.ctypes.data, landing) for landing in (large, small))
    assert arrays._landing(200) is large
    assert arrays._landing(60) is small
    arrays._landings[small.ctypes.data] = small
    assert len(arrays._landing(300)) == 300
    assert not arrays._landings, "the new one came in its place"
