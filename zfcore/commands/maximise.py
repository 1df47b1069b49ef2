"""`zfcore maximise`."""

from __future__ import annotations

import argparse

from zfcore.commands.arguments import add_classes, add_computing, add_preprocessing, path, real, whole, whole_numbers
from zfcore.commands.base import DATA_HELP, MODEL_HELP, command, ended, subject_of

STYLES = ("l2", "yosinski", "yosinski-norm", "yosinski-decay", "yosinski-contribution")
FIELDS = ("l2", "decay", "blur", "every", "norm_percentile", "contribution_percentile")


def add(commands: argparse._SubParsersAction) -> None:
    """The command and its options."""
    made = command(
        commands,
        "maximise",
        run,
        "images that maximise the score of a class, or a unit",
        "Climbs from the zero image, the mean, or from noise (Simonyan et al. 2014; Yosinski et al. 2015), to the highest score before\n"
        "the softmax, less what regularisers ask for. Then the image is rounded to 8 bits and put through the network again: what is\n"
        "seen is what was judged. What is ready is kept in --out when interrupted, and the same command goes on.\n\n"
        "Writes maximise.png, maximise-course (png, svg), the pictures and scores (maximise.npz) and the record (maximise.json) to --out.",
        "zfcore maximise runs/scenes --style yosinski --starts 3 --out maximised",
    )
    made.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    what = made.add_argument_group("what is climbed")
    what.add_argument("--class", dest="classes", action="append", default=[], metavar="K,K", help="classes by name or number; may be given "
                      "again (default: all, if they are few)")  # fmt: skip
    what.add_argument("--all", dest="every_class", action="store_true", help="every class")
    what.add_argument("--layer", metavar="L", help="a layer instead (see `zfcore info`), of it one of:")
    what.add_argument("--unit", type=whole_numbers, metavar="C,Y,X", help="a unit: map, row, column; C alone in a layer without pixels")
    what.add_argument("--maps", type=whole_numbers, default=[], metavar="C,C", help="maps, each by its mean over the positions")
    how = made.add_argument_group("how")
    how.add_argument("--style", choices=STYLES, default="l2", help="l2: the penalty lambda |image|^2; yosinski: decay and blur, his "
                     "setting for most pictures; the others: his further settings, with clipping of pixels (default: l2)")  # fmt: skip
    how.add_argument("--steps", type=whole(1), default=200, metavar="N", help="how many (default: 200)")
    how.add_argument("--step", type=real, default=4.0, metavar="G", help="their length, root mean square in grey levels; with l2 alone "
                     "they shorten evenly to 0 (default: 4)")  # fmt: skip
    how.add_argument("--starts", type=whole(1), default=1, metavar="N", help="images of each target, the second and further from noise")
    how.add_argument("--begin", choices=("zero", "noise"), default="zero", help="where the first begins (default: zero)")
    how.add_argument("--noise", type=real, default=10.0, metavar="G", help="its standard deviation in grey levels (default: 10)")
    how.add_argument("--no-bounds", dest="bounded", action="store_false", help="let pixels leave 0 to 255 on the way")
    how.add_argument("--seed", type=whole(0), default=0, metavar="N", help="of the noise (default: 0)")
    how.add_argument("--batch", type=whole(1), default=10, metavar="N", help="images computed together (default: 10)")
    parts = made.add_argument_group("regularisers", "Single ones replace the style's; 0 switches one off.")
    parts.add_argument("--l2", type=real, metavar="X", help="lambda, of the squared norm in units of 255 grey levels (l2: 0.1)")
    parts.add_argument("--decay", type=real, metavar="X", help="share of the image taken away every step")
    parts.add_argument("--blur", type=real, metavar="PX", help="standard deviation of a Gaussian")
    parts.add_argument("--every", type=whole(1), metavar="N", help="blur every N steps")
    parts.add_argument("--norm-percentile", type=real, metavar="P", help="pixels of a norm below this percentile become 0 (the mean)")
    parts.add_argument("--contribution-percentile", type=real, metavar="P", help="likewise of |pixel times gradient|")
    compare = made.add_argument_group("beside real images")
    compare.add_argument("--images", type=path, metavar="PATH", help=f"compare with their scores: any folder of images, or {DATA_HELP}")
    compare.add_argument("--limit", type=whole(1), default=200, metavar="N", help="at most N of them, evenly chosen (default: 200)")
    add_classes(made)
    add_preprocessing(made)
    add_computing(made)
    made.add_argument("--out", type=path, required=True, metavar="DIR", help="folder for the results")


def run(arguments: argparse.Namespace) -> None:
    """What it does."""
    subject = subject_of(arguments)
    from zfcore.experiments import maximise

    ended(
        maximise.run(
            subject,
            out=arguments.out,
            classes=arguments.classes,
            every_class=arguments.every_class,
            layer=arguments.layer,
            unit=arguments.unit,
            maps=arguments.maps,
            style=arguments.style,
            changes={field: getattr(arguments, field) for field in FIELDS},
            starts=arguments.starts,
            begin=arguments.begin,
            noise=arguments.noise,
            steps=arguments.steps,
            step=arguments.step,
            bounded=arguments.bounded,
            seed=arguments.seed,
            batch=arguments.batch,
            images=arguments.images,
            limit=arguments.limit,
        )
    )
