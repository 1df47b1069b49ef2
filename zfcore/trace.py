"""What a forward pass leaves behind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np
import zfkernels

from zfcore.errors import ZfcoreError
from zfcore.names import nearest
from zfcore.rules import Rule


@dataclass(frozen=True)
class Trace:
    """What a forward pass left behind: the values that were asked for, and what the way down from them needs.

    Parameters
    ----------
    values : dict of str to array
        Output of every layer that was kept, (N, C, H, W) or (N, F), where the network computes; ``trace[name]`` is NumPy's.
    saved : dict of str to object
        What each layer's way down looks at: a pooling's switches, a rectifier's output, a filter's input. No array is copied for it.
    recorded : frozenset of str
        The layers from which a signal can be brought down: those that were kept, if recording was on.
    rule : Rule, optional
        The one rule that recording was for; None: every rule, and gradients.
    backend : str
        The one that computed the values, and has them.
    """

    values: Mapping[str, np.ndarray]
    saved: dict[str, Any] = field(repr=False)
    recorded: frozenset[str] = field(repr=False)
    rule: Rule | None = field(default=None, repr=False)
    backend: str = field(default="cpu", repr=False)

    @property
    def kernels(self) -> ModuleType:
        """The backend's functions."""
        return zfkernels.get(self.backend)

    def __getitem__(self, layer: str) -> np.ndarray:
        if layer not in self.values:
            raise KeyError(f"the trace has no {layer!r}; forward it with keep=[{layer!r}]{nearest(layer, self.values)}")
        return self.kernels.to_numpy(self.values[layer])

    def fetch(self) -> Callable[[], dict[str, np.ndarray]]:
        """Begin to bring all values to the host; to be called for them. Meanwhile a device can compute the next batch."""
        coming = {name: self.kernels.fetch(value) for name, value in self.values.items()}
        return lambda: {name: arrived() for name, arrived in coming.items()}

    def start(self, layer: str, rule: Rule | None, backend: str) -> np.ndarray:
        """The value of a layer from which a signal is to come down by a rule, on a backend; without a rule, gradients of parameters.

        Raises
        ------
        ZfcoreError
            If the trace did not record the layer, recorded it for another rule, or is not where the backend computes.
        """
        if self.backend != backend and zfkernels.DEVICES & {self.backend, backend}:
            raise ZfcoreError(f"the trace was computed on {self.backend}, the network is on {backend} now; forward the images again")
        if layer not in self.recorded:
            raise ZfcoreError(f"the trace did not record {layer!r}; forward it with keep=[{layer!r}] and record=True")
        if self.rule is not None and (rule is None or not rule.looks_at_the_same(self.rule)):
            asked = "gradients" if rule is None else f"{rule}"
            raise ZfcoreError(f"the trace was recorded for {self.rule}, not for {asked}; forward it with record=True")
        return self.values[layer]
