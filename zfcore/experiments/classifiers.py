"""Linear classifiers on features: the new softmax of the paper's tables 4 and 5, and the linear SVM beside it in table 7."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

KINDS = {"svm": "linear SVM, one class against the rest (LinearSVC)", "softmax": "softmax (LogisticRegression, lbfgs)"}
PENALTIES = (0.1, 1.0, 10.0, 100.0, 1000.0)
"""The values of C that are tried."""
WITHOUT_CHOICE = 10.0
"""C where a class has one training image, and none can be held back to choose it."""
PARTS = 3
"""Into which training images are divided to choose C: each is held back once."""
MOST_ITERATIONS = 2000
CHOICES = {
    "scaling": "each feature less its mean, by its deviation, over the training images; then by the square root of the number of features",
    "C": f"of {', '.join(f'{c:g}' for c in PENALTIES)} the most accurate in {PARTS}-fold cross-validation among the first fold's training "
    "images; of equals the middle one; the same for all folds",
}
"""What the paper leaves open."""


def scaled(training: np.ndarray, others: Sequence[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
    """Training features (N, F) and others (M, F) standardised by the training ones, divided by sqrt(F); float64, perhaps fewer columns.

    With more features than training images, coordinates in the space that the training images span take their place: a linear
    classifier with an L2 penalty has no weight outside of it, so that it is the same one, in a fraction of the time.
    """
    x = training.astype(np.float64)
    mean, deviation = x.mean(axis=0), x.std(axis=0)
    deviation[deviation == 0] = 1
    deviation *= math.sqrt(x.shape[1])
    x = (x - mean) / deviation
    if x.shape[1] <= len(x):
        return x, [(other - mean) / deviation for other in others]
    basis, triangle = np.linalg.qr(x.T)
    return triangle.T, [((other - mean) / deviation) @ basis for other in others]


def fitted(kind: str, C: float, x: np.ndarray, labels: np.ndarray, seed: int = 0) -> tuple[Any, bool]:
    """A classifier learnt from scaled features, and whether it came to an end."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import LinearSVC

    if kind == "svm":
        model = LinearSVC(C=C, random_state=seed % 2**32, dual="auto", max_iter=10 * MOST_ITERATIONS)
    else:
        model = LogisticRegression(C=C, max_iter=MOST_ITERATIONS)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        model.fit(x, labels)
    return model, not any(issubclass(warning.category, ConvergenceWarning) for warning in said)


def chosen_penalty(kind: str, training: np.ndarray, labels: np.ndarray, seed: int = 0) -> float | None:
    """The C of `PENALTIES` that is most accurate where a third of each class is held back in turn; None if a class has one image.

    Of equals the middle one is taken, the lower of two: at the ends of what does equally well a classifier does worse elsewhere.

    Parameters
    ----------
    kind : str
        Of `KINDS`.
    training : array (N, F)
    labels : int array (N,)
        As many of every class.
    seed : int
        Of the parts.
    """
    rng, part = np.random.default_rng(seed), np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        own = rng.permutation(np.flatnonzero(labels == label))
        if len(own) == 1:
            return None
        part[own] = np.arange(len(own)) % PARTS
    right = np.zeros(len(PENALTIES), np.int64)
    for held in (part == number for number in np.unique(part)):
        x, (y,) = scaled(training[~held], [training[held]])
        right += [int((fitted(kind, C, x, labels[~held], seed)[0].predict(y) == labels[held]).sum()) for C in PENALTIES]
    best = np.flatnonzero(right == right.max())
    return PENALTIES[int(best[(len(best) - 1) // 2])]


def predictions(kind: str, C: float, training: np.ndarray, labels: np.ndarray, test: np.ndarray, seed: int = 0) -> tuple[np.ndarray, bool]:
    """What a classifier takes the test images for, (M,), and whether its learning came to an end; arguments as for `chosen_penalty`."""
    x, (y,) = scaled(training, [test])
    model, ended = fitted(kind, C, x, labels, seed)
    return model.predict(y), ended
