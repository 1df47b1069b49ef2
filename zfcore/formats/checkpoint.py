"""Checkpoints: one safetensors file with the weights, and the architecture as JSON in its metadata."""

from __future__ import annotations

import json
import os
import struct
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from zfcore import layers as layer_types
from zfcore.data.preprocessing import Preprocessing
from zfcore.errors import ZfcoreError
from zfcore.layers import Layer
from zfcore.network import Network

VERSION = 1
MEAN_IMAGE = "preprocessing.mean"


def is_checkpoint(path: Path) -> bool:
    """Whether the file begins as safetensors do: the length of a JSON header, then the header."""
    with open(path, "rb") as file:
        head = file.read(9)
    return len(head) == 9 and struct.unpack("<Q", head[:8])[0] <= os.path.getsize(path) and head[8:] == b"{"


def save(net: Network, path: str | Path) -> None:
    """Write a network: weights, architecture, preprocessing, classes. The file appears whole or not at all.

    Raises
    ------
    ZfcoreError
        If it cannot be written.
    """
    from safetensors.numpy import save as to_bytes

    tensors = {f"{name}.{f}": a for name, layer in net.layers.items() for f, a in layer.arrays.items()}
    facts = {
        "version": VERSION,
        "name": net.name,
        "layers": [_described(layer) for layer in net.layers.values()],
        "outputs": net.outputs,
        "classes": net.classes,
        "preprocessing": None if net.preprocessing is None else net.preprocessing.to_dict(),
    }
    if net.preprocessing is not None and net.preprocessing.mean.ndim == 3:
        tensors[MEAN_IMAGE] = net.preprocessing.mean
    tensors = {name: np.ascontiguousarray(a) for name, a in tensors.items()}
    write_whole(Path(path), to_bytes(tensors, metadata={"zfcore": json.dumps(facts)}))


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all: beside its place first, then renamed into it.

    Raises
    ------
    ZfcoreError
        If it cannot be written: no permission, no folder, no room.
    """
    partial = path.with_name(f".{path.name}.part")
    try:
        with open(partial, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise ZfcoreError(f"{path}: cannot be written: {error.strerror}; nothing was left half-written") from error


def _described(layer: Layer) -> dict[str, Any]:
    plain = {f.name: getattr(layer, f.name) for f in fields(layer) if f.name not in layer.arrays}
    return {"type": type(layer).__name__, **plain}


def load_checkpoint(path: str | Path) -> Network:
    """The network of a checkpoint.

    Raises
    ------
    ZfcoreError
        If the file is damaged, or not a checkpoint of this program.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in list(file.keys())}
    except (SafetensorError, OSError, ValueError) as error:
        raise ZfcoreError(f"{path}: a damaged checkpoint ({error}); needed a whole safetensors file") from error
    if "zfcore" not in metadata:
        raise ZfcoreError(f"{path}: a safetensors file without zfcore's architecture; needed a checkpoint that zfcore wrote")
    try:
        facts = json.loads(metadata["zfcore"])
        layers = [_rebuilt(description, tensors) for description in facts["layers"]]
        kept = facts["preprocessing"]
        preprocessing = None if kept is None else Preprocessing.from_dict(kept, tensors.get(MEAN_IMAGE))
        return Network(
            layers, facts["outputs"], facts["name"], preprocessing=preprocessing, classes=facts["classes"]
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ZfcoreError(f"{path}: the checkpoint's architecture does not hold together: {error}") from error


def _rebuilt(description: dict[str, Any], tensors: dict[str, np.ndarray]) -> Layer:
    description = {k: _tuples(v) for k, v in description.items()}
    kind = description.pop("type")
    if kind not in layer_types.__all__ or kind in ("Layer", "Crop"):
        raise ValueError(f"unknown layer type {kind!r}")
    prefix = f"{description['name']}."
    arrays = {n.removeprefix(prefix): a for n, a in tensors.items() if n.rpartition(".")[0] + "." == prefix}
    return getattr(layer_types, kind)(**description, **arrays)


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value
