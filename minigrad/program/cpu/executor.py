"""Replay: a graph bound to memory, as lists of calls that only have to be made.

The plan says what is where. Here every instruction on every part becomes a `Call` of its formula on the very arrays it
reads and writes, so that a run makes calls and nothing else. Only what arrives at another address than last time (a new
batch, a new result) is bound again.
"""

from __future__ import annotations

import math
import os
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from itertools import groupby
from typing import Any

import numpy as np

from minigrad.backends import backend_of
from minigrad.core.traits import Cut
from minigrad.interrupts import CTRL_C, defer_signals
from minigrad.program.buffers import Memory, span
from minigrad.program.calls import Call, addition, call_of, make, make_and_look
from minigrad.program.cpu import threads
from minigrad.program.cpu.plan import make_plan
from minigrad.program.cpu.schedule import Region
from minigrad.program.cpu.scratch import Part
from minigrad.program.cpu.tiling import find_cuts, params_of
from minigrad.program.graph import Constant, Graph, Instruction, is_array, is_dynamic
from minigrad.program.tuning import Tuning
from minigrad.program.views import find_views, show_array


class Replay:
    """A graph bound to memory. One run at a time; a second thread waits.

    It keeps the arrays that its last run read, and its last results. A run that breaks off leaves donated arguments
    partly written; the next one is not affected.
    """

    def __init__(self, graph: Graph, tuning: Tuning):
        self.graph, self.backend, self.tuning = graph, graph.backend, tuning
        self.views = find_views(graph)
        most = (tuning.threads or threads.count()) if self.backend.threaded else 1
        self.plan = make_plan(graph, self.views, tuning, most)
        self._lock = threading.Lock()
        _replays.add(self)
        self._writers = {instruction.result: instruction for instruction in graph.instructions}
        self._block = self._memory(self.plan.block_bytes)
        self._scratch = [self._memory(self.plan.scratch_bytes) for _ in range(self.plan.threads)]
        self._whole: dict[int, Any] = {}  # arrays of slots that are there as a whole
        for slot, offset in self.plan.offsets.items():
            self._whole[slot] = self._array(self._block, offset, *graph.kinds[slot])
        self._given: dict[int, Any] = {}  # arrays that inputs were last time
        self._copied: set[int] = set()  # inputs that are not contiguous, and so are copied in every run
        self._spans: dict[Any, tuple[int, int]] = {}  # where they are: addresses from, to
        self._users: dict[int, list[tuple[list, int, Callable]]] = {}  # calls to bind again when a slot moves
        self._alone: set[int] = set()  # outputs that are written over a donated input
        self._has_run = False
        self._phases: list[list[list[Call]]] | None = None
        mine = [array for array in graph.constant_arrays() if backend_of((array,)) is self.backend]
        self._spans |= {("constant", i): span(self.backend, array) for i, array in enumerate(mine)}

    @property
    def memory(self) -> Memory:
        """Bytes that a run holds beside its arguments."""
        held = [
            o
            for o in self.graph.outputs
            if (is_dynamic(o.value) if isinstance(o, Constant) else o not in self.plan.taken)
        ]
        results = sum(self.graph.kind(output).bytes for output in held)
        scratch = self.plan.scratch_bytes * self.plan.threads
        return Memory(self.plan.block_bytes, results, scratch, self.backend.held())

    def run(self, inputs: Sequence[Any]) -> list[Any]:
        """The program's results as leaves, each in memory of its own."""
        with self._lock, defer_signals(CTRL_C) as deliver:
            with threads.single_blas if self.plan.threads > 1 else nullcontext():
                self._bind(inputs)
                how = make if self._has_run else make_and_look
                for lists in self._phases:
                    threads.together([partial(how, calls) for calls in lists])
                    deliver()
                self._has_run = True
                return self._results()

    def _bind(self, inputs: Sequence[Any]) -> None:
        """Make the calls those of these inputs. If that breaks off, the next run begins from nothing."""
        phases, self._phases = self._phases, None
        if phases is None:
            for slot in self._whole.keys() - self.plan.offsets.keys():
                del self._whole[slot]
            for slot in self.graph.inputs:
                self._spans.pop(slot, None)
            self._given, self._copied, self._users = {}, set(), {}
        moved = self._take(inputs)
        if phases is None:
            phases = list(self._bound())
        else:
            self._bind_again(moved)
        self._phases = phases

    # What arrives, and what is handed out

    def _take(self, inputs: Sequence[Any]) -> set[int]:
        """Put inputs and new results in their places; the slots that are somewhere else than last time."""
        moved = set()
        for slot, array in zip(self.graph.inputs, inputs, strict=True):
            if not self.graph.kinds[slot].shape:
                self._whole[slot][...] = array
            elif array is not self._given.get(slot) or slot in self._copied:
                where = span(self.backend, array)
                if where != self._spans.get(slot) or slot in self._copied or not array.flags.c_contiguous:
                    moved.add(slot)
                    self._spans[slot], self._whole[slot] = where, self.backend.xp.ascontiguousarray(array)
                    (self._copied.discard if array.flags.c_contiguous else self._copied.add)(slot)
                self._given[slot] = array
        if moved or not self._users:
            self._alone = {output for output, slot in self.plan.taken.items() if self._is_alone(slot)}
            self._whole |= {output: self._whole[self.plan.taken[output]] for output in self._alone}
            moved |= self._alone
        fresh = {*self.plan.fresh, *self.plan.taken} - self._alone
        for output in fresh:
            kind = self.graph.kinds[output]
            self._whole[output] = self.backend.xp.empty(kind.shape, kind.dtype)
        return moved | fresh

    def _is_alone(self, slot: int) -> bool:
        """Whether an input may be written over: of all that a run reads, nothing else looks at its memory."""
        array, (begin, end) = self._given[slot], self._spans[slot]
        if not (array.flags.c_contiguous and getattr(array.flags, "writeable", True)):
            return False
        return sum(first < end and begin < last for first, last in self._spans.values()) == 1

    def _results(self) -> list[Any]:
        """The outputs, each in memory of its own."""
        own = {*self.plan.fresh, *self.plan.taken}
        results: list[Any] = []
        for output in self.graph.outputs:
            value = output.value if isinstance(output, Constant) else self._all_of(output)
            if isinstance(output, int) and output in own:
                own.remove(output)
                if output in self._alone:
                    value = self._given[self.plan.taken[output]] = value.view()
                results.append(value)
            else:
                results.append(self._copy(value))
        return results

    def _copy(self, value: Any) -> Any:
        if not is_array(value):
            return value
        made = backend_of((value,)).xp.array(value, copy=True)
        return made if made.shape else made[()]  # as an operation would give it: in NumPy, a number

    # Binding

    def _bound(self) -> Iterator[list[list[Call]]]:
        """What a run does, one moment after the other: lists of calls to make at the same time."""
        everything = zip(self.plan.regions, self.plan.parts, self.plan.scratch, strict=True)
        for _, moment in groupby(everything, key=lambda found: found[0].moment):
            calls: list[list] = [[] for _ in range(self.plan.threads)]
            sums: list[Call] = []
            for region, parts, places in moment:
                started: set[tuple[int, int]] = set()
                for part in parts:
                    local = self._arrays_within(region, part, places)
                    for instruction, cut in region.steps:
                        self._add(calls[part.thread], instruction, cut, part, local, started)
                sums += self._sums_of(region, parts, places)
            yield [some for some in calls if some]
            if sums:
                yield [sums]

    def _memory(self, size: int) -> Any:
        """So many bytes, from the beginning of a cache line."""
        raw = self.backend.xp.empty(size + self.tuning.alignment, np.uint8)
        begin = -self.backend.address(raw) % self.tuning.alignment
        return raw[begin : begin + size]

    def _array(self, memory: Any, offset: int, shape: tuple[int, ...], dtype: Any) -> Any:
        """An array somewhere in a block of memory."""
        size = math.prod(shape) * dtype.itemsize
        return memory[offset : offset + size].view(dtype).reshape(shape)

    def _arrays_within(self, region: Region, part: Part, places: dict[tuple[str, int], int]) -> dict[Any, Any]:
        """By slot, what exists for one part at a time; by ("term" or "sum", slot), what sums are made of."""
        found: dict[Any, Any] = {}
        for (what, slot), offset in places.items():
            (*shape,), dtype = self.graph.kinds[slot]
            if what == "part":
                shape[self.plan.places[slot].axis] = part.rows.stop - part.rows.start
            key = slot if what == "part" else (what, slot)
            found[key] = self._array(self._scratch[part.thread], offset, tuple(shape), dtype)
        return found

    def _add(
        self, calls: list, instruction: Instruction, cut: Cut | None, part: Part, local: dict[Any, Any], started: set
    ) -> None:
        """Add the calls for one instruction on one part: a result, or a term and its addition to the sum."""
        slot = instruction.result
        if cut is None or cut.result is not None:
            self._append(calls, instruction, cut, part, local, None)
            return
        total = self._whole[slot] if part.thread == 0 else local["sum", slot]
        if (slot, part.thread) in started:
            term = local["term", slot]
            self._append(calls, instruction, cut, part, local, term)
            calls.append(addition(self.backend, total, term))
        else:
            started.add((slot, part.thread))
            self._append(calls, instruction, cut, part, local, total)

    def _append(
        self, calls: list, instruction: Instruction, cut: Cut | None, part: Part, local: dict, out: Any
    ) -> None:
        """Add a call, and remember what it uses that may move."""
        bind = partial(self._call, instruction, cut, part, local, out)
        for slot in {*instruction.reads(), instruction.result}:
            self._users.setdefault(self.views.root_of(slot), []).append((calls, len(calls), bind))
        calls.append(bind())

    def _bind_again(self, moved: set[int]) -> None:
        """Renew the calls that use what has moved."""
        for slot in self.views.slots if moved else ():
            if self.views.root_of(slot) in moved:
                self._whole.pop(slot, None)
        for slot in moved:
            for calls, place, bind in self._users.get(slot, ()):
                calls[place] = bind()

    def _call(self, instruction: Instruction, cut: Cut | None, part: Part, local: dict, out: Any) -> Call:
        """One instruction on one part."""
        axes, params = (None,) * len(instruction.operands), instruction.params
        if cut is not None:
            axes = cut.operands
            params = params_of(instruction, cut, self.graph.kinds[instruction.result].shape, part.rows)
        args = [self._operand(o, axis, part, local) for o, axis in zip(instruction.operands, axes, strict=True)]
        if out is None:
            out = self._operand(instruction.result, cut and cut.result, part, local)
        return call_of(instruction.primitive, self.backend, args, params, out)

    def _operand(self, operand: int | Constant, axis: int | None, part: Part, local: dict) -> Any:
        """An operand, or the part of it along an axis."""
        if not isinstance(operand, int):
            whole = operand.value
        elif operand in local:
            return local[operand]
        elif self.views.root_of(operand) in local:
            return self._view_within(operand, axis, part, local)
        else:
            whole = self._all_of(operand)
        return whole if axis is None else whole[(slice(None),) * axis + (part.rows,)]

    def _all_of(self, slot: int) -> Any:
        """The whole of a slot. Views are looked up as they are asked for."""
        if slot not in self._whole:
            instruction = self._writers[slot]
            operand = instruction.operands[instruction.primitive.view_of]
            array = operand.value if isinstance(operand, Constant) else self._all_of(operand)
            self._whole[slot] = show_array(instruction, self.backend, array, instruction.params)
        return self._whole[slot]

    def _view_within(self, slot: int, axis: int, part: Part, local: dict) -> Any:
        """A view of what exists for one part at a time."""
        instruction, shape = self._writers[slot], self.graph.kinds[slot].shape
        cut = next(cut for cut in find_cuts(instruction, self.graph) if cut.result == axis)
        place = instruction.primitive.view_of
        array = self._operand(instruction.operands[place], cut.operands[place], part, local)
        local[slot] = show_array(instruction, self.backend, array, params_of(instruction, cut, shape, part.rows))
        return local[slot]

    def _sums_of(self, region: Region, parts: Sequence[Part], places: dict[tuple[str, int], int]) -> Iterator[Call]:
        """Add the sums of the other threads to that of the first."""
        first = {part.thread: part for part in reversed(parts)}
        for thread in range(1, len(first)):
            found = self._arrays_within(region, first[thread], places)
            for what, slot in places:
                if what == "sum":
                    yield addition(self.backend, self._whole[slot], found["sum", slot])


_replays: weakref.WeakSet[Replay] = weakref.WeakSet()


def _renew_locks() -> None:
    """In a forked child, where the threads that held them are not."""
    for replay in list(_replays):
        replay._lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_locks)
