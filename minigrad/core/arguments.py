"""Arguments other than arrays: integers, dtypes, and NumPy options that are not supported.

Array functions have NumPy's signatures, so a call means the same with NumPy and minigrad. An option that is not
supported stays in the signature: values that change nothing, such as its default, are accepted; others are refused.
"""

from __future__ import annotations

from operator import index
from typing import Any

import numpy as np

from minigrad.backends.dtypes import find_dtype, is_numeric
from minigrad.core.arrays import describe
from minigrad.core.errors import OperandTypeError
from minigrad.core.interpreter import read_value

_OPTIONS: dict[str, tuple[tuple, str]] = {
    "out": ((), "use the returned array"),
    "where": ((True,), "select elements with mg.where first"),
    "initial": ((), "combine it with the result, for example by + or mg.maximum"),
    "dtype": ((), "convert with mg.astype"),
    "shape": ((), "use mg.broadcast_to"),
    "stream": ((), "minigrad orders the work of a GPU itself"),
    "order": (("K",), "the memory layout cannot be chosen, so leave it out"),
    "subok": ((True, False), "only True and False are accepted, and neither has an effect"),
    "casting": (("same_kind",), "convert with mg.astype"),
    "copy": ((), "memory is shared where possible, so leave it out, or use mg.copy"),
    "hermitian": ((False,), "for symmetric matrices use mg.eigh"),
    "mode": (("raise",), "indices must be in range, so clip them with mg.clip first"),
    "weights": ((), "repeat elements with mg.repeat instead"),
    "optimize": ((True, False, "greedy", "optimal"), "the order of products cannot be chosen, so leave it out"),
    "like": ((), "the result is a NumPy or CuPy array, so leave it out"),
    "signature": ((), "the dtype follows the arguments, so convert them with mg.astype"),
    "axes": ((), "move axes with mg.moveaxis"),
    "axis": ((), "move axes with mg.moveaxis"),
    "keepdims": ((False,), "insert axes with mg.expand_dims"),
    "constant_values": ((), "only mode 'constant' uses it"),
    "end_values": ((), "only mode 'linear_ramp' uses it, which is not supported"),
    "stat_length": ((), "only modes that are not supported use it ('maximum', 'mean', 'median', 'minimum')"),
    "reflect_type": (("even",), "build the odd reflection with mg.flip and mg.concatenate"),
}
"""For each option: the values besides None that are accepted because they change nothing, and advice on others."""


def check_options(operation: str, /, **options: Any) -> None:
    """Raise OperandTypeError if one of these NumPy options has a value that would change the result."""
    for name, value in options.items():
        if value is None and name in _OPTIONS:
            continue
        if name not in _OPTIONS:
            raise OperandTypeError(f"{operation} has no argument {name}")
        accepted, advice = _OPTIONS[name]
        if not (isinstance(value, (str, bool)) and value in accepted):
            raise OperandTypeError(f"{operation}: {name}={_show(value)} is not supported: {advice}")


def _show(value: Any) -> str:
    return repr(value) if isinstance(value, (str, type, np.dtype)) else describe(value)


def integer(x: Any, what: str) -> int:
    """An int, NumPy integer or zero-dimensional integer array as an int. Raises OperandTypeError, naming `what`."""
    if type(x) is int:
        return x
    number = read_value(x, what)
    if not isinstance(number, (bool, np.bool)):
        try:
            return int(number) if _is_device_integer(number) else index(number)
        except TypeError:
            pass
    raise OperandTypeError(f"{what} must be an integer, got {_show(x)}")


def _is_device_integer(x: Any) -> bool:
    """Whether x is a zero-dimensional integer array on a GPU, which has no `__index__`."""
    if isinstance(x, type) or not hasattr(x, "dtype") or hasattr(x, "__index__"):
        return False
    return x.dtype.kind in "iu" and x.shape == ()


def integers(x: Any, what: str) -> tuple[int, ...]:
    """One integer, or a sequence or vector of integers, as a tuple. Raises OperandTypeError, naming `what`."""
    return tuple(integer(n, what) for n in (x if is_several(x) else (x,)))


def check_callable(f: Any, operation: str) -> None:
    """Raise OperandTypeError unless f can be called."""
    if not callable(f):
        raise OperandTypeError(f"{operation}: needs a function, got {describe(f)}")


def is_several(x: Any) -> bool:
    """Whether x is a sequence or a vector, as opposed to one number."""
    return isinstance(x, (tuple, list, range)) or ndim_of(x) == 1


def ndim_of(x: Any) -> int:
    """The number of axes of an array; 0 for anything else."""
    return 0 if isinstance(x, type) else len(getattr(x, "shape", ()))  # the class np.float64 has a `shape` too


def dtype_from(dtype: Any, operation: str) -> np.dtype:
    """The dtype that `dtype` names. Raises OperandTypeError unless it is boolean or numeric, or without ml_dtypes
    for bfloat16.
    """
    try:
        found = find_dtype(dtype)
    except (TypeError, ValueError):
        found = None
    except ModuleNotFoundError as error:
        raise OperandTypeError(f"{operation}: {error}") from None
    if found is None or not is_numeric(found):
        shown = f"{operation}: dtype={_show(dtype)}"
        raise OperandTypeError(f"{shown} is not a numeric dtype; pass other arguments by keyword")
    return found
