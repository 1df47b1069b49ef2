"""Every op compiled by Numba and spread over all cores; the results have the same bits for any number of threads.

The compiled functions keep the interpreter's lock: Numba's portable threading layer runs one parallel function at a time.
"""

from zfkernels.array import asarray as asarray
from zfkernels.array import fetch as fetch
from zfkernels.array import synchronize as synchronize
from zfkernels.array import to_numpy as to_numpy
from zfkernels.cache import kept_by_source

with kept_by_source():
    from zfkernels.cpu.avg_pool2d import avg_pool2d, avg_pool2d_adjoint_x
    from zfkernels.cpu.batch_norm import batch_norm, batch_norm_adjoint_x
    from zfkernels.cpu.clip import clip, clip_vjp
    from zfkernels.cpu.conv2d import conv2d, conv2d_adjoint_b, conv2d_adjoint_w, conv2d_adjoint_x, conv2d_relu
    from zfkernels.cpu.cross_entropy import cross_entropy, cross_entropy_vjp
    from zfkernels.cpu.dropout import dropout
    from zfkernels.cpu.im2col import col2im, im2col
    from zfkernels.cpu.leaky_relu import leaky_relu, leaky_relu_vjp
    from zfkernels.cpu.limit_filters import limit_filters
    from zfkernels.cpu.linear import linear, linear_adjoint_b, linear_adjoint_w, linear_adjoint_x, linear_relu
    from zfkernels.cpu.local_response_norm import local_response_norm, local_response_norm_vjp
    from zfkernels.cpu.max_pool2d import max_pool2d, max_pool2d_gather, max_unpool2d
    from zfkernels.cpu.relu import relu, relu_vjp
    from zfkernels.cpu.sgd import sgd
    from zfkernels.cpu.softmax import log_softmax, log_softmax_vjp, softmax, softmax_vjp
    from zfkernels.cpu.windows import cut_windows, patch_windows, place_windows, rebase_switches
    from zfkernels.cpu.winograd import conv2d_winograd, conv2d_winograd_relu

__all__ = [
    "avg_pool2d",
    "avg_pool2d_adjoint_x",
    "batch_norm",
    "batch_norm_adjoint_x",
    "clip",
    "clip_vjp",
    "col2im",
    "conv2d",
    "conv2d_adjoint_b",
    "conv2d_adjoint_w",
    "conv2d_adjoint_x",
    "conv2d_relu",
    "conv2d_winograd",
    "conv2d_winograd_relu",
    "cross_entropy",
    "cross_entropy_vjp",
    "cut_windows",
    "dropout",
    "im2col",
    "leaky_relu",
    "leaky_relu_vjp",
    "limit_filters",
    "linear",
    "linear_adjoint_b",
    "linear_adjoint_w",
    "linear_adjoint_x",
    "linear_relu",
    "local_response_norm",
    "local_response_norm_vjp",
    "log_softmax",
    "log_softmax_vjp",
    "max_pool2d",
    "max_pool2d_gather",
    "max_unpool2d",
    "patch_windows",
    "place_windows",
    "rebase_switches",
    "relu",
    "relu_vjp",
    "sgd",
    "softmax",
    "softmax_vjp",
]
