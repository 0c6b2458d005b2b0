"""Derivatives of functions of complex numbers: the pairing Re Σ g·t, differences, and JAX.

A function is written once for all libraries, function(xp, z), with `xp` minigrad, NumPy or `jax.numpy`.
"""

from __future__ import annotations

import numpy as np

import minigrad as mg
from tests.support.oracles import assert_close, difference, rounding
from tests.support.peers import PEERS
from tests.support.transfer import to_host

RNG = np.random.default_rng(0)


def normal(shape, dtype=np.complex128, rng=RNG):
    """Random signed numbers, complex if the dtype is."""
    dtype = np.dtype(dtype)
    values = rng.normal(size=shape)
    return np.asarray(values + 1j * rng.normal(size=shape) if dtype.kind == "c" else values).astype(dtype)


def pair(g, t):
    """Re Σ g·t."""
    return float(np.sum(np.asarray(g) * np.asarray(t)).real)


def check_derivatives(function, z, t, on_device):
    """Tangents against differences, cotangents by ⟨g, J·t⟩ = ⟨Jᵀ·g, t⟩, for t and it; and the same of the gradient."""
    f, formula = (lambda z, xp=xp: function(xp, z) for xp in (mg, np))
    rng, given, y = np.random.default_rng(8), on_device(z), np.asarray(formula(z))
    g = normal(y.shape, y.dtype, rng)
    value, pullback = mg.vjp(f, given)
    assert_close(to_host(value), y)
    gradient = to_host(pullback(on_device(g))[0])
    assert gradient.dtype == z.dtype and gradient.shape == z.shape
    for direction in (t, 1j * t) if z.dtype.kind == "c" else (t,):
        y_dot = to_host(mg.jvp(f, (given,), (on_device(direction),))[1])
        assert y_dot.dtype == y.dtype
        assert_close(y_dot, difference(formula, (z,), (direction,)), 1e-9)
        assert abs(pair(g, y_dot) - pair(gradient, direction)) <= rounding() * max(1, float(np.sum(np.abs(gradient))))

    def slope(z):
        return mg.vjp(f, z)[1](on_device(g))[0]

    def true_slope(z):
        units = np.eye(z.size, dtype=z.dtype).reshape(z.size, *z.shape)
        a = [pair(g, to_host(mg.jvp(f, (on_device(z),), (on_device(unit),))[1])) for unit in units]
        if z.dtype.kind == "c":
            turned = [to_host(mg.jvp(f, (on_device(z),), (on_device(1j * unit),))[1]) for unit in units]
            a = np.array(a) - 1j * np.array([pair(g, y_dot) for y_dot in turned])
        return np.reshape(a, z.shape)

    assert_close(gradient, true_slope(z))
    twice, u = to_host(mg.jvp(slope, (given,), (on_device(t),))[1]), normal(z.shape, z.dtype, rng)
    assert_close(twice, difference(true_slope, (z,), (t,)), 1e-9)
    back = to_host(mg.vjp(slope, given)[1](on_device(u))[0])
    assert abs(pair(u, twice) - pair(back, t)) <= rounding() * max(1, float(np.sum(np.abs(back))))


def compare_with_jax(function, z, t, on_device):
    """Both modes, and both modes of the gradient."""
    with PEERS["jax"]() as jax:
        theirs, f = (lambda z, xp=xp: function(xp, z) for xp in (jax.numpy, mg))
        given, moved = on_device(z), on_device(t)
        y, pull = jax.top.vjp(theirs, z)
        g = normal(y.shape, y.dtype)
        assert_close(to_host(mg.vjp(f, given)[1](on_device(g))[0]), pull(jax.array(g))[0])
        assert_close(to_host(mg.jvp(f, (given,), (moved,))[1]), jax.top.jvp(theirs, (z,), (t,))[1])

        def slope(library, function, g):
            return lambda z: library.vjp(function, z)[1](g)[0]

        ours, truth = slope(mg, f, on_device(g)), slope(jax.top, theirs, jax.array(g))
        assert_close(to_host(mg.jvp(ours, (given,), (moved,))[1]), jax.top.jvp(truth, (z,), (t,))[1])
        assert_close(to_host(mg.vjp(ours, given)[1](moved)[0]), jax.top.vjp(truth, z)[1](jax.array(t))[0])
