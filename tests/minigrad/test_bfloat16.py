"""bfloat16: every operation beside float32 rounded once, and beside JAX.

A primitive computes in float32 and rounds once, so its result equals the rounded float32 result bit for bit. Composed
functions round several times; so do derivatives, which pass through several primitives. JAX rounds once, too, but its
float32 functions differ from NumPy's in their last bits, which can move the result across a boundary between two
bfloat16 numbers: it may be the neighbour.
"""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad.checks.catalogue import CASES
from minigrad.core import interpreter, tree
from tests.support.bfloat16 import BFLOAT16, assert_near, assert_same, count_units, draw
from tests.support.peers import PEERS

pytestmark = pytest.mark.host


# Every operation

PARTS = {"real", "imag", "conjugate", "angle", "absolute/of complex numbers"}  # of arrays that the case makes complex
FOURIER = {*mg.fft.__all__}  # complex64, and its real parts
COMPLEX = {"eig", "eigvals", "general_eigenvalues", "general_eigenvectors", "det_phase"}  # complex results
NUMPY = {"power/0.5", "power/-1.5", "power/float32", "power/number to the", "power/fraction to the"}  # operators


def is_wide(case):
    """Whether the case itself leaves bfloat16, by complex numbers or NumPy's operators on plain arrays."""
    return "complex" in case.name or bool({case.name, case.operation} & (PARTS | FOURIER | COMPLEX | NUMPY))


WITH_ARRAYS = [case for case in CASES if case.shapes and not is_wide(case)]


def prepare(case):
    """(f, bfloat16 arguments, the same numbers in float32)."""
    low = tuple(x.astype(BFLOAT16) for x in case.arguments())
    return (lambda *xs: case.function(*xs, *case.constants)), low, tuple(x.astype(np.float32) for x in low)


def leaves(values):
    return tree.flatten(values)[0]


@pytest.mark.parametrize("case", WITH_ARRAYS, ids=lambda case: case.name)
def test_operation(case):
    f, low, wide = prepare(case)
    with np.errstate(all="ignore"):
        steps = [i for i in mg.trace(f)(*wide).graph.instructions if i.primitive.view_of is None]
        found, truth = f(*low), f(*wide)
        for y, t in zip(leaves(found), leaves(truth), strict=True):
            assert_near(y, t, 6 if len(steps) > 1 else 0)
        for y, z in zip(leaves(mg.jit(f)(*low)), leaves(found), strict=True):
            assert_same(y, z)


@pytest.mark.parametrize("case", [c for c in WITH_ARRAYS if not c.discrete], ids=lambda case: case.name)
def test_derivatives_of_operation(case):
    f, low, wide = prepare(case)
    v = tuple(x.astype(BFLOAT16) for x in case.like(case.arguments(), "tangents"))
    y, structure = tree.flatten(f(*wide))
    u = [np.asarray(x).astype(BFLOAT16) for x in case.like([np.asarray(part) for part in y], "cotangent")]
    u = tree.unflatten(structure, [x.astype(np.asarray(part).dtype) for x, part in zip(u, y)])

    def pull(*xs):
        return mg.vjp(f, *xs)[1](u)

    def push(*xs):
        return mg.jvp(f, xs, v)[1]

    with np.errstate(all="ignore"):
        for derivative in (pull, push):
            found, truth = derivative(*low), derivative(*wide)
            for g, t in zip(leaves(found), leaves(truth), strict=True):
                assert_near(g, t, 6)
            for g, h in zip(leaves(mg.jit(derivative)(*low)), leaves(found), strict=True):
                assert_same(g, h)


# Beside JAX

ONE = "negative abs sign square exp expm1 sin cos tan tanh sinh cosh arcsinh arctan floor ceil rint trunc isnan".split()
POSITIVE = "log log1p sqrt cbrt reciprocal".split()
TWO = "add subtract multiply divide maximum minimum arctan2 less equal".split()
STEPS = ["log2", "log10", "hypot", "logaddexp"]  # JAX composes them of several operations, each of which rounds


@pytest.mark.parametrize("name", [*ONE, *POSITIVE, *TWO, *STEPS])
def test_elementwise_beside_jax(name):
    xs = [draw(40, 25), draw(40, 25, seed=1)] if name in [*TWO, "hypot", "logaddexp"] else [draw(40, 25)]
    xs = [np.abs(x) for x in xs] if name in [*POSITIVE, *STEPS] else xs
    with PEERS["jax"]() as jax:
        found, truth = getattr(mg, name)(*xs), np.asarray(getattr(jax.numpy, name)(*map(jax.numpy.asarray, xs)))
    if found.dtype == bool:
        assert_same(found, truth)
    else:
        assert count_units(found, truth) <= (3 if name in STEPS else 1)


OTHERS = {
    # each accumulates in float32 and rounds once
    "sum": lambda xp, x, w: xp.sum(x * x, 0),
    "prod": lambda xp, x, w: xp.prod(x, 0),
    "mean": lambda xp, x, w: xp.mean(x * x, 1),
    "var": lambda xp, x, w: xp.var(x, 1),
    "max": lambda xp, x, w: xp.max(x, 1),
    "argmax": lambda xp, x, w: xp.argmax(x, 1),
    "sort": lambda xp, x, w: xp.sort(x, 1),
    "argsort": lambda xp, x, w: xp.argsort(x, 1),
    "matmul": lambda xp, x, w: xp.matmul(x, w),
    "einsum": lambda xp, x, w: xp.einsum("ij,kj->ik", x, x),
    "take": lambda xp, x, w: xp.take(x, xp.asarray([2, 0, 2]), 1),
    "slice": lambda xp, x, w: x[::-2, 1:4],
    "where": lambda xp, x, w: xp.where(x > 0, x, 0.1),
    "clip": lambda xp, x, w: xp.clip(x, -0.3, 0.7),
    "concatenate": lambda xp, x, w: xp.concatenate([x, w.T], 0),
    "pad": lambda xp, x, w: xp.pad(x, 1),
}


@pytest.mark.parametrize("name", OTHERS)
def test_others_beside_jax(name):
    f, x, w = OTHERS[name], draw(6, 8, seed=1), draw(8, 5, seed=2)
    w = draw(8, 8, seed=2) if name == "concatenate" else w
    with PEERS["jax"]() as jax:
        found = f(mg, x, w)
        truth = np.asarray(f(jax.numpy, jax.numpy.asarray(x), jax.numpy.asarray(w)))
    if truth.dtype != BFLOAT16:
        assert np.array_equal(found, truth)
    else:
        assert count_units(found, truth) <= 1


def test_convolution_beside_jax():
    x, w = draw(2, 6, 5, 3), draw(3, 3, 3, 4, seed=1)
    with PEERS["jax"]() as jax:
        lax = jax.top.lax
        truth = lax.conv_general_dilated(
            *map(jax.numpy.asarray, (x, w)), (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        assert count_units(mg.conv2d(x, w), np.asarray(truth)) <= 1


def perceptron(xp, softplus, dot):
    def loss(weights, x, y):
        (w1, b1), (w2, b2) = weights
        hidden = xp.tanh(dot(x, w1) + b1)
        return xp.mean(softplus(dot(hidden, w2) + b2) - y * (dot(hidden, w2) + b2))

    return loss


def make_weights():
    return [(draw(5, 16, seed=1), draw(16, seed=2)), (draw(16, 3, seed=3), draw(3, seed=4))]


def test_a_step_of_a_perceptron_beside_jax():
    """A dozen roundings on the way to each gradient, in JAX at other places."""
    weights, x, y = make_weights(), draw(32, 5), (draw(32, 3, seed=5) > 0).astype(BFLOAT16)
    ours = perceptron(mg, mg.softplus, mg.matmul)
    value, gradients = mg.value_and_grad(ours)(weights, x, y)
    for a, b in zip(leaves(mg.jit(mg.value_and_grad(ours))(weights, x, y)), leaves((value, gradients)), strict=True):
        assert_same(a, b)
    stepped = tree.map(lambda p, g: mg.subtract(p, mg.multiply(0.5, g)), weights, gradients)
    assert {p.dtype for p in leaves(stepped)} == {BFLOAT16}
    with PEERS["jax"]() as jax:
        theirs = perceptron(jax.numpy, jax.top.nn.softplus, jax.numpy.matmul)
        truth, slopes = jax.top.value_and_grad(theirs)(*jax.top.tree.map(jax.numpy.asarray, (weights, x, y)))
        for g, t in zip((value, *leaves(gradients)), (truth, *jax.top.tree.leaves(slopes)), strict=True):
            assert_near(g, np.asarray(t).astype(np.float32), 4)


# Rounding


def check_sums():
    """Accumulated in bfloat16, 256 + 1 is 256."""
    ones = np.ones((10_000, 2), BFLOAT16)
    truth = np.full(2, 10_000, np.float32).astype(BFLOAT16)
    assert_same(mg.sum(ones, 0), truth)
    assert_same(mg.matmul(ones.T, ones)[0], truth)
    assert_same(mg.einsum("ij->j", ones), truth)
    assert_same(mg.cumsum(ones, 0)[-1], truth)
    assert_same(mg.grad(lambda b: mg.sum(ones * b))(np.ones(2, BFLOAT16)), truth)
    assert_same(mg.grad(lambda x: mg.sum(x[np.zeros(10_000, int)]))(np.ones((1, 2), BFLOAT16))[0], truth)
    assert mg.mean(ones) == 1


def test_sums_are_rounded_once():
    check_sums()


def test_sums_in_bfloat16_are_noticed(monkeypatch):
    monkeypatch.setattr(interpreter, "needs_float32", lambda arrays: False)
    with pytest.raises(AssertionError):
        check_sums()


def test_a_program_does_not_round_terms_of_a_sum():
    x = draw(5000, 32)
    assert_same(mg.jit(lambda x: mg.sum(mg.tanh(x), 0))(x), mg.sum(mg.tanh(x), 0))
    assert_same(mg.jit(lambda x: mg.matmul(x.T, x))(x), mg.matmul(x.T, x))


def test_special_numbers():
    smallest = np.array(1, np.uint16).view(BFLOAT16)[()]  # 2⁻¹³³, a subnormal number
    x = np.array([np.nan, np.inf, -np.inf, -0.0, smallest, -3 * float(smallest), 3.3e38], BFLOAT16)
    assert_same(mg.add(x, 0), x)
    assert_same(mg.multiply(x[4:6], 2), np.array([2.0**-132, -6 * 2.0**-133], BFLOAT16))
    assert_same(mg.maximum(x, 1), np.array([np.nan, np.inf, 1, 1, 1, 1, 3.3e38], BFLOAT16))
    assert_same(mg.logsumexp(np.array([-np.inf, -np.inf], BFLOAT16)), np.array(-np.inf, BFLOAT16))
    assert_same(mg.softmax(np.array([300, 302], BFLOAT16)), mg.softmax(np.array([0, 2], BFLOAT16)))
    assert_same(mg.grad(mg.softplus)(BFLOAT16.type(1000)), np.array(1, BFLOAT16))
    with np.errstate(over="ignore"):
        assert mg.multiply(x[6], 2) == np.inf
    assert_same(mg.nan_to_num(x[:3]), np.array([0, (2 - 2**-7) * 2.0**127, -(2 - 2**-7) * 2.0**127], BFLOAT16))
