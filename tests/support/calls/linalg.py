"""Calls of products, solves and factorisations."""

from __future__ import annotations

import string

import numpy as np
from hypothesis import strategies as st

import minigrad as mg
from minigrad.checks.cases import Case, formulas
from minigrad.checks.cases.registry import REAL, definite, signed
from tests.support.calls.constants import DISCRETE
from tests.support.calls.registry import alike, calls
from tests.support.strategies import shapes, sides

# Products


@calls("matmul")
def _matmul(draw, name):
    n, k, m = (draw(sides()) for _ in range(3))
    batch = draw(shapes(0, 2, max_side=2))
    thin = lambda: tuple(draw(st.sampled_from([1, b])) for b in batch)[draw(st.integers(0, len(batch))) :]
    left = draw(st.sampled_from([(k,), (n, k), (*batch, n, k)])) if draw(st.booleans()) else (*thin(), n, k)
    right = draw(st.sampled_from([(k,), (k, m), (*batch, k, m)])) if draw(st.booleans()) else (*thin(), k, m)
    function = draw(st.sampled_from([lambda xp, a, b: xp.matmul(a, b), lambda xp, a, b: a @ b]))
    return alike(name, function, left, right)


@calls("dot")
def _dot(draw, name):
    k = draw(sides())
    lead, tail = draw(shapes(0, 2, max_side=2)), draw(shapes(0, 1, max_side=2))
    left = draw(st.sampled_from([(), (*lead, k)]))
    right = draw(st.sampled_from([(), (k,), (k, 2), (*tail, k, 3)]))
    return alike(name, lambda xp, a, b: xp.dot(a, b), left, right)


@calls("outer")
def _outer(draw, name):
    several = [draw(shapes(0, 2, max_side=3)) for _ in range(2)]
    return alike(name, lambda xp, a, b: xp.outer(a, b), *several)


@calls("tensordot")
def _tensordot(draw, name):
    shared = list(draw(shapes(0, 2, max_side=3)))
    free = [list(draw(shapes(0, 2, max_side=2))) for _ in range(2)]
    count = len(shared)
    if draw(st.booleans()):
        left, right = (*free[0], *shared), (*shared, *free[1])
        return alike(name, lambda xp, a, b: xp.tensordot(a, b, count), left, right, what=count)
    pairs = []
    for shape in free:  # each shared axis anywhere, counted from either end
        order = draw(st.permutations(range(count + len(shape))))
        whole = [(shared + shape)[i] for i in order]
        pairs.append((whole, tuple(order.index(i) - len(order) * draw(st.booleans()) for i in range(count))))
    (left, first), (right, second) = pairs
    if count == 1 and draw(st.booleans()):
        first, second = first[0], second[0]
    over = lambda xp, a, b: xp.tensordot(a, b, (first, second))
    return alike(name, over, tuple(left), tuple(right), what=(first, second))


@calls("einsum")
def _einsum(draw, name):
    """Up to three operands: repeated letters, sums, ellipses, broadcasting, implicit results."""
    letters = draw(st.permutations("ijkA"))[: draw(st.integers(1, 3))]
    sizes = {c: draw(sides()) for c in letters}
    dots = draw(shapes(0, 2, min_side=1, max_side=2))
    terms, several = [], []
    for _ in range(draw(st.integers(1, 3))):
        term = [draw(st.sampled_from(letters)) for _ in range(draw(st.integers(0, 3)))]
        ones = {c for c in term if draw(st.integers(0, 4)) == 0}  # axes of length 1, which broadcast
        shape = [1 if c in ones else sizes[c] for c in term]
        if draw(st.booleans()):
            place = draw(st.integers(0, len(term)))
            tail = dots[draw(st.integers(0, len(dots))) :]
            shape[place:place] = [draw(st.sampled_from([1, n])) for n in tail]
            term[place:place] = ["..."]
        terms.append("".join(term))
        several.append(tuple(shape))
    present = sorted({c for term in terms for c in term if c in string.ascii_letters})
    subscripts = ",".join(terms)
    if draw(st.booleans()):
        result = list(draw(st.permutations(present)))[: draw(st.integers(0, len(present)))]
        if any("..." in term for term in terms):
            result.insert(draw(st.integers(0, len(result))), "...")
        subscripts += "->" + "".join(result)
    return alike(name, lambda xp, *xs: xp.einsum(subscripts, *xs), *several, what=subscripts)


# Solving


def dominant(rng, shape):
    """Matrices of either sign of determinant, rows in any order, whose condition number is below 3.

    Off the diagonal a row of A sums to less than 0.5 in size, on it is ±1.25 or more: ‖A‖ ≤ 2.25 and ‖A⁻¹‖ ≤ 1/0.75.
    """
    n = shape[-1]
    a = rng.uniform(-0.5, 0.5, shape) / max(1, n) * (1 - np.eye(n))
    a = a + np.eye(n) * (rng.uniform(1.25, 1.75, shape[:-1]) * rng.choice([-1, 1], shape[:-1]))[..., None]
    return a[..., rng.permutation(n), :]


@calls("inv", "det", "cholesky", "logabsdet", "slogdet", "det_sign")
def _factorised(draw, name):
    n = draw(st.integers(1, 4))
    shape = (*draw(shapes(0, 2, max_side=2)), n, n)
    size = lambda a: np.log(np.linalg.det(a) * np.sign(np.linalg.det(np.real(a))))
    functions = {
        "inv": (mg.inv, np.linalg.inv, {}),
        "det": (mg.det, np.linalg.det, {}),
        "cholesky": (mg.cholesky, formulas.cholesky, REAL),
        "logabsdet": (lambda a: mg.slogdet(a).logabsdet, size, REAL),
        "slogdet": (
            lambda a: mg.slogdet(a)[0] * mg.slogdet(a)[1],
            lambda a: size(a) * np.sign(np.linalg.det(np.real(a))),
            REAL,
        ),
        "det_sign": (lambda a: mg.slogdet(a).sign, lambda a: np.sign(np.linalg.det(a)), DISCRETE),
    }
    function, formula, options = functions[name]
    values = definite if name == "cholesky" else dominant
    return Case(name, function, formula, (shape,), (values,), ties=False, **options)


@calls("solve")
def _solve(draw, name):
    n, m = draw(st.integers(1, 4)), draw(sides(max_side=2))
    batch = draw(shapes(0, 2, max_side=2))
    thin = lambda: tuple(draw(st.sampled_from([1, b])) for b in batch)[draw(st.integers(0, len(batch))) :]
    right = draw(st.sampled_from([(n,), (*thin(), n, m)]))
    return Case(name, mg.solve, np.linalg.solve, ((*thin(), n, n), right), (dominant, signed), ties=False)
