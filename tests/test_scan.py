"""Scans and products: exact where factors are zero, to second order, along any axis."""

from __future__ import annotations

import numpy as np
from conftest import to_host
from hypothesis import given
from hypothesis import strategies as st
from oracles import assert_close, rounding
from strategies import arrays, axes, shapes, signed

import minigrad as mg


def products_without(x, *places):
    return float(np.prod(np.delete(x, places)))


@given(x=st.integers(0, 6).flatmap(lambda n: arrays((n,), (-2, 2))))
def test_prod_to_second_order_with_any_zeros(x, on_device):
    """∂ᵢ is the product of all others, ∂ᵢ∂ⱼ that of all but two: exact, where y/xᵢ would be 0/0."""
    n = len(x)
    gradient = [products_without(x, i) for i in range(n)]
    hessian = [[0.0 if i == j else products_without(x, i, j) for j in range(n)] for i in range(n)]
    moved = on_device(x)
    assert np.array_equal(to_host(mg.grad(mg.prod)(moved)), np.array(gradient).reshape(n))
    assert np.array_equal(to_host(mg.hessian(mg.prod)(moved)), np.array(hessian).reshape(n, n))
    assert np.array_equal(to_host(mg.jacobian(mg.grad(mg.prod))(moved)), np.array(hessian).reshape(n, n))


@given(x=st.integers(0, 5).flatmap(lambda n: arrays((n,), (-2, 2))))
def test_cumprod_to_second_order_with_any_zeros(x, on_device):
    n, moved = len(x), on_device(x)
    first = [[products_without(x[: k + 1], j) if j <= k else 0.0 for j in range(n)] for k in range(n)]
    second = [
        [[products_without(x[: k + 1], i, j) if max(i, j) <= k and i != j else 0.0 for j in range(n)] for i in range(n)]
        for k in range(n)
    ]
    for mode in ("reverse", "forward"):
        jacobian = mg.jacobian(mg.cumprod, mode=mode)
        assert np.array_equal(to_host(jacobian(moved)), np.array(first).reshape(n, n))
        assert np.array_equal(to_host(mg.jacobian(jacobian, mode="forward")(moved)), np.array(second).reshape(n, n, n))
        assert np.array_equal(to_host(mg.jacobian(jacobian)(moved)), np.array(second).reshape(n, n, n))


@given(data=st.data())
def test_scans_along_any_axis(data, on_device):
    x = data.draw(arrays(data.draw(shapes(1, 3)), (-16, 16)))
    axis = data.draw(st.one_of(st.none(), axes(x.ndim)))
    for ours, numpys in ((mg.cumsum, np.cumsum), (mg.cumprod, np.cumprod)):
        expected = numpys(x, axis)
        y, pullback = mg.vjp(lambda x, f=ours: f(x, axis), on_device(x))
        assert_close(to_host(y), expected)
        g, t = signed(expected.shape), signed(x.shape, 1)
        truth = numpys(x + 1e-20j * t, axis).imag / 1e-20
        assert_close(to_host(mg.jvp(lambda x, f=ours: f(x, axis), (on_device(x),), (on_device(t),))[1]), truth)
        gradient = to_host(pullback(on_device(g))[0])
        scale = max(1.0, np.sum(np.abs(g * truth)))
        assert abs(np.sum(gradient * t) - np.sum(g * truth)) <= rounding() * scale
