"""The peers: whose time stands beside ours. Each says why it is absent, as a whole or for one case."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Protocol

import zfkernels

from zfcore.bench.problems import Problem
from zfcore.bench.verification import Check
from zfcore.errors import ZfcoreError


class Absent(Exception):
    """A peer has nothing to set against a case; the message is the reason."""


class Peer(Protocol):
    """A module of this package that can be imported where its library is installed."""

    def call(self, problem: Problem, threads: int) -> Callable[[], Any]:
        """What to time; everything that can be done before is done. `Absent` if there is nothing."""


class DevicePeer(Peer, Protocol):
    """One whose results are on a device."""

    def watch(self, call: Callable[[], Any], count: int) -> float:
        """Its `zfcore.bench.harness.Watch`."""

    def home(self, result: Any) -> Any:
        """A result as NumPy arrays."""

    def held(self, check: Check) -> Check:
        """What its answers are held against."""

    def tidy(self) -> None:
        """Give memory back that nothing uses."""


#: Name -> (module here, packages it needs). The order is that of the report's columns.
PEERS = {
    "torch": ("pytorch", ("torch",)),
    "onnxruntime": ("onnx_runtime", ("onnxruntime",)),
    "numpy": ("numpy_blas", ("threadpoolctl",)),
    "scipy": ("scipy_signal", ("scipy", "threadpoolctl")),
    "reference": ("reference", ()),
}
#: The same of those that compute on a CUDA device, each a `DevicePeer`.
CUDA_PEERS = {"torch-cuda": ("pytorch_cuda", ("torch",)), "torch-cuda-tf32": ("pytorch_cuda_tf32", ("torch",))}


def chosen(names: Sequence[str] | None, backend: str = "cpu") -> list[str]:
    """The peers of those names, in the report's order; if None all that compute where the backend does.

    Raises
    ------
    ZfcoreError
        If there is no such peer.
    """
    there = CUDA_PEERS if backend in zfkernels.DEVICES else PEERS
    for name in names or ():
        if name not in there:
            close = difflib.get_close_matches(name, there, n=1)
            raise ZfcoreError(f"peer: got {name!r}, needed some of {', '.join(there)}{f'; nearest: {close[0]}' if close else ''}")
    return [name for name in there if names is None or name in names]


def why_absent(name: str) -> str:
    """Why a peer cannot take part at all; an empty string if it can."""
    missing = [package for package in (PEERS | CUDA_PEERS)[name][1] if importlib.util.find_spec(package) is None]
    return f"{' and '.join(missing)} not installed" if missing else _no_device() if name in CUDA_PEERS else ""


@lru_cache(maxsize=1)
def _no_device() -> str:
    import torch

    return "" if torch.cuda.is_available() else f"PyTorch {torch.__version__} finds no CUDA device"


def load(name: str) -> Peer:
    """The peer's module."""
    return importlib.import_module(f"zfcore.bench.peers.{(PEERS | CUDA_PEERS)[name][0]}")


def use_threads(threads: int | None, names: Sequence[str]) -> int:
    """So many threads for all sides: our kernels, PyTorch, BLAS. (onnxruntime is told with every model.)

    Parameters
    ----------
    threads : int or None
        None: one per core.
    names : sequence of str
        The peers that take part.

    Returns
    -------
    int

    Raises
    ------
    ZfcoreError
        If there are fewer cores.
    """
    import numba

    cores = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
    threads = cores if threads is None else threads
    if threads > cores:
        raise ZfcoreError(f"threads: got {threads}, there are {cores} cores here; needed 1 to {cores}")
    numba.set_num_threads(threads)
    if any(name.startswith("torch") for name in names) and not why_absent("torch"):
        import torch

        torch.set_num_threads(threads)
    if importlib.util.find_spec("threadpoolctl"):
        import numpy as np
        import threadpoolctl

        np.ones((2, 2)) @ np.ones((2, 2))  # its library is there before it is bounded
        threadpoolctl.threadpool_limits(threads)
    return threads
