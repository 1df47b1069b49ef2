"""Write into the pages what programs know: results of the demo, of trainings (docs/trainings.py), of a reproduction
(docs/reproduction.py) and of the benchmarks, the table of ops.

    python docs/refresh.py --demo    run the demo, keep its results and pictures, rewrite the texts
    python docs/refresh.py           rewrite the texts from the results that are kept
    python docs/refresh.py --check   change nothing; fail if a text is not what it would be rewritten to
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
from pathlib import Path

os.environ["NUMBA_ENABLE_CUDASIM"] = "1"  # the table of ops is the same with and without a device

import zfkernels
from PIL import Image
from zfkernels.catalog import CATALOG

from zfcore.bench import report, results
from zfcore.experiments import demo
from zfcore.experiments.chapters import CHAPTERS
from zfcore.experiments.page import LONG

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/ is not installed
from benchmarks import memory
from benchmarks.ladder import table

ROOT = Path(__file__).resolve().parents[1]
BENCHMARKS = ROOT / "benchmarks"
RESULTS, IMAGES = ROOT / "docs" / "results" / "demo.json", ROOT / "docs" / "images"
TRAININGS = ROOT / "docs" / "results" / "training.json"
REPRODUCTION = ROOT / "docs" / "results" / "reproduction.json"
PICTURES = ("conv2", "conv5")


def op_table() -> str:
    """Every op of the catalog: its functions, its laws, the backends that have it."""
    backends = {name: zfkernels.get(name) for name, reason in zfkernels.backends().items() if not reason}
    lines = [f"| op | functions | laws | {' | '.join(backends)} | source |", "|---|---|---|" + "---|" * (len(backends) + 1)]
    for op in CATALOG:
        laws = [f"{law.adjoint}: adjoint in {law.argument}" for law in op.adjoints] + [f"{law.vjp}: derivative" for law in op.vjps]
        has = ["yes" if all(hasattr(module, f) for f in op.functions) else "no" for module in backends.values()]
        lines.append(f"| {op.name} | {', '.join(op.functions)} | {'; '.join(laws)} | {' | '.join(has)} | {op.source} |")
    return "\n".join(lines)


def demo_result() -> str:
    """What the kept run of the demo came to."""
    facts = json.loads(RESULTS.read_text())
    return (
        f"The demo of version {facts['zfcore']}, seed {facts['seed']}: {100 * (1 - facts['held_out_error']):.1f} % of "
        f"{demo.HELD_OUT} held-out scenes named rightly after {facts['training_seconds']:.0f} s of training; "
        f"{facts['total_seconds']:.0f} s in all on {facts['machine']}."
    )


def training_table() -> str:
    """What the kept trainings came to."""
    facts = json.loads(TRAININGS.read_text())
    rows = [["data", "network", "options", "epochs", "trained on", "time", "tested on", "error", "of ten crops"]]
    for name, run in facts["runs"].items():
        minutes, seconds = divmod(round(run["seconds"]), 60)
        tested = f"{run['images']:,}, {'held out' if run['part'] == 'validation' else run['part']}"
        errors = [f"{100 * run[crops]['top1']['error']:.2f} %" for crops in ("centre", "ten")]
        options = f"`{run['options']}`" if run["options"] else ""
        trained = [str(run["epochs"]), f"{run['training_images']:,}", f"{minutes}:{seconds:02}"]
        rows.append([name, run["arch"], options, *trained, tested, *errors])
    return f"On {facts['machine']}, version {facts['zfcore']}:\n\n" + report.as_markdown(rows)


def evolution_table() -> str:
    """When each layer of the scenes' run came to rest."""
    layers = json.loads(TRAININGS.read_text())["evolution"]
    rows = [["layer", "maps", "settled, median of the maps", "settled, mean change", "strongest image the same from, mean"]]
    for layer, facts in layers.items():
        change = facts["change"]["as_shown"]
        ends = [change["settled_median_of_maps"], change["settled"], facts["strongest_image"]["resting_mean"]]
        rows.append([layer, str(facts["alive_in_last"]), *("not" if end is None or end == float("inf") else f"{end:.3g}" for end in ends)])
    return report.as_markdown(rows)


def minutes(seconds: float) -> str:
    """As 4:05."""
    return f"{round(seconds) // 60}:{round(seconds) % 60:02}"


def reproduction_head() -> str:
    """How the kept reproduction was made."""
    state = json.loads(REPRODUCTION.read_text())
    asked, spent = state["asked"], sum(chapter["seconds"] for chapter in state["chapters"].values())
    return (
        f"`zfcore reproduce` of version {state['zfcore']} with {asked['data']}, {asked['arch']}, seed {asked['seed']}, a budget of "
        f"{asked['minutes']:g} minutes: {len(state['chapters'])} experiments in {minutes(spent)} on {state['machine']}."
    )


def reproduction_page() -> str:
    """Every experiment of the kept reproduction: the paper's finding, ours, why they differ, tables, a picture."""
    state = json.loads(REPRODUCTION.read_text())
    lines = [reproduction_head(), ""]
    for chapter in CHAPTERS:
        told = state["chapters"][chapter.name]
        lines += [f"## {chapter.title}", "", f"*The paper:* {chapter.paper}", ""]
        if "refused" in told:
            lines += [f"Not done: {told['refused']}", ""]
            continue
        lines += [f"*Here:* {told['found']}", ""]
        if told["table"]:
            table = ["```", told["table"], "```", ""]
            long = told["table"].count("\n") >= LONG
            lines += ["<details><summary>the table</summary>", "", *table, "</details>", ""] if long else table
        lines += [f"*Why they differ:* {chapter.why}", ""]
        if (ROOT / "docs" / "images" / "reproduction" / f"{chapter.name}.png").exists():
            lines += [f"![{chapter.title}](images/reproduction/{chapter.name}.png)", ""]
    return "\n".join(lines).rstrip()


def memory_table() -> str:
    """The kept measurements of memory."""
    return memory.page({path.stem: json.loads(path.read_text()) for path in sorted((BENCHMARKS / "results" / "memory").glob("*.json"))})


def stored(folder: str = "results") -> dict[str, results.Results]:
    """The kept results of the benchmarks, by name."""
    return {path.stem: results.read(path) for path in sorted((BENCHMARKS / folder).glob("*.json"))}


def benchmark_page() -> str:
    """Every kept result; the roofline of those beside which it lies."""
    pictures = {name: f"results/{name}-roofline.svg" for name in stored()}
    return report.page(stored(), {name: place for name, place in pictures.items() if (BENCHMARKS / place).exists()})


BLOCKS = {
    ROOT / "docs" / "reproduction.md": {"reproduction": reproduction_page},
    ROOT / "README.md": {
        "reproduction": reproduction_head,
        "occlusion": lambda: report.headline(stored("results/occlusion")),
        "demo": demo_result,
        "training": training_table,
        "evolution": evolution_table,
        "bench": lambda: report.headline(stored()),
        "steps": lambda: report.headline(stored("results/steps")),
    },
    ROOT / "kernels" / "README.md": {"ops": op_table},
    BENCHMARKS / "README.md": {
        "bench": benchmark_page,
        "steps": lambda: report.page(stored("results/steps"), {}),
        "occlusion": lambda: report.page(stored("results/occlusion"), {}),
        "memory": memory_table,
        "cuda": lambda: report.cuda_page(stored("results/cuda"), {}),
        "ladder": lambda: table.page(stored("results/ladder")),
    },
}


def rewritten(text: str, blocks: dict) -> str:
    """The text with every block between its markers written anew."""
    for name, content in blocks.items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        if not pattern.search(text):
            raise SystemExit(f"no markers for {name!r}")
        text = pattern.sub(lambda match, content=content: f"{match[1]}{content()}\n{match[2]}", text)
    return text


def keep_demo(seed: int) -> None:
    """Run the demo; keep its figures and, scaled down for the page, its pictures."""
    import os

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        demo.run(out, seed)
        facts = json.loads((out / "demo.json").read_text())
        facts["machine"] = f"{len(os.sched_getaffinity(0))} cores"
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(facts, indent=1) + "\n")
        IMAGES.mkdir(exist_ok=True)
        for layer in PICTURES:
            picture = Image.open(out / "features" / f"{layer}.png")
            picture.thumbnail((1200, 1600))
            picture.convert("P", palette=Image.Palette.ADAPTIVE).save(IMAGES / f"{layer}.png", optimize=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demo", action="store_true", help="run the demo first")
    parser.add_argument("--seed", type=int, default=0, help="of the demo (default: 0)")
    parser.add_argument("--check", action="store_true", help="fail if a text is out of date")
    arguments = parser.parse_args()
    if arguments.demo:
        keep_demo(arguments.seed)
    stale = []
    for path, blocks in BLOCKS.items():
        text = path.read_text()
        new = rewritten(text, blocks)
        if new != text:
            stale.append(path.relative_to(ROOT).as_posix())
            if not arguments.check:
                path.write_text(new)
    if arguments.check and stale:
        print(f"out of date: {', '.join(stale)}; run python docs/refresh.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
