"""Profiles and shared data for the whole suite."""

from __future__ import annotations

import os
import sys
from ctypes.util import find_library
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

if find_library("cuda") is None and find_library("nvcuda") is None:
    os.environ.setdefault("NUMBA_ENABLE_CUDASIM", "1")  # no device: the CUDA kernels run as Python. Before Numba is imported

sys.path.insert(0, str(Path(__file__).parent))  # batteries, draws, mutants: modules of the tests

settings.register_profile("dev", max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("quick", max_examples=5, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ci" if os.environ.get("CI") else "dev")

if os.environ.get("NUMBA_ENABLE_CUDASIM") == "1":
    import simulator

    simulator.install()

collect_ignore = ["compiler.py"]  # a program for a process of its own, without the simulator

SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real photographs and foreign networks, which is no part of the repository."""
    if not SHARED.is_dir():
        pytest.skip("no ../shared/data beside the checkout: real photographs and foreign networks are not tested")
    return SHARED
