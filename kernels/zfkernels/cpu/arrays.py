"""The one form in which arrays enter a compiled function."""

from __future__ import annotations

import numpy as np


def frozen(array: np.ndarray) -> np.ndarray:
    """A contiguous, aligned, read-only view of `array`, or such a copy of it.

    Numba compiles a version for every combination of layouts and writability it meets; with this there is one. And a
    kernel that wrote to an input would not compile.
    """
    view = np.require(array, requirements=["C", "A"]).view()
    view.flags.writeable = False
    return view
