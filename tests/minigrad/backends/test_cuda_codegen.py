"""minigrad/backends/cuda/codegen.py: every formula, literals, indices and noise in generated kernels."""

from __future__ import annotations

import itertools

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad.backends.cuda.codegen import blocks_of, kernel_source
from minigrad.backends.formulas import CONVERSION, Formula
from minigrad.backends.loops import Apply, Index, Load, Loop, Number
from minigrad.core.interpreter import primitives
from minigrad.program.views import View
from tests.support import special_values

FLOATS, INTS, BOOL = (np.dtype("f4"), np.dtype("f8")), (np.dtype("i4"), np.dtype("i8")), np.dtype(bool)


def run_loops(device, loops, dtypes, arrays):
    """Runs loops of a generated kernel on `arrays`; returns its outputs, which have these dtypes."""
    counts = {argument: loop.count for loop in loops for _, argument in loop.stores}
    given = [device.xp.ascontiguousarray(device.from_host(x)) for x in arrays]
    outputs = [device.xp.zeros(counts[len(arrays) + i], dtype) for i, dtype in enumerate(dtypes)]
    launch = device.recorder.compile(kernel_source("chain", loops, [x.dtype for x in (*given, *outputs)]))
    launch("chain", sum(blocks_of(loop) for loop in loops), [*given, *outputs])
    return [device.to_host(x) for x in outputs]


def collect_formulas(kind) -> dict[str, Formula]:
    """The formulas of primitives for a kind of numbers, without selections."""
    found = {name: p.traits.formula for name, p in primitives.items() if p.traits.formula is not None}
    return {name: formula for name, formula in found.items() if kind(formula) is not None and not formula.selects}


ANY = collect_formulas(lambda formula: formula.integer)
REAL = collect_formulas(lambda formula: None if formula.integer else formula.real)
TRUTH = collect_formulas(lambda formula: formula.truth)
BITS = collect_formulas(lambda formula: formula.bits)


def formulas(dtype, table):
    """{primitive: arity} of the formulas of a table that compute in a dtype."""
    found = {}
    for name, formula in table.items():
        text = formula.source(dtype, BOOL if table is TRUTH else dtype)
        if text is not None:
            found[name] = 3 if name in ("clip", "gaussian_sample") else 2 if "b" in words(text) else 1
    return found


def words(text):
    return set("".join(c if c.isalnum() or c == "_" else " " for c in text).split())


def apply_formulas(device, table, dtype, arrays):
    """{primitive: result} of every formula of a table on these arrays a, b, c."""
    found, result = formulas(dtype, table), BOOL if table is TRUTH else dtype
    loads = [Load(i, None, dtype) for i in range(max(found.values()))]
    steps = [Apply(table[name], tuple(range(arity)), dtype, result) for name, arity in found.items()]
    stores = tuple((len(loads) + i, len(loads) + i) for i in range(len(steps)))
    loop = Loop(len(arrays[0]), (*loads, *steps), stores)
    return dict(zip(found, run_loops(device, [loop], [result] * len(steps), arrays[: len(loads)])))


def by_numpy(name, arity, arrays):
    with np.errstate(all="ignore"):
        return primitives[name](*[x for x, _ in zip(arrays, range(arity))])


# Special values

SPECIAL = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 1.5, 3.0, 1e30, -1e30, 1e-30, 88.0, -104.0, 1e3]
EITHER_ZERO = {"maximum", "minimum", "relu", "clip", "erf"}  # zeros may have either sign, in NumPy too


@pytest.mark.parametrize("table", [ANY, REAL, TRUTH], ids=["any", "real", "truth"])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_special_values_agree_with_numpy(device, table, dtype):
    """NaN, infinities and zeros are where NumPy has them, with the same signs."""
    pairs = np.array(list(itertools.product(SPECIAL, SPECIAL)), dtype)
    arrays = [pairs[:, 0].copy(), pairs[:, 1].copy(), np.roll(pairs[:, 0], 5)]
    found = formulas(dtype, table)
    for name, ours in apply_formulas(device, table, dtype, arrays).items():
        expected = np.asarray(by_numpy(name, found[name], arrays))
        assert expected.dtype == ours.dtype
        if table is TRUTH:
            assert np.array_equal(ours, expected), name
            continue
        kinds = [(np.isnan(x), np.isposinf(x), np.isneginf(x), x == 0) for x in (ours, expected)]
        tiny = np.abs(expected) < np.finfo(dtype).tiny  # the device flushes float32 that small to 0
        for mine, theirs in zip(*kinds):
            wrong = (mine != theirs) & ~tiny
            assert not wrong.any(), (name, [x[wrong][:3] for x in (*arrays, ours, expected)])
        signed = (expected == 0) & (ours == 0) & (name not in EITHER_ZERO)
        assert np.array_equal(np.signbit(ours[signed]), np.signbit(expected[signed])), name


@pytest.mark.parametrize("dtype", INTS, ids=str)
def test_integers_are_exact_and_wrap_around(device, dtype):
    rng, info = np.random.default_rng(0), np.iinfo(dtype)
    arrays = [rng.integers(-1000, 1000, 500).astype(dtype) for _ in range(3)]
    arrays[0][:4] = info.min, info.max, info.min, 7  # sums and products wrap around
    arrays[1][:4] = 1, info.max, info.min, 7
    for table in (ANY, TRUTH, BITS):
        found = formulas(dtype, table)
        assert found
        for name, ours in apply_formulas(device, table, dtype, arrays).items():
            assert np.array_equal(ours, by_numpy(name, found[name], arrays)), name


@pytest.mark.parametrize("dtype", [*FLOATS, *INTS, BOOL], ids=str)
def test_selection_and_casts(device, dtype):
    rng = np.random.default_rng(0)
    condition, x, y = (
        rng.random(300) < 0.5,
        rng.integers(-9, 9, 300).astype(dtype),
        rng.integers(0, 9, 300).astype(dtype),
    )
    targets = [*FLOATS, *INTS, BOOL]
    steps = [
        Load(0, None, BOOL),
        Load(1, None, dtype),
        Load(2, None, dtype),
        Apply(primitives["where"].traits.formula, (0, 1, 2), dtype, dtype),
    ]
    steps += [Apply(CONVERSION, (1,), dtype, target) for target in targets]
    loop = Loop(300, tuple(steps), tuple((3 + i, 3 + i) for i in range(1 + len(targets))))
    chosen, *cast = run_loops(device, [loop], [dtype, *targets], [condition, x, y])
    assert np.array_equal(chosen, np.where(condition, x, y))
    for ours, target in zip(cast, targets):
        assert np.array_equal(ours, x.astype(target))


# Accuracy in units in the last place: the largest errors of CUDA's functions, listed in its programming guide, and of
# formulas composed of them. The host's functions are no worse.

ULPS = {
    **dict.fromkeys(
        "add subtract multiply negative square divide reciprocal sqrt absolute maximum minimum".split(), 0.5
    ),
    **dict.fromkeys("clip relu sign floor ceil trunc rint step".split(), 0),
    **dict.fromkeys("exp exp2 log log1p log2 log10 expm1 cbrt sin cos arctan cosh tanh erf".split(), 2),
    **dict.fromkeys("arcsin arccos sinh arcsinh arccosh arctanh hypot arctan2 arctan".split(), 4),
    **dict.fromkeys("tan power".split(), 4),
    "sigmoid": 4,  # exp, +, /
    "softplus": 5,  # exp, log1p, +
    "log_sigmoid": 5,
    "logaddexp": 5,  # relative to the larger operand: terms may cancel
    "gaussian_sample": 4,  # relative to the largest term
}
RANGES = {
    "arcsin": (-1, 1),
    "arccos": (-1, 1),
    "arccosh": (1, 50),
    "arctanh": (-1, 1),
    "log": (1e-6, 50),
    "log2": (1e-6, 50),
    "log10": (1e-6, 50),
    "sqrt": (0, 50),
    "log1p": (-0.99, 50),
    "power": (0.01, 8),
}
TO_THE_BIT = "negative absolute maximum minimum relu clip".split()
TRUE = {
    name: special_values.ELEMENTWISE[name]
    for name in ULPS
    if name in special_values.ELEMENTWISE and name not in TO_THE_BIT
}
SCALES = {  # the scale of an error, if it is not the result
    "logaddexp": lambda a, b, y: max(abs(a), abs(b), abs(y)),
    "gaussian_sample": lambda a, b, c, y: max(abs(a), abs(mpmath.exp(b) * c), abs(y)),
}


def test_every_formula_has_a_bound():
    assert {*ANY, *REAL} == {*ULPS}


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_accuracy(device, dtype, record_property):
    """Against 40 digits, or bit for bit against NumPy for formulas without library functions."""
    rng, size, worst = np.random.default_rng(0), 250, {}
    ranges = {RANGES.get(name, (-6, 6)) for name in ULPS}
    for low, high in ranges:
        arrays = [rng.uniform(low, high, size).astype(dtype) for _ in range(3)]
        for table in (ANY, REAL):
            found = formulas(dtype, table)
            for name, ours in apply_formulas(device, table, dtype, arrays).items():
                if RANGES.get(name, (-6, 6)) != (low, high):
                    continue
                args = arrays[: found[name]]
                if name not in TRUE:
                    assert np.array_equal(ours, by_numpy(name, found[name], arrays)), name
                    continue
                with mpmath.workdps(40):
                    worst[name] = max(_ulps(name, y, *x) for y, *x in zip(ours, *args))
    for name, ulps in worst.items():
        record_property(name, f"{ulps:.2f} ulp")
        assert ulps <= ULPS[name] + 0.01, (name, ulps)
    assert worst.keys() == TRUE.keys()


def _ulps(name, ours, *args):
    args = [mpmath.mpf(float(x)) for x in args]
    truth = TRUE[name](*args)
    scale = SCALES[name](*args, truth) if name in SCALES else abs(truth)
    return float(abs(mpmath.mpf(float(ours)) - truth) / mpmath.mpf(float(np.spacing(ours.dtype.type(float(scale))))))


# Literals

LITERALS = [0.0, -0.0, 0.1, -1e-310, 5e-324, 1.7976931348623157e308, np.inf, -np.inf, np.nan, 1e-40, 2.5]
WHOLE = [0, 1, -1, 2**31, -(2**31), 2**53 + 1, 2**63 - 1, -(2**63), True, False]


def test_literals_are_exact(device):
    numbers = [Number(x, np.dtype("f8")) for x in LITERALS] + [
        Number(x, BOOL if isinstance(x, bool) else np.dtype("i8")) for x in WHOLE
    ]
    stores = tuple((i, i) for i in range(len(numbers)))
    outputs = run_loops(device, [Loop(1, tuple(numbers), stores)], [number.dtype for number in numbers], [])
    for ours, number in zip(outputs, numbers):
        assert ours.tobytes() == np.array([number.value], number.dtype).tobytes() or number.value != number.value
    assert np.isnan(outputs[LITERALS.index(np.nan)][0])


@pytest.mark.parametrize("dtype", [*FLOATS, *INTS], ids=str)
def test_numbers_are_promoted_as_in_numpy(device, dtype):
    numbers = 2, -(2**31), 2**40, 0.1, np.float32(0.1), np.float64(0.1), np.int64(-(2**63)), np.inf, True
    fit = [n for n in numbers if n != 2**40 or dtype != np.int32]  # does not fit int32, but may be compared with one

    def f(x):
        return [(x < n, x == n) for n in numbers], [(mg.where(x > 0, x, n), x + n) for n in fit]

    x = np.arange(-3, 4).astype(dtype)
    for ours, theirs in zip(*(mg.tree.flatten(y)[0] for y in (mg.jit(f)(device.from_host(x)), f(x)))):
        assert ours.dtype == theirs.dtype and np.array_equal(device.to_host(ours), theirs)


# Indices


@st.composite
def views(draw):
    """(an array, a view of it with axes permuted, sliced, reversed, inserted and repeated)."""
    x = np.arange(np.prod(shape := draw(st.lists(st.integers(1, 4), min_size=0, max_size=4)), dtype=int)).reshape(shape)
    y = x
    for _ in range(draw(st.integers(0, 3))):
        way = draw(st.sampled_from(["permuted", "sliced", "inserted", "repeated"]))
        if way == "permuted":
            y = y.transpose(draw(st.permutations(range(y.ndim))))
        elif way == "inserted":
            y = np.expand_dims(y, draw(st.integers(0, y.ndim)))
        elif way == "repeated":
            y = np.broadcast_to(y, (draw(st.integers(1, 3)), *y.shape))
        else:
            cut = st.builds(slice, *[st.sampled_from([None, 0, 1, -1, 2])] * 2, st.sampled_from([None, 1, 2, -1, -2]))
            y = y[(*[draw(cut) for _ in range(y.ndim)], ...)]
    return x, y


@given(pair=views(), front=st.lists(st.integers(1, 3), max_size=2))
def test_axes_of_views_agree_with_numpys_strides(pair, front):
    """The view is broadcast to more axes, too."""
    x, y = pair
    if not y.size:
        return
    begin = (y.__array_interface__["data"][0] - x.__array_interface__["data"][0]) // x.itemsize
    shown = View(0, y.shape, tuple(stride // x.itemsize for stride in y.strides), begin)
    whole = np.broadcast_to(y, (*front, *y.shape))
    at = np.arange(whole.size)
    places = begin + sum(at // inner % n * by for inner, n, by in shown.axes(whole.shape))
    assert np.array_equal(x.reshape(-1)[places + 0 * at], whole.reshape(-1))


@given(pair=views())
@settings(max_examples=15)
def test_chains_read_views_in_place(device, pair):
    """The view is captured by the chain, and keeps its strides."""
    x, y = pair
    if not y.size:
        return
    begin = (y.__array_interface__["data"][0] - x.__array_interface__["data"][0]) // x.itemsize
    outside = device.xp.lib.stride_tricks.as_strided(device.from_host(x).reshape(-1)[begin:], y.shape, y.strides)
    ours = mg.jit(lambda n: n * 2 + outside)(device.from_host(np.array(1)))
    assert np.array_equal(device.to_host(ours), 2 + y)


def test_indices_beyond_two_to_the_31(device):
    x = np.arange(8.0)
    far = Index(None, ((1, 8, 2**40),), 2**41), Index(0, ((2**40, 2**20, 1),), -2)
    loop = Loop(8, (*far, Load(0, 1, np.dtype("f8"))), ((2, 1),))
    (ours,) = run_loops(device, [loop], [np.dtype("f8")], [x])
    assert np.array_equal(ours, x)


def test_many_loops_in_one_kernel(device):
    """Some counts fill whole blocks, some do not."""
    counts = [1, 255, 256, 257, 1000, 3]
    number = Number(3, np.dtype("i8"))
    loops = [Loop(n, (number,), ((0, i),)) for i, n in enumerate(counts)]
    for outputs, n in zip(run_loops(device, loops, [np.dtype("i8")] * len(counts), []), counts):
        assert outputs.tolist() == [3] * n


# Noise


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("draw", [mg.random.normal, mg.random.uniform])
@pytest.mark.parametrize("offset", [0, 3, 2**33 + 1])
def test_noise_equals_the_streams_bit_for_bit(device, draw, dtype, offset):
    """With any offset, constant or traced, and read in any order."""

    def f(key, begin):
        drawn = draw(key, (2, 301), dtype, offset=begin), draw(key, (2, 301), dtype, offset=offset)
        return [noise[::-1].T * 1 for noise in drawn]

    key, jitted = mg.random.fold_in(mg.random.key(7), offset % 1000), mg.jit(f)
    for begin in map(np.array, (offset, 0, 5)):
        for ours, theirs in zip(jitted(*mg.to_device((key, begin), device.device)), f(key, begin)):
            assert device.to_host(ours).tobytes() == np.ascontiguousarray(theirs).tobytes()
