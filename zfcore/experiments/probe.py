"""Table 7: how much a linear classifier can tell from the features of each layer."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import zfcore
from zfcore import stages
from zfcore.data.labelled import Labelled
from zfcore.errors import ZfcoreError
from zfcore.experiments import classifiers, report
from zfcore.experiments.folds import FOLDS, MOST_TEST, Fold, Spread, draw_folds, part_to_draw_from, usual_shots
from zfcore.experiments.heads import Heads
from zfcore.experiments.kept import Kept, KeptFeatures, folds_with_features
from zfcore.experiments.pooling import poolings, size_of
from zfcore.experiments.progress import bar, say
from zfcore.experiments.results import Outcome, Results
from zfcore.experiments.subject import Subject
from zfcore.figures.grid import fitted
from zfcore.figures.probe import probe_figure
from zfcore.figures.transfer import LETTERS, NAME, headline
from zfcore.layers import BatchNorm
from zfcore.network import Network
from zfcore.zoo import he_init

PAPER: dict[str, dict[str, tuple[float, float]]] = {
    "svm": {"1": (44.8, 24.6), "2": (66.2, 39.6), "3": (72.3, 46.0), "4": (76.6, 51.3), "5": (86.2, 65.6), "7": (85.5, 71.7)},
    "softmax": {"5": (82.9, 65.7), "7": (85.4, 72.6)},
}
"""By layer: Caltech-101 with 30 and Caltech-256 with 60 training images a class, in percent."""
TRAINED, CONTROL = "trained", "control"
Done = dict[tuple[str, str, str], list[dict[str, Any]]]
"""By network ("trained", "control"), layer and kind of classifier: what each fold came to."""


@dataclass(frozen=True)
class Probed:
    """Table 7: mean per-class accuracies over folds, by network ("trained", "control"), layer and kind of classifier."""

    layers: tuple[str, ...]
    accuracies: Mapping[tuple[str, str, str], Spread]

    def by_layer(self, network: str, kind: str) -> list[Spread]:
        """From the lowest layer upwards; empty for a network that was not probed."""
        return [self.accuracies[network, layer, kind] for layer in self.layers if (network, layer, kind) in self.accuracies]


def untrained(net: Network, seed: int = 0) -> Network:
    """The same network with random weights: N(0, 2/fan_in) (He et al. 2015), no biases, batch normalisation that does nothing."""
    rng, layers = np.random.default_rng(seed), []
    for one in net.layers.values():
        layer = copy.copy(one)
        if isinstance(layer, stages.FILTERS):
            layer.weight = he_init(rng, layer.weight.shape, 0).astype(layer.weight.dtype)
            layer.bias = None if layer.bias is None else np.zeros_like(layer.bias)
        elif isinstance(layer, BatchNorm):
            layer.mean, layer.bias = np.zeros_like(layer.mean), np.zeros_like(layer.bias)
            layer.var, layer.weight = np.ones_like(layer.var), np.ones_like(layer.weight)
        layers.append(layer)
    return Network(layers, net.outputs, f"{net.name}, random weights", net.backend, net.preprocessing, net.classes, net.algorithm)


def run(
    subject: Subject,
    data: str | Path,
    *,
    out: Path,
    layers: Sequence[str] | None = None,
    shots: int | None = None,
    folds: int = FOLDS,
    most_test: int = MOST_TEST,
    part: str | None = None,
    pool: int | None = None,
    pooling: str = "average",
    control: bool = False,
    seed: int = 0,
    batch: int = 32,
) -> Outcome:
    """Draw folds, learn a linear SVM and a softmax on every layer, write. What is done is kept in `out`, and the same call goes on.

    Parameters
    ----------
    subject : Subject
    data : path
        What `open_data` takes.
    out : Path
    layers : sequence of str, optional
        In any order; the network's stages if not given.
    shots : int, optional
        Training images a class; `usual_shots` if not given.
    folds, most_test : int
        How many draws, and test images a class at most.
    part : str, optional
        Of the data; "test" where there is one, else "train".
    pool, pooling
        As for `poolings`.
    control : bool
        Also the same network with random weights: what architecture and classifier can do without training.
    seed : int
        Of folds and random weights.
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
    for layer in layers or ():
        subject.net.layer(layer)
    layers = tuple(name for name in subject.net.layers if name in layers) if layers else stages.stages(subject.net)
    if not layers:
        raise ZfcoreError(f"{subject.given}: has no stages, layers that join all branches; name some with --layers")
    shots = usual_shots(images) if shots is None else shots
    if shots < 1:
        raise ZfcoreError(f"shots: got {shots}, needed at least one training image a class")
    draw_folds(images, shots, 1)
    pools = poolings(subject.net, layers, pool, pooling)
    results = Results(out, "probe")
    pooled = {layer: pools[layer].said if layer in pools else None for layer in layers}
    configuration = {
        "data": str(data),
        "part": part,
        "layers": [
            {**report.described_layer(subject.net, layer), "pooling": pooled[layer], "features": size_of(subject.net, layer, pools)}
            for layer in layers
        ],
        "crop": "centre (open in the paper)",
        "shots": shots,
        "folds": folds,
        "most_test": most_test,
        "seed": seed,
        "classifiers": classifiers.KINDS,
        **classifiers.CHOICES,
        "control": "the same network with random weights, N(0, 2/fan_in), no biases" if control else None,
    }
    _say(subject, configuration)
    networks = {TRAINED: subject}
    if control:
        random = untrained(subject.net, seed)
        networks[CONTROL] = replace(subject, given=f"{subject.given}, random weights", net=random, path=None, run=None)
    kept = Kept(out / "probe-kept.json")
    features = {name: KeptFeatures(one, images, layers, pools, out, batch) for name, one in networks.items()}
    drawn = folds_with_features(list(features.values()), lambda lost: draw_folds(images, shots, folds, most_test, seed, lost))
    done = _classified(Heads(images, drawn, kept, seed), features, shots)
    probed = Probed(layers, {key: Spread(tuple(one["accuracy"] for one in ones)) for key, ones in done.items()})
    lost = {n: why for one in features.values() for n, why in one.skipped.items()}
    return _concluded(results, subject, configuration, probed, done, images, drawn, lost, remarks)


def _say(subject: Subject, configuration: Mapping[str, Any]) -> None:
    say(f"zfcore {zfcore.__version__} probe: {subject.given} on {configuration['data']}, part {configuration['part']}")
    report.say_preprocessing(subject.choice)
    for layer in configuration["layers"]:
        pooled = f", pooled to the {layer['pooling']} (open in the paper)" if layer["pooling"] else ""
        say(f"  {layer['name']}: {layer['features']:,} features of the centre crop{pooled}")
    say(f"  {configuration['shots']} training images a class, at most {configuration['most_test']} to test, {configuration['folds']} folds")
    for kind, text in classifiers.KINDS.items():
        say(f"  {kind}: {text}")
    for what in classifiers.CHOICES:
        say(f"  {what}: {configuration[what]} (open in the paper)")
    say(f"  control: {configuration['control'] or 'none; --control probes the same network with random weights'}")


def _classified(heads: Heads, features: Mapping[str, KeptFeatures], shots: int) -> Done:
    """Both classifiers on every layer and fold; the features of one layer at a time are in memory."""
    done: Done = {}
    total = sum(len(one.layers) for one in features.values()) * len(classifiers.KINDS) * len(heads.folds)
    try:
        with bar(total, "learning classifiers", "fit") as progress:
            for network, one in features.items():
                for layer in one.layers:
                    values = one.of(layer)
                    for kind in classifiers.KINDS:
                        ones = done[network, layer, kind] = []
                        for number in range(len(heads.folds)):
                            ones.append(heads.learnt(kind, one.facts[layer], values, number, shots))
                            progress.update()
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"stopped; what is done is kept in {heads.kept.path.parent}: the same command goes on") from None
    return done


# ---- what it came to


def _concluded(
    results: Results,
    subject: Subject,
    configuration: Mapping[str, Any],
    probed: Probed,
    done: Done,
    images: Labelled,
    folds: Sequence[Fold],
    lost: Mapping[int, str],
    remarks: Sequence[str],
) -> Outcome:
    classes, control = len(images.classes), bool(configuration["control"])
    note = f"{classes} classes, {configuration['shots']} training images each, {len(folds)} folds of {len(folds[0].test):,} test images; "
    note += "bars: one standard deviation between folds"
    kinds = {"svm": "linear SVM", "softmax": "softmax"}
    name = fitted(subject.name, NAME, LETTERS)
    curves = {f"{text} on {name}": probed.by_layer(TRAINED, kind) for kind, text in kinds.items()}
    if control:
        curves |= {f"{text} on the same network, random weights": probed.by_layer(CONTROL, kind) for kind, text in kinds.items()}
    drawn = {name: ([s.mean for s in ones], [s.deviation or 0.0 for s in ones]) for name, ones in curves.items()}
    figure = probe_figure(probed.layers, drawn, 1 / classes, note)
    place = Path(configuration["data"]).resolve().name
    results.plot("probe", figure, headline(subject.name, place, "what a linear classifier tells from each layer"))
    skipped = {images.source.name(n): why for n, why in sorted(lost.items())}
    numbers = {
        "classes": classes,
        "chance": 1 / classes,
        "test_images": len(folds[0].test),
        "mean_per_class_accuracy": [
            {"network": network, "layer": layer, "classifier": kind, **spread.to_dict(), "C": done[network, layer, kind][0]["C"],
             "converged": all(one["converged"] for one in done[network, layer, kind])}
            for (network, layer, kind), spread in probed.accuracies.items()
        ],
        "skipped": skipped,
    }  # fmt: skip
    if skipped:
        remarks = [*remarks, f"{len(skipped)} images could not be read, and were not drawn"]
    if any(layer["pooling"] for layer in configuration["layers"]):
        remarks = [*remarks, "maps were pooled before they were learnt from, most of all in low layers; the paper does not say what it did"]
    if not control:
        remarks = [*remarks, "part of it is the architecture's and the classifier's own: --control shows how much, with random weights"]
    return results.conclude(subject, configuration, numbers, _sentence(subject, probed, classes), _table(probed, configuration), remarks)


def _sentence(subject: Subject, probed: Probed, classes: int) -> str:
    svm = probed.by_layer(TRAINED, "svm")
    low, high, means = probed.layers[0], probed.layers[-1], [s.mean for s in svm]
    best = int(np.argmax(means))
    text = f"A linear SVM on {subject.name} is right for {svm[0].said} % from {low}"
    if len(svm) == 1:
        return f"{text} (mean per-class accuracy; chance {100 / classes:.1f} %)."
    text += f" and {svm[-1].said} % from {high} (mean per-class accuracy; chance {100 / classes:.1f} %)"
    rises = sum(b >= a for a, b in itertools.pairwise(means))
    text += f"; upwards it rises or stays in {rises} of {len(means) - 1} steps and is highest, {svm[best].said} %, at {probed.layers[best]}"
    softmax = probed.by_layer(TRAINED, "softmax")
    text += f"; a softmax comes to {softmax[0].said} % and {softmax[-1].said} %. "
    if means[-1] <= means[0]:
        text += "The deepest layer is no better than the lowest, other than in the paper."
    else:
        text += "Deeper layers are better, as in the paper" + ("." if best == len(means) - 1 else ", but not up to the last.")
    control = probed.by_layer(CONTROL, "svm")
    if control:
        text += f" With random weights the SVM comes to {control[0].said} % at {low} and {control[-1].said} % at {high}."
    return text


def _table(probed: Probed, configuration: Mapping[str, Any]) -> str:
    control = [CONTROL] if configuration["control"] else []
    heads = ["SVM, random weights", "softmax, random weights"] if control else []
    cells: list[tuple[str, ...]] = [("mean per-class accuracy in %", "features", "pooled to", "SVM", "softmax", *heads)]
    for layer in configuration["layers"]:
        keys = [(network, layer["name"], kind) for network in (TRAINED, *control) for kind in classifiers.KINDS]
        said = [probed.accuracies[key].said for key in keys]
        cells.append((layer["name"], f"{layer['features']:,}", layer["pooling"] or "-", *said))
    paper: list[tuple[str, ...]] = [("the paper", "SVM, Caltech-101", "SVM, Caltech-256", "softmax, Caltech-101", "softmax, Caltech-256")]
    for layer, (first, second) in PAPER["svm"].items():
        others = [f"{value:.1f}" for value in PAPER["softmax"].get(layer, ())] or ["-", "-"]
        paper.append((f"layer {layer}", f"{first:.1f}", f"{second:.1f}", *others))
    return "\n".join([*report.columns(cells), "", *report.columns(paper)])
