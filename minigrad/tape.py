"""The tape's face: watch values, compute, ask for derivatives, print what happened."""

from __future__ import annotations

from typing import Any

from minigrad import tree
from minigrad.core import OperandError, OperandTypeError, Tracer, dtype_of, shape_of
from minigrad.ops.elementwise import zeros_like_p
from minigrad.reverse import Reverse, Segment
from minigrad.rules import cast
from minigrad.transforms import as_array, check_fits, check_inexact, owned


class Tape:
    """A recording of everything done to watched values.

    >>> import minigrad as mg
    >>> with mg.Tape() as tape:
    ...     x = tape.watch(3.0)
    ...     y = x * mg.sin(x)
    >>> round(float(tape.gradient(y, x)), 6)  # sin 3 + 3 cos 3
    -2.828857
    """

    def __init__(self) -> None:
        self._reverse = Reverse()

    def __enter__(self) -> Tape:
        if self._reverse.open:
            raise RuntimeError("this Tape is already recording: make another one")
        self._reverse.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._reverse.__exit__(*error)

    def watch(self, x: Any) -> Any:
        """x (a tree of floating arrays) as traced values whose uses are recorded. Raises TypeError for integers."""
        for leaf in tree.flatten(x)[0]:
            check_inexact(leaf, "Tape.watch")
        return tree.map(self._reverse.watch, x)

    def gradient(self, y: Any, x: Any, cotangent: Any = None) -> Any:
        """∂y/∂x for a traced y and any traced x (a tree of them), also one in the middle of the computation.

        y must be a scalar unless its `cotangent` is given. May be called any number of times. Raises ValueError for a
        value this tape did not trace.
        """
        value, index = self._reverse.lower(y)
        sources, structure = tree.flatten(x)
        if index is None or any(self._reverse.lower(s)[1] is None for s in sources):
            raise OperandError(
                "Tape.gradient: y and x must be traced by this tape: watch x, and compute y from it inside"
            )
        if cotangent is None:
            if shape_of(y) != ():
                raise OperandTypeError(f"Tape.gradient: y has shape {shape_of(y)}; give its cotangent, or reduce it")
            cotangent = zeros_like_p(value) + 1
        check_fits(cotangent, shape_of(value), dtype_of(value), "cotangent", "y")
        gradients = self._reverse.pull({index: cast(as_array(cotangent, value), value)}, [s.index for s in sources])
        return tree.unflatten(structure, owned(gradients, sources, [cotangent]))

    def __len__(self) -> int:
        return len(self._reverse.tape)

    def __str__(self) -> str:
        """One line an entry: index, operation, arguments, dtype and shape, and the line that asked for it."""
        return "\n".join(self._line(i, entry) for i, entry in enumerate(self._reverse.tape))

    def _line(self, index: int, entry: Any) -> str:
        if isinstance(entry, Segment):
            shown = ", ".join("·" if p is None else f"%{p}" for p in entry.parents)
            return f"%{index} = checkpoint({shown})    {entry.origin.file}:{entry.origin.line}"
        shown = [
            f"%{parent}" if parent is not None else _constant(arg)
            for parent, arg in zip(entry.parents, entry.args, strict=False)
        ] + [f"{name}={value!r}" for name, value in entry.params.items()]
        name = entry.origin.operation if entry.primitive is None else entry.primitive.name
        kind = f"{dtype_of(entry.result)}{list(shape_of(entry.result))}"
        return f"%{index} = {name}({', '.join(shown)}) : {kind}    {entry.origin.file}:{entry.origin.line}"


def _constant(arg: Any) -> str:
    if isinstance(arg, Tracer) or shape_of(arg):
        return f"{dtype_of(arg)}{list(shape_of(arg))}"
    return f"{arg:.6g}" if isinstance(arg, float) else str(getattr(arg, "dtype", arg))
