"""A CUDA device under benchmarks: its clock, its facts, its ceilings. Imported only where the backend was asked for, and is there."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from numba import cuda
from zfkernels.cache import kept_by_source
from zfkernels.cuda.arrays import filled, release
from zfkernels.cuda.device import SIMULATED, memory, synchronize
from zfkernels.cuda.events import elapsed

with kept_by_source():
    from zfkernels.cuda import peak

SECONDS = 0.5  #: For the peak of multiply-adds.
LARGE = 2**12 if SIMULATED else 2**30  #: Bytes of one array whose copy is the ceiling: far above every cache.
SIZES = tuple(2**power for power in range(20, 31, 2))  #: Bytes read and written by copies of other sizes.
FLUSHES = 16  #: As the peers have it, see `zfcore.bench.peers.pytorch_cuda`.

#: Facts by the names of the driver's attributes; in bytes, or in kHz.
ATTRIBUTES = {
    "multiprocessors": "MULTIPROCESSOR_COUNT",
    "l2": "L2_CACHE_SIZE",
    "most_clock": "CLOCK_RATE",
    "most_memory_clock": "MEMORY_CLOCK_RATE",
    "bus": "GLOBAL_MEMORY_BUS_WIDTH",
}
PACKAGES = ("numba-cuda", "numba", "cuda-bindings", "torch")
ASKED = ("driver_version", "clocks.sm", "clocks.mem", "temperature.gpu", "power.draw", "power.limit")  #: Of nvidia-smi, if it is there.


# ---- the clock


def watch(call: Callable[[], Any], count: int) -> float:
    """The device's seconds for so many calls, each after its caches were filled with something else."""
    return elapsed(call, count, flush)


def watch_carried(call: Callable[[], Any], count: int) -> float:
    """The host's seconds for so many calls that end when their results are on the host."""
    synchronize()
    start = time.perf_counter()
    for _ in range(count):
        call()
    synchronize()
    return time.perf_counter() - start


def flush() -> None:
    """Write more than the last cache holds."""
    filled((FLUSHES * _attribute("L2_CACHE_SIZE", 64) // 4,), np.float32)


def tidy() -> None:
    """Give memory back that nothing uses: the peers allocate for themselves."""
    release()


def answers() -> bool:
    """Whether it still does: after some errors every later call fails."""
    try:
        filled((1,), np.float32)
        synchronize()
    except Exception:
        return False
    return True


# ---- facts


def facts() -> dict[str, Any]:
    """The card, what drives it, and the libraries that compute on it; what is not known is left out."""
    device = cuda.current_context().device
    name = getattr(device, "name", "simulated by Numba")
    found: dict[str, Any] = {
        "name": name.decode() if isinstance(name, bytes) else str(name),
        "compute_capability": ".".join(map(str, device.compute_capability)),
        "memory": memory()[1],
        **_attributes(),
        "asked": _asked(),
        "versions": _versions(),
    }
    return found


def _attributes() -> dict[str, int]:
    found = {}
    for fact, attribute in ATTRIBUTES.items():
        with suppress(Exception):  # drivers forget attributes
            found[fact] = _attribute(attribute, 0)
    return {fact: value for fact, value in found.items() if value}


def _attribute(name: str, otherwise: int) -> int:
    return int(getattr(cuda.current_context().device, name, otherwise))


def _versions() -> dict[str, str]:
    found = {}
    with suppress(Exception):
        driver: Any = cuda.cudadrv.driver.driver
        found["CUDA driver"] = ".".join(map(str, driver.get_version()))
    with suppress(Exception):
        found["CUDA runtime"] = ".".join(map(str, cuda.runtime.get_version()))
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    if "torch" in found:
        import torch

        found |= {"torch's CUDA": str(torch.version.cuda), "cuDNN": str(torch.backends.cudnn.version())}
    return found


def _asked() -> dict[str, str]:
    """What nvidia-smi says of the first device: driver, clocks and power as they are now."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return {}
    command = [program, "--id=0", f"--query-gpu={','.join(ASKED)}", "--format=csv,noheader"]
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
        return dict(zip(ASKED, (part.strip() for part in done.stdout.splitlines()[0].split(",")), strict=False))
    return {}


# ---- ceilings


def ceilings(seconds: float = SECONDS, large: int = LARGE, sizes: tuple[int, ...] = SIZES) -> dict[str, Any]:
    """What the device can do at most, as `zfcore.bench.ceilings.measured` has it.

    Returns
    -------
    dict
        Besides those: "copy_sizes", pairs of the bytes that a copy reads and writes together and its bytes a second, timed as the cases
        are, the faster of the driver's and ours.
    """
    large = min(large, memory()[0] // 8)
    copies = peak.copy_rates(large)
    smaller = [[size, max(peak.copy_rates(size // 2, flush).values())] for size in sizes if size <= 2 * large]
    rate = multiply_adds(seconds)
    return {"multiply_adds": rate, "copy": max(copies.values()), "copies": copies, "array": large, "copy_sizes": smaller}


def multiply_adds(seconds: float) -> float:
    """Multiplications and additions a second in float32, the best that was seen in the time."""
    return peak.multiply_add_peak(np.float32, seconds)
