"""The instruction of a call: `control` packs its results into one block of bytes, and `unpack` copies each of them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from minigrad.backends import store
from minigrad.core.batching import Call
from minigrad.core.interpreter import Primitive, current
from minigrad.core.traits import no_flops, traits
from minigrad.program.capture import Capture
from minigrad.program.graph import Kind

ALIGNMENT = 64  # bytes: results begin at multiples of it


class _ControlPrimitive(Primitive):
    """Where a graph is applied in another interpreter, the call gives its results instead of a block."""

    def __call__(self, *leaves: Any, call: Any) -> Any:
        return current().call(call, leaves)


class _UnpackPrimitive(Primitive):
    def __call__(self, results: Any, *, index: int, begin: int, kind: Kind) -> Any:
        return results[index]


def _control(b, *leaves, call, out=None):
    """The results of a call, packed into one block of bytes."""
    begins, size = _lay_out(call.kinds)
    block = b.xp.empty(size, np.uint8) if out is None else out
    call.forward([b.xp.asarray(x) for x in leaves], list(map(partial(_part, block), begins, call.kinds)))
    return block


def _unpack(b, block, *, index, begin, kind, out=None):
    """A copy of one result."""
    part = _part(block, begin, kind)
    return part.copy() if out is None else store(part, out)


control_p = _ControlPrimitive("control", _control)
unpack_p = _UnpackPrimitive("unpack", _unpack)
traits(control_p, any_dtype=True, flops=lambda operands, result, params: params["call"].flops)
traits(unpack_p, flops=no_flops)


def _part(block: Any, begin: int, kind: Kind) -> Any:
    return block[begin : begin + kind.bytes].view(kind.dtype).reshape(kind.shape)


def write(places: Sequence, values: Sequence) -> None:
    """Write values to the first of these arrays."""
    for place, value in zip(places, values):
        place[...] = value


def _lay_out(kinds: Sequence[Kind]) -> tuple[list[int], int]:
    """Where each result begins in a block, and the size of the block, in bytes."""
    ends = [0, *itertools.accumulate(-(-kind.bytes // ALIGNMENT) * ALIGNMENT for kind in kinds)]
    return ends[:-1], max(ends[-1], 1)


def record(capture: Capture, call: Any, leaves: Sequence[Any], examples: Sequence[Any] | None = None) -> list[Any]:
    """The results of a call, as one instruction and copies of its results. The call runs unless `examples` of its
    results are given."""
    results = examples or capture.results_of(call, leaves)
    begins, size = _lay_out(call.kinds)
    block = capture.append(control_p, leaves, {"call": call}, np.broadcast_to(np.uint8(0), (size,)))
    return [
        capture.append(unpack_p, (block,), {"index": i, "begin": begin, "kind": kind}, y)
        for i, (begin, kind, y) in enumerate(zip(begins, call.kinds, results, strict=True))
    ]


@dataclass(frozen=True, eq=False, repr=False)
class Inlined(Call):
    """A call as an instruction of a body, of which a program runs the operations. Its leaves are those of
    `body.outside`, and its arguments."""

    body: Any

    @property
    def kinds(self) -> list[Kind]:
        return self.body.kinds

    @property
    def flops(self) -> int:
        return self.body.flops

    def __str__(self) -> str:
        return self.name

    def record(self, interpreter: Any, leaves: Sequence) -> list:
        return record(interpreter, self, leaves) if interpreter.is_body else self.run(leaves)

    def run(self, leaves: Sequence) -> list:
        return self.body(leaves)

    def move(self, leaves: Sequence[bool]) -> list[bool]:
        """Which results have a derivative, given which leaves move."""
        return self.body.move(leaves)

    def follow(self, leaves: Sequence[bool]) -> tuple[list[bool], bool]:
        return self.body.follow(leaves)

    def forward(self, leaves: Sequence, out: Sequence) -> None:
        write(out, self.body.run(leaves))
