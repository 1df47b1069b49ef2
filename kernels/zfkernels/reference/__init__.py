"""The definition of every op: plain NumPy, loops over output pixels, any float dtype.

Read so: "float" is float32, float64 or any other NumPy float, the same for all arrays of a call and for its results. Sizes are
N C H W of images, O of filters, KH KW of kernels, SH SW of strides, DH DW of dilations, G of groups, OH OW of outputs. kernel_size,
stride, dilation and sizes are pairs (vertical, horizontal); padding is ((top, bottom), (left, right)).

Kernels trust their arguments, which `zfcore.ops` has validated; asserts note the shapes. What can still raise is the geometry:
`zfkernels.geometry.GeometryError` where the sizes admit no output, or a pooling window would hold padding alone. Unless a
docstring says otherwise, an empty batch gives an empty result, NaN and infinities follow the formula, and no input is changed.

"Paper" is Zeiler & Fergus, "Visualizing and understanding convolutional networks", ECCV 2014, arXiv 1311.2901v3.
"""

from zfkernels.array import asarray as asarray
from zfkernels.array import fetch as fetch
from zfkernels.array import synchronize as synchronize
from zfkernels.array import to_numpy as to_numpy
from zfkernels.reference.avg_pool2d import avg_pool2d, avg_pool2d_adjoint_x
from zfkernels.reference.batch_norm import batch_norm, batch_norm_adjoint_x
from zfkernels.reference.clip import clip, clip_vjp
from zfkernels.reference.conv2d import conv2d, conv2d_adjoint_b, conv2d_adjoint_w, conv2d_adjoint_x, conv2d_relu
from zfkernels.reference.cross_entropy import cross_entropy, cross_entropy_vjp
from zfkernels.reference.dropout import dropout
from zfkernels.reference.im2col import col2im, im2col
from zfkernels.reference.leaky_relu import leaky_relu, leaky_relu_vjp
from zfkernels.reference.limit_filters import limit_filters
from zfkernels.reference.linear import linear, linear_adjoint_b, linear_adjoint_w, linear_adjoint_x, linear_relu
from zfkernels.reference.local_response_norm import local_response_norm, local_response_norm_vjp
from zfkernels.reference.max_pool2d import max_pool2d, max_pool2d_gather, max_unpool2d
from zfkernels.reference.relu import relu, relu_vjp
from zfkernels.reference.sgd import sgd
from zfkernels.reference.softmax import log_softmax, log_softmax_vjp, softmax, softmax_vjp
from zfkernels.reference.windows import cut_windows, patch_windows, place_windows, rebase_switches
from zfkernels.reference.winograd import conv2d_winograd, conv2d_winograd_relu

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
