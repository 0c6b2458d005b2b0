"""What functions accept beside arrays: integers, dtypes, and the options of NumPy's that stand in a signature.

Array functions have NumPy's signatures, names and order, so that the same call means the same. An option that is not
offered is accepted at its place with any value that changes nothing, and refused by name with every other.
"""

from __future__ import annotations

from operator import index
from typing import Any

import numpy as np

from minigrad.core import OperandTypeError, describe, known

_OPTIONS: dict[str, tuple[tuple, str]] = {
    "out": ((), "results are arrays of their own, so use what is returned"),
    "where": ((True,), "choose elements with mg.where first"),
    "initial": ((), "join it to the result, with + or mg.maximum"),
    "dtype": ((), "convert with mg.astype"),
    "shape": ((), "use mg.broadcast_to"),
    "device": ((), "move arrays with mg.to_device"),
    "order": (("K",), "elements lie in memory as they come"),
    "subok": ((True, False), "there are no subclasses of arrays"),
    "casting": (("same_kind",), "convert with mg.astype"),
    "copy": ((), "memory is shared where it can be"),
    "mode": (("raise",), "indices must be in range"),
    "optimize": ((True, False, "greedy", "optimal"), "products are taken in an order of its own"),
    "like": ((), "arrays are NumPy's or CuPy's"),
    "signature": ((), "the dtype follows the arguments"),
    "axes": ((), "move axes with mg.moveaxis"),
    "axis": ((), "move axes with mg.moveaxis"),
    "keepdims": ((False,), "insert axes with mg.expand_dims"),
    "constant_values": ((), "only the mode 'constant' has them"),
    "end_values": ((), "no mode offered has them"),
    "stat_length": ((), "no mode offered has it"),
    "reflect_type": (("even",), "join what is reflected with mg.concatenate"),
}
"""Of each option, the values beside None that change nothing where it is not offered, and what to do instead."""


def not_offered(operation: str, /, **options: Any) -> None:
    """Raise OperandTypeError for an option of NumPy's with a value that would change the result."""
    for name, value in options.items():
        if name not in _OPTIONS:
            raise OperandTypeError(f"{operation} has no argument {name}")
        usual, instead = _OPTIONS[name]
        if value is not None and not (isinstance(value, (str, bool)) and value in usual):
            raise OperandTypeError(f"{operation}: {name}={_shown(value)} is not offered: {instead}")


def _shown(value: Any) -> str:
    return repr(value) if isinstance(value, (str, type, np.dtype)) else describe(value)


def integer(x: Any, what: str) -> int:
    """An int, NumPy integer or integer array of no axes as an int. Raises OperandTypeError that calls it `what`."""
    if type(x) is int:
        return x
    number = known(x, what)
    if not isinstance(number, (bool, np.bool)):
        try:
            return int(number) if _on_device(number) else index(number)
        except TypeError:
            pass
    raise OperandTypeError(f"{what} must be an integer, got {_shown(x)}")


def _on_device(x: Any) -> bool:
    """Whether x is an integer array of no axes on a device, where nothing has an `__index__`."""
    return hasattr(x, "dtype") and not hasattr(x, "__index__") and x.dtype.kind in "iu" and x.shape == ()


def integers(x: Any, what: str) -> tuple[int, ...]:
    """One integer, or a sequence or vector of them, as a tuple of ints."""
    return tuple(integer(n, what) for n in (x if is_several(x) else (x,)))


def is_several(x: Any) -> bool:
    """Whether x is a sequence or a vector, not one number."""
    return isinstance(x, (tuple, list, range)) or len(getattr(x, "shape", ())) == 1


def dtype_from(dtype: Any, operation: str) -> np.dtype:
    """Anything that names a dtype of numbers, as one. Raises OperandTypeError."""
    try:
        found = np.dtype(dtype)
    except (TypeError, ValueError):
        found = None
    if found is None or found.kind not in "biufc":
        shown = f"{operation}: dtype={_shown(dtype)}"
        raise OperandTypeError(f"{shown} is no data type of numbers; give other arguments by name")
    return found
