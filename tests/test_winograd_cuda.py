"""Winograd's algorithm on a device: nothing but speed depends on the blocks and on the pieces that the work is done in."""

from __future__ import annotations

import numpy as np
import pytest

from zfcore.testing import parity_test

winograd = pytest.importorskip("zfkernels.cuda.winograd", exc_type=ImportError)
arrays = pytest.importorskip("zfkernels.cuda.arrays", exc_type=ImportError)
device = pytest.importorskip("zfkernels.cuda.device", exc_type=ImportError)


@pytest.mark.parametrize(("itemsize", "block"), [(itemsize, block) for itemsize in winograd.BLOCKS for block in winograd.BLOCKS[itemsize]])
def test_every_block_multiplies(itemsize, block):
    """The blocks of a device, in the simulator too; with a tail in filters, in tiles, and in channels."""
    rows, columns = block.shape
    rng, dtype = np.random.default_rng(0), np.dtype(f"f{itemsize}")
    planes, filters, channels, tiles = 2, rows + 1, block.depth + 1, columns // 2 + 1
    u, v = (rng.integers(-4, 5, shape).astype(dtype) for shape in ((planes, channels, filters), (planes, channels, tiles)))
    m = arrays.empty((planes, filters, tiles), dtype)
    blocks, threads = block.needed(planes, filters, tiles), (block.across, block.down)
    operands = arrays.asarray(u), arrays.asarray(v)
    device.launch_blocks(winograd._product(block, dtype), blocks, threads, m, *operands, filters, channels, tiles)
    parity_test(arrays.to_numpy(m), np.einsum("pco,pct->pot", u, v))


def test_pieces_change_no_bit(monkeypatch):
    rng = np.random.default_rng(0)
    x, w, b = (rng.standard_normal(shape).astype(np.float32) for shape in ((3, 4, 7, 6), (6, 2, 3, 3), (6,)))
    answers = set()
    for bytes_ in (winograd.WORKSPACE, 36 * 10 * 4 * 5, 1):  # all tiles, five or less, one at a time
        monkeypatch.setattr(winograd, "WORKSPACE", bytes_)
        answers.add(arrays.to_numpy(winograd.conv2d_winograd(x, w, b, ((1, 1), (2, 0)), 2)).tobytes())
    assert len(answers) == 1
