"""Kernels that are wrong on purpose: each must fail the battery that it names, or the battery guards nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace
from typing import Any

import batteries
import numpy as np
from zfkernels import reference


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
        return SimpleNamespace(**{name: getattr(reference, name) for name in reference.__all__} | self.wrong)


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


def conv2d_wrong_group(x, w, b, stride, padding, dilation, groups):
    per_group = w.shape[1]
    return reference.conv2d(np.roll(x, per_group, axis=1), w, b, stride, padding, dilation, groups)


def conv2d_unflipped_adjoint(gy, w, input_size, stride, padding, dilation, groups):
    return reference.conv2d_adjoint_x(gy, w[:, :, ::-1, ::-1], input_size, stride, padding, dilation, groups)


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


def unpool_overwrites(y, switches, output_size, collisions):
    return reference.max_unpool2d(y, switches, output_size, "last")


def average_counts_padding(
    gy, input_size, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
):
    return reference.avg_pool2d_adjoint_x(
        gy, input_size, kernel_size, stride, padding, ceil_mode, True, divisor_override
    )


def relu_guided_called_deconvnet(gy, x, rule):
    return reference.relu_vjp(gy, x, "guided" if rule == "deconvnet" else rule)


def relu_passes_everything(gy, x, rule):
    return gy.copy()


def relu_changes_its_input(x):
    if x.flags.writeable:
        np.maximum(x, 0, out=x)
    return np.maximum(x, 0)


def norm_alpha_undivided(x, size, alpha, beta, k):
    return reference.local_response_norm(x, size, alpha * size, beta, k)


def norm_run_forward_on_the_way_down(gy, x, size, alpha, beta, k):
    return reference.local_response_norm(gy, size, alpha, beta, k)


def softmax_without_max(x, axis):
    e = np.exp(x)  # infinite for x = inf, so that the others become 0 and not NaN
    return e / e.sum(axis=axis, keepdims=True)


def dropout_unscaled(x, p, seed):
    return reference.dropout(x, p, seed) * x.dtype.type(1 - p)


def dropout_other_mask_down(x, p, seed):
    return reference.dropout(x[..., ::-1], p, seed)


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
    Mutant("conv2d", "channels of the wrong group", batteries.adjoint, {"conv2d": conv2d_wrong_group}),
    Mutant("conv2d", "filters not flipped on the way down", batteries.adjoint, {"conv2d_adjoint_x": conv2d_unflipped_adjoint}),
    Mutant("max_pool2d", "the last maximum wins a tie", batteries.parity, {"max_pool2d": pool_last_maximum}),
    Mutant("max_pool2d", "padding taken as 0", batteries.parity, {"max_pool2d": pool_pads_with_zero}),
    Mutant("max_pool2d", "switches transposed", batteries.parity, {"max_pool2d": pool_transposed_switches}),
    Mutant("max_pool2d", "NaN lost", batteries.nonfinite, {"max_pool2d": pool_loses_nan}),
    Mutant("max_pool2d", "unpooling overwrites", batteries.adjoint, {"max_unpool2d": unpool_overwrites}),
    Mutant("avg_pool2d", "padding counted on the way down", batteries.adjoint, {"avg_pool2d_adjoint_x": average_counts_padding}),
    Mutant("relu", "guided called deconvnet", batteries.parity, {"relu_vjp": relu_guided_called_deconvnet}),
    Mutant("relu", "no rectification on the way down", batteries.derivative, {"relu_vjp": relu_passes_everything}),
    Mutant("relu", "its input overwritten", batteries.layout, {"relu": relu_changes_its_input}),
    Mutant("local_response_norm", "alpha not divided by size", batteries.rounding, {"local_response_norm": norm_alpha_undivided}),
    Mutant(
        "local_response_norm",
        "run forwards on the way down",
        batteries.derivative,
        {"local_response_norm_vjp": norm_run_forward_on_the_way_down},
    ),
    Mutant("softmax", "the maximum not subtracted", batteries.nonfinite, {"softmax": softmax_without_max}),
    Mutant("dropout", "kept elements not scaled", batteries.parity, {"dropout": dropout_unscaled}),
    Mutant("dropout", "another mask on the way down", batteries.adjoint, {"dropout": dropout_other_mask_down}),
    Mutant(
        "batch_norm", "shifted on the way down", batteries.derivative, {"batch_norm_adjoint_x": batch_norm_shift_on_the_way_down}
    ),
)
