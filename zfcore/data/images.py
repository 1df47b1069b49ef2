"""Image files, as they come: every kind of picture becomes (H, W, 3) uint8 RGB, or one clear line that says why not."""

from __future__ import annotations

import logging
import os
import stat
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from zfcore.errors import ZfcoreError

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
"""What is decoded, whatever the file is called. Formats whose decoder runs another program (EPS) stay out."""
EXTENSIONS = frozenset(".jpg .jpeg .jpe .png .bmp .gif .tif .tiff .webp .ppm .pgm .pbm .pnm".split())
MAX_PIXELS = 100_000_000
"""Larger pictures are refused before they are decoded: a file of a few kilobytes can claim any size."""
BEHIND_ALPHA = (128, 128, 128)
"""What shows through transparent pixels: mid-grey, which is nearly nothing once a mean is subtracted."""

# Without a handler of its own, what Pillow logs about broken files would be printed between our lines.
logging.getLogger("PIL").addHandler(logging.NullHandler())

_EXIF_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class ImageError(ZfcoreError):
    """An image file or folder that cannot be used: `path`, and the `reason` in one line."""

    def __init__(self, path: str | os.PathLike[str], reason: str) -> None:
        self.path = Path(path)
        self.reason = " ".join(reason.split())
        name = str(path)
        super().__init__(f"{name if name.isprintable() else ascii(name)}: {self.reason}")


def list_images(folder: str | os.PathLike[str]) -> list[Path]:
    """Every image file below `folder`, by extension, sorted by its path inside the folder.

    Hidden files and folders (a leading dot) are left out; links to folders are not followed.

    Raises
    ------
    ImageError
        If the folder is missing, is not a folder, cannot be read, or holds no image.
    """
    root = Path(folder)
    if not root.exists():
        raise ImageError(root, "no such folder")
    if not root.is_dir():
        raise ImageError(root, "is a file, needed a folder of images")

    def refuse(error: OSError) -> None:
        raise ImageError(error.filename or root, f"cannot read the folder: {error.strerror}")

    found = []
    for parent, folders, files in os.walk(root, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in EXTENSIONS:
                found.append(Path(parent, name))
    if not found:
        raise ImageError(root, f"holds no image (looked for {', '.join(sorted(EXTENSIONS))})")
    return sorted(found, key=lambda path: path.relative_to(root).as_posix())


def read_image(path: str | os.PathLike[str]) -> np.ndarray:
    """The picture in a file, upright, as (H, W, 3) uint8 RGB.

    EXIF rotation is applied; grey is repeated; 16-bit grey is scaled to 8 bits (65535 becomes 255), not clipped;
    transparency is laid over `BEHIND_ALPHA`; palettes and CMYK are converted; of an animation the first frame is taken.

    Raises
    ------
    ImageError
        If there is no such file, it is not a whole image of one of `FORMATS`, or it has more than `MAX_PIXELS` pixels.
    """
    try:
        kind = os.stat(path).st_mode
        if not stat.S_ISREG(kind) and not stat.S_ISDIR(kind):  # opening a pipe would wait for its writer
            raise ImageError(path, "not a file but a device or a pipe; needed an image file")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise ImageError(path, f"{image.width} x {image.height} pixels, over the limit of {MAX_PIXELS:,}")
                image.load()
                upright = _UPRIGHT.get(_orientation(image))
                rgb = _to_rgb(image)
    except ImageError:
        raise
    except ValueError as error:
        raise ImageError(path, f"cannot be decoded: {error}") from error
    except FileNotFoundError as error:
        raise ImageError(path, "no such file; needed an image file") from error
    except IsADirectoryError as error:
        raise ImageError(path, "is a folder, needed an image file") from error
    except PermissionError as error:
        raise ImageError(path, "no permission to read it") from error
    except UnidentifiedImageError as error:
        raise ImageError(path, _unidentified(path)) from error
    except Image.DecompressionBombError as error:
        raise ImageError(path, f"pixels over the limit of {MAX_PIXELS:,}") from error
    except Exception as error:  # On broken data Pillow's decoders raise nearly anything: SyntaxError, struct.error ...
        raise ImageError(path, f"broken image: {error or type(error).__name__}") from error
    return np.array(rgb if upright is None else rgb.transpose(upright))


def _unidentified(path: str | os.PathLike[str]) -> str:
    """Why a file is no image, by how it begins."""
    with open(path, "rb") as file:
        head = file.read(16)
    if not head:
        return "is empty, needed an image file"
    for name in FORMATS:
        accepts = Image.OPEN[name][1]
        if accepts is not None and accepts(head.ljust(16, b"\0")) is True:
            return f"broken image: it begins as {name} does, but is damaged or of a kind that is not supported"
    return f"not an image, or not one of {', '.join(FORMATS)}"


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1, as it lies, where there is none that can be read."""
    try:
        return int(image.getexif().get(_EXIF_ORIENTATION, 1))
    except Exception:  # Broken metadata fails in as many ways as broken pixels, but the picture is good without it.
        return 1


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "I" or image.mode.startswith("I;16"):
        levels = np.asarray(image).astype(np.int64)
        if levels.min() < 0 or levels.max() > 65535:
            raise ValueError("grey levels beyond 16 bits; convert it to 8 or 16 bits")
        return Image.fromarray(np.rint(levels / 257).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise ValueError("floating-point grey levels; convert it to 8 or 16 bits")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        behind = Image.new("RGBA", rgba.size, (*BEHIND_ALPHA, 255))
        return Image.alpha_composite(behind, rgba).convert("RGB")
    return image.convert("RGB")
