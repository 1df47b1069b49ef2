"""Who is near whom: images in the plane by t-SNE, on a grid without overlaps, and how often neighbours are of one class."""

from __future__ import annotations

import math
import warnings

import numpy as np

from zfcore.errors import ZfcoreError

PCA = 50
"""Dimensions that t-SNE begins from, as its authors do."""
FEWEST = 5
"""Images: with fewer there are no neighbourhoods."""
MOST_ON_GRID = 2500
"""Images that an optimal assignment places in seconds: its time grows with the third power."""


def usual_perplexity(count: int) -> float:
    """30, as is usual, or of few images a third of the others: t-SNE looks at three times as many neighbours.

    Examples
    --------
    >>> usual_perplexity(1000), usual_perplexity(31)
    (30.0, 10.0)
    """
    return min(30.0, (count - 1) / 3)


def check_perplexity(perplexity: float, count: int) -> None:
    """ZfcoreError if there are too few images for it, or at all."""
    if count < FEWEST:
        raise ZfcoreError(f"images: got {count}, needed {FEWEST} or more to place beside each other")
    if not 1 <= perplexity <= (count - 1) / 3:
        raise ZfcoreError(f"perplexity: got {perplexity:g}, needed 1 to {(count - 1) / 3:.4g}, a third of the other images")


def components(codes: np.ndarray, seed: int = 0, count: int = PCA) -> np.ndarray:
    """Principal components of codes (N, F): (N, at most `count`) float64, the strongest first.

    Raises
    ------
    ZfcoreError
        If there is one feature, or all codes are alike.
    """
    from sklearn.decomposition import PCA as Components

    if codes.shape[1] < 2:
        raise ZfcoreError("codes: got 1 feature, needed 2 or more; take another layer")
    if not np.ptp(codes, axis=0).any():
        raise ZfcoreError("codes: those of all images are the same; take another layer, or a network that was trained")
    return Components(min(count, *codes.shape), random_state=seed).fit_transform(codes.astype(np.float64))


def plane(points: np.ndarray, perplexity: float, seed: int = 0) -> np.ndarray:
    """Points placed in the plane by t-SNE (van der Maaten & Hinton 2008), beginning from their first two principal components.

    Parameters
    ----------
    points : array (N, F), float
        Principal components of codes.
    perplexity : float
        How many neighbours count, about; 1 to a third of the other images.
    seed : int

    Returns
    -------
    array (N, 2), float64
        Directions and distances from far away mean nothing, neighbourhoods do.

    Raises
    ------
    ZfcoreError
        If perplexity does not fit.
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits  # of sklearn's own needs

    check_perplexity(perplexity, len(points))
    placer = TSNE(2, perplexity=perplexity, init="pca", learning_rate="auto", random_state=seed)
    # Its threads wait for each other in each of 1000 short steps: where others compute too, two take ten times as long as one.
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")  # of sklearn's own changes to come
        return placer.fit_transform(points).astype(np.float64)


def unit_square(places: np.ndarray) -> np.ndarray:
    """Places (N, 2) stretched to 0 to 1 in both directions; 0.5 where all are alike."""
    low, extent = places.min(axis=0), np.ptp(places, axis=0)
    return np.where(extent > 0, (places - low) / np.where(extent > 0, extent, 1), 0.5)


def grid_cells(places: np.ndarray) -> np.ndarray:
    """A cell of a square grid for every image, near its place, no two in one: the sum of squared distances is the least there is.

    Parameters
    ----------
    places : array (N, 2)
        In the plane.

    Returns
    -------
    int64 array (N, 2)
        Row (the second coordinate) and column.

    Examples
    --------
    >>> grid_cells(np.array([[9.0, 9], [0, 0], [0, 9], [9, 0]])).tolist()
    [[1, 1], [0, 0], [1, 0], [0, 1]]
    """
    from scipy.optimize import linear_sum_assignment

    side = math.ceil(math.sqrt(len(places)))
    rows = math.ceil(len(places) / side)
    cells = np.stack(np.divmod(np.arange(rows * side), side), axis=1)
    centres = np.stack([(cells[:, 1] + 0.5) / side, (cells[:, 0] + 0.5) / rows], axis=1)
    costs = ((unit_square(places)[:, None] - centres[None]) ** 2).sum(axis=2)
    _, chosen = linear_sum_assignment(costs)
    return cells[chosen]


def nearest_ones(points: np.ndarray, k: int) -> np.ndarray:
    """(N, k) numbers of the k points nearest to each of (N, F), Euclidean; not itself."""
    from sklearn.neighbors import NearestNeighbors

    return NearestNeighbors(n_neighbors=k, algorithm="brute").fit(points).kneighbors(return_distance=False)


def same_class(nearest: np.ndarray, labels: np.ndarray) -> float:
    """The share of neighbours (N, k) that have their image's class, labels (N,)."""
    return float((labels[nearest] == labels[:, None]).mean())


def same_class_by_chance(labels: np.ndarray) -> float:
    """The same for neighbours drawn at random: the mean share of the other images that have an image's class.

    Examples
    --------
    >>> same_class_by_chance(np.array([0, 0, 1, 1, 1]))
    0.4
    """
    own = np.bincount(labels)[labels] - 1
    return float(own.mean() / (len(labels) - 1))


def neighbours_kept(before: np.ndarray, after: np.ndarray) -> float:
    """The share of neighbours (N, k) that are neighbours (N, k) still."""
    return float(np.mean([np.isin(b, a).mean() for b, a in zip(before, after, strict=True)]))
