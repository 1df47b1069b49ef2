"""What of an image a unit or a class hangs on, by four methods (CS231n, lecture 9): maps of both signs in the network's input space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from zfcore.network import Network

RULES = ("gradient", "guided", "deconvnet")
GRADIENT_X_INPUT = "gradient x input"
METHODS = (*RULES, GRADIENT_X_INPUT)


@dataclass(frozen=True, eq=False)
class Maps:
    """Saliency maps of one unit for one image.

    Parameters
    ----------
    value : float
        The unit's value.
    maps : dict of str to array (C, H, W)
        By method, in the network's input space and type.
    """

    value: float
    maps: Mapping[str, np.ndarray]


def saliency_maps(net: Network, x: np.ndarray, layer: str, unit: Sequence[int]) -> Maps:
    """Maps of a unit by every one of `METHODS`; for a class, of its score before the softmax.

    "gradient" is the derivative of the unit's value by the input (Simonyan et al. 2014), "guided" (Springenberg et al. 2015) and
    "deconvnet" (the paper, section 2.1) differ from it in what passes a ReLU (`zfcore.rules`); "gradient x input" is the gradient
    times the preprocessed input, element by element (Shrikumar et al. 2016): its sum is the value itself where there are neither biases nor
    contrast normalisation.

    Parameters
    ----------
    net : Network
    x : array (C, H, W), float
        One preprocessed image.
    layer : str
    unit : (c, y, x) or (c,)
        The signal that is brought down is 1 there and 0 elsewhere.

    Raises
    ------
    ZfcoreError
        If there is no such layer or unit.

    Examples
    --------
    >>> from zfcore.zoo import build
    >>> found = saliency_maps(build("zfnet-small"), np.ones((3, 64, 64), np.float32), "fc7", (4,))
    >>> list(found.maps), found.maps["guided"].shape
    (['gradient', 'guided', 'deconvnet', 'gradient x input'], (3, 64, 64))
    """
    place = (0, *net.unit(layer, unit))
    trace = net.forward(x[None], keep=[layer])
    signal = np.zeros_like(trace[layer])
    signal[place] = 1
    maps = {rule: net.pullback(trace, layer, signal, rule)[0] for rule in RULES}
    return Maps(float(trace[layer][place]), maps | {GRADIENT_X_INPUT: maps["gradient"] * x})
