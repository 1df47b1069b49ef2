"""`zfcore transfer`."""

from __future__ import annotations

import argparse

from zfcore.commands.arguments import add_computing, add_preprocessing, path, whole
from zfcore.commands.base import DATA_HELP, MODEL_HELP, command, ended, subject_of


def counts(text: str) -> list[int]:
    """Whole numbers from 1 on, with commas between them."""
    return [whole(1)(part) for part in text.split(",")]


def add_folds(made: argparse.ArgumentParser) -> None:
    """How folds are drawn and features made."""
    made.add_argument("--data", required=True, metavar="PATH", help=DATA_HELP)
    made.add_argument("--part", choices=("test", "validation", "train"), help="of the data (default: test where there is one, else train)")
    made.add_argument("--folds", type=whole(1), default=5, metavar="N", help="draws of training and test images (default: 5, the paper's)")
    made.add_argument("--most-test", type=whole(1), default=50, metavar="N", help="test images a class, at most (default: 50, the paper's)")
    made.add_argument("--pool", type=whole(1), metavar="N", help="pool maps to NxN (default: the largest N with at most 10,000 features)")
    made.add_argument("--pooling", choices=("average", "max"), default="average", help="what pooling takes of each part (default: average)")
    made.add_argument("--seed", type=whole(0), default=0, metavar="N", help="of folds and whatever else is drawn (default: 0)")
    made.add_argument("--batch", type=whole(1), default=32, metavar="N", help="images computed at a time (default: 32)")
    add_preprocessing(made)
    add_computing(made)
    made.add_argument("--out", type=path, required=True, metavar="DIR", help="folder for the results, and for what is kept meanwhile")


def add(commands: argparse._SubParsersAction) -> None:
    """The command and its options."""
    made = command(
        commands,
        "transfer",
        run,
        "what a network's layers are worth on other images, against training from scratch (tables 4 and 5, figure 9)",
        "The layers are frozen and a new softmax is learnt on their features, from so many training images a class; a network is\n"
        "trained from scratch on the same images. Mean per-class accuracy over folds. Writes the curves (png, svg) and the record (json)\n"
        "to --out. Features and every result are kept there as they are done: after Ctrl-C the same command goes on.",
        "zfcore transfer googlenet.onnx --preset caffe --data caltech20/ --shots 10,20,30 --out transfer",
    )
    made.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    made.add_argument("--layer", metavar="L", help="the topmost layer that is frozen (default: the one the network's classifier stands on)")
    made.add_argument("--shots", type=counts, metavar="N,...", help="training images a class (default: 10,20,30; less for small classes)")
    made.add_argument("--scratch", metavar="ARCH", help="architecture to train from scratch, or none (default: its own, else zfnet-64)")
    made.add_argument("--steps", type=whole(1), default=600, metavar="N", help="of each training from scratch (default: 600)")
    add_folds(made)


def run(arguments: argparse.Namespace) -> None:
    """What it does."""
    subject = subject_of(arguments)
    from zfcore.experiments import transfer

    names = ("out", "layer", "shots", "folds", "most_test", "part", "pool", "pooling", "scratch", "steps", "seed", "batch")
    ended(transfer.run(subject, arguments.data, **{name: getattr(arguments, name) for name in names}))
