"""minigrad/program/control/bodies.py: what a captured function takes from outside, and the packed results."""

from __future__ import annotations

import copy
import pickle
import weakref

import numpy as np
import pytest

import minigrad as mg
from minigrad.program.control.bodies import capture_body
from minigrad.testing import normal
from tests.support.oracles import assert_close


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


def test_a_program_whose_loop_uses_an_argument_from_outside_can_be_pickled_and_keeps_no_arguments():
    f = lambda w, x: mg.scan(lambda s, x: (s + mg.sum(w) * x, None), 0.0, x)[0]
    w, x = np.array([1.0, 3.0]), np.arange(4.0)
    twin = pickle.loads(pickle.dumps(mg.trace(f)(w, x)))
    assert twin(w, x) == 24.0
    assert np.array_equal(mg.grad(twin)(w, x), [6.0, 6.0])
    program, given = mg.jit(f), weakref.ref(w)
    program(w, x)
    del w
    assert given() is None


@pytest.mark.parametrize("stated", ["jvp", "vjp"])
def test_functions_with_their_own_derivative_keep_it(stated):
    """rint(x)·n has the derivative 3·x·n here, which its operations do not have."""

    @mg.custom_derivative
    def snap(x, n):
        return {"y": mg.rint(x) * n}

    if stated == "jvp":
        snap.jvp(lambda primals, tangents: (snap(*primals), {"y": 3 * primals[0] * tangents[0] * primals[1]}))
    else:
        snap.vjp(lambda x, n: (snap(x, n), lambda g: (3 * x * g["y"] * n, None)))

    def loop(x):
        step = lambda s, x: (s + snap(x, 2.0)["y"] ** 2, None)
        return mg.scan(step, np.zeros((), x.dtype), x)[0]

    def choice(x):
        return mg.sum(
            mg.cond(x[0] > 0, lambda x: snap(x, 2.0)["y"] ** 2, lambda x: snap(x, np.ones(3, x.dtype))["y"], x)
        )

    def bounded(x):
        going, step = (lambda s: s[0] < 2), (lambda s: (s[0] + 1, s[1] + snap(x * s[1], 2.0)["y"]))
        return mg.sum(mg.while_loop(going, step, (0, x), max_steps=3)[1])

    def steps(x):
        y = x + snap(x * x, 2.0)["y"]
        return mg.sum(y + snap(x * y, 2.0)["y"])

    def squares(x):
        return mg.sum(snap(x, 2.0)["y"] ** 2)

    x = normal((3,), 4) * 2
    x[0] = abs(x[0])
    for f, plain in ((loop, squares), (choice, squares), (bounded, steps)):
        transforms = [mg.grad, mg.hessian, lambda f: lambda x: mg.jvp(f, (x,), (x,))[1]]
        transforms += [lambda f: lambda x: mg.vmap(mg.grad(f))(mg.stack([x, 2 * x]))]
        for transform in transforms:
            expected = transform(plain)(x)
            assert_close(transform(f)(x), expected)
            assert_close(mg.jit(transform(f))(x), expected)
        assert mg.jit(f)(x.astype(np.float32)).dtype == np.float32
        program = mg.trace(f)(x)
        assert_close(program(x), plain(x))
        if f is not bounded:
            assert_close(mg.grad(program)(x), mg.grad(f)(x))

    def scale(w):
        @mg.custom_derivative
        def scaled(x):
            return x * w

        scaled.jvp(lambda primals, tangents: (scaled(*primals), tangents[0] * w))
        return scaled

    outer = lambda x, w: mg.scan(lambda s, x: (s + scale(w)(x), None), 0.0, x)[0]
    inner = lambda x: mg.scan(lambda s, x: (s + scale(mg.stop_gradient(s))(x), None), 1.0, x)[0]
    assert_close(outer(x, 2.0), 2 * np.sum(x))
    assert_close(mg.jit(mg.grad(outer))(x, np.float64(2.0)), 2 * np.ones(3))
    assert_close(inner(x), np.prod(1 + x))
    for call in (lambda: mg.grad(outer, 1)(x, 2.0), lambda: mg.grad(inner)(x), lambda: mg.jvp(inner, (x,), (x,))):
        with pytest.raises(mg.EscapedTracerError, match="scaled has a derivative of its own, but uses a traced value"):
            call()


def test_different_loops_on_equal_operands_are_not_one():
    f = mg.jit(
        lambda x: (mg.scan(lambda s, x: (s + x, None), 0.0, x)[0], mg.scan(lambda s, x: (s * x, None), 0.0, x)[0])
    )
    assert f(np.arange(1.0, 4.0)) == (6.0, 0.0)


def test_which_results_move():
    body = capture_body(
        lambda h, x, n: [mg.sin(h) * x, h > x, n + 1, mg.cond(n > 0, mg.sin, mg.cos, x)],
        [normal((3,), 1), normal((3,), 2), 1],
    )
    assert body.move([True, False, False]) == [True, False, False, False]
    assert body.move([False, True, False]) == [True, False, False, True]
    assert body.move([False, False, True]) == [False, False, False, False]
