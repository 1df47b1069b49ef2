"""Cross-entropy's own laws: what the batteries' small logits and full batches do not show."""

from __future__ import annotations

import numpy as np
import pytest
import zfkernels
from batteries import usable
from zfkernels import reference
from zfkernels.catalog import call

from zfcore.testing import ROUNDINGS, parity_test

NONE, NO_LABELS = np.zeros((0, 3), np.float32), np.zeros(0, np.int64)


@pytest.fixture(params=zfkernels.BACKENDS)
def computed(request):
    """A function by its name, of NumPy arrays by theirs."""
    backend = usable(request.param)
    return lambda function, **case: call(backend, function, case)


def test_mean_over_an_empty_batch_is_nan(computed):
    loss = computed("cross_entropy", logits=NONE, labels=NO_LABELS)
    assert loss.shape == () and loss.dtype == np.float32 and np.isnan(loss)
    assert computed("cross_entropy_vjp", gy=np.ones((), np.float32), logits=NONE, labels=NO_LABELS).shape == (0, 3)


def test_large_logits_neither_overflow_nor_vanish(computed):
    logits, labels = np.array([[0, 1000], [-1000, 0]], np.float32), np.array([0, 0])
    assert computed("cross_entropy", logits=logits, labels=labels) == 1000
    np.testing.assert_array_equal(computed("log_softmax", x=logits, axis=1), [[-1000, 0], [-1000, 0]])
    np.testing.assert_array_equal(computed("softmax", x=logits, axis=1), [[0, 1], [0, 1]])
    gx = computed("cross_entropy_vjp", gy=np.float32(2)[...], logits=logits, labels=labels)
    np.testing.assert_array_equal(gx, [[-1, 1], [-1, 1]])


def test_more_images_and_classes_than_threads(computed):
    """On a device, where several numbers meet in a thread before the threads' numbers meet."""
    rng = np.random.default_rng(0)
    logits, labels = rng.standard_normal((19, 23)).astype(np.float32), rng.integers(0, 23, 19)
    for function in ("cross_entropy", "cross_entropy_vjp"):
        case = {"gy": np.ones((), np.float32), "logits": logits, "labels": labels}
        exact = call(reference, function, case | {"gy": np.ones(()), "logits": logits.astype(np.float64)})
        allowed = ROUNDINGS[function] * np.finfo(np.float32).eps * max(np.abs(exact).max(), 1)
        parity_test(computed(function, **case), exact, allowed, function)
