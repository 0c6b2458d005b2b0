"""Derivatives of a scalar function, to any order, in both modes."""

from __future__ import annotations

import minigrad as mg
from tests.support.oracles import rounding
from tests.support.transfer import to_host


def derivatives(f, x, order, xp):
    """[f′(x), f″(x), …], computed in reverse and in forward mode, which must agree to rounding."""
    found = []
    reverse = forward = f
    for _ in range(order):
        reverse, forward = mg.grad(reverse), forward_derivative(forward)
        a, b = (float(to_host(g(xp.asarray(x)))) for g in (reverse, forward))
        assert a == b or abs(a - b) <= rounding() * abs(a), f"reverse mode gives {a}, forward mode {b}"
        found.append(a)
    return found


def forward_derivative(f):
    """The function f′, computed in forward mode."""
    return lambda x: mg.jvp(f, (x,), (mg.ones_like(mg.stop_gradient(x)),))[1]
