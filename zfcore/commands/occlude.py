"""`zfcore occlude`."""

from __future__ import annotations

import argparse

from zfcore.commands.arguments import add_classes, add_computing, add_preprocessing, add_rule, path, whole
from zfcore.commands.base import IMAGE_HELP, TRAINED_HELP, command, ended, rule_of, subject_of


def add(commands: argparse._SubParsersAction) -> None:
    """The command and its options."""
    made = command(
        commands,
        "occlude",
        run,
        "what a grey square that slides over an image does to the answer (figure 7)",
        "For every place of the square: the sum of a deep map, the probability of the class, and the most probable class, as pictures\n"
        "beside the image and the map's projection. Computes only what the square changes, which gives the same numbers several times\n"
        "faster. Writes occlude.png, occlude.svg, occlude.npz (every number) and occlude.json.",
        "zfcore occlude googlenet.onnx cat.png --preset caffe --out occlusion\n"
        "  zfcore occlude runs/scenes scenes/17 scenes/18 --out occlusion",
    )
    made.add_argument("model", metavar="MODEL", help=TRAINED_HELP)
    made.add_argument("images", nargs="+", metavar="IMAGE", help=IMAGE_HELP)
    made.add_argument("--class", dest="label", metavar="C", help="name or number (default: what the image shows, or what the network says)")
    add_classes(made)
    made.add_argument("--layer", metavar="L", help="whose map is summed (default: the last layer with a map)")
    made.add_argument("--map", type=whole(0), metavar="N", help="the map (default: the one with the largest sum for the whole image)")
    made.add_argument("--square", type=whole(1), metavar="PX", help="side of the square (default: 27 for 224 pixels, in proportion)")
    made.add_argument("--stride", type=whole(1), metavar="PX", help="from one place to the next (default: 7, in proportion)")
    made.add_argument("--grey", type=whole(0), metavar="V", help="level of the square, 0 to 255 (default: the mean colour)")
    made.add_argument("--others", type=path, metavar="DIR", help="images in which the map is strongest are shown beside")
    made.add_argument("--no-incremental", dest="incremental", action="store_false", help="compute the whole network for every square")
    made.add_argument("--at-once", type=whole(1), default=6, metavar="N", help="N x N squares are computed together (default: 6)")
    add_rule(made)
    add_preprocessing(made)
    add_computing(made)
    made.add_argument("--out", type=path, required=True, metavar="DIR", help="folder for the results")


def run(arguments: argparse.Namespace) -> None:
    """What it does."""
    from zfcore.data.gallery import open_images
    from zfcore.data.pictures import open_picture
    from zfcore.experiments import occlude

    outcome = occlude.run(
        subject_of(arguments),
        [open_picture(image) for image in arguments.images],
        arguments.out,
        label=arguments.label,
        layer=arguments.layer,
        number=arguments.map,
        square=arguments.square,
        stride=arguments.stride,
        grey=arguments.grey,
        others=None if arguments.others is None else open_images(arguments.others).source,
        incremental=arguments.incremental,
        rule=rule_of(arguments),
        at_once=arguments.at_once,
    )
    ended(outcome)
