"""Kinds of dtypes, promotion with bfloat16 as in JAX, computing in float32; and the same without ml_dtypes."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import minigrad as mg
from minigrad.backends import dtypes, get
from tests.support.environment import optional
from tests.support.peers import PEERS

ml_dtypes = optional("ml_dtypes", extra="test")
pytestmark = pytest.mark.host

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
REAL = [np.dtype(name) for name in ("float16", "float32", "float64")]
COMPLEX = [np.dtype(name) for name in ("complex64", "complex128")]
DISCRETE = [
    np.dtype(name) for name in ("bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
]
OTHER = [np.dtype(kind) for kind in ("V2", "U3", object, "M8[s]", ml_dtypes.float8_e4m3fn, ml_dtypes.int4)]


def test_the_kinds_of_every_dtype():
    for check, true in {
        dtypes.is_bfloat16: [BFLOAT16],
        dtypes.is_half: [BFLOAT16, np.dtype(np.float16)],
        dtypes.is_real: [BFLOAT16, *REAL],
        dtypes.is_inexact: [BFLOAT16, *REAL, *COMPLEX],
        dtypes.is_numeric: [BFLOAT16, *REAL, *COMPLEX, *DISCRETE],
    }.items():
        assert [d for d in (BFLOAT16, *REAL, *COMPLEX, *DISCRETE, *OTHER) if check(d)] == true, check.__name__


def test_the_limits_of_bfloat16():
    limits = dtypes.finfo(BFLOAT16)
    assert (float(limits.max), float(limits.eps)) == ((2 - 2**-7) * 2.0**127, 2.0**-7)
    assert dtypes.finfo(np.dtype(np.float32)) is np.finfo(np.float32)


def test_promotion_is_that_of_jax():
    with PEERS["jax"]() as jax:
        for other in (BFLOAT16, *DISCRETE, *REAL, *COMPLEX):
            truth = np.dtype(jax.numpy.promote_types(BFLOAT16, other))
            for pair in ((BFLOAT16, other), (other, BFLOAT16)):
                arrays = [np.ones(2, dtype) for dtype in pair]
                assert dtypes.result_type(*pair) == dtypes.result_type(*arrays) == truth, other
                for f in (mg.multiply, mg.matmul, lambda x, y: mg.concatenate([x, y])):
                    assert f(*arrays).dtype == truth, other
                assert mg.multiply(arrays[0], arrays[1][0]).dtype == truth, other  # NumPy scalars are not weak
        for number in (True, 2, 0.5, 1j):
            truth = (jax.numpy.ones(2, BFLOAT16) * number).dtype
            assert dtypes.result_type(BFLOAT16, number) == mg.multiply(np.ones(2, BFLOAT16), number).dtype == truth


def test_promotion_of_other_dtypes_is_that_of_numpy():
    for operands in ([np.dtype("f2"), 1.0], [np.dtype("f4"), np.dtype("i8")], [np.ones(2, "f4"), np.dtype("c8")]):
        assert dtypes.result_type(*operands) == np.result_type(*operands)


def test_a_formula_gets_float32_and_its_result_is_rounded_once():
    seen = []

    def third(b, x, y, *, scale, out=None):
        seen.append((x.dtype, y.dtype))
        return (x / 3 + y) * scale

    x, y = np.array([1, 2, 3], BFLOAT16), np.array([4, 5, 6])
    found = dtypes.compute(third, get("cpu"), (x, y), {"scale": 0.1})
    assert seen == [(np.float32, np.int64)] and found.dtype == BFLOAT16
    assert np.array_equal(found, ((x.astype(np.float32) / 3 + y) * 0.1).astype(BFLOAT16))
    assert dtypes.compute(third, get("cpu"), (x, y * 1.0), {"scale": 0.1}).dtype == np.float64


@pytest.mark.parametrize("dtype", OTHER[-2:], ids=str)
def test_other_dtypes_of_ml_dtypes_are_refused(dtype):
    x = np.ones(3, dtype)
    with pytest.raises(TypeError, match=rf"{dtype} is not supported: convert it with x.astype\(np.float32\)"):
        mg.sum(x)
    with pytest.raises(TypeError, match="derivatives need floating-point arguments"):
        mg.grad(mg.sum)(x)
    with pytest.raises(TypeError, match="is not a numeric dtype"):
        mg.astype(np.ones(3), dtype)


# Without ml_dtypes

BLOCK = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "ml_dtypes":
            raise ModuleNotFoundError("No module named 'ml_dtypes'", name="ml_dtypes")
sys.meta_path.insert(0, Block())
"""
USE = """
import sys
import numpy as np
import minigrad as mg

x = np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)
f = lambda x: mg.mean(mg.softmax(mg.tanh(x) * 0.5) ** 2)
for g in (mg.grad(f), mg.jit(mg.grad(f))):
    assert g(x).dtype == np.float32
assert mg.random.normal(mg.random.key(0), (3,)).dtype == np.float32
assert mg.sum(x.astype(np.float16)).dtype == np.float16
mg.checks.check_grads(f, (x,), quiet=True)
assert "ml_dtypes" not in sys.modules
"""
ASK = """
for ask in (lambda: mg.astype(x, "bfloat16"), lambda: mg.random.normal(mg.random.key(0), (3,), "bfloat16")):
    try:
        ask()
    except TypeError as error:
        assert "bfloat16 needs the package ml_dtypes: pip install 'minigrad-autodiff[bfloat16]'" in str(error), error
    else:
        raise AssertionError("bfloat16 without ml_dtypes")
"""
GET = """
assert mg.astype(x, "bfloat16").dtype == "bfloat16" and "ml_dtypes" in sys.modules
"""


@pytest.mark.parametrize("program", [BLOCK + USE + ASK, USE + GET], ids=["not installed", "not asked for"])
def test_ml_dtypes_is_imported_only_if_asked_for(program):
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
