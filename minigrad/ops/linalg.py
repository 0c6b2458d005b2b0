"""Products of matrices and tensors: bilinear, computed by BLAS."""

from __future__ import annotations

import math
import string
from collections import Counter
from functools import cache
from typing import Any

import numpy as np

from minigrad.backends import store
from minigrad.backends.dtypes import result_type
from minigrad.core.arguments import check_options, integer, is_several
from minigrad.core.arrays import describe, dtype_of, shape_of
from minigrad.core.batching import align, batched, move_axis
from minigrad.core.errors import OperandError
from minigrad.core.interpreter import find_backend, primitive
from minigrad.core.rules import bilinear
from minigrad.core.traits import Cut, traits
from minigrad.core.vectors import reshape_p, sum_to_p
from minigrad.ops.arithmetic import multiply
from minigrad.ops.complex import conjugate_if_complex
from minigrad.ops.indexing import diagonal
from minigrad.ops.reduce import sum as sum_
from minigrad.ops.shape import astype, expand_dims, normalise_axis, ravel, squeeze, swapaxes, transpose

LETTERS = string.ascii_uppercase + string.ascii_lowercase  # of einsum


@primitive("matmul")
def matmul_p(b, x1, x2, out=None):
    return b.matmul(x1, x2, out=out)


def matrix_transpose(x: Any, /) -> Any:
    """x with its last two axes exchanged: each matrix transposed."""
    return swapaxes(x, -1, -2)


mT = matrix_transpose


def mH(x):
    """Each matrix transposed and conjugated."""
    return mT(conjugate_if_complex(x))


def fit(g, x):
    """g summed over broadcast axes to the shape of x."""
    return g if shape_of(g) == x.shape else sum_to_p(g, shape=x.shape)


def _left(g, x1, x2):
    """x̄₁ = g·x₂ᵀ: (…, n, m) @ (…, m, k); if x₁ is a single matrix, the product also sums over the batch."""
    if x1.ndim == 2 and x2.ndim > 2:
        lead = tuple(range(x2.ndim - 2))
        return tensordot(g, x2, axes=((*lead, x2.ndim - 1), (*lead, x2.ndim - 1)))
    return fit(matmul_p(g, mT(x2)), x1)


bilinear(
    matmul_p,
    x1=lambda g, x1, x2: _left(g, x1, x2),
    x2=lambda g, x1, x2: fit(matmul_p(mT(x1), g), x2),  # (…, k, n) @ (…, n, m)
)


def _batch_matmul(size, args, is_batched):
    """With one matrix for all examples, one large product; an outer product for each example is a multiplication."""
    x1, x2 = args
    if is_batched == (True, False) and len(shape_of(x2)) == 2:
        return matmul(x1, x2)
    if is_batched == (False, True) and len(shape_of(x1)) == 2:
        if shape_of(x2)[-1] == 1:
            return expand_dims(matmul(squeeze(x2, -1), mT(x1)), -1)
        product = tensordot(x1, x2, axes=((1,), (-2,)))
        return move_axis(product, 0, len(shape_of(product)) - 2)
    x1, x2 = align(args, is_batched)
    return multiply(x1, x2) if shape_of(x1)[-1] == 1 else matmul_p(x1, x2)


batched(matmul_p, _batch_matmul)


def _cuts_of_product(operands, result, params):
    if list(map(len, operands)) == [2, 2]:
        yield Cut((0, None), 0)
        yield Cut((None, 1), 1)
        yield Cut((1, 0), None)


def _other_factor(operands):
    """The position of X in I·X or X·I, where the units of a Jacobian are an identity matrix."""
    for i, x in enumerate(operands):
        if np.ndim(x) == 2 and x.shape[0] == x.shape[1]:
            xp = find_backend(x).xp
            if bool(xp.all(x == xp.eye(len(x), dtype=x.dtype))):
                return 1 - i
    return None


traits(
    matmul_p,
    cuts=_cuts_of_product,
    copies=_other_factor,
    flops=lambda operands, result, params: 2 * math.prod(result) * operands[0][-1],
    blas=True,
    recordable=lambda dtype: dtype in (np.float32, np.float64),  # the dtypes with CUDA kernels; others go to a library
)


def matmul(x1: Any, x2: Any, /, out: None = None, **options: Any) -> Any:
    """Matrix product over the last two axes; the others broadcast. A 1-d x1 is a row, a 1-d x2 a column."""
    if out is not None or options:
        check_options("matmul", out=out, **options)
    n1, n2 = len(shape_of(x1)), len(shape_of(x2))
    if not n1 or not n2 or shape_of(x1)[-1] != shape_of(x2)[0 if n2 == 1 else -2]:
        raise OperandError(
            f"matmul: the last axis of {describe(x1)} must be as long as the "
            f"{'first' if n2 == 1 else 'second-to-last'} of {describe(x2)}"
        )
    if n1 == 1:
        return squeeze(matmul(expand_dims(x1, 0), x2), -2 if n2 > 1 else 0)
    if n2 == 1:
        return squeeze(matmul(x1, expand_dims(x2, 1)), -1)
    if n1 > 2 and n2 == 2 and 0 not in shape_of(x1):  # one large product instead of a batch of small ones
        rows = reshape_p(x1, shape=(math.prod(shape_of(x1)[:-1]), shape_of(x1)[-1]))
        return reshape_p(matmul_p(rows, x2), shape=(*shape_of(x1)[:-1], shape_of(x2)[-1]))
    return matmul_p(x1, x2)


def dot(a: Any, b: Any, out: None = None) -> Any:
    """NumPy's dot: the sum of products over the last axis of a and the second-to-last (or only) axis of b."""
    check_options("dot", out=out)
    n1, n2 = len(shape_of(a)), len(shape_of(b))
    if n1 == 0 or n2 == 0:
        return multiply(a, b)
    return tensordot(a, b, axes=((n1 - 1,), (max(n2 - 2, 0),)))


def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    """Sum of products over pairs of axes: the last `axes` of a and the first of b, or two lists of axes."""
    shape1, shape2 = shape_of(a), shape_of(b)
    n1, n2 = len(shape1), len(shape2)
    if is_several(axes):
        first, second = (tuple(one) if is_several(one) else (one,) for one in axes)
        first = tuple(normalise_axis(axis, n1, "tensordot") for axis in first)
        second = tuple(normalise_axis(axis, n2, "tensordot") for axis in second)
    else:
        count = integer(axes, "tensordot: axes")
        if not 0 <= count <= min(n1, n2):
            raise OperandError(f"tensordot: axes={count} is too many for {describe(a)} and {describe(b)}")
        first, second = tuple(range(n1 - count, n1)), tuple(range(count))
    if [shape1[axis] for axis in first] != [shape2[axis] for axis in second]:
        raise OperandError(f"tensordot: axes {first} of {describe(a)} and {second} of {describe(b)} differ in length")
    free1 = tuple(axis for axis in range(n1) if axis not in first)
    free2 = tuple(axis for axis in range(n2) if axis not in second)
    rows, columns = [shape1[axis] for axis in free1], [shape2[axis] for axis in free2]
    summed = math.prod(shape1[axis] for axis in first)
    left = reshape_p(transpose(a, free1 + first), shape=(math.prod(rows), summed))
    right = reshape_p(transpose(b, second + free2), shape=(summed, math.prod(columns)))
    return reshape_p(matmul_p(left, right), shape=(*rows, *columns))


def multi_dot(arrays: Any, *, out: None = None) -> Any:
    """The product of two or more matrices, in the order that takes the fewest multiplications.

    The first array may be a vector, as a row, and the last one too, as a column.
    """
    check_options("multi_dot", out=out)
    arrays = list(arrays)
    shapes = [shape_of(x) for x in arrays]
    if len(arrays) < 2 or any(len(s) != 2 for s in shapes[1:-1]) or {len(shapes[0]), len(shapes[-1])} - {1, 2}:
        raise OperandError(
            "multi_dot: needs two or more matrices, of which the first and the last may be vectors, got "
            f"{', '.join(map(describe, arrays)) or 'none'}"
        )
    sides = [1 if len(shapes[0]) == 1 else shapes[0][0], *[shape[0] for shape in shapes[1:]]]
    sides.append(1 if len(shapes[-1]) == 1 else shapes[-1][-1])

    @cache
    def best(first, last):
        """(multiplications, where to split) of the product from one array to another."""
        splits = [
            (best(first, k)[0] + best(k + 1, last)[0] + sides[first] * sides[k + 1] * sides[last + 1], k)
            for k in range(first, last)
        ]
        return min(splits, default=(0, first))

    def product(first, last):
        split = best(first, last)[1]
        return arrays[first] if first == last else matmul(product(first, split), product(split + 1, last))

    return product(0, len(arrays) - 1)


def outer(a: Any, b: Any, out: None = None) -> Any:
    """The outer product aᵢ·bⱼ of a and b, both raveled."""
    check_options("outer", out=out)
    return multiply(expand_dims(ravel(a), 1), expand_dims(ravel(b), 0))


def trace(a, offset=0, axis1=0, axis2=1, dtype=None, out=None):
    """The sum of a diagonal over two axes, in `dtype`."""
    check_options("trace", out=out)
    return sum_(diagonal(a, integer(offset, "trace: offset"), axis1, axis2), -1, dtype)


@primitive("einsum")
def einsum_p(b, *xs, subscripts, out=None):
    """`einsum` ensures that no letter repeats within an operand, is summed within one operand alone, or broadcasts."""
    y = b.xp.einsum(subscripts, *xs, optimize=len(xs) > 1)
    return store(y.copy() if len(xs) == 1 and out is None else y, out)  # with one operand NumPy returns a view


def _einsum_transpose(g, i, xs, *, subscripts):
    """x̄ᵢ is another einsum: g replaces the i-th operand, whose letters become those of the result."""
    inputs, output = subscripts.split("->")
    terms = inputs.split(",")
    others = [x for j, x in enumerate(xs) if j != i]
    letters = [term for j, term in enumerate(terms) if j != i]
    return einsum_p(g, *others, subscripts=f"{','.join([output, *letters])}->{terms[i]}")


bilinear(einsum_p, _einsum_transpose)


def _batch_einsum(size, args, is_batched, *, subscripts):
    """The examples are one more letter."""
    letter = next(c for c in LETTERS if c not in subscripts)
    inputs, output = subscripts.split("->")
    terms = [letter * b + term for b, term in zip(is_batched, inputs.split(","))]
    return einsum_p(*args, subscripts=f"{','.join(terms)}->{letter}{output}")


batched(einsum_p, _batch_einsum)


def einsum(
    subscripts: str,
    *operands: Any,
    out: None = None,
    dtype: Any = None,
    order: Any = "K",
    casting: str = "safe",
    optimize: Any = False,
) -> Any:
    """numpy.einsum with a subscripts string, which may have repeated letters, ellipses and broadcasting axes; or with
    lists of axis numbers, einsum(a, [0, 1], b, [1, 2], [0, 2]).
    """
    check_options("einsum", out=out, dtype=dtype, order=order, optimize=optimize)
    check_options("einsum", casting=None if casting == "safe" else casting)
    if not isinstance(subscripts, str):
        subscripts, operands = _read_axis_numbers((subscripts, *operands))
    terms, output = _parse(subscripts, operands)
    common = result_type(*map(dtype_of, operands))
    # Cast first, so that no pair is multiplied in a narrower dtype
    xs = [x if dtype_of(x) == common else astype(x, common) for x in operands]
    for i, term in enumerate(terms):  # a repeated letter is a diagonal
        for letter, count in Counter(term).items():
            for _ in range(count - 1):
                a, b = [k for k, c in enumerate(term) if c == letter][:2]
                if shape_of(xs[i])[a] != shape_of(xs[i])[b]:
                    raise OperandError(
                        f"einsum: '{subscripts}': axes '{letter}' of {describe(operands[i])} differ in length"
                    )
                xs[i] = diagonal(xs[i], 0, a, b)
                term = "".join(c for k, c in enumerate(term) if k not in (a, b)) + letter
        terms[i] = term
    _check_sizes(subscripts, terms, xs)
    for i, term in enumerate(terms):  # a length-1 axis that broadcasts is dropped
        ones = tuple(k for k, c in enumerate(term) if shape_of(xs[i])[k] == 1 and _appears_elsewhere(c, i, terms))
        xs[i] = squeeze(xs[i], ones)
        terms[i] = "".join(c for k, c in enumerate(term) if k not in ones)
    for i, term in enumerate(terms):  # an axis that neither another operand nor the result has is summed
        alone = tuple(k for k, c in enumerate(term) if c not in output and not _appears_elsewhere(c, i, terms))
        xs[i] = sum_(xs[i], alone) if alone else xs[i]
        terms[i] = "".join(c for k, c in enumerate(term) if k not in alone)
    return einsum_p(*xs, subscripts=f"{','.join(terms)}->{output}")


def _appears_elsewhere(letter, i, terms):
    return any(letter in term for j, term in enumerate(terms) if j != i)


def _read_axis_numbers(arguments):
    """(subscripts string, operands) from operands, each followed by its axis numbers, and maybe those of the result."""

    def spell(axes):
        if not is_several(axes):
            raise OperandError("einsum: needs a subscripts string such as 'ij,jk->ik', or a list of axes per operand")
        return "".join("..." if axis is Ellipsis else LETTERS[integer(axis, "einsum: an axis")] for axis in axes)

    lists = [spell(axes) for axes in arguments[1::2]]
    arrow = f"->{spell(arguments[-1])}" if len(arguments) % 2 else ""
    return ",".join(lists) + arrow, arguments[: 2 * len(lists) : 2]


LETTERS = string.ascii_uppercase + string.ascii_lowercase


def _parse(subscripts, operands):
    """(letters of each operand, letters of the result), with ellipses spelled out. Raises OperandError."""
    inputs, arrow, output = subscripts.replace(" ", "").partition("->")
    terms = inputs.split(",")
    if len(terms) != len(operands):
        raise OperandError(f"einsum: '{subscripts}' needs {len(terms)} operands, got {len(operands)}")
    spare = [c for c in LETTERS if c not in subscripts]
    widest = 0
    for k, (term, x) in enumerate(zip(terms, operands, strict=True)):
        if "..." in term:
            width = len(shape_of(x)) - (len(term) - 3)
            widest = max(widest, width)
            terms[k] = term.replace("...", "".join(spare[:width][::-1])) if width >= 0 else term
        if (not terms[k].isalpha() and terms[k]) or len(terms[k]) != len(shape_of(x)):
            raise OperandError(f"einsum: '{term}' of '{subscripts}' does not fit {describe(x)}")
    rest = "".join(spare[:widest][::-1])
    if not arrow:
        counts = Counter("".join(terms))
        output = rest + "".join(sorted(c for c in counts if counts[c] == 1 and c not in rest))
    if arrow and rest and "..." not in output:
        raise OperandError(f"einsum: the result of '{subscripts}' must have an ellipsis, as its operands do")
    output = output.replace("...", rest)
    if any(c not in "".join(terms) for c in output) or len(set(output)) != len(output):
        raise OperandError(f"einsum: the result of '{subscripts}' must name letters of the operands, each once")
    return terms, output


def _check_sizes(subscripts, terms, xs):
    sizes: dict[str, int] = {}
    for term, x in zip(terms, xs, strict=True):
        for letter, n in zip(term, shape_of(x), strict=True):
            if n != 1 and sizes.setdefault(letter, n) != n:
                raise OperandError(f"einsum: '{subscripts}': axis '{letter}' has lengths {sizes[letter]} and {n}")
