"""Where images come from, one at a time: a folder of files, or arrays in memory."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Protocol, TypeVar

import numpy as np

from zfcore.data.images import list_images, read_image
from zfcore.errors import ZfcoreError

T = TypeVar("T")

READERS = 2
"""Threads that decode ahead: decoding 300 px JPEGs is several times quicker than any network, so that more would only sit in its way."""


class ImageSource(Protocol):
    """A numbered sequence of images that need not fit in memory."""

    @property
    def described(self) -> str:
        """Where the images are, for people."""

    def __len__(self) -> int: ...

    def name(self, index: int) -> str:
        """What an image is called in results."""

    def read(self, index: int) -> np.ndarray:
        """An image, (H, W, 3) uint8 RGB; ImageError if it cannot be read."""

    def fingerprint(self) -> str:
        """Differs where the images do. It reads all of them: ask once."""

    def listing(self) -> str:
        """A cheap fingerprint, for going on with a run: of files their names and sizes, of what is in memory the contents."""


class FolderSource:
    """The image files below a folder, sorted by path; each is called by its path inside the folder.

    Parameters
    ----------
    folder : path
    paths : sequence of Path, optional
        Files below it, in this order, instead of all images.

    Raises
    ------
    ImageError
        If there is no such folder, or no image in it.
    """

    def __init__(self, folder: str | os.PathLike[str], paths: Sequence[Path] | None = None) -> None:
        self.folder = Path(folder)
        self.paths = list_images(folder) if paths is None else list(paths)

    @property
    def described(self) -> str:
        """The folder, as it was given."""
        return str(self.folder)

    def __len__(self) -> int:
        return len(self.paths)

    def name(self, index: int) -> str:
        """The file's path inside the folder."""
        return self.paths[index].relative_to(self.folder).as_posix()

    def read(self, index: int) -> np.ndarray:
        """The picture in the file; ImageError if there is none."""
        return read_image(self.paths[index])

    def fingerprint(self) -> str:
        """A hash of the files' names and contents.

        Sizes would not do: every BMP of one shape has the same. Times would change with every copy of a folder, and records of equal
        results with them. Reading a file takes a small part of the time of decoding it.
        """
        digest = hashlib.sha256()
        for index, contents in read_ahead(self._contents, range(len(self)), ahead=4 * READERS):
            digest.update(f"{self.name(index)}\0{contents}\0".encode(errors="surrogateescape"))
        return digest.hexdigest()

    def listing(self) -> str:
        """A hash of the files' names and sizes."""
        digest = hashlib.sha256()
        for index, path in enumerate(self.paths):
            try:
                size = str(os.stat(path).st_size)
            except OSError:
                size = "unreadable"
            digest.update(f"{self.name(index)}\0{size}\0".encode(errors="surrogateescape"))
        return digest.hexdigest()

    def _contents(self, index: int) -> str:
        path = self.paths[index]
        try:
            if path.is_file():  # opening a pipe would wait for its writer
                with open(path, "rb") as file:
                    return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            pass
        return "unreadable"


class ArraySource:
    """Images in memory.

    Parameters
    ----------
    images : sequence of arrays (H, W, 3), uint8
        RGB; one array (N, H, W, 3) will do.
    names : sequence of str, optional
        What they are called; their numbers if not given.
    described : str
        What they are, for people.
    """

    def __init__(self, images: Sequence[np.ndarray] | np.ndarray, names: Sequence[str] | None = None, described: str = "arrays") -> None:
        if len(images) == 0 or (names is not None and len(names) != len(images)):
            raise ZfcoreError(f"images: got {len(images)} images and {names if names is None else len(names)} names")
        self.images = images
        self.names = names
        self.described = described

    def __len__(self) -> int:
        return len(self.images)

    def name(self, index: int) -> str:
        """Its given name, else its number."""
        return str(index) if self.names is None else self.names[index]

    def read(self, index: int) -> np.ndarray:
        """The array."""
        return self.images[index]

    def fingerprint(self) -> str:
        """A hash of every pixel."""
        digest = hashlib.sha256()
        for image in self.images:
            digest.update(repr(image.shape).encode())
            digest.update(np.ascontiguousarray(image).data)
        return digest.hexdigest()

    def listing(self) -> str:
        """The same: nothing has to be read for it."""
        return self.fingerprint()


def read_ahead(load: Callable[[int], T], indices: Sequence[int], ahead: int) -> Iterator[tuple[int, T | ZfcoreError]]:
    """Each index with what `load` makes of it, in order, computed in threads `ahead` of the reader.

    An image that cannot be used comes as its ZfcoreError, so that one broken file does not end the rest.
    """
    tasks: SimpleQueue = SimpleQueue()
    pending: deque = deque()

    def work() -> None:
        for index, future in iter(tasks.get, None):
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(load(index))
                except ZfcoreError as error:
                    future.set_result(error)
                except BaseException as error:
                    future.set_exception(error)

    # Not an executor: its threads are waited for at exit, and Ctrl-C would not end a reader that a dead file system blocks.
    for _ in range(READERS):
        Thread(target=work, name="read-ahead", daemon=True).start()
    try:
        for index in indices:
            pending.append((index, Future()))
            tasks.put(pending[-1])
            if len(pending) > ahead:
                done, future = pending.popleft()
                yield done, future.result()
        while pending:
            done, future = pending.popleft()
            yield done, future.result()
    finally:
        for _, future in pending:
            future.cancel()
        for _ in range(READERS):
            tasks.put(None)
