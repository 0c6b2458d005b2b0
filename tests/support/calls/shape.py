"""Calls of operations on shapes: reshaping, axes, broadcasting, casting."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import strategies as st

import minigrad as mg
from minigrad.checks.cases import Case
from minigrad.checks.cases.registry import REAL, signed
from minigrad.core.interpreter import primitives
from tests.support.calls.registry import SHAPES, alike, calls, spelled
from tests.support.strategies import axes, shapes


def orders(draw, ndim):
    """A permutation of axes, some of them counted from the end."""
    return tuple(a - ndim if draw(st.booleans()) else a for a in draw(st.permutations(range(ndim))))


@calls("reshape")
def _reshape(draw, name):
    """To the same numbers of elements in another order, some joined, some of length 1, one of them perhaps −1."""
    shape = draw(SHAPES)
    target = list(draw(st.permutations(shape)))
    while len(target) > 1 and draw(st.booleans()):
        target[:2] = [target[0] * target[1]]
    for _ in range(draw(st.integers(0, 2))):
        target.insert(draw(st.integers(0, len(target))), 1)
    if target and draw(st.booleans()):
        place = draw(st.integers(0, len(target) - 1))
        if math.prod(target[:place] + target[place + 1 :]):
            target[place] = -1
    if target and draw(st.booleans()):
        return alike(name, lambda xp, x: x.reshape(*target), shape, what=f"method {target}")
    return spelled(name, shape, tuple(target))


@calls("ravel")
def _ravel(draw, name):
    return spelled(name, draw(SHAPES))


@calls("transpose")
def _transpose(draw, name):
    shape = draw(SHAPES)
    order = orders(draw, len(shape))
    which = draw(st.sampled_from(["function", "default", "method", "property"]))
    function = {
        "function": lambda xp, x: xp.transpose(x, order),
        "default": lambda xp, x: xp.transpose(x),
        "method": lambda xp, x: x.transpose(*order),
        "property": lambda xp, x: x.T,
    }[which]
    return alike(name, function, shape, what=f"{which} {order}")


@calls("swapaxes")
def _swapaxes(draw, name):
    shape = draw(shapes(min_dims=1))
    return spelled(name, shape, draw(axes(len(shape))), draw(axes(len(shape))))


@calls("moveaxis")
def _moveaxis(draw, name):
    shape = draw(shapes(min_dims=1, max_dims=4))
    if draw(st.booleans()):
        return spelled(name, shape, draw(axes(len(shape))), draw(axes(len(shape))))
    count = draw(st.integers(0, len(shape)))
    return spelled(name, shape, orders(draw, len(shape))[:count], orders(draw, len(shape))[:count])


@calls("expand_dims")
def _expand_dims(draw, name):
    shape, count = draw(SHAPES), draw(st.integers(1, 2))
    if count == 1 and draw(st.booleans()):
        return spelled(name, shape, draw(axes(len(shape) + 1)))
    return spelled(name, shape, orders(draw, len(shape) + count)[:count])


@calls("squeeze")
def _squeeze(draw, name):
    shape = draw(shapes(max_dims=4, max_side=2))
    ones = tuple(i - len(shape) if draw(st.booleans()) else i for i, n in enumerate(shape) if n == 1)
    return spelled(name, shape, draw(st.sampled_from([None, ones[::-1], *ones])))


@calls("broadcast_to")
def _broadcast_to(draw, name):
    shape = draw(shapes(max_side=2))
    wide = tuple(draw(st.integers(0, 3)) if n == 1 else n for n in shape)
    return spelled(name, shape, (*draw(shapes(max_dims=2, max_side=2)), *wide))


@calls("sum_to")
def _sum_to(draw, name):
    wide = draw(SHAPES)
    lead = draw(st.integers(0, len(wide)))
    shape = tuple(draw(st.sampled_from([1, n])) for n in wide[lead:])

    def formula(x):
        kept = [i for i, (n, m) in enumerate(zip(shape, wide[lead:])) if n == m]
        ones = [lead + i for i in range(len(shape)) if i not in kept]
        return x.sum(axis=(*range(lead), *ones)).reshape(shape)

    return Case(f"{name}/{shape}", lambda x: primitives[name](x, shape=shape), formula, (wide,), (signed,))


@calls("copy")
def _copy(draw, name):
    return spelled(name, draw(SHAPES))


@calls("astype")
def _astype(draw, name):
    """Between floating dtypes; the complex numbers of the complex step stay as they are."""
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    formula = lambda x: x.astype(dtype) if x.dtype.kind == "f" else x
    function = draw(st.sampled_from([lambda x: mg.astype(x, dtype), lambda x: x.astype(dtype)]))
    return Case(f"{name}/{dtype}", function, formula, (draw(SHAPES),), (signed,), float32=False, **REAL)
