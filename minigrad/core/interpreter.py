"""Every operation calls a primitive, `primitive(*arrays, **params)`; the current interpreter decides what it does.

A *primitive* is an operation with a forward formula and a derivative rule. A *traced value* takes the place of an array
in a function that is being differentiated. An *interpreter* runs primitives. `Eval`, at the bottom, computes with plain
arrays. Every other interpreter unwraps its own traced values, passes the primitive to the interpreter below, and then
does its own work, such as recording a tape entry or computing a tangent. Arrays are positional and metadata is
keyword-only, so traced values can only be positional arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from sys import modules
from typing import Any

import numpy as np

from minigrad.backends import Backend, DeviceError, NotAnArrayError, OutOfMemoryError, backend_of, explain
from minigrad.backends.dtypes import compute, needs_float32
from minigrad.core.arrays import describe, dtype_of, shape_of
from minigrad.core.errors import (
    EscapedTracerError,
    OperandError,
    OperandIndexError,
    OperandTypeError,
)
from minigrad.core.origin import Origin
from minigrad.core.traits import Traits

# Primitives


primitives: dict[str, Primitive] = {}


class Primitive:
    """An operation: `forward(backend, *arrays, out=None, **params)`, its derivative `rule` and its `batching` statement
    (None until stated), and its `traits` for schedulers.

    `view_of` is the position of the argument whose memory the result may share (None: the result has new memory).
    """

    def __init__(self, name: str, forward: Callable, view_of: int | None = None):
        if name in primitives:
            raise ValueError(f"primitive {name!r} is already registered")
        self.name, self.forward, self.view_of = name, forward, view_of
        self.rule: Any = None
        self.batching: Any = None
        self.traits = Traits()
        primitives[name] = self

    def __call__(self, *args: Any, **params: Any) -> Any:
        """Apply the primitive to arrays, traced or not, under the current interpreter."""
        return _current.get().process(self, args, params)

    def __repr__(self) -> str:
        return f"<primitive {self.name}>"

    def __reduce__(self) -> tuple:
        return find_primitive, (self.name,)  # copying or unpickling returns the registered primitive


def find_primitive(name: str) -> Primitive:
    """The primitive with this name. Raises OperandError (a ValueError) if there is none."""
    if name not in primitives:
        raise OperandError(f"no primitive is named {name!r}: import the module that defines it")
    return primitives[name]


def primitive(name: str, view_of: int | None = None) -> Callable[[Callable[..., Any]], Primitive]:
    """Decorator: turn a forward formula into a registered primitive."""
    return lambda forward: Primitive(name, forward, view_of)


# Traced values


class Tracer:
    """A traced value: what a function receives instead of an array while it is being differentiated.

    `_value` is the value one level down (itself traced when derivatives nest); `level` identifies the interpreter;
    `origin` tells which operation and line produced it. `ops.methods` adds operators and NumPy's protocols.
    """

    __slots__ = ("__weakref__", "_value", "level", "origin")
    __array_priority__ = 1000

    def __init__(self, value: Any, level: object, origin: Origin):
        self._value, self.level, self.origin = value, level, origin

    @property
    def shape(self) -> tuple[int, ...]:
        return shape_of(self._value)

    @property
    def dtype(self) -> np.dtype:
        return dtype_of(self._value)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def value(self) -> Any:
        """The plain array behind a traced value, read-only, to print or log; no derivative passes through it."""
        return find_backend(self).freeze(read_value(self, "x.value"))

    def read_value(self, use: str) -> Any:
        """The plain array, where code (`use`, named in errors) needs its values. An interpreter may refuse."""
        return read_value(self._value, use)

    def example(self) -> Any:
        """A plain array of this shape and dtype."""
        return example_of(self._value)

    def __repr__(self) -> str:
        return f"traced({self._value!r})"

    def __reduce_ex__(self, protocol: int) -> Any:
        raise OperandTypeError(
            f"a traced value, made by {self.origin}, cannot be pickled: it exists only while its function is traced; "
            "return it from the function and pickle the result"
        )


def concrete(x: Any) -> Any:
    """The plain array behind a traced value; anything else unchanged."""
    while isinstance(x, Tracer):
        x = x._value
    return x


def example_of(x: Any) -> Any:
    """A plain array of the shape and dtype of a traced value; anything else unchanged."""
    return x.example() if isinstance(x, Tracer) else x


def read_value(x: Any, use: str) -> Any:
    """The plain array behind x, where code (`use`, named in errors) needs its values."""
    return x.read_value(use) if isinstance(x, Tracer) else x


def find_backend(x: Any) -> Backend:
    """The backend of x, traced or not."""
    return backend_of((concrete(x),))


# Interpreters


class Interpreter:
    """Runs primitives while it is current. A context manager: leaving it restores the interpreter below."""

    parent: Interpreter
    open = False  # True inside its `with` block

    def process(self, primitive: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
        """The result of the primitive for these arguments."""
        raise NotImplementedError

    def call(self, call: Any, leaves: Sequence[Any]) -> list[Any]:
        """The results of a `minigrad.core.batching.Call`, by its operations unless an interpreter does better."""
        return call.run(leaves)

    def checkpoint(self, function: Callable[..., Any], args: tuple) -> Any:
        """function(*args), which a derivative shall run again; one that captures the function may keep it as a call."""
        return function(*args)

    def note_units(self, array: Any) -> Any:
        """An array of unit tangents or cotangents, unchanged. Nobody else has it, so a program need not watch it for
        changes, and a product with it computes nothing."""
        return self.parent.note_units(array)

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Makes the interpreter below current, so that this one does not see the operations by which others below run
        a primitive or a call."""
        token = _current.set(self.parent)
        try:
            yield
        finally:
            _current.reset(token)

    def __enter__(self) -> Any:
        if self.open:
            raise RuntimeError(f"this {type(self).__name__} is already active: create another one")
        self.parent, self.open = _current.get(), True
        _current.set(self)
        return self

    def __exit__(self, kind: Any = None, error: Any = None, trace: Any = None) -> None:
        self.open = False
        if _current.get() is self:  # generators may be left in a different order than they were entered
            below = self.parent
            while not below.open:
                below = below.parent
            _current.set(below)
        if type(error) is ValueError and isinstance(error.__cause__, OperandTypeError):
            _explain_item_assignment(error)


def _explain_item_assignment(error: ValueError) -> None:
    """Explain NumPy's error "setting an array element with a sequence", which out[i] = x raises for a traced x."""
    if "setting an array element" in str(error):
        raise type(error.__cause__)(
            "out[i] = x would store a traced value in a plain array, which loses its derivative: collect the values in "
            "a list for mg.asarray, or select with mg.where"
        ).with_traceback(error.__traceback__) from None


def refuse_traced(call: Any, origins: Sequence[Origin]) -> None:
    """Raise EscapedTracerError for values with these origins, which a function with its own derivative took from
    outside."""
    for origin in origins:
        raise EscapedTracerError(
            f"{call.name} has a derivative of its own, but uses a traced value made by {origin} that is not an "
            "argument: pass it as one"
        )


def runs_in_float32(primitive: Primitive, args: Sequence[Any]) -> bool:
    """Whether the formula of a primitive gets bfloat16 arguments in float32: if it computes with some of these."""
    return needs_float32(args) and primitive.view_of is None and not primitive.traits.any_dtype


def evaluate(primitive: Primitive, backend: Backend, args: Sequence[Any], params: dict[str, Any]) -> Any:
    """The result of a primitive for plain arrays."""
    if runs_in_float32(primitive, args):
        return compute(primitive.forward, backend, args, params)
    return primitive.forward(backend, *args, **params)


class Eval(Interpreter):
    """The bottom level: selects the backend of the arrays and runs the forward formula."""

    open = True

    def note_units(self, array: Any) -> Any:
        return array

    def process(self, primitive: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
        try:
            backend = backend_of(args)
            if "ml_dtypes" in modules and needs_float32(args):  # without ml_dtypes, no array is bfloat16
                return evaluate(primitive, backend, args, params)
            return primitive.forward(backend, *args, **params)
        except NotAnArrayError as error:
            if not any(isinstance(arg, (list, tuple)) for arg in args):
                raise explain_error(error, primitive, args, params) from None
            return self.process(primitive, [np.asarray(a) if isinstance(a, (list, tuple)) else a for a in args], params)
        except EXPLAINED as error:
            raise explain_error(error, primitive, args, params) from error


_BOTTOM = Eval()
_current: ContextVar[Interpreter] = ContextVar("minigrad interpreter", default=_BOTTOM)


def current() -> Interpreter:
    """The current interpreter of this thread or task."""
    return _current.get()


@contextmanager
def evaluating() -> Iterator[Interpreter]:
    """Operations run at once, unseen by the interpreters that are active: for plain arrays."""
    token = _current.set(_BOTTOM)
    try:
        yield _BOTTOM
    finally:
        _current.reset(token)


EXPLAINED = (ValueError, TypeError, IndexError, RuntimeError, MemoryError)


def explain_error(error: Exception, primitive: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Exception:
    """An error of the same kind whose message gives the operation, shapes and dtypes."""
    for arg in args:
        if isinstance(arg, Tracer):
            return EscapedTracerError(
                f"'{primitive.name}' got a traced value made by {arg.origin} after the derivative it belongs to ended, "
                "or in another thread: return it from the differentiated function instead of storing it"
            )
    if isinstance(error, (DeviceError, OutOfMemoryError, OperandError, OperandTypeError, OperandIndexError)):
        return error
    arguments = ", ".join([describe(a) for a in args] + [f"{k}={v!r}" for k, v in params.items() if v is not None])
    call = f"{primitive.name}({arguments})"
    if (failure := explain(error, call)) is not None:
        return failure
    message = f"{call}: {error}"
    if isinstance(error, RuntimeError) and not isinstance(error, NotImplementedError):
        return error
    if isinstance(error, np.linalg.LinAlgError):
        return np.linalg.LinAlgError(message)
    if isinstance(error, IndexError):  # including NumPy's AxisError
        return OperandIndexError(message)
    return OperandTypeError(message) if isinstance(error, TypeError) else OperandError(message)
