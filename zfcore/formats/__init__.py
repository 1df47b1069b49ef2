"""Networks from files: ONNX, and checkpoints of our own."""

from __future__ import annotations

import os
from pathlib import Path

from zfcore.errors import ZfcoreError
from zfcore.formats.checkpoint import is_checkpoint, load_checkpoint, save
from zfcore.names import nearest
from zfcore.network import Network
from zfcore.zoo import ARCHITECTURES, build, exists

__all__ = ["load", "save"]

MAX_NAME = 255  # bytes, on any usual file system


def load(model: str | Path, input_size: tuple[int, int] | None = None) -> Network:
    """The network of a file, or of a name in the zoo.

    Parameters
    ----------
    model : path or str
        An ONNX file, a checkpoint (safetensors), or the name of an untrained network of `zfcore.zoo`.
    input_size : (H, W), optional
        Size of the images, in pixels, for an ONNX file that leaves it open; 224 x 224 if not given.

    Raises
    ------
    ZfcoreError
        If there is no such file or name, or the file is damaged or not supported.
    """
    path = Path(model)
    wanted = "needed an ONNX file, a checkpoint, or a name in the zoo"
    if str(model) == "":
        raise ZfcoreError(f"model: got an empty name, {wanted}")
    if len(os.fsencode(path.name)) > MAX_NAME:
        raise ZfcoreError(f"{model!s:.40}...: a name too long for a file, {wanted}")
    if path.is_file():
        if is_checkpoint(path):
            return load_checkpoint(path)
        from zfcore.formats.onnx_import import load_onnx  # onnx takes its time to import

        return load_onnx(path, input_size)
    if exists(str(model)):
        return build(str(model))
    if path.is_dir():
        raise ZfcoreError(f"{model}: is a folder, {wanted}")
    if path.exists():
        raise ZfcoreError(f"{model}: is a device or a pipe, {wanted}")
    raise ZfcoreError(
        f"{model}: no such file, and no network of that name; the zoo has {', '.join(ARCHITECTURES)}{nearest(str(model), ARCHITECTURES)}"
    )
