"""Every record of the catalog passes every battery on every backend."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import zfkernels
from batteries import BATTERIES, results
from draws import HypothesisDraw, SeededDraw
from hypothesis import given
from hypothesis import strategies as st
from zfkernels import reference
from zfkernels.catalog import CATALOG, CORNERS

BACKENDS = [name for name in zfkernels.BACKENDS if name != "reference"]
OPS = {op.name: op for op in CATALOG}


@pytest.fixture(params=["reference", *BACKENDS])
def backend(request):
    reason = zfkernels.backends()[request.param]
    if reason:
        pytest.skip(f"backend {request.param}: {reason}")
    return zfkernels.get(request.param)


@pytest.mark.parametrize("corner", CORNERS)
@pytest.mark.parametrize("battery", BATTERIES, ids=lambda b: b.__name__)
@pytest.mark.parametrize("op", OPS)
def test_corner(op, battery, corner, backend):
    for seed in range(5):
        for dtype in (np.float32, np.float64):
            battery(OPS[op], backend, SeededDraw(seed, BATTERIES[battery], dtype, corner))


@pytest.mark.parametrize("battery", BATTERIES, ids=lambda b: b.__name__)
@pytest.mark.parametrize("op", OPS)
def test_drawn(op, battery, backend):
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
def test_threads_do_not_change_bits(op):
    numba = pytest.importorskip("numba")
    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("one processor: nothing to compare")
    cpu = zfkernels.get("cpu")
    answers = []
    for threads in (1, 2, 2):
        numba.set_num_threads(threads)
        answers.append(
            [
                result.tobytes()
                for seed in range(5)
                for function in OPS[op].functions
                for result in results(cpu, function, OPS[op].sample(SeededDraw(seed, "normal", np.float32)))
            ]
        )
    assert answers[0] == answers[1] == answers[2]
