"""`zfcore features`."""

from __future__ import annotations

import argparse

from zfcore.commands.arguments import add_computing, add_preprocessing, add_rule, path, whole, whole_numbers
from zfcore.commands.base import MODEL_HELP, command, conclude, rule_of, subject_of


def add(commands: argparse._SubParsersAction) -> None:
    """The command and its options."""
    made = command(
        commands,
        "features",
        run,
        "what excites the maps of a layer most, projected to pixels (figure 2)",
        "For maps of each chosen layer: the images that excite it most, one activation per image, each brought down to pixels by\n"
        "the deconvnet, beside the patch of the image that caused it. For every layer a picture (png), the arrays (npz) and the\n"
        "record of every unit and option (json) go to --out. Images are streamed: any number will do. Ctrl-C keeps what was\n"
        "found; the same command goes on from there. The search is kept in --out: another --rule need not search again.",
        "zfcore features googlenet.onnx --preset caffe --images photos/ --layer conv2/3x3 --random 16 --out features",
    )
    made.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    made.add_argument("--images", type=path, required=True, metavar="DIR", help="folder of images, searched with its subfolders")
    made.add_argument("--layer", action="append", required=True, metavar="L", help="a layer's name (see `zfcore info`); may be repeated")
    maps = made.add_mutually_exclusive_group()
    maps.add_argument("--maps", type=whole_numbers, metavar="0,7,31", help="these maps of every layer")
    maps.add_argument("--random", type=whole(1), default=16, metavar="N", help="N maps of every layer, drawn from --seed (default: 16)")
    maps.add_argument("--all", action="store_true", help="every map")
    made.add_argument("--seed", type=whole(0), default=0, metavar="S", help="of --random (default: 0)")
    made.add_argument("--top", type=whole(1), default=9, metavar="K", help="activations per map (default: 9)")
    made.add_argument("--batch", type=whole(1), metavar="N", help="images computed at a time (default: 16; on a device what fits)")
    made.add_argument("--restart", action="store_true", help="begin anew, whatever an earlier run left in --out")
    add_rule(made)
    add_preprocessing(made)
    add_computing(made)
    made.add_argument("--out", type=path, required=True, metavar="DIR", help="folder for the results")


def run(arguments: argparse.Namespace) -> None:
    """What it does."""
    from zfcore.data.sources import FolderSource
    from zfcore.experiments import features

    subject = subject_of(arguments)
    pages = features.run(
        subject.net,
        FolderSource(arguments.images),
        arguments.layer,
        arguments.out,
        choice=subject.choice,
        maps=arguments.maps,
        random=None if arguments.all else arguments.random,
        seed=arguments.seed,
        top=arguments.top,
        rule=rule_of(arguments),
        batch=arguments.batch,
        restart=arguments.restart,
        model=subject.path,
    )
    conclude([page.picture for page in pages])
