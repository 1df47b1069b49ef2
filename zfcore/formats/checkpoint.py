"""Checkpoints: one safetensors file with the weights, and the architecture as JSON in its metadata.

One written in training also holds what the run needs to go on from it: plain facts, and arrays under names that begin with `OF_TRAINING`.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from zfcore import layers as layer_types
from zfcore.data.preprocessing import Preprocessing
from zfcore.errors import ZfcoreError, printable
from zfcore.files import write_whole
from zfcore.layers import Layer
from zfcore.layers.base import MAX_ACTIVATIONS
from zfcore.network import Network

VERSION = 1
MEAN_IMAGE = "preprocessing_mean"  # without a dot: no field of a layer has this name
OF_TRAINING = "training: "

MAX_HEADER_BYTES = 100_000_000
"""The limit of safetensors itself."""


def is_checkpoint(path: Path) -> bool:
    """Whether the file is called safetensors or begins as they do: the length of a JSON header, then the header. It may be damaged."""
    with open(path, "rb") as file:
        head = file.read(9)
    begins_so = len(head) == 9 and struct.unpack("<Q", head[:8])[0] <= MAX_HEADER_BYTES and head[8:] == b"{"
    return begins_so or path.suffix == ".safetensors"


@dataclass(frozen=True)
class Training:
    """What a checkpoint knows of the run that wrote it: plain values, and arrays by name."""

    facts: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]


def save(net: Network, path: str | Path, training: Training | None = None) -> None:
    """Write a network: weights, architecture, preprocessing, classes. The file appears whole or not at all.

    Raises
    ------
    ZfcoreError
        If it cannot be written, or has a name that would not be read back.
    """
    write_whole(Path(path), to_bytes(net, path, training))


def to_bytes(net: Network, path: str | Path, training: Training | None = None) -> bytes:
    """What `save` writes; the path is for the error."""
    from safetensors.numpy import save as serialised

    try:
        for what, texts in (("name", [net.name]), ("layers", list(net.layers)), ("classes", list(net.classes or ()))):
            _need_texts(what, texts)
    except ValueError as error:
        raise ZfcoreError(printable(f"{path}: cannot be written: {error}")) from error
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
    if training is not None:
        facts["training"] = training.facts
        tensors |= {OF_TRAINING + name: a for name, a in training.arrays.items()}
    tensors = {name: np.ascontiguousarray(net.to_numpy(a)) for name, a in tensors.items()}
    return serialised(tensors, metadata={"zfcore": json.dumps(facts, default=lambda scalar: scalar.item())})


def _described(layer: Layer) -> dict[str, Any]:
    plain = {f.name: getattr(layer, f.name) for f in fields(layer) if f.name not in layer.arrays}
    return {"type": type(layer).__name__, **plain}


def load_checkpoint(path: str | Path) -> Network:
    """The network of a checkpoint, which is untrusted bytes.

    Raises
    ------
    ZfcoreError
        If the file is damaged, not a checkpoint of this program, or describes a network that cannot be.
    """
    return load_training(path)[0]


def load_training(path: str | Path) -> tuple[Network, Training | None]:
    """The network of a checkpoint, and what it knows of its training; None if it was not written in one.

    Raises
    ------
    ZfcoreError
        As `load_checkpoint`.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            architecture = (file.metadata() or {}).get("zfcore")
            tensors = {} if architecture is None else {name: file.get_tensor(name) for name in list(file.keys())}
    except (SafetensorError, OSError, ValueError, TypeError, AttributeError) as error:  # the last two: types that NumPy lacks
        raise ZfcoreError(printable(f"{path}: a damaged checkpoint ({error}); needed a whole safetensors file")) from error
    if architecture is None:
        raise ZfcoreError(f"{path}: a safetensors file without zfcore's architecture; needed a checkpoint that zfcore wrote")
    try:
        facts = json.loads(architecture)
        training = _training(facts, tensors)
        return _network(facts, tensors), training
    except RecursionError:
        reason: object = "it is nested too deep"
    except (TypeError, ValueError, OverflowError) as error:
        reason = error
    raise ZfcoreError(printable(f"{path}: the checkpoint's architecture does not hold together: {reason}"))


def _training(facts: Any, tensors: dict[str, np.ndarray]) -> Training | None:
    """What the facts and tensors say of training, taken out of the tensors."""
    if not isinstance(facts, dict) or "training" not in facts:
        return None
    if not isinstance(facts["training"], dict):
        raise ValueError(f"training: got {facts['training']!r:.80}, needed facts by name")
    names = [name for name in tensors if name.startswith(OF_TRAINING)]
    return Training(facts["training"], {name.removeprefix(OF_TRAINING): tensors.pop(name) for name in names})


def _network(facts: Any, tensors: dict[str, np.ndarray]) -> Network:
    if not isinstance(facts, dict) or facts.get("version") != VERSION:
        version = facts.get("version") if isinstance(facts, dict) else None
        raise ValueError(f"version: got {version!r:.80}, needed {VERSION}; load it with the zfcore that wrote it")
    missing = [key for key in ("name", "layers", "outputs", "classes", "preprocessing") if key not in facts]
    if missing:
        raise ValueError(f"{missing[0]} is missing")
    classes, kept = facts["classes"], facts["preprocessing"]
    if not isinstance(facts["layers"], list) or not facts["layers"]:
        raise ValueError(f"layers: got {facts['layers']!r:.80}, needed a list of them")
    _need_texts("name", [facts["name"]])
    _need_texts("outputs", facts["outputs"])
    _need_texts("classes", [] if classes is None else classes)
    net = Network([_rebuilt(d, tensors) for d in facts["layers"]], facts["outputs"], facts["name"], classes=classes)
    strays = tensors.keys() - {MEAN_IMAGE, *(f"{name}.{f}" for name, layer in net.layers.items() for f in layer.arrays)}
    if strays:
        raise ValueError(f"tensors: got {min(strays)!r}, which no layer has")
    held = sum(layer.held(*net.input_shapes(layer)) for layer in net.layers.values())
    if held > MAX_ACTIVATIONS:
        raise ValueError(f"layers: got {held:,} numbers for one image, needed at most {MAX_ACTIVATIONS:,}")
    if kept is not None:
        net.preprocessing = Preprocessing.from_dict(kept, tensors.get(MEAN_IMAGE))
        net.preprocessing.for_input(net.input_shape)  # raises if they contradict each other
    return net


def _rebuilt(description: Any, tensors: dict[str, np.ndarray]) -> Layer:
    if not isinstance(description, dict):
        raise ValueError(f"layers: got {description!r:.80}, needed the fields of a layer")
    values = {field: _tuples(value) for field, value in description.items()}
    kind, name = values.pop("type", None), values.get("name")
    if kind not in layer_types.__all__ or kind in ("Layer", "Crop"):
        raise ValueError(f"unknown layer type {kind!r:.80}")
    _need_texts("layers", [name])
    arrays = {n.removeprefix(f"{name}."): a for n, a in tensors.items() if n.rpartition(".")[0] == name}
    made = getattr(layer_types, kind)
    known = {f.name: f.default is MISSING and f.default_factory is MISSING for f in fields(made)}
    strange = [field for field in (*values, *arrays) if field not in known]
    if strange:
        raise ValueError(f"layer {name!r} ({kind}): got {strange[0]!r:.80}, which it does not have")
    twice = values.keys() & arrays.keys()
    if twice:
        raise ValueError(f"layer {name!r} ({kind}): got {min(twice)} twice, as a value and as a tensor")
    absent = [field for field, needed in known.items() if needed and field not in values | arrays]
    if absent:
        raise ValueError(f"layer {name!r} ({kind}): {absent[0]} is missing")
    return made(**values, **arrays)


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value


def _need_texts(what: str, texts: Any) -> None:
    """Raise ValueError unless they are a list of texts that can be printed: a terminal takes control characters for commands."""
    if not isinstance(texts, list):
        raise ValueError(f"{what}: got {texts!r:.80}, needed a list of names")
    for text in texts:
        if not isinstance(text, str) or not text or not text.isprintable():
            raise ValueError(f"{what}: got the name {text!r:.80}, needed one of printable characters")
