"""The catalog: one record per op. Tests, benchmarks and the README's table walk it; an op that is not here does not exist.

A record says which functions the op has, which of them are each other's adjoints or derivatives, how to draw a case for it,
and how many products meet in one element of a result. A *case* is a dict with a value for every argument name that the op's
functions have; `call` picks those that a function asks for.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from types import ModuleType
from typing import Any, Protocol

import numpy as np

from zfkernels import minimal_filtering, reference
from zfkernels.choices import COLLISIONS, RULES
from zfkernels.geometry import Axis, Pair

Case = dict[str, Any]

#: Situations that every sampler of windows can be told to produce, on both axes; "" leaves it the choice. A kernel of one pixel; of
#: the whole image; strides that skip pixels; padding; more of it on one side; pixels left over behind the last window; of which ceil
#: mode makes a window more; no image. (The batteries run all of them.)
CORNERS = ("", "1x1", "whole", "sparse", "padded", "uneven", "remainder", "ceil", "empty")


class Draw(Protocol):
    """Where a sampler's choices come from: Hypothesis in tests, a plain generator in benchmarks."""

    corner: str

    def integer(self, low: int, high: int, label: str) -> int:
        """An integer, low <= i <= high."""

    def choice(self, options: Sequence[Any], label: str) -> Any:
        """One of the options."""

    def array(self, shape: tuple[int, ...], label: str) -> np.ndarray:
        """Numbers of both signs."""


@dataclass(frozen=True)
class Adjoint:
    """``<forward(argument), cotangent> == <argument, adjoint(cotangent)>`` where the arguments `silent` are zero.

    `fixed` says of a case which arguments it must have instead of its own.
    """

    forward: str
    adjoint: str
    argument: str
    cotangent: str = "gy"
    silent: tuple[str, ...] = ()
    fixed: Callable[[Case], Case] = lambda case: {}


@dataclass(frozen=True)
class Vjp:
    """`vjp` is the transpose of `forward`'s derivative in x, at the arguments `fixed`."""

    forward: str
    vjp: str
    argument: str = "x"
    fixed: tuple[tuple[str, Any], ...] = ()


#: For `Op.terms`: a function whose rounding no sum of products describes; its bound stands in the table of `zfcore.testing`.
NOT_A_SUM = -1


@dataclass(frozen=True)
class Op:
    """One op.

    Parameters
    ----------
    name : str
        Also of its file in every backend.
    functions : tuple of str
        What the file exports.
    sample : callable
        Draws a case.
    terms : callable (function name, case) -> int
        How many products are summed into one element of that function's result. 0: none, at most one rounding, so that every
        backend gives the same bits for any numbers. `NOT_A_SUM`: it is no sum of products.
    adjoints, vjps : tuple
        The laws it promises.
    exact : bool
        Whether small integers give exact results, so that every backend gives the same bits for them.
    magnitude : callable (case) -> case
        The case whose result bounds the sizes of all terms: by default that of the arguments' absolute values.
    errors : callable (case) -> (int, array), optional
        Of an algorithm that sums other terms than the definition: how many roundings each of them carries at most, and the sum
        of their sizes for every element of a result.
    source : str
        Where the op comes from.
    """

    name: str
    functions: tuple[str, ...]
    sample: Callable[[Draw], Case]
    terms: Callable[[str, Case], int]
    source: str
    adjoints: tuple[Adjoint, ...] = ()
    vjps: tuple[Vjp, ...] = ()
    exact: bool = True
    magnitude: Callable[[Case], Case] = lambda case: {name: absolute(value) for name, value in case.items()}
    errors: Callable[[Case], tuple[int, np.ndarray]] | None = None

    def roundings(self, function: str, case: Case) -> tuple[int, np.ndarray]:
        """(n, sizes): no element of a function's first result lies further than ``n*u / (1 - n*u) * sizes`` from the exact one.

        n roundings, each by a relative u, met the terms at most, and `sizes` is what their absolute values sum to.
        """
        if self.errors is not None:
            return self.errors(case)
        sizes = call(reference, function, self.magnitude(case))
        return self.terms(function, case) + 1, np.abs(sizes[0] if isinstance(sizes, tuple) else sizes)

    def flops(self, function: str, case: Case, result: np.ndarray) -> int:
        """Floating-point operations of a call: a multiplication and an addition for every term."""
        return 2 * max(self.terms(function, case), 0) * result.size


def absolute(value: Any) -> Any:
    """The absolute value of an array of floats; anything else as it is."""
    return np.abs(value) if isinstance(value, np.ndarray) and value.dtype.kind == "f" else value


def call(module: ModuleType, function: str, case: Case) -> Any:
    """``module.function`` with the arguments that it asks for, taken from the case; NumPy arrays in and out, wherever it computes."""
    f = getattr(module, function)
    arguments = (case[name] for name in inspect.signature(f).parameters)
    result = f(*(module.asarray(a) if isinstance(a, np.ndarray) else a for a in arguments))
    return tuple(map(module.to_numpy, result)) if isinstance(result, tuple) else module.to_numpy(result)


def moved_bytes(module: ModuleType, function: str, case: Case) -> int:
    """Bytes that a call must move: every array argument read once, every result written once."""
    arrays = [case[name] for name in inspect.signature(getattr(module, function)).parameters]
    result = call(module, function, case)
    arrays.extend(result if isinstance(result, tuple) else [result])
    return sum(a.nbytes for a in arrays if isinstance(a, np.ndarray))


# ---- samplers: geometry first, then the sizes that fit it


def draw_axis(draw: Draw, name: str, pooling: bool, dilated: bool) -> Axis:
    """A window first, then padding, outputs and remainder; the image axis that has them is what follows."""
    corner = draw.corner
    kernel = 1 if corner == "1x1" else draw.integer(2 if corner in ("padded", "uneven", "ceil") else 1, 4, f"kernel {name}")
    dilation = 1 if corner in ("1x1", "whole") or not dilated else draw.integer(1, 2, f"dilation {name}")
    extent = (kernel - 1) * dilation + 1
    stride = 1 if corner == "1x1" else draw.integer(2 if corner in ("remainder", "ceil") else 1, 3, f"stride {name}")
    if corner == "sparse":
        stride = extent + draw.integer(1, 2, f"gap {name}")
    before, after = _draw_padding(draw, name, extent - 1 if pooling else extent)
    least = dilation if pooling else 1  # pixels: of so many in a row, taps that reach over both ends meet one
    fewest = max(-(-(least + before + after - extent) // stride), 0) + 1
    outputs = 1 if corner == "whole" else draw.integer(fewest, fewest + 3, f"outputs {name}")
    rest = 0 if corner == "whole" else draw.integer(_least_rest(corner, stride, extent), stride - 1, f"remainder {name}")
    return Axis((outputs - 1) * stride + extent + rest - before - after, kernel, stride, before, after, dilation)


def _draw_padding(draw: Draw, name: str, most: int) -> Pair:
    if draw.corner in ("1x1", "whole") or most < 1:
        return 0, 0
    before = draw.integer(int(draw.corner in ("padded", "uneven")), most, f"before {name}")
    if draw.corner == "ceil":
        return before, 0  # padding behind the image would take in the pixels left over
    after = draw.integer(0, most, f"after {name}")
    return (before, before - 1) if draw.corner == "uneven" and before == after else (before, after)


def _least_rest(corner: str, stride: int, extent: int) -> int:
    """Pixels behind the last window: for one more in ceil mode so many that it begins on the image."""
    return {"remainder": 1, "ceil": max(1, stride - extent + 1)}.get(corner, 0)


def draw_window(draw: Draw, pooling: bool = False, dilated: bool = True) -> tuple[Axis, Axis, Case]:
    """Two axes, and the arguments that say the same."""
    v, h = draw_axis(draw, "H", pooling, dilated), draw_axis(draw, "W", pooling, dilated)
    case = {
        "kernel_size": (v.kernel, h.kernel),
        "stride": (v.stride, h.stride),
        "padding": ((v.before, v.after), (h.before, h.after)),
        "dilation": (v.dilation, h.dilation),
        "input_size": (v.size, h.size),
    }
    return v, h, case


def draw_batch(draw: Draw) -> int:
    """Images in the batch; none in the corner "empty"."""
    return 0 if draw.corner == "empty" else draw.integer(1, 3, "N")


def sample_conv2d(draw: Draw) -> Case:
    v, h, case = draw_window(draw)
    N, G = draw_batch(draw), draw.integer(1, 3, "groups")
    CG, OG = draw.integer(1, 3, "C/groups"), draw.integer(1, 6, "O/groups")
    return case | {
        "groups": G,
        "x": draw.array((N, G * CG, v.size, h.size), "x"),
        "w": draw.array((G * OG, CG, v.kernel, h.kernel), "w"),
        "b": draw.choice([None, draw.array((G * OG,), "b")], "bias"),
        "gy": draw.array((N, G * OG, v.outputs(), h.outputs()), "gy"),
    }


def terms_conv2d(function: str, case: Case) -> int:
    O, CG, KH, KW = case["w"].shape
    N, _, OH, OW = case["gy"].shape
    return {
        "conv2d": CG * KH * KW + 1,
        "conv2d_relu": CG * KH * KW + 1,
        "conv2d_adjoint_x": O // case["groups"] * KH * KW,
        "conv2d_adjoint_w": N * OH * OW,
        "conv2d_adjoint_b": N * OH * OW,
    }[function]


def _draw_winograd_axis(draw: Draw, name: str) -> Axis:
    """Three taps; outputs for a few tiles, whole ones and not."""
    before, after = _draw_padding(draw, name, 3)
    fewest = max(before + after - 1, 1)
    outputs = fewest if draw.corner in ("1x1", "whole") else draw.integer(fewest, fewest + 11, f"outputs {name}")
    return Axis(outputs + 2 - before - after, 3, 1, before, after)


def sample_winograd(draw: Draw) -> Case:
    v, h = _draw_winograd_axis(draw, "H"), _draw_winograd_axis(draw, "W")
    N, G = draw_batch(draw), draw.integer(1, 3, "groups")
    # A vector has 2 to 16 lanes: channels and filters that fill some, and that do not.
    CG, OG = draw.choice([1, 3, 16, 19], "C/groups"), draw.choice([1, 3, 16, 19], "O/groups")
    return {
        "padding": ((v.before, v.after), (h.before, h.after)),
        "groups": G,
        "x": draw.array((N, G * CG, v.size, h.size), "x"),
        "w": draw.array((G * OG, CG, 3, 3), "w"),
        "b": draw.choice([None, draw.array((G * OG,), "b")], "bias"),
    }


def errors_winograd(case: Case) -> tuple[int, np.ndarray]:
    x, w, b, padding, groups = (case[name] for name in ("x", "w", "b", "padding", "groups"))
    sizes = minimal_filtering.term_sizes(x, w, b, padding, groups)
    return minimal_filtering.roundings((sizes.shape[2], sizes.shape[3]), w.shape[1]), sizes


def sample_im2col(draw: Draw) -> Case:
    v, h, case = draw_window(draw)
    N, C = draw_batch(draw), draw.integer(1, 3, "C")
    cols = (N, C * v.kernel * h.kernel, v.outputs() * h.outputs())
    return case | {
        "x": draw.array((N, C, v.size, h.size), "x"),
        "cols": draw.array(cols, "cols"),
        "output_size": case["input_size"],
    }


def sample_max_pool2d(draw: Draw) -> Case:
    v, h, case = draw_window(draw, pooling=True)
    case["ceil_mode"] = draw.corner == "ceil" or draw.choice([False, True], "ceil_mode")
    x = draw.array((draw_batch(draw), draw.integer(1, 3, "C"), v.size, h.size), "x")
    y, switches = call(reference, "max_pool2d", case | {"x": x})
    collisions = draw.choice(COLLISIONS, "collisions")
    return case | {
        "x": x,
        "switches": switches,
        "y": draw.array(y.shape, "y"),
        "output_size": case["input_size"],
        "collisions": collisions,
    }


def terms_max_pool2d(function: str, case: Case) -> int:
    return prod(case["kernel_size"]) if function == "max_unpool2d" and case["collisions"] == "add" else 0


def sample_avg_pool2d(draw: Draw) -> Case:
    v, h, case = draw_window(draw, pooling=True, dilated=False)
    del case["dilation"]
    case |= {
        "ceil_mode": draw.corner == "ceil" or draw.choice([False, True], "ceil_mode"),
        "count_include_pad": draw.choice([False, True], "count_include_pad"),
        "divisor_override": draw.choice([None, 1, 3], "divisor_override"),
    }
    N, C = draw_batch(draw), draw.integer(1, 3, "C")
    outputs = v.outputs(case["ceil_mode"]), h.outputs(case["ceil_mode"])
    return case | {"x": draw.array((N, C, v.size, h.size), "x"), "gy": draw.array((N, C, *outputs), "gy")}


def _draw_places(draw: Draw, name: str, units: int, low: Pair, high: Pair) -> np.ndarray:
    """For each of some units a place (y, x) between two others."""
    rows = [[draw.integer(low[i], high[i], f"{name} {axis}") for i, axis in enumerate("HW")] for _ in range(units)]
    return np.array(rows, np.int64).reshape(units, 2)


def sample_windows(draw: Draw) -> Case:
    N, C, H, W = draw_batch(draw), draw.integer(1, 3, "C"), draw.integer(1, 7, "H"), draw.integer(1, 7, "W")
    B = draw.integer(1, 3, "units") if N else 0
    h, w = draw.integer(1, 7, "height"), draw.integer(1, 7, "width")
    KH, KW = draw.integer(1, H, "height of patches"), draw.integer(1, W, "width of patches")
    switches = np.random.default_rng(draw.integer(0, 2**32 - 1, "seed of switches")).integers(H * W, size=(B, C, h, w))
    return {
        "x": draw.array((N, C, H, W), "x"),
        "images": np.array([draw.integer(0, N - 1, "image") for _ in range(B)], np.int64),
        "low": _draw_places(draw, "low", B, (-h, -w), (H, W)),  # from wholly before the map to wholly behind it
        "size": (h, w),
        "y": draw.array((B, C, h, w), "y"),
        "output_size": (H, W),
        "image": draw.array((1, C, H, W), "image"),
        "patch": draw.array((B, C, KH, KW), "patch"),
        "at": _draw_places(draw, "at", B, (0, 0), (H - KH, W - KW)),
        "fill": draw.choice([0.0, 0.5, -np.inf], "fill"),
        "switches": switches.astype(np.int32),
        "width": W,
        "narrow": w,
    }


def _own_images(case: Case) -> Case:
    """Every unit of `sample_windows` with an image of its own."""
    return {"x": case["x"][case["images"]], "images": np.arange(len(case["images"]))}


def sample_elementwise(draw: Draw) -> Case:
    shape = (draw_batch(draw), draw.integer(1, 5, "C"), draw.integer(1, 4, "H"), draw.integer(1, 4, "W"))
    return {
        "x": draw.array(shape, "x"),
        "gy": draw.array(shape, "gy"),
        "rule": draw.choice(RULES, "rule"),
    }


def sample_leaky_relu(draw: Draw) -> Case:
    return sample_elementwise(draw) | {"negative_slope": draw.choice([0.0, 0.01, 0.25], "negative_slope")}


def sample_clip(draw: Draw) -> Case:
    return sample_elementwise(draw) | {"minimum": draw.choice([0.0, -1.0], "minimum"), "maximum": 1.0}


def sample_local_response_norm(draw: Draw) -> Case:
    case = sample_elementwise(draw) | {"size": draw.integer(1, 6, "size"), "k": draw.choice([1.0, 2.0], "k")}
    return case | {"alpha": draw.choice([1e-4, 0.5], "alpha"), "beta": draw.choice([0.5, 0.75, 1.0], "beta")}


def sample_linear(draw: Draw) -> Case:
    N, I, O = draw_batch(draw), draw.integer(1, 20, "I"), draw.integer(1, 20, "O")
    return {
        "x": draw.array((N, I), "x"),
        "w": draw.array((O, I), "w"),
        "b": draw.choice([None, draw.array((O,), "b")], "bias"),
        "gy": draw.array((N, O), "gy"),
    }


def terms_linear(function: str, case: Case) -> int:
    (O, I), N = case["w"].shape, len(case["x"])
    return {"linear": I + 1, "linear_relu": I + 1, "linear_adjoint_x": O, "linear_adjoint_w": N, "linear_adjoint_b": N}[function]


def sample_batch_norm(draw: Draw) -> Case:
    case = sample_elementwise(draw)
    C = case["x"].shape[1]
    case |= {name: draw.array((C,), name) for name in ("mean", "weight", "bias")}
    return case | {"var": np.abs(draw.array((C,), "var")), "eps": draw.choice([1e-5, 1e-3], "eps")}


def magnitude_batch_norm(case: Case) -> Case:
    sizes = {name: absolute(value) for name, value in case.items()}
    return sizes | {"mean": -sizes["mean"]}  # it is subtracted


def sample_softmax(draw: Draw) -> Case:
    return sample_elementwise(draw) | {"axis": draw.choice([1, -1, 2], "axis")}


def sample_cross_entropy(draw: Draw) -> Case:
    N, K = draw.integer(1, 4, "N"), draw.integer(1, 6, "K")  # of an empty batch it is NaN: a test of its own
    labels = np.array([draw.integer(0, K - 1, "label") for _ in range(N)], np.int64)
    gy = draw.array((1,), "gy").reshape(())
    return {"logits": draw.array((N, K), "logits"), "labels": labels, "gy": gy}


def sample_dropout(draw: Draw) -> Case:
    case = sample_elementwise(draw)
    return case | {"p": draw.choice([0.0, 0.5, 0.75, 1.0], "p"), "seed": draw.integer(0, 2**63 - 1, "seed")}


def sample_sgd(draw: Draw) -> Case:
    case = sample_elementwise(draw)
    arrays = {"w": case["x"], "gw": case["gy"], "velocity": draw.array(case["x"].shape, "velocity")}
    numbers = {name: draw.choice([0.0, 0.25, 0.5], name) for name in ("rate", "momentum", "weight_decay")}  # exact on integers
    return arrays | numbers


def magnitude_sgd(case: Case) -> Case:
    return {name: absolute(value) for name, value in case.items()} | {"rate": -case["rate"]}  # what it moves by is subtracted


def sample_limit_filters(draw: Draw) -> Case:
    O = 0 if draw.corner == "empty" else draw.integer(1, 4, "O")
    shape = (O, draw.integer(1, 4, "C"), draw.integer(1, 4, "KH"), draw.integer(1, 4, "KW"))
    w = draw.array(shape, "w")
    w[::2] *= 4  # most of these are above the limit, most of the others below
    return {"w": w, "limit": draw.choice([2.0, 4.0], "limit")}


def _no_sum(function: str, case: Case) -> int:
    return NOT_A_SUM


def _one_rounding(function: str, case: Case) -> int:
    return 0


GRADIENT = (("rule", "gradient"),)

CATALOG = (
    Op(
        "im2col",
        ("im2col", "col2im"),
        sample_im2col,
        lambda function, case: prod(case["kernel_size"]) if function == "col2im" else 0,
        "Chellapilla, Puri & Simard 2006",
        adjoints=(Adjoint("im2col", "col2im", "x", "cols"),),
    ),
    Op(
        "conv2d",
        ("conv2d", "conv2d_relu", "conv2d_adjoint_x", "conv2d_adjoint_w", "conv2d_adjoint_b"),
        sample_conv2d,
        terms_conv2d,
        "paper, sections 2 and 2.1 (filter, transposed filter)",
        adjoints=(
            Adjoint("conv2d", "conv2d_adjoint_x", "x", silent=("b",)),
            Adjoint("conv2d", "conv2d_adjoint_w", "w", silent=("b",)),
            Adjoint("conv2d", "conv2d_adjoint_b", "b", silent=("x",)),
        ),
    ),
    Op(
        "winograd",
        ("conv2d_winograd", "conv2d_winograd_relu"),
        sample_winograd,
        lambda function, case: case["w"][0].size + 1,
        "Winograd 1980; Lavin & Gray 2016",
        exact=False,
        errors=errors_winograd,
    ),
    Op(
        "max_pool2d",
        ("max_pool2d", "max_pool2d_gather", "max_unpool2d"),
        sample_max_pool2d,
        terms_max_pool2d,
        "paper, section 2.1 (switches, unpooling)",
        adjoints=(Adjoint("max_pool2d_gather", "max_unpool2d", "x", "y", fixed=lambda case: {"collisions": "add"}),),
    ),
    Op(
        "avg_pool2d",
        ("avg_pool2d", "avg_pool2d_adjoint_x"),
        sample_avg_pool2d,
        lambda function, case: prod(case["kernel_size"]) + 1,
        "Lin, Chen & Yan 2013 (NIN); PyTorch's divisors",
        adjoints=(Adjoint("avg_pool2d", "avg_pool2d_adjoint_x", "x"),),
        exact=False,
    ),
    Op(
        "windows",
        ("cut_windows", "place_windows", "patch_windows", "rebase_switches"),
        sample_windows,
        lambda function, case: 0,
        "paper, section 2.1 (a projection lies inside its unit's receptive field)",
        adjoints=(Adjoint("cut_windows", "place_windows", "x", "y", fixed=_own_images),),
    ),
    Op(
        "relu",
        ("relu", "relu_vjp"),
        sample_elementwise,
        _one_rounding,
        "paper, section 2.1 (rectification)",
        vjps=(Vjp("relu", "relu_vjp", fixed=GRADIENT),),
    ),
    Op(
        "leaky_relu",
        ("leaky_relu", "leaky_relu_vjp"),
        sample_leaky_relu,
        _one_rounding,
        "Maas, Hannun & Ng 2013",
        vjps=(Vjp("leaky_relu", "leaky_relu_vjp", fixed=GRADIENT),),
    ),
    Op(
        "clip",
        ("clip", "clip_vjp"),
        sample_clip,
        _one_rounding,
        "ONNX Clip; ReLU6",
        vjps=(Vjp("clip", "clip_vjp", fixed=GRADIENT),),
    ),
    Op(
        "local_response_norm",
        ("local_response_norm", "local_response_norm_vjp"),
        sample_local_response_norm,
        _no_sum,
        "paper, section 2 (contrast normalisation); Krizhevsky et al. 2012, section 3.3",
        vjps=(Vjp("local_response_norm", "local_response_norm_vjp"),),
        exact=False,
    ),
    Op(
        "linear",
        ("linear", "linear_relu", "linear_adjoint_x", "linear_adjoint_w", "linear_adjoint_b"),
        sample_linear,
        terms_linear,
        "paper, section 2 (fully connected layers)",
        adjoints=(
            Adjoint("linear", "linear_adjoint_x", "x", silent=("b",)),
            Adjoint("linear", "linear_adjoint_w", "w", silent=("b",)),
            Adjoint("linear", "linear_adjoint_b", "b", silent=("x",)),
        ),
    ),
    Op(
        "batch_norm",
        ("batch_norm", "batch_norm_adjoint_x"),
        sample_batch_norm,
        lambda function, case: 8,  # no sum, but as many roundings: sqrt, quotient, two sums, two products, doubled under the root
        "Ioffe & Szegedy 2015, at inference",
        adjoints=(Adjoint("batch_norm", "batch_norm_adjoint_x", "x", silent=("mean", "bias")),),
        exact=False,
        magnitude=magnitude_batch_norm,
    ),
    Op(
        "softmax",
        ("softmax", "softmax_vjp", "log_softmax", "log_softmax_vjp"),
        sample_softmax,
        _no_sum,
        "paper, section 2 (softmax classifier)",
        vjps=(Vjp("softmax", "softmax_vjp"), Vjp("log_softmax", "log_softmax_vjp")),
        exact=False,
    ),
    Op(
        "cross_entropy",
        ("cross_entropy", "cross_entropy_vjp"),
        sample_cross_entropy,
        _no_sum,
        "paper, section 2 (cross-entropy loss)",
        vjps=(Vjp("cross_entropy", "cross_entropy_vjp", argument="logits"),),
        exact=False,
    ),
    Op(
        "dropout",
        ("dropout",),
        sample_dropout,
        _one_rounding,
        "Hinton et al. 2012; paper, section 3; mask: Steele, Lea & Flood 2014",
        adjoints=(Adjoint("dropout", "dropout", "x", "x"),),
    ),
    Op(
        "sgd",
        ("sgd",),
        sample_sgd,
        lambda function, case: 5,
        "paper, section 3; as PyTorch's SGD",
        magnitude=magnitude_sgd,
    ),
    Op(
        "limit_filters",
        ("limit_filters",),
        sample_limit_filters,
        # the squares' sum and mean under a root, which halves their roundings; root, quotient, its conversion, product
        lambda function, case: prod(case["w"].shape[1:]) + 4,
        "paper, section 3 (renormalised filters)",
    ),
)
