"""C++ for loops (`minigrad.backends.loops`): one function a kernel, for rows `begin` to `end` of its arrays.

    extern "C" void chain_0(char** p, long begin, long end)

A loop over `count` elements with `rows` rows becomes loops over rows and the axes within one, so that an index of a
broadcast or transposed operand is a sum of products instead of a division for each element. What does not depend on
the innermost axis is computed outside of its loop. The innermost loop is vectorised by the compiler.

Arrays that a kernel reads may be those that it writes, if element i of a result depends on element i of them only.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from minigrad.backends.formulas import TYPES, Formula
from minigrad.backends.loops import Apply, Index, Load, Loop, Noise, Number, Step, apply_source, number_source

KNOWN = frozenset("exp expm1 log log1p tanh sqrt fabs larger smaller isinf isfinite real".split())
"""The functions that `functions.h` defines; `real` is a type."""


def is_known(formula: Formula, within: np.dtype, dtype: np.dtype) -> bool:
    """Whether a formula can be computed within a dtype: it has a source, of functions that are defined here."""
    source = formula.source(within, dtype)
    return source is not None and set(re.findall(r"\b([a-z]\w*)\(", source)) <= KNOWN


def library_source(kernels: Sequence[str]) -> str:
    """The source of a library of kernels."""
    headers = [_read("native", "functions.h")]
    if any("_at<" in kernel for kernel in kernels):  # they draw noise
        headers += [_read("native", "streams.h"), _read("cuda", "streams.cu").partition("// Entry points")[0]]
    return "\n".join(["namespace kernels {", *headers, *kernels, "}", ""])


def _read(folder: str, name: str) -> str:
    return Path(__file__).parents[1].joinpath(folder, name).read_text(encoding="utf-8")


def kernel_source(name: str, loops: Sequence[Loop], arguments: Sequence[np.dtype], rows: int) -> str:
    """The source of one kernel, whose arguments point to numbers of these dtypes."""
    types = [_memory_type(dtype) for dtype in arguments]
    given = [f"    {kind}* const p{n} = ({kind}*)p[{n}];" for n, kind in enumerate(types)]
    body = [line for loop in loops for line in _Nest(loop, rows).lines()]
    return "\n".join([f'extern "C" void {name}(char** p, long begin, long end) {{', *given, *body, "}", ""])


def _memory_type(dtype: np.dtype) -> str:
    """The type of an array's elements: booleans as bytes, or loops with them are not vectorised; a key has words."""
    return "unsigned char" if dtype == np.bool_ else TYPES.get(dtype, "word")


class _Nest:
    """The nested loops of one loop. Dimension 0 is the innermost; the last one is that of rows."""

    def __init__(self, loop: Loop, rows: int):
        self.loop, self.width = loop, loop.count // rows
        ends = {end for axis in self._axes() for end in (axis[0], axis[0] * axis[1])}
        sizes = sorted({1, self.width, *ends} - {loop.count}) or [1]
        self.regular = sizes[-1] <= self.width and not any(b % a for a, b in pairwise(sizes))
        self.sizes = sizes if self.regular else sorted({1, self.width})  # how many elements a step of each one passes
        if not ends - {1, loop.count}:
            self.sizes = [1]

    def _axes(self) -> list[tuple[int, int, int]]:
        return [axis for step in self.loop.steps if isinstance(step, Index) and step.at is None for axis in step.axes]

    def lines(self) -> list[str]:
        """The C++ of the loops."""
        levels = self._levels()
        last = len(self.sizes) - 1
        text = self._statements(levels, last + 1)
        for dimension in range(last, -1, -1):
            indent = "    " * (last - dimension + 1)
            if dimension == 0:
                text.append("#pragma GCC ivdep")
            text.append(f"{indent}for (long k{dimension} = {self._range(dimension)}; k{dimension}++) {{")
            if dimension == 0:
                terms = [f"k{d}" + (f" * {size}" if size > 1 else "") for d, size in enumerate(self.sizes)]
                text.append(f"{indent}    const long i = {' + '.join(terms)};")
            text += [f"{indent}    {line}" for line in self._statements(levels, dimension)]
        indent = "    " * (last + 2)
        text += [f"{indent}p{argument}[i] = v{step};" for step, argument in self.loop.stores]
        text += ["    " * n + "}" for n in range(last + 1, 0, -1)]
        return ["    {", *text, "    }"]

    def _range(self, dimension: int) -> str:
        if dimension == len(self.sizes) - 1:
            factor = self.width // self.sizes[-1]
            begin, end = (f"{name} * {factor}" if factor > 1 else name for name in ("begin", "end"))
            return f"{begin}; k{dimension} < {end}"
        return f"0; k{dimension} < {self.sizes[dimension + 1] // self.sizes[dimension]}"

    def _levels(self) -> list[int]:
        """The innermost dimension that each step depends on; one more than the last for what is always the same."""
        levels: list[int] = []
        for step in self.loop.steps:
            if isinstance(step, Index):
                levels.append(self._level_of_index(step, levels))
            elif isinstance(step, (Load, Noise)):
                levels.append(0 if step.at is None else levels[step.at])
            elif isinstance(step, Apply):
                levels.append(min([levels[s] for s in step.steps], default=len(self.sizes)))
            else:
                levels.append(len(self.sizes))
        return levels

    def _level_of_index(self, step: Index, levels: Sequence[int]) -> int:
        if not step.axes:
            return len(self.sizes)
        if step.at is not None or not self.regular:
            return 0
        return min(self._dimensions(axis)[0] for axis in step.axes)

    def _dimensions(self, axis: tuple[int, int, int]) -> list[int]:
        """The dimensions that an axis consists of, the innermost first."""
        inner, length, _ = axis
        return [d for d, size in enumerate(self.sizes) if inner <= size < inner * length]

    def _statements(self, levels: Sequence[int], level: int) -> list[str]:
        return [self._statement(n, step) for n, step in enumerate(self.loop.steps) if levels[n] == level]

    def _statement(self, number: int, step: Step) -> str:
        if isinstance(step, Index):
            return f"const long v{number} = {' + '.join([*self._terms(step), str(step.offset)])};"
        if isinstance(step, Load):
            at = "i" if step.at is None else f"v{step.at}"
            truth = " != 0" if step.dtype == np.bool_ else ""
            return f"const {TYPES[step.dtype]} v{number} = p{step.argument}[{at}]{truth};"
        if isinstance(step, Number):
            return number_source(number, step, _special)
        if isinstance(step, Noise):
            kind, at = TYPES[step.dtype], "i" if step.at is None else f"v{step.at}"
            start = f"(wide)v{step.start} + " if step.start is not None else ""
            key = f"p{step.key} + {step.key_offset}"
            return f"const {kind} v{number} = {step.name}_at<{kind}>({key}, {step.offset}ull + {start}{at});"
        return apply_source(number, step)

    def _terms(self, step: Index) -> list[str]:
        if step.at is None and self.regular:
            return [
                f"k{d} * {self.sizes[d] // axis[0] * axis[2]}" for axis in step.axes for d in self._dimensions(axis)
            ]
        at = "i" if step.at is None else f"v{step.at}"
        return [f"{at} / {inner} % {length} * {stride}" for inner, length, stride in step.axes]


def _special(value: float) -> str:
    return '__builtin_nan("")' if math.isnan(value) else f"{'-' if value < 0 else ''}__builtin_inf()"
