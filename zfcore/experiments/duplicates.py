"""Near-identical images of two sets, by normalised correlation: the paper removed such before it transferred (section 5)."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

import numpy as np

from zfcore.data.gallery import Gallery, open_images
from zfcore.data.images import ImageError
from zfcore.data.sources import ImageSource, read_ahead
from zfcore.errors import ZfcoreError, printable
from zfcore.experiments import report
from zfcore.experiments.correlation import Correlated, Pairs, correlated, correlation, needless, unit_image
from zfcore.experiments.progress import bar, say
from zfcore.experiments.results import Outcome, Results
from zfcore.figures.duplicates import Pair, duplicates_sheet, nearest_figure
from zfcore.files import write_whole

THRESHOLD = 0.95
"""Of pictures of 64 pixels and more, copies that were compressed (JPEG 30) or halved and compressed (JPEG 50) correlate by 0.95 or more;
different scenes or photographs of CIFAR-10 by less than that."""
SIDE, LOOK = 32, 128
MOST_SIDE = 256
"""Of the small frame: of this a block of images is 256 MB, and what is compared with it as much again."""
AHEAD = 64
REMOVE = "remove.txt"
LISTED = 20
"""Pairs of the table."""
PAPER = ((44, 9144), (243, 30607))
"""Images that the paper removed from Caltech-101 and Caltech-256."""


@dataclass(frozen=True, eq=False)
class Seen:
    """A set whose images are unit images.

    Parameters
    ----------
    name : str
        For people.
    source : ImageSource
    numbers : int64 array (N,)
        Which of its images the rows are of.
    units : float32 array (N, C, S, S)
        In a file, not in memory.
    constant : tuple of str
        Names of images of one colour.
    skipped : dict of str to str
        Images that cannot be read, and why.
    """

    name: str
    source: ImageSource
    numbers: np.ndarray
    units: np.ndarray
    constant: tuple[str, ...]
    skipped: dict[str, str]

    def image(self, row: int) -> str:
        """The name of a row's image."""
        return self.source.name(int(self.numbers[row]))


def run(
    a: str | Path,
    b: str | Path,
    *,
    out: Path,
    part_a: str | None = None,
    part_b: str | None = None,
    threshold: float = THRESHOLD,
    side: int = SIDE,
    colour: bool = False,
    mirror: bool = True,
    look: int = LOOK,
    show: int = 40,
) -> Outcome:
    """Find the images of `a` that are in `b`, too; where both are the same, those that are in it twice.

    Parameters
    ----------
    a, b : path
        As `open_images` takes them.
    out : Path
        Folder for the results.
    part_a, part_b : str, optional
        Of labelled data: "train", "validation", "test".
    threshold : float
        Correlation from which on two images are near-identical.
    side : int
        Of the frame in which all are compared with all, in pixels.
    colour : bool
        Compare colours, not grey.
    mirror : bool
        Compare with mirrored images, too.
    look : int
        Pairs are looked at again in a frame of at most this side, no larger than the smaller image's shorter side; 0 for no second look.
    show : int
        Pairs on the sheet.

    Raises
    ------
    ZfcoreError
        If a set cannot be opened or no image in it can be used, an option is wrong, or too many pairs reach the threshold.
    KeyboardInterrupt
        When interrupted, with a line that says how far it came.
    """
    if not 0 < threshold <= 1:
        raise ZfcoreError(f"threshold: got {threshold:g}, needed above 0, at most 1")
    for name, value, least in (("side", side, 4), ("look", look, 0), ("show", show, 0)):
        if value < least:
            raise ZfcoreError(f"{name}: got {value}, needed at least {least}")
    if side > MOST_SIDE:
        raise ZfcoreError(f"side: got {side}, needed at most {MOST_SIDE}; --look is for a second look at more")
    galleries = open_images(a, part_a), open_images(b, part_b)
    for place in (a, b):
        report.keep_out_of(place, out)
    within = _same(a, b) and galleries[0].part == galleries[1].part
    names = [_named(place, gallery) for place, gallery in zip((a, b), galleries, strict=True)]
    _say_choices(names, galleries, within, threshold, side, colour, mirror, look)
    results = Results(out, "duplicates-between")
    with tempfile.TemporaryFile(dir=out) as first, tempfile.TemporaryFile(dir=out) as second:
        seen_a = seen(names[0], galleries[0].source, side, colour, first)
        if within and len(seen_a.numbers) == 1:
            raise ZfcoreError(f"{names[0]}: {seen_a.image(0)} can be compared with no other image; needed two at least")
        seen_b = seen_a if within else seen(names[1], galleries[1].source, side, colour, second)
        found = _compared(seen_a, None if within else seen_b, threshold, mirror)
    say(f"pairs that correlate by {threshold:g} or more at {side} x {side}: {len(found.pairs):,}")
    looks = looked_again(found.pairs, seen_a.source, seen_b.source, seen_a.numbers, seen_b.numbers, side, look, colour, mirror)
    kept = np.flatnonzero(~(looks < threshold))
    if look:
        say(f"of which the second look, at up to {look} x {look}, leaves {len(kept):,}")
    configuration = {
        "a": _described(a, galleries[0]),
        "b": _described(b, galleries[1]),
        "within_one_set": within,
        "threshold": threshold,
        "side": side,
        "channels": "RGB, each of mean 0" if colour else "grey",
        "frame": "the whole image, its aspect not kept, bilinear with antialiasing",
        "mirrored": mirror,
        "second_look_at_most": look,
        "pairs_shown": show,
    }
    return _Report(results, seen_a, seen_b, within, found, found.pairs.those(kept), looks[kept], threshold).concluded(configuration, show)


def _same(a: str | Path, b: str | Path) -> bool:
    if Path(a).exists() and Path(b).exists():
        return os.path.samefile(a, b)
    return str(a) == str(b)


def _named(place: str | Path, gallery: Gallery) -> str:
    """A set, for people: without classes its folder alone."""
    return printable(str(place)) + (f" ({gallery.part})" if gallery.part else "")


def _described(place: str | Path, gallery: Gallery) -> dict[str, Any]:
    return {"path": str(place), "part": gallery.part or None, "images": len(gallery), "listing": gallery.source.listing()}


def _say_choices(
    names: Sequence[str], galleries: Sequence[Gallery], within: bool, threshold: float, side: int, colour: bool, mirror: bool, look: int
) -> None:
    for letter, name, gallery in zip("AB", names, galleries, strict=True):
        say(f"{letter}: {name}, {len(gallery):,} images")
    if within:
        say("A and B are the same: each pair of its images is looked at once")
    channels = "three colours" if colour else "grey"
    say(f"each image as {side} x {side} pixels, {channels}, less its mean, of norm 1; correlation: the dot product")
    say(f"  mirrored images {'too: the better of both counts' if mirror else 'not'}; threshold {threshold:g}")
    say(f"  pairs above it are looked at again at up to {look} x {look}" if look else "  no second look")


# ---- the two passes


def seen(name: str, source: ImageSource, side: int, colour: bool, file: IO[bytes]) -> Seen:
    """Read a set once; its unit images go to an open file.

    Raises
    ------
    ZfcoreError
        If none can be used.
    """
    numbers: list[int] = []
    constant: list[str] = []
    skipped: dict[str, str] = {}
    try:
        with bar(len(source), f"reading {name}", "image") as progress:
            for number, unit in read_ahead(lambda i: unit_image(source.read(i), side, colour), range(len(source)), ahead=AHEAD):
                if isinstance(unit, ZfcoreError):
                    skipped[source.name(number)] = getattr(unit, "reason", str(unit))
                    say(f"skipped {source.name(number)}: {skipped[source.name(number)]}")
                elif unit is None:
                    constant.append(source.name(number))
                else:
                    numbers.append(number)
                    file.write(unit.data)
                progress.update()
    except KeyboardInterrupt:
        read = len(numbers) + len(constant) + len(skipped)
        raise KeyboardInterrupt(f"stopped after reading {read:,} of {len(source):,} images of {name}; nothing was written") from None
    if constant:
        say(f"{name}: {len(constant):,} images are of one colour and correlate with nothing; the first: {constant[0]}")
    if not numbers:
        why = next(iter(skipped.items()), (constant[0] if constant else "", "of one colour"))
        raise ZfcoreError(f"{name}: none of {len(source):,} images can be compared; the first, {why[0]}: {why[1]}")
    file.flush()
    units = np.memmap(file, np.float32, "r", shape=(len(numbers), 3 if colour else 1, side, side))
    return Seen(name, source, np.array(numbers, np.int64), units, tuple(constant), skipped)


def _compared(a: Seen, b: Seen | None, threshold: float, mirror: bool) -> Correlated:
    products = len(a.units) * (len(a.units) + 1) // 2 if b is None else len(a.units) * len(b.units)
    try:
        with bar(products, "comparing", "pair") as progress:
            return correlated(a.units, None if b is None else b.units, threshold, mirror, on_block=progress.update)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("stopped while comparing; nothing was written") from None


def looked_again(
    pairs: Pairs,
    a: ImageSource,
    b: ImageSource,
    numbers_a: np.ndarray,
    numbers_b: np.ndarray,
    side: int,
    look: int,
    colour: bool,
    mirror: bool,
) -> np.ndarray:
    """The correlation of each pair in a larger frame, (P,); NaN where there is none: the images are no larger, or one has gone."""
    values = np.full(len(pairs), np.nan)
    read_a, read_b = (lru_cache(maxsize=AHEAD)(source.read) for source in (a, b))
    try:
        with bar(len(pairs) if look else 0, "second look", "pair") as progress:
            for n in np.lexsort((pairs.second, pairs.first)) if look else ():
                try:
                    images = read_a(int(numbers_a[pairs.first[n]])), read_b(int(numbers_b[pairs.second[n]]))
                except ImageError as error:
                    say(f"no second look: {error}")
                    continue
                finer = min(look, *(min(image.shape[:2]) for image in images))
                units = [unit_image(image, finer, colour) for image in images] if finer > side else [None]
                if units[0] is not None and units[1] is not None:
                    values[n] = correlation(units[0], units[1], mirror)[0]
                progress.update()
    except KeyboardInterrupt:
        raise KeyboardInterrupt("stopped at the second look; nothing was written") from None
    return values


# ---- what is written


@dataclass(frozen=True, eq=False)
class _Report:
    """What goes into the files: the pairs that both looks leave, and their correlations at the second."""

    results: Results
    a: Seen
    b: Seen
    within: bool
    correlated: Correlated
    pairs: Pairs
    looks: np.ndarray
    threshold: float

    def concluded(self, configuration: dict[str, Any], show: int) -> Outcome:
        gone = [self.a.image(row) for row in needless(self.pairs, self.within)]
        self._draw(show)
        self._write_names(gone)
        numbers = {
            "images": {"a": len(self.a.numbers), "b": len(self.b.numbers)},
            "candidates": len(self.correlated.pairs),
            "pairs": len(self.pairs),
            "duplicates_in_a": len(gone),
            "nearest_quantiles": {f"{q:g}": float(np.quantile(self.correlated.nearest, q)) for q in (0.5, 0.9, 0.99, 1)},
            "paper": [{"removed": removed, "images": images} for removed, images in PAPER],
            "list": [self._facts(n) for n in range(len(self.pairs))],
            "constant": {"a": list(self.a.constant), "b": list(self.b.constant)},
            "skipped": {"a": self.a.skipped, "b": self.b.skipped},
        }
        remarks = [
            "correlation in a small frame misses copies that were cropped, turned or framed, and may join different images of one layout, "
            "as portraits or digits: look at the sheet before anything is removed"
        ]
        return self.results.conclude(None, configuration, numbers, self._sentence(len(gone)), self._table(), remarks)

    def _facts(self, n: int) -> dict[str, Any]:
        pairs = self.pairs
        return {
            "a": self.a.image(pairs.first[n]),
            "b": self.b.image(pairs.second[n]),
            "correlation": float(pairs.correlation[n]),
            "second_look": float(self.looks[n]),
            "mirrored": bool(pairs.mirrored[n]),
        }

    def _draw(self, show: int) -> None:
        title = f"{self.a.name} and itself" if self.within else f"{self.a.name} and {self.b.name}"
        self.results.plot("nearest", nearest_figure(self.correlated.nearest, self.threshold), f"The nearest image: {title}")
        count = len(self.pairs)
        places = np.unique(np.linspace(0, count - 1, min(show, count)).round().astype(np.int64))
        shown = [self._pair(n) for n in places.tolist()]
        if shown:
            some = "all" if len(shown) == count else f"{len(shown)} of {count:,}, evenly by rank"
            self.results.picture("pairs", duplicates_sheet(shown, f"Near-identical images: {title}", some))
        else:
            (self.results.out / "pairs.png").unlink(missing_ok=True)  # of an earlier search

    def _pair(self, n: int) -> Pair:
        facts = self._facts(n)
        images = [set_.source.read(int(set_.numbers[row])) for set_, row in ((self.a, self.pairs.first[n]), (self.b, self.pairs.second[n]))]
        return Pair(images[0], images[1], facts["a"], facts["b"], facts["correlation"], facts["second_look"], facts["mirrored"])

    def _write_names(self, gone: Sequence[str]) -> None:
        place = self.results.out / REMOVE
        write_whole(place, "".join(f"{name}\n" for name in gone).encode(errors="surrogateescape"))
        self.results.files.append(place)

    def _sentence(self, gone: int) -> str:
        count = len(self.a.numbers)
        where = "another image of it" if self.within else f"an image of {self.b.name}"
        below = self.correlated.nearest[self.correlated.nearest < self.threshold]
        rest = f"; the nearest image below that has {below.max():.3f}" if len(below) else ""
        near = self.correlated.nearest >= self.threshold
        near[self.pairs.first] = False
        if self.within:
            near[self.pairs.second] = False
        if near.any():
            rest += f"; {near.sum():,} more seemed near until a second look in more pixels"
        paper = " and ".join(f"{removed} of {images:,} ({100 * removed / images:.2f} %)" for removed, images in PAPER)
        what = "can go, being near-identical to" if self.within else "are near-identical to"
        return (
            f"{gone:,} of {count:,} images of {self.a.name} ({100 * gone / count:.2f} %) {what} {where}: {len(self.pairs):,} pairs with a "
            f"correlation of {self.threshold:g} or more{rest}. The paper removed {paper}."
        )

    def _table(self) -> str:
        if not len(self.pairs):
            return ""
        cells = [("image of A", "image of B", "correlation", "second look", "mirrored")]
        for n in range(min(LISTED, len(self.pairs))):
            facts = self._facts(n)
            look = "-" if np.isnan(facts["second_look"]) else f"{facts['second_look']:.4f}"
            mirrored = "yes" if facts["mirrored"] else ""
            cells.append((printable(facts["a"]), printable(facts["b"]), f"{facts['correlation']:.4f}", look, mirrored))
        more = [f"... and {len(self.pairs) - LISTED:,} more, in {self.results.record}"] * (len(self.pairs) > LISTED)
        return "\n".join([*report.columns(cells, left=2), *more])
