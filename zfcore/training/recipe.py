"""The choices of a training run: each has a name, a default, and a word on whether the paper states it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any

from zfcore.data.crops import CROPS
from zfcore.errors import ZfcoreError
from zfcore.zoo import INITIALISERS

INITS = tuple(INITIALISERS)
SCHEDULES = ("plateau", "linear", "constant")
STATED, OPEN = "stated by the paper", "open in the paper"


def _choice(default: Any, source: str, text: str, least: float | None = None, options: tuple[str, ...] = ()) -> Any:
    return field(default=default, metadata={"source": source, "text": text, "least": least, "options": options})


@dataclass(frozen=True)
class Recipe:
    """How a network is trained. The defaults are the paper's (section 3), and AlexNet's or the simplest where it is silent.

    `zfcore train --help` says what each field is; ``dataclasses.fields(Recipe)`` hold the same texts, and whether the paper states them.

    Raises
    ------
    ZfcoreError
        If a number is below what it can be, or a name is none of those that are known.
    """

    epochs: int = _choice(70, STATED, "passes over the training images", 1)
    batch: int = _choice(128, STATED, "images a step; images that fill no batch wait for the next epoch's order", 1)
    rate: float = _choice(1e-2, STATED, "learning rate at the start", 0)
    schedule: str = _choice("plateau", STATED, "how the rate falls: where validation stands still, linearly to 0, never", options=SCHEDULES)
    factor: float = _choice(0.1, OPEN, "by which the rate is multiplied on a plateau", 0)
    patience: int = _choice(3, OPEN, "epochs without a new lowest validation error that make a plateau", 1)
    momentum: float = _choice(0.9, STATED, "v = momentum v + gradient; w = w - rate v", 0)
    weight_decay: float = _choice(5e-4, OPEN, "L2 penalty on weights, not biases: AlexNet's", 0)
    dropout: float = _choice(0.5, STATED, "share of the fully connected layers' outputs that is zeroed", 0)
    init: str = _choice("paper", STATED, "weights: N(0, 0.01^2), after He et al. 2015, the first layer so and the rest so", options=INITS)
    filter_limit: float = _choice(0.1, STATED, "RMS to which a convolution filter that exceeds it is scaled back", 0)
    limit_every: int = _choice(1, OPEN, "steps from one such scaling to the next", 1)
    frame: int = _choice(0, STATED, "side of the frame that crops are cut from; 0: the input's, wider by the paper's 256 to 224", 0)
    crops: str = _choice("ten", STATED, "where in the frame: a corner or the centre, as in the ten; anywhere; the centre", options=CROPS)
    flip: bool = _choice(True, STATED, "mirror half of the images, drawn anew every time")
    pixel_scale: float = _choice(1.0, STATED, "by which pixels, less their mean image, are divided: the paper does not", 0)
    validation: float = _choice(0.1, OPEN, "share of the training images held out, where the data bring no validation part", 0)
    seed: int = _choice(0, OPEN, "of weights, split, order, crops and dropout", 0)

    def __post_init__(self) -> None:
        for f in fields(self):
            value, least, options = getattr(self, f.name), f.metadata["least"], f.metadata["options"]
            if options and value not in options:
                raise ZfcoreError(f"{f.name}: got {value!r}, needed one of {', '.join(options)}")
            if least is not None and not least <= value < float("inf") and not (f.name == "filter_limit" and value == float("inf")):
                raise ZfcoreError(f"{f.name}: got {value}, needed at least {least}")  # a NaN comes by here, too
        for name in ("dropout", "validation"):
            if getattr(self, name) >= 1:
                raise ZfcoreError(f"{name}: got {getattr(self, name)}, needed a share below 1")
        if self.pixel_scale == 0:
            raise ZfcoreError("pixel_scale: got 0, needed a number to divide by")

    def describe(self) -> list[str]:
        """A line for every choice, for the echo."""
        return [f"{f.name} {getattr(self, f.name)} ({_origin(f, getattr(self, f.name))})" for f in fields(self)]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def _origin(f: Any, value: Any) -> str:
    if f.metadata["source"] == OPEN:
        return OPEN
    return STATED if value == f.default else f"the paper: {f.default}"


#: By name. The paper's stands still on small networks: 0.01 is too little for weights of few inputs, and their few steps want a
#: higher rate. "small" divides pixels to suit weights drawn after He.
RECIPES = {
    "paper": Recipe(),
    "small": Recipe(
        epochs=30, batch=64, rate=0.03, schedule="linear", weight_decay=3e-3, init="mixed", crops="anywhere", pixel_scale=64.0
    ),
}  # fmt: skip
