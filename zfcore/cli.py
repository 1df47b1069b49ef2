"""The command line: its commands are in `zfcore.commands`, what they do in `zfcore.experiments`."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import zfkernels

import zfcore
from zfcore.backends import computing_on
from zfcore.commands import (
    ablate,
    activations,
    bench,
    compare,
    correspond,
    data,
    demo,
    duplicates,
    embed,
    evaluate,
    evolve,
    features,
    filters,
    info,
    invariance,
    maximise,
    occlude,
    probe,
    project,
    reproduce,
    saliency,
    train,
    transfer,
    truth,
)
from zfcore.commands.base import printed
from zfcore.errors import ZfcoreError, printable

COMMANDS = (
    *(demo, info, data, train, evaluate, evolve),
    *(features, project, filters, compare, activations, invariance, occlude, correspond, saliency, maximise, embed, truth),
    *(transfer, probe, ablate, duplicates, reproduce, bench),
)
"""In the order in which the help lists them."""
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

        asked = getattr(arguments, "backend", "cpu")
        with computing_on(asked) as backend, announced():
            if asked == "auto" and backend == "cpu":
                print(f"computing on cpu: {zfkernels.backends()['cuda']}", file=sys.stderr)
            if backend in zfkernels.DEVICES:
                print(f"computing on {backend}: {zfkernels.get(backend).described()}", file=sys.stderr)
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


class _Parser(argparse.ArgumentParser):
    """A mistake is one line, as everywhere else; help that cannot be written is an error."""

    def error(self, message: str) -> NoReturn:
        minus = "; one that begins with - is given after =, as in --mean=-1" if message.endswith("expected one argument") else ""
        raise SystemExit(_refused(f"{message}{minus} (see {self.prog} --help)"))

    def print_help(self, file: Any = None) -> None:
        printed(self.format_help().rstrip())


class _Version(argparse.Action):
    """--version; argparse's own drops errors of standard output."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        printed(f"zfcore {zfcore.__version__}")
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
    for command in COMMANDS:
        command.add(commands)
    return top
