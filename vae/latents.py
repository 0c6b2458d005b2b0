"""What the latents hold: which are used, how the rate divides, and how they relate to known factors.

Active units (Burda et al. 2015): latent u is used if the variance over images of its posterior mean is above 0.01.

The rate divides into the information between image and latent, and the mismatch of the aggregate with the prior
(Hoffman and Johnson 2016; Makhzani et al. 2016): with P(z) = (1/N) Σ_n P(z|y_n) over the N given images,

    (1/N) Σ_n KL(P(z|y_n), Q(z)) = I(n; z) + KL(P(z), Q(z)),      0 ≤ I(n; z) ≤ ln N

The mutual information gap (Chen et al. 2018, arXiv:1802.04942) of a factor v, for one-number codes μ_u:

    MIG(v) = (I(μ_a; v) − I(μ_b; v)) / H(v),     a and b the latents of the largest and second largest information

All is computed on the host, in float64, in nats. Arguments μ and ln σ are (N, latent), on any device.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

import minigrad as mg
from vae.numbers import to_int
from vae.objectives import LN_2PI, kl_to_prior

ACTIVE = 0.01
BINS = 20
ENTRIES = 4_000_000  # of a block of the N×N log densities: 32 MB


def active_units(mean: Any, threshold: float = ACTIVE) -> tuple[np.ndarray, np.ndarray]:
    """A_u = Var_y(E z_u) of each latent, (latent,), and whether it is above the threshold.

    >>> active_units(np.array([[1.0, 0.0], [3.0, 0.1]]))[0].round(4).tolist()
    [1.0, 0.0025]
    """
    variance = _to_codes(mean, "active units").var(axis=0)
    return variance, variance > threshold


def mean_kl(mean: Any, log_std: Any) -> np.ndarray:
    """KL(P(z_u|y), Q(z_u)) of each latent, averaged over the images, (latent,), in nats: their sum is the rate."""
    return np.mean(kl_to_prior(*_to_posteriors(mean, log_std)), axis=0)


class RateParts(NamedTuple):
    """The rate and its two parts, in nats; each error is the standard error over the images.

    `rate` is in closed form. The parts are averages over samples z, so their sum differs from it by noise.
    """

    rate: float
    information: float
    information_error: float
    marginal_kl: float
    marginal_kl_error: float
    limit: float  # ln N, which the information cannot exceed


def divide_rate(mean: Any, log_std: Any, key: Any, samples: int = 1) -> RateParts:
    """The mutual information I(n; z) and KL(P(z), Q(z)), estimated with `samples` z of each image.

        I ≈ mean of ln P(z_n|y_n) − ln P(z_n),    KL ≈ mean of ln P(z_n) − ln Q(z_n),    z_n ~ P(z|y_n)

    P(z) includes the image that z_n came from, so every term of I is at most ln N. Therefore I is that of these N
    images, and it underestimates that of their distribution once it nears ln N. Memory is bounded, time is N².
    """
    mean, log_std = _to_posteriors(mean, log_std)
    samples, (count, latent) = to_int(samples, "divide_rate: samples", 1), mean.shape
    noise = np.asarray(mg.to_device(mg.random.normal(key, (samples, count, latent), np.float64), "cpu"))
    z = mean + np.exp(log_std) * noise
    constant = 0.5 * latent * LN_2PI
    own = -0.5 * np.sum(noise**2, axis=-1) - log_std.sum(axis=-1) - constant  # (samples, N)
    prior = -0.5 * np.sum(z**2, axis=-1) - constant
    aggregate = log_aggregate(z.reshape(-1, latent), mean, log_std).reshape(own.shape)
    information, marginal = (np.mean(terms, axis=0) for terms in (own - aggregate, aggregate - prior))
    parts = [number for terms in (information, marginal) for number in (float(terms.mean()), _error_of_mean(terms))]
    return RateParts(float(mean_kl(mean, log_std).sum()), *parts, math.log(count))


def log_aggregate(z: Any, mean: Any, log_std: Any) -> np.ndarray:
    """ln P(z) = ln (1/N) Σ_n N(z; μ_n, σ_n²) for z (M, latent), (M,), in nats; a few rows of M × N at a time."""
    mean, log_std = _to_posteriors(mean, log_std)
    z, rows = _to_codes(z, "the aggregate"), max(1, ENTRIES // len(mean))
    centre = mean.mean(axis=0)
    z, mean, precision = z - centre, mean - centre, np.exp(-2 * log_std)
    # −½ Σ_u (z − μ)²/σ² = −½ (z²·1/σ² − 2 z·μ/σ² + Σ_u μ²/σ²)
    fixed = -0.5 * np.sum(mean**2 * precision + 2 * log_std + LN_2PI, axis=-1) - math.log(len(mean))  # (N,)
    squares, products, found = -0.5 * precision.T, (mean * precision).T, []  # (latent, N)
    for first in range(0, len(z), rows):
        piece = z[first : first + rows]
        block = piece**2 @ squares + piece @ products + fixed  # (rows, latent) @ (latent, N)
        top = block.max(axis=1)
        found.append(top + np.log(np.sum(np.exp(block - top[:, None]), axis=1)))
    return np.concatenate(found)


# Codes against known factors


class Information(NamedTuple):
    """I(μ_u; v) of each latent and factor, (latent, factors), H(v) and MIG(v), (factors,); information in nats.

    `chance` (factors,): about the I(μ_u; v) that is found of a latent that says nothing about v.
    """

    names: tuple[str, ...]
    information: np.ndarray
    entropy: np.ndarray
    gap: np.ndarray
    chance: np.ndarray

    @property
    def mig(self) -> float:
        """The mean of MIG(v) over the factors."""
        return float(self.gap.mean())


def measure_information(mean: Any, factors: np.ndarray, bins: int = BINS) -> Information:
    """I(μ_u; v) of posterior means (N, latent) and factors, a structured array (N,): see `Dataset.factors`.

    Latents and continuous factors are cut into `bins` classes with equally many images each (equal values stay
    together), integer factors are classes already; I and H are those of the frequencies of the classes. So an
    increasing map of a latent or of a continuous factor changes nothing. A latent that says nothing about v gets about
    (bins − 1)(classes − 1)/2N nats instead of 0, but at most H(v): the bias of frequencies. A factor with one value has
    MIG 0.
    """
    codes = _to_codes(mean, "the mutual information")
    names = _check_factors(codes, factors)
    bins = to_int(bins, "the bins of the mutual information", 2)
    latents = np.stack([_to_classes(column, bins) for column in codes.T])  # (latent, N)
    classes = [_to_classes(factors[name], bins) for name in names]
    pairs = [_information(latents, each) for each in classes]
    information = np.stack([of_latents for of_latents, _ in pairs], axis=1)
    entropy = np.array([own for _, own in pairs])
    ordered = np.sort(np.concatenate([np.zeros((2, len(names))), information]), axis=0)  # 0 where there is one latent
    gap = (ordered[-1] - ordered[-2]) / np.where(entropy > 0, entropy, 1)
    chance = np.array([latents.max() * each.max() / (2 * len(each)) for each in classes])
    return Information(names, information, entropy, gap, np.minimum(chance, entropy))


def probe(
    train_mean: Any, train_factors: np.ndarray, test_mean: Any, test_factors: np.ndarray, ridge: float = 0.0
) -> dict[str, float]:
    """How well a linear map of the posterior means predicts each factor: by name, fitted on train, scored on test.

    Continuous factors have R² = 1 − Σ(v − v̂)²/Σ(v − v̄)². Integer ones have the accuracy of one-vs-rest least squares:
    the class whose indicator is predicted to be largest. `ridge` λ ≥ 0 adds λN‖w‖² for standardised latents. Raises
    ValueError for shapes that do not fit.
    """
    x, x_test = _to_codes(train_mean, "the probe"), _to_codes(test_mean, "the probe")
    names = _check_factors(x, train_factors)
    if _check_factors(x_test, test_factors) != names or x.shape[1] != x_test.shape[1] or not 0 <= ridge < math.inf:
        raise ValueError(
            f"the probe needs the same latents and factors in train and test, and a ridge of at least 0, got "
            f"{x.shape} {names}, {x_test.shape} {test_factors.dtype.names}, {ridge}"
        )
    centre, scale = x.mean(axis=0), x.std(axis=0)
    scale[scale == 0] = 1
    x, x_test, scores = (x - centre) / scale, (x_test - centre) / scale, {}
    for name in names:
        v, v_test = train_factors[name], test_factors[name]
        if v.dtype.kind == "f":
            error = v_test - _predict(x, v[:, None], x_test, ridge)[:, 0]
            spread = np.sum((v_test - v_test.mean()) ** 2)
            scores[name] = float(1 - np.sum(error**2) / spread) if spread > 0 else math.nan
        else:
            classes = np.unique(v)
            guess = _predict(x, (v[:, None] == classes).astype(float), x_test, ridge).argmax(axis=1)
            scores[name] = float(np.mean(classes[guess] == v_test))
    return scores


def _predict(x: np.ndarray, v: np.ndarray, x_test: np.ndarray, ridge: float) -> np.ndarray:
    """v̂ of centred x_test: least squares of v (N, k) on centred x (N, d), with an intercept."""
    middle, (count, width) = v.mean(axis=0), x.shape
    rows = np.concatenate([x, math.sqrt(ridge * count) * np.eye(width)])
    w = np.linalg.lstsq(rows, np.concatenate([v - middle, np.zeros((width, v.shape[1]))]), rcond=None)[0]
    return middle + x_test @ w


def _to_classes(values: np.ndarray, bins: int) -> np.ndarray:
    """Class numbers from 0, (N,): those of integers, or of `bins` intervals with equally many values each."""
    if values.dtype.kind == "f":
        values = np.searchsorted(np.quantile(values, np.arange(1, bins) / bins, method="higher"), values, side="right")
    return np.unique(values, return_inverse=True)[1]


def _information(codes: np.ndarray, factor: np.ndarray) -> tuple[np.ndarray, float]:
    """I(c; v) for each row of classes c (latent, N), (latent,), and H(v), for classes v (N,), in nats."""
    latent, count = codes.shape
    kinds, classes = codes.max() + 1, factor.max() + 1
    index = (np.arange(latent)[:, None] * kinds + codes) * classes + factor
    joint = np.bincount(index.ravel(), minlength=latent * kinds * classes).reshape(latent, kinds, classes) / count
    own = _entropy(joint[0].sum(axis=0))
    information = _entropy(joint.sum(axis=2)) + own - _entropy(joint.reshape(latent, -1))
    return np.maximum(information, 0), max(float(own), 0.0)  # not −1e-16


def _entropy(p: np.ndarray) -> Any:
    """H = −Σ p ln p over the last axis, in nats."""
    return -np.sum(p * np.log(np.where(p > 0, p, 1)), axis=-1)


def _error_of_mean(values: np.ndarray) -> float:
    return float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else math.inf


def _to_codes(values: Any, what: str) -> np.ndarray:
    codes = np.asarray(mg.to_device(values, "cpu"), np.float64)
    if codes.ndim != 2 or 0 in codes.shape or not np.isfinite(codes).all():
        raise ValueError(f"{what} needs finite codes (N, latent), N ≥ 1, got shape {codes.shape}")
    return codes


def _to_posteriors(mean: Any, log_std: Any) -> tuple[np.ndarray, np.ndarray]:
    mean, log_std = (_to_codes(part, "a set of posteriors") for part in (mean, log_std))
    if mean.shape != log_std.shape:
        raise ValueError(f"μ and ln σ must have the same shape (N, latent), got {mean.shape} and {log_std.shape}")
    return mean, log_std


def _check_factors(codes: np.ndarray, factors: np.ndarray) -> tuple[str, ...]:
    """The names of the factors. Raises ValueError unless there is one row of numbers for each image."""
    names = getattr(factors, "dtype", np.dtype(float)).names
    if not names or factors.shape != codes.shape[:1] or any(factors.dtype[n].kind not in "iuf" for n in names):
        raise ValueError(f"codes {codes.shape} need a structured array of numbers, one row of factors for each image")
    return names
