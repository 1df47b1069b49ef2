"""`zfcore train`."""

from __future__ import annotations

import argparse
import dataclasses

from zfcore.commands.arguments import add_computing, add_recipe, path, whole_numbers
from zfcore.commands.base import ZOO_HELP, command, printed, use_threads
from zfcore.errors import ZfcoreError


def add(commands: argparse._SubParsersAction) -> None:
    """The command and its options."""
    made = command(
        commands,
        "train",
        run,
        "train a network of the zoo on labelled images",
        "Every epoch says loss, errors and time left, and leaves a checkpoint that `zfcore features` and the others take as a MODEL;\n"
        "metrics.jsonl and curves.png show the run so far. Ctrl-C stops after the step, saved; --resume goes on from there, or from\n"
        "whatever a crash has left, to the same bits. The recipe is the paper's, or for images under 128 pixels one for small networks.",
        "zfcore train --data scenes --arch zfnet-small --epochs 10 --out run\n  zfcore train --resume run",
    )
    made.add_argument("--data", metavar="PATH", help="what `zfcore data` takes; with --resume: where the data are now")
    made.add_argument("--arch", metavar="NAME", help=f"of the zoo: {ZOO_HELP}")
    made.add_argument("--out", type=path, metavar="RUN", help="folder for the run")
    made.add_argument("--resume", type=path, metavar="RUN", help="go on with a run, instead of --arch, --out and the recipe")
    made.add_argument("--keep", type=whole_numbers, metavar="1,2,5", help="epochs whose checkpoints stay, besides the last and the best")
    add_computing(made)
    add_recipe(made)


def run(arguments: argparse.Namespace) -> None:
    """What it does."""
    from zfcore.experiments import train
    from zfcore.training.recipe import RECIPES, Recipe

    chosen = {f.name: value for f in dataclasses.fields(Recipe) if (value := getattr(arguments, f.name)) is not None}
    if arguments.resume is not None:
        given = [name for name in ("arch", "out", "recipe", "keep", *chosen) if getattr(arguments, name) is not None]
        if given:
            options = ", ".join(f"--{name.replace('_', '-')}" for name in given)
            raise ZfcoreError(f"--resume: goes on as the run began; leave out {options}, or begin another run with --out")
        use_threads(arguments)
        run = train.resume(arguments.resume, arguments.data)
    else:
        missing = [f"--{name}" for name in ("data", "arch", "out") if getattr(arguments, name) is None]
        if missing:
            raise ZfcoreError(f"{', '.join(missing)}: needed to begin a run; --resume RUN goes on with one (see zfcore train --help)")
        recipe = dataclasses.replace(RECIPES[arguments.recipe or train.usual_recipe(arguments.arch)], **chosen)
        use_threads(arguments)
        run = train.run(arguments.data, arguments.arch, arguments.out, recipe, arguments.keep)
    printed(str(run.best))
