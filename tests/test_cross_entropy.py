"""Cross-entropy's own laws: what the batteries' small logits and full batches do not show."""

from __future__ import annotations

import numpy as np
import pytest
import zfkernels

NONE, NO_LABELS = np.zeros((0, 3), np.float32), np.zeros(0, np.int64)


@pytest.mark.parametrize("name", zfkernels.BACKENDS)
def test_mean_over_an_empty_batch_is_nan(name):
    k = zfkernels.get(name)
    loss = k.cross_entropy(NONE, NO_LABELS)
    assert loss.shape == () and loss.dtype == np.float32 and np.isnan(loss)
    assert k.cross_entropy_vjp(np.ones((), np.float32), NONE, NO_LABELS).shape == (0, 3)


@pytest.mark.parametrize("name", zfkernels.BACKENDS)
def test_large_logits_neither_overflow_nor_vanish(name):
    k = zfkernels.get(name)
    logits = np.array([[0, 1000], [-1000, 0]], np.float32)
    assert k.cross_entropy(logits, np.array([0, 0])) == 1000
    np.testing.assert_array_equal(k.log_softmax(logits, 1), [[-1000, 0], [-1000, 0]])
    np.testing.assert_array_equal(k.softmax(logits, 1), [[0, 1], [0, 1]])
    np.testing.assert_array_equal(k.cross_entropy_vjp(np.float32(2)[...], logits, np.array([0, 0])), [[-1, 1], [-1, 1]])
