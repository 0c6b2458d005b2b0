"""Arguments: where a recorded program, which uses the same addresses in every run, reads its arguments.

    donated arrays    in place: results are written over them, and the next call passes these results
    other arrays      in place until one moves; from then on its values are copied to a buffer
    scalars           in a buffer to which they are copied, unless they are donated and on the device

If an argument must be read at another address than before, the launches are bound to memory again.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from minigrad.backends import backend_of
from minigrad.program.buffers import find_alone, span
from minigrad.program.graph import Graph


class Arguments:
    """The arrays that a program reads as its arguments."""

    def __init__(self, graph: Graph):
        self._graph, self._backend = graph, graph.backend
        self._arrays: dict[int, Any] = {}  # arguments that are read in place
        self._buffers: dict[int, Any] = {}  # buffers that arguments are copied to

    def forget(self) -> None:
        """Forget the arguments that are read in place, when no launch is bound to them."""
        self._arrays.clear()

    def take(self, arrays: Sequence[Any], overwritten: Collection[int]) -> bool:
        """Put arguments where the program reads them. Returns whether one of these addresses is new.

        `overwritten` are the slots of arguments that results are written over: they are never copied.
        """
        moved = False
        for slot, array in zip(self._graph.inputs, arrays, strict=True):
            before = self._arrays.get(slot)
            if array is before:
                continue
            if slot in self._buffers:
                self._buffers[slot][...] = array
            elif not self._can_stay(slot, array):
                self._arrays.pop(slot, None)
                self._buffers[slot] = self._backend.xp.empty(*self._graph.kinds[slot])
                self._buffers[slot][...] = array
                moved = True
            elif before is not None and self._backend.address(before) == self._backend.address(array):
                self._arrays[slot] = array
            elif before is None or (slot in overwritten and array.ndim):
                self._arrays[slot] = array
                moved = True
            else:
                del self._arrays[slot]
                self._buffers[slot] = array.copy()
                moved = True
        return moved

    def _can_stay(self, slot: int, array: Any) -> bool:
        """Whether an argument can be read in place. Scalars that are not donated move in every call."""
        on_device = isinstance(array, self._backend.array_type) and array.flags.c_contiguous
        return on_device and (array.ndim > 0 or slot in self._graph.donated)

    def expect(self, slot: int, array: Any) -> None:
        """Expect the result that was written over an argument as the next argument, which then needs no new binding."""
        self._arrays[slot] = array

    def array(self, slot: int) -> Any:
        """The array that the program reads for an argument."""
        return self._buffers[slot] if slot in self._buffers else self._arrays[slot]

    def writable(self) -> set[int]:
        """The donated arguments that are read in place and share no memory with another array."""
        constants = [array for array in self._graph.constant_arrays() if backend_of((array,)) is self._backend]
        spans: dict[Any, tuple] = {slot: span(self._backend, self.array(slot)) for slot in self._graph.inputs}
        spans |= {("constant", i): span(self._backend, array) for i, array in enumerate(constants)}
        return find_alone(spans).intersection(self._graph.donated).difference(self._buffers)
