"""`zfcore ablate`."""

from __future__ import annotations

import argparse
import dataclasses

from zfcore.commands.arguments import add_computing, add_recipe, listed, path
from zfcore.commands.base import DATA_HELP, ZOO_HELP, command, ended, use_threads


def add(commands: argparse._SubParsersAction) -> None:
    """The command and its options."""
    made = command(
        commands,
        "ablate",
        run,
        "what layers and widths are worth: train every variant of a network (table 3)",
        "Trains the network and each of its variants with one recipe and one seed: without layers 3 and 4, without 7, without 6 and 7,\n"
        "without all four, fully connected layers of half and of double the units. Every variant is a run in a folder of its own in\n"
        "--out; Ctrl-C loses nothing: the same command goes on. Writes the table of errors beside the paper's (json) and a plot of\n"
        "them (png, svg).",
        "zfcore ablate --data scenes --arch zfnet-64 --epochs 10 --out ablation",
    )
    made.add_argument("--data", required=True, metavar="PATH", help=DATA_HELP)
    made.add_argument("--arch", required=True, metavar="NAME", help=f"of the zoo: {ZOO_HELP}")
    made.add_argument("--variants", type=listed, metavar="A,B", help="such as without-7,fc256; the full one always (default: table 3's)")
    made.add_argument("--out", type=path, required=True, metavar="DIR", help="folder for the results and the runs")
    add_computing(made)
    add_recipe(made)


def run(arguments: argparse.Namespace) -> None:
    """What it does."""
    from zfcore.experiments import ablate, train
    from zfcore.training.recipe import RECIPES, Recipe

    chosen = {f.name: value for f in dataclasses.fields(Recipe) if (value := getattr(arguments, f.name)) is not None}
    recipe = dataclasses.replace(RECIPES[arguments.recipe or train.usual_recipe(arguments.arch)], **chosen)
    use_threads(arguments)
    ended(ablate.run(arguments.data, arguments.arch, arguments.out, recipe, arguments.variants))
