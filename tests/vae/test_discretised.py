"""vae/discretised.py: 256 probabilities against high precision, their derivatives at extreme values, and the mean."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.checks import check_grads
from tests.support.oracles import EPS, ROUNDINGS, assert_close, rounding
from vae.config import Config
from vae.data import Dataset
from vae.discretised import LIMIT, bound_log_scale, clipped_mean, log_mass
from vae.likelihoods import Logistic

LEVELS = np.arange(256)
VALUES = LEVELS / 255
locations = st.floats(-2, 3) | st.sampled_from([-1e4, -1.0, 0.0, 0.5, 1.0, 1e4])
log_scales = st.floats(-LIMIT, LIMIT) | st.sampled_from([-40.0, -15.0, 15.0, 40.0])
EXTREME = [  # v, m, ln s: bins in the middle, both tails, far from m on either side, and s from e^−40 to e^40
    *[(v, m, s) for v in (0, 1, 77, 254, 255) for m in (-3.0, 0.3, 4.0) for s in (-LIMIT, -4.0, 0.0, LIMIT)],
    *[(v, m, s) for v in (0, 128, 255) for m in (0.5, 128 / 255) for s in (-40.0, 40.0)],
]


def precise(v, m, s):
    """ln Q(v) as a difference of two sigmoids with 400 digits, of which cancellation leaves more than 100.

    Where both are near 1, where even that is not enough, the mirrored distribution has the same Q.
    """
    with mpmath.workdps(400):
        v, m, s = mpmath.mpf(int(v)), mpmath.mpf(m), mpmath.exp(mpmath.mpf(s))
        if v > 255 * m:
            v, m = 255 - v, 1 - m
        cdf = lambda edge: 1 / (1 + mpmath.exp(-((edge / 255 - m) / s)))
        above = 1 if v == 255 else cdf(v + mpmath.mpf(1) / 2)
        below = 0 if v == 0 else cdf(v - mpmath.mpf(1) / 2)
        return mpmath.log(above - below)


def slack(m, s, roundings=ROUNDINGS):
    """Rounding of v − 255m is multiplied by w = 1/255s on its way to the logarithm."""
    return roundings * EPS * (1 + abs(s) + 256 * (1 + abs(m)) * math.exp(-s) / 255)


# The probabilities


@given(locations, log_scales)
def test_the_256_probabilities_sum_to_one(m, s):
    q = np.exp(log_mass(VALUES, np.float64(m), np.float64(s)))
    # for s < e^−10, 1 − e^−w is 1, and neighbours share exactly the same edge between them
    assert np.all(q >= 0)
    assert abs(math.fsum(q) - 1) <= (slack(m, s) if s >= -LIMIT else ROUNDINGS * EPS)


@pytest.mark.parametrize("m", [-2.0, 0.0, 0.137, 0.5, 1.0, 1.2])
@pytest.mark.parametrize("s", [-9.0, -6.0, -3.0, 0.0, 4.0])
def test_all_256_probabilities_agree_with_high_precision(m, s):
    expected = np.array([float(precise(v, m, s)) for v in LEVELS])
    got = log_mass(VALUES, np.float64(m), np.float64(s))
    assert np.all(np.abs(got - expected) <= slack(m, s))


@pytest.mark.parametrize(("v", "m", "s"), EXTREME)
def test_extreme_probabilities_agree_with_high_precision(v, m, s):
    got = float(log_mass(np.float64(v / 255), np.float64(m), np.float64(s)))
    assert math.isfinite(got)
    assert abs(got - float(precise(v, m, s))) <= slack(m, s)


def test_values_beyond_the_ends_count_to_them():
    """With m far below black, black has all but nothing of the probability: the tails are open."""
    q = np.exp(log_mass(VALUES, np.float64(-1.0), np.float64(-4.0)))
    assert abs(q[0] - 1) <= 1e-12
    assert log_mass(np.float64(1.0), np.float64(50.0), np.float64(-4.0)) == 0.0


def test_every_8_bit_image_is_rounded_to_its_own_value():
    """y = v/255 in float32, as data sets store it, and values up to 0.49 grey levels off."""
    y = np.divide(LEVELS.astype(np.uint8), 255, dtype=np.float32)
    expected = log_mass(VALUES, np.float64(0.4), np.float64(-3.0))
    for off in (-0.49, 0.0, 0.49):
        assert_close(log_mass(np.clip(y + np.float32(off / 255), 0, 1), np.float64(0.4), np.float64(-3.0)), expected)


@pytest.mark.parametrize("s", [-8.0, -4.0, -1.0, 3.0, 10.0])
def test_float32_agrees_with_float64(s):
    m = np.linspace(-0.5, 1.5, 41, dtype=np.float32)[:, None]
    y, log_scale = VALUES.astype(np.float32), np.float32(s)
    got = log_mass(y, m, log_scale)
    assert got.dtype == np.float32
    expected = log_mass(VALUES, m.astype(np.float64), np.float64(s))
    allowed = float(np.finfo(np.float32).eps) * 16 * (1 + abs(s) + 512 * math.exp(-s) / 255)
    assert np.max(np.abs(got - expected)) <= allowed


# Derivatives


@pytest.mark.parametrize("s", [-5.0, -2.0, 1.0, 8.0])
def test_derivatives_agree_with_differences(s):
    """Locations inside, at both ends and outside of [0, 1], in units of s, so that differences resolve the logistic."""
    v = np.array([0.0, 1, 5, 128, 250, 254, 255, 0, 255])
    start = v / 255 + math.exp(s) * np.array([0.3, -2, 0.5, 1, -1, 2, -0.4, 9, -9])
    f = lambda u, x: log_mass(v / 255, start + math.exp(s) * u, x)
    assert check_grads(f, (np.zeros(9), np.full(9, s)), order=2, quiet=True).passed


@pytest.mark.parametrize(("v", "m", "s"), EXTREME)
def test_extreme_derivatives_agree_with_high_precision(v, m, s):
    """Both first and all three second derivatives in (m, ln s), by differences with 400 digits."""
    f = lambda m, s: log_mass(np.float64(v / 255), m, s)
    gradient = mg.grad(f, (0, 1))
    at = np.float64(m), np.float64(s)
    first = [float(g) for g in gradient(*at)]
    second = [float(mg.grad(lambda m, s, i=i: gradient(m, s)[i], j)(*at)) for i, j in ((0, 0), (0, 1), (1, 0), (1, 1))]
    orders = [(1, 0), (0, 1), (2, 0), (1, 1), (1, 1), (0, 2)]
    with mpmath.workdps(400):
        expected = [float(mpmath.diff(lambda m, s: precise(v, m, s), at, n, h=mpmath.mpf(10) ** -60)) for n in orders]
    for got, want, (in_m, _) in zip(first + second, expected, orders, strict=True):
        size = abs(want) + math.exp(-s * in_m) * (1 + math.exp(-abs(s)))  # 1/s per derivative in m
        assert math.isfinite(got)
        assert abs(got - want) <= slack(m, s) * size, (got, want)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_outputs_of_any_size_give_finite_numbers_and_slopes(dtype):
    """Decoder outputs up to ±1e6, first and second derivatives, without a warning (warnings are errors)."""
    outputs = [-1e6, -1e3, -30.0, -1.0, 0.0, 0.5, 1.0, 30.0, 1e3, 1e6]
    m, x, v = np.meshgrid(outputs, outputs, [0, 1, 100, 254, 255], indexing="ij")
    pixels = np.stack([m, x], axis=-1).astype(dtype)
    y = (v / 255)[..., None].astype(dtype)
    f = lambda pixels: mg.sum(Logistic().log_prob(y, pixels))
    ones = np.ones_like(pixels)
    for found in (Logistic().log_prob(y, pixels), mg.grad(f)(pixels), mg.jvp(mg.grad(f), (pixels,), (ones,))[1]):
        assert np.all(np.isfinite(found))
        assert np.asarray(found).dtype == dtype


# The scale and the mean


@given(st.floats(-1e6, 1e6))
def test_the_bound_on_ln_s_has_a_slope_everywhere(x):
    got, slope = mg.value_and_grad(bound_log_scale)(np.float64(x))
    assert abs(got) <= LIMIT
    assert 0 < slope <= 1
    assert_close(slope, 1 / (1 + (x * math.pi / (2 * LIMIT)) ** 2))
    assert_close(got, 2 * LIMIT / math.pi * math.atan(x * math.pi / (2 * LIMIT)))


@given(st.floats(-2, 3), st.floats(-LIMIT, LIMIT))
def test_the_mean_is_that_of_the_256_values_within_half_a_grey_level(m, s):
    """The midpoint rule with cells of h = 1/255 errs by at most h/2, the integrand being monotone, from 1 to 0 at most.

    For s ≥ 2h it errs by h²/24 times the change of its slope, at most 1/4s, and a tenth of that in higher orders.
    """
    expected = math.fsum(np.exp(log_mass(VALUES, np.float64(m), np.float64(s))) * VALUES)
    got = float(clipped_mean(np.float64(m), np.float64(s)))
    allowed = 1 / 510 if math.exp(s) < 2 / 255 else 1.1 / 255**2 / 24 / (4 * math.exp(s))
    assert 0 <= got <= 1
    assert abs(got - expected) <= allowed + slack(m, s) * max(1, math.exp(s))


def test_the_mean_in_float32_rounds_in_proportion_to_the_scale():
    """Two terms near s·ln 2 cancel: at s = e^10 that is 5·ε·s = 1.3%, and 1e-6 where s ≤ 1."""
    m, s = np.meshgrid(np.linspace(-1, 2, 61), np.linspace(-LIMIT, LIMIT, 41))
    got = clipped_mean(m.astype(np.float32), s.astype(np.float32))
    assert got.dtype == np.float32
    allowed = 5 * float(np.finfo(np.float32).eps) * (1 + np.abs(m) + np.exp(s))
    assert np.all(np.abs(got - clipped_mean(m, s)) <= allowed)


# The decoder


def test_the_first_channels_are_locations_and_the_last_are_log_scales():
    random = np.random.default_rng(0)
    y, m, x = random.random((3, 2, 4, 5, 3))
    pixels = np.concatenate([m, x], axis=-1)
    s = 20 / math.pi * np.arctan(math.pi * x / 20)
    assert_close(Logistic().log_prob(y, pixels), log_mass(y, m, s))
    assert_close(Logistic().mean(pixels), clipped_mean(m, s))
    assert Logistic().mean(pixels).shape == y.shape


def test_float32_log_prob_follows_the_dtype_of_its_inputs():
    y, pixels = np.ones((2, 3, 3, 1), np.float32), np.zeros((2, 3, 3, 2), np.float32)
    assert Logistic().log_prob(y, pixels).dtype == np.float32
    assert_close(
        Logistic().log_prob(y, pixels), np.full(y.shape, -math.log1p(math.exp(254.5 / 255))), rounding(np.float32)
    )


@pytest.mark.large
def test_training_comes_near_the_entropy_of_its_images(train_run, tmp_path):
    """Pixels drawn from one discretised logistic: no bound is below their entropy, and this decoder can reach it."""
    nats = log_mass(VALUES, np.float64(0.4), np.float64(-3.0))
    q = np.exp(nats)
    entropy, spread = -np.sum(q * nats), math.sqrt(np.sum(q * nats**2) - np.sum(q * nats) ** 2)
    drawn = np.random.default_rng(0).choice(256, (1400, 4, 4, 1), p=q / q.sum())
    y = np.divide(drawn.astype(np.uint8), 255, dtype=np.float32)
    config = Config(latent=1, hidden=4, epochs=40, batch=20, decoder="logistic", learning_rate=0.01)
    history = train_run(config, tmp_path / "run", Dataset("drawn", y[:400], y[400:])).history
    first, last = (-record["test_elbo"] / 16 for record in (history[0], history[-1]))
    error = spread / math.sqrt(1000 * 16)
    assert entropy - 5 * error <= last <= entropy + 0.03 + 5 * error
    assert first > last + 0.1
