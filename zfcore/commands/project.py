"""`zfcore project`."""

from __future__ import annotations

import argparse

from zfcore.commands.arguments import add_computing, add_preprocessing, add_rule, path, whole, whole_numbers
from zfcore.commands.base import MODEL_HELP, command, conclude, rule_of, subject_of


def add(commands: argparse._SubParsersAction) -> None:
    """The command and its options."""
    made = command(
        commands,
        "project",
        run,
        "units of a layer, for one image, projected to pixels",
        "Writes a picture (png: the image with the unit's receptive field, the patch, the projection), the arrays (npz) and the\n"
        "record (json) to --out.",
        "zfcore project googlenet.onnx cat.jpg --preset caffe --layer inception_4e/output --strongest 3 --out cat",
    )
    made.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    made.add_argument("image", type=path, metavar="IMAGE", help="an image file")
    made.add_argument("--layer", required=True, metavar="L", help="a layer's name (see `zfcore info`)")
    units = made.add_mutually_exclusive_group()
    units.add_argument("--unit", type=whole_numbers, metavar="C,Y,X", help="a unit: map, row, column; C alone in a layer without pixels")
    units.add_argument("--strongest", type=whole(1), default=1, metavar="K", help="the K strongest units, one per map (default: 1)")
    add_rule(made)
    add_preprocessing(made)
    add_computing(made)
    made.add_argument("--out", type=path, required=True, metavar="DIR", help="folder for the results")


def run(arguments: argparse.Namespace) -> None:
    """What it does."""
    from zfcore.experiments import project

    subject = subject_of(arguments)
    paths = project.run(
        subject.net,
        arguments.image,
        arguments.layer,
        arguments.out,
        unit=arguments.unit,
        strongest=arguments.strongest,
        rule=rule_of(arguments),
        choice=subject.choice,
        model=subject.path,
    )
    conclude(paths[:1])
