"""Chains: elementwise instructions, block by block, over threads.

A block is some rows (along the first axis) of every array of the chain; all of them fit the cache together. What only
the chain reads lives in scratch of one block's size, one for each thread and each result alive at a time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from minigrad.backends import Backend
from minigrad.program.instructions import Constant, Instruction, Kind
from minigrad.program.schedule import Step

BLOCK = 1 << 19  # bytes: half of a core's second-level cache


class Chain:
    """A step of several elementwise instructions, ready to run."""

    def __init__(self, step: Step, kinds: Sequence[Kind], backend: Backend):
        self.backend, self.step = backend, step
        self.shape = kinds[step.instructions[-1].result].shape
        self.kept = set(step.results)
        last = {slot: time for time, i in enumerate(step.instructions) for slot in (*i.reads(), i.result)}
        free: dict[np.dtype, list[int]] = {}
        self.registers: list[np.dtype] = []
        self.register: dict[int, int] = {}  # of each result that is not kept
        for time, instruction in enumerate(step.instructions):
            slot = instruction.result
            if slot not in self.kept:
                dtype = kinds[slot].dtype
                spare = free.setdefault(dtype, [])
                if not spare:
                    self.registers.append(dtype)
                    spare.append(len(self.registers) - 1)
                self.register[slot] = spare.pop()
            for read in {*instruction.reads(), slot}:
                if last[read] == time and read in self.register:
                    free[kinds[read].dtype].append(self.register[read])
        arrays = len(self.registers) + len(step.reads()) + len(self.kept)
        row = math.prod(self.shape[1:]) * max(kinds[i.result].dtype.itemsize for i in step.instructions)
        self.rows = max(1, min(self.shape[0], BLOCK // max(1, row * arrays)))
        self.work = math.prod(self.shape) * len(step.instructions)
        self.scratch: list[list[Any]] = []  # by thread

    @property
    def scratch_bytes(self) -> int:
        """Of one thread."""
        return self.rows * math.prod(self.shape[1:]) * sum(dtype.itemsize for dtype in self.registers)

    def blocks(self) -> list[slice]:
        """Rows of each block."""
        return [slice(i, min(i + self.rows, self.shape[0])) for i in range(0, self.shape[0], self.rows)]

    def run(self, values: list[Any], blocks: Sequence[slice], thread: int) -> None:
        """Compute some blocks; `values` holds arrays of every slot read or kept."""
        while len(self.scratch) <= thread:
            self.scratch.append([self.backend.xp.empty((self.rows, *self.shape[1:]), d) for d in self.registers])
        scratch = self.scratch[thread]
        for rows in blocks:
            local: dict[int, Any] = {}
            for instruction in self.step.instructions:
                self._one(instruction, values, local, scratch, rows)

    def _one(self, instruction: Instruction, values: list, local: dict, scratch: list, rows: slice) -> None:
        slot = instruction.result
        args = [
            o.value if isinstance(o, Constant) and not np.ndim(o.value) else self._rows(o, values, local, rows)
            for o in instruction.operands
        ]
        out = values[slot][rows] if slot in self.kept else scratch[self.register[slot]][: rows.stop - rows.start]
        local[slot] = out
        instruction.run(self.backend, args, out=out)

    def _rows(self, operand: int | Constant, values: list, local: dict, rows: slice) -> Any:
        """The part of an operand that meets these rows: all of it where it is broadcast along the first axis."""
        if isinstance(operand, int) and operand in local:
            return local[operand]
        value = values[operand] if isinstance(operand, int) else operand.value
        whole = np.ndim(value) < len(self.shape) or value.shape[0] != self.shape[0]
        return value if whole else value[rows]


def dealt(blocks: Sequence[slice], parts: int) -> list[Sequence[slice]]:
    """Blocks dealt to threads in runs of equal length."""
    ends = [round(len(blocks) * i / parts) for i in range(parts + 1)]
    return [blocks[a:b] for a, b in pairwise(ends) if b > a]
