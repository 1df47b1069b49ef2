"""What commands have in common: how one is made, how its arguments become what it works on, and how it ends."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zfcore.rules import Rule, resolve

if TYPE_CHECKING:
    from zfcore.experiments.results import Outcome
    from zfcore.experiments.subject import Subject

ZOO_HELP = "zfnet, zfnet-b, alexnet, alexnet-dense, zfnet-small, zfnet-64, alexnet-64 and so on"
MODEL_HELP = f"the folder of a run (its best checkpoint), a checkpoint, an ONNX file, or a name in the zoo: {ZOO_HELP} (untrained)"
TRAINED_HELP = "the folder of a run (its best checkpoint), a checkpoint, or an ONNX file"
IMAGE_HELP = "an image file, or scenes/17 for the built-in test scene 17"
DATA_HELP = 'as `zfcore data` takes it: a folder, a file of a set, or "scenes"'


def printed(text: str) -> None:
    """To standard output, at once, so that a full disk or a closed pipe is noticed here."""
    try:
        print(text, flush=True)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter tries again at exit
        raise OSError(error.errno, error.strerror, "standard output") from error


def command(
    commands: argparse._SubParsersAction, name: str, run: Callable[[argparse.Namespace], None], line: str, text: str, example: str
) -> argparse.ArgumentParser:
    """A command: its name, the line that the list of commands shows, what its own help says, and an example."""
    made = commands.add_parser(
        name,
        help=line,
        description=f"{line[0].upper()}{line[1:]}.\n\n{text}",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.set_defaults(command=run)
    return made


def subject_of(arguments: argparse.Namespace) -> Subject:
    """The network of `model`, and its preprocessing."""
    from zfcore.experiments.subject import open_subject

    use_threads(arguments)
    subject = open_subject(arguments.model, arguments.preset, **changes(arguments))
    if getattr(arguments, "class_names", None) is not None:
        subject.name_classes(arguments.class_names)
    return subject


def changes(arguments: argparse.Namespace) -> dict[str, Any]:
    """Of the preprocessing: what single options change."""
    crop = (arguments.crop, arguments.crop) if isinstance(arguments.crop, int) else arguments.crop
    channels = {"rgb": "RGB", "bgr": "BGR"}.get(arguments.channels, arguments.channels)
    return {"channels": channels, "size": arguments.size, "crop": crop, "mean": arguments.mean, "scale": arguments.scale}


def rule_of(arguments: argparse.Namespace) -> Rule:
    """How a signal comes down."""
    return resolve(arguments.rule, arguments.normalisation, arguments.collisions)


def use_threads(arguments: argparse.Namespace) -> None:
    """Bound the kernels' threads; there are never more than cores."""
    if arguments.threads is not None:
        import numba

        from zfcore.experiments.progress import say

        cores = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
        if arguments.threads > cores:
            say(f"{cores} cores, fewer than {arguments.threads} threads: {cores} compute")
        numba.set_num_threads(min(arguments.threads, cores))


def conclude(pictures: Sequence[Path]) -> None:
    """The pictures on standard output, what to keep in mind beside it."""
    from zfcore.experiments.progress import say
    from zfcore.experiments.report import CAVEAT

    for picture in pictures:
        printed(str(picture))
    say(f"To keep in mind: {CAVEAT}.")


def ended(outcome: Outcome) -> None:
    """What an experiment found, and where it is: on standard output the table if it has one, the sentence and the pictures."""
    from zfcore.experiments.progress import say

    if outcome.table:
        printed(outcome.table + "\n")
    printed(outcome.found)
    for place in (*outcome.pictures, outcome.record):
        printed(str(place))
    for remark in outcome.remarks:
        say(f"To keep in mind: {remark}.")
