"""`zfcore evaluate`."""

from __future__ import annotations

import argparse

from zfcore.commands.arguments import add_computing, add_preprocessing, path, whole
from zfcore.commands.base import changes, command, printed, use_threads


def add(commands: argparse._SubParsersAction) -> None:
    """The command and its options."""
    made = command(
        commands,
        "evaluate",
        run,
        "how often a trained network is wrong, and in what",
        "Top-1 and top-5 error with their 95 % intervals, of the centre crop and averaged over the paper's ten crops, and a line for\n"
        "every class. Several networks are one: the mean of their probabilities. With --out the confusion matrix (png), the worst\n"
        "mistakes as a sheet (png) and the record with every image (json).",
        "zfcore evaluate runs/a runs/b --data photos/ --out evaluation",
    )
    made.add_argument("models", nargs="+", metavar="MODEL", help="the folder of a run (its best checkpoint), a checkpoint, or an ONNX file")
    made.add_argument("--data", required=True, metavar="PATH", help='as `zfcore data` takes it: a folder, a file of a set, or "scenes"')
    made.add_argument("--part", choices=("test", "validation", "train"), help="of the data; of a run its own (default: the first there is)")
    made.add_argument("--epoch", type=whole(1), metavar="N", help="of a run: this epoch's checkpoint instead of the best")
    made.add_argument("--batch", type=whole(1), default=128, metavar="N", help="images computed at a time (default: 128)")
    made.add_argument("--json", action="store_true", help="print JSON instead")
    add_preprocessing(made)
    add_computing(made)
    made.add_argument("--out", type=path, metavar="DIR", help="folder for the pictures and the record")


def run(arguments: argparse.Namespace) -> None:
    """What it does."""
    import json

    from zfcore.experiments import evaluate, evaluation

    use_threads(arguments)
    found = evaluate.run(
        arguments.models,
        arguments.data,
        arguments.part,
        arguments.epoch,
        arguments.out,
        arguments.batch,
        arguments.preset,
        **changes(arguments),
    )
    printed(json.dumps(evaluation.facts(found), indent=1) if arguments.json else evaluation.table(found))
