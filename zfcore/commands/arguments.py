"""The types of arguments, and the groups of options that several commands share."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable
from pathlib import Path

from zfcore.backends import CHOICES
from zfcore.data.preprocessing import PRESETS
from zfcore.rules import COLLISIONS, NORMALISATIONS, RULES

# ---- types


def whole(least: int) -> Callable[[str], int]:
    """A type of whole numbers from `least` on."""
    def convert(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if number < least:
            raise argparse.ArgumentTypeError(f"got {text!r}, needed a whole number, at least {least}")
        return number

    return convert


def whole_numbers(text: str) -> list[int]:
    """Whole numbers with commas between them."""
    return [whole(0)(part) for part in text.split(",")]


def names(text: str) -> list[str]:
    """Names with commas between them; "none" is no name."""
    return [] if text == "none" else text.split(",")


def real(text: str) -> float:
    """A number."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"got {text!r}, needed a number") from None


def listed(text: str) -> list[str]:
    """Texts with commas between them."""
    return text.split(",")


def minutes(text: str) -> float:
    """Minutes, more than 0."""
    try:
        count = float(text)
    except ValueError:
        count = 0.0
    if not 0 < count < float("inf"):
        raise argparse.ArgumentTypeError(f"got {text!r}, needed minutes, more than 0")
    return count


def path(text: str) -> Path:
    """A path that is not empty."""
    if not text:
        raise argparse.ArgumentTypeError("got an empty path; for the current folder give .")
    return Path(text)


def reals(text: str) -> list[float]:
    """Numbers with commas between them."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"got {text!r}, needed numbers with commas between them") from None


def size(text: str) -> int | tuple[int, int]:
    """N, or HxW as (H, W)."""
    parts = [whole(1)(part) for part in text.lower().split("x")]
    if len(parts) > 2:
        raise argparse.ArgumentTypeError(f"got {text!r}, needed N or HxW")
    return parts[0] if len(parts) == 1 else (parts[0], parts[1])


# ---- groups


def add_rule(made: argparse.ArgumentParser) -> None:
    """How a signal comes down."""
    group = made.add_argument_group("the way down")
    group.add_argument("--rule", choices=RULES, default="deconvnet", help="what a ReLU does to the signal (default: deconvnet)")
    group.add_argument("--normalisation", choices=NORMALISATIONS, help="what contrast normalisation does (default: the rule's own)")
    group.add_argument("--collisions", choices=COLLISIONS, help="where overlapping pooling windows name one pixel (default: add)")


def add_preprocessing(made: argparse.ArgumentParser) -> None:
    """How an image becomes the input."""
    group = made.add_argument_group(
        "preprocessing",
        "x = (pixels - mean) * scale, pixels from 0 to 255. Without options: the model's own; if it has none, torchvision's\n"
        "for 3 channels and unit for 1 are assumed, and that is said. Single options change the preset, or the model's own;\n"
        "where there is neither, mean, scale and channels stand on raw.",
    )
    group.add_argument("--preset", choices=PRESETS, help="caffe: BGR minus (104,117,123); torchvision: RGB, ImageNet's mean and deviation; "
                       "unit: RGB from 0 to 1; raw: RGB from 0 to 255")  # fmt: skip
    group.add_argument("--mean", type=reals, metavar="M|A,B,C", help="one number or one per channel, in the network's channel order")
    group.add_argument("--scale", type=reals, metavar="S|A,B,C", help="likewise")
    group.add_argument("--channels", choices=("rgb", "bgr", "grey"), help="the network's channel order")
    group.add_argument("--size", type=size, metavar="N|HxW", help="resize first: the shorter side to N, or to exactly HxW")
    group.add_argument("--crop", type=size, metavar="N|HxW", help="then keep the centre: NxN or HxW")


def add_classes(made: argparse.ArgumentParser) -> None:
    """What the network's classes are called."""
    text = "names of the network's classes, one on each line (default: its own)"
    made.add_argument("--classes", dest="class_names", type=path, metavar="FILE", help=text)


def add_computing(made: argparse.ArgumentParser) -> None:
    """What computes."""
    text = "cpu; cuda, an NVIDIA device; auto: cuda where there is one; reference: the plain definitions, slow (default: cpu)"
    made.add_argument("--backend", choices=CHOICES, default="cpu", help=text)
    made.add_argument("--threads", type=whole(1), metavar="N", help="threads of the cpu that compute (default: one per core)")


def add_recipe(made: argparse.ArgumentParser) -> None:
    """An option for every field of the recipe."""
    from zfcore.training.recipe import RECIPES, STATED, Recipe

    group = made.add_argument_group("the recipe", "What is not given is the named recipe's; every choice is said when a run begins.")
    group.add_argument("--recipe", choices=RECIPES, help="paper, or small: what suits small networks (default: by the network's input)")
    for f in dataclasses.fields(Recipe):
        known = f.metadata
        default = "stated" if known["source"] == STATED else "open"
        text = f"{known['text']} (paper: {default}, {f.default}; small: {getattr(RECIPES['small'], f.name)})".replace("%", "%%")
        flag = f"--{f.name.replace('_', '-')}"
        if isinstance(f.default, bool):
            group.add_argument(flag, action=argparse.BooleanOptionalAction, help=text)
        elif known["options"]:
            group.add_argument(flag, choices=known["options"], help=text)
        else:
            kind = whole(int(known["least"])) if isinstance(f.default, int) else real
            group.add_argument(flag, type=kind, metavar="N" if isinstance(f.default, int) else "X", help=text)
