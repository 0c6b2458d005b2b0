"""minigrad/backends/libraries.py: what is recorded beside results."""

import numpy as np
from threadpoolctl import threadpool_limits

from minigrad.backends.libraries import describe_libraries


def test_libraries_have_names_and_versions():
    found = describe_libraries()
    assert set(found) == {"numpy", "blas", "threads", "compiler"} and all(found.values())
    assert found["numpy"] == np.__version__


def test_the_number_of_blas_threads_is_the_current_one():
    with threadpool_limits(1, "blas"):
        assert set(describe_libraries()["threads"].split(", ")) == {"1"}
