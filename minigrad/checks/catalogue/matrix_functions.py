"""Pseudoinverse, least squares, powers and exponential of matrices, and norms of matrices."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import minigrad as mg
from minigrad.checks.catalogue import formulas
from minigrad.checks.catalogue.choose import Choose, Shape
from minigrad.checks.catalogue.decompositions import FACTORS, SHAPES, SQUARE, any_spaced, complex_cases
from minigrad.checks.catalogue.draws import complex_spaced, regular, signed, spaced
from minigrad.checks.catalogue.linalg import (
    MATRICES,
    STACK,
    any_matrices,
    linalg_spellings,
    of_complex,
    of_real,
    thin_axes,
)
from minigrad.checks.catalogue.operation import Example, at, operation

operation(
    "pinv",
    any_spaced,
    *SHAPES,
    *complex_cases(lambda linalg, xp, a: linalg.pinv(a)),
    formula=formulas.pinv,
    compared=(
        at("tall", (4, 3)),
        at("wide", (2, 2, 3)),
        at("square", (3, 3)),
        *complex_cases(lambda linalg, xp, a: linalg.pinv(a), autograd=None),  # which is wrong where it is not square
    ),
    **linalg_spellings("pinv"),
    **FACTORS,
)


def any_lstsq(choose: Choose) -> Example:
    m, n, count = choose.integer(1, 4), choose.integer(1, 4), choose.side(2)
    batch = choose.shape(0, 2, max_side=2)
    right = choose.one_of([(m,), (*thin_axes(choose, batch), m, count)])
    return at("", (*thin_axes(choose, batch), m, n), right)


def solve_least_squares(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return formulas.pinv(a) @ b


def residuals(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    b = b.reshape(len(b), -1)
    return np.sum((a @ solve_least_squares(a, b) - b) ** 2, -2)


TALL = {"draws": complex_spaced}
operation(
    "lstsq",
    any_lstsq,
    at("", (4, 2), (4, 3), third=True),
    at("vector", (3, 3), (3,)),
    at("wide", (2, 3), (2, 1)),
    at("batch", (2, 3, 2), (2, 3, 1)),
    at("residuals", (4, 2), (4, 3), function=lambda a, b: mg.lstsq(a, b).residuals, formula=residuals),
    at("values", (4, 2), (4,), function=lambda a, b: mg.lstsq(a, b).s, formula=lambda a, b: formulas.svd(a)[1]),
    of_complex("complex", (4, 3), lambda linalg, xp, a: linalg.lstsq(a[:, :2], a[:, 2:])[0], **TALL),
    of_complex("complex residuals", (4, 3), lambda linalg, xp, a: linalg.lstsq(a[:, :2], a[:, 2])[1], of_real, **TALL),
    function=lambda a, b: mg.lstsq(a, b).x,
    formula=solve_least_squares,
    compared=("", at("vector", torch=None), "wide"),
    torch=lambda torch, a, b: torch.linalg.lstsq(a, b)[0],
    jax=lambda jax, a, b: jax.numpy.linalg.lstsq(a, b)[0],
    autograd=None,
    **FACTORS | {"draws": (spaced, signed)},
)


def any_power(choose: Choose) -> Example:
    return any_matrices(choose) | {"params": (choose.integer(-3, 5),)}


operation(
    "matrix_power",
    any_power,
    *[at(f"{n}", (3, 3), params=(n,), third=n == 3) for n in (-2, -1, 0, 1, 2, 3)],
    at("batch", (2, 2, 2), params=(5,)),
    formula=np.linalg.matrix_power,
    compared=[at(f"stack, {n}", STACK, params=(n,)) for n in (-2, 0, 3)],
    **{**linalg_spellings("matrix_power"), "autograd": None},
    **MATRICES,
)
operation(
    "expm",
    lambda choose: any_matrices(choose, regular),
    *SQUARE,
    at("empty", (0, 0)),
    formula=formulas.expm,
    compared=("", at("stack", STACK)),
    torch="linalg.matrix_exp",
    jax="scipy.linalg.expm",
    autograd=None,
    **MATRICES,
)

# Norms

ORDERS = ("nuc", 2, -2, 1, -1, math.inf, -math.inf)


def norm_of_matrices(x: np.ndarray, ord: Any = "fro", keepdims: bool = False) -> np.ndarray:
    if ord in ("nuc", 2, -2):
        s = formulas.svd(x)[1]
        y = np.sum(s, -1) if ord == "nuc" else s[..., 0 if ord == 2 else -1]
    elif ord == "fro":
        y = np.sqrt(np.sum(x * x, (-2, -1)))
    else:
        sums = np.sum(x * np.sign(np.real(x)), -2 if ord in (1, -1) else -1)
        best = np.argmax(np.real(sums) * np.sign(ord), -1)
        y = np.take_along_axis(sums, best[..., None], -1)[..., 0]
    return y[..., None, None] if keepdims else y


def any_matrix_norm(choose: Choose) -> Example:
    ord = choose.one_of(["fro", *ORDERS])
    return any_spaced(choose) | norm_draws(ord) | {"named": {"ord": ord, "keepdims": choose.boolean()}}


def steep(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Matrices whose rows, and columns, have different sums of |x|."""
    sizes = np.multiply.outer(1 + np.arange(shape[-2]), 2 + np.arange(shape[-1]))
    return sizes * rng.uniform(0.95, 1.05, shape) * rng.choice([-1, 1], shape)


def norm_draws(ord: Any) -> Example:
    return {} if ord in ("nuc", "fro", 2, -2) else {"draws": steep}


operation(
    "matrix_norm",
    any_matrix_norm,
    at("", (3, 2), third=True),
    *[at(str(ord), (3, 2), named={"ord": ord, "keepdims": ord in (2, 1)}, **norm_draws(ord)) for ord in ORDERS],
    formula=norm_of_matrices,
    compared=["", *[at(f"{ord}, stack", (2, 3, 2), named={"ord": ord}, **norm_draws(ord)) for ord in ORDERS]],
    **{**linalg_spellings("matrix_norm"), "autograd": None},
    **FACTORS,
)
