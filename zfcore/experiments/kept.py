"""What a long experiment has done so far, in its folder, so that the same command goes on where it was stopped."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import zfcore
from zfcore.data.labelled import Labelled
from zfcore.errors import ZfcoreError
from zfcore.experiments import report
from zfcore.experiments.codes import MOST_BYTES, Codes, computed
from zfcore.experiments.folds import Fold
from zfcore.experiments.pooling import Pooling, size_of
from zfcore.experiments.progress import bar, say
from zfcore.experiments.subject import Subject

PART_BYTES = 2**26
PART_IMAGES = 256
"""Of features in one file, at most: what a stop may cost. The second is for layers of few numbers."""
DAMAGED = (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile)
"""What reading an npz that is none may raise."""


def digest(facts: Any) -> str:
    """SHA-256 of plain values and arrays."""
    found = hashlib.sha256()
    if isinstance(facts, np.ndarray):
        found.update(f"{facts.shape}{facts.dtype}".encode() + np.ascontiguousarray(facts).tobytes())
    else:
        found.update(json.dumps(facts, sort_keys=True).encode())
    return found.hexdigest()


@dataclass(eq=False)
class Kept:
    """Results by the facts that they depend on, in a JSON file; one that is damaged is as none, and so is an entry that was edited."""

    path: Path
    entries: dict[str, dict[str, Any]] = field(init=False)

    def __post_init__(self) -> None:
        try:
            entries = json.loads(self.path.read_bytes())["results"]
            whole = [entry for entry in entries if entry["sha256"] == digest([entry["facts"], entry["result"]])]
            self.entries = {digest(entry["facts"]): entry for entry in whole}
            if len(whole) < len(entries):
                say(f"{self.path}: {len(entries) - len(whole)} results are not as they were written; they are computed anew")
        except FileNotFoundError:
            self.entries = {}
        except (OSError, ValueError, KeyError, TypeError) as error:
            say(f"{self.path}: not what an earlier run left ({error}); everything is computed anew")
            self.entries = {}

    def get(self, facts: Mapping[str, Any]) -> dict[str, Any] | None:
        """The result of those facts, if it is there."""
        entry = self.entries.get(digest(facts))
        return None if entry is None else entry["result"]

    def put(self, facts: Mapping[str, Any], result: dict[str, Any]) -> dict[str, Any]:
        """Keep a result; the file is written at once."""
        self.entries[digest(facts)] = {"facts": dict(facts), "result": result, "sha256": digest([facts, result])}
        report.write_json(self.path, {"zfcore": zfcore.__version__, "results": list(self.entries.values())})
        return result


@dataclass(eq=False)
class KeptFeatures:
    """Features of images at some layers, computed when they are asked for first, and kept in files below a folder.

    Parameters
    ----------
    subject : Subject
    images : Labelled
    layers : sequence of str
    pooling : dict of str to Pooling
        For layers whose maps are pooled first.
    out : Path
        The files are in ``out / "features" / FINGERPRINT``: of network, preprocessing, listing of the images, layers and pooling.
    batch : int
        Images computed at a time.
    """

    subject: Subject
    images: Labelled
    layers: Sequence[str]
    pooling: Mapping[str, Pooling]
    out: Path
    batch: int = 32
    parts: dict[Path, np.ndarray] = field(default_factory=dict)
    skipped: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        preprocessing = self.subject.preprocessing
        common = {
            "zfcore": zfcore.__version__,
            "model": self.subject.described["sha256"],
            "backend": self.subject.net.backend,
            "layers": digest([repr(layer) for layer in self.subject.net.layers.values()]),  # random weights alone tell no networks apart
            "preprocessing": [preprocessing.to_dict(), digest(preprocessing.mean)],
            "listing": self.images.listing(),
        }
        pooled = {layer: [*pooling.grid, pooling.kind] for layer, pooling in self.pooling.items()}
        self.facts = {layer: {**common, "layer": layer, "pooling": pooled.get(layer)} for layer in self.layers}
        """Of each layer what its features depend on."""
        self.folder = self.out / "features" / digest(list(self.facts.values()))[:16]
        for path in sorted(self.folder.glob("part-*.npz")):
            try:
                with np.load(path, allow_pickle=False) as file:
                    self.skipped |= {int(n): str(why) for n, why in zip(file["skipped"], file["reasons"], strict=True)}
                    self.parts[path] = file["numbers"]
            except DAMAGED as error:
                say(f"{path}: damaged ({error}); its features are computed anew")
        if self.parts:
            say(f"features of {sum(map(len, self.parts.values())):,} images are there from before, in {self.folder}")

    def compute(self, numbers: np.ndarray) -> None:
        """See that the features of those images are there, or that they are among the skipped.

        Raises
        ------
        ZfcoreError
            If features are not finite, would not fit in memory a layer at a time, or cannot be written.
        KeyboardInterrupt
            When interrupted, with a line that says what is kept.
        """
        sizes = {layer: size_of(self.subject.net, layer, self.pooling) for layer in self.layers}
        largest = max(sizes, key=lambda layer: sizes[layer])
        if 4 * len(numbers) * sizes[largest] > MOST_BYTES:
            raise ZfcoreError(
                f"features of {len(numbers):,} images at {largest} would take {4 * len(numbers) * sizes[largest] / 2**30:.1f} GiB, "
                f"at most {MOST_BYTES / 2**30:.0f} are kept; take fewer images, or pool the layer's maps with --pool"
            )
        missing = np.setdiff1d(numbers, np.concatenate([np.array(list(self.skipped), np.int64), *self.parts.values()]))
        if not len(missing):
            return
        report.make_folder(self.folder)
        disk = 4 * len(missing) * sum(sizes.values()) / 2**20
        images = f"features of {len(missing):,} images at {self.subject.given}"
        say(f"{images}: {sum(sizes.values()):,} numbers each, {disk:,.0f} MB kept in {self.folder}")
        at_once = max(self.batch, min(PART_IMAGES, PART_BYTES // (4 * sum(sizes.values()))))
        done = 0
        try:
            with bar(len(missing), "computing features", "image") as progress:
                for start in range(0, len(missing), at_once):
                    some = missing[start : start + at_once]
                    self._keep(some, self._computed(some, progress.update))
                    done += len(some)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"stopped; the features of {done:,} of {len(missing):,} images are kept in {self.folder}: the same command goes on"
            ) from None

    def _computed(self, numbers: np.ndarray, on_image: Callable[[], Any]) -> Codes:
        return computed(self.subject, self.images.source, numbers.tolist(), self.layers, self.batch, self.pooling, on_image)

    def _keep(self, asked: np.ndarray, found: Codes) -> None:
        lost = np.setdiff1d(asked, found.numbers)
        reasons = [found.skipped.get(self.images.source.name(int(n)), "") for n in lost]
        number = 1
        while (path := self.folder / f"part-{number:04}.npz") in self.parts:
            number += 1
        values = {f"layer{k}": found.values[layer] for k, layer in enumerate(self.layers)}
        report.write_arrays(path, numbers=found.numbers, skipped=lost, reasons=np.array(reasons, str), **values)
        self.parts[path] = found.numbers
        self.skipped |= dict(zip(lost.tolist(), reasons, strict=True))

    def of(self, layer: str) -> FeaturesOfLayer:
        """A layer's features of all images that are there, in memory."""
        name = f"layer{list(self.layers).index(layer)}"
        numbers = np.concatenate(list(self.parts.values()))
        values, done = np.empty((len(numbers), size_of(self.subject.net, layer, self.pooling)), np.float32), 0
        for path, own in self.parts.items():
            try:
                with np.load(path, allow_pickle=False) as file:
                    if not np.array_equal(file["numbers"], own):
                        raise ZfcoreError(f"{path}: another process has changed it; let that one end, then the same command goes on")
                    values[done : done + len(own)] = file[name]
            except DAMAGED as error:
                raise ZfcoreError(f"{path}: damaged: {error}; delete it, and its features are computed anew") from error
            done += len(own)
        rows = np.full(len(self.images), -1)
        rows[numbers] = np.arange(len(numbers))
        return FeaturesOfLayer(values, rows)


def folds_with_features(features: Sequence[KeptFeatures], draw: Callable[[Sequence[int]], list[Fold]]) -> list[Fold]:
    """Drawn folds whose features are there, of every network.

    Where images turn out to be unreadable, or were so for one of them, folds are drawn again without them.
    """
    while True:
        lost = sorted(set().union(*(one.skipped for one in features)))
        folds = draw(lost)
        needed = np.unique(np.concatenate([np.append(fold.training, fold.test) for fold in folds]))
        for one in features:
            one.compute(needed)
        if all(one.skipped.keys() <= set(lost) for one in features):
            return folds


@dataclass(frozen=True, eq=False)
class FeaturesOfLayer:
    """Values (M, F) float32, and for each image of the data its row, -1 if it has none."""

    values: np.ndarray
    rows: np.ndarray

    def __getitem__(self, numbers: np.ndarray) -> np.ndarray:
        """(B, F) of images by number."""
        return self.values[self.rows[numbers]]
