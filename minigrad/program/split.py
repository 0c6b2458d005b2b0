"""Split: how one instruction on a large batch becomes several on parts of it.

Only splits that leave every sum whole are made: rows of a product, images of a convolution, positions of a random
stream. BLAS may still add up a sum in another order when it has fewer rows, or fewer threads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from minigrad.program.instructions import Instruction

LARGE = 1 << 20  # multiplications: below, waking a thread costs more than it saves


def parts(instruction: Instruction, backend: Any, args: Sequence[Any], out: Any, threads: int) -> list[Callable] | None:
    """Tasks that together compute an instruction into `out`; None where it is small, or cannot be split."""
    split = SPLITS.get(instruction.primitive.name)
    if split is None or threads < 2 or out is None:
        return None
    rows = split(args, out, instruction.params)
    if rows is None or rows < threads:
        return None
    ends = [round(rows * i / threads) for i in range(threads + 1)]
    make = _draws if instruction.primitive.name.startswith("random") else _rows
    return [make(instruction, backend, args, out, a, b) for a, b in pairwise(ends)]


def _rows(instruction: Instruction, backend: Any, args: Sequence[Any], out: Any, a: int, b: int) -> Callable:
    first, *rest = args
    return lambda: instruction.run(backend, [first[a:b], *rest], out=out[a:b])


def _draws(instruction: Instruction, backend: Any, args: Sequence[Any], out: Any, a: int, b: int) -> Callable:
    """Rows a…b of a draw begin at position a·(numbers in a row) of its stream."""
    shape, offset = (b - a, *out.shape[1:]), instruction.params["offset"] + a * math.prod(out.shape[1:])
    return lambda: instruction.run(backend, args, shape=shape, offset=offset, out=out[a:b])


def _product(args: Sequence[Any], out: Any, params: dict) -> int | None:
    x, w = args
    large = x.ndim == 2 and w.ndim == 2 and math.prod(x.shape) * w.shape[1] >= LARGE
    return len(x) if large else None


def _images(args: Sequence[Any], out: Any, params: dict) -> int | None:
    return len(args[0]) if math.prod(out.shape) * math.prod(args[1].shape[:2]) >= LARGE // 16 else None


def _positions(args: Sequence[Any], out: Any, params: dict) -> int | None:
    return len(out) if out.ndim and out.size >= LARGE // 64 else None


SPLITS: dict[str, Callable] = {
    "matmul": _product,
    "conv": _images,
    "conv_input": _images,
    "random_normal": _positions,
    "random_uniform": _positions,
}
"""How many rows an instruction can be cut into; None: it is too small."""
