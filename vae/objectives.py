"""The evidence lower bound, in nats: summed over pixels and latents, one number per image.

    ln Q(y) ≥ E_P[ln Q(y|z) + ln Q(z)] + H(P(z|y))        (slides 6 and 7)

with Q(z) = N(0, I), P(z|y) = N(μ(y), diag σ(y)²) and z = μ + σ·ε, ε ~ N(0, I) (slide 13). The entropy comes in both
forms of the slides: `sampled`, H = E −ln P(z|y) with the same ε (slide 13), or `closed`, together with the prior as
−KL(P, Q(z)). The noise ε is always an argument.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import minigrad as mg
from vae.models import Model, Parameters

LN_2PI = math.log(2 * math.pi)
FORMS = ("closed", "sampled")
LIKELIHOODS = ("bernoulli", "gaussian", "laplace")
SIGMAS = ("fixed", "learned", "profiled")
REDUCTIONS = ("sum", "mean")


@dataclass(frozen=True)
class Likelihood:
    """Q(y|z): how the decoder's number for a pixel becomes a distribution over its value.

    bernoulli  the number is a logit; no σ.
    gaussian   N(ŷ, σ²) with ŷ = sigmoid(number): slide 14's L2 decoder, with its normaliser.
    laplace    e^(−|y−ŷ|/σ) / 2σ, the L1 decoder; here σ is the scale, the standard deviation is √2·σ.

    `mode` says where σ comes from: `fixed` at `sigma`; `learned`, as the parameter ln σ; or `profiled`, at its optimum
    for the batch, σ² = mean (y−ŷ)² (gaussian) or σ = mean |y−ŷ| (laplace), through which gradients pass.
    """

    name: str = "bernoulli"
    mode: str = "fixed"
    sigma: float = 1.0

    def __post_init__(self) -> None:
        if self.name not in LIKELIHOODS:
            raise ValueError(f"unknown decoder {self.name!r}: use {', '.join(LIKELIHOODS)}")
        if self.mode not in SIGMAS:
            raise ValueError(f"unknown σ mode {self.mode!r}: use {', '.join(SIGMAS)}")
        if self.name == "bernoulli" and (self.mode, self.sigma) != ("fixed", 1.0):
            raise ValueError("the bernoulli decoder has no σ to set, learn or profile: use gaussian or laplace")
        if not (math.isfinite(self.sigma) and self.sigma > 0):
            raise ValueError(f"σ must be a positive number, got {self.sigma}")

    def mean(self, pixels: Any) -> Any:
        """The expected image ŷ, in [0, 1]."""
        return mg.sigmoid(pixels)

    def log_prob(self, y: Any, pixels: Any, log_sigma: Any = None) -> Any:
        """ln Q(y|z) of each pixel, (N, H, W, C), in nats. `log_sigma` overrides where σ comes from."""
        if self.name == "bernoulli":  # y ln p + (1−y) ln(1−p) with p = sigmoid(l) is y·l − softplus(l)
            return y * pixels - mg.softplus(pixels)
        error = y - self.mean(pixels)
        distance = mg.abs(error) if self.name == "laplace" else mg.square(error)
        if log_sigma is None:
            log_sigma = self._log_sigma(distance)
        if self.name == "laplace":
            return -(distance * _exp(-log_sigma) + (log_sigma + math.log(2)))
        return -0.5 * (distance * _exp(-2 * log_sigma) + (2 * log_sigma + LN_2PI))

    def _log_sigma(self, distance: Any) -> Any:
        if self.mode == "profiled":
            return mg.log(mg.mean(distance)) * (0.5 if self.name == "gaussian" else 1.0)
        return math.log(self.sigma)


def _exp(x: Any) -> Any:
    """e^x; of a Python number a Python number, which leaves float32 what it meets."""
    return math.exp(x) if isinstance(x, (int, float)) else mg.exp(x)


def kl_to_prior(mean: Any, log_std: Any) -> Any:
    """KL(N(μ, σ²), N(0, 1)) = ½ (μ² + σ² − 1 − 2 ln σ) of each latent, in nats."""
    return 0.5 * (mg.square(mean) + mg.exp(2 * log_std) - 1 - 2 * log_std)


def log_normal(z: Any, mean: Any = 0.0, log_std: Any = 0.0) -> Any:
    """ln N(z; μ, σ²) of each latent, in nats."""
    return -0.5 * (mg.square((z - mean) * _exp(-log_std)) + (2 * log_std + LN_2PI))


def elbo_terms(
    model: Model,
    likelihood: Likelihood,
    parameters: Parameters,
    y: Any,
    noise: Any,
    form: str = "closed",
    log_sigma: Any = None,
) -> tuple[Any, Any]:
    """What the one-sample ELBO is the sum of: a number per pixel (N, H, W, C) and one per latent (N, latent), in nats.

    `form` is "closed" (ln Q(y|z) and −KL) or "sampled" (ln Q(y|z) and ln Q(z) − ln P(z|y)). Raises ValueError for an
    unknown form, and for images or noise of another shape.
    """
    if form not in FORMS:
        raise ValueError(f"unknown form {form!r} of the objective: use {' or '.join(FORMS)}")
    if y.shape[1:] != model.image_shape or noise.shape != (len(y), model.latent):
        raise ValueError(
            f"the model takes images (N, {', '.join(map(str, model.image_shape))}) and noise (N, {model.latent}), got "
            f"{y.shape} and {noise.shape}"
        )
    mean, log_std = model.encode(parameters.encoder, y)
    z = mg.gaussian_sample(mean, log_std, noise)
    log_sigma = parameters.log_sigma if log_sigma is None else log_sigma
    pixels = likelihood.log_prob(y, model.decode(parameters.decoder, z), log_sigma)
    if form == "closed":
        return pixels, -kl_to_prior(mean, log_std)
    return pixels, log_normal(z) - log_normal(z, mean, log_std)


class Weights(NamedTuple):
    """What a training loss multiplies the two sums of the ELBO by; the bound itself has 1 and 1 (see `vae.explain`)."""

    pixels: float = 1.0
    latents: float = 1.0


UNWEIGHTED = Weights()


def elbo_sums(
    model: Model,
    likelihood: Likelihood,
    parameters: Parameters,
    y: Any,
    noise: Any,
    form: str = "closed",
    log_sigma: Any = None,
) -> tuple[Any, Any]:
    """The `elbo_terms` of each image summed over its pixels and over its latents, (N,) and (N,), in nats."""
    pixels, latents = elbo_terms(model, likelihood, parameters, y, noise, form, log_sigma)
    return mg.sum(pixels, axis=(1, 2, 3)), mg.sum(latents, axis=1)


def elbo(
    model: Model,
    likelihood: Likelihood,
    parameters: Parameters,
    y: Any,
    noise: Any,
    form: str = "closed",
    log_sigma: Any = None,
) -> Any:
    """The one-sample ELBO of each image, (N,), in nats, for images y (N, H, W, C) and noise ε (N, latent).

    The two forms (see `elbo_terms`) have the same expectation over ε.
    """
    pixels, latents = elbo_sums(model, likelihood, parameters, y, noise, form, log_sigma)
    return pixels + latents


def importance_bound(
    model: Model, likelihood: Likelihood, parameters: Parameters, y: Any, noise: Any, log_sigma: Any = None
) -> Any:
    """ln (1/K) Σ_k Q(y, z_k)/P(z_k|y) of each image, (N,), in nats: Burda et al. 2015.

    `noise` is an array (K, N, latent), or an iterator over K arrays (N, latent).
    """
    weights = [elbo(model, likelihood, parameters, y, eps, "sampled", log_sigma) for eps in noise]
    return mg.logsumexp(mg.stack(weights), axis=0) - math.log(len(weights))


def implications(likelihood: Likelihood, binary: bool, pixels: int) -> str:
    """One sentence: what the reported numbers are, whatever loss was trained, and what to compare them with."""
    unit = f"−ELBO in nats per image, summed over {pixels} pixels and all latents, averaged over images; KL weight 1"
    if likelihood.name == "bernoulli":
        kind = (
            "binary pixels, a bound on −ln Q(y)"
            if binary
            else "grey pixels, a bound on E −ln Q(y) of dynamically binarised images, not comparable with static ones"
        )
        return f"bernoulli: {kind}; {unit}."
    if likelihood.mode == "fixed":
        s = likelihood.sigma
        sigma = f"σ² = {s**2:g} fixed" if likelihood.name == "gaussian" else f"scale {s:g} fixed, variance {2 * s**2:g}"
    else:
        sigma = f"σ {likelihood.mode}"
        if likelihood.mode == "profiled":
            sigma += " per batch, then kept for evaluation (the train −ELBO is no bound, the test −ELBO is)"
    return f"{likelihood.name}: {sigma}, normaliser included, a bound on the density −ln Q(y); {unit}."
