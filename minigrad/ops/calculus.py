"""Differences, numerical gradients and integrals along an axis, linear interpolation, and discrete convolution."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.core.arguments import integer, is_several
from minigrad.core.arrays import describe, dtype_of, shape_of
from minigrad.core.errors import OperandError
from minigrad.core.interpreter import find_backend
from minigrad.core.vectors import broadcast_to_p, promote_together
from minigrad.ops.arithmetic import clip, divide, multiply, remainder, subtract
from minigrad.ops.arrange import concatenate, flip
from minigrad.ops.comparisons import equal, greater, less, not_equal, where
from minigrad.ops.complex import conjugate_if_complex
from minigrad.ops.conv import conv_p
from minigrad.ops.define import in_float32
from minigrad.ops.extremes import argsort, searchsorted
from minigrad.ops.indexing import getitem, take
from minigrad.ops.reduce import make_inexact, sum
from minigrad.ops.shape import normalise_axes, normalise_axis, ravel, reshape


def _part(x, axis, begin, end=None, step=None):
    """x[begin:end:step] along an axis."""
    return getitem(x, (slice(None),) * axis + (slice(begin, end, step),))


# Differences and integrals


def diff(a: Any, n: Any = 1, axis: Any = -1, prepend: Any = None, append: Any = None) -> Any:
    """The n-th differences a[i+1] − a[i] along an axis, which becomes shorter by n; of booleans, whether they differ.

    `prepend` and `append` are joined to the ends first: arrays, or a number for a slice of length 1; not for n = 0.
    """
    n = integer(n, "diff: n")
    if n < 0:
        raise OperandError(f"diff: n must not be negative, got {n}")
    axis = normalise_axis(axis, len(shape_of(a)), "diff")
    if n == 0:
        return a
    edge = (*shape_of(a)[:axis], 1, *shape_of(a)[axis + 1 :])
    ends = [x if x is None or shape_of(x) else _fill(x, edge, a) for x in (prepend, append)]
    pieces = [x for x in (ends[0], a, ends[1]) if x is not None]
    a = concatenate(pieces, axis) if len(pieces) > 1 else a
    change = not_equal if dtype_of(a).kind == "b" else subtract
    for _ in range(n):
        a = change(_part(a, axis, 1), _part(a, axis, None, -1))
    return a


def _fill(number, shape, like):
    """An array of this shape filled with a number, on the device of `like`."""
    plain = isinstance(number, (bool, int, float, complex))
    return find_backend(like).from_host(np.full(shape, number)) if plain else broadcast_to_p(number, shape=shape)


def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Any:
    """The differences of neighbours in the raveled array, between the numbers to_begin and to_end."""
    ary, *ends = promote_together(ary, *[x for x in (to_begin, to_end) if x is not None])
    pieces = [*ends[: to_begin is not None], diff(ravel(ary)), *ends[to_begin is not None :]]
    return concatenate([ravel(piece) for piece in pieces], 0)


def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: Any = -1) -> Any:
    """The integral of y along an axis by the trapezoidal rule, at positions x (a vector, or an array as y), or at
    equal distances dx.
    """
    axis = normalise_axis(axis, len(shape_of(y)), "trapezoid")
    y, x = (y, x) if x is None else promote_together(y, x)
    if x is not None and len(shape_of(x)) == 1:
        dx = reshape(diff(x), (-1, *(1,) * (len(shape_of(y)) - axis - 1)))
    elif x is not None:
        dx = diff(x, axis=axis)
    return sum(multiply(dx, (_part(y, axis, 1) + _part(y, axis, None, -1)) / 2), axis)


def gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: Any = 1) -> Any:
    """Second-order central differences of f along each axis (or along `axis`); at the ends one-sided ones, of first or
    second order. The result is one array, or a tuple with one for each of several axes.

    Spacings: none (1), one number for all axes, or for each axis a number or a vector of coordinates.
    """
    several = axis is None or is_several(axis)
    order = range(len(shape_of(f))) if axis is None else axis if is_several(axis) else (axis,)
    axes = [normalise_axis(i, len(shape_of(f)), "gradient") for i in order]
    normalise_axes(tuple(axes), len(shape_of(f)), "gradient")  # refuses an axis that occurs twice
    if len(varargs) not in (0, 1, len(axes)) or (len(varargs) == 1 != len(axes) and shape_of(varargs[0])):
        raise OperandError(f"gradient: needs no spacing, one number, or one for each of {len(axes)} axes")
    if edge_order not in (1, 2):
        raise OperandError(f"gradient: edge_order must be 1 or 2, got {edge_order!r}")
    spacings = varargs if len(varargs) == len(axes) else (varargs or (1.0,)) * len(axes)
    found = [_slope(f, spacing, i, edge_order) for i, spacing in zip(axes, spacings)]
    return tuple(found) if several and len(found) != 1 else found[0]


def _slope(f, spacing, axis, edge_order):
    """The slope at each element of the parabola through it and its neighbours: (d₂s₁ + d₁s₂) / (d₁ + d₂), from the
    gaps d₁, d₂ before and after it and the slopes s₁, s₂ there.
    """
    f, spacing = promote_together(f, spacing)
    f = make_inexact(f)
    length, coordinates = shape_of(f)[axis], len(shape_of(spacing)) == 1
    if length < edge_order + 1 or (coordinates and shape_of(spacing)[0] != length) or len(shape_of(spacing)) > 1:
        raise OperandError(
            f"gradient: needs at least {edge_order + 1} elements along axis {axis} and one coordinate for each, got "
            f"{describe(f)} and spacing {describe(spacing)}"
        )
    gaps = reshape(diff(spacing), (-1, *(1,) * (len(shape_of(f)) - axis - 1))) if coordinates else spacing

    def gap(begin, end=None):
        return _part(gaps, 0, begin, end) if coordinates else gaps

    slopes = divide(diff(f, axis=axis), gaps)
    s1, s2, d1, d2 = _part(slopes, axis, None, -1), _part(slopes, axis, 1), gap(None, -1), gap(1)
    inner = divide(multiply(d2, s1) + multiply(d1, s2), d1 + d2)
    first, last = _part(slopes, axis, None, 1), _part(slopes, axis, -1)
    if edge_order == 2:  # the parabola through the last three, at its end
        bend = divide(s2 - s1, d1 + d2)
        first = first - multiply(_part(bend, axis, None, 1), gap(None, 1))
        last = last + multiply(_part(bend, axis, -1), gap(-1))
    return concatenate([first, inner, last], axis)


# Interpolation


@in_float32
def interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None) -> Any:
    """Piecewise linear interpolation at x of the values fp at increasing knots xp; beyond them `left` and `right`, by
    default fp[0] and fp[-1]. With `period`, knots are taken modulo it, in any order.

    Differentiable in x, xp, fp, left and right. At a knot, the slope in x is that of the piece on its right, and at the
    last knot that on its left; beyond the knots it is 0.
    """
    if len(shape_of(xp)) != 1 or shape_of(xp) != shape_of(fp) or not shape_of(xp)[0]:
        raise OperandError(f"interp: xp and fp must be vectors of one length, got {describe(xp)} and {describe(fp)}")
    x, xp, fp = map(make_inexact, promote_together(x, xp, fp))
    if period is not None:
        x, xp, fp = _make_periodic(x, xp, fp, abs(period))
        left = right = None
    count, below, above = shape_of(xp)[0], less(x, xp[0]), greater(x, xp[-1])
    piece = clip(searchsorted(xp, x, "right"), 1, max(count - 1, 1))
    x0, f0 = take(xp, piece - 1), take(fp, piece - 1)
    x1, f1 = (x0, f0) if count == 1 else (take(xp, piece), take(fp, piece))
    empty = equal(x1, x0)
    x = clip(x, xp[0], xp[-1])
    y = where(empty, f1, f0 + multiply(divide(x - x0, where(empty, 1, x1 - x0)), f1 - f0))
    y = y if left is None else where(below, left, y)
    return y if right is None else where(above, right, y)


def _make_periodic(x, xp, fp, period):
    """x and sorted knots in [0, period), with the last knot repeated before the first, and the first after the last."""
    x, xp = remainder(x, period), remainder(xp, period)
    order = argsort(xp)
    xp, fp = take(xp, order), take(fp, order)
    xp = concatenate([xp[-1:] - period, xp, xp[:1] + period], 0)
    return x, xp, concatenate([fp[-1:], fp, fp[:1]], 0)


# Convolution of sequences


def convolve(a: Any, v: Any, mode: str = "full") -> Any:
    """Σⱼ a[j]·v[k−j] of two vectors: where they overlap at all ("full"), completely ("valid"), or the middle of "full"
    as long as the longer one ("same").
    """
    a, v = (_as_vector("convolve", x) for x in (a, v))
    long, short = (a, v) if shape_of(a) >= shape_of(v) else (v, a)
    return _slide("convolve", long, flip(short), mode)


def correlate(a: Any, v: Any, mode: str = "valid") -> Any:
    """Σⱼ a[j+k]·conj(v[j]) of two vectors, with the modes of `convolve`."""
    a, v = (_as_vector("correlate", x) for x in (a, conjugate_if_complex(v)))
    return _slide("correlate", a, v, mode) if shape_of(a) >= shape_of(v) else flip(_slide("correlate", v, a, mode))


def _as_vector(operation, x):
    if len(shape_of(x)) > 1 or 0 in shape_of(x):
        raise OperandError(f"{operation}: needs vectors of at least one element, got {describe(x)}")
    return reshape(x, (-1,))


def _slide(operation, a, v, mode):
    """Σⱼ a[k+j]·v[j], a convolution of one column of pixels: (1, n, 1, 1) * (m, 1, 1, 1), for n ≥ m."""
    reach = shape_of(v)[0] - 1
    pads = {"full": (reach, reach), "same": ((reach + 1) // 2, reach // 2), "valid": (0, 0)}
    if mode not in pads:
        raise OperandError(f"{operation}: mode={mode!r} is unknown; use 'full', 'same' or 'valid'")
    images, kernel = reshape(a, (1, -1, 1, 1)), reshape(v, (-1, 1, 1, 1))
    y = conv_p(images, kernel, stride=(1, 1), pads=(pads[mode], (0, 0)))
    return reshape(y, (-1,))
