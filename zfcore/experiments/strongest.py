"""The images that excite each map most, found in one pass over any number of them, in memory that does not grow with it.

The paper's figures 2 and 4 stand on it: per map the k strongest activations, at most one per image.
"""

from __future__ import annotations

import io
import json
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import zfkernels

from zfcore.data.preprocessing import Preprocessing
from zfcore.data.sources import ImageSource, read_ahead
from zfcore.errors import ZfcoreError
from zfcore.experiments.progress import bar, say
from zfcore.files import write_whole
from zfcore.network import Network

SAVE_EVERY = 10.0
"""Seconds between two savings of the state: what a crash can cost. Ctrl-C costs nothing."""


@dataclass(frozen=True)
class Strongest:
    """Of each chosen map of one layer the strongest activations so far, strongest first, at most one per image.

    Parameters
    ----------
    maps : array (M,), int64
        The maps.
    values : array (M, k), float
        The activations; -inf where there are fewer images than k.
    images : array (M, k), int64
        Index of the image of each.
    positions : array (M, k, 2), int64
        Row and column of each in its map; the first in row-major order where several are equal. (M, k, 0) if maps have no pixels.
    not_finite : array (M,), int64
        On how many images so far an activation was NaN or infinite: none, if weights and preprocessing are right.
    """

    maps: np.ndarray
    values: np.ndarray
    images: np.ndarray
    positions: np.ndarray
    not_finite: np.ndarray

    @classmethod
    def none_yet(cls, maps: Sequence[int], top: int, dtype: np.dtype, axes: int = 2) -> Strongest:
        """Before the first image; `axes` is 2 for maps of pixels, 0 for maps of one number."""
        shape = (len(maps), top)
        positions = np.zeros((*shape, axes), np.int64)
        none = np.zeros(len(maps), np.int64)
        return cls(np.array(maps, np.int64), np.full(shape, -np.inf, dtype), np.full(shape, -1), positions, none)

    def with_batch(self, activations: np.ndarray, images: Sequence[int]) -> Strongest:
        """With a batch more: activations (N, C, H, W) or (N, C) of the images of those indices. NaN never wins.

        Images have to come in order: of two that are equal the first stays.

        Examples
        --------
        >>> acts = np.array([[[[1, 3], [3, 0]]], [[[5, 0], [np.nan, 0]]]])
        >>> found = Strongest.none_yet([0], 2, acts.dtype).with_batch(acts, [10, 11])
        >>> found.values.tolist(), found.images.tolist(), found.positions.tolist()
        ([[5.0, 3.0]], [[11, 10]], [[[0, 0], [0, 1]]])
        """
        size = activations.shape[2:]
        flat = activations.reshape(*activations.shape[:2], -1)[:, self.maps]
        not_finite = self.not_finite + (~np.isfinite(flat)).any(axis=2).sum(axis=0)
        flat = np.where(np.isnan(flat), -np.inf, flat)
        where = flat.argmax(axis=2)
        new = np.take_along_axis(flat, where[..., None], axis=2)[..., 0].T
        positions = np.stack(np.unravel_index(where.T, size), axis=2) if size else np.zeros((*new.shape, 0), np.int64)
        indices = np.broadcast_to(np.asarray(images, np.int64), new.shape)
        values = np.concatenate([self.values, new.astype(self.values.dtype)], axis=1)
        order = np.argsort(-values, axis=1, kind="stable")[:, : self.values.shape[1]]
        return Strongest(
            self.maps,
            np.take_along_axis(values, order, axis=1),
            np.take_along_axis(np.concatenate([self.images, indices], axis=1), order, axis=1),
            np.take_along_axis(np.concatenate([self.positions, positions], axis=1), order[..., None], axis=1),
            not_finite,
        )

    @property
    def active(self) -> np.ndarray:
        """(M, k) bool: where there is an activation above 0. A map without one is dead on these images."""
        return self.values > 0

    def part(self, rows: slice) -> Strongest:
        """The same of some of the maps."""
        return Strongest(*(getattr(self, f.name)[rows] for f in fields(self)))


@dataclass(frozen=True)
class Search:
    """How far a pass over the images has come.

    Parameters
    ----------
    done : int
        Images seen: those before this index.
    skipped : tuple of (int, str)
        Those among them that could not be read, and why.
    found : dict of str to Strongest
        By layer.
    """

    done: int
    skipped: tuple[tuple[int, str], ...]
    found: Mapping[str, Strongest]

    @property
    def used(self) -> int:
        """Images that were read."""
        return self.done - len(self.skipped)


def search(
    net: Network,
    source: ImageSource,
    preprocessing: Preprocessing,
    start: Search,
    batch: int = 16,
    state: StateFile | None = None,
) -> Search:
    """Show the network every image from `start` on, and keep what excites its maps most.

    Parameters
    ----------
    net, source, preprocessing
        Who looks at what, and how.
    start : Search
        Nothing yet (`nothing_found`), or where an earlier pass stopped.
    batch : int
        Images computed at a time.
    state : StateFile, optional
        Where to keep the state meanwhile, and when interrupted.

    Raises
    ------
    ZfcoreError
        If no image can be read.
    KeyboardInterrupt
        When interrupted, with a line that says how far it came; the state is saved.
    """
    now, saved_at = start, time.monotonic()
    try:
        with bar(len(source), "searching", "image", start.done) as progress:
            for images, activations, skipped, done in _computed(net, _batches(source, preprocessing, start.done, batch), tuple(now.found)):
                for index, reason in skipped:
                    say(f"skipped {source.name(index)}: {reason}")
                progress.update(done - now.done)
                found = {layer: known.with_batch(activations[layer], images) if images else known for layer, known in now.found.items()}
                del activations  # or they were still there while the next batch is computed
                now = Search(done, (*now.skipped, *skipped), found)
                if state is not None and time.monotonic() - saved_at > SAVE_EVERY:
                    state.save(now)
                    saved_at = time.monotonic()
    except KeyboardInterrupt:
        if state is None:
            raise
        state.save(now)
        raise KeyboardInterrupt(f"stopped after {now.done} of {len(source)} images") from None
    if not now.used:
        index, reason = now.skipped[0]
        raise ZfcoreError(f"{source.described}: none of {now.done} images can be used; the first, {source.name(index)}: {reason}")
    if state is not None:
        state.save(now)
    return now


def nothing_found(net: Network, maps: Mapping[str, Sequence[int]], top: int) -> Search:
    """The state before the first image, for chosen maps of layers."""
    axes = {layer: len(net.shapes[layer]) - 1 for layer in maps}
    return Search(0, (), {layer: Strongest.none_yet(chosen, top, net.dtype, axes[layer]) for layer, chosen in maps.items()})


_Batch = tuple[list[int], list[np.ndarray], list[tuple[int, str]], int]
_Computed = tuple[list[int], dict[str, np.ndarray], list[tuple[int, str]], int]


def _computed(net: Network, batches: Iterator[_Batch], keep: Sequence[str]) -> Iterator[_Computed]:
    """Batches with what layers make of them in place of the inputs; a device is given the next one before the last is asked for."""
    under_way = deque[Callable[[], _Computed]]()
    for batch in batches:
        under_way.append(_begun(net, batch, keep))
        if len(under_way) > (net.backend in zfkernels.DEVICES):
            yield under_way.popleft()()
    while under_way:
        yield under_way.popleft()()


def _begun(net: Network, batch: _Batch, keep: Sequence[str]) -> Callable[[], _Computed]:
    """Begin a batch; to be called for what came of it."""
    images, xs, skipped, done = batch
    arrived = net.forward(np.stack(xs), keep=keep, record=False).fetch() if images else dict
    return partial(_arrived, images, arrived, skipped, done)


def _arrived(images: list[int], arrived: Callable[[], dict[str, np.ndarray]], skipped: list[tuple[int, str]], done: int) -> _Computed:
    return images, arrived(), skipped, done


def _batches(source: ImageSource, preprocessing: Preprocessing, start: int, size: int) -> Iterator[_Batch]:
    """Batches of (indices, inputs, skipped, index of the next image)."""
    images: list[int] = []
    xs: list[np.ndarray] = []
    skipped: list[tuple[int, str]] = []
    indices = range(start, len(source))
    for index, x in read_ahead(lambda i: preprocessing(source.read(i)), indices, ahead=2 * size):
        if isinstance(x, ZfcoreError):
            skipped.append((index, getattr(x, "reason", str(x))))
        else:
            images.append(index)
            xs.append(x)
        if len(images) == size or index == len(source) - 1:
            yield images, xs, skipped, index + 1
            images, xs, skipped = [], [], []


@dataclass(frozen=True)
class StateFile:
    """The state of a search on disk, bound to the job it belongs to.

    Parameters
    ----------
    path : Path
        An npz file; every saving replaces it as a whole.
    job : dict
        Plain values that say what is searched for: two jobs that differ share no state.
    """

    path: Path
    job: Mapping[str, Any]

    def save(self, now: Search) -> None:
        """Write the state."""
        arrays: dict[str, np.ndarray] = {}
        for number, known in enumerate(now.found.values()):
            arrays |= {f"{f.name}{number}": getattr(known, f.name) for f in fields(known)}
        facts = {"job": self.job, "done": now.done, "skipped": now.skipped, "layers": list(now.found)}
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, facts=np.array(json.dumps(facts)), **arrays)
        write_whole(self.path, buffer.getvalue())

    def load(self) -> Search | None:
        """The state, or None if there is none.

        Raises
        ------
        ZfcoreError
            If the file is damaged, or belongs to another job; the message says in what that differs.
        """
        if not self.path.exists():
            return None
        advice = "give another --out, or --restart to begin anew"
        try:
            with np.load(self.path, allow_pickle=False) as arrays:
                facts = json.loads(str(arrays["facts"]))
                found = {
                    layer: Strongest(*(arrays[f"{f.name}{number}"] for f in fields(Strongest)))
                    for number, layer in enumerate(facts["layers"])
                }
                differs = [name for name, value in self.job.items() if facts["job"].get(name) != value]
                now = Search(int(facts["done"]), tuple((int(i), str(reason)) for i, reason in facts["skipped"]), found)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, BadZipFile) as error:
            raise ZfcoreError(f"{self.path}: a damaged state of an earlier search; {advice}") from error
        if differs:
            raise ZfcoreError(f"{self.path}: belongs to a search with other {', '.join(differs)}; {advice}")
        return now
