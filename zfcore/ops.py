"""The public functions: NumPy in, NumPy out, with PyTorch's names, arguments, defaults and semantics.

Each validates what it is given, calls the kernel of the chosen backend, and returns. Arrays are (N, C, H, W), float32 or float64, all
floats of a call of one type. A geometry argument is an int or a pair (vertical, horizontal); `padding` of a convolution may also be
((top, bottom), (left, right)), "same" or "valid".

Every function raises TypeError for what is no array of such floats or no such number, and ValueError for shapes, sizes and geometry
that do not fit; the message names the argument, what came and what was needed. `backend` is "cpu", "reference" or, on an NVIDIA
device, "cuda"; where that cannot be used, ImportError says what is missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from types import ModuleType
from typing import Any

import numpy as np
import zfkernels
from numpy.typing import ArrayLike
from zfkernels.choices import COLLISIONS, RULES
from zfkernels.geometry import (
    Padding,
    Pair,
    axes,
    pool_output_size,
    same_padding,
    transposed_output_size,
)
from zfkernels.geometry import output_size as window_count  # an argument of col2im has that name

from zfcore.algorithms import ALGORITHMS, convolve, fastest, why_not_winograd

Array = np.ndarray
#: Sizes and steps beyond this are a mistake, and would leave the integers of compiled code.
LARGEST = 2**31 - 1
Size = int | tuple[int, int]
AnyPadding = Size | tuple[tuple[int, int], tuple[int, int]] | str

__all__ = [
    "algorithm_of",
    "avg_pool2d",
    "col2im",
    "conv2d",
    "conv2d_adjoint_w",
    "conv2d_adjoint_x",
    "conv_transpose2d",
    "cross_entropy",
    "im2col",
    "linear",
    "local_response_norm",
    "max_pool2d",
    "max_unpool2d",
    "relu",
    "relu_vjp",
    "softmax",
]

# ---- backends


class _AnsweringInNumPy:
    """A backend whose functions give NumPy's arrays, wherever it computes them."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.module, name)
        if not callable(found):
            return found  # its name, by which what was measured is remembered

        def answered(*arguments: Any) -> Any:
            result = found(*arguments)
            return tuple(map(self.module.to_numpy, result)) if isinstance(result, tuple) else self.module.to_numpy(result)

        return answered


def _kernels(backend: str) -> Any:
    module = zfkernels.get(backend)
    return _AnsweringInNumPy(module) if backend in zfkernels.DEVICES else module


# ---- validation


def _array(name: str, a: ArrayLike, axes: Sequence[str] | None, like: Array | None = None) -> Array:
    """`a` as an array of floats with the named axes ("NCHW"), of `like`'s type."""
    if not isinstance(a, np.ndarray):
        raise TypeError(f"{name}: got {type(a).__name__}, needed a NumPy array")
    if a.dtype not in (np.float32, np.float64):
        raise TypeError(f"{name}: got dtype {a.dtype}, needed float32 or float64")
    if like is not None and a.dtype != like.dtype:
        raise TypeError(f"{name}: got dtype {a.dtype}, needed {like.dtype}, as the other arrays")
    if axes is not None and a.ndim != len(axes):
        raise ValueError(f"{name}: got shape {a.shape}, needed {len(axes)} axes ({', '.join(axes)})")
    return a


def _shape(name: str, a: Array, needed: tuple[int, ...], why: str) -> None:
    if a.shape != needed:
        raise ValueError(f"{name}: got shape {a.shape}, needed {needed} ({why})")


def _integer(name: str, value: Any, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name}: got {value!r}, needed an integer")
    number = int(value)
    if number < least:
        raise ValueError(f"{name}: got {number}, needed at least {least}")
    if number > LARGEST:
        raise ValueError(f"{name}: got {number}, needed at most {LARGEST}")
    return number


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name}: got {value!r}, needed a number")
    try:
        number = float(value)
    except OverflowError:
        number = np.inf
    if not np.isfinite(number):
        raise ValueError(f"{name}: got {value}, needed a finite number")
    return number


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name}: got {value!r}, needed True or False")
    return bool(value)


def _one_of(name: str, value: Any, choices: tuple[str, ...]) -> str:
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name}: got {value!r}, needed one of {', '.join(choices)}")
    return value


def _pair(name: str, value: Any, least: int) -> Pair:
    """An int as both of a pair; a pair as it is."""
    if isinstance(value, Integral):
        value = (value, value)
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise TypeError(f"{name}: got {value!r}, needed an integer or a pair (vertical, horizontal)")
    return _integer(name, value[0], least), _integer(name, value[1], least)


def _padding(value: AnyPadding, size: Pair, kernel: Pair, stride: Pair, dilation: Pair) -> Padding:
    """((top, bottom), (left, right)) of any way to say it."""
    if isinstance(value, str):
        if _one_of("padding", value, ("same", "valid")) == "valid":
            return ((0, 0), (0, 0))
        if stride != (1, 1):
            raise ValueError(f"padding: got 'same' with stride {stride}, needed stride 1 (as PyTorch)")
        vertical, horizontal = axes(size, kernel, stride, dilation=dilation)
        return same_padding(vertical), same_padding(horizontal)
    if isinstance(value, tuple | list) and len(value) == 2 and all(isinstance(side, tuple | list) for side in value):
        return _pair("padding", value[0], 0), _pair("padding", value[1], 0)
    vertical_pad, horizontal_pad = _pair("padding", value, 0)
    return (vertical_pad, vertical_pad), (horizontal_pad, horizontal_pad)


def _pool_padding(value: Size, kernel: Pair) -> Padding:
    pad = _pair("padding", value, 0)
    if pad[0] > kernel[0] // 2 or pad[1] > kernel[1] // 2:
        raise ValueError(f"padding: got {pad}, needed at most half of kernel_size {kernel} (as PyTorch)")
    return (pad[0], pad[0]), (pad[1], pad[1])


def _bias(b: Array | None, maps: int, like: Array) -> Array | None:
    if b is not None:
        _shape("b", _array("b", b, "O", like), (maps,), "one number for each output map")
    return b


def _grouped(name: str, got: int, w: Array, groups: int, channels: int) -> None:
    """Check that w's maps divide into groups, and that the array `name` has the channels that w needs."""
    if not w.size:
        raise ValueError(f"w: got shape {w.shape}, needed at least one filter, channel and tap")
    if w.shape[0] % groups:
        raise ValueError(f"w: got {w.shape[0]} output maps, needed a multiple of groups = {groups}")
    if got != channels:
        raise ValueError(f"{name}: got {got} channels, needed {channels} for w of shape {w.shape} and groups = {groups}")


# ---- windows as columns


def im2col(
    x: Array, kernel_size: Size, dilation: Size = 1, padding: AnyPadding = 0, stride: Size = 1, *, backend: str = "cpu"
) -> Array:
    """Every window of an image as a column (PyTorch's ``unfold``).

    Parameters
    ----------
    x : array (N, C, H, W)
    kernel_size, dilation, padding, stride : int or pair
        In pixels.

    Returns
    -------
    array (N, C*KH*KW, OH*OW)

    Examples
    --------
    >>> im2col(np.arange(6.0).reshape(1, 1, 2, 3), 2)[0]
    array([[0., 1.],
           [1., 2.],
           [3., 4.],
           [4., 5.]])
    """
    x = _array("x", x, "NCHW")
    kernel, step, gap = _pair("kernel_size", kernel_size, 1), _pair("stride", stride, 1), _pair("dilation", dilation, 1)
    pad = _padding(padding, x.shape[2:], kernel, step, gap)
    window_count(x.shape[2:], kernel, step, pad, gap)
    return _kernels(backend).im2col(x, kernel, step, pad, gap)


def col2im(
    cols: Array,
    output_size: Size,
    kernel_size: Size,
    dilation: Size = 1,
    padding: AnyPadding = 0,
    stride: Size = 1,
    *,
    backend: str = "cpu",
) -> Array:
    """Add every column back to the pixels of its window: the adjoint of `im2col` (PyTorch's ``fold``).

    Parameters
    ----------
    cols : array (N, C*KH*KW, OH*OW)
    output_size : int or pair
        (H, W) of the image.
    kernel_size, dilation, padding, stride : int or pair
        In pixels.

    Returns
    -------
    array (N, C, H, W)

    Examples
    --------
    >>> col2im(np.ones((1, 4, 2)), (2, 3), 2)[0, 0]
    array([[1., 2., 1.],
           [1., 2., 1.]])
    """
    cols = _array("cols", cols, "NKL")
    size, kernel = _pair("output_size", output_size, 1), _pair("kernel_size", kernel_size, 1)
    step, gap = _pair("stride", stride, 1), _pair("dilation", dilation, 1)
    pad = _padding(padding, size, kernel, step, gap)
    OH, OW = window_count(size, kernel, step, pad, gap)
    if cols.shape[1] % (kernel[0] * kernel[1]) or cols.shape[2] != OH * OW:
        needed = f"(N, a multiple of {kernel[0] * kernel[1]}, {OH * OW})"
        raise ValueError(f"cols: got shape {cols.shape}, needed {needed} for output_size {size}")
    return _kernels(backend).col2im(cols, size, kernel, step, pad, gap)


# ---- convolution


def conv2d(
    x: Array,
    w: Array,
    b: Array | None = None,
    stride: Size = 1,
    padding: AnyPadding = 0,
    dilation: Size = 1,
    groups: int = 1,
    *,
    algorithm: str = "im2col",
    backend: str = "cpu",
) -> Array:
    """Convolution: one filter against every window, plus a bias.

    Parameters
    ----------
    x : array (N, C, H, W)
    w : array (O, C/groups, KH, KW)
    b : array (O,), optional
    stride, dilation : int or pair
        In pixels.
    padding : int, pair, ((top, bottom), (left, right)), "same" or "valid"
    groups : int
    algorithm : str
        "im2col": a product of matrices. "winograd": for kernels of 3x3 with stride 1 and dilation 1, a quarter to a half of the
        multiplications and a few times the rounding errors. "auto": the faster one, measured when a shape comes up first; see
        `algorithm_of`. It gives up that results are repeated bit for bit on another day or machine.

    Returns
    -------
    array (N, O, OH, OW)

    Examples
    --------
    >>> conv2d(np.arange(9.0).reshape(1, 1, 3, 3), np.ones((1, 1, 2, 2)))[0, 0]
    array([[ 8., 12.],
           [20., 24.]])
    """
    x, w, step, pad, gap, groups = _convolution(x, w, stride, padding, dilation, groups)
    if _one_of("algorithm", algorithm, ALGORITHMS) == "winograd":
        why_not = why_not_winograd((w.shape[2], w.shape[3]), step, gap)
        if why_not:
            raise ValueError(f"algorithm: got 'winograd', needed 'im2col' or 'auto': {why_not}")
    return convolve(_kernels(backend), algorithm, x, w, _bias(b, w.shape[0], x), step, pad, gap, groups)


def algorithm_of(
    x: Array,
    w: Array,
    stride: Size = 1,
    padding: AnyPadding = 0,
    dilation: Size = 1,
    groups: int = 1,
    *,
    backend: str = "cpu",
) -> str:
    """What ``conv2d(..., algorithm="auto")`` uses for such a convolution with the present number of threads.

    Parameters
    ----------
    x, w, stride, padding, dilation, groups
        As for `conv2d`; of the arrays only shapes and type matter.

    Returns
    -------
    str
        "im2col" or "winograd". Where it has not been measured in this process it is now.

    Examples
    --------
    >>> algorithm_of(np.zeros((1, 3, 32, 32)), np.zeros((8, 3, 5, 5)))
    'im2col'
    """
    return fastest(zfkernels.get(backend), *_convolution(x, w, stride, padding, dilation, groups))


def _convolution(
    x: Array, w: Array, stride: Size, padding: AnyPadding, dilation: Size, groups: int
) -> tuple[Array, Array, Pair, Padding, Pair, int]:
    """The arguments of a convolution, canonical."""
    x, w = _array("x", x, "NCHW"), _array("w", w, ("O", "C/groups", "KH", "KW"), x)
    groups = _integer("groups", groups, 1)
    _grouped("x", x.shape[1], w, groups, w.shape[1] * groups)
    kernel, step, gap = _pair("w", w.shape[2:], 1), _pair("stride", stride, 1), _pair("dilation", dilation, 1)
    pad = _padding(padding, x.shape[2:], kernel, step, gap)
    window_count(x.shape[2:], kernel, step, pad, gap)
    return x, w, step, pad, gap, groups


def conv2d_adjoint_x(
    gy: Array,
    w: Array,
    input_size: Size,
    stride: Size = 1,
    padding: AnyPadding = 0,
    dilation: Size = 1,
    groups: int = 1,
    *,
    backend: str = "cpu",
) -> Array:
    """The adjoint of `conv2d` in x: each output puts its filter back into its window (paper, section 2.1: "filtering").

    Parameters
    ----------
    gy : array (N, O, OH, OW)
    w : array (O, C/groups, KH, KW)
    input_size : int or pair
        (H, W) of the convolution's input; strides make several sizes possible.
    stride, padding, dilation, groups
        Of the convolution, as for `conv2d`.

    Returns
    -------
    array (N, C, H, W)

    Examples
    --------
    >>> conv2d_adjoint_x(np.array([[[[1.0, 10.0]]]]), np.array([[[[1.0, 2.0]]]]), (1, 3))[0, 0]
    array([[ 1., 12., 20.]])
    """
    gy, w = _array("gy", gy, "NOHW"), _array("w", w, ("O", "C/groups", "KH", "KW"), gy)
    groups, size = _integer("groups", groups, 1), _pair("input_size", input_size, 1)
    _grouped("gy", gy.shape[1], w, groups, w.shape[0])
    kernel, step, gap = _pair("w", w.shape[2:], 1), _pair("stride", stride, 1), _pair("dilation", dilation, 1)
    pad = _padding(padding, size, kernel, step, gap)
    out = window_count(size, kernel, step, pad, gap)
    _shape("gy", gy, (*gy.shape[:2], *out), f"the output of an input of size {size}")
    return _kernels(backend).conv2d_adjoint_x(gy, w, size, step, pad, gap, groups)


def conv2d_adjoint_w(
    gy: Array,
    x: Array,
    kernel_size: Size,
    stride: Size = 1,
    padding: AnyPadding = 0,
    dilation: Size = 1,
    groups: int = 1,
    *,
    backend: str = "cpu",
) -> Array:
    """The adjoint of `conv2d` in w: each output adds its window to its filter; the gradient of the weights.

    Parameters
    ----------
    gy : array (N, O, OH, OW)
    x : array (N, C, H, W)
    kernel_size : int or pair
    stride, padding, dilation, groups
        Of the convolution, as for `conv2d`.

    Returns
    -------
    array (O, C/groups, KH, KW)

    Examples
    --------
    >>> conv2d_adjoint_w(np.array([[[[1.0, 10.0]]]]), np.array([[[[1.0, 2.0, 3.0]]]]), (1, 2))[0, 0]
    array([[21., 32.]])
    """
    gy, x = _array("gy", gy, "NOHW"), _array("x", x, "NCHW", gy)
    groups, kernel = _integer("groups", groups, 1), _pair("kernel_size", kernel_size, 1)
    for name, maps in (("gy", gy.shape[1]), ("x", x.shape[1])):
        if maps % groups:
            raise ValueError(f"{name}: got {maps} channels, needed a multiple of groups = {groups}")
    step, gap = _pair("stride", stride, 1), _pair("dilation", dilation, 1)
    pad = _padding(padding, x.shape[2:], kernel, step, gap)
    out = window_count(x.shape[2:], kernel, step, pad, gap)
    _shape("gy", gy, (len(x), gy.shape[1], *out), f"the output of x of shape {x.shape}")
    return _kernels(backend).conv2d_adjoint_w(gy, x, kernel, step, pad, gap, groups)


def conv_transpose2d(
    x: Array,
    w: Array,
    b: Array | None = None,
    stride: Size = 1,
    padding: Size = 0,
    output_padding: Size = 0,
    groups: int = 1,
    dilation: Size = 1,
    *,
    backend: str = "cpu",
) -> Array:
    """Transposed convolution: `conv2d_adjoint_x` under the name and with the arguments of a layer.

    Parameters
    ----------
    x : array (N, C, H, W)
    w : array (C, O/groups, KH, KW)
    b : array (O,), optional
    stride, padding, dilation : int or pair
        Of the convolution whose adjoint this is.
    output_padding : int or pair
        Rows and columns more of output, below stride or dilation; chooses among the sizes that strides make possible.
    groups : int

    Returns
    -------
    array (N, O, OH, OW)

    Examples
    --------
    >>> conv_transpose2d(np.array([[[[1.0, 10.0]]]]), np.ones((1, 1, 1, 2)), stride=2)[0, 0]
    array([[ 1.,  1., 10., 10.]])
    """
    x, w = _array("x", x, "NCHW"), _array("w", w, ("C", "O/groups", "KH", "KW"), x)
    groups = _integer("groups", groups, 1)
    _grouped("x", x.shape[1], w, groups, w.shape[0])
    kernel, step, gap = _pair("w", w.shape[2:], 1), _pair("stride", stride, 1), _pair("dilation", dilation, 1)
    more = _pair("output_padding", output_padding, 0)
    for i in (0, 1):
        if more[i] >= max(step[i], gap[i]):
            raise ValueError(f"output_padding: got {more}, needed less than stride {step} or dilation {gap}")
    pad = _padding(_pair("padding", padding, 0), x.shape[2:], kernel, step, gap)
    size = transposed_output_size(x.shape[2:], kernel, step, pad, more, gap)
    b = _bias(b, w.shape[1] * groups, x)
    y = _kernels(backend).conv2d_adjoint_x(x, w, size, step, pad, gap, groups)
    return y if b is None else y + b[:, None, None]


# ---- pooling


def max_pool2d(
    x: Array,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    *,
    backend: str = "cpu",
) -> tuple[Array, Array]:
    """Max-pooling, with the switches that unpooling needs (paper, section 2.1).

    Parameters
    ----------
    x : array (N, C, H, W)
    kernel_size, stride, padding, dilation : int or pair
        stride is kernel_size if not given; padding is never selected.
    ceil_mode : bool
        Keep a last, partial window.

    Returns
    -------
    y : array (N, C, OH, OW)
    switches : int32 array (N, C, OH, OW)
        ih*W + iw of each maximum in the unpadded plane; on ties the first in row-major order, a NaN before any number.

    Examples
    --------
    >>> y, switches = max_pool2d(np.array([[[[1.0, 3.0], [3.0, 2.0]]]]), 2)
    >>> y.item(), switches.item()
    (3.0, 1)
    """
    x = _array("x", x, "NCHW")
    kernel, gap = _pair("kernel_size", kernel_size, 1), _pair("dilation", dilation, 1)
    step = kernel if stride is None else _pair("stride", stride, 1)
    pad, ceil_mode = _pool_padding(padding, kernel), _flag("ceil_mode", ceil_mode)
    pool_output_size(x.shape[2:], kernel, step, pad, gap, ceil_mode)
    return _kernels(backend).max_pool2d(x, kernel, step, pad, gap, ceil_mode)


def max_unpool2d(
    y: Array, switches: Array, output_size: Size, collisions: str = "add", *, backend: str = "cpu"
) -> Array:
    """Put every element back where its switch says, zero elsewhere (paper, section 2.1: "unpooling").

    Parameters
    ----------
    y : array (N, C, OH, OW)
    switches : integer array of y's shape
        From `max_pool2d`.
    output_size : int or pair
        (H, W) of what was pooled.
    collisions : {"add", "max", "last"}
        Where overlapping windows name one pixel: their sum (the adjoint of picking at the switches), the largest, the last.

    Returns
    -------
    array (N, C, H, W)

    Examples
    --------
    >>> switches = np.array([[[[1, 1]]]], np.int32)
    >>> max_unpool2d(np.array([[[[5.0, 7.0]]]]), switches, (1, 3))[0, 0]
    array([[ 0., 12.,  0.]])
    """
    y, size = _array("y", y, "NCHW"), _pair("output_size", output_size, 1)
    if not isinstance(switches, np.ndarray) or switches.dtype.kind not in "iu":
        raise TypeError(f"switches: got {getattr(switches, 'dtype', type(switches).__name__)}, needed an array of integers")
    _shape("switches", switches, y.shape, "one switch for each element of y")
    if switches.size and (switches.min() < 0 or switches.max() >= size[0] * size[1]):
        raise ValueError(
            f"switches: got {switches.min()}..{switches.max()}, needed 0..{size[0] * size[1] - 1} for output_size {size}"
        )
    _one_of("collisions", collisions, COLLISIONS)
    return _kernels(backend).max_unpool2d(y, switches.astype(np.int32, copy=False), size, collisions)


def avg_pool2d(
    x: Array,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    backend: str = "cpu",
) -> Array:
    """Average pooling.

    Parameters
    ----------
    x : array (N, C, H, W)
    kernel_size, stride, padding : int or pair
        stride is kernel_size if not given.
    ceil_mode : bool
        Keep a last, partial window.
    count_include_pad : bool
        Divide by the taps on image and padding, not on the image alone.
    divisor_override : int, optional
        Divide by this instead.

    Returns
    -------
    array (N, C, OH, OW)

    Examples
    --------
    >>> avg_pool2d(np.array([[[[1.0, 3.0], [3.0, 2.0]]]]), 2).item()
    2.25
    """
    x, kernel = _array("x", x, "NCHW"), _pair("kernel_size", kernel_size, 1)
    step = kernel if stride is None else _pair("stride", stride, 1)
    pad, ceil_mode = _pool_padding(padding, kernel), _flag("ceil_mode", ceil_mode)
    divisor = None if divisor_override is None else _integer("divisor_override", divisor_override, 1)
    pool_output_size(x.shape[2:], kernel, step, pad, (1, 1), ceil_mode)
    include = _flag("count_include_pad", count_include_pad)
    return _kernels(backend).avg_pool2d(x, kernel, step, pad, ceil_mode, include, divisor)


# ---- element by element, and the rest


def relu(x: Array, *, backend: str = "cpu") -> Array:
    """The rectifier, ``max(x, 0)``, of an array of any shape.

    Examples
    --------
    >>> relu(np.array([-1.0, 2.0]))
    array([0., 2.])
    """
    return _kernels(backend).relu(_array("x", x, None))


def relu_vjp(gy: Array, x: Array, rule: str = "gradient", *, backend: str = "cpu") -> Array:
    """Pass a signal down through a rectifier whose forward input was x.

    Parameters
    ----------
    gy, x : arrays of one shape
    rule : {"gradient", "deconvnet", "guided", "linear"}
        ``gy * (x > 0)``, ``gy * (gy > 0)`` (paper, section 2.1), both, or gy as it is.

    Examples
    --------
    >>> gy, x = np.array([-1.0, 2.0, 3.0]), np.array([1.0, -1.0, 1.0])
    >>> relu_vjp(gy, x), relu_vjp(gy, x, "deconvnet"), relu_vjp(gy, x, "guided")
    (array([-1.,  0.,  3.]), array([0., 2., 3.]), array([0., 0., 3.]))
    """
    gy = _array("gy", gy, None)
    x = _array("x", x, None, gy)
    _shape("x", x, gy.shape, "the shape of gy")
    return _kernels(backend).relu_vjp(gy, x, _one_of("rule", rule, RULES))


def local_response_norm(
    x: Array, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0, *, backend: str = "cpu"
) -> Array:
    """Each activation over the power of its neighbours across maps (paper, section 2: contrast normalisation).

    ``x / (k + alpha/size * sum of x**2 over the `size` maps around it) ** beta``; alpha is divided by size, unlike AlexNet's.

    Parameters
    ----------
    x : array (N, C, ...)
    size : int
        In maps.
    alpha, beta, k : float

    Examples
    --------
    >>> local_response_norm(np.array([[[[3.0]], [[4.0]]]]), 3, alpha=3.0, beta=0.5, k=0.0).ravel()
    array([0.6, 0.8])
    """
    x, size = _array("x", x, None), _integer("size", size, 1)
    if x.ndim < 3:
        raise ValueError(f"x: got shape {x.shape}, needed at least 3 axes (N, C, ...)")
    numbers = _number("alpha", alpha), _number("beta", beta), _number("k", k)
    return _kernels(backend).local_response_norm(x, size, *numbers)


def linear(x: Array, w: Array, b: Array | None = None, *, backend: str = "cpu") -> Array:
    """The fully connected layer, ``x @ w.T + b``.

    Parameters
    ----------
    x : array (N, I)
    w : array (O, I)
    b : array (O,), optional

    Returns
    -------
    array (N, O)

    Examples
    --------
    >>> linear(np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]]), np.array([5.0]))
    array([[16.]])
    """
    x = _array("x", x, "NI")
    w = _array("w", w, "OI", x)
    if w.shape[1] != x.shape[1]:
        raise ValueError(f"w: got shape {w.shape}, needed (O, {x.shape[1]}) for x of shape {x.shape}")
    return _kernels(backend).linear(x, w, _bias(b, w.shape[0], x))


def softmax(x: Array, axis: int, *, backend: str = "cpu") -> Array:
    """``exp(x) / sum of exp(x)`` along an axis, without overflow.

    Examples
    --------
    >>> softmax(np.array([[0.0, 0.0]]), 1)
    array([[0.5, 0.5]])
    """
    x, axis = _array("x", x, None), _integer("axis", axis, -np.iinfo(np.int64).max)
    if not -x.ndim <= axis < x.ndim:
        raise ValueError(f"axis: got {axis}, needed {-x.ndim}..{x.ndim - 1} for x of shape {x.shape}")
    if not x.shape[axis]:
        raise ValueError(f"x: got shape {x.shape}, needed at least one element along axis {axis}")
    return _kernels(backend).softmax(x, axis)


def cross_entropy(logits: Array, labels: Array, *, backend: str = "cpu") -> Array:
    """The mean over a batch of ``-log(softmax(logits)[label])``.

    Parameters
    ----------
    logits : array (N, K)
        Before the softmax; N at least 1.
    labels : integer array (N,)
        Classes, 0..K-1.

    Returns
    -------
    array ()

    Examples
    --------
    >>> round(float(cross_entropy(np.zeros((2, 10)), np.array([3, 7]))), 4)
    2.3026
    """
    logits = _array("logits", logits, "NK")
    if not isinstance(labels, np.ndarray) or labels.dtype.kind not in "iu":
        raise TypeError(f"labels: got {getattr(labels, 'dtype', type(labels).__name__)}, needed an array of integers")
    _shape("labels", labels, logits.shape[:1], "one label for each row of logits")
    if not labels.size:
        raise ValueError("logits: got an empty batch, whose mean is undefined; needed at least one row")
    if not logits.shape[1]:
        raise ValueError(f"logits: got shape {logits.shape}, needed at least one class")
    if labels.min() < 0 or labels.max() >= logits.shape[1]:
        raise ValueError(f"labels: got {labels.min()}..{labels.max()}, needed 0..{logits.shape[1] - 1}")
    return _kernels(backend).cross_entropy(logits, labels.astype(np.int64, copy=False))
