"""`zfcore invariance`."""

from __future__ import annotations

import argparse

from zfcore.commands.arguments import add_classes, add_computing, add_preprocessing, listed, path, real, whole
from zfcore.commands.base import IMAGE_HELP, MODEL_HELP, command, ended, subject_of
from zfcore.data.transforms import BORDERS, ORDERS


def add(commands: argparse._SubParsersAction) -> None:
    """The command and its options."""
    made = command(
        commands,
        "invariance",
        run,
        "how far features move when pictures are shifted, scaled, rotated (figure 5)",
        "Transforms each picture as the network is shown it, and follows the distance of its features from those of the untransformed\n"
        "picture, at a low and a high layer, and the probability of its class. Two plots (png and svg: relative distances, and Euclidean\n"
        "ones as in the paper), the arrays (npz) and the record (json) go to --out; a table and what was found are printed.",
        "zfcore invariance googlenet.onnx cat.jpg dog.jpg --preset caffe --class 285 --class 207 --out invariance",
    )
    made.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    made.add_argument("images", nargs="+", metavar="IMAGE", help=f"{IMAGE_HELP}; the paper shows five")
    made.add_argument("--layers", type=listed, metavar="A,B", help="whose features, the lowest first (default: the first and last stage)")
    made.add_argument("--class", dest="followed", action="append", default=[], metavar="C", help="name or number of the class to follow: "
                      "once for all pictures, or once for each (default: its label if known, else the most probable)")  # fmt: skip
    group = made.add_argument_group("transforms", "Of the resized, cropped picture, about its centre.")
    group.add_argument("--shift", type=whole(1), metavar="PX", help="farthest shift, up, down, left and right (default: 60 of 224)")
    group.add_argument("--zoom", type=real, default=1.8, metavar="X", help="largest scale (default: 1.8)")
    group.add_argument("--rotation", type=real, default=350.0, metavar="DEG", help="last angle, counter-clockwise (default: 350)")
    group.add_argument("--steps", type=whole(2), metavar="N", help="amounts of each (default: 25 shifts, 17 scales, 36 rotations)")
    group.add_argument("--border", choices=BORDERS, default="mean", help="what is outside the picture: the mean colour, its border drawn "
                       "out, its mirror image, the picture again (the paper does not say; default: mean)")  # fmt: skip
    group.add_argument("--order", type=int, choices=ORDERS, default=1, help="of the interpolating spline (default: 1, linear)")
    made.add_argument("--batch", type=whole(1), default=16, metavar="N", help="pictures computed at a time (default: 16)")
    add_classes(made)
    add_preprocessing(made)
    add_computing(made)
    made.add_argument("--out", type=path, required=True, metavar="DIR", help="folder for the results")


def run(arguments: argparse.Namespace) -> None:
    """What it does."""
    from zfcore.experiments import invariance

    outcome = invariance.run(
        subject_of(arguments),
        arguments.images,
        out=arguments.out,
        layers=arguments.layers,
        classes=arguments.followed,
        shift=arguments.shift,
        scale=arguments.zoom,
        rotation=arguments.rotation,
        steps=arguments.steps,
        border=arguments.border,
        order=arguments.order,
        batch=arguments.batch,
    )
    ended(outcome)
