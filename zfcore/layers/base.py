"""What every layer of a network can do, and what its fields have to be."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, fields
from math import inf, prod
from types import EllipsisType, ModuleType
from typing import Any, ClassVar, Literal

import numpy as np
from zfkernels.array import is_array

from zfcore.rules import Rule
from zfcore.signals import gathered
from zfcore.window import Window, Windows

Shape = tuple[int, ...]

MAX_EXTENT = 2**16  # pixels along a side of a map, taps of a window: far above any network, far below an endless loop
MAX_ACTIVATIONS = 2**30  # of all layers together, for one image: 4 GiB as float32
MAX_AXES = 8
FINITE = sys.float_info.max


@dataclass(frozen=True)
class Crop:
    """What a pullback sees of the forward pass, and where its signals lie: those of many units, each in its own window of its image.

    Parameters
    ----------
    saved : object
        What the layer's forward pass left for the way down (`Layer.looks_at`), as left: not cut.
    images : int array (B,) or None
        The image of the batch that each signal belongs to; None: they belong to its images, one by one.
    out : Windows or None
        Where the signals lie in the layer's output map, inside it; None if that is no map of pixels.
    ins : tuple of (Windows or None)
        Where the results have to lie in each input's map: from `out` the same way for every signal, so perhaps beyond the map.
    shapes : tuple of Shape
        The whole shapes of the inputs, without the batch.
    sparse : bool
        Whether it is worth looking for channels that are zero.
    """

    saved: Any
    images: np.ndarray | None
    out: Windows | None
    ins: tuple[Windows | None, ...]
    shapes: tuple[Shape, ...]
    sparse: bool

    @property
    def maps(self) -> tuple[Window, Window]:
        """The first signal's only one of `ins`, and its `out`, for a layer that makes a map of a map: all lie to each other like these."""
        into, out = self.ins[0], self.out
        assert into is not None and out is not None
        return into.window(0), out.window(0)

    def cut(self, k: ModuleType, a: np.ndarray) -> np.ndarray:
        """Of an array shaped like the layer's output for the batch what lies where the signals do."""
        return gathered(k, a, self.images, self.out)


@dataclass(eq=False)
class Layer:
    """A named node of a network: how it goes forward, and how a signal comes back down through it.

    The base class is a layer of one input that acts on every element alone and keeps the shape. Shapes have no batch axis.
    """

    name: str
    inputs: tuple[str, ...]

    #: Number of inputs; None: one or more.
    arity: ClassVar[int | None] = 1
    #: Fields that training changes.
    trainable: ClassVar[tuple[str, ...]] = ()
    #: Whether units one step apart see windows that lie one and the same number of pixels apart, wherever in the map they are.
    regular: ClassVar[bool] = True
    #: Whether every map of the input gets something of every map of the signal.
    mixes: ClassVar[bool] = False
    #: Whether each pixel of the output depends on the same pixel of the inputs alone, and on nothing else that differs from pixel to pixel.
    pixelwise: ClassVar[bool] = False

    def check(self) -> None:
        """Refuse fields that the layer cannot work with: the kernels trust them, and read whatever memory they point to.

        Raises
        ------
        ValueError
            If one is wrong in itself or beside the others; the message names the layer, the field, what it is and what was needed.
        """
        counted = {0: "no names", 1: "one name", None: "one name or more"}[self.arity]
        if not (
            isinstance(self.inputs, tuple)
            and all(isinstance(name, str) for name in self.inputs)
            and (len(self.inputs) == self.arity or (self.arity is None and self.inputs))
        ):
            raise wrong(self, "inputs", f"a tuple of {counted}")

    def output_shape(self, *shapes: Shape) -> Shape:
        """Shape of the output from those of the inputs.

        Raises
        ------
        ValueError
            If the layer cannot take them.
        """
        return shapes[0]

    def forward(self, k: ModuleType, xs: tuple[np.ndarray, ...], seed: int | None) -> tuple[np.ndarray, Any]:
        """Output for a batch, and what only this pass can know of the way down. `k` is the kernels' backend; `seed` drives dropout."""
        raise NotImplementedError(f"{type(self).__name__} has no forward pass")

    def looks_at(self, rule: Rule | None) -> Literal["input", "output"] | None:
        """Which of its arrays the way down by a rule looks at; None: at neither, but perhaps at what `forward` saved.

        A rule of None stands for every rule, and for the gradients of parameters.
        """
        return None

    def pullback(self, k: ModuleType, gy: np.ndarray, crop: Crop, rule: Rule) -> tuple[np.ndarray, ...]:
        """The signal `gy` at the output, brought down to each input."""
        raise NotImplementedError(f"{type(self).__name__} has no way down")

    def gradients(self, k: ModuleType, gy: np.ndarray, x: np.ndarray) -> dict[str, np.ndarray]:
        """Gradient of each trainable field, from the signal at the output and the forward input."""
        return {}

    def seen(self, window: Window | None, *shapes: Shape) -> tuple[Window | None, ...]:
        """The window of each input that the output's `window` depends on; None means all of it."""
        return (window,) * len(shapes)

    def touched(self, windows: Windows, shape: Shape) -> Windows:
        """The windows of the output that depend on windows of an input, perhaps a little more, perhaps beyond the map."""
        return windows

    def borderless(self) -> tuple[Layer, float] | None:
        """The same layer for parts of maps that bring their border along, and what the border is made of; None if it needs whole maps."""
        return (self, 0.0) if self.pixelwise else None

    def macs(self, *shapes: Shape) -> int:
        """Multiply-adds for one image."""
        return 0

    def held(self, *shapes: Shape) -> int:
        """Numbers that the forward pass of one image takes memory for: the output, and what is made on the way to it."""
        return prod(self.output_shape(*shapes)) + self.saved_size(*shapes)

    def saved_size(self, *shapes: Shape) -> int:
        """Numbers that `forward` saves of one image for the way down, besides its arrays."""
        return 0

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """The fields that are arrays: weights, statistics, constants."""
        return {f.name: v for f in fields(self) if is_array(v := getattr(self, f.name))}

    @property
    def parameters(self) -> int:
        """Number of trainable numbers."""
        return sum(a.size for name, a in self.arrays.items() if name in self.trainable)


@dataclass(eq=False)
class Input(Layer):
    """Where the image enters."""

    inputs: tuple[str, ...] = field(default=())
    shape: Shape = (3, 224, 224)

    arity: ClassVar[int | None] = 0

    def check(self) -> None:
        super().check()
        need_integers(self, "shape", (3,), least=1)

    def output_shape(self, *shapes: Shape) -> Shape:
        return self.shape


# ---- what fields have to be


def wrong(layer: Layer, name: str, needed: str) -> ValueError:
    """The error of a field, to be raised."""
    value = getattr(layer, name)
    got = f"{value.dtype} of shape {value.shape}" if is_array(value) else f"{value!r:.80}"
    return ValueError(f"layer {layer.name!r} ({type(layer).__name__}): {name}: got {got}, needed {needed}")


def need_array(layer: Layer, name: str, shape: tuple[int | str, ...] | None = None) -> None:
    """Raise ValueError unless a field is an array of float32 or float64, of that `shape` if given; a letter stands for any size."""
    value = getattr(layer, name)
    floats = is_array(value) and value.dtype in (np.float32, np.float64) and value.size > 0
    if not floats or (shape is not None and not _agree(value.shape, shape)):
        letters = "" if shape is None else f" of shape ({', '.join(map(str, shape))}{',' * (len(shape) == 1)})"
        raise wrong(layer, name, f"an array of float32 or float64{letters}")


def _agree(got: Shape, needed: tuple[int | str, ...]) -> bool:
    return len(got) == len(needed) and all(isinstance(n, str) or m == n for m, n in zip(got, needed, strict=True))


Form = tuple[int | EllipsisType, ...]


def need_integers(layer: Layer, name: str, form: Form = (), least: int = 0, most: int = MAX_EXTENT) -> None:
    """Raise ValueError unless a field holds integers from `least` to `most`.

    `form` says how they are nested: () for one integer, (2,) for a pair, (2, 2) for a pair of pairs; ... stands for one to eight.
    """
    if not _holds_integers(getattr(layer, name), form, least, most):
        each = "an integer" if not form else f"{_pattern(form)} with every n an integer"
        raise wrong(layer, name, f"{each} from {least} to {most:,}")


def _holds_integers(value: Any, form: Form, least: int, most: int) -> bool:
    if not form:
        return isinstance(value, int | np.integer) and not isinstance(value, bool) and bool(least <= value <= most)
    counts = range(1, MAX_AXES + 1) if form[0] is ... else (form[0],)
    return isinstance(value, tuple) and len(value) in counts and all(_holds_integers(v, form[1:], least, most) for v in value)


def _pattern(form: Form) -> str:
    """(2, 2) as ((n, n), (n, n))."""
    if not form:
        return "n"
    inner = _pattern(form[1:])
    return f"({inner}, ... up to {MAX_AXES})" if isinstance(form[0], EllipsisType) else f"({', '.join([inner] * form[0])})"


def need_number(layer: Layer, name: str, least: float = -FINITE, most: float = FINITE) -> None:
    """Raise ValueError unless a field is a number from `least` to `most`; not a NaN, and by default not infinite."""
    value = getattr(layer, name)
    value = value.item() if isinstance(value, np.generic) else value
    if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value <= most:
        words = {(-FINITE, FINITE): "a finite number", (0, FINITE): "a finite number, not negative", (-inf, inf): "a number"}
        raise wrong(layer, name, words.get((least, most), f"a number from {least:g} to {most:g}"))


def need_flag(layer: Layer, name: str) -> None:
    """Raise ValueError unless a field is True or False."""
    if not isinstance(getattr(layer, name), bool | np.bool_):
        raise wrong(layer, name, "True or False")


def need_map(layer: Layer, shape: Shape, channels: int | None = None) -> None:
    """Raise ValueError unless `shape`, that of an input, is a (C, H, W) of that many channels."""
    if len(shape) != 3 or (channels is not None and shape[0] != channels):
        wanted = f"({'C' if channels is None else channels}, H, W)"
        raise ValueError(f"layer {layer.name!r} ({type(layer).__name__}) needs an input of shape {wanted}, got {shape}")
