"""`zfcore info`."""

from __future__ import annotations

import argparse

from zfcore.commands.base import MODEL_HELP, command, printed


def add(commands: argparse._SubParsersAction) -> None:
    """The command and its options."""
    made = command(
        commands,
        "info",
        run,
        "the layers of a network as a table",
        "Of every layer the operator, output shape, parameters, multiply-adds (MACs), the receptive field of its units in pixels\n"
        "of the input, the jump from one unit to the next, and where the first one starts.",
        "zfcore info googlenet.onnx",
    )
    made.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    made.add_argument("--json", action="store_true", help="print JSON instead")


def run(arguments: argparse.Namespace) -> None:
    """What it does."""
    import json

    from zfcore.experiments import info
    from zfcore.experiments.subject import load_network

    net = load_network(arguments.model)[0]
    printed(json.dumps(info.facts(net), indent=1) if arguments.json else info.table(net))
