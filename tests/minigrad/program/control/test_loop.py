"""minigrad/program/control/loop.py: loops that end when a condition no longer holds, with Newton's square root."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from tests.support.oracles import assert_close
from tests.support.transfer import to_host

A = np.array([2.0, 3.0, 50.0])


def root(a, **options):
    """(√a, the number of steps)."""
    going = lambda s: mg.abs(s[0] * s[0] - a) > 1e-12 * mg.abs(a)
    return mg.while_loop(going, lambda s: ((s[0] + a / s[0]) / 2, s[1] + 1), (1.0, 0), **options)


def python_root(a):
    x, steps = 1.0, 0
    while abs(x * x - a) > 1e-12 * abs(a):
        x, steps = (x + a / x) / 2, steps + 1
    return x, steps


@pytest.mark.parametrize("options", [{}, {"max_steps": 30}], ids=["list", "scan"])
def test_values_and_derivatives(options):
    for a in A:
        assert tuple(map(float, root(a, **options))) == python_root(a)
        assert_close(mg.grad(lambda a: root(a, **options)[0])(a), 0.5 / a**0.5)
        assert_close(mg.jvp(lambda a: root(a, **options)[0], (a,), (3.0,))[1], 1.5 / a**0.5)
        hessian = mg.hessian(lambda a: root(a, **options)[0])(a)
        assert abs(hessian + 0.25 / a**1.5) < 1e-6  # the iteration stops when the value has converged


def test_programs(on_device):
    f = mg.jit(lambda a: (root(a), mg.jvp(lambda a: root(a)[0], (a,), (mg.ones_like(a),))[1]))
    for a in A:
        (x, steps), slope = f(on_device(np.asarray(a)))
        assert (to_host(x), int(steps)) == python_root(a)
        assert_close(to_host(slope), 0.5 / a**0.5)
    gradient = mg.jit(mg.grad(lambda a: root(a, max_steps=30)[0]))
    assert_close(to_host(gradient(on_device(np.asarray(3.0)))), 0.5 / 3**0.5)
    assert "while_loop of " in str(mg.jit(root).program(np.float64(2.0)))


@pytest.mark.parametrize("wrap", [lambda f: f, mg.jit], ids=["eager", "jit"])
def test_each_example_ends_for_itself(wrap):
    x, steps = wrap(mg.vmap(root))(A)
    expected = [python_root(a) for a in A]
    assert x.tolist() == [one for one, _ in expected] and steps.tolist() == [n for _, n in expected]
    assert_close(wrap(mg.vmap(mg.grad(lambda a: root(a, max_steps=30)[0])))(A), 0.5 / A**0.5)
    assert_close(wrap(mg.vmap(lambda a: mg.jvp(lambda a: root(a)[0], (a,), (1.0,))[1]))(A), 0.5 / A**0.5)
    total = lambda a: mg.sum(mg.vmap(lambda a: root(a, max_steps=30)[0])(a) ** 3)
    assert_close(wrap(mg.grad(total))(A), 1.5 * A**0.5)


@pytest.mark.parametrize("wrap", [lambda f: f, mg.jit], ids=["eager", "jit"])
@pytest.mark.parametrize("starts", [[1.0, 10.0, 100.0], [0.0, 10.0, 3.0], [0.0, 0.0, 0.0]])
def test_examples_that_are_done_compute_nothing_of_their_own(starts, wrap):
    """A step has no value below 1, where examples stop, after different numbers of steps (warnings are errors)."""

    def f(x, c, **options):
        return mg.while_loop(lambda s: s > 1, lambda s: c * mg.sqrt(s - 1) - 1 / (s - 1), x, **options)

    def loop(x, c):
        """The last state and its derivative in x, by a Python loop."""
        dx = 1.0
        while x > 1:
            dx *= 0.5 * c / np.sqrt(x - 1) + 1 / (x - 1) ** 2
            x = c * np.sqrt(x - 1) - 1 / (x - 1)
        return x, dx

    x, c = np.array(starts), np.array([0.9, 0.8, 1.1])
    values, slopes = np.transpose([loop(*pair) for pair in zip(x, c)])
    bounded = lambda x, c: f(x, c, max_steps=20)
    for g in (f, bounded):
        assert_close(wrap(mg.vmap(g))(x, c), values)
        assert_close(wrap(mg.vmap(lambda x, c, g=g: mg.jvp(lambda x: g(x, c), (x,), (1.0,))[1]))(x, c), slopes)
    assert_close(wrap(mg.vmap(mg.grad(bounded)))(x, c), slopes)
    assert_close(wrap(mg.grad(lambda x: mg.sum(mg.vmap(bounded)(x, c))))(x), slopes)


def test_a_part_of_the_state_that_examples_share():
    """The number of steps is shared, so the condition is one for all."""
    f = lambda x: mg.while_loop(lambda s: s[0] < 5, lambda s: (s[0] + 1, s[1] * x), (0, 1.0))
    n, y = mg.vmap(f, out_axes=(None, 0))(A)
    assert n == 5
    assert_close(y, A**5)
    assert_close(mg.vmap(mg.grad(lambda x: f(x)[1]))(A), 5 * A**4)


def test_reverse_mode_in_a_program_or_under_vmap_needs_a_bound():
    gradient = mg.grad(lambda a: root(a)[0])
    for call in (lambda: mg.jit(gradient)(np.float64(2.0)), lambda: mg.vmap(gradient)(A)):
        with pytest.raises(TypeError, match=r"neither a program nor mg.vmap can: give max_steps"):
            call()


def test_a_part_of_the_last_state_that_was_one_before_is_guarded():
    f = lambda x: mg.while_loop(lambda s: s[2] < 3, lambda s: (s[1], s[1] ** 2, s[2] + 1), (x, x, 0))[:2]
    (before, _), pullback = mg.vjp(f, A)
    before *= 2
    with pytest.raises(mg.MutationError, match="used by 'while_loop' at"):
        pullback((A, A))


def test_a_bounded_loop_has_no_derivative_of_steps_after_the_last():
    """f(5) = √(√4 − 1) = 1, where the slope of the next step, of √0, would be infinite."""
    f = lambda x: mg.while_loop(lambda s: s > 1, lambda s: mg.sqrt(s - 1), x, max_steps=5)
    for gradient in (mg.grad(f), mg.jit(mg.grad(f))):
        assert gradient(np.float64(5.0)) == 0.125


def test_a_loop_without_end_in_a_function_that_does_not_run():
    """It does not run while a program is captured, either; the loop inside another one would not end at first."""
    grow = lambda x: mg.while_loop(lambda s: mg.abs(s) < 10, lambda s: s * (1 + x), 1.0)
    f = mg.jit(lambda x: mg.cond(x > 0, grow, lambda x: x, x))
    assert (f(np.float64(0.0)), f(np.float64(1.0))) == (0.0, 16.0)
    outer = lambda x: mg.while_loop(lambda s: (s > 0) & (s < 100), lambda s: grow(s) + s, x)
    assert (mg.jit(outer)(np.float64(0.0)), mg.jit(outer)(np.float64(1.0))) == (0.0, outer(1.0))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: mg.while_loop(lambda s: s, lambda s: s, 1.0), TypeError, r"must return one boolean, got float64\[\]"),
        (lambda: mg.while_loop(lambda s: (), lambda s: s, 1.0), TypeError, "one boolean, got nothing"),
        (
            lambda: mg.while_loop(lambda s: s < 3, lambda s: (s, s), 1.0),
            ValueError,
            "the function returns has structure",
        ),
        (lambda: mg.while_loop(lambda s: s < 3, lambda s: s + A, 1.0), ValueError, "the function returns float64.3."),
        (lambda: mg.while_loop(lambda s: s < 3, lambda s: s, 1.0, 2.5), TypeError, "max_steps must be an integer"),
        (lambda: mg.while_loop(lambda s: s < 3, lambda s: s, 1.0, -1), ValueError, "max_steps must be an integer ≥ 0"),
        (lambda: mg.while_loop(lambda s: s < 3, lambda s: s, A, 2), TypeError, r"one boolean, got bool\[3\]"),
    ],
)
def test_wrong_calls(call, error, message):
    with pytest.raises(error, match=message):
        call()
