"""Random calls of every function of the array API standard, drawn from the signatures of `array_api_strict`.

`draw_call` gives each parameter a value by its name: `PARAMETERS` has a rule for each name, and `SPECIAL` the rules of
single functions. Arrays are NumPy's; `to_strict` converts a call for `array_api_strict`, whose answers are the truth.
"""

from __future__ import annotations

import inspect
import math
import random
from collections.abc import Callable
from operator import attrgetter
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

SIGNED, UNSIGNED = ["int8", "int16", "int32", "int64"], ["uint8", "uint16", "uint32", "uint64"]
REAL, COMPLEX = ["float32", "float64"], ["complex64", "complex128"]
DTYPES = ["bool", *SIGNED, *UNSIGNED, *REAL, *COMPLEX]
KINDS = [["bool"], SIGNED + UNSIGNED, REAL + COMPLEX]


class Call(NamedTuple):
    """Arguments by position and by name."""

    args: list
    named: dict[str, Any]


class Draw:
    """The choices of one call: a random generator, the function's name, the dtype, and the parameters drawn so far."""

    def __init__(self, random: random.Random, name: str, dtype: str):
        self.random, self.name, self.dtype = random, name, np.dtype(dtype)
        self.known: dict[str, Any] = {}

    def integer(self, low: int, high: int) -> int:
        return self.random.randint(low, high)

    def one_of(self, *options: Any) -> Any:
        return self.random.choice(options)

    def shape(self, low: int = 0, high: int = 3, shortest: int = 1) -> tuple[int, ...]:
        shape = [self.integer(1, 3) for _ in range(self.integer(low, high))]
        if shape and shortest == 0 and self.integer(0, 9) == 0:
            shape[0] = 0
        return tuple(shape)

    def array(self, shape: tuple[int, ...], dtype: Any = None) -> np.ndarray:
        """Quarters from −3 to 3 with ties and zeros, and small integers."""
        dtype = self.dtype if dtype is None else np.dtype(dtype)
        numbers = [self.integer(-12, 12) for _ in range(math.prod(shape))]
        x = np.array(numbers, np.float64).reshape(shape)
        if dtype.kind in "iu":
            x = np.abs(x) % 4 if dtype.kind == "u" else np.fmod(x, 4)
        elif dtype.kind == "b":
            x = x > 0
        else:
            x = x / 4 + (1j * np.flip(x) if dtype.kind == "c" else 0)
        return np.asarray(x, dtype)

    def near(self) -> np.dtype:
        """A dtype of the same kind, which may be another."""
        return np.dtype(self.one_of(*next(kind for kind in KINDS if self.dtype.name in kind)))

    def matrices(self) -> np.ndarray:
        """Square matrices, well conditioned."""
        n = self.integer(1, 3)
        return self.array((*self.shape(0, 1), n, n)) + (10 * np.eye(n)).astype(self.dtype)


FITTED = ("x", "x1", "arrays")


def first(draw: Draw) -> np.ndarray:
    """The array that the other parameters fit."""
    return next(draw.known[name] if name != "arrays" else draw.known[name][0] for name in FITTED if name in draw.known)


# Rules by the name of the parameter


def any_axis(draw: Draw, parameter: inspect.Parameter) -> Any:
    ndim = first(draw).ndim
    if not ndim:
        return parameter.default if parameter.default is not inspect.Parameter.empty else 0
    if "tuple" in str(parameter.annotation) and draw.integer(0, 1):
        return tuple(draw.random.sample(range(ndim), draw.integer(1, ndim)))
    return draw.integer(-ndim, ndim - 1)


def second(draw: Draw, parameter: inspect.Parameter) -> Any:
    """An array that broadcasts to the first, or a number."""
    if draw.integer(0, 3) == 0:
        return {"b": True, "i": 2, "u": 2, "f": 1.5, "c": 1.5 + 1j}[draw.dtype.kind]
    shape = first(draw).shape
    return draw.array(tuple(draw.one_of(1, n) for n in shape[draw.integer(0, len(shape)) :]), draw.near())


def several(draw: Draw, parameter: inspect.Parameter) -> list:
    shape = draw.shape(1)
    return [draw.array(shape, draw.near()) for _ in range(draw.integer(1, 3))]


def flag(draw: Draw, parameter: inspect.Parameter) -> bool:
    return draw.one_of(True, False)


def bound(draw: Draw, parameter: inspect.Parameter) -> Any:
    return draw.one_of(None, *([1] if draw.dtype.kind in "iu" else [0.5, 1.5]))


def same_shape(draw: Draw, parameter: inspect.Parameter) -> np.ndarray:
    return draw.array(first(draw).shape)


def sizes(draw: Draw, parameter: inspect.Parameter) -> tuple[int, ...]:
    return draw.shape(shortest=0)


PARAMETERS: dict[str, Callable[[Draw, inspect.Parameter], Any]] = {
    "x": lambda draw, p: draw.array(draw.shape(shortest=0)),
    "x1": lambda draw, p: draw.array(draw.shape()),
    "x2": second,
    "arrays": several,
    "axis": any_axis,
    **dict.fromkeys("keepdims include_initial descending stable invert endpoint full_matrices upper".split(), flag),
    "copy": lambda draw, p: draw.one_of(True, None) if p.default is None else draw.one_of(True, False),
    "dtype": lambda draw, p: np.dtype(draw.one_of(*COMPLEX)) if draw.dtype.kind == "c" else draw.near(),
    "correction": lambda draw, p: draw.one_of(0, 0.5, 1),
    "shape": sizes,
    "axes": lambda draw, p: tuple(draw.random.sample(range(first(draw).ndim), first(draw).ndim)),
    **dict.fromkeys(("k", "offset"), lambda draw, p: draw.integer(-2, 2)),
    "n": lambda draw, p: draw.integer(1, 3),
    "n_rows": lambda draw, p: draw.integer(0, 3),
    "n_cols": lambda draw, p: draw.integer(0, 3),
    "num": lambda draw, p: draw.integer(0, 5),
    "start": lambda draw, p: draw.one_of(0, 1, -2.5),
    "stop": lambda draw, p: draw.one_of(3, 4.5),
    "step": lambda draw, p: draw.one_of(1, 2, 0.75),
    "fill_value": lambda draw, p: draw.array((1,)).item(),
    "shift": lambda draw, p: draw.integer(-4, 4),
    "repeats": lambda draw, p: draw.integer(0, 3),
    "repetitions": lambda draw, p: tuple(draw.integer(1, 2) for _ in range(draw.integer(0, 3))),
    "indexing": lambda draw, p: draw.one_of("xy", "ij"),
    "side": lambda draw, p: draw.one_of("left", "right"),
    "sorter": lambda draw, p: np.argsort(first(draw), kind="stable"),
    **dict.fromkeys(("prepend", "append"), same_shape),
    **dict.fromkeys(("min", "max"), bound),
    "ord": lambda draw, p: draw.one_of(1, 2, 3, math.inf, -math.inf, -1, 0),
    "rtol": lambda draw, p: draw.one_of(None, 0.1),
    "mode": lambda draw, p: draw.one_of("reduced", "complete"),
    "norm": lambda draw, p: draw.one_of("backward", "ortho", "forward"),
    "s": lambda draw, p: tuple(draw.integer(1, 4) for _ in range(first(draw).ndim)),
    "d": lambda draw, p: draw.one_of(0.5, 2.0),
}

# Rules of single functions


def vector(draw: Draw, parameter: inspect.Parameter) -> np.ndarray:
    return draw.array((draw.integer(1, 4),))


def definite(draw: Draw, parameter: inspect.Parameter) -> np.ndarray:
    """Symmetric or Hermitian, positive definite matrices with distinct eigenvalues."""
    x = draw.matrices()
    return np.asarray(x @ np.conj(np.swapaxes(x, -1, -2)), draw.dtype)


def stacks(draw: Draw, parameter: inspect.Parameter) -> np.ndarray:
    return draw.array(draw.shape(2))


def distinct(draw: Draw, parameter: inspect.Parameter) -> np.ndarray:
    """Matrices with distinct singular values."""
    x = stacks(draw, parameter)
    return x + (np.arange(x.size) % 7 * np.arange(x.size)).reshape(x.shape).astype(draw.dtype)


def indices(draw: Draw, parameter: inspect.Parameter) -> np.ndarray:
    x, axis = first(draw), draw.known["axis"]
    count = draw.integer(1, 3)
    if draw.name == "take":
        return draw.array((count,), "int64") % max(1, x.shape[axis])
    return draw.array((*x.shape[:axis], count, *x.shape[axis + 1 :]), "int64") % x.shape[axis]


def new_shape(draw: Draw, parameter: inspect.Parameter) -> tuple[int, ...]:
    size = first(draw).size
    return draw.one_of((size,), (-1,), (1, size), (size, 1)) if size else (0,)


def wider_shape(draw: Draw, parameter: inspect.Parameter) -> tuple[int, ...]:
    return (*draw.shape(0, 1), *(2 if n == 1 else n for n in first(draw).shape))


def last_axes_agree(draw: Draw, parameter: inspect.Parameter) -> np.ndarray:
    x1 = first(draw)
    return draw.array((*x1.shape[:-2], x1.shape[-1], draw.integer(1, 3)), draw.near())


def same_as_first(draw: Draw, parameter: inspect.Parameter) -> np.ndarray:
    return draw.array(first(draw).shape, draw.near())


THREE = lambda draw, p: draw.array((3,) * draw.integer(1, 3))
AXIS = lambda draw, p: draw.integer(-first(draw).ndim, -1)
SPECIAL: dict[str, dict[str, Callable[[Draw, inspect.Parameter], Any]]] = {
    "argmax": {"x": lambda draw, p: draw.array(draw.shape())},
    "argmin": {"x": lambda draw, p: draw.array(draw.shape())},
    "bitwise_left_shift": {"x2": lambda draw, p: np.abs(same_as_first(draw, p))},
    "bitwise_right_shift": {"x2": lambda draw, p: np.abs(same_as_first(draw, p))},
    "asarray": {"obj": lambda draw, p: draw.array(draw.shape(shortest=0))},
    "astype": {"dtype": lambda draw, p: np.dtype(draw.one_of(*DTYPES))},
    "broadcast_arrays": {"arrays": lambda draw, p: [draw.array(draw.one_of((2, 1), (3,), ())) for _ in range(2)]},
    "broadcast_to": {"shape": wider_shape},
    "cumulative_prod": {"x": vector},
    "cumulative_sum": {"x": vector},
    "diff": {"x": stacks, "n": lambda draw, p: draw.integer(0, 2)},
    "expand_dims": {"axis": lambda draw, p: draw.integer(-first(draw).ndim - 1, first(draw).ndim)},
    "fft.fftfreq": {"n": lambda draw, p: draw.integer(1, 6)},
    "fft.rfftfreq": {"n": lambda draw, p: draw.integer(1, 6)},
    **{f"fft.{n}": {"x": lambda draw, p: draw.array(draw.shape(1))} for n in "fft ifft rfft ihfft fftshift".split()},
    **{f"fft.{n}": {"x": lambda draw, p: draw.array(draw.shape(1))} for n in "fftn ifftn rfftn ifftshift".split()},
    **{f"fft.{n}": {"x": lambda draw, p: draw.array((*draw.shape(0, 2), 3))} for n in "irfft hfft irfftn".split()},
    "from_dlpack": {"x": lambda draw, p: draw.array(draw.shape()), "copy": lambda draw, p: None},
    "isin": {"invert": lambda draw, p: False},  # array_api_strict 2.6.1 ignores True
    "linalg.cholesky": {"x": definite},
    "linalg.cross": {"x1": THREE, "x2": same_as_first, "axis": AXIS},
    **{f"linalg.{n}": {"x": lambda draw, p: draw.matrices()} for n in "det inv slogdet".split()},
    **{f"linalg.{n}": {"x": definite} for n in "eigh eigvalsh".split()},
    **{f"linalg.{n}": {"x": stacks} for n in "diagonal trace matrix_transpose".split()},
    **{f"linalg.{n}": {"x": distinct} for n in "matrix_rank qr svd svdvals".split()},
    "linalg.matrix_norm": {"x": distinct, "ord": lambda draw, p: draw.one_of("fro", "nuc", 1, 2, -2, math.inf)},
    "linalg.matrix_power": {"x": lambda draw, p: draw.matrices(), "n": lambda draw, p: draw.integer(-2, 3)},
    "linalg.outer": {"x1": vector, "x2": lambda draw, p: draw.array((2,), draw.near())},
    "linalg.pinv": {"x": distinct},
    "linalg.solve": {"x1": lambda draw, p: draw.matrices(), "x2": last_axes_agree},
    **{n: {"x": stacks} for n in "tril triu matrix_transpose".split()},
    **{n: {"x1": stacks, "x2": last_axes_agree} for n in ("matmul", "linalg.matmul")},
    **{n: {"x1": THREE, "x2": same_as_first, "axis": AXIS} for n in ("vecdot", "linalg.vecdot")},
    **{
        n: {"x1": THREE, "x2": same_as_first, "axes": lambda draw, p: draw.one_of(0, first(draw).ndim, ([0], [0]))}
        for n in ("tensordot", "linalg.tensordot")
    },
    "meshgrid": {"arrays": lambda draw, p: [vector(draw, p) for _ in range(draw.integer(1, 3))]},
    "moveaxis": {
        "x": lambda draw, p: draw.array(draw.shape(1)),
        "source": lambda draw, p: draw.integer(0, first(draw).ndim - 1),
        "destination": lambda draw, p: draw.integer(-first(draw).ndim, -1),
    },
    **{n: {"x": lambda draw, p: draw.array(draw.shape())} for n in ("max", "min")},
    **{n: {"dtype": lambda draw, p: draw.near()} for n in ("zeros_like", "ones_like", "empty_like")},
    "nonzero": {"x": lambda draw, p: draw.array(draw.shape(1))},
    "reshape": {"shape": new_shape},
    "roll": {
        "axis": lambda draw, p: draw.integer(-first(draw).ndim, first(draw).ndim - 1) if first(draw).ndim else None
    },
    "searchsorted": {"x1": vector, "x2": same_as_first},
    "squeeze": {
        "x": lambda draw, p: draw.array((1, *draw.shape(), 1)),
        "axis": lambda draw, p: draw.one_of(0, -1, (0, -1)),
    },
    "take": {"x": lambda draw, p: draw.array(draw.shape(1)), "axis": any_axis, "indices": indices},
    "take_along_axis": {"x": lambda draw, p: draw.array(draw.shape(1)), "axis": any_axis, "indices": indices},
    "where": {
        "condition": lambda draw, p: draw.array((3,), bool),
        "x1": lambda draw, p: draw.array((3,)),
        "x2": second,
    },
    "unstack": {"x": lambda draw, p: draw.array(draw.shape(1))},
}
"""By function, rules for its parameters other than those of `PARAMETERS`."""

ALWAYS = {"take": {"axis"}, "take_along_axis": {"axis"}, "linalg.cross": {"axis"}}
"""By function, optional parameters that are always passed, because others are drawn to fit them."""

FIRST = {"take": ["x", "axis", "indices"], "take_along_axis": ["x", "axis", "indices"]}
"""By function, the order in which parameters are drawn, if that is not the order of the signature."""


def draw_call(random: random.Random, strict: ModuleType, name: str, dtype: str) -> Call:
    """A call of a function of the standard."""
    parameters = inspect.signature(attrgetter(name)(strict)).parameters
    draw, rules = Draw(random, name, dtype), PARAMETERS | SPECIAL.get(name, {})
    order = FIRST.get(name, [])
    for p in [*[parameters[n] for n in order], *[p for n, p in parameters.items() if n not in order]]:
        optional = p.default is not p.empty and p.name not in ALWAYS.get(name, ())
        if p.name == "device" or (optional and draw.integer(0, 1)):
            continue
        draw.known[p.name] = rules[p.name](draw, p)
    args, named = [], {}
    for p in parameters.values():
        if p.kind is p.VAR_POSITIONAL:
            args += draw.known[p.name]
        elif p.name not in draw.known:
            continue
        elif p.kind is p.POSITIONAL_ONLY and len(named) == 0:
            args.append(draw.known[p.name])
        else:
            named[p.name] = draw.known[p.name]
    return Call(args, named)


def to_strict(value: Any, strict: ModuleType) -> Any:
    """A value of a call, with NumPy's arrays and dtypes replaced by those of `array_api_strict`."""
    if isinstance(value, (list, tuple)):
        return type(value)(to_strict(v, strict) for v in value)
    if isinstance(value, np.ndarray):
        return strict.asarray(value)
    return getattr(strict, value.name) if isinstance(value, np.dtype) else value
