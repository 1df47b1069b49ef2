"""PyTorch on a CUDA device, where its convolutions are cuDNN's: eager, algorithms chosen by measuring, every product in float32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from zfcore.bench.peers import pytorch
from zfcore.bench.problems import Problem
from zfcore.bench.verification import Check

DEVICE = "cuda"
FLUSHES = 16
"""Times the last cache that is written ahead of each call: nothing of its arguments is left there, and it lasts while the host launches."""


def call(problem: Problem, threads: int, tf32: bool = False) -> Callable[[], Any]:
    """The PyTorch version of a problem; what it may round to TF32 is said again at every call, since the sides take turns."""
    torch.backends.cudnn.benchmark = True
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn

    def run() -> Any:
        products.allow_tf32 = convolutions.allow_tf32 = tf32
        return made()

    products.allow_tf32 = convolutions.allow_tf32 = tf32
    made = pytorch.call(problem, threads, DEVICE)
    return run


def watch(call: Callable[[], Any], count: int) -> float:
    """Seconds of so many calls, each between two events of PyTorch's stream."""
    cache = torch.cuda.get_device_properties(torch.cuda.current_device()).L2_cache_size
    dirt = torch.empty(FLUSHES * cache // 4, device=DEVICE)
    pairs = [(torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)) for _ in range(count)]
    for start, end in pairs:
        dirt.zero_()
        start.record()
        call()
        end.record()
    torch.cuda.synchronize()
    return sum(start.elapsed_time(end) for start, end in pairs) / 1e3


def home(result: Any) -> Any:
    """Tensors as NumPy arrays."""
    if isinstance(result, torch.Tensor):
        return result.cpu().numpy()
    return tuple(map(home, result)) if isinstance(result, tuple | list) else result


def held(check: Check) -> Check:
    """What ours is held against."""
    return check


def tidy() -> None:
    """Give memory back that nothing uses."""
    torch.cuda.empty_cache()
