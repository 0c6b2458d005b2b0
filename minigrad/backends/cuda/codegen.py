"""CUDA code for loops (`minigrad.backends.loops`): thread i computes element i.

A kernel holds several loops, each on its own blocks: one launch can update all parameters of an optimiser.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from minigrad.backends.formulas import TYPES
from minigrad.backends.loops import Index, Load, Loop, Noise, Number, Step, apply_source, number_source

THREADS = 256  # of a block


PRELUDE = """
typedef unsigned int word;
typedef unsigned long long wide;
typedef long long place;

// NaN propagates.
template <class real>
__device__ __forceinline__ real larger(real a, real b) {
    return a >= b || a != a ? a : b;
}
template <class real>
__device__ __forceinline__ real smaller(real a, real b) {
    return a <= b || a != a ? a : b;
}
"""


def blocks_of(loop: Loop) -> int:
    """How many blocks of threads a loop needs."""
    return -(-loop.count // THREADS)


def kernel_source(name: str, loops: Sequence[Loop], arguments: Sequence[np.dtype]) -> str:
    """The source of one kernel, whose arguments point to numbers of these dtypes. PRELUDE must precede it."""
    types = [TYPES.get(dtype, "word") for dtype in arguments]
    parameters = ", ".join(f"{kind}* p{number}" for number, kind in enumerate(types))
    text, first = [f'extern "C" __global__ void {name}({parameters}) {{'], 0
    for loop in loops:
        kind = "place" if _bound_indices(loop) >= 2**31 else "int"
        text += [
            f"    if (blockIdx.x < {first + blocks_of(loop)}) {{",
            f"        const {kind} i = ({kind})(blockIdx.x - {first}) * {THREADS} + threadIdx.x;",
            f"        if (i >= {loop.count}) return;",
            *(f"        {_statement(number, step, loop.steps, kind)}" for number, step in enumerate(loop.steps)),
            *(f"        p{argument}[i] = v{step};" for step, argument in loop.stores),
            "        return;",
            "    }",
        ]
        first += blocks_of(loop)
    return "\n".join([*text, "}", ""])


def _bound_indices(loop: Loop) -> int:
    """An upper bound of all indices."""
    ends = [
        step.offset + sum((n - 1) * abs(by) for _, n, by in step.axes) for step in loop.steps if type(step) is Index
    ]
    return max([loop.count, *ends]) + THREADS


def _statement(number: int, step: Step, steps: Sequence[Step], kind: str) -> str:
    """The C++ statement of one step."""
    if isinstance(step, Index):
        at = _index_name(step.at)
        terms = [_coordinate(at, inner, length) + (f" * {by}" if by != 1 else "") for inner, length, by in step.axes]
        return f"const {kind} v{number} = {' + '.join([*terms, str(step.offset)])};"
    if isinstance(step, Load):
        return f"const {TYPES[step.dtype]} v{number} = p{step.argument}[{_index_name(step.at)}];"
    if isinstance(step, Number):
        return number_source(number, step, _special)
    if isinstance(step, Noise):
        kind, start = TYPES[step.dtype], f"(wide)v{step.start}" if step.start is not None else "0"
        where = f"p{step.key} + {step.key_offset}, {step.offset}ull + {start} + {_index_name(step.at)}"
        return f"const {kind} v{number} = {step.name}_at<{kind}>({where});"
    return apply_source(number, step)


def _index_name(index: int | None) -> str:
    return "i" if index is None else f"v{index}"


def _coordinate(at: str, inner: int, length: int) -> str:
    """The coordinate of a flat index along an axis."""
    return f"({at} % {length})" if inner == 1 else f"({at} / {inner} % {length})"


def _special(value: float) -> str:
    bits = 0x7FF8000000000000 if math.isnan(value) else 0x7FF0000000000000 if value > 0 else 0xFFF0000000000000
    return f"__longlong_as_double((long long){bits:#x}ull)"
