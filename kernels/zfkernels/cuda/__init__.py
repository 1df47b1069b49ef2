"""Every op as kernels of `numba.cuda`, for NVIDIA's devices; the results have the same bits on every run.

Arrays stay on the device: `asarray` brings them there, `to_numpy` back. Importing this raises ImportError where there is no device.
"""

from zfkernels.cache import kept_by_source
from zfkernels.cuda.device import described as described
from zfkernels.cuda.device import synchronize as synchronize

with kept_by_source():
    from zfkernels.cuda.arrays import asarray as asarray
    from zfkernels.cuda.arrays import fetch as fetch
    from zfkernels.cuda.arrays import free_memory as free_memory
    from zfkernels.cuda.arrays import to_numpy as to_numpy
    from zfkernels.cuda.avg_pool2d import avg_pool2d, avg_pool2d_adjoint_x
    from zfkernels.cuda.batch_norm import batch_norm, batch_norm_adjoint_x
    from zfkernels.cuda.clip import clip, clip_vjp
    from zfkernels.cuda.conv2d import conv2d, conv2d_adjoint_b, conv2d_adjoint_w, conv2d_adjoint_x, conv2d_relu
    from zfkernels.cuda.cross_entropy import cross_entropy, cross_entropy_vjp
    from zfkernels.cuda.dropout import dropout
    from zfkernels.cuda.im2col import col2im, im2col
    from zfkernels.cuda.leaky_relu import leaky_relu, leaky_relu_vjp
    from zfkernels.cuda.limit_filters import limit_filters
    from zfkernels.cuda.linear import linear, linear_adjoint_b, linear_adjoint_w, linear_adjoint_x, linear_relu
    from zfkernels.cuda.local_response_norm import local_response_norm, local_response_norm_vjp
    from zfkernels.cuda.max_pool2d import max_pool2d, max_pool2d_gather, max_unpool2d
    from zfkernels.cuda.relu import relu, relu_vjp
    from zfkernels.cuda.sgd import sgd
    from zfkernels.cuda.softmax import log_softmax, log_softmax_vjp, softmax, softmax_vjp
    from zfkernels.cuda.windows import cut_windows, patch_windows, place_windows, rebase_switches
    from zfkernels.cuda.winograd import conv2d_winograd, conv2d_winograd_relu

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
