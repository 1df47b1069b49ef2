"""MNIST's format, IDX: bytes behind a header that says their shape, plain or in gzip; images and labels in files of their own."""

from __future__ import annotations

import gzip
import io
import math
import os
import re
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from zfcore.data.images import ImageError
from zfcore.data.labelled import DataSet, Labelled
from zfcore.data.sources import ArraySource

KIND = "IDX"
NAME = re.compile(r"(?P<set>.*?)[-_.]?(?P<part>train|t10k|test)[-_.](?P<what>images|labels)[-_.]idx\d-ubyte(\.gz)?")
"""MNIST's own names, train-images-idx3-ubyte.gz, behind a prefix as EMNIST has it, with a dot for a hyphen."""
RANKS = {"images": 3, "labels": 1}
UNSIGNED_BYTES = 0x08
GZIP = b"\x1f\x8b"
DEFLATE_LIMIT = 1032
"""Bytes that one byte of a gzip file can become at most."""
CHUNK = 1 << 20


def set_of(name: str) -> str | None:
    """The set that a file belongs to by its name: what stands before "train" or "t10k"; None if it is no name of this format.

    Examples
    --------
    >>> set_of("emnist-letters-train-images-idx3-ubyte.gz"), set_of("t10k-labels.idx1-ubyte"), set_of("cat.png")
    ('emnist-letters', '', None)
    """
    match = NAME.fullmatch(name)
    return None if match is None else match["set"]


def open_set(path: str, folder: Path, names: Sequence[str]) -> DataSet:
    """The images and labels in the files of one set.

    Parameters
    ----------
    path : str
        As it was given.
    folder : Path
    names : sequence of str
        Files in it, for which `set_of` is the same.

    Raises
    ------
    ImageError
        If a file is missing, damaged or of another kind, or the files do not fit each other.
    """
    files, notes = _by_role(folder, names)
    images, labels = _images_and_labels(folder, files, "train")
    values = np.unique(labels)
    classes = tuple(map(str, values.tolist()))
    parts = {"train": _labelled(files["train", "images"], images, np.searchsorted(values, labels), classes)}
    if ("test", "images") in files or ("test", "labels") in files:
        images, labels = _images_and_labels(folder, files, "test")
        unknown = np.flatnonzero(~np.isin(labels, values))
        if len(unknown):
            first = unknown[0]
            reason = f"the label {labels[first]}, of image {first}, is none of training's labels ({', '.join(classes)})"
            raise ImageError(files["test", "labels"], reason)
        parts["test"] = _labelled(files["test", "images"], images, np.searchsorted(values, labels), classes)
    return DataSet(KIND, path, parts, tuple(notes))


def _by_role(folder: Path, names: Sequence[str]) -> tuple[dict[tuple[str, str], Path], list[str]]:
    """The file for each part and content. Where there are two, as plain and gzip, the shorter name is taken, with a note."""
    files: dict[tuple[str, str], Path] = {}
    notes = []
    for name in sorted(names, key=lambda name: (len(name), name)):
        match = NAME.fullmatch(name)
        assert match is not None
        role = ("train" if match["part"] == "train" else "test", match["what"])
        if role in files:
            notes.append(f"{name}: left aside, {files[role].name} is there, too")
        else:
            files[role] = folder / name
    return files, notes


def _images_and_labels(folder: Path, files: dict[tuple[str, str], Path], part: str) -> tuple[np.ndarray, np.ndarray]:
    """Of one part: (N, H, W) uint8 and (N,) uint8."""
    for what, rank in RANKS.items():
        if (part, what) not in files:
            usual = f"{'train' if part == 'train' else 't10k'}-{what}-idx{rank}-ubyte"
            found = ", ".join(sorted(file.name for file in files.values()))
            raise ImageError(folder, f"holds {found}, but not the {what} of part {part}; needed {usual}, plain or .gz")
    images, labels = (read_idx(files[part, what], rank) for what, rank in RANKS.items())
    if len(images) != len(labels):
        reason = f"{len(labels):,} labels, but {files[part, 'images'].name} has {len(images):,} images; needed one for each"
        raise ImageError(files[part, "labels"], reason)
    return images, labels


def _labelled(path: Path, images: np.ndarray, labels: np.ndarray, classes: tuple[str, ...]) -> Labelled:
    seen_as_rgb = np.broadcast_to(images[..., None], (*images.shape, 3))  # a view: takes no memory
    return Labelled(ArraySource(seen_as_rgb, described=str(path)), labels.astype(np.int64), classes, grey=True)


def read_idx(path: Path, rank: int) -> np.ndarray:
    """The array in an IDX file of unsigned bytes, plain or in gzip.

    Never takes more memory than the file can fill, whatever the header says.

    Parameters
    ----------
    path : Path
    rank : int
        How many dimensions it must have: 3 for images, 1 for labels.

    Returns
    -------
    uint8 array

    Raises
    ------
    ImageError
        If it is no such file, is damaged, or holds nothing, less or more than its header says.
    """
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            zipped = file.read(2) == GZIP
            file.seek(0)
            if not zipped:
                return _parsed(path, file, rank, size, exact=True)
            with gzip.open(file) as unzipped:
                return _parsed(path, unzipped, rank, DEFLATE_LIMIT * size, exact=False)
    except (gzip.BadGzipFile, zlib.error) as error:
        raise ImageError(path, f"a damaged gzip file ({error}); fetch it again") from error
    except OSError as error:
        raise ImageError(path, f"cannot be read: {error.strerror or error}") from error


def _parsed(path: Path, stream: io.BufferedReader | gzip.GzipFile, rank: int, limit: int, exact: bool) -> np.ndarray:
    """The array in a stream that holds `limit` bytes if `exact`, else at most so many."""
    needed = f"needed 00 00 08 {rank:02x}, an IDX file of {'images' if rank == 3 else 'labels'}"
    magic, _ = _at_most(stream, 4)
    if len(magic) < 4:
        raise ImageError(path, f"holds {len(magic)} bytes; {needed}" if magic else f"is empty; {needed}")
    if magic != bytes((0, 0, UNSIGNED_BYTES, rank)):
        raise ImageError(path, f"begins with {magic.hex(' ')}; {needed}")
    header, _ = _at_most(stream, 4 * rank)
    if len(header) < 4 * rank:
        raise ImageError(path, f"cut short in its header: {4 + len(header)} bytes, needed {4 + 4 * rank}")
    shape = np.frombuffer(header, ">u4").tolist()
    what, count = "x".join(map(str, shape)), math.prod(shape)
    if not count:
        raise ImageError(path, f"its header says {what}: no image" if rank == 3 else f"its header says {what}: no label")
    found = limit - 4 - len(header)
    if count <= found:
        values, whole = _at_most(stream, count + 1)
        found = len(values) if whole or len(values) < count else count - 1  # without its end gzip's checksum is lost: cut short
    elif not exact:
        raise ImageError(path, f"its header says {what}, {count:,} bytes, more than a gzip file of this size can hold; damaged")
    if found != count:
        fault = f"cut short: {found:,} bytes" if found < count else "holds more than its header says"
        raise ImageError(path, f"{fault}; {what} after the header needs {count:,}; fetch it again")
    return np.frombuffer(values, np.uint8).reshape(shape)


def _at_most(stream: io.BufferedReader | gzip.GzipFile, count: int) -> tuple[bytearray, bool]:
    """The next bytes, as many as there are up to `count`, and whether the stream did not break off."""
    found = bytearray()
    try:
        while len(found) < count and (piece := stream.read1(min(CHUNK, count - len(found)))):
            found += piece
    except EOFError:
        return found, False
    return found, True
