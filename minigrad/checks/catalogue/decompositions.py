"""Eigenvalues, singular values and QR factors, in functions that do not depend on the signs of vectors."""

from __future__ import annotations

from typing import Any

import numpy as np

import minigrad as mg
from minigrad.checks.catalogue import formulas
from minigrad.checks.catalogue.choose import Choose, Shape
from minigrad.checks.catalogue.draws import apart, regular, signed, spaced, symmetric
from minigrad.checks.catalogue.linalg import MATRICES, REAL, any_matrices, double, everywhere, linalg_spellings
from minigrad.checks.catalogue.operation import Example, at, operation
from minigrad.core.interpreter import primitives

SQUARE = at("", (3, 3), third=True), at("batch", (2, 2, 2)), at("one", (1, 1))
SHAPES = (
    *[at("", (3, 3), third=True), at("tall", (3, 2), third=True), at("wide", (2, 3), third=True)],
    *[at("batch", (2, 3, 2)), at("column", (3, 1)), at("row", (1, 2))],
)


def join(xp: Any, vectors: Any, values: Any, others: Any) -> Any:
    """Σ vᵢ·sin(λᵢ)·wᵢᵀ, in which the sign of a pair of vectors has no effect."""
    return xp.matmul(vectors * xp.sin(values)[..., None, :], others)


# Eigenvalues

EIGEN = {**MATRICES, **REAL, "draws": symmetric}


def any_symmetric(choose: Choose) -> Example:
    return any_matrices(choose, symmetric)


def of_eigen(xp: Any, values: Any, vectors: Any) -> Any:
    return join(xp, vectors, values, xp.swapaxes(vectors, -1, -2))


def of_upper(a: np.ndarray) -> np.ndarray:
    return of_eigen(np, *formulas.eigh(formulas.transpose(a)))


operation(
    "eigh",
    any_symmetric,
    *SQUARE,
    at("upper", (3, 3), function=lambda a: of_eigen(mg, *mg.eigh(a, "U")), formula=of_upper),
    function=lambda a: of_eigen(mg, *mg.eigh(a)),
    formula=lambda a: of_eigen(np, *formulas.eigh(a)),
    compared=(
        at("of symmetric", (2, 3, 3), **everywhere(lambda linalg, xp, a: of_eigen(xp, *linalg.eigh(double(xp, a))))),
    ),
    backward_only=("autograd",),
    **EIGEN,
)


operation(
    "eigvalsh",
    any_symmetric,
    *SQUARE,
    formula=lambda a: formulas.eigh(a)[0],
    compared=(
        at(
            "of symmetric",
            (2, 3, 3),
            **everywhere(lambda linalg, xp, a: linalg.eigvalsh(double(xp, a))) | {"autograd": None},
        ),
    ),
    **EIGEN,
)
operation(
    "eigenvalues",
    any_symmetric,
    *SQUARE,
    function=lambda a: mg.eigh(a).eigenvalues,
    formula=lambda a: formulas.eigh(a)[0],
    **EIGEN,
)
operation(
    "eigenvectors",
    any_symmetric,
    *SQUARE,
    function=lambda a: mg.eigh(a).eigenvectors ** 2,
    formula=lambda a: formulas.eigh(a)[1] ** 2,
    **EIGEN,
)


def inverse_gaps(x: np.ndarray) -> np.ndarray:
    y = np.zeros((*x.shape, x.shape[-1]), x.dtype)
    for i in range(x.shape[-1]):
        for j in range(x.shape[-1]):
            if i != j:
                y[..., i, j] = 1 / (x[..., j] - x[..., i])
    return y


operation(
    "inverse_gaps",
    lambda choose: at("", choose.shape(1, 3, max_side=3)),
    at("", (3,), third=True),
    at("batch", (2, 2)),
    formula=inverse_gaps,
    draws=lambda rng, shape: 5 * apart(0)(rng, shape),
    ties=False,
    float16=False,
    **REAL,
)


# Singular values and QR

FACTORS = {**MATRICES, **REAL, "draws": spaced}


def any_spaced(choose: Choose) -> Example:
    batch = choose.shape(0, 2, max_side=2)
    return at("", (*batch, choose.integer(1, 4), choose.integer(1, 4)))


def plain_svd(a: np.ndarray) -> tuple:
    u, s, v = formulas.svd(a)
    return u, s, formulas.transpose(v)


operation(
    "svd",
    any_spaced,
    *SHAPES,
    function=lambda a: join(mg, *mg.svd(a, False)),
    formula=lambda a: join(np, *plain_svd(a)),
    compared=[
        at(f"reduced, {what}", shape, **everywhere(lambda linalg, xp, a: join(xp, *linalg.svd(a, full_matrices=False))))
        for what, shape in (("batch", (2, 3, 3)), ("tall", (4, 3)), ("wide", (2, 3)))
    ],
    backward_only=("autograd",),
    **FACTORS,
)


operation(
    "svdvals",
    any_spaced,
    *SHAPES,
    formula=lambda a: formulas.svd(a)[1],
    compared=(at("tall", (4, 3)), at("batch", (2, 2, 3))),
    **{**linalg_spellings("svdvals"), "autograd": None},
    **FACTORS,
)
operation(
    "singular_values",
    any_spaced,
    *SHAPES,
    function=lambda a: mg.svd(a, False).S,
    formula=lambda a: formulas.svd(a)[1],
    **FACTORS,
)
operation(
    "left_vectors",
    any_spaced,
    *SHAPES,
    at("right", (3, 2), function=lambda a: mg.svd(a, False).Vh ** 2, formula=lambda a: plain_svd(a)[2] ** 2),
    function=lambda a: mg.svd(a, False).U ** 2,
    formula=lambda a: formulas.svd(a)[0] ** 2,
    **FACTORS,
)


def leading(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Matrices whose first columns have the singular values 1, 2, 3, …; Q depends on these alone."""
    *batch, m, n = shape
    return np.concatenate([spaced(rng, (*batch, m, min(m, n))), signed(rng, (*batch, m, max(n - m, 0)))], -1)


QR_FACTORS = FACTORS | {"draws": leading}


def of_qr(xp: Any, q: Any, r: Any) -> Any:
    """Q·sin(R), in which the sign of a column of Q and a row of R has no effect."""
    return xp.matmul(q, xp.sin(r))


operation(
    "qr",
    any_spaced,
    *SHAPES,
    function=lambda a: of_qr(mg, *mg.qr(a)),
    formula=lambda a: of_qr(np, *formulas.qr(a)),
    compared=[
        at(f"{what} matrices", shape, **everywhere(lambda linalg, xp, a: of_qr(xp, *linalg.qr(a))) | {"autograd": None})
        for what, shape in (("batch of", (2, 3, 3)), ("tall", (4, 3)), ("wide", (2, 3)))
    ],
    **QR_FACTORS,
)
operation(
    "orthogonal_factor",
    any_spaced,
    *SHAPES,
    function=lambda a: mg.qr(a).Q ** 2,
    formula=lambda a: formulas.qr(a)[0] ** 2,
    **QR_FACTORS,
)
operation(
    "triangular_factor",
    any_spaced,
    *SHAPES,
    function=lambda a: mg.qr(a).R ** 2,
    formula=lambda a: formulas.qr(a)[1] ** 2,
    **QR_FACTORS,
)
operation(
    "inverse_triangle",
    lambda choose: any_matrices(choose, regular),
    *SQUARE,
    function=lambda a: primitives["inverse_triangle"](mg.triu(a)),
    formula=lambda a: np.linalg.inv(np.triu(a)),
    **REAL,
    **MATRICES,
)
