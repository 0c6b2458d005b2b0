"""bfloat16: every operation beside float32 rounded once, and beside JAX; derivatives, programs, and what is refused.

A primitive computes in float32 and rounds once, so its result equals the rounded float32 result bit for bit. Composed
functions round several times; so do derivatives, which pass through several primitives. JAX rounds once, too, but its
float32 functions differ from NumPy's in their last bits, which can move the result across a boundary between two
bfloat16 numbers: it may be the neighbour.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import minigrad as mg
from minigrad import backends
from minigrad.checks.catalogue import CASES
from minigrad.core import interpreter, tree
from tests.support.collectives import on_ranks
from tests.support.environment import optional
from tests.support.peers import PEERS

ml_dtypes = optional("ml_dtypes", extra="test")
pytestmark = pytest.mark.host

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
ROUNDING = 2.0**-8  # the largest relative error of one rounding


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(BFLOAT16)


def count_units(found, truth):
    """How many bfloat16 numbers lie between the elements of two arrays, at most."""
    assert np.shape(found) == np.shape(truth) and found.dtype == truth.dtype == BFLOAT16
    numbers = [np.asarray(x).view(np.int16).astype(np.int64) for x in (found, truth)]
    places = [np.where(n < 0, -(n & 0x7FFF), n) for n in numbers]  # in the order of the numbers
    both_nan = np.isnan(found) & np.isnan(truth)
    return int(np.max(np.where(both_nan, 0, np.abs(places[0] - places[1])), initial=0))


def assert_same(found, truth):
    """Equal dtypes, shapes and bits; NaN equals NaN."""
    found, truth = np.asarray(found), np.asarray(truth)
    assert (found.dtype, found.shape) == (truth.dtype, truth.shape)
    assert np.array_equal(found.astype(np.complex128), truth.astype(np.complex128), equal_nan=True)


def round_off(wide):
    """A float32 array rounded; others as they are."""
    wide = np.asarray(wide)
    return wide.astype(BFLOAT16) if wide.dtype == np.float32 else wide


def assert_near(found, wide, units):
    """Within so many roundings, relative to the largest element, of a float32 result; in bfloat16."""
    found, truth = np.asarray(found), round_off(wide)
    assert (found.dtype, found.shape) == (truth.dtype, truth.shape)
    found, truth = found.astype(np.complex128), truth.astype(np.complex128)
    with np.errstate(invalid="ignore"):
        off = np.where((found == truth) | (np.isnan(found) & np.isnan(truth)), 0, np.abs(found - truth))
    largest = max(1.0, float(np.max(np.abs(truth[np.isfinite(truth)]), initial=0.0)))
    assert np.max(off, initial=0.0) <= units * ROUNDING * largest


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


# Transforms


def test_derivatives_of_derivatives():
    x, v = draw(7, seed=1), draw(7, seed=2)
    hessian, third = mg.hessian(lambda x: mg.sum(x * x * x))(x), mg.grad(mg.grad(mg.grad(lambda s: s * s * s)))
    assert_same(hessian, np.diag(6 * x.astype(np.float32)).astype(BFLOAT16))
    assert_same(third(x[0]), np.array(6, BFLOAT16))
    assert_same(mg.hvp(lambda x: mg.sum(x * x), x, v), mg.multiply(2, v))
    assert_same(mg.linearize(mg.sin, x)[1](v), mg.jvp(mg.sin, (x,), (v,))[1])
    assert_same(mg.jacobian(mg.tanh, mode="forward")(x), mg.jacobian(mg.tanh)(x))


def test_vmap_is_one_after_the_other():
    x, w = draw(4, 3, 5), draw(5, 2, seed=1)
    f = lambda x: mg.softmax(mg.matmul(x, w), 0)
    assert_same(mg.vmap(f)(x), np.stack([f(row) for row in x]))
    pull = lambda x: mg.grad(lambda x: mg.sum(f(x) * f(x)))(x)
    assert_same(mg.vmap(pull)(x), np.stack([pull(row) for row in x]))


def test_loops_and_choices():
    x, start = draw(6, seed=1), BFLOAT16.type(1.5)
    step = lambda carry, x: (mg.tanh(carry + x), carry * x)
    last, rows = mg.scan(step, start, x)
    carry, products = start, []
    for each in x:
        carry, product = step(carry, each)
        products.append(product)
    assert_same(last, carry)
    assert_same(rows, np.array(products))
    assert_same(mg.jit(lambda s, x: mg.scan(step, s, x))(start, x)[1], rows)
    slope = mg.grad(lambda s: mg.scan(step, s, x)[0])
    assert slope(start).dtype == BFLOAT16
    assert_near(slope(start), slope_in_float32(step, start, x), 6)
    assert_same(mg.while_loop(lambda s: s < 100, lambda s: s * 1.5, start), grow(start))
    assert_same(mg.cond(np.bool_(True), mg.sin, mg.cos, x), mg.sin(x))


def slope_in_float32(step, start, x):
    return mg.grad(lambda s: mg.scan(step, s, x.astype(np.float32))[0])(np.float32(start))


def grow(s):
    while s < 100:
        s = mg.multiply(s, 1.5)
    return s


def test_tape_checkpoint_and_custom_derivative():
    x = draw(3)
    with mg.Tape() as tape:
        watched = tape.watch(x)
        y = mg.sum(mg.sin(watched))
    assert "bfloat16[3]" in str(tape)
    assert_same(tape.gradient(y, watched), mg.cos(x))
    f = lambda x: mg.sum(mg.sin(x) * x)
    assert_same(mg.grad(mg.checkpoint(f))(x), mg.grad(f)(x))
    with pytest.raises(mg.MutationError, match=r"bfloat16\[3\], used by 'sin'"):
        y, pullback = mg.vjp(mg.sin, x)
        x[0] = 2
        pullback(y)


def test_check_grads_computes_in_float64(capsys):
    report = mg.checks.check_grads(lambda x: mg.sum(mg.tanh(x)), (draw(3),), quiet=True)
    assert report.passed and all(row.allowed < 1e-5 for row in report.rows)


def test_the_result_of_an_operation_is_no_view_of_its_argument():
    x = draw(3, 4)
    assert np.shares_memory(mg.transpose(x), x) and mg.transpose(x).dtype == BFLOAT16
    assert not np.shares_memory(mg.copy(x), x) and not np.shares_memory(mg.at(x)[0].set(1), x)


def test_donated_arguments_are_overwritten():
    step = mg.jit(lambda p, g: p - 0.5 * g, donate=0)
    p, g = draw(300, 5), draw(300, 5, seed=1)
    truth = mg.subtract(p, mg.multiply(0.5, g))
    assert_same(step(p, g), truth)


# Conversion, random numbers, what is refused


def test_conversions():
    x = draw(5)
    for dtype in ("float16", "float32", "float64", "int32", "bool"):
        numbers = np.arange(5).astype(dtype)
        assert_same(mg.astype(x, dtype), x.astype(dtype))
        assert_same(mg.astype(numbers, "bfloat16"), numbers.astype(BFLOAT16))
    assert_same(mg.astype(x, complex), x.astype(complex))
    assert_same(mg.asarray([1, 2.5], "bfloat16"), np.array([1, 2.5], BFLOAT16))
    assert mg.asarray(x) is x and mg.sum(np.ones(3), dtype="bfloat16").dtype == BFLOAT16
    assert mg.sum(x, dtype=np.float32).dtype == np.float32
    assert mg.grad(lambda y: mg.sum(mg.astype(y, BFLOAT16)))(np.ones(3, np.float32)).dtype == np.float32
    assert mg.cov(draw(3, 4), dtype=np.float64).dtype == mg.linspace(x[0], x[1], 3, dtype=float).dtype == np.float64
    assert mg.average(x, weights=np.ones(5, np.float32)).dtype == np.float32
    assert mg.random.bernoulli(mg.random.key(0), (3,), "bfloat16").dtype == BFLOAT16


def test_random_numbers_come_from_the_float32_stream():
    key = mg.random.key(3)
    normal = mg.random.normal(key, (1000,), "bfloat16", offset=7)
    assert_same(normal, mg.random.normal(key, (1000,), offset=7).astype(BFLOAT16))
    uniform, wide = mg.random.uniform(key, (4000,), BFLOAT16), mg.random.uniform(key, (4000,))
    assert_same(uniform, (np.floor(wide * 2**8) / 2**8).astype(BFLOAT16))
    assert np.max(uniform) < 1
    assert_same(mg.jit(lambda k: mg.random.normal(k, (1000,), "bfloat16", offset=7))(key), normal)
    draws = mg.vmap(lambda k: mg.random.normal(k, (5,), "bfloat16"))(mg.random.split(key, 3))
    assert_same(draws[1], mg.random.normal(mg.random.split(key, 3)[1], (5,), "bfloat16"))


def test_what_is_refused():
    x = draw(3)
    for call, message in {
        lambda: mg.random.uniform(mg.random.key(0), (3,), "float16"): "must be float32, float64 or bfloat16",
        lambda: mg.random.bits(mg.random.key(0), (3,), "bfloat16"): "the dtype must be uint32",
        lambda: mg.at(np.arange(3))[0].set(x[0]): "does not fit into x",
        lambda: mg.from_dlpack(x): "holds bfloat16, which NumPy and CuPy do not take",
        lambda: mg.bitwise_and(x, 1): "bitwise_and",
    }.items():
        with pytest.raises(TypeError, match=message):
            call()


def test_programs_tell_dtypes_apart():
    f = mg.jit(lambda x: x * 2.5)
    x = draw(3)
    assert [f(y).dtype for y in (x, x.astype(np.float32), x.astype(np.float16))] == [BFLOAT16, np.float32, np.float16]


def test_gpus_are_said_to_have_none(monkeypatch):
    gpu = replace(backends.get("cpu"), name="cupy", device="cuda", bfloat16=False)
    monkeypatch.setitem(backends._by_device, "cuda", gpu)
    with pytest.raises(
        TypeError, match=r"to_device: cupy has no bfloat16, got bfloat16\[3\]: convert it with x.astype"
    ):
        mg.to_device({"w": draw(3)}, "cuda")
    monkeypatch.setitem(backends._by_type, np.ndarray, gpu)
    with pytest.raises(TypeError, match=r"astype: cupy has no bfloat16, to which float64\[3\] is to be cast"):
        mg.astype(np.ones(3), "bfloat16")


def test_sums_over_processes_are_rounded_once():
    terms = [np.array([n], BFLOAT16) for n in (256, 1, 1, 1)]  # pair by pair in bfloat16, their sum would be 258
    f = lambda x: mg.sum(mg.collectives.all_sum(mg.collectives.own(x)))
    for found in on_ranks(lambda r: (f(terms[r]), mg.jit(f)(terms[r]), mg.grad(f)(terms[r])), 4):
        assert_same(found[0], np.array(259, np.float32).astype(BFLOAT16))
        assert_same(found[1], found[0])
        assert found[2].dtype == BFLOAT16


def test_questions_about_dtypes():
    x = np.ones(3, BFLOAT16)
    assert (mg.finfo(x).bits, mg.finfo("bfloat16").eps) == (16, 2.0**-7)
    assert mg.isdtype(BFLOAT16, "real floating") and mg.isdtype(BFLOAT16, ("bool", BFLOAT16))
    assert not mg.isdtype(BFLOAT16, ("integral", np.float32)) and not mg.isdtype(np.float32, BFLOAT16)
    assert mg.result_type(x, 1.5) == mg.result_type("bfloat16", np.int64) == BFLOAT16
    assert mg.result_type(x, np.float32) == np.float32
    for y in (mg.copysign(x, -1.0), mg.zeros(2, "bfloat16"), mg.arange(3, dtype="bfloat16"), mg.cumulative_sum(x)):
        assert y.dtype == BFLOAT16
