"""Every row of `minigrad.ops.CONVENTIONS`, checked by derivatives in both modes."""

from __future__ import annotations

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad.core.interpreter import primitives
from tests.support.transfer import to_host

INF, NAN = math.inf, math.nan


def gradients(f, *args):
    """All partial derivatives of a scalar function of scalars, in reverse mode; forward mode must agree."""
    reverse = [float(g) for g in mg.grad(f, tuple(range(len(args))))(*args)]
    for i in range(len(args)):
        directions = tuple(mg.ones_like(a) if i == j else mg.zeros_like(a) for j, a in enumerate(args))
        assert float(mg.jvp(f, args, directions)[1]) == reverse[i]
    return reverse


def gradient(f, x):
    """The gradient of a scalar function of a vector, in reverse mode; forward mode must agree."""
    reverse = to_host(mg.grad(f)(x)).tolist()
    assert to_host(mg.jacobian(f, mode="forward")(x)).tolist() == reverse
    return reverse


def at(xp, *values):
    return [xp.asarray(float(v)) for v in values]


def check_abs_sign(xp):
    assert gradients(mg.abs, *at(xp, 0)) == gradients(mg.sign, *at(xp, 0)) == [0]


def check_relu(xp):
    assert gradients(mg.relu, *at(xp, 0)) == [0]
    assert gradients(mg.relu, *at(xp, -0.0)) == [0]


def check_leaky_relu_elu(xp):
    assert gradients(lambda x: mg.leaky_relu(x, 0.25), *at(xp, 0)) == [0.25]
    assert gradients(lambda x: mg.elu(x, 0.5), *at(xp, 0)) == [0.5]


def check_maximum_minimum(xp):
    assert gradients(mg.maximum, *at(xp, 2, 2)) == gradients(mg.minimum, *at(xp, 2, 2)) == [0.5, 0.5]


def check_max_min(xp):
    x = xp.asarray([1.0, 3.0, 3.0, 1.0, 3.0, 1.0])
    assert gradient(mg.max, x) == [0, 1 / 3, 1 / 3, 0, 1 / 3, 0]
    assert gradient(mg.min, x) == [1 / 3, 0, 0, 1 / 3, 0, 1 / 3]


def check_clip(xp):
    assert gradients(mg.clip, *at(xp, 1, 1, 2)) == gradients(mg.clip, *at(xp, 2, 1, 2)) == [1, 0, 0]
    assert gradients(mg.clip, *at(xp, 0, 1, 2)) == [0, 1, 0]
    assert gradients(mg.clip, *at(xp, 3, 1, 2)) == [0, 0, 1]


def check_where(xp):
    assert gradients(lambda a, b: mg.where(True, a, b), *at(xp, 1, NAN)) == [1, 0]
    assert gradients(lambda a, b: mg.where(False, a, b), *at(xp, NAN, 1)) == [0, 1]


def check_fmax_fmin(xp):
    for f in (mg.fmax, mg.fmin):
        assert gradients(f, *at(xp, 2, NAN)) == [1, 0] and gradients(f, *at(xp, NAN, 2)) == [0, 1]
        assert gradients(f, *at(xp, 2, 2)) == [0.5, 0.5]


def check_nanmax_nansum_nan_to_num(xp):
    x = xp.asarray([1.0, NAN, 3.0])
    assert gradient(mg.nanmax, x) == [0, 0, 1] and gradient(mg.nanmin, x) == [1, 0, 0]
    assert gradient(mg.nansum, x) == [1, 0, 1] and gradient(mg.nanmean, x) == [0.5, 0, 0.5]
    assert gradients(mg.nan_to_num, *at(xp, NAN)) == gradients(mg.nan_to_num, *at(xp, INF)) == [0]


def check_remainder_fmod(xp):
    assert gradients(mg.remainder, *at(xp, -6, 2)) == [1, 3] and gradients(mg.fmod, *at(xp, -5, 2)) == [1, 2]


def check_interp(xp):
    knots, values = xp.asarray([0.0, 1.0, 2.0]), xp.asarray([0.0, 1.0, 5.0])
    slopes = [gradients(lambda x: mg.interp(x, knots, values), *at(xp, x))[0] for x in (-1, 0, 0.5, 1, 2, 3)]
    assert slopes == [0, 1, 1, 4, 4, 0]


def check_sort_partition_median_quantile(xp):
    x = xp.asarray([3.0, 1.0, 3.0, 3.0, 4.0])
    assert gradient(mg.median, x) == [0, 0, 1, 0, 0]
    assert gradient(lambda x: mg.partition(x, 2)[2], x) == [0, 0, 1, 0, 0]
    assert gradient(lambda x: mg.quantile(x, 0.375), x) == [0.5, 0, 0.5, 0, 0]
    assert gradients(lambda q: mg.quantile(xp.asarray([0.0, 1.0, 5.0]), q), *at(xp, 0.5)) == [8]
    x = xp.asarray([2.0, 1.0, 2.0, 1.0])
    expected = np.eye(4)[[1, 3, 0, 2]]
    assert np.array_equal(to_host(mg.jacobian(mg.sort)(x)), expected)
    assert np.array_equal(to_host(mg.jacobian(mg.sort, mode="forward")(x)), expected)


def check_at_set(xp):
    """Of a repeated position, the last value stays and has the derivative."""
    v, weights = xp.asarray([1.0, 2.0, 3.0]), xp.asarray([4.0, 5.0, 6.0])
    assert gradient(lambda v: mg.sum(mg.at(mg.zeros_like(v))[[1, 1, 0]].set(v) * weights), v) == [0, 5, 4]


def check_sqrt_cbrt(xp):
    with np.errstate(divide="ignore"):
        assert gradients(mg.sqrt, *at(xp, 0)) == gradients(mg.sqrt, *at(xp, -0.0)) == [INF]
        assert gradients(mg.cbrt, *at(xp, 0)) == gradients(mg.cbrt, *at(xp, -0.0)) == [INF]


def check_power(xp):
    for exponent in (0, 1, 2.5):
        assert gradients(lambda p: mg.power(0.0, p), *at(xp, exponent)) == [0]
        assert gradients(mg.power, *at(xp, 0, exponent))[1] == 0
    with np.errstate(divide="ignore"):
        assert gradients(lambda p: mg.power(*at(xp, 0), p), *at(xp, -1)) == [0]
    assert gradients(mg.power, *at(xp, 0, 0)) == [0, 0]
    assert gradients(lambda x: x**0, *at(xp, 0)) == [0]
    assert gradients(mg.power, *at(xp, 0, 1)) == [1, 0]


def check_hypot_arctan2_norm_std(xp):
    for f in (mg.hypot, mg.arctan2):
        assert gradients(f, *at(xp, 0, 0)) == [0, 0]
    for f in (mg.norm, mg.std):
        x = xp.zeros(3)
        assert gradient(f, x) == [0, 0, 0]
        assert not to_host(mg.hessian(f)(x)).any()
        assert not to_host(mg.jacobian(mg.hessian(f))(x)).any()
    for f in (lambda x: mg.norm(x, "nuc"), lambda x: mg.norm(x, 2)):
        assert not to_host(mg.grad(f)(xp.zeros((2, 3)))).any()


def check_logaddexp_logsumexp(xp):
    assert gradients(mg.logaddexp, *at(xp, -INF, -INF)) == [0, 0]
    assert gradient(mg.logsumexp, xp.asarray([-INF, -INF])) == [0, 0]


def check_eigvalsh_svdvals(xp):
    a = 3 * xp.eye(3)
    for f in (lambda a: mg.sum(mg.eigvalsh(a) ** 2), lambda a: mg.sum(mg.svdvals(a) ** 2)):
        assert np.array_equal(to_host(mg.grad(f)(a)), 6 * np.eye(3))
        with pytest.raises(np.linalg.LinAlgError, match="equal"):
            mg.hessian(f)(a)
    for vectors in (lambda a: mg.eigh(a)[1], lambda a: mg.svd(a)[0], lambda a: mg.svd(a)[2]):
        with pytest.raises(np.linalg.LinAlgError, match="equal"):
            mg.vjp(vectors, a)[1](a)
        with pytest.raises(np.linalg.LinAlgError, match="equal"):
            mg.jvp(vectors, (a,), (a,))


def check_cholesky(xp):
    a = xp.asarray([[2.0, 0.5], [0.5, 1.0]])
    jacobian = to_host(mg.jacobian(mg.cholesky)(a))
    assert not jacobian[..., 0, 1].any() and jacobian[..., 1, 0].any()
    assert np.array_equal(jacobian[..., 0, 1], to_host(mg.jacobian(mg.cholesky, mode="forward")(a))[..., 0, 1])


def check_copysign(xp):
    for sign in (1, -1):
        assert gradients(lambda x, sign=sign: mg.copysign(x, 2.0 * sign), *at(xp, 0)) == [sign]
        assert gradients(lambda x, sign=sign: mg.copysign(x, 2.0 * sign), *at(xp, -0.0)) == [-sign]
    assert gradients(mg.copysign, *at(xp, -3, 2)) == [-1, 0]


def check_unique_values(xp):
    x, weights = xp.asarray([2.0, 1.0, 2.0, 1.0]), xp.asarray([3.0, 5.0])
    assert gradient(lambda x: mg.sum(mg.unique_values(x) * weights), x) == [5, 3, 0, 0]


def check_nextafter(xp):
    assert gradients(mg.nextafter, *at(xp, 1.5, 2)) == gradients(mg.nextafter, *at(xp, 0, -1)) == [1, 0]


def check_sign_signbit_floor_ceil_trunc_rint_step_comparisons(xp):
    step = primitives["step"]
    for f in (
        mg.sign,
        mg.signbit,
        mg.floor,
        mg.ceil,
        mg.trunc,
        mg.rint,
        lambda x: step(x, 1.0),
        lambda x: 1.0 * (x > 1),
        lambda x: x.astype(int),
    ):
        assert gradients(lambda x, f=f: x * f(x), *at(xp, 1.5)) == [float(f(xp.asarray(1.5)))]


def test_every_row_has_a_check():
    """A new convention needs a function `check_…` here."""
    names = {"check_" + "_".join(w for w in row.replace(",", " ").split()) for row in mg.CONVENTIONS}
    assert names == {name for name in globals() if name.startswith("check_")}


@pytest.mark.parametrize("row", mg.CONVENTIONS)
def test_convention(row, xp):
    globals()["check_" + "_".join(row.replace(",", " ").split())](xp)
