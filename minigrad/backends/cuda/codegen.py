"""Chains: elementwise work as one generated kernel.

A *loop* goes through `count` numbers; thread i does all steps for number i, in registers, and stores at the end. Steps
refer to each other by their place in the list:

    Index    another place than i: where a transposed, broadcast or sliced array is read
    Load     a number from memory
    Number   the same number in every run
    Noise    a random number made where it is used, from its key and its position in the stream
    Apply    a primitive of steps before it

A kernel is several loops side by side, each on blocks of its own: all parameters of an optimiser in one launch.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from minigrad.backends.formulas import TYPES, Formula

THREADS = 256  # of a block


class Index(NamedTuple):
    """offset + Σ (at / inner % length)·stride over (inner, length, stride) in `axes`, of an index before it (or i)."""

    at: int | None
    axes: tuple[tuple[int, int, int], ...]
    offset: int


class Load(NamedTuple):
    """The number at an index (or i) of an argument."""

    argument: int
    at: int | None
    dtype: np.dtype


class Number(NamedTuple):
    """A number that is the same in every run; without a dtype it takes that of what it meets."""

    value: bool | int | float
    dtype: np.dtype | None


class Noise(NamedTuple):
    """Number offset + start + index of a stream: `name` is "normal" or "uniform", `key` an argument, `start` a step."""

    name: str
    key: int
    key_offset: int
    start: int | None
    offset: int
    at: int | None
    dtype: np.dtype


class Apply(NamedTuple):
    """An elementwise operation; `within` is the dtype that it computes in."""

    formula: Formula
    steps: tuple[int, ...]
    within: np.dtype
    dtype: np.dtype


Step = Index | Load | Number | Noise | Apply


class Loop(NamedTuple):
    """What to do for each of `count` numbers, and which steps go to which arguments."""

    count: int
    steps: tuple[Step, ...]
    stores: tuple[tuple[int, int], ...]  # (step, argument)

    @property
    def blocks(self) -> int:
        """How many blocks of threads it takes."""
        return -(-self.count // THREADS)


PRELUDE = """
typedef unsigned int word;
typedef unsigned long long wide;
typedef long long place;

// A NaN is passed on.
template <class real>
__device__ __forceinline__ real larger(real a, real b) {
    return a >= b || a != a ? a : b;
}
template <class real>
__device__ __forceinline__ real smaller(real a, real b) {
    return a <= b || a != a ? a : b;
}
"""


def kernel(name: str, loops: Sequence[Loop], arguments: Sequence[np.dtype]) -> str:
    """The source of one kernel, whose arguments point to numbers of these dtypes. PRELUDE goes before it."""
    types = [TYPES.get(dtype, "word") for dtype in arguments]
    given = ", ".join(f"{kind}* p{number}" for number, kind in enumerate(types))
    text, first = [f'extern "C" __global__ void {name}({given}) {{'], 0
    for loop in loops:
        kind = "place" if _reach(loop) >= 2**31 else "int"
        text += [
            f"    if (blockIdx.x < {first + loop.blocks}) {{",
            f"        const {kind} i = ({kind})(blockIdx.x - {first}) * {THREADS} + threadIdx.x;",
            f"        if (i >= {loop.count}) return;",
            *(f"        {_line(number, step, loop.steps, kind)}" for number, step in enumerate(loop.steps)),
            *(f"        p{argument}[i] = v{step};" for step, argument in loop.stores),
            "        return;",
            "    }",
        ]
        first += loop.blocks
    return "\n".join([*text, "}", ""])


def _reach(loop: Loop) -> int:
    """A bound of all indices."""
    ends = [
        step.offset + sum((n - 1) * abs(by) for _, n, by in step.axes) for step in loop.steps if type(step) is Index
    ]
    return max([loop.count, *ends]) + THREADS


def _line(number: int, step: Step, steps: Sequence[Step], kind: str) -> str:
    """The statement of one step."""
    if isinstance(step, Index):
        at = _at(step.at)
        terms = [_digit(at, inner, length) + (f" * {by}" if by != 1 else "") for inner, length, by in step.axes]
        return f"const {kind} v{number} = {' + '.join([*terms, str(step.offset)])};"
    if isinstance(step, Load):
        return f"const {TYPES[step.dtype]} v{number} = p{step.argument}[{_at(step.at)}];"
    if isinstance(step, Number):
        return f"const {TYPES[step.dtype]} v{number} = {_literal(step.value)};"
    if isinstance(step, Noise):
        kind, start = TYPES[step.dtype], f"(wide)v{step.start}" if step.start is not None else "0"
        where = f"p{step.key} + {step.key_offset}, {step.offset}ull + {start} + {_at(step.at)}"
        return f"const {kind} v{number} = {step.name}_at<{kind}>({where});"
    within, values = TYPES[step.within], list(step.steps)
    condition = [f"const bool c = v{values.pop(0)}"] if step.formula.selects else []
    operands = [f"const {within} {name} = ({within})v{v}" for name, v in zip("abc", values)]
    done = re.sub(r"\breal\b", within, step.formula.source(step.within, step.dtype))
    return f"{TYPES[step.dtype]} v{number}; {{ {'; '.join(condition + operands)}; v{number} = {done}; }}"


def _at(index: int | None) -> str:
    return "i" if index is None else f"v{index}"


def _digit(at: str, inner: int, length: int) -> str:
    """A coordinate."""
    return f"({at} % {length})" if inner == 1 else f"({at} / {inner} % {length})"


def _literal(value: bool | int | float) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value}ll" if value != -(2**63) else f"({value + 1}ll - 1)"  # C++ has no negative literals
    if math.isfinite(value):
        return value.hex()
    bits = 0x7FF8000000000000 if math.isnan(value) else 0x7FF0000000000000 if value > 0 else 0xFFF0000000000000
    return f"__longlong_as_double((long long){bits:#x}ull)"
