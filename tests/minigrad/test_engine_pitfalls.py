"""Known bugs of other libraries, one test each, named in the docstring: mutation, memory, nesting, depth.

Expected values are closed forms, naive loops or exact polynomials; cotangents are random and signed. The test file of
each operation has longer tests.
"""

from __future__ import annotations

import gc
import itertools
import math
import sys
import weakref

import numpy as np
import pytest

import minigrad as mg
from minigrad.checks import check_grads
from minigrad.core.interpreter import current
from minigrad.testing import forward_derivative, normal
from tests.support.oracles import assert_close
from tests.support.transfer import to_host

MODES = {"reverse": mg.grad, "forward": forward_derivative}


# Changes in place between forward and backward


def by_vjp(f, x):
    """(y, pullback)."""
    y, pullback = mg.vjp(f, x)
    return y, lambda g: pullback(g)[0]


def by_tape(f, x):
    """(y, pullback), by a tape."""
    with mg.Tape() as tape:
        traced = tape.watch(x)
        y = f(traced)
    return y, lambda g: tape.gradient(y, traced, g)


@pytest.mark.parametrize("recorded", [by_vjp, by_tape])
def test_changing_an_input_before_the_backward_pass_raises(recorded, on_device):
    """HIPS/autograd silently gives the gradient at the new values."""
    x, g = on_device((normal((3,)), normal((3,), 1)))
    expected = np.cos(to_host(x)) * to_host(g)
    _, pull = recorded(mg.sin, x)
    assert_close(to_host(pull(g)), expected)
    x += 1
    with pytest.raises(mg.MutationError, match="used by 'sin'"):
        pull(g)


@pytest.mark.parametrize("recorded", [by_vjp, by_tape])
def test_changing_a_captured_constant_before_the_backward_pass_raises(recorded, on_device):
    """HIPS/autograd silently uses the new value. A change that is undone is allowed."""
    x, c, g = on_device((normal((3,)), np.array([0.5, -2.0, 1.0]), normal((3,), 1)))
    _, pull = recorded(lambda x: x * c, x)
    expected = to_host(c) * to_host(g)
    c[1] = 7
    with pytest.raises(mg.MutationError, match="used by 'multiply'"):
        pull(g)
    c[1] = -2
    assert np.array_equal(to_host(pull(g)), expected)


def test_changing_an_output_before_the_backward_pass_raises(on_device):
    """HIPS/autograd: y *= 2 doubles the gradient of exp."""
    x, g = on_device((normal((3,)), normal((3,), 1)))
    y, pull = by_vjp(mg.exp, x)
    y *= 2
    with pytest.raises(mg.MutationError, match="used by 'exp'"):
        pull(g)


# Backward passes and the memory of gradients


@pytest.mark.parametrize("recorded", [by_vjp, by_tape])
def test_a_second_backward_pass_gives_the_same_gradient(recorded, on_device):
    """MyGrad: the second pass silently does nothing."""
    x, g = on_device((normal((3,)), normal((3,), 1)))
    _, pull = recorded(lambda x: mg.exp(x) * x, x)
    expected = np.exp(to_host(x)) * (1 + to_host(x)) * to_host(g)
    for _ in range(3):
        assert_close(to_host(pull(g)), expected)


def test_gradients_do_not_share_memory_with_each_other(on_device):
    """A rule of x + y that returns g twice gives two gradients in the same memory."""
    a, b, g = on_device((normal((3,)), normal((3,), 1), normal((3,), 2)))
    for f in (lambda a, b: a + b, lambda a, b: mg.stack([a, b])[0] + b, lambda a, b: (a + b).T):
        first, second = mg.vjp(f, a, b)[1](g)
        expected = to_host(second).copy()
        first[...] = 7
        assert np.array_equal(to_host(second), expected)
    again = mg.vjp(lambda a, b: a + b, a, a)[1](g)
    again[0][...] = 7
    assert np.array_equal(to_host(again[1]), to_host(g))


@pytest.mark.parametrize(
    "f",
    [lambda x: x, lambda x: x.T, mg.ravel, lambda x: x[::-1], lambda x: x[None], lambda x: x + 1, mg.copy],
    ids=["itself", "transpose", "ravel", "reverse", "expand", "add", "copy"],
)
def test_gradients_do_not_share_memory_with_the_cotangent(f, on_device):
    """A rule that returns the cotangent, or a view of it, as the gradient."""
    x = on_device(normal((2, 2)))
    y, pullback = mg.vjp(f, x)
    g = on_device(normal(y.shape, 1))
    (gradient,), before = pullback(g), to_host(g).copy()
    gradient[...] = 7
    assert np.array_equal(to_host(g), before)
    expected = to_host(pullback(g)[0]).copy()
    (gradient,) = pullback(g)
    g[...] = 9
    assert np.array_equal(to_host(gradient), expected)


# Nested derivatives


@pytest.mark.parametrize("inner", MODES)
@pytest.mark.parametrize("outer", MODES)
def test_nested_derivatives_do_not_confuse_their_perturbations(outer, inner, xp):
    """ReverseDiff.jl#45 and pytorch#32576: d/dx [x · d/dy x], whose inner derivative is 0, and similar functions."""
    D, d = MODES[outer], MODES[inner]
    one = xp.asarray(1.0)
    for f, expected in (
        (lambda x: x * d(lambda y: x)(one), 0),
        (lambda x: x * d(lambda y: x + y)(one), 1),
        (lambda x: x * d(lambda y: x * y)(one), 6),  # d/dx x²
        (lambda x: d(lambda y: x * y * y)(x), 12),  # d/dx 2x²
    ):
        assert float(D(f)(xp.asarray(3.0))) == expected


def test_nested_derivatives_of_one_class_keep_their_levels_apart(xp):
    """ForwardDiff.jl#313: levels are identified by the type of the function."""

    class Confusing:
        def __init__(self, outer, x):
            self.outer, self.x = outer, x

        def __call__(self, y):
            return y * forward_derivative(Confusing(False, y))(xp.asarray(1.0)) if self.outer else self.x + y

    assert float(forward_derivative(Confusing(True, 0.0))(xp.asarray(1.0))) == 1


@pytest.mark.parametrize("mode", MODES)
def test_an_exception_leaves_no_level_behind(mode, xp):
    """HIPS/autograd: its trace stack has no `finally`."""

    def f(x):
        return MODES[mode](lambda y: mg.sin(y) * {}["missing"])(x)

    before = current()
    with pytest.raises(KeyError):
        MODES[mode](f)(xp.asarray(1.0))
    assert current() is before
    assert float(MODES[mode](lambda x: x * x)(xp.asarray(3.0))) == 6


# Memory and depth


@pytest.mark.parametrize(
    "use",
    [
        lambda f, x: mg.grad(f)(x),
        lambda f, x: mg.vjp(f, x)[1](-1.5),
        lambda f, x: mg.jvp(f, (x,), (x,)),
        lambda f, x: mg.hessian(f)(x),
        lambda f, x: mg.grad(mg.checkpoint(f))(x),
        lambda f, x: by_tape(f, x)[1](None),
        lambda f, x: check_grads(f, (x,)),
    ],
    ids=["grad", "vjp", "jvp", "hessian", "checkpoint", "tape", "check_grads"],
)
def test_no_reference_cycle_keeps_a_graph_alive(use):
    """HIPS/autograd#103 and MyGrad#309: arrays stay alive until the cyclic garbage collector runs."""
    x = np.ones(3)
    kept, f = weakref.ref(x), lambda x: mg.sum(mg.sin(x) * x)
    gc.collect()
    gc.disable()
    try:
        use(f, x)
        del x
        assert kept() is None
    finally:
        gc.enable()


def test_deep_graphs_do_not_recurse(xp):
    """micrograd PR#90: a recursive topological sort. Here 5,000 operations run with 100 stack frames to spare."""

    def f(x):
        for _ in range(5_000):
            x = x * 1.0001
        return x

    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(_frames() + 100)
    try:
        gradient = mg.grad(f)(xp.asarray(1.0))
        again = mg.grad(mg.checkpoint(f))(xp.asarray(1.0))
        y_dot = forward_derivative(f)(xp.asarray(1.0))
    finally:
        sys.setrecursionlimit(limit)
    for found in (gradient, again, y_dot):
        assert float(found) == pytest.approx(1.0001**5_000, rel=5_000 * np.finfo(float).eps)


def _frames() -> int:
    """The depth of the stack."""
    frame, count = sys._getframe(), 0
    while frame is not None:
        frame, count = frame.f_back, count + 1
    return count


# Rematerialisation


def _dropout(x, key):
    return mg.tanh(x) * mg.random.bernoulli(key, x.shape, dtype=np.float64) * mg.random.normal(key, x.shape, np.float64)


def test_rematerialisation_replays_the_same_noise(on_device):
    """pytorch#190758: recomputation draws another dropout mask."""
    x, key = on_device((normal((40,)), mg.random.key(5)))
    noise = to_host(_dropout(mg.ones_like(x), key)) / math.tanh(1)
    for f in (_dropout, mg.checkpoint(_dropout)):
        gradient = mg.grad(lambda x, f=f: mg.sum(f(x, key)))(x)
        assert_close(to_host(gradient), noise * (1 - np.tanh(to_host(x)) ** 2))
    plain, saved = (mg.grad(lambda x, f=f: mg.sum(f(x, key) ** 2))(x) for f in (_dropout, mg.checkpoint(_dropout)))
    assert np.array_equal(to_host(plain), to_host(saved))
    generator = np.random.default_rng(0)
    with pytest.raises(mg.MutationError, match=r"its random numbers do not come from mg\.random"):
        mg.grad(mg.checkpoint(lambda x: mg.sum(x * generator.normal())))(x)


def test_rematerialised_functions_have_second_derivatives(on_device):
    """Chainer's `forget` refuses double backprop."""
    x, key = on_device((normal((6,)), mg.random.key(5)))
    noise, y = to_host(_dropout(mg.ones_like(x), key)) / math.tanh(1), np.tanh(to_host(x))
    expected = np.diag(noise * -2 * y * (1 - y * y))
    f = lambda x: mg.sum(mg.checkpoint(_dropout)(x, key))
    for outer, inner in itertools.product(["forward", "reverse"], repeat=2):
        assert_close(to_host(mg.jacobian(mg.jacobian(f, mode=inner), mode=outer)(x)), expected)
