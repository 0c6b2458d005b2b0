"""Calls: forward formulas bound to the arrays that they read and write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ctypes import c_long, c_void_p
from functools import partial
from typing import Any

from minigrad.backends import Backend, store
from minigrad.core.errors import OperandTypeError
from minigrad.core.interpreter import EXPLAINED, Primitive, evaluate, explain_error, runs_in_float32
from minigrad.core.vectors import reshape_p
from minigrad.ops.reduce import sum_p


class Call(partial):
    """A bound call, primitive.forward(backend, *args, **params, out=out)."""

    primitive: Primitive  # for messages


def bind_call(primitive: Primitive, backend: Backend, args: Sequence[Any], params: dict[str, Any], out: Any) -> Call:
    """The call that writes an operation's result to `out`; a view is copied there."""
    forward = primitive.forward
    if primitive.view_of is not None:
        forward = _copy_reshaped if primitive is reshape_p else partial(_copy_view, forward)
    elif runs_in_float32(primitive, args):
        forward = partial(_compute, primitive)
    call = Call(forward, backend, *args, **params, out=out)
    call.primitive = primitive
    return call


class KernelCall(partial):
    """A bound call of a compiled kernel: kernel(addresses of arrays, first row, end row)."""

    arrays: Sequence[Any]  # kept alive


def bind_kernel(kernel: Callable, arrays: Sequence[Any], addresses: Sequence[int], begin: int, end: int) -> KernelCall:
    """The call of a compiled kernel on arrays whose row 0 lies, or would lie, at these addresses."""
    pointers = (c_void_p * len(addresses))(*addresses)
    call = KernelCall(kernel, pointers, c_long(begin), c_long(end))
    call.arrays = arrays
    return call


def bind_sum(backend: Backend, terms: Any, total: Any) -> Call:
    """The call total ← Σᵢ terms[i]."""
    return bind_call(sum_p, backend, (terms,), {"axes": (0,)}, total)


def _copy_reshaped(backend: Backend, x: Any, *, shape: tuple[int, ...], out: Any) -> Any:
    out.reshape(x.shape)[...] = x
    return out


def _copy_view(view: Callable, backend: Backend, x: Any, *, out: Any, **params: Any) -> Any:
    out[...] = view(backend, x, **params)
    return out


def _compute(primitive: Primitive, backend: Backend, *args: Any, out: Any, **params: Any) -> Any:
    return store(evaluate(primitive, backend, args, params), out)


def run_calls(calls: Sequence[Call | KernelCall]) -> None:
    """Make calls. Errors name the primitive and its operands, as without a program."""
    for call in calls:
        try:
            call()
        except EXPLAINED as error:
            raise _explain(error, call) from error


def run_and_check(calls: Sequence[Call | KernelCall]) -> None:
    """Make calls for the first time. Raises OperandTypeError for a formula that does not write to `out`."""
    for call in calls:
        try:
            result = call()
        except EXPLAINED as error:
            raise _explain(error, call) from error
        if isinstance(call, Call) and result is not call.keywords["out"]:
            raise OperandTypeError(
                f"the formula of '{call.primitive.name}' does not write to `out`: if `out` is given, it must write its "
                "result there and return it"
            )


def _explain(error: Exception, call: Call) -> Exception:
    params = {name: value for name, value in call.keywords.items() if name != "out"}
    return explain_error(error, call.primitive, call.args[1:], params)
