"""Calls of convolutions: any kernel, stride and padding that fit."""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import strategies as st

import minigrad as mg
from minigrad.checks.cases import Case, formulas
from minigrad.checks.cases.registry import signed
from minigrad.core.interpreter import primitives
from tests.support.calls.registry import calls
from tests.support.strategies import sides


class Problem(NamedTuple):
    """The shapes of a convolution, and how it is done."""

    x: tuple[int, ...]
    w: tuple[int, ...]
    y: tuple[int, ...]
    how: dict


@st.composite
def problems(draw):
    """Images, a kernel and the stride and padding of a convolution that fits."""
    kernel = draw(st.tuples(*[st.integers(1, 4)] * 2))
    stride = draw(st.tuples(*[st.integers(1, 3)] * 2))
    pads = draw(st.tuples(*[st.tuples(*[st.integers(0, 3)] * 2)] * 2))
    size = [draw(st.integers(max(1, k - sum(p)), 5)) for k, p in zip(kernel, pads)]
    channels, features = draw(st.sampled_from([1, 2, 4])), draw(st.integers(1, 3))
    count = draw(sides(max_side=2))
    out = [(n + sum(p) - k) // s + 1 for n, k, s, p in zip(size, kernel, stride, pads)]
    x, w, y = (count, *size, channels), (*kernel, channels, features), (count, *out, features)
    return Problem(x, w, y, {"stride": stride, "pads": pads})


@calls("conv", "conv_input", "conv_kernel")
def _primitive(draw, name):
    problem = draw(problems())
    how = dict(problem.how)
    if name == "conv":
        formula, several = formulas.convolve, (problem.x, problem.w)
    elif name == "conv_input":
        formula, several = formulas.convolve_input, (problem.y, problem.w)
        how["size"] = problem.x[1:3]
    else:
        formula, several = formulas.convolve_kernel, (problem.x, problem.y)
        how["kernel"] = problem.w[:2]
    function = lambda *xs: primitives[name](*xs, **how)
    return Case(f"{name}/{how}", function, lambda *xs: formula(*xs, **how), several, (signed, signed))


@calls("conv2d")
def _conv2d(draw, name):
    """In every spelling of stride and padding."""
    problem = draw(problems())
    (n, *size, channels), (*kernel, _, features) = problem.x, problem.w
    stride, pads = problem.how["stride"], problem.how["pads"]
    which = draw(st.sampled_from(["same", "valid", "a number", "pairs"]))
    if draw(st.booleans()):
        stride = stride[0]
    strides = stride if isinstance(stride, tuple) else (stride, stride)
    if which == "same":  # ⌈n/s⌉ rows; of an odd number of rows to add, the extra one goes below
        totals = [max((-(-m // s) - 1) * s + k - m, 0) for m, s, k in zip(size, strides, kernel)]
        given, pads = "same", tuple((t // 2, t - t // 2) for t in totals)
    elif which == "valid":
        size = [max(m, k) for m, k in zip(size, kernel)]
        given, pads = "valid", ((0, 0), (0, 0))
    elif which == "a number":
        given, pads = 2, ((2, 2), (2, 2))
    else:
        given = pads
    return Case(
        f"{name}/stride={stride}, padding={given}",
        lambda x, w: mg.conv2d(x, w, stride, given),
        lambda x, w: formulas.convolve(x, w, strides, pads),
        ((n, *size, channels), (*kernel, channels, features)),
        (signed, signed),
    )


@calls("deconv2d")
def _deconv2d(draw, name):
    k, factor, features = draw(st.sampled_from([1, 3])), draw(st.integers(1, 2)), draw(st.integers(1, 2))
    n, h, w, channels = draw(sides()), *(draw(st.integers(1, 3)) for _ in range(3))
    pads = ((k // 2, k // 2),) * 2
    return Case(
        f"{name}/factor {factor}",
        lambda x, w: mg.deconv2d(x, w, factor),
        lambda x, w: formulas.shuffle(formulas.convolve(x, w, (1, 1), pads), factor),
        ((n, h, w, channels), (k, k, channels, factor**2 * features)),
        (signed, signed),
    )


@calls("depth_to_space", "space_to_depth")
def _shuffle(draw, name):
    factor = draw(st.integers(1, 3))
    n, h, w, channels = draw(sides(max_side=2)), *(draw(st.integers(1, 2)) for _ in range(3))
    deep, wide = (n, h, w, factor**2 * channels), (n, factor * h, factor * w, channels)
    shape, formula = (deep, formulas.shuffle) if name == "depth_to_space" else (wide, formulas.unshuffle)
    function = lambda x: getattr(mg, name)(x, factor)
    return Case(f"{name}/factor {factor}", function, lambda x: formula(x, factor), (shape,), (signed,))
