"""Calls of elementwise operations: any shapes that broadcast, and numbers in place of arrays."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minigrad as mg
from minigrad.checks.cases import CASES, Case
from minigrad.checks.cases.elementwise import BINARY, KINKED, POWERS, REAL_ONLY, UNARY
from minigrad.checks.cases.registry import REAL, apart, signed
from tests.support.calls.registry import SHAPES, alike, calls
from tests.support.strategies import broadcasting

ERF = next(c for c in CASES if c.name == "erf")


@calls(*UNARY, "absolute", "relu")
def _unary(draw, name):
    function, formula, values = (UNARY | KINKED)[name]
    return Case(name, function, formula, (draw(SHAPES),), (values,), holomorphic=name in UNARY)


@calls("erf")
def _erf(draw, name):
    return Case(name, mg.erf, ERF.formula, (draw(SHAPES),), ERF.draws, oracle="differences", **REAL)


@calls("leaky_relu")
def _leaky_relu(draw, name):
    slope = draw(st.sampled_from([0.01, 0.3, -0.5, 2]))
    leaky = lambda x: np.where(np.real(x) > 0, x, slope * x)
    return Case(f"{name}/{slope}", lambda x: mg.leaky_relu(x, slope), leaky, (draw(SHAPES),), (signed,), **REAL)


@calls("elu")
def _elu(draw, name):
    alpha = draw(st.sampled_from([1.0, 0.3, 2]))
    elu = lambda x: np.where(np.real(x) > 0, x, alpha * np.expm1(x))
    return Case(f"{name}/{alpha}", lambda x: mg.elu(x, alpha), elu, (draw(SHAPES),), (signed,), **REAL)


NUMBERS = {"maximum": 0.07, "minimum": 0.07, "power": 0.7}  # that neither tie nor leave the domain


@calls(*BINARY)
def _binary(draw, name):
    function, formula, *values = BINARY[name]
    options = {"holomorphic": name not in REAL_ONLY}
    which = draw(st.sampled_from(["two arrays", "two arrays", "a number on the left", "a number on the right"]))
    if which == "two arrays":
        return Case(name, function, formula, tuple(draw(broadcasting(2))[0]), tuple(values), **options)
    number = NUMBERS.get(name, 1.3)
    if which == "a number on the left":
        f, g, chosen = lambda x: function(number, x), lambda x: formula(number, x), values[1]
    else:
        number = draw(st.sampled_from(list(POWERS.values()))) if name == "power" else number
        f, g, chosen = lambda x: function(x, number), lambda x: formula(x, number), values[0]
    return Case(f"{name}/{which}: {number}", f, g, (draw(SHAPES),), (chosen,), **options)


def edges(*choices):
    """Bounds at least 0.05 from the multiples of 0.3 that `apart(0)` draws, and from each other."""
    return lambda rng, shape: rng.choice(choices, shape)


def _clipped(x, low, high):
    x = np.where(np.real(x) < np.real(low), low, x)
    return np.where(np.real(x) > np.real(high), high, x)


@calls("clip")
def _clip(draw, name):
    which = draw(st.sampled_from(["arrays", "numbers", "from below", "from above"]))
    if which == "arrays":
        shapes = tuple(draw(broadcasting(3))[0])
        bounds = edges(-0.75, -0.45, 0.15), edges(0.05, 0.35, 0.65)  # they may cross
        return Case(f"{name}/arrays", mg.clip, _clipped, shapes, (apart(0), *bounds), **REAL)
    low, high = {"numbers": (-0.45, 0.35), "from below": (-0.45, None), "from above": (None, 0.35)}[which]
    plain = lambda x: _clipped(x, -np.inf if low is None else low, np.inf if high is None else high)
    return Case(f"{name}/{which}", lambda x: mg.clip(x, low, high), plain, (draw(SHAPES),), (apart(0),), **REAL)


@calls("gaussian_sample")
def _gaussian_sample(draw, name):
    several, whole = draw(broadcasting(2))
    sample = lambda mean, log_std, noise: mean + np.exp(log_std) * noise
    return Case(name, mg.gaussian_sample, sample, (*several, whole), (signed,) * 3)


@calls("where")
def _where(draw, name):
    (first, *several), _ = draw(broadcasting(3))
    mask = draw(hnp.arrays(bool, first))
    which = draw(st.sampled_from(["two arrays", "a number first", "a number last"]))
    function = {
        "two arrays": lambda xp, x1, x2, condition: xp.where(condition, x1, x2),
        "a number first": lambda xp, x, condition: xp.where(condition, 0.5, x),
        "a number last": lambda xp, x, condition: xp.where(condition, x, 0.5),
    }[which]
    several = several if which == "two arrays" else several[:1]
    return alike(name, function, *several, what=which, constants=(mask,))
