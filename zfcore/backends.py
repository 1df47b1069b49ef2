"""Which backend computes where nobody has said: "cpu", unless it is asked for another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import zfkernels

from zfcore.errors import ZfcoreError

CHOICES = (*zfkernels.BACKENDS, "auto")
"""What `resolve` takes."""

_chosen = "cpu"


def default() -> str:
    """The backend of networks that are made without one."""
    return _chosen


@contextmanager
def computing_on(name: str) -> Iterator[str]:
    """Networks made inside, without a backend of their own, compute on this one; yields its name.

    Raises
    ------
    ValueError, ZfcoreError
        As `resolve`.

    Examples
    --------
    >>> with computing_on("reference"):
    ...     default()
    'reference'
    """
    global _chosen
    before, _chosen = _chosen, resolve(name)
    try:
        yield _chosen
    finally:
        _chosen = before


def resolve(name: str) -> str:
    """The name of a backend that can be used here; "auto" is "cuda" where there is a device, else "cpu".

    Raises
    ------
    ValueError
        If there is no backend of that name.
    ZfcoreError
        If it cannot be used on this machine; the message says what is missing.
    """
    if name not in CHOICES:
        raise ValueError(f"backend: got {name!r}, needed one of {', '.join(CHOICES)}")
    if name == "auto":
        return "cpu" if zfkernels.backends()["cuda"] else "cuda"
    if name in zfkernels.DEVICES:
        try:
            zfkernels.get(name)
        except ImportError as error:
            raise ZfcoreError(str(error)) from error
    return name
