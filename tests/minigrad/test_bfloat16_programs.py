"""bfloat16 in transforms, loops, programs, random numbers and sums over processes; conversions, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import minigrad as mg
from minigrad import backends
from tests.support.bfloat16 import BFLOAT16, assert_near, assert_same, draw
from tests.support.collectives import on_ranks

pytestmark = pytest.mark.host


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
