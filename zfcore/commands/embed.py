"""`zfcore embed`."""

from __future__ import annotations

import argparse

from zfcore.commands.arguments import add_computing, add_preprocessing, path, real, whole
from zfcore.commands.base import DATA_HELP, MODEL_HELP, command, ended, subject_of


def add(commands: argparse._SubParsersAction) -> None:
    """The command and its options."""
    made = command(
        commands,
        "embed",
        run,
        "which images a network finds alike: their codes in the plane, by t-SNE",
        "Places many images by the features of a layer. Thumbnails on a grid without overlaps (embed-grid.png), at their places\n"
        "(embed-scatter.png) and, where classes are known, dots in their colours (embed-classes.png and svg), the places (npz) and the\n"
        "record (json) go to --out. How many of an image's nearest neighbours have its class is printed, beside raw pixels and chance.",
        "zfcore embed runs/scenes --images scenes --count 1000 --out embedding",
    )
    made.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    made.add_argument("--images", type=path, required=True, metavar="PATH", help=f"{DATA_HELP}; or any folder of images")
    made.add_argument("--layer", metavar="L", help="whose features are the codes (default: the last stage, the paper's layer 7)")
    made.add_argument("--part", choices=("test", "validation", "train"), help="of labelled data (default: test if it has one, else train)")
    made.add_argument("--count", type=whole(1), default=1000, metavar="N", help="at most, drawn where there are more (default: 1000)")
    made.add_argument("--seed", type=whole(0), default=0, metavar="S", help="of the draw and of t-SNE (default: 0)")
    made.add_argument("--perplexity", type=real, metavar="P", help="about how many neighbours count (default: 30; of few images fewer)")
    made.add_argument("--neighbours", type=whole(1), default=10, metavar="K", help="nearest ones whose class is compared (default: 10)")
    made.add_argument("--batch", type=whole(1), default=32, metavar="N", help="images computed at a time (default: 32)")
    add_preprocessing(made)
    add_computing(made)
    made.add_argument("--out", type=path, required=True, metavar="DIR", help="folder for the results")


def run(arguments: argparse.Namespace) -> None:
    """What it does."""
    from zfcore.experiments import embed

    outcome = embed.run(
        subject_of(arguments),
        arguments.images,
        out=arguments.out,
        layer=arguments.layer,
        part=arguments.part,
        count=arguments.count,
        seed=arguments.seed,
        perplexity=arguments.perplexity,
        neighbours=arguments.neighbours,
        batch=arguments.batch,
    )
    ended(outcome)
