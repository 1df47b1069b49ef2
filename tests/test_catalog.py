"""Every record of the catalog passes every battery on every backend."""

from __future__ import annotations

import inspect
import os

import numpy as np
import pytest
import zfkernels
from batteries import BATTERIES, results, simulated, usable
from draws import HypothesisDraw, SeededDraw
from hypothesis import given, settings
from hypothesis import strategies as st
from zfkernels import reference
from zfkernels.catalog import CATALOG, CORNERS

BACKENDS = [name for name in zfkernels.BACKENDS if name != "reference"]
OPS = {op.name: op for op in CATALOG}


@pytest.fixture(params=["reference", *BACKENDS])
def backend(request):
    return usable(request.param)


@pytest.mark.parametrize("corner", CORNERS)
@pytest.mark.parametrize("battery", BATTERIES, ids=lambda b: b.__name__)
@pytest.mark.parametrize("op", OPS)
def test_corner(op, battery, corner, backend):
    few = simulated(backend)
    for seed in range(1 if few else 5):
        for dtype in (np.float32, np.float64)[CORNERS.index(corner) % 2 :][: 1 if few else 2]:
            battery(OPS[op], backend, SeededDraw(seed, BATTERIES[battery], dtype, corner))


@pytest.mark.parametrize("battery", BATTERIES, ids=lambda b: b.__name__)
@pytest.mark.parametrize("op", OPS)
def test_drawn(op, battery, backend):
    @settings(max_examples=4 if simulated(backend) else settings.default.max_examples)
    @given(st.data())
    def run(data):
        dtype = data.draw(st.sampled_from([np.float32, np.float64]), "dtype")
        battery(OPS[op], backend, HypothesisDraw(data, BATTERIES[battery], dtype))

    run()


def test_catalog_is_complete():
    functions = [f for op in CATALOG for f in op.functions]
    assert sorted(functions) == sorted(reference.__all__)


@pytest.mark.parametrize("name", sorted(reference.__all__))
def test_twins_share_names_and_signatures(name, backend):
    twin, definition = getattr(backend, name), getattr(reference, name)
    assert inspect.signature(twin).parameters.keys() == inspect.signature(definition).parameters.keys()
    assert twin.__module__.rpartition(".")[2] == definition.__module__.rpartition(".")[2], "twins live in files of one name"


@pytest.mark.parametrize("op", OPS)
def test_order_of_simulated_threads_does_not_change_bits(op, monkeypatch):
    reason = zfkernels.backends()["cuda"]
    if reason:
        pytest.skip(f"backend cuda: {reason}")
    if os.environ.get("NUMBA_ENABLE_CUDASIM") != "1":
        pytest.skip("a device orders its threads itself; see test_twice_the_same_bits_on_a_device")
    from simulator import Launch

    answers = []
    for backwards in (False, True):
        monkeypatch.setattr(Launch, "backwards", backwards)
        answers.append(bits_of(OPS[op], zfkernels.get("cuda"), range(2)))
    assert answers[0] == answers[1]


@pytest.mark.parametrize("op", OPS)
def test_twice_the_same_bits_on_a_device(op):
    reason = zfkernels.backends()["cuda"]
    if reason or os.environ.get("NUMBA_ENABLE_CUDASIM") == "1":
        pytest.skip(f"no device: {reason or 'it is simulated'}")
    cuda = zfkernels.get("cuda")
    assert bits_of(OPS[op], cuda, range(5)) == bits_of(OPS[op], cuda, range(5))


def bits_of(op, backend, seeds):
    """What every function of an op answers, in bytes."""
    return [
        result.tobytes()
        for seed in seeds
        for function in op.functions
        for result in results(backend, function, op.sample(SeededDraw(seed, "normal", np.float32)))
    ]


@pytest.mark.parametrize("op", OPS)
def test_threads_do_not_change_bits(op):
    numba = pytest.importorskip("numba")
    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("one processor: nothing to compare")
    cpu = zfkernels.get("cpu")
    answers = []
    for threads in (1, 2, 2):
        numba.set_num_threads(threads)
        answers.append(bits_of(OPS[op], cpu, range(5)))
    assert answers[0] == answers[1] == answers[2]
