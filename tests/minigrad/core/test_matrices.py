"""minigrad/core/matrices.py: Jacobians, Hessians and Hessian–vector products."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad.testing import normal
from tests.support.oracles import assert_close
from tests.support.peers import PEERS
from tests.support.transfer import to_host


@pytest.mark.parametrize("mode", ["reverse", "forward"])
@pytest.mark.parametrize(
    ("x_shape", "y_shape"), [((2, 3), (4,)), ((), (2, 2)), ((3,), ()), ((0,), (2,)), ((2,), (0, 3))]
)
def test_jacobian(mode, x_shape, y_shape, on_device):
    a = normal((*y_shape, *x_shape))
    moved = on_device(a)

    def f(x):
        return mg.sum(moved * x, tuple(range(len(y_shape), a.ndim))) ** 3

    x = normal(x_shape, 1)
    y = np.sum(a * x, axis=tuple(range(len(y_shape), a.ndim)))
    found = mg.jacobian(f, mode=mode)(on_device(x))
    assert found.dtype == np.float64
    assert_close(to_host(found), a * (3 * y**2).reshape(y_shape + (1,) * len(x_shape)))


@pytest.mark.parametrize("mode", ["reverse", "forward"])
def test_jacobian_of_other_arguments(mode, xp):
    f = lambda a, b, *, c: a * b * b + c
    x = xp.asarray([1.0, 2.0])
    found = mg.jacobian(f, argnums=1, mode=mode)(x, x, c=x)
    assert np.array_equal(to_host(found), np.diag([2.0, 8.0]))
    assert not to_host(mg.jacobian(lambda x: xp.ones(2), mode=mode)(x)).any()
    twice = mg.jacobian(mg.jacobian(lambda x: x**3, mode=mode), mode=mode)(x)
    assert to_host(twice)[1, 1, 1] == 12 and np.count_nonzero(to_host(twice)) == 2


def test_hessian_agrees_with_the_closed_form_in_every_mixture_of_modes(on_device):
    """The Hessian of the Rosenbrock function."""
    f = lambda x: mg.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)
    x = np.array([0.5, -0.7, 1.2])
    a, b, c = x
    expected = [
        [1200 * a * a - 400 * b + 2, -400 * a, 0],
        [-400 * a, 202 + 1200 * b * b - 400 * c, -400 * b],
        [0, -400 * b, 200],
    ]
    moved = on_device(x)
    for h in (
        mg.hessian(f),
        mg.jacobian(mg.grad(f)),
        mg.jacobian(mg.jacobian(f, mode="forward")),
        mg.jacobian(mg.jacobian(f, mode="forward"), mode="forward"),
    ):
        assert_close(to_host(h(moved)), expected)
    v = normal((3,))
    assert_close(to_host(mg.hvp(f, moved, on_device(v))), np.array(expected) @ v)


def test_hvp_on_a_tree(on_device):
    f = lambda p: mg.sum(p["a"] ** 2 * p["b"])
    p, v = ({"a": normal((3,), i), "b": normal((3,), i + 1)} for i in (0, 7))
    found = mg.hvp(f, on_device(p), on_device(v))
    assert_close(to_host(found["a"]), 2 * p["b"] * v["a"] + 2 * p["a"] * v["b"])
    assert_close(to_host(found["b"]), 2 * p["a"] * v["a"])


def test_hessian_of_another_argument(xp):
    x, y = xp.asarray([1.0, 2.0]), xp.asarray([3.0])
    assert to_host(mg.hessian(lambda x, y: mg.sum(x) * mg.sum(y**3), argnums=1)(x, y)).tolist() == [[54]]


@pytest.mark.parametrize("mode", ["reverse", "forward"])
def test_jacobians_and_hessians_of_trees_beside_jax(mode):
    p, x = {"w": normal((2, 3)), "b": [normal((2,), 1)]}, normal((3,), 2)
    f = lambda xp: lambda p, x: {"y": xp.sin(p["w"] @ x) * p["b"][0], "z": (xp.sum(x**2) * p["b"][0][0],)}
    scalar = lambda xp: lambda p, x: f(xp)(p, x)["z"][0] ** 2 + xp.sum(f(xp)(p, x)["y"])
    found = mg.jacobian(f(mg), (0, 1), mode)(p, x)
    hessian = mg.hessian(scalar(mg), (0, 1))(p, x)
    alone = mg.jacobian(f(mg), 1, mode)(p, x)
    with PEERS["jax"]() as peer:
        jax = peer.top
        expected = jax.jacrev(f(peer.numpy), (0, 1))(p, x)
        mg.tree.map(assert_close, found, jax.tree.map(np.asarray, expected))
        mg.tree.map(assert_close, alone, jax.tree.map(np.asarray, jax.jacfwd(f(peer.numpy), 1)(p, x)))
        truth = jax.tree.map(np.asarray, jax.hessian(scalar(peer.numpy), (0, 1))(p, x))
        mg.tree.map(assert_close, hessian, truth)


def test_linearize(on_device):
    p = {"a": normal((3,)), "b": normal((3,), 1)}
    calls = []
    f = lambda p: calls.append(1) or (mg.sin(p["a"]) * p["b"], mg.sum(p["a"]))
    (y, _), push = mg.linearize(f, on_device(p))
    assert_close(to_host(y), np.sin(p["a"]) * p["b"])
    for seed in (2, 3):
        t = {"a": normal((3,), seed), "b": normal((3,), seed + 5)}
        for found, expected in zip(push(on_device(t)), mg.jvp(f, (p,), (t,))[1]):
            assert_close(to_host(found), expected)
    assert len(calls) == 3  # once for linearize, twice for jvp
    third = mg.linearize(lambda x: x**3, 2.0)[1]
    assert mg.grad(lambda t: third(t) ** 2)(1.0) == 2 * 12**2
    assert mg.grad(lambda x: mg.linearize(lambda x: x**3, x)[1](1.0))(2.0) == 12
    assert_close(mg.vmap(mg.linearize(mg.sin, p["a"])[1])(np.eye(3)), np.diag(np.cos(p["a"])))
    with pytest.raises(ValueError, match=r"a tangent must be float64.3. like its argument, got float64.2."):
        push({"a": np.ones(2), "b": np.ones(3)})
    with pytest.raises(ValueError, match="linearize: the tangent has structure"):
        push(np.ones(3))


@pytest.mark.parametrize("mode", ["reverse", "forward"])
def test_a_jacobian_calls_the_function_once(mode):
    calls = []
    mg.jacobian(lambda x: calls.append(1) or x**2, mode=mode)(np.ones(50))
    assert len(calls) == 1


@pytest.mark.parametrize("mode", ["reverse", "forward"])
def test_a_jacobian_of_integers_is_refused(mode):
    with pytest.raises(TypeError, match=r"jacobian: derivatives need floating-point arguments, got int64\[\]"):
        mg.jacobian(lambda x: (x, mg.argmax(x)), mode=mode)(np.ones(3))
