"""From a picture to what a network was trained on: resize, crop, channel order, mean, scale."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from PIL import Image

from zfcore.data.images import MAX_PIXELS
from zfcore.errors import ZfcoreError

CHANNELS = {"RGB": 3, "BGR": 3, "grey": 1}
LARGEST = 1e18
"""Of mean and scale: 255 minus the one, times the other, is still a float32."""


@dataclass(frozen=True, eq=False)
class Preprocessing:
    """How a picture becomes the input of a network: ``x = (pixels - mean) * scale``.

    Parameters
    ----------
    channels : {"RGB", "BGR", "grey"}
        The network's channel order. Grey is ITU-R BT.601 luma.
    size : int or (int, int), optional
        Resize first: an int is the length of the shorter side, a pair is (H, W) exactly. None keeps the size.
    crop : (int, int), optional
        Then keep the central (H, W). Without `size`, a picture too small for it is enlarged until it covers the crop.
    mean : numpy.ndarray
        In units of 0 to 255, in the network's channel order: one value, (C,), or an image (C, H, W), the frame's size.
    scale : numpy.ndarray
        One value or (C,). Both may be given as anything that `numpy.asarray` takes; they are kept as float64.

    Raises
    ------
    ZfcoreError
        If an argument is wrong or does not fit the others: its name, what came and what was needed.

    Notes
    -----
    Resizing is Pillow's BILINEAR: a triangle as wide as the reduction, so that it antialiases. Only what the crop keeps
    is computed.

    Examples
    --------
    >>> x = PRESETS["caffe"].for_input((3, 64, 64))(np.zeros((100, 200, 3), np.uint8))
    >>> x.shape, x.dtype, x[:, 0, 0].tolist()
    ((3, 64, 64), dtype('float32'), [-104.0, -117.0, -123.0])
    """

    channels: str = "RGB"
    size: int | tuple[int, int] | None = None
    crop: tuple[int, int] | None = None
    mean: np.ndarray = field(default_factory=lambda: np.zeros(1))
    scale: np.ndarray = field(default_factory=lambda: np.ones(1))

    def __post_init__(self) -> None:
        if self.channels not in CHANNELS:
            raise ZfcoreError(f"channels: got {self.channels!r}, needed one of {', '.join(CHANNELS)}")
        put = partial(object.__setattr__, self)
        put("size", _checked_size(self.size))
        put("crop", _checked_crop(self.crop))
        put("mean", _checked_values("mean", self.mean, CHANNELS[self.channels]))
        put("scale", _checked_values("scale", self.scale, CHANNELS[self.channels]))
        self._check_agreement()

    def _check_agreement(self) -> None:
        if self.crop and not self._has_room(self.crop):
            raise ZfcoreError(f"crop: got {self.crop}, needed at most the size, {self.size}")
        if self.scale.ndim != 1:
            raise ZfcoreError(f"scale: got shape {self.scale.shape}, needed one value or {CHANNELS[self.channels]}")
        if not self.scale.astype(np.float32).all():
            raise ZfcoreError(f"scale: got {_brief(self.scale)}, needed numbers other than 0, at which every image looks the same")
        if self.mean.ndim == 3:
            frame = self.crop or self.size
            got = self.mean.shape[1:]
            if got != frame:
                raise ZfcoreError(f"mean: got an image of {got}, needed the size of the crop (or exact size), {frame}")

    def _has_room(self, crop: tuple[int, int]) -> bool:
        """Whether a picture of any shape, resized, holds a crop of (H, W)."""
        if self.size is None:
            return True
        height, width = (self.size, self.size) if isinstance(self.size, int) else self.size
        return crop[0] <= height and crop[1] <= width

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Preprocessing):
            return NotImplemented
        return self.to_dict() == other.to_dict() and np.array_equal(self.mean, other.mean)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """The network's input (C, H, W) float32 for an image (H, W, 3) uint8 RGB."""
        mean = self.mean if self.mean.ndim == 3 else self.mean[:, None, None]
        return (self.pixels(image).astype(np.float32) - mean.astype(np.float32)) * self.scale[:, None, None].astype(np.float32)

    def pixels(self, image: np.ndarray) -> np.ndarray:
        """The resized, cropped picture in the network's order, (C, H, W) uint8: its input before mean and scale."""
        frame = self.frame(image)
        ordered = {"RGB": frame, "BGR": frame[..., ::-1], "grey": frame[..., :1]}[self.channels]
        return np.ascontiguousarray(ordered.transpose(2, 0, 1))

    def frame(self, image: np.ndarray) -> np.ndarray:
        """What the network sees, for display: the resized, cropped picture, (H, W, 3) uint8 RGB (grey as grey)."""
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise ZfcoreError(f"image: got {image.dtype} {image.shape}, needed uint8 (H, W, 3)")
        height, width = image.shape[:2]
        full_height, full_width = self._resized(height, width)
        out_height, out_width = self.crop or (full_height, full_width)
        if out_height * out_width > MAX_PIXELS:
            raise ZfcoreError(f"image: {height} x {width} would become {out_height} x {out_width} pixels; give a crop")
        y0, x0, y1, x1 = self.seen(height, width)
        picture = Image.fromarray(image).resize((out_width, out_height), Image.Resampling.BILINEAR, (x0, y0, x1, y1))
        if self.channels == "grey":
            picture = picture.convert("L").convert("RGB")
        return np.array(picture)

    def seen(self, height: int, width: int) -> tuple[float, float, float, float]:
        """Of a picture of (H, W) what its frame shows: rows y0 to y1 and columns x0 to x1 of the picture, as (y0, x0, y1, x1).

        Examples
        --------
        >>> PRESETS["raw"].for_input((3, 64, 64)).seen(100, 200)
        (0.0, 50.0, 100.0, 150.0)
        """
        full_height, full_width = self._resized(height, width)
        out_height, out_width = self.crop or (full_height, full_width)
        top, left = (full_height - out_height) // 2, (full_width - out_width) // 2
        y0, y1 = top * height / full_height, (top + out_height) * height / full_height
        x0, x1 = left * width / full_width, (left + out_width) * width / full_width
        return y0, x0, y1, x1

    def _resized(self, height: int, width: int) -> tuple[int, int]:
        """(H, W) of the whole picture after resizing, before the crop. The longer side is rounded down."""
        if isinstance(self.size, tuple):
            return self.size
        shorter = min(height, width)
        if self.size is not None:
            return self.size * height // shorter, self.size * width // shorter
        crop_height, crop_width = self.crop or (0, 0)
        grow = max(crop_height / height, crop_width / width, 1.0)
        return max(int(height * grow), crop_height), max(int(width * grow), crop_width)

    def for_input(self, shape: tuple[int, ...]) -> Preprocessing:
        """The same, with what it leaves open filled in for a network whose input is (C, H, W).

        Without size and crop, the shorter side becomes ``max(H, W)`` and the centre (H, W) is kept: the picture covers
        the input and keeps its aspect. For one channel, RGB becomes grey if all channels were treated alike.

        Raises
        ------
        ZfcoreError
            If what was given contradicts the input.
        """
        count, height, width = shape
        needed = height, width
        filled = self.in_order("grey") if count == 1 else self
        _check_count(filled.channels, shape)
        if filled.size is None and filled.crop is None:
            return replace(filled, size=max(needed), crop=needed)
        if filled.crop is None and filled.size != needed:
            least = needed if isinstance(filled.size, tuple) else max(needed)
            if not filled._has_room(needed):
                raise ZfcoreError(f"size: got {filled.size}, needed at least {least}: the network's input is {height} x {width}")
            return replace(filled, crop=needed)
        if filled.crop not in (None, needed):
            raise ZfcoreError(f"crop: got {filled.crop}, needed the network's input size, {needed}")
        return filled

    def in_order(self, channels: str) -> Preprocessing:
        """The same for another channel order. Mean and scale stay with their colours; for grey, all must have been treated alike.

        Examples
        --------
        >>> PRESETS["caffe"].in_order("RGB").mean.tolist()
        [123.0, 117.0, 104.0]
        """
        if channels == self.channels or channels not in CHANNELS:
            return replace(self, channels=channels)
        turned = slice(None, None, -1)
        if channels == "grey":
            if self.mean.ndim != 1 or len({*self.mean.tolist()}) > 1 or len({*self.scale.tolist()}) > 1:
                raise ZfcoreError(f"channels: got {self.channels} with a mean or scale for each, needed one of each for grey")
            turned = slice(1)
        elif self.channels == "grey":
            return replace(self, channels=channels, mean=self.mean.repeat(3, axis=0), scale=self.scale.repeat(3))
        return replace(self, channels=channels, mean=self.mean[turned], scale=self.scale[turned])

    def to_rgb(self, pixels: np.ndarray) -> np.ndarray:
        """An array in the network's space (C, H, W), say a projection, as (H, W, 3) in display order. Values stay."""
        needed = CHANNELS[self.channels]
        if pixels.ndim != 3 or pixels.shape[0] != needed:
            raise ZfcoreError(f"pixels: got shape {pixels.shape}, needed ({needed}, H, W)")
        order = {"RGB": [0, 1, 2], "BGR": [2, 1, 0], "grey": [0, 0, 0]}[self.channels]
        return np.ascontiguousarray(pixels[order].transpose(1, 2, 0))

    def describe(self) -> str:
        """One line for people.

        Examples
        --------
        >>> PRESETS["caffe"].for_input((3, 224, 224)).describe()
        'BGR, shorter side 224, centre 224x224, minus (104, 117, 123), times 1'
        """
        steps = [self.channels]
        if isinstance(self.size, tuple):
            steps.append("resized to {}x{}".format(*self.size))
        elif self.size is not None:
            steps.append(f"shorter side {self.size}")
        if self.crop is not None:
            steps.append("centre {}x{}".format(*self.crop))
        steps.append("minus " + (_brief(self.mean) if self.mean.ndim == 1 else "a mean image"))
        steps.append("times " + _brief(self.scale))
        return ", ".join(steps)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON. A mean image is left out (None): store it beside, and give it to `from_dict`."""
        return {
            "channels": self.channels,
            "size": list(self.size) if isinstance(self.size, tuple) else self.size,
            "crop": None if self.crop is None else list(self.crop),
            "mean": self.mean.tolist() if self.mean.ndim == 1 else None,
            "scale": self.scale.tolist(),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], mean_image: np.ndarray | None = None) -> Preprocessing:
        """The inverse of `to_dict`, for values from a file that may be wrong.

        Examples
        --------
        >>> Preprocessing.from_dict(PRESETS["unit"].to_dict()) == PRESETS["unit"]
        True
        """
        names = {"channels", "size", "crop", "mean", "scale"}
        if not isinstance(values, Mapping) or set(values) != names:
            raise ZfcoreError(f"preprocessing: got {values!r:.200}, needed the keys {', '.join(sorted(names))}")
        mean = values["mean"] if mean_image is None else mean_image
        if mean is None:
            raise ZfcoreError("mean: got None and no mean image, needed one of them")
        return cls(values["channels"], values["size"], values["crop"], mean, values["scale"])


def _check_count(channels: str, shape: tuple[int, ...]) -> None:
    """See that a channel order fits a network whose input is (C, H, W)."""
    fitting = [order for order, count in CHANNELS.items() if count == shape[0]]
    if not fitting:
        first = "; a network with its channels last has to be converted to channels first" if shape[-1] in CHANNELS.values() else ""
        sizes = " x ".join(map(str, shape))
        raise ZfcoreError(f"channels: got a network that takes {shape[0]} (its input is {sizes}), needed 3 or 1, as images have{first}")
    if channels not in fitting:
        raise ZfcoreError(f"channels: got {channels}, needed {' or '.join(fitting)} for the network's {shape[0]}")


def _checked_size(size: Any) -> int | tuple[int, int] | None:
    if size is None or isinstance(size, (tuple, list)):
        return None if size is None else _pair("size", size)
    try:
        length = operator.index(size)
    except TypeError:
        length = 0
    if length < 1:
        raise ZfcoreError(f"size: got {size!r}, needed a length, (H, W) or None")
    return length


def _checked_crop(crop: Any) -> tuple[int, int] | None:
    return None if crop is None else _pair("crop", crop)


def _pair(name: str, value: Any) -> tuple[int, int]:
    try:
        height, width = map(operator.index, value)
    except (TypeError, ValueError):
        height = width = 0
    if height < 1 or width < 1:
        raise ZfcoreError(f"{name}: got {value!r}, needed (H, W), both at least 1")
    return height, width


def _checked_values(name: str, value: Any, count: int) -> np.ndarray:
    """`value` as float64 (count,) or (count, H, W), read-only."""
    try:
        array = np.array(value, np.float64)
    except (TypeError, ValueError) as error:
        raise ZfcoreError(f"{name}: got {value!r:.80}, needed numbers") from error
    if array.size == 1 and array.ndim < 2:
        array = np.full(count, array.item())
    if array.ndim not in (1, 3) or array.shape[0] != count:
        several = f" or {count}, one for each channel" if count > 1 else ""
        raise ZfcoreError(f"{name}: got shape {array.shape}, needed one value{several}")
    if not (np.abs(array) <= LARGEST).all():  # so that NaN is refused too
        raise ZfcoreError(f"{name}: got {value!r:.80}, needed numbers of at most {LARGEST:g}")
    array.setflags(write=False)
    return array


def _brief(values: np.ndarray) -> str:
    texts = [f"{value:.6g}" for value in values]
    return texts[0] if len(set(texts)) == 1 else f"({', '.join(texts)})"


_IMAGENET_MEAN, _IMAGENET_DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
PRESETS = {
    "caffe": Preprocessing("BGR", mean=np.array([104.0, 117.0, 123.0])),
    "torchvision": Preprocessing("RGB", mean=255 * _IMAGENET_MEAN, scale=1 / (255 * _IMAGENET_DEVIATION)),
    "unit": Preprocessing("RGB", scale=np.array([1 / 255])),
    "raw": Preprocessing("RGB"),
}
"""What published networks were trained on, by the name of the framework or the range."""
