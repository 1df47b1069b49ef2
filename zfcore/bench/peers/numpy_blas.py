"""NumPy as a competent user writes it: im2col of one image at a time and BLAS for filters, views and whole-array steps for the rest."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from zfcore.bench.peers import Absent
from zfcore.bench.problems import KernelCall, Problem


def call(problem: Problem, threads: int) -> Callable[[], Any]:
    """The NumPy version of a kernel."""
    if not isinstance(problem, KernelCall):
        raise Absent("only single kernels are written in NumPy")
    if problem.function not in FUNCTIONS:
        raise Absent(f"{problem.function} is not written in NumPy")
    arguments = dict(problem.arguments)
    if problem.function == "avg_pool2d" and (arguments["ceil_mode"] or np.any(arguments["padding"])):
        raise Absent("written for pools without padding and ceil mode")
    f = FUNCTIONS[problem.function]
    values = [arguments[name] for name in inspect.signature(f).parameters]
    return lambda: f(*values)


def padded(x: np.ndarray, padding: Any, fill: float = 0) -> np.ndarray:
    """Images with a border."""
    return np.pad(x, ((0, 0), (0, 0), *padding), constant_values=fill) if np.any(padding) else x


def columns(image: np.ndarray, kernel_size: Any, stride: Any) -> np.ndarray:
    """im2col of an image (C, H, W): (C*KH*KW, OH*OW)."""
    windows = sliding_window_view(image, kernel_size, axis=(1, 2))[:, :: stride[0], :: stride[1]]
    C, OH, OW, KH, KW = windows.shape
    return windows.transpose(0, 3, 4, 1, 2).reshape(C * KH * KW, OH * OW)


def conv2d(x, w, b, stride, padding, groups):  # type: ignore[no-untyped-def]
    xp, (O, CG, KH, KW) = padded(x, padding), w.shape
    OH, OW = ((size - k) // s + 1 for size, k, s in zip(xp.shape[2:], (KH, KW), stride, strict=True))
    y = np.empty((len(x), groups, O // groups, OH * OW), x.dtype)
    filters = w.reshape(groups, O // groups, -1)
    for n, image in enumerate(xp):
        np.matmul(filters, columns(image, (KH, KW), stride).reshape(groups, CG * KH * KW, OH * OW), out=y[n])
    y = y.reshape(len(x), O, OH, OW)
    y += b[:, None, None]
    return y


def conv2d_adjoint_w(gy, x, kernel_size, stride, padding, groups):  # type: ignore[no-untyped-def]
    (N, O), (KH, KW), xp = gy.shape[:2], kernel_size, padded(x, padding)
    CG = x.shape[1] // groups
    gw = np.zeros((groups, O // groups, CG * KH * KW), x.dtype)
    for g, image in zip(gy.reshape(N, groups, O // groups, -1), xp, strict=True):
        gw += g @ columns(image, kernel_size, stride).reshape(groups, CG * KH * KW, -1).transpose(0, 2, 1)
    return gw.reshape(O, CG, KH, KW)


def conv2d_adjoint_x(gy, w, input_size, stride, padding, groups):  # type: ignore[no-untyped-def]
    (N, O, OH, OW), (_, CG, KH, KW), (H, W) = gy.shape, w.shape, input_size
    (top, bottom), (left, right) = padding
    gx = np.zeros((N, groups * CG, H + top + bottom, W + left + right), gy.dtype)
    filters = w.reshape(groups, O // groups, -1).transpose(0, 2, 1)
    for n in range(N):
        cols = (filters @ gy[n].reshape(groups, O // groups, OH * OW)).reshape(groups * CG, KH, KW, OH, OW)
        for kh in range(KH):
            for kw in range(KW):
                gx[n, :, kh : kh + OH * stride[0] : stride[0], kw : kw + OW * stride[1] : stride[1]] += cols[:, kh, kw]
    return gx[:, :, top : top + H, left : left + W]


def max_pool2d(x, kernel_size, stride, padding, ceil_mode):  # type: ignore[no-untyped-def]
    KH, KW = kernel_size
    more = tuple((before, after + (s - 1) * ceil_mode) for (before, after), s in zip(padding, stride, strict=True))
    windows = sliding_window_view(padded(x, more, -np.inf), kernel_size, axis=(2, 3))[:, :, :: stride[0], :: stride[1]]
    OH, OW = windows.shape[2:4]
    taps = windows.reshape(*x.shape[:2], OH, OW, KH * KW)
    best = taps.argmax(axis=-1)
    kh, kw = np.divmod(best, KW)
    rows = np.arange(OH)[:, None] * stride[0] - padding[0][0] + kh
    switches = rows * x.shape[3] + np.arange(OW) * stride[1] - padding[1][0] + kw
    return np.take_along_axis(taps, best[..., None], -1)[..., 0], switches.astype(np.int32)


def avg_pool2d(x, kernel_size, stride):  # type: ignore[no-untyped-def]
    return sliding_window_view(x, kernel_size, axis=(2, 3))[:, :, :: stride[0], :: stride[1]].mean(axis=(-2, -1))


def relu(x):  # type: ignore[no-untyped-def]
    return np.maximum(x, 0)


def relu_vjp(gy, x):  # type: ignore[no-untyped-def]
    return np.where(x > 0, gy, np.float32(0))


def local_response_norm(x, size, alpha, beta, k):  # type: ignore[no-untyped-def]
    squares = np.pad(x * x, ((0, 0), (size // 2, (size - 1) // 2), (0, 0), (0, 0)))
    sums = sum(squares[:, i : i + x.shape[1]] for i in range(size))
    return x * (k + alpha / size * sums) ** -beta


def linear(x, w, b):  # type: ignore[no-untyped-def]
    return x @ w.T + b


def linear_adjoint_x(gy, w):  # type: ignore[no-untyped-def]
    return gy @ w


def linear_adjoint_w(gy, x):  # type: ignore[no-untyped-def]
    return gy.T @ x


def softmax(x, axis):  # type: ignore[no-untyped-def]
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "conv2d": conv2d,
    "conv2d_adjoint_w": conv2d_adjoint_w,
    "conv2d_adjoint_x": conv2d_adjoint_x,
    "max_pool2d": max_pool2d,
    "avg_pool2d": avg_pool2d,
    "relu": relu,
    "relu_vjp": relu_vjp,
    "local_response_norm": local_response_norm,
    "linear": linear,
    "linear_adjoint_x": linear_adjoint_x,
    "linear_adjoint_w": linear_adjoint_w,
    "softmax": softmax,
}
