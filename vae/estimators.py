"""The objectives of training, and estimators of their gradients from K samples of each image.

With z_k = μ + σ·ε_k ~ P(z|y) and log weights ℓ_k = ln Q(z_k, y) − ln P(z_k|y), the objectives are bounds on ln Q(y):

    elbo, stl     L = (1/K) Σ ℓ_k              the ELBO
    iwae, dreg    L = ln (1/K) Σ exp ℓ_k       the importance-weighted bound (Burda et al. 2015)

ℓ_k depends on the decoder θ, and on the encoder ψ in two ways: through z_k, and through μ and σ in ln P(z_k|y), whose
derivative there is the *score*. For K samples, with v_k = exp ℓ_k / Σ exp ℓ_j, the gradients are

             ∂θ             ∂ψ through z      score
    elbo    1/K · ∂θ ℓ_k    1/K · ∂z ℓ_k      1/K      the derivative of L
    stl     1/K             1/K               –        "sticking the landing" (Roeder, Wu and Duvenaud 2017)
    iwae    v_k             v_k               v_k      the derivative of L
    dreg    v_k             v_k²              –        doubly reparameterised (Tucker et al. 2018)

each summed over k. `stl` has the mean of `elbo`, since the score has mean 0, and `dreg` that of `iwae`, since

    E Σ v_k·score_k = E Σ ∂v_k/∂z_k · ∂ψ z_k = E Σ (v_k − v_k²)·∂z ℓ_k · ∂ψ z_k.

For both, ∂ψ has no noise where P(z|y) is the posterior. If ln P(z|y) has weight β in ℓ_k, the score has, too, and
`dreg` needs (1 − β)·v_k + β·v_k². For K = 1 `iwae` is `elbo` and `dreg` is `stl`, to the bit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import minigrad as mg
from vae.autoencoder import Autoencoder
from vae.models import Parameters
from vae.objectives import UNWEIGHTED, Weights, check_shapes, log_mean, sum_terms, terms_at


class Objective(NamedTuple):
    """An objective and the estimator of its gradient: a row of the table above."""

    importance: bool  # whether samples count by their weight v_k, or all alike
    score: bool  # whether the derivative of ln P(z|y) in μ and σ is kept


OBJECTIVES = {
    "elbo": Objective(importance=False, score=True),
    "iwae": Objective(importance=True, score=True),
    "stl": Objective(importance=False, score=False),
    "dreg": Objective(importance=True, score=False),
}


def estimate(
    objective: str,
    sample: Callable[[Any], tuple[Any, Any, Any]],
    encoder: Any,
    terms: Callable[[Any, Any, Any, Any], tuple[Any, Any]],
    decoder: Any,
    weights: Weights = UNWEIGHTED,
    scale: float = 1.0,
) -> tuple[Any, Any, Any]:
    """The bound L of each image, (N,), in nats, and `scale` times the estimated gradients of its sum over the images in
    `encoder` and in `decoder`, which are trees.

    `sample(encoder)` returns z ([K,] N, latent), μ and ln σ; `terms(decoder, z, μ, ln σ)` returns two parts of ℓ,
    ([K,] N) each: ln Q(y|z), and ln Q(z) − ln P(z|y) or, for `elbo` alone, −KL (N,). The gradient is that of the bound
    with these parts multiplied by `weights`; the bound itself is returned without them.
    """
    importance, score = OBJECTIVES[objective]
    encoded, pull_sample = mg.vjp(sample, encoder)
    (pixels, latents), pull_terms = mg.vjp(terms, decoder, *encoded)
    share = _share(weights.pixels * pixels + weights.latents * latents, importance)
    of_latents = share if latents.ndim == share.ndim else mg.sum(share, axis=0)  # −KL is the same for all samples
    cotangents = scale * weights.pixels * share, scale * weights.latents * of_latents
    decoder_bar, z_bar, mean_bar, std_bar = pull_terms(cotangents)
    if not score:
        mean_bar, std_bar = mg.zeros_like(mean_bar), mg.zeros_like(std_bar)
        z_bar = _landing_weight(share, weights)[..., None] * z_bar if importance else z_bar
    (encoder_bar,) = pull_sample((z_bar, mean_bar, std_bar))
    return _bound(pixels + latents, importance), encoder_bar, decoder_bar


def bound_and_gradient(
    autoencoder: Autoencoder,
    y: Any,
    noise: Any,
    objective: str = "elbo",
    form: str = "sampled",
    weights: Weights = UNWEIGHTED,
    log_sigma: Any = None,
    scale: float = 1.0,
) -> tuple[Any, Parameters]:
    """The bound L of each image, (N,), in nats, and `scale` times the estimated gradient of its sum over the images.

    Images y are (N, H, W, C), noise ε is (N, latent) or (K, N, latent). See `estimate` for the weights; `form` "closed"
    is that of `vae.objectives`. Raises ValueError for an unknown objective or form, for shapes that do not fit, and for
    a form that does not go with the objective.
    """
    _check(autoencoder, y, noise, objective, form)
    encoder, decoder, own_sigma = autoencoder.parameters

    def sample(encoder: Any) -> tuple[Any, Any, Any]:
        mean, log_std = autoencoder.model.encode(encoder, y)
        return mg.gaussian_sample(mean, log_std, noise), mean, log_std

    def terms(rest: Any, z: Any, mean: Any, log_std: Any) -> tuple[Any, Any]:
        now = autoencoder.with_parameters(Parameters(encoder, *rest))
        return sum_terms(*terms_at(now, y, z, mean, log_std, form, log_sigma))

    bound, encoder_bar, rest = estimate(objective, sample, encoder, terms, (decoder, own_sigma), weights, scale)
    return bound, Parameters(encoder_bar, *rest)


def make_surrogate(
    autoencoder: Autoencoder,
    y: Any,
    noise: Any,
    objective: str = "elbo",
    form: str = "sampled",
    weights: Weights = UNWEIGHTED,
) -> Callable[[Parameters], tuple[Any, ...]]:
    """A function of the parameters that returns arrays of terms, and of whose sum the estimate is the derivative at the
    autoencoder's own parameters. Finite differences of it check the estimate.

    For `elbo` and `iwae` its sum is the bound. For the other two, what the estimate takes as constant is constant here:
    μ̄ and σ̄ in ln P(z|y), and v̄_k. As `dreg` weights samples in two ways, its terms count twice, with one weight for
    the decoder and with the other for the encoder.
    """
    _check(autoencoder, y, noise, objective, form)
    importance, score = OBJECTIVES[objective]
    importance, samples = importance and noise.ndim == 3, len(noise) if noise.ndim == 3 else 1
    mean, log_std = autoencoder.encode(y)
    z = mg.gaussian_sample(mean, log_std, noise)

    def parts(decoder: Parameters, z: Any, *encoded: Any) -> tuple[Any, Any]:
        pixels, latents = terms_at(autoencoder.with_parameters(decoder), y, z, *encoded, form)
        return weights.pixels * pixels, weights.latents * latents

    share = _share(sum(sum_terms(*parts(autoencoder.parameters, z, mean, log_std))), importance)

    def surrogate(parameters: Parameters) -> tuple[Any, ...]:
        now = autoencoder.with_parameters(parameters).encode(y)
        moved, encoded = mg.gaussian_sample(*now, noise), now if score else (mean, log_std)
        if not importance:
            pixels, latents = parts(parameters, moved, *encoded)
            return (1 / samples) * pixels, (1 if form == "closed" else 1 / samples) * latents
        if score:
            return (log_mean(sum(sum_terms(*parts(parameters, moved, *encoded)))),)
        of_decoder = sum(sum_terms(*parts(parameters, z, *encoded)))
        of_encoder = sum(sum_terms(*parts(autoencoder.parameters, moved, *encoded)))
        return share * of_decoder, share * _landing_weight(share, weights) * of_encoder

    return surrogate


def _check(autoencoder: Autoencoder, y: Any, noise: Any, objective: str, form: str) -> None:
    """Raises ValueError for an unknown objective or form, wrong shapes, or a form that does not fit the objective."""
    check_shapes(autoencoder, y, noise, form)
    if objective not in OBJECTIVES:
        *most, last = OBJECTIVES
        raise ValueError(f"unknown objective {objective!r}: use {', '.join(most)} or {last}")
    if form == "closed" and objective != "elbo":
        raise ValueError(f"the objective {objective} is made of samples of ln P(z|y): it needs the form sampled")


def _share(log_weights: Any, importance: bool) -> Any:
    """How much each sample counts, in the shape of the log weights ([K,] N): 1/K, or v_k."""
    if log_weights.ndim == 1:
        return mg.ones_like(log_weights)
    if importance:
        return mg.exp(log_weights - mg.logsumexp(log_weights, axis=0))
    return mg.ones_like(log_weights) / len(log_weights)


def _landing_weight(share: Any, weights: Weights) -> Any:
    """What `dreg` multiplies v_k by in ∂ψ: v_k, or 1 − β + β·v_k if ln P(z|y) has weight β."""
    return 1 - weights.latents + weights.latents * share


def _bound(log_weights: Any, importance: bool) -> Any:
    """L of each image, (N,)."""
    if log_weights.ndim == 1:
        return log_weights
    return log_mean(log_weights) if importance else mg.mean(log_weights, axis=0)
