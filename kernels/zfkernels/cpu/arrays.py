"""The forms in which arrays enter compiled functions and leave them."""

from __future__ import annotations

import math

import numpy as np

#: Recycled results begin at multiples of this many bytes. Then no store splits a cache line; and it is the distance at which a
#: processor takes a load for one of what was just stored, and waits: with results a line or two beyond their inputs, modulo
#: this, local_response_norm took a third longer.
PAGE = 4096

#: Results from this size on are recycled: the system gives and takes such memory page by page, which costs more than the kernels.
LARGE = 1 << 20

#: Most bytes that may lie idle.
IDLE = 512 << 20

#: The idle buffers by address, those longest idle first. Each change is one operation of a dict: threads need no lock, and a
#: result that dies in the middle of another's allocation does no harm.
_idle: dict[int, np.ndarray] = {}


class _Lease:
    """What the arrays of a recycled buffer refer to. It dies with the last of them, their views and their exports."""

    __slots__ = ("__array_interface__", "_address", "_buffer")

    def __init__(self, address: int, buffer: np.ndarray, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self._address, self._buffer = address, buffer
        self.__array_interface__ = {"version": 3, "shape": shape, "typestr": dtype.str, "data": (address + -address % PAGE, False)}

    def __del__(self) -> None:
        _keep(self._address, self._buffer)


def _keep(address: int, buffer: np.ndarray) -> None:
    """Let a buffer lie idle; those longest idle go back to the system while there is too much."""
    if buffer.nbytes > IDLE:
        return
    _idle[address] = buffer
    idle = _idle.copy()
    excess = sum(b.nbytes for b in idle.values()) - IDLE
    for oldest, b in idle.items():
        if excess <= 0:
            break
        if _idle.pop(oldest, None) is not None:
            excess -= b.nbytes


def _take(size: int) -> tuple[int, np.ndarray]:
    """The smallest idle buffer that holds `size` bytes and is at most a quarter larger, else a new one; with its address."""
    fitting = [(b.nbytes, address) for address, b in _idle.copy().items() if size <= b.nbytes <= size + size // 4]
    for _, address in sorted(fitting):
        buffer = _idle.pop(address, None)  # another thread may have been faster
        if buffer is not None:
            return address, buffer
    buffer = np.empty(size, np.uint8)
    return buffer.__array_interface__["data"][0], buffer


def empty(shape: tuple[int, ...], dtype: np.dtype | type) -> np.ndarray:
    """An array of undefined contents, C-contiguous; a large one, from 1 MiB on, in memory that an earlier result has left.

    A result's memory is used again when nothing refers to it any more: no array, no view, no export of either. At most 512 MiB
    lie idle; beyond that the memory longest idle goes back to the system.

    Examples
    --------
    >>> y = empty((4, 1 << 20), np.float32)
    >>> y.ctypes.data % 4096
    0
    """
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    if size < LARGE:
        return np.empty(shape, dtype)
    return np.asarray(_Lease(*_take(size + PAGE), tuple(map(int, shape)), dtype))


def release() -> None:
    """Give all idle memory back to the system."""
    _idle.clear()


def frozen(array: np.ndarray) -> np.ndarray:
    """A contiguous, aligned, read-only view of `array`, or such a copy of it.

    Numba compiles a version for every combination of layouts and writability it meets; with this there is one. And a
    kernel that wrote to an input would not compile.
    """
    view = np.require(array, requirements=["C", "A"]).view()
    view.flags.writeable = False
    return view
