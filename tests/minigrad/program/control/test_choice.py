"""minigrad/program/control/choice.py: one of two functions, beside mg.where, which computes both."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad.testing import normal
from tests.support.oracles import assert_close
from tests.support.transfer import to_host

W, X = normal((2, 2)), normal((2,), 1)
BATCH, FLAGS = normal((3, 2), 2), np.array([True, False, True])


def chosen(p, x, w):
    """Both functions take w from outside."""
    return mg.cond(p, lambda x: {"y": mg.sin(x @ w)}, lambda x: {"y": mg.exp(x) * w[0]}, x)["y"]


def selected(p, x, w):
    return mg.where(p, mg.sin(x @ w), mg.exp(x) * w[0])


def of(f):
    loss = lambda p, x, w: mg.sum(f(p, x, w) ** 2)
    return {
        "value": lambda p: f(p, X, W),
        "gradient": lambda p: mg.grad(loss, (1, 2))(p, X, W),
        "jvp": lambda p: mg.jvp(lambda x, w: loss(p, x, w), (X, W), (2 * X, W))[1],
        "hessian": lambda p: mg.hessian(loss, (1, 2))(p, X, W),
        "third": lambda p: mg.jacobian(mg.hessian(loss, 1), 1)(p, X, W),
        "vmap": lambda p: mg.vmap(lambda x: f(p, x, W))(BATCH),
        "vmap of gradient": lambda p: mg.vmap(mg.grad(loss, (1, 2)), (None, 0, None))(p, BATCH, W),
        "gradient of vmap": lambda p: mg.grad(lambda w: mg.sum(mg.vmap(lambda x: loss(p, x, w))(BATCH)))(W),
        "own predicates": lambda p: mg.vmap(lambda q, x: f(q, x, W))(FLAGS, BATCH),
        "gradients of own predicates": lambda p: mg.vmap(mg.grad(loss, 1), (0, 0, None))(FLAGS, BATCH, W),
    }


@pytest.mark.parametrize("name", of(None))
@pytest.mark.parametrize("p", [True, False])
def test_a_choice_equals_a_selection(name, p):
    expected = mg.tree.flatten(of(selected)[name](np.bool_(p)))[0]
    for compute in (of(chosen)[name], mg.jit(of(chosen)[name])):
        for mine, truth in zip(mg.tree.flatten(compute(np.bool_(p)))[0], expected, strict=True):
            assert_close(mine, truth)


def test_one_program_for_both(on_device):
    f = mg.jit(lambda p, x, w: mg.grad(lambda x: mg.sum(chosen(p, x, w)))(x))
    for p in (True, False, True, False):
        found = f(on_device(np.asarray(p)), on_device(X), on_device(W))
        assert_close(to_host(found), mg.grad(lambda x, p: mg.sum(selected(p, x, W)))(X, p))
    assert "cond of " in str(f.program(np.bool_(True), X, W))


def test_a_program_of_batches_of_derivatives_of_a_choice_in_a_loop():
    """A function that is captured to be chosen later does not record what the interpreters around it compute."""
    choose = lambda s: mg.cond(s > 0, lambda s: s * s, lambda s: s + 1.0, s)
    loop, steps = lambda s: mg.scan(lambda s, _: (choose(s), None), s, None, 2)[0], lambda s: choose(choose(s))
    rows = lambda f: mg.vmap(mg.vmap(lambda t, s: mg.hvp(f, s, t), (0, None)))
    s, t = np.array([1.5, -0.5]), normal((2, 3))
    expected = [[mg.hvp(steps, x, y) for y in row] for x, row in zip(s, t)]
    assert_close(rows(loop)(t, s), np.array(expected))
    assert_close(mg.jit(rows(loop))(t, s), np.array(expected))


@pytest.mark.parametrize("wrap", [lambda f: f, mg.jit], ids=["eager", "jit"])
@pytest.mark.parametrize("x", [[4.0, 0.0, -1.0], [4.0, 9.0, 1.0], [0.0, -1.0, -4.0]], ids=["some", "all", "none"])
def test_examples_do_not_run_what_they_do_not_choose(x, wrap):
    """√x has an infinite slope at 0 and warns below, where examples choose another function (warnings are errors)."""
    root = lambda x: mg.cond(x > 0, mg.sqrt, lambda x: 3 * x, x)
    x = np.array(x)
    taken = np.where(x > 0, x, 1.0)
    slope = np.where(x > 0, 0.5 / np.sqrt(taken), 3.0)
    assert_close(wrap(mg.vmap(root))(x), np.where(x > 0, np.sqrt(taken), 3 * x))
    assert_close(wrap(mg.vmap(mg.grad(root)))(x), slope)
    assert_close(wrap(mg.grad(lambda x: mg.sum(x * mg.vmap(root)(x))))(x), np.where(x > 0, 1.5 * np.sqrt(taken), 6 * x))
    assert_close(wrap(lambda x: mg.jvp(mg.vmap(root), (x,), (x,))[1])(x), slope * x)
    assert_close(wrap(mg.vmap(mg.grad(mg.grad(root))))(x), np.where(x > 0, -0.25 * taken**-1.5, 0.0))


def test_examples_do_not_factorise_what_they_do_not_choose():
    """The second matrix has no Cholesky factor: its own example does not ask for one."""
    matrices = np.stack([np.eye(2) * 4, -np.eye(2)])
    f = lambda a: mg.cond(a[0, 0] > 0, mg.cholesky, mg.abs, a)
    assert_close(mg.vmap(f)(matrices), np.stack([np.eye(2) * 2, np.eye(2)]))
    assert_close(mg.grad(lambda a: mg.sum(mg.vmap(f)(a)))(matrices)[:, 0, 0], [0.25, -1.0])


def test_only_the_chosen_function_runs():
    """Where the other one would give NaN, its derivative is not multiplied by zero."""
    f = lambda p, x: mg.cond(p, lambda x: mg.sqrt(x), lambda x: 2 * x, x)
    for gradient in (mg.grad(f, 1), mg.jit(mg.grad(f, 1))):
        assert gradient(np.bool_(False), np.float64(0.0)) == 2.0
    ran = []
    mg.cond(True, lambda: ran.append("f"), lambda: ran.append("g"))
    assert ran == ["f"]


@pytest.mark.parametrize("wrap", [lambda f: f, mg.jit])
def test_no_examples(wrap):
    """Neither a branch nor a step has an example that chooses it."""
    chosen = lambda x: mg.cond(x[0] > 0, lambda x: mg.sum(x * x), mg.sum, x)
    looped = lambda x: mg.sum(mg.while_loop(lambda s: mg.sum(s) < 9, lambda s: s * s + 1, x, max_steps=3))
    for f in (chosen, looped, mg.grad(chosen), mg.grad(looped)):
        assert wrap(mg.vmap(f))(BATCH[:0]).shape == (0, *np.shape(f(BATCH[0])))
    unbounded = lambda x: mg.while_loop(lambda s: mg.sum(s) < 9, lambda s: s * s + 1, x)
    assert wrap(mg.vmap(unbounded))(BATCH[:0]).shape == (0, 2)


@pytest.mark.parametrize("f", [mg.inv, mg.cholesky, lambda a: mg.solve(a, a[0])], ids=["inv", "cholesky", "solve"])
def test_a_program_is_captured_with_values_that_one_function_does_not_take(f):
    guarded = lambda a: mg.cond(mg.det(a) > 0, lambda a: mg.sum(f(a) ** 2), lambda a: mg.sum(a), a)
    program, gradient = mg.jit(guarded), mg.jit(mg.grad(guarded))
    singular, regular = np.ones((2, 2)), np.array([[2.0, 0.5], [0.5, 1.0]])
    assert program(singular) == 4.0
    assert np.array_equal(gradient(singular), np.ones((2, 2)))
    assert_close(program(regular), np.sum(f(regular) ** 2))
    assert_close(gradient(regular), mg.grad(lambda a: mg.sum(f(a) ** 2))(regular))
    assert np.array_equal(mg.while_loop(lambda a: mg.det(a) > 0, lambda a: f(a) * a, singular), singular)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: mg.cond(1, mg.sin, mg.cos, 1.0), TypeError, "the predicate must be one boolean, got 1"),
        (lambda: mg.cond(FLAGS, mg.sin, mg.cos, 1.0), TypeError, r"one boolean, got bool\[3\]"),
        (
            lambda: mg.jit(lambda p: mg.cond(p, lambda x: x, lambda x: (x, x), 1.0))(np.bool_(True)),
            ValueError,
            "the functions return different kinds",
        ),
        (
            lambda: mg.jit(lambda p: mg.cond(p, lambda x: x, lambda x: X, 1.0))(np.bool_(True)),
            ValueError,
            r"of float64\[\], and \* of float64\[2\]",
        ),
    ],
)
def test_wrong_calls(call, error, message):
    with pytest.raises(error, match=message):
        call()
