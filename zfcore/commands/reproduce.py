"""`zfcore reproduce`."""

from __future__ import annotations

import argparse
from pathlib import Path

from zfcore.commands.arguments import add_computing, minutes, path, whole
from zfcore.commands.base import ZOO_HELP, command, printed, use_threads


def add(commands: argparse._SubParsersAction) -> None:
    """The command and its options."""
    made = command(
        commands,
        "reproduce",
        run,
        "every experiment of the paper and of the lecture on one network, and a page that shows them all",
        "Trains a network, runs everything in order, and leaves a folder whose index.html links every picture and table, the paper's\n"
        "numbers beside ours. With the built-in scenes it needs no file and no internet. Ctrl-C keeps what is done; the same command\n"
        "goes on from there. Fewer minutes make the experiments smaller, not fewer.",
        "zfcore reproduce --out reproduction\n  zfcore reproduce --data photos/ --budget 60 --out reproduction",
    )
    made.add_argument("--data", default="scenes", metavar="PATH", help='as `zfcore data` takes it (default: "scenes")')
    made.add_argument("--budget", type=minutes, default=20.0, metavar="MINUTES", help="about how long it may take on 2 cores (default: 20)")
    made.add_argument("--arch", metavar="NAME", help=f"the network, a name in the zoo (default: one that suits the images): {ZOO_HELP}")
    made.add_argument("--seed", type=whole(0), default=0, metavar="S", help="of everything (default: 0)")
    add_computing(made)
    made.add_argument("--out", type=path, default=Path("reproduction"), metavar="DIR", help="for the results (default: reproduction)")


def run(arguments: argparse.Namespace) -> None:
    """What it does."""
    from zfcore.experiments import reproduce

    use_threads(arguments)
    outcome = reproduce.run(arguments.out, arguments.data, arguments.budget, arguments.arch, arguments.seed)
    printed(outcome.found)
