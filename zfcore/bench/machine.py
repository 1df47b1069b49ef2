"""Facts of this machine: what a figure means nothing without."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("numpy", "scipy", "numba", "llvmlite", "torch", "onnxruntime")
#: Of the many flags that LLVM knows, those that decide how fast numbers are multiplied.
INSTRUCTIONS = ("sse4.2", "avx", "avx2", "fma", "avx512f", "avx512vl", "avx512bw", "avx512dq", "avx10.1", "neon", "sve", "sve2")
BUSY = 0.5  #: Processes that wanted to run in the last minute, on average; above it others share the machine.


def facts() -> dict[str, Any]:
    """CPU, cores, caches, vector instructions, memory, operating system, versions, load."""
    load = load_average()
    return {
        "cpu": cpu_name(),
        "cores": cores(),
        "caches": caches(),
        "instructions": instructions(),
        "vectors": vectors(),
        "memory": physical_memory(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": versions(),
        "load": load,
        "warnings": [] if load is None or load <= BUSY else [f"the machine is busy (load {load:.1f} at the start): times may be too long"],
    }


def cpu_name() -> str:
    """As the system calls it."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    if sys.platform == "darwin":
        with suppress(OSError, subprocess.SubprocessError):
            return subprocess.run(["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True, check=True).stdout.strip()
    return platform.processor() or platform.machine()


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def caches() -> dict[str, int]:
    """Bytes of every cache that holds data, as the system says; empty if it does not."""
    found = {}
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        with suppress(OSError, ValueError, KeyError):
            level, kind, size = ((index / name).read_text().strip() for name in ("level", "type", "size"))
            if kind != "Instruction":
                found[f"L{level}"] = int(size[:-1]) * {"K": 2**10, "M": 2**20}[size[-1]]
    return found


def instructions() -> list[str]:
    """The vector instructions that LLVM finds, by which Numba compiles."""
    from llvmlite import binding

    flags = binding.get_host_cpu_features()
    return [name for name in INSTRUCTIONS if flags.get(name)]


def vectors() -> str:
    """The vectors of our products of matrices, in words."""
    from zfkernels.cpu.processor import VECTORS

    fused = "fused multiply-add" if VECTORS.fused else "separate multiplication and addition"
    return f"{VECTORS.name}: {VECTORS.registers} registers of {VECTORS.size // 4} float32, {fused}"


def physical_memory() -> int | None:
    """Bytes; None where the system does not say."""
    with suppress(ValueError, OSError, AttributeError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return None


def free_memory() -> int | None:
    """Bytes that can be had without swapping; None where the system does not say."""
    with suppress(OSError, ValueError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return None


def versions() -> dict[str, str]:
    """Of the packages that compute; those that are not installed are left out."""
    found = {}
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def load_average() -> float | None:
    """Over the last minute; None where the system does not say."""
    with suppress(OSError, AttributeError):
        return os.getloadavg()[0]
    return None
