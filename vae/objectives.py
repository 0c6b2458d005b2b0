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
from vae.likelihoods import LN_2PI, exp

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
    """The terms of the one-sample ELBO: one per pixel (N, H, W, C) and one per latent (N, latent), in nats.

    `form` is "closed" (ln Q(y|z) and −KL) or "sampled" (ln Q(y|z) and ln Q(z) − ln P(z|y)). Raises ValueError for an
    unknown form, and for images or noise of the wrong shape.
    """
    if form not in FORMS:
        raise ValueError(f"unknown form {form!r} of the objective: use {' or '.join(FORMS)}")
    model = autoencoder.model
    if y.shape[1:] != model.image_shape or noise.shape != (len(y), model.latent):
        raise ValueError(
            f"the model takes images (N, {', '.join(map(str, model.image_shape))}) and noise (N, {model.latent}), got "
            f"{y.shape} and {noise.shape}"
        )
    mean, log_std = autoencoder.encode(y)
    z = mg.gaussian_sample(mean, log_std, noise)
    log_sigma = autoencoder.parameters.log_sigma if log_sigma is None else log_sigma
    pixels = autoencoder.likelihood.log_prob(y, autoencoder.decode(z), log_sigma)
    if form == "closed":
        return pixels, -kl_to_prior(mean, log_std)
    return pixels, log_normal(z) - log_normal(z, mean, log_std)


class Weights(NamedTuple):
    """The factors of the two sums of the ELBO in a training loss; the ELBO itself has 1 and 1 (see `vae.explain`)."""

    pixels: float = 1.0
    latents: float = 1.0


UNWEIGHTED = Weights()


def elbo_sums(
    autoencoder: Autoencoder,
    y: Any,
    noise: Any,
    form: str = "closed",
    log_sigma: Any = None,
) -> tuple[Any, Any]:
    """The `elbo_terms` summed over the pixels and over the latents of each image, (N,) and (N,), in nats."""
    pixels, latents = elbo_terms(autoencoder, y, noise, form, log_sigma)
    return mg.sum(pixels, axis=(1, 2, 3)), mg.sum(latents, axis=1)


def elbo(
    autoencoder: Autoencoder,
    y: Any,
    noise: Any,
    form: str = "closed",
    log_sigma: Any = None,
) -> Any:
    """The one-sample ELBO of each image, (N,), in nats, for images y (N, H, W, C) and noise ε (N, latent).

    The two forms (see `elbo_terms`) have the same expectation over ε.
    """
    pixels, latents = elbo_sums(autoencoder, y, noise, form, log_sigma)
    return pixels + latents


def importance_bound(autoencoder: Autoencoder, y: Any, noise: Any, log_sigma: Any = None) -> Any:
    """ln (1/K) Σ_k Q(y, z_k)/P(z_k|y) of each image, (N,), in nats (Burda et al. 2015).

    `noise` is an array (K, N, latent), or an iterator over K arrays (N, latent).
    """
    weights = [elbo(autoencoder, y, eps, "sampled", log_sigma) for eps in noise]
    return mg.logsumexp(mg.stack(weights), axis=0) - math.log(len(weights))
