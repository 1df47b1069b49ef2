"""What every backend's arrays have in common, and how those of the host's memory come to be."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable
from typing import Any, TypeGuard

import numpy as np


class Array(ABC):  # noqa: B024 - it says what an array is
    """An array in the memory that some backend computes in: NumPy's own, or one on a device.

    It has ``shape``, ``dtype``, ``ndim``, ``size``, ``nbytes``; views by basic indexing, ``transpose`` and ``reshape``; ``+``, ``*`` and
    ``/``. A backend's ``asarray`` makes one of a NumPy array, its ``to_numpy`` a NumPy array of one.
    """

    __slots__ = ()


Array.register(np.ndarray)


def is_array(a: object) -> TypeGuard[np.ndarray]:
    """Whether it is an array of any backend; what is written of NumPy's arrays goes for all of them, as far as `Array` says."""
    return isinstance(a, Array)


def asarray(a: Any) -> np.ndarray:
    """An array where the backend's kernels take it: on the host, what NumPy makes of it."""
    return np.asarray(a)


def to_numpy(a: Any) -> np.ndarray:
    """A result of the backend's kernels as a NumPy array: on the host, itself."""
    return np.asarray(a)


def synchronize() -> None:
    """Wait until all that was begun is done: on the host, it is."""


def fetch(a: Any) -> Callable[[], np.ndarray]:
    """Begin to bring a result to the host; to be called for the NumPy array, when it is wanted."""
    return lambda: to_numpy(a)
