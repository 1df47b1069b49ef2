"""onnxruntime, for networks that came from an ONNX file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import onnxruntime

from zfcore.bench.peers import Absent
from zfcore.bench.problems import Forward, Problem


def call(problem: Problem, threads: int) -> Callable[[], Any]:
    """A session on the CPU with the same number of threads."""
    if not isinstance(problem, Forward) or problem.path is None or problem.path.suffix.lower() != ".onnx":
        raise Absent("only ONNX files run there")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3  # errors
    session = onnxruntime.InferenceSession(str(problem.path), options, providers=["CPUExecutionProvider"])
    entry = session.get_inputs()[0]
    x = problem.x.astype("float16") if entry.type == "tensor(float16)" else problem.x
    outputs = list(problem.net.outputs)
    known = {output.name for output in session.get_outputs()}
    wanted = outputs if known.issuperset(outputs) else None
    return lambda: session.run(wanted, {entry.name: x})
