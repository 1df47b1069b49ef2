"""Softmax, its logarithm, and their derivatives' transposes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import cuda

from zfkernels.cuda.arrays import DeviceArray, empty, resident
from zfkernels.cuda.device import launch_blocks
from zfkernels.cuda.reductions import BLOCK, largest, team, teams, total


@cuda.jit(device=True)
def shift_of_row(shared, x, first, end, step, place):
    """(max, sum of exp(x - max)) of a row, of which this thread has the numbers first, first + step, ... before end."""
    most = x.dtype.type(-np.inf)
    at = first
    while at < end:
        most = max(most, x[at])
        at += step
    most = largest(shared, most, place)
    part = x.dtype.type(0)
    at = first
    while at < end:
        part += math.exp(x[at] - most)
        at += step
    return most, total(shared, part, place)


@cuda.jit(device=True)
def _share_of_row(rows, length, apart):
    """(first, end, step) of the numbers that this thread has, none beyond the last row; and its place in the team."""
    row, place = team(apart)
    start = row // apart * length * apart + row % apart if apart > 1 else row * length
    end = start + length * apart if row < rows else start
    return start + place[0] * apart, end, place[1] * apart, place


@cuda.jit(cache=True)
def _softmax(y, x, rows, length, apart, logarithm):
    shared = cuda.shared.array(BLOCK, x.dtype)
    at, end, step, place = _share_of_row(rows, length, apart)
    most, scale = shift_of_row(shared, x, at, end, step, place)
    while at < end:
        d = x[at] - most
        y[at] = d - math.log(scale) if logarithm else math.exp(d) / scale
        at += step


@cuda.jit(cache=True)
def _softmax_vjp(gx, gy, x, rows, length, apart, logarithm):
    shared = cuda.shared.array(BLOCK, x.dtype)
    first, end, step, place = _share_of_row(rows, length, apart)
    most, scale = shift_of_row(shared, x, first, end, step, place)
    part = x.dtype.type(0)
    at = first
    while at < end:
        part += gy[at] if logarithm else gy[at] * (math.exp(x[at] - most) / scale)
        at += step
    summed = total(shared, part, place)
    at = first
    while at < end:
        y = math.exp(x[at] - most) / scale
        gx[at] = gy[at] - y * summed if logarithm else y * (gy[at] - summed)
        at += step


def _along(axis: int, logarithm: bool, kernel: Any, *arrays: Any) -> DeviceArray:
    """Run a kernel of rows along `axis` of its arrays."""
    shape, result = arrays[0].shape, empty(arrays[0].shape, arrays[0].dtype)
    if result.size:
        length, apart = shape[axis], math.prod(shape[axis % len(shape) + 1 :])
        rows = result.size // length
        blocks, threads = teams(rows, length, apart)
        launch_blocks(kernel, blocks, threads, result, *map(resident, arrays), rows, length, apart, logarithm)
    return result


def softmax(x: Any, axis: int) -> DeviceArray:
    """``y = exp(x) / sum of exp(x)`` along `axis`; see the reference. Parallel over the other axes and along it."""
    return _along(axis, False, _softmax, x)


def softmax_vjp(gy: Any, x: Any, axis: int) -> DeviceArray:
    """``gx = y * (gy - sum of gy * y)``; see the reference. Parallel as `softmax`."""
    return _along(axis, False, _softmax_vjp, gy, x)


def log_softmax(x: Any, axis: int) -> DeviceArray:
    """``y = x - log(sum of exp(x))`` along `axis`; see the reference. Parallel as `softmax`."""
    return _along(axis, True, _softmax, x)


def log_softmax_vjp(gy: Any, x: Any, axis: int) -> DeviceArray:
    """``gx = gy - softmax(x) * sum of gy``; see the reference. Parallel as `softmax`."""
    return _along(axis, True, _softmax_vjp, gy, x)
