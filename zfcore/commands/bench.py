"""`zfcore bench`."""

from __future__ import annotations

import argparse
from pathlib import Path

from zfcore.commands.arguments import add_computing, minutes, names, path, whole_numbers
from zfcore.commands.base import command, printed


def add(commands: argparse._SubParsersAction) -> None:
    """The command and its options."""
    made = command(
        commands,
        "bench",
        run,
        "time the kernels and networks beside PyTorch, NumPy and others",
        "Every case is verified against the reference before it is timed; the sides take turns, with equal threads. Prints median,\n"
        "spread, rate, share of the machine's measured ceiling and the ratio to every peer that is installed; writes results.json\n"
        "with every raw sample, a roofline plot and bar charts to --out; results of an earlier run there become\n"
        "results-before.json. Ctrl-C keeps what was timed. The case ids are function/what/nBATCH, as conv2d/zfnet-conv3/n16;\n"
        "give patterns of them, or nothing for all.\n\n"
        "With --backend cuda our side is the CUDA kernels, timed by events of the device, alone and with the way from the host and\n"
        "back; the peers are PyTorch on the same device, with TF32 off and on.",
        "zfcore bench 'conv2d/zfnet-*' max_pool2d --n 1,16 --threads 1 --out bench",
    )
    made.add_argument("cases", nargs="*", metavar="PATTERN", help="cases by id, as for file names; conv2d stands for conv2d/*")
    made.add_argument("--n", type=whole_numbers, default=[], metavar="1,16", help="only these sizes of batch")
    made.add_argument("--tag", action="append", default=[], metavar="T", help="only cases with this tag (see --list); may be repeated")
    made.add_argument("--model", action="append", type=path, default=[], metavar="FILE", help="an ONNX file to time, too; may be repeated")
    made.add_argument("--peers", type=names, metavar="A,B", help="torch, onnxruntime, numpy, scipy, reference, or none (default: all); "
                      "with --backend cuda: torch-cuda, torch-cuda-tf32")  # fmt: skip
    made.add_argument("--budget", type=minutes, default=20.0, metavar="MINUTES", help="after which no case begins (default: 20)")
    add_computing(made)
    made.add_argument("--out", type=path, default=Path("bench"), metavar="DIR", help="folder for the results (default: bench)")
    instead = made.add_argument_group("instead of timing").add_mutually_exclusive_group()
    instead.add_argument("--list", action="store_true", help="list the cases that would be timed, with their tags")
    instead.add_argument("--machine", action="store_true", help="show the machine's facts and measured ceilings")
    instead.add_argument("--compare", nargs=2, type=path, metavar=("OLD", "NEW"), help="two results.json: what changed beyond the noise")


def run(arguments: argparse.Namespace) -> None:
    """What it does."""
    if arguments.compare:
        from zfcore.bench import compare, results

        return printed(compare.text(*(results.read(path) for path in arguments.compare)))
    from zfkernels import DEVICES

    from zfcore.backends import resolve
    from zfcore.bench import bars, cases, report, run

    if arguments.machine:
        return printed(run.facts(arguments.threads, arguments.backend))
    chosen = cases.select(cases.all_cases(arguments.model), arguments.cases, arguments.n, arguments.tag)
    if resolve(arguments.backend) in DEVICES:
        chosen = cases.most_telling(chosen, bars.BARS)
    if arguments.list:
        width = max(len(case.id) for case in chosen)
        return printed("\n".join(f"{case.id:{width}} {' '.join(sorted(case.tags))}" for case in chosen))
    found = run.run(chosen, arguments.out, arguments.peers, arguments.threads, arguments.budget, arguments.backend)
    printed(report.final_text(found))
    run.must_be_right(found)
