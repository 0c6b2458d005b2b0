"""Products, solves, factorisations and determinants."""

from __future__ import annotations

import functools
import itertools
import string
from collections.abc import Callable
from typing import Any

import numpy as np

import minigrad as mg
from minigrad.checks.catalogue import formulas
from minigrad.checks.catalogue.choose import Choose, Shape
from minigrad.checks.catalogue.complex import OPTIONS, join, parts
from minigrad.checks.catalogue.draws import complex_definite, complex_spaced, definite, dominant, regular, signed
from minigrad.checks.catalogue.operation import Example, at, constant, operation

# Products


def thin_axes(choose: Choose, batch: Shape) -> Shape:
    """Batch axes that broadcast with `batch`: some have length 1, leading ones may be absent."""
    return tuple(choose.one_of([1, b]) for b in batch)[choose.integer(0, len(batch)) :]


def any_matmul(choose: Choose) -> Example:
    n, k, m = (choose.side() for _ in range(3))
    batch = choose.shape(0, 2, max_side=2)
    left, right = (*thin_axes(choose, batch), n, k), (*thin_axes(choose, batch), k, m)
    if choose.boolean():
        left = choose.one_of([(k,), (n, k), (*batch, n, k)])
    if choose.boolean():
        right = choose.one_of([(k,), (k, m), (*batch, k, m)])
    return at("operator", left, right, spelled=lambda xp, a, b: a @ b) if choose.boolean() else at("", left, right)


operation(
    "matmul",
    any_matmul,
    at("", (2, 3), (3, 4)),
    at("row", (3,), (3, 2)),
    at("column", (2, 3), (3,)),
    at("vectors", (3,), (3,)),
    at("batch", (2, 2, 3), (2, 3, 2)),
    at("batch left", (2, 2, 3), (3, 2)),
    at("batch right", (2, 3), (2, 3, 2)),
    at("batches broadcast", (2, 1, 2, 3), (3, 3, 1)),
    at("batch and column", (2, 2, 3), (3,)),
    at("empty", (2, 0), (0, 3)),
    at("no rows", (0, 3), (3, 2)),
    compared=("", "row", "column", "vectors", "batch left", "batch right", "batches broadcast"),
)


def any_dot(choose: Choose) -> Example:
    k = choose.side()
    lead, tail = choose.shape(0, 2, max_side=2), choose.shape(0, 1, max_side=2)
    return at("", choose.one_of([(), (*lead, k)]), choose.one_of([(), (k,), (k, 2), (*tail, k, 3)]))


operation(
    "dot",
    any_dot,
    at("", (2, 3), (4, 3, 2)),
    at("number", (), (2, 3)),
    compared=(at("vectors", (4,), (4,)), at("matrices", (3, 4), (4, 2), torch="mm")),
)


def any_chain(choose: Choose) -> Example:
    sides = [choose.side() for _ in range(choose.integer(3, 5))]
    shapes = list(itertools.pairwise(sides))
    shapes[0] = choose.one_of([shapes[0], shapes[0][1:]])
    shapes[-1] = choose.one_of([shapes[-1], shapes[-1][:1]])
    return at("", *shapes)


operation(
    "multi_dot",
    any_chain,
    at("", (2, 4), (4, 1), (1, 3), third=True),
    at("vectors", (3,), (3, 2), (2,)),
    at("two", (2, 3), (3, 2)),
    function=lambda *xs: mg.multi_dot(xs),
    formula=lambda *xs: functools.reduce(np.matmul, xs),
    compared=("", "vectors"),
    torch=lambda torch, *xs: torch.linalg.multi_dot(xs),
    jax=lambda jax, *xs: jax.numpy.linalg.multi_dot(xs),
    autograd=None,
)
operation(
    "outer",
    lambda choose: at("", *[choose.shape(0, 2, max_side=3) for _ in range(2)]),
    at("", (2, 2), (3,)),
    compared=(at("vectors", (4,), (3,)),),
)


def any_tensordot(choose: Choose) -> Example:
    shared = choose.shape(0, 2, max_side=3)
    free = [choose.shape(0, 2, max_side=2) for _ in range(2)]
    count = len(shared)
    if choose.boolean():
        return at("", (*free[0], *shared), (*shared, *free[1]), params=(count,))
    pairs = []
    for shape in free:  # shared axes at any position, counted from either end
        order = choose.order(range(count + len(shape)))
        whole = tuple((*shared, *shape)[i] for i in order)
        pairs.append((whole, tuple(order.index(i) - len(order) * choose.boolean() for i in range(count))))
    (left, first), (right, second) = pairs
    over = (first[0], second[0]) if count == 1 and choose.boolean() else (first, second)
    return at("", left, right, params=(over,))


operation(
    "tensordot",
    any_tensordot,
    at("", (2, 3, 4), (3, 4, 2)),
    at("axes", (2, 3, 4), (4, 2, 3), params=(((0, -1), (1, 0)),)),
    at("none", (2,), (3,), params=(0,)),
    compared=("", "axes"),
)


def einsum_call(subscripts: str, *shapes: Shape, **how: Any) -> Example:
    """einsum with these subscripts."""
    return at(subscripts, *shapes, spelled=lambda xp, *xs: xp.einsum(subscripts, *xs), **how)


def any_einsum(choose: Choose) -> Example:
    """Up to three operands: repeated letters, sums, ellipses, broadcasting, implicit results."""
    letters = choose.order("ijkA")[: choose.integer(1, 3)]
    sizes = {c: choose.side() for c in letters}
    dots = choose.shape(0, 2, min_side=1, max_side=2)
    terms, several = [], []
    for _ in range(choose.integer(1, 3)):
        term = [choose.one_of(letters) for _ in range(choose.integer(0, 3))]
        ones = {c for c in term if choose.integer(0, 4) == 0}  # axes of length 1, which broadcast
        shape = [1 if c in ones else sizes[c] for c in term]
        if choose.boolean():
            place = choose.integer(0, len(term))
            tail = dots[choose.integer(0, len(dots)) :]
            shape[place:place] = [choose.one_of([1, n]) for n in tail]
            term[place:place] = ["..."]
        terms.append("".join(term))
        several.append(tuple(shape))
    present = sorted({c for term in terms for c in term if c in string.ascii_letters})
    subscripts = ",".join(terms)
    if choose.boolean():
        result = choose.order(present)[: choose.integer(0, len(present))]
        if any("..." in term for term in terms):
            result.insert(choose.integer(0, len(result)), "...")
        subscripts += "->" + "".join(result)
    return einsum_call(subscripts, *several)


EINSUMS = {
    "ij,jk->ik": ((2, 3), (3, 4)),
    "ij,jk,kl": ((2, 3), (3, 2), (2, 2)),
    "ii": ((3, 3),),
    "ii->i": ((3, 3),),
    "iij->j": ((2, 2, 3),),
    "ij->j": ((2, 3),),
    "ij,k->ik": ((2, 3), (2,)),
    "...ij,...jk->...ik": ((2, 1, 2, 3), (3, 3, 2)),
    "i...,i...->...": ((3, 2, 1), (3, 4)),
    "ij,ij->i": ((3, 1), (3, 4)),
    "ij,jk": ((2, 1), (3, 2)),
    "i,i,i->i": ((3,), (3,), (1,)),
    "ij,ij->": ((2, 3), (2, 3)),
    "ji": ((2, 3),),
    "iji,jkk->kj": ((2, 3, 2), (3, 2, 2)),
    ",i->i": ((), (3,)),
    "ij->": ((0, 3),),
}
operation(
    "einsum",
    any_einsum,
    *[einsum_call(subscripts, *shapes, third=len(shapes) == 3) for subscripts, shapes in EINSUMS.items()],
    compared=(
        *["ij,jk->ik", "ij,jk,kl", "ij,k->ik", "ij,ij->i", "...ij,...jk->...ik", "ij->j", "ji"],
        *[at(diagonal, autograd=None) for diagonal in ("ii", "ii->i", "iji,jkk->kj")],
    ),
)

# Solving

MATRICES = {"draws": regular, "ties": False, "float16": False}
REAL = {"holomorphic": False}
BACKWARD = {"backward_only": ("autograd",)}
DEFINITE = {"draws": complex_definite, "autograd": None}  # whose derivatives of complex factors are wrong
STACK = (2, 3, 3)


def linalg_spellings(name: str) -> dict[str, str]:
    """Spellings in the peers, where this function is in a namespace `linalg`."""
    return {"torch": f"linalg.{name}", **dict.fromkeys(("jax", "autograd"), f"numpy.linalg.{name}"), **BACKWARD}


def any_matrices(choose: Choose, draws: Callable = dominant) -> Example:
    n = choose.integer(1, 4)
    return at("", (*choose.shape(0, 2, max_side=2), n, n), draws=draws)


operation(
    "inv",
    any_matrices,
    at("", (3, 3), third=True),
    at("batch", (2, 2, 2)),
    formula=np.linalg.inv,
    compared=(at("batch", STACK),),
    **linalg_spellings("inv"),
    **MATRICES,
)


def any_solve(choose: Choose) -> Example:
    n, m = choose.integer(1, 4), choose.side(2)
    batch = choose.shape(0, 2, max_side=2)
    right = choose.one_of([(n,), (*thin_axes(choose, batch), n, m)])
    return at("", (*thin_axes(choose, batch), n, n), right, draws=(dominant, signed))


operation(
    "solve",
    any_solve,
    at("", (3, 3), (3, 2), third=True),
    at("vector", (3, 3), (3,)),
    at("batch", (2, 2, 2), (2, 2, 1)),
    at("batch left", (2, 2, 2), (2, 3)),
    at("batch right", (2, 2), (3, 2, 1)),
    formula=np.linalg.solve,
    compared=("vector", at("batch", STACK, (2, 3, 2))),
    **linalg_spellings("solve"),
    **MATRICES | {"draws": (regular, signed)},
)


def everywhere(function: Callable) -> Example:
    """The spelling of a function (linalg, xp, a) in all libraries."""
    return {
        "spelled": lambda mg, *xs: function(mg, mg, *xs),
        "formula": lambda *xs: function(np.linalg, np, *xs),
        "torch": lambda torch, *xs: function(torch.linalg, torch, *xs),
        "jax": lambda jax, *xs: function(jax.numpy.linalg, jax.numpy, *xs),
        "autograd": lambda autograd, *xs: function(autograd.numpy.linalg, autograd.numpy, *xs),
    }


def double(xp: Any, a: Any) -> Any:
    """A + Aᵀ: peers agree on a derivative only if the matrix is symmetric by construction."""
    return a + xp.swapaxes(a, -1, -2)


def of_complex(what: str, shape: Shape, function: Callable, result: Callable = parts, **options: Any) -> Example:
    """A case of complex matrices: function(linalg, xp, a) of a = x[0] + i·x[1], in all libraries."""
    spelled = everywhere(lambda linalg, xp, x: result(xp, function(linalg, xp, join(x))))
    return at(what, (2, *shape), **{**spelled, **OPTIONS, "oracle": "differences", **options})


def of_real(xp: Any, y: Any) -> Any:
    """A result that is real already."""
    return y


def adjoint(xp: Any, a: Any) -> Any:
    """Aᴴ."""
    return xp.conj(xp.swapaxes(a, -1, -2))


SYMMETRIC = everywhere(lambda linalg, xp, a: linalg.cholesky(double(xp, a)))
operation(
    "cholesky",
    lambda choose: any_matrices(choose, definite),
    at("", (3, 3), third=True),
    at("batch", (2, 2, 2)),
    of_complex("complex", (3, 3), lambda linalg, xp, a: linalg.cholesky(a), draws=complex_definite),
    formula=formulas.cholesky,
    compared=(
        at("of symmetric", STACK, **SYMMETRIC),
        of_complex("of Hermitian", STACK, lambda linalg, xp, a: linalg.cholesky(a + adjoint(xp, a)), **DEFINITE),
    ),
    **REAL,
    **BACKWARD,
    **MATRICES | {"draws": definite},
)

# Determinants

BATCHES = at("", (3, 3), third=True), at("batch", (2, 2, 2)), at("batches", (2, 3, 2, 2))


def sign(a):
    return np.sign(np.linalg.det(np.real(a)))


def log_det(a):
    return np.log(np.linalg.det(a) * sign(a))


operation(
    "det",
    any_matrices,
    *BATCHES,
    formula=np.linalg.det,
    compared=("", at("batch", STACK)),
    **linalg_spellings("det"),
    **MATRICES,
)
operation(
    "logabsdet",
    any_matrices,
    *BATCHES,
    of_complex("complex", (3, 3), lambda linalg, xp, a: linalg.slogdet(a)[1], of_real, draws=complex_spaced),
    function=lambda a: mg.slogdet(a).logabsdet,
    formula=log_det,
    **REAL,
    **MATRICES,
)
operation(
    "det_phase",
    lambda choose: of_complex("", (choose.integer(1, 4),) * 2, lambda linalg, xp, a: linalg.slogdet(a)[0]),
    of_complex("", (3, 3), lambda linalg, xp, a: linalg.slogdet(a)[0]),
    of_complex("batch", (2, 2, 2), lambda linalg, xp, a: linalg.slogdet(a)[0]),
    draws=complex_spaced,
    ties=False,
)
LOGARITHM = {
    "spelled": lambda mg, a: mg.slogdet(a)[1],
    "formula": log_det,
    "torch": lambda torch, a: torch.linalg.slogdet(a)[1],
    "jax": lambda jax, a: jax.numpy.linalg.slogdet(a)[1],
    "autograd": lambda autograd, a: autograd.numpy.linalg.slogdet(a)[1],
}


def of_slogdet(linalg: Any, xp: Any, a: Any) -> Any:
    """sign · ln|det A|."""
    sign, logarithm = linalg.slogdet(a)
    return sign * logarithm


operation(
    "slogdet",
    any_matrices,
    at("", (3, 3)),
    function=lambda a: mg.slogdet(a)[0] * mg.slogdet(a)[1],
    formula=lambda a: log_det(a) * sign(a),
    compared=(
        at("logarithm", STACK, **LOGARITHM),
        of_complex("complex", STACK, of_slogdet, draws=complex_spaced, autograd=None),
    ),
    **REAL,
    **BACKWARD,
    **MATRICES,
)
constant("det_sign", any_matrices, at("", STACK), function=lambda a: mg.slogdet(a).sign, formula=sign, **MATRICES)
