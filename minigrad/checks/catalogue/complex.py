"""Parts of complex numbers, as functions of real arrays: x[0] + i·x[1] stands for a complex array.

The oracles need functions of real numbers, and formulas without complex ones, in which the complex step puts its own.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.checks.catalogue.choose import Choose
from minigrad.checks.catalogue.operation import Example, at, movement

OPTIONS = {"holomorphic": False, "float16": False}  # there are no complex numbers of 16-bit floats


def join(x: Any) -> Any:
    """The complex array with the real part x[0] and the imaginary part x[1]."""
    return x[0] + 1j * x[1]


def parts(xp: Any, z: Any) -> Any:
    """The real and the imaginary part of z, stacked."""
    return xp.stack([xp.real(z), xp.imag(z)])


def any_parts(choose: Choose) -> Example:
    return at("", (2, *choose.any_shape()))


PARTS = (at("", (2, 3, 2)), at("0-d", (2,)), at("empty", (2, 0, 3)))

for _name, _spelled, _formula in (
    ("real", lambda xp, x: xp.real(join(x)), lambda x: x[0]),
    ("imag", lambda xp, x: xp.imag(join(x)), lambda x: x[1]),
    ("conjugate", lambda xp, x: parts(xp, xp.conj(join(x))), lambda x: np.stack([x[0], -x[1]])),
):
    movement(_name, any_parts, *PARTS, spelled=_spelled, formula=_formula, compared=("",), **OPTIONS)
