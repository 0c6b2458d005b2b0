"""The executor of the CPU: a graph bound to memory, as lists of calls.

The plan says where everything is stored. Here every instruction on every part becomes a `Call` of its formula, bound to
the arrays that it reads and writes, so that a run only makes calls. Calls are bound again only if an array that they
use has moved since the last run (a new batch, a new result).
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from itertools import groupby
from typing import Any

from minigrad.backends import backend_of
from minigrad.core.traits import Cut
from minigrad.interrupts import CTRL_C, defer_signals
from minigrad.program.buffers import Memory, is_alone, result_bytes, span
from minigrad.program.calls import Call, bind_addition, bind_call, run_and_check, run_calls
from minigrad.program.cpu import threads
from minigrad.program.cpu.arrays import Arrays, Local
from minigrad.program.cpu.plan import make_plan
from minigrad.program.cpu.scratch import Key, Part
from minigrad.program.cpu.tiling import params_of
from minigrad.program.graph import Graph, Instruction, is_array
from minigrad.program.tuning import Tuning
from minigrad.program.views import find_views


class CpuExecutor:
    """A graph bound to memory. One run at a time; a second thread waits.

    It keeps references to the arrays that its last run read, and to its last results. An interrupted run leaves donated
    arguments partly written; the next run is not affected.
    """

    def __init__(self, graph: Graph, tuning: Tuning):
        self.graph, self.backend, self.views = graph, graph.backend, find_views(graph)
        most = (tuning.threads or threads.count()) if self.backend.threaded else 1
        self.plan = make_plan(graph, self.views, tuning, most)
        self._lock = threading.Lock()
        _executors.add(self)
        self._arrays = Arrays(graph, self.views, self.plan, tuning)
        self._given: dict[int, Any] = {}  # the arrays of inputs in the last run
        self._copied: set[int] = set()  # inputs that are not contiguous, and are copied in every run
        constants = [array for array in graph.constant_arrays() if backend_of((array,)) is self.backend]
        self._spans: dict[Any, tuple[int, int]] = {  # address ranges of inputs and constants
            ("constant", i): span(self.backend, array) for i, array in enumerate(constants)
        }
        # by slot, the calls to bind again when it moves: a list, the place there, and what `_call` binds; not a bound
        # method, which would refer back to the executor, so that its memory would wait for the garbage collector
        self._users: dict[int, list[tuple[list, int, tuple]]] = {}
        self._overwritten: dict[int, int] = {}  # outputs that are written over a donated input, and that input
        self._phases: list[list[list[Call]]] | None = None  # of each phase, lists of calls to make in parallel
        self._has_run = False

    @property
    def memory(self) -> Memory:
        """Bytes that a run holds besides its arguments."""
        results = result_bytes(self.graph, self.plan.overwrites)
        scratch = self.plan.scratch_bytes * self.plan.threads
        return Memory(self.plan.block_bytes, results, scratch, self.backend.scratch_bytes())

    def run(self, inputs: Sequence[Any]) -> list[Any]:
        """The results as leaves, each in memory of its own."""
        with self._lock, defer_signals(CTRL_C) as deliver:
            with threads.single_blas if self.plan.threads > 1 else nullcontext():
                self._bind(inputs)
                run = run_calls if self._has_run else run_and_check
                for lists in self._phases:
                    threads.run_all([partial(run, calls) for calls in lists])
                    deliver()
                self._has_run = True
                return self._results()

    # Inputs and results

    def _take(self, inputs: Sequence[Any]) -> set[int]:
        """Set the arrays of inputs and results. Returns the slots whose arrays have moved since the last run."""
        moved = set()
        for slot, array in zip(self.graph.inputs, inputs, strict=True):
            if not self.graph.kinds[slot].shape:
                self._arrays.full_array(slot)[...] = array
            elif array is not self._given.get(slot) or slot in self._copied:
                where = span(self.backend, array)
                if where != self._spans.get(slot) or slot in self._copied or not array.flags.c_contiguous:
                    moved.add(slot)
                    self._spans[slot] = where
                    self._arrays.put(slot, self.backend.xp.ascontiguousarray(array))
                    (self._copied.discard if array.flags.c_contiguous else self._copied.add)(slot)
                self._given[slot] = array
        if moved or not self._users:
            self._overwritten = {output: slot for output, slot in self.plan.overwrites.items() if self._is_alone(slot)}
            for output, slot in self._overwritten.items():
                self._arrays.put(output, self._arrays.full_array(slot))
            moved.update(self._overwritten)
        for output in (*self.plan.fresh, *self.plan.overwrites):
            if output not in self._overwritten:
                self._arrays.put(output, self.backend.xp.empty(*self.graph.kinds[output]))
                moved.add(output)
        return moved

    def _is_alone(self, slot: int) -> bool:
        """Whether an input may be written over: nothing else that a run reads shares its memory."""
        flags = self._given[slot].flags
        can_be_written = flags.c_contiguous and getattr(flags, "writeable", True)
        return can_be_written and is_alone(self._spans[slot], self._spans.values())

    def _results(self) -> list[Any]:
        """The outputs. Those without memory of their own are copied."""
        own = {*self.plan.fresh, *self.plan.overwrites}
        results: list[Any] = []
        for output in self.graph.outputs:
            value = self._arrays.full_array(output)
            if isinstance(output, int) and output in own:
                own.remove(output)
                if output in self._overwritten:
                    value = self._given[self._overwritten[output]] = value.view()
                results.append(value)
            else:
                results.append(_copy(value))
        return results

    # Binding

    def _bind(self, inputs: Sequence[Any]) -> None:
        """Bind the calls to these inputs. If that is interrupted, the next run binds everything again."""
        phases, self._phases = self._phases, None
        if phases is None:
            self._arrays.forget()
            for slot in self.graph.inputs:
                self._spans.pop(slot, None)
            self._given, self._copied, self._users = {}, set(), {}
        moved = self._take(inputs)
        if phases is None:
            phases = list(self._bind_all())
        else:
            self._bind_again(moved)
        self._phases = phases

    def _bind_all(self) -> Iterator[list[list[Call]]]:
        """The phases of a run, in order: lists of calls to make in parallel."""
        everything = zip(self.plan.regions, self.plan.parts, self.plan.scratch, strict=True)
        for _, moment in groupby(everything, key=lambda found: found[0].moment):
            calls: list[list] = [[] for _ in range(self.plan.threads)]
            sums: list[Call] = []
            for region, parts, offsets in moment:
                started: set[tuple[int, int]] = set()
                for part in parts:
                    local = self._arrays.scratch_arrays(part, offsets)
                    for instruction, cut in region.steps:
                        self._add(calls[part.thread], instruction, cut, part, local, started)
                sums += self._join_sums(parts, offsets)
            yield [some for some in calls if some]
            if sums:
                yield [sums]

    def _add(
        self, calls: list, instruction: Instruction, cut: Cut | None, part: Part, local: Local, started: set
    ) -> None:
        """Add the calls for one instruction on one part: a result, or a term and its addition to the sum."""
        slot = instruction.result
        if cut is None or cut.result is not None:
            self._append(calls, instruction, cut, part, local, None)
            return
        total = self._arrays.full_array(slot) if part.thread == 0 else local["sum", slot]
        if (slot, part.thread) in started:
            term = local["term", slot]
            self._append(calls, instruction, cut, part, local, term)
            calls.append(bind_addition(self.backend, total, term))
        else:
            started.add((slot, part.thread))
            self._append(calls, instruction, cut, part, local, total)

    def _append(
        self, calls: list, instruction: Instruction, cut: Cut | None, part: Part, local: Local, out: Any
    ) -> None:
        """Add a call, and remember which slots it uses, in case they move."""
        bound = instruction, cut, part, local, out
        for slot in {*instruction.reads(), instruction.result}:
            self._users.setdefault(self.views.root_of(slot), []).append((calls, len(calls), bound))
        calls.append(self._call(*bound))

    def _bind_again(self, moved: Iterable[int]) -> None:
        """Rebind the calls that use moved slots."""
        self._arrays.forget_views(moved)
        for slot in moved:
            for calls, place, bound in self._users.get(slot, ()):
                calls[place] = self._call(*bound)

    def _call(self, instruction: Instruction, cut: Cut | None, part: Part, local: Local, out: Any) -> Call:
        """The call for one instruction on one part."""
        axes, params = (None,) * len(instruction.operands), instruction.params
        if cut is not None:
            axes = cut.operands
            params = params_of(instruction, cut, self.graph.kinds[instruction.result].shape, part.rows)
        args = [self._arrays.operand(o, axis, part, local) for o, axis in zip(instruction.operands, axes, strict=True)]
        if out is None:
            out = self._arrays.operand(instruction.result, cut and cut.result, part, local)
        return bind_call(instruction.primitive, self.backend, args, params, out)

    def _join_sums(self, parts: Sequence[Part], offsets: dict[Key, int]) -> Iterator[Call]:
        """The calls that add the sums of the other threads to the first thread's."""
        first = {part.thread: part for part in reversed(parts)}
        for thread in range(1, len(first)):
            local = self._arrays.scratch_arrays(first[thread], offsets)
            for what, slot in offsets:
                if what == "sum":
                    yield bind_addition(self.backend, self._arrays.full_array(slot), local["sum", slot])


def _copy(value: Any) -> Any:
    if not is_array(value):
        return value
    copy = backend_of((value,)).xp.array(value, copy=True)
    return copy if copy.shape else copy[()]  # as operations return it: in NumPy, a scalar


_executors: weakref.WeakSet[CpuExecutor] = weakref.WeakSet()


def _renew_locks() -> None:
    """In a forked child, replace locks that threads of the parent may hold."""
    for executor in list(_executors):
        executor._lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_locks)
