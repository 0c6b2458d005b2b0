"""Numbers, arrays, parameters and places as text."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import minigrad as mg
from minigrad.core.origin import Origin
from minigrad.show.text import constant, function_name, kind, number, parameters, place, summary


@given(st.floats(allow_nan=False) | st.integers(-(2**70), 2**70))
def test_a_written_number_reads_back_to_four_digits(x):
    written = number(x)
    assert written == str(x) if isinstance(x, int) else float(written) == float(f"{x:.3e}")
    assert written != "-0"


@pytest.mark.parametrize(
    ("x", "written"),
    [
        (True, "True"),
        (np.False_, "False"),
        (np.int8(-3), "-3"),
        (np.float32(0.1), "0.1"),
        (1.5 - 2j, "1.5-2j"),
        (np.complex64(1j), "0+1j"),
        (-0.0, "0"),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
    ],
)
def test_numbers_of_every_kind(x, written):
    assert number(x) == written


def test_digits_can_be_asked_for():
    assert number(0.123456789, 6) == "0.123457" and constant(0.123456789) == "0.123457"


def test_small_arrays_are_written_whole(on_device):
    for x, written in (
        (np.array(2.5), "= 2.5"),
        (np.array([1.0, -2.0]), "= [1, -2]"),
        (np.array([[1, 2], [3, 4]]), "= [[1, 2], [3, 4]]"),
        (np.zeros((0, 3)), "= []"),
        (np.array([True, False]), "= [True, False]"),
        (np.ones((2, 3)), "= 1 everywhere"),
        (np.array([1.0, np.nan]), "= [1, nan]"),
    ):
        assert summary(on_device(x)) == written


@given(arrays.arrays(np.float64, st.integers(7, 40), elements=st.floats(-1e6, 1e6) | st.just(np.nan)))
def test_large_arrays_are_written_as_their_range(x):
    written = summary(x)
    missing = int(np.isnan(x).sum())
    if missing == x.size:
        assert written == "= nan everywhere"
        return
    low, high = np.nanmin(x), np.nanmax(x)
    expected = f"= {number(low)} everywhere" if low == high else f"∈ [{number(low)}, {number(high)}]"
    assert written == expected + (f", {missing} nan" if missing else "")


def test_a_large_array_of_nan_is_nan_everywhere():
    assert summary(np.full(9, np.nan)) == "= nan everywhere"


def test_large_complex_arrays_are_written_as_their_largest_modulus():
    assert summary(np.array([3 + 4j, 1j] * 5)) == "∈ ℂ, |·| ≤ 5"


def test_a_traced_value_is_summarised_as_its_array():
    seen = []
    mg.grad(lambda x: (seen.append((summary(x), kind(x))), x * x)[1])(3.0)
    assert seen == [("= 3", "float64[]")]


def test_parameters_are_written_in_python_syntax():
    params = {"axes": (1,), "index": (slice(None, None, -1), 2, None), "shape": [2, 3], "name": "x", "out": None}
    assert parameters(params) == ["axes=(1,)", "index=(::-1, 2, None)", "shape=[2, 3]", "name='x'"]
    assert parameters({"dtype": np.float32, "mask": np.ones(3, bool)}) == ["dtype=float32", "mask=bool[3]"]


def test_functions_have_names():
    class Model:
        def __call__(self):
            pass

    assert function_name(functools.partial(functools.partial(mg.sin), 1)) == "sin"
    assert function_name(lambda: 0) == "f" and function_name(Model()) == "Model"


def test_a_place_is_a_file_and_a_line():
    origin = Origin("sin")
    line = test_a_place_is_a_file_and_a_line.__code__.co_firstlineno + 1
    assert place(origin) == f"{__file__}:{line}"
