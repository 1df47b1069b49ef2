"""Arrays in, arrays out: the kernels of zfcore, each as a plain definition (`reference`) and as fast twins of it."""

from __future__ import annotations

import importlib
from types import ModuleType

if __name__ != "zfkernels":
    raise ImportError(
        f"zfkernels was imported as {__name__!r}; put the folder that holds it (kernels/) on the path and import it as "
        "'zfkernels': under two names its compiled functions would poison one cache"
    )

BACKENDS = ("reference", "cpu", "cuda")
DEVICES = {"cuda"}
"""The backends whose arrays lie in a memory of their own."""


def backends() -> dict[str, str]:
    """Every backend by name: an empty string if it can be used here, else the reason why not.

    Examples
    --------
    >>> backends()["reference"]
    ''
    """
    reasons = {}
    for name in BACKENDS:
        try:
            get(name)
            reasons[name] = ""
        except ImportError as error:
            reasons[name] = str(error)
    return reasons


def get(name: str) -> ModuleType:
    """The module of a backend: the same functions, with the same signatures, whichever it is.

    Raises
    ------
    ValueError
        If there is no backend of that name.
    ImportError
        If it cannot be used on this machine.
    """
    if name not in BACKENDS:
        raise ValueError(f"backend: got {name!r}, needed one of {', '.join(BACKENDS)}")
    return importlib.import_module(f"zfkernels.{name}")
