"""Whether a saliency map is about what the network has learnt: what is left of it when weights are random (Adebayo et al. 2018)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np

from zfcore.errors import ZfcoreError
from zfcore.experiments.saliency_maps import METHODS, Maps, saliency_maps
from zfcore.network import Network
from zfcore.stages import FILTERS


@dataclass(frozen=True, eq=False)
class Check:
    """How alike maps with random weights are to the original ones.

    Parameters
    ----------
    order : tuple of str
        The layers with weights that the unit depends on, from the top down.
    depths : tuple of int
        How many of them are random at each point; where they are made so one at a time, which of them, counted from 1.
    absolute, signed : float64 array (draws, points, methods)
        Spearman's rank correlation of the maps with the original ones: of their absolute values, and with their signs. Methods are in
        the order of `METHODS`. NaN where a map is the same everywhere or not finite.
    shown : tuple of Maps
        The maps of the first draw at each point.
    """

    order: tuple[str, ...]
    depths: tuple[int, ...]
    absolute: np.ndarray
    signed: np.ndarray
    shown: tuple[Maps, ...]

    @property
    def layers(self) -> tuple[str, ...]:
        """The layer that each point came to."""
        return tuple(self.order[depth - 1] for depth in self.depths)


def top_down(net: Network, layer: str) -> tuple[str, ...]:
    """The layers with weights that a layer depends on, itself among them, from the top down.

    Examples
    --------
    >>> from zfcore.zoo import build
    >>> top_down(build("zfnet-small"), "relu3")
    ('conv3', 'conv2', 'conv1')
    """
    used = net.ancestors([layer])
    return tuple(name for name in reversed(net.layers) if name in used and isinstance(net.layers[name], FILTERS))


def weighted(net: Network, layer: str) -> tuple[str, ...]:
    """As `top_down`; ZfcoreError if there is none."""
    order = top_down(net, layer)
    if not order:
        raise ZfcoreError(f"layer {layer!r}: no layer with weights lies at or below it, so that there is nothing to randomise")
    return order


def depths_of(count: int, points: int) -> tuple[int, ...]:
    """At most about `points` depths from 1 to `count`, evenly: among them 1, all but the lowest layer, and all.

    Examples
    --------
    >>> depths_of(4, 9), depths_of(58, 4)
    ((1, 2, 3, 4), (1, 20, 39, 57, 58))
    """
    even = np.linspace(1, count, min(points, count)).round().astype(int).tolist()
    return tuple(sorted({1, *even, max(1, count - 1), count}))


def randomised(net: Network, layers: Collection[str], seed: Sequence[int]) -> Network:
    """A copy of a network whose layers of these names have random weights; the network itself is left as it is, arrays are shared.

    Weights and biases are drawn from a normal distribution of mean 0 and the standard deviation of the layer's own; what is drawn for a
    layer hangs on the seed and its place in the network alone, not on what else is random. Normalisations stay as they are.

    Parameters
    ----------
    net : Network
    layers : names
    seed : sequence of int
    """
    made = copy.copy(net)
    made.layers = dict(net.layers)
    for place, name in enumerate(net.layers):
        if name in layers:
            made.layers[name] = layer = copy.copy(net.layers[name])
            rng = np.random.default_rng([*seed, place])
            for field in layer.trainable:
                array = getattr(layer, field)
                if array is not None:
                    array = net.to_numpy(array)
                    drawn = rng.standard_normal(array.shape, np.float32) * np.float32(array.std(dtype=np.float64))
                    setattr(layer, field, net.kernels.asarray(drawn.astype(array.dtype, copy=False)))
    return made


def ranks(values: np.ndarray) -> np.ndarray | None:
    """Ranks of all values, equal ones sharing their mean rank, centred and of norm 1; None if all are equal or one is not finite."""
    from scipy.stats import rankdata

    if not np.isfinite(values).all():
        return None
    found = rankdata(values.ravel())
    found -= found.mean()
    norm = float(np.linalg.norm(found))
    return found / norm if norm else None


def rank_correlation(one: np.ndarray | None, other: np.ndarray | None) -> float:
    """Spearman's rank correlation of two arrays from their `ranks`; NaN if there are none.

    Examples
    --------
    >>> x = np.array([1.0, 2.0, 5.0, 4.0])
    >>> round(rank_correlation(ranks(x), ranks(-(x**3))), 6)
    -1.0
    """
    return np.nan if one is None or other is None else float(one @ other)


def randomisation_check(
    net: Network,
    x: np.ndarray,
    layer: str,
    unit: Sequence[int],
    *,
    draws: int = 5,
    points: int = 10,
    independent: bool = False,
    seed: int = 0,
    done: Callable[[], object] = lambda: None,
) -> Check:
    """Make weights random, layer by layer from the top down, and compare every map with the original one.

    Adebayo et al. (2018, section 3): a map that stays as it was cannot explain what the network has learnt.

    Parameters
    ----------
    net, x, layer, unit
        As for `saliency_maps`.
    draws : int
        How many times weights are drawn.
    points : int
        At most about so many depths are measured, see `depths_of`; what is random at one does not hang on which others are measured.
    independent : bool
        One layer at a time, all others as they were, instead of it and all above.
    seed : int
        Of the draws.
    done : callable
        Called after every point of every draw.

    Raises
    ------
    ZfcoreError
        If the unit depends on no weights, or there is no such unit.
    """
    order = weighted(net, layer)
    depths = depths_of(len(order), points)
    measures: tuple[Callable[[np.ndarray], np.ndarray], ...] = (np.abs, np.asarray)
    original = saliency_maps(net, x, layer, unit)
    own = {method: [ranks(measure(original.maps[method])) for measure in measures] for method in METHODS}
    found = np.empty((2, draws, len(depths), len(METHODS)))
    shown = []
    for draw in range(draws):
        for point, depth in enumerate(depths):
            chosen = order[depth - 1 : depth] if independent else order[:depth]
            maps = saliency_maps(randomised(net, chosen, (seed, draw)), x, layer, unit)
            for m, method in enumerate(METHODS):
                for k, measure in enumerate(measures):
                    found[k, draw, point, m] = rank_correlation(own[method][k], ranks(measure(maps.maps[method])))
            if draw == 0:
                shown.append(maps)
            done()
    return Check(order, depths, found[0], found[1], tuple(shown))


def summary(correlations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation over draws (axis 0), of those that are defined; NaN where none is, and of one draw a deviation of 0."""
    defined = np.isfinite(correlations)
    count = defined.sum(axis=0)
    total = np.where(defined, correlations, 0).sum(axis=0)
    mean = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    squares = np.where(defined, (correlations - mean) ** 2, 0).sum(axis=0)
    return mean, np.where(count > 0, np.sqrt(squares / np.maximum(count - 1, 1)), np.nan)
