"""The evidence lower bound, in nats: summed over pixels and latents, one number per image.

    ln Q(y) ≥ E_P[ln Q(y|z) + ln Q(z)] + H(P(z|y))        (slides 6 and 7)

with Q(z) = N(0, I), P(z|y) = N(μ(y), diag σ(y)²) and z = μ + σ·ε, ε ~ N(0, I) (slide 13). The entropy has the two
forms of the slides: `sampled`, H = E −ln P(z|y) with the same ε (slide 13), or `closed`, combined with the prior into
−KL(P, Q(z)). The noise ε is always an argument.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import minigrad as mg
from vae.autoencoder import Autoencoder
from vae.likelihoods import LN_2PI
from vae.sigma import exp

FORMS = ("closed", "sampled")
REDUCTIONS = ("sum", "mean")


def kl_to_prior(mean: Any, log_std: Any) -> Any:
    """KL(N(μ, σ²), N(0, 1)) = ½ (μ² + σ² − 1 − 2 ln σ) of each latent, in nats."""
    return 0.5 * (mg.square(mean) + mg.exp(2 * log_std) - 1 - 2 * log_std)


def log_normal(z: Any, mean: Any = 0.0, log_std: Any = 0.0) -> Any:
    """ln N(z; μ, σ²) of each latent, in nats."""
    return -0.5 * (mg.square((z - mean) * exp(-log_std)) + (2 * log_std + LN_2PI))


def elbo_terms(
    autoencoder: Autoencoder,
    y: Any,
    noise: Any,
    form: str = "closed",
    log_sigma: Any = None,
) -> tuple[Any, Any]:
    """The terms of the ELBO for noise ε (N, latent), or for K samples of each image with ε (K, N, latent), in nats: one
    per pixel, ([K,] N, H, W, C), and one per latent, ([K,] N, latent).

    `form` is "closed" (ln Q(y|z) and −KL, whose shape is always (N, latent)) or "sampled" (ln Q(y|z) and
    ln Q(z) − ln P(z|y)). Raises ValueError for an unknown form, and for images or noise of the wrong shape.
    """
    check_shapes(autoencoder, y, noise, form)
    mean, log_std = autoencoder.encode(y)
    return terms_at(autoencoder, y, mg.gaussian_sample(mean, log_std, noise), mean, log_std, form, log_sigma)


def terms_at(
    autoencoder: Autoencoder, y: Any, z: Any, mean: Any, log_std: Any, form: str, log_sigma: Any = None
) -> tuple[Any, Any]:
    """The `elbo_terms` at samples z ([K,] N, latent) of P(z|y) = N(μ, σ²), whose μ and ln σ are (N, latent)."""
    log_sigma = autoencoder.parameters.log_sigma if log_sigma is None else log_sigma
    pixels = autoencoder.likelihood.log_prob(y, autoencoder.decode(z), log_sigma)
    if form == "closed":
        return pixels, -kl_to_prior(mean, log_std)
    return pixels, log_normal(z) - log_normal(z, mean, log_std)


def check_shapes(autoencoder: Autoencoder, y: Any, noise: Any, form: str) -> None:
    """Raises ValueError for an unknown form, and for images or noise of the wrong shape."""
    if form not in FORMS:
        raise ValueError(f"unknown form {form!r} of the objective: use {' or '.join(FORMS)}")
    model, fits = autoencoder.model, noise.ndim in (2, 3) and 0 not in noise.shape[:-2]
    if y.shape[1:] != model.image_shape or not fits or noise.shape[-2:] != (len(y), model.latent):
        raise ValueError(
            f"the model takes images (N, {', '.join(map(str, model.image_shape))}) and noise (N, {model.latent}) or "
            f"(K, N, {model.latent}), got {y.shape} and {noise.shape}"
        )


class Weights(NamedTuple):
    """The factors of the two sums of the ELBO in a training loss; the ELBO itself has 1 and 1 (see `vae.explain`)."""

    pixels: float = 1.0
    latents: float = 1.0


UNWEIGHTED = Weights()


def sum_terms(pixels: Any, latents: Any) -> tuple[Any, Any]:
    """Terms summed over the pixels and over the latents of each image."""
    return mg.sum(pixels, axis=(-3, -2, -1)), mg.sum(latents, axis=-1)


def elbo_sums(
    autoencoder: Autoencoder,
    y: Any,
    noise: Any,
    form: str = "closed",
    log_sigma: Any = None,
) -> tuple[Any, Any]:
    """The `elbo_terms` summed over the pixels and over the latents of each image, ([K,] N) each, in nats; −KL is
    always (N,)."""
    return sum_terms(*elbo_terms(autoencoder, y, noise, form, log_sigma))


def elbo(
    autoencoder: Autoencoder,
    y: Any,
    noise: Any,
    form: str = "closed",
    log_sigma: Any = None,
) -> Any:
    """The ELBO of each image and sample, ([K,] N), in nats, for images y (N, H, W, C) and noise ε ([K,] N, latent).

    The two forms (see `elbo_terms`) have the same expectation over ε. In the sampled form it is the log weight
    ln Q(z, y)/P(z|y) of the sample.
    """
    pixels, latents = elbo_sums(autoencoder, y, noise, form, log_sigma)
    return pixels + latents


def importance_bound(autoencoder: Autoencoder, y: Any, noise: Any, log_sigma: Any = None) -> Any:
    """ln (1/K) Σ_k Q(y, z_k)/P(z_k|y) of each image, (N,), in nats, for noise ε (K, N, latent) (Burda et al. 2015)."""
    return log_mean(elbo(autoencoder, y, noise, "sampled", log_sigma))


def log_mean(log_weights: Any) -> Any:
    """ln (1/K) Σ_k w_k for log weights (K, N), (N,)."""
    return mg.logsumexp(log_weights, axis=0) - math.log(len(log_weights))
