"""vae/likelihoods.py: decoders are densities with the stated σ, and a new decoder is one class."""

import ast
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from tests.support.oracles import EPS, ROUNDINGS, assert_close
from tests.support.vae import truth
from tests.support.vae.settings import EVERY_LIKELIHOOD, TRIED
from vae import likelihoods
from vae.config import Config
from vae.errors import UserError
from vae.likelihoods import LIKELIHOODS, Bernoulli, Gaussian, Laplace, Likelihood, Logistic, describe_density
from vae.sigma import LEARNED, PROFILED, Sigma, exp

log_sigmas = st.floats(-4, 2)
pixels = st.floats(-6, 6)


# Likelihoods are distributions


@given(pixels)
def test_bernoulli_sums_to_one(x):
    total = sum(math.exp(Bernoulli().log_prob(y, np.float64(x))) for y in (0.0, 1.0))
    assert abs(total - 1) <= ROUNDINGS * EPS


@given(pixels, log_sigmas, st.booleans())
def test_gaussian_integrates_to_one_and_sigma_is_its_standard_deviation(x, log_sigma, fixed):
    """Trapezoidal rule with steps of σ/4 over ±12σ: the tails weigh e⁻⁷², aliasing e^(−2π²·16) (Poisson summation)."""
    sigma, centre = math.exp(log_sigma), truth.sigmoid(x)
    y = centre + sigma * np.arange(-48, 49) / 4
    likelihood = Gaussian(Sigma(sigma)) if fixed else Gaussian(LEARNED)
    density = np.exp(likelihood.log_prob(y, np.full(y.shape, x), None if fixed else np.float64(log_sigma))) * sigma / 4
    # rounding moves ŷ by ε/σ standard deviations, which changes only odd moments to first order
    slack = ROUNDINGS * EPS / min(1, sigma)
    assert abs(density.sum() - 1) <= slack
    assert abs((density * (y - centre) ** 2).sum() / sigma**2 - 1) <= slack


@given(pixels, log_sigmas, st.booleans())
def test_laplace_integrates_to_one_and_sigma_is_its_mean_deviation(x, log_sigma, fixed):
    """Gauss–Laguerre on each side of the kink: exact for e^(−t) times a polynomial."""
    scale, centre = math.exp(log_sigma), truth.sigmoid(x)
    t, w = np.polynomial.laguerre.laggauss(16)
    likelihood = Laplace(Sigma(scale)) if fixed else Laplace(LEARNED)
    log_sigma = None if fixed else np.float64(log_sigma)
    sides = [likelihood.log_prob(centre + side * scale * t, np.full(t.shape, x), log_sigma) for side in (-1, 1)]
    weights = sum(np.exp(s + t) for s in sides) * w * scale
    slack = ROUNDINGS * EPS * max(1, t.max() / min(1, scale))
    assert abs(weights.sum() - 1) <= slack
    assert abs((weights * t).sum() - 1) <= slack  # E|y−ŷ| = σ
    assert abs((weights * t**2).sum() - 2) <= 2 * slack  # variance 2σ²


# Likelihoods from their formulas


@given(st.floats(0, 1), st.floats(-10, 10))
def test_bernoulli_from_logits_is_the_naive_formula(y, x):
    """1 − p loses e^|x| ≤ 2.2e4 roundings in the naive formula, in double precision."""
    naive = truth.log_prob(Bernoulli(), y, np.float64(x))
    assert abs(Bernoulli().log_prob(y, np.float64(x)) - naive) <= EPS * math.exp(abs(x)) + ROUNDINGS * EPS * 10


@pytest.mark.parametrize("x", [-1e4, -800.0, 800.0, 1e4])
def test_bernoulli_is_finite_where_the_naive_formula_is_not(x):
    for y, expected in ((0.0, -max(x, 0)), (1.0, min(x, 0)), (0.25, 0.25 * x - max(x, 0))):
        got, slope = mg.value_and_grad(lambda x, y=y: Bernoulli().log_prob(y, x))(np.float64(x))
        assert got == expected
        assert slope == y - (x > 0)


@given(st.floats(0, 1), pixels)
def test_bernoulli_is_linear_in_grey_pixels(y, x):
    """So a grey pixel gives the expectation over its random binarisations, which keeps the bound valid."""
    black, white = (Bernoulli().log_prob(v, np.float64(x)) for v in (0.0, 1.0))
    assert_close(Bernoulli().log_prob(y, np.float64(x)), (1 - y) * black + y * white)


@EVERY_LIKELIHOOD
def test_log_prob_agrees_with_plain_numpy(likelihood):
    random = np.random.default_rng(1)
    y, x = random.random((3, 4, 5, 1)), random.random((3, 4, 5, likelihood.outputs))
    log_sigma = np.float64(-0.3) if likelihood.sigma.source == "learned" else None
    assert_close(likelihood.log_prob(y, x, log_sigma), truth.log_prob(likelihood, y, x, log_sigma))


@given(log_sigmas)
def test_the_argument_log_sigma_overrides_every_source(log_sigma):
    y, x = np.random.default_rng(2).random((2, 2, 3, 3, 1))
    for name in ("gaussian", "laplace"):
        expected = LIKELIHOODS[name](Sigma(math.exp(log_sigma))).log_prob(y, x)
        for mode in ("fixed", "learned", "profiled"):
            got = LIKELIHOODS[name](Sigma(3.0, mode)).log_prob(y, x, log_sigma)
            assert_close(got, expected, ROUNDINGS * EPS * 4)  # ln of e^ln σ, |ln σ| ≤ 4


# σ at its optimum


def error_sums(y, x):
    error = y - truth.sigmoid(x)
    return np.sum(error**2), np.sum(np.abs(error))


@given(st.integers(0, 2**31), log_sigmas)
def test_profiled_sigma_is_the_optimum(seed, log_sigma):
    """Gaussian: −(D/2) ln(2πe·SSE/D); Laplace: −D ln(2e·SAE/D); no σ of the whole batch does better (slide 14)."""
    y, x = np.random.default_rng(seed).random((2, 2, 3, 3, 1))
    squares, absolutes = error_sums(y, x)
    d = y.size
    for name, best in (
        ("gaussian", -d / 2 * math.log(2 * math.pi * math.e * squares / d)),
        ("laplace", -d * math.log(2 * math.e * absolutes / d)),
    ):
        profiled = np.sum(LIKELIHOODS[name](PROFILED).log_prob(y, x))
        assert_close(profiled, best)
        other = np.sum(LIKELIHOODS[name](Sigma(math.exp(log_sigma))).log_prob(y, x))
        assert other <= profiled + ROUNDINGS * EPS * max(1, abs(other))


@pytest.mark.parametrize("name", ["gaussian", "laplace"])
def test_gradient_through_the_profiled_sigma(name):
    """d/dx of −(D/2) ln SSE is D/SSE·(y−ŷ)·ŷ′, of −D ln SAE is D/SAE·sign(y−ŷ)·ŷ′, with ŷ′ = ŷ(1−ŷ)."""
    y, x = np.random.default_rng(3).random((2, 2, 3, 3, 1))
    squares, absolutes = error_sums(y, x)
    fit = truth.sigmoid(x)
    error, slope = y - fit, fit * (1 - fit)
    expected = y.size * slope * (error / squares if name == "gaussian" else np.sign(error) / absolutes)
    assert_close(mg.grad(lambda x: mg.sum(LIKELIHOODS[name](PROFILED).log_prob(y, x)))(x), expected)


@given(st.integers(0, 2**31), log_sigmas)
def test_gradient_of_the_learned_log_sigma(seed, log_sigma):
    """SSE/σ² − D (gaussian) and SAE/σ − D (laplace): the derivative in ln σ, not in σ, σ² or ln σ²."""
    y, x = np.random.default_rng(seed).random((2, 2, 3, 3, 1))
    squares, absolutes = error_sums(y, x)
    for name, expected in (
        ("gaussian", squares / math.exp(2 * log_sigma) - y.size),
        ("laplace", absolutes / math.exp(log_sigma) - y.size),
    ):
        learned = LIKELIHOODS[name](LEARNED)
        got = mg.grad(lambda s, learned=learned: mg.sum(learned.log_prob(y, x, s)))(np.float64(log_sigma))
        assert_close(got, expected)


# What is refused


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Gaussian(Sigma(source="guessed")), "unknown σ mode 'guessed'"),
        (lambda: Bernoulli(LEARNED), "bernoulli decoder has no σ"),
        (lambda: Bernoulli(Sigma(0.5)), "bernoulli decoder has no σ"),
        (lambda: Logistic(LEARNED), "logistic decoder has no σ to set, learn or profile: use gaussian or laplace"),
        (lambda: Gaussian(Sigma(0.0)), "σ must be a positive number, got 0.0"),
        (lambda: Gaussian(Sigma(math.nan)), "σ must be a positive number, got nan"),
        (lambda: Gaussian(Sigma(math.inf)), "σ must be a positive number, got inf"),
    ],
)
def test_invalid_likelihoods_are_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()


def test_every_decoder_is_tested_here():
    assert {x.name for x in TRIED} == set(LIKELIHOODS)


def test_an_unknown_decoder_is_refused():
    with pytest.raises(UserError, match="unknown decoder 'poisson': use bernoulli, gaussian, laplace, logistic"):
        Config(decoder="poisson")


# Drawing pixels


def cumulative(likelihood, output, log_sigma):
    """Values y and P(pixel ≤ y), from the log density on a fine grid, or on all values of a discrete pixel."""
    discrete = 2 if likelihood.name == "bernoulli" else 256 if likelihood.eight_bit else 0
    y = np.linspace(0, 1, discrete) if discrete else np.linspace(-15, 16, 40_001)
    outputs = np.broadcast_to(output, (len(y), 1, 1, len(output)))
    p = np.exp(np.ravel(likelihood.log_prob(y.reshape(-1, 1, 1, 1), outputs, log_sigma)))
    return y, np.cumsum(p * (1 if discrete else y[1] - y[0]))


@EVERY_LIKELIHOOD
@pytest.mark.parametrize("output", [[-1.2, -2.5], [0.4, -1.0], [0.1, -30.0], [1.3, 30.0]])
def test_pixels_are_drawn_with_the_density(likelihood, output):
    """The largest distance between both cumulative distributions, beside that of Kolmogorov at 1 in 10,000."""
    output, count = np.array(output[: likelihood.outputs]), 20_000
    log_sigma = None if likelihood.fixed_sigma or not likelihood.has_sigma else -0.9
    outputs = np.broadcast_to(output, (count, 1, 1, len(output)))
    drawn = np.asarray(likelihood.draw(mg.random.key(3), outputs, log_sigma))
    assert drawn.shape == (count, 1, 1, 1)
    y, expected = cumulative(likelihood, output, log_sigma)
    found = np.searchsorted(np.sort(drawn, axis=None), y + 1e-9, side="right") / count
    assert abs(expected[-1] - 1) < 1e-3
    assert np.abs(found - expected).max() < 2.23 / math.sqrt(count) + 1e-3


@EVERY_LIKELIHOOD
def test_a_draw_depends_on_the_key_alone(likelihood):
    log_sigma, shape = -0.9 if likelihood.sigma.source != "fixed" else None, (50, 2, 2, likelihood.outputs)
    for dtype in (np.float32, np.float64):
        output = np.random.default_rng(0).standard_normal(shape).astype(dtype)
        first, again, other = (likelihood.draw(mg.random.key(k), output, log_sigma) for k in (1, 1, 2))
        assert first.dtype == dtype and (first == again).all() and (first != other).any()


# Another decoder, defined outside the package


class SmoothLaplace(Likelihood):
    """The logistic density: ln Q(y|z) = −t − 2 ln(1 + e^(−t)) − ln σ, t = |y−ŷ|/σ.

    The best σ is approximated from the standard deviation.
    """

    name = "smooth-laplace"

    def mean(self, pixels):
        return mg.sigmoid(pixels)

    def log_prob(self, y, pixels, log_sigma=None):
        distance = self.distance(y, pixels)
        log_sigma = self.log_sigma(distance) if log_sigma is None else log_sigma
        t = (y - self.mean(pixels)) * exp(-log_sigma)
        return -(mg.softplus(t) + mg.softplus(-t) + log_sigma)

    def draw(self, key, pixels, log_sigma=None):
        u = mg.random.uniform(key, pixels.shape, pixels.dtype)
        return self.mean(pixels) + self.sigma_of(log_sigma) * (mg.log(u) - mg.log1p(-u))

    def distance(self, y, pixels):
        return mg.square(y - self.mean(pixels))

    def best_log_sigma(self, mean_distance):
        return 0.5 * mg.log(3 * mean_distance) - math.log(math.pi)

    def absorb(self, weight):
        return None

    def qualify(self):
        return f"scale {self.sigma.value:g}" if self.sigma.source == "fixed" else f"σ {self.sigma.source}"

    def write_term(self):
        return "(2 ln cosh((y−ŷ)/2σ) + ln 4σ)"

    def describe_bound(self, binary):
        return describe_density(self, f"scale {self.sigma.value:g} fixed")


@pytest.fixture
def another(monkeypatch):
    """That decoder, registered."""
    monkeypatch.setitem(LIKELIHOODS, SmoothLaplace.name, SmoothLaplace)


@pytest.mark.parametrize("sigma", ["0.3", "learned", "profiled"])
def test_another_decoder_is_one_class(another, vae, images, tmp_path, sigma):
    """The command line trains two steps with it, evaluates, checks every gradient, and says what its loss is."""
    options = ["--decoder", "smooth-laplace", "--sigma", sigma]
    small = ["--hidden", "8", "--latent", "2"]
    code, out, err = vae("train", "--data", images, *small, *options, "--epochs", "1", "--batch", "25", "--out", "run")
    assert code == 0, err
    said = " ".join(out.split())
    constant = " + constant" if sigma == "0.3" else ""
    assert (
        f"loss = sum over pixels of (2 ln cosh((y−ŷ)/2σ) + ln 4σ) + KL{constant}: −ELBO of a smooth-laplace dec" in said
    )
    assert "reported: smooth-laplace: " + (f"scale {sigma} fixed" if constant else f"σ {sigma}") in said
    code, out, err = vae("evaluate", "--checkpoint", "run", "--json")
    assert code == 0 and math.isfinite(json.loads(out)["negative_elbo_closed"]), err
    code, out, err = vae("check", "--checkpoint", "run", "--coordinates", "5", "--json")
    assert code == 0 and json.loads(out)["passed"], err


def test_that_decoder_is_the_logistic_density():
    """Against the textbook formula e^(−t)/σ(1 + e^(−t))²."""
    y, x = np.random.default_rng(0).random((2, 3, 4, 4, 1))
    t = (y - truth.sigmoid(x)) / 0.3
    expected = np.log(np.exp(-t) / (0.3 * (1 + np.exp(-t)) ** 2))
    assert_close(SmoothLaplace(Sigma(0.3)).log_prob(y, x), expected)


def test_no_other_file_names_a_decoder():
    """Code that depends on the decoder belongs in its class; only the default in config.py names one."""
    folder = Path(likelihoods.__file__).parent
    for path in (*folder.glob("*.py"), *folder.glob("cli/*.py")):
        if path.name != "likelihoods.py":
            nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            found = [n.value for n in nodes if isinstance(n, ast.Constant) and n.value in list(LIKELIHOODS)]
            assert found == ["bernoulli"] * (path.name == "config.py"), path
