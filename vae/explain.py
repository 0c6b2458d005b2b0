"""Interpret a training loss: the σ² it implies, the weight of its KL, and whether it bounds ln Q(y).

`vae train` minimises, averaged over images and over ε,

    loss = s·R(σ) + β·KL,    R(σ) = Σ −ln Q(y|z) over the D pixels,    s = 1 (sum) or 1/D (mean over pixels),

where R(σ) + KL = −ELBO ≥ −ln Q(y). Adding a constant to a loss, or multiplying it by a positive one, does not move its
minimum: two losses with loss = scale·(other) + offset train the same model. So, with w = β/s, the weight of KL
relative to R:

1.  Any decoder: loss = s·(R + w·KL). Because KL ≥ 0, −(R + w·KL) is a bound for w ≥ 1, lower than the ELBO by
    (w−1)·KL. For w < 1 it is not: if P(z|y) is the posterior, −(R + w·KL) = ln Q(y) + (1−w)·KL.

2.  A Gaussian decoder with fixed σ: R(σ) = S/2σ² + (D/2) ln 2πσ² with S = Σ (y−ŷ)², and for σ'² = w·σ² (β > 0)

        loss = β·(R(σ') + KL) + s·(D/2) ln 2πσ² − β·(D/2) ln 2πσ'²,      since s·S/2σ² = β·S/2σ'².

    Up to scale and offset this is −ELBO of the decoder with σ'² and KL weight 1: a bound on *that* decoder's ln Q(y).
    The loss mean (y−ŷ)² + β·KL has s = 1/D and σ² = ½, so σ'² = βD/2: the usual β = 0.00025 on 64×64×3 pixels implies
    σ'² = 1.536, noise wider than the whole range [0, 1] of a pixel.

3.  A Laplace decoder with fixed scale σ: R(σ) = Σ|y−ŷ|/σ + D ln 2σ, and likewise, for σ' = w·σ,
    loss = β·(R(σ') + KL) + s·D ln 2σ − β·D ln 2σ'.

4.  A learned σ cannot absorb w, because its normaliser is trained too: σ² = S/D at the optimum for every w (for
    Laplace, σ = Σ|y−ŷ|/D). Rule 1 applies.

5.  A profiled σ is chosen after seeing the batch and its ε, and E max_σ ≥ max_σ E: if P(z|y) is the posterior under
    the best σ, −loss/s exceeds ln Q(y) under that σ, and so under every σ. A w > 1 need not restore the bound: with
    images of one pixel, −loss/s exceeds ln Q(y) for every w. Evaluation uses one σ for all images; its numbers are
    bounds.

6.  An importance-weighted objective of K > 1 samples is ln (1/K) Σ exp(−R − w·(ln P(z|y) − ln Q(z))). For w = 1 the
    mean of exp(…) over ε is Q(y), so by Jensen's inequality it is a bound. For w ≠ 1 that mean is another number, and w
    cannot be absorbed by σ, since it does not multiply the whole objective.

With K samples, the sum over them is averaged in rules 1 to 5. The estimators `stl` and `dreg` change the noise of the
gradient, not its mean. A warm-up changes the weight only for a time.

A clamp on the encoder's ln σ² only restricts the choice of P(z|y); the bounds hold for every P(z|y).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from vae.config import Config
from vae.estimators import OBJECTIVES
from vae.likelihoods import Likelihood
from vae.numbers import write_factor


@dataclass(frozen=True)
class Explanation:
    """loss = scale·(−ELBO of a decoder with `sigma_squared`, with KL weight `beta`) + offset.

    `is_bound`: whether (offset − loss)/scale, averaged over ε, is guaranteed not to exceed ln Q(y). For a bernoulli
    decoder y is binary, and a grey image stands for the mean over its random binarisations.
    """

    sigma_squared: float | None  # σ² of a gaussian, the scale squared of a laplace decoder; None if it is not fixed
    beta: float
    scale: float
    offset: float  # nats
    is_bound: bool
    why: str
    sentence: str

    def __str__(self) -> str:
        return self.sentence


def explain_loss(config: Config, image_shape: tuple[int, int, int] = (28, 28, 1)) -> Explanation:
    """Explain the loss of a configuration for images (H, W, C). Raises UserError if its model cannot take such images.

    >>> print(explain_loss(Config(decoder="gaussian", sigma="0.5", beta=4)).sigma_squared)
    1.0
    """
    pixels = math.prod(config.make_model(image_shape).image_shape)
    likelihood = config.make_likelihood()
    s, beta = config.make_weights(image_shape)
    weight = beta / s
    if math.isclose(weight, 1, rel_tol=1e-12):  # 1/D is rounded
        weight = 1.0
    importance = OBJECTIVES[config.objective].importance and config.samples > 1
    implied, effective, scale, offset = likelihood, weight, s, 0.0
    absorbed = likelihood.absorb(weight) if beta > 0 and not importance else None
    if absorbed is not None:  # rules 2 and 3
        implied, effective, scale = absorbed, 1.0, beta
        offset = pixels * (s * likelihood.log_normaliser() - beta * absorbed.log_normaliser())
    is_bound = effective >= 1 and not likelihood.profiled
    if likelihood.profiled:
        why = "σ is chosen after seeing the batch and its noise; with one σ for all test images it is a bound"
    elif importance:
        is_bound = effective == 1
        why = f"importance-weighted, of {config.samples} samples" if is_bound else "importance weights need β = 1"
    elif effective < 1:
        why = f"if P(z|y) is the posterior, it equals ln Q(y) + {write_factor(1 - effective)}KL"
    elif effective > 1:
        why = f"{write_factor(effective - 1)}KL below the bound of β = 1"
    elif weight != 1:
        why = f"{write_factor(weight)}KL with {likelihood.qualify()} is equivalent to KL with {implied.qualify()}"
    else:
        why = "the ELBO itself"
    sentence = (
        f"loss = {_write_loss(config, likelihood, importance)}: {'' if scale == 1 else f'{scale:.4g} × '}"
        f"−{'L' if importance else 'ELBO'} of a {implied.name} "
        f"decoder{', ' if implied.has_sigma else ' of '}{implied.qualify()}, β = {effective:.4g}: "
        f"{'a' if is_bound else 'no'} bound on ln Q(y) ({why})"
    )
    sigma = implied.fixed_sigma
    return Explanation(None if sigma is None else sigma**2, effective, scale, offset, is_bound, why, sentence)


def _write_loss(config: Config, likelihood: Likelihood, importance: bool) -> str:
    """The formula of the loss of one image."""
    latents = "KL" if config.form == "closed" else "(ln P(z|y) − ln Q(z))"
    parts = [f"{config.reduction} over pixels of {likelihood.write_term()}"]
    parts += [f"{write_factor(config.beta)}{latents}"] * (config.beta > 0)
    parts += ["constant"] * (likelihood.fixed_sigma is not None)
    loss, more = " + ".join(parts), []
    if importance:
        loss = f"−ln of the mean of e^−({loss}) over {config.samples} samples"
    elif config.samples > 1:
        more.append(f"averaged over {config.samples} samples")
    if not OBJECTIVES[config.objective].score:
        more.append(f"with the gradient estimated by {config.objective}")
    if config.warm_up and config.beta > 0:
        more.append(f"the weight of {latents} rising from 0 in {config.warm_up:g} epochs")
    if config.clamp is not None:
        low, high = config.clamp[0], config.clamp[-1]
        limits = f"within ±{high:g}" if len(config.clamp) == 1 else f"between {low:g} and {high:g}".replace("-", "−")
        more.append(f"with the encoder's ln σ² {limits}")
    return ", ".join([loss, *more])


def describe_elbo(likelihood: Likelihood, binary: bool, pixels: int) -> str:
    """One sentence: what the reported −ELBO bounds, whatever the training loss, and its units."""
    unit = f"−ELBO in nats per image, summed over {pixels} pixels and all latents, averaged over images; KL weight 1"
    return f"{likelihood.name}: {likelihood.describe_bound(binary)}; {unit}."
