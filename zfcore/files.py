"""Writing files so that they are whole or not there."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from zfcore.errors import ZfcoreError


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all: beside its place first, then renamed into it.

    Raises
    ------
    ZfcoreError
        If it cannot be written: no permission, no folder, no room.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")  # of its own, should two processes write one file
    try:
        with open(partial, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
        _settle(path.parent)
    except OSError as error:
        raise ZfcoreError(f"{path}: cannot be written: {error.strerror}; nothing was left half-written") from error
    finally:  # an interrupt comes by here too
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def _settle(folder: Path) -> None:
    """See that a renaming outlives a power failure, where the system can say so."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
