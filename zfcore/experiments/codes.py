"""Features of many images at some layers, as vectors: what embedding, probing and transfer begin with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from zfcore.data.sources import ImageSource, read_ahead
from zfcore.errors import ZfcoreError
from zfcore.experiments.pooling import Pooling, size_of
from zfcore.experiments.progress import bar, say
from zfcore.experiments.subject import Subject

MOST_BYTES = 4 * 2**30
"""Of all features together: they are kept in memory."""


@dataclass(frozen=True, eq=False)
class Codes:
    """Features of images.

    Parameters
    ----------
    values : dict of str to array (N, F), float32
        By layer; maps are flattened.
    numbers : int64 array (N,)
        Which images of the source they are of.
    skipped : dict of str to str
        Images that could not be read, by name, with the reason.
    """

    values: Mapping[str, np.ndarray]
    numbers: np.ndarray
    skipped: Mapping[str, str]


def codes(subject: Subject, source: ImageSource, numbers: Sequence[int], layers: Sequence[str], batch: int = 32) -> Codes:
    """The features of images at some layers; a bar shows progress, damaged images are named and left out.

    Parameters
    ----------
    subject : Subject
    source : ImageSource
    numbers : sequence of int
        Which of its images.
    layers : sequence of str
    batch : int
        Images computed at a time.

    Raises
    ------
    ZfcoreError
        If there is no such layer, no image can be read, features are not finite, or they do not fit in memory.
    KeyboardInterrupt
        When interrupted, with a line that says how far it came.
    """
    needed = 4 * len(numbers) * sum(size_of(subject.net, layer, {}) for layer in layers)
    if needed > MOST_BYTES:
        raise ZfcoreError(
            f"features of {len(numbers):,} images at {', '.join(layers)} would take {needed / 2**30:.1f} GiB, "
            f"at most {MOST_BYTES / 2**30:.0f} are kept; take fewer images or layers"
        )
    done = 0
    try:
        with bar(len(numbers), "computing features", "image") as progress:

            def on_image() -> None:
                nonlocal done
                done += 1
                progress.update()

            found = computed(subject, source, numbers, layers, batch, on_image=on_image)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"stopped after the features of {done:,} of {len(numbers):,} images; nothing was written") from None
    if not len(found.numbers):
        first = next(iter(found.skipped.items()), ("no image", "there is none"))
        raise ZfcoreError(f"{source.described}: none of {len(numbers):,} images can be used; the first, {first[0]}: {first[1]}")
    return found


def computed(
    subject: Subject,
    source: ImageSource,
    numbers: Sequence[int],
    layers: Sequence[str],
    batch: int = 32,
    pooling: Mapping[str, Pooling] | None = None,
    on_image: Callable[[], None] = lambda: None,
) -> Codes:
    """As `codes`, for whoever has a bar of his own and bounds the memory; perhaps of no image, if none can be read.

    Parameters
    ----------
    subject, source, numbers, layers, batch
        As for `codes`.
    pooling : dict of str to Pooling, optional
        For layers whose maps are pooled first.
    on_image : callable, optional
        Called after each image.

    Raises
    ------
    ZfcoreError
        If there is no such layer, or features are not finite.
    """
    net, pooling = subject.net, pooling or {}
    numbers = [int(number) for number in numbers]
    values = {layer: np.empty((len(numbers), size_of(net, layer, pooling)), np.float32) for layer in layers}
    kept: list[int] = []
    skipped: dict[str, str] = {}
    waiting: list[tuple[int, np.ndarray]] = []

    def compute() -> None:
        trace = net.forward(np.stack([x for _, x in waiting]), keep=list(values), record=False)
        for layer, rows in values.items():
            maps = pooling[layer](trace[layer]) if layer in pooling else trace[layer]
            rows[len(kept) : len(kept) + len(waiting)] = maps.reshape(len(waiting), -1)
        kept.extend(number for number, _ in waiting)
        waiting.clear()

    for number, x in read_ahead(lambda i: subject.preprocessing(source.read(i)), numbers, ahead=2 * batch):
        if isinstance(x, ZfcoreError):
            skipped[source.name(number)] = getattr(x, "reason", str(x))
            say(f"skipped {source.name(number)}: {skipped[source.name(number)]}")
        else:
            waiting.append((number, x))
        if len(waiting) == batch:
            compute()
        on_image()
    if waiting:
        compute()
    wrong = [layer for layer, rows in values.items() if not np.isfinite(rows[: len(kept)]).all()]
    if wrong:
        raise ZfcoreError(f"{subject.given}: features of {wrong[0]} are not finite; see to weights and preprocessing")
    return Codes({layer: rows[: len(kept)] for layer, rows in values.items()}, np.array(kept, np.int64), skipped)
