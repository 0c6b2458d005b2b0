"""minigrad/backends/native/codegen.py: loops compiled for the CPU read views in place, on any rows; every formula,
literals and noise."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad.backends.formulas import CONVERSION, Formula, numbers, reals
from minigrad.backends.loops import Apply, Index, Load, Loop, Noise, Number
from minigrad.backends.native import codegen
from minigrad.core.interpreter import primitives
from minigrad.core.vectors import add_p, multiply_p
from minigrad.program.views import View
from tests.support.native import compile_kernels

FLOATS, INTS, BOOL = (np.dtype("f4"), np.dtype("f8")), (np.dtype("i4"), np.dtype("i8")), np.dtype(bool)
INT = np.dtype("i8")
ADD, MULTIPLY = add_p.traits.formula, multiply_p.traits.formula


def run_loops(loops, dtypes, arrays):
    """The outputs of a kernel, which have these dtypes, for these arrays."""
    (outputs,) = run_kernels([(loops, dtypes, arrays)])
    return outputs


def run_kernels(kernels):
    """The outputs of several kernels (loops, dtypes of outputs, arrays), compiled at once."""
    given = [[*map(np.ascontiguousarray, kernel[2]), *_outputs(*kernel)] for kernel in kernels]
    calls = compile_kernels([(kernel[0], [x.dtype for x in arrays], 1) for kernel, arrays in zip(kernels, given)])
    for call, arrays in zip(calls, given):
        call(arrays, 0, 1)
    return [arrays[len(kernel[2]) :] for kernel, arrays in zip(kernels, given)]


def _outputs(loops, dtypes, arrays):
    counts = {argument: loop.count for loop in loops for _, argument in loop.stores}
    return [np.zeros(counts[len(arrays) + i], dtype) for i, dtype in enumerate(dtypes)]


# Reading views


def view_of(x, y):
    """The View of the memory of x that the array y shows."""
    begin = (y.__array_interface__["data"][0] - x.__array_interface__["data"][0]) // x.itemsize
    return View(0, y.shape, tuple(stride // x.itemsize for stride in y.strides), begin)


def read(at, x, y, shape):
    """The Index step that reads the view y of x, broadcast to a shape, at a step or at i."""
    view = view_of(x, y)
    return Index(at, view.axes(shape), view.offset)


@st.composite
def views_of(draw, shape):
    """(an array, a view of it that can be broadcast to a shape): permuted, sliced, reversed, without some axes."""
    lengths = [draw(st.sampled_from([n, n, 1])) for n in shape][draw(st.sampled_from([0, 0, *range(len(shape) + 1)])) :]
    steps = [draw(st.sampled_from([1, 1, -1, 2, -2])) for _ in lengths]
    starts = [draw(st.integers(0, 2)) for _ in lengths]
    order = draw(st.permutations(range(len(lengths))))
    whole = [(n - 1) * abs(step) + 1 + start for n, step, start in zip(lengths, steps, starts)]
    memory = [whole[axis] for axis in order]
    x = np.arange(1, math.prod(memory) + 1).reshape(memory)
    cuts = [slice(start, start + (n - 1) * abs(s) + 1, abs(s)) for n, s, start in zip(lengths, steps, starts)]
    y = x.transpose(np.argsort(order))[(*cuts, ...)]
    return x, y[(*[slice(None, None, -1 if step < 0 else 1) for step in steps], ...)]


@st.composite
def kernels(draw):
    """(loops, arrays, expected results, rows): sums of views in loops whose results have `rows` rows, some of them of
    several shapes with the same number of elements, and with values computed at other indices."""
    rows = draw(st.sampled_from([1, 2, 3, 4, 6]))
    loops, arrays, expected = [], [], []
    widths = draw(st.lists(st.sampled_from([1, 2, 3, 4, 6, 8, 12]), min_size=1, max_size=3, unique=True))
    for width in widths:
        steps, stores = [], []

        def add(step, steps=steps):
            steps.append(step)
            return len(steps) - 1

        def load(x, at):
            arrays.append(x)
            return add(Load(len(arrays) - 1, at, INT))

        def operand(shape, at=None):
            x, y = draw(views_of(shape))
            return load(x, add(read(at, x, y, shape))), np.broadcast_to(y, shape).reshape(-1)

        for _ in range(draw(st.integers(1, 2))):
            shape = draw(st.sampled_from([(rows, width), *_splits(rows, width), (rows * width,), (width, rows)]))
            total, true = operand(shape)
            if draw(st.booleans()):
                other, value = operand(shape)
                total, true = add(Apply(ADD, (total, other), INT, INT)), true + value
            if draw(st.booleans()):  # of a value that is not stored, computed at another index
                inside = draw(st.sampled_from(_splits(rows, width) or [(width, rows)]))
                x = np.arange(math.prod(inside)).reshape(inside)
                y = x.transpose(draw(st.permutations(range(len(inside)))))
                at = add(read(None, x, y, y.shape))
                other, value = operand(inside, at)
                value = value[y.reshape(-1)]
                total, true = add(Apply(MULTIPLY, (total, other), INT, INT)), true * value
            stores.append(total)
            expected.append(true)
        loops.append((rows * width, steps, stores))
    numbers = iter(range(len(arrays), len(arrays) + len(expected)))
    loops = [Loop(n, tuple(steps), tuple((step, next(numbers)) for step in stores)) for n, steps, stores in loops]
    return loops, arrays, expected, rows


def _splits(rows, width):
    """Shapes of rows·width elements whose first axis is that of the rows."""
    return [(rows, n, width // n) for n in (2, 3, 4) if width % n == 0]


@given(cases=st.lists(kernels(), min_size=12, max_size=12), data=st.data())
@settings(max_examples=6, phases=[Phase.generate])  # shrinking would compile too often
def test_loops_read_views_in_place_for_any_rows(cases, data):
    chains = [(loops, [INT] * (len(arrays) + len(expected)), rows) for loops, arrays, expected, rows in cases]
    for call, (_, arrays, expected, rows) in zip(compile_kernels(chains), cases, strict=True):
        outputs = [np.full(true.size, -1) for true in expected]
        ends = sorted({0, rows, *data.draw(st.lists(st.integers(0, rows), max_size=3))})
        parts = data.draw(st.permutations(list(itertools.pairwise(ends))))
        done = np.zeros(rows, bool)
        for begin, end in parts:
            call([*arrays, *outputs], begin, end)
            done[begin:end] = True
            for out, true in zip(outputs, expected):
                should = np.where(np.repeat(done, true.size // rows), true, -1)
                np.testing.assert_array_equal(out, should)


def test_lengths_that_do_not_divide_each_other():
    """Element i of one result is in row i // 3, of the other in row i // 2; neither axis divides the rows' width."""
    x = np.arange(6)
    turned = [read(None, y, y.T, y.T.shape) for y in (x.reshape(2, 3), x.reshape(3, 2))]
    steps = (*turned, Load(0, 0, INT), Load(0, 1, INT))
    for rows in (1, 2, 3, 6):
        (call,) = compile_kernels([([Loop(6, steps, ((2, 1), (3, 2)))], [INT] * 3, rows)])
        first, second = np.zeros((2, 6), int)
        for row in range(rows):
            call([x, first, second], row, row + 1)
        assert first.tolist() == [0, 3, 1, 4, 2, 5] and second.tolist() == [0, 2, 4, 1, 3, 5]


def test_what_does_not_depend_on_the_innermost_axis_is_computed_outside_of_its_loop():
    """Here the exponential of each row's first number, which all of its numbers are multiplied with."""
    f8 = np.dtype("f8")
    x = np.arange(12.0).reshape(3, 4)
    first = read(None, x, x[:, :1], (3, 4))
    steps = first, Load(0, 0, f8), Apply(reals("exp(a)"), (1,), f8, f8), Load(0, None, f8)
    loop = Loop(12, (*steps, Apply(MULTIPLY, (2, 3), f8, f8)), ((4, 1),))
    source = codegen.kernel_source("chain", [loop], [f8, f8], 3)
    assert source.index("exp(") < source.index("#pragma")
    (found,) = run_loops([loop], [f8], [x])
    np.testing.assert_allclose(found.reshape(3, 4), np.exp(x[:, :1]) * x, rtol=1e-15)


def test_results_may_overwrite_what_is_read_in_order():
    f8 = np.dtype("f8")
    x, y = np.random.default_rng(0).normal(size=(2, 1000))
    steps = Load(0, None, f8), Load(1, None, f8), Apply(MULTIPLY, (0, 1), f8, f8), Apply(ADD, (0, 1), f8, f8)
    (call,) = compile_kernels([([Loop(1000, steps, ((2, 2), (3, 3)))], [f8] * 4, 1000)])
    a, b = x.copy(), y.copy()
    for begin, end in ((300, 1000), (0, 300)):
        call([a, b, a, b], begin, end)
    np.testing.assert_array_equal(a, x * y)
    np.testing.assert_array_equal(b, x + y)


def test_indices_beyond_two_to_the_31():
    x = np.arange(8.0)
    far = Index(None, ((1, 8, 2**40),), 2**41), Index(0, ((2**40, 2**20, 1),), -2)
    (ours,) = run_loops([Loop(8, (*far, Load(0, 1, np.dtype("f8"))), ((2, 1),))], [np.dtype("f8")], [x])
    np.testing.assert_array_equal(ours, x)


def test_many_loops_in_one_kernel():
    counts = [1, 2, 255, 1000, 3]
    number = Number(3, INT)
    loops = [Loop(n, (number,), ((0, i),)) for i, n in enumerate(counts)]
    for outputs, n in zip(run_loops(loops, [INT] * len(counts), []), counts, strict=True):
        assert outputs.tolist() == [3] * n


# Formulas


def collect_formulas(kind) -> dict[str, Formula]:
    """The formulas of primitives for a kind of numbers, without selections."""
    found = {name: p.traits.formula for name, p in primitives.items() if p.traits.formula is not None}
    return {name: formula for name, formula in found.items() if kind(formula) is not None and not formula.selects}


TABLES = {
    "any": collect_formulas(lambda formula: formula.integer),
    "real": collect_formulas(lambda formula: None if formula.integer else formula.real),
    "truth": collect_formulas(lambda formula: formula.truth),
    "bits": collect_formulas(lambda formula: formula.bits),
}
OTHERS = set("arctan arctan2 arcsin arccos ceil cos cosh erf floor hypot log2 power rint sin sinh tan".split())
OTHERS |= set("arcsinh arccosh arctanh cbrt exp2 log10 signbit trunc".split())
THREE = "clip", "gaussian_sample"


def known_formulas(table, dtype):
    """{primitive: (formula, arity)} of the formulas of a table that are compiled for a dtype."""
    result, found = BOOL if table == "truth" else dtype, {}
    for name, formula in TABLES[table].items():
        if codegen.is_known(formula, dtype, result):
            text = "".join(c if c.isalnum() or c == "_" else " " for c in formula.source(dtype, result)).split()
            found[name] = formula, 3 if name in THREE else 2 if "b" in text else 1
    return found


def apply_formulas(table, dtype, arrays):
    """{primitive: (result, arguments)} of every known formula of a table on these arrays a, b, c."""
    found, result = known_formulas(table, dtype), BOOL if table == "truth" else dtype
    loads = [Load(i, None, dtype) for i in range(3)]
    steps = [Apply(formula, tuple(range(arity)), dtype, result) for formula, arity in found.values()]
    loop = Loop(len(arrays[0]), (*loads, *steps), tuple((3 + i, 3 + i) for i in range(len(steps))))
    results = run_loops([loop], [result] * len(steps), arrays)
    return {name: (y, arrays[:arity]) for (name, (_, arity)), y in zip(found.items(), results, strict=True)}


def by_numpy(name, args):
    with np.errstate(all="ignore"):
        return np.asarray(primitives[name](*args))


def test_formulas_of_functions_that_are_not_here_are_left_to_numpy():
    for dtype in FLOATS:
        known = {name for table in TABLES for name in known_formulas(table, dtype)}
        every = {name for table in ("any", "real", "truth") for name in TABLES[table]}
        assert every - known == OTHERS
    assert not codegen.is_known(reals("erf(exp(a))"), np.dtype("f8"), np.dtype("f8"))
    assert not codegen.is_known(reals("a"), np.dtype("f2"), np.dtype("f2"))


NAN, INF = np.nan, np.inf
SPECIAL = [NAN, INF, -INF, 0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 1.5, 3.0, 1e30, -1e30, 1e-30, -1e-40, 88.0, -104.0, 1e3]
EITHER_ZERO = {"maximum", "minimum", "relu", "clip"}  # zeros may have either sign, in NumPy too


@pytest.mark.parametrize("table", ["any", "real", "truth"])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_formulas_agree_with_numpy(table, dtype):
    """NaN, infinities and zeros are where NumPy has them, with the same signs; other numbers agree within rounding."""
    a, b = np.array(list(itertools.product(SPECIAL, SPECIAL)), dtype).T
    rng = np.random.default_rng(0)
    arrays = [np.concatenate([x, rng.uniform(-6, 6, 500).astype(dtype)]) for x in (a, b, np.roll(a, 5))]
    for name, (ours, args) in apply_formulas(table, dtype, arrays).items():
        expected = by_numpy(name, args)
        if table == "truth":
            np.testing.assert_array_equal(ours, expected, name, strict=True)
            continue
        size = max(1, *[np.max(np.abs(x[np.isfinite(x) & (np.abs(x) < 1e4)])) for x in args])
        eps = np.finfo(dtype).eps
        np.testing.assert_allclose(ours, expected, 8 * eps, 8 * eps * size * _cancels(name), err_msg=name, strict=True)
        signed = (expected == 0) & (name not in EITHER_ZERO)
        assert np.all((ours == 0) == (expected == 0)), name
        assert np.array_equal(np.signbit(ours[signed]), np.signbit(expected[signed])), name


def _cancels(name):
    """Whether the terms of a formula may cancel, so that its error is relative to them."""
    return name in ("logaddexp", "gaussian_sample")


@pytest.mark.parametrize("dtype", INTS, ids=str)
def test_integers_are_exact_and_wrap_around(dtype):
    rng, info = np.random.default_rng(0), np.iinfo(dtype)
    arrays = [rng.integers(-1000, 1000, 500).astype(dtype) for _ in range(3)]
    arrays[0][:4] = info.min, info.max, info.min, 7  # sums and products wrap around
    arrays[1][:4] = 1, info.max, info.min, 7
    for table in ("any", "truth", "bits"):
        for name, (ours, args) in apply_formulas(table, dtype, arrays).items():
            np.testing.assert_array_equal(ours, by_numpy(name, args), name, strict=True)


def test_booleans():
    a, b, c = np.array(list(itertools.product([False, True], repeat=3))).T
    for table in ("truth", "bits"):
        for name, (ours, args) in apply_formulas(table, BOOL, [a, b, c]).items():
            np.testing.assert_array_equal(ours, by_numpy(name, args), name, strict=True)


def test_selections_and_conversions():
    rng, size, every = np.random.default_rng(0), 300, [*FLOATS, *INTS, BOOL]
    kernels, given = [], []
    for dtype in every:
        condition, x, y = rng.random(size) < 0.5, *(rng.integers(0, 9, (2, size)) - 4).astype(dtype)
        loads = Load(0, None, BOOL), Load(1, None, dtype), Load(2, None, dtype)
        chosen = Apply(primitives["where"].traits.formula, (0, 1, 2), dtype, dtype)
        cast = [Apply(CONVERSION, (1,), dtype, target) for target in every]
        loop = Loop(size, (*loads, chosen, *cast), tuple((3 + i, 3 + i) for i in range(1 + len(every))))
        kernels.append(([loop], [dtype, *every], [condition, x, y]))
        given.append((condition, x, y))
    for (condition, x, y), (chosen, *cast) in zip(given, run_kernels(kernels), strict=True):
        np.testing.assert_array_equal(chosen, np.where(condition, x, y), strict=True)
        for ours, target in zip(cast, every, strict=True):
            np.testing.assert_array_equal(ours, x.astype(target), strict=True)


def test_conversions_of_extreme_numbers():
    """Fractions are cut off, integers rounded to even, NaN is true, and numbers that do not fit wrap around."""
    whole = np.array([2**24 + 1, 2**53 + 1, -(2**63), 2**63 - 1, 2**32 + 7, -1])
    real = np.array([2.7, -2.7, 1e300, NAN, -0.0, 1 + 2.0**-30])
    loads = Load(0, None, INT), Load(1, None, np.dtype("f8"))
    kinds = [(0, INT, "f4"), (0, INT, "f8"), (0, INT, "i4"), (1, "f8", "f4"), (1, "f8", bool)]
    steps = [Apply(CONVERSION, (n,), np.dtype(source), np.dtype(target)) for n, source, target in kinds]
    loop = Loop(6, (*loads, *steps), tuple((2 + i, 2 + i) for i in range(len(steps))))
    found = run_loops([loop], [np.dtype(target) for *_, target in kinds], [whole, real])
    with np.errstate(over="ignore"):
        for (n, _, target), ours in zip(kinds, found, strict=True):
            np.testing.assert_array_equal(ours, (whole, real)[n].astype(target), strict=True)


def test_sums_of_products_are_rounded_twice():
    """A multiply-add would round once, and differ from NumPy."""
    f8 = np.dtype("f8")
    a, b = np.random.default_rng(0).normal(size=(2, 1000))
    formula = numbers("a * a + b", "a")
    (ours,) = run_loops(
        [Loop(1000, (Load(0, None, f8), Load(1, None, f8), Apply(formula, (0, 1), f8, f8)), ((2, 2),))], [f8], [a, b]
    )
    np.testing.assert_array_equal(ours, a * a + b)


# Literals

LITERALS = [0.0, -0.0, 0.1, -1e-310, 5e-324, 1.7976931348623157e308, INF, -INF, NAN, 1e-40, 2.5]
SHORT = [0.0, -0.0, float(np.float32(0.1)), 1e-45, 3.4028234663852886e38, INF, -INF, NAN]
WHOLE = [0, 1, -1, 2**31, -(2**31), 2**53 + 1, 2**63 - 1, -(2**63), True, False]


def test_literals_are_exact():
    numbers = [Number(x, dtype) for xs, dtype in ((LITERALS, FLOATS[1]), (SHORT, FLOATS[0])) for x in xs]
    numbers += [Number(x, BOOL if isinstance(x, bool) else INT) for x in WHOLE]
    loop = Loop(1, tuple(numbers), tuple((i, i) for i in range(len(numbers))))
    for ours, number in zip(run_loops([loop], [number.dtype for number in numbers], []), numbers, strict=True):
        expected = np.array([number.value], number.dtype)
        assert ours.tobytes() == expected.tobytes() or np.isnan([ours[0], expected[0]]).all(), number


# Noise


@pytest.mark.parametrize("name", ["normal", "uniform"])
def test_noise_equals_the_streams_bit_for_bit(name):
    """From any offset, constant or in memory, in any order, with a key inside a longer array, and on any rows."""
    size, words = 301, np.concatenate([np.zeros(1, np.uint32), mg.random.key(7), np.ones(1, np.uint32)])
    backwards = Index(None, ((1, size, -1),), size - 1)
    cases = [(dtype, *begin) for dtype in FLOATS for begin in ((0, None), (3, 0), (2**33 + 1, 5))]
    chains = []
    for dtype, offset, start in cases:
        steps = (backwards, Index(None, (), 0), Load(1, 1, INT)) if start is not None else (backwards,)
        draws = [Noise(name, 0, 1, 2 if start is not None else None, offset, at, dtype) for at in (None, 0)]
        stores = (len(steps), 2), (len(steps) + 1, 3)
        chains.append(([Loop(size, (*steps, *draws), stores)], [words.dtype, INT, dtype, dtype], size))
    for call, (dtype, offset, start) in zip(compile_kernels(chains), cases, strict=True):
        forwards, reverse = np.zeros((2, size), dtype)
        for begin, end in ((100, size), (0, 100)):
            call([words, np.array([start or 0]), forwards, reverse], begin, end)
        expected = getattr(mg.random, name)(mg.random.key(7), (size,), dtype, offset=offset + (start or 0))
        assert forwards.tobytes() == expected.tobytes() and reverse[::-1].tobytes() == expected.tobytes()
