"""Dead maps, zero on every one of many images, and how many activations are zero; counted in one pass (CS231n, lecture 9)."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from zfcore.data.sources import ImageSource, read_ahead
from zfcore.errors import ZfcoreError
from zfcore.experiments.progress import bar, say
from zfcore.experiments.strongest import SAVE_EVERY
from zfcore.experiments.subject import Subject
from zfcore.files import write_whole

COUNTS = ("alive", "zeros", "not_finite")


@dataclass(frozen=True, eq=False)
class Census:
    """What was counted so far, by layer.

    Parameters
    ----------
    done : int
        Images seen: those before this index.
    skipped : dict of str to str
        Those among them that could not be read, by name, with the reason.
    alive : dict of str to int64 array (C,)
        On how many images each map has an activation that is not zero.
    zeros : dict of str to int64 array (C,)
        How many activations of each map were zero, on all images together.
    not_finite : dict of str to int64 array (C,)
        On how many images each map has an activation that is NaN or infinite.
    """

    done: int
    skipped: Mapping[str, str]
    alive: Mapping[str, np.ndarray]
    zeros: Mapping[str, np.ndarray]
    not_finite: Mapping[str, np.ndarray]

    @classmethod
    def none_yet(cls, maps: Mapping[str, int]) -> Census:
        """Before the first image, for so many maps of each layer."""
        return cls(0, {}, *({layer: np.zeros(count, np.int64) for layer, count in maps.items()} for _ in COUNTS))

    @property
    def used(self) -> int:
        """Images that were read."""
        return self.done - len(self.skipped)

    def with_batch(self, activations: Mapping[str, np.ndarray]) -> Census:
        """With a batch more: activations (N, C, ...) by layer; `done` stays.

        Examples
        --------
        >>> seen = Census.none_yet({"relu1": 2}).with_batch({"relu1": np.array([[[0.0, 0.0], [0.0, 1.0]]])})
        >>> seen.alive["relu1"].tolist(), seen.zeros["relu1"].tolist()
        ([0, 1], [2, 1])
        """
        flat = {layer: a.reshape(*a.shape[:2], -1) for layer, a in activations.items()}
        return replace(
            self,
            alive={layer: n + (flat[layer] != 0).any(axis=2).sum(axis=0) for layer, n in self.alive.items()},
            zeros={layer: n + (flat[layer] == 0).sum(axis=(0, 2)) for layer, n in self.zeros.items()},
            not_finite={layer: n + (~np.isfinite(flat[layer])).any(axis=2).sum(axis=0) for layer, n in self.not_finite.items()},
        )

    def dead(self, layer: str) -> np.ndarray:
        """Numbers of the maps that were zero everywhere on all images."""
        return np.flatnonzero(self.alive[layer] == 0)


def counted(subject: Subject, source: ImageSource, layers: Sequence[str], batch: int, state: State) -> Census:
    """Show a network every image that the state has not seen; a bar shows progress, damaged images are named and left out.

    Raises
    ------
    ZfcoreError
        If the state is another count's, or no image can be read.
    KeyboardInterrupt
        When interrupted, with a line that says how far it came; the state is saved.
    """
    net = subject.net
    now = state.load() or Census.none_yet({layer: net.shapes[layer][0] for layer in layers})
    if now.done:
        say(f"{state.path}: {now.done:,} of {len(source):,} images counted before")
    waiting: list[np.ndarray] = []
    skipped: dict[str, str] = {}
    saved_at = time.monotonic()
    try:
        with bar(len(source), "counting zeros", "image", now.done) as progress:
            for number, x in read_ahead(lambda i: subject.preprocessing(source.read(i)), range(now.done, len(source)), ahead=2 * batch):
                if isinstance(x, ZfcoreError):
                    skipped[source.name(number)] = getattr(x, "reason", str(x))
                    say(f"skipped {source.name(number)}: {skipped[source.name(number)]}")
                else:
                    waiting.append(x)
                if len(waiting) == batch or number == len(source) - 1:
                    seen = now if not waiting else now.with_batch(net.forward(np.stack(waiting), keep=layers, record=False).fetch()())
                    progress.update(number + 1 - now.done)
                    now = replace(seen, done=number + 1, skipped={**now.skipped, **skipped})
                    waiting, skipped = [], {}
                    if time.monotonic() - saved_at > SAVE_EVERY:
                        state.save(now)
                        saved_at = time.monotonic()
    except KeyboardInterrupt:
        state.save(now)
        raise KeyboardInterrupt(f"stopped after {now.done:,} of {len(source):,} images; the same command goes on from there") from None
    if not now.used:
        name, reason = next(iter(now.skipped.items()))
        raise ZfcoreError(f"{source.described}: none of {now.done:,} images can be used; the first, {name}: {reason}")
    state.save(now)
    return now


@dataclass(frozen=True)
class State:
    """The state of a count on disk, bound to what is counted.

    Parameters
    ----------
    path : Path
        An npz file; every saving replaces it as a whole.
    job : dict
        Plain values that say what is counted: two jobs that differ share no state.
    restart : bool
        Take no notice of what is there.
    """

    path: Path
    job: Mapping[str, Any]
    restart: bool = False

    def save(self, now: Census) -> None:
        """Write the state."""
        arrays = {f"{what}{number}": a for what in COUNTS for number, a in enumerate(getattr(now, what).values())}
        facts = {"job": self.job, "done": now.done, "skipped": dict(now.skipped), "layers": list(now.alive)}
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, facts=np.array(json.dumps(facts)), **arrays)
        write_whole(self.path, buffer.getvalue())

    def load(self) -> Census | None:
        """The state, or None if there is none or it is not wanted.

        Raises
        ------
        ZfcoreError
            If the file is damaged, or belongs to another count; the message says in what that differs.
        """
        if self.restart or not self.path.exists():
            return None
        advice = "give another --out, or --restart to begin anew"
        try:
            with np.load(self.path, allow_pickle=False) as arrays:
                facts = json.loads(str(arrays["facts"]))
                differs = [name for name, value in self.job.items() if facts["job"].get(name) != value]
                found = ({layer: arrays[f"{what}{n}"] for n, layer in enumerate(facts["layers"])} for what in COUNTS)
                now = Census(int(facts["done"]), dict(facts["skipped"]), *found)
            shapes = {layer: {counts[layer].shape for counts in (now.alive, now.zeros, now.not_finite)} for layer in now.alive}
            if now.done < 0 or any(len(own) > 1 or len(next(iter(own))) != 1 for own in shapes.values()):
                raise ValueError("counts of several lengths")
        except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, BadZipFile) as error:
            raise ZfcoreError(f"{self.path}: a damaged state of an earlier count; {advice}") from error
        if differs:
            raise ZfcoreError(f"{self.path}: belongs to a count with other {', '.join(differs)}; {advice}")
        return now
