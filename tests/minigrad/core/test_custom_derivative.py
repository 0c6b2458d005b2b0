"""minigrad/core/custom_derivative.py: functions with a derivative of their own."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import minigrad as mg
from minigrad.checks import GradientError, check_grads
from minigrad.testing import normal
from tests.support.oracles import assert_close
from tests.support.peers import PEERS
from tests.support.transfer import to_host

X = normal((4,))
BATCH = normal((5, 4), 1)


def make(jvp=False, vjp=False, factor=1.0):
    """sin(w·x), with the derivatives that are asked for (times `factor`); n is passed through."""

    @mg.custom_derivative
    def wave(p, x, n, *, shift=0.0):
        return {"y": mg.sin(p["w"] * x + shift), "n": n}

    def push(primals, tangents, *, shift=0.0):
        (p, x, n), (dp, dx, _) = primals, tangents
        slope = factor * mg.cos(p["w"] * x + shift)
        return wave(p, x, n, shift=shift), {"y": slope * (dp["w"] * x + p["w"] * dx), "n": 0 * n}

    def pull(p, x, n, *, shift=0.0):
        slope = factor * mg.cos(p["w"] * x + shift)
        back = lambda g: ({"w": mg.sum(g["y"] * slope * x)}, g["y"] * slope * p["w"], None)
        return wave(p, x, n, shift=shift), back

    if jvp:
        wave.jvp(push)
    if vjp:
        wave.vjp(pull)
    return lambda w, x: mg.sum(wave({"w": w}, x, np.arange(4), shift=0.3)["y"] * x * x)


def plain(w, x):
    return mg.sum(mg.sin(w * x + 0.3) * x * x)


@pytest.mark.parametrize("stated", [{"jvp": True}, {"vjp": True}, {"jvp": True, "vjp": True}], ids=str)
def test_one_statement_serves_both_modes_and_all_orders(stated):
    f = make(**stated)
    assert check_grads(f, (1.3, X), order=3, quiet=True).passed
    args, tangents = (1.3, X), (0.7, normal(X.shape, 3))
    assert_close(mg.jvp(f, args, tangents)[1], mg.jvp(plain, args, tangents)[1])
    assert_close(mg.grad(f, 1)(*args), mg.grad(plain, 1)(*args))
    for nested in (mg.hessian, lambda f, k: mg.jacobian(mg.grad(f, k), k), lambda f, k: mg.hessian(mg.jit(f), k)):
        found, expected = nested(f, (0, 1))(*args), nested(plain, (0, 1))(*args)
        for row, truth in zip(found, expected):
            assert_close(np.concatenate([np.ravel(b) for b in row]), np.concatenate([np.ravel(b) for b in truth]))


@pytest.mark.parametrize("stated", [{"jvp": True}, {"vjp": True}], ids=str)
def test_under_vmap(stated):
    """vmap outside and inside of derivatives; an argument that examples share gets the sum of their cotangents."""
    f = make(**stated)
    over = lambda f: lambda w, x: mg.sum(mg.vmap(f, (None, 0))(w, x) ** 2)
    for found, expected in (
        (mg.vmap(mg.grad(f, (0, 1)), (None, 0)), mg.vmap(mg.grad(plain, (0, 1)), (None, 0))),
        (mg.grad(over(f), (0, 1)), mg.grad(over(plain), (0, 1))),
        (mg.jit(mg.grad(over(f), (0, 1))), mg.grad(over(plain), (0, 1))),
        (
            lambda w, x: [mg.hvp(lambda x: over(f)(w, x), x, x)],
            lambda w, x: [mg.hvp(lambda x: over(plain)(w, x), x, x)],
        ),
        (
            lambda w, x: [mg.jvp(over(f), (w, x), (1.0, x))[1]],
            lambda w, x: [mg.jvp(over(plain), (w, x), (1.0, x))[1]],
        ),
        (
            lambda w, x: [mg.vmap(mg.vmap(mg.grad(f, 1), (0, None)), (None, 0))(x[:, 0], x)],
            lambda w, x: [mg.vmap(mg.vmap(mg.grad(plain, 1), (0, None)), (None, 0))(x[:, 0], x)],
        ),
    ):
        for mine, truth in zip(found(1.3, BATCH), expected(1.3, BATCH)):
            assert_close(to_host(mine), to_host(truth))


def test_cotangents_of_shared_arguments_beside_jax():
    """One of the results does not depend on the example."""

    @mg.custom_derivative
    def scale(w, x):
        return w * x, 2.0 * w

    scale.vjp(lambda w, x: ((w * x, 2.0 * w), lambda g: (mg.sum(g[0] * x) + 2.0 * g[1], g[0] * w)))

    def loss(xp, products):
        return xp.sum(xp.sin(products[0])) + xp.sum(products[1] ** 2)

    found = mg.grad(lambda w: loss(mg, mg.vmap(scale, (None, 0))(w, BATCH)))(1.3)
    with PEERS["jax"]() as peer:
        vmap = peer.top.vmap(lambda w, x: (w * x, 2.0 * w), (None, 0))
        assert_close(found, np.asarray(peer.top.grad(lambda w: loss(peer.numpy, vmap(w, BATCH)))(1.3)))


def test_a_wrong_derivative_is_found():
    for stated in ({"jvp": True}, {"vjp": True}):
        with pytest.raises(GradientError, match="to blame is 'wave'"):
            check_grads(make(**stated, factor=1.01), (1.3, X), quiet=True)


def test_the_modes_of_two_statements_are_compared():
    @mg.custom_derivative
    def f(x):
        return mg.sin(x)

    f.jvp(lambda primals, tangents: (f(*primals), mg.cos(primals[0]) * tangents[0]))
    f.vjp(lambda x: (f(x), lambda g: (g * mg.cos(x) * (1 + 1e-8),)))
    with pytest.raises(GradientError):
        check_grads(f, (X,), quiet=True)


def test_with_both_modes_stated_loops_may_end_at_a_tolerance():
    """y = a·y + b by iteration, its tangents and cotangents, too."""

    def iterate(a, b):
        far = lambda state: mg.abs(state[0] - state[1]) > 1e-13
        return mg.while_loop(far, lambda state: (a * state[0] + b, state[0]), (b, 0 * b))[0]

    fixed_point = mg.custom_derivative(iterate)

    @fixed_point.jvp
    def _(primals, tangents):
        (a, b), (da, db) = primals, tangents
        y = fixed_point(a, b)
        return y, iterate(a, da * y + db)

    @fixed_point.vjp
    def _(a, b):
        y = fixed_point(a, b)

        def pullback(g):
            z = iterate(a, g)
            return z * y, z

        return y, pullback

    assert check_grads(fixed_point, (0.5, 1.0), order=2, quiet=True).passed
    assert mg.hessian(fixed_point)(0.5, 1.0) == pytest.approx(16, rel=1e-9)  # 2b / (1 − a)³


def test_a_tape_and_a_drawing_show_the_call():
    f = make(vjp=True)
    with mg.Tape() as tape:
        x = tape.watch(X)
        y = f(1.3, x)
    assert "wave(1.3, %0, int64[4])" in str(tape).replace("  ", " ")
    assert_close(tape.gradient(y, x), mg.grad(plain, 1)(1.3, X))
    assert "wave" in str(mg.draw(f, 1.3, X))


def test_a_result_that_the_pullback_reads_is_guarded():
    @mg.custom_derivative
    def exp(x):
        return mg.exp(x)

    @exp.vjp
    def _(x):
        y = mg.exp(x)
        return y, lambda g: (g * y,)

    for f, x in ((exp, X), (mg.vmap(exp), BATCH), (lambda x: mg.exp(x) + exp(x)[0], X)):
        y, pullback = mg.vjp(f, x)
        gradient = pullback(y)[0]
        assert_close(mg.vjp(f, x)[1](y)[0], gradient)
    for f, x in ((exp, X), (mg.vmap(exp), BATCH), (lambda x: exp(x)[1:], X)):
        y, pullback = mg.vjp(f, x)
        y *= 2
        with pytest.raises(mg.MutationError, match=r"used by 'exp' at .*, was changed in place"):
            pullback(y)


def test_nothing_global_is_kept():
    f = make(vjp=True)
    mg.grad(f, 1)(1.3, X)
    alive = weakref.ref(f)
    del f
    gc.collect()
    assert alive() is None


def broken(rule, mode="vjp"):
    f = mg.custom_derivative(lambda x: mg.sin(x))
    f.__name__ = "f"
    getattr(f, mode)(rule)
    return lambda: mg.grad(lambda x: mg.sum(f(x)))(X)


def outside(s):
    f = mg.custom_derivative(lambda x: s * x)
    f.__name__ = "f"
    f.vjp(lambda x: (s * x, lambda g: (s * g,)))
    return f(s) * s


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: mg.grad(mg.custom_derivative(float))(1.0), mg.MissingRuleError, "float has no derivative: state one"),
        (lambda: mg.custom_derivative(3), TypeError, "needs a function, got 3"),
        (
            lambda: mg.custom_derivative(lambda x, how: x)(X, "up"),
            TypeError,
            "contains str 'up', .* by keyword",
        ),
        (broken(lambda x: x), TypeError, r"f: its vjp must return \(y, pullback\), got float64.4."),
        (broken(lambda x: (x, lambda g: g)), TypeError, "a tuple with one cotangent for each of 1 arguments"),
        (broken(lambda x: (x, lambda g: (g[:2],))), ValueError, "cotangent float64.2. for its argument float64.4."),
        (broken(lambda x: (x, lambda g: ({"a": g},))), ValueError, "a cotangent that its vjp returns has structure"),
        (broken(lambda p, t: t, "jvp"), TypeError, r"f: its jvp must return \(y, y_dot\)"),
        (broken(lambda p, t: (p[0], t), "jvp"), ValueError, "the tangent that its jvp returns has structure"),
        (broken(lambda p, t: (p[0], t[0][1:]), "jvp"), ValueError, "tangent float64.3. for the result float64.4."),
        (
            lambda: mg.grad(outside)(2.0),
            mg.EscapedTracerError,
            "f has a derivative of its own, but uses a",
        ),
        (lambda: mg.jvp(outside, (2.0,), (1.0,)), mg.EscapedTracerError, "pass it as one"),
    ],
)
def test_wrong_derivatives(call, error, message):
    with pytest.raises(error, match=message):
        call()
