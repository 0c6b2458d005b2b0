"""minigrad/core/transforms.py: nested derivatives, trees, pullbacks."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pytest

import minigrad as mg
from minigrad.core import tree
from minigrad.testing import forward_derivative, normal
from tests.support.oracles import assert_close, rounding
from tests.support.transfer import to_host

MODES = {"reverse": mg.grad, "forward": forward_derivative}

# Nesting


@pytest.mark.parametrize("third", MODES)
@pytest.mark.parametrize("second", MODES)
@pytest.mark.parametrize("first", MODES)
def test_third_derivatives_in_all_mixtures_of_modes(first, second, third, xp):
    """d³/dx³ e^(2 sin x) at 0.7, by three nested transforms of either mode."""
    f = lambda x: mg.exp(2 * mg.sin(x))
    s, c = 2 * math.sin(0.7), 2 * math.cos(0.7)
    expected = [math.exp(s) * c, math.exp(s) * (c * c - s), math.exp(s) * (c**3 - 3 * s * c - c)]
    x = xp.asarray(0.7)
    for order, name in enumerate((first, second, third)):
        f = MODES[name](f)
        assert float(f(x)) == pytest.approx(expected[order], rel=rounding())


@pytest.mark.parametrize("third", ["reverse", "forward"])
@pytest.mark.parametrize("second", ["reverse", "forward"])
@pytest.mark.parametrize("first", ["reverse", "forward"])
def test_third_derivatives_of_arrays_in_all_mixtures_of_modes(first, second, third, on_device):
    """∂³/∂xᵢ∂xⱼ∂xₖ of Σₘ vₘ sin(Wx)ₘ is −Σₘ vₘ cos(Wx)ₘ Wₘᵢ Wₘⱼ Wₘₖ; the same through a checkpoint."""
    w, v, x = 0.7 * normal((4, 3)), normal((4,), 1), normal((3,), 2)
    moved_w, moved_v = on_device((w, v))
    expected = -np.einsum("m,mi,mj,mk->ijk", v * np.cos(w @ x), w, w, w)
    for wrap in (lambda f: f, mg.checkpoint):
        f = wrap(lambda x: mg.sum(moved_v * mg.sin(moved_w @ x)))
        for mode in (first, second, third):
            f = mg.jacobian(f, mode=mode)
        assert_close(to_host(f(on_device(x))), expected)


@pytest.mark.parametrize("outer", MODES)
@pytest.mark.parametrize("inner", MODES)
def test_no_perturbation_confusion(outer, inner, xp):
    """d/dx [x · d/dy (x + y)] = 1, and d/dx [x · d/dy (x·y)] = 2x: levels keep their tangents apart."""
    one = xp.asarray(1.0)
    f = lambda x: x * MODES[inner](lambda y: x)(one)
    assert float(MODES[outer](f)(xp.asarray(3.0))) == 0
    f = lambda x: x * MODES[inner](lambda y: x + y)(one)
    assert float(MODES[outer](f)(one)) == 1
    f = lambda x: x * MODES[inner](lambda y: x * y)(one)
    assert float(MODES[outer](f)(xp.asarray(3.0))) == 6
    f = lambda x: MODES[inner](lambda y: MODES[inner](lambda z: x * y * z * z)(y))(x)
    assert float(MODES[outer](f)(xp.asarray(2.0))) == pytest.approx(16)  # d/dx 4x²


def test_inner_derivative_at_the_outer_variable(xp):
    """d/dx f′(x) where the inner function also closes over x."""
    f = lambda x: mg.grad(lambda y: mg.sin(x * y))(x)  # x cos x²
    x = 0.8
    expected = math.cos(x * x) - 2 * x * x * math.sin(x * x)
    for mode in MODES.values():
        assert float(mode(f)(xp.asarray(x))) == pytest.approx(expected)


def test_derivative_of_an_unused_or_constant_result(xp):
    x = xp.asarray([1.0, 2.0])
    assert not to_host(mg.grad(lambda x: 3.0)(x)).any()
    assert not to_host(mg.grad(lambda x: mg.sum(mg.stop_gradient(x)))(x)).any()
    assert not to_host(mg.jvp(lambda x: xp.ones(3), (x,), (x,))[1]).any()
    value, gradient = mg.value_and_grad(lambda x: xp.asarray(3.0))(x)
    assert float(value) == 3 and gradient.shape == (2,)
    (zero,) = mg.vjp(lambda x: xp.ones(3), x)[1](xp.ones(3))
    assert zero.shape == (2,) and not to_host(zero).any()


def test_python_numbers_as_arguments():
    assert mg.grad(lambda x: x * x)(3.0) == 6
    for f in (
        mg.sum,
        mg.max,
        mg.prod,
        mg.logsumexp,
        lambda x: mg.sum(mg.stack([x, x])) / 2,
        lambda x: mg.where(True, x, 0.0),
        lambda x: mg.reshape(x, (1,))[0],
        lambda x: x[None][0],
        lambda x: mg.sum(mg.broadcast_to(x, (2,))) / 2,
        lambda x: mg.clip(x, 0, 5),
    ):
        assert float(mg.grad(f)(3.0)) == pytest.approx(1)
        assert float(mg.jvp(f, (3.0,), (1.0,))[1]) == pytest.approx(1)
        assert float(mg.grad(lambda x, f=f: f(x) * x)(3.0)) == pytest.approx(6)


# Arguments and results


class Pair(NamedTuple):
    left: Any
    right: Any


@dataclass(frozen=True)
class Layer:
    weight: Any
    bias: Any
    name: str = field(default="dense", metadata={"static": True})


def test_trees_of_every_kind(on_device):
    params = {
        "pair": Pair(np.array([1.0, 2.0]), [np.array(3.0)]),
        "layer": Layer(np.eye(2), None, name="first"),
        "nothing": None,
        "tuple": (np.ones(3, np.float32),),
    }

    def loss(p):
        assert isinstance(p["pair"], Pair) and p["layer"].name == "first" and p["nothing"] is None
        y = p["layer"].weight @ p["pair"].left
        return mg.sum(y * y) * p["pair"].right[0] + mg.sum(p["tuple"][0])

    gradient = mg.grad(loss)(on_device(params))
    assert tree.flatten(gradient)[1] == tree.flatten(params)[1]
    for g, x in zip(tree.flatten(gradient)[0], tree.flatten(params)[0], strict=True):
        assert (g.shape, g.dtype) == (x.shape, x.dtype)
    assert to_host(gradient["pair"].left).tolist() == [6, 12]
    assert float(gradient["pair"].right[0]) == 5
    assert to_host(gradient["layer"].weight).tolist() == [[6, 12], [12, 24]]
    moved = on_device(params)
    _, along = mg.jvp(loss, (moved,), (gradient,))
    squares = sum(np.sum(to_host(g).astype(float) ** 2) for g in tree.flatten(gradient)[0])
    assert float(along) == pytest.approx(squares)


def test_results_may_be_trees(xp):
    x = xp.asarray([1.0, 2.0])
    y, pullback = mg.vjp(lambda x: {"a": (x, 2 * x), "b": None, "n": x > 1}, x)
    assert y["b"] is None and to_host(y["n"]).tolist() == [False, True]
    (gradient,) = pullback({"a": (x, x), "b": None, "n": y["n"]})
    assert to_host(gradient).tolist() == [3, 6]
    y, y_dot = mg.jvp(lambda x: {"a": (x, 2 * x), "b": None}, (x,), (x,))
    assert to_host(y_dot["a"][1]).tolist() == [2, 4] and y_dot["b"] is None


def test_each_gradient_has_the_dtype_of_its_argument(xp):
    x, c = xp.ones(3, np.float32), xp.ones(3, np.float64)
    low, high = mg.grad(lambda x, c: mg.sum(x * c + mg.sin(x)), (0, 1))(x, c)
    assert low.dtype == np.float32 and high.dtype == np.float64
    _, y_dot = mg.jvp(lambda x: x * c, (x,), (x,))
    assert y_dot.dtype == np.float64


def test_a_result_returned_twice_adds_its_cotangents(xp):
    x = xp.asarray([1.0, 2.0])
    _, pullback = mg.vjp(lambda x: (lambda y: (y, y))(3 * x), x)
    assert to_host(pullback((x, x))[0]).tolist() == [6, 12]
    _, (a, b) = mg.jvp(lambda x: (lambda y: (y, y))(3 * x), (x,), (x,))
    assert a is not b


def test_an_argument_returned_as_result_has_a_new_gradient_array(xp):
    x, g = xp.asarray([1.0, 2.0]), xp.asarray([3.0, 5.0])
    _, pullback = mg.vjp(lambda x, z: (x, x + z, z), x, x)
    gradients = pullback((g, g, g))
    assert [to_host(v).tolist() for v in gradients] == [[6, 10], [6, 10]]
    assert gradients[0] is not gradients[1]
    _, pullback = mg.vjp(lambda x: x, x)
    assert pullback(g)[0] is not g


def test_argnums(xp):
    f = lambda a, b, c: mg.sum(a * b * b) + mg.sum(c)
    a, b, c = (xp.asarray([float(v)]) for v in (2, 3, 5))
    assert float(mg.grad(f, 1)(a, b, c)[0]) == 12
    first, last = mg.grad(f, (0, -1))(a, b, c)
    assert float(first[0]) == 9 and float(last[0]) == 1
    (only,) = mg.grad(f, (1,))(a, b, c)
    assert float(only[0]) == 12
    value, (last, first) = mg.value_and_grad(f, argnums=[2, 0])(a, b, c)
    assert float(value) == 23 and float(first[0]) == 9 and float(last[0]) == 1
    assert float(mg.grad(lambda a, *, scale: mg.sum(a * scale))(a, scale=4.0)[0]) == 4


def test_has_aux(xp):
    def f(x):
        y = mg.sin(x)
        return mg.sum(y * y), {"y": y, "n": 3, "none": None, "name": "abc"}

    x = xp.asarray([0.5, 1.0])
    gradient, aux = mg.grad(f, has_aux=True)(x)
    assert isinstance(aux["y"], type(x)) and aux["n"] == 3 and aux["none"] is None and aux["name"] == "abc"
    assert_close(to_host(gradient), np.sin(2 * to_host(x)))
    (value, aux), again = mg.value_and_grad(f, has_aux=True)(x)
    assert_close(to_host(value), np.sum(to_host(aux["y"]) ** 2))
    assert np.array_equal(to_host(again), to_host(gradient))
    second = mg.grad(lambda x: mg.sum(mg.grad(f, has_aux=True)(x)[1]["y"]))(x)  # aux is differentiable one level up
    assert_close(to_host(second), np.cos(to_host(x)))


def test_value_and_grad_computes_the_function_once(xp):
    calls = []

    def f(x):
        calls.append(1)
        return x * x

    value, gradient = mg.value_and_grad(f)(xp.asarray(3.0))
    assert (float(value), float(gradient), len(calls)) == (9, 6, 1)


# Pullbacks


def test_a_pullback_may_be_called_again(on_device):
    _, pullback = mg.vjp(lambda x: mg.exp(x) * x, on_device(normal((3,))))
    g, h = on_device(normal((3,), 1)), on_device(normal((3,), 2))
    first, second, again = pullback(g)[0], pullback(h)[0], pullback(g)[0]
    assert np.array_equal(to_host(first), to_host(again)) and not np.array_equal(to_host(first), to_host(second))
    assert_close(to_host(pullback(on_device(to_host(g) + to_host(h)))[0]), to_host(first) + to_host(second))


def test_pullback_is_linear_and_differentiable_in_its_cotangent(on_device):
    x, g = on_device(normal((3,))), on_device(normal((3,), 1))
    f = lambda x: mg.sin(x) * x[::-1]
    _, transpose_twice = mg.vjp(lambda g: mg.vjp(f, x)[1](g)[0], g)
    (found,) = transpose_twice(g)  # the transpose of the transpose is the jvp
    assert_close(to_host(found), to_host(mg.jvp(f, (x,), (g,))[1]))


@pytest.mark.host
@pytest.mark.parametrize("name", ["grad", "value_and_grad", "jacobian", "hessian", "checkpoint", "vmap", "jit"])
def test_a_number_in_place_of_a_function_is_refused_at_once(name):
    """As in mg.grad(loss(x)) for mg.grad(loss)(x)."""
    asked = "grad" if name == "value_and_grad" else name
    with pytest.raises(TypeError, match=f"^{asked}: needs a function, got .*3.0"):
        getattr(mg, name)(mg.sum(np.ones(3)))
