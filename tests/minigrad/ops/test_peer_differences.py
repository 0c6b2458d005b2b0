"""Where minigrad and its peers differ: derivatives at kinks and ties, defaults, and inaccurate results of a peer.

A row gives the result of minigrad, and of each peer (PyTorch, JAX, HIPS/autograd) that differs. The results of a peer
are tested if it is installed in the version in `VERSIONS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np
import pytest

import minigrad as mg
from minigrad.checks.catalogue import OPERATIONS, Case
from minigrad.checks.catalogue.linalg import everywhere
from minigrad.checks.catalogue.operation import Spelling, make_case
from tests.support.oracles import assert_close
from tests.support.peers import Library, with_each_peer
from tests.support.transfer import to_host

VERSIONS = {"torch": "2.13", "jax": "0.10", "autograd": "1.9"}
TOLERANCE = 1e-10  # relative to each number
INF, NAN = math.inf, math.nan
NANS = [NAN, NAN]


@dataclass(frozen=True)
class Point:
    """An operation at a point, and its derivatives for the cotangent 1, 2, 4, …: one list for all arguments."""

    name: str
    about: str  # the row of mg.CONVENTIONS it belongs to, "default" or "accuracy"
    case: Case
    at: tuple[np.ndarray, ...]
    ours: list[float]
    theirs: dict[str, list[float]]  # results of peers that differ
    order: int  # of the derivative: 0 is the value; the second is along ones


AT_SET = [0.0] * 4 + [16.0, 32, 64, 128] + [0.0] * 4 + [0.0] * 8 + [256.0, 512, 1024, 2048] + [1.0, 2, 4, 8]
POINTS: list[Point] = []
COMPARED = {case.name: case for entry in OPERATIONS.values() for case in entry.compared}


def point(
    about: str,
    operation: str | Callable,
    where: str,
    at: list,
    ours: list[float],
    own: dict[str, Spelling] | None = None,
    order: int = 1,
    **theirs: list[float],
) -> None:
    """Add a point for a case of the catalogue, or for a spelling given here. Peers that are not named agree with us."""
    given = callable(operation)
    case = make_case("", {}, {"spelled": operation, **(own or {})}) if given else COMPARED[operation]
    args = tuple(np.array(x, np.float64) for x in at)
    name = where if given else f"{operation} {where}"
    POINTS.append(Point(name, about, case, args, ours, theirs, order))


# Conventions at kinks and ties

point("at set", "at/set, repeated", "of ones", [np.ones((3, 4)), np.ones((4, 4))], AT_SET)
point("abs, sign", "absolute", "at 0", [0], [0], jax=[1])
point("abs, sign", "sign/times x", "at 0", [0], [0])
point("relu", "relu", "at 0", [0], [0], autograd=[0.5])  # for autograd, maximum(x, 0)
point("leaky_relu, elu", "leaky_relu/slope 0.2", "at 0", [0], [0.2], jax=[1])
point("leaky_relu, elu", "elu/α = 0.5", "at 0", [0], [0.5])
point("maximum, minimum", "maximum", "of equals", [2, 2], [0.5, 0.5])
point("maximum, minimum", "minimum", "of equals", [2, 2], [0.5, 0.5])
point("max, min", "max", "with ties", [[1, 3, 3, 3]], [0, 1 / 3, 1 / 3, 1 / 3])
point("max, min", "min", "with ties", [[1, 1, 3]], [0.5, 0.5, 0])
point("max, min", "max/axis", "with ties", [[[1, 3, 3]]], [0, 0.5, 0.5])  # for PyTorch, torch.amax
point(
    "max, min",
    lambda xp, x: xp.max(x, 0),
    "torch.max with ties along an axis",
    [[1, 3, 3]],
    [0, 0.5, 0.5],
    own={"torch": lambda torch, x: torch.max(x, 0).values, "jax": None, "autograd": None},
    torch=[0, 1, 0],
)
point("clip", "clip/numbers", "at the lower edge", [-1], [1], jax=[0.5], autograd=[0])
point("clip", "clip/numbers", "at the upper edge", [1], [1], jax=[0.5], autograd=[0])
point("clip", "clip", "at the lower edge", [1, 1, 2], [1, 0, 0], jax=[0.5, 0.5, 0])
point("clip", "clip", "with its edges crossed", [3, 2, 1], [0, 0, 1])
point("where", lambda xp, x1, x2: xp.where(x1 > 0, x1, x2), "a NaN not taken by where", [1, NAN], [1, 0])
point("where", lambda xp, x: xp.where(x > 0, xp.sqrt(x), 0 * x), "√0 not taken by where", [0], [NAN])
for _x, _slope in ((0.0, -1), (-0.0, 1)):  # for JAX, at −0 as at 0
    point(
        "copysign",
        lambda xp, x: xp.copysign(x, -2.0),
        f"copysign of {_x}",
        [_x],
        [_slope],
        own={"torch": lambda torch, x: torch.copysign(x, -2.0), "autograd": None},
        torch=[0],
        jax=[-1],
    )
point("fmax, fmin", "fmax", "of a number and NaN", [2, NAN], [1, 0])
point("fmax, fmin", "fmin", "of equals", [2, 2], [0.5, 0.5], torch=[1, 0], jax=[0, 1])
NO_TORCH, JAX_ONLY = {"torch": None}, {"torch": None, "autograd": None}
SKIPPED = "nanmax, nansum, nan_to_num"
point(SKIPPED, lambda xp, x: xp.nansum(x), "nansum with NaN", [[1, NAN, 3]], [1, 0, 1], own={"autograd": None})
point(SKIPPED, lambda xp, x: xp.nanmax(x), "nanmax with NaN and a tie", [[3, NAN, 3]], [0.5, 0, 0.5], own=JAX_ONLY)
point(SKIPPED, "nan_to_num", "of NaN", [NAN], [0])
MIDDLE = "sort, partition, median, quantile"
point(MIDDLE, "sort/vector", "with ties", [[2, 1, 2, 1]], [4, 1, 8, 2])
point(
    MIDDLE,
    lambda xp, x: xp.median(x),
    "median with ties",
    [[1, 3, 3, 3, 4]],
    [0, 0, 1, 0, 0],
    own={"torch": lambda torch, x: torch.quantile(x, 0.5), "autograd": None},
)
point(
    MIDDLE,
    lambda xp, x, q: xp.quantile(x, q),
    "quantile at an element",
    [[0, 1, 5], 0.5],
    [0, 1, 0, 8],
    own=JAX_ONLY,
    jax=[0, 1, 0, 0],
)
point("remainder, fmod", "remainder", "of a multiple", [-6, 2], [1, 3])
point("remainder, fmod", "fmod", "of a multiple", [-6, 2], [1, 3])
point("interp", "interp", "at a knot", [[1], [0, 1, 2], [0, 1, 5]], [4, 0, -4, 0, 0, 1, 0])
point("interp", "interp", "at the last knot", [[2], [0, 1, 2], [0, 1, 5]], [4, 0, 0, -4, 0, 0, 1])
point("sqrt, cbrt", "sqrt", "at 0", [0], [INF])
point("sqrt, cbrt", "cbrt", "at 0", [0], [INF])
point("power", "power", "0⁰", [0, 0], [0, 0], jax=[NAN, 0])
point("power", "power", "0¹", [0, 1], [1, 0])
point("power", "power", "0²", [0, 2], [0, 0])
point("power", "power/0", "at 0", [0], [0])
point("power", "power/0.5", "at 0", [0], [INF])

TIP = "hypot, arctan2, norm, std"
point(TIP, "hypot", "of (0, 0)", [0, 0], [0, 0], torch=NANS, jax=[0.5, 0.5], autograd=NANS)
point(TIP, "arctan2", "of (0, 0)", [0, 0], [0, 0], jax=NANS, autograd=NANS)
point(TIP, "norm", "of zeros", [[0, 0]], [0, 0], jax=NANS, autograd=NANS)
point(TIP, "norm", "of zeros, Hessian", [[0, 0]], [0, 0], order=2, torch=NANS, jax=NANS, autograd=NANS)
point(TIP, "norm/3, rows", "of zeros", [[[0, 0]]], [0, 0], jax=NANS, autograd=NANS)
point(TIP, "norm/1, rows", "with a zero", [[[0, 2]]], [0, 1], jax=[1, 1])
point(TIP, "std", "of equals", [[[1, 1]]], [0, 0], jax=NANS, autograd=NANS)

LOG_SUM = "logaddexp, logsumexp"
point(LOG_SUM, "logaddexp", "of −∞ twice", [-INF, -INF], [0, 0], torch=NANS, jax=NANS, autograd=NANS)
point(LOG_SUM, "logsumexp/axis", "of −∞ twice", [[[-INF] * 2]], [0, 0], torch=NANS, jax=NANS, autograd=NANS)
point(LOG_SUM, "logsumexp/axis", "of −∞ and numbers", [[[-INF, 0, 0]]], [0, 0.5, 0.5])

# L = [[2, 0], [1, 1]]; the peers assume a symmetric matrix and split the gradient of its lower half between both halves
point(
    "cholesky",
    lambda mg, a: mg.cholesky(a),
    "cholesky of a plain matrix",
    [[[4, 2], [2, 2]]],
    [0.75, 0, -2, 4],
    own={"torch": "linalg.cholesky", "jax": "numpy.linalg.cholesky", "autograd": "numpy.linalg.cholesky"},
    torch=[0.75, -1, -1, 4],
    jax=[0.75, -1, -1, 4],
    autograd=[0.75, -1, -1, 4],
)
for _name in "floor ceil trunc rint".split():
    point("sign, signbit, floor, ceil, trunc, rint, step, comparisons", f"{_name}/times x", "at 2", [2], [2])

# Defaults

point("default", lambda xp, x: xp.var(x), "var divides by n", [[1, 2, 3]], [2 / 3], order=0, torch=[1])
point("default", lambda xp, x: xp.std(x), "std divides by n", [[1, 2, 3]], [(2 / 3) ** 0.5], order=0, torch=[1])
point(
    "default",
    lambda mg, x: mg.gelu(x),
    "gelu is the tanh form",
    [1],
    [0.5 * (1 + math.tanh((2 / math.pi) ** 0.5 * 1.044715))],
    own={"torch": "nn.functional.gelu", "jax": "nn.gelu", "autograd": None},
    order=0,
    torch=[0.5 * (1 + math.erf(0.5**0.5))],
)

# Inaccurate or wrong results of peers

point("accuracy", "expm1", "at −40", [-40], [math.exp(-40)], torch=[0], jax=[0], autograd=[0])
point("accuracy", "softplus", "at 21", [21], [1 / (1 + math.exp(-21))], torch=[1])  # it is linear from 20 on
point("accuracy", "prod", "with a zero", [[2, 0, 3]], [0, 6, 0], autograd=[0, NAN, 0])
point("accuracy", "sinc", "at 0, second derivative", [0], [-(math.pi**2) / 3], order=2, torch=[NAN], autograd=[NAN])
point("accuracy", "sinc", "near 0", [1e-9], [-(math.pi**2) / 3 * 1e-9], torch=[0], jax=[0], autograd=[0])
point("accuracy", "hypot", "far out", [3e200, 4e200], [0.6, 0.8], jax=[0.6, 1.25])
point("accuracy", "arctan2", "far out", [1e200, 1e200], [5e-201, -5e-201], torch=[0, 0], jax=[0, 0], autograd=[0, 0])
point("accuracy", "divide", "close to 0", [1e-200, 1e-200], [1e200, -1e200], jax=[1e200, -INF], autograd=[1e200, -INF])
point("accuracy", "logaddexp", "of ∞ and 0", [INF, 0], [1, 0], jax=[1, 1], autograd=[NAN, 0])
point("accuracy", "tanh", "far out, second derivative", [800], [0], order=2, autograd=[NAN])
point("accuracy", "gelu", "far out, second derivative", [1e150], [0], order=2, torch=[NAN])
point(
    "accuracy",
    lambda xp, x: xp.norm(x, INF),
    "norm of order ∞",
    [[1, -2]],
    [0, -1],
    own={
        "torch": lambda torch, x: torch.linalg.norm(x, INF),
        "jax": lambda jax, x: jax.numpy.linalg.norm(x, INF),
        "autograd": lambda autograd, x: autograd.numpy.linalg.norm(x, INF),
    },
    autograd=[0, NAN],
)

# autograd sums the wrong elements, which a cotangent of ones would hide: 1 + 16 instead of 1 + 2

SQUARE = [[1, 2], [3, 4]]
point(
    "accuracy",
    lambda xp, x: xp.repeat(x, 2, -1),
    "repeat along the last axis",
    [SQUARE],
    [1 + 2, 4 + 8, 16 + 32, 64 + 128],
    own={"torch": lambda torch, x: torch.repeat_interleave(x, 2, -1)},
    autograd=[1 + 16, 2 + 32, 4 + 64, 8 + 128],
)
point(
    "accuracy",
    lambda xp, x: xp.tile(x, (2,)),
    "tile of a matrix by one number",
    [SQUARE],
    [1 + 4, 2 + 8, 16 + 64, 32 + 128],
    autograd=[1 + 16, 2 + 32, 4 + 64, 8 + 128],
)
point(
    "accuracy",
    lambda xp, x: xp.full((2, 2), x),
    "full of a vector",
    [[1, 2]],
    [1 + 4, 2 + 8],
    own=NO_TORCH,
    autograd=[1 + 2 + 4 + 8] * 2,
)


def test_every_convention_has_a_point():
    apart = {"unique_values", "nextafter"}  # no peer differentiates them
    apart |= {"eigvalsh, svdvals"}  # whose second derivatives raise: see `test_equal_eigenvalues_and_singular_values`
    assert {point.about for point in POINTS} | apart == {*mg.CONVENTIONS, "default", "accuracy"}


# Comparing the table with the libraries


def cotangent(ours: Library, point: Point) -> np.ndarray:
    """1, 2, 4, … in the shape of the result."""
    with np.errstate(all="ignore"):
        shape = np.shape(ours.function(point.case)(*map(ours.array, point.at)))
    return 2.0 ** np.arange(math.prod(shape)).reshape(shape)


def at(point: Point, library: Library, u: np.ndarray) -> tuple:
    """Value, gradient and Hessian along ones, of minigrad or of a peer."""
    f, ones = library.function(point.case), [np.ones_like(x) for x in point.at]
    with np.errstate(all="ignore"):
        found = library.derivatives(f, point.at, u, ones, forward=False)
    return found.value, found.vjp, found.second


def assert_same(arrays: Sequence[np.ndarray], expected: list[float]) -> None:
    flat = np.concatenate([np.ravel(x) for x in arrays])
    np.testing.assert_allclose(flat, expected, rtol=TOLERANCE, atol=0, equal_nan=True)


def skip_other_versions(peer: Library) -> None:
    """Skip unless the installed version of the peer is the one in `VERSIONS`."""
    installed = version(peer.name)
    if installed.split(".")[:2] != VERSIONS[peer.name].split("."):
        pytest.skip(f"the table is for {peer.name} {VERSIONS[peer.name]}, installed is {installed}")


@pytest.mark.parametrize("point", POINTS, ids=lambda point: point.name)
def test_the_results_of_minigrad(point, ours):
    assert_same(at(point, ours, cotangent(ours, point))[point.order], point.ours)


@with_each_peer(POINTS)
def test_the_results_of_a_peer(peer, row, ours):
    skip_other_versions(peer)
    assert_same(at(row, peer, cotangent(ours, row))[row.order], row.theirs.get(peer.name, row.ours))


@with_each_peer([COMPARED["det"]])
def test_det_of_a_singular_matrix(peer, row, ours):
    """PyTorch and JAX give the adjugate; minigrad and autograd need the inverse, and raise."""
    skip_other_versions(peer)
    singular = Point("", "", row, (np.array([[1.0, 2.0], [2.0, 4.0]]),), [], {}, order=1)
    for library in (ours, peer):
        if library.name in ("minigrad", "autograd"):
            with pytest.raises(np.linalg.LinAlgError, match=r"[Ss]ingular"):
                at(singular, library, np.ones(()))
        else:
            assert_same(at(singular, library, np.ones(()))[1], [4, -2, -2, 1])


SQUARES = [
    make_case(
        "", {}, {"what": name, **everywhere(lambda linalg, xp, a, name=name: xp.sum(values(linalg, name, a) ** 2))}
    )
    for name in ("eigh", "svd")
]


def values(linalg, name: str, a):
    """Eigenvalues or singular values, next to vectors that are not used."""
    return linalg.eigh(a)[0] if name == "eigh" else linalg.svd(a, full_matrices=False)[1]


@with_each_peer(SQUARES)
def test_equal_eigenvalues_and_singular_values(peer, row, ours):
    """The gradient of the sum of squared values at 3·I is 6·I. Of the Hessian, minigrad raises, and peers make NaN."""
    skip_other_versions(peer)
    a = 3 * np.eye(2)
    assert_same([to_host(mg.grad(ours.function(row))(ours.array(a)))], [6, 0, 0, 6])
    with pytest.raises(np.linalg.LinAlgError, match="equal"):
        mg.hessian(ours.function(row))(ours.array(a))
    with np.errstate(all="ignore"):
        found = peer.derivatives(peer.function(row), [a], np.ones(()), [a], forward=False)
    assert_same(found.vjp, [NAN] * 4 if peer.name == "autograd" and row.name == "/svd" else [6, 0, 0, 6])
    assert_same(found.second, [NAN] * 4)


@pytest.mark.parametrize("name", ["repeat", "tile"])
def test_gradients_of_repeat_and_tile_agree_with_differences(name, on_device):
    """autograd permutes these. The functions are linear, so differences with step 1 are exact up to rounding."""
    operation = {"repeat": lambda xp, x: xp.repeat(x, 3, -1), "tile": lambda xp, x: xp.tile(x, 3)}[name]
    rng = np.random.default_rng(0)
    x, u = rng.standard_normal((2, 4)), rng.standard_normal((2, 12))
    units = np.eye(x.size).reshape(x.size, *x.shape)
    truth = [np.sum(u * (operation(np, x + unit) - operation(np, x))) for unit in units]
    (gradient,) = mg.vjp(lambda x: operation(mg, x), on_device(x))[1](on_device(u))
    assert_close(to_host(gradient), np.reshape(truth, x.shape))
