"""One definition makes a complete operation: the one that README defines outside the package works everywhere.

Without further code it has derivatives to third order and checks, its kink is found, and it is captured, counted
(FLOPs), split over threads, fused into a generated kernel, drawn and printed.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from minigrad import core
from minigrad.backends.cuda.codegen import kernel_source
from minigrad.checks import KinkError, check_grads
from minigrad.program.cpu.schedule import find_regions
from minigrad.program.fusion import fuse
from minigrad.program.gpu.epilogues import fuse_epilogues
from minigrad.program.lowering import GeneratedKernel, lower
from minigrad.program.tuning import DEFAULT
from minigrad.program.views import find_views
from tests.support.programs import cut_everything

README = Path(mg.__file__).parent.parent / "README.md"
X = np.array([-2.5, -1.0, -0.3, 0.2, 0.7, 1.9])

DERIVATIVES = (  # for x > 0; |x|·e^(−x²) is even
    lambda x: x * np.exp(-x * x),
    lambda x: (1 - 2 * x**2) * np.exp(-x * x),
    lambda x: (4 * x**3 - 6 * x) * np.exp(-x * x),
    lambda x: (-8 * x**4 + 24 * x**2 - 6) * np.exp(-x * x),
)


def derivative(order: int, x: np.ndarray) -> np.ndarray:
    return np.sign(x) ** order * DERIVATIVES[order](np.abs(x))


@pytest.fixture(scope="module")
def bump():
    blocks = re.findall(r"^```python\n(.*?)^```$", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    (text,) = [block for block in blocks if "@primitive(" in block]
    before, namespace = set(core.primitives), {"mg": mg, "np": np}
    try:
        exec(compile(text, "README.md", "exec"), namespace)
        (name,) = set(core.primitives) - before
        yield core.primitives[name]
    finally:
        for name in set(core.primitives) - before:
            del core.primitives[name]


def forward(f):
    """The elementwise derivative x ↦ f′(x), in forward mode."""
    return lambda x: mg.jvp(f, (x,), (mg.ones_like(x),))[1]


def reverse(f):
    """The elementwise derivative x ↦ f′(x), in reverse mode."""
    return mg.grad(lambda x: mg.sum(f(x)))


@pytest.mark.parametrize("modes", [[m, n, k] for m in "fr" for n in "fr" for k in "fr"], ids="".join)
def test_derivatives_to_third_order(bump, modes, on_device, on_host):
    f = bump
    for order, mode in enumerate(["", *modes]):
        f = {"": lambda f: f, "f": forward, "r": reverse}[mode](f)
        np.testing.assert_allclose(on_host(f(on_device(X))), derivative(order, X), rtol=1e-13, atol=1e-14)


def test_check_grads_passes_and_finds_the_kink(bump):
    assert check_grads(bump, (X,), order=3)
    with pytest.raises(KinkError):
        check_grads(bump, (np.array([1.0, 0.0]),))
    left, right = (mg.checks.decisions(bump, np.array([x]))[1] for x in (-1e-9, 1e-9))
    assert left != right


def test_programs_and_tapes_show_it_and_count_its_flops(bump):
    program = mg.trace(lambda x: 2 * bump(x))(X)
    assert bump in [instruction.primitive for instruction in program.graph.instructions]
    assert program.flops == (5 + 1) * X.size
    assert f"{bump.name}(%0)" in str(program)
    with mg.Tape() as tape:
        x = tape.watch(X)
        y = bump(x)
    assert f"{bump.name}(%0)" in str(tape)
    np.testing.assert_allclose(tape.gradient(y, x, np.ones(6)), derivative(1, X), rtol=1e-13)


def test_draw_shows_it(bump):
    assert f">{bump.name}" in mg.draw(lambda x: mg.sum(bump(x)), X)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_it_is_tiled_over_threads(bump, threads):
    """It is part of one region of seven rows, with the same bits as without tiling."""
    x = np.linspace(-2, 2, 35).reshape(7, 5)
    f = lambda x: 2 * bump(x + 1)
    jitted = mg.jit(f, tuning=cut_everything(threads))
    graph = jitted.program(x).graph
    regions, _ = find_regions(graph, find_views(graph), cut_everything(threads))
    assert [(region.rows, len(region.steps)) for region in regions] == [(7, 3)]
    assert np.array_equal(jitted(x), f(x))
    assert np.array_equal(mg.jit(reverse(f), tuning=cut_everything(threads))(x), reverse(f)(x))


def test_its_result_is_written_over_a_donated_operand(bump):
    x = np.linspace(-2, 2, 1 << 14)
    expected, jitted = bump(x), mg.jit(bump, donate=0)
    assert jitted.program(x).memory().results == 0
    y = jitted(x)
    assert np.shares_memory(x, y) and np.array_equal(y, expected)


def test_it_is_fused_into_a_generated_kernel(bump, device, to_gpu, agree):
    f = lambda x, y: bump(2 * x + y) * y
    args = X, np.linspace(0.5, 1.5, 6)
    graph = mg.jit(f).program(*to_gpu(args)).graph
    views = find_views(graph)
    launches = [x for level in lower(fuse(fuse_epilogues(graph, views, DEFAULT), views, DEFAULT)) for x in level]
    assert [type(launch) for launch in launches] == [GeneratedKernel]
    text = kernel_source(launches[0].name, launches[0].loops, [np.dtype(float)] * len(launches[0].arguments))
    assert "fabs(" in text and "exp(" in text
    agree(mg.jit(f)(*to_gpu(args)), f(*args))
    slope = mg.grad(lambda x, y: mg.sum(f(x, y)))
    agree(mg.jit(slope)(*to_gpu(args)), derivative(1, 2 * args[0] + args[1]) * 2 * args[1])
