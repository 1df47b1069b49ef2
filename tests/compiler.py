"""Compiles every CUDA kernel that a call would launch, with NVIDIA's compiler and without a device.

The simulator runs kernels as Python and sees no types; this sees nothing else. Needs numba-cuda with a toolkit (``zfcore[cuda]``), and a
process of its own, without NUMBA_ENABLE_CUDASIM. As a program it compiles all ops and prints what each kernel takes of the device:

    python tests/compiler.py [op ...]
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numba import cuda
from numba.cuda import dispatcher, types
from numba.cuda.np import numpy_support
from numba.cuda.typing.typeof import typeof

CAPABILITY = (9, 0)


@dataclass(frozen=True)
class Kernel:
    """A kernel compiled for arguments of some types."""

    name: str
    signature: tuple[Any, ...]
    ptx: str
    folder: str  #: Where it would be kept for other processes.

    def resources(self) -> str:
        """What the environment's ptxas says of it: registers, shared memory, spills; empty if there is none (it comes with cuda12)."""
        ptxas = next((str(p) for p in Path(sys.prefix).rglob("bin/ptxas")), None)
        if ptxas is None:
            return ""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "kernel.ptx")
            path.write_text(self.ptx)
            command = [ptxas, "-v", f"-arch=sm_{CAPABILITY[0]}{CAPABILITY[1]}", str(path), "-o", str(path.with_suffix(".cubin"))]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
        return " ".join(re.findall(r"Used \d+ registers|\d+ bytes (?:smem|spill stores|stack frame)", done.stderr))


class Fake:
    """Stands for memory, streams, events and contexts of a device that is not there."""

    def __init__(self, shape: int = 0, dtype: Any = np.float32, **_: Any) -> None:
        self.shape, self.dtype = (shape,), np.dtype(dtype)

    def copy_to_host(self, **_: Any) -> np.ndarray:
        return np.zeros(self.shape, self.dtype)

    def __getitem__(self, part: slice) -> Fake:
        return self

    def get_memory_info(self) -> tuple[int, int]:
        return 1 << 34, 1 << 34

    compute_capability = CAPABILITY

    def ignored(self, *_: Any, **__: Any) -> None:
        """Whatever streams, events and memory are told."""

    copy_to_device = record = wait = synchronize = ignored


compiled: dict[tuple[Any, ...], Kernel] = {}


def _type(argument: Any) -> Any:
    return types.Array(numpy_support.from_dtype(argument.dtype), 1, "C") if isinstance(argument, Fake) else typeof(argument)


def _launched(kernel: Any, configuration: Any) -> Any:
    """In place of ``CUDADispatcher.__getitem__``: the launch compiles, and no more."""

    def launch(*arguments: Any) -> None:
        signature = tuple(_type(argument) for argument in arguments)
        key = kernel.py_func, signature
        if key not in compiled:
            options = {k: kernel.targetoptions[k] for k in ("fastmath", "lineinfo", "launch_bounds") if k in kernel.targetoptions}
            ptx, _ = cuda.compile_ptx(kernel.py_func, signature, cc=CAPABILITY, **options)
            compiled[key] = Kernel(f"{kernel.py_func.__module__}.{kernel.py_func.__qualname__}", signature, ptx, kernel._cache.cache_path)

    return launch


def install() -> None:
    """Let launches compile from now on; before `zfkernels.cuda` is imported."""
    for name in ("stream", "event"):
        setattr(cuda, name, lambda *args, **kwargs: Fake())
    cuda.current_context = dispatcher.get_current_device = Fake
    cuda.device_array = Fake
    cuda.pinned_array = np.empty
    dispatcher.CUDADispatcher.__getitem__ = _launched


def compile_ops(names: list[str]) -> None:
    """Every function of these ops, or of all and what measures the device's peak, in float32 and float64."""
    import zfkernels
    from draws import SeededDraw
    from zfkernels.catalog import CATALOG, CORNERS

    backend = zfkernels.get("cuda")
    for op in CATALOG:
        if names and op.name not in names:
            continue
        for dtype in (np.float32, np.float64):
            few = CORNERS[::3] if dtype is np.float32 else CORNERS[:1]
            for seed, corner in enumerate(CORNERS if names else few):
                case = op.sample(SeededDraw(seed, "normal", dtype, corner))
                for function in op.functions:
                    f = getattr(backend, function)
                    f(*(case[name] for name in f.__code__.co_varnames[: f.__code__.co_argcount]))
    if not names or "peak" in names:
        compile_peak()


def compile_peak() -> None:
    """The kernels that measure what the device can do."""
    from zfkernels.cache import kept_by_source
    from zfkernels.cuda.arrays import empty

    with kept_by_source():
        from zfkernels.cuda import peak

    for dtype in (np.float32, np.float64):
        y = empty((8,), dtype)
        peak.multiply_adds(y, 1)
        peak.copy(y, y)


def compile_networks() -> None:
    """What a large and a small batch need on their way up ZFNet and down again: the kernels that networks really meet."""
    from zfkernels.cuda.arrays import empty

    from zfcore import zoo
    from zfcore.training.optimiser import SGD
    from zfcore.training.recipe import RECIPES

    net = zoo.build("zfnet")
    net.backend = "cuda"
    for batch, algorithm in ((1, "im2col"), (64, "im2col"), (64, "winograd")):
        net.algorithm = algorithm
        logits = net.layers[net.outputs[0]].inputs[0]
        trace = net.forward(empty((batch, *net.input_shape), np.float32), keep=[logits], seed=1)
        gradients = net.gradients(trace, logits, empty((batch, *net.shapes[logits]), np.float32))
        SGD(net, RECIPES["paper"]).step(gradients, 0.1)


if __name__ == "__main__":
    root = Path(__file__).parents[1]
    sys.path[:0] = [str(root), str(root / "kernels")]
    as_json = "--json" in sys.argv
    install()
    chosen = [name for name in sys.argv[1:] if name != "--json"]
    compile_ops(chosen)
    if not chosen:
        compile_networks()
    with ThreadPoolExecutor(2) as pool:
        resources = list(pool.map(Kernel.resources, compiled.values()))
    facts = [
        {
            "name": kernel.name,
            "signature": str(kernel.signature).replace("Array(", "").replace(", 1, 'C', False, aligned=True)", "[]"),
            "resources": taken,
            "doubles": ".f64" in kernel.ptx,
            "folder": kernel.folder,
        }
        for kernel, taken in zip(compiled.values(), resources, strict=True)
    ]
    if as_json:
        print(json.dumps(facts))
    else:
        for fact in facts:
            print(fact["name"], fact["signature"], fact["resources"], "computes in double" if fact["doubles"] else "")
