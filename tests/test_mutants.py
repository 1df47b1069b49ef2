"""Every planted mistake is caught by the battery that should catch it."""

from __future__ import annotations

import numpy as np
import pytest
from batteries import BATTERIES
from draws import SeededDraw
from mutants import MUTANTS
from test_catalog import OPS
from zfkernels.catalog import CATALOG, CORNERS


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: f"{m.op}: {m.mistake}")
def test_mutant_is_caught(mutant):
    for seed in range(20):
        for corner in CORNERS:
            draw = SeededDraw(seed, BATTERIES[mutant.caught_by], np.float32, corner)
            try:
                mutant.caught_by(OPS[mutant.op], mutant.backend, draw)
            except AssertionError:
                return
    pytest.fail(f"{mutant.caught_by.__name__} did not notice: {mutant.mistake}")


def test_every_function_has_a_mutant():
    planted = {(mutant.op, function) for mutant in MUTANTS for function in mutant.wrong}
    missing = {(op.name, function) for op in CATALOG for function in op.functions} - planted
    assert not missing
