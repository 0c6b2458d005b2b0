"""Jacobians, Hessians, products with them, and linearisation.

A Jacobian is computed by one pass for a batch (`mg.vmap`): backwards from a unit cotangent for each element of the
result, or forwards from a unit tangent for each element of the arguments.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, ParamSpec, TypeVar, TypeVarTuple

from minigrad.core import tree
from minigrad.core.arguments import check_callable, integers, is_several
from minigrad.core.arrays import describe, dtype_of, shape_of
from minigrad.core.errors import OperandError, OperandTypeError
from minigrad.core.interpreter import current, find_backend
from minigrad.core.leaves import check_fits, check_inexact
from minigrad.core.transforms import grad, jvp, replace, select, vjp
from minigrad.core.transposition import transpose
from minigrad.core.vectors import cast, reshape_p, zeros_like_p
from minigrad.core.vmap import vmap

P = ParamSpec("P")
X = TypeVar("X", bound=Any)
Y = TypeVar("Y")
Xs = TypeVarTuple("Xs")


def jacobian(
    f: Callable[P, Any], argnums: int | Sequence[int] = 0, mode: Literal["reverse", "forward"] = "reverse"
) -> Callable[P, Any]:
    """The Jacobian ∂y[i…]/∂x[j…] of y = f(x), as a function of the same arguments: shape y.shape + x.shape.

    Of trees, it is a tree like y with a tree like x at each leaf; for a tuple of positions `argnums`, with a tuple of
    trees. `mode` "reverse" takes one backward pass for a batch of all elements of y, "forward" one forward pass for a
    batch of all elements of x; their number multiplies the memory.

    Where x and y are complex, f must be holomorphic. Where one of them is, only one mode gives ∂y/∂x.

    Raises TypeError for arguments or results that are not floating-point, or if the other mode is needed, ValueError
    for another mode.

    >>> import minigrad as mg, numpy as np
    >>> mg.jacobian(lambda x: x**2)(np.array([1.0, 3.0]))
    array([[2., 0.],
           [0., 6.]])
    """
    check_callable(f, "jacobian")
    if mode not in ("reverse", "forward"):
        raise OperandError(f"jacobian: mode must be 'reverse' or 'forward', got {mode!r}")
    is_tuple, positions = is_several(argnums), integers(argnums, "jacobian: argnums")
    find_blocks = _pull_rows if mode == "reverse" else _push_columns

    def jacobian_of(*args: Any, **kwargs: Any) -> Any:
        selected = select(args, positions, "jacobian")
        for x in tree.flatten(selected)[0]:
            check_inexact(x, "jacobian", "exclude it with argnums")
        y_structure, blocks = find_blocks(lambda *xs: f(*replace(args, positions, xs), **kwargs), selected)
        x_structure = tree.flatten(selected if is_tuple else selected[0])[1]
        return tree.unflatten(y_structure, [tree.unflatten(x_structure, row) for row in blocks])

    return jacobian_of


def _pull_rows(f: Callable, args: tuple) -> tuple[tree.Structure, list[list]]:
    """The structure of y = f(*args), and ∂yᵢ/∂xⱼ for the leaves of y and args: all rows in one backward pass."""
    y, pullback = vjp(f, *args)
    (xs, _), (ys, structure) = tree.flatten(args), tree.flatten(y)
    _check_complex(ys, xs, "reverse", "forward")
    rows, _ = tree.flatten(vmap(lambda units: pullback(tree.unflatten(structure, units)))(_units(ys)))
    return structure, [
        [reshape_p(some[part], shape=(*shape_of(y), *shape_of(x))) for some, x in zip(rows, xs, strict=True)]
        for y, part in zip(ys, _parts(ys), strict=True)
    ]


def _push_columns(f: Callable, args: tuple) -> tuple[tree.Structure, list[list]]:
    """The same, with all columns in one forward pass."""
    xs, structure = tree.flatten(args)
    push = vmap(lambda units: jvp(f, args, tree.unflatten(structure, units)), out_axes=(None, -1))
    y, y_dot = push(_units(xs))
    (ys, structure), (columns, _) = tree.flatten(y), tree.flatten(y_dot)
    for y in ys:
        check_inexact(y, "jacobian", "return it as part of another function")
    _check_complex(xs, ys, "forward", "reverse")
    return structure, [
        [reshape_p(some[..., part], shape=(*shape_of(y), *shape_of(x))) for x, part in zip(xs, _parts(xs), strict=True)]
        for y, some in zip(ys, columns, strict=True)
    ]


def _check_complex(given: Sequence, results: Sequence, mode: str, other: str) -> None:
    """Raise OperandTypeError if a pass from complex units gives real numbers: the real parts of a derivative."""
    starts = [x for x in given if dtype_of(x).kind == "c"]
    ends = [x for x in results if dtype_of(x).kind != "c"]
    if starts and ends:
        raise OperandTypeError(
            f"jacobian: {mode} mode, from {describe(starts[0])} to {describe(ends[0])}, gives only the real part of "
            f"∂y/∂x: use mode={other!r}"
        )


def _units(leaves: Sequence) -> list:
    """For each element of the leaves, leaves that are 1 there and 0 elsewhere: arrays (elements, *shape)."""
    parts, units = list(_parts(leaves)), []
    if not parts:
        raise OperandError("jacobian: there is no array to differentiate, or no result")
    for x, part in zip(leaves, parts, strict=True):
        check_inexact(x, "jacobian", "return it as part of another function")
        eye = find_backend(x).xp.eye(parts[-1].stop, part.stop - part.start, -part.start, dtype_of(x))
        units.append(current().note_units(eye.reshape(parts[-1].stop, *shape_of(x))))
    return units


def _parts(leaves: Sequence) -> Iterator[slice]:
    """The elements of each leaf, numbered through."""
    ends = [0, *itertools.accumulate(math.prod(shape_of(x)) for x in leaves)]
    return itertools.starmap(slice, itertools.pairwise(ends))


def hessian(f: Callable[P, Any], argnums: int | Sequence[int] = 0) -> Callable[P, Any]:
    """The Hessian of a scalar function of x, by forward over reverse mode: shape x.shape + x.shape.

    Of a tree x, it is a tree like x with a tree like x at each leaf; for a tuple of positions, a tuple of tuples of
    trees. Raises TypeError for complex arrays, of which no array is the Hessian.

    >>> import minigrad as mg, numpy as np
    >>> mg.hessian(lambda x: x[0] * x[1] ** 2)(np.array([1.0, 3.0]))
    array([[0., 6.],
           [6., 2.]])
    """
    check_callable(f, "hessian")
    positions = integers(argnums, "hessian: argnums")
    argnums = positions if is_several(argnums) else positions[0]
    of_gradient = jacobian(grad(f, argnums), argnums, mode="forward")

    def hessian_of(*args: Any, **kwargs: Any) -> Any:
        for x in tree.flatten(select(args, positions, "hessian"))[0]:
            if dtype_of(x).kind == "c":
                raise OperandTypeError(
                    f"hessian: real arrays only, got {describe(x)}: use mg.hvp, or stack real and imaginary parts"
                )
        return of_gradient(*args, **kwargs)

    return hessian_of


def hvp(f: Callable[[X], Any], x: X, v: X) -> X:
    """The Hessian of a scalar function at x times v, by forward over reverse mode, without forming the Hessian.

    >>> import minigrad as mg, numpy as np
    >>> mg.hvp(lambda x: mg.sum(x**3), np.array([1.0, 2.0]), np.array([1.0, 1.0]))
    array([ 6., 12.])
    """
    return jvp(grad(f), (x,), (v,))[1]


def linearize(f: Callable[[*Xs], Y], *primals: *Xs) -> tuple[Y, Callable[..., Y]]:
    """(f(*primals), push), where push(*tangents) returns J·tangents and may be called any number of times.

    f runs once. push is the transpose of the pullback, which is linear in the cotangent, so it costs about as much as
    the pullback. Raises TreeError or ValueError if tangents do not fit, TypeError for integer primals or results,
    MissingRuleError if a stated derivative (`mg.custom_derivative`) depends on the values of cotangents, as a solver
    with a tolerance does: use `mg.jvp` there.

    >>> import minigrad as mg, numpy as np
    >>> y, push = mg.linearize(lambda x: x * x, np.array([1.0, 2.0]))
    >>> push(np.array([1.0, 0.0])), push(np.array([0.0, 1.0]))
    (array([2., 0.]), array([0., 4.]))
    """
    xs, structure = tree.flatten(primals)
    for x in xs:
        check_inexact(x, "linearize")
    y, pullback = vjp(f, *primals)
    remedy = "linearize transposes the pullback, so nothing may depend on the values of cotangents: use mg.jvp"
    push, _ = transpose(pullback, tree.map(zeros_like_p, y), remedy)

    def push_tangents(*tangents: Any) -> Any:
        given = tree.leaves_like(structure, tangents, "linearize: the tangent")
        for t, x in zip(given, xs, strict=True):
            check_fits(t, shape_of(x), dtype_of(x), "tangent", "its argument")
        return push(tree.unflatten(structure, [cast(t, x) for t, x in zip(given, xs, strict=True)]))

    return y, push_tangents
