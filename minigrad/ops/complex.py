"""Real and imaginary parts and conjugates of complex numbers: linear over the reals (see `minigrad.core.rules`)."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.core.arrays import dtype_of, shape_of
from minigrad.core.interpreter import find_backend, primitive, read_value
from minigrad.core.rules import linear
from minigrad.core.traits import along_any_axis, no_flops, traits
from minigrad.core.vectors import copy_p, real_p, reshape_p, zeros_like_p
from minigrad.ops.define import wrap_unary


@primitive("imag")
def imag_p(b, x, out=None):
    return b.xp.positive(b.xp.imag(x), out=out)  # a copy, as in `real`


linear(imag_p, x=lambda g: -1j * g)  # g·Im t = Re(−ig·t)
traits(imag_p, cuts=along_any_axis, flops=no_flops, recordable=True)


@primitive("conjugate")
def conjugate_p(b, x, out=None):
    return b.xp.conjugate(x, out=out)


linear(conjugate_p, x=lambda g: conjugate_p(g))  # Re(g·t̄) = Re(ḡ·t)
traits(conjugate_p, cuts=along_any_axis, in_place=True, exact=True, recordable=True)


def is_complex(x):
    """Whether x is a complex number or array."""
    return dtype_of(x).kind == "c"


def real(val: Any) -> Any:
    """The real part; a real array as it is."""
    return real_p(val) if is_complex(val) else reshape_p(val, shape=shape_of(val))


def imag(val: Any) -> Any:
    """The imaginary part; of a real array, zeros without a derivative."""
    return imag_p(val) if is_complex(val) else zeros_like_p(val)


conj = conjugate = wrap_unary(conjugate_p, "the complex conjugate x̄")


def real_if_close(a: Any, tol: Any = 100) -> Any:
    """The real part of complex numbers if all imaginary parts are below `tol` machine epsilons (below tol itself for
    tol ≤ 1), or else a as it is.

    The dtype of the result depends on values, so inside mg.jit, mg.trace and mg.vmap it raises: use mg.real there.
    """
    if not is_complex(a):
        return real(a)
    limit = tol * np.finfo(dtype_of(a)).eps if tol > 1 else tol
    xp, values = find_backend(a).xp, read_value(a, "real_if_close(x)")
    return real(a) if bool(xp.all(xp.abs(xp.imag(values)) < limit)) else copy_p(a)


def conjugate_if_complex(x):
    """The conjugate of complex numbers; real ones as they are, without a copy."""
    return conjugate(x) if is_complex(x) else x


def real_if_complex(x):
    """The real part of complex numbers; real ones as they are, without a copy."""
    return real_p(x) if is_complex(x) else x
