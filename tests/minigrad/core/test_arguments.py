"""Signatures are NumPy's: names, order and meaning of arguments. Options we do not offer raise, naming the option."""

from __future__ import annotations

import inspect
import types

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.core import tree
from minigrad.core.interpreter import Tracer
from minigrad.ops import inplace
from minigrad.testing import arrays, reduced_axes, shapes
from tests.support.numpy_calls import (
    BINARY,
    BITS,
    CONSTANT,
    F32,
    FUNCTIONS,
    INTEGER,
    METHOD_SIGNATURES,
    METHODS,
    NOT_HANDED_OVER,
    SIGNATURES,
    UNARY,
    UNTRACED,
    WITHOUT_ARRAYS,
    X,
)

POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def numpys(name):
    """NumPy's function of this name."""
    return getattr(np, name, None) or getattr(np.linalg, name, None)


OTHERS = {"cond"}  # `mg.cond` chooses between functions; NumPy's is the condition number of a matrix
SHARED = sorted(
    n
    for n in {*vars(mg)} - OTHERS
    if not n.startswith("_") and isinstance(getattr(mg, n), types.FunctionType) and callable(numpys(n))
)
SHARED_METHODS = sorted(
    name
    for name in dir(Tracer)
    if not name.startswith("_") and callable(getattr(Tracer, name)) and callable(getattr(np.ndarray, name, None))
)
LOSE_A_DERIVATIVE = {"item", "tolist"}
IN_PLACE = {name for name in inplace.MEMBERS if not name.startswith("_")}


def ours(name):
    """Our function of this name; for trace the method, because `mg.trace(f)` makes programs."""
    return Tracer.trace if name == "trace" else getattr(mg, name)


def parse_signature(text):
    """The signature with these parameters."""
    return inspect.signature(eval(f"lambda {text}: None"))


def numpys_signature(name):
    if name in SIGNATURES:
        return parse_signature(SIGNATURES[name])
    if isinstance(numpys(name), np.ufunc):
        return parse_signature(UNARY if numpys(name).nin == 1 else BINARY)
    return inspect.signature(numpys(name))


def positional(signature):
    return [p.name for p in signature.parameters.values() if p.kind in POSITIONAL]


def by_name(signature):
    """The names of the parameters; None stands for any keyword."""
    return {None if p.kind is p.VAR_KEYWORD else name for name, p in signature.parameters.items()}


def defaults(signature):
    """Defaults of positional parameters, without None and NumPy's `<no value>`, for which we write None or False."""
    given = {p.name: p.default for p in signature.parameters.values() if p.kind in POSITIONAL}
    unset = (inspect.Parameter.empty, np._NoValue)
    return {name: value for name, value in given.items() if value is not None and not any(value is u for u in unset)}


def check_signature(found, theirs):
    assert positional(found) == positional(theirs)
    assert {n: v for n, v in defaults(found).items() if v is not False} == {
        n: v for n, v in defaults(theirs).items() if v is not False
    }
    names = set(theirs.parameters) - {n for n, p in theirs.parameters.items() if p.kind is p.VAR_KEYWORD}
    assert None in by_name(found) or names <= by_name(found)


def test_every_shared_name_has_calls():
    assert set(SHARED) == set(FUNCTIONS) | WITHOUT_ARRAYS
    assert set(SHARED_METHODS) - LOSE_A_DERIVATIVE - IN_PLACE == set(METHODS) == set(METHOD_SIGNATURES)


@pytest.mark.parametrize("name", SHARED)
def test_signature_of_a_function(name):
    check_signature(inspect.signature(ours(name)), numpys_signature(name))


@pytest.mark.parametrize("name", METHODS)
def test_signature_of_a_method(name):
    found = inspect.signature(getattr(Tracer, name))
    own = list(found.parameters.values())[1:]  # without the array
    theirs = parse_signature(METHOD_SIGNATURES[name])
    several = [p.name for p in own if p.kind is p.VAR_POSITIONAL]
    assert several == [p.name for p in theirs.parameters.values() if p.kind is p.VAR_POSITIONAL]
    check_signature(found.replace(parameters=own), theirs)


# The same positional call on plain arrays, on traced values, through NumPy's function, and in a program


def close(found, expected):
    """Assert equal shapes and dtypes and close values, of one array or several."""
    found, expected = (v if isinstance(v, (list, tuple)) else [v] for v in (found, expected))
    for one, other in zip(found, expected, strict=True):
        one, other = np.asarray(one), np.asarray(other)
        assert one.dtype == other.dtype and one.shape == other.shape
        tolerance = 1e-5 if other.dtype == np.float32 else 1e-12
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


def check_call(theirs, function, x, constant, traced=True):
    """`function` against NumPy's `theirs` at x: plain, in both modes (against differences), and as a program."""
    expected = theirs(x)
    close(function(x), expected)
    if not traced:
        return
    seen = []
    results = lambda x: seen.append(list(y) if isinstance(y := function(x), (list, tuple)) else [y]) or seen[-1]
    y, pullback = mg.vjp(results, x)
    close(y, expected)
    if not constant:
        assert any(isinstance(one, Tracer) for one in seen[0])
    for _ in range(2):
        close(mg.jit(results)(x), expected)
    step, v = 1e-4, tree.map(lambda leaf: np.cos(np.arange(leaf.size)).reshape(leaf.shape), x)
    add = lambda t: tree.map(lambda leaf, along: leaf + t * along, x, v)
    if constant or any(np.asarray(one).dtype == np.float32 for one in y):
        return
    as_list = lambda y: [np.asarray(one) for one in (y if isinstance(y, (list, tuple)) else [y])]
    wide = [8 * (a - b) - (c - d) for a, b, c, d in zip(*(as_list(theirs(add(t * step))) for t in (1, -1, 2, -2)))]
    slope = [w / (12 * step) for w in wide]
    _, y_dot = mg.jvp(results, (x,), (v,))
    u = [np.sin(1 + np.arange(one.size)).reshape(one.shape) for one in slope]
    for one, other in zip(y_dot, slope, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-7, atol=1e-7)
    back = tree.flatten(pullback(u)[0])[0]
    left = sum(float(np.sum(a * b).real) for a, b in zip(u, slope))
    right = sum(float(np.sum(a * b)) for a, b in zip(back, tree.flatten(v)[0]))
    assert left == pytest.approx(right, rel=1e-6, abs=1e-6)


def position_to_differentiate(required):
    """The position of the first argument that contains floating-point numbers."""
    floats = lambda a: (isinstance(a, np.ndarray) and a.dtype.kind == "f") or (isinstance(a, tuple) and floats(a[0]))
    return next(i for i, a in enumerate(required) if floats(a))


@pytest.mark.parametrize(
    ("name", "required", "more"),
    [
        (name, required, more)
        for name, (required, calls) in FUNCTIONS.items()
        if name not in BITS | INTEGER
        for more in calls
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_positional_call(name, required, more):
    place = position_to_differentiate(required)

    def of(function):
        return lambda x: function(*required[:place], x, *required[place + 1 :], *more)

    check_call(of(numpys(name)), of(getattr(mg, name)), required[place], name in CONSTANT, name not in UNTRACED)
    if name not in NOT_HANDED_OVER | UNTRACED:
        check_call(of(numpys(name)), of(numpys(name)), required[place], name in CONSTANT)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [(name, (*required, *more)) for name, (required, calls) in METHODS.items() for more in calls],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_positional_call_of_a_method(name, arguments):
    call = lambda x: getattr(x, name)(*arguments)
    check_call(call, call, X, name in CONSTANT, name not in UNTRACED)


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint8, np.int32, np.float32])
@pytest.mark.parametrize("name", ["sum", "mean", "prod", "cumsum", "cumprod", "trace"])
def test_sums_and_products_have_the_dtype_asked_for(name, dtype):
    """By default NumPy sums small integers in a wide dtype; with dtype=uint8 it computes modulo 256."""
    x = np.array([[1, 100, 100], [3, 2, 200]], np.int64)
    expected = getattr(np, name)(x, dtype=dtype)
    f = lambda x: ours(name)(x, dtype=dtype)
    for function in (f, mg.jit(f)):
        close(function(x), expected)


@pytest.mark.parametrize("name", sorted(BITS | INTEGER))
def test_positional_call_of_bitwise_functions(name):
    required, _ = FUNCTIONS[name]
    for function in (getattr(mg, name), mg.jit(getattr(mg, name)), mg.jit(numpys(name))):
        close(function(*required), numpys(name)(*required))


@given(data=st.data())
def test_reductions_by_position(data):
    """For any axes, dtype and keepdims, the value is NumPy's, and the gradient that of the call by keyword."""
    x = data.draw(arrays(data.draw(shapes(1, 3, min_side=1))))
    axis, dtype = data.draw(reduced_axes(x.ndim)), data.draw(st.sampled_from([None, np.float32, np.float64]))
    keep, ddof = data.draw(st.booleans()), data.draw(st.sampled_from([0, 0.5]))
    for name, more in (("sum", (keep,)), ("prod", (keep,)), ("mean", (keep,)), ("var", (ddof, keep))):
        close(getattr(mg, name)(x, axis, dtype, None, *more), getattr(np, name)(x, axis, dtype, None, *more))
    keyword = mg.vjp(lambda x: mg.mean(x, axis=axis, dtype=dtype, keepdims=keep), x)[1]
    y, position = mg.vjp(lambda x: x.mean(axis, dtype, None, keep), x)
    assert np.array_equal(position(y)[0], keyword(y)[0])


# By name


@pytest.mark.parametrize(
    "call",
    [
        lambda xp, x: xp.std(x, axis=1, correction=1),
        lambda xp, x: xp.var(x, axis=1, mean=xp.mean(x, axis=1, keepdims=True)),
        lambda xp, x: xp.clip(x, min=-0.5, max=0.5),
        lambda xp, x: xp.clip(x, a_min=-0.5, a_max=None),
        lambda xp, x: xp.transpose(x, axes=(2, 0, 1)),
        lambda xp, x: xp.reshape(x, shape=(6, 4), order="F"),
        lambda xp, x: xp.reshape(x, (6, 4), copy=True),
        lambda xp, x: x.reshape((6, 4), order="F"),
        lambda xp, x: x.reshape(6, 4, order="F", copy=True),
        lambda xp, x: xp.moveaxis(x, source=0, destination=-1),
        lambda xp, x: xp.take(x, indices=[0, 1], axis=1, mode="raise"),
        lambda xp, x: xp.broadcast_to(x, shape=(1, 2, 3, 4), subok=True),
        lambda xp, x: xp.concatenate([x, x], axis=1, casting="same_kind"),
        lambda xp, x: xp.einsum("ijk,ijk->i", x, x, optimize=True),
        lambda xp, x: xp.argmax(x, 0, keepdims=True),
        lambda xp, x: x.argmin(None, None, keepdims=True),
        lambda xp, x: xp.sort(x, stable=True),
        lambda xp, x: xp.pad(x, 1, constant_values=2.0),
        lambda xp, x: xp.exp(x, where=True, casting="same_kind", order="K", dtype=None, subok=True),
        lambda xp, x: xp.add(x, 1, out=None),
        lambda xp, x: x.clip(max=0.5),
        lambda xp, x: x.astype(dtype=np.float64, copy=False),
        lambda xp, x: xp.take_along_axis(x, xp.argsort(x)),
    ],
)
@pytest.mark.parametrize("xp", [mg, np], ids=["mg", "np"])
def test_call_by_name(call, xp):
    check_call(lambda x: call(np, x), lambda x: call(xp, x), X, constant=call(np, X).dtype.kind == "i")


def test_upper_cholesky_reads_the_upper_triangle():
    a = np.array([[4.0, 2.0], [99.0, 5.0]])
    close(mg.cholesky(a, upper=True), np.array([[2.0, 1.0], [0.0, 2.0]]))
    gradient = mg.grad(lambda a: mg.sum(mg.cholesky(a, upper=True)))(a)
    lower = mg.grad(lambda a: mg.sum(mg.cholesky(a)))(a.T)
    assert np.array_equal(gradient, lower.T) and gradient[1, 0] == 0


def test_copies_have_the_requested_memory_order():
    x = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    for order in "CFAK":
        copy = mg.copy(x, order)
        assert copy.flags == np.copy(x, order).flags and not np.shares_memory(copy, x)
    assert mg.reshape(x, (2, 3), copy=True).base is None or not np.shares_memory(mg.reshape(x, (2, 3), copy=True), x)
    assert mg.astype(x, float, copy=False) is x and mg.asarray(x) is x and mg.asarray(x, copy=True) is not x


# Options that are not supported

VALUES = {
    "out": np.zeros(1),
    "where": np.array([True, False]),
    "initial": 1.0,
    "dtype": F32,
    "order": "F",
    "casting": "unsafe",
    "mode": "clip",
    "signature": "dd->d",
    "like": np.zeros(1),
    "shape": (1,),
    "copy": False,
    "optimize": ["einsum_path", (0, 1)],
    "axes": [(0, 1)] * 3,
    "axis": 0,
    "end_values": 1.0,
    "stat_length": 2,
    "reflect_type": "odd",
    "keepdims": True,
}
OFFERED = {
    **{name: {"axis", "keepdims", "dtype"} for name in "sum prod mean std var cumsum cumprod".split()},
    **{name: {"axis", "keepdims"} for name in "any all count_nonzero max min argmax argmin norm matrix_norm".split()},
    **{name: {"axis"} for name in "argsort sort concatenate stack expand_dims flip repeat roll split squeeze".split()},
    **{name: {"axis"} for name in "take take_along_axis".split()},
    **{name: {"axis", "keepdims", "dtype"} for name in "nansum nanprod nanmean nanvar nanstd".split()},
    **{name: {"axis", "keepdims"} for name in "amax amin ptp nanmax nanmin average vecdot".split()},
    **{name: {"axis", "keepdims"} for name in "median quantile percentile".split()},
    **{name: {"axis", "keepdims"} for name in "nanmedian nanquantile nanpercentile".split()},
    **{name: {"axis", "dtype"} for name in "nancumsum nancumprod linspace logspace geomspace".split()},
    **{name: {"axis"} for name in "concat diff gradient trapezoid cross rollaxis partition".split()},
    **{name: {"axis"} for name in "append delete array_split unstack".split()},
    **{name: {"axis", "dtype"} for name in "cumulative_sum cumulative_prod".split()},
    **{name: {"dtype"} for name in "cov corrcoef full_like empty_like".split()},
    **{name: {"order"} for name in "ravel reshape flatten".split()},
    "asarray": {"dtype", "copy"},
    "from_dlpack": {"copy"},
    "astype": {"dtype", "copy", "casting"},
    "broadcast_to": {"shape"},
    "copy": {"order"},
    "ones_like": {"dtype"},
    "convolve": {"mode"},
    "correlate": {"mode"},
    "full": {"dtype", "shape"},
    "meshgrid": {"copy"},
    "pad": {"mode"},
    "permute_dims": {"axes"},
    "rot90": {"axes"},
    "reshape": {"order", "shape", "copy"},
    "tensordot": {"axes"},
    "trace": {"dtype"},
    "transpose": {"axes"},
    "zeros_like": {"dtype"},
}


def missing_options(signatures):
    """(name, option) of every option in these NumPy signatures that we do not offer."""
    options = [(name, option) for name, signature in signatures for option in signature.parameters]
    return [(name, option) for name, option in options if option in VALUES and option not in OFFERED.get(name, ())]


def check_refused(call, signature, given, option, operation):
    """The option raises by name, and by position if it has one."""
    with pytest.raises(TypeError, match=f"^{operation}: {option}=.* is not supported: "):
        call(*given, **{option: VALUES[option]})
    names = [p for p in signature.parameters.values() if p.kind in POSITIONAL]
    at = next((i for i, p in enumerate(names) if p.name == option), None)
    if at is not None:
        between = [None if p.default in (np._NoValue, None) else p.default for p in names[len(given) : at]]
        with pytest.raises(TypeError, match=f"^{operation}: {option}=.* is not supported: "):
            call(*given, *between, VALUES[option])


@pytest.mark.parametrize(("name", "option"), missing_options((n, numpys_signature(n)) for n in FUNCTIONS))
def test_a_missing_option_of_a_function_raises_with_its_name(name, option):
    required = FUNCTIONS[name][0]
    function = ours(name)
    check_refused(function, numpys_signature(name), required, option, function.__name__)


METHODS_PARSED = [(name, parse_signature(text)) for name, text in METHOD_SIGNATURES.items()]


@pytest.mark.parametrize(("name", "option"), missing_options(METHODS_PARSED))
def test_a_missing_option_of_a_method_raises_with_its_name(name, option):
    def use(x):
        check_refused(getattr(x, name), parse_signature(METHOD_SIGNATURES[name]), METHODS[name][0], option, name)
        return mg.sum(x)

    mg.grad(use)(X)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: mg.sum(x, 0, True), "sum: dtype=True is not a numeric dtype; pass other arguments by keyword"),
        (lambda x: mg.reshape(x, 6, 4), "reshape: order=4 is not supported: .* one tuple"),
        (lambda x: x.flatten("A"), "ravel: order='A' is not supported"),
        (lambda x: mg.ravel(x, "K"), "ravel: order='K' is not supported"),
        (lambda x: mg.copy(x, "B"), "copy: order='B' is unknown"),
        (lambda x: mg.sort(x, 0, "bubble"), "sort: kind 'bubble' is unknown"),
        (lambda x: mg.argsort(x, 0, None, "name"), "argsort: order='name' is not supported"),
        (lambda x: mg.clip(x, 0, 1, max=1), "clip: give either a_min and a_max, or min and max"),
        (lambda x: mg.var(x, ddof=1, correction=1), "var: give either ddof or correction"),
        (lambda x: mg.var(x, None, int), "var: dtype=int64 is not supported: use a floating-point dtype"),
        (lambda x: mg.std(x, 0, 1), "std: dtype=1 is not a numeric dtype"),
        (lambda x: mg.sum(x, 0, "S3"), "sum: dtype='S3' is not a numeric dtype"),
        (lambda x: mg.max(x, 0, True), "max: out=True is not supported"),
        (lambda x: mg.exp(x, foo=1), "exp has no argument foo"),
        (lambda x: mg.pad(x, 1, "edge", constant_values=1), "pad: constant_values=1 is not supported"),
        (lambda x: mg.where(x > 0), "where: give both x and y"),
        (lambda x: mg.add(x, x, x), "add: out=float64.* is not supported"),
        (lambda x: x.astype(int, "K", "safe"), "astype: float64 cannot be cast to int64 with casting='safe'"),
    ],
)
def test_wrong_calls_raise_a_clear_error(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        mg.vjp(call, X)
