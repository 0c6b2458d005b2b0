"""Calls of operations without a derivative. Their arguments are halves, so that ties and integers come up."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import strategies as st

import minigrad as mg
from minigrad.backends.numpy import streams
from minigrad.backends.streams import FOLD_IN, SPLIT
from minigrad.checks.cases import Case
from minigrad.core.interpreter import primitives
from tests.support.calls.reduce import filled
from tests.support.calls.registry import SHAPES, calls
from tests.support.strategies import axes, broadcasting, reduced_axes, shapes

DISCRETE = {"discrete": True, "holomorphic": False}


def halves(rng, shape):
    return rng.integers(-3, 4, shape) / 2


def constant(name, function, formula, *shapes, draw=halves, **options):
    return Case(name, function, formula, shapes, (draw,) * len(shapes), **DISCRETE, **options)


@calls(*"equal not_equal less less_equal greater greater_equal logical_and logical_or logical_xor".split())
def _comparison(draw, name):
    return constant(name, getattr(mg, name), getattr(np, name), *draw(broadcasting(2))[0])


@calls("bitwise_and", "bitwise_or", "bitwise_xor")
def _bits(draw, name):
    dtype = draw(st.sampled_from([bool, np.int32, np.int64, np.uint8]))
    ours, numpys = (lambda x1, x2, xp=xp: getattr(xp, name)(x1 < 1, (2 * x2).astype(dtype)) for xp in (mg, np))
    return constant(f"{name}/{np.dtype(dtype)}", ours, numpys, *draw(broadcasting(2))[0])


@calls("invert")
def _invert(draw, name):
    dtype = draw(st.sampled_from([bool, np.int32, np.int64, np.uint8]))
    ours, numpys = (lambda x, xp=xp: xp.invert((2 * x).astype(dtype)) for xp in (mg, np))
    return constant(f"{name}/{np.dtype(dtype)}", ours, numpys, draw(SHAPES))


@calls(*"logical_not isnan isinf isfinite sign floor ceil rint zeros_like ones_like".split())
def _unary(draw, name):
    return constant(name, getattr(mg, name), getattr(np, name), draw(SHAPES))


@calls("stop_gradient")
def _stop_gradient(draw, name):
    return constant(name, mg.stop_gradient, lambda x: x, draw(SHAPES))


@calls("step")
def _step(draw, name):
    half = lambda x1, x2: ((x1 > x2) + 0.5 * (x1 == x2)).astype(np.result_type(x1, x2))
    return constant(name, primitives["step"], half, *draw(broadcasting(2))[0])


@calls("astype_discrete")
def _astype_discrete(draw, name):
    dtype = draw(st.sampled_from([np.int32, np.int64, np.int8, bool]))
    return constant(f"{name}/{dtype}", lambda x: mg.astype(x, dtype), lambda x: x.astype(dtype), draw(SHAPES))


@calls("all", "any", "count_nonzero")
def _truth(draw, name):
    shape, over = reduced(draw)
    ours, numpys = (lambda x, xp=xp: getattr(xp, name)(x, over) for xp in (mg, np))
    return constant(f"{name}/axes={over}", ours, numpys, shape)


@calls("argmax", "argmin")
def _place(draw, name):
    shape = draw(SHAPES)
    axis = draw(st.one_of(st.none(), axes(len(shape))) if shape else st.none())
    ours, numpys = (lambda x, xp=xp: getattr(xp, name)(x, axis) for xp in (mg, np))
    return constant(f"{name}/axis={axis}", ours, numpys, filled(shape, axis))


@calls("argsort")
def _argsort(draw, name):
    shape = draw(shapes(min_dims=1))
    axis = draw(st.one_of(st.none(), axes(len(shape))))
    stable = lambda x: np.argsort(x, axis, kind="stable")
    return constant(f"{name}/axis={axis}", lambda x: mg.argsort(x, axis), stable, shape)


def reduced(draw):
    """A shape and axes of it, as primitives take them."""
    shape = draw(shapes(min_side=1, max_side=3))
    axis = draw(reduced_axes(len(shape)))
    several = range(len(shape)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    return shape, tuple(sorted(a % len(shape) for a in several))


@calls("top")
def _top(draw, name):
    shape, over = reduced(draw)
    top = lambda x: np.max(x, axis=over, keepdims=True)
    return constant(f"{name}/axes={over}", lambda x: primitives["top"](x, axes=over), top, shape)


@calls("share")
def _share(draw, name):
    """Of random numbers and any one of them for an extreme; those without it have no share."""
    shape, over = reduced(draw)
    rest = tuple(n for i, n in enumerate(shape) if i not in over)

    def formula(x, y):
        attained = x == np.expand_dims(y, over)
        count = np.sum(attained, over, keepdims=True)
        share = np.divide(attained, count, where=count > 0, out=np.zeros(shape)).astype(x.dtype)
        return share.astype(np.result_type(x, y))

    return constant(f"{name}/axes={over}", lambda x, y: primitives["share"](x, y, axes=over), formula, shape, rest)


@calls("random_bits", "random_uniform", "random_normal")
def _random(draw, name):
    """A part of a stream, whatever its shape, is cut out of the whole."""
    key, shape, offset, start = draw(keys()), draw(shapes()), draw(st.integers(0, 9)), draw(st.integers(0, 9))
    dtype = np.dtype("uint32" if name == "random_bits" else draw(st.sampled_from(["float32", "float64"])))
    kind, end = () if name == "random_bits" else (dtype,), start + offset + math.prod(shape)
    part = lambda key: getattr(streams, name)(np, key, end, *kind)[start + offset :].reshape(shape)
    ours = lambda key: primitives[name](key, start, shape=shape, dtype=dtype, offset=offset)
    return constant(f"{name}/{shape} from {start} + {offset}, {dtype}", ours, part, constants=(key,))


def keys():
    return st.tuples(*[st.integers(0, 2**32 - 1)] * 2).map(lambda words: np.array(words, np.uint32))


@calls("random_split")
def _random_split(draw, name):
    key, count = draw(keys()), draw(st.integers(0, 4))
    bits = lambda key: streams.random_bits(np, key, 2 * count, lane=SPLIT).reshape(count, 2)
    return constant(f"{name}/{count}", lambda key: primitives[name](key, count=count), bits, constants=(key,))


@calls("random_fold_in")
def _random_fold_in(draw, name):
    key, i = draw(keys()), draw(st.integers(0, 2**32 - 1))
    bits = lambda key: streams.random_bits(np, key, 2, 4 * i, lane=FOLD_IN)
    return constant(f"{name}/{i}", lambda key: primitives[name](key, i), bits, constants=(key,))
