"""minigrad/program/control/backward.py: derivatives of whole loops, of what moves alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

import minigrad as mg
from minigrad.testing import expressions
from tests.support.oracles import assert_close


@given(expressions(max_steps=5))
def test_random_steps(expression):
    """Derivatives of a loop of a random step, in both modes and to second order, beside a Python loop."""
    first, *fixed = expression.arguments()
    rows = np.stack([first, -first, 0.5 * first])

    def step(h, x, fixed):
        return mg.tanh(expression(mg.tanh(h + x), *fixed)), mg.sum(h) * 0.5

    def loop(h, rows, fixed):
        h, ys = mg.scan(lambda h, x: step(h, x, fixed), h, rows)
        return mg.sum(h**2) + mg.sum(ys**3)

    def steps(h, rows, fixed):
        ys = []
        for x in rows:
            h, y = step(h, x, fixed)
            ys.append(y)
        return mg.sum(h**2) + sum(y**3 for y in ys)

    args = (first, rows, fixed)
    for order in (lambda f: mg.grad(f, (0, 1, 2)), lambda f: mg.grad(lambda *a: mg.jvp(f, a, args)[1], (0, 1, 2))):
        expected = mg.tree.flatten(order(steps)(*args))[0]
        for mine, truth in zip(mg.tree.flatten(order(loop)(*args))[0], expected, strict=True):
            assert_close(mine, truth)


def test_a_step_without_a_derivative():
    """Integers go around the loop: nothing moves, and the gradient of what they multiply is there all the same."""
    f = lambda x: x * mg.scan(lambda n, _: (n + 1, n), 0, length=4)[0]
    assert mg.grad(f)(2.0) == 4.0
    g = lambda x: mg.sum(mg.scan(lambda s, i: ((s[0] * x, s[1] + i), s[1]), (1.0, 0), np.arange(3))[0][0])
    assert_close(mg.grad(g)(2.0), 12.0)


def powers(s, r):
    """Beside the state, its root, whose derivative is infinite at 0."""
    return s * r, mg.sqrt(s)


def nested(s, r):
    a, roots = mg.scan(powers, s, ROWS)
    return a, r * roots


ROWS = np.array([1.0, 2.0, 3.0, 4.0])
COUNT = (lambda s: s[2] < 2, lambda s: (s[0] * 2, mg.sqrt(s[0]), s[2] + 1))
UNUSED = {
    "row": (lambda x: mg.scan(powers, x, ROWS)[0], 24.0),
    "aux": (lambda x: mg.grad(lambda x: mg.scan(powers, x, ROWS), has_aux=True)(x)[0] * x, 24.0),
    "parts": (lambda x: mg.scan(powers, x, ROWS, checkpoint=2)[0], 24.0),
    "checkpointed step": (lambda x: mg.scan(mg.checkpoint(powers), x, ROWS)[0], 24.0),
    "checkpoint in a step": (lambda x: mg.scan(lambda s, r: (mg.checkpoint(powers)(s, r)[0], s), x, ROWS)[0], 24.0),
    "state": (lambda x: mg.scan(lambda s, r: (powers(s[0], r), s[0]), (x, x), ROWS)[0][0], 24.0),
    "state of another": (
        lambda x: mg.scan(lambda s, r: ((s[0] * r, s[0] + s[1], mg.sqrt(s[2])), None), (x, x, x), ROWS)[0][1],
        1 + 1 + 1 + 2 + 6.0,
    ),
    "rows": (lambda x: mg.scan(powers, 1.0, x * ROWS)[0], 0.0),
    "outside": (lambda x: x * mg.scan(lambda s, r: (s * r, mg.sqrt(x) * s), 1.0, ROWS)[0], 24.0),
    "nested": (lambda x: mg.scan(nested, x, ROWS[:2])[0], 24.0 * 24.0),
    "while": (lambda x: mg.while_loop(*COUNT, (x, x, 0))[0], 4.0),
    "while with max_steps": (lambda x: mg.while_loop(*COUNT, (x, x, 0), max_steps=3)[0], 4.0),
    "cond": (lambda x: mg.cond(x < 1, lambda x: (3 * x, mg.sqrt(x)), lambda x: (x, x), x)[0], 3.0),
    "cond in a step": (
        lambda x: mg.scan(lambda s, r: (mg.cond(r > 0, powers, lambda s, r: (s, s), s, r)[0], s), x, ROWS)[0],
        24.0,
    ),
}


@pytest.mark.parametrize("name", UNUSED)
def test_what_is_not_used_is_not_pulled_back(name):
    """0 times an infinite derivative is no number, and warns; the results that are used are linear in x."""
    f, expected = UNUSED[name]
    if name == "while":
        assert mg.grad(f)(0.0) == expected
        return
    for wrap in (lambda g: g, mg.jit):
        assert wrap(mg.grad(f))(np.array(0.0)) == expected
        assert_close(wrap(mg.vmap(mg.grad(f)))(np.zeros(2)), [expected, expected])
        assert_close(wrap(mg.grad(lambda x: mg.sum(mg.vmap(f)(x))))(np.zeros(2)), [expected, expected])


def test_the_forward_pass_computes_no_derivative():
    """That of a root at 0 would warn."""
    last, roots = mg.vjp(lambda x: mg.scan(powers, x, ROWS), 0.0)[0]
    assert last == 0.0 and not np.any(roots)


def still(c, s, r):
    """The second leaf of the state is 0 and does not move with c: its root has an infinite derivative."""
    return (s[0] * c * r + mg.sqrt(s[1]), 2 * s[1], s[2] + 1), mg.sqrt(s[1]) + s[0]


def scanned(c, **options):
    last, ys = mg.scan(lambda s, r: still(c, s, r), (1.0, 0.0, 0), ROWS, **options)
    return last[0] + mg.sum(ys)


def in_python(c):
    s, total = (1.0, np.float64(0.0), 0), 0.0
    for r in ROWS:
        s, y = still(c, s, r)
        total = total + y
    return s[0] + total


def repeated(c, **options):
    return mg.while_loop(lambda s: s[2] < 3, lambda s: still(c, s, 2.0)[0], (1.0, 0.0, 0), **options)[0]


DERIVATIVES = {
    "grad": mg.grad,
    "jvp": lambda f: lambda c: mg.jvp(f, (c,), (mg.ones_like(c),))[1],
    "hessian": mg.hessian,
    "reverse over reverse": lambda f: mg.grad(mg.grad(f)),
}


@pytest.mark.parametrize("order", DERIVATIVES)
@pytest.mark.parametrize(
    ("loop", "same"),
    [
        (scanned, in_python),
        (lambda c: scanned(c, checkpoint=2), in_python),
        (lambda c: repeated(c, max_steps=4), lambda c: (2 * c) ** 3),
        (repeated, lambda c: (2 * c) ** 3),
    ],
    ids=["scan", "parts", "bounded while", "while"],
)
def test_what_does_not_move_has_no_derivative(loop, same, order):
    derivative, c = DERIVATIVES[order], np.array(1.5)
    expected = derivative(same)(c)
    assert_close(derivative(loop)(c), expected)
    if loop is not repeated or order == "jvp":
        assert_close(mg.jit(derivative(loop))(c), expected)
        assert_close(mg.vmap(derivative(loop))(np.array([1.5, 1.5])), [expected, expected])


@pytest.mark.parametrize("options", [{}, {"checkpoint": 2}, {"reverse": True}])
@pytest.mark.parametrize("wrap", [lambda f: f, mg.jit, mg.checkpoint, lambda f: lambda x: mg.vmap(f)(x[None])[0]])
def test_a_loop_without_steps_is_the_identity(wrap, options):
    """Also if a step would not make its state move."""
    f = wrap(lambda x: mg.scan(lambda s, r: (mg.zeros(()) + 3, None), x, length=0, **options)[0])
    x = np.array(2.0)
    assert f(x) == 2.0 and mg.grad(f)(x) == 1.0 and mg.jvp(f, (x,), (x,))[1] == 2.0
    assert mg.jacobian(lambda x: 2 * f(x))(x) == 2.0 and mg.grad(lambda x: x * f(x))(x) == 4.0
    assert mg.grad(mg.grad(lambda x: x * f(x)))(x) == 2.0
