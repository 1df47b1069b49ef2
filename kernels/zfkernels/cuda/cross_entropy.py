"""Cross-entropy of logits against class labels, and its derivative's transpose."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import cuda

from zfkernels.cuda.arrays import DeviceArray, asarray, empty, resident
from zfkernels.cuda.device import launch_blocks
from zfkernels.cuda.reductions import BLOCK, team, teams, total
from zfkernels.cuda.softmax import shift_of_row


@cuda.jit(cache=True)
def _losses(losses, logits, labels, N, K):
    shared = cuda.shared.array(BLOCK, logits.dtype)
    n, place = team(1)
    start, end = n * K, min(n + 1, N) * K
    most, scale = shift_of_row(shared, logits, start + place[0], end, place[1], place)
    if n < N and place[0] == 0:
        losses[n] = math.log(scale) - (logits[start + labels[n]] - most)


@cuda.jit(cache=True)
def _mean(loss, losses, N):
    shared = cuda.shared.array(BLOCK, losses.dtype)
    row, place = team(1)  # only the first team has one
    part = losses.dtype.type(0)
    n, end = place[0], losses.shape[0] if row == 0 else 0
    while n < end:
        part += losses[n]
        n += place[1]
    summed = total(shared, part, place)
    if row == 0 and place[0] == 0:
        loss[0] = summed / N


def cross_entropy(logits: Any, labels: Any) -> DeviceArray:
    """``-mean over n of log(softmax(logits[n])[labels[n]])``, 0-d; see the reference.

    Parallel over n and the classes; the losses are then summed by one block.
    """
    N, K = logits.shape
    if not N:
        return asarray(np.asarray(np.nan, logits.dtype))
    losses, loss = empty((N,), logits.dtype), empty((), logits.dtype)
    launch_blocks(_losses, *teams(N, K, 1), losses, resident(logits), resident(labels), N, K)
    launch_blocks(_mean, *teams(1, N, 1), loss, losses, logits.dtype.type(N))
    return loss


@cuda.jit(cache=True)
def _cross_entropy_vjp(gx, gy, logits, labels, N, K, count):
    shared = cuda.shared.array(BLOCK, logits.dtype)
    n, place = team(1)
    start, end = n * K, min(n + 1, N) * K
    most, scale = shift_of_row(shared, logits, start + place[0], end, place[1], place)
    at = start + place[0]
    while at < end:
        y = math.exp(logits[at] - most) / scale
        gx[at] = gy[0] / count * (y - logits.dtype.type(1) if at == start + labels[n] else y)
        at += place[1]


def cross_entropy_vjp(gy: Any, logits: Any, labels: Any) -> DeviceArray:
    """``gx[n, j] = gy / N * (softmax(logits[n])[j] - [j == labels[n]])``; see the reference. Parallel over n and the classes."""
    (N, K), gx = logits.shape, empty(logits.shape, logits.dtype)
    if gx.size:
        arrays = resident(gy), resident(logits), resident(labels)
        launch_blocks(_cross_entropy_vjp, *teams(N, K, 1), gx, *arrays, N, K, logits.dtype.type(N))
    return gx
