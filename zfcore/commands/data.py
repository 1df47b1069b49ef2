"""`zfcore data`."""

from __future__ import annotations

import argparse

from zfcore.commands.arguments import path, whole
from zfcore.commands.base import command, printed


def add(commands: argparse._SubParsersAction) -> None:
    """The command and its options."""
    made = command(
        commands,
        "data",
        run,
        "what a set of labelled images holds",
        "A folder of class folders (or with train/, val/ and test/ of them), MNIST's files (IDX, plain or gzip), CIFAR-10's or\n"
        'CIFAR-100\'s binary files, or "scenes", the built-in pictures ("scenes:12000" for so many; a folder of that name is\n'
        "./scenes); which it is, is seen by looking. Reads every image once: says parts, classes, counts, sizes, damaged files and\n"
        "images that train and test share. With --out a contact sheet (png) and the record (json). Nothing is written into the data.",
        "zfcore data photos/ --out contact",
    )
    made.add_argument("data", metavar="PATH", help='a folder, a file of a set, or "scenes"')
    made.add_argument("--out", type=path, metavar="DIR", help="folder for a contact sheet and the record")
    made.add_argument("--json", action="store_true", help="print JSON instead")
    made.add_argument("--seed", type=whole(0), default=0, metavar="S", help="of the sheet, and of scenes: `zfcore train` takes those of 0")


def run(arguments: argparse.Namespace) -> None:
    """What it does."""
    import json

    from zfcore.experiments import data

    survey = data.run(arguments.data, arguments.out, arguments.seed)
    printed(json.dumps(data.facts(survey), indent=1) if arguments.json else data.table(survey))
