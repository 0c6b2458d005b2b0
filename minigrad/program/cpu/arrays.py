"""The arrays of a run on the CPU: full arrays of slots, arrays that exist for one part at a time, and views of both."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from minigrad.program.buffers import array_at
from minigrad.program.cpu.parts import Part
from minigrad.program.cpu.plan import Plan
from minigrad.program.cpu.tiling import find_cuts, params_of
from minigrad.program.graph import Constant, Graph, Kind
from minigrad.program.views import Views, view_array

Local = dict[int, Any]
"""Arrays for one part, by slot."""


class Arrays:
    """A graph's arrays: those that the plan places in the block, those that are `put` here, and views of both."""

    def __init__(self, graph: Graph, views: Views, plan: Plan, block: Any, scratch: Sequence[Any]):
        self._graph, self._views, self._plan = graph, views, plan
        self._writers = {instruction.result: instruction for instruction in graph.instructions}
        self._viewers: dict[int, list[int]] = {}  # the views of each slot
        for slot in views.slots:
            self._viewers.setdefault(views.root_of(slot), []).append(slot)
        self._block, self._scratch = block, scratch  # the latter of each thread
        self._full = {slot: array_at(block, offset, graph.kinds[slot]) for slot, offset in plan.offsets.items()}

    def put(self, slot: int, array: Any) -> None:
        """Set the array of a slot. Calls that are bound to the previous one must be bound again."""
        self._full[slot] = array

    def forget_views(self, slots: Iterable[int]) -> None:
        """Forget the views of slots whose arrays have been replaced."""
        for slot in slots:
            for view in self._viewers.get(slot, ()):
                self._full.pop(view, None)

    def full_array(self, operand: int | Constant) -> Any:
        """The full array of an operand. Views are computed on first use."""
        if isinstance(operand, Constant):
            return operand.value
        if operand not in self._full:
            instruction = self._writers[operand]
            x = self.full_array(instruction.operands[instruction.primitive.view_of])
            self._full[operand] = view_array(instruction, self._graph.backend, x, instruction.params)
        return self._full[operand]

    def terms(self, slot: int, count: int) -> Any:
        """The terms of a sum, one after the other: an array (count, …)."""
        shape, dtype = self._graph.kinds[slot]
        if count == 1:
            return self.full_array(slot).reshape(1, *shape)
        return array_at(self._block, self._plan.terms[slot], Kind((count, *shape), dtype))

    def scratch_arrays(self, part: Part, offsets: dict[int, int], rows: slice | None = None) -> Local:
        """The arrays in a thread's scratch, for one part, or for some of its rows."""
        found: Local = {}
        rows = rows or part.rows
        for slot, offset in offsets.items():
            kind, axis = self._graph.kinds[slot], self._plan.places[slot].axis
            before = (rows.start - part.rows.start) * (kind.bytes // kind.shape[axis])
            shape = *kind.shape[:axis], rows.stop - rows.start, *kind.shape[axis + 1 :]
            found[slot] = array_at(self._scratch[part.thread], offset + before, Kind(shape, kind.dtype))
        return found

    def operand(self, operand: int | Constant, axis: int | None, part: Part, local: Local) -> Any:
        """The array of an operand, or of the part's rows of it along an axis."""
        if isinstance(operand, int) and operand in local:
            return local[operand]
        if isinstance(operand, int) and self._views.root_of(operand) in local:
            return self._view_of_local(operand, axis, part, local)
        full = self.full_array(operand)
        return full if axis is None else full[(slice(None),) * axis + (part.rows,)]

    def address(self, root: int | Constant, part: Part, local: Local) -> tuple[Any, int]:
        """An array in memory, and the address at which its row 0 lies, or would lie if it had more than the part."""
        if root not in local:
            array = self.full_array(root)
            return array, self._graph.backend.address(array)
        array, kind = local[root], self._graph.kinds[root]
        row_bytes = kind.bytes // kind.shape[self._plan.places[root].axis]
        return array, self._graph.backend.address(array) - part.rows.start * row_bytes

    def _view_of_local(self, slot: int, axis: int | None, part: Part, local: Local) -> Any:
        instruction, shape = self._writers[slot], self._graph.kinds[slot].shape
        cut = next(cut for cut in find_cuts(instruction, self._graph) if cut.result == axis)
        place = instruction.primitive.view_of
        x = self.operand(instruction.operands[place], cut.operands[place], part, local)
        params = params_of(instruction, cut, shape, part.rows)
        local[slot] = view_array(instruction, self._graph.backend, x, params)
        return local[slot]
