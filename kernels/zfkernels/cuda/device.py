"""The device: whether there is one, its streams, and how kernels are launched."""

from __future__ import annotations

import importlib.util
from typing import Any

import numba

INSTALL = "pip install 'zfcore[cuda]' (CUDA 13) or 'zfcore[cuda12]'"

try:
    from numba import cuda
except ImportError as error:  # a Numba that leaves CUDA to numba-cuda
    raise ImportError(f"backend cuda: the package numba-cuda is not installed: {INSTALL}") from error

#: Whether Numba's simulator stands in for a device (NUMBA_ENABLE_CUDASIM=1): kernels as plain Python, for tests.
SIMULATED = bool(numba.config.ENABLE_CUDASIM)  # type: ignore[attr-defined]

#: Threads of a block where nothing else decides: so few in the simulator that blocks have tails.
THREADS = 10 if SIMULATED else 256


def why_not() -> str:
    """Empty if kernels can be launched here, else what is missing and what helps."""
    if SIMULATED:
        return ""
    if importlib.util.find_spec("numba_cuda") is None:
        return f"the package numba-cuda is not installed: {INSTALL}"
    try:
        cuda.current_context()
    except Exception as error:  # whatever the driver, or its absence, comes up with
        reason = " ".join(str(error).split()).removeprefix("Error at driver init: ").strip(" :.")
        return f"no NVIDIA device with its driver is found: {reason}"
    try:
        from numba.cuda.cudadrv import nvvm

        nvvm.NVVM()
    except Exception as error:
        return f"CUDA's compiler cannot be used ({' '.join(str(error).split())}): {INSTALL}"
    return ""


if reason := why_not():
    raise ImportError(f"backend cuda: {reason}")

if not SIMULATED:
    from numba.cuda import dispatcher

    dispatcher.config.CUDA_LOW_OCCUPANCY_WARNINGS = 0  # grids are small where layers are: there is nothing to be warned of

COMPUTE = cuda.stream()  #: In which all kernels run, one after the other.
COPIES = cuda.stream()  #: In which what the host sends is copied meanwhile.
RETURNS = cuda.stream()  #: In which what the host asked for is copied meanwhile.


def launch(kernel: Any, tasks: int, *arguments: Any) -> None:
    """Run a kernel with a thread for each of so many tasks, and some threads more.

    `arguments` are numbers, tuples of numbers, and `DeviceArray`, which reach the kernel as flat arrays.
    """
    if tasks:
        launch_blocks(kernel, -(-tasks // THREADS), THREADS, *arguments)


def launch_blocks(kernel: Any, blocks: int | tuple[int, ...], threads: int | tuple[int, ...], *arguments: Any) -> None:
    """Run a kernel on so many blocks of so many threads; neither may be none."""
    handed = [getattr(argument, "elements", argument) for argument in arguments]
    kernel[blocks, threads, COMPUTE](*handed)


def described() -> str:
    """What computes, for people."""
    if SIMULATED:
        return "Numba's simulator of a CUDA device, which is for tests"
    device = cuda.get_current_device()
    name = device.name.decode() if isinstance(device.name, bytes) else device.name
    return f"{name}, {memory()[1] / 2**30:.0f} GiB"


def synchronize() -> None:
    """Wait until all that was launched is done."""
    COMPUTE.synchronize()


def memory() -> tuple[int, int]:
    """(free, total) bytes of the device; in the simulator a GiB."""
    free, total = cuda.current_context().get_memory_info()
    return (1 << 30, 1 << 30) if SIMULATED else (int(free), int(total))
