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
