"""Says what Numba compiles: the first run on a machine is slower than all others, and a user should know why."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from numba.core import event
from tqdm import tqdm


class _Notice(event.Listener):
    """A line for every function that is compiled and not loaded; what it calls is part of it."""

    def __init__(self) -> None:
        self.inside = 0

    def on_start(self, event: event.Event) -> None:
        self.inside += 1
        function = event.data["dispatcher"].py_func
        if self.inside == 1 and function.__module__.startswith("zfkernels."):
            tqdm.write(f"compiling {function.__name__.strip('_')}, once for this machine", file=sys.stderr)

    def on_end(self, event: event.Event) -> None:
        self.inside -= 1


@contextmanager
def announced() -> Iterator[None]:
    """Kernels that are compiled inside are named on standard error."""
    with event.install_listener("numba:compile", _Notice()):
        yield
