"""minigrad/program/calls.py: formulas bound to arrays: where they write, and what they raise."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad.backends.numpy.backend import BACKEND
from minigrad.core.vectors import add_p, broadcast_to_p, reshape_p, transpose_p
from minigrad.ops.comparisons import stop_gradient_p
from minigrad.ops.indexing import slice_p
from minigrad.program.calls import bind_call, bind_sum, run_and_check, run_calls
from tests.support.programs import same

X = np.arange(12.0).reshape(3, 4)


@pytest.mark.parametrize(
    ("primitive", "params", "expected"),
    [
        (transpose_p, {"axes": (1, 0)}, X.T),
        (reshape_p, {"shape": (12,)}, X.reshape(12)),
        (broadcast_to_p, {"shape": (2, 3, 4)}, np.stack([X, X])),
        (slice_p, {"index": (slice(None, None, -1), 2)}, X[::-1, 2]),
        (slice_p, {"index": (1, 2)}, X[1, 2]),
        (stop_gradient_p, {}, X),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
@pytest.mark.parametrize("contiguous", [True, False])
def test_a_view_is_copied_into_out(primitive, params, expected, contiguous):
    x = X if contiguous else np.asfortranarray(X)
    out = np.zeros_like(expected)
    run_and_check([bind_call(primitive, BACKEND, [x], params, out)])
    np.testing.assert_array_equal(out, expected, strict=True)
    assert not np.shares_memory(out, x)


def test_calls_read_and_write_the_arrays_they_are_bound_to():
    x, y = np.ones(3), np.empty(3)
    calls = [bind_call(add_p, BACKEND, [x, 1.5], {}, y)]
    for k in range(1, 4):
        x[:] = k
        run_calls(calls)
        np.testing.assert_array_equal(y, [k + 1.5] * 3)


@pytest.mark.parametrize("dtype", [bool, np.int8, np.float16, np.float32, np.complex128])
def test_terms_are_added_in_their_own_dtype(dtype):
    terms = np.array([[1, 0, 1], [1, 0, 0], [1, 1, 0]], dtype)
    total = np.zeros(3, dtype)
    run_and_check([bind_sum(BACKEND, terms, total)])
    np.testing.assert_array_equal(total, np.array([3, 1, 1]).astype(dtype))
    number = np.zeros((), dtype)
    run_and_check([bind_sum(BACKEND, terms[0], number)])
    assert number == np.array(2).astype(dtype)


def test_a_failing_call_names_its_primitive_and_operands():
    call = bind_call(add_p, BACKEND, [np.ones((2, 3)), np.ones(4)], {}, np.empty((2, 3)))
    for how in (run_calls, run_and_check):
        with pytest.raises(ValueError, match=r"add\(float64\[2, 3\], float64\[4\]\)"):
            how([call])


def test_a_formula_that_does_not_write_to_out_is_named(make_primitive):
    made = make_primitive(lambda b, x, out=None: b.xp.exp(x))
    jitted = mg.jit(lambda x: made(x) + 1)
    for _ in range(2):
        with pytest.raises(TypeError, match=r"formula of 'made_.*' does not write to `out`"):
            jitted(np.ones(3))


@pytest.mark.parametrize(
    ("f", "good", "bad", "error", "message"),
    [
        (
            lambda x, i: mg.take(x, i),
            (np.ones(3), np.array([0])),
            (np.ones(3), np.array([7])),
            IndexError,
            r"gather\(float64",
        ),
        (lambda x: mg.inv(x), (np.eye(2),), (np.zeros((2, 2)),), np.linalg.LinAlgError, r"inv\(float64\[2, 2\]\)"),
    ],
)
def test_errors_in_a_run_are_those_without_a_program(f, good, bad, error, message):
    jitted = mg.jit(f)
    jitted(*good)
    for run in (f, jitted):
        with pytest.raises(error, match=message):
            run(*bad)
    assert same(jitted(*good), f(*good))
