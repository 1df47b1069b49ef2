"""Figure 7 of the paper: a grey square slides over an image; what becomes of a map, of the probability of a class, of the answer."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zfcore.data.pictures import Picture
from zfcore.data.sources import ImageSource
from zfcore.errors import ZfcoreError, printable
from zfcore.experiments import report
from zfcore.experiments.progress import say
from zfcore.experiments.results import Outcome, Results
from zfcore.experiments.strongest import nothing_found, search
from zfcore.experiments.subject import Subject
from zfcore.experiments.views import Views
from zfcore.figures.occlude import Row, occlusion_figure
from zfcore.incremental import Changes, recomputed
from zfcore.network import Network
from zfcore.rules import Rule, resolve
from zfcore.stages import deepest_map
from zfcore.trace import Trace
from zfcore.window import Windows

AT_ONCE = 6
"""Squares along a side of a block of neighbours that are computed together: what they change lies close together, and has one size."""
SQUARE, STRIDE, OF = 27, 7, 224
"""The usual square and stride, in pixels of an image of 224; of another size in proportion. The paper does not say."""
OTHERS = 3
"""Projections from other images."""


@dataclass(frozen=True, eq=False)
class Squares:
    """Where the square lies: its side, and the first rows and columns of all its places, which make a grid.

    Parameters
    ----------
    side : int
        In pixels.
    tops : int64 array (P,)
    lefts : int64 array (Q,)
    """

    side: int
    tops: np.ndarray
    lefts: np.ndarray

    @classmethod
    def over(cls, size: tuple[int, int], side: int | None = None, stride: int | None = None) -> Squares:
        """Squares that lie inside an image of `size` (H, W), `stride` pixels apart, with what is left over shared out at both borders.

        Raises
        ------
        ZfcoreError
            If a square is larger than the image.

        Examples
        --------
        >>> squares = Squares.over((224, 224))
        >>> squares.side, len(squares.tops), squares.tops[:3].tolist()
        (27, 29, [0, 7, 14])
        """
        side = max(1, round(SQUARE * min(size) / OF)) if side is None else side
        stride = max(1, round(STRIDE * min(size) / OF)) if stride is None else stride
        if side > min(size):
            raise ZfcoreError(f"square: got {side}, needed at most {min(size)}, the shorter side of what the network sees")
        stride = min(stride, max(size))  # one place is all that a larger one leaves
        counts = [(n - side) // stride + 1 for n in size]
        tops, lefts = ((n - side - (count - 1) * stride) // 2 + stride * np.arange(count) for n, count in zip(size, counts, strict=True))
        return cls(side, tops, lefts)

    @property
    def shape(self) -> tuple[int, int]:
        """(P, Q): how many places there are along the rows and along the columns."""
        return len(self.tops), len(self.lefts)

    def blocks(self, at_once: int) -> Iterator[tuple[slice, slice]]:
        """The places in blocks of about `at_once` times `at_once` neighbours."""
        for rows in _parts(len(self.tops), at_once):
            for columns in _parts(len(self.lefts), at_once):
                yield rows, columns

    def corners(self, rows: slice, columns: slice) -> np.ndarray:
        """(B, 2): first row and column of the squares of a block, row by row."""
        return np.stack(np.meshgrid(self.tops[rows], self.lefts[columns], indexing="ij"), axis=2).reshape(-1, 2)

    def spread(self, values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """A number for every place (P, Q) as a picture (H, W): at a pixel the mean over the squares that hide it, NaN where none does."""
        total, count = np.zeros(size), np.zeros(size)
        for p, top in enumerate(self.tops):
            for q, left in enumerate(self.lefts):
                total[top : top + self.side, left : left + self.side] += values[p, q]
                count[top : top + self.side, left : left + self.side] += 1
        return np.divide(total, count, out=np.full(size, np.nan), where=count > 0)


def _parts(count: int, at_once: int) -> list[slice]:
    """0 to `count` in parts of nearly one size, at most `at_once`."""
    ends = np.linspace(0, count, -(-count // at_once) + 1).round().astype(int).tolist()
    return [slice(first, last) for first, last in itertools.pairwise(ends)]


@dataclass(frozen=True, eq=False)
class Occlusion:
    """What a square did at each of its places.

    Parameters
    ----------
    squares : Squares
    sums : float64 array (P, Q)
        Sum over the pixels of one map.
    logits : array (P, Q, K)
        The scores of the classes, before the softmax.
    """

    squares: Squares
    sums: np.ndarray
    logits: np.ndarray


def occlude(
    net: Network,
    x: np.ndarray,
    squares: Squares,
    cover: np.ndarray,
    layers: tuple[str, str],
    number: int,
    *,
    incremental: bool = True,
    clean: Trace | None = None,
    at_once: int = AT_ONCE,
    on_squares: Callable[[int], object] = lambda count: None,
) -> Occlusion:
    """Hide a square of an image, at every place in turn (paper, section 4.2).

    Parameters
    ----------
    net : Network
    x : array (C, H, W)
        The image, as the network's input.
    squares : Squares
    cover : array (C, H, W)
        What is seen where the image is hidden.
    layers : (str, str)
        The layer whose map is summed, and the one with the scores of the classes.
    number : int
        The map.
    incremental : bool
        Recompute only what the square changes. The numbers are the same either way: the same bits with the algorithm "im2col";
        Winograd's tiles lie elsewhere in a part of a map, which changes rounding errors, and "auto" may choose otherwise there.
    clean : Trace, optional
        Of ``x[None]`` with every layer, where that is known.
    at_once : int
        Squares along a side of the blocks that are computed together.
    on_squares : callable
        Told how many more are done.
    """
    watched, scores = layers
    x = x.astype(net.dtype, copy=False)
    if incremental and clean is None:
        clean = net.forward(x[None], record=False)
    sums = np.empty(squares.shape)
    logits = np.empty((*squares.shape, *net.shapes[scores][:1]), net.dtype)
    for rows, columns in squares.blocks(at_once):
        corners = squares.corners(rows, columns)
        windows = Windows(corners, corners + squares.side)
        hidden = np.stack([cover[:, *window.slices] for window in map(windows.window, range(len(corners)))]).astype(net.dtype)
        change = Changes(hidden, windows)
        if clean is not None and incremental:
            found = recomputed(net, clean, change, layers)
            maps = found[watched].of_map(number).within(clean[watched][:, number : number + 1], None)
            scored = found[scores].within(clean[scores], None)
        else:
            trace = net.forward(change.within(x[None], None), keep=layers, record=False)
            maps, scored = trace[watched][:, number : number + 1], trace[scores]
        place = len(squares.tops[rows]), len(squares.lefts[columns])
        sums[rows, columns] = maps.reshape(*place, -1).sum(axis=2, dtype=np.float64)
        logits[rows, columns] = scored.reshape(*place, -1)
        on_squares(len(corners))
    return Occlusion(squares, sums, logits)


# ---- the command


def run(
    subject: Subject,
    pictures: Sequence[Picture],
    out: Path,
    *,
    label: str | None = None,
    layer: str | None = None,
    number: int | None = None,
    square: int | None = None,
    stride: int | None = None,
    grey: int | None = None,
    others: ImageSource | None = None,
    incremental: bool = True,
    rule: str | Rule = "deconvnet",
    at_once: int = AT_ONCE,
) -> Outcome:
    """Hide, draw and write.

    Parameters
    ----------
    subject : Subject
        A network that classifies.
    pictures : sequence of Picture
        A row of the figure each.
    out : path
        Folder for the results; it is made.
    label : str, optional
        The class whose probability is drawn, by name or number; see `Subject.class_of`.
    layer : str, optional
        Whose map is summed; `deepest_map` if not given.
    number : int, optional
        Which map; if not given, the one with the largest sum for the whole image.
    square, stride : int, optional
        In pixels of what the network sees; 27 and 7 for 224 pixels, in proportion for others.
    grey : int, optional
        The square's level, 0 to 255; if not given the mean that preprocessing subtracts, where there is one.
    others : ImageSource, optional
        Images in which the map is strongest are shown beside.
    incremental : bool
        See `occlude`.
    rule : str or Rule
        How activations come down to pixels.
    at_once : int
        See `occlude`.

    Raises
    ------
    ZfcoreError
        If an option is wrong, the network does not classify or its answer is not finite, or a file cannot be written.
    """
    net, rule = subject.net, resolve(rule)
    scores, layer = subject.logits, layer or deepest_map(net)
    net.layer(layer)
    if len(net.shapes[layer]) != 3:
        raise ZfcoreError(f"layer: {layer!r} has no map of pixels, its shape is {net.shapes[layer]}; needed one like {deepest_map(net)!r}")
    if number is not None and number >= net.shapes[layer][0]:
        raise ZfcoreError(f"map: got {number}, layer {layer!r} has maps 0 to {net.shapes[layer][0] - 1}")
    if grey is not None and grey > 255:
        raise ZfcoreError(f"grey: got {grey}, needed 0 to 255")
    if label is not None:
        subject.class_number(label)
    H, W = net.input_shape[1:]
    squares = Squares.over((H, W), square, stride)
    cover = np.zeros(net.input_shape) if grey is None else subject.preprocessing(np.full((H, W, 3), grey, np.uint8))
    results = Results(out, "occlude")
    report.say_preprocessing(subject.choice)
    say(f"{squares.shape[0]} x {squares.shape[1]} places of a square of {squares.side} pixels in {H} x {W}, {_described(grey)}")
    rows, facts = [], []
    try:
        for picture in pictures:
            row, found = _looked_at(subject, picture, squares, cover, (layer, scores), number, label, others, incremental, rule, at_once)
            say(found["found"])
            rows.append(row)
            facts.append(found)
    except KeyboardInterrupt as interrupt:
        raise KeyboardInterrupt(f"{str(interrupt) or 'stopped while hiding squares'}; nothing was written") from None
    title = f"{subject.name}: a square of {squares.side} px, {_described(grey)}, hides a part of the image; maps of {layer}"
    results.plot("occlude", occlusion_figure(rows, subject.classes), title)
    results.arrays(
        "occlude",
        tops=squares.tops,
        lefts=squares.lefts,
        sums=np.stack([row.sums for row in rows]),
        probability=np.stack([row.probability for row in rows]),
        best=np.stack([row.best for row in rows]),
    )
    configuration = {
        "layer": report.described_layer(net, layer),
        "map": "largest sum for the whole image" if number is None else number,
        "square": squares.side,
        "stride": int(np.diff(squares.tops)[0]) if len(squares.tops) > 1 else None,
        "places": list(squares.shape),
        "grey": _described(grey),
        "recomputed": "what the square changes" if incremental else "everything",
        "algorithm": net.algorithm,
        "others": None if others is None else others.described,
        "rule": report.described_rule(rule),
    }
    return results.conclude(
        subject, configuration, {"images": facts}, " ".join(one["found"] for one in facts), remarks=(report.CAVEAT,)
    )


def _described(grey: int | None) -> str:
    return "in the mean colour" if grey is None else f"of grey {grey}"


def _looked_at(
    subject: Subject,
    picture: Picture,
    squares: Squares,
    cover: np.ndarray,
    layers: tuple[str, str],
    number: int | None,
    label: str | None,
    others: ImageSource | None,
    incremental: bool,
    rule: Rule,
    at_once: int,
) -> tuple[Row, dict[str, Any]]:
    """One image: its row of the figure, and its numbers."""
    net, (layer, scores) = subject.net, layers
    x = subject.preprocessing(picture.pixels)
    clean = net.forward(x[None], record=False)
    answer = subject.probabilities(clean[scores])[0]
    if not np.isfinite(answer).all():
        raise ZfcoreError(f"{picture.name}: the answer of {subject.given} is not finite; see to weights and preprocessing")
    wanted, why = subject.class_of(picture, label, answer)
    totals = clean[layer][0].sum(axis=(1, 2), dtype=np.float64)
    chosen = int(totals.argmax()) if number is None else number
    found = occlude(net, x, squares, cover, layers, chosen, incremental=incremental, clean=clean, at_once=at_once)
    p = subject.probabilities(found.logits.reshape(-1, len(answer))).reshape(*squares.shape, -1)
    projection, patches = _projections(subject, x, picture, layer, chosen, others, rule)
    row = Row(
        name=printable(picture.name),
        frame=subject.preprocessing.frame(picture.pixels),
        side=squares.side,
        tops=squares.tops,
        lefts=squares.lefts,
        map=chosen,
        sums=found.sums,
        clean_sum=float(totals[chosen]),
        projection=projection,
        others=patches,
        label=wanted,
        probability=p[..., wanted],
        clean_probability=float(answer[wanted]),
        best=p.argmax(axis=2),
    )
    return row, _numbers(subject, row, why, int(answer.argmax()))


def _projections(
    subject: Subject, x: np.ndarray, picture: Picture, layer: str, number: int, others: ImageSource | None, rule: Rule
) -> tuple[np.ndarray | None, list[tuple[np.ndarray, np.ndarray]]]:
    """The map's strongest activation in this image brought down to pixels, and its strongest ones in others, beside their patches."""
    net, preprocessing = subject.net, subject.preprocessing

    def shown(image: np.ndarray, place: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        trace = net.forward(preprocessing(image)[None], keep=[layer], record=rule)
        views = Views.of(net, layer, [place])
        (projection,) = views.projections(trace, [(0, number, *place)], rule, preprocessing)
        return projection, views.patch(preprocessing.frame(image), place)

    own = net.forward(x[None], keep=[layer], record=False)[layer][0, number]
    place = tuple(map(int, np.unravel_index(own.argmax(), own.shape)))
    projection = shown(picture.pixels, place)[0] if own[place] > 0 else None
    if others is None:
        return projection, []
    known = search(net, others, preprocessing, nothing_found(net, {layer: [number]}, OTHERS)).found[layer]
    found = zip(known.images[0], known.positions[0], known.active[0], strict=True)
    return projection, [shown(others.read(int(i)), tuple(at.tolist())) for i, at, active in found if active]


def _numbers(subject: Subject, row: Row, why: str, answer: int) -> dict[str, Any]:
    """What a row came to, and in a sentence."""
    lowest = np.unravel_index(row.probability.argmin(), row.probability.shape)
    centre = [int(row.tops[lowest[0]]) + row.side // 2, int(row.lefts[lowest[1]]) + row.side // 2]
    changed = float((row.best != answer).mean())
    least = float(row.probability[lowest])
    name = printable(subject.classes[row.label])
    fall = max(0.0, 1 - float(row.sums.min()) / row.clean_sum) if row.clean_sum > 0 else None
    words = "" if fall is None else f"; the sum of map {row.map} falls by {fall:.0%} at most"
    found = (
        f"{row.name}: P({name}) is {row.clean_probability:.2f}, at least {least:.2f}, with the square around row {centre[0]}, "
        f"column {centre[1]}; "
        f"the answer is another at {changed:.0%} of the places{words}."
    )
    return {
        "image": row.name,
        "class": name,
        "class_is": why,
        "probability": row.clean_probability,
        "answer": printable(subject.classes[answer]),
        "lowest_probability": least,
        "lowest_around": centre,
        "answer_changes_at": changed,
        "map": row.map,
        "sum": row.clean_sum,
        "lowest_sum": float(row.sums.min()),
        "highest_sum": float(row.sums.max()),
        "found": found,
    }
