"""Figure 2 of the paper: of maps of a layer the images that excite each most, projected to pixels, beside the patches that caused it.

Pass 1 (`zfcore.experiments.strongest`) streams every image. Pass 2 shows the network the winners once more, now recording, and brings
each winning activation down inside its receptive field.
"""

from __future__ import annotations

import itertools
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import index
from pathlib import Path
from typing import Any

import numpy as np

import zfcore
from zfcore.data.choice import Choice, choose
from zfcore.data.preprocessing import Preprocessing
from zfcore.data.sources import FolderSource, ImageSource, read_ahead
from zfcore.errors import ZfcoreError
from zfcore.experiments import report
from zfcore.experiments.progress import bar, say
from zfcore.experiments.strongest import Search, StateFile, Strongest, nothing_found, search
from zfcore.experiments.views import Views, described_window
from zfcore.figures.features import features_picture
from zfcore.names import several
from zfcore.network import Network
from zfcore.rules import Rule, resolve

MAX_TOP = 100
"""A grid of 10 x 10; more of one map is no picture."""
UNITS_PER_PAGE = 288
"""32 maps of 9: with windows of 224 x 224 pixels a page's arrays take 220 MB, whatever number of maps is asked for."""
STATE = "search.npz"


@dataclass(frozen=True)
class Page:
    """Where the result for some maps of a layer was written."""

    layer: str
    picture: Path
    arrays: Path
    facts: Path

    @property
    def files(self) -> dict[str, Any]:
        """Picture and arrays, as they are on disk."""
        return report.described_files(self.picture, self.arrays)


def run(
    net: Network,
    source: ImageSource,
    layers: Sequence[str],
    out: str | Path,
    *,
    choice: Choice | None = None,
    maps: Sequence[int] | None = None,
    random: int | None = 16,
    seed: int = 0,
    top: int = 9,
    rule: str | Rule = "deconvnet",
    batch: int | None = None,
    restart: bool = False,
    model: str | Path | None = None,
) -> list[Page]:
    """Find, project, draw and write.

    Parameters
    ----------
    net : Network
        Whose features.
    source : ImageSource
        The images: `FolderSource` or `ArraySource`.
    layers : sequence of str
        Their layers.
    out : path
        Folder for the results; it is made. An earlier, interrupted or finished search in it for the same things is taken up.
    choice : Choice, optional
        Preprocessing; `choose(net)` if not given.
    maps : sequence of int, optional
        Which maps, of every layer.
    random : int, optional
        Where `maps` is not given: so many, drawn from `seed`. None: all of them.
    seed : int
        Of the draw.
    top : int
        Activations per map.
    rule : str or Rule
        How the signal comes down.
    batch : int, optional
        Images computed at a time; on a device the last bits hang on it. If not given 16, or on a device as many as are worth it and fit.
    restart : bool
        Begin anew, whatever is in `out`.
    model : path or str, optional
        The file or name that the network was loaded from, for the record.

    Returns
    -------
    list of Page
        For every layer one or, of many maps, several.

    Raises
    ------
    ZfcoreError
        If a layer, map or option is wrong, no image can be read, the state in `out` is another job's, or a file cannot be written.
    """
    out, rule = Path(out), resolve(rule)
    _need("top", top, MAX_TOP)
    if batch is not None:
        _need("batch", batch, 4096)
    if seed < 0:
        raise ZfcoreError(f"seed: got {seed}, needed at least 0")
    layers = several("layers", layers)
    if not layers:
        raise ZfcoreError("layers: got none, needed a name or more")
    batch = net.usual_batch(layers, rule) if batch is None else batch
    chosen = {layer: chosen_maps(net, layer, maps, random, seed) for layer in layers}
    choice = choose(net) if choice is None else choice
    if isinstance(source, FolderSource) and out.resolve().is_relative_to(source.folder.resolve()):
        raise ZfcoreError(f"{out}: lies in the folder of images, where its pictures would be taken for images; give another --out")
    report.make_folder(out)
    report.say_preprocessing(choice)
    _say_less(net, layers, len(source), None if maps is not None else random, top)
    say(f"{source.described}: {len(source)} images, read once for their fingerprint")
    job = Job(net, source, choice, rule, top, batch, _selection(maps, random, seed), report.described_model(net, model), chosen)
    state = StateFile(out / STATE, job.searched)
    start = None if restart else state.load()
    if start is not None:
        left = "" if start.done < len(source) else "; nothing is left to search"
        say(f"{state.path}: {start.done} of {len(source)} images searched before{left}")
    again = f"the same command{' without --restart' if restart else ''} goes on from there"
    try:
        found = search(net, source, choice.preprocessing, start or nothing_found(net, chosen, top), batch, state)
        _say_found(net, found)
        return list(_written(job, found, out, restart))
    except KeyboardInterrupt as interrupt:
        raise KeyboardInterrupt(f"{str(interrupt) or 'stopped while projecting'}; {again}") from None


def _say_less(net: Network, layers: Sequence[str], images: int, random: int | None, top: int) -> None:
    """Say where there is less than was asked for."""
    for layer in layers:
        if random is not None and random > net.shapes[layer][0]:
            say(f"{layer}: {net.shapes[layer][0]} maps, fewer than {random}: all are shown")
    if top > images:
        say(f"{images} images, fewer than {top}: at most {images} activations of each map are shown")


def _say_found(net: Network, found: Search) -> None:
    say(f"{found.done} images: {found.used} used, {len(found.skipped)} skipped")
    for layer, known in found.found.items():
        wrong = np.count_nonzero(known.not_finite)
        if wrong:
            say(f"activations of {layer} are not finite (NaN or infinite) in {wrong} of {len(known.maps)} maps: see to weights and scale")


def _need(name: str, value: int, most: int) -> None:
    if not 1 <= value <= most:
        raise ZfcoreError(f"{name}: got {value}, needed 1 to {most}")


def chosen_maps(net: Network, layer: str, maps: Sequence[int] | None, random: int | None, seed: int) -> list[int]:
    """The maps to show of a layer: those given, or `random` drawn from the seed, or all; in order, each once.

    The draw for a layer does not depend on which other layers are asked for.

    Raises
    ------
    ZfcoreError
        If there is no such layer or map.
    """
    net.layer(layer)
    count = net.shapes[layer][0]
    if maps is not None:
        maps = [index(m) for m in maps]
        wrong = [m for m in maps if not 0 <= m < count]
        if wrong or not maps:
            raise ZfcoreError(f"maps: got {wrong[0] if wrong else 'none'}, layer {layer!r} has maps 0 to {count - 1}")
        return sorted(set(maps))
    if random is None or random >= count:
        return list(range(count))
    _need("random", random, count)
    rng = np.random.default_rng([seed, zlib.crc32(layer.encode())])
    return sorted(rng.choice(count, random, replace=False).tolist())


def _selection(maps: Sequence[int] | None, random: int | None, seed: int) -> dict[str, Any]:
    if maps is not None:
        return {"maps": "given"}
    return {"maps": "all"} if random is None else {"maps": "random", "count": random, "seed": seed}


@dataclass(frozen=True)
class Job:
    """Everything that was asked for."""

    net: Network
    source: ImageSource
    choice: Choice
    rule: Rule
    top: int
    batch: int
    selection: Mapping[str, Any]
    model: Mapping[str, Any]
    maps: Mapping[str, Sequence[int]]

    @property
    def preprocessing(self) -> Preprocessing:
        """How images become inputs."""
        return self.choice.preprocessing

    @cached_property
    def fingerprint(self) -> str:
        """Of the images."""
        return self.source.fingerprint()

    @property
    def searched(self) -> dict[str, Any]:
        """What the first pass depends on: its state is worth nothing where one of these differs."""
        mean = self.preprocessing.mean
        return {
            "model": self.model["sha256"],
            "backend": self.net.backend,
            "images": self.fingerprint,
            "layers": list(self.maps),
            "maps": {layer: list(maps) for layer, maps in self.maps.items()},
            "preprocessing": self.preprocessing.to_dict() | {"mean_image": zlib.crc32(mean.tobytes()) if mean.ndim == 3 else None},
            "top": self.top,
        }

    def facts(self, found: Search, layer: str, maps: np.ndarray) -> dict[str, Any]:
        """How a page came to be: everything in its JSON but the activations."""
        skipped = [{"image": self.source.name(index), "reason": reason} for index, reason in found.skipped]
        images = {"from": self.source.described, "count": found.done, "fingerprint": self.fingerprint, "skipped": skipped}
        return {
            "zfcore": zfcore.__version__,
            "experiment": "features (figure 2)",
            "model": dict(self.model),
            "layer": report.described_layer(self.net, layer),
            "selection": dict(self.selection),
            "maps": maps.tolist(),
            "top": self.top,
            "rule": report.described_rule(self.rule),
            "preprocessing": self.choice.to_dict(),
            "images": images,
            "caveat": report.CAVEAT,
        }


# ---- the second pass


@dataclass(frozen=True)
class Projected:
    """Arrays of one page: projections (M, k, C, h, w) float32 in RGB order, patches (M, k, h, w, 3) uint8; zero where inactive."""

    projections: np.ndarray
    patches: np.ndarray


def project_strongest(job: Job, layer: str, known: Strongest, views: Views) -> Projected:
    """Bring every active unit of a page down to pixels; each image is forwarded once, `job.batch` of them at a time."""
    channels = job.net.input_shape[0]
    projections = np.zeros((*known.values.shape, channels, *views.size), np.float32)
    patches = np.zeros((*known.values.shape, *views.size, 3), np.uint8)
    with bar(int(known.active.sum()), f"projecting {layer}", "unit") as progress:
        for images, frames, xs in _winners(job, sorted(set(known.images[known.active].tolist()))):
            trace = job.net.forward(xs, keep=[layer], record=job.rule)
            places = list(zip(*np.nonzero(known.active & np.isin(known.images, images)), strict=True))
            units = [(images.index(known.images[p]), int(known.maps[p[0]]), *known.positions[p].tolist()) for p in places]
            for place, unit, pixels in zip(places, units, views.projections(trace, units, job.rule, job.preprocessing), strict=True):
                projections[place] = pixels
                patches[place] = views.patch(frames[unit[0]], unit[2:])
                progress.update()
    return Projected(projections, patches)


def _winners(job: Job, images: Sequence[int]) -> Iterator[tuple[Sequence[int], list[np.ndarray], np.ndarray]]:
    """Images again, a batch at a time: their numbers, what is shown of them, and what the network sees."""
    seen = read_ahead(lambda i: _seen(job, i), images, ahead=2 * job.batch)
    for start in range(0, len(images), job.batch):
        frames, xs = [], []
        for _, found in itertools.islice(seen, job.batch):
            if isinstance(found, ZfcoreError):
                raise found
            frames.append(found[0])
            xs.append(found[1])
        yield images[start : start + job.batch], frames, np.stack(xs)


def _seen(job: Job, index: int) -> tuple[np.ndarray, np.ndarray]:
    image = job.source.read(index)
    return job.preprocessing.frame(image), job.preprocessing(image)


# ---- results


def _written(job: Job, found: Search, out: Path, restart: bool) -> Iterator[Page]:
    stems = report.file_names(found.found)
    for layer, known in found.found.items():
        views = Views.of(job.net, layer, map(tuple, known.positions[known.active].tolist()))
        pages = _pages(known, max(1, UNITS_PER_PAGE // job.top))
        for number, part in enumerate(pages, start=1):
            stem = stems[layer] + (f"-page{number}" if len(pages) > 1 else "")
            page = Page(layer, *(out / f"{stem}.{suffix}" for suffix in ("png", "npz", "json")))
            facts = job.facts(found, layer, part.maps)
            if not restart and _is_written(page, facts):
                say(f"{page.picture}: written before, kept")
            else:
                _write(page, job, facts, part, views)
                say(f"wrote {page.picture}")
            yield page


def _pages(known: Strongest, size: int) -> list[Strongest]:
    """The same, `size` maps at a time."""
    starts = range(0, len(known.maps), size)
    return [known.part(slice(start, start + size)) for start in starts]


def _is_written(page: Page, facts: Mapping[str, Any]) -> bool:
    """Whether this very page is there: its JSON, written last, says the same, and names these very picture and arrays."""
    try:
        there = json.loads(page.facts.read_bytes())
        return all(there.get(name) == value for name, value in {**facts, "files": page.files}.items())
    except (OSError, ValueError, AttributeError):
        return False


def _write(page: Page, job: Job, facts: dict[str, Any], known: Strongest, views: Views) -> None:
    projected = project_strongest(job, page.layer, known, views)
    active = known.active
    page.facts.unlink(missing_ok=True)
    report.write_arrays(
        page.arrays,
        maps=known.maps,
        projections=projected.projections,
        patches=projected.patches,
        values=np.where(active, known.values, 0),
        images=np.where(active, known.images, -1),
        positions=np.where(active[..., None], known.positions, -1),
    )
    title = f"{job.model['name']}, {page.layer}: {job.rule.rectifier} projections, {views.described}"
    lost = (known.not_finite > 0)[:, None] & ~active
    picture = features_picture(projected.projections, projected.patches, np.where(lost, np.nan, known.values), known.maps, title)
    report.write_picture(page.picture, picture)
    units = [_described_map(job, page.layer, known, m, views) for m in range(len(known.maps))]
    report.write_json(page.facts, facts | {"files": page.files, "shown_size": list(views.size), "units": units})


def _described_map(job: Job, layer: str, known: Strongest, m: int, views: Views) -> dict[str, Any]:
    """A map's entry in the JSON: its strongest activations, or that it is dead."""
    strongest = []
    for k in np.flatnonzero(known.active[m]):
        position = tuple(known.positions[m, k].tolist())
        strongest.append(
            {
                "image": job.source.name(int(known.images[m, k])),
                "position": list(position) or None,
                "value": float(known.values[m, k]),
                "receptive_field": described_window(views.fields[position]),
                "shown": described_window(views.shown(position)),
            }
        )
    not_finite = int(known.not_finite[m])
    return {"map": int(known.maps[m]), "dead": not strongest and not not_finite, "images_not_finite": not_finite, "strongest": strongest}
