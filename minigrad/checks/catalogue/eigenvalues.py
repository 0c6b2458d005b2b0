"""Eigenvalues and eigenvectors of general matrices, in functions that depend neither on their order nor on phases."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np

from minigrad.checks.catalogue import formulas
from minigrad.checks.catalogue.choose import Choose, Shape
from minigrad.checks.catalogue.complex import join, parts
from minigrad.checks.catalogue.decompositions import SQUARE
from minigrad.checks.catalogue.draws import complex_general, general, regular
from minigrad.checks.catalogue.linalg import MATRICES, REAL, any_matrices, everywhere, of_complex, of_real
from minigrad.checks.catalogue.operation import Example, at, operation
from minigrad.core.interpreter import primitives

GENERAL = {**MATRICES, **REAL, "draws": general, "oracle": "differences"}


def entries(xp: Any, y: Any) -> Any:
    """A result of a real matrix that is real but for rounding."""
    return xp.real(y)


def sine(linalg: Any, xp: Any, a: Any) -> Any:
    """sin A = V·diag(sin λ)·V⁻¹."""
    values, vectors = linalg.eig(a)
    return xp.matmul(vectors * xp.sin(values)[..., None, :], linalg.inv(vectors))


def sizes(linalg: Any, xp: Any, a: Any) -> Any:
    """Σᵢ |Vₖᵢ|²·|Vₗᵢ|⁴."""
    size = xp.abs(linalg.eig(a)[1]) ** 2
    return xp.matmul(size, xp.swapaxes(size**2, -1, -2))


def traces(linalg: Any, xp: Any, a: Any) -> Any:
    """Σ sin λ and Σ λ³."""
    values = linalg.eigvals(a)
    return xp.stack([xp.sin(values).sum(-1), (values**3).sum(-1)])


def both(linalg: Any, xp: Any, a: Any) -> Any:
    """Σ |λᵢ|·|Vₖᵢ|⁴."""
    values, vectors = linalg.eig(a)
    return xp.sum(xp.abs(values)[..., None, :] * xp.abs(vectors) ** 4, -1)


def plain_traces(a: np.ndarray) -> np.ndarray:
    """The traces of sin A and A³."""
    return np.stack([np.trace(y, 0, -2, -1) for y in (formulas.sine(a), a @ a @ a)])


SINE = {"formula": formulas.sine, "oracle": "complex step"}
TRACES = {"formula": plain_traces, "oracle": "complex step"}


def linalg_of_jax(jax: Any) -> SimpleNamespace:
    """JAX has the derivative of eigenvectors behind an option."""
    eig = partial(jax.lax.linalg.eig, compute_left_eigenvectors=False, enable_eigvec_derivs=True)
    return SimpleNamespace(eig=eig, eigvals=lambda a: eig(a)[0], inv=jax.numpy.linalg.inv)


def of_general(what: str, shape: Shape, function: Callable, result: Callable = entries, **options: Any) -> Example:
    """A case of real matrices."""

    def call(linalg: Any, xp: Any, a: Any) -> Any:
        return result(xp, function(linalg, xp, a))

    return at(what, shape, **{**everywhere(call), "jax": _in_jax(call), **options})


def of_complex_general(
    what: str, shape: Shape, function: Callable, result: Callable = parts, **options: Any
) -> Example:
    """A case of complex matrices."""
    jax = _in_jax(lambda linalg, xp, x: result(xp, function(linalg, xp, join(x))))
    return of_complex(what, shape, function, result, jax=jax, draws=complex_general, **options)


def _in_jax(call: Callable) -> Callable:
    return lambda jax, x: call(linalg_of_jax(jax), jax.numpy, x)


def any_general(choose: Choose, function: Callable, result: Callable = entries) -> Example:
    return of_general("", any_matrices(choose)["shapes"][0], function, result)


operation(
    "eig",
    lambda choose: any_general(choose, sine) | SINE,
    of_general("", (3, 3), sine, **SINE),
    of_general("batch", (2, 2, 2), sine, **SINE),
    of_general("one", (1, 1), sine, **SINE),
    of_general("sizes", (3, 3), both, of_real),
    of_complex_general("complex", (3, 3), sine),
    of_complex_general("complex, sizes", (2, 2, 2), both, of_real),
    compared=(
        of_general("", (3, 3), sine),
        of_general("sizes", (2, 3, 3), both, of_real),
        of_complex_general("complex", (2, 3, 3), sine),
        of_complex_general("complex, sizes", (3, 3), both, of_real),
    ),
    backward_only=("autograd",),
    **GENERAL,
)
operation(
    "eigvals",
    lambda choose: any_general(choose, traces) | TRACES,
    of_general("", (3, 3), traces, **TRACES),
    of_general("batch", (2, 2, 2), traces, **TRACES),
    of_complex_general("complex", (2, 3, 3), traces),
    compared=(
        of_general("", (2, 3, 3), traces, autograd=None),
        of_complex_general("complex", (2, 3, 3), traces, autograd=None),
    ),
    **GENERAL,
)
operation(
    "general_eigenvalues",
    lambda choose: any_general(choose, traces) | TRACES,
    of_general("", (3, 3), traces, **TRACES),
    of_complex_general("complex", (3, 3), traces),
    **GENERAL,
)
operation(
    "general_eigenvectors",
    lambda choose: any_general(choose, sizes, of_real),
    of_general("", (3, 3), sizes, of_real),
    of_complex_general("complex", (3, 3), sizes, of_real),
    **GENERAL,
)
operation(
    "inverse_basis",
    lambda choose: any_matrices(choose, regular),
    *SQUARE,
    function=lambda a: primitives["inverse_basis"](a),
    formula=np.linalg.inv,
    **MATRICES,
)
