"""How features evolve, in numbers: what a layer's maps respond to at each epoch, how much that changes, and when it comes to rest."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zfcore.projection import framed
from zfcore.window import Window, whole

SMALL = 0.1
"""A change below it is taken for none: a cosine above 0.9. The paper gives no number; this one is a choice, and echoed."""
IN_PLACE, AS_SHOWN = "in_place", "as_shown"
MEANINGS = {
    IN_PLACE: "each projection where it lies in the input: large, too, where the image or the place is another one",
    AS_SHOWN: "windows laid over each other, as the picture shows them: the same pattern elsewhere is no change",
}


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


# ---- as text


def table(epochs: Sequence[int], layers: Mapping[str, Convergence]) -> str:
    """The numbers, for people."""
    width = max(len("layer"), *map(len, layers))
    steps = "".join(f"{f'{a}>{b}':>8}" for a, b in itertools.pairwise(epochs))
    lines = []
    for what, meaning in MEANINGS.items():
        lines += [f"Change of the projection {what.replace('_', ' ')}, 1 - cosine, mean over maps", f"({meaning})"]
        lines += [f"{'layer':{width}}{'maps':>6}{steps}{'settled':>10}{'median of maps':>17}"]
        for layer, numbers in layers.items():
            change = numbers.changes[what]
            means = "".join(f"{_number(mean):>8}" for mean in change.mean)
            ends = f"{epoch_text(change.settled):>10}{epoch_text(_over(np.median, change.settled_maps)):>17}"
            lines += [f"{layer:{width}}{numbers.alive:>6}{means}{ends}"]
        lines += [f"settled: the first epoch from which on every later change is below {SMALL:g}", ""]
    lines += ["Strongest image: the epoch from which on it stays the same, and the share of maps whose last column has a new one"]
    lines += [f"{'layer':{width}}{'maps':>6}{'mean':>8}{'median':>8}{'changing':>10}"]
    for layer, numbers in layers.items():
        mean, median = (_over(statistic, numbers.resting) for statistic in (np.mean, np.median))
        lines += [f"{layer:{width}}{numbers.alive:>6}{epoch_text(mean):>8}{epoch_text(median):>8}{_share(numbers.still_changing):>10}"]
    return "\n".join([*lines, "maps: those that live in the last column"])


def _number(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.3f}"


def _share(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.0%}"


def epoch_text(value: float) -> str:
    return "not" if np.isinf(value) else "-" if np.isnan(value) else f"{value:.3g}"
