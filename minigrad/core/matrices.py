"""Jacobians and Hessians, by one pass per row or column, and Hessian-vector products."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal, ParamSpec, TypeVar

import numpy as np

from minigrad.core import tree
from minigrad.core.arguments import integer
from minigrad.core.arrays import dtype_of, shape_of
from minigrad.core.errors import OperandError, OperandTypeError
from minigrad.core.interpreter import find_backend
from minigrad.core.transforms import grad, jvp, replace, select, vjp
from minigrad.core.vectors import broadcast_to_p, concatenate_p, reshape_p, transpose_p, zeros_like_p

P = ParamSpec("P")
X = TypeVar("X", bound=Any)


def jacobian(
    f: Callable[P, Any], argnums: int = 0, mode: Literal["reverse", "forward"] = "reverse"
) -> Callable[P, Any]:
    """The Jacobian ∂y[i…]/∂x[j…] of an array function y of an array x: shape y.shape + x.shape.

    Reverse mode takes one backward pass per element of y, forward mode one forward pass per element of x.

    >>> import minigrad as mg, numpy as np
    >>> mg.jacobian(lambda x: x**2)(np.array([1.0, 3.0]))
    array([[2., 0.],
           [0., 6.]])
    """
    if mode not in ("reverse", "forward"):
        raise OperandError(f"jacobian: mode must be 'reverse' or 'forward', got {mode!r}")
    position = integer(argnums, "jacobian: argnums")

    def jacobian_of(*args: Any, **kwargs: Any) -> Any:
        (x,) = select(args, (position,), "jacobian")
        if tree.flatten(x)[1] != tree.LEAF:
            raise OperandTypeError("jacobian: the differentiated argument must be one array, not a tree")

        def of_x(x: Any) -> Any:
            return f(*replace(args, (position,), (x,)), **kwargs)

        if mode == "reverse":
            y, pullback = vjp(of_x, x)
            _check_array(y)
            rows = [pullback(basis)[0] for basis in _basis(y)]
            return _stack(rows, y, x, (*shape_of(y), *shape_of(x)))
        columns = [jvp(of_x, (x,), (basis,)) for basis in _basis(x)] or [(of_x(x), None)]
        y = columns[0][0]
        _check_array(y)
        shape = (*shape_of(x), *shape_of(y))
        stacked = _stack([t for _, t in columns if t is not None], x, y, shape)
        n = len(shape_of(x))
        return transpose_p(stacked, axes=(*range(n, len(shape)), *range(n)))

    return jacobian_of


def hessian(f: Callable[P, Any], argnums: int = 0) -> Callable[P, Any]:
    """The Hessian of a scalar function of an array x, by forward over reverse mode: shape x.shape + x.shape.

    >>> import minigrad as mg, numpy as np
    >>> mg.hessian(lambda x: x[0] * x[1] ** 2)(np.array([1.0, 3.0]))
    array([[0., 6.],
           [6., 2.]])
    """
    position = integer(argnums, "hessian: argnums")
    return jacobian(grad(f, position), position, mode="forward")


def hvp(f: Callable[[X], Any], x: X, v: X) -> X:
    """The Hessian of a scalar function at x times v, by forward over reverse mode, without forming the Hessian.

    >>> import minigrad as mg, numpy as np
    >>> mg.hvp(lambda x: mg.sum(x**3), np.array([1.0, 2.0]), np.array([1.0, 1.0]))
    array([ 6., 12.])
    """
    return jvp(grad(f), (x,), (v,))[1]


def _check_array(y: Any) -> None:
    if tree.flatten(y)[1] != tree.LEAF:
        raise OperandTypeError("jacobian: the function must return one array, not a tree")


def _basis(x: Any) -> Iterator[Any]:
    """For each element of x, an array that is 1 there and 0 elsewhere."""
    for i in range(int(np.prod(shape_of(x), dtype=np.int64))):
        unit = find_backend(x).xp.zeros(shape_of(x), dtype_of(x))
        unit.reshape(-1)[i] = 1
        yield unit


def _stack(rows: list, y: Any, x: Any, shape: tuple) -> Any:
    if not rows:
        return broadcast_to_p(reshape_p(zeros_like_p(x), shape=(1,) * len(shape_of(y)) + shape_of(x)), shape=shape)
    return reshape_p(concatenate_p(*[reshape_p(row, shape=(-1,)) for row in rows], axis=0), shape=shape)
