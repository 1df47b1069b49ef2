"""Timing of the steps on two layers of ZFNet: each verified first, then all in turns, by the clockwork of `zfcore bench`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import numba
import numpy as np
from zfkernels.cpu.peak import multiply_add_peak

import zfcore
from benchmarks.ladder import steps
from zfcore.bench import ceilings, harness, machine, peers
from zfcore.bench.cases import all_cases, select
from zfcore.bench.problems import KernelCall
from zfcore.bench.results import Results, Side, Timed

LAYERS = ("conv2d/zfnet-conv3/n1", "conv2d/zfnet-conv1/n1")
PARALLEL = ("step8_parallel", "step9_shipped")
BLAS = "step5_blas"
SEED = 0


def run(threads: int | None = None, seconds: float = 60.0) -> Results:
    """Time all steps on all layers.

    Parameters
    ----------
    threads : int, optional
        Of the steps in `PARALLEL`, one per core by default; the others have one.
    seconds : float
        For each layer at most.

    Returns
    -------
    Results
        The steps are its peers; ``ceilings["one_thread"]`` is the peak of multiply-adds on a single thread.

    Raises
    ------
    AssertionError
        If a step gives a wrong answer.
    """
    threads = peers.use_threads(threads, [])
    date = datetime.now(UTC).isoformat(timespec="seconds")
    names = list(steps.load())
    settings = {"zfcore": zfcore.__version__, "date": date, "threads": threads, "peers": names, "seed": SEED}
    known, peaks = machine.facts(), ceilings.measured(threads)
    peers.use_threads(1, [])  # BLAS, too
    peaks["one_thread"] = multiply_add_peak(np.float32)
    return Results(known, peaks, settings, [_layer(name, threads, seconds) for name in LAYERS])


def _layer(name: str, threads: int, seconds: float) -> Timed:
    """All steps at one case, without its bias."""
    (case,) = select(all_cases(), [name])
    problem = case.make(SEED)
    assert isinstance(problem, KernelCall)
    problem = replace(problem, arguments={**problem.arguments, "b": np.zeros_like(problem.arguments["b"])})
    check = problem.verified(problem.ours()(), np.random.default_rng(SEED))
    products = problem.arguments["gy"].size * problem.arguments["w"][0].size
    timed, calls, firsts = Timed(case.id, case.family, case.n, 2 * products, verified=check.text), {}, {}
    for step, module in steps.load().items():
        timed.sides[step] = Side()
        if step == BLAS and (why := peers.why_absent("numpy")):
            timed.sides[step].note = f"a BLAS cannot be told to use one thread: {why}"
            continue
        calls[step] = _call(module.conv2d, problem, threads if step in PARALLEL else 1)
        result, firsts[step] = harness.first_call(calls[step])
        check(result)
    for step, side in harness.take_turns(calls, seconds).items():
        side.first = firsts[step]
        timed.sides[step] = side
    return timed


def _call(conv2d: Callable[..., np.ndarray], problem: KernelCall, threads: int) -> Callable[[], Any]:
    """A step's call, on so many threads. The paper's layers have the same stride and padding on all sides."""
    stride, _ = problem.arguments["stride"]
    (padding, _), _ = problem.arguments["padding"]
    call = partial(conv2d, problem.arguments["x"], problem.arguments["w"], stride, padding)

    def on_threads() -> np.ndarray:
        numba.set_num_threads(threads)
        return call()

    return on_threads
