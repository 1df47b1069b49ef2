"""`zfcore probe`."""

from __future__ import annotations

import argparse

from zfcore.commands.arguments import listed, whole
from zfcore.commands.base import MODEL_HELP, command, ended, subject_of
from zfcore.commands.transfer import add_folds


def add(commands: argparse._SubParsersAction) -> None:
    """The command and its options."""
    made = command(
        commands,
        "probe",
        run,
        "how much a linear classifier can tell from the features of each layer (table 7)",
        "A linear SVM and a softmax are learnt on the features of every layer, from so many training images a class; mean per-class\n"
        "accuracy over folds. Large maps are pooled. Writes accuracy by layer (png, svg) and the record (json) to --out. Features and\n"
        "every result are kept there as they are done: after Ctrl-C the same command goes on.",
        "zfcore probe googlenet.onnx --preset caffe --data caltech20/ --shots 30 --control --out probe",
    )
    made.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    made.add_argument("--layers", type=listed, metavar="L,...", help="layers, in any order (default: the network's stages)")
    made.add_argument("--shots", type=whole(1), metavar="N", help="training images a class (default: 30, or 3/5 of the smallest class)")
    made.add_argument("--control", action="store_true", help="also the same network with random weights")
    add_folds(made)


def run(arguments: argparse.Namespace) -> None:
    """What it does."""
    subject = subject_of(arguments)
    from zfcore.experiments import probe

    names = ("out", "layers", "shots", "folds", "most_test", "part", "pool", "pooling", "control", "seed", "batch")
    ended(probe.run(subject, arguments.data, **{name: getattr(arguments, name) for name in names}))
