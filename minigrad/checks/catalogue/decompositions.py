"""Eigenvalues, singular values and QR factors, in functions that do not depend on the signs of vectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import minigrad as mg
from minigrad.checks.catalogue import formulas
from minigrad.checks.catalogue.choose import Choose, Shape
from minigrad.checks.catalogue.complex import parts
from minigrad.checks.catalogue.draws import apart, complex_spaced, hermitian, regular, signed, spaced, symmetric
from minigrad.checks.catalogue.linalg import (
    MATRICES,
    REAL,
    adjoint,
    any_matrices,
    double,
    everywhere,
    linalg_spellings,
    of_complex,
    of_real,
)
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


def of_hermitian(linalg: Any, xp: Any, a: Any, *triangle: str) -> Any:
    values, vectors = linalg.eigh(a, *triangle)
    return join(xp, vectors, values, adjoint(xp, vectors))


def of_upper(a: np.ndarray) -> np.ndarray:
    return of_eigen(np, *formulas.eigh(formulas.transpose(a)))


operation(
    "eigh",
    any_symmetric,
    *SQUARE,
    at("upper", (3, 3), function=lambda a: of_eigen(mg, *mg.eigh(a, "U")), formula=of_upper),
    of_complex("complex", (3, 3), of_hermitian, draws=hermitian),
    of_complex("complex, upper", (2, 2, 2), lambda linalg, xp, a: of_hermitian(linalg, xp, a, "U"), draws=hermitian),
    function=lambda a: of_eigen(mg, *mg.eigh(a)),
    formula=lambda a: of_eigen(np, *formulas.eigh(a)),
    compared=(
        at("of symmetric", (2, 3, 3), **everywhere(lambda linalg, xp, a: of_eigen(xp, *linalg.eigh(double(xp, a))))),
        of_complex(
            "of Hermitian",
            (2, 3, 3),
            lambda linalg, xp, a: of_hermitian(linalg, xp, a + adjoint(xp, a)),
            draws=hermitian,
        ),
    ),
    backward_only=("autograd",),
    **EIGEN,
)


HERMITIAN_VALUES = {"result": of_real, "draws": hermitian}
operation(
    "eigvalsh",
    any_symmetric,
    *SQUARE,
    of_complex("complex", (2, 3, 3), lambda linalg, xp, a: linalg.eigvalsh(a), **HERMITIAN_VALUES),
    formula=lambda a: formulas.eigh(a)[0],
    compared=(
        at(
            "of symmetric",
            (2, 3, 3),
            **everywhere(lambda linalg, xp, a: linalg.eigvalsh(double(xp, a))) | {"autograd": None},
        ),
        of_complex(
            "of Hermitian",
            (2, 3, 3),
            lambda linalg, xp, a: linalg.eigvalsh(a + adjoint(xp, a)),
            autograd=None,
            **HERMITIAN_VALUES,
        ),
    ),
    **EIGEN,
)
operation(
    "eigenvalues",
    any_symmetric,
    *SQUARE,
    of_complex("complex", (3, 3), lambda linalg, xp, a: linalg.eigh(a)[0], **HERMITIAN_VALUES),
    function=lambda a: mg.eigh(a).eigenvalues,
    formula=lambda a: formulas.eigh(a)[0],
    **EIGEN,
)
operation(
    "eigenvectors",
    any_symmetric,
    *SQUARE,
    of_complex("complex", (3, 3), lambda linalg, xp, a: xp.abs(linalg.eigh(a)[1]) ** 2, **HERMITIAN_VALUES),
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


COMPLEX_SHAPES = {"complex": (3, 3), "complex, tall": (3, 2), "complex, wide": (2, 2, 3)}


def complex_cases(function: Callable, result: Callable = parts, **options: Any) -> list[Example]:
    """A square, a tall and a wide case."""
    return [
        of_complex(what, shape, function, result, **{"draws": complex_spaced, **options})
        for what, shape in COMPLEX_SHAPES.items()
    ]


def plain_svd(a: np.ndarray) -> tuple:
    u, s, v = formulas.svd(a)
    return u, s, formulas.transpose(v)


def of_svd(linalg: Any, xp: Any, a: Any) -> Any:
    return join(xp, *linalg.svd(a, full_matrices=False))


operation(
    "svd",
    any_spaced,
    *SHAPES,
    *complex_cases(of_svd),
    function=lambda a: join(mg, *mg.svd(a, False)),
    formula=lambda a: join(np, *plain_svd(a)),
    compared=[
        *[
            at(f"reduced, {what}", shape, **everywhere(of_svd))
            for what, shape in (("batch", (2, 3, 3)), ("tall", (4, 3)), ("wide", (2, 3)))
        ],
        *complex_cases(of_svd),
    ],
    backward_only=("autograd",),
    **FACTORS,
)


SINGULAR_VALUES = {"result": of_real, "draws": complex_spaced}
operation(
    "svdvals",
    any_spaced,
    *SHAPES,
    of_complex("complex", (3, 2), lambda linalg, xp, a: linalg.svdvals(a), **SINGULAR_VALUES),
    formula=lambda a: formulas.svd(a)[1],
    compared=(
        at("tall", (4, 3)),
        at("batch", (2, 2, 3)),
        of_complex("complex", (2, 2, 3), lambda linalg, xp, a: linalg.svdvals(a), autograd=None, **SINGULAR_VALUES),
    ),
    **{**linalg_spellings("svdvals"), "autograd": None},
    **FACTORS,
)
operation(
    "singular_values",
    any_spaced,
    *SHAPES,
    of_complex("complex", (2, 3), lambda linalg, xp, a: linalg.svd(a, full_matrices=False)[1], **SINGULAR_VALUES),
    function=lambda a: mg.svd(a, False).S,
    formula=lambda a: formulas.svd(a)[1],
    **FACTORS,
)
operation(
    "left_vectors",
    any_spaced,
    *SHAPES,
    at("right", (3, 2), function=lambda a: mg.svd(a, False).Vh ** 2, formula=lambda a: plain_svd(a)[2] ** 2),
    *complex_cases(lambda linalg, xp, a: xp.abs(linalg.svd(a, full_matrices=False)[0]) ** 2, of_real),
    function=lambda a: mg.svd(a, False).U ** 2,
    formula=lambda a: formulas.svd(a)[0] ** 2,
    **FACTORS,
)


def leading(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Matrices whose first columns have the singular values 1, 2, 3, …; Q depends on these alone."""
    *batch, m, n = shape
    return np.concatenate([spaced(rng, (*batch, m, min(m, n))), signed(rng, (*batch, m, max(n - m, 0)))], -1)


def complex_leading(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """The same for complex matrices."""
    *parts, m, n = shape
    return np.concatenate([complex_spaced(rng, (*parts, m, min(m, n))), signed(rng, (*parts, m, max(n - m, 0)))], -1)


QR_FACTORS = FACTORS | {"draws": leading}


def of_qr(xp: Any, q: Any, r: Any) -> Any:
    """Q·sin(R), in which the sign of a column of Q and a row of R has no effect."""
    return xp.matmul(q, xp.sin(r))


def of_factors(linalg: Any, xp: Any, a: Any) -> Any:
    return of_qr(xp, *linalg.qr(a))


operation(
    "qr",
    any_spaced,
    *SHAPES,
    *complex_cases(of_factors, draws=complex_leading),
    function=lambda a: of_qr(mg, *mg.qr(a)),
    formula=lambda a: of_qr(np, *formulas.qr(a)),
    compared=[
        *[
            at(f"{what} matrices", shape, **everywhere(of_factors) | {"autograd": None})
            for what, shape in (("batch of", (2, 3, 3)), ("tall", (4, 3)), ("wide", (2, 3)))
        ],
        *complex_cases(of_factors, draws=complex_leading, autograd=None),
    ],
    **QR_FACTORS,
)
operation(
    "orthogonal_factor",
    any_spaced,
    *SHAPES,
    *complex_cases(lambda linalg, xp, a: xp.square(linalg.qr(a)[0]), draws=complex_leading),
    function=lambda a: mg.square(mg.qr(a).Q),
    formula=lambda a: formulas.qr(a)[0] ** 2,
    **QR_FACTORS,
)
operation(
    "triangular_factor",
    any_spaced,
    *SHAPES,
    *complex_cases(lambda linalg, xp, a: xp.square(linalg.qr(a)[1]), draws=complex_leading),
    function=lambda a: mg.square(mg.qr(a).R),
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
