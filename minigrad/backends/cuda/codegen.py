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
    """A primitive; `within` is the dtype that it computes in."""

    name: str
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


TYPES = {
    np.dtype(np.bool_): "bool",
    np.dtype(np.int32): "int",
    np.dtype(np.int64): "long long",
    np.dtype(np.float32): "float",
    np.dtype(np.float64): "double",
}
"""Dtypes that chains are made of, and what they are called in C++."""

FORMULAS = {
    "add": "a + b",
    "subtract": "a - b",
    "multiply": "a * b",
    "negative": "-a",
    "square": "a * a",
    "where": "c ? a : b",
}
"""Of numbers of any dtype but bool: NumPy's operation, in C++. `where` has its condition c in front."""

WHOLE = {
    "add": "(natural)a + (natural)b",
    "subtract": "(natural)a - (natural)b",
    "multiply": "(natural)a * (natural)b",
    "negative": "-(natural)a",
    "square": "(natural)a * (natural)a",
}
"""The same of integers, which wrap around as NumPy's do: in C++ only those without a sign may."""

NATURAL = {np.dtype(np.int32): "word", np.dtype(np.int64): "wide"}

REAL = {
    "divide": "a / b",
    "reciprocal": "1 / a",
    "sqrt": "sqrt(a)",
    "power": "pow(a, b)",
    "exp": "exp(a)",
    "expm1": "expm1(a)",
    "log": "log(a)",
    "log1p": "log1p(a)",
    "log2": "log2(a)",
    "logaddexp": "a == b ? a + (real)0.6931471805599453 : (a > b ? a : b) + log1p(exp(-fabs(a - b)))",
    "sin": "sin(a)",
    "cos": "cos(a)",
    "tan": "tan(a)",
    "arcsin": "asin(a)",
    "arccos": "acos(a)",
    "arctan": "atan(a)",
    "sinh": "sinh(a)",
    "cosh": "cosh(a)",
    "tanh": "tanh(a)",
    "hypot": "hypot(a, b)",
    "arctan2": "atan2(a, b)",
    "sigmoid": "(a >= 0 ? (real)1 : exp(a)) / (1 + exp(-fabs(a)))",
    "softplus": "(a < 0 ? (real)0 : a) + log1p(exp(-fabs(a)))",
    "log_sigmoid": "-((a > 0 ? (real)0 : -a) + log1p(exp(-fabs(a))))",
    "relu": "a < 0 ? (real)0 : a",  # a NaN stays one
    "erf": "erf(a)",
    "absolute": "fabs(a)",
    "maximum": "larger(a, b)",
    "minimum": "smaller(a, b)",
    "clip": "smaller(larger(a, b), c)",
    "gaussian_sample": "a + exp(b) * c",
    "sign": "a > 0 ? (real)1 : a < 0 ? (real)-1 : a + 0",  # of −0, NumPy's is 0
    "floor": "floor(a)",
    "ceil": "ceil(a)",
    "rint": "rint(a)",
    "step": "a > b ? (real)1 : a == b ? (real)0.5 : (real)0",
}
"""Of real numbers; `real` is their type."""

TRUTH = {
    "equal": "a == b",
    "not_equal": "a != b",
    "less": "a < b",
    "less_equal": "a <= b",
    "greater": "a > b",
    "greater_equal": "a >= b",
    "logical_and": "a && b",
    "logical_or": "a || b",
    "logical_xor": "!a != !b",
    "logical_not": "!a",
    "isnan": "a != a",
    "isinf": "isinf(a)",
    "isfinite": "isfinite(a)",
    "where": "c ? a : b",
}
"""Whose result is true or false."""

BITS = {
    "bitwise_and": "a & b",
    "bitwise_or": "a | b",
    "bitwise_xor": "a ^ b",
    "invert": "a ^ (real)-1",
}
"""Of integers, and of true and false; `real` is their type."""

REALS = np.dtype(np.float32), np.dtype(np.float64)


def formula(name: str, within: np.dtype, dtype: np.dtype) -> str | None:
    """The C++ of a primitive that computes within one dtype and gives another; None where there is none."""
    if within not in TYPES or dtype not in TYPES:
        return None
    if name in ("astype", "copy"):
        return "a"
    if name in BITS:
        return BITS[name] if within == dtype and within not in REALS else None
    if dtype == np.bool_:
        return TRUTH.get(name) if within in REALS or not name.startswith("is") else None
    if within == np.bool_:
        return None
    if within in NATURAL and name in WHOLE:
        return WHOLE[name].replace("natural", NATURAL[within])
    return FORMULAS.get(name) or (REAL.get(name) if within in REALS else None)


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
    within, names = TYPES[step.within], "cab" if step.name == "where" else "abc"
    operands = [
        f"const {'bool' if step.name == 'where' and name == 'c' else within} {name} = {_cast(within, v, name, step)}"
        for name, v in zip(names, step.steps)
    ]
    done = re.sub(r"\breal\b", within, formula(step.name, step.within, step.dtype))
    return f"{TYPES[step.dtype]} v{number}; {{ {'; '.join(operands)}; v{number} = {done}; }}"


def _cast(within: str, step: int, name: str, apply: Apply) -> str:
    return f"v{step}" if apply.name == "where" and name == "c" else f"({within})v{step}"


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
