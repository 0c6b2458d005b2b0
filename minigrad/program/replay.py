"""Replay: run a program's steps in places that were laid out beforehand."""

from __future__ import annotations

import functools
import threading
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np

from minigrad import tree
from minigrad.backends import Backend
from minigrad.program import threads
from minigrad.program.chain import Chain, in_halves
from minigrad.program.layout import Layout, lay_out
from minigrad.program.program import Constant, Instruction, Program
from minigrad.program.schedule import scheduled
from minigrad.program.split import parts

WORTH_A_THREAD = 1 << 16  # elements times instructions


class Replay:
    """A program bound to memory. One run at a time; a second thread waits."""

    def __init__(self, program: Program, backend: Backend):
        self.program, self.backend = program, backend
        self.schedule = scheduled(program)
        self.layout: Layout = lay_out(program, self.schedule)
        self._lock = threading.Lock()
        self._threads = threads.count() if backend.name == "numpy" else 1
        block = backend.xp.empty(self.layout.size, np.uint8)
        self._fixed: list[Any] = [None] * len(program.kinds)
        for slot, offset in self.layout.offsets.items():
            kind = program.kinds[slot]
            self._fixed[slot] = block[offset : offset + kind.bytes].view(kind.dtype).reshape(kind.shape)
        self._steps = [
            Chain(step, program.kinds, backend) if len(step.instructions) > 1 else step.instructions[0]
            for step in self.schedule
        ]
        made = {i.result for i in program.instructions}
        self._owned = {o for o in program.outputs if o in made and self.layout.source[o] == o}

    def run(self, inputs: Sequence[Any]) -> list[Any]:
        """The program's results as leaves, each in memory of its own."""
        program, b = self.program, self.backend
        with self._lock, threads.single_blas() if self._threads > 1 else nullcontext():
            values = list(self._fixed)
            for slot, value in zip(program.inputs, inputs, strict=True):
                values[slot] = value
            for step in self._steps:
                if isinstance(step, Chain):
                    self._run_chain(step, values)
                else:
                    self._run_one(step, values)
            results, given = [], set()
            for output in program.outputs:
                value = output.value if isinstance(output, Constant) else values[output]
                own = output in self._owned and output not in given
                results.append(value if own else b.xp.array(value, copy=True))
                given.add(output)
        return results

    def _empty(self, slot: int) -> Any:
        kind = self.program.kinds[slot]
        return self.backend.xp.empty(kind.shape, kind.dtype)

    def _run_chain(self, chain: Chain, values: list[Any]) -> None:
        for slot in chain.step.results:
            if values[slot] is None:
                values[slot] = self._empty(slot)
        blocks = chain.blocks()
        shares = in_halves(blocks, self._threads if chain.work >= WORTH_A_THREAD else 1)
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
            values[slot] = instruction.primitive.forward(self.backend, *args, **instruction.params)
        else:
            instruction.primitive.forward(self.backend, *args, out=out, **instruction.params)

    def __call__(self, *inputs: Any) -> Any:
        """The program's results as a tree."""
        return tree.unflatten(self.program.structure, self.run(inputs))
