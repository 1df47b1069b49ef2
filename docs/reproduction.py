"""Keep what a reproduction came to, and write the page of it.

    zfcore reproduce --out OUT           every experiment on the built-in scenes
    python docs/reproduction.py OUT      keeps its numbers, and some pictures scaled down
    python docs/refresh.py               writes docs/reproduction.md and the README's table from what is kept
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
RESULTS, IMAGES = ROOT / "docs" / "results" / "reproduction.json", ROOT / "docs" / "images" / "reproduction"
PICTURES = {
    "invariance": "invariance",
    "occlusion": "occlude",
    "correspondence": "correspond",
    "transfer": "transfer",
    "probe": "probe",
    "ablation": "ablate",
    "saliency": "saliency",
    "maximise": "maximise",
    "embedding": "embed",
    "truth": "truth",
}
"""By chapter the picture that the page shows: the first of those whose name begins so."""
WIDTH, COLOURS = 1200, 128


def kept_picture(out: Path, places: list[str], stem: str) -> Image.Image | None:
    """The picture of that name, no wider than a page, in few colours."""
    found = [place for place in places if Path(place).name.startswith(stem)]
    if not found:
        return None
    picture = Image.open(out / found[0]).convert("RGB")
    picture.thumbnail((WIDTH, 2 * WIDTH), Image.Resampling.LANCZOS)
    return picture.quantize(COLOURS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="the folder of a reproduction")
    out = parser.parse_args().out
    text = (out / "reproduce.json").read_text().replace(f"{out}/", "reproduction/")  # wherever it was made
    state = json.loads(text)
    IMAGES.mkdir(parents=True, exist_ok=True)
    for name, stem in PICTURES.items():
        picture = kept_picture(out, state["chapters"][name].get("pictures", []), stem)
        if picture is not None:
            picture.save(IMAGES / f"{name}.png", optimize=True)
    state["machine"] = f"{len(os.sched_getaffinity(0))} cores"
    RESULTS.write_text(json.dumps(state, indent=1) + "\n")


if __name__ == "__main__":
    main()
