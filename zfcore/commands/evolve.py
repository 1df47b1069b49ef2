"""`zfcore evolve`."""

from __future__ import annotations

import argparse

from zfcore.commands.arguments import add_computing, add_rule, listed, path, whole, whole_numbers
from zfcore.commands.base import command, conclude, printed, rule_of, use_threads


def add(commands: argparse._SubParsersAction) -> None:
    """The command and its options."""
    made = command(
        commands,
        "evolve",
        run,
        "how features evolve in training (figure 4)",
        "For maps of each chosen layer the strongest activation over all training images at some epochs of a run, brought down to\n"
        "pixels. For every layer a picture (png) and the arrays (npz), for all of them curves (convergence.png) and the record\n"
        "(evolution.json) go to --out; when a layer comes to rest is printed as a table. Needs the run's checkpoints and its data.\n"
        "Ctrl-C keeps what was found; the same command goes on from there. The search is kept in --out: another --rule, or\n"
        "--epochs searched before, need not search again.",
        "zfcore evolve runs/scenes --layers conv1,conv3,conv5 --random 8 --out evolution",
    )
    made.add_argument("run", type=path, metavar="RUN", help="folder that `zfcore train --out` wrote")
    made.add_argument("--layers", type=listed, default=[], metavar="A,B", help="names (see `zfcore info`; default: every convolution)")
    maps = made.add_mutually_exclusive_group()
    maps.add_argument("--maps", type=whole_numbers, metavar="0,7,31", help="these maps of every layer")
    maps.add_argument("--random", type=whole(1), default=6, metavar="N", help="N maps of every layer, drawn from --seed (default: 6)")
    maps.add_argument("--all", action="store_true", help="every map")
    made.add_argument("--seed", type=whole(0), default=0, metavar="S", help="of --random (default: 0)")
    made.add_argument("--epochs", type=whole_numbers, metavar="1,2,5", help="which have a checkpoint each (default: the paper's 1, 2, 5, "
                      "10, 20, 30, 40, 64 or those nearest, and the last)")  # fmt: skip
    made.add_argument("--data", metavar="PATH", help="where the run's data are now (default: where they were)")
    made.add_argument("--batch", type=whole(1), default=64, metavar="N", help="images computed at a time (default: 64)")
    made.add_argument("--restart", action="store_true", help="begin anew, whatever an earlier command left in --out")
    add_rule(made)
    add_computing(made)
    made.add_argument("--out", type=path, required=True, metavar="DIR", help="folder for the results")


def run(arguments: argparse.Namespace) -> None:
    """What it does."""
    from zfcore.experiments import evolve

    use_threads(arguments)
    found = evolve.run(
        arguments.run,
        arguments.out,
        arguments.layers,
        epochs=arguments.epochs,
        maps=arguments.maps,
        random=None if arguments.all else arguments.random,
        seed=arguments.seed,
        data=arguments.data,
        rule=rule_of(arguments),
        batch=arguments.batch,
        restart=arguments.restart,
    )
    printed(found.table)
    conclude(found.pictures)
