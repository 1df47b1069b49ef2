"""Where Numba keeps the compiled kernels: one folder for each state of the sources.

Numba does not notice that a function *called* by a cached one was edited, nor a changed global or decorator flag. So
the folder's name is a hash of every source file of the kernels and of Numba's version: an edit or an upgrade starts an
empty folder.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

import numba


def source_hash() -> str:
    """Sixteen hexadecimal digits that change with any source file of the kernels and with Numba's version."""
    package = Path(__file__).resolve().parent
    digest = hashlib.sha256(f"{numba.__version__} {_version_of('numba-cuda')}".encode())
    for path in sorted(package.rglob("*.py")):
        digest.update(f"\n{path.relative_to(package).as_posix()}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _version_of(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


def user_cache() -> Path:
    """The folder where this system keeps a user's caches."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


@lru_cache(maxsize=1)
def cache_directory() -> str:
    """A writable folder for the compiled kernels: the user's cache, else a temporary one that ends with the process.

    Asked for once: kernels that are made later belong to the sources that were imported.

    Raises
    ------
    ImportError
        If no folder of this machine can be written to.
    """
    try:
        directory = user_cache() / "zfcore" / "numba" / source_hash()
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            return str(directory)
    except (OSError, RuntimeError):  # RuntimeError: the user has no home
        pass
    try:
        temporary = tempfile.mkdtemp(prefix="zfcore-numba-")
    except OSError as error:
        raise ImportError(f"no writable folder for compiled kernels ({error}); set NUMBA_CACHE_DIR to one") from error
    atexit.register(shutil.rmtree, temporary, ignore_errors=True)
    return temporary


@contextmanager
def kept_by_source() -> Iterator[None]:
    """Functions decorated inside keep their compiled code in `cache_directory`, unless the user chose NUMBA_CACHE_DIR.

    Numba fixes a function's folder when it is decorated, so other packages that compile keep their own place. A function that decorates
    kernels when it is called has this as its own decorator, ``@kept_by_source()``.
    """
    known: list[Any] = [numba.config, sys.modules.get("numba.cuda.core.config")]  # numba-cuda has one of its own
    configs = [config for config in known if config is not None and not config.CACHE_DIR]
    for config in configs:
        config.CACHE_DIR = cache_directory()
    try:
        yield
    finally:
        for config in configs:
            config.CACHE_DIR = ""
