"""The array API standard: names, signatures and results of minigrad beside those of `array_api_strict`.

Third-party code that is written against the standard is in `test_array_api_consumers`.
"""

from __future__ import annotations

import inspect
import json
import random
import warnings
from contextlib import contextmanager
from functools import cache
from operator import attrgetter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad.checks.__main__ import main
from minigrad.checks.array_api import DIFFERENCES
from minigrad.core import Tracer, tree
from tests.support.array_api_calls import DTYPES, Call, draw_call, to_strict
from tests.support.environment import optional

strict = optional("array_api_strict", extra="test")
META = {name for name in strict.__all__ if "strict" in name.lower()} | {
    "Device",
    "__version__",
    "__array_api_version__",
}
NAMES = sorted({*strict.__all__} - META - {"linalg", "fft"} | {"__array_namespace_info__"})
NAMES += [f"{area}.{name}" for area in ("linalg", "fft") for name in sorted(getattr(strict, area).__all__)]
ABOUT_DTYPES = {"__array_namespace_info__", "broadcast_shapes", "can_cast", "finfo", "iinfo", "isdtype", "result_type"}
CALLED = [n for n in NAMES if inspect.isfunction(attrgetter(n)(strict)) and n not in ABOUT_DTYPES]
UNKNOWN_SHAPE = {"nonzero", "unique_all", "unique_counts", "unique_inverse", "unique_values"}
REJECTIONS = (
    TypeError,
    ValueError,
    IndexError,
    OverflowError,
    NotImplementedError,
    np.linalg.LinAlgError,
    AssertionError,
)


# Names and signatures


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_here(name):
    ours, theirs = attrgetter(name)(mg), attrgetter(name)(strict)
    if name in DTYPES:
        assert np.dtype(ours).name == name
    elif callable(theirs):
        assert callable(ours)
    else:  # numbers; `newaxis` is None
        assert ours == theirs or (ours != ours and theirs != theirs)


def test_the_version_and_the_names_of_the_namespace():
    assert mg.__array_api_version__ == "2024.12" and {*NAMES} > {"sum", "linalg.det", "fft.fft"}
    for version in (None, "2021.12", "2022.12", "2023.12", "2024.12"):
        one = lambda x, version=version: x.__array_namespace__(api_version=version).square(x)
        assert mg.grad(one)(3.0) == 6
    with pytest.raises(ValueError, match=r"^__array_namespace__: api_version='1.0' is not supported: use one of 2021"):
        mg.grad(lambda x: x.__array_namespace__(api_version="1.0").sum(x))(1.0)


def test_traced_values_have_every_attribute_and_operator():
    private = {"__annotations__", "__module__", "__slots__", "__weakref__", "__buffer__"}
    theirs = {name for name in {*dir(type(strict.asarray(1.0)))} - private if name[0] != "_" or name[:2] == "__"}
    assert {"device", "to_device", "__lshift__", "__ipow__"} < theirs <= {*dir(Tracer)}


@pytest.mark.parametrize("name", CALLED + sorted(ABOUT_DTYPES))
def test_a_call_that_fits_the_standard_fits_our_signature(name):
    """By position what the standard passes by position, by keyword what it passes by keyword."""
    ours, theirs = (inspect.signature(attrgetter(name)(xp)) for xp in (mg, strict))
    parameters = theirs.parameters.values()
    for optional_ones in (False, True):
        chosen = [p for p in parameters if optional_ones or p.default is p.empty]
        args = [p.name for p in chosen if p.kind is not p.KEYWORD_ONLY]
        ours.bind(*args, **{p.name: p.name for p in chosen if p.kind is p.KEYWORD_ONLY})
        only = [p.name for p in chosen if p.kind in (p.POSITIONAL_ONLY, p.VAR_POSITIONAL)]
        ours.bind(*only, **{p.name: p.name for p in chosen if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)})


# Results


@contextmanager
def quiet():
    """Without warnings of NaN and the like."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def answer(xp, name: str, call: Call):
    """What a namespace returns, as a list of NumPy arrays; and the fields of a named tuple."""
    y = attrgetter(name)(xp)(*call.args, **call.named)
    several = y if isinstance(y, (tuple, list)) else (y,)
    return [np.asarray(one) if xp is mg else np.from_dlpack(one) for one in several], getattr(y, "_fields", None)


def expect(name: str, call: Call):
    """The answer of `array_api_strict`, or None if it does not accept the call."""
    with quiet():
        try:
            args, named = to_strict(list(call.args), strict), {k: to_strict(v, strict) for k, v in call.named.items()}
            return answer(strict, name, Call(args, named))
        except REJECTIONS:
            return None


@cache
def accepted(name: str) -> list[str]:
    """The dtypes of the first array with which `array_api_strict` accepts some of twenty calls."""
    found = []
    for dtype in DTYPES:
        tries = [draw_call(random.Random(seed), strict, name, dtype) for seed in range(20)]
        found += [dtype] if any(expect(name, call) is not None for call in tries) else []
    return found


UP_TO_SIGN = {"linalg.eigh", "linalg.svd", "linalg.qr"}
"""Vectors and columns are unique but for a factor of absolute value 1."""


def compare(name: str, found, expected) -> None:
    (ours, fields), (theirs, names) = found, expected
    assert fields == names and len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert one.dtype == other.dtype, f"dtype {one.dtype}, expected {other.dtype}"
        assert one.shape == other.shape, f"shape {one.shape}, expected {other.shape}"
        if name.startswith("empty"):
            continue
        one, other = (np.abs(y) if name in UP_TO_SIGN else y for y in (one, other))
        tolerance = 0 if one.dtype.kind in "biu" else 2e-4 if one.dtype.name in ("float32", "complex64") else 1e-9
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance, equal_nan=True)


def disagreement(name: str, call: Call) -> Exception | None:
    """How our results of a call differ; None if they agree, or if `array_api_strict` does not accept the call."""
    expected = expect(name, call)
    if expected is None:
        return None
    try:
        with quiet():
            compare(name, answer(mg, name, call), expected)
    except Exception as error:
        error.add_note(f"{name}{call}")
        return error
    return None


@pytest.mark.parametrize("name", CALLED)
@settings(max_examples=25)
@given(data=st.data())
def test_results(name, data):
    """A difference must be listed, and an error that says so."""
    dtype = data.draw(st.sampled_from(accepted(name)))
    found = disagreement(name, draw_call(data.draw(st.randoms(use_true_random=False)), strict, name, dtype))
    if found is not None and not (name in DIFFERENCES and isinstance(found, mg.OperandTypeError)):
        raise found


@pytest.mark.parametrize("name", [name for name in DIFFERENCES if name in CALLED])
def test_every_listed_function_differs(name):
    calls = [draw_call(random.Random(seed), strict, name, dtype) for dtype in accepted(name) for seed in range(20)]
    assert any(isinstance(disagreement(name, call), mg.OperandTypeError) for call in calls)


def test_the_default_tolerance_of_pinv_is_that_of_numpy():
    a = np.diag([1.0, 7e-16])
    assert mg.linalg.pinv(a).tolist() == np.linalg.pinv(a).tolist() == [[1, 0], [0, 0]]
    assert np.from_dlpack(strict.linalg.pinv(strict.asarray(a)))[1, 1] > 1e15


def test_the_differences_are_printed_as_text_and_as_json(capsys):
    assert main(["--array-api"]) == 0
    text = capsys.readouterr().out
    assert "version 2024.12 of the array API standard" in text.splitlines()[0]
    assert all(name in text and about in text for name, about in DIFFERENCES.items())
    assert main(["--array-api", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == DIFFERENCES
    with pytest.raises(SystemExit):
        main(["--array-api", "--op", "sin"])


# Dtypes, shapes and devices


@pytest.mark.parametrize("one", DTYPES)
def test_questions_about_a_dtype(one):
    ours, theirs = getattr(mg, one), getattr(strict, one)
    kinds = ["bool", "signed integer", "unsigned integer", "integral", "real floating", "complex floating", "numeric"]
    for kind in [*kinds, ("bool", "integral"), "int8"]:
        given = (getattr(mg, kind), getattr(strict, kind)) if kind == "int8" else (kind, kind)
        assert mg.isdtype(np.dtype(ours), given[0]) == strict.isdtype(theirs, given[1])
    x = np.ones(2, ours)
    for other in DTYPES:
        try:
            common = str(strict.result_type(theirs, getattr(strict, other))).rpartition(".")[2]
        except TypeError:
            continue  # NumPy also promotes and casts across kinds, which the standard leaves open
        expected = strict.can_cast(theirs, getattr(strict, other))
        assert mg.can_cast(ours, getattr(mg, other)) == mg.can_cast(x, getattr(mg, other)) == expected
        assert mg.result_type(x, getattr(mg, other)) == mg.result_type(ours, np.ones(1, other)) == common
    info = mg.iinfo if "int" in one else mg.finfo
    if one == "bool":
        return
    for name in ("bits", "max", "min", *(("eps", "smallest_normal") if info is mg.finfo else ())):
        expected = getattr((strict.iinfo if "int" in one else strict.finfo)(theirs), name)
        assert getattr(info(ours), name) == getattr(info(x), name) == expected


def test_a_traced_value_counts_as_an_array_of_its_dtype():
    def f(x):
        assert mg.result_type(x, 1.0) == mg.result_type(x, mg.float32) == mg.result_type(1, x, 2) == np.float32
        assert mg.result_type(x, np.float64(1)) == np.result_type(x, np.ones(1)) == np.float64
        assert mg.finfo(x).eps == np.finfo(np.float32).eps and mg.isdtype(x.dtype, "real floating")
        assert mg.can_cast(x, "float64") and not mg.can_cast(x, int) and np.can_cast(x, "float64")
        return mg.sum(x)

    mg.grad(f)(np.ones(2, np.float32))
    mg.jit(mg.grad(f))(np.ones(2, np.float32))


def test_shapes_that_broadcast():
    assert mg.broadcast_shapes((2, 1), (3,), ()) == strict.broadcast_shapes((2, 1), (3,), ()) == (2, 3)
    with pytest.raises(ValueError, match=r"broadcast_shapes: \(2,\), \(3,\) do not broadcast together"):
        mg.broadcast_shapes((2,), (3,))
    with pytest.raises(ValueError, match=r"broadcast_arrays: float64\[2\], float64\[3\] do not broadcast together"):
        mg.broadcast_arrays(np.ones(2), np.ones(3))


def test_the_namespace_info():
    ours, theirs = mg.__array_namespace_info__(), strict.__array_namespace_info__()
    assert ours.capabilities().keys() == theirs.capabilities().keys()
    assert ours.capabilities()["max dimensions"] == 64 and ours.default_device() == "cpu"
    assert ours.default_device() in ours.devices()
    for device in (None, "cpu"):
        assert {k: v.name for k, v in ours.default_dtypes(device=device).items()} == {
            k: str(v).rpartition(".")[2] for k, v in theirs.default_dtypes().items()
        }
        for kind in (None, "bool", "integral", ("real floating", "complex floating")):
            found = ours.dtypes(device=device, kind=kind)
            assert {*found} == {*theirs.dtypes(kind=kind)} and all(v.name == k for k, v in found.items())
    with pytest.raises(ValueError, match="unknown device 'tpu'"):
        ours.dtypes(device="tpu")


# Traced values


WAYS = {
    "vjp": lambda f, x: mg.vjp(f, x)[0],
    "jvp": lambda f, x: mg.jvp(f, (x,), (np.cos(x),))[0],
    "vmap": lambda f, x: tree.map(lambda y: y[1], mg.vmap(f)(np.stack([x, x]))),
    "jit": lambda f, x: mg.jit(f)(x),
    "jit of vjp": lambda f, x: mg.jit(lambda x: mg.vjp(f, x)[0])(x),
}


@pytest.mark.parametrize("name", sorted(set(CALLED) - {"from_dlpack"}))
@settings(max_examples=10)
@given(data=st.data())
def test_the_namespace_of_a_traced_value_gives_the_same_results(name, data):
    generator, way = data.draw(st.randoms(use_true_random=False)), data.draw(st.sampled_from(sorted(WAYS)))
    call = draw_call(generator, strict, name, "float64")
    if not call.args or not isinstance(call.args[0], np.ndarray) or expect(name, call) is None:
        return
    if call.args[0].dtype.kind == "b" and way not in ("vmap", "jit"):  # the condition of `where`
        return
    if name in UNKNOWN_SHAPE and way not in ("vjp", "jvp"):
        return

    def f(x):
        xp = x.__array_namespace__(api_version="2024.12")
        assert xp is mg and isinstance(x, Tracer) and x.device == "cpu"
        return attrgetter(name)(xp)(x, *call.args[1:], **call.named)

    with quiet():
        try:
            expected = attrgetter(name)(mg)(*call.args, **call.named)
        except mg.OperandTypeError:
            return
        try:
            found = WAYS[way](f, call.args[0])
        except np.linalg.LinAlgError:  # the derivative of a decomposition does not exist
            return
        results = [[np.asarray(y) for y in tree.flatten(several)[0]] for several in (found, expected)]
    for one, other in zip(*results, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)
