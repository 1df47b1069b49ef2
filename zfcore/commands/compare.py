"""`zfcore compare`."""

from __future__ import annotations

import argparse

from zfcore.commands.arguments import add_computing, path
from zfcore.commands.base import MODEL_HELP, command, ended, use_threads
from zfcore.commands.filters import add_looking, looking_of
from zfcore.data.preprocessing import PRESETS


def add(commands: argparse._SubParsersAction) -> None:
    """The command and its options."""
    made = command(
        commands,
        "compare",
        run,
        "first layers of two networks side by side: filters, measures, and projections of the second layers (figure 6)",
        "The measures of `zfcore filters` as a table of both. With --images also maps that no image excites, projections of the\n"
        "second layers, and the aliasing in them. Writes a picture (png), plots (png, svg) and the record (json) to --out.",
        "zfcore compare alexnet.onnx runs/zfnet --preset-a caffe --images photos/ --out compare",
    )
    made.add_argument("a", metavar="A", help=MODEL_HELP)
    made.add_argument("b", metavar="B", help="likewise")
    for letter in "ab":
        words = f"preprocessing of {letter.upper()} (default: its own, or what is usual); caffe: BGR"
        made.add_argument(f"--preset-{letter}", choices=PRESETS, help=words)
    add_looking(made)
    add_computing(made)
    made.add_argument("--out", type=path, required=True, metavar="DIR", help="folder for the results")


def run(arguments: argparse.Namespace) -> None:
    """What it does."""
    from zfcore.experiments import compare
    from zfcore.experiments.subject import open_subject

    use_threads(arguments)
    a, b = open_subject(arguments.a, arguments.preset_a), open_subject(arguments.b, arguments.preset_b)
    ended(compare.run(a, b, arguments.out, images=arguments.images, looking=looking_of(arguments)))
