"""The executor of the CPU: takes the arrays of a run, and makes the calls that are bound to them.

The plan says when everything is computed and where it is stored (`plan`). A binding has the calls, on arrays at given
addresses (`binding`). Results get memory that is reused once their user has dropped them (`recycling`), so a training
step, whose results are its next arguments, alternates between two bindings and binds nothing anew.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

from minigrad.backends import Backend, backend_of
from minigrad.backends.native import codegen, compiler
from minigrad.backends.native.convolution import accelerate
from minigrad.interrupts import CTRL_C, defer_signals
from minigrad.program.buffers import Memory, allocate, array_at, find_alone, result_bytes, span
from minigrad.program.calls import run_and_check, run_calls
from minigrad.program.cpu import threads
from minigrad.program.cpu.arrays import Arrays
from minigrad.program.cpu.binding import Binding
from minigrad.program.cpu.chains import Chain, count_elements
from minigrad.program.cpu.plan import Plan, make_plan
from minigrad.program.cpu.recycling import MOST, Pool
from minigrad.program.graph import Graph, is_array
from minigrad.program.tuning import Tuning
from minigrad.program.views import find_views


class CpuExecutor:
    """A graph bound to memory. One run at a time; a second thread waits.

    It keeps no argument alive. An interrupted run leaves donated arguments partly written; the next run is not
    affected.

    Results have the same bits on any number of threads: shapes decide how sums and products are cut (`parts`), and BLAS
    is limited to one thread, because its own cut products as well.
    """

    def __init__(self, graph: Graph, tuning: Tuning):
        self.graph, self.backend, self.views, self.tuning = graph, graph.backend, find_views(graph), tuning
        most = (tuning.threads or threads.count()) if self.backend.threaded else 1
        self.plan, self._kernels, self._accelerated = self._compile(tuning, most)
        self._lock = threading.Lock()
        _executors.add(self)
        self._block, *self._scratch = [
            allocate(self.backend, size, tuning.alignment)
            for size in (self.plan.block_bytes, *[self.plan.scratch_bytes] * self.plan.threads)
        ]
        scalars = [slot for slot in graph.inputs if not graph.kinds[slot].shape]
        self._scalars = {slot: array_at(self._block, self.plan.offsets[slot], graph.kinds[slot]) for slot in scalars}
        bound = {*scalars, *self.plan.overwrites.values()}
        small = [s for s in graph.inputs if s not in bound and graph.kinds[s].bytes <= tuning.small_result]
        self._copies = {slot: self.backend.xp.empty(*graph.kinds[slot]) for slot in small}  # of inputs, to bind once
        self._addresses = {slot: self.backend.address(array) for slot, array in self._copies.items()}
        constants = [array for array in graph.constant_arrays() if backend_of((array,)) is self.backend]
        self._constants = {("constant", i): span(self.backend, array) for i, array in enumerate(constants)}
        self._pool = Pool(self.backend, tuning.alignment)
        self._bindings: list[Binding] = []  # the last ones used, the latest last
        self._overwritten: tuple[dict, dict[int, int]] = ({}, {})  # spans of inputs, and what is overwritten there
        self._has_run = False
        self._held: Any = None  # what `hold` yields
        products = any(instruction.primitive.traits.blas for instruction in graph.instructions)
        self._limits = threads.single_blas if products else nullcontext()

    def _compile(self, tuning: Tuning, most: int) -> tuple[Plan, dict[str, Callable], Backend]:
        """The plan, its compiled kernels by name, and the backend of its other calls: without anything compiled where
        that is not worth it or cannot be had."""
        worth = tuning.worth_compiling
        if worth is not None and self.backend.threaded and count_elements(self.graph, self.views) >= worth:
            plan = make_plan(self.graph, self.views, tuning, most, compiled=True)
            steps = [(work, region.rows) for region in plan.regions for work, _ in region.steps]
            chains = [(work, rows) for work, rows in steps if isinstance(work, Chain)]
            library = compiler.load_or_warn(codegen.library_source([c.source(self.graph, rows) for c, rows in chains]))
            if library is not None:
                kernels = {c.kernel.name: compiler.get_function(library, c.kernel.name) for c, _ in chains}
                return plan, kernels, accelerate(self.backend)
        return make_plan(self.graph, self.views, tuning, most), {}, self.backend

    @property
    def memory(self) -> Memory:
        """Bytes that a run holds besides its arguments."""
        results = result_bytes(self.graph, self.plan.overwrites)
        scratch = self.plan.scratch_bytes * self.plan.threads
        return Memory(self.plan.block_bytes, results, scratch, self.backend.scratch_bytes())

    def run(self, inputs: Sequence[Any]) -> list[Any]:
        """The results as leaves, each in memory of its own."""
        with self._lock, defer_signals(CTRL_C) as deliver:
            arrays = self._take(inputs)
            overwritten = self._find_overwritten(inputs, arrays)
            fresh = [o for o in (*self.plan.fresh, *self.plan.overwrites) if o not in overwritten]
            buffers = {output: self._pool.take(output, self.graph.kinds[output]) for output in fresh}
            read = {slot: self.backend.address(array) for slot, array in arrays.items() if slot not in self._copies}
            addresses = self._addresses | read
            addresses |= {output: addresses[slot] for output, slot in overwritten.items()}
            addresses |= {output: buffer.address for output, buffer in buffers.items()}
            own = {output: buffer.array() for output, buffer in buffers.items()}
            own |= {output: self.backend.xp.asarray(arrays[slot]).view() for output, slot in overwritten.items()}
            with self._limits:
                binding = self._bind(addresses)
                run = run_calls if self._has_run else run_and_check
                for lists in binding.phases:
                    threads.run_all([partial(run, calls) for calls in lists])
                    deliver()
                self._has_run = True
                return self._results(binding, own)

    @contextmanager
    def hold(self) -> Iterator[tuple[list[Any], list[Any], Callable[[], None]]]:
        """Arrays for inputs and outputs, and a function that computes the outputs from the inputs: for loops, whose
        steps are short. The program must run on one thread; nobody else can run it meanwhile."""
        with self._lock, self._limits:
            if self._held is None:
                self._held = self._bind_own()
            yield self._held

    def _bind_own(self) -> tuple[list[Any], list[Any], Callable[[], None]]:
        """The calls bound to inputs and outputs in memory of their own."""
        empty, kinds = self.backend.xp.empty, self.graph.kinds
        inputs = {s: self._scalars[s] if s in self._scalars else empty(*kinds[s]) for s in self.graph.inputs}
        own = {output: empty(*kinds[output]) for output in self.plan.fresh}
        placed = {slot: array for slot, array in (inputs | own).items() if slot not in self._scalars}
        addresses = {slot: self.backend.address(array) for slot, array in placed.items()}
        arrays = Arrays(self.graph, self.views, self.plan, self._block, self._scratch)
        binding = Binding(self.graph, self.views, self.plan, arrays, self._accelerated, self._kernels, addresses)
        calls = [call for lists in binding.phases for some in lists for call in some]
        outputs = [own[o] if isinstance(o, int) and o in own else binding.array(o) for o in self.graph.outputs]
        return list(inputs.values()), outputs, partial(run_calls, calls)

    def release(self) -> None:
        """Give back the memory that is kept for the next results, unless a run is going on: that may be on this very
        thread, interrupted by a signal handler or a finaliser, so to wait for it could take for ever."""
        if self._lock.acquire(blocking=False):
            try:
                self._bindings.clear()
                self._held = None
                self._pool.release()
            finally:
                self._lock.release()

    def _take(self, inputs: Sequence[Any]) -> dict[int, Any]:
        """The contiguous arrays of inputs, by slot. Scalars and small arrays are copied to where they were before."""
        arrays = {}
        for slot, array in zip(self.graph.inputs, inputs, strict=True):
            if slot in self._scalars:
                self._scalars[slot][...] = array
            elif slot in self._copies:
                self._copies[slot][...] = array
                arrays[slot] = self._copies[slot]
            elif array.flags.c_contiguous and array.flags.aligned:
                arrays[slot] = array
            else:
                arrays[slot] = self.backend.xp.array(array, order="C")
        return arrays

    def _find_overwritten(self, inputs: Sequence[Any], arrays: dict[int, Any]) -> dict[int, int]:
        """The outputs that are written over a donated input, and which: nothing else that a run reads may share its
        memory, and it must be writable."""
        if not self.plan.overwrites:
            return {}
        given = zip(self.graph.inputs, inputs, strict=True)
        spans = {slot: span(self.backend, array) for slot, array in given if slot in arrays}
        if spans != self._overwritten[0]:
            alone = find_alone(spans | self._constants)
            self._overwritten = spans, {o: slot for o, slot in self.plan.overwrites.items() if slot in alone}
        writable = {slot for slot, array in arrays.items() if getattr(array.flags, "writeable", True)}
        return {o: slot for o, slot in self._overwritten[1].items() if slot in writable}

    def _bind(self, addresses: dict[int, int]) -> Binding:
        """The binding to these addresses: of those used last, the one with the fewest moved slots, or a new one. If
        binding is interrupted, that one is dropped."""
        best = min(self._bindings, key=lambda binding: binding.distance(addresses), default=None)
        if best is not None and (not best.distance(addresses) or len(self._bindings) == MOST):
            self._bindings.remove(best)
            best.move(addresses)
        else:
            arrays = Arrays(self.graph, self.views, self.plan, self._block, self._scratch)
            best = Binding(self.graph, self.views, self.plan, arrays, self._accelerated, self._kernels, addresses)
        self._bindings.append(best)
        return best

    def _results(self, binding: Binding, own: dict[int, Any]) -> list[Any]:
        """The outputs. Those without memory of their own are copied."""
        results: list[Any] = []
        for output in self.graph.outputs:
            if isinstance(output, int) and output in own:
                results.append(own.pop(output))
            else:
                value = binding.array(output)
                results.append(_copy(value) if is_array(value) else value)
        return results


def _copy(array: Any) -> Any:
    """A copy of an array, as operations return it: in NumPy, a scalar if it has no axes."""
    return array.copy() if array.shape else array.copy()[()]


_executors: weakref.WeakSet[CpuExecutor] = weakref.WeakSet()


def release_results() -> None:
    """Give back the memory that programs keep for their next results."""
    for executor in list(_executors):
        executor.release()


def _renew_locks() -> None:
    """In a forked child, replace locks that threads of the parent may hold."""
    for executor in list(_executors):
        executor._lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_locks)
