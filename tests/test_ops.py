"""The public functions: PyTorch's answers where PyTorch is installed, and errors that say what was wrong."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zfcore import ops
from zfcore.testing import ROUNDINGS, parity_test, rounding_bound

X = np.random.default_rng(0).standard_normal((2, 4, 9, 8)).astype(np.float32)
W = np.random.default_rng(1).standard_normal((6, 2, 3, 2)).astype(np.float32)
B = np.random.default_rng(2).standard_normal(6).astype(np.float32)
SIZES = st.one_of(st.integers(1, 3), st.tuples(st.integers(1, 3), st.integers(1, 3)))


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason="torch is not installed: its answers are not compared with ours")


def agree(got: np.ndarray, expected, terms: int, magnitude) -> None:
    """Two float32 sums of the same terms: each within its bound of the exact one."""
    parity_test(got, expected.numpy(), 2 * rounding_bound(terms, magnitude.numpy(), np.float32))


@given(stride=SIZES, padding=st.one_of(st.integers(0, 2), st.tuples(st.integers(0, 2), st.integers(0, 2))), dilation=SIZES)
def test_conv2d_is_torchs(torch, stride, padding, dilation):
    F, x, w, b = torch.nn.functional, *map(torch.from_numpy, (X, W, B))
    arguments = dict(stride=stride, padding=padding, dilation=dilation, groups=2)
    expected, size = F.conv2d(x, w, b, **arguments), F.conv2d(x.abs(), w.abs(), b.abs(), **arguments)
    agree(ops.conv2d(X, W, B, **arguments), expected, 13, size)
    gy = expected.numpy()
    for got, theirs, terms in (
        (ops.conv2d_adjoint_x(gy, W, X.shape[2:], **arguments), torch.nn.grad.conv2d_input, 18),
        (ops.conv2d_adjoint_w(gy, X, W.shape[2:], **arguments), torch.nn.grad.conv2d_weight, gy[:, 0].size),
    ):
        if theirs is torch.nn.grad.conv2d_input:
            agree(got, theirs(X.shape, w, expected, **arguments), terms, theirs(X.shape, w.abs(), expected.abs(), **arguments))
        else:
            agree(got, theirs(x, W.shape, expected, **arguments), terms, theirs(x.abs(), W.shape, expected.abs(), **arguments))


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_conv2d_padding_by_name_is_torchs(torch, padding):
    x, w = torch.from_numpy(X), torch.from_numpy(W)
    for dilation in (1, 2):
        expected = torch.nn.functional.conv2d(x, w, padding=padding, dilation=dilation, groups=2)
        size = torch.nn.functional.conv2d(x.abs(), w.abs(), padding=padding, dilation=dilation, groups=2)
        agree(ops.conv2d(X, W, padding=padding, dilation=dilation, groups=2), expected, 12, size)


def test_conv2d_uneven_padding():
    x, w = np.rint(X), np.rint(W)  # integers: exact, in whatever order
    padded = np.pad(x, ((0, 0), (0, 0), (2, 0), (0, 1)))
    parity_test(ops.conv2d(x, w, groups=2, padding=((2, 0), (0, 1))), ops.conv2d(padded, w, groups=2))


@given(data=st.data())
def test_conv_transpose2d_is_torchs(torch, data):
    stride, dilation = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 2))
    arguments = dict(
        stride=stride,
        padding=data.draw(st.integers(0, 1)),
        output_padding=data.draw(st.integers(0, max(stride, dilation) - 1)),
        groups=2,
        dilation=dilation,
    )
    w = np.random.default_rng(3).standard_normal((4, 3, 3, 2)).astype(np.float32)
    F, x, t, b = torch.nn.functional, *map(torch.from_numpy, (X, w, B))
    expected = F.conv_transpose2d(x, t, b, **arguments)
    agree(ops.conv_transpose2d(X, w, B, **arguments), expected, 13, F.conv_transpose2d(x.abs(), t.abs(), b.abs(), **arguments))


@given(data=st.data())
def test_pooling_is_torchs(torch, data):
    kernel = data.draw(st.tuples(st.integers(1, 4), st.integers(1, 4)), "kernel_size")
    arguments = dict(
        kernel_size=kernel,
        stride=data.draw(st.one_of(st.none(), SIZES), "stride"),
        padding=tuple(data.draw(st.integers(0, k // 2), "padding") for k in kernel),
        ceil_mode=data.draw(st.booleans(), "ceil_mode"),
    )
    x, F = torch.from_numpy(X), torch.nn.functional
    y, switches = ops.max_pool2d(X, **arguments)
    expected, indices = F.max_pool2d(x, **arguments, return_indices=True)
    parity_test(y, expected.numpy())
    parity_test(switches, indices.numpy())
    more = dict(count_include_pad=data.draw(st.booleans()), divisor_override=data.draw(st.sampled_from([None, 1, 5])))
    expected, size = F.avg_pool2d(x, **arguments, **more), F.avg_pool2d(x.abs(), **arguments, **more)
    agree(ops.avg_pool2d(X, **arguments, **more), expected, kernel[0] * kernel[1] + 1, size)


def test_unpooling_without_collisions_is_torchs(torch):
    y, switches = ops.max_pool2d(X, 2)
    expected = torch.nn.functional.max_unpool2d(torch.from_numpy(y), torch.from_numpy(switches).long(), 2, output_size=(9, 8))
    for collisions in ("add", "max", "last"):
        parity_test(ops.max_unpool2d(y, switches, (9, 8), collisions), expected.numpy())


@given(kernel=SIZES, stride=SIZES, padding=st.integers(0, 2), dilation=st.integers(1, 2))
def test_im2col_is_unfold_and_col2im_is_fold(torch, kernel, stride, padding, dilation):
    arguments = dict(dilation=dilation, padding=padding, stride=stride)
    cols = ops.im2col(X, kernel, **arguments)
    parity_test(cols, torch.nn.functional.unfold(torch.from_numpy(X), kernel, **arguments).numpy())
    expected = torch.nn.functional.fold(torch.from_numpy(cols), X.shape[2:], kernel, **arguments)
    size = torch.nn.functional.fold(torch.from_numpy(np.abs(cols)), X.shape[2:], kernel, **arguments)
    agree(ops.col2im(cols, X.shape[2:], kernel, **arguments), expected, 9, size)


@given(size=st.integers(1, 7))
def test_local_response_norm_is_torchs(torch, size):
    expected = torch.nn.functional.local_response_norm(torch.from_numpy(X), size, 0.3, 0.75, 2.0).numpy()
    bound = 2 * ROUNDINGS["local_response_norm"] * np.finfo(np.float32).eps * np.abs(expected).max()
    parity_test(ops.local_response_norm(X, size, 0.3, 0.75, 2.0), expected, bound)


def test_the_rest_is_torchs(torch):
    F, rows, w = torch.nn.functional, X[:, :, 0, 0], W[:, :, :, 0].reshape(9, 4)
    b = X[0, 0, 0, :1].repeat(9)
    arguments = [torch.from_numpy(a) for a in (rows, w, b)]
    agree(ops.linear(rows, w, b), F.linear(*arguments), 5, F.linear(*(a.abs() for a in arguments)))
    parity_test(ops.relu(X), F.relu(torch.from_numpy(X)).numpy())
    eps = np.finfo(np.float32).eps
    parity_test(ops.softmax(X, 1), F.softmax(torch.from_numpy(X), 1).numpy(), 2 * ROUNDINGS["softmax"] * eps)
    labels = np.array([3, 0])
    loss = F.cross_entropy(torch.from_numpy(rows), torch.from_numpy(labels)).numpy()
    parity_test(ops.cross_entropy(rows, labels), loss, 2 * ROUNDINGS["cross_entropy"] * eps * abs(loss))


# ---- mistakes: each names the argument, what came and what was needed

I32 = X.astype(np.int32)
MISTAKES = [
    (lambda: ops.conv2d(X.tolist(), W), TypeError, "x: got list, needed a NumPy array"),
    (lambda: ops.conv2d(I32, W), TypeError, "x: got dtype int32, needed float32 or float64"),
    (lambda: ops.conv2d(X, W.astype(np.float64)), TypeError, "w: got dtype float64, needed float32"),
    (lambda: ops.conv2d(X[0], W), ValueError, r"x: got shape \(4, 9, 8\), needed 4 axes \(N, C, H, W\)"),
    (lambda: ops.conv2d(X, W), ValueError, "x: got 4 channels, needed 2 for w"),
    (lambda: ops.conv2d(X, W, groups=4), ValueError, "w: got 6 output maps, needed a multiple of groups = 4"),
    (lambda: ops.conv2d(X, W, B[:3], groups=2), ValueError, r"b: got shape \(3,\), needed \(6,\)"),
    (lambda: ops.conv2d(X, W, groups=2, stride=0), ValueError, "stride: got 0, needed at least 1"),
    (lambda: ops.conv2d(X, W, groups=2, stride=float("nan")), TypeError, "stride: got nan"),
    (lambda: ops.conv2d(X, W, groups=2, stride=(1, 2, 3)), TypeError, r"stride: got \(1, 2, 3\)"),
    (lambda: ops.conv2d(X, W, groups=2, stride=True), TypeError, "stride: got True, needed an integer"),
    (lambda: ops.conv2d(X, W, groups=2, padding=-1), ValueError, "padding: got -1"),
    (lambda: ops.conv2d(X, W, groups=2, padding="full"), ValueError, "padding: got 'full', needed one of same, valid"),
    (lambda: ops.conv2d(X, W, groups=2, padding="same", stride=2), ValueError, "padding: got 'same' with stride"),
    (lambda: ops.conv2d(X, W, groups=2, dilation=9), ValueError, "empty output"),
    (lambda: ops.conv2d(X, W, groups=2, backend="gpu"), ValueError, "backend: got 'gpu', needed one of reference, cpu"),
    (lambda: ops.conv2d_adjoint_x(X, W, (9, 9), groups=2), ValueError, "gy: got 4 channels, needed 6"),
    (lambda: ops.conv2d_adjoint_x(X[:, [0] * 6], W, (9, 9), groups=2), ValueError, "gy: got shape"),
    (lambda: ops.conv2d_adjoint_w(X, X, 3), ValueError, "gy: got shape"),
    (lambda: ops.conv_transpose2d(X, W, groups=2), ValueError, "x: got 4 channels, needed 6"),
    (lambda: ops.conv_transpose2d(X, W[:4], output_padding=1), ValueError, "output_padding: got"),
    (lambda: ops.conv_transpose2d(X, W[:4], padding=9), ValueError, "empty output"),
    (lambda: ops.max_pool2d(X, 0), ValueError, "kernel_size: got 0"),
    (lambda: ops.max_pool2d(X, 20), ValueError, "empty output"),
    (lambda: ops.max_pool2d(X, 2, padding=2), ValueError, "padding: got .* at most half"),
    (lambda: ops.max_pool2d(X, 2, ceil_mode=1), TypeError, "ceil_mode: got 1"),
    (lambda: ops.max_pool2d(X[:, :, :1, :1], 2, padding=1, dilation=2), ValueError, "wholly in the padding"),
    (lambda: ops.max_unpool2d(X, I32, (9, 8)), ValueError, "switches: got -"),
    (lambda: ops.max_unpool2d(X, X, (9, 8)), TypeError, "switches: got float32"),
    (lambda: ops.max_unpool2d(X, I32[:1], (9, 8)), ValueError, "switches: got shape"),
    (lambda: ops.max_unpool2d(X, np.abs(I32), (9, 8), "first"), ValueError, "collisions: got 'first'"),
    (lambda: ops.avg_pool2d(X, 2, divisor_override=0), ValueError, "divisor_override: got 0"),
    (lambda: ops.im2col(X, 20), ValueError, "empty output"),
    (lambda: ops.col2im(X[0], (9, 8), 3), ValueError, "cols: got shape"),
    (lambda: ops.relu_vjp(X, X, "deconv"), ValueError, "rule: got 'deconv'"),
    (lambda: ops.relu_vjp(X, X[:1]), ValueError, "x: got shape"),
    (lambda: ops.local_response_norm(X, 0), ValueError, "size: got 0"),
    (lambda: ops.local_response_norm(X, 5, alpha=np.nan), ValueError, "alpha: got nan, needed a finite number"),
    (lambda: ops.local_response_norm(X, 5, beta="x"), TypeError, "beta: got 'x'"),
    (lambda: ops.linear(X[:, :, 0, 0], W[:, :, 0, 0]), ValueError, r"w: got shape \(6, 2\), needed \(O, 4\)"),
    (lambda: ops.softmax(X, 4), ValueError, "axis: got 4, needed -4..3"),
    (lambda: ops.softmax(X[:, :0], 1), ValueError, "needed at least one element"),
    (lambda: ops.cross_entropy(X[:, :, 0, 0], np.array([0, 4])), ValueError, r"labels: got 0..4, needed 0..3"),
    (lambda: ops.cross_entropy(X[:, :, 0, 0], np.array([0.0, 1.0])), TypeError, "labels: got float64"),
    (lambda: ops.conv2d(X[:, :0], W[:, :0]), ValueError, r"w: got shape \(6, 0, 3, 2\), needed at least one filter"),
    (lambda: ops.conv2d(X, W, groups=2, dilation=2**70), ValueError, "dilation: got .*, needed at most"),
    (lambda: ops.local_response_norm(X, 10**30), ValueError, "size: got .*, needed at most"),
    (lambda: ops.local_response_norm(X, 5, alpha=10**400), ValueError, "alpha: got .*, needed a finite number"),
    (lambda: ops.relu_vjp(X, X, np.array(["gradient", "guided"])), ValueError, "rule: got array"),
    (lambda: ops.cross_entropy(X[:, :0, 0, 0], np.array([0, 0])), ValueError, "logits: got .* at least one class"),
    (lambda: ops.cross_entropy(X[:0, :, 0, 0], np.array([], np.int64)), ValueError, "empty batch"),
]


@pytest.mark.parametrize(("mistake", "error", "message"), MISTAKES, ids=lambda v: v if isinstance(v, str) else "")
def test_mistake(mistake, error, message):
    with pytest.raises(error, match=message):
        mistake()


CALLS = {
    "im2col": (X, 2),
    "col2im": (np.ones((1, 4, 2), np.float32), (2, 3), 2),
    "conv2d": (X, W, B, 1, 0, 1, 2),
    "conv2d_adjoint_x": (np.ones((2, 6, 7, 7), np.float32), W, (9, 8), 1, 0, 1, 2),
    "conv2d_adjoint_w": (np.ones((2, 6, 7, 7), np.float32), X, (3, 2), 1, 0, 1, 2),
    "conv_transpose2d": (X, W[:4], None, 2),
    "max_pool2d": (X, 2),
    "max_unpool2d": (X[:, :, :2, :2], np.zeros((2, 4, 2, 2), np.int32), 4),
    "avg_pool2d": (X, 2),
    "relu": (X,),
    "relu_vjp": (X, X, "guided"),
    "local_response_norm": (X, 3),
    "linear": (X[:, :, 0, 0], W[:, 0, 0, :].repeat(2, axis=1)),
    "softmax": (X, 1),
    "cross_entropy": (X[:, :, 0, 0], np.array([1, 2])),
}


@pytest.mark.parametrize("name", [name for name in ops.__all__ if name != "algorithm_of"])  # it returns no array
def test_every_public_function_has_both_backends(name):
    """Shapes and types are alike; that the numbers are is the batteries' matter."""
    got, ref = (getattr(ops, name)(*CALLS[name], backend=backend) for backend in ("cpu", "reference"))
    for a, b in zip(*(r if isinstance(r, tuple) else (r,) for r in (got, ref)), strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
