"""What every result says about how it was made, and how it gets to disk."""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import re
import tempfile
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from zfcore.data.choice import Choice
from zfcore.data.preprocessing import PRESETS
from zfcore.errors import ZfcoreError
from zfcore.experiments.progress import say
from zfcore.files import write_whole
from zfcore.network import Network
from zfcore.rules import Rule

CAVEAT = (
    "deconvnet and guided maps largely recover the image and are weakly tied to the class "
    "(Nie et al. 2018; Adebayo et al. 2018, on randomised weights)"
)
"""To be said with every projection, whatever it shows."""


def described_model(net: Network, model: str | Path | None) -> dict[str, Any]:
    """What a network is: the name it was asked for by, and the SHA-256 of its file, or of its weights; and what computes."""
    path = None if model is None else Path(model)
    if path is not None and path.is_file():
        return {"name": path.name, "sha256": sha256_of(path), "sha256_of": "file", "backend": net.backend}
    digest = hashlib.sha256()
    for name, layer in net.layers.items():
        for field, array in layer.arrays.items():
            digest.update(f"{name}.{field}{array.shape}{array.dtype}".encode())
            digest.update(np.ascontiguousarray(net.to_numpy(array)).data)
    return {"name": net.name, "sha256": digest.hexdigest(), "sha256_of": "weights", "backend": net.backend}


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def described_files(picture: Path, arrays: Path) -> dict[str, dict[str, str]]:
    """The names and SHA-256 of what lies beside a record."""
    return {what: {"name": path.name, "sha256": sha256_of(path)} for what, path in (("picture", picture), ("arrays", arrays))}


def described_layer(net: Network, name: str) -> dict[str, Any]:
    """A layer's name, operator and shape."""
    return {"name": name, "op": type(net.layer(name)).__name__, "shape": list(net.shapes[name])}


def described_rule(rule: Rule) -> dict[str, str]:
    """Every choice of a rule."""
    return {"rectifier": rule.rectifier, "normalisation": rule.normalisation, "collisions": rule.collisions}


def say_preprocessing(choice: Choice) -> None:
    """Echo what images go through, and where that was assumed, how to say better."""
    say(f"preprocessing: {choice.preprocessing.describe()} ({choice.origin})")
    if choice.origin.startswith("assumed"):
        say(f"  if the model was trained on something else, give --preset ({', '.join(PRESETS)}) or --mean, --scale, --channels")


def file_names(layers: Iterable[str]) -> dict[str, str]:
    """For each layer a name that any file system takes.

    Examples
    --------
    >>> file_names(["conv1/7x7_s2", "conv1:7x7_s2"])
    {'conv1/7x7_s2': 'conv1_7x7_s2', 'conv1:7x7_s2': 'conv1_7x7_s2-2'}
    """
    names: dict[str, str] = {}
    for layer in layers:
        stem = re.sub(r"[^A-Za-z0-9._-]", "_", layer).lstrip(".")[:100] or "layer"
        number, name = 1, stem
        while name in names.values():
            number += 1
            name = f"{stem}-{number}"
        names[layer] = name
    return names


def make_folder(out: Path) -> None:
    """Make the folder that results go to, and see that files can be written in it, before any work is done.

    Raises
    ------
    ZfcoreError
        If it cannot be made or written to.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except (FileExistsError, NotADirectoryError) as error:
        in_the_way = next(place for place in (out, *out.parents) if os.path.lexists(place))
        raise ZfcoreError(f"{in_the_way}: is not a folder, which the results need; give another --out") from error
    except OSError as error:
        raise ZfcoreError(f"{out}: results cannot be written there: {error.strerror}; give another --out") from error


def keep_out_of(data: str | Path, out: Path) -> None:
    """Raise ZfcoreError if results would lie among the images: a picture there would be taken for one of them."""
    place = Path(data)
    folder = place if place.is_dir() else place.parent
    if place.exists() and out.resolve().is_relative_to(folder.resolve()):
        raise ZfcoreError(f"{out}: lies in the data's folder {folder}, in which nothing is written; give another --out")


def write_json(path: Path, facts: Any) -> None:
    """Write plain values as JSON, in ASCII: names of files need not be valid text.

    JSON has no infinity and no NaN: a number that is not finite becomes null. The arrays beside keep it.
    """
    write_whole(path, (json.dumps(_finite(facts), indent=1, allow_nan=False) + "\n").encode())


def _finite(facts: Any) -> Any:
    if isinstance(facts, dict):
        return {name: _finite(value) for name, value in facts.items()}
    if isinstance(facts, list | tuple):
        return [_finite(value) for value in facts]
    return None if isinstance(facts, float) and not math.isfinite(facts) else facts


def write_arrays(path: Path, /, **arrays: np.ndarray) -> None:
    """Write named arrays as npz."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:  # as np.savez does, which refuses the names of its own arguments: a layer may have them
        for name, array in arrays.items():
            with file.open(f"{name}.npy", "w", force_zip64=True) as place:
                np.lib.format.write_array(place, np.asanyarray(array), allow_pickle=False)
    write_whole(path, buffer.getvalue())


def write_picture(path: Path, picture: Image.Image) -> None:
    """Write a picture as PNG."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    write_whole(path, buffer.getvalue())


def columns(cells: Sequence[Sequence[str]], left: int = 1) -> list[str]:
    """Lines of cells in columns, the first `left` of them flush left, with a rule below the headings."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(c.ljust(w) if i < left else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True))).rstrip()
        for line in cells
    ]
    return [lines[0], "-" * max(map(len, lines)), *lines[1:]]
