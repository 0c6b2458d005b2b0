"""Recorded: a program on a device that can repeat recorded work, such as a CUDA graph.

`fusion` says what is launched. Here it is bound to memory, run twice as it is, which compiles and loads what it needs,
then recorded, the launches of a level side by side, and from then on repeated as a whole. A repeated run reads and
writes the same memory every time:

    donated arguments    are where they are: results go over them, and the next call brings those
    other arguments      too, as long as they stay where they are; one that moves is copied to a place of its own
    numbers              are copied into the device's memory, where what is recorded reads them, unless they are donated
                         and stay there
    results              are copied to memory of their own

What cannot be recorded runs between two recorded pieces.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain, groupby
from operator import itemgetter
from typing import Any

import numpy as np

from minigrad.backends import backend_of
from minigrad.backends.cuda.codegen import kernel
from minigrad.interrupts import CTRL_C, defer_signals
from minigrad.program.buffers import Life, Memory, fit, span
from minigrad.program.calls import Call, call_of, make, make_and_look
from minigrad.program.gpu.fusion import Fusion, Launch
from minigrad.program.graph import Constant, Graph, Kind, is_array, is_dynamic, kind_of
from minigrad.program.tuning import Tuning
from minigrad.program.views import Same


class Recorded:
    """A program bound to memory of a device. One run at a time; a second thread waits."""

    def __init__(self, graph: Graph, tuning: Tuning):
        self.program, self.recorder, self.tuning = graph, graph.backend.recorder, tuning
        self.backend = replace(graph.backend, matmul=self.recorder.matmul)
        self.fusion, self.donated = Fusion(graph), list(graph.donated)
        self._lock = threading.Lock()
        self._given: dict[int, Any] = {}  # arrays that are bound as they are
        self._own: dict[int, Any] = {}  # places that arguments are copied to
        self._pieces: list[Callable[[], None]] | None = None
        self._runs = 0
        self.taken: dict[int, int] = {}
        launches = [launch for level in self.fusion.levels for launch in level]
        names = {id(launch): f"chain_{i}" for i, launch in enumerate(launches) if launch.loops}
        self._names = names
        text = "\n".join(
            kernel(names[id(launch)], launch.loops, [self._dtype(root) for root in launch.arguments])
            for launch in launches
            if launch.loops
        )
        self._launch = self.recorder.compiled(text) if text else None
        self._kept = 0  # bytes that what is recorded needs on the way

    def _dtype(self, root: Any) -> np.dtype:
        return self.fusion.kind(root.constant if isinstance(root, Same) else root).dtype

    @property
    def memory(self) -> Memory:
        """Bytes that a run holds beside its arguments; what kernels need on the way is known once they are recorded."""
        taken = self._taken_over(set(self.donated))
        _, size = fit(self._lives(taken), self.tuning)
        outputs = [o for o in self.program.outputs if not (isinstance(o, int) and o in taken)]
        kinds = [
            self.program.kinds[o] if isinstance(o, int) else kind_of(o.value) for o in outputs if self._is_result(o)
        ]
        return Memory(size, sum(kind.bytes for kind in kinds), self._kept, self.backend.held())

    def _is_result(self, output: int | Constant) -> bool:
        return isinstance(output, int) or is_dynamic(output.value)

    def run(self, inputs: Sequence[Any]) -> list[Any]:
        """The program's results as leaves, each in memory of its own."""
        with self._lock, defer_signals(CTRL_C):
            self._take(inputs)
            if self._pieces is None:
                self._bind()
            elif self._runs == self.tuning.warm_ups:
                self._pieces, self._kept = self._recorded()
            for piece in self._pieces:
                piece()
            self._runs += 1
            return self._results()

    # What arrives, and what is handed out

    def _take(self, inputs: Sequence[Any]) -> None:
        """Put arguments where the program reads them, or find that it has to be bound anew."""
        address = self.backend.address
        if self._pieces is None:  # nothing is bound: not yet, or that has failed
            self._given.clear()
        for slot, array in zip(self.program.inputs, inputs, strict=True):
            before = self._given.get(slot)
            if array is before:
                continue
            if slot in self._own:
                self._own[slot][...] = array
            elif not self._can_stay(slot, array):
                self._given.pop(slot, None)
                self._own[slot] = self.backend.xp.empty(*self.program.kinds[slot])
                self._own[slot][...] = array
                self._pieces = None
            elif before is None or address(before) == address(array):
                self._pieces = self._pieces if before is not None else None
                self._given[slot] = array
            else:
                self._pieces = None
                if slot in self.taken.values() and array.ndim:
                    self._given[slot] = array
                else:
                    self._own[slot] = array.copy()
                    del self._given[slot]

    def _can_stay(self, slot: int, array: Any) -> bool:
        """Whether an argument can be read where it is: numbers only if they are given away, for else they move."""
        there = isinstance(array, self.backend.array_type) and array.flags.c_contiguous
        return there and (array.ndim > 0 or slot in self.donated)

    def _results(self) -> list[Any]:
        """The outputs, each in memory of its own."""
        results = []
        for slot, value in self._handed_out:
            if slot is not None:
                value = self._given[slot] = value.view()
            results.append(value.copy() if slot is None and is_array(value) else value)
        return results

    def _found(self) -> Iterator[tuple[int | None, Any]]:
        """Where each output is, and the slot of the donated argument whose memory goes with it."""
        left = dict(self.taken)
        for output in self.program.outputs:
            yield left.pop(output, None) if isinstance(output, int) else None, self._shown(output)

    # Memory

    def _taken_over(self, alone: set[int]) -> dict[int, int]:
        """For outputs that can be written over a donated argument of their kind: that argument's slot.

        Whoever reads the argument does so at an earlier level, or in the loop that writes there, number by number.
        """
        fusion, kinds = self.fusion, self.program.kinds
        readers: dict[int, list[tuple[int, bool]]] = {}
        for slot in fusion.level:
            for root, same in fusion.reads[slot]:
                readers.setdefault(root, []).append((slot, same))
        taken: dict[int, int] = {}
        free = [slot for slot in self.donated if slot in alone and slot not in fusion.handed_out]
        for output in dict.fromkeys(o for o in self.program.outputs if isinstance(o, int)):
            if output not in fusion.level:
                continue
            for slot in free:
                mine = output in fusion.fused
                done = all(
                    fusion.level[reader] < fusion.level[output]
                    or (fusion.level[reader] == fusion.level[output] and same and mine and reader in fusion.fused)
                    for reader, same in readers.get(slot, ())
                )
                if done and kinds[slot] == kinds[output]:
                    taken[output] = slot
                    free.remove(slot)
                    break
        return taken

    def _lives(self, taken: dict[int, int]) -> dict[int, Life]:
        """When what is stored must be left alone, in levels."""
        level = self.fusion.level
        last = dict(level)
        for slot in level:
            for root, _ in self.fusion.reads[slot]:
                if root in last:
                    last[root] = max(last[root], level[slot])
        last |= {slot: 1 << 60 for slot in self.fusion.handed_out if slot in last}
        kinds = self.program.kinds
        return {slot: Life(kinds[slot].bytes, level[slot], last[slot]) for slot in level if slot not in taken}

    def _bind(self) -> None:
        """Place everything in memory, and make the calls."""
        self._runs = 0
        given = {slot: self._own.get(slot, self._given.get(slot)) for slot in self.program.inputs}
        spans = {slot: span(self.backend, array) for slot, array in given.items()}
        operands = [*self.program.outputs, *(o for i in self.program.instructions for o in i.operands)]
        arrays = [o.value for o in operands if isinstance(o, Constant) and is_array(o.value)]
        mine = [array for array in arrays if backend_of((array,)) is self.program.backend]
        all_spans = [*spans.values(), *(span(self.backend, array) for array in mine)]
        alone = {
            slot
            for slot in self.donated
            if slot not in self._own and sum(a < spans[slot][1] and spans[slot][0] < b for a, b in all_spans) == 1
        }
        self.taken = self._taken_over(alone)
        offsets, size = fit(self._lives(self.taken), self.tuning)
        self._block = self.backend.xp.empty(size + self.tuning.alignment, np.uint8)
        begin = -self.backend.address(self._block) % self.tuning.alignment
        self._roots = dict(given)
        self._roots |= {output: given[slot] for output, slot in self.taken.items()}
        for slot, offset in offsets.items():
            kind = self.program.kinds[slot]
            memory = self._block[begin + offset : begin + offset + kind.bytes]
            self._roots[slot] = memory.view(kind.dtype).reshape(kind.shape)
        self._handed_out = list(self._found())
        self._calls = [
            (number, launch, self._call(launch)) for number, level in enumerate(self.fusion.levels) for launch in level
        ]
        self._pieces = [partial(make_and_look if isinstance(c[0], Call) else _run, c) for *_, c in self._calls]

    def _shown(self, operand: int | Constant) -> Any:
        """The array of an operand: a view of what has memory."""
        if not isinstance(operand, int):
            return operand.value
        if operand not in self.fusion.views:
            return self._roots[operand]
        instruction = self.fusion.made[operand]
        looked_at = self._shown(instruction.operands[instruction.primitive.view_of])
        if instruction.primitive.name == "stop_gradient":
            return looked_at
        return instruction.primitive.forward(self.backend, looked_at, **instruction.params)

    # Calls

    def _call(self, launch: Launch) -> list[Any]:
        """A launch as calls to make."""
        if launch.loops:
            arrays = [root.constant.value if isinstance(root, Same) else self._roots[root] for root in launch.arguments]
            blocks = sum(loop.blocks for loop in launch.loops)
            return [partial(self._launch, self._names[id(launch)], blocks, arrays)]
        instruction = launch.instruction
        out, args = self._roots[instruction.result], list(map(self._shown, instruction.operands))
        return [call_of(instruction.primitive, self.backend, args, instruction.params, out)]

    def _recorded(self) -> tuple[list[Callable[[], None]], int]:
        """The calls in pieces, recorded where they can be, launches of a level side by side; and bytes that takes."""
        pieces, kept = [], 0
        for recordable, some in groupby(self._calls, key=lambda call: _is_recordable(call[1], self.program.kinds)):
            levels = [[partial(_run, calls) for *_, calls in level] for _, level in groupby(some, key=itemgetter(0))]
            if recordable:
                again, bytes = self.recorder.record(levels)
                pieces.append(again)
                kept += bytes
            else:
                pieces += chain(*levels)
        return pieces, kept


def _is_recordable(launch: Launch, kinds: Sequence[Kind]) -> bool:
    if launch.instruction is None:
        return True
    return launch.instruction.primitive.traits.records(kinds[launch.instruction.result].dtype)


def _run(calls: Sequence[Callable[[], Any]]) -> None:
    for call in calls:
        if isinstance(call, Call):
            make([call])
        else:
            call()
