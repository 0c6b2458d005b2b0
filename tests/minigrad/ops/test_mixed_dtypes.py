"""Every operation on mixtures of dtypes: derivatives agree with those of the same numbers in float64.

NumPy's promotion decides the dtype of a result. No step of a derivative may be computed in a narrower dtype: an
unsigned integer minus 1 wraps around, a boolean has no negative, and float16 loses digits.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import minigrad as mg
from minigrad.checks.catalogue import CASES, Case
from minigrad.core.arrays import dtype_of, is_inexact
from minigrad.core.interpreter import primitives
from minigrad.core.rules import Elementwise
from tests.support.transfer import to_host

REAL = ("bool", "int8", "uint8", "int32", "uint64", "float16", "float32", "float64")
KINDS = (*REAL, "complex64", "complex128", bool, int, float)  # Python numbers take the dtype of the others
COUNT = len(KINDS)

# A derivative here takes some dozens of rounded operations on numbers near 1
ROUNDINGS = 2.0**5


def takes_numbers(case: Case) -> bool:
    """Whether a Python number can replace an array of any shape."""
    primitive = primitives.get(case.operation)
    return primitive is not None and (isinstance(primitive.rule, Elementwise) or primitive.name == "where")


def mixtures(case: Case) -> list[tuple]:
    """Tuples of kinds for all arguments, at least one with a derivative: every pair of kinds, and a third of the pairs
    for a variant of an operation."""
    pairs = itertools.product(range(COUNT), repeat=2)
    found = [tuple(KINDS[k % COUNT] for k in (i, j, i + j)[: len(case.shapes)]) for i, j in pairs]
    found = [m for m in found if any(map(has_derivative, m)) and all(suits(case, kind) for kind in m)]
    found = [m for m in found if not case.like_first or np.can_cast(m[1], m[0], "same_kind")]
    return found[:: 1 if case.name == case.operation else 3]


def has_derivative(kind) -> bool:
    return kind is float or (isinstance(kind, str) and kind.startswith(("float", "complex")))


def suits(case: Case, kind) -> bool:
    if isinstance(kind, type):
        return takes_numbers(case) and case.operation != "gaussian_sample"
    if (kind == "float16" and not case.float16) or (kind == "bool" and not case.ties):  # all but two would be equal
        return False
    return case.holomorphic or not kind.startswith("complex")


def round_to_kind(x: np.ndarray, kind):
    """Nearby numbers that this kind represents exactly: integers or sixteenths, or one Python number."""
    whole = np.where(abs(x) < 0.5, 0, np.sign(x) * np.maximum(np.rint(abs(x)), 1))
    sixteenths = np.rint(16 * x) / 16
    if isinstance(kind, type):
        return kind((sixteenths if kind is float else whole).flat[0])
    dtype = np.dtype(kind)
    values = {"b": whole != 0, "u": abs(whole), "i": whole, "f": sixteenths, "c": sixteenths * (1 + 0.25j)}
    return np.asarray(values[dtype.kind]).astype(dtype)


def like(case: Case, arrays, purpose: str):
    """Signed sixteenths of the shape and dtype of each array."""
    rng = case.generator(purpose)
    draw = lambda x: rng.choice([-1, 1], np.shape(x)) * rng.integers(4, 24, np.shape(x)) / 16
    return [np.asarray(draw(x) + (0.5j * draw(x) if dtype_of(x).kind == "c" else 0), dtype_of(x)) for x in arrays]


def wide(x):
    """The same numbers in float64 or complex128."""
    return np.asarray(x, np.complex128 if dtype_of(x).kind == "c" else np.float64)


def derivatives(case: Case, args, positions, tangents, cotangent):
    """Value, jvp, vjp, and two ways to the second derivative, for the arguments at these positions."""

    def f(*xs):
        filled = list(args)
        for i, x in zip(positions, xs, strict=True):
            filled[i] = x
        return case.function(*filled, *case.constants)

    given = tuple(args[i] for i in positions)
    y, y_dot = mg.jvp(f, given, tuple(tangents))
    gradient = lambda *xs: mg.vjp(f, *xs)[1](cotangent)
    along = lambda *xs: mg.jvp(f, xs, tuple(tangents))[1]
    found = {"value": [y], "jvp": [y_dot], "vjp": gradient(*given)}
    found["forward over reverse"] = mg.jvp(gradient, given, tuple(tangents))[1]
    found["reverse over forward"] = mg.vjp(along, *given)[1](cotangent)
    return found


def check_mixture(case: Case, kinds: tuple) -> None:
    args = [round_to_kind(x, kind) for x, kind in zip(case.arguments(), kinds, strict=True)]
    positions = [i for i, x in enumerate(args) if is_inexact(x)]
    dtype = np.asarray(case.function(*args, *case.constants)).dtype
    assert dtype == case_dtype(case, args)
    (cotangent,) = like(case, [np.asarray(case.function(*args, *case.constants))], "cotangent")
    tangents = like(case, [args[i] for i in positions], "tangents")
    found = derivatives(case, args, positions, tangents, cotangent)
    expected = derivatives(case, list(map(wide, args)), positions, list(map(wide, tangents)), wide(cotangent))
    for what, results in found.items():
        of = [cotangent] if what in ("value", "jvp") else [args[i] for i in positions]
        for x, truth, owner in zip(results, expected[what], of, strict=True):
            assert dtype_of(x) == dtype_of(owner), f"{what} is {dtype_of(x)}, of {dtype_of(owner)}"
            eps = max(float(np.finfo(d).eps) for d in (dtype, dtype_of(owner)))
            error = np.max(abs(wide(x) - truth), initial=0)
            allowed = ROUNDINGS * eps * max(1, np.max(abs(truth), initial=0))
            assert error <= allowed, f"{what} off by {error:.3g}, allowed {allowed:.3g}"


def case_dtype(case: Case, args):
    """The dtype of NumPy's result for these arguments."""
    if case.operation == "lstsq":  # as all functions of np.linalg
        return np.linalg.solve(np.eye(1, dtype=args[0].dtype), np.eye(1, dtype=args[1].dtype)).dtype
    own = {"solve": np.linalg.solve, "clip": np.clip}.get(case.operation)
    return own(*args).dtype if own else np.result_type(*args[: 1 if case.like_first else None])


SEVERAL = [c for c in CASES if len(c.shapes) > 1 and not c.discrete and all(0 not in s for s in c.shapes)]


@pytest.mark.parametrize("case", SEVERAL, ids=lambda case: case.name)
def test_mixtures_of_dtypes(case):
    wrong = {}
    for kinds in mixtures(case):
        try:
            check_mixture(case, kinds)
        except Exception as error:
            wrong[kinds] = f"{type(error).__name__}: {error}".splitlines()[0]
    names = lambda kinds: ", ".join(k if isinstance(k, str) else k.__name__ for k in kinds)
    assert not wrong, "\n" + "\n".join(f"({names(kinds)}): {why}" for kinds, why in wrong.items())


# Numbers that a narrow dtype would make wrong


def test_the_exponent_minus_one_does_not_wrap_around(on_device):
    """The derivative of Σ xᵏ for unsigned k = 0, 1, 2 is 0 + 1 + 2x."""
    x = on_device(np.float32(3) * np.ones(3, np.float32))
    for dtype in (np.uint8, np.uint64, np.bool_):
        powers = on_device(np.arange(3).astype(dtype))
        expected = [0, 1, 1] if dtype == np.bool_ else [0, 1, 6]
        assert to_host(mg.grad(lambda x, p=powers: mg.sum(x**p))(x)).tolist() == expected


def test_einsum_multiplies_in_the_dtype_of_the_result(on_device):
    """In int8, 100·100 is 16."""
    hundred, x = on_device((np.full(2, 100, np.int8), np.array([1.0, 2.0], np.float32)))
    f = lambda x: mg.einsum("i,i,i->", hundred, hundred, x)
    y, pullback = mg.vjp(f, x)
    assert (float(y), y.dtype) == (30_000, np.float32)
    assert to_host(pullback(y / y)[0]).tolist() == [10_000, 10_000]
    assert mg.einsum("ij,j->j", on_device(np.ones((3, 2), np.int8)), x).dtype == np.float32


def test_gradients_of_broadcast_float16_arrays_are_summed_in_float32(on_device):
    """A float16 sum of ones stops at 2048."""
    x, rows = on_device((np.ones(2, np.float16), np.ones((5000, 2), np.float16)))
    (gradient,) = mg.vjp(lambda x: x * rows, x)[1](rows)
    assert gradient.dtype == np.float16 and to_host(gradient).tolist() == [5000, 5000]


TWOS = np.full((5000, 2), 2, np.float16)
MANY = {
    "sum": (lambda x: mg.sum(x, 0), [10_000] * 2),
    "logsumexp": (lambda x: mg.logsumexp(x, 0), [2 + np.log(5000)] * 2),
    "softmax": (lambda x: mg.softmax(x, 0), np.full((5000, 2), 1 / 5000)),
    "log_softmax": (lambda x: mg.log_softmax(x, 0), np.full((5000, 2), -np.log(5000))),
    "cumsum": (lambda x: mg.cumsum(x, 0), np.stack([np.arange(2, 10_001, 2)] * 2, 1)),
    "pullback of cumsum": (
        lambda x: mg.vjp(lambda y: mg.cumsum(y, 0), x)[1](x)[0],
        np.stack([np.arange(10_000, 0, -2)] * 2, 1),
    ),
    "pullback of take": (
        lambda x: mg.vjp(lambda y: mg.take(y, np.zeros(5000, int), 0), x[:1])[1](x)[0],
        [[10_000] * 2],
    ),
}


@pytest.mark.parametrize("name", MANY)
def test_many_float16_numbers_are_added_up_in_float32(name, on_device):
    """In float16 a sum of twos stops at 4096."""
    f, expected = MANY[name]
    for function in (f, mg.jit(f)):
        y = function(on_device(TWOS))
        assert y.dtype == np.float16
        np.testing.assert_allclose(to_host(y), expected, rtol=2 * float(np.finfo(np.float16).eps))


@pytest.mark.parametrize("size", [512, 2.0**-13], ids=["large", "small"])
@pytest.mark.parametrize("ord", [2, 3])
def test_norm_of_float16_squares_in_float32(size, ord, on_device):
    x = np.array([0.75, 1]) * size
    y, slopes = mg.value_and_grad(lambda x: mg.norm(x, ord))(on_device(x.astype(np.float16)))
    assert y.dtype == slopes.dtype == np.float16
    truth, rounding = np.linalg.norm(x, ord), float(np.finfo(np.float16).eps)
    np.testing.assert_allclose(to_host(y), truth, rtol=rounding)
    np.testing.assert_allclose(to_host(slopes), (x / truth) ** (ord - 1), rtol=rounding)


def test_gaussian_sample_computes_its_standard_deviation_in_the_dtype_of_the_sample(on_device):
    """NumPy's exp of an int8 is a float16."""
    mean, log_std, noise = on_device((np.zeros(3), np.array([-2, 1, 3], np.int8), np.ones(3)))
    np.testing.assert_allclose(to_host(mg.gaussian_sample(mean, log_std, noise)), np.exp([-2.0, 1, 3]), rtol=1e-15)
