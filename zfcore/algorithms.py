"""Which algorithm computes a convolution: im2col's product of matrices, Winograd's minimal filtering, or the faster one.

"auto" measures both where both can be used, once in a process for every shape, type and number of threads, and keeps to the faster.
What it chooses hangs on the machine and on what else runs there, and so do the last bits of the result: "auto" is for speed, a
named algorithm for results that can be repeated.
"""

from __future__ import annotations

import time
import timeit
from functools import partial
from types import ModuleType

import numpy as np
from zfkernels.geometry import Padding, Pair
from zfkernels.minimal_filtering import KERNEL_SIZE

ALGORITHMS = ("im2col", "winograd", "auto")
LEAST, SECONDS = 3, 0.05  #: Rounds of measuring: at least so many, and more until so much time is spent.

_measured: dict[tuple[object, ...], str] = {}


def why_not_winograd(kernel_size: Pair, stride: Pair, dilation: Pair) -> str:
    """Empty if windows of that kind can be computed by "winograd", else the reason why not.

    Examples
    --------
    >>> why_not_winograd((3, 3), (1, 1), (1, 1)), why_not_winograd((5, 5), (1, 1), (1, 1))
    ('', 'it is for kernels of 3x3 with stride 1 and dilation 1; this one is 5x5, stride (1, 1), dilation (1, 1)')
    """
    if kernel_size == KERNEL_SIZE and stride == dilation == (1, 1):
        return ""
    KH, KW = kernel_size
    return f"it is for kernels of 3x3 with stride 1 and dilation 1; this one is {KH}x{KW}, stride {stride}, dilation {dilation}"


def convolve(
    k: ModuleType,
    algorithm: str,
    x: np.ndarray,
    w: np.ndarray,
    b: np.ndarray | None,
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
    rectified: bool = False,
) -> np.ndarray:
    """A convolution, or its positive part, by a backend's kernels and one of the `ALGORITHMS`.

    Parameters
    ----------
    k : module
        The backend.
    algorithm : str
        "winograd" only where `why_not_winograd` has no objection.
    x, w, b, stride, padding, dilation, groups
        As the kernels have them.
    rectified : bool
    """
    if algorithm == "auto":
        algorithm = fastest(k, x, w, stride, padding, dilation, groups)
    if algorithm == "winograd":
        return (k.conv2d_winograd_relu if rectified else k.conv2d_winograd)(x, w, b, padding, groups)
    return (k.conv2d_relu if rectified else k.conv2d)(x, w, b, stride, padding, dilation, groups)


def using(k: ModuleType, algorithm: str) -> ModuleType:
    """A backend whose convolutions are computed by one of the `ALGORITHMS` wherever it can be used; all else is as it was.

    Examples
    --------
    >>> import zfkernels
    >>> cpu = zfkernels.get("cpu")
    >>> using(cpu, "im2col") is cpu, using(cpu, "auto").linear is cpu.linear
    (True, True)
    """
    if algorithm == "im2col":
        return k

    def conv2d(x, w, b, stride, padding, dilation, groups, rectified=False):  # type: ignore[no-untyped-def]
        fits = not why_not_winograd((w.shape[2], w.shape[3]), stride, dilation)
        return convolve(k, algorithm if fits else "im2col", x, w, b, stride, padding, dilation, groups, rectified)

    made = ModuleType(f"{k.__name__} with {algorithm}")
    made.__dict__.update(conv2d=conv2d, conv2d_relu=partial(conv2d, rectified=True), __getattr__=partial(getattr, k))
    return made


def fastest(k: ModuleType, x: np.ndarray, w: np.ndarray, stride: Pair, padding: Padding, dilation: Pair, groups: int) -> str:
    """What "auto" uses for such a convolution with the present number of threads: "im2col" or "winograd".

    Where it has not been measured in this process it is now, which takes a few times as long as the convolution.
    """
    import numba  # which takes its time, and is not needed by who never asks for the fastest

    if why_not_winograd((w.shape[2], w.shape[3]), stride, dilation) or x.size == 0:
        return "im2col"
    key = k.__name__, x.shape, w.shape, x.dtype, padding, groups, numba.get_num_threads()
    if key not in _measured:
        seconds = _seconds(k, x, w, padding, groups)
        _measured[key] = min(seconds, key=seconds.__getitem__)
    return _measured[key]


def _seconds(k: ModuleType, x: np.ndarray, w: np.ndarray, padding: Padding, groups: int) -> dict[str, float]:
    """The fastest call of each algorithm. They take turns, two calls each: by the second, the caches are that algorithm's own."""
    def timed(name: str) -> None:
        convolve(k, name, x, w, None, (1, 1), padding, (1, 1), groups)
        k.synchronize()

    calls = {name: partial(timed, name) for name in ("im2col", "winograd")}
    for call in calls.values():
        call()  # compiles
    best, rounds, end = dict.fromkeys(calls, np.inf), 0, time.perf_counter() + SECONDS
    while rounds < LEAST or time.perf_counter() < end:
        for name, call in calls.items():
            best[name] = min(best[name], *timeit.repeat(call, number=1, repeat=2))
        rounds += 1
    return best
