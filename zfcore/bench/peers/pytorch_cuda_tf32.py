"""PyTorch on a CUDA device with TF32 on: factors of products cut to 10 bits behind the point, for the matrix units."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from zfcore.bench.peers import Absent, pytorch_cuda
from zfcore.bench.peers.pytorch_cuda import home as home
from zfcore.bench.peers.pytorch_cuda import tidy as tidy
from zfcore.bench.peers.pytorch_cuda import watch as watch
from zfcore.bench.problems import COUNTED, OPS, KernelCall, Problem
from zfcore.bench.verification import Check


def call(problem: Problem, threads: int) -> Callable[[], Any]:
    """The PyTorch version of a problem that multiplies matrices."""
    if isinstance(problem, KernelCall) and OPS[problem.function].name not in COUNTED:
        raise Absent("no product of matrices, so the same as with TF32 off")
    return pytorch_cuda.call(problem, threads, tf32=True)


def held(check: Check) -> Check:
    """A kernel's answer is held against a bound for cut factors; a network's is only timed."""
    return check.with_tf32()
