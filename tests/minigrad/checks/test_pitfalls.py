"""Known bugs of other libraries' gradient checkers, one test each, named in the docstring."""

from __future__ import annotations

import contextlib
import math

import numpy as np
import pytest

import minigrad as mg
from minigrad.checks import GradientError, KinkError, check_grads
from minigrad.core.rules import custom
from minigrad.testing import normal

INF, NAN = math.inf, math.nan

# A checker that cannot fail


def _square(b, x, out=None):
    return x * x


@pytest.mark.parametrize("size", [1, 500, 2_000])
@pytest.mark.parametrize("mode", ["forward", "reverse", "both"])
def test_tolerance_does_not_grow_with_the_size_of_an_array(size, mode, make_primitive):
    """JAX's check cannot fail beyond 500 float32 outputs. Here one element is wrong by 0.1 %."""
    x, wrong = np.abs(normal((size,))) + 0.5, np.ones(size)
    wrong[size // 2] = 1.001
    rules = lambda jvp, vjp: (lambda t, x: 2 * x * jvp * t, lambda g, x: 2 * x * vjp * g)
    factors = {"forward": (wrong, 1.0), "reverse": (1.0, wrong), "both": (wrong, wrong)}[mode]
    check_grads(make_primitive(_square, *rules(1.0, 1.0)), (x,), order=1)
    with pytest.raises(GradientError):
        check_grads(make_primitive(_square, *rules(*factors)), (x,), order=1)


@pytest.mark.parametrize(
    "f",
    [lambda x: mg.exp(x) + INF, lambda x: mg.exp(x) * INF, lambda x: x * NAN, lambda x: mg.exp(1e3 * x)],
    ids=["∞ + f", "∞ · f", "NaN", "overflow"],
)
def test_infinite_differences_are_refused(f):
    """A checker that sets ∞ − ∞ to 0 accepts any gradient there."""
    with np.errstate(all="ignore"), pytest.raises(ValueError, match="infinite or NaN and cannot be compared"):
        check_grads(f, (np.array([1.0, 2.0]),), order=1)


def test_a_gradient_that_is_nan_is_wrong(make_primitive):
    """A checker that fails if error > tolerance accepts NaN."""
    spoilt, same = np.array([1.0, NAN]), lambda b, x, out=None: x + 0
    forward = make_primitive(same, lambda t: spoilt * t, lambda g: g)
    reverse = make_primitive(same, lambda t: t, lambda g: spoilt * g)
    for f, mode in ((forward, "forward"), (reverse, "reverse")):
        for modes in ((mode,), ("forward", "reverse")):
            with pytest.raises(GradientError, match=f"{mode} mode"):
                check_grads(f, (np.array([1.0, 2.0]),), order=1, modes=modes)


def test_directions_are_many_and_random(make_primitive):
    """A checker with one fixed direction misses this derivative, which is right along the first direction and ones."""
    first = []

    def jvp(t):
        t = np.asarray(t)
        first.append(t)
        known = np.linalg.qr(np.stack([first[0], np.ones(5)], 1))[0]
        return t + 0.5 * (t - known @ (known.T @ t))

    f = make_primitive(lambda b, x, out=None: x + 0, jvp, lambda g: g)
    check_grads(f, (normal((5,)),), order=1, modes=("forward",), directions=1)
    first.clear()
    with pytest.raises(GradientError, match="order 1, forward mode"):
        check_grads(f, (normal((5,)),), order=1, modes=("forward",))
    seeds = []
    for seed in (0, 1):
        seen = make_primitive(lambda b, x, out=None: x + 0, lambda t: seeds.append(np.array(t)) or t, lambda g: g)
        check_grads(seen, (normal((5,)),), order=1, seed=seed)
    assert len({tuple(t) for t in seeds}) == 6


@pytest.mark.parametrize("f", [lambda x: x, mg.transpose, lambda x: x[::-1], mg.ravel, lambda x: np.reshape(x, (3, 2))])
def test_a_function_that_returns_a_view_of_its_input_is_checked(f, make_primitive):
    """chainer#488: if the argument is moved in place, the difference of two views of it is 0."""
    x = normal((2, 3))
    check_grads(f, (x,))
    lost = make_primitive(
        lambda b, x, out=None: f(x), lambda t: 0 * f(t), lambda g: mg.zeros_like(mg.reshape(g, (2, 3))), view_of=0
    )
    with pytest.raises(GradientError, match="order 1"):
        check_grads(lost, (x,))


@pytest.mark.parametrize("distance", [1e-3, 1e-6, 1e-9])
def test_a_kink_nearby_is_not_reported_as_a_wrong_gradient(distance):
    """chainer#8519: a step across the kink of relu is reported as a wrong gradient."""
    with contextlib.suppress(KinkError):  # KinkError is right, too
        check_grads(lambda x: mg.relu(x) * mg.sin(x), (np.array([distance, 1.0, -distance]),), order=1)


def test_a_wrong_gradient_near_a_kink_is_reported(make_primitive):
    wrong = make_primitive(
        lambda b, x, out=None: b.xp.maximum(x, 0), lambda t, x: 1.01 * t * (x > 0), lambda g, x: g * (x > 0)
    )
    with pytest.raises(GradientError) as caught:
        check_grads(wrong, (np.array([1e-3, 1.0]),), order=1)
    assert not isinstance(caught.value, KinkError)


def test_wrong_gradients_of_float16_arguments_are_caught(make_primitive):
    """jax#7742: the step is rounded away in float16, so every difference is zero."""
    x = normal((4,)).astype(np.float16)
    check_grads(mg.sin, (x,))

    def sine(scale):
        jvp, vjp = lambda t, x: scale * mg.cos(x) * t, lambda g, x: scale * mg.cos(x) * g
        return make_primitive(lambda b, x, out=None: b.xp.sin(x), jvp, vjp)

    check_grads(sine(1), (x,))
    for scale in (1.001, 0):
        with pytest.raises(GradientError):
            check_grads(sine(scale), (x,))


def test_right_float32_gradients_pass():
    """HIPS/autograd: correct float32 gradients fail a float64 tolerance."""
    check_grads(mg.sin, (np.linspace(-100, 100, 41, dtype=np.float32),))


# Functions that cannot be checked


class Drifting:
    """Returns a different result at each call."""

    calls = 0

    def __call__(self, x):
        self.calls += 1
        return x * float(self.calls)


def _sets_to_seven(x):
    x[...] = 7.0
    return mg.sin(mg.copy(x))


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (Drifting(), "the function returns different results for the same arguments"),
        (
            lambda x: x * np.random.default_rng().normal(),
            "the function returns different results for the same arguments",
        ),
        (_sets_to_seven, "the function changes its arguments in place"),
        (lambda x: mg.argmax(x), r"returned int64\[\]"),
        (lambda x: 3, "returned 3"),
        (lambda x: x > 0, r"returned bool\[2\]"),
        (lambda x: None, "the function returned nothing"),
        (lambda x: (), "the function returned nothing"),
        (lambda x: "abc", "str"),
        (lambda x: x * 1j, r"returned complex128\[2\]"),
    ],
    ids=["counter", "noise", "assignment", "index", "integer", "boolean", "None", "()", "string", "complex"],
)
def test_an_unsuitable_function_raises_one_clear_sentence(f, message):
    """Functions that are not deterministic, change their argument, or return integers or nothing."""
    with pytest.raises((TypeError, ValueError), match=f"^check_grads: .*{message}") as caught:
        check_grads(f, (np.array([1.0, 2.0]),))
    assert "\n" not in str(caught.value) and ". " not in str(caught.value)


@pytest.mark.parametrize("modes", [("forward",), ("reverse",), ("forward", "reverse")], ids=" and ".join)
def test_check_grads_names_a_primitive_without_a_rule(modes, make_primitive):
    without = make_primitive(lambda b, x, out=None: x * x)
    with pytest.raises(mg.MissingRuleError, match=rf"'{without.name}' has no derivative rule, so \w+ mode"):
        check_grads(lambda x: mg.sum(mg.sin(without(x))), (np.array([1.0, 2.0]),), modes=modes)


@pytest.mark.parametrize(
    ("mode", "use"), [("reverse", mg.grad), ("forward", lambda f: lambda x: mg.jvp(f, (x,), (x,)))]
)
def test_a_missing_rule_raises_and_never_gives_zero(mode, use, make_primitive, xp):
    without = make_primitive(lambda b, x, out=None: b.xp.multiply(x, x))
    with pytest.raises(mg.MissingRuleError, match=f"'{without.name}' has no derivative rule, so {mode} mode"):
        use(lambda x: mg.sum(mg.sin(without(x))))(xp.asarray([1.0, 2.0]))
    with pytest.raises(ValueError, match=f"'{without.name}' states x in one mode only"):
        custom(without, x=(lambda t, x: 2 * x * t, None))
