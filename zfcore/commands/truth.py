"""`zfcore truth`."""

from __future__ import annotations

import argparse

from zfcore.commands.arguments import add_computing, add_preprocessing, path, real, whole
from zfcore.commands.base import changes, command, ended, use_threads


def add(commands: argparse._SubParsersAction) -> None:
    """The command and its options."""
    made = command(
        commands,
        "truth",
        run,
        "do explanations point at the object: scored on the scenes, where that is known",
        "Occlusion, gradient, guided, deconvnet and gradient x input of the true class of held-out scenes: is the maximum inside the\n"
        "object's mask (pointing game), and what share of the sum; beside chance, a centred Gaussian and the picture's own edges. And\n"
        "does the correspondence of parts beat chance. Several models are runs of different seeds: intervals are then over them. Writes\n"
        "a plot of the scores (png, svg), a sheet of maps with hits and misses (png), all scores (npz) and the record (json) to --out.",
        "zfcore truth runs/a runs/b runs/c --out truth",
    )
    made.add_argument("models", nargs="+", metavar="MODEL", help="a network trained on the scenes: the folder of a run, or a checkpoint")
    made.add_argument("--count", type=whole(1), default=20, metavar="N", help="scenes of a draw (default: 20)")
    made.add_argument("--draws", type=whole(1), default=5, metavar="D", help="draws of scenes (default: 5)")
    made.add_argument("--first", type=whole(0), default=0, metavar="N", help="the first test scene (default: 0)")
    made.add_argument("--square", type=whole(1), metavar="N", help="side of the occluding square (default: 3/16 of the input's)")
    made.add_argument("--stride", type=whole(1), metavar="N", help="its step (default: a third of the square)")
    made.add_argument("--reduce", choices=("sum", "max"), default="sum", help="of absolute values over channels (default: sum)")
    made.add_argument("--tolerance", type=real, default=0.0, metavar="P", help="pixels by which a maximum may miss the mask (default: 0)")
    made.add_argument("--part-images", type=whole(0), default=5, metavar="N", help="scenes of a class with parts masked, or 0 (default: 5)")
    made.add_argument("--part-draws", type=whole(1), default=5, metavar="K", help="random masks for each of these parts (default: 5)")
    made.add_argument("--seed", type=whole(0), default=0, metavar="N", help="of the random masks (default: 0)")
    add_preprocessing(made)
    add_computing(made)
    made.add_argument("--out", type=path, required=True, metavar="DIR", help="folder for the results")


def run(arguments: argparse.Namespace) -> None:
    """What it does."""
    from zfcore.experiments import truth
    from zfcore.experiments.subject import open_subject

    use_threads(arguments)
    given = arguments
    outcome = truth.run(
        [open_subject(model, given.preset, **changes(given)) for model in given.models],
        out=given.out,
        scenes=given.count,
        draws=given.draws,
        first=given.first,
        options=truth.Options(given.square, given.stride, given.reduce, given.tolerance),
        part_images=given.part_images,
        part_draws=given.part_draws,
        seed=given.seed,
    )
    ended(outcome)
