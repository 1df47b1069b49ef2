"""`zfcore activations`."""

from __future__ import annotations

import argparse

from zfcore.commands.arguments import add_classes, add_computing, add_preprocessing, listed, path, whole
from zfcore.commands.base import IMAGE_HELP, MODEL_HELP, command, ended, subject_of

ORDERS, SCALES = ("strongest", "number"), ("layer", "map")


def add(commands: argparse._SubParsersAction) -> None:
    """The command and its options."""
    made = command(
        commands,
        "activations",
        run,
        "what every layer makes of an image: its maps as grids, and with --images the maps that are dead",
        "A picture (png) of every layer's maps, a plot (png, svg) of every layer of numbers, how much of each is zero. With --images\n"
        "also which maps are zero on all of them, and a plot of that. The arrays (npz) and the record (json) go to --out, too.",
        "zfcore activations googlenet.onnx cat.jpg --preset caffe --images photos/ --out activations",
    )
    made.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    made.add_argument("image", metavar="IMAGE", help=IMAGE_HELP)
    layers = made.add_mutually_exclusive_group()
    layers.add_argument("--layers", type=listed, metavar="L,L", help="these layers (default: every stage and the answers)")
    layers.add_argument("--all", action="store_true", help="every layer")
    made.add_argument("--most", type=whole(1), default=64, metavar="N", help="show at most N maps of a layer (default: 64)")
    made.add_argument("--order", choices=ORDERS, default="strongest", help="strongest maps first, or by number (default: strongest)")
    made.add_argument("--grey", choices=SCALES, default="layer", help="one scale of greys for a layer, or for every map (default: layer)")
    group = made.add_argument_group(
        "dead maps", "Streamed: any number will do. Ctrl-C keeps what was counted; the same command goes on from there."
    )
    group.add_argument("--images", type=path, metavar="DIR", help='a folder of images, data as `zfcore data` takes it, or "scenes"')
    group.add_argument("--limit", type=whole(1), metavar="N", help="at most N of them, evenly spaced (default: all)")
    group.add_argument("--batch", type=whole(1), default=16, metavar="N", help="images computed at a time (default: 16)")
    group.add_argument("--restart", action="store_true", help="begin anew, whatever an earlier count left in --out")
    add_classes(made)
    add_preprocessing(made)
    add_computing(made)
    made.add_argument("--out", type=path, required=True, metavar="DIR", help="folder for the results")


def run(arguments: argparse.Namespace) -> None:
    """What it does."""
    from zfcore.experiments import activations

    ended(
        activations.run(
            subject_of(arguments),
            arguments.image,
            arguments.out,
            layers=arguments.layers,
            every=arguments.all,
            most=arguments.most,
            order=arguments.order,
            scale=arguments.grey,
            images=arguments.images,
            limit=arguments.limit,
            batch=arguments.batch,
            restart=arguments.restart,
        )
    )
