"""minigrad/ops/inplace.py: in-place operations on traced values raise, and say what to write instead."""

from __future__ import annotations

import traceback

import numpy as np
import pytest

import minigrad as mg
from tests.support.transfer import to_host

NUMERIC = "+ - * / ** @ // %".split()
SIGNS = [*NUMERIC, *"& | ^".split()]


def run_tape(f, x):
    with mg.Tape() as tape:
        f(tape.watch(x))


WAYS = {
    "grad": lambda f, x: mg.grad(lambda x: mg.sum(f(x)))(x),
    "jvp": lambda f, x: mg.jvp(f, (x,), (mg.ones_like(x),)),
    "hessian": lambda f, x: mg.hessian(lambda x: mg.sum(f(x)))(x),
    "checkpoint": lambda f, x: mg.grad(lambda x: mg.sum(mg.checkpoint(f)(x)))(x),
    "jit": lambda f, x: mg.jit(f)(x),
    "trace": lambda f, x: mg.trace(f)(x),
    "tape": run_tape,
}
every_way = pytest.mark.parametrize("way", WAYS)


def make_function(statement, **names):
    """A function of x that executes a statement and returns y."""

    def f(x):
        scope = {"x": x, "y": x, "np": np, "mg": mg, **names}
        exec(statement, scope)
        return scope["y"]

    return f


@every_way
@pytest.mark.parametrize("sign", SIGNS)
def test_augmented_assignment_to_a_traced_array_says_what_to_write(sign, way, on_device):
    """NumPy changes the array under both names; rebinding y would leave x as it was."""
    f = make_function(f"y {sign}= 2")
    with pytest.raises(TypeError, match=rf"would change the traced float64\[2, 2\].* write x = x \{sign} y"):
        WAYS[way](f, on_device(np.ones((2, 2))))


@every_way
@pytest.mark.parametrize("sign", NUMERIC)
def test_augmented_assignment_of_a_traced_value_to_a_plain_array(sign, way):
    y = np.ones((2, 2))
    with pytest.raises(TypeError, match=r"cannot write a traced result into an existing array.* y = y \+ x"):
        WAYS[way](make_function(f"y = a; y {sign}= x", a=y), np.ones((2, 2)))
    assert np.array_equal(y, np.ones((2, 2)))


@every_way
def test_scalars_are_rebound_as_in_numpy(way):
    def f(x):
        total, first = 0.0, mg.sum(x)
        same = first
        for term in x:
            total += term
            first -= term * 2
            first *= 3
        first /= 2
        first **= 2
        return total * first + same

    y = f(np.array([0.3, 1.2]))
    if way in ("jit", "trace"):
        found = WAYS[way](f, np.array([0.3, 1.2]))
        assert np.isclose(found if way == "jit" else found(np.array([0.3, 1.2])), y, rtol=1e-15)
    elif way == "jvp":
        assert WAYS[way](f, np.array([0.3, 1.2]))[0] == y
    else:
        WAYS[way](f, np.array([0.3, 1.2]))
    assert y == 1.5 * ((3 * (3 * (1.5 - 0.6) - 2.4)) / 2) ** 2 + 1.5


IN_PLACE = {
    "x[0] = 1.0": "mg.where",
    "x[x > 0] = 0": "mg.where",
    "x[0] += 1.0": "mg.where",
    "del x[0]": "mg.where",
    "x.sort()": r"x = mg.sort\(x\)",
    "x.partition(1)": r"mg.sort\(x\)",
    "x.fill(0)": "mg.zeros_like",
    "x.resize(4)": "mg.reshape",
    "x.put(0, 1)": "mg.where",
    "x.shape = (2, 1)": "x.reshape",
    "x.dtype = int": "x.astype",
    "np.copyto(x, 0)": "mg.where",
    "np.put(x, 0, 1)": "mg.where",
    "np.place(x, a > 0, 1)": "mg.where",
    "np.putmask(x, a > 0, 1)": "mg.where",
    "np.add(x, 1, out=x)": "use the value that it returns",
    "np.add(a, 1, out=x)": "use the value that it returns",
    "np.add.at(x, 0, 1)": "use the value that it returns",
    "np.exp(x, out=a)": "use the value that it returns",
    "np.add.at(a, [0], x[0])": "use the value that it returns",
    "np.copyto(a, x)": "mg.where",
    "np.put(a, [0, 1], x)": "mg.where",
    "np.fill_diagonal(mg.diag(x), 0)": "mg.where",
    "np.put_along_axis(a, np.array([0, 1]), x, 0)": "mg.where",
}


@every_way
@pytest.mark.parametrize("statement", IN_PLACE)
def test_in_place_operations_raise_with_advice(statement, way):
    a = np.ones(2)
    with pytest.raises(TypeError, match=IN_PLACE[statement]):
        WAYS[way](make_function(statement, a=a), np.ones(2))
    assert np.array_equal(a, [1, 1])


STORED = {
    "a[0] = x[0]": "out\\[i\\] = x .* mg.asarray",
    "a[0] = x": "out\\[i\\] = x .* mg.asarray",
    "a.astype(np.float32)[0] = x[0]": "out\\[i\\] = x .* mg.asarray",
    "a.fill(x[0])": "out\\[i\\] = x .* mg.asarray",
    "a[:] = x": "mg.asarray",
    "a[...] = x[0]": "mg.asarray",
    "a[a > 0] = x": "mg.asarray",
    "a[[0, 1]] = x[0]": "mg.asarray",
    "np.array(x)": "mg.asarray",
    "np.array([x, x])": "mg.asarray",
    "np.array([x[0], 1.0])": "mg.asarray",
    "np.array([x[0], 1.0], float)": "mg.asarray",
    "np.full(2, x[0])": "mg.asarray",
    "np.sum([x[0], x[1]])": "mg.asarray",
}


@every_way
@pytest.mark.parametrize("statement", STORED)
def test_storing_a_traced_value_in_a_plain_array_raises_with_advice_in_the_last_line(statement, way):
    """Even if NumPy's own error is "setting an array element with a sequence"."""
    a = np.ones(2)
    with pytest.raises(TypeError, match=STORED[statement]) as raised:
        WAYS[way](make_function(statement, a=a), np.ones(2))
    *_, last = "".join(traceback.format_exception(raised.value)).splitlines()
    assert last.endswith(str(raised.value)) and "mg.asarray" in last
    assert '"<string>", line 1' in "".join(traceback.format_exception(raised.value))  # the user's line
    assert np.array_equal(a, [1, 1])


def test_other_errors_are_not_changed():
    def f(x):
        try:
            float(x)
        except TypeError as error:
            raise ValueError("mine") from error

    with pytest.raises(ValueError, match="mine"):
        mg.grad(f)(1.0)
    with pytest.raises(ValueError, match="setting an array element with a sequence"):
        mg.grad(lambda x: np.zeros(2).__setitem__(0, [1.0, 2.0]))(1.0)


@every_way
@pytest.mark.parametrize(
    ("statement", "instead"),
    {
        "y = divmod(x, 2)": "x // y and x % y",
    }.items(),
)
def test_operators_that_are_not_offered_raise_with_an_alternative(statement, instead, way):
    with pytest.raises(TypeError, match=f"is not supported for traced values: use {instead}"):
        WAYS[way](make_function(statement), np.ones(2))


@every_way
@pytest.mark.parametrize("statement", ["round(x[0])", "range(x[0])", "[1, 2][x[0]]"])
def test_traced_values_cannot_be_used_as_python_integers(statement, way):
    with pytest.raises(TypeError, match=r"mg.rint|cannot be interpreted as an integer|mg.where"):
        WAYS[way](make_function(statement), np.ones(2))
    for taken in (lambda n: range(n), lambda n: [1, 2][n]):
        with pytest.raises(mg.CaptureError, match=r"operator.index\(x\)"):
            mg.jit(taken)(np.array(1))


def test_the_recommended_alternatives_work(on_device):
    x = on_device(np.array([2.0, 1.0, 3.0]))
    for f in (lambda x: mg.sort(x), lambda x: mg.zeros_like(x) + 2 * x, lambda x: x - 2.0 * mg.floor(x / 2.0)):
        assert np.array_equal(to_host(mg.jit(f)(x)), to_host(f(x)))
