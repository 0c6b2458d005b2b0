"""minigrad/program/control/residuals.py: what the backward pass of a step is given, and what it computes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import minigrad as mg
from minigrad.program.control.bodies import capture_body
from minigrad.program.control.residuals import cut_derivative
from minigrad.testing import normal
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


def test_the_forward_part_computes_no_derivative():
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
