"""NumPy's in-place operations: on traced values they raise and say what to write instead.

After `y = x`, `y *= 2` changes a NumPy array under both names. A traced value cannot be changed, and rebinding y alone
would silently differ from NumPy. NumPy rebinds scalars, too, so `total += term` works on a traced scalar.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minigrad.core.arrays import describe
from minigrad.core.errors import OperandTypeError
from minigrad.core.interpreter import Tracer

WRITERS = {"copyto", "fill_diagonal", "place", "put", "put_along_axis", "putmask"}
"""NumPy functions that write into their first argument."""

BUILD = "write x = mg.at(x)[index].set(value), or build the result with mg.where or mg.stack"

_AUGMENTED = {
    "add": "+",
    "sub": "-",
    "mul": "*",
    "truediv": "/",
    "pow": "**",
    "matmul": "@",
    "mod": "%",
    "floordiv": "//",
    "and": "&",
    "or": "|",
    "xor": "^",
    "lshift": "<<",
    "rshift": ">>",
}
_METHODS = {
    "fill": "write x = mg.zeros_like(x) + value",
    "itemset": BUILD,
    "partition": "write x = mg.sort(x)",
    "put": BUILD,
    "resize": "write x = mg.reshape(x, shape), or mg.pad",
    "setfield": BUILD,
    "sort": "write x = mg.sort(x)",
}


def refuse_assignment(x: Tracer, index: Any, value: Any = None) -> None:
    raise OperandTypeError(f"cannot assign to elements of a traced value: {BUILD}")


def _refuse_augmented(sign: str) -> Callable[..., Any]:
    def refuse(self: Tracer, other: Any) -> Any:
        if not self.shape:
            return NotImplemented  # so that Python evaluates self + other and rebinds the name
        raise OperandTypeError(f"x {sign}= y would change the traced {describe(self)} in place: write x = x {sign} y")

    return refuse


def _refuse_method(name: str, instead: str) -> Callable[..., Any]:
    def refuse(self: Tracer, *args: Any, **kwargs: Any) -> None:
        raise OperandTypeError(f"x.{name}() would change a traced value in place: {instead}")

    return refuse


def _refuse_attribute(name: str, instead: str) -> property:
    def refuse(self: Tracer, value: Any) -> None:
        raise OperandTypeError(f"x.{name} = … would change a traced value in place: write {instead}")

    return getattr(Tracer, name).setter(refuse)


def refuse_out(name: str) -> None:
    """Raise for a ufunc that would write a traced result into an existing array: y += x, out= or ufunc.at."""
    raise OperandTypeError(
        f"np.{name} cannot write a traced result into an existing array (y += x, out=, .at): use the value that it "
        "returns, as in y = y + x"
    )


MEMBERS: dict[str, Any] = {
    "__setitem__": refuse_assignment,
    "__delitem__": refuse_assignment,
    **{f"__i{name}__": _refuse_augmented(sign) for name, sign in _AUGMENTED.items()},
    **{name: _refuse_method(name, instead) for name, instead in _METHODS.items()},
    "shape": _refuse_attribute("shape", "x = x.reshape(shape)"),
    "dtype": _refuse_attribute("dtype", "x = x.astype(dtype)"),
}
