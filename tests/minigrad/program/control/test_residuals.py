"""minigrad/program/control/residuals.py: what the backward pass of a step is given, and what it computes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given

import minigrad as mg
from minigrad.program.control.bodies import capture_body
from minigrad.program.control.residuals import cut_derivative
from minigrad.testing import expressions, normal
from tests.support.oracles import assert_close

W, H, X, G = normal((3, 3)), normal((3,), 1), normal((3,), 2), normal((3,), 3)


def names(graph):
    return [i.primitive.name for i in graph.instructions]


def halves_of(step, rerun=False):
    """A step of w, which is the same in every step, a state, and a row."""
    body = capture_body(lambda w, h, x: [step(w, h, x)], [W, H, X])
    return cut_derivative(replace(body, outside=(None,)), [W, H, X], [0, 1, 2], 1, rerun)


def test_the_step_does_not_run_again():
    """tanh(w·h + x): the backward part needs 1 − tanh², h, and the transpose of w, which is no residual."""
    halves = halves_of(lambda w, h, x: mg.tanh(w @ h + x))
    assert names(halves.first).count("matmul") == 1 and "tanh" in names(halves.first)
    assert "tanh" not in names(halves.second) and names(halves.second).count("matmul") == 2
    result, *residuals = halves.before([W, H, X])
    y = np.tanh(W @ H + X)
    assert_close(result, y)
    assert sorted(map(np.shape, residuals)) == [(3,), (3,)]
    g = (1 - y**2) * G
    for mine, truth in zip(halves.after([W, X, *residuals, G]), (np.outer(g, H), W.T @ g, g), strict=True):
        assert_close(mine, truth)


def test_views_and_what_every_step_computes_are_no_residuals():
    halves = halves_of(lambda w, h, x: mg.sum((mg.exp(w) * h[:, None]).T * x, 1))
    kinds = [np.shape(x) for x in halves.before([W, H, X])]
    assert (3, 3) in kinds[1:] and kinds[1:].count((3, 3)) == 1  # exp(w)·h, transposed, for x; exp(w) is computed again
    assert "exp" in names(halves.second)


@pytest.mark.parametrize("step", [lambda w, h, x: mg.tanh(w @ h) * x, lambda w, h, x: h + 1])
def test_with_rerun_the_residuals_are_the_state(step):
    halves = halves_of(lambda w, h, x: step(w, h, x) + mg.sum(w) * 0, rerun=True)
    _, *residuals = halves.before([W, H, X])
    assert all(np.array_equal(r, H) for r in residuals) and len(residuals) <= 1
    assert names(halves.second).count("tanh") == names(halves.first).count("tanh")


def test_what_a_checkpoint_runs_again_is_no_residual():
    inner = lambda h, x: mg.tanh(mg.tanh(mg.tanh(h) * x) * 2)
    step = lambda wrap: lambda w, h, x: wrap(inner)(w @ h, x)
    plain, saved = halves_of(step(lambda f: f)), halves_of(step(mg.checkpoint))
    assert "tanh" not in names(plain.second) and names(saved.second).count("tanh") >= 2
    assert len(saved.before([W, H, X])) < len(plain.before([W, H, X]))
    for mine, truth in zip(*[h.after([W, X, *h.before([W, H, X])[1:], G]) for h in (saved, plain)], strict=True):
        assert_close(mine, truth)


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
    halves = halves_of(lambda w, h, x: mg.sqrt(h))
    assert names(halves.first) == ["sqrt"] and "divide" in names(halves.second)


def test_residuals_are_what_rules_read():
    """Of tanh its result alone, which the next step reads, too."""
    halves = halves_of(lambda w, h, x: mg.tanh(mg.tanh(h)))
    assert len(halves.kept) == 2


def test_the_halves_for_some_cotangents_read_the_same_residuals():
    body = capture_body(lambda h, x: [mg.sin(h) * x, mg.exp(h * x)], [H, X])
    full = cut_derivative(body, [H, X], [0, 1], 1, False)
    results, residuals = np.split(full.before([H, X]), [2])
    assert full.given == full.pulled == (True, True)
    pulled = []
    for flags in ((True, False), (False, True)):
        some = cut_derivative(body, [H, X], [0, 1], 1, False, flags, full.kept)
        assert some.given == flags and some.kept == full.kept
        pulled.append(some.after([X, *residuals, G]))
    assert_close(pulled[0], [np.cos(H) * X * G, np.sin(H) * G])
    assert_close(pulled[1], [X * results[1] * G, H * results[1] * G])
    assert_close(np.add(*pulled), full.after([X, *residuals, G, G]))
    nothing = cut_derivative(body, [H, X], [0, 1], 1, False, (False, False), full.kept)
    assert nothing.pulled == (False, False) and nothing.after([X, *residuals]) == []


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


def test_which_results_move():
    body = capture_body(lambda h, x, n: [mg.sin(h) * x, h > x, n + 1, mg.cond(n > 0, mg.sin, mg.cos, x)], [H, X, 1])
    assert body.move([True, False, False]) == [True, False, False, False]
    assert body.move([False, True, False]) == [True, False, False, True]
    assert body.move([False, False, True]) == [False, False, False, False]
