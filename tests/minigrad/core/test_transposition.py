"""minigrad/core/transposition.py: one mode from the other, where a rule does not read its vectors."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import minigrad as mg

MATRIX = np.array([[0.2, 0.3, 0.0], [-0.1, 0.4, 0.2], [0.3, 0.0, -0.5]])
SOLUTION = np.linalg.inv(np.eye(3) - MATRIX)  # of x = A x + b is (I − A)⁻¹ b
B = np.array([0.5, -1.5, 2.0])


def far(x, next_x):
    return mg.max(mg.abs(next_x - x)) > 1e-14


def iterate_in_python(a, b):
    x = b
    while far(x, a @ x + b):
        x = a @ x + b
    return x


def iterate_in_a_loop(a, b, max_steps=None):
    return mg.while_loop(lambda x: far(x, a @ x + b), lambda x: a @ x + b, b, max_steps=max_steps)


def iterate_as_often_as_needed(a, b):
    return mg.scan(lambda x, _: (a @ x + b, None), b, None, 100)[0]


TO_A_TOLERANCE = {
    "python": (iterate_in_python, r"bool\(x\)"),
    "while_loop": (iterate_in_a_loop, "the condition of mg.while_loop"),
    "max_steps": (lambda a, b: iterate_in_a_loop(a, b, 200), "a condition in scan"),
}


def fixed_point(iterate, jvp=False, vjp=False):
    """x = A x + b as a function of b, whose derivatives iterate, too."""

    @mg.custom_derivative
    def solve(b):
        return iterate(MATRIX, b)

    if jvp:
        solve.jvp(lambda primals, tangents: (solve(*primals), iterate(MATRIX, *tangents)))
    if vjp:
        solve.vjp(lambda b: (solve(b), lambda g: (iterate(MATRIX.T, g),)))
    return solve


def jvp_of(f):
    return mg.jvp(f, (B,), (B,))[1]


def linearize(f):
    return mg.linearize(f, B)[1](B)


MODES = {"jvp": mg.jacobian, "vjp": lambda f: lambda b: mg.vmap(mg.vjp(f, b)[1])(np.eye(3))[0]}


@pytest.mark.parametrize("iterate, use", TO_A_TOLERANCE.values(), ids=TO_A_TOLERANCE)
def test_a_rule_that_reads_its_vectors_is_not_transposed(iterate, use):
    """At 0 such a loop would end before the first step, and the transpose would be that of the identity."""
    pushed, pulled = fixed_point(iterate, jvp=True), fixed_point(iterate, vjp=True)
    np.testing.assert_allclose(jvp_of(pushed), SOLUTION @ B, rtol=1e-12)
    np.testing.assert_allclose(mg.vjp(pulled, B)[1](B)[0], SOLUTION.T @ B, rtol=1e-12)
    alone = use + r" of a value made by '.*' at .*\.py:\d+: solve states its {} alone, .*: state its {}, too$"
    with pytest.raises(mg.MissingRuleError, match=alone.format("jvp", "vjp")):
        mg.vjp(pushed, B)
    for f in (jvp_of, linearize):
        with pytest.raises(mg.MissingRuleError, match=use):
            f(pulled)
    with pytest.raises(mg.MissingRuleError, match=alone.format("vjp", "jvp")):
        jvp_of(pulled)


@pytest.mark.parametrize("iterate, use", TO_A_TOLERANCE.values(), ids=TO_A_TOLERANCE)
def test_with_both_modes_stated_only_linearize_transposes(iterate, use):
    both = fixed_point(iterate, jvp=True, vjp=True)
    np.testing.assert_allclose(jvp_of(both), SOLUTION @ B, rtol=1e-12)
    np.testing.assert_allclose(mg.vjp(both, B)[1](B)[0], SOLUTION.T @ B, rtol=1e-12)
    with pytest.raises(mg.MissingRuleError, match=use + ".*linearize transposes the pullback, .*: use mg.jvp$"):
        linearize(both)


@pytest.mark.parametrize("transform", [lambda f: f, mg.jit], ids=["eager", "jit"])
@pytest.mark.parametrize("stated", ["jvp", "vjp"])
def test_loops_of_a_fixed_length_are_transposed(stated, transform):
    f = fixed_point(iterate_as_often_as_needed, **{stated: True})
    np.testing.assert_allclose(transform(mg.jacobian(f))(B), SOLUTION, rtol=1e-12)
    np.testing.assert_allclose(transform(lambda b: mg.vjp(f, b)[1](B)[0])(B), SOLUTION.T @ B, rtol=1e-12)
    np.testing.assert_allclose(linearize(f), SOLUTION @ B, rtol=1e-12)
    hessian = transform(mg.hessian(lambda b: mg.sum(f(b) ** 3)))(B)
    np.testing.assert_allclose(hessian, SOLUTION.T @ np.diag(6 * SOLUTION @ B) @ SOLUTION, rtol=1e-12)


def test_a_program_has_one_instruction_for_a_transposed_loop():
    f = fixed_point(iterate_as_often_as_needed, jvp=True)
    program = str(mg.trace(lambda b: mg.vjp(f, b)[1](B)[0])(B))
    assert program.count("scan of 100") == 3 and len(program.splitlines()) < 30  # forward, its tangents, and back


def test_a_rule_may_read_what_does_not_depend_on_its_vectors():
    @mg.custom_derivative
    def f(x):
        return mg.abs(x)

    @f.jvp
    def _(primals, tangents):
        (x,), (t,) = primals, tangents
        steps = mg.while_loop(lambda n: n < 3, lambda n: n + 1, 0)
        return f(x), mg.cond(x > 0, lambda t: steps * t, lambda t: -steps * t, t) if mg.sum(x) > -5 else t

    assert mg.grad(f)(2.0) == 3 and mg.grad(f)(-2.0) == -3 and mg.grad(f)(-7.0) == 1
    assert mg.linearize(f, -2.0)[1](0.5) == -1.5


def test_a_rule_that_is_not_linear_is_transposed_where_its_vectors_are_0():
    @mg.custom_derivative
    def clipped(x):
        return x

    clipped.vjp(lambda x: (x, lambda g: (mg.clip(g, -0.1, 0.1) + g * g,)))
    assert mg.grad(clipped)(1.0) == 1.1
    assert mg.jvp(clipped, (1.0,), (4.0,))[1] == 4


# What may not change where a mode is transposed

X = np.array([0.5, -1.0, 2.0])
TRANSFORMS = {"eager": lambda f: f, "jit": mg.jit}
each_transform = pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)


@each_transform
def test_the_result_and_its_tangent_may_come_from_one_loop(transform):
    """With a count of its steps, which the rule reads: it does not depend on the tangent."""

    @mg.custom_derivative
    def f(x):
        return 2.25 * x, 3

    @f.jvp
    def _(primals, tangents):
        step = lambda state, _: ((1.5 * state[0], 1.5 * state[1], state[2] + 1), None)
        y, y_dot, count = mg.scan(step, (*primals, *tangents, 1), None, 2)[0]
        return (y, count), (mg.cond(count == 3, lambda t: t, lambda t: -t, y_dot), np.int64(0))

    (y, count), _ = mg.vjp(f, X) if transform is not mg.jit else (mg.jit(lambda x: mg.vjp(f, x)[0])(X), None)
    assert type(y) is np.ndarray and np.array_equal(y, 2.25 * X) and count == 3
    with_result = transform(mg.grad(lambda x: (mg.sum(f(x)[0] ** 2), f(x)), has_aux=True))
    for x in (X, X + 10):
        gradient, (y, count) = with_result(x)
        np.testing.assert_allclose(gradient, 2 * 2.25**2 * x, rtol=1e-15)
        assert type(y) is np.ndarray and np.array_equal(y, 2.25 * x) and count == 3


@each_transform
def test_other_functions_in_a_rule_keep_their_own_derivatives(transform):
    """The slope of a rounded x is stated as 1."""
    rounded = mg.custom_derivative(mg.rint)
    rounded.jvp(lambda primals, tangents: (rounded(*primals), tangents[0]))
    rounded.vjp(lambda x: (rounded(x), lambda g: (g,)))
    pushed, pulled = mg.custom_derivative(lambda x: x), mg.custom_derivative(lambda x: x)
    pushed.jvp(lambda p, t: (pushed(*p), t[0] * rounded(p[0] + mg.zeros_like(t[0]))))
    pulled.vjp(lambda x: (pulled(x), lambda g: (g * rounded(x + mg.ones_like(g)),)))
    for f in (pushed, pulled):
        np.testing.assert_array_equal(transform(mg.hessian(lambda x, f=f: mg.sum(f(x))))(X), np.eye(3))


@pytest.mark.parametrize("transform", [*TRANSFORMS.values(), mg.vmap], ids=[*TRANSFORMS, "vmap"])
def test_choices_and_loops_may_depend_on_the_arguments(transform):
    x = X if transform is mg.vmap else np.array(-2.0)
    size = mg.custom_derivative(mg.abs)
    sign = lambda x, t: mg.cond(x > 0, lambda t: 1 * t, lambda t: -1 * t, t)
    size.jvp(lambda primals, tangents: (size(*primals), sign(*primals, *tangents)))
    np.testing.assert_array_equal(transform(mg.grad(size))(x), np.sign(x))
    push = lambda f: transform(lambda x: mg.linearize(f, x)[1](1.0))(x)
    chosen = lambda x: mg.cond(x > 0, mg.sin, mg.exp, x)
    np.testing.assert_allclose(push(chosen), np.where(x > 0, np.cos(x), np.exp(x)), rtol=1e-15)
    power = lambda x: mg.while_loop(lambda s: s[1] < 3, lambda s: (s[0] * x, s[1] + 1), (x, 0), max_steps=5)[0]
    np.testing.assert_allclose(push(power), 4 * x**3, rtol=1e-15)


def test_a_loop_that_counts_is_one_instruction_and_one_that_compares_is_refused():
    def grow(goes_on):
        f = mg.custom_derivative(lambda x: x)
        step = lambda s, i: (mg.cond(goes_on(s, i), lambda s: 2 * s, lambda s: s, s), None)
        f.jvp(lambda primals, tangents: (f(*primals), mg.scan(step, *tangents, np.arange(40))[0]))
        return lambda x: mg.vjp(f, x)[1](X)[0]

    counts, compares = grow(lambda s, i: i % 2 == 0), grow(lambda s, i: mg.sum(s) < 1)
    np.testing.assert_array_equal(counts(X), 2.0**20 * X)
    assert len(str(mg.trace(counts)(X)).splitlines()) < 15
    for transform in TRANSFORMS.values():
        with pytest.raises(mg.MissingRuleError, match="a condition in scan of a value made by"):
            transform(compares)(X)


def test_threads_share_a_transpose():
    x, found, begin = np.linspace(0, 1, 5000), [], threading.Barrier(4)
    _, push = mg.linearize(mg.sin, x)

    def work():
        begin.wait()
        found.extend(push(np.ones(5000)) for _ in range(50))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 200 and all(np.array_equal(y, np.cos(x)) for y in found)
