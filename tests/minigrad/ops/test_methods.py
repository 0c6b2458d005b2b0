"""Traced values as arrays: operators, methods, NumPy's protocols; conversions that would lose a derivative raise."""

from __future__ import annotations

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad.core.interpreter import Tracer
from tests.support.transfer import to_host


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (np.sin, mg.sin),
        (np.absolute, mg.abs),
        (lambda x: np.add(x, 1), lambda x: x + 1),
        (lambda x: np.power(x, 3), lambda x: x**3),
        (lambda x: np.matmul(x, x.T), lambda x: x @ x.T),
        (lambda x: np.concatenate([x, x], axis=1), lambda x: mg.concatenate([x, x], 1)),
        (lambda x: np.sum(x, axis=0), lambda x: mg.sum(x, 0)),
        (lambda x: np.where(x > 0, x, 0), lambda x: mg.where(x > 0, x, 0)),
        (lambda x: np.einsum("ij->j", x), lambda x: mg.einsum("ij->j", x)),
        (lambda x: np.linalg.norm(x), lambda x: mg.norm(x)),
        (lambda x: np.linalg.inv(x @ x.T), lambda x: mg.inv(x @ x.T)),
        (lambda x: np.max(x, axis=-1, keepdims=True), lambda x: mg.max(x, -1, keepdims=True)),
        (lambda x: np.reshape(x, -1), lambda x: x.reshape(-1)),
        (lambda x: np.stack([x, x]), lambda x: mg.stack([x, x])),
        (lambda x: np.clip(x, -0.5, 0.5), lambda x: mg.clip(x, -0.5, 0.5)),
        (lambda x: np.pad(x, 1), lambda x: mg.pad(x, 1)),
        (lambda x: np.std(x, axis=1, ddof=1), lambda x: mg.std(x, 1, ddof=1)),
        (lambda x: np.shape(x)[0] * np.ndim(x) * np.size(x) * x, lambda x: 24 * x),
        (lambda x: x if np.isrealobj(x) and not np.iscomplexobj(x) and np.iscomplexobj(1j * x) else 0 * x, mg.positive),
        (lambda x: np.trace(x), lambda x: mg.trace(x)),
    ],
)
def test_numpy_functions_of_traced_values_are_ours(theirs, ours):
    x = np.array([[0.3, -0.8, 1.1], [-0.4, 0.6, 0.9]])
    traced = []
    y, pullback = mg.vjp(lambda x: traced.append(theirs(x)) or traced[0], x)
    assert isinstance(traced[0], Tracer)
    expected, other = mg.vjp(ours, x)
    g = np.cos(np.arange(y.size)).reshape(y.shape)
    assert np.array_equal(y, expected) and np.array_equal(pullback(g)[0], other(g)[0])


@pytest.mark.parametrize(
    ("f", "value", "slope"),
    [
        (lambda c, x: c + x, 5, 1),
        (lambda c, x: c - x, -1, -1),
        (lambda c, x: c * x, 6, 2),
        (lambda c, x: c / x, 2 / 3, -2 / 9),
        (lambda c, x: c**x, 8, 8 * math.log(2)),
        (lambda c, x: x + c, 5, 1),
        (lambda c, x: x - c, 1, 1),
        (lambda c, x: x / c, 1.5, 0.5),
        (lambda c, x: x**c, 9, 6),
    ],
)
@pytest.mark.parametrize(
    "kind", [float, np.float64, np.float32, lambda v: np.array([v, v])], ids=["float", "float64", "float32", "array"]
)
def test_operators_with_plain_operands_on_either_side(f, value, slope, kind, on_device):
    c, x = on_device(kind(2.0)), on_device(np.array([3.0, 3.0]))
    y, pullback = mg.vjp(lambda x: f(c, x), x)
    assert to_host(y) == pytest.approx([value] * 2) and y.dtype == np.float64
    assert to_host(pullback(mg.ones_like(y))[0]) == pytest.approx([slope] * 2)


def test_array_on_the_left_of_a_matrix_product(on_device):
    a, x = on_device((np.arange(6.0).reshape(2, 3), np.ones(3)))
    assert to_host(mg.grad(lambda x: mg.sum(a @ x))(x)).tolist() == [3, 5, 7]
    assert to_host(mg.grad(lambda x: mg.sum(x[None] @ a.T))(x)).tolist() == [3, 5, 7]


def test_remainders_and_whole_quotients_as_operators(on_device):
    x = on_device(np.array([5.0, -5.0]))
    for f in (lambda x: x % 3, lambda x: 7 % x, lambda x: x % x):
        assert np.array_equal(to_host(mg.jit(f)(x)), f(to_host(x)))
    assert to_host(mg.grad(lambda x: mg.sum(x % 3 * x[::-1]))(x)).tolist() == [-5 + 1, 5 + 2]
    assert to_host(mg.grad(lambda x: mg.sum(7 % x))(x)).tolist() == [-1, 2]
    assert to_host(mg.grad(lambda x: mg.sum((x // 3) * x + (7 // x) * x))(x)).tolist() == [1 + 1, -2 - 2]


def test_unary_operators_comparisons_and_truth(xp):
    def f(x):
        assert (x > 1) and not (x < 1) and (x >= 2) and (x <= 2) and (x == 2) and (x != 3)
        assert not isinstance(x > 1, Tracer) and (x == None) is False  # noqa: E711 (tests the operator)
        return abs(-x) + (+x)

    assert float(mg.grad(f)(xp.asarray(2.0))) == 2


def test_traced_values_look_like_arrays(xp):
    def f(x):
        assert (x.shape, x.ndim, x.dtype, x.size, len(x)) == ((2, 3), 2, np.float64, 6, 2)
        assert x.T.shape == (3, 2) and x.mT.shape == (3, 2) and x[0, 0].shape == ()
        assert repr(x).startswith("traced(") and len({x: 1}) == 1
        assert x.reshape(3, 2).shape == x.transpose(1, 0).shape == x.swapaxes(0, 1).shape == (3, 2)
        assert x.flatten().shape == x.ravel().shape == (6,)
        assert int(x[0, 0]) == 1
        return (x.mean() + x.dot(x.T).trace() + x.diagonal().sum() + x.take(0) + x.clip(min=0, max=2).max()).squeeze()

    assert mg.grad(f)(xp.ones((2, 3))).shape == (2, 3)


def test_value_shows_the_array_and_cannot_change_it(xp, backend):
    seen = []

    def f(x):
        y = mg.exp(x)
        seen.append(mg.grad(lambda z: seen.append(z.value) or mg.sum(z * y))(x).value)
        seen.append(y.value)
        return mg.sum(y)

    mg.grad(f)(xp.zeros(2))
    assert all(type(v) is backend.array_type for v in seen) and to_host(seen[2]).tolist() == [1, 1]
    if backend.name == "numpy":
        with pytest.raises(ValueError, match="read-only"):
            seen[2][0] = 7


# Conversions that would lose a derivative


@pytest.mark.parametrize(
    ("use", "what"),
    [
        (float, "float"),
        (complex, "complex"),
        (np.asarray, "np.asarray"),
        (math.sin, "float"),
        (lambda x: x.item(), "item"),
        (lambda x: x.tolist(), "tolist"),
        (lambda x: x.__dlpack__(), "DLPack"),
        (lambda x: x.__dlpack_device__(), "DLPack"),
    ],
    ids=["float", "complex", "asarray", "math.sin", "item", "tolist", "dlpack", "dlpack_device"],
)
def test_conversions_that_would_lose_the_derivative_are_refused(use, what, xp):
    with pytest.raises(TypeError, match=f"{what}.*(stop_gradient|mg)"):
        mg.grad(lambda x: use(x) or x)(xp.asarray(1.0))


def test_numpy_functions_that_are_not_offered_raise():
    with pytest.raises(TypeError, match=r"np.add.reduce is not supported"):
        mg.grad(lambda x: np.add.reduce(x))(np.ones(2))
    with pytest.raises(TypeError, match=r"np.float_power is not supported for traced values: use mg.power"):
        mg.grad(lambda x: mg.sum(np.float_power(x, 2)))(np.ones(2))
    with pytest.raises(TypeError, match=r"numpy.polyval is not supported for traced values: use mg.sum"):
        mg.grad(lambda x: mg.sum(np.polyval(x, x)))(np.ones(2))


def test_a_function_that_shares_a_name_but_differs_is_refused():
    """np.linalg.cond is the condition number of a matrix."""
    with pytest.raises(TypeError, match=r"numpy.linalg.cond is not supported"):
        mg.grad(lambda x: mg.sum(np.linalg.cond(x)))(np.ones((2, 3, 3)))


@pytest.mark.parametrize("name", ["trace", "diagonal", "cross"])
def test_functions_of_numpy_linalg_with_a_name_of_numpy_have_other_axes(name):
    """np.linalg.trace takes the last two axes, np.trace the first two."""
    x = np.arange(9.0).reshape(3, 3) ** 2
    x = np.stack([x, -x.T]) if name != "cross" else x
    arguments = (x, x[::-1]) if name == "cross" else (x,)
    for function in (getattr(np, name), getattr(np.linalg, name)):
        traced = mg.vjp(function, *arguments)[0]
        assert np.array_equal(traced, function(*arguments))


def test_lists_of_numbers_are_operands_and_lists_of_traced_values_raise():
    gradient = mg.grad(lambda x: mg.sum([2.0, 3.0] * x + x * [1.0, -5.0] + mg.add(x, [1.0, 2.0])))(np.ones(2))
    assert gradient.tolist() == [4.0, -1.0]
    gradient = mg.grad(lambda x: mg.sum((2.0, 3.0) * x + x * (1.0, -5.0) + mg.add(x, (1.0, 2.0))))(np.ones(2))
    assert gradient.tolist() == [4.0, -1.0]  # and tuples
    for function in (mg.sum, lambda xs: np.r_[xs[0], xs[1]]):
        with pytest.raises(TypeError, match=r"mg\.asarray for a list .* mg\.concatenate for np\.r_"):
            mg.grad(lambda x, function=function: mg.sum(function([x, x])))(np.ones(2))
