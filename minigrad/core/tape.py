"""mg.Tape: watch values, compute, ask for derivatives, and print the recording."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minigrad.core import tree
from minigrad.core.arrays import dtype_of, shape_of
from minigrad.core.errors import OperandError, OperandTypeError
from minigrad.core.leaves import as_array, check_fits, check_inexact, separate
from minigrad.core.printing import as_html, as_text
from minigrad.core.reverse import Entry, Node, Reverse
from minigrad.core.vectors import cast, ones


class Tape:
    """A recording of the operations on watched values.

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
            raise RuntimeError("this Tape is already recording: create another one")
        self._reverse.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._reverse.__exit__(*error)

    def __reduce__(self) -> Any:
        raise OperandTypeError(
            "a Tape can be neither copied nor pickled: traced values belong to one tape; record a new Tape instead"
        )

    def watch(self, x: Any) -> Any:
        """x (a tree of floating-point arrays) as traced values whose operations are recorded.

        Raises TypeError for integers.
        """
        leaves, structure = tree.flatten(x)
        for leaf in leaves:
            check_inexact(leaf, "Tape.watch", "do not watch it")
        return tree.unflatten(structure, list(map(self._reverse.watch, leaves, tree.names(x))))

    def gradient(self, y: Any, x: Any, cotangent: Any = None) -> Any:
        """∂y/∂x for a traced y and a tree x of traced values: inputs or intermediate results.

        y must be a scalar unless its `cotangent` is given. May be called any number of times. Raises ValueError for
        values that this tape did not trace.
        """
        value, index = self._reverse.lower(y)
        sources, structure = tree.flatten(x)
        if index is None or any(self._reverse.lower(s)[1] is None for s in sources):
            raise OperandError(
                "Tape.gradient: y and x must be traced by this tape: watch x, then compute y while it records"
            )
        if cotangent is None:
            if shape_of(y) != ():
                raise OperandTypeError(f"Tape.gradient: y has shape {shape_of(y)}; give its cotangent, or reduce it")
            cotangent = ones(value)
        check_fits(cotangent, shape_of(value), dtype_of(value), "cotangent", "y")
        gradients = self._reverse.pull({index: cast(as_array(cotangent, value), value)}, [s.index for s in sources])
        return tree.unflatten(structure, separate(gradients, sources, [cotangent]))

    @property
    def entries(self) -> Sequence[Node | Entry]:
        """The recorded operations, in order."""
        return self._reverse.tape

    def __len__(self) -> int:
        return len(self.entries)

    def __str__(self) -> str:
        """One line per entry."""
        return as_text(self)

    def _repr_html_(self) -> str:
        """The same as a table, for notebooks."""
        return as_html(self)
