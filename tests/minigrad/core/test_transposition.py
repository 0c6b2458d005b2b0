"""minigrad/core/transposition.py: one mode from the other, where a rule does not read its vectors."""

from __future__ import annotations

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
    "max_steps": (lambda a, b: iterate_in_a_loop(a, b, 200), "the predicate of mg.cond"),
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
    alone = (
        use + r" of a value made by 'greater' at .*test_transposition.py:\d+: solve states its {} alone, .* {}, too$"
    )
    with pytest.raises(mg.MissingRuleError, match=alone.format("jvp", "state its vjp")):
        mg.vjp(pushed, B)
    for f in (jvp_of, linearize):
        with pytest.raises(mg.MissingRuleError, match=use):
            f(pulled)
    with pytest.raises(mg.MissingRuleError, match=alone.format("vjp", "state its jvp")):
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
