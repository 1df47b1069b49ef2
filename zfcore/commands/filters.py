"""`zfcore filters`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from zfcore.commands.arguments import add_computing, add_preprocessing, names, path, whole
from zfcore.commands.base import MODEL_HELP, command, ended, subject_of
from zfcore.rules import RULES

if TYPE_CHECKING:
    from zfcore.experiments.examined import Looking


def add(commands: argparse._SubParsersAction) -> None:
    """The command and its options."""
    made = command(
        commands,
        "filters",
        run,
        "the first layer's filters as pictures and in numbers, deeper ones as grey planes (figure 6)",
        "Which filters are dead, which dominate, and how their energy is spread over the frequencies. With --images also which maps\n"
        "no image excites, and whether projections of the second layer show the first layer's sampling (aliasing). Writes pictures\n"
        "(png) on one scale and on a scale for each filter, plots (png, svg), the measures (npz) and the record (json) to --out.",
        "zfcore filters googlenet.onnx --preset caffe --images photos/ --out filters",
    )
    made.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    made.add_argument("--layers", type=names, metavar="L,L", help="deeper convolutions to show, or none (default: the second)")
    made.add_argument("--planes", type=whole(1), default=32, metavar="N", help="of these N filters at most, N planes of each (default: 32)")
    add_looking(made)
    made.add_argument("--second", metavar="L", help="layer of the projections (default: the second convolution's rectifier)")
    add_preprocessing(made)
    add_computing(made)
    made.add_argument("--out", type=path, required=True, metavar="DIR", help="folder for the results")


def add_looking(made: argparse.ArgumentParser) -> None:
    """How images are looked at."""
    group = made.add_argument_group(
        "images", "Streamed: any number will do. Ctrl-C keeps what was found; the same command goes on from there."
    )
    group.add_argument("--images", type=path, metavar="DIR", help='a folder of images, data as `zfcore data` takes it, or "scenes"')
    group.add_argument("--limit", type=whole(1), metavar="N", help="at most N of them, evenly spaced (default: all)")
    group.add_argument("--maps", type=whole(1), default=16, metavar="N", help="maps of the second layer, drawn from --seed (default: 16)")
    group.add_argument("--top", type=whole(1), default=9, metavar="K", help="strongest activations of each (default: 9)")
    group.add_argument("--seed", type=whole(0), default=0, metavar="S", help="of --maps (default: 0)")
    group.add_argument("--rule", choices=RULES, default="deconvnet", help="what a ReLU does to a signal coming down (default: deconvnet)")
    group.add_argument("--batch", type=whole(1), default=16, metavar="N", help="images computed at a time (default: 16)")
    group.add_argument("--restart", action="store_true", help="begin anew, whatever an earlier search left in --out")


def looking_of(arguments: argparse.Namespace) -> Looking:
    """The same, as experiments take it."""
    from zfcore.experiments.examined import Looking

    return Looking(**{name: getattr(arguments, name) for name in ("maps", "top", "seed", "rule", "batch", "limit", "restart")})


def run(arguments: argparse.Namespace) -> None:
    """What it does."""
    from zfcore.experiments import filters

    ended(
        filters.run(
            subject_of(arguments),
            arguments.out,
            layers=arguments.layers,
            planes=arguments.planes,
            images=arguments.images,
            second=arguments.second,
            looking=looking_of(arguments),
        )
    )
