"""Train the networks of the README's table, and keep what they came to.

    python docs/trainings.py DATA          DATA holds mnist, cifar10 and caltech20, as `zfcore data` takes them
    python docs/trainings.py DATA scenes   one of them alone; the others stay as they are kept
    python docs/refresh.py                 writes the table from what is kept

Every row is what `zfcore train --data NAME --arch NETWORK OPTIONS` and `zfcore evaluate` come to, with the time that training takes. The
scenes need no data; their run also gives figure 4.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

from PIL import Image

import zfcore
from zfcore.experiments import evaluate, evaluation, evolve, train
from zfcore.training import RECIPES

ROOT = Path(__file__).resolve().parents[1]
RESULTS, IMAGES = ROOT / "docs" / "results" / "training.json", ROOT / "docs" / "images"
#: Data, architecture, and what is changed in the recipe "small"; caltech20 has no test part, so that a fifth is held out.
RUNS: dict[str, tuple[str, dict[str, Any]]] = {
    "scenes": ("zfnet-small", {}),
    "mnist": ("zfnet-28", {"epochs": 10, "flip": False, "weight_decay": 5e-4, "validation": 0.05}),
    "cifar10": ("zfnet-28", {"epochs": 50, "weight_decay": 1e-3}),
    "caltech20": ("zfnet-96", {"epochs": 60, "validation": 0.2}),
}
EVOLVED, EVOLUTION_EPOCHS = "conv5", (1, 2, 5, 10, 20, 30)


def trained(name: str, data: str | Path, out: Path) -> dict[str, Any]:
    """Train and evaluate one of `RUNS`."""
    arch, changes = RUNS[name]
    began = perf_counter()
    run = train.run(data, arch, out, replace(RECIPES["small"], **changes))
    seconds = perf_counter() - began
    facts = evaluation.facts(evaluate.run([out], data))
    options = " ".join(option(field, value) for field, value in changes.items())
    return {
        "arch": arch,
        "options": options,
        "epochs": run.recipe.epochs,
        "training_images": len(run.training),
        "seconds": seconds,
        "part": facts["data"]["part"],
        "images": facts["images"],
        **{crops: {top: facts[crops][top] for top in ("top1", "top5")} for crops in ("centre", "ten")},
    }


def option(field: str, value: Any) -> str:
    """As one writes it."""
    flag = field.replace("_", "-")
    return f"--{'no-' * (not value)}{flag}" if isinstance(value, bool) else f"--{flag} {value}"


def evolved(run: Path, out: Path) -> dict[str, Any]:
    """Figure 4 of the scenes' run: the numbers of every epoch as a column, and a picture of the paper's columns."""
    every = evolve.run(run, out / "every", random=32, epochs=range(1, 31))
    shown = evolve.run(run, out / "shown", [EVOLVED], random=6, epochs=EVOLUTION_EPOCHS)
    IMAGES.mkdir(exist_ok=True)
    for place, name in ((shown.pictures[0], "evolution.png"), (every.pictures[-1], "convergence.png")):
        picture = Image.open(place).convert("RGB")
        picture.thumbnail((1100, 1400))
        picture.convert("P", palette=Image.Palette.ADAPTIVE).save(IMAGES / name, optimize=True)
    return {layer: numbers.facts() for layer, numbers in every.layers.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="DATA", help="folder that holds mnist, cifar10 and caltech20")
    parser.add_argument("names", nargs="*", choices=[*RUNS, []], metavar="NAME", help=f"of {', '.join(RUNS)} (default: all)")
    arguments = parser.parse_args()
    facts: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"runs": {}}
    facts |= {"zfcore": zfcore.__version__, "machine": f"{len(os.sched_getaffinity(0))} cores"}
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.names or RUNS:
            facts["runs"][name] = trained(name, name if name == "scenes" else arguments.data / name, Path(folder, name))
        if Path(folder, "scenes").exists():
            facts["evolution"] = evolved(Path(folder, "scenes"), Path(folder, "evolution"))
    RESULTS.write_text(json.dumps(facts, indent=1, default=float) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
