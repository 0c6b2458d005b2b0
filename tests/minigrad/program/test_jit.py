"""minigrad/program/jit.py: which arguments are data and which are code, and the programs that are kept."""

from __future__ import annotations

import dataclasses
import gc
import warnings
import weakref
from collections import OrderedDict
from contextlib import contextmanager

import numpy as np
import pytest

import minigrad as mg
from minigrad.backends.native import compiler
from minigrad.core import tree
from minigrad.program.tuning import Tuning
from tests.support.programs import cut_everything, same

# What cannot be a function or an argument


@pytest.mark.parametrize("f", [3, "x", None])
def test_only_functions_can_be_jitted(f):
    with pytest.raises(TypeError, match="needs a function"):
        mg.jit(f)


def test_an_unhashable_argument_is_named():
    with pytest.raises(TypeError, match="must be hashable, got set"):
        mg.jit(lambda x, s: x)(np.ones(2), {1})


# Arguments that are part of the code


@dataclasses.dataclass
class Scaled:
    """An array, and a static field."""

    w: object
    n: object = dataclasses.field(metadata={"static": True})


@pytest.mark.parametrize("numbers", [(1, 1.0, True), (0.0, -0.0, 0), (0j, complex(0.0, -0.0), -0j)])
def test_equal_numbers_of_different_kinds_are_captured_separately(numbers):
    """As arguments, in static fields, and as keys of a dict."""
    x = np.arange(3)
    ways = {
        "argument": (lambda x, n: x * n, lambda n: (x, n)),
        "static field": (lambda p: p.w * p.n, lambda n: (Scaled(x, n),)),
        "key": (lambda d: next(v * k for k, v in d.items()), lambda n: ({n: x},)),
        "set": (lambda x, s: x * next(iter(s)), lambda n: (x, frozenset({n}))),
    }
    for f, arguments in ways.values():
        jitted = mg.jit(f)
        for n in numbers:
            found, expected = jitted(*arguments(n)), f(*arguments(n))
            assert same(found, expected)
            for part in (np.real, np.imag):
                assert np.array_equal(np.signbit(part(found)), np.signbit(part(expected)))
        program = mg.trace(f)(*arguments(numbers[0]))
        for n in numbers[1:]:
            with pytest.raises(ValueError, match="the program"):
                program(*arguments(n))


def test_a_call_of_another_kind_is_captured_separately():
    """Trees, dtypes, shapes, containers and numbers in turn: each gives what f gives, and is captured once."""
    calls = []

    def f(values, scale=2.0):
        calls.append(values)
        leaves = [mg.asarray(leaf) * (scale if type(scale) is float else -3) for leaf in tree.flatten(values)[0]]
        return str(tree.flatten(values)[1]), leaves

    one, two = np.arange(3.0), np.arange(3.0) + 1
    given = [
        ([one, two],), ((one, two),), ([one, [two]],), ([[one], two],), ([one, None, two],), ([one, two, None],),
        ({"a": one, "b": two},), ({"a": one, "c": two},), ({"b": two, "a": one},), (OrderedDict(a=one, b=two),),
        ([one.astype(np.float32), two],), ([one[:2], two],), ([one[None], two],), ([one[0], two],), ([one[:1], two],),
        ([one, two], 2), ([one, two], True), ([one, two], 1), ([one, two], 1.0), ([one, 2.0],), ([one, 2],), ([one],),
        ([one, ()],), (one,), ([],), ([one, two], np.float64(2)), ([one, two], np.array(2.0)), ([one, two], -0.0),
    ]  # fmt: skip
    kinds = len(given)
    jitted = mg.jit(f)
    for arguments in [*given, *given[::-1], *(each for each in given for _ in range(2))]:
        (ours, results), (name, expected) = jitted(*arguments), f(*arguments)
        calls.pop()
        assert ours == name and len(results) == len(expected)
        for x, y in zip(results, expected, strict=True):
            assert np.array_equal(x, y) and np.asarray(x).dtype == np.asarray(y).dtype
            assert np.array_equal(np.signbit(x), np.signbit(y))
    assert len(calls) == kinds


def test_a_call_in_a_derivative_is_captured_separately():
    jitted = mg.jit(lambda x: mg.sum(mg.sin(x)))
    x = np.arange(3.0)
    for _ in range(3):
        assert jitted(x) == np.sin(x).sum()
        np.testing.assert_allclose(mg.grad(jitted)(x), np.cos(x))
        assert mg.trace(lambda x: jitted(x))(x)(x) == np.sin(x).sum()


def test_arguments_that_compare_elementwise_are_distinguished_by_their_hashes():
    class Numbers:
        def __init__(self, *values):
            self.values = np.array(values)

        def __eq__(self, other):
            return self.values == other.values

        __hash__ = object.__hash__

    jitted, x = mg.jit(lambda x, numbers: x * float(numbers.values[0])), np.ones(2)
    one, two = Numbers(1, 2), Numbers(3, 4)
    for numbers in (one, two, one, one, two):
        assert np.array_equal(jitted(x, numbers), x * numbers.values[0])


def test_within_a_derivative_a_function_sees_what_it_closes_over():
    x, scale = np.arange(3.0), [2.0]
    jitted = mg.jit(lambda x: mg.sum(x * scale[0]))

    def f(s):
        scale[0] = s
        return jitted(x)

    assert jitted(x) == jitted(x) == 6
    assert mg.value_and_grad(f)(5.0) == (15, 3)


def test_a_nan_among_the_arguments_is_captured_once():
    captured = []
    f = mg.jit(lambda x, n: captured.append(n) or x + n)
    for _ in range(3):
        assert np.all(np.isnan(f(np.ones(2), float("nan"))))
    assert len(captured) == 1
    assert np.all(np.isnan(mg.trace(lambda x, n: x + n)(np.ones(2), float("nan"))(np.ones(2), float("nan"))))


@pytest.mark.parametrize("dtype", [np.float32, np.dtype("f4"), float, "f4", np.str_("f4")])
def test_dtypes_and_strings_are_part_of_the_code(dtype):
    def f(x, dtype):
        return mg.astype(x, dtype) if dtype == "f4" or not isinstance(dtype, str) else x

    assert same(mg.jit(f)(np.ones(3), dtype), f(np.ones(3), dtype))


def test_results_that_are_no_arrays_are_returned_unchanged():
    f = lambda x: {"name": "loss", "how": np.sin, "y": x * 2, "dtype": np.float32, "words": np.array(["a"])}
    found = mg.jit(f)(np.ones(3))
    assert same(found.pop("y"), np.full(3, 2.0))
    assert found == {"name": "loss", "how": np.sin, "dtype": np.float32, "words": np.array(["a"])}
    assert mg.jit(f).program(np.ones(3)).memory().results == 24


def test_an_unhashable_static_field_is_named():
    with pytest.raises(TypeError, match=r"static fields and keys of arguments must be hashable.*'list'"):
        mg.jit(lambda p: p.w)(Scaled(np.ones(2), [1]))


# Numbers that change, and how many programs are kept


@contextmanager
def caught_warnings():
    """The list of warnings inside the block, each of them recorded."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield caught


def test_a_number_that_keeps_changing_is_named_once_from_its_fifth_value_on():
    def step(x, rate):
        return x - rate * x

    jitted, x = mg.jit(step), np.arange(3.0, dtype=np.float32)
    for rate in (0.1, 0.2, 0.3, 0.4, 0.1, 0.2):
        assert same(jitted(x, rate), step(x, rate))
    with caught_warnings() as caught:
        for rate in (0.5, 0.6, 0.7, 0.1):
            assert same(jitted(x, rate), step(x, rate))
    (warning,) = caught
    assert warning.category is RuntimeWarning and warning.filename == __file__
    assert "argument 1 of " in str(warning.message) and "step keeps changing" in str(warning.message)
    assert "np.float32(0.1)" in str(warning.message)


@dataclasses.dataclass
class Options:
    """A number in a field."""

    rate: object


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (lambda n: ((n,), {}), "argument 0"),
        (lambda n: (({"rate": n},), {}), r"argument 0\['rate'\]"),
        (lambda n: ((1, [2, (3, n)]), {}), r"argument 1\[1\]\[1\]"),
        (lambda n: ((), {"options": [Options(n)]}), r"argument options\[0\]\.rate"),
        (lambda n: ((), {"rate": n}), "argument rate"),
    ],
)
def test_a_changing_number_is_named_by_its_place(arguments, name):
    jitted = mg.jit(lambda *args, **kwargs: np.zeros(2))
    with pytest.warns(RuntimeWarning, match=f"^jit: {name} of "):
        for n in range(5):
            args, kwargs = arguments(n)
            jitted(*args, **kwargs)


def test_of_several_numbers_those_that_change_often_are_named():
    jitted = mg.jit(lambda x, rate, power, step: x * rate**power + step)
    with caught_warnings() as caught:
        for step in range(8):
            jitted(np.ones(2), 0.5**step, 1 + step % 2, step)
    assert [str(w.message).partition(" of ")[0] for w in caught] == ["jit: argument 1, argument 3"]


def test_other_arguments_that_change_are_not_named():
    jitted = mg.jit(lambda x, how: x)
    for n in range(8):
        jitted(np.ones(n), "sum")
        jitted(np.ones(2), f"{n}")
        jitted(np.float32(n), 1)
        jitted(np.ones(n + 3), float(n % 4))


def test_the_programs_of_arguments_used_least_recently_are_dropped():
    captured = []
    jitted = mg.jit(lambda x, how: captured.append(how) or x + 1, tuning=Tuning(most_programs=3))
    for how in "abcadacdb":
        jitted(np.ones(2), how)
    assert captured == [*"abcdb"]


def test_a_program_that_runs_every_other_time_is_kept():
    captured = []
    jitted = mg.jit(lambda x, how: captured.append(how) or x + 1, tuning=Tuning(most_programs=4))
    for how in "bcdefg":
        jitted(np.ones(2), "a")
        jitted(np.ones(2), how)
    for how in "fga":
        jitted(np.ones(2), how)
    assert captured == [*"abcdefg"]


@contextmanager
def without_garbage_collection():
    """A block in which only reference counts free memory."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def test_a_function_keeps_64_programs():
    jitted, x = mg.jit(lambda x, how: x + 1), np.ones(2)
    with without_garbage_collection():
        programs = []
        for how in range(80):
            jitted(x, str(how))
            programs.append(weakref.ref(jitted.program(x, str(how))))
        assert [program() is not None for program in programs] == [False] * 16 + [True] * 64


def test_the_memory_of_a_dropped_function_is_freed_at_once(on_device):
    """Also after its arrays have moved, and for several threads."""
    f = lambda w, x: (w - 0.1 * mg.grad(lambda w: mg.sum(mg.tanh(x @ w)))(w), mg.sum(x))
    for tuning in (Tuning(), cut_everything(threads=2)):
        jitted = mg.jit(f, donate=(0,), tuning=tuning)
        w = on_device(np.ones((4, 3)))
        for _ in range(5):
            w, _ = jitted(w, on_device(np.ones((8, 4))))
        program = jitted.program(w, on_device(np.ones((8, 4))))
        dead = weakref.ref(program), weakref.ref(program._executor)
        with without_garbage_collection():
            del program, jitted
            assert [reference() for reference in dead] == [None, None]


# Compiled kernels


def test_compiler_none_computes_with_numpy_alone():
    f, x = lambda x: mg.tanh(x) * mg.exp(-x), np.linspace(-2, 2, 40).reshape(8, 5)
    tuning = Tuning(worth_compiling=0)
    compiled, plain = mg.jit(f, tuning=tuning), mg.jit(f, compiler=None, tuning=tuning)
    np.testing.assert_allclose(compiled(x), f(x), rtol=1e-15)
    assert same(plain(x), f(x))
    assert plain.program(x)._executor._kernels == {}
    if not compiler.describe().startswith("none"):
        assert len(compiled.program(x)._executor._kernels) == 1


@pytest.mark.parametrize("name", ["gcc", "", True, 1])
def test_an_unknown_compiler_is_refused(name):
    with pytest.raises(ValueError, match=r'jit: compiler must be "auto" or None, got '):
        mg.jit(lambda x: x, compiler=name)


def test_release_memory_does_not_wait_for_a_program_that_is_running(make_primitive):
    """Called in the middle of a run, as a signal handler or a finaliser may do."""

    def forward(b, x, out=None):
        mg.release_memory()
        return b.xp.add(x, 1, out=out)

    f = mg.jit(make_primitive(forward))
    assert f(np.zeros(3)).tolist() == [1, 1, 1]
    assert f(np.ones(3)).tolist() == [2, 2, 2]


def test_release_memory_leaves_results_alone():
    f = mg.jit(lambda x: x + 1, tuning=Tuning(small_result=0))
    x = np.zeros((100, 100))
    first = f(x)
    mg.release_memory()
    second = f(x)
    assert not np.shares_memory(first, second)
    assert (first == 1).all() and (second == 1).all()
