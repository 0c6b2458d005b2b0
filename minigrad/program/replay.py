"""Replay: run a program's instructions in places that were laid out beforehand."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from minigrad import tree
from minigrad.backends import Backend
from minigrad.program.layout import Layout, lay_out
from minigrad.program.program import Constant, Program


class _Step(NamedTuple):
    """One instruction, ready to run."""

    forward: Callable
    operands: tuple[tuple[int | None, Any], ...]  # (slot, None) or (None, constant)
    params: dict[str, Any]
    result: int
    out: Any  # array to write to; None: a view, or an output, which gets memory of its own


class Replay:
    """A program bound to memory. One run at a time; a second thread waits."""

    def __init__(self, program: Program, backend: Backend):
        self.program, self.backend = program, backend
        self.layout: Layout = lay_out(program)
        self._lock = threading.Lock()
        block = backend.xp.empty(self.layout.size, np.uint8)
        self._fixed: list[Any] = [None] * len(program.kinds)
        for slot, offset in self.layout.offsets.items():
            kind = program.kinds[slot]
            self._fixed[slot] = block[offset : offset + kind.bytes].view(kind.dtype).reshape(kind.shape)
        self._owned = {o for o in program.outputs if isinstance(o, int) and self.layout.source[o] == o}
        self._owned -= set(program.inputs)
        self._steps = [
            _Step(
                i.primitive.forward,
                tuple((None, o.value) if isinstance(o, Constant) else (o, None) for o in i.operands),
                i.params,
                i.result,
                self._fixed[i.result],
            )
            for i in program.instructions
        ]

    def run(self, inputs: Sequence[Any]) -> list[Any]:
        """The program's results as leaves, each in memory of its own."""
        program, b = self.program, self.backend
        with self._lock:
            values = list(self._fixed)
            for slot, value in zip(program.inputs, inputs, strict=True):
                values[slot] = value
            for forward, operands, params, result, out in self._steps:
                args = [constant if slot is None else values[slot] for slot, constant in operands]
                if out is not None:
                    forward(b, *args, out=out, **params)
                else:
                    values[result] = forward(b, *args, **params)
            results, given = [], set()
            for output in program.outputs:
                value = output.value if isinstance(output, Constant) else values[output]
                own = isinstance(output, int) and output in self._owned and output not in given
                results.append(value if own else b.xp.array(value, copy=True))
                given.add(output)
        return results

    def __call__(self, *inputs: Any) -> Any:
        """The program's results as a tree."""
        return tree.unflatten(self.program.structure, self.run(inputs))
