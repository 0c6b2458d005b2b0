"""vae/latents.py: each figure where it is known exactly, invariances, and a naive loop for the aggregate."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from vae import latents
from vae.data.digits import draw_factors
from vae.latents import active_units, divide_rate, log_aggregate, mean_kl, measure_information, probe

KEY = mg.random.key(3)
seeds = st.integers(0, 2**32 - 1)


def table(**columns) -> np.ndarray:
    """Factors (N,) of these columns."""
    columns = {name: np.asarray(column) for name, column in columns.items()}
    rows = np.empty(len(next(iter(columns.values()))), [(name, column.dtype) for name, column in columns.items()])
    for name, column in columns.items():
        rows[name] = column
    return rows


# Active units and rate


def test_active_units_are_those_whose_mean_moves():
    random = np.random.default_rng(0)
    mean = random.standard_normal((5000, 4)) * [1.0, 0.3, 0.05, 0.0] + 7
    variance, active = active_units(mean)
    np.testing.assert_allclose(variance, [1, 0.09, 0.0025, 0], rtol=0.1, atol=1e-20)
    assert active.tolist() == [True, True, False, False]


def test_the_rate_of_each_latent_is_the_closed_form():
    mean, std = np.array([[0.0, 1.0], [0.0, -3.0]]), np.array([[1.0, 0.5], [1.0, 0.25]])
    expected = 0.5 * np.mean(mean**2 + std**2 - 1 - np.log(std**2), axis=0)
    np.testing.assert_allclose(mean_kl(mean, np.log(std)), expected, rtol=1e-14, atol=1e-16)


def test_equal_posteriors_hold_no_information():
    """P(z) is each P(z|y_n): I = 0 exactly, and the whole rate is the mismatch with the prior."""
    mean, log_std = np.full((500, 3), 0.7), np.full((500, 3), -0.4)
    parts = divide_rate(mean, log_std, KEY, samples=20)
    assert abs(parts.information) < 1e-12 and parts.information_error < 1e-12
    assert abs(parts.marginal_kl - parts.rate) < 4 * parts.marginal_kl_error


def test_separate_posteriors_hold_all_information():
    """Each z tells its image: I = ln N."""
    mean = 100.0 * np.arange(64)[:, None] * np.ones((1, 2))
    parts = divide_rate(mean, np.zeros((64, 2)), KEY, samples=2)
    assert parts.information == pytest.approx(math.log(64), abs=1e-8) and parts.limit == math.log(64)


def test_two_overlapping_posteriors_agree_with_integration():
    """N posteriors, half N(−1, ½²) and half N(1, ½²): I and KL are integrals over one dimension."""
    mean, std, count = np.repeat([-1.0, 1.0], 2000)[:, None], 0.5, 4000
    z = np.linspace(-8, 8, 20001)
    own = np.exp(-0.5 * ((z - 1) / std) ** 2) / (std * math.sqrt(2 * math.pi))
    both = 0.5 * (own + own[::-1])
    prior = np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
    step = z[1] - z[0]
    information = np.sum(own * (np.log(np.maximum(own, 1e-300)) - np.log(both))) * step
    marginal = np.sum(both * (np.log(both) - np.log(prior))) * step
    parts = divide_rate(mean, np.full((count, 1), math.log(std)), KEY, samples=4)
    assert abs(parts.information - information) < 4 * parts.information_error
    assert abs(parts.marginal_kl - marginal) < 4 * parts.marginal_kl_error
    assert parts.rate == pytest.approx(information + marginal, rel=1e-6)


def test_a_linear_gaussian_channel_has_its_information():
    """μ ~ N(0, 1−s²) and P(z|y) = N(μ, s²): the aggregate is the prior, and I = −ln s up to the N images drawn."""
    s, random = 0.5, np.random.default_rng(1)
    mean = math.sqrt(1 - s * s) * random.standard_normal((4000, 1))
    parts = divide_rate(mean, np.full((4000, 1), math.log(s)), KEY)
    assert abs(parts.information + math.log(s)) < 4 * parts.information_error
    assert abs(parts.marginal_kl) < 0.02


@given(seeds, st.integers(1, 40), st.integers(1, 4), st.integers(1, 3))
def test_the_parts_add_up_and_are_bounded(seed, count, latent, samples):
    random = np.random.default_rng(seed)
    mean, log_std = 3 * random.standard_normal((count, latent)), random.uniform(-3, 0.5, (count, latent))
    parts = divide_rate(mean, log_std, mg.random.key(seed), samples)
    assert parts.information <= parts.limit + 1e-9
    assert math.isinf(parts.information_error) == (count == 1)
    noise = np.asarray(mg.random.normal(mg.random.key(seed), (samples, count, latent), np.float64))
    sampled = -0.5 * noise**2 - log_std + 0.5 * (mean + np.exp(log_std) * noise) ** 2  # ln P(z|y) − ln Q(z)
    assert parts.information + parts.marginal_kl == pytest.approx(sampled.sum(axis=-1).mean(), rel=1e-9, abs=1e-9)


@given(seeds, st.integers(1, 30), st.integers(1, 30), st.integers(1, 3), st.sampled_from([1, 50, 4_000_000]))
def test_the_aggregate_is_the_naive_loop_for_any_block(seed, rows, count, latent, entries):
    random = np.random.default_rng(seed)
    z, mean, log_std = (random.normal(0, 2, (n, latent)) for n in (rows, count, count))
    expected = np.empty(rows)
    for i in range(rows):
        terms = [
            sum(
                -0.5 * ((z[i, u] - mean[n, u]) / math.exp(log_std[n, u])) ** 2
                - log_std[n, u]
                - 0.5 * math.log(2 * math.pi)
                for u in range(latent)
            )
            for n in range(count)
        ]
        expected[i] = np.logaddexp.reduce(terms) - math.log(count)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(latents, "ENTRIES", entries)
        np.testing.assert_allclose(log_aggregate(z, mean, log_std), expected, rtol=1e-7, atol=1e-7)


# Known factors


def test_codes_that_are_the_factors_have_gaps_of_one():
    """Each factor in one latent, and nothing else: I = H, up to the bias of the second largest."""
    factors = draw_factors(20_000, seed=0, split=0)
    codes = np.stack([factors[name].astype(float) for name in factors.dtype.names], axis=1)
    found = measure_information(codes, factors)
    own = np.diag(found.information)
    continuous = [i for i, name in enumerate(found.names) if factors[name].dtype.kind == "f"]
    np.testing.assert_allclose(own[continuous], found.entropy[continuous], rtol=1e-12)
    np.testing.assert_allclose(found.entropy[continuous], math.log(20), rtol=1e-6)
    assert own[found.names.index("digit")] == pytest.approx(found.entropy[found.names.index("digit")], rel=1e-9)
    others = found.information[~np.eye(8, dtype=bool)]
    assert others.max() < 4 * 19 * 19 / (2 * 20_000)  # the bias of frequencies
    assert found.mig == pytest.approx(1, abs=0.02)


def test_a_factor_in_two_latents_has_no_gap():
    factors = draw_factors(2000, seed=0, split=0)[["rotation", "dx"]]
    x = np.stack([factors["rotation"], 10 * factors["dx"]], axis=1)
    assert measure_information(np.concatenate([x, 2 * x], axis=1), factors).mig == 0
    turned = np.stack([x[:, 0] + x[:, 1], x[:, 0] - x[:, 1]], axis=1)  # uniform factors, turned by 45 degrees
    assert measure_information(turned, factors).mig < 0.05


def test_information_of_a_small_table_by_hand():
    """Codes 0, 0, 1, 1 and classes 0, 0, 0, 1: H(v) = ln 4 − ¾ ln 3, I = H(v) − ½ ln 2; one latent, so MIG is I/H."""
    found = measure_information(np.array([[0.0], [0.0], [1.0], [1.0]]), table(v=[0, 0, 0, 1]), bins=2)
    entropy = math.log(4) - 0.75 * math.log(3)
    assert found.entropy[0] == pytest.approx(entropy, rel=1e-14)
    assert found.information[0, 0] == pytest.approx(entropy - 0.5 * math.log(2), rel=1e-14)
    assert found.mig == pytest.approx(1 - 0.5 * math.log(2) / entropy, rel=1e-14)


def test_chance_is_what_unrelated_codes_show():
    random = np.random.default_rng(0)
    codes = random.standard_normal((1500, 200))
    factors = np.empty(1500, [("kind", int), ("size", float), ("same", int)])
    factors["kind"], factors["size"], factors["same"] = random.integers(10, size=1500), random.random(1500), 3
    found = measure_information(codes, factors)
    np.testing.assert_allclose(found.information.mean(axis=0)[:2], found.chance[:2], rtol=0.1)
    assert found.chance[2] == 0
    assert measure_information(codes[:3], factors[:3]).chance[1] <= math.log(3) + 1e-9


def test_constant_factors_and_codes_have_no_information():
    found = measure_information(np.ones((50, 2)), table(a=np.arange(50.0), b=np.full(50, 3)))
    assert (found.information == 0).all() and found.entropy[1] == 0 and found.mig == 0


@given(seeds, st.permutations(range(3)), st.floats(0.1, 10), st.floats(-5, 5))
def test_information_ignores_order_scale_and_shift(seed, order, scale, shift):
    random = np.random.default_rng(seed)
    codes, factors = (
        random.integers(0, 40, (60, 3)).astype(float),
        table(a=random.random(60), b=random.integers(3, size=60)),
    )
    found = measure_information(codes, factors, bins=6)
    moved = measure_information(scale * codes[:, order] + shift, factors, bins=6)
    np.testing.assert_allclose(moved.information, found.information[order], atol=1e-12)
    np.testing.assert_allclose(moved.gap, found.gap, atol=1e-12)
    rows = random.permutation(60)
    np.testing.assert_allclose(
        measure_information(codes[rows], factors[rows], 6).information, found.information, atol=1e-12
    )


# The linear probe


def make_linear(random, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Codes (count, 3), and factors of which `a` is linear in them, `b` has nothing to do with them, `c` is a class."""
    codes = random.standard_normal((count, 3)) * [1, 10, 0.01]
    kinds = random.integers(3, size=count)
    codes[:, 0] = 2.0 * (kinds == 1) - 1.0 * (kinds == 2)
    codes[:, 1] = 30.0 * (kinds == 2)
    return codes, table(a=codes @ [1.0, -0.2, 50.0] + 4, b=random.standard_normal(count), c=kinds + 5)


def test_the_probe_finds_a_linear_code():
    random = np.random.default_rng(0)
    scores = probe(*make_linear(random, 300), *make_linear(random, 5000))
    assert scores["a"] == pytest.approx(1, abs=1e-12) and scores["c"] == 1
    assert abs(scores["b"]) < 0.05


def test_the_r2_of_noise_is_its_share():
    """v = x + noise of the same variance: R² = ½."""
    random = np.random.default_rng(0)
    x, noise = random.standard_normal((2, 40_000, 1))
    halves = [(part, table(v=(part + n)[:, 0])) for part, n in zip(np.split(x, 2), np.split(noise, 2))]
    assert probe(*halves[0], *halves[1])["v"] == pytest.approx(0.5, abs=0.03)


def test_the_ridge_is_the_closed_form():
    """For one standardised latent the ridge divides the slope by 1 + λ: R² = 1 − (λ/(1+λ))² on the train set."""
    x = np.arange(20.0)[:, None]
    data = x, table(v=3 * x[:, 0] - 1)
    assert probe(*data, *data, ridge=0.5)["v"] == pytest.approx(1 - (1 / 3) ** 2, rel=1e-12)


@given(seeds, st.permutations(range(3)), st.floats(0.1, 10), st.floats(-5, 5), st.sampled_from([0.0, 0.1]))
def test_the_probe_ignores_order_scale_and_shift(seed, order, scale, shift, ridge):
    random = np.random.default_rng(seed)
    x, x_test = random.standard_normal((2, 40, 3))
    v, v_test = (table(a=random.random(40), b=random.integers(2, size=40)) for _ in range(2))
    before = probe(x, v, x_test, v_test, ridge)
    after = probe(scale * x[:, order] + shift, v, scale * x_test[:, order] + shift, v_test, ridge)
    assert after == pytest.approx(before, abs=1e-8)


def test_wrong_arguments_are_refused():
    codes, factors = np.zeros((4, 2)), table(a=np.zeros(4))
    with pytest.raises(ValueError, match="finite codes"):
        active_units(np.zeros(3))
    with pytest.raises(ValueError, match="finite codes"):
        active_units(np.full((3, 1), np.nan))
    with pytest.raises(ValueError, match="the same shape"):
        divide_rate(codes, codes[:, :1], KEY)
    with pytest.raises(ValueError, match="samples"):
        divide_rate(codes, codes, KEY, samples=0)
    for wrong in (np.zeros(4), factors[:3], None, table(a=np.array(["x"] * 4))):
        with pytest.raises(ValueError, match="structured array"):
            measure_information(codes, wrong)
    with pytest.raises(ValueError, match="bins"):
        measure_information(codes, factors, bins=1)
    for wrong in ((codes[:, :1], factors, 0.0), (codes, table(b=np.zeros(4)), 0.0), (codes, factors, -1.0)):
        with pytest.raises(ValueError, match="the same latents and factors"):
            probe(codes, factors, *wrong)
