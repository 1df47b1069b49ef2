"""Which preprocessing a network gets: a preset, the network's own or an assumption, changed one by one; and which of these it was."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from zfcore.data.preprocessing import PRESETS, Preprocessing
from zfcore.errors import ZfcoreError

if TYPE_CHECKING:
    from zfcore.network import Network


@dataclass(frozen=True)
class Choice:
    """A preprocessing that fits a network, and where it came from: "preset caffe", "the network's own", "assumed: ..."."""

    preprocessing: Preprocessing
    origin: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**self.preprocessing.to_dict(), "origin": self.origin, "summary": self.preprocessing.describe()}


def choose(net: Network, preset: str | None = None, **changes: Any) -> Choice:
    """The preprocessing for a network.

    Parameters
    ----------
    net : Network
        Its own preprocessing is the default; where it has none, what is usual for its number of channels is assumed, and said.
    preset : str, optional
        A name of `PRESETS`, instead.
    **changes
        Fields of `Preprocessing` that replace the preset's: channels, size, crop, mean, scale; None changes nothing. A mean and a
        scale that stay belong to their colours: they are turned round where `channels` turns RGB into BGR or back. A new size is
        cropped to the network's input. Where the network knows nothing and changes alone describe
        pixel values, they stand on "raw".

    Raises
    ------
    ZfcoreError
        If there is no such preset, or the fields do not fit each other or the network.
    """
    changes = {name: value for name, value in changes.items() if value is not None}
    base, origin = _base(net, preset, bool({"channels", "mean", "scale"} & set(changes)))
    if changes:
        origin += f", {', '.join(changes)} changed"
    # By itself first, so that a mistake is not blamed on what the preset brings along.
    asked = Preprocessing(**{name: changes[name] for name in ("channels", "size", "crop") if name in changes}).for_input(net.input_shape)
    if "size" in changes:
        changes["crop"] = asked.crop
    if "mean" in changes:
        base = replace(base, mean=np.zeros(1))
    if "scale" in changes:
        base = replace(base, scale=np.ones(1))
    base = base.in_order(changes.pop("channels", base.channels))
    return Choice(replace(base, **changes).for_input(net.input_shape), origin)


def _base(net: Network, preset: str | None, described: bool) -> tuple[Preprocessing, str]:
    if preset is not None:
        if preset not in PRESETS:
            raise ZfcoreError(f"preset: got {preset!r}, needed one of {', '.join(PRESETS)}")
        return PRESETS[preset], f"preset {preset}"
    if net.preprocessing is not None:
        return net.preprocessing, "the network's own"
    if described:
        return PRESETS["raw"], "preset raw"
    name = "torchvision" if net.input_shape[0] == 3 else "unit"
    return PRESETS[name], f"assumed: preset {name}; the model does not say"
