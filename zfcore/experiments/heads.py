"""Linear classifiers on the features of folds, each kept as it is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zfcore.data.labelled import Labelled
from zfcore.experiments import classifiers
from zfcore.experiments.folds import Fold, mean_per_class_accuracy
from zfcore.experiments.kept import FeaturesOfLayer, Kept, digest


@dataclass(frozen=True, eq=False)
class Heads:
    """What classifiers are learnt on.

    Parameters
    ----------
    images : Labelled
    folds : sequence of Fold
        On the first of them C is chosen.
    kept : Kept
        Where results are looked for first, and kept.
    seed : int
        Of what is held back to choose C, and of the SVM.
    """

    images: Labelled
    folds: Sequence[Fold]
    kept: Kept
    seed: int

    def learnt(self, kind: str, facts: Mapping[str, Any], features: FeaturesOfLayer, number: int, shots: int) -> dict[str, Any]:
        """A classifier learnt on a fold: {"accuracy", "C", "chosen", "converged"}.

        Parameters
        ----------
        kind : str
            Of `classifiers.KINDS`.
        facts : dict
            What the features depend on.
        features : FeaturesOfLayer
        number : int
            Of the fold, from 0.
        shots : int
            Training images a class.
        """
        fold, labels = self.folds[number], self.images.labels
        learnt, first = fold.learnt(shots), self.folds[0].learnt(shots)
        how = {"classifier": kind, **classifiers.CHOICES, "seed": self.seed}
        choice = {"features": facts, **how, "shots": shots, "chosen_on": digest(first)}
        asked = {**choice, "fold": number, "training": digest(learnt), "test": digest(fold.test)}
        result = self.kept.get(asked)
        if result is not None:
            return result
        chosen = self.kept.get(choice)
        if chosen is None:
            C = classifiers.chosen_penalty(kind, features[first], labels[first], self.seed)
            chosen = self.kept.put(choice, {"C": classifiers.WITHOUT_CHOICE if C is None else C, "chosen": C is not None})
        predicted, ended = classifiers.predictions(kind, chosen["C"], features[learnt], labels[learnt], features[fold.test], self.seed)
        return self.kept.put(asked, {"accuracy": mean_per_class_accuracy(predicted, labels[fold.test]), **chosen, "converged": ended})
