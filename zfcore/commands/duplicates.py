"""`zfcore duplicates-between`."""

from __future__ import annotations

import argparse

from zfcore.commands.arguments import path, real, whole
from zfcore.commands.base import command, ended

PARTS = ("train", "validation", "test")
SET_HELP = 'a folder of images, or what `zfcore data` takes ("scenes", a file of a set)'


def add(commands: argparse._SubParsersAction) -> None:
    """The command and its options."""
    made = command(
        commands,
        "duplicates-between",
        run,
        "near-identical images of two sets, by normalised correlation (section 5)",
        "Before features that were learnt on one set are judged on another, images that are in both have to go. Brings each image to a\n"
        "small frame, less its mean, of norm 1; the dot product of two is their correlation. All are compared with all, also mirrored,\n"
        "and pairs above the threshold again in a larger frame. With A and B the same: what is in it twice. Writes the pairs (json), a\n"
        "sheet of them side by side (png), how near the nearest image of each is (png, svg), and the names of A's images to remove\n"
        "(remove.txt). Nothing is removed.",
        "zfcore duplicates-between caltech101/ imagenet/ --out duplicates\n"
        "  zfcore duplicates-between cifar10/ cifar10/ --part-a train --part-b test --out duplicates",
    )
    made.add_argument("a", metavar="A", help=f"the set to clean: {SET_HELP}")
    made.add_argument("b", metavar="B", help="the set that its images may be in, likewise; A again for those that are in it twice")
    for letter in "ab":
        made.add_argument(f"--part-{letter}", choices=PARTS, help=f"of {letter.upper()}, where it has parts (default: test, else train)")
    made.add_argument("--threshold", type=real, default=0.95, metavar="X", help="correlation that makes a pair (default: 0.95: copies "
                      "that were compressed to JPEG 30 or halved keep it, different photographs seldom have it)")  # fmt: skip
    made.add_argument("--side", type=whole(4), default=32, metavar="N", help="the small frame's side in pixels, at most 256 (default: 32)")
    made.add_argument("--look", type=whole(0), default=128, metavar="N", help="the larger frame's at most; 0: no second one (default: 128)")
    made.add_argument("--colour", action="store_true", help="compare the three colours, not grey")
    made.add_argument("--mirror", action=argparse.BooleanOptionalAction, default=True, help="mirrored images, too (default: yes)")
    made.add_argument("--show", type=whole(0), default=40, metavar="N", help="pairs on the sheet (default: 40)")
    made.add_argument("--out", type=path, required=True, metavar="DIR", help="folder for the results")


def run(arguments: argparse.Namespace) -> None:
    """What it does."""
    from zfcore.experiments import duplicates

    ended(
        duplicates.run(
            arguments.a,
            arguments.b,
            out=arguments.out,
            part_a=arguments.part_a,
            part_b=arguments.part_b,
            threshold=arguments.threshold,
            side=arguments.side,
            colour=arguments.colour,
            mirror=arguments.mirror,
            look=arguments.look,
            show=arguments.show,
        )
    )
