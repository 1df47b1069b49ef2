"""The command line: argument parsing and nothing else. What a command does is in `zfcore.experiments`."""

from __future__ import annotations

import argparse
import dataclasses
import io
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import zfcore
from zfcore.arguments import (
    add_preprocessing,
    add_recipe,
    add_rule,
    add_threads,
    listed,
    minutes,
    names,
    path,
    whole,
    whole_numbers,
)
from zfcore.data.choice import Choice, choose
from zfcore.errors import ZfcoreError, printable
from zfcore.network import Network
from zfcore.rules import Rule, resolve

ZOO_HELP = "zfnet, zfnet-b, alexnet, alexnet-dense, zfnet-small, zfnet-64, alexnet-64 and so on"
MODEL_HELP = f"an ONNX file, a checkpoint (safetensors), or a name in the zoo: {ZOO_HELP} (untrained)"
INTERRUPTED, BROKEN_PIPE = 130, 141
"""Exit statuses as shells give them: 128 plus the signal."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit status: 0, 2 for a user's mistake, 130 when interrupted."""
    # None: closed by the shell (>&-).
    sys.stdout, sys.stderr = (open(os.devnull, "w") if stream is None else stream for stream in (sys.stdout, sys.stderr))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files and layers that the terminal cannot show
    try:
        arguments = parser().parse_args(argv)
        from zfcore.compiling import announced

        with announced():
            arguments.command(arguments)
    except BrokenPipeError:
        return BROKEN_PIPE
    except KeyboardInterrupt as interrupt:
        print(f"zfcore: {str(interrupt) or 'interrupted'}", file=sys.stderr)
        return INTERRUPTED
    except ZfcoreError as error:
        return _refused(str(error))
    except MemoryError as error:
        return _refused(f"not enough memory: {str(error) or 'try a smaller --batch'}")
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        return _refused(f"{place}{error.strerror or error}")
    return 0


def _refused(reason: str) -> int:
    print("zfcore: error: " + printable(" ".join(reason.split())), file=sys.stderr)
    return 2


def _print(text: str) -> None:
    """To standard output, at once, so that a full disk or a closed pipe is noticed here."""
    try:
        print(text, flush=True)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter tries again at exit
        raise OSError(error.errno, error.strerror, "standard output") from error


# ---- the arguments


class _Parser(argparse.ArgumentParser):
    """A mistake is one line, as everywhere else; help that cannot be written is an error."""

    def error(self, message: str) -> NoReturn:
        minus = "; one that begins with - is given after =, as in --mean=-1" if message.endswith("expected one argument") else ""
        raise SystemExit(_refused(f"{message}{minus} (see {self.prog} --help)"))

    def print_help(self, file: Any = None) -> None:
        _print(self.format_help().rstrip())


class _Version(argparse.Action):
    """--version; argparse's own drops errors of standard output."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        _print(f"zfcore {zfcore.__version__}")
        parser.exit()


def parser() -> argparse.ArgumentParser:
    """Every command and its options."""
    top = _Parser(
        prog="zfcore",
        description="See inside a convolutional network: what its features respond to, by the deconvnet of Zeiler & Fergus (2014).",
        epilog="`zfcore COMMAND --help` explains a command. Begin with: zfcore demo",
    )
    top.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add in (_add_demo, _add_info, _add_features, _add_project, _add_data, _add_train, _add_evaluate, _add_evolve, _add_bench):
        add(commands)
    return top


def _command(commands: argparse._SubParsersAction, name: str, run: Callable, line: str, text: str, example: str) -> argparse.ArgumentParser:
    made = commands.add_parser(
        name,
        help=line,
        description=f"{line[0].upper()}{line[1:]}.\n\n{text}",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.set_defaults(command=run)
    return made


def _add_demo(commands: argparse._SubParsersAction) -> None:
    made = _command(
        commands,
        "demo",
        _demo,
        "train a small network on built-in pictures and show its features",
        "Needs no file and no internet: the data set is drawn by program. Writes figure 2 for every layer, the first filters\n"
        "and an index page; takes under 3 minutes on 2 cores.",
        "zfcore demo --out demo",
    )
    made.add_argument("--out", type=path, default=Path("demo"), metavar="DIR", help="folder for the results (default: demo)")
    made.add_argument("--seed", type=whole(0), default=0, metavar="S", help="of data, weights and training (default: 0)")
    add_threads(made)


def _add_info(commands: argparse._SubParsersAction) -> None:
    made = _command(
        commands,
        "info",
        _info,
        "the layers of a network as a table",
        "Of every layer the operator, output shape, parameters, multiply-adds (MACs), the receptive field of its units in pixels\n"
        "of the input, the jump from one unit to the next, and where the first one starts.",
        "zfcore info googlenet.onnx",
    )
    made.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    made.add_argument("--json", action="store_true", help="print JSON instead")


def _add_features(commands: argparse._SubParsersAction) -> None:
    made = _command(
        commands,
        "features",
        _features,
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
    made.add_argument("--batch", type=whole(1), default=16, metavar="N", help="images computed at a time (default: 16)")
    made.add_argument("--restart", action="store_true", help="begin anew, whatever an earlier run left in --out")
    add_rule(made)
    add_preprocessing(made)
    add_threads(made)
    made.add_argument("--out", type=path, required=True, metavar="DIR", help="folder for the results")


def _add_project(commands: argparse._SubParsersAction) -> None:
    made = _command(
        commands,
        "project",
        _project,
        "units of a layer, for one image, projected to pixels",
        "Writes a picture (png: the image with the unit's receptive field, the patch, the projection), the arrays (npz) and the\n"
        "record (json) to --out.",
        "zfcore project googlenet.onnx cat.jpg --preset caffe --layer inception_4e/output --strongest 3 --out cat",
    )
    made.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    made.add_argument("image", type=path, metavar="IMAGE", help="an image file")
    made.add_argument("--layer", required=True, metavar="L", help="a layer's name (see `zfcore info`)")
    units = made.add_mutually_exclusive_group()
    units.add_argument("--unit", type=whole_numbers, metavar="C,Y,X", help="a unit: map, row, column; C alone in a layer without pixels")
    units.add_argument("--strongest", type=whole(1), default=1, metavar="K", help="the K strongest units, one per map (default: 1)")
    add_rule(made)
    add_preprocessing(made)
    add_threads(made)
    made.add_argument("--out", type=path, required=True, metavar="DIR", help="folder for the results")


def _add_data(commands: argparse._SubParsersAction) -> None:
    made = _command(
        commands,
        "data",
        _data,
        "what a set of labelled images holds",
        "A folder of class folders (or with train/, val/ and test/ of them), MNIST's files (IDX, plain or gzip), CIFAR-10's or\n"
        'CIFAR-100\'s binary files, or "scenes", the built-in pictures ("scenes:12000" for so many; a folder of that name is\n'
        "./scenes); which it is, is seen by looking. Reads every image once: says parts, classes, counts, sizes, damaged files and\n"
        "images that train and test share. With --out a contact sheet (png) and the record (json). Nothing is written into the data.",
        "zfcore data photos/ --out contact",
    )
    made.add_argument("data", metavar="PATH", help='a folder, a file of a set, or "scenes"')
    made.add_argument("--out", type=path, metavar="DIR", help="folder for a contact sheet and the record")
    made.add_argument("--json", action="store_true", help="print JSON instead")
    made.add_argument("--seed", type=whole(0), default=0, metavar="S", help="of the sheet, and of scenes: `zfcore train` takes those of 0")


def _add_train(commands: argparse._SubParsersAction) -> None:
    made = _command(
        commands,
        "train",
        _train,
        "train a network of the zoo on labelled images",
        "Every epoch says loss, errors and time left, and leaves a checkpoint that `zfcore features` and the others take as a MODEL;\n"
        "metrics.jsonl and curves.png show the run so far. Ctrl-C stops after the step, saved; --resume goes on from there, or from\n"
        "whatever a crash has left, to the same bits. The recipe is the paper's, or for images under 128 pixels one for small networks.",
        "zfcore train --data scenes --arch zfnet-small --epochs 10 --out run\n  zfcore train --resume run",
    )
    made.add_argument("--data", metavar="PATH", help="what `zfcore data` takes; with --resume: where the data are now")
    made.add_argument("--arch", metavar="NAME", help=f"of the zoo: {ZOO_HELP}")
    made.add_argument("--out", type=path, metavar="RUN", help="folder for the run")
    made.add_argument("--resume", type=path, metavar="RUN", help="go on with a run, instead of --arch, --out and the recipe")
    made.add_argument("--keep", type=whole_numbers, metavar="1,2,5", help="epochs whose checkpoints stay, besides the last and the best")
    add_threads(made)
    add_recipe(made)


def _add_evaluate(commands: argparse._SubParsersAction) -> None:
    made = _command(
        commands,
        "evaluate",
        _evaluate,
        "how often a trained network is wrong, and in what",
        "Top-1 and top-5 error with their 95 % intervals, of the centre crop and averaged over the paper's ten crops, and a line for\n"
        "every class. Several networks are one: the mean of their probabilities. With --out the confusion matrix (png), the worst\n"
        "mistakes as a sheet (png) and the record with every image (json).",
        "zfcore evaluate runs/a runs/b --data photos/ --out evaluation",
    )
    made.add_argument("models", nargs="+", metavar="MODEL", help="the folder of a run (its best checkpoint), a checkpoint, or an ONNX file")
    made.add_argument("--data", required=True, metavar="PATH", help='as `zfcore data` takes it: a folder, a file of a set, or "scenes"')
    made.add_argument("--part", choices=("test", "validation", "train"), help="of the data; of a run its own (default: the first there is)")
    made.add_argument("--epoch", type=whole(1), metavar="N", help="of a run: this epoch's checkpoint instead of the best")
    made.add_argument("--batch", type=whole(1), default=128, metavar="N", help="images computed at a time (default: 128)")
    made.add_argument("--json", action="store_true", help="print JSON instead")
    add_preprocessing(made)
    add_threads(made)
    made.add_argument("--out", type=path, metavar="DIR", help="folder for the pictures and the record")


def _add_evolve(commands: argparse._SubParsersAction) -> None:
    made = _command(
        commands,
        "evolve",
        _evolve,
        "how features evolve in training (figure 4)",
        "For maps of each chosen layer the strongest activation over all training images at some epochs of a run, brought down to\n"
        "pixels. For every layer a picture (png) and the arrays (npz), for all of them curves (convergence.png) and the record\n"
        "(evolution.json) go to --out; when a layer comes to rest is printed as a table. Needs the run's checkpoints and its data.\n"
        "Ctrl-C keeps what was found; the same command goes on from there. The search is kept in --out: another --rule, or\n"
        "--epochs searched before, need not search again.",
        "zfcore evolve runs/scenes --layers conv1,conv3,conv5 --random 8 --out evolution",
    )
    made.add_argument("run", type=path, metavar="RUN", help="folder that `zfcore train --out` wrote")
    made.add_argument("--layers", type=listed, default=[], metavar="A,B", help="names (see `zfcore info`; default: every convolution)")
    maps = made.add_mutually_exclusive_group()
    maps.add_argument("--maps", type=whole_numbers, metavar="0,7,31", help="these maps of every layer")
    maps.add_argument("--random", type=whole(1), default=6, metavar="N", help="N maps of every layer, drawn from --seed (default: 6)")
    maps.add_argument("--all", action="store_true", help="every map")
    made.add_argument("--seed", type=whole(0), default=0, metavar="S", help="of --random (default: 0)")
    made.add_argument("--epochs", type=whole_numbers, metavar="1,2,5", help="which have a checkpoint each (default: the paper's 1, 2, 5, "
                      "10, 20, 30, 40, 64 or those nearest, and the last)")  # fmt: skip
    made.add_argument("--data", metavar="PATH", help="where the run's data are now (default: where they were)")
    made.add_argument("--batch", type=whole(1), default=64, metavar="N", help="images computed at a time (default: 64)")
    made.add_argument("--restart", action="store_true", help="begin anew, whatever an earlier command left in --out")
    add_rule(made)
    add_threads(made)
    made.add_argument("--out", type=path, required=True, metavar="DIR", help="folder for the results")


def _add_bench(commands: argparse._SubParsersAction) -> None:
    made = _command(
        commands,
        "bench",
        _bench,
        "time the kernels and networks beside PyTorch, NumPy and others",
        "Every case is verified against the reference before it is timed; the sides take turns, with equal threads. Prints median,\n"
        "spread, rate, share of the machine's measured ceiling and the ratio to every peer that is installed; writes results.json\n"
        "with every raw sample, a roofline plot and bar charts to --out; results of an earlier run there become\n"
        "results-before.json. Ctrl-C keeps what was timed. The case ids are function/what/nBATCH, as conv2d/zfnet-conv3/n16;\n"
        "give patterns of them, or nothing for all.",
        "zfcore bench 'conv2d/zfnet-*' max_pool2d --n 1,16 --threads 1 --out bench",
    )
    made.add_argument("cases", nargs="*", metavar="PATTERN", help="cases by id, as for file names; conv2d stands for conv2d/*")
    made.add_argument("--n", type=whole_numbers, default=[], metavar="1,16", help="only these sizes of batch")
    made.add_argument("--tag", action="append", default=[], metavar="T", help="only cases with this tag (see --list); may be repeated")
    made.add_argument("--model", action="append", type=path, default=[], metavar="FILE", help="an ONNX file to time, too; may be repeated")
    made.add_argument("--peers", type=names, metavar="A,B", help="torch, onnxruntime, numpy, scipy, reference, or none (default: all)")
    made.add_argument("--budget", type=minutes, default=20.0, metavar="MINUTES", help="after which no case begins (default: 20)")
    add_threads(made)
    made.add_argument("--out", type=path, default=Path("bench"), metavar="DIR", help="folder for the results (default: bench)")
    instead = made.add_argument_group("instead of timing").add_mutually_exclusive_group()
    instead.add_argument("--list", action="store_true", help="list the cases that would be timed, with their tags")
    instead.add_argument("--machine", action="store_true", help="show the machine's facts and measured ceilings")
    instead.add_argument("--compare", nargs=2, type=path, metavar=("OLD", "NEW"), help="two results.json: what changed beyond the noise")


# ---- the commands


def _demo(arguments: argparse.Namespace) -> None:
    from zfcore.experiments import demo

    _use_threads(arguments)
    demo.run(arguments.out, arguments.seed)


def _info(arguments: argparse.Namespace) -> None:
    import json

    from zfcore.experiments import info

    net = zfcore.load(arguments.model)
    _print(json.dumps(info.facts(net), indent=1) if arguments.json else info.table(net))


def _features(arguments: argparse.Namespace) -> None:
    from zfcore.data.sources import FolderSource
    from zfcore.experiments import features

    net, choice = _prepared(arguments)
    pages = features.run(
        net,
        FolderSource(arguments.images),
        arguments.layer,
        arguments.out,
        choice=choice,
        maps=arguments.maps,
        random=None if arguments.all else arguments.random,
        seed=arguments.seed,
        top=arguments.top,
        rule=_rule(arguments),
        batch=arguments.batch,
        restart=arguments.restart,
        model=arguments.model,
    )
    _conclude([page.picture for page in pages])


def _project(arguments: argparse.Namespace) -> None:
    from zfcore.experiments import project

    net, choice = _prepared(arguments)
    paths = project.run(
        net,
        arguments.image,
        arguments.layer,
        arguments.out,
        unit=arguments.unit,
        strongest=arguments.strongest,
        rule=_rule(arguments),
        choice=choice,
        model=arguments.model,
    )
    _conclude(paths[:1])


def _data(arguments: argparse.Namespace) -> None:
    import json

    from zfcore.experiments import data

    survey = data.run(arguments.data, arguments.out, arguments.seed)
    _print(json.dumps(data.facts(survey), indent=1) if arguments.json else data.table(survey))


def _train(arguments: argparse.Namespace) -> None:
    from zfcore.experiments import train
    from zfcore.training.recipe import RECIPES, Recipe

    chosen = {f.name: value for f in dataclasses.fields(Recipe) if (value := getattr(arguments, f.name)) is not None}
    if arguments.resume is not None:
        given = [name for name in ("arch", "out", "recipe", "keep", *chosen) if getattr(arguments, name) is not None]
        if given:
            options = ", ".join(f"--{name.replace('_', '-')}" for name in given)
            raise ZfcoreError(f"--resume: goes on as the run began; leave out {options}, or begin another run with --out")
        _use_threads(arguments)
        run = train.resume(arguments.resume, arguments.data)
    else:
        missing = [f"--{name}" for name in ("data", "arch", "out") if getattr(arguments, name) is None]
        if missing:
            raise ZfcoreError(f"{', '.join(missing)}: needed to begin a run; --resume RUN goes on with one (see zfcore train --help)")
        recipe = dataclasses.replace(RECIPES[arguments.recipe or train.usual_recipe(arguments.arch)], **chosen)
        _use_threads(arguments)
        run = train.run(arguments.data, arguments.arch, arguments.out, recipe, arguments.keep)
    _print(str(run.best))


def _evaluate(arguments: argparse.Namespace) -> None:
    import json

    from zfcore.experiments import evaluate, evaluation

    _use_threads(arguments)
    found = evaluate.run(
        arguments.models,
        arguments.data,
        arguments.part,
        arguments.epoch,
        arguments.out,
        arguments.batch,
        arguments.preset,
        **_changes(arguments),
    )
    _print(json.dumps(evaluation.facts(found), indent=1) if arguments.json else evaluation.table(found))


def _evolve(arguments: argparse.Namespace) -> None:
    from zfcore.experiments import evolve

    _use_threads(arguments)
    found = evolve.run(
        arguments.run,
        arguments.out,
        arguments.layers,
        epochs=arguments.epochs,
        maps=arguments.maps,
        random=None if arguments.all else arguments.random,
        seed=arguments.seed,
        data=arguments.data,
        rule=_rule(arguments),
        batch=arguments.batch,
        restart=arguments.restart,
    )
    _print(found.table)
    _conclude(found.pictures)


def _bench(arguments: argparse.Namespace) -> None:
    if arguments.compare:
        from zfcore.bench import compare, results

        return _print(compare.text(*(results.read(path) for path in arguments.compare)))
    from zfcore.bench import cases, report, run

    if arguments.machine:
        return _print(run.facts(arguments.threads))
    chosen = cases.select(cases.all_cases(arguments.model), arguments.cases, arguments.n, arguments.tag)
    if arguments.list:
        width = max(len(case.id) for case in chosen)
        return _print("\n".join(f"{case.id:{width}} {' '.join(sorted(case.tags))}" for case in chosen))
    found = run.run(chosen, arguments.out, arguments.peers, arguments.threads, arguments.budget)
    _print(report.final_text(found))
    run.must_be_right(found)


def _prepared(arguments: argparse.Namespace) -> tuple[Network, Choice]:
    """The network and its preprocessing."""
    _use_threads(arguments)
    net = zfcore.load(arguments.model)
    return net, choose(net, arguments.preset, **_changes(arguments))


def _changes(arguments: argparse.Namespace) -> dict[str, Any]:
    """Of the preprocessing: what single options change."""
    crop = (arguments.crop, arguments.crop) if isinstance(arguments.crop, int) else arguments.crop
    channels = {"rgb": "RGB", "bgr": "BGR"}.get(arguments.channels, arguments.channels)
    return {"channels": channels, "size": arguments.size, "crop": crop, "mean": arguments.mean, "scale": arguments.scale}


def _rule(arguments: argparse.Namespace) -> Rule:
    return resolve(arguments.rule, arguments.normalisation, arguments.collisions)


def _use_threads(arguments: argparse.Namespace) -> None:
    """Bound the kernels' threads; there are never more than cores."""
    if arguments.threads is not None:
        import numba

        from zfcore.experiments.progress import say

        cores = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
        if arguments.threads > cores:
            say(f"{cores} cores, fewer than {arguments.threads} threads: {cores} compute")
        numba.set_num_threads(min(arguments.threads, cores))


def _conclude(pictures: Sequence[Path]) -> None:
    """The pictures on standard output, what to keep in mind beside it."""
    from zfcore.experiments.progress import say
    from zfcore.experiments.report import CAVEAT

    for picture in pictures:
        _print(str(picture))
    say(f"To keep in mind: {CAVEAT}.")
