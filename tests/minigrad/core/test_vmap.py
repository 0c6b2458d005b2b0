"""minigrad/core/vmap.py: axes of arguments and results, nesting, and wrong calls."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

import minigrad as mg
from minigrad import random
from minigrad.testing import normal
from tests.support.oracles import assert_close
from tests.support.peers import PEERS
from tests.support.transfer import to_host

X, W, B = normal((5, 4)), normal((4, 3), 1), normal((3,), 2)


class Layer(NamedTuple):
    w: object
    b: object


def loss(layer, x):
    return mg.sum(mg.tanh(x @ layer.w + layer.b) ** 2)


def stack(values):
    return np.stack([to_host(v) for v in values])


@pytest.mark.parametrize(
    ("x_axis", "y_axis", "out"), [(0, None, 0), (-1, 0, 1), (1, 1, -1), (2, -2, 0), (None, 1, 1), (-3, -1, -2)]
)
def test_axes_of_arguments_and_results(x_axis, y_axis, out, on_device):
    """Counted from either end, beside a loop."""
    x, y = normal((5, 5, 5)), normal((5, 5), 1)
    f = lambda x, y: (mg.sum(x) * y, mg.sin(x))
    first, second = mg.vmap(f, (x_axis, y_axis), (out, 0))(on_device(x), on_device(y))
    pick = lambda v, axis, i: on_device(v if axis is None else np.take(v, i, axis))
    each = [f(pick(x, x_axis, i), pick(y, y_axis, i)) for i in range(5)]
    assert_close(to_host(first), np.stack([to_host(one) for one, _ in each], out))
    assert_close(to_host(second), stack(one for _, one in each))


def test_trees_and_shared_arguments():
    layers = Layer(normal((5, 4, 3)), B)
    f = lambda layer, x, *, scale: {"loss": scale * loss(layer, x), "x": x}
    found = mg.vmap(f, (Layer(0, None), 0), {"loss": 0, "x": -1})(layers, X, scale=2.0)
    assert_close(found["loss"], stack(2 * loss(Layer(w, B), x) for w, x in zip(layers.w, X)))
    assert np.array_equal(found["x"], X.T)
    for axis in (0, np.int64(0)):
        assert np.array_equal(mg.vmap(lambda p, q: p["a"] + q[0], [{"a": axis}, None])({"a": B}, (1.0, "text")), B + 1)


def test_results_that_all_examples_share():
    both = mg.vmap(lambda x: (mg.sum(x), 7.0, W), out_axes=(0, None, 0))(X)
    assert both[1] == 7.0 and both[2].shape == (5, 4, 3) and np.array_equal(both[2][4], W)
    both[2][0] = 0  # an array of its own
    assert np.array_equal(both[2][1], W) and W.any()
    same = mg.vmap(lambda x: x)(X)
    assert same is not X and not np.shares_memory(same, X)


def test_gradients_of_each_example(on_device):
    layer = on_device(Layer(W, B))
    found = mg.vmap(mg.grad(loss), (None, 0))(layer, on_device(X))
    each = [mg.grad(loss)(layer, on_device(x)) for x in X]
    assert_close(to_host(found.w), stack(e.w for e in each))
    assert_close(to_host(found.b), stack(e.b for e in each))


def test_nesting_with_every_transform():
    """vmap inside and outside of grad, jvp, hessian, checkpoint, jit and itself."""
    layer = Layer(W, B)
    total = lambda layer, f=loss: mg.sum(mg.vmap(f, (None, 0))(layer, X))
    plain = lambda layer: mg.sum(mg.tanh(X @ layer.w + layer.b) ** 2)
    tangent = Layer(normal(W.shape, 7), normal(B.shape, 8))
    expected = mg.grad(plain)(layer)
    for f in (total, lambda p: total(p, mg.checkpoint(loss)), mg.checkpoint(total), lambda p: total(p, mg.jit(loss))):
        for gradient in (mg.grad(f), mg.jit(mg.grad(f))):
            found = gradient(layer)
            assert_close(found.w, expected.w)
            assert_close(found.b, expected.b)
    assert_close(mg.jvp(total, (layer,), (tangent,))[1], mg.jvp(plain, (layer,), (tangent,))[1])
    assert_close(mg.hvp(total, layer, tangent).w, mg.hvp(plain, layer, tangent).w)
    hessians = mg.vmap(mg.hessian(lambda x, w: loss(Layer(w, B), x)), (0, None))(X, W)
    assert_close(hessians, stack(mg.hessian(lambda x: loss(layer, x))(x) for x in X))
    outer = mg.vmap(lambda x: mg.vmap(lambda y: mg.sum(x * y) ** 2)(X))(X)
    assert_close(outer, (X @ X.T) ** 2)
    crossed = mg.vmap(mg.vmap(lambda x, y: mg.sin(x) * y, (0, None)), (None, 0), 1)(X[0], B)
    assert_close(crossed, np.sin(X[0])[:, None] * B)
    y, pullback = mg.vjp(lambda w: mg.vmap(lambda x: x @ w)(X), W)
    assert_close(mg.vmap(pullback)(np.stack([y, 2 * y]))[0], np.stack([X.T @ y, 2 * X.T @ y]))


def test_random_draws_with_a_key_for_each_example():
    keys = random.split(random.key(3), 6)
    sample = lambda key, mean: mg.gaussian_sample(mean, 0 * mean, random.normal(random.fold_in(key, 5), (3,)))
    mean = normal((6, 3)).astype(np.float32)
    found = mg.vmap(sample)(keys, mean)
    assert np.array_equal(found, stack(sample(k, m) for k, m in zip(keys, mean)))
    shared = mg.vmap(lambda x: random.normal(keys[0], (2,)))(mean)
    assert np.array_equal(shared, stack([random.normal(keys[0], (2,))] * 6))
    assert np.array_equal(mg.jit(mg.vmap(sample))(keys, mean), found)


def test_per_example_gradients_of_a_convolution_beside_pytorch():
    x, w = normal((3, 1, 8, 8, 2)), normal((3, 3, 2, 4), 1)
    found = mg.vmap(mg.grad(lambda w, x: mg.sum(mg.tanh(mg.conv2d(x, w, 2)))), (None, 0))(w, x)
    with PEERS["torch"]() as peer:
        torch = peer.top
        for i in range(3):
            kernel = torch.tensor(w.transpose(3, 2, 0, 1), requires_grad=True)
            image = torch.nn.functional.pad(torch.tensor(x[i].transpose(0, 3, 1, 2)), (0, 1, 0, 1))
            torch.tanh(torch.nn.functional.conv2d(image, kernel, stride=2)).sum().backward()
            assert_close(found[i], kernel.grad.numpy().transpose(2, 3, 1, 0))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: mg.vmap(mg.add)(X, W),
            ValueError,
            "differ in the number of examples: 5 in argument 0, 4 in argument 1",
        ),
        (lambda: mg.vmap(3), TypeError, "vmap: needs a function, got 3"),
        (lambda: mg.vmap(mg.sin, 2)(X), IndexError, "in_axes gives axis 2 for float64.5, 4., which has 2 axes"),
        (lambda: mg.vmap(mg.sin, out_axes=-3)(X), IndexError, "out_axes gives axis -3"),
        (lambda: mg.vmap(mg.sin)(1.0), IndexError, "in_axes gives axis 0 for 1.0, which has 0 axes: give None"),
        (lambda: mg.vmap(mg.sin, None)(X), ValueError, "no argument has an axis of examples"),
        (lambda: mg.vmap(mg.sin)(), ValueError, "no argument has an axis of examples"),
        (lambda: mg.vmap(mg.add, (0,))(X, X), ValueError, "in_axes has structure .* not the upper part"),
        (lambda: mg.vmap(mg.sin, {"a": 0})(X), ValueError, "in_axes has structure dict"),
        (lambda: mg.vmap(mg.sin, 0.5)(X), ValueError, "in_axes must be an integer, None, or a tree of these, got 0.5"),
        (lambda: mg.vmap(mg.sin, True)(X), ValueError, "in_axes must be an integer"),
        (lambda: mg.vmap(mg.sin, out_axes=None)(X), ValueError, "out_axes is None for a result that depends on the"),
        (lambda: mg.vmap(lambda x: x if x[0] > 0 else -x)(X), TypeError, r"bool.x. .* inside mg.vmap: each example"),
        (lambda: mg.vmap(lambda x: x[x > 0])(X), TypeError, "inside mg.vmap: each example has a value of its own"),
        (lambda: mg.vmap(lambda x: np.asarray(x))(X), TypeError, r"np.asarray.x. of a value made by 'input'"),
        (lambda: mg.vmap(lambda x: x.reshape(int(x[0])))(X), TypeError, "each example has a value of its own"),
    ],
)
def test_wrong_calls(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_value_that_escapes_is_refused():
    kept = []
    mg.vmap(lambda x: kept.append(x) or x)(X)
    with pytest.raises(mg.EscapedTracerError):
        mg.sin(kept[0])


def test_no_examples():
    found = mg.vmap(mg.grad(loss), (None, 0))(Layer(W, B), X[:0])
    assert found.w.shape == (0, 4, 3) and found.b.shape == (0, 3)
