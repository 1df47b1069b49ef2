"""The choices of a training run, with the paper's values where it states them."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from zfcore.errors import ZfcoreError


@dataclass(frozen=True)
class Recipe:
    """How a network is trained; the defaults are the paper's (section 3) where it says.

    Parameters
    ----------
    epochs : int
        Passes over the training images; the paper made 70.
    batch : int
        Images a step; stated: 128.
    rate : float
        Learning rate at the start; stated: 1e-2. It falls linearly to 0 (open: the paper lowered it by hand).
    momentum : float
        Stated: 0.9.
    weight_decay : float
        L2 penalty on weights, not biases (open; AlexNet's 5e-4).
    filter_limit : float
        Every convolution filter whose RMS exceeds this is scaled back to it; stated: 0.1. After every step (open: how often).
    flip : bool
        Mirror every image with probability 1/2, as the paper's ten crops hold both.
    seed : int
        Of order, mirroring and dropout.

    Raises
    ------
    ZfcoreError
        If a number is below what it can be.
    """

    epochs: int = 70
    batch: int = 128
    rate: float = 1e-2
    momentum: float = 0.9
    weight_decay: float = 5e-4
    filter_limit: float = 0.1
    flip: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            least = 1 if name in ("epochs", "batch") else 0
            if not value >= least:  # so that a NaN is refused, too
                raise ZfcoreError(f"{name}: got {value}, needed at least {least}")

    def describe(self) -> str:
        """All choices on one line, for the echo."""
        return ", ".join(f"{name} {value}" for name, value in asdict(self).items())
