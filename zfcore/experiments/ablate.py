"""Table 3: what layers and widths are worth. Every variant of a network trained with one recipe and one seed, and its errors compared.

Each variant is an ordinary run in a folder of its own, so that nothing is lost when it is stopped: the same call goes on.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from zfcore import backends
from zfcore.data.crops import Crops, usual_frame
from zfcore.data.datasets import open_data
from zfcore.data.labelled import DataSet, Labelled
from zfcore.errors import ZfcoreError, printable
from zfcore.experiments import report, train
from zfcore.experiments.ablation import PARTS, Row, Wrong, difference, judged, row_facts, sentence, table
from zfcore.experiments.kept import digest
from zfcore.experiments.progress import bar, say
from zfcore.experiments.results import Outcome, Results
from zfcore.experiments.variants import Variant, chosen_variants
from zfcore.figures.ablate import ablation_figure
from zfcore.files import write_whole
from zfcore.network import Network
from zfcore.training import Epoch, Recipe, errors, gathered
from zfcore.training.frames import Frames
from zfcore.training.loop import BATCH
from zfcore.training.runs import Run
from zfcore.zoo import architecture, build

ERRORS = "errors.json"
"""In a variant's folder: what its network got wrong, so that it is not measured twice."""
MEASURED = 8 * BATCH
"""Images from one movement of the bar to the next."""


def run(
    data: str | Path,
    arch: str,
    out: Path,
    recipe: Recipe,
    variants: Sequence[str] | None = None,
) -> Outcome:
    """Train the variants of an architecture and compare their errors.

    Parameters
    ----------
    data : path
        What `open_data` takes.
    arch : str
        A name in the zoo, of no variant.
    out : Path
        Folder for the results; each variant is a run in a folder in it, named after its architecture.
    recipe : Recipe
        For all of them.
    variants : sequence of str, optional
        As `chosen_variants` takes them.

    Raises
    ------
    ZfcoreError
        If there are no such variants, the data cannot be used, `out` holds runs of another recipe or of other data, a file cannot be
        written, or a variant's loss is not finite.
    KeyboardInterrupt
        When stopped; what was trained is saved.
    """
    chosen = chosen_variants(arch, variants)
    recipe = replace(recipe, frame=recipe.frame or usual_frame(architecture(arch).size))
    found = open_data(data)
    report.keep_out_of(found.path, out)
    nets = {variant: _sizes(variant, found) for variant in chosen}
    begun = {variant: _earlier(out / variant.arch, variant, recipe, found) for variant in chosen}
    results = Results(out, "ablate")
    say(f"ablate: {len(chosen)} variants of {arch} on {data}, each for {recipe.epochs} epochs, seed {recipe.seed}; the recipe of all:")
    for line in recipe.describe():
        say(f"  {line}")
    say("parameters and MACs an image:")
    for line in report.columns([("", "parameters", "MACs an image", ""), *(_announced(v, *nets[v], begun[v]) for v in chosen)])[2:]:
        say(f"  {line}")
    rows, clock = [], _Clock({variant: macs for variant, (_, macs) in nets.items()}, recipe.epochs)
    images = _Images(found, recipe)
    with bar(len(chosen), "variants", "variant") as progress:
        for variant in chosen:
            try:
                rows.append(Row(variant, nets[variant][0], _trained(variant, out, data, recipe, images, clock)))
            except KeyboardInterrupt as interrupt:
                done = f"{len(rows)} of {len(chosen)} variants are done; the same command goes on"
                raise KeyboardInterrupt(f"{str(interrupt).partition(';')[0] or 'stopped'}, of {variant.arch}; {done}") from None
            except ZfcoreError as error:
                raise ZfcoreError(f"{variant.arch}: {error}" + f"; {len(rows)} variants are kept in {out}" * bool(rows)) from error
            progress.update()
            if len(rows) < len(chosen) and clock.paces:
                say(f"{len(rows)} of {len(chosen)} variants are done; about {clock} left")
    return _concluded(results, rows, arch, found, recipe)


# ---- before it begins


def _sizes(variant: Variant, found: DataSet) -> tuple[int, int]:
    """Parameters, and MACs for one image."""
    images = found.part("train")
    net = build(variant.arch, classes=images.classes, channels=1 if images.grey else 3)
    return net.parameters, net.macs


def _earlier(folder: Path, variant: Variant, recipe: Recipe, found: DataSet) -> Run | None:
    """The run of an earlier call in a variant's folder, if there is one.

    Raises
    ------
    ZfcoreError
        If it is of another recipe, or of other data.
    """
    if Run.occupied(folder) is None:
        return None
    earlier = Run.open(folder)
    before, now = asdict(earlier.recipe), asdict(recipe)
    changed = [f"{name} {before[name]}, not {now[name]}" for name in now if before[name] != now[name]]
    if earlier.architecture != variant.arch:
        changed.insert(0, f"architecture {earlier.architecture}")
    if changed:
        raise ZfcoreError(f"{folder}: holds a run of another recipe ({'; '.join(changed)}); go on with that recipe, or give another --out")
    if train.own_images(earlier, found) is None:
        raise ZfcoreError(f"{folder}: holds a run on other data than {found.path}; give another --out")
    return earlier


def _announced(variant: Variant, parameters: int, macs: int, earlier: Run | None) -> tuple[str, str, str, str]:
    return variant.arch, f"{parameters:,}", f"{macs:,}", "" if earlier is None else "begun before"


class _Clock:
    """How long all variants will take, from the epochs so far: each in proportion to its MACs.

    The median of the epochs, because the first one may have waited for a compiler.
    """

    def __init__(self, macs: Mapping[Variant, int], epochs: int) -> None:
        self.macs, self.epochs, self.left = macs, epochs, dict.fromkeys(macs, epochs)
        self.paces: list[float] = []

    def epoch(self, variant: Variant, epoch: Epoch, seconds: float) -> None:
        """An epoch is over; after the first one it says how long all will take."""
        self.left[variant] = self.epochs - epoch.number
        self.paces.append(seconds / self.macs[variant])
        if len(self.paces) == 1:
            say(f"all variants: about {self} left, each in proportion to its MACs")

    def __str__(self) -> str:
        return tqdm.format_interval(statistics.median(self.paces) * sum(self.macs[v] * epochs for v, epochs in self.left.items()))


# ---- training and measuring


class _Images:
    """The images of all variants, as frames: read when they are first asked for, and once."""

    def __init__(self, found: DataSet, recipe: Recipe) -> None:
        self.found, self.recipe = found, recipe
        self.frames: dict[str, tuple[Frames, np.ndarray]] = {}

    def of(self, part: str, run: Run) -> tuple[Frames, np.ndarray]:
        """Those of a part, of a run of these data: frames, and the numbers of those that can be read."""
        if part not in self.frames:
            images, training, validation = train.split(self.found, self.recipe)
            if part == "test":
                images = self.found.parts["test"]
            numbers = {"train": training, "validation": validation, "test": np.arange(len(images))}[part]
            self.frames[part] = self._read(images, run, numbers, part)
        return self.frames[part]

    def _read(self, images: Labelled, run: Run, numbers: np.ndarray, part: str) -> tuple[Frames, np.ndarray]:
        known = run.facts["damaged"]  # said when it was trained
        with bar(len(numbers), f"reading images, {part}", "image") as progress:

            def on_image(number: int, error: ZfcoreError | None) -> None:
                progress.update()
                if error is not None and images.source.name(number) not in known:
                    say(f"skipped {images.source.name(number)}: {getattr(error, 'reason', error)}")

            read = gathered(images, run.frame, numbers, (), on_image)
        return read.frames, np.array([n for n in numbers if int(n) not in read.damaged], np.int64)


def _trained(variant: Variant, out: Path, data: str | Path, recipe: Recipe, images: _Images, clock: _Clock) -> dict[str, Wrong]:
    """Train a variant, or what is left of it, and measure its network after the last epoch."""
    folder = out / variant.arch

    def on_epoch(epoch: Epoch, seconds: float) -> None:
        clock.epoch(variant, epoch, seconds)

    known = None
    if Run.occupied(folder) is None:
        run = train.run(data, variant.arch, folder, recipe, keep=(), on_epoch=on_epoch, echo=False)
    else:
        run = Run.open(folder)
        known = _known(run, images.found)
        if known is None:
            run = train.resume(folder, data, on_epoch, echo=False)
    clock.left[variant] = 0
    if known is None:
        stands = run.newest()
        assert stands is not None
        known = _measured(run, stands[0], stands[2], images)
    else:
        say(f"{variant.arch}: trained and measured before")
    return known


def _measured(run: Run, net: Network, crops: Crops, images: _Images) -> dict[str, Wrong]:
    """What a network gets wrong in each part of the data, without dropout; kept in its folder."""
    parts = [part for part in PARTS if part != "test" or "test" in images.found.parts]
    wrong: dict[str, Wrong] = {}
    for part in parts:
        frames, numbers = images.of(part, run)
        if len(numbers):
            wrong[part] = counted(net, frames, crops, numbers, part)
    counts = {part: asdict(those) for part, those in wrong.items()}
    facts: dict[str, Any] = {"run": run.id, "data": _listings(images.found), "wrong": counts}
    facts["sha256"] = digest(facts)
    write_whole(run.folder / ERRORS, (json.dumps(facts, indent=1) + "\n").encode())
    return wrong


def counted(net: Network, frames: Frames, crops: Crops, numbers: np.ndarray, what: str) -> Wrong:
    """How many of those images a network gets wrong; parameters as of `errors`, `what` is for the bar."""
    top1 = top5 = 0
    some = None
    with bar(len(numbers), f"measuring, {what}", "image") as progress:
        for start in range(0, len(numbers), MEASURED):
            part = numbers[start : start + MEASURED]
            one, some = errors(net, frames, crops, part)
            top1 += round(one * len(part))
            top5 += round((some or 0.0) * len(part))
            progress.update(len(part))
    return Wrong(len(numbers), top1, None if some is None else top5)


def _listings(found: DataSet) -> dict[str, str]:
    return {part: images.listing() for part, images in found.parts.items()}


def _known(run: Run, found: DataSet) -> dict[str, Wrong] | None:
    """What was measured of a run, on these data; None if nothing was, or the file is not as it was written."""
    try:
        facts = json.loads((run.folder / ERRORS).read_bytes())
        if facts.pop("sha256") != digest(facts) or facts["run"] != run.id or facts["data"] != _listings(found):
            return None
        return {part: Wrong(**those) for part, those in facts["wrong"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


# ---- what came out


def _guessing(found: DataSet, recipe: Recipe, part: str) -> float:
    """The error of always naming the most frequent class of a part."""
    images, training, validation = train.split(found, recipe)
    labels = found.part("test").labels if part == "test" else images.labels[training if part == "train" else validation]
    return 1 - float(np.bincount(labels).max()) / len(labels)


def _concluded(results: Results, rows: Sequence[Row], arch: str, found: DataSet, recipe: Recipe) -> Outcome:
    part = judged(rows)
    full = rows[0].wrong[part]
    title = f"Variants of {arch} on {printable(Path(found.path).name or found.path)}, {recipe.epochs} epochs, seed {recipe.seed} (table 3)"
    results.plot("ablate", ablation_figure(rows, part, [difference(row.wrong[part], full) for row in rows]), title)
    configuration = {
        "architecture": arch,
        "variants": [row.variant.arch for row in rows],
        "data": {"path": found.path, "kind": found.kind, "listing": _listings(found)},
        "recipe": recipe.to_dict(),
        "backend": backends.default(),
        "network_measured": "after the last epoch, without dropout",
        "crop": "centre",
        "judged_by": part,
        "intervals": "95 %; of errors Wilson 1927, of differences Newcombe 1998 from these, as if of different images",
        "widths": "half and double the architecture's, as 2048 and 8192 are of the paper's 4096",
    }
    numbers = {"rows": [row_facts(row, part, full) for row in rows]}
    remarks = [
        "one seed: the intervals are of other images, not of other trainings, which differ by as much or more",
        f"one recipe for all, {recipe.epochs} epochs: a network that learns more slowly, as deeper ones do, looks worse than it is",
    ]
    words = sentence(rows, arch, printable(found.path), _guessing(found, recipe, part))
    return results.conclude(None, configuration, numbers, words, table(rows, part), remarks)
