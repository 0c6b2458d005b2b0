"""Fourier transforms, of and to complex arrays as in `complex`: x[0] + i·x[1]."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from minigrad.checks.catalogue import formulas
from minigrad.checks.catalogue.choose import Choose, Shape
from minigrad.checks.catalogue.complex import OPTIONS, join, parts
from minigrad.checks.catalogue.operation import Example, at, movement, operation

OF_REAL = ("rfft", "ihfft", "rfft2", "rfftn")
TO_REAL = ("irfft", "hfft", "irfft2", "irfftn")
BACKWARD = {"backward_only": ("autograd",)}
NORMS = (None, "backward", "ortho", "forward")
NUMPYS = ("no rows", "whole axes")  # peers lack these
DEFAULT_AXES = {"2": (-2, -1), "n": None}  # by the last letter of the name; along one axis, the last


def spelled(name: str, xp: Any, x: Any, *params: Any) -> Any:
    """The transform of a library, of and to real arrays."""
    y = getattr(xp.fft, name)(x if name in OF_REAL else join(x), *params)
    return y if name in TO_REAL else parts(xp, y)


def formula(name: str, x: np.ndarray, s: Any = None, axes: Any = (), norm: str | None = None) -> np.ndarray:
    """The same by its definition, in real arithmetic, one axis after the other."""
    re, im = (x, 0 * x) if name in OF_REAL else x
    axes = DEFAULT_AXES.get(name[-1], -1) if axes == () else axes
    if isinstance(axes, int):
        s, axes = None if s is None else (s,), (axes,)
    axes = tuple(range(re.ndim)) if axes is None else axes
    lengths = [re.shape[axis] for axis in axes]
    sizes = lengths if s is None else [m if n == -1 else n for n, m in zip(s, lengths, strict=True)]
    if s is None and name in TO_REAL:
        sizes[-1] = 2 * (sizes[-1] - 1)
    forward = not name.startswith("i")
    for n, axis, last in zip(sizes, axes, [False] * (len(axes) - 1) + [True]):
        if last and name in TO_REAL:
            re, im = formulas.complete_bins(re, im, n, axis)
        re, im = formulas.fourier(re, im, n, axis, -1 if forward else 1)
        if last and name in OF_REAL:
            re, im = (part.take(range(n // 2 + 1), axis) for part in (re, im))
    count = np.prod(sizes, dtype=int)
    has_factor = (norm or "backward") != ("backward" if forward else "forward")
    factor = count**-0.5 if norm == "ortho" else 1 / count if has_factor else 1
    return factor * (re if name in TO_REAL else np.stack([re, im]))


def any_transform(name: str, choose: Choose) -> Example:
    """A transform over any axes, of any sizes, in any norm."""
    several = name[-1] in DEFAULT_AXES
    shape = choose.shape(min_dims=1 + (name[-1] == "2"), max_dims=3, min_side=1, max_side=4)
    axes = choose.order(range(len(shape)))[: 2 if name[-1] == "2" else choose.integer(1, len(shape)) if several else 1]
    axes = tuple(axis - len(shape) if choose.boolean() else axis for axis in axes)
    needed = name in TO_REAL and shape[axes[-1]] == 1  # the default size is 0
    sizes = tuple(choose.integer(1, 5) for _ in axes) if needed or choose.boolean() else None
    if not several:
        sizes, axes = sizes and sizes[0], axes[0]
    return at("", in_front(name, shape), params=(sizes, axes, choose.one_of(NORMS)))


def in_front(name: str, shape: Shape) -> Shape:
    """The shape of the argument: the two parts of a complex array are in front."""
    return shape if name in OF_REAL else (2, *shape)


def transform(name: str, *examples: Example) -> None:
    """Add a transform, with examples of the shapes of complex arrays."""
    halved = name in OF_REAL + TO_REAL  # of which autograd differentiates those of even sizes only
    operation(
        name,
        partial(any_transform, name),
        *[example | {"shapes": (in_front(name, *example["shapes"]),)} for example in examples],
        spelled=partial(spelled, name),
        formula=partial(formula, name),
        compared=[example["what"] for example in examples if example["what"] not in NUMPYS],
        **({"autograd": None} if halved else BACKWARD),
        **OPTIONS,
    )


for _name in "fft ifft rfft irfft hfft ihfft".split():
    transform(
        _name,
        at("", (2, 5)),
        at("even", (6,), params=(6, 0, "ortho")),
        at("odd", (3,), params=(3, 0, "forward")),
        at("cut", (5, 2), params=(3, -2)),
        at("padded", (3, 2), params=(7, 0, "ortho")),
        at("of one point", (2, 1), params=(1, 1)),
        at("no rows", (0, 4)),
    )
for _name in "fft2 ifft2 rfft2 irfft2".split():
    transform(_name, at("", (2, 3, 4)), at("sizes", (3, 4, 2), params=((5, 3), (1, 0), "ortho")))
for _name in "fftn ifftn rfftn irfftn".split():
    transform(
        _name,
        at("", (2, 3, 2)),
        at("sizes", (3, 2, 2), params=((3, 1), (-1, 0), "forward")),
        at("whole axes", (2, 3, 4), params=((4, -1), (1, 0))),
    )


def any_shift(choose: Choose) -> Example:
    shape = choose.shape(min_dims=1, max_dims=4, max_side=3)
    return at("", shape, params=(choose.axes(len(shape)),))


for _name in "fftshift ifftshift".split():
    movement(
        _name,
        any_shift,
        at("", (3, 4)),
        at("one axis", (3, 2), params=(0,)),
        at("empty", (0, 3)),
        spelled=f"fft.{_name}",
        compared=("", "one axis"),
        **BACKWARD,
    )
