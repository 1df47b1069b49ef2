"""Tables 4 and 5 and figure 9: the layers of a trained network frozen and a new softmax on them, against training from scratch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import zfcore
from zfcore import backends, stages
from zfcore.data.labelled import Labelled
from zfcore.errors import ZfcoreError
from zfcore.experiments import classifiers, report
from zfcore.experiments.folds import (
    FOLDS,
    MOST_TEST,
    Fold,
    Spread,
    draw_folds,
    mean_per_class_accuracy,
    part_to_draw_from,
    usual_shots,
)
from zfcore.experiments.heads import Heads
from zfcore.experiments.kept import FeaturesOfLayer, Kept, KeptFeatures, digest, folds_with_features
from zfcore.experiments.pooling import poolings, size_of
from zfcore.experiments.progress import bar, say
from zfcore.experiments.results import Outcome, Results
from zfcore.experiments.scratch import NONE, STEPS, Scratch, recipe_of, steps_of, usual_architecture
from zfcore.experiments.subject import Subject
from zfcore.figures.grid import fitted
from zfcore.figures.transfer import LETTERS, NAME, headline, transfer_figure
from zfcore.graph import Graph
from zfcore.layers import Dropout, Flatten, Identity
from zfcore.training import Recipe
from zfcore.zoo import architecture

PAPER: dict[str, dict[int, tuple[float, float]]] = {
    "Caltech-101 (table 4)": {15: (22.8, 83.8), 30: (46.5, 86.5)},
    "Caltech-256 (table 5)": {15: (9.0, 65.7), 30: (22.5, 70.6), 45: (31.2, 72.7), 60: (38.8, 74.2)},
}
"""By training images a class: from scratch and pretrained, in percent."""
FROZEN, SCRATCH = "frozen", "scratch"
UNLEARNT = 0.1
"""Training error, with dropout and on crops, above which a network from scratch is said to be not done."""
Done = dict[int, list[dict[str, Any]]]
"""By training images a class: what each fold came to."""


@dataclass(frozen=True)
class Curves:
    """Figure 9: mean per-class accuracies, of every fold, by method ("frozen", "scratch") and number of training images a class."""

    shots: tuple[int, ...]
    accuracies: Mapping[str, Mapping[int, Spread]]

    @classmethod
    def of(cls, done: Mapping[str, Done]) -> Curves:
        """From what each fold came to."""
        spreads = {m: {n: Spread(tuple(one["accuracy"] for one in ones)) for n, ones in by.items()} for m, by in done.items()}
        return cls(tuple(done[FROZEN]), spreads)

    def margins(self, shots: int) -> Spread:
        """Fold by fold, by how much the frozen layers are better."""
        frozen, scratch = (self.accuracies[method][shots].values for method in (FROZEN, SCRATCH))
        return Spread(tuple(a - b for a, b in zip(frozen, scratch, strict=True)))


def top_layer(net: Graph) -> str:
    """The layer on which the network's own classifier stands: "layers 1 to 7" of the paper's.

    Examples
    --------
    >>> from zfcore.zoo import build
    >>> top_layer(build("zfnet-small"))
    'relu6'

    Raises
    ------
    ZfcoreError
        If the network has neither a classifier nor stages.
    """
    name = stages.logits(net)
    while name is not None and not isinstance(net.layers[name], stages.FILTERS) and len(net.layers[name].inputs) == 1:
        (name,) = net.layers[name].inputs
    if name is None or not isinstance(net.layers[name], stages.FILTERS):
        known = stages.stages(net)
        if not known:
            raise ZfcoreError(f"{net.name}: has no classifier and no stages, layers that join all branches; name a layer with --layer")
        return known[-1]
    (name,) = net.layers[name].inputs
    while isinstance(net.layers[name], Dropout | Flatten | Identity):
        (name,) = net.layers[name].inputs
    return name


def run(
    subject: Subject,
    data: str | Path,
    *,
    out: Path,
    layer: str | None = None,
    shots: Sequence[int] | None = None,
    folds: int = FOLDS,
    most_test: int = MOST_TEST,
    part: str | None = None,
    pool: int | None = None,
    pooling: str = "average",
    scratch: str | None = None,
    steps: int = STEPS,
    seed: int = 0,
    batch: int = 32,
) -> Outcome:
    """Draw folds, learn from frozen features and from scratch, write. What is done is kept in `out`, and the same call goes on.

    Parameters
    ----------
    subject : Subject
    data : path
        What `open_data` takes.
    out : Path
    layer : str, optional
        The topmost frozen layer; `top_layer` if not given.
    shots : sequence of int, optional
        Training images a class; thirds of `usual_shots` if not given.
    folds, most_test : int
        How many draws, and test images a class at most.
    part : str, optional
        Of the data; "test" where there is one, else "train".
    pool, pooling
        As for `poolings`: of a layer with maps.
    scratch : str, optional
        Architecture to train from scratch, "none" for none; the network's own, or `scratch.INSTEAD`, if not given.
    steps : int
        Of each training from scratch: they are what takes the time.
    seed : int
        Of folds, weights, order, crops and dropout.
    batch : int
        Images computed at a time.

    Raises
    ------
    ZfcoreError
        If an argument is wrong, the data cannot be used, a class has too few images, or a file cannot be written.
    KeyboardInterrupt
        When interrupted, with a line that says what is kept.
    """
    images, part, remarks = part_to_draw_from(data, part, subject.run)
    report.keep_out_of(data, out)
    layer = top_layer(subject.net) if layer is None else layer
    subject.net.layer(layer)
    usual = usual_shots(images)
    numbers = tuple(sorted(set(shots))) if shots else tuple(sorted({max(1, usual * k // 3) for k in (1, 2, 3)}))
    if numbers[0] < 1:
        raise ZfcoreError(f"shots: got {numbers[0]}, needed at least one training image a class")
    draw_folds(images, numbers[-1], 1)
    arch, own = (scratch, False) if scratch else usual_architecture(subject)
    if arch != NONE:
        architecture(arch)
    pools = poolings(subject.net, [layer], pool, pooling)
    results = Results(out, "transfer")
    configuration = {
        "data": str(data),
        "part": part,
        "layer": {**report.described_layer(subject.net, layer), "pooling": pools[layer].said if layer in pools else None},
        "features": size_of(subject.net, layer, pools),
        "crop": "centre (open in the paper)",
        "shots": list(numbers),
        "folds": folds,
        "most_test": most_test,
        "test_images": "the same for every number of training images; smaller training sets are parts of larger ones",
        "seed": seed,
        "classifier": classifiers.KINDS["softmax"],
        **classifiers.CHOICES,
        "from_scratch": None if arch == NONE else _described(arch, own, numbers, len(images.classes), steps, seed),
    }
    _say(subject, configuration)
    features = KeptFeatures(subject, images, [layer], pools, out, batch)
    drawn = folds_with_features([features], lambda lost: draw_folds(images, numbers[-1], folds, most_test, seed, lost))
    kept = Kept(out / "transfer-kept.json")
    done = {FROZEN: _frozen(Heads(images, drawn, kept, seed), features.facts[layer], features.of(layer), numbers)}
    if arch != NONE:
        done[SCRATCH] = _from_scratch(arch, images, drawn, numbers, steps, seed, kept)
    return _concluded(results, subject, configuration, done, images, drawn, features, remarks)


def _described(arch: str, own: bool, shots: Sequence[int], classes: int, steps: int, seed: int) -> dict[str, Any]:
    return {
        "architecture": arch,
        "same_as_the_network": own,
        "recipes": {str(n): recipe_of(arch, n * classes, steps, seed).to_dict() for n in shots},
        "seed_of_a_fold": "seed + number of the fold, from 0",
    }


def _say(subject: Subject, configuration: Mapping[str, Any]) -> None:
    layer, scratch = configuration["layer"], configuration["from_scratch"]
    say(f"zfcore {zfcore.__version__} transfer: {subject.given} on {configuration['data']}, part {configuration['part']}")
    report.say_preprocessing(subject.choice)
    pooled = f", pooled to the {layer['pooling']} (open in the paper)" if layer["pooling"] else ""
    say(f"  frozen up to {layer['name']}, {configuration['features']:,} features of the centre crop{pooled}")
    shots = ", ".join(map(str, configuration["shots"]))
    say(f"  {shots} training images a class, {configuration['folds']} folds, seed {configuration['seed']}")
    say(f"  at most {configuration['most_test']} test images a class: {configuration['test_images']}")
    say(f"  new classifier: {configuration['classifier']}")
    for what in classifiers.CHOICES:
        say(f"  {what}: {configuration[what]} (open in the paper)")
    if scratch is None:
        say("  nothing is trained from scratch")
        return
    another = "" if scratch["same_as_the_network"] else f": another network than {subject.name}"
    say(f"  from scratch: {scratch['architecture']}{another}")
    for n, recipe in scratch["recipes"].items():
        say(f"    {n} a class: {recipe['epochs']} epochs, batches of {recipe['batch']}, rate from {recipe['rate']:g} to 0 (open)")


# ---- the two methods


def _frozen(heads: Heads, facts: Mapping[str, Any], features: FeaturesOfLayer, shots: Sequence[int]) -> Done:
    """A new softmax for each number of training images and fold."""
    found: Done = {}
    try:
        with bar(len(shots) * len(heads.folds), "new softmax on frozen layers", "fold") as progress:
            for n in shots:
                found[n] = []
                for number in range(len(heads.folds)):
                    found[n].append(heads.learnt("softmax", facts, features, number, n))
                    progress.update()
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"stopped; what is done is kept in {heads.kept.path.parent}: the same command goes on") from None
    return found


def _from_scratch(
    arch: str, images: Labelled, folds: Sequence[Fold], shots: Sequence[int], steps: int, seed: int, kept: Kept
) -> Done:
    """A network from scratch for each fold and number of training images."""
    listing = images.listing()

    def facts(n: int, number: int) -> tuple[dict[str, Any], Recipe]:
        recipe = recipe_of(arch, n * len(images.classes), steps, seed + number)
        asked = {"zfcore": zfcore.__version__, "from scratch": arch, "listing": listing, "recipe": recipe.to_dict()}
        asked["backend"] = backends.default()
        return {**asked, "training": digest(folds[number].learnt(n)), "test": digest(folds[number].test)}, recipe

    trainings = [(n, number, *facts(n, number)) for n in shots for number in range(len(folds))]
    missing = [one for one in trainings if kept.get(one[2]) is None]
    if len(missing) < len(trainings):
        say(f"{len(trainings) - len(missing)} of {len(trainings)} trainings from scratch are there from before")
    try:
        if missing:
            _train(arch, images, folds, missing, kept)
    except KeyboardInterrupt:
        done = sum(kept.get(one[2]) is not None for one in trainings)
        raise KeyboardInterrupt(
            f"stopped; {done} of {len(trainings)} trainings from scratch are kept in {kept.path.parent}: the same command goes on"
        ) from None
    return {n: [kept.get(asked) or {} for m, _, asked, _ in trainings if m == n] for n in shots}


def _train(arch: str, images: Labelled, folds: Sequence[Fold], missing: Sequence[tuple[int, int, dict, Recipe]], kept: Kept) -> None:
    needed = np.unique(np.concatenate([np.append(fold.training, fold.test) for fold in folds]))
    networks = Scratch.of(arch, images, needed)
    total = sum(steps_of(recipe, n * len(images.classes)) for n, _, _, recipe in missing)
    n, number, _, recipe = missing[0]
    seconds = total * networks.seconds_a_step(folds[number].learnt(n), recipe)
    about = f"{seconds / 60:.0f} minutes" if seconds >= 90 else f"{seconds:.0f} seconds"
    say(f"training from scratch: {len(missing)} networks, {total:,} steps, about {about} (--steps fewer, --scratch a smaller one, or none)")
    with bar(total, f"training {arch} from scratch", "step") as progress:
        for n, number, asked, recipe in missing:
            fold = folds[number]
            try:
                predicted, error = networks.trained(fold.learnt(n), recipe, fold.test, progress.update)
            except ZfcoreError as reason:
                raise ZfcoreError(f"{arch} from scratch, {n} images a class, fold {number + 1}: {reason}; or another --scratch") from reason
            accuracy = mean_per_class_accuracy(predicted, images.labels[fold.test])
            kept.put(asked, {"accuracy": accuracy, "training_error": error})


# ---- what it came to


def _concluded(
    results: Results,
    subject: Subject,
    configuration: Mapping[str, Any],
    done: Mapping[str, Done],
    images: Labelled,
    folds: Sequence[Fold],
    features: KeptFeatures,
    remarks: Sequence[str],
) -> Outcome:
    curves = Curves.of(done)
    classes, scratch, layer = len(images.classes), configuration["from_scratch"], configuration["layer"]["name"]
    arch = None if scratch is None else scratch["architecture"]
    note = f"{classes} classes, {len(folds)} folds of {len(folds[0].test):,} test images; bars: one standard deviation between folds"
    curve = {method: [spreads[n] for n in curves.shots] for method, spreads in curves.accuracies.items()}
    name = fitted(subject.name, NAME, LETTERS)
    labels = {FROZEN: f"{name}, frozen up to {layer}, new softmax", SCRATCH: f"{arch}, all layers from scratch"}
    figure = transfer_figure(
        curves.shots,
        {labels[method]: ([s.mean for s in spreads], [s.deviation or 0.0 for s in spreads]) for method, spreads in curve.items()},
        1 / classes,
        note,
    )
    place = Path(configuration["data"]).resolve().name
    results.plot("transfer", figure, headline(subject.name, place, "accuracy against training images"))
    of_method = {method: {str(n): spread.to_dict() for n, spread in spreads.items()} for method, spreads in curves.accuracies.items()}
    skipped = {images.source.name(n): why for n, why in sorted(features.skipped.items())}
    numbers = {
        "classes": classes,
        "chance": 1 / classes,
        "test_images": len(folds[0].test),
        "mean_per_class_accuracy": of_method,
        "skipped": skipped,
        "each": [
            {"method": method, "shots": n, "fold": number, **one}
            for method, by_shots in done.items()
            for n, ones in by_shots.items()
            for number, one in enumerate(ones)
        ],
    }
    if skipped:
        remarks = [*remarks, f"{len(skipped)} images could not be read, and were not drawn"]
    if scratch is not None and not scratch["same_as_the_network"]:
        remarks = [*remarks, f"{arch} is another and smaller network than {subject.name}; the paper trained the same one from scratch"]
    errors = [one["training_error"] for ones in done.get(SCRATCH, {}).values() for one in ones]
    if errors and max(errors) > UNLEARNT:
        worst = f"as much as {100 * max(errors):.0f} %"
        remarks = [*remarks, f"{arch} still got {worst} of its training images wrong in its last epoch: more --steps would help it"]
    remarks = [*remarks, "images that the network may have been trained on were not looked for: `zfcore duplicates-between` does"]
    return results.conclude(subject, configuration, numbers, _sentence(subject, layer, arch, curves, classes), _table(curves), remarks)


def _sentence(subject: Subject, layer: str, arch: str | None, curves: Curves, classes: int) -> str:
    most, frozen = curves.shots[-1], curves.accuracies[FROZEN]
    text = (
        f"With {most} training images for each of {classes} classes a new softmax on {subject.name}, frozen up to {layer}, is right for "
        f"{frozen[most].said} % (mean per-class accuracy; chance {100 / classes:.1f} %)"
    )
    if len(curves.shots) > 1:
        text += f", with {curves.shots[0]} for {frozen[curves.shots[0]].said} %"
    if SCRATCH not in curves.accuracies:
        return text + "; nothing was trained from scratch."
    scratch = curves.accuracies[SCRATCH]
    text += f"; {arch} trained from scratch on the same images for {scratch[most].said} %"
    if len(curves.shots) > 1:
        text += f" and {scratch[curves.shots[0]].said} %"
    margins = [margin for n in curves.shots for margin in curves.margins(n).values]
    better = sum(margin > 0 for margin in margins)
    every = "in every fold" if better == len(margins) else f"in {better} of {len(margins)} comparisons, of each fold and number of images"
    largest = max(curves.shots, key=lambda n: curves.margins(n).mean)
    verdict = "as in the paper" if better == len(margins) else "the paper's pretrained network is better throughout"
    return (
        f"{text}. The frozen layers are better {every}, {verdict}; the mean margin is largest, "
        f"{100 * curves.margins(largest).mean:.1f} points, with {largest} images a class."
    )


def _table(curves: Curves) -> str:
    both = SCRATCH in curves.accuracies
    cells = [("mean per-class accuracy in %", "training images a class", "from scratch", "frozen + softmax", "margin")]
    for n in curves.shots:
        scratch = curves.accuracies[SCRATCH][n].said if both else "-"
        cells.append(("here", str(n), scratch, curves.accuracies[FROZEN][n].said, curves.margins(n).said if both else "-"))
    for name, rows in PAPER.items():
        for n, (low, high) in rows.items():
            cells.append((f"the paper, {name}", str(n), f"{low:.1f}", f"{high:.1f}", f"{high - low:.1f}"))
    return "\n".join(report.columns(cells))
