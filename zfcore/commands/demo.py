"""`zfcore demo`."""

from __future__ import annotations

import argparse
from pathlib import Path

from zfcore.commands.arguments import add_computing, path, whole
from zfcore.commands.base import command, use_threads


def add(commands: argparse._SubParsersAction) -> None:
    """The command and its options."""
    made = command(
        commands,
        "demo",
        run,
        "train a small network on built-in pictures and show its features",
        "Needs no file and no internet: the data set is drawn by program. Writes figure 2 for every layer, the first filters\n"
        "and an index page; takes under 3 minutes on 2 cores.",
        "zfcore demo --out demo",
    )
    made.add_argument("--out", type=path, default=Path("demo"), metavar="DIR", help="folder for the results (default: demo)")
    made.add_argument("--seed", type=whole(0), default=0, metavar="S", help="of data, weights and training (default: 0)")
    add_computing(made)


def run(arguments: argparse.Namespace) -> None:
    """What it does."""
    from zfcore.experiments import demo

    use_threads(arguments)
    demo.run(arguments.out, arguments.seed)
