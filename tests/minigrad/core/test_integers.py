"""Integer arguments may be Python or NumPy integers or 0-d integer arrays, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad.core import tree
from tests.support.transfer import to_host

X = np.random.default_rng(0).normal(size=(2, 3, 4))
M = np.random.default_rng(1).normal(size=(4, 4))
IMAGES, KERNEL = np.random.default_rng(2).normal(size=(2, 4, 4, 4)), np.random.default_rng(3).normal(size=(3, 3, 4, 8))
KEY = mg.random.key(7)

KINDS = {
    "int8": np.int8,
    "int32": np.int32,
    "int64": np.int64,
    "uint8": np.uint8,
    "uint64": np.uint64,
    "array": np.array,
}

PLACES = {
    # (a call with an integer n, a valid n)
    "sum axis": (lambda n: mg.sum(X, n), 1),
    "mean axes": (lambda n: mg.mean(X, (n, 0)), 2),
    "softmax axis": (lambda n: mg.softmax(X, n), 1),
    "logsumexp axis": (lambda n: mg.logsumexp(X, n), 1),
    "argmax axis": (lambda n: mg.argmax(X, n), 1),
    "sort axis": (lambda n: mg.sort(X, n), 1),
    "cumsum axis": (lambda n: mg.cumsum(X, n), 1),
    "cumprod axis": (lambda n: mg.cumprod(X, n), 1),
    "norm axis": (lambda n: mg.norm(X, 2, n), 1),
    "take axis": (lambda n: mg.take(X, [0, 1], n), 1),
    "take_along_axis axis": (lambda n: mg.take_along_axis(X, np.argsort(X, 1), n), 1),
    "concatenate axis": (lambda n: mg.concatenate([X, X], n), 1),
    "stack axis": (lambda n: mg.stack([X, X], n), 1),
    "split axis": (lambda n: mg.split(X, 2, n), 2),
    "split parts": (lambda n: mg.split(X, n, 2), 2),
    "split at": (lambda n: mg.split(X, [n, 3], 2), 1),
    "flip axis": (lambda n: mg.flip(X, n), 1),
    "roll shift": (lambda n: mg.roll(X, n), 3),
    "roll axis": (lambda n: mg.roll(X, 1, n), 2),
    "roll shifts": (lambda n: mg.roll(X, (n, 1), (0, 1)), 1),
    "repeat": (lambda n: mg.repeat(X, n, 1), 2),
    "repeat axis": (lambda n: mg.repeat(X, 2, n), 1),
    "repeat each": (lambda n: mg.repeat(X, [n, 1], 0), 2),
    "tile": (lambda n: mg.tile(X, n), 2),
    "tile axes": (lambda n: mg.tile(X, (n, 1)), 2),
    "pad": (lambda n: mg.pad(X, n), 1),
    "reshape": (lambda n: mg.reshape(X, (n, -1)), 6),
    "reshape to a row": (lambda n: mg.reshape(X, n), 24),
    "reshape method": (lambda n: mg.vjp(lambda x: x.reshape(n, 4), X)[0], 6),
    "broadcast_to": (lambda n: mg.broadcast_to(X, (n, 2, 3, 4)), 2),
    "transpose": (lambda n: mg.transpose(X, (1, n, 0)), 2),
    "transpose method": (lambda n: mg.vjp(lambda x: x.transpose(1, n, 0), X)[0], 2),
    "swapaxes": (lambda n: mg.swapaxes(X, n, 0), 1),
    "moveaxis": (lambda n: mg.moveaxis(X, n, 0), 1),
    "moveaxis to": (lambda n: mg.moveaxis(X, (0, 1), (n, 0)), 2),
    "expand_dims": (lambda n: mg.expand_dims(X, n), 1),
    "squeeze": (lambda n: mg.squeeze(X[:, :1], n), 1),
    "diagonal": (lambda n: mg.diagonal(M, n), 1),
    "diagonal axis": (lambda n: mg.diagonal(X, 0, n, 0), 1),
    "diag": (lambda n: mg.diag(M[0], n), 1),
    "diag of a matrix": (lambda n: mg.diag(M, n), 1),
    "tril": (lambda n: mg.tril(M, n), 1),
    "triu": (lambda n: mg.triu(M, n), 1),
    "trace": (lambda n: mg.trace(M, n), 1),
    "tensordot": (lambda n: mg.tensordot(M, M, n), 1),
    "tensordot axes": (lambda n: mg.tensordot(M, M, ((n,), (0,))), 1),
    "index": (lambda n: mg.vjp(lambda x: x[n], X)[0], 1),
    "index of a slice": (lambda n: mg.vjp(lambda x: x[:n], X)[0], 1),
    "conv2d stride": (lambda n: mg.conv2d(IMAGES, KERNEL, n), 2),
    "conv2d strides": (lambda n: mg.conv2d(IMAGES, KERNEL, (n, 1)), 2),
    "conv2d padding": (lambda n: mg.conv2d(IMAGES, KERNEL, 1, n), 2),
    "conv2d paddings": (lambda n: mg.conv2d(IMAGES, KERNEL, 1, ((n, 0), (1, n))), 2),
    "deconv2d": (lambda n: mg.deconv2d(IMAGES, KERNEL, n), 2),
    "depth_to_space": (lambda n: mg.depth_to_space(IMAGES, n), 2),
    "space_to_depth": (lambda n: mg.space_to_depth(IMAGES, n), 2),
    "random.key": (lambda n: mg.random.key(n), 5),
    "random.split": (lambda n: mg.random.split(KEY, n), 3),
    "random.fold_in": (lambda n: mg.random.fold_in(KEY, n), 3),
    "random shape": (lambda n: mg.random.normal(KEY, (n, 2)), 3),
    "random length": (lambda n: mg.random.uniform(KEY, n), 3),
    "random offset": (lambda n: mg.random.bits(KEY, 2, offset=n), 3),
    "bernoulli shape": (lambda n: mg.random.bernoulli(KEY, n), 3),
    "grad": (lambda n: mg.grad(lambda a, x: mg.sum(a * x**2), n)(2.0, X), 1),
    "grad of several": (lambda n: mg.grad(lambda a, x: mg.sum(a * x**2), (n, 0))(2.0, X), 1),
    "grad and value": (lambda n: mg.value_and_grad(lambda a, x: mg.sum(a * x**2), [n])(2.0, X), 1),
    "jacobian": (lambda n: mg.jacobian(lambda a, x: a * x, n)(2.0, M), 1),
    "hessian": (lambda n: mg.hessian(lambda a, x: mg.sum(a * x**2), n)(2.0, M), 1),
    "donate": (lambda n: mg.jit(lambda a, x: a + x, n)(X, X.copy()), 1),
    "donate several": (lambda n: mg.jit(lambda a, x: a + x, (n,))(X, X.copy()), 1),
    "check order": (lambda n: len(mg.checks.check_grads(mg.sin, (1.0,), n, quiet=True).rows), 1),
    "check directions": (lambda n: mg.checks.check_grads(mg.sin, (1.0,), 1, directions=n, quiet=True).passed, 2),
    "key of a check": (lambda n: mg.checks.adjoint_gap(mg.sin, (X,), n), 2),
}


def same(found, expected):
    for one, other in zip(tree.flatten(found)[0], tree.flatten(expected)[0], strict=True):
        one, other = to_host(one), to_host(other)
        assert np.array_equal(one, other) and np.asarray(one).dtype == np.asarray(other).dtype


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", PLACES)
def test_numpy_integers_give_the_same_results(place, kind):
    call, n = PLACES[place]
    same(call(KINDS[kind](n)), call(n))


@pytest.mark.parametrize("wrong", [1.5, 1.0, "2", np.float64(1), np.array(1.0), np.float64], ids=repr)
@pytest.mark.parametrize("place", PLACES)
def test_other_types_are_refused(place, wrong):
    call, _ = PLACES[place]
    with pytest.raises((TypeError, ValueError, IndexError)) as caught:
        call(wrong)
    assert place.split()[0].split(".")[-1] in str(caught.value)


def test_booleans_are_refused():
    for place in ("sum axis", "reshape", "conv2d stride", "grad", "donate", "random.split", "tile"):
        with pytest.raises((TypeError, ValueError), match="True"):
            PLACES[place][0](True)


@pytest.mark.parametrize("make", [list, tuple, np.array, lambda v: np.array(v, np.uint8)])
def test_sequences_and_vectors_of_integers(make):
    same(mg.reshape(X, make([4, 6])), X.reshape(4, 6))
    same(mg.broadcast_to(X, make([1, 2, 3, 4])), X[None])
    same(mg.transpose(X, make([2, 0, 1])), X.transpose(2, 0, 1))
    same(mg.moveaxis(X, make([0, 1]), make([1, 2])), np.moveaxis(X, [0, 1], [1, 2]))
    same(mg.roll(X, make([1, 2]), make([0, 1])), np.roll(X, [1, 2], [0, 1]))
    same(mg.tile(X, make([2, 1, 2])), np.tile(X, [2, 1, 2]))
    same(mg.repeat(X, make([2, 0, 1]), 1), np.repeat(X, [2, 0, 1], 1))
    same(mg.split(X, make([1, 3]), 2), np.split(X, [1, 3], 2))
    same(mg.sum(X, make([0, 2])), X.sum((0, 2)))
    same(mg.random.normal(KEY, make([3, 2])), mg.random.normal(KEY, (3, 2)))
    same(mg.conv2d(IMAGES, KERNEL, make([2, 1])), mg.conv2d(IMAGES, KERNEL, (2, 1)))
    same(mg.conv2d(IMAGES, KERNEL, 1, make([[1, 2], [0, 1]])), mg.conv2d(IMAGES, KERNEL, 1, ((1, 2), (0, 1))))
    first, second = mg.grad(lambda a, x: mg.sum(a * x**2), make([1, 0]))(2.0, X)
    assert first.shape == X.shape and second.shape == ()


def test_small_integers_do_not_overflow():
    assert mg.reshape(np.zeros(40000), (np.uint8(200), np.uint8(200))).shape == (200, 200)
    assert mg.tile(np.zeros(100), np.uint8(200)).shape == (20000,)
    assert mg.deconv2d(np.ones((1, 1, 1, 1)), np.ones((1, 1, 1, 256)), np.uint8(16)).shape == (1, 16, 16, 1)
    assert mg.expand_dims(np.zeros(3), np.int8(-1)).shape == (3, 1)


def test_a_traced_integer_cannot_decide_a_shape():
    with pytest.raises(mg.CaptureError, match="reshape: an entry of the shape of a value made by 'input'"):
        mg.jit(lambda x, n: mg.reshape(x, (n, -1)))(X, np.array(6))
