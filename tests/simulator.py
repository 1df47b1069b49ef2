"""Numba's CUDA simulator with another engine: quick, repeatable, and watching what a real device would let pass.

The threads of a block run one at a time, each from barrier to barrier, in order or backwards. While they do, every access to shared and
to global memory is looked at. An index out of bounds, two threads that touch one place without a barrier between them (in global memory
in one launch), and a barrier that some threads never reach are errors. Memory that nobody has written holds NaN.
"""

from __future__ import annotations

import sys
from contextvars import copy_context
from types import SimpleNamespace
from typing import Any

import numpy as np
from greenlet import getcurrent, greenlet
from numba.cuda.simulator import kernel
from numba.cuda.simulator.cudadrv.devicearray import FakeCUDAArray

try:
    from numba.cuda import types
    from numba.cuda.np import numpy_support
except ImportError:  # the CUDA target that is part of Numba itself
    from numba.core import types
    from numba.np import numpy_support


class Race(AssertionError):
    """Two threads touched one place, one of them to write, and nothing says in which order."""


class Memory:
    """An array inside a kernel: of elements, each looked at by whom it may."""

    def __init__(self, array: np.ndarray, launch: Launch) -> None:
        self.array, self.launch = array, launch
        self.shape, self.dtype, self.size, self.ndim = array.shape, array.dtype, array.size, array.ndim
        self.written: dict[Any, Any] = {}  # place -> the thread that wrote there, or read
        self.read: dict[Any, Any] = {}

    def __len__(self) -> int:
        return len(self.array)

    def place(self, key: Any) -> Any:
        """The key, if it names an element."""
        if min(key) < 0 if type(key) is tuple else key < 0:
            raise IndexError(f"index {key} of an array of shape {self.shape}")
        return key

    def __getitem__(self, key: Any) -> Any:
        value = self.array[self.place(key)]
        me = self.launch.thread
        if self.written.get(key, me) != me:
            raise Race(f"{key} was written by {self.written[key]}, and is read by {me}")
        if self.read.setdefault(key, me) != me:
            self.read[key] = "several"
        return value

    def __setitem__(self, key: Any, value: Any) -> None:
        me = self.launch.thread
        if self.read.get(key, me) != me or self.written.setdefault(key, me) != me:
            raise Race(f"{key} was touched by {self.written.get(key)} or {self.read.get(key)}, and is written by {me}")
        self.array[self.place(key)] = value

    def at_barrier(self) -> None:
        """What came before has been seen by all."""
        self.written.clear()
        self.read.clear()


def poisoned(shape: Any, dtype: Any) -> np.ndarray:
    """An array as a device leaves it: of nothing that anyone may count on."""
    dtype = numpy_support.as_dtype(dtype) if isinstance(dtype, types.Type) else np.dtype(dtype)
    return np.full(shape, np.nan if dtype.kind == "f" else -(2**30), dtype)


def _fiber(function: Any) -> greenlet:
    """A thread of a block, in which NumPy keeps quiet about NaN and overflow, as a device does."""
    fiber = greenlet(function)
    fiber.gr_context = copy_context()
    return fiber


class Launch:
    """What the name `cuda` stands for inside a kernel while it runs."""

    current: Launch | None = None
    backwards = False

    def __init__(self, grid: tuple[int, ...], block: tuple[int, ...]) -> None:
        self.gridDim, self.blockDim = (SimpleNamespace(x=d[0], y=d[1], z=d[2]) for d in (grid, block))
        self.threads = [(x, y, z) for z in range(block[2]) for y in range(block[1]) for x in range(block[0])]
        if self.backwards:
            self.threads.reverse()
        self.blocks = [(x, y, z) for z in range(grid[2]) for y in range(grid[1]) for x in range(grid[0])]
        self.shared = SimpleNamespace(array=self._shared)
        self.local = SimpleNamespace(array=poisoned)
        self.thread: Any = None
        self.swapped: list[dict[str, Any]] = []

    def run(self, function: Any, arguments: list[Any]) -> None:
        """All blocks, one after the other."""
        from numba import cuda

        self.module, Launch.current = cuda, self
        try:
            self.enter(function)
            for block in self.blocks:
                self.blockIdx, self.allocated = SimpleNamespace(x=block[0], y=block[1], z=block[2]), {}
                self._block(function, arguments, block)
        finally:
            for names in self.swapped:
                names["cuda"] = cuda
            Launch.current = None

    def enter(self, function: Any) -> None:
        """Stand in for `cuda` in the module of a function."""
        names = function.__globals__
        if names.get("cuda") is self.module:
            names["cuda"] = self
            self.swapped.append(names)

    def _block(self, function: Any, arguments: list[Any], block: tuple[int, ...]) -> None:
        waiting = [(point, _fiber(function)) for point in self.threads]
        first: list[Any] = arguments
        while waiting:
            left = []
            for point, thread in waiting:
                self.threadIdx, self.thread = SimpleNamespace(x=point[0], y=point[1], z=point[2]), (block, point)
                thread.switch(*first)
                if not thread.dead:
                    left.append((point, thread))
            if left and len(left) < len(waiting):
                raise AssertionError(f"{len(left)} threads of {len(waiting)} wait at a barrier that the others never reach")
            waiting, first = left, []
            for memory in self.allocated.values():
                memory.at_barrier()

    def syncthreads(self) -> None:
        """Wait for the other threads of the block."""
        getcurrent().parent.switch()

    def grid(self, axes: int) -> Any:
        """The thread's place in the whole grid."""
        place = tuple(getattr(self.blockIdx, a) * getattr(self.blockDim, a) + getattr(self.threadIdx, a) for a in "xyz"[:axes])
        return place[0] if axes == 1 else place

    def gridsize(self, axes: int) -> Any:
        """The number of threads in the whole grid."""
        size = tuple(getattr(self.blockDim, a) * getattr(self.gridDim, a) for a in "xyz"[:axes])
        return size[0] if axes == 1 else size

    def _shared(self, shape: Any, dtype: Any, alignment: int | None = None) -> Memory:
        caller = sys._getframe(1)
        where = caller.f_code, caller.f_lineno
        if where not in self.allocated:
            self.allocated[where] = Memory(poisoned(shape, dtype), self)
        return self.allocated[where]


def _called(self: Any, *arguments: Any) -> Any:
    """In place of ``FakeCUDAKernel.__call__``."""
    if Launch.current is not None:
        Launch.current.enter(self.fn)
        return self.fn(*arguments)
    grid, block = ((*tuple(d), 1, 1)[:3] for d in (self.grid_dim, self.block_dim))
    launch = Launch(grid, block)
    arrays: dict[int, Memory] = {}  # one memory, whatever names the kernel has for it
    handed = [
        arrays.setdefault(a._ary.__array_interface__["data"][0], Memory(a._ary, launch)) if isinstance(a, FakeCUDAArray) else a
        for a in arguments
    ]
    with np.errstate(all="ignore"):
        launch.run(self.fn, handed)
    return None


def install() -> None:
    """Let the simulator run so from now on."""
    kernel.FakeCUDAKernel.__call__ = _called
    from zfkernels.cuda import arrays

    arrays._Buffer.recycling = arrays._Buffer.__init__
    arrays._Buffer.__init__ = _fresh


def _fresh(self: Any, dtype: np.dtype, count: int, sent: bool = False) -> None:
    """In place of ``_Buffer.__init__``: nothing is recycled, and everything begins poisoned."""
    self.memory, self.free_again, self.sent = FakeCUDAArray(poisoned(max(count, 1), dtype)), None, sent
