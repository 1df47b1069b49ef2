"""The first layer of a network looked into: its filters in numbers and, with images, what it and its second layer make of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from zfcore.data.gallery import Gallery, open_images
from zfcore.data.labelled import Subset
from zfcore.data.sources import ImageSource
from zfcore.errors import ZfcoreError
from zfcore.experiments import report
from zfcore.experiments.aliasing import Aliasing, aliasing
from zfcore.experiments.features import UNITS_PER_PAGE, Job, Projected, chosen_maps, project_strongest
from zfcore.experiments.first_layer import FirstLayer, Measures, first_layer, measured, rectified, second_convolution
from zfcore.experiments.progress import say
from zfcore.experiments.strongest import Search, StateFile, Strongest, nothing_found, search
from zfcore.experiments.subject import Subject
from zfcore.experiments.views import Views
from zfcore.rules import Rule, resolve
from zfcore.window import whole


@dataclass(frozen=True)
class Looking:
    """How images are looked at.

    Parameters
    ----------
    maps : int
        So many maps of the second layer, drawn from `seed`.
    top : int
        Strongest activations of each, one per image.
    seed : int
    rule : str
        How they come down.
    batch : int
        Images computed at a time.
    limit : int, optional
        At most so many images, evenly spaced among all.
    restart : bool
        Begin the search anew, whatever an earlier one left.
    """

    maps: int = 16
    top: int = 9
    seed: int = 0
    rule: str | Rule = "deconvnet"
    batch: int = 16
    limit: int | None = None
    restart: bool = False

    def check(self) -> None:
        """Raise ZfcoreError if a number is too small, or the projections together would be too many."""
        for name, least in (("maps", 1), ("top", 1), ("seed", 0), ("batch", 1), ("limit", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ZfcoreError(f"{name}: got {value}, needed at least {least}")
        if self.maps * self.top > UNITS_PER_PAGE:
            raise ZfcoreError(f"maps, top: got {self.maps} times {self.top} projections, needed at most {UNITS_PER_PAGE} on a page")

    @property
    def described(self) -> dict[str, Any]:
        """Plain values for a record."""
        rule = report.described_rule(resolve(self.rule))
        return {"maps": self.maps, "top": self.top, "seed": self.seed, "rule": rule, "batch": self.batch, "limit": self.limit}


@dataclass(frozen=True, eq=False)
class Responses:
    """What images told.

    Parameters
    ----------
    images : int
        Images that could be read.
    skipped : dict of str to str
        The others, by name, with the reason.
    rectifier : str
        Where first-layer maps were watched: at their rectifier, if they have one.
    dead : int array
        Numbers of the first-layer maps that no image brought above 0.
    not_finite : int
        First-layer maps that were NaN or infinite on an image.
    layer : str or None
        The second layer; None if there is no second convolution.
    known, projected, views
        Its strongest activations and their projections; None without a second layer.
    aliasing : Aliasing or None
        None where it cannot be measured.
    """

    images: int
    skipped: dict[str, str]
    rectifier: str
    dead: np.ndarray
    not_finite: int
    layer: str | None = None
    known: Strongest | None = None
    projected: Projected | None = None
    views: Views | None = None
    aliasing: Aliasing | None = None

    @property
    def pairs(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Projections (C, h, w) and patches (3, h, w) of the units whose window lies within the image."""
        if self.known is None or self.projected is None or self.views is None:
            return
        height, width = self.views.net.input_shape[1:]
        for place in zip(*np.nonzero(self.known.active), strict=True):
            shown = self.views.shown(tuple(self.known.positions[place].tolist()))
            if shown.intersection(whole((height, width))) == shown:
                yield self.projected.projections[place], self.projected.patches[place].transpose(2, 0, 1).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Examined:
    """A network's first layer, its measures, and, if there were images, what they told."""

    subject: Subject
    first: FirstLayer
    measures: Measures
    responses: Responses | None = None


def gallery_of(images: str | Path | Gallery, out: Path) -> Gallery:
    """The images to look at; ZfcoreError if there are none or `out` lies among them."""
    if isinstance(images, Gallery):
        return images
    gallery = open_images(images)
    report.keep_out_of(images, out)
    return gallery


def limited(source: ImageSource, limit: int | None) -> ImageSource:
    """At most so many of the images, evenly spaced."""
    if limit is None or limit >= len(source):
        return source
    return Subset(source, [n * len(source) // limit for n in range(limit)])


def some_images(count: int) -> str:
    """How many images, in words.

    Examples
    --------
    >>> some_images(1), some_images(2000)
    ('1 image', '2,000 images')
    """
    return f"{count:,} image{'s' * (count != 1)}"


def responses(subject: Subject, first: FirstLayer, gallery: Gallery, looking: Looking, layer: str | None, state: Path) -> Responses:
    """Show a network images: which first-layer maps stay dead, and what the strongest activations of a second layer look like in pixels.

    Parameters
    ----------
    subject, first
        The network and its first layer.
    gallery : Gallery
    looking : Looking
    layer : str or None
        The second layer; the rectifier of the second convolution if not given.
    state : Path
        Where the search keeps what it found, also when interrupted.

    Raises
    ------
    ZfcoreError
        If there is no such layer, no image can be read, or the state is another search's.
    KeyboardInterrupt
        When interrupted, with a line that says how far it came.
    """
    net, source = subject.net, limited(gallery.source, looking.limit)
    rectifier = rectified(net, first.name)
    maps = {rectifier: list(range(net.shapes[rectifier][0]))}
    if layer is None:
        convolution = second_convolution(net)
        layer = None if convolution is None else rectified(net, convolution)
    if layer is not None and layer != rectifier:
        maps[layer] = chosen_maps(net, layer, None, min(looking.maps, net.shapes[layer][0]), looking.seed)
    top = min(looking.top, len(source))
    if top < looking.top:
        say(f"{some_images(len(source))}, fewer than {looking.top}: at most {top} activations of each map are shown")
    say(f"{subject.name}: {some_images(len(source))} of {source.described}, watched at {' and '.join(maps)}")
    job = Job(net, source, subject.choice, resolve(looking.rule), top, looking.batch, {}, subject.described, maps)
    file = StateFile(state, job.searched)
    start = None if looking.restart else file.load()
    if start is not None:
        say(f"{state}: {start.done:,} of {len(source):,} images searched before")
    try:
        found = search(net, source, subject.preprocessing, start or nothing_found(net, maps, top), looking.batch, file)
        return _answered(subject, job, found, rectifier, layer, first)
    except KeyboardInterrupt as interrupt:
        words = str(interrupt) or "stopped while projecting"
        raise KeyboardInterrupt(f"{words}; the same command{' without --restart' * looking.restart} goes on from there") from None


def _answered(subject: Subject, job: Job, found: Search, rectifier: str, layer: str | None, first: FirstLayer) -> Responses:
    watched = found.found[rectifier]
    dead = watched.maps[~watched.active[:, 0] & (watched.not_finite == 0)]
    skipped = {job.source.name(number): reason for number, reason in found.skipped}
    lost = int(np.count_nonzero(watched.not_finite))
    if lost:
        say(f"{subject.name}: activations of {rectifier} are not finite (NaN or infinite) in {lost} maps: see to weights and scale")
    if layer is None or layer == rectifier:
        return Responses(found.used, skipped, rectifier, dead, lost)
    known = found.found[layer]
    views = Views.of(subject.net, layer, map(tuple, known.positions[known.active].tolist()))
    projected = project_strongest(job, layer, known, views)
    seen = Responses(found.used, skipped, rectifier, dead, lost, layer, known, projected, views)
    return replace(seen, aliasing=aliasing(seen.pairs, first.stride))


def examined(
    subject: Subject, gallery: Gallery | None = None, looking: Looking | None = None, layer: str | None = None, state: Path | None = None
) -> Examined:
    """The first layer of a network; with a gallery also what its images tell. Parameters and errors as for `responses`."""
    first = first_layer(subject)
    measures = measured(first.weight, first.stride)
    lost = int(np.count_nonzero(measures.not_finite))
    if lost:
        say(f"{subject.name}: {lost} filters of {first.name} have weights that are NaN or infinite: they are left out of the measures")
    if gallery is None or looking is None or state is None:
        return Examined(subject, first, measures)
    return Examined(subject, first, measures, responses(subject, first, gallery, looking, layer, state))
