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
from zfcore.data.choice import Choice, choose
from zfcore.data.datasets import open_data
from zfcore.data.labelled import Subset
from zfcore.data.preprocessing import Preprocessing
from zfcore.data.sources import ImageSource
from zfcore.errors import ZfcoreError
from zfcore.experiments import report
from zfcore.experiments.features import Job, Projected, chosen_maps, project_strongest
from zfcore.experiments.progress import say
from zfcore.experiments.strongest import Search, StateFile, Strongest, nothing_found, search
from zfcore.experiments.train import split
from zfcore.experiments.views import Views, described_window
from zfcore.figures.evolution import convergence_png, evolution_picture
from zfcore.files import write_whole
from zfcore.formats.checkpoint import load_training
from zfcore.layers import Conv2d
from zfcore.names import several
from zfcore.network import Network
from zfcore.projection import framed
from zfcore.rules import Rule, resolve
from zfcore.training.frames import KEPT_BYTES
from zfcore.training.runs import Run
from zfcore.window import Window, whole

PAPER_EPOCHS = (1, 2, 5, 10, 20, 30, 40, 64)
"""The columns of the paper's figure."""
SMALL = 0.1
"""A change below it is taken for none: a cosine above 0.9. The paper gives no number; this one is a choice, and echoed."""
MAPS_PER_PAGE = 12
"""Rows of one picture; of more maps there are several."""
CLASS_FOLDERS = "folder of class folders"
"""The kind of data that would take the results for images, were they written among them."""
STATES, CONVERGENCE, FACTS = "search", "convergence", "evolution"
IN_PLACE, AS_SHOWN = "in_place", "as_shown"
MEANINGS = {
    IN_PLACE: "each projection where it lies in the input: large, too, where the image or the place is another one",
    AS_SHOWN: "windows laid over each other, as the picture shows them: the same pattern elsewhere is no change",
}


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
        job = {"run": self.run.id, "checkpoint": self.models[epoch]["sha256"], "layers": list(maps), "maps": maps}
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
    path = begun.checkpoint(epoch)
    net, training = load_training(path)
    if training is None or training.facts.get("run") != begun.id:
        raise ZfcoreError(f"{path}: a checkpoint of another run than {begun.folder} describes; take it out of the folder")
    return net


def _fitting(
    begun: Run, epoch: int, layers: Sequence[str], chosen: Callable[[Network, str], list[int]]
) -> tuple[dict[str, list[int]], Preprocessing, tuple[int, ...]]:
    """What one of the networks says of all: the maps of each layer, how images are made to fit, and the size they then have."""
    net = _network(begun, epoch)
    layers = layers or tuple(name for name, layer in net.layers.items() if isinstance(layer, Conv2d))
    return {layer: chosen(net, layer) for layer in layers}, choose(net).preprocessing, net.input_shape[1:]


def _training_images(begun: Run, place: str | Path, out: Path) -> Subset:
    found = open_data(place)
    images, _, _ = split(found, begun.recipe)
    if images.source.listing() != begun.facts["data"]["listing"] or images.classes != begun.classes:
        raise ZfcoreError(f"{place}: not the data that {begun.folder} was trained on; give --data with their place")
    if found.kind == CLASS_FOLDERS and out.resolve().is_relative_to(Path(place).resolve()):
        raise ZfcoreError(f"{out}: lies in the folder of images, where its pictures would be taken for images; give another --out")
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


@dataclass(frozen=True, eq=False)
class Evolved:
    """Maps of a layer over the epochs.

    Parameters
    ----------
    layer : str
    epochs, maps : int64 arrays (E,), (M,)
    values : float array (M, E)
        The strongest activation; 0 where the map is dead, NaN where activations are not finite.
    images : int64 array (M, E)
        Number of the image that has it, among the run's images; -1 where there is none.
    positions : int64 array (M, E, 2)
        Where in the map; -1 where there is none. (M, E, 0) if maps have no pixels.
    fields, windows : int64 arrays (M, E, 4)
        Receptive field in the input's pixels, y0, y1, x0, x1, and what of it `projections` and `patches` hold; 0 where there is none.
    projections : float32 array (M, E, C, h, w)
        In RGB order, 0 where there is none.
    patches : uint8 array (M, E, h, w, 3)
        The same windows of the images.
    input_size : (int, int)
        Of the network's input.
    described : str
        The receptive field, for people.
    """

    layer: str
    epochs: np.ndarray
    maps: np.ndarray
    values: np.ndarray
    images: np.ndarray
    positions: np.ndarray
    fields: np.ndarray
    windows: np.ndarray
    projections: np.ndarray
    patches: np.ndarray
    input_size: tuple[int, int]
    described: str

    def in_place(self, m: int, column: int) -> np.ndarray:
        """A projection (C, H, W) in the frame of the whole input."""
        return framed(self.projections[m, column], Window(*self.windows[m, column].tolist()), whole(self.input_size))


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


# ---- the numbers


@dataclass(frozen=True, eq=False)
class Change:
    """How much projections change from each column to the next, and where that ends.

    Parameters
    ----------
    of_maps : float array (M, E - 1)
        1 - the cosine of the angle between a map's projections in two columns: 0 if they are equal but for a factor, 1 if they have
        nothing in common, up to 2. NaN where the map is dead in one of the columns, or a projection is zero or not finite.
    alive : bool array (M,)
        Which maps live in the last column.
    epochs : int64 array (E,)
        The columns.
    """

    of_maps: np.ndarray
    alive: np.ndarray
    epochs: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """(E - 1,): over the maps that live in both columns; NaN where none does."""
        return np.array([_over(np.mean, column) for column in self.of_maps.T])

    @property
    def median(self) -> np.ndarray:
        """(E - 1,): likewise."""
        return np.array([_over(np.median, column) for column in self.of_maps.T])

    @property
    def settled(self) -> float:
        """The layer's: the first epoch from which on every later mean change is below `SMALL`; infinite if the last one is not."""
        return settled(self.mean, self.epochs)

    @property
    def settled_maps(self) -> np.ndarray:
        """(M,): each map's own such epoch; NaN where it is dead in the last column."""
        return np.where(self.alive, [settled(changes, self.epochs) for changes in self.of_maps], np.nan)


def settled(changes: np.ndarray, epochs: np.ndarray) -> float:
    """The first epoch from which on every later change is below `SMALL`; infinite if the last one is not, or is NaN.

    Examples
    --------
    >>> settled(np.array([0.9, 0.02, 0.3, 0.05, 0.01]), np.array([1, 2, 5, 10, 20, 30]))
    10.0
    >>> settled(np.array([0.01, 0.5]), np.array([1, 2, 5]))
    inf
    """
    large = np.flatnonzero(~(changes < SMALL))
    first = large[-1] + 1 if len(large) else 0
    return float(epochs[first]) if first < len(changes) else np.inf


def resting(images: np.ndarray, epochs: np.ndarray) -> np.ndarray:
    """For each map the first epoch from which on its strongest image is the same to the end: images (M, E) to (M,).

    NaN where the map is dead in the last column. A column in which it is dead has another image.

    Examples
    --------
    >>> resting(np.array([[4, 4, 4], [7, 4, 7], [-1, 4, 4], [4, 4, -1]]), np.array([1, 2, 5])).tolist()
    [1.0, 5.0, 2.0, nan]
    """
    others = images != images[:, -1:]
    first = np.where(others.any(axis=1), images.shape[1] - others[:, ::-1].argmax(axis=1), 0)
    return np.where(images[:, -1] < 0, np.nan, epochs[first])


@dataclass(frozen=True, eq=False)
class Convergence:
    """When a layer comes to rest.

    Parameters
    ----------
    changes : dict of str to Change
        By what is compared, see `MEANINGS`.
    resting : float array (M,)
        As `resting` says.
    same : float array (E,)
        Share of the maps that live in the last column whose strongest image is already the last column's.
    alive : int
        Maps that live in the last column.
    """

    changes: Mapping[str, Change]
    resting: np.ndarray
    same: np.ndarray
    alive: int

    @property
    def still_changing(self) -> float:
        """Share of the maps whose strongest image is another one in the last column than in the one before; NaN of one column."""
        return 1 - float(self.same[-2]) if len(self.same) > 1 else np.nan

    def facts(self) -> dict[str, Any]:
        """For JSON; what is infinite ("not settled") or NaN becomes null."""
        changes = {
            what: {
                "mean": change.mean.tolist(),
                "median": change.median.tolist(),
                "settled": change.settled,
                "settled_median_of_maps": _over(np.median, change.settled_maps),
            }
            for what, change in self.changes.items()
        }
        image = {
            "resting_mean": _over(np.mean, self.resting),
            "resting_median": _over(np.median, self.resting),
            "same_as_last": self.same.tolist(),
            "still_changing": self.still_changing,
        }
        return {"alive_in_last": self.alive, "change": changes, "strongest_image": image}


def convergence(evolved: Evolved) -> Convergence:
    """The numbers of a layer."""
    count, columns = evolved.values.shape
    placed, shown = (np.full((count, columns - 1), np.nan) for _ in range(2))
    for m in range(count):
        for column in range(columns - 1):
            placed[m, column] = 1 - cosine(evolved.in_place(m, column), evolved.in_place(m, column + 1))
            shown[m, column] = 1 - cosine(evolved.projections[m, column], evolved.projections[m, column + 1])
    alive = evolved.images[:, -1] >= 0
    same = (evolved.images == evolved.images[:, -1:])[alive]
    return Convergence(
        {IN_PLACE: Change(placed, alive, evolved.epochs), AS_SHOWN: Change(shown, alive, evolved.epochs)},
        resting(evolved.images, evolved.epochs),
        same.mean(axis=0) if len(same) else np.full(columns, np.nan),
        len(same),
    )


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Of the angle between two arrays of one shape; NaN if one is zero or not finite.

    Examples
    --------
    >>> cosine(np.array([1.0, 0.0]), np.array([-2.0, 0.0])), cosine(np.array([1.0, 0.0]), np.zeros(2))
    (-1.0, nan)
    """
    a, b = (x.astype(np.float64).ravel() for x in (a, b))
    sizes = np.linalg.norm(a) * np.linalg.norm(b)
    return float(np.clip(a @ b / sizes, -1, 1)) if np.isfinite(sizes) and sizes > 0 else np.nan


def _over(statistic: Any, values: np.ndarray) -> float:
    """A statistic of the values that are not NaN; NaN if there is none."""
    known = values[~np.isnan(values)]
    return float(statistic(known)) if len(known) else np.nan


# ---- results


@dataclass(frozen=True)
class Evolution:
    """What was found: the numbers by layer, and the files."""

    epochs: Sequence[int]
    layers: Mapping[str, Convergence]
    pictures: Sequence[Path]
    facts: Path


def table(found: Evolution) -> str:
    """The numbers, for people."""
    width = max(len("layer"), *map(len, found.layers))
    steps = "".join(f"{f'{a}>{b}':>8}" for a, b in zip(found.epochs, found.epochs[1:], strict=False))
    lines = []
    for what, meaning in MEANINGS.items():
        lines += [f"Change of the projection {what.replace('_', ' ')}, 1 - cosine, mean over maps", f"({meaning})"]
        lines += [f"{'layer':{width}}{'maps':>6}{steps}{'settled':>10}{'median of maps':>17}"]
        for layer, numbers in found.layers.items():
            change = numbers.changes[what]
            means = "".join(f"{_number(mean):>8}" for mean in change.mean)
            ends = f"{_epoch(change.settled):>10}{_epoch(_over(np.median, change.settled_maps)):>17}"
            lines += [f"{layer:{width}}{numbers.alive:>6}{means}{ends}"]
        lines += [f"settled: the first epoch from which on every later change is below {SMALL:g}", ""]
    lines += ["Strongest image: the epoch from which on it stays the same, and the share of maps whose last column has a new one"]
    lines += [f"{'layer':{width}}{'maps':>6}{'mean':>8}{'median':>8}{'changing':>10}"]
    for layer, numbers in found.layers.items():
        mean, median = (_over(statistic, numbers.resting) for statistic in (np.mean, np.median))
        lines += [f"{layer:{width}}{numbers.alive:>6}{_epoch(mean):>8}{_epoch(median):>8}{_share(numbers.still_changing):>10}"]
    return "\n".join([*lines, "maps: those that live in the last column"])


def _number(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.3f}"


def _share(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.0%}"


def _epoch(value: float) -> str:
    return "not" if np.isinf(value) else "-" if np.isnan(value) else f"{value:.3g}"


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
            (f"map {m}", f"settled: {_epoch(s)}", f"image: {_epoch(r)}")
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
