"""`zfcore saliency`."""

from __future__ import annotations

import argparse

from zfcore.commands.arguments import add_classes, add_computing, add_preprocessing, path, whole, whole_numbers
from zfcore.commands.base import IMAGE_HELP, MODEL_HELP, command, ended, subject_of


def add(commands: argparse._SubParsersAction) -> None:
    """The command and its options."""
    made = command(
        commands,
        "saliency",
        run,
        "gradient, guided, deconvnet and gradient x input for a class or a unit, and whether they hang on the weights",
        "Brings the score of a class before its softmax, or one unit, down to the pixels in four ways. Then weights are made random,\n"
        "layer by layer from the top down, and every map is compared with the original one by rank correlation (Adebayo et al. 2018): a\n"
        "map that stays the same does not show what the network has learnt.\n\n"
        "Writes saliency.png, randomisation.png, randomisation-plot (png, svg), the maps (saliency.npz, in RGB order) and the record\n"
        "(saliency.json) to --out.",
        "zfcore saliency googlenet.onnx cat.jpg --preset caffe --class 282 --out cat-saliency",
    )
    made.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    made.add_argument("image", metavar="IMAGE", help=IMAGE_HELP)
    made.add_argument("--class", dest="wanted", metavar="K", help="a class, by name or number (default: the picture's own where it is "
                      "known and the network has it, else the most probable)")  # fmt: skip
    made.add_argument("--layer", metavar="L", help="explain a unit of this layer instead (see `zfcore info`)")
    made.add_argument("--unit", type=whole_numbers, metavar="C,Y,X", help="of the layer: map, row, column; C alone in a layer without "
                      "pixels (default: its strongest)")  # fmt: skip
    check = made.add_argument_group("the check")
    check.add_argument("--draws", type=whole(1), default=5, metavar="N", help="how many times weights are drawn (default: 5)")
    check.add_argument("--points", type=whole(1), default=10, metavar="N", help="compare at about N depths at most (default: 10)")
    check.add_argument("--independent", action="store_true", help="one layer at a time, all others as they are")
    check.add_argument("--seed", type=whole(0), default=0, metavar="N", help="of the draws (default: 0)")
    add_classes(made)
    add_preprocessing(made)
    add_computing(made)
    made.add_argument("--out", type=path, required=True, metavar="DIR", help="folder for the results")


def run(arguments: argparse.Namespace) -> None:
    """What it does."""
    subject = subject_of(arguments)
    from zfcore.experiments import saliency

    ended(
        saliency.run(
            subject,
            arguments.image,
            out=arguments.out,
            layer=arguments.layer,
            unit=arguments.unit,
            wanted=arguments.wanted,
            draws=arguments.draws,
            points=arguments.points,
            independent=arguments.independent,
            seed=arguments.seed,
        )
    )
