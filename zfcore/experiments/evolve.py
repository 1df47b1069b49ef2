"""Figure 4 of the paper: how features evolve in training. Of maps of a layer the strongest activation over all training images, at some
epochs of a run, projected to pixels; and in numbers, when a layer's projections and strongest images come to rest.

Pass 1 shows every training image to the network of every epoch (`zfcore.experiments.strongest`); what it found of an epoch is kept. Pass 2
shows each network its winners once more, now recording, and brings them down.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

import zfcore
from zfcore import backends
from zfcore.data.choice import Choice, choose
from zfcore.data.labelled import Subset
from zfcore.data.preprocessing import Preprocessing
from zfcore.data.sources import ImageSource
from zfcore.errors import ZfcoreError
from zfcore.experiments import report
from zfcore.experiments.convergence import AS_SHOWN, MEANINGS, SMALL, Convergence, Evolved, convergence, epoch_text, table
from zfcore.experiments.features import Job, Projected, chosen_maps, project_strongest
from zfcore.experiments.progress import say
from zfcore.experiments.strongest import Search, StateFile, Strongest, nothing_found, search
from zfcore.experiments.train import images_of
from zfcore.experiments.views import Views, described_window
from zfcore.figures.evolution import convergence_png, evolution_picture
from zfcore.files import write_whole
from zfcore.layers import Conv2d
from zfcore.names import several
from zfcore.network import Network
from zfcore.rules import Rule, resolve
from zfcore.training.frames import KEPT_BYTES
from zfcore.training.runs import Run

PAPER_EPOCHS = (1, 2, 5, 10, 20, 30, 40, 64)
"""The columns of the paper's figure."""
MAPS_PER_PAGE = 12
"""Rows of one picture; of more maps there are several."""
STATES, CONVERGENCE, FACTS = "search", "convergence", "evolution"


def run(
    folder: Path,
    out: Path,
    layers: Sequence[str] = (),
    *,
    epochs: Sequence[int] | None = None,
    maps: Sequence[int] | None = None,
    random: int | None = 6,
    seed: int = 0,
    data: str | Path | None = None,
    rule: str | Rule = "deconvnet",
    batch: int = 64,
    restart: bool = False,
) -> Evolution:
    """Search, project, measure, draw and write.

    Parameters
    ----------
    folder : Path
        Of the run.
    out : Path
        Folder for the results; it is made. What an earlier, interrupted or finished command for the same maps found in it is taken up.
    layers : sequence of str, optional
        Their layers; every convolution if none is given.
    epochs : sequence of int, optional
        The columns. If not given: of the paper's each, or the nearest that the run has a checkpoint of, and the last.
    maps : sequence of int, optional
        Which maps, of every layer.
    random : int, optional
        Where `maps` is not given: so many, drawn from `seed` as `zfcore features` draws them. None: all.
    seed : int
        Of the draw.
    data : path, optional
        Where the data are now, if no longer where they were.
    rule : str or Rule
        How the signal comes down.
    batch : int
        Images computed at a time.
    restart : bool
        Begin anew, whatever is in `out`.

    Raises
    ------
    ZfcoreError
        If the folder holds no run, the data are not the run's, an epoch has no checkpoint, a layer, map or option is wrong, no image can
        be read, the state in `out` is another job's, or a file cannot be written.
    KeyboardInterrupt
        When interrupted; what was found is saved.
    """
    rule, layers = resolve(rule), several("layers", layers)
    for name, value, least in (("seed", seed, 0), ("batch", batch, 1)):
        if value < least:
            raise ZfcoreError(f"{name}: got {value}, needed at least {least}")
    begun = Run.open(folder)
    selection = {"maps": "given"} if maps is not None else {"maps": "all" if random is None else "random", "count": random, "seed": seed}
    chosen = chosen_epochs(begun, epochs)
    drawn, preprocessing, size = _fitting(begun, chosen[0], layers, lambda net, layer: chosen_maps(net, layer, maps, random, seed))
    place = data or begun.facts["data"]["path"]
    say(f"zfcore {zfcore.__version__} evolve: {folder}, {begun.architecture} on {place}, rule {rule.rectifier}")
    source = Shown(_training_images(begun, place, out), preprocessing, size)
    report.make_folder(out / STATES)
    plan = Plan(begun, source, chosen, drawn, rule, batch, selection, out)
    try:
        return _written(plan, _searched(plan, restart))
    except KeyboardInterrupt as interrupt:
        again = f"the same command{' without --restart' if restart else ''} goes on from there"
        raise KeyboardInterrupt(f"{str(interrupt) or 'stopped while projecting'}; {again}") from None


# ---- what is asked for


@dataclass(frozen=True)
class Plan:
    """Everything that was asked for."""

    run: Run
    source: ImageSource
    epochs: Sequence[int]
    maps: Mapping[str, Sequence[int]]
    rule: Rule
    batch: int
    selection: Mapping[str, Any]
    out: Path

    @cached_property
    def models(self) -> dict[int, dict[str, str]]:
        """Name and SHA-256 of every epoch's checkpoint."""
        places = {epoch: self.run.checkpoint(epoch) for epoch in self.epochs}
        return {epoch: {"name": place.name, "sha256": report.sha256_of(place)} for epoch, place in places.items()}

    def state(self, epoch: int) -> StateFile:
        """Where what is found at an epoch is kept."""
        maps = {layer: list(chosen) for layer, chosen in self.maps.items()}
        model = {"run": self.run.id, "checkpoint": self.models[epoch]["sha256"], "backend": backends.default()}
        job = {**model, "layers": list(maps), "maps": maps}
        return StateFile(self.out / STATES / f"epoch-{epoch:04d}.npz", job)

    def looking(self, epoch: int) -> tuple[Network, Choice]:
        """The network of an epoch, and how it takes the images of `source`."""
        net = _network(self.run, epoch)
        choice = choose(net)
        return net, replace(choice, preprocessing=_of_shown(choice.preprocessing, net.input_shape[1:]))


def chosen_epochs(begun: Run, asked: Sequence[int] | None = None) -> list[int]:
    """The columns, in order: those asked for; or for each of the paper's the nearest that has a checkpoint, and the last.

    Raises
    ------
    ZfcoreError
        If there is no checkpoint, or not of an epoch asked for.
    """
    there = begun.epochs()
    if not there:
        raise ZfcoreError(f"{begun.folder}: has no checkpoint of a whole epoch yet; go on with `zfcore train --resume {begun.folder}`")
    if asked is not None:
        missing = sorted(set(asked) - set(there))
        if missing or not asked:
            kept = f"{begun.folder} has checkpoints of {ranges(there)}"
            raise ZfcoreError(f"epochs: got {missing[0] if missing else 'none'}, but {kept}; `zfcore train` says which to keep")
        return sorted(set(asked))
    chosen = sorted({min(there, key=lambda epoch: (abs(epoch - paper), epoch)) for paper in PAPER_EPOCHS} | {there[-1]})
    strange = [epoch for epoch in chosen if epoch not in PAPER_EPOCHS]
    if strange:
        say(f"epochs {ranges(chosen)}: the run has checkpoints of {ranges(there)}, nearest to the paper's {ranges(PAPER_EPOCHS)}")
    return chosen


def ranges(numbers: Sequence[int]) -> str:
    """Rising numbers for people; three or more in a row as a range.

    Examples
    --------
    >>> ranges([1, 2, 3, 4, 7, 9, 10])
    '1-4, 7, 9, 10'
    """
    rows: list[list[int]] = []
    for number in numbers:
        if rows and number == rows[-1][-1] + 1:
            rows[-1].append(number)
        else:
            rows.append([number])
    return ", ".join(f"{row[0]}-{row[-1]}" if len(row) > 2 else ", ".join(map(str, row)) for row in rows)


def _network(begun: Run, epoch: int) -> Network:
    return begun.load(begun.checkpoint(epoch))[0]


def _fitting(
    begun: Run, epoch: int, layers: Sequence[str], chosen: Callable[[Network, str], list[int]]
) -> tuple[dict[str, list[int]], Preprocessing, tuple[int, ...]]:
    """What one of the networks says of all: the maps of each layer, how images are made to fit, and the size they then have."""
    net = _network(begun, epoch)
    layers = layers or tuple(name for name, layer in net.layers.items() if isinstance(layer, Conv2d))
    return {layer: chosen(net, layer) for layer in layers}, choose(net).preprocessing, net.input_shape[1:]


def _training_images(begun: Run, place: str | Path, out: Path) -> Subset:
    images = images_of(begun, place)
    report.keep_out_of(place, out)
    return Subset(images.source, begun.training.tolist())


# ---- the images


class Shown:
    """Images as a network is shown them, (H, W, 3), before mean and scale: each is decoded once, for all epochs, where all fit in memory.

    Parameters
    ----------
    source : ImageSource
        The images as they are.
    preprocessing : Preprocessing
        Resizes and crops.
    size : (int, int)
        What of an image remains.
    """

    def __init__(self, source: ImageSource, preprocessing: Preprocessing, size: Sequence[int]) -> None:
        self.source, self.preprocessing = source, preprocessing
        fit = len(source) * 3 * np.prod(size, dtype=float) <= KEPT_BYTES
        self.kept = np.empty((len(source), *size, 3), np.uint8) if fit else None
        self.there = np.zeros(len(source), bool)

    @property
    def described(self) -> str:
        """Where the images are, for people."""
        return self.source.described

    def __len__(self) -> int:
        return len(self.source)

    def name(self, index: int) -> str:
        """The image's name in its source."""
        return self.source.name(index)

    def read(self, index: int) -> np.ndarray:
        """What is shown of the image; ImageError if it cannot be read."""
        if self.kept is not None and self.there[index]:
            return self.kept[index]
        frame = self.preprocessing.frame(self.source.read(index))
        if self.kept is not None:
            self.kept[index] = frame
            self.there[index] = True
        return frame

    def fingerprint(self) -> str:
        """Of the source."""
        return self.source.fingerprint()

    def listing(self) -> str:
        """Of the source."""
        return self.source.listing()


def _of_shown(preprocessing: Preprocessing, size: Sequence[int]) -> Preprocessing:
    """What is left to be done with an image that is resized and cropped."""
    height, width = size
    return replace(preprocessing, size=None, crop=(height, width))


# ---- the first pass


def _searched(plan: Plan, restart: bool) -> dict[int, Search]:
    """What excites the maps most, at every epoch."""
    nothing, images = Search(0, (), {}), len(plan.source)
    found = {epoch: (None if restart else plan.state(epoch).load()) or nothing for epoch in plan.epochs}
    left = images * len(found) - sum(state.done for state in found.values())
    for layer, maps in plan.maps.items():
        say(f"  {layer}: {len(maps)} {'map' if len(maps) == 1 else 'maps'}")
    before = images * len(found) - left
    cost = f"{images:,} training images x {len(found)} epochs ({ranges(plan.epochs)}): {left:,} images to forward"
    say(cost + (f", {before:,} were before" if before else ""))
    began, todo = time.monotonic(), left
    for epoch, start in found.items():
        if start.done < images:
            found[epoch] = _searched_at(plan, epoch, start)
            left -= images - start.done
            seconds = (time.monotonic() - began) * left / (todo - left)
            say(f"epoch {epoch}: searched" + (f"; {tqdm.format_interval(seconds)} left" if left else ""))
    return found


def _searched_at(plan: Plan, epoch: int, start: Search) -> Search:
    net, choice = plan.looking(epoch)
    try:
        start = start if start.done else nothing_found(net, plan.maps, 1)
        return search(net, plan.source, choice.preprocessing, start, plan.batch, plan.state(epoch))
    except KeyboardInterrupt as interrupt:
        raise KeyboardInterrupt(f"epoch {epoch}: {str(interrupt) or 'stopped'}") from None


# ---- the second pass


def _evolved(plan: Plan, found: Mapping[int, Search], layer: str) -> Evolved:
    """Bring the strongest units of a layer down, at every epoch."""
    known = [found[epoch].found[layer] for epoch in plan.epochs]
    active = np.concatenate([k.active for k in known], axis=1)
    lost = ~active & np.stack([k.not_finite > 0 for k in known], axis=1)
    values, images, positions = (np.concatenate([getattr(k, name) for k in known], axis=1) for name in ("values", "images", "positions"))
    brought = [_brought_down(plan, epoch, layer, k, positions[active]) for epoch, k in zip(plan.epochs, known, strict=True)]
    net, _ = plan.looking(plan.epochs[0])
    views = Views.of(net, layer, map(tuple, positions[active].tolist()))
    windows = np.zeros((2, *active.shape, 4), np.int64)
    for unit in zip(*np.nonzero(active), strict=True):
        position = tuple(positions[unit].tolist())
        windows[(slice(None), *unit)] = views.fields[position], views.shown(position)
    height, width = net.input_shape[1:]
    return Evolved(
        layer,
        np.array(plan.epochs),
        known[0].maps,
        np.where(lost, np.nan, np.where(active, values, 0)),
        np.where(active, plan.run.training[images], -1),
        np.where(active[..., None], positions, -1),
        windows[0],
        windows[1],
        np.concatenate([projected.projections for projected in brought], axis=1),
        np.concatenate([projected.patches for projected in brought], axis=1),
        (height, width),
        views.described,
    )


def _brought_down(plan: Plan, epoch: int, layer: str, known: Strongest, positions: np.ndarray) -> Projected:
    """The projections of an epoch, in windows that fit the units of all; its network is in memory no longer than this takes."""
    net, choice = plan.looking(epoch)
    job = Job(net, plan.source, choice, plan.rule, 1, plan.batch, plan.selection, plan.models[epoch], plan.maps)
    return project_strongest(job, layer, known, Views.of(net, layer, map(tuple, positions.tolist())))


# ---- results


@dataclass(frozen=True)
class Evolution:
    """What was found: the numbers by layer, and the files."""

    epochs: Sequence[int]
    layers: Mapping[str, Convergence]
    pictures: Sequence[Path]
    facts: Path

    @property
    def table(self) -> str:
        """The numbers, for people."""
        return table(self.epochs, self.layers)


def _written(plan: Plan, found: Mapping[int, Search]) -> Evolution:
    facts = plan.out / f"{FACTS}.json"
    facts.unlink(missing_ok=True)  # written last: with it, all is there
    stems = report.file_names([CONVERGENCE, *plan.maps])
    numbers, described, pictures = dict[str, Convergence](), [], []
    for layer in plan.maps:
        evolved = _evolved(plan, found, layer)
        numbers[layer] = convergence(evolved)
        files = _write_layer(plan, evolved, numbers[layer], stems[layer])
        pictures += files[1:]
        described.append(_described(plan, evolved, numbers[layer], found) | {"files": [_described_file(file) for file in files]})
    pictures.append(plan.out / f"{CONVERGENCE}.png")
    changes = {what.replace("_", " "): {layer: of_layer.changes[what].mean for layer, of_layer in numbers.items()} for what in MEANINGS}
    same = {layer: of_layer.same for layer, of_layer in numbers.items()}
    title = f"{plan.run.architecture}: {plan.rule.rectifier} projections over the epochs"
    write_whole(pictures[-1], convergence_png(plan.epochs, changes, same, SMALL, title))
    say(f"wrote {pictures[-1]}")
    report.write_json(facts, _facts(plan, found) | {"picture": _described_file(pictures[-1]), "layers": described})
    return Evolution(plan.epochs, numbers, pictures, facts)


def _write_layer(plan: Plan, evolved: Evolved, numbers: Convergence, stem: str) -> list[Path]:
    """The arrays and the pictures of a layer."""
    arrays = plan.out / f"{stem}.npz"
    names = ("epochs", "maps", "values", "images", "positions", "fields", "windows", "projections", "patches")
    report.write_arrays(arrays, **{name: getattr(evolved, name) for name in names})
    starts = range(0, len(evolved.maps), MAPS_PER_PAGE)
    change, files = numbers.changes[AS_SHOWN], [arrays]
    for page, start in enumerate(starts, start=1):
        rows = slice(start, start + MAPS_PER_PAGE)
        heads = [
            (f"map {m}", f"settled: {epoch_text(s)}", f"image: {epoch_text(r)}")
            for m, s, r in zip(evolved.maps[rows], change.settled_maps[rows], numbers.resting[rows], strict=True)
        ]
        title = f"{plan.run.architecture}, {evolved.layer}: {plan.rule.rectifier} projections over the epochs, {evolved.described}"
        picture = evolution_picture(
            evolved.projections[rows],
            evolved.patches[rows],
            evolved.values[rows],
            evolved.images[rows],
            change.of_maps[rows],
            heads,
            plan.epochs,
            SMALL,
            title,
        )
        files.append(plan.out / (stem + (f"-page{page}" if len(starts) > 1 else "") + ".png"))
        report.write_picture(files[-1], picture)
        say(f"wrote {files[-1]}")
    return files


def _facts(plan: Plan, found: Mapping[int, Search]) -> dict[str, Any]:
    """How the results came to be."""
    skipped = {epoch: [{"image": plan.source.name(i), "reason": reason} for i, reason in found[epoch].skipped] for epoch in plan.epochs}
    images = {"from": plan.source.described, "count": len(plan.source), "listing": plan.run.facts["data"]["listing"], "skipped": skipped}
    checkpoints = [{"epoch": epoch, **plan.models[epoch]} for epoch in plan.epochs]
    return {
        "zfcore": zfcore.__version__,
        "experiment": "evolution (figure 4)",
        "backend": backends.default(),
        "run": {"id": plan.run.id, "architecture": plan.run.architecture, "checkpoints": checkpoints},
        "epochs": list(plan.epochs),
        "selection": dict(plan.selection),
        "rule": report.described_rule(plan.rule),
        "preprocessing": choose(_network(plan.run, plan.epochs[-1])).to_dict(),
        "images": images,
        "caveat": report.CAVEAT,
        "change": {"measure": "1 - cosine", "threshold": SMALL, **MEANINGS},
    }


def _described(plan: Plan, evolved: Evolved, numbers: Convergence, found: Mapping[int, Search]) -> dict[str, Any]:
    """A layer's entry in the JSON."""
    units = []
    for m, number in enumerate(evolved.maps.tolist()):
        columns = [_described_unit(plan, evolved, found, m, column) for column in range(len(plan.epochs))]
        changes = {what: change.of_maps[m].tolist() for what, change in numbers.changes.items()}
        ends = {what: float(change.settled_maps[m]) for what, change in numbers.changes.items()}
        units.append({"map": number, "change": changes, "settled": ends, "resting": float(numbers.resting[m]), "columns": columns})
    return {"layer": evolved.layer, "shown_size": list(evolved.patches.shape[2:4]), **numbers.facts(), "units": units}


def _described_unit(plan: Plan, evolved: Evolved, found: Mapping[int, Search], m: int, column: int) -> dict[str, Any]:
    """A map at an epoch."""
    epoch = plan.epochs[column]
    known, value = found[epoch].found[evolved.layer], float(evolved.values[m, column])
    if evolved.images[m, column] < 0:
        return {"epoch": epoch, "dead": value == 0, "images_not_finite": int(known.not_finite[m])}
    return {
        "epoch": epoch,
        "image": plan.source.name(int(known.images[m, 0])),
        "position": evolved.positions[m, column].tolist() or None,
        "value": value,
        "receptive_field": described_window(evolved.fields[m, column]),
        "shown": described_window(evolved.windows[m, column]),
    }


def _described_file(path: Path) -> dict[str, str]:
    return {"name": path.name, "sha256": report.sha256_of(path)}
