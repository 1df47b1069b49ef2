"""Our own definition in plain NumPy, where it is done at once."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from zfkernels import reference

from zfcore.bench.peers import Absent
from zfcore.bench.problems import KernelCall, Problem

MOST_FLOPS, MOST_BYTES = 10**8, 2**22


def call(problem: Problem, threads: int) -> Callable[[], Any]:
    """The reference kernel."""
    if not isinstance(problem, KernelCall):
        raise Absent("only single kernels are timed in the reference")
    if problem.flops > MOST_FLOPS or problem.moved > MOST_BYTES:
        raise Absent(f"hopeless above {MOST_FLOPS / 1e9:g} GFLOP or {MOST_BYTES // 2**20} MiB")
    f = getattr(reference, problem.function)
    values = [problem.arguments[name] for name in inspect.signature(f).parameters]
    return lambda: f(*values)
