"""The cpu backend's large results live in recycled memory, and no one who holds a result ever sees that."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading

import numpy as np
import pytest
from zfkernels import cpu
from zfkernels.cpu import arrays

SHAPE = (4, 1 << 18)  # float32: 4 MiB


def empty(shape=SHAPE) -> np.ndarray:
    return arrays.empty(shape, np.float32)


@pytest.fixture(autouse=True)
def nothing_idle():
    arrays.release()
    yield
    arrays.release()


def place(a: np.ndarray) -> int:
    return a.__array_interface__["data"][0]


def idle_bytes() -> int:
    return sum(buffer.nbytes for buffer in arrays._idle.values())


HOLDERS = {
    "view": lambda y: y.view(),
    "slice": lambda y: y[1:, ::2],
    "element as an array": lambda y: y[1, 2, ...],
    "reshaped": lambda y: y.reshape(-1),
    "transposed": lambda y: y.T,
    "other type": lambda y: y.view(np.int32),
    "flat iterator": lambda y: y.flat,
    "memoryview": memoryview,
    "slice of a memoryview": lambda y: memoryview(y)[1:],
    "array of a memoryview": lambda y: np.asarray(memoryview(y)),
    "frombuffer": np.frombuffer,
    "as_strided": lambda y: np.lib.stride_tricks.as_strided(y, (2, 2), (8, 4)),
    "subclass": lambda y: y.view(np.recarray),
    "array interface": lambda y: np.asarray(type("Wrap", (), {"__array_interface__": y.__array_interface__, "y": y})()),
    "dlpack": np.from_dlpack,
    "ctypes": lambda y: y.ctypes.data_as(__import__("ctypes").POINTER(__import__("ctypes").c_float)),
    "iterator over rows": lambda y: iter(y),
}


@pytest.mark.parametrize("kind", HOLDERS)
def test_memory_that_someone_holds_is_not_given_away(kind):
    y = empty()
    y[...] = 7
    where, hold = place(y), HOLDERS[kind](y)
    del y
    gc.collect()
    others = [empty() for _ in range(3)]
    assert where not in map(place, others), f"{kind}: its memory was given away"
    assert idle_bytes() == 0
    del hold, others
    gc.collect()
    assert any(address <= where < address + arrays.PAGE for address in arrays._idle), f"{kind}: its memory was lost"


def test_memory_that_no_one_holds_is_used_again():
    y = empty()
    where = place(y)
    del y
    assert place(empty()) == where


@pytest.mark.parametrize("shape", [SHAPE, (3, 5, 1 << 17), (1 << 18,)])
def test_results_begin_at_a_page_and_are_plain_arrays(shape):
    y = empty(shape)
    assert place(y) % arrays.PAGE == 0
    assert type(y) is np.ndarray and y.shape == shape and y.dtype == np.float32
    assert y.flags.c_contiguous and y.flags.writeable and y.flags.aligned


@pytest.mark.parametrize("shape", [(0,), (3, 0, 4), (), (2, 3)])
def test_small_results_are_not_recycled(shape):
    assert arrays.empty(shape, np.float64).shape == shape
    assert not arrays._idle


def test_much_smaller_results_do_not_take_large_memory():
    y = empty((16, 1 << 18))
    del y
    held = idle_bytes()
    small = empty((8, 1 << 18))
    assert idle_bytes() == held, f"{small.nbytes} bytes took a buffer of {held}"


def test_the_memory_longest_idle_goes_back(monkeypatch):
    monkeypatch.setattr(arrays, "IDLE", 10 << 20)
    results = [empty() for _ in range(4)]
    places = [place(y) for y in results]
    while results:
        del results[0]
        assert idle_bytes() <= arrays.IDLE
    assert place(empty()) in places[2:]


def test_a_result_saved_by_a_finalizer_stays_its_own():
    """The collector runs finalizers before it frees anything, and one of them may save the result."""
    saved = []

    class Owner:
        def __del__(self):
            saved.append(self.y)

    owner = Owner()
    owner.y, owner.cycle = empty(), owner
    owner.y[...] = 7
    del owner
    gc.collect()
    other = empty()
    other[...] = 0
    assert saved and (saved[0] == 7).all()


def test_threads_do_not_share_memory():
    wrong = []

    def work(number):
        for step in range(200):
            y = empty((1, (1 << 18) + 64 * (step % 3)))
            y[...] = number
            if not (y == number).all():
                wrong.append((number, step))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_kernels_earlier_result_is_not_overwritten_by_its_next():
    x = np.ones((1, 8, 256, 256), np.float32)
    first = cpu.relu(x)[:, 3]
    for _ in range(3):
        cpu.relu(2 * x)
    assert (first == 1).all()


def test_results_alive_at_the_end_of_the_process_end_quietly():
    program = (
        "import sys; from zfkernels.cpu.arrays import empty; import numpy as np;"
        "y = empty((1 << 20,), np.float32); z = empty((1 << 20,), np.float32); del z; cycle = [y]; cycle.append(cycle)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={"PYTHONPATH": ":".join(sys.path)}
    )
    assert done.stderr == ""
