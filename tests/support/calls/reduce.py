"""Calls of reductions and scans: any axes, kept or not."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import strategies as st

import minigrad as mg
from minigrad.checks.cases import Case, formulas
from minigrad.checks.cases.reduce import REDUCTIONS
from minigrad.checks.cases.registry import REAL, apart, signed
from minigrad.core.interpreter import primitives
from tests.support.calls.registry import SHAPES, calls, spelled
from tests.support.strategies import axes, reduced_axes, shapes


def with_zeros(rng, shape):
    """Numbers of either sign, every third or so 0."""
    return signed(rng, shape) * (rng.random(shape) < 0.7)


def filled(shape, axis):
    """The shape with no axis that is reduced of length 0."""
    axes = range(len(shape)) if axis is None else [a % len(shape) for a in np.atleast_1d(axis).astype(int)]
    return tuple(max(1, n) if i in axes else n for i, n in enumerate(shape))


@calls("sum", "prod", "mean", "max", "min", "logsumexp")
def _reduction(draw, name):
    function, formula, values = REDUCTIONS[name]
    shape = draw(SHAPES if name != "prod" else shapes(max_side=2))
    axis, keepdims = draw(reduced_axes(len(shape))), draw(st.booleans())
    return Case(
        f"{name}/axis={axis}, keepdims={keepdims}",
        lambda x: function(x, axis=axis, keepdims=keepdims),
        lambda x: formula(x, axis=axis, keepdims=keepdims),
        (shape if name in ("sum", "prod") else filled(shape, axis),),
        (with_zeros if name == "prod" else values,),
        holomorphic=name not in ("max", "min"),
        ties=name not in ("max", "min"),
    )


@calls("var", "std")
def _spread(draw, name):
    shape = draw(shapes(min_dims=1, min_side=2, max_side=3))
    axis = draw(reduced_axes(len(shape)).filter(lambda a: a != ()))
    ddof, keepdims = draw(st.sampled_from([0, 1])), draw(st.booleans())
    count = np.size(np.ones(shape)) // np.size(np.sum(np.ones(shape), axis))

    def formula(x):
        deviation = x - np.mean(x, axis=axis, keepdims=True)
        y = np.sum(deviation**2, axis=axis, keepdims=keepdims) / (count - ddof)
        return np.sqrt(y) if name == "std" else y

    function = lambda x: getattr(mg, name)(x, axis, ddof=ddof, keepdims=keepdims)
    what = f"{name}/axis={axis}, ddof={ddof}, keepdims={keepdims}"
    return Case(what, function, formula, (shape,), (apart(0),), ties=name == "var", **REAL)


@calls("norm")
def _norm(draw, name):
    shape = draw(shapes(min_dims=1, min_side=1, max_side=3))
    ord = draw(st.sampled_from([None, "fro", 1, 2, 3, 0.5, 1.5, 2.5, -1, math.inf, -math.inf]))
    axis = draw(reduced_axes(len(shape)) if ord in (None, "fro") else axes(len(shape)))
    keepdims, extreme = draw(st.booleans()), ord in (math.inf, -math.inf)

    def formula(x):
        size = x * np.sign(np.real(x))
        if extreme:
            return REDUCTIONS["max" if ord > 0 else "min"][1](size, axis, keepdims)
        p = 2 if ord in (None, "fro") else ord
        return np.sum(size**p, axis=axis, keepdims=keepdims) ** (1 / p)

    what = f"{name}/ord={ord}, axis={axis}, keepdims={keepdims}"
    function = lambda x: mg.norm(x, ord, axis, keepdims)
    return Case(what, function, formula, (shape,), (apart(0.1) if extreme else signed,), ties=not extreme, **REAL)


@calls("softmax", "log_softmax")
def _softmax(draw, name):
    shape = draw(shapes(min_dims=1, max_side=3))
    axis = draw(reduced_axes(len(shape)))

    def formula(x):
        total = np.sum(np.exp(x), axis=axis, keepdims=True)
        return np.exp(x) / total if name == "softmax" else x - np.log(total)

    return Case(f"{name}/axis={axis}", lambda x: getattr(mg, name)(x, axis), formula, (filled(shape, axis),), (signed,))


@calls("cumsum", "cumprod")
def _scan(draw, name):
    shape = draw(shapes(max_side=2 if name == "cumprod" else 3))
    axis = draw(st.one_of(st.none(), axes(len(shape))) if shape else st.none())
    if name == "cumsum" and axis is not None and draw(st.booleans()):
        backwards = lambda x: np.flip(np.cumsum(np.flip(x, axis), axis), axis)
        reverse = lambda x: primitives["cumsum"](x, axis=axis % len(shape), reverse=True)
        return Case(f"{name}/axis={axis}, reverse", reverse, backwards, (shape,), (signed,))
    return spelled(name, shape, axis, draw=with_zeros)


@calls("recurrence")
def _recurrence(draw, name):
    shape, reverse = draw(shapes(min_dims=1, max_side=4)), draw(st.booleans())
    axis = draw(axes(len(shape), negative=False))
    return Case(
        f"{name}/axis={axis}, reverse={reverse}",
        lambda a, x: primitives["recurrence"](a, x, axis=axis, reverse=reverse),
        lambda a, x: formulas.recurrence(a, x, axis, reverse),
        (shape, shape),
        (with_zeros, signed),
    )


@calls("sort")
def _sort(draw, name):
    shape = draw(SHAPES)
    axis = draw(st.one_of(st.none(), axes(len(shape))) if shape else st.none())

    def formula(x):
        x, along = (np.ravel(x), 0) if axis is None else (x, axis)
        return np.take_along_axis(x, np.argsort(np.real(x), along), along)

    return Case(f"{name}/axis={axis}", lambda x: mg.sort(x, axis), formula, (shape,), (apart(0),), ties=False, **REAL)
