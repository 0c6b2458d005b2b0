"""grad, value_and_grad, vjp and jvp. (Jacobians and Hessians are in `minigrad.core.matrices`.)

Each transform runs the function once under its own interpreter and computes the derivative from what that recorded.
Arguments and results are trees of arrays. There is no global state, so transforms nest in any order and run in
parallel threads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar, TypeVarTuple, overload

from minigrad.backends import NEUTRAL
from minigrad.core import tree
from minigrad.core.arguments import check_callable, integers, is_several
from minigrad.core.arrays import Shaped, describe, dtype_of, is_real, shape_of
from minigrad.core.errors import OperandError, OperandTypeError
from minigrad.core.forward import Forward
from minigrad.core.interpreter import Tracer
from minigrad.core.leaves import as_array, check_fits, check_inexact, copy_if_shared, separate
from minigrad.core.reverse import Reverse
from minigrad.core.vectors import add_p, cast, ones, zeros_like_p

# For type checkers: a transform of f takes the arguments of f, and a gradient has the type of its argument. The bound
# makes the argument of a lambda `Any`.
P = ParamSpec("P")
X = TypeVar("X", bound=Any)
Y = TypeVar("Y")
Aux = TypeVar("Aux")
Xs = TypeVarTuple("Xs")


@overload
def grad(
    f: Callable[Concatenate[X, P], Any], argnums: Literal[0] = 0, has_aux: Literal[False] = False
) -> Callable[Concatenate[X, P], X]: ...
@overload
def grad(
    f: Callable[Concatenate[X, P], tuple[Any, Aux]], argnums: Literal[0] = 0, *, has_aux: Literal[True]
) -> Callable[Concatenate[X, P], tuple[X, Aux]]: ...
@overload
def grad(f: Callable[P, Any], argnums: int | Sequence[int], has_aux: bool = False) -> Callable[P, Any]: ...
def grad(f: Callable, argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Callable:
    """The gradient of a scalar function, as a function of the same arguments.

    `argnums` are the positions of the arguments to differentiate (trees of floating-point arrays); for a tuple of
    positions the result is a tuple of gradients. With `has_aux`, f returns (scalar, aux) and the result is (gradient,
    aux). A gradient has the tree structure, shapes and dtypes of its argument and shares memory with no other array;
    for a complex argument a + ib it is ∂f/∂a − i ∂f/∂b, so that descent subtracts its conjugate.
    Raises TypeError for integer arguments, ValueError for a result that is not a scalar, MutationError if f changes
    arrays it used.

    >>> import minigrad as mg
    >>> float(mg.grad(lambda x: x * mg.sin(x))(1.0))  # sin 1 + cos 1
    1.3817732906760363
    """
    both = value_and_grad(f, argnums, has_aux)

    def gradient(*args: Any, **kwargs: Any) -> Any:
        value, gradients = both(*args, **kwargs)
        return (gradients, value[1]) if has_aux else gradients

    return gradient


@overload
def value_and_grad(
    f: Callable[Concatenate[X, P], Y], argnums: Literal[0] = 0, has_aux: bool = False
) -> Callable[Concatenate[X, P], tuple[Y, X]]: ...
@overload
def value_and_grad(
    f: Callable[P, Y], argnums: int | Sequence[int], has_aux: bool = False
) -> Callable[P, tuple[Y, Any]]: ...
def value_and_grad(f: Callable, argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Callable:
    """Like `grad`, but returns (value, gradient), or ((value, aux), gradient).

    >>> import minigrad as mg
    >>> value, gradient = mg.value_and_grad(lambda p: p["a"] * p["b"])({"a": 2.0, "b": 3.0})
    >>> float(value), float(gradient["a"]), float(gradient["b"])
    (6.0, 3.0, 2.0)
    """
    check_callable(f, "grad")
    returns_tuple, positions = is_several(argnums), integers(argnums, "grad: argnums")

    def value_and_gradient(*args: Any, **kwargs: Any) -> Any:
        selected = select(args, positions, "grad")
        with Reverse() as tape:
            inputs, rebuild = _watch(tape, selected, "grad", "exclude it with argnums")
            result = f(*replace(args, positions, rebuild(inputs)), **kwargs)
            output, aux = _check_scalar(result, has_aux)
            value, index = tape.lower(output)
            aux = tree.map(lambda leaf: tape.lower(leaf)[0], aux)
        seeds = {} if index is None else {index: ones(value)}
        gradients = separate(tape.pull(seeds, [x.index for x in inputs], release=True), inputs, [])
        gradients = rebuild(gradients)
        return (value, aux) if has_aux else value, gradients if returns_tuple else gradients[0]

    return value_and_gradient


def vjp(f: Callable[[*Xs], Y], *primals: *Xs) -> tuple[Y, Callable[[Any], tuple[*Xs]]]:
    """(f(*primals), pullback), where pullback(g) returns a tuple with the cotangent gᵀ·J of each primal.

    g has the structure, shapes and dtypes of the result, and is not conjugated where it is complex
    (`minigrad.core.rules`). The pullback may be called any number of times. It raises
    TreeError or ValueError if g does not fit, MutationError if an array it needs was changed in the meantime.

    >>> import minigrad as mg, numpy as np
    >>> y, pullback = mg.vjp(lambda x: x * x, np.array([1.0, 2.0]))
    >>> pullback(np.array([1.0, -1.0]))
    (array([ 2., -4.]),)
    """
    with Reverse() as tape:
        inputs, rebuild = _watch(tape, primals, "vjp")
        leaves, structure = tree.flatten(f(*rebuild(inputs)))
        lowered = [tape.lower(leaf) for leaf in leaves]
    results = [value for value, _ in lowered]
    tape.guard_results(results)
    shapes = [(shape_of(value), dtype_of(value)) for value in results]

    def pullback(cotangents: Any) -> tuple:
        given = tree.leaves_like(structure, cotangents, "the cotangent")
        seeds: dict[int, Any] = {}
        for g, (value, index), (shape, dtype) in zip(given, lowered, shapes, strict=True):
            check_fits(g, shape, dtype, "cotangent", "the result")
            if index is not None:
                g = cast(as_array(g, value), Shaped(shape, dtype))
                seeds[index] = add_p(seeds[index], g) if index in seeds else g
        return rebuild(separate(tape.pull(seeds, [x.index for x in inputs]), inputs, given))

    return tree.unflatten(structure, results), pullback


def jvp(f: Callable[[*Xs], Y], primals: tuple[*Xs], tangents: tuple[*Xs]) -> tuple[Y, Y]:
    """(f(*primals), J·tangents): the value and the directional derivative, in one forward pass.

    Raises TreeError or ValueError if the tangents do not fit the primals, TypeError for integer primals.

    >>> import minigrad as mg
    >>> y, y_dot = mg.jvp(mg.exp, (0.0,), (2.0,))
    >>> float(y), float(y_dot)
    (1.0, 2.0)
    """
    if not isinstance(primals, (tuple, list)) or not isinstance(tangents, (tuple, list)):
        raise OperandTypeError("jvp: primals and tangents must be tuples with one entry per argument of the function")
    leaves, structure = tree.flatten(tuple(primals))
    directions = tree.leaves_like(structure, tuple(tangents), "jvp: the tangent")
    with Forward() as level:
        inputs = []
        for value, tangent in zip(leaves, directions, strict=True):
            check_inexact(value, "jvp")
            check_fits(tangent, shape_of(value), dtype_of(value), "tangent", "its argument")
            inputs.append(level.lift(value, cast(tangent, value)))
        results, result_structure = tree.flatten(f(*tree.unflatten(structure, inputs)))
        pairs = [level.lower(result) for result in results]
    values = [value for value, _ in pairs]
    dots = [zeros_like_p(value) if tangent is None else tangent for value, tangent in pairs]
    for i, dot in enumerate(dots):
        dots[i] = copy_if_shared(dot, [*dots[:i], *values, *directions])
    return tree.unflatten(result_structure, values), tree.unflatten(result_structure, dots)


# Functions that the transforms share


def select(args: tuple, positions: tuple[int, ...], name: str) -> tuple:
    """The arguments at some positions. Raises OperandError if one does not exist or is given twice."""
    if any(not -len(args) <= p < len(args) for p in positions):
        raise OperandError(f"{name}: argnums {positions} do not fit a call with {len(args)} positional arguments")
    if len({p % len(args) for p in positions}) != len(positions):
        raise OperandError(f"{name}: argnums {positions} name an argument twice")
    return tuple(args[p] for p in positions)


def replace(args: tuple, positions: tuple[int, ...], values: Sequence) -> list:
    """The arguments, with those at some positions replaced by values."""
    replaced = list(args)
    for position, value in zip(positions, values, strict=True):
        replaced[position] = value
    return replaced


def _watch(tape: Reverse, trees: tuple, name: str, *instead: str) -> tuple[list, Callable]:
    """The leaves of some trees as traced inputs, and the function that builds such trees from new leaves."""
    leaves, structure = tree.flatten(trees)
    for leaf in leaves:
        check_inexact(leaf, name, *instead)
    return [tape.watch(leaf) for leaf in leaves], lambda new: tree.unflatten(structure, new)


def _check_scalar(result: Any, has_aux: bool) -> tuple[Any, Any]:
    """(output, aux) from the result of a function. Raises unless the output is a real floating-point scalar."""
    if has_aux and not (isinstance(result, tuple) and len(result) == 2):
        raise OperandTypeError("grad: with has_aux=True the function must return a pair (scalar, aux)")
    output, aux = result if has_aux else (result, None)
    if output is None:
        raise OperandTypeError("grad: the function returned None; return its scalar result")
    if not isinstance(output, (Tracer, *NEUTRAL)) and not hasattr(output, "dtype"):
        raise OperandTypeError(
            f"grad: the function must return one scalar, got a {type(output).__name__}"
            + ("; for extra results use has_aux=True" if isinstance(output, tuple) else "")
        )
    if shape_of(output) != () or not is_real(output):
        raise OperandError(
            f"grad: the function must return a real floating-point scalar, got {describe(output)}; reduce it with "
            "mg.sum or mg.mean, or use mg.vjp or mg.jacobian"
        )
    return output, aux
