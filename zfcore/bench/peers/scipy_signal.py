"""SciPy where it has the operation: correlation for small convolutions, softmax."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.signal
import scipy.special

from zfcore.bench.peers import Absent
from zfcore.bench.problems import KernelCall, Problem

MOST_FLOPS = 10**8


def call(problem: Problem, threads: int) -> Callable[[], Any]:
    """`scipy.signal.correlate` of an image with every filter, or `scipy.special.softmax`."""
    if not isinstance(problem, KernelCall) or problem.function not in ("conv2d", "softmax"):
        raise Absent("SciPy has no such operation")
    arguments = dict(problem.arguments)
    if problem.function == "softmax":
        return lambda: scipy.special.softmax(arguments["x"], axis=arguments["axis"])
    if problem.flops > MOST_FLOPS:
        raise Absent(f"hopeless above {MOST_FLOPS / 1e9:g} GFLOP")
    if arguments["groups"] > 1:
        raise Absent("written for one group")
    x, w, b, (SH, SW) = (arguments[name] for name in ("x", "w", "b", "stride"))
    border = ((0, 0), *arguments["padding"])

    def conv2d() -> np.ndarray:
        images = [[scipy.signal.correlate(np.pad(image, border), f, mode="valid")[0, ::SH, ::SW] for f in w] for image in x]
        return np.array(images) + b[:, None, None]

    return conv2d
