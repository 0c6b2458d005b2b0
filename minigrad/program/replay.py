"""Replay: run a program's steps in places that were laid out beforehand."""

from __future__ import annotations

import functools
import threading
from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minigrad.backends import backend_of
from minigrad.program import threads
from minigrad.program.chain import Chain, dealt
from minigrad.program.instructions import Constant, Instruction, is_array, is_dynamic, kind_of
from minigrad.program.layout import lay_out, taken_over
from minigrad.program.schedule import scheduled
from minigrad.program.split import parts

if TYPE_CHECKING:
    from minigrad.program.program import Program

WORTH_A_THREAD = 1 << 16  # elements times instructions


class Memory(NamedTuple):
    """Bytes that a run holds beside its arguments."""

    intermediate: int  # one block, reused over and over
    results: int  # handed out
    scratch: int  # of chains, all threads together

    @property
    def total(self) -> int:
        return sum(self)

    def __str__(self) -> str:
        return ", ".join(
            f"{name} {bytes / 1e6:.3f} MB" for name, bytes in (*self._asdict().items(), ("total", self.total))
        )


class Replay:
    """A program bound to memory. One run at a time; a second thread waits."""

    def __init__(self, program: Program, donated: Sequence[int] = ()):
        self.program, self.backend, kinds = program, program.backend, program.kinds
        steps = scheduled(program.instructions, kinds, program.outputs)
        self._layout = lay_out(steps, kinds, program.inputs, program.outputs)
        self._lock = threading.Lock()
        self._threads = threads.count() if self.backend.threaded else 1
        block = self.backend.xp.empty(self._layout.size, np.uint8)
        self._fixed: list[Any] = [None] * len(kinds)
        for slot, offset in self._layout.offsets.items():
            kind = kinds[slot]
            self._fixed[slot] = block[offset : offset + kind.bytes].view(kind.dtype).reshape(kind.shape)
        self._steps = [
            Chain(step, kinds, self.backend) if len(step.instructions) > 1 else step.instructions[0] for step in steps
        ]
        made = {i.result for i in program.instructions}
        outputs = [o for o in program.outputs if isinstance(o, int)]
        self._owned = {o for o in outputs if o in made and self._layout.source[o] == o}
        self._taken = taken_over(steps, kinds, self._layout.source, outputs, donated)
        operands = [*program.outputs, *(operand for i in program.instructions for operand in i.operands)]
        self._constants = [o.value for o in operands if isinstance(o, Constant) and is_array(o.value)]

    @property
    def memory(self) -> Memory:
        """Bytes that a run holds beside its arguments."""
        constants = [kind_of(o.value) for o in self.program.outputs if isinstance(o, Constant) and is_dynamic(o.value)]
        kinds = [*constants, *(self.program.kinds[o] for o in self.program.outputs if isinstance(o, int))]
        scratch = sum(step.scratch_bytes for step in self._steps if isinstance(step, Chain))
        return Memory(self._layout.size, sum(kind.bytes for kind in kinds), scratch * self._threads)

    def run(self, inputs: Sequence[Any]) -> list[Any]:
        """The program's results as leaves, each in memory of its own."""
        with self._lock, threads.single_blas if self._threads > 1 else nullcontext():
            values = list(self._fixed)
            for slot, value in zip(self.program.inputs, inputs, strict=True):
                values[slot] = value
            others = [*inputs, *self._constants] if self._taken else ()
            for output, slot in self._taken.items():
                if self._is_alone(values[slot], others):
                    values[output] = values[slot].view()
            for step in self._steps:
                if isinstance(step, Chain):
                    self._run_chain(step, values)
                else:
                    self._run_one(step, values)
            results, given = [], set()
            for output in self.program.outputs:
                value = output.value if isinstance(output, Constant) else values[output]
                own = isinstance(output, int) and output in self._owned and output not in given
                results.append(value if own else self._copy(value))
                given.add(output if own else None)
        return results

    def _copy(self, value: Any) -> Any:
        return backend_of((value,)).xp.array(value, copy=True) if is_array(value) else value

    def _is_alone(self, array: Any, others: Sequence[Any]) -> bool:
        """Whether an array may be written to in place: of all that a run reads, itself included, nothing else looks at
        its memory."""
        if not (array.flags.c_contiguous and getattr(array.flags, "writeable", True)):
            return False
        overlaps = self.backend.xp.may_share_memory
        return sum(bool(overlaps(array, other)) for other in others if is_array(other)) == 1

    def _empty(self, slot: int) -> Any:
        kind = self.program.kinds[slot]
        return self.backend.xp.empty(kind.shape, kind.dtype)

    def _run_chain(self, chain: Chain, values: list[Any]) -> None:
        for slot in chain.step.results:
            if values[slot] is None:
                values[slot] = self._empty(slot)
        blocks = chain.blocks()
        shares = dealt(blocks, self._threads if chain.work >= WORTH_A_THREAD else 1)
        threads.together([functools.partial(chain.run, values, share, i) for i, share in enumerate(shares)])

    def _run_one(self, instruction: Instruction, values: list[Any]) -> None:
        args = [o.value if isinstance(o, Constant) else values[o] for o in instruction.operands]
        slot, out = instruction.result, values[instruction.result]
        if out is None and instruction.primitive.view_of is None and self.program.kinds[slot].shape:
            out = values[slot] = self._empty(slot)
        tasks = parts(instruction, self.backend, args, out, self._threads)
        if tasks is not None:
            threads.together(tasks)
        elif out is None:
            values[slot] = instruction.run(self.backend, args)
        else:
            instruction.run(self.backend, args, out=out)
