"""`zfcore correspond`."""

from __future__ import annotations

import argparse

from zfcore.commands.arguments import add_computing, add_preprocessing, listed, path, whole
from zfcore.commands.base import MODEL_HELP, command, ended, subject_of


def add(commands: argparse._SubParsersAction) -> None:
    """The command and its options."""
    made = command(
        commands,
        "correspond",
        run,
        "do features change alike when the same part is masked in several images (table 1, figure 8)",
        "Masks each part in n images, takes the signs of the changes of a layer's features, and the mean share of signs in which two\n"
        "images differ: Delta, lower is tighter. Beside it masks of the same size at random places: apart, another in every image, as\n"
        "in the paper; and together, one place for all images, since parts of aligned images lie together too. Writes a plot of all\n"
        "parts (png, svg), the images with their masks (png) and the record (json) to --out.\n\n"
        "A file of parts, with boxes in pixels of the image, names of images relative to the file, and \"object\" if known:\n"
        '  {"images": [{"image": "dog1.jpg", "parts": {"left eye": [y0, x0, y1, x1]}, "object": [y0, x0, y1, x1]}]}',
        "zfcore correspond googlenet.onnx --preset caffe --parts dogs.json --out correspondence",
    )
    made.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    images = made.add_mutually_exclusive_group()
    images.add_argument("--parts", type=path, metavar="FILE.json", help="images and the boxes of their parts")
    images.add_argument("--scenes", type=listed, metavar="CLASS,...", help="built-in scenes of these classes (default: of every class)")
    made.add_argument("--count", type=whole(2), default=10, metavar="N", help="scenes of each class (default: 10)")
    made.add_argument("--layers", type=listed, metavar="L,...", help="layers (default: the deepest map and the last stage)")
    made.add_argument("--fill", choices=("grey", "mean"), default="grey", help="of masks: mid-grey, or the mean subtracted (default: grey)")
    made.add_argument("--region", choices=("object", "frame"), default="object", help="where random masks lie (default: object)")
    made.add_argument("--draws", type=whole(1), default=10, metavar="K", help="random masks of each kind, part and image (default: 10)")
    made.add_argument("--permutations", type=whole(1), default=9999, metavar="B", help="of the tests (default: 9999)")
    made.add_argument("--seed", type=whole(0), default=0, metavar="N", help="of random masks, permutations and bootstrap (default: 0)")
    made.add_argument("--batch", type=whole(1), default=64, metavar="N", help="images computed at a time (default: 64)")
    add_preprocessing(made)
    add_computing(made)
    made.add_argument("--out", type=path, required=True, metavar="DIR", help="folder for the results")


def run(arguments: argparse.Namespace) -> None:
    """What it does."""
    from zfcore.experiments import correspond

    outcome = correspond.run(
        subject_of(arguments),
        out=arguments.out,
        parts=arguments.parts,
        scenes=arguments.scenes,
        count=arguments.count,
        layers=arguments.layers,
        fill=arguments.fill,
        region=arguments.region,
        draws=arguments.draws,
        permutations=arguments.permutations,
        seed=arguments.seed,
        batch=arguments.batch,
    )
    ended(outcome)
