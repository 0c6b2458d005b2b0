"""Calls: a formula bound to the very arrays it reads and writes, and lists of such calls to make."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from minigrad.backends import Backend
from minigrad.core.errors import OperandTypeError
from minigrad.core.interpreter import EXPLAINED, Primitive, explained, primitives


class Call(partial):
    """primitive.forward(backend, *args, **params, out=out), ready to be made."""

    primitive: Primitive  # for messages


def call_of(primitive: Primitive, backend: Backend, args: Sequence[Any], params: dict[str, Any], out: Any) -> Call:
    """The call that puts an operation's result in `out`. A view becomes a copy."""
    forward = primitive.forward
    if primitive.view_of is not None:
        forward = _copy_reshaped if primitive.name == "reshape" else partial(_copy_shown, forward)
    call = Call(forward, backend, *args, **params, out=out)
    call.primitive = primitive
    return call


def addition(backend: Backend, total: Any, term: Any) -> Call:
    """total ← total + term."""
    return call_of(primitives["add"], backend, (total, term), {}, total)


def _copy_reshaped(backend: Backend, x: Any, *, shape: tuple[int, ...], out: Any) -> Any:
    out.reshape(x.shape)[...] = x
    return out


def _copy_shown(view: Callable, backend: Backend, x: Any, *, out: Any, **params: Any) -> Any:
    out[...] = view(backend, x, **params)
    return out


def make(calls: list[Call]) -> None:
    """Make calls. What goes wrong in one is told as without a program."""
    for call in calls:
        try:
            call()
        except EXPLAINED as error:
            raise _told(error, call) from error


def make_and_look(calls: list[Call]) -> None:
    """The same, the first time: every formula must have written where it was told to, else OperandTypeError."""
    for call in calls:
        try:
            made = call()
        except EXPLAINED as error:
            raise _told(error, call) from error
        if made is not call.keywords["out"]:
            raise OperandTypeError(
                f"the formula of '{call.primitive.name}' does not write to `out`: where that is given, it must put its "
                "result there and return it"
            )


def _told(error: Exception, call: Call) -> Exception:
    params = {name: value for name, value in call.keywords.items() if name != "out"}
    return explained(error, call.primitive, call.args[1:], params)
