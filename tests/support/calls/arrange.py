"""Calls of operations that join, split, turn and repeat."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from tests.support.calls.registry import SHAPES, alike, calls, spelled
from tests.support.strategies import axes, shapes, sides


@calls("concatenate")
def _concatenate(draw, name):
    """Of arrays that differ along the axis, one of them twice; raveled, of any shapes at all."""
    if draw(st.booleans()):
        several = draw(st.lists(shapes(max_dims=2, max_side=2), min_size=1, max_size=3))
        return alike(name, lambda xp, *xs: xp.concatenate([*xs, xs[0]], None), *several, what="raveled")
    shape = draw(shapes(min_dims=1, max_side=2))
    axis, lengths = draw(axes(len(shape))), draw(st.lists(sides(), min_size=1, max_size=3))
    several = [tuple(n if i == axis % len(shape) else m for i, m in enumerate(shape)) for n in lengths]
    return alike(name, lambda xp, *xs: xp.concatenate([*xs, xs[0]], axis), *several, what=f"axis {axis}")


@calls("stack")
def _stack(draw, name):
    shape, count = draw(shapes(max_side=2)), draw(st.integers(1, 3))
    axis = draw(axes(len(shape) + 1))
    return alike(name, lambda xp, *xs: xp.stack([*xs, xs[0]], axis), *[shape] * count, what=f"axis {axis}")


@calls("split")
def _split(draw, name):
    """Pieces, at indices or equal ones, put together again in the opposite order."""
    shape = draw(shapes(min_dims=1, max_side=4))
    axis = draw(axes(len(shape)))
    length = shape[axis]
    equal = st.sampled_from([n for n in (1, 2, 3, 4) if length % n == 0])
    cuts = draw(st.one_of(equal, st.lists(st.integers(0, length), max_size=3).map(sorted)))
    join = lambda xp, x: xp.concatenate(xp.split(x, cuts, axis)[::-1], axis)
    return alike(name, join, shape, what=f"{cuts}, axis {axis}")


@calls("flip")
def _flip(draw, name):
    shape = draw(SHAPES)
    some = st.lists(axes(len(shape), negative=False), unique=True).map(tuple) if shape else st.just(())
    return spelled(name, shape, draw(st.one_of(st.none(), some, axes(len(shape))) if shape else some))


@calls("roll")
def _roll(draw, name):
    shape, by = draw(shapes(min_dims=1)), st.integers(-5, 5)
    some = draw(st.lists(axes(len(shape)), min_size=1, max_size=2))
    which = draw(st.sampled_from(["raveled", "one axis", "one shift", "shifts"]))
    how = {"raveled": (draw(by),), "one axis": (draw(by), some[0]), "one shift": (draw(by), tuple(some))}
    return spelled(name, shape, *how.get(which, (tuple(draw(by) for _ in some), tuple(some))))


@calls("repeat")
def _repeat(draw, name):
    """HIPS/autograd permutes the gradient of repeat(x, k, axis=-1); ones as cotangents do not see it."""
    shape = draw(SHAPES)
    axis = draw(st.one_of(st.none(), axes(len(shape))) if shape else st.none())
    length = int(np.prod(shape)) if axis is None else shape[axis]
    times = st.integers(0, 2)
    return spelled(name, shape, draw(st.one_of(times, st.lists(times, min_size=length, max_size=length))), axis)


@calls("tile")
def _tile(draw, name):
    reps = st.one_of(st.integers(0, 2), st.lists(st.integers(0, 2), max_size=4).map(tuple))
    return spelled(name, draw(shapes(max_side=2)), draw(reps))


@calls("tril", "triu")
def _triangle(draw, name):
    return spelled(name, draw(shapes(min_dims=2)), draw(st.integers(-4, 4)))


@calls("pad")
def _pad(draw, name):
    shape = draw(shapes(min_side=1))
    mode = draw(st.sampled_from(["constant", "edge", "reflect", "symmetric", "wrap"]))
    width = st.integers(0, 2 if len(shape) > 2 else 4)
    pair = st.tuples(width, width)
    widths = draw(st.one_of(width, pair, st.lists(pair, min_size=len(shape), max_size=len(shape))) if shape else width)
    if mode == "constant":
        shape = tuple(draw(st.sampled_from([0, n])) for n in shape)
        return spelled(name, shape, widths, constant_values=draw(st.sampled_from([0, 0.5, -2])))
    return spelled(name, shape, widths, mode)
