"""Operators, methods and NumPy's protocols, with which traced values behave like arrays.

`np.sin(traced)`, `np.concatenate([traced])` and `array * traced` call minigrad's operation of the same name. What would
silently lose a derivative (float(x), np.asarray(x), item assignment) raises and says what to do instead.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import index as as_int
from types import ModuleType
from typing import Any

import numpy as np

from minigrad.core import tree
from minigrad.core.arguments import check_options, dtype_from
from minigrad.core.errors import OperandTypeError
from minigrad.core.interpreter import Tracer, find_backend, read_value
from minigrad.ops import extremes, indexing, inplace, linalg, reduce, scan, shape, statistics
from minigrad.ops.arithmetic import abs, add, clip, divide, multiply, negative, remainder, subtract
from minigrad.ops.comparisons import (
    bitwise_and,
    bitwise_or,
    bitwise_xor,
    equal,
    floor_divide,
    greater,
    greater_equal,
    invert,
    left_shift,
    less,
    less_equal,
    not_equal,
    right_shift,
)
from minigrad.ops.complex import conjugate, imag, real
from minigrad.ops.functions import power
from minigrad.ops.namespace import make_array_namespace
from minigrad.ops.placement import place
from minigrad.ops.refused import NO_DERIVATIVE, REFUSED, advise
from minigrad.ops.shape import reshape

_OPERATORS = {
    "add": add,
    "sub": subtract,
    "mul": multiply,
    "truediv": divide,
    "pow": power,
    "matmul": linalg.matmul,
    "mod": remainder,
    "floordiv": floor_divide,
}
_BITS = {"and": bitwise_and, "or": bitwise_or, "xor": bitwise_xor, "lshift": left_shift, "rshift": right_shift}
_UNSUPPORTED = {"divmod": ("divmod(x, y)", "x // y and x % y")}
"""Operators that are not supported: how they are written, and what to write instead."""
_COMPARISONS = {
    "eq": equal,
    "ne": not_equal,
    "lt": less,
    "le": less_equal,
    "gt": greater,
    "ge": greater_equal,
}
_METHODS = {
    **{name: getattr(reduce, name) for name in "sum any all".split()},
    **{name: getattr(statistics, name) for name in "mean var std".split()},
    **{name: getattr(extremes, name) for name in "max min argmax argmin argsort".split()},
    **{name: getattr(scan, name) for name in "prod cumsum cumprod".split()},
    **{name: getattr(shape, name) for name in "ravel swapaxes squeeze".split()},
    "dot": linalg.dot,
    "trace": linalg.trace,
    "diagonal": indexing.diagonal,
    "take": indexing.take,
    "nonzero": indexing.nonzero,
    "flatten": shape.ravel,
}
_SIZES = ("shape", "ndim", "size")  # np.shape(traced) and the like
_KINDS = ("iscomplexobj", "isrealobj")


def install(package: ModuleType) -> None:
    """Give `Tracer` operators, methods and NumPy's protocols, which call the functions of `package` (minigrad)."""
    for name, function in (_OPERATORS | _BITS).items():
        setattr(Tracer, f"__{name}__", _binary(function))
        setattr(Tracer, f"__r{name}__", _reflect(function))
    for name, function in _COMPARISONS.items():
        setattr(Tracer, f"__{name}__", _binary(function))
    for name, function in _METHODS.items():
        setattr(Tracer, name, function)
    for name, (written, instead) in _UNSUPPORTED.items():
        setattr(Tracer, f"__{name}__", _refuse_operator(written, instead))
        setattr(Tracer, f"__r{name}__", _refuse_operator(written, instead))
    members: dict[str, Any] = {
        "__neg__": negative,
        "__abs__": abs,
        "__invert__": invert,
        "__pos__": lambda x: x,
        "__getitem__": indexing.getitem,
        "__len__": _get_length,
        "__iter__": lambda x: (x[i] for i in range(len(x))),
        "__bool__": lambda x: bool(read_value(x, "bool(x)")),
        "__int__": lambda x: int(read_value(x, "int(x)")),
        "__index__": lambda x: as_int(read_value(x, "operator.index(x)")),
        "__round__": _refuse("round(x)", "use mg.rint(x), or round(float(mg.stop_gradient(x)))"),
        "__float__": _refuse("float(x)", "use float(mg.stop_gradient(x)), or math functions from mg instead of math"),
        "__complex__": _refuse("complex(x)", "use mg.stop_gradient(x) first"),
        "__array__": _refuse(
            "array[x] or np.asarray(x)",  # the index of a plain array is made an array
            "use the mg function of the same name, mg.asarray for a list or for out[i] = x, mg.concatenate for "
            "np.r_, or mg.stop_gradient(x) first",
        ),
        "__dlpack__": _refuse("DLPack export", "use mg.stop_gradient(x) first"),
        "__dlpack_device__": _refuse("DLPack export", "use mg.stop_gradient(x) first"),
        "item": _refuse("x.item()", "use mg.stop_gradient(x) first"),
        "tolist": _refuse("x.tolist()", "use mg.stop_gradient(x) first"),
        "__format__": lambda x, spec: format(read_value(x, "format(x)"), spec) if spec else repr(x),
        "__copy__": lambda x: x,
        "__deepcopy__": lambda x, memo: x,
        "__hash__": object.__hash__,
        "real": property(real),
        "imag": property(imag),
        "device": property(lambda x: find_backend(x).device),
        "to_device": _to_device,
        "T": property(shape.transpose),
        "mT": property(linalg.mT),
        "transpose": _transpose,
        "reshape": _reshape,
        "clip": _clip,
        "conj": _conjugate,
        "conjugate": _conjugate,
        "copy": _copy,
        "astype": _astype,
        "__array_namespace__": make_array_namespace(package),
        "__array_ufunc__": _make_array_ufunc(package),
        "__array_function__": _make_array_function(package),
        **inplace.MEMBERS,
    }
    for name, member in members.items():
        setattr(Tracer, name, member)


def _binary(function: Callable) -> Callable[..., Any]:
    function = getattr(function, "primitive", function)
    return lambda self, other: function(self, other) if _is_operand(other) else NotImplemented


def _reflect(function: Callable) -> Callable[..., Any]:
    function = getattr(function, "primitive", function)
    return lambda self, other: function(other, self) if _is_operand(other) else NotImplemented


def _is_operand(x: Any) -> bool:
    return isinstance(x, (Tracer, int, float, complex, list, tuple)) or hasattr(x, "dtype")


# Methods whose arguments differ from those of NumPy's function of the same name


def _transpose(x, *axes):
    return shape.transpose(x, axes[0] if len(axes) == 1 else axes or None)


def _reshape(x, /, *shape, order="C", copy=None):
    return reshape(x, shape[0] if len(shape) == 1 else shape, order, copy=copy)


def _clip(x, /, min=None, max=None, out=None, **options):
    return clip(x, None, None, out, min=min, max=max, **options)


def _conjugate(x, /):
    return conjugate(x)


def _copy(x, /, order="C"):
    return shape.copy(x, order)


def _astype(x, /, dtype, order="K", casting="unsafe", subok=True, copy=True):
    check_options("astype", order=order, subok=subok)
    dtype = dtype_from(dtype, "astype")
    if not np.can_cast(x.dtype, dtype, casting):
        raise OperandTypeError(f"astype: {x.dtype} cannot be cast to {dtype} with casting={casting!r}")
    return shape.astype(x, dtype, copy=copy)


def _to_device(x, device, /, *, stream=None):
    check_options("to_device", stream=stream)
    return place(x, device, "to_device")


def _get_length(x: Tracer) -> int:
    if not x.shape:
        raise OperandTypeError("len() of a traced scalar, which has no axes")
    return x.shape[0]


def _refuse_operator(written: str, instead: str) -> Callable[..., Any]:
    def refuse(self: Tracer, other: Any) -> None:
        raise OperandTypeError(f"{written} is not supported for traced values: use {instead}")

    return refuse


def _refuse(what: str, instead: str) -> Callable[..., Any]:
    def refuse(self: Tracer, *args: Any, **kwargs: Any) -> None:
        read_value(self, what)  # raises during capture, where stop_gradient would not help either
        raise OperandTypeError(f"{what} of a traced value would lose its derivative: {instead}")

    return refuse


def _make_array_ufunc(package: ModuleType) -> Callable[..., Any]:
    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        if kwargs.get("out") is not None or method == "at":
            inplace.refuse_out(ufunc.__name__)
        if ufunc.__name__ in NO_DERIVATIVE and method == "__call__":
            return ufunc(*[read_value(x, f"np.{ufunc.__name__}(x)") for x in inputs], **kwargs)
        function = getattr(package, ufunc.__name__, None)
        if function is None or method != "__call__":
            call = f"np.{ufunc.__name__}" + (f".{method}" if method != "__call__" else "")
            raise OperandTypeError(f"{call} is not supported for traced values{advise(ufunc.__name__)}")
        return function(*inputs, **kwargs)

    return __array_ufunc__


def _make_array_function(package: ModuleType) -> Callable[..., Any]:
    def __array_function__(self, function, types, args, kwargs):
        module = function.__module__.removeprefix("numpy").lstrip(".")
        name = f"{module}.{function.__name__}".lstrip(".")
        if name in inplace.WRITERS:
            inplace.refuse_assignment(*args[:2])
        if name in NO_DERIVATIVE:
            args, kwargs = tree.map(lambda x: read_value(x, f"np.{name}(x)"), (tuple(args), kwargs))
            return function(*args, **kwargs)
        home = {"": package, "lib": package, "linalg": package.linalg, "fft": package.fft}.get(module)
        ours = getattr(home, function.__name__, None)
        ours = linalg.trace if ours is package.trace else ours  # mg.trace is the one that captures programs
        if name in _SIZES and len(args) == 1 and not kwargs:
            return getattr(self, name)
        if name in _KINDS:
            return (args[0].dtype.kind == "c") == (name == "iscomplexobj")
        if ours is None or not callable(ours) or name in REFUSED:
            raise OperandTypeError(f"numpy.{name} is not supported for traced values{advise(name)}")
        return ours(*args, **kwargs)

    return __array_function__
