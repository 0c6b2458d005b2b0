"""Arguments other than arrays: integers, dtypes, and those options of NumPy that are not offered here.

Array functions have NumPy's signatures, so that the same call means the same. An option that is not offered keeps its
place in the signature: values that change nothing, its default among them, are accepted; others are refused by name.
"""

from __future__ import annotations

from operator import index
from typing import Any

import numpy as np

from minigrad.core.arrays import describe
from minigrad.core.errors import OperandTypeError
from minigrad.core.interpreter import read_value

_OPTIONS: dict[str, tuple[tuple, str]] = {
    "out": ((), "use the array that is returned"),
    "where": ((True,), "select elements with mg.where first"),
    "initial": ((), "combine it with the result, as in + or mg.maximum"),
    "dtype": ((), "convert with mg.astype"),
    "shape": ((), "use mg.broadcast_to"),
    "device": ((), "move arrays with mg.to_device"),
    "order": (("K",), "the memory layout cannot be chosen, so leave it out"),
    "subok": ((True, False), "it is True or False, and changes nothing"),
    "casting": (("same_kind",), "convert with mg.astype"),
    "copy": ((), "memory is shared where that is possible, so leave it out, or use mg.copy"),
    "mode": (("raise",), "indices must be in range, so use mg.clip on them first"),
    "optimize": ((True, False, "greedy", "optimal"), "the order of products cannot be chosen, so leave it out"),
    "like": ((), "the result is a NumPy or CuPy array, so leave it out"),
    "signature": ((), "the dtype follows the arguments, so convert them with mg.astype"),
    "axes": ((), "move axes with mg.moveaxis"),
    "axis": ((), "move axes with mg.moveaxis"),
    "keepdims": ((False,), "insert axes with mg.expand_dims"),
    "constant_values": ((), "it is used by mode 'constant' only"),
    "end_values": ((), "it is used by mode 'linear_ramp', which is not offered"),
    "stat_length": ((), "it is used by modes that are not offered ('maximum', 'mean', 'median', 'minimum')"),
    "reflect_type": (("even",), "build the odd reflection with mg.flip and mg.concatenate"),
}
"""For each option: the values besides None that are accepted because they change nothing, and the advice for others."""


def check_options(operation: str, /, **options: Any) -> None:
    """Raise OperandTypeError if one of these NumPy options has a value that would change the result."""
    for name, value in options.items():
        if value is None and name in _OPTIONS:
            continue
        if name not in _OPTIONS:
            raise OperandTypeError(f"{operation} has no argument {name}")
        usual, instead = _OPTIONS[name]
        if not (isinstance(value, (str, bool)) and value in usual):
            raise OperandTypeError(f"{operation}: {name}={_show(value)} is not offered: {instead}")


def _show(value: Any) -> str:
    return repr(value) if isinstance(value, (str, type, np.dtype)) else describe(value)


def integer(x: Any, what: str) -> int:
    """An int, NumPy integer or zero-dimensional integer array as an int. Raises OperandTypeError naming `what`."""
    if type(x) is int:
        return x
    number = read_value(x, what)
    if not isinstance(number, (bool, np.bool)):
        try:
            return int(number) if _on_device(number) else index(number)
        except TypeError:
            pass
    raise OperandTypeError(f"{what} must be an integer, got {_show(x)}")


def _on_device(x: Any) -> bool:
    """Whether x is a zero-dimensional integer array on a GPU, which has no `__index__`."""
    if isinstance(x, type) or not hasattr(x, "dtype") or hasattr(x, "__index__"):
        return False
    return x.dtype.kind in "iu" and x.shape == ()


def integers(x: Any, what: str) -> tuple[int, ...]:
    """One integer, or a sequence or vector of them, as a tuple of ints. Raises OperandTypeError naming `what`."""
    return tuple(integer(n, what) for n in (x if is_several(x) else (x,)))


def is_several(x: Any) -> bool:
    """Whether x is a sequence or a vector, not one number."""
    return isinstance(x, (tuple, list, range)) or ndim_of(x) == 1


def ndim_of(x: Any) -> int:
    """How many axes an array has; 0 for anything else."""
    return 0 if isinstance(x, type) else len(getattr(x, "shape", ()))  # np.float64 has a shape as well


def dtype_from(dtype: Any, operation: str) -> np.dtype:
    """The dtype that `dtype` names. Raises OperandTypeError unless it is boolean or numeric."""
    try:
        found = np.dtype(dtype)
    except (TypeError, ValueError):
        found = None
    if found is None or found.kind not in "biufc":
        shown = f"{operation}: dtype={_show(dtype)}"
        raise OperandTypeError(f"{shown} is not a numeric dtype; pass other arguments by keyword")
    return found
