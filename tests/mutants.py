"""Kernels that are wrong on purpose: each must fail the battery that it names, or the battery guards nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace
from typing import Any

import batteries
import numpy as np
from zfkernels import minimal_filtering, reference
from zfkernels.geometry import output_size


@dataclass(frozen=True)
class Mutant:
    """`wrong` replaces functions of the reference; `caught_by` is the battery that must notice."""

    op: str
    mistake: str
    caught_by: Callable[..., None]
    wrong: dict[str, Callable[..., Any]]

    @property
    def backend(self) -> ModuleType | SimpleNamespace:
        """A backend that is right but for the mistake."""
        return SimpleNamespace(**vars(reference) | self.wrong)


def without_last_row(y: np.ndarray) -> np.ndarray:
    y = y.copy()
    y[:, :, -1:] = 0
    return y


def conv2d_drops_last_row(x, w, b, stride, padding, dilation, groups):
    return without_last_row(reference.conv2d(x, w, b, stride, padding, dilation, groups))


def adjoint_x_drops_last_row(gy, w, input_size, stride, padding, dilation, groups):
    return reference.conv2d_adjoint_x(without_last_row(gy), w, input_size, stride, padding, dilation, groups)


def conv2d_float16_sums(x, w, b, stride, padding, dilation, groups):
    half = None if b is None else b.astype(np.float16)
    y = reference.conv2d(x.astype(np.float16), w.astype(np.float16), half, stride, padding, dilation, groups)
    return y.astype(x.dtype)


def conv2d_without_bias(x, w, b, stride, padding, dilation, groups):
    return reference.conv2d(x, w, None, stride, padding, dilation, groups)


def conv2d_relu_before_bias(x, w, b, stride, padding, dilation, groups):
    y = reference.relu(reference.conv2d(x, w, None, stride, padding, dilation, groups))
    return y if b is None else y + b[:, None, None]


def conv2d_wrong_group(x, w, b, stride, padding, dilation, groups):
    per_group = w.shape[1]
    return reference.conv2d(np.roll(x, per_group, axis=1), w, b, stride, padding, dilation, groups)


def conv2d_unflipped_adjoint(gy, w, input_size, stride, padding, dilation, groups):
    return reference.conv2d_adjoint_x(gy, w[:, :, ::-1, ::-1], input_size, stride, padding, dilation, groups)


def adjoint_w_forgets_last_image(gy, x, kernel_size, stride, padding, dilation, groups):
    return reference.conv2d_adjoint_w(gy[:-1], x[:-1], kernel_size, stride, padding, dilation, groups)


def adjoint_b_of_first_image(gy):
    return reference.conv2d_adjoint_b(gy[:1])


def winograd(x, w, b, padding, groups, matrices, product_type=None):
    """Winograd's algorithm in NumPy, tile by tile, with the matrices given; products and their sums in another type, if one is named."""
    (N, C, H, W), O = x.shape, len(w)
    size = output_size((H, W), minimal_filtering.KERNEL_SIZE, padding=padding)
    m = minimal_filtering.outputs_for(size)
    (TH, TW), ((top, _), (left, _)) = minimal_filtering.tiles(size, m), padding
    a, g, b_ = (np.array(matrix, float).astype(x.dtype) for matrix in matrices[m])
    image = np.zeros((N, C, TH * m + 2, TW * m + 2), x.dtype)
    image[:, :, top : top + H, left : left + W] = x
    filters, type_ = (g @ w @ g.T).reshape(groups, O // groups, C // groups, m + 2, m + 2), product_type or x.dtype
    y = np.zeros((N, groups, O // groups, TH * m, TW * m), x.dtype)
    for h in range(0, TH * m, m):
        for v in range(0, TW * m, m):
            inputs = (b_ @ image[:, :, h : h + m + 2, v : v + m + 2] @ b_.T).reshape(N, groups, C // groups, m + 2, m + 2)
            products = np.einsum("ngcij,gocij->ngoij", inputs.astype(type_), filters.astype(type_)).astype(x.dtype)
            y[..., h : h + m, v : v + m] = a @ products @ a.T
    y = y.reshape(N, O, TH * m, TW * m)[:, :, : size[0], : size[1]]
    return y if b is None else y + b[:, None, None]


def winograd_wrong_coefficient(x, w, b, padding, groups):
    """One coefficient of B' is off by a part in 4096."""
    matrices = {}
    for m, (a, g, (first, *rest)) in minimal_filtering.TRANSFORMS.items():
        place = max(i for i, c in enumerate(first) if c not in (0, 1))
        matrices[m] = a, g, (tuple(c * (4097 if i == place else 4096) / 4096 for i, c in enumerate(first)), *rest)
    return winograd(x, w, b, padding, groups, matrices)


def winograd_float16_sums(x, w, b, padding, groups):
    return winograd(x, w, b, padding, groups, minimal_filtering.TRANSFORMS, np.float16)


def winograd_relu_of_magnitude(x, w, b, padding, groups):
    return np.abs(reference.conv2d_winograd(x, w, b, padding, groups))


def winograd_loses_infinity(x, w, b, padding, groups):
    return reference.conv2d_winograd(np.nan_to_num(x), w, b, padding, groups)


def im2col_taps_transposed(x, kernel_size, stride, padding, dilation):
    cols = reference.im2col(x, kernel_size, stride, padding, dilation)
    taps = cols.reshape(*x.shape[:2], *kernel_size, cols.shape[2])
    return taps.swapaxes(2, 3).reshape(cols.shape)


def im2col_padding_swapped(x, kernel_size, stride, padding, dilation):
    (top, bottom), (left, right) = padding
    return reference.im2col(x, kernel_size, stride, ((bottom, top), (right, left)), dilation)


def col2im_padding_swapped(cols, output_size, kernel_size, stride, padding, dilation):
    (top, bottom), (left, right) = padding
    return reference.col2im(cols, output_size, kernel_size, stride, ((bottom, top), (right, left)), dilation)


def col2im_overwrites(cols, output_size, kernel_size, stride, padding, dilation):
    H, W = output_size
    pixels = np.arange(1.0, H * W + 1).reshape(1, 1, H, W)
    places = reference.im2col(pixels, kernel_size, stride, padding, dilation).astype(int).ravel()  # 0: on padding
    N, C = cols.shape[0], cols.shape[1] // (kernel_size[0] * kernel_size[1])
    x = np.zeros((N, C, H * W + 1), cols.dtype)
    x[:, :, places] = cols.reshape(N, C, places.size)
    return x[:, :, 1:].reshape(N, C, H, W)


def pool_last_maximum(x, kernel_size, stride, padding, dilation, ceil_mode):
    H, W = x.shape[2:]
    (top, bottom), (left, right) = padding
    flipped_size = reference.max_pool2d(x, kernel_size, stride, padding, dilation, ceil_mode)[0].shape[2:]
    bottom = (flipped_size[0] - 1) * stride[0] + (kernel_size[0] - 1) * dilation[0] + 1 - H - top
    right = (flipped_size[1] - 1) * stride[1] + (kernel_size[1] - 1) * dilation[1] + 1 - W - left
    x = x[:, :, : H + min(bottom, 0), : W + min(right, 0)]
    turned = ((max(bottom, 0), top), (max(right, 0), left))
    y, switches = reference.max_pool2d(x[:, :, ::-1, ::-1], kernel_size, stride, turned, dilation, False)
    rows, columns = np.divmod(switches[:, :, ::-1, ::-1], x.shape[3])
    return y[:, :, ::-1, ::-1], ((x.shape[2] - 1 - rows) * W + x.shape[3] - 1 - columns).astype(np.int32)


def pool_pads_with_zero(x, kernel_size, stride, padding, dilation, ceil_mode):
    y, switches = reference.max_pool2d(x, kernel_size, stride, padding, dilation, ceil_mode)
    return (np.maximum(y, 0) if any(map(any, padding)) else y), switches


def pool_transposed_switches(x, kernel_size, stride, padding, dilation, ceil_mode):
    y, switches = reference.max_pool2d(x, kernel_size, stride, padding, dilation, ceil_mode)
    rows, columns = np.divmod(switches, x.shape[3])
    return y, (columns * x.shape[2] + rows).astype(np.int32)


def pool_loses_nan(x, kernel_size, stride, padding, dilation, ceil_mode):
    return reference.max_pool2d(np.where(np.isnan(x), -np.inf, x), kernel_size, stride, padding, dilation, ceil_mode)


def gather_at_the_first_images_switches(x, switches):
    return reference.max_pool2d_gather(x, np.repeat(switches[:1], len(x), axis=0))


def unpool_overwrites(y, switches, output_size, collisions):
    return reference.max_unpool2d(y, switches, output_size, "last")


def average_counts_padding(gy, input_size, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override):
    return reference.avg_pool2d_adjoint_x(gy, input_size, kernel_size, stride, padding, ceil_mode, True, divisor_override)


def average_over_the_full_kernel(x, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override):
    if count_include_pad and divisor_override is None:
        divisor_override = kernel_size[0] * kernel_size[1]
    return reference.avg_pool2d(x, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def cut_repeats_the_border(x, images, low, size):
    y = np.empty((len(low), x.shape[1], *size), x.dtype)
    for b, (top, left) in enumerate(low):
        rows, columns = (np.clip(first + np.arange(n), 0, end - 1) for first, n, end in zip((top, left), size, x.shape[2:], strict=True))
        y[b] = x[images[b]][:, rows[:, None], columns]
    return y


def place_wraps_around(y, low, output_size):
    x = np.zeros((*y.shape[:2], *output_size), y.dtype)
    for b, (top, left) in enumerate(low):
        rows, columns = (np.arange(n)[:end] for n, end in zip(y.shape[2:], output_size, strict=True))
        x[b][:, (rows[:, None] + top) % output_size[0], (columns + left) % output_size[1]] = y[b][:, rows[:, None], columns]
    return x


def patch_of_the_first_unit(image, patch, at, low, size, fill):
    return reference.patch_windows(image, np.repeat(patch[:1], len(patch), axis=0), at, low, size, fill)


def patch_counted_from_the_window(image, patch, at, low, size, fill):
    return reference.patch_windows(image, patch, at + low, low, size, fill)


def rebase_keeps_the_width(switches, width, low, narrow):
    return reference.rebase_switches(switches, width, low, width)


def relu_guided_called_deconvnet(gy, x, rule):
    return reference.relu_vjp(gy, x, "guided" if rule == "deconvnet" else rule)


def relu_passes_everything(gy, x, rule):
    return gy.copy()


def relu_changes_its_input(x):
    if x.flags.writeable:
        np.maximum(x, 0, out=x)
    return np.maximum(x, 0)


def leaky_relu_on_the_wrong_side(x, negative_slope):
    return np.where(x > 0, x.dtype.type(negative_slope) * x, x)


def leaky_relu_guided_without_slope(gy, x, negative_slope, rule):
    return reference.leaky_relu_vjp(gy, x, 0.0 if rule == "guided" else negative_slope, rule)


def leaky_relu_looks_at_the_signal(gy, x, negative_slope, rule):
    return reference.leaky_relu_vjp(gy, x, negative_slope, "deconvnet" if rule == "gradient" else rule)


def clip_loses_nan(x, minimum, maximum):
    return np.fmin(np.fmax(x, x.dtype.type(minimum)), x.dtype.type(maximum))


def clip_passes_at_the_bounds(gy, x, minimum, maximum, rule):
    inside = np.where((x == minimum) | (x == maximum), x.dtype.type((minimum + maximum) / 2), x)
    return reference.clip_vjp(gy, inside, minimum, maximum, rule)


def clip_always_rectifies(gy, x, minimum, maximum, rule):
    gx = reference.clip_vjp(gy, x, minimum, maximum, rule)
    return np.where(gy <= 0, gy.dtype.type(0), gx) if rule in ("deconvnet", "guided") else gx


def clip_forgets_its_maximum(gy, x, minimum, maximum, rule):
    return reference.clip_vjp(gy, x, minimum, np.inf, rule)


def linear_without_bias(x, w, b):
    return reference.linear(x, w, None)


def linear_relu_of_magnitude(x, w, b):
    return np.abs(reference.linear(x, w, b))


def linear_transposed_when_square(x, w, b):
    return reference.linear(x, w.T if w.shape[0] == w.shape[1] else w, b)


def linear_adjoint_x_untransposed_when_square(gy, w):
    return reference.linear_adjoint_x(gy, w.T if w.shape[0] == w.shape[1] else w)


def linear_adjoint_w_averaged(gy, x):
    return reference.linear_adjoint_w(gy, x) / gy.dtype.type(max(len(gy), 1))


def linear_adjoint_b_of_first_image(gy):
    return reference.linear_adjoint_b(gy[:1])


def norm_alpha_undivided(x, size, alpha, beta, k):
    return reference.local_response_norm(x, size, alpha * size, beta, k)


def norm_run_forward_on_the_way_down(gy, x, size, alpha, beta, k):
    return reference.local_response_norm(gy, size, alpha, beta, k)


def softmax_without_max(x, axis):
    e = np.exp(x)  # infinite for x = inf, so that the others become 0 and not NaN
    return e / e.sum(axis=axis, keepdims=True)


def softmax_vjp_without_the_sum(gy, x, axis):
    return reference.softmax(x, axis) * gy


def log_softmax_along_the_last_axis(x, axis):
    return reference.log_softmax(x, -1)


def log_softmax_vjp_of_softmax(gy, x, axis):
    return reference.softmax_vjp(gy, x, axis)


def cross_entropy_summed(logits, labels):
    return reference.cross_entropy(logits, labels) * logits.dtype.type(len(labels))


def cross_entropy_vjp_of_the_next_label(gy, logits, labels):
    return reference.cross_entropy_vjp(gy, logits, (labels + 1) % logits.shape[1])


def cross_entropy_vjp_summed(gy, logits, labels):
    return reference.cross_entropy_vjp(gy, logits, labels) * logits.dtype.type(len(labels))


def dropout_unscaled(x, p, seed):
    return reference.dropout(x, p, seed) * x.dtype.type(1 - p)


def dropout_other_mask_down(x, p, seed):
    return reference.dropout(x[..., ::-1], p, seed)


def sgd_decaying_velocity_late(w, gw, velocity, rate, momentum, weight_decay):
    after, moved = reference.sgd(w, gw, velocity, rate, momentum, 0.0)
    return after - w.dtype.type(rate * weight_decay) * w, moved


def sgd_by_the_old_velocity(w, gw, velocity, rate, momentum, weight_decay):
    _, moved = reference.sgd(w, gw, velocity, rate, momentum, weight_decay)
    return w - w.dtype.type(rate) * velocity, moved


def limit_filters_up_to_the_limit(w, limit):
    return reference.limit_filters(w * w.dtype.type(64), limit)


def limit_filters_by_their_norm(w, limit):
    return reference.limit_filters(w, limit / np.sqrt(np.prod(w.shape[1:])))


def limit_filters_in_place(w, limit):
    y = reference.limit_filters(w, limit)
    if w.flags.writeable:
        w[...] = y
    return y


def batch_norm_eps_outside_the_root(x, mean, var, weight, bias, eps):
    deviation = np.sqrt(var) + x.dtype.type(eps)
    return reference.batch_norm(x, mean, deviation**2, weight, bias, 0.0)


def batch_norm_shift_on_the_way_down(gy, var, weight, eps):
    return reference.batch_norm(gy, np.ones_like(var), var, weight, np.zeros_like(var), eps)


MUTANTS = (
    Mutant(
        "conv2d",
        "the last row dropped in both directions: still adjoints, still wrong",
        batteries.parity,
        {"conv2d": conv2d_drops_last_row, "conv2d_adjoint_x": adjoint_x_drops_last_row},
    ),
    Mutant("conv2d", "the last row dropped going forward", batteries.adjoint, {"conv2d": conv2d_drops_last_row}),
    Mutant("conv2d", "sums in float16", batteries.rounding, {"conv2d": conv2d_float16_sums}),
    Mutant("conv2d", "no bias", batteries.parity, {"conv2d": conv2d_without_bias}),
    Mutant("conv2d", "rectified before the bias", batteries.parity, {"conv2d_relu": conv2d_relu_before_bias}),
    Mutant("conv2d", "channels of the wrong group", batteries.adjoint, {"conv2d": conv2d_wrong_group}),
    Mutant("conv2d", "filters not flipped on the way down", batteries.adjoint, {"conv2d_adjoint_x": conv2d_unflipped_adjoint}),
    Mutant("conv2d", "last image not in the filters' gradient", batteries.adjoint, {"conv2d_adjoint_w": adjoint_w_forgets_last_image}),
    Mutant("conv2d", "only the first image in the bias' gradient", batteries.adjoint, {"conv2d_adjoint_b": adjoint_b_of_first_image}),
    Mutant("winograd", "one coefficient off by 1/4096", batteries.rounding, {"conv2d_winograd": winograd_wrong_coefficient}),
    Mutant("winograd", "sums in float16", batteries.rounding, {"conv2d_winograd": winograd_float16_sums}),
    Mutant("winograd", "magnitude for positive part", batteries.parity, {"conv2d_winograd_relu": winograd_relu_of_magnitude}),
    Mutant("winograd", "NaN and infinities lost", batteries.nonfinite, {"conv2d_winograd": winograd_loses_infinity}),
    Mutant("im2col", "taps down the columns first", batteries.parity, {"im2col": im2col_taps_transposed}),
    Mutant(
        "im2col",
        "padding before and after swapped in both directions: still adjoints, still wrong",
        batteries.parity,
        {"im2col": im2col_padding_swapped, "col2im": col2im_padding_swapped},
    ),
    Mutant("im2col", "col2im overwrites", batteries.adjoint, {"col2im": col2im_overwrites}),
    Mutant("max_pool2d", "the last maximum wins a tie", batteries.parity, {"max_pool2d": pool_last_maximum}),
    Mutant("max_pool2d", "padding taken as 0", batteries.parity, {"max_pool2d": pool_pads_with_zero}),
    Mutant("max_pool2d", "switches transposed", batteries.parity, {"max_pool2d": pool_transposed_switches}),
    Mutant("max_pool2d", "NaN lost", batteries.nonfinite, {"max_pool2d": pool_loses_nan}),
    Mutant("max_pool2d", "unpooling overwrites", batteries.adjoint, {"max_unpool2d": unpool_overwrites}),
    Mutant(
        "max_pool2d",
        "every image gathered at the first one's switches",
        batteries.parity,
        {"max_pool2d_gather": gather_at_the_first_images_switches},
    ),
    Mutant("avg_pool2d", "a partial window divided by the full kernel", batteries.parity, {"avg_pool2d": average_over_the_full_kernel}),
    Mutant("avg_pool2d", "padding counted on the way down", batteries.adjoint, {"avg_pool2d_adjoint_x": average_counts_padding}),
    Mutant("windows", "beyond the map its border", batteries.parity, {"cut_windows": cut_repeats_the_border}),
    Mutant("windows", "what lies beyond the map comes in behind", batteries.adjoint, {"place_windows": place_wraps_around}),
    Mutant("windows", "everyone has the first one's patch", batteries.parity, {"patch_windows": patch_of_the_first_unit}),
    Mutant("windows", "patches counted from the window", batteries.parity, {"patch_windows": patch_counted_from_the_window}),
    Mutant("windows", "switches of a map as wide as before", batteries.parity, {"rebase_switches": rebase_keeps_the_width}),
    Mutant("relu", "guided called deconvnet", batteries.parity, {"relu_vjp": relu_guided_called_deconvnet}),
    Mutant("relu", "no rectification on the way down", batteries.derivative, {"relu_vjp": relu_passes_everything}),
    Mutant("relu", "its input overwritten", batteries.layout, {"relu": relu_changes_its_input}),
    Mutant("leaky_relu", "slope on the wrong side", batteries.parity, {"leaky_relu": leaky_relu_on_the_wrong_side}),
    Mutant("leaky_relu", "guided without the slope", batteries.parity, {"leaky_relu_vjp": leaky_relu_guided_without_slope}),
    Mutant("leaky_relu", "slope where the signal is negative", batteries.derivative, {"leaky_relu_vjp": leaky_relu_looks_at_the_signal}),
    Mutant("clip", "NaN lost", batteries.nonfinite, {"clip": clip_loses_nan}),
    Mutant("clip", "the signal passes at the bounds", batteries.parity, {"clip_vjp": clip_passes_at_the_bounds}),
    Mutant("clip", "a rectifier whatever its minimum", batteries.parity, {"clip_vjp": clip_always_rectifies}),
    Mutant("clip", "the signal passes above the maximum", batteries.derivative, {"clip_vjp": clip_forgets_its_maximum}),
    Mutant("linear", "no bias", batteries.parity, {"linear": linear_without_bias}),
    Mutant("linear", "magnitude for positive part", batteries.parity, {"linear_relu": linear_relu_of_magnitude}),
    Mutant("linear", "square weights transposed", batteries.parity, {"linear": linear_transposed_when_square}),
    Mutant(
        "linear",
        "square weights not transposed on the way down",
        batteries.adjoint,
        {"linear_adjoint_x": linear_adjoint_x_untransposed_when_square},
    ),
    Mutant("linear", "weights' gradient averaged", batteries.adjoint, {"linear_adjoint_w": linear_adjoint_w_averaged}),
    Mutant(
        "linear", "only the first image in the bias' gradient", batteries.adjoint, {"linear_adjoint_b": linear_adjoint_b_of_first_image}
    ),
    Mutant("local_response_norm", "alpha not divided by size", batteries.rounding, {"local_response_norm": norm_alpha_undivided}),
    Mutant(
        "local_response_norm",
        "run forwards on the way down",
        batteries.derivative,
        {"local_response_norm_vjp": norm_run_forward_on_the_way_down},
    ),
    Mutant("softmax", "the maximum not subtracted", batteries.nonfinite, {"softmax": softmax_without_max}),
    Mutant("softmax", "the sum of the signal left out", batteries.derivative, {"softmax_vjp": softmax_vjp_without_the_sum}),
    Mutant("softmax", "log_softmax along the last axis", batteries.parity, {"log_softmax": log_softmax_along_the_last_axis}),
    Mutant("softmax", "softmax's derivative for its logarithm's", batteries.derivative, {"log_softmax_vjp": log_softmax_vjp_of_softmax}),
    Mutant("cross_entropy", "summed, not averaged", batteries.parity, {"cross_entropy": cross_entropy_summed}),
    Mutant("cross_entropy", "gradient summed, not averaged", batteries.derivative, {"cross_entropy_vjp": cross_entropy_vjp_summed}),
    Mutant("cross_entropy", "label off by one", batteries.derivative, {"cross_entropy_vjp": cross_entropy_vjp_of_the_next_label}),
    Mutant("dropout", "kept elements not scaled", batteries.parity, {"dropout": dropout_unscaled}),
    Mutant("dropout", "another mask on the way down", batteries.adjoint, {"dropout": dropout_other_mask_down}),
    Mutant("sgd", "weight decay not in the velocity", batteries.parity, {"sgd": sgd_decaying_velocity_late}),
    Mutant("sgd", "moved by the velocity before", batteries.rounding, {"sgd": sgd_by_the_old_velocity}),
    Mutant("limit_filters", "small filters scaled up", batteries.parity, {"limit_filters": limit_filters_up_to_the_limit}),
    Mutant("limit_filters", "by the norm, not the RMS", batteries.rounding, {"limit_filters": limit_filters_by_their_norm}),
    Mutant("limit_filters", "its input overwritten", batteries.layout, {"limit_filters": limit_filters_in_place}),
    Mutant("batch_norm", "eps outside the root", batteries.rounding, {"batch_norm": batch_norm_eps_outside_the_root}),
    Mutant("batch_norm", "shifted on the way down", batteries.adjoint, {"batch_norm_adjoint_x": batch_norm_shift_on_the_way_down}),
)
