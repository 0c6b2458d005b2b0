"""Numbers, arrays and parameters as short text."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from minigrad.backends import NEUTRAL
from minigrad.core.arrays import describe, dtype_of, shape_of
from minigrad.core.batching import Call
from minigrad.core.interpreter import concrete, find_backend
from minigrad.core.origin import Origin

SMALL = 6  # an array with up to this many elements is shown number by number


def number(x: Any, digits: int = 4) -> str:
    """One number in a few significant digits.

    >>> number(0.1411200081), number(-0.0), number(3), number(1e-8)
    ('0.1411', '0', '3', '1e-08')
    """
    if isinstance(x, (bool, np.bool_)):
        return str(bool(x))
    if isinstance(x, (complex, np.complexfloating)):
        return f"{complex(x) + 0:.{digits}g}"
    return str(x) if isinstance(x, (int, np.integer)) else f"{float(x) + 0.0:.{digits}g}"


def summary(x: Any, small: int = SMALL, wide: int = 80) -> str:
    """The content of an array: every number of a small one, the range of a large one and its count of NaN.

    An array is large if it has more than `small` numbers or takes more than `wide` characters.

    >>> summary(np.array([[1.0, -0.5]])), summary(np.ones(9)), summary(np.arange(9.0))
    ('= [[1, -0.5]]', '= 1 everywhere', '∈ [0, 8]')
    """
    x, backend = concrete(x), find_backend(x)
    size = int(np.prod(shape_of(x)))
    if size <= small:
        numbers = np.asarray(backend.to_host(x))
        words = "= " + _write_array(numbers, 4 if size == 1 else 3)
        if size < 2 or (len(words) <= wide and not (numbers.ndim > 1 and np.all(numbers == numbers.flat[0]))):
            return words
    is_nan = backend.xp.isnan(x)  # only scalars leave the device of a large array
    missing = int(is_nan.sum())
    known = x[~is_nan] if missing else x
    if missing == size:
        return "= nan everywhere"
    counted = f", {missing} nan" if missing else ""
    if x.dtype.kind == "c":
        return f"∈ ℂ, |·| ≤ {number(_scalar(abs(known).max()))}{counted}"
    low, high = number(_scalar(known.min())), number(_scalar(known.max()))
    return f"= {low} everywhere{counted}" if _scalar(known.min() == known.max()) else f"∈ [{low}, {high}]{counted}"


def _scalar(x: Any) -> Any:
    return np.asarray(find_backend(x).to_host(x))[()]


def _write_array(x: np.ndarray, digits: int) -> str:
    return "[" + ", ".join(_write_array(part, digits) for part in x) + "]" if x.ndim else number(x[()], digits)


def kind(x: Any) -> str:
    """Dtype and shape: `float64[2, 3]`."""
    return f"{dtype_of(x)}{list(shape_of(x))}"


def constant(x: Any) -> str:
    """An argument that is not differentiated: a number as itself, an array by its dtype and shape."""
    return number(x, 6) if isinstance(x, NEUTRAL) else describe(x)


def parameters(params: dict[str, Any]) -> list[str]:
    """`axes=(0, 1)`, and so on, without those that are None.

    >>> parameters({"index": (0, slice(1, None), Ellipsis), "dtype": np.dtype("f4"), "axis": None})
    ['index=(0, 1:, ...)', 'dtype=float32']
    """
    return [f"{name}={_parameter(value)}" for name, value in params.items() if value is not None]


def _parameter(value: Any) -> str:
    if isinstance(value, slice):
        ends = ["" if end is None else str(end) for end in (value.start, value.stop, value.step)]
        return ":".join(ends if ends[2] else ends[:2])
    if isinstance(value, (tuple, list)):
        inner = ", ".join(map(_parameter, value)) + ("," if isinstance(value, tuple) and len(value) == 1 else "")
        return f"({inner})" if isinstance(value, tuple) else f"[{inner}]"
    if value is Ellipsis:
        return "..."
    if isinstance(value, np.dtype) or (isinstance(value, type) and issubclass(value, np.generic)):
        return np.dtype(value).name
    if isinstance(value, str):
        return repr(value)
    if isinstance(value, Call):
        return str(value)
    return str(value) if isinstance(value, NEUTRAL) else describe(value)


def function_name(f: Any) -> str:
    """The name of a function; `f` if it has none."""
    while isinstance(f, partial):
        f = f.func
    name = getattr(f, "__name__", type(f).__name__)
    return "f" if name == "<lambda>" else name


def place(origin: Origin) -> str:
    """`file:line`."""
    return f"{origin.file}:{origin.line}"
