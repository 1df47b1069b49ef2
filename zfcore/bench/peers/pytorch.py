"""PyTorch: the functions that its own layers and their backward passes call, eager, without recording."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from zfcore.bench.peers import Absent
from zfcore.bench.peers.pytorch_network import deconvnet, forward, hiding, step
from zfcore.bench.problems import Forward, Hiding, KernelCall, Problem, Projections, Step

aten = torch.ops.aten


def call(problem: Problem, threads: int, device: str = "cpu") -> Callable[[], Any]:
    """The PyTorch version of a problem; its tensors are on the device before any clock runs, and so are results of kernels and networks."""
    if isinstance(problem, KernelCall):
        return kernel(problem, device)
    try:
        if isinstance(problem, Forward):
            return forward(problem, device)
        if isinstance(problem, Projections):
            return deconvnet(problem, device)
        if isinstance(problem, Step):
            return step(problem, device)
        if isinstance(problem, Hiding):
            return hiding(problem, device)
    except ValueError as error:
        raise Absent(f"written for chains of the zoo's layers ({error})") from error
    raise Absent("not written in PyTorch")


def kernel(problem: KernelCall, device: str) -> Callable[[], Any]:
    """One function; its arguments are converted here, before any clock runs."""
    if problem.function not in KERNELS:
        raise Absent(f"{problem.function} is not written in PyTorch")
    a = {
        name: torch.from_numpy(v).to(device) if isinstance(v, np.ndarray) and any(v.strides) else v
        for name, v in problem.arguments.items()
    }
    if "padding" in a:
        (top, bottom), (left, right) = a["padding"]
        if top != bottom or left != right:
            raise Absent("its functions pad evenly")
        a["padding"] = [top, left]
    f = KERNELS[problem.function](a)

    def run() -> Any:
        with torch.inference_mode():
            return f()

    return f if problem.function == "local_response_norm_vjp" else run  # that one records


def conv2d(a: dict[str, Any]) -> Callable[[], Any]:
    return lambda: F.conv2d(a["x"], a["w"], a["b"], a["stride"], a["padding"], a["dilation"], a["groups"])


def convolution_backward(a: dict[str, Any], which: int) -> Callable[[], Any]:
    """One of the results that autograd asks for: 0 the gradient in x, 1 in w."""
    x, w = (v if isinstance(v, torch.Tensor) else a["gy"].new_empty(v.shape) for v in (a["x"], a["w"]))
    mask = [i == which for i in range(3)]
    geometry = a["stride"], a["padding"], a["dilation"], False, [0, 0], a["groups"]
    return lambda: aten.convolution_backward(a["gy"], x, w, None, *geometry, mask)[which]


def max_pool2d(a: dict[str, Any]) -> Callable[[], Any]:
    geometry = a["kernel_size"], a["stride"], a["padding"], a["dilation"], a["ceil_mode"]
    return lambda: F.max_pool2d(a["x"], *geometry, return_indices=True)


def max_unpool2d(a: dict[str, Any]) -> Callable[[], Any]:
    """Unpooling that adds where windows overlap is its max-pool's backward pass."""
    geometry = a["kernel_size"], a["stride"], a["padding"], a["dilation"], a["ceil_mode"]
    x, switches = a["y"].new_empty(a["x"].shape), a["switches"].long()
    return lambda: aten.max_pool2d_with_indices_backward(a["y"], x, *geometry, switches)


def avg_pool2d(a: dict[str, Any]) -> Callable[[], Any]:
    geometry = a["kernel_size"], a["stride"], a["padding"], a["ceil_mode"], a["count_include_pad"], a["divisor_override"]
    return lambda: F.avg_pool2d(a["x"], *geometry)


def avg_pool2d_adjoint_x(a: dict[str, Any]) -> Callable[[], Any]:
    geometry = a["kernel_size"], a["stride"], a["padding"], a["ceil_mode"], a["count_include_pad"], a["divisor_override"]
    x = a["gy"].new_empty(a["x"].shape)
    return lambda: aten.avg_pool2d_backward(a["gy"], x, *geometry)


def local_response_norm(a: dict[str, Any]) -> Callable[[], Any]:
    return lambda: F.local_response_norm(a["x"], a["size"], a["alpha"], a["beta"], a["k"])


def local_response_norm_vjp(a: dict[str, Any]) -> Callable[[], Any]:
    """Its backward pass alone, through the graph that one forward pass recorded."""
    x = a["x"].clone().requires_grad_()
    y = F.local_response_norm(x, a["size"], a["alpha"], a["beta"], a["k"])
    return lambda: torch.autograd.grad(y, x, a["gy"], retain_graph=True)[0]


def softmax_vjp(a: dict[str, Any]) -> Callable[[], Any]:
    """From its output, which its forward pass keeps; ours computes it again from x."""
    y = torch.softmax(a["x"], a["axis"])
    return lambda: aten._softmax_backward_data(a["gy"], y, a["axis"], torch.float32)


#: A function of the arguments, as tensors, to the call that is timed.
KERNELS: dict[str, Callable[[dict[str, Any]], Callable[[], Any]]] = {
    "conv2d": conv2d,
    "conv2d_adjoint_x": lambda a: convolution_backward(a, 0),
    "conv2d_adjoint_w": lambda a: convolution_backward(a, 1),
    "max_pool2d": max_pool2d,
    "max_unpool2d": max_unpool2d,
    "avg_pool2d": avg_pool2d,
    "avg_pool2d_adjoint_x": avg_pool2d_adjoint_x,
    "relu": lambda a: lambda: torch.relu(a["x"]),
    "relu_vjp": lambda a: lambda: aten.threshold_backward(a["gy"], a["x"], 0),
    "local_response_norm": local_response_norm,
    "local_response_norm_vjp": local_response_norm_vjp,
    "linear": lambda a: lambda: F.linear(a["x"], a["w"], a["b"]),
    "linear_adjoint_x": lambda a: lambda: a["gy"] @ a["w"],
    "linear_adjoint_w": lambda a: lambda: a["gy"].t() @ a["x"],
    "softmax": lambda a: lambda: torch.softmax(a["x"], a["axis"]),
    "softmax_vjp": softmax_vjp,
}
