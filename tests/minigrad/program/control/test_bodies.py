"""minigrad/program/control/bodies.py: what a captured function takes from outside, and the packed results."""

from __future__ import annotations

import copy
import pickle

import numpy as np

import minigrad as mg
from minigrad.program.control.bodies import capture_body
from tests.support.strategies import normal


def test_what_a_function_uses_from_outside_is_an_input():
    w = normal((3, 3))
    body = capture_body(lambda x: (mg.sin(x @ w.T) + mg.sum(w, 0, keepdims=True), 2.0), [np.ones(3)])
    assert len(body.outside) == 2  # a view of w and its sums, computed once
    x = normal((3,), 1)
    for run in (body, body.run):
        y, two = run([*body.outside, x])
        assert np.allclose(y, np.sin(x @ w.T) + w.sum(0, keepdims=True)) and two == 2.0
    scaled = body([2 * body.outside[0], body.outside[1], x])[0]
    assert np.allclose(scaled, np.sin(2 * x @ w.T) + w.sum(0, keepdims=True))


def test_results_of_any_dtype_are_packed():
    """Booleans, integers, float32 and complex numbers, in shapes that do not end at a multiple of the alignment."""

    def f(n, x):
        ys = (x > 0, mg.astype(x * 3, np.int16), mg.astype(x, np.float32), mg.astype(x, np.complex128)[:1], n)
        return n + 1, ys

    x = normal((4, 5))
    eager, program = mg.scan(f, 0, x), mg.jit(lambda x: mg.scan(f, 0, x))
    for _ in range(3):
        for mine, truth in zip(mg.tree.flatten(program(x))[0], mg.tree.flatten(eager)[0], strict=True):
            assert mine.dtype == truth.dtype and np.array_equal(mine, truth)


def test_a_program_with_a_loop_can_be_copied_and_pickled():
    program = mg.trace(lambda x: mg.scan(lambda s, x: (s + x, s * x), 0.0, x))(np.arange(4.0))
    expected = program(np.arange(4.0))
    for twin in (copy.copy(program), pickle.loads(pickle.dumps(program))):
        for mine, truth in zip(mg.tree.flatten(twin(np.arange(4.0)))[0], mg.tree.flatten(expected)[0]):
            assert np.array_equal(mine, truth)
    found = mg.grad(lambda x: mg.sum(program(x)[1]))(np.arange(4.0))  # a program has derivatives, too
    assert np.allclose(
        found, mg.grad(lambda x: mg.sum(mg.scan(lambda s, x: (s + x, s * x), 0.0, x)[1]))(np.arange(4.0))
    )


def test_different_loops_on_equal_operands_are_not_one():
    f = mg.jit(
        lambda x: (mg.scan(lambda s, x: (s + x, None), 0.0, x)[0], mg.scan(lambda s, x: (s * x, None), 0.0, x)[0])
    )
    assert f(np.arange(1.0, 4.0)) == (6.0, 0.0)
