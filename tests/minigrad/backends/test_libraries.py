"""minigrad/backends/libraries.py: what is recorded beside results."""

import os
import subprocess
import sys

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from minigrad.backends.libraries import describe_libraries


def test_libraries_have_names_and_versions():
    found = describe_libraries()
    assert set(found) == {"numpy", "simd", "blas", "threads", "compiler"} and all(found.values())
    assert found["numpy"] == np.__version__


def test_vector_instructions_are_those_that_numpy_uses():
    """Without some, its float32 exp and log and its products of complex numbers have other last bits."""
    dispatched = np.show_config(mode="dicts").get("SIMD Extensions", {}).get("found")
    if not dispatched:
        pytest.skip("NumPy chooses nothing by the processor here")
    command = [sys.executable, "-c", "from minigrad.backends.libraries import *; print(describe_libraries()['simd'])"]
    environment = os.environ | {"NPY_DISABLE_CPU_FEATURES": " ".join(dispatched)}
    without = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()
    assert describe_libraries()["simd"].split() == without + dispatched


def test_the_number_of_blas_threads_is_the_current_one():
    with threadpool_limits(1, "blas"):
        assert set(describe_libraries()["threads"].split(", ")) == {"1"}
