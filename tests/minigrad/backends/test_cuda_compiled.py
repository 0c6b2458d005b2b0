"""NVRTC compiles the kernels without warnings or spills, and random numbers without contracted operations."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest

import minigrad.backends
from minigrad.backends import loops
from minigrad.backends.cuda import codegen
from minigrad.backends.cuda.launch import FILES
from minigrad.backends.formulas import REALS, TYPES
from minigrad.core.interpreter import primitives
from tests.support import nvrtc

FOLDER = Path(minigrad.backends.__file__).parent / "cuda"
SOURCES = {"streams": ("streams.cu",), "kernels": FILES}
ARCHITECTURES = ("sm_80", "sm_90")
MOST_SHARED = 48 * 1024  # bytes of shared memory that a block has by default
ROUNDING = re.compile(r"\b(?:add|sub|mul|div|rcp|sqrt|rsqrt|fma|mad|ex2|lg2|sin|cos|tanh)\.[.\w]*f(?:16|32|64)\b")
ONE_ROUNDING = re.compile(r"(?:add|sub|mul|div|sqrt)\.rn(?:\.ftz)?\.f(?:32|64)")


def source(name):
    return "\n".join((FOLDER / file).read_text(encoding="utf-8") for file in SOURCES[name])


def find_contracted(ptx: str) -> list[str]:
    """Operations that round differently or may be contracted (a plain mul.f32 may, a mul.rn.f32 may not)."""
    return [found for found in ROUNDING.findall(ptx) if not ONE_ROUNDING.fullmatch(found)]


@pytest.fixture(scope="module", params=[(name, arch) for name in SOURCES for arch in ARCHITECTURES], ids="-".join)
def compilation(request):
    name, arch = request.param
    return nvrtc.compile_source(source(name), arch)


def test_kernels_compile_without_warnings(compilation):
    assert compilation.warnings == ""
    assert compilation.ptx and compilation.ptx.keys() == compilation.usage.keys()


def test_kernels_fit(compilation, record_property):
    """No spills, shared memory within the limit. Registers are recorded in --junit-xml."""
    for name, usage in compilation.usage.items():
        record_property(name, f"{usage.registers} registers, {usage.shared} bytes shared")
    assert {name: usage.spilled for name, usage in compilation.usage.items() if usage.spilled} == {}
    assert max(usage.shared for usage in compilation.usage.values()) <= MOST_SHARED


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_random_numbers_round_as_written(arch):
    """No operation is contracted or approximate, and flushing subnormal numbers to zero changes no instruction."""
    drawn, kept = (
        {
            name: text
            for name, text in nvrtc.compile_source(source("streams"), arch, options).ptx.items()
            if "random" in name
        }
        for options in (nvrtc.CUPY, ("-std=c++17", "-ftz=false", *nvrtc.CUPY[2:]))
    )
    assert {"random_bits", "random_normal_f32", "random_normal_f64"} <= drawn.keys()
    assert {name: find_contracted(text) for name, text in drawn.items() if find_contracted(text)} == {}
    assert not any(re.search(r"\bcall\b", text) for text in drawn.values())  # no code in called functions
    assert {name: text.replace(".ftz", "") for name, text in drawn.items()} == kept


def test_contracted_operations_are_found():
    program = 'extern "C" __global__ void f(float* x, double* y) {{ x[0] = {}; y[0] = {}; }}'
    for both, found in (
        (("x[1] * x[2] + x[3]", "y[1] * y[2] + y[3]"), ["fma.rn.ftz.f32", "fma.rn.f64"]),
        (("x[1] * x[2]", "y[1] + y[2]"), ["mul.ftz.f32", "add.f64"]),
        (("__fsqrt_rn(__fadd_rn(x[1], x[2]))", "__dmul_rn(y[1], y[2])"), []),
        (("__expf(x[1])", "1"), ["mul.ftz.f32", "ex2.approx.ftz.f32"]),
    ):
        ptx = nvrtc.compile_source(program.format(*both), "sm_80").ptx["f"]
        assert sorted(find_contracted(ptx)) == sorted(found)


def test_spills_shared_memory_and_warnings_are_found():
    text = """
        extern "C" __global__ void __launch_bounds__(1024, 2) f(volatile float* x) {
            __shared__ float shared[300];
            float held[64];
            int unused;
            #pragma unroll
            for (int i = 0; i < 64; i++) held[i] = x[i];
            shared[threadIdx.x] = held[3];
            __syncthreads();
            #pragma unroll
            for (int i = 0; i < 64; i++) x[i] = held[i] + shared[i];
        }"""
    compilation = nvrtc.compile_source(text, "sm_80")
    assert "unused" in compilation.warnings
    assert compilation.usage["f"].spilled > 0 and compilation.usage["f"].shared == 1200
    with pytest.raises(ValueError, match="undefined"):
        nvrtc.compile_source("void f() { nothing(); }", "sm_80")


@pytest.fixture(scope="module")
def chain():
    """A generated kernel with every formula of every dtype, literals, 64-bit indices and noise."""
    steps, stores, arguments = [], [], []

    def store(step):
        steps.append(step)
        arguments.append(step.dtype)
        stores.append((len(steps) - 1, len(arguments) - 1))

    for within in TYPES:
        begin = len(steps)
        for _ in range(3 if within in REALS else 2):
            arguments.append(within)
            steps.append(loops.Load(len(arguments) - 1, None, within))
        for formula in {p.traits.formula for p in primitives.values()} - {None}:
            for dtype in TYPES if formula.converts else (within, np.dtype(bool)):
                text = formula.source(within, dtype)
                if text is not None and not formula.selects:
                    arity = len({"a", "b", "c"} & set(re.findall(r"\w+", text)))
                    store(loops.Apply(formula, tuple(range(begin, begin + arity)), within, dtype))
    for value in (1.5, -0.0, math.inf, -math.inf, math.nan, 5e-324, 2, -(2**63), True):
        store(loops.Number(value, np.asarray(value).dtype))
    key = len(arguments)
    arguments.append(np.dtype(np.uint32))
    for dtype in REALS:
        for name in ("normal", "uniform"):
            store(loops.Noise(name, key, 0, None, 2**40, None, dtype))
    near = loops.Loop(1000, tuple(steps), tuple(stores))
    far = loops.Index(None, ((1, 8, 2**40),), 2**41), loops.Index(0, ((2**40, 2**20, 1),), -2)
    last = loops.Loop(8, (*far, loops.Load(0, 1, arguments[0])), ((2, 0),))
    return source("streams") + codegen.PRELUDE + codegen.kernel_source("chain", (near, last), arguments)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_chains_compile_without_warnings(chain, arch):
    compilation = nvrtc.compile_source(chain, arch)
    assert compilation.warnings == "" and "chain" in compilation.ptx
