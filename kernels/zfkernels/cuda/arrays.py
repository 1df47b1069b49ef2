"""Arrays in the device's memory, and how they come there and back.

A `DeviceArray` is a strided view of a buffer, as NumPy's arrays are; what it can do is what a network needs between its kernels. What
else NumPy has, it refuses: nothing is copied to the host behind anyone's back.

Buffers are recycled. A buffer that nothing refers to any more lies idle until an array of its type and size is wanted. All kernels run
in one stream, so whoever gets it writes after everyone who had it has read.
"""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any

import numpy as np
from numba import cuda

from zfkernels.array import Array
from zfkernels.cuda.device import COMPUTE, COPIES, RETURNS, SIMULATED, launch, memory

#: Host arrays from this size on are copied while kernels run, through page-locked memory, so many bytes at a time.
LARGE, STAGE = (1 << 16, 3 << 16) if SIMULATED else (1 << 16, 1 << 25)

# ---- memory

Kind = tuple[np.dtype, int, bool]
_idle: dict[Kind, list[Any]] = {}


class _Buffer:
    """Device memory for so many numbers, which lies idle when this dies."""

    __slots__ = ("free_again", "memory", "sent")

    def __init__(self, dtype: np.dtype, count: int, sent: bool = False) -> None:
        kind = dtype, max(count, 1), sent
        try:
            self.memory, self.free_again = _idle[kind].pop()
        except (KeyError, IndexError):
            self.memory, self.free_again = _allocated(dtype, kind[1]), cuda.event(timing=False) if sent and not SIMULATED else None
        self.sent = sent  #: Written by the copying stream, which has to be told when kernels are done with it.

    def __del__(self) -> None:
        try:
            if self.free_again is not None:
                cuda.current_context()  # whichever thread the collector runs in
                self.free_again.record(COMPUTE)
            _idle.setdefault((self.memory.dtype, self.memory.shape[0], self.sent), []).append((self.memory, self.free_again))
        except Exception:  # it was never filled, or the interpreter ends: the driver takes the memory back
            pass


def _allocated(dtype: np.dtype, count: int) -> Any:
    try:
        return cuda.device_array(count, dtype, stream=COMPUTE)
    except Exception as error:
        if "OUT_OF_MEMORY" not in str(error).upper().replace(" ", "_"):
            raise
        release()
    try:
        return cuda.device_array(count, dtype, stream=COMPUTE)
    except Exception as error:
        free, total = memory()
        raise MemoryError(
            f"the device has {free >> 20} MiB free of {total >> 20}, needed {count * dtype.itemsize >> 20} more; take a smaller batch"
        ) from error


def release() -> None:
    """Give all idle memory back to the device, and page-locked memory to the host."""
    for stream in (COMPUTE, COPIES, RETURNS):
        stream.synchronize()
    _idle.clear()
    _stages.clear()
    _landings.clear()


def free_memory() -> int:
    """Bytes that arrays may take: what is free on the device, and what lies idle here."""
    idle = sum(dtype.itemsize * count * len(kept) for (dtype, count, _), kept in _idle.copy().items())
    return memory()[0] + idle


# ---- the array

#: Of an array without memory NumPy computes shapes, strides and offsets; its elements are never looked at.
_ORIGIN = np.empty(0, np.uint8)


@lru_cache(maxsize=4096)
def _ghost(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    steps = [dtype.itemsize * math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    return np.lib.stride_tricks.as_strided(_ORIGIN.view(dtype), shape, steps, writeable=False)


class DeviceArray(Array):
    """An array in the device's memory.

    Parameters
    ----------
    buffer : _Buffer
        Where the numbers are.
    ghost : ndarray
        Which of them, in which order: shape, type, strides and offset.
    """

    __slots__ = ("buffer", "ghost")
    __array_ufunc__ = None  # NumPy's scalars leave the operators to this class

    def __init__(self, buffer: _Buffer, ghost: np.ndarray) -> None:
        self.buffer, self.ghost = buffer, ghost

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""
        return self.ghost.shape

    @property
    def dtype(self) -> np.dtype:
        """Type of the elements."""
        return self.ghost.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self.ghost.ndim

    @property
    def size(self) -> int:
        """Number of elements."""
        return self.ghost.size

    @property
    def nbytes(self) -> int:
        """Bytes of the elements."""
        return self.ghost.nbytes

    def __len__(self) -> int:
        return len(self.ghost)

    def __repr__(self) -> str:
        return f"DeviceArray(shape={self.shape}, dtype={self.dtype})"

    @property
    def start(self) -> int:
        """Place of the first element in the buffer."""
        return (self.ghost.__array_interface__["data"][0] - _ORIGIN.__array_interface__["data"][0]) // self.dtype.itemsize

    @property
    def strides(self) -> tuple[int, ...]:
        """From element to element along each axis, in elements."""
        return tuple(stride // self.dtype.itemsize for stride in self.ghost.strides)

    @property
    def whole(self) -> bool:
        """Whether it is its whole buffer, row by row."""
        return self.ghost.flags.c_contiguous and self.size == self.buffer.memory.shape[0]

    @property
    def elements(self) -> Any:
        """The elements as Numba's flat device array; of an array that is `whole` or empty."""
        return self.buffer.memory

    def __getitem__(self, key: Any) -> DeviceArray:
        keys = key if isinstance(key, tuple) else (key,)
        if not all(k is None or k is Ellipsis or (isinstance(k, slice | int | np.integer) and not isinstance(k, bool)) for k in keys):
            raise TypeError(f"a DeviceArray is indexed by integers and slices, got {key!r:.80}")
        if Ellipsis not in keys:
            keys = (*keys, ...)  # an element is an array, too
        return DeviceArray(self.buffer, self.ghost[keys])

    def transpose(self, *axes: Any) -> DeviceArray:
        """A view with the axes in another order."""
        return DeviceArray(self.buffer, self.ghost.transpose(*axes))

    def reshape(self, *shape: Any) -> DeviceArray:
        """The same elements in another shape: a view if they lie row by row, else a copy."""
        a = self if self.ghost.flags.c_contiguous else resident(self)
        return DeviceArray(a.buffer, a.ghost.reshape(*shape))

    def astype(self, dtype: Any, copy: bool = True) -> DeviceArray:
        """The elements in another type."""
        if not copy and self.dtype == dtype:
            return self
        y = empty(self.shape, dtype)
        launch(_copied, y.size, y, self.buffer.memory, self.start, *_walk(self.ghost))
        return y

    def __add__(self, other: Any) -> DeviceArray:
        return _combined(_add, self, other)

    def __mul__(self, other: Any) -> DeviceArray:
        return _combined(_multiply, self, other)

    def __truediv__(self, other: Any) -> DeviceArray:
        return _combined(_divide, self, other)

    def __radd__(self, other: Any) -> DeviceArray:
        return self + other

    def __rmul__(self, other: Any) -> DeviceArray:
        return self * other

    def __eq__(self, other: object) -> bool:
        raise TypeError("DeviceArrays are not compared; the backend's to_numpy copies them to the host")

    __hash__ = object.__hash__

    def __bool__(self) -> bool:
        raise TypeError("a DeviceArray is neither true nor false; the backend's to_numpy copies it to the host")

    def __copy__(self) -> DeviceArray:
        return DeviceArray(self.buffer, self.ghost)

    def __deepcopy__(self, memo: Any) -> DeviceArray:
        return self.astype(self.dtype)  # the ghost has no elements that could be copied

    def __reduce__(self) -> tuple[Any, ...]:
        return asarray, (to_numpy(self),)

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise TypeError("a DeviceArray is no NumPy array; the backend's to_numpy copies it to the host")

    def __array_function__(self, function: Callable[..., Any], types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if function not in _FUNCTIONS:
            return NotImplemented
        return _FUNCTIONS[function](*args, **kwargs)


def empty(shape: Sequence[int], dtype: Any) -> DeviceArray:
    """An array of undefined contents."""
    ghost = _ghost(tuple(map(int, shape)), np.dtype(dtype))
    return DeviceArray(_Buffer(ghost.dtype, ghost.size), ghost)


def filled(shape: Sequence[int], dtype: Any, value: float = 0.0) -> DeviceArray:
    """An array of one value."""
    y = empty(shape, dtype)
    launch(_filled, y.size, y, y.dtype.type(value))
    return y


def resident(a: Any) -> DeviceArray:
    """An array that kernels can take: on the device, its own whole buffer, row by row. Copied only if it is not."""
    if not isinstance(a, DeviceArray):
        return asarray(a)
    return a if a.whole or not a.size else a.astype(a.dtype)


# ---- to the device and back


class _Stage:
    """Page-locked memory of the host, through which parts of arrays are copied while kernels run."""

    def __init__(self) -> None:
        self.bytes = cuda.pinned_array(STAGE, np.uint8)
        self.sent = None if SIMULATED else cuda.event(timing=False)

    def send(self, part: np.ndarray, to: Any) -> None:
        """Copy a flat array into device memory; kernels that are launched from now on wait for it, those before do not."""
        if self.sent is not None:
            self.sent.synchronize()  # what went through here last is there
        staged = self.bytes[: part.nbytes].view(part.dtype)
        np.copyto(staged, part)
        to.copy_to_device(staged, stream=COPIES)
        if self.sent is not None:
            self.sent.record(COPIES)
            self.sent.wait(COMPUTE)


_stages: list[_Stage] = []


def _send(a: np.ndarray, buffer: _Buffer) -> None:
    """Copy an array into a buffer, a part at a time through two stages that take turns."""
    if buffer.free_again is not None:
        cuda.current_context()  # a new thread has none
        buffer.free_again.wait(COPIES)
    flat = np.ascontiguousarray(a).reshape(-1)
    step = STAGE // a.dtype.itemsize
    for first in range(0, flat.size, step):
        stage = _stages.pop(0) if len(_stages) > 1 else _Stage()
        part = flat[first : first + step]
        stage.send(part, buffer.memory[first : first + part.size])
        _stages.append(stage)


def asarray(a: Any) -> DeviceArray:
    """A NumPy array copied to the device; a `DeviceArray` as it is.

    A large one is copied while kernels run; those launched later wait for it.
    """
    if isinstance(a, DeviceArray):
        return a
    a = np.asarray(a)
    large = a.nbytes >= LARGE
    y = DeviceArray(_Buffer(a.dtype, a.size, sent=large), _ghost(a.shape, a.dtype))
    if large:
        _send(a, y.buffer)
    elif a.size:
        y.buffer.memory.copy_to_device(np.ascontiguousarray(a).reshape(-1), stream=COMPUTE)
    return y


def to_numpy(a: Any) -> np.ndarray:
    """An array of the device copied to the host, as soon as it is computed; a NumPy array as it is."""
    if not isinstance(a, DeviceArray):
        return np.asarray(a)
    if not a.size:
        return np.empty(a.shape, a.dtype)
    flat = resident(a).elements.copy_to_host(stream=COMPUTE)
    COMPUTE.synchronize()
    return flat.reshape(a.shape)


def fetch(a: Any) -> Callable[[], np.ndarray]:
    """Begin to copy an array of the device to the host, while later kernels run; to be called for the copy.

    The copy waits for what was launched so far, and no longer.
    """
    if SIMULATED or not isinstance(a, DeviceArray) or not a.size:
        return lambda: to_numpy(a)
    whole, ready, arrived = resident(a), cuda.event(timing=False), cuda.event(timing=False)
    ready.record(COMPUTE)
    ready.wait(RETURNS)
    landing, results = _landing(a.nbytes), list[np.ndarray]()
    landed = landing[: a.nbytes].view(a.dtype)
    whole.elements.copy_to_host(landed, stream=RETURNS)
    arrived.record(RETURNS)

    def fetched() -> np.ndarray:
        if not results:  # else the landing is another's by now
            cuda.current_context()  # a new thread has none
            arrived.synchronize()
            results.append(landed.copy().reshape(whole.shape))
            _landings[landing.ctypes.data] = landing
        return results[0]

    return fetched


#: Page-locked memory that nothing is on its way to, by address.
_landings: dict[int, np.ndarray] = {}


def _landing(size: int) -> np.ndarray:
    """Page-locked memory for so many bytes: the smallest idle one that holds them, else a new one in place of the largest idle one."""
    idle = sorted(_landings.copy().values(), key=len)
    for landing in idle:
        if len(landing) >= size and _landings.pop(landing.ctypes.data, None) is not None:  # another thread may have been faster
            return landing
    if idle:
        _landings.pop(idle[-1].ctypes.data, None)
    return cuda.pinned_array(size, np.uint8)


# ---- what NumPy does between the kernels


@cuda.jit(cache=True)
def _filled(y, value):
    i = cuda.grid(1)
    if i < y.shape[0]:
        y[i] = value


@cuda.jit(device=True)
def _place(i, start, shape, strides):
    """Where element i of a strided view lies in its buffer."""
    rest, at = i, start
    for axis in range(len(shape) - 1, -1, -1):
        at += rest % shape[axis] * strides[axis]
        rest //= shape[axis]
    return at


@cuda.jit(cache=True)
def _copied(y, x, start, shape, strides):
    i = cuda.grid(1)
    if i < y.shape[0]:
        y[i] = x[_place(i, start, shape, strides)]


@cuda.jit(cache=True)
def _placed(y, x, start, shape, strides):
    i = cuda.grid(1)
    if i < x.shape[0]:
        y[_place(i, start, shape, strides)] = x[i]


def _elementwise(operation: Callable[[Any, Any], Any]) -> Any:
    """A kernel of an operator on a flat array and one that is read by strides, 0 along axes it is the same for."""

    @cuda.jit(cache=True)
    def combined(y, a, b, start, shape, strides):
        i = cuda.grid(1)
        if i < y.shape[0]:
            y[i] = operation(a[i], b[_place(i, start, shape, strides)])

    return combined


_add, _multiply, _divide = (_elementwise(operation) for operation in (operator.add, operator.mul, operator.truediv))


def _walk(ghost: np.ndarray) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Shape and strides, in elements, with as few axes as tell the same; one at least."""
    if ghost.flags.c_contiguous:
        return (max(ghost.size, 1),), (1,)
    axes = [(n, stride // ghost.dtype.itemsize) for n, stride in zip(ghost.shape, ghost.strides, strict=True) if n > 1]
    joined = axes[:1]
    for n, stride in axes[1:]:
        outer, step = joined[-1]
        joined[-1:] = [(outer * n, stride)] if step == n * stride else [(outer, step), (n, stride)]
    lengths, strides = zip(*joined or [(1, 1)], strict=True)
    return lengths, strides


def _combined(kernel: Any, a: DeviceArray, b: Any) -> DeviceArray:
    if kernel is _divide and a.dtype.kind != "f":
        raise TypeError(f"a DeviceArray of {a.dtype} is not divided: the quotients are of another type")
    b = asarray(np.asarray(b).astype(a.dtype, casting="same_kind")) if not isinstance(b, DeviceArray) else b
    shape = np.broadcast_shapes(a.shape, b.shape)
    if a.dtype != b.dtype or shape != a.shape:
        if shape != b.shape or a.dtype != b.dtype or kernel is _divide:
            raise TypeError(f"a DeviceArray takes an operand of its type that fits into its shape: got {b!r} for {a!r}")
        a, b = b, a
    y, left = empty(shape, a.dtype), resident(a)
    launch(kernel, y.size, y, left, b.buffer.memory, b.start, *_walk(np.broadcast_to(b.ghost, shape)))
    return y


def _written(y: DeviceArray, part: Any, x: DeviceArray) -> None:
    """``y[part] = x``, of an array that nobody else has seen."""
    view, x = y[part], resident(x)
    launch(_placed, x.size, view.buffer.memory, x, view.start, *_walk(view.ghost))


def _concatenate(arrays: Sequence[DeviceArray], axis: int = 0) -> DeviceArray:
    shape, axis = list(arrays[0].shape), range(arrays[0].ndim)[axis]
    if len({(a.dtype, *a.shape[:axis], *a.shape[axis + 1 :]) for a in arrays}) > 1:
        raise TypeError(f"DeviceArrays are joined that are of one type and, but for axis {axis}, of one shape: got {arrays!r:.200}")
    shape[axis] = sum(a.shape[axis] for a in arrays)
    y, first = empty(shape, arrays[0].dtype), 0
    for a in arrays:
        _written(y, (*[slice(None)] * axis, slice(first, first + a.shape[axis])), a)
        first += a.shape[axis]
    return y


def _split(a: DeviceArray, ends: Sequence[int], axis: int = 0) -> list[DeviceArray]:
    axis = range(a.ndim)[axis]
    edges = [0, *map(int, ends), a.shape[axis]]
    return [a[(*[slice(None)] * axis, slice(low, high))] for low, high in itertools.pairwise(edges)]


def _pad(a: DeviceArray, widths: Sequence[tuple[int, int]], constant_values: float = 0.0) -> DeviceArray:
    if any(n < 0 for pair in widths for n in pair):
        raise ValueError(f"widths: got {widths}, needed none below 0")
    y = filled([n + before + after for n, (before, after) in zip(a.shape, widths, strict=True)], a.dtype, constant_values)
    _written(y, tuple(slice(before, before + n) for n, (before, _) in zip(a.shape, widths, strict=True)), a)
    return y


def _filled_like(value: float, a: DeviceArray) -> DeviceArray:
    return filled(a.shape, a.dtype, value)


_FUNCTIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    np.concatenate: _concatenate,
    np.split: _split,
    np.pad: _pad,
    np.zeros_like: partial(_filled_like, 0),
    np.ones_like: partial(_filled_like, 1),
    np.broadcast_to: lambda a, shape: DeviceArray(a.buffer, np.broadcast_to(a.ghost, shape)),
}
