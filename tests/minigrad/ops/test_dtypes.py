"""Questions about dtypes, beside NumPy's answers; those of the standard are in tests/minigrad/test_array_api.py."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg


@pytest.mark.parametrize(
    "of",
    [
        (np.ones(2, np.int8), 3),
        (np.ones(2, np.float32), 3.5),
        (3, np.float64(2)),
        (1, 2.0, 3j),
        ("float32", np.int64),
        (np.ones(2, bool), 1),
    ],
)
def test_the_result_type_of_arrays_numbers_and_dtypes(of):
    assert mg.result_type(*of) == np.result_type(*of)


def test_casting_rules():
    for casting in ("no", "equiv", "safe", "same_kind", "unsafe"):
        for pair in (("int8", "int16"), ("float64", "float32"), ("float32", "int8"), ("bool", "float32")):
            assert mg.can_cast(*pair, casting) == np.can_cast(*pair, casting)


def test_limits_of_a_class_an_array_and_a_name():
    for dtype in (np.float32, np.dtype("float32"), "float32", np.ones(2, np.float32), np.complex64):
        assert mg.finfo(dtype).max == np.finfo(np.float32).max
    assert mg.iinfo(np.ones(2, np.uint8)).max == 255
    with pytest.raises(ValueError, match="int8"):
        mg.finfo(np.int8)
