"""The peers: whose time stands beside ours. Each says why it is absent, as a whole or for one case."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from zfcore.bench.problems import Problem
from zfcore.errors import ZfcoreError


class Absent(Exception):
    """A peer has nothing to set against a case; the message is the reason."""


class Peer(Protocol):
    """A module of this package that can be imported where its library is installed."""

    def call(self, problem: Problem, threads: int) -> Callable[[], Any]:
        """What to time; everything that can be done before is done. `Absent` if there is nothing."""


#: Name -> (module here, packages it needs). The order is that of the report's columns.
PEERS = {
    "torch": ("pytorch", ("torch",)),
    "onnxruntime": ("onnx_runtime", ("onnxruntime",)),
    "numpy": ("numpy_blas", ("threadpoolctl",)),
    "scipy": ("scipy_signal", ("scipy", "threadpoolctl")),
    "reference": ("reference", ()),
}


def chosen(names: Sequence[str] | None) -> list[str]:
    """The peers of those names, in the report's order; all of them if None.

    Raises
    ------
    ZfcoreError
        If there is no such peer.
    """
    for name in names or ():
        if name not in PEERS:
            close = difflib.get_close_matches(name, PEERS, n=1)
            raise ZfcoreError(f"peer: got {name!r}, needed some of {', '.join(PEERS)}{f'; nearest: {close[0]}' if close else ''}")
    return [name for name in PEERS if names is None or name in names]


def why_absent(name: str) -> str:
    """Why a peer cannot take part at all; an empty string if it can."""
    missing = [package for package in PEERS[name][1] if importlib.util.find_spec(package) is None]
    return f"{' and '.join(missing)} not installed" if missing else ""


def load(name: str) -> Peer:
    """The peer's module."""
    return importlib.import_module(f"zfcore.bench.peers.{PEERS[name][0]}")


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
    if "torch" in names and not why_absent("torch"):
        import torch

        torch.set_num_threads(threads)
    if importlib.util.find_spec("threadpoolctl"):
        import numpy as np
        import threadpoolctl

        np.ones((2, 2)) @ np.ones((2, 2))  # its library is there before it is bounded
        threadpoolctl.threadpool_limits(threads)
    return threads
