"""What a training loss says: which σ² it implies, how much its KL weighs, and whether it bounds ln Q(y) at all.

`vae train` minimises, averaged over images and over ε,

    loss = s·R(σ) + β·KL,    R(σ) = Σ −ln Q(y|z) over the D pixels,    s = 1 (sum) or 1/D (mean over pixels),

where R(σ) + KL = −ELBO ≥ −ln Q(y). Adding a constant to a loss, or multiplying it by a positive one, moves no minimum:
two losses with loss = scale·(other) + offset train the same model. So, with w = β/s the weight of KL beside R:

1.  Any decoder: loss = s·(R + w·KL). Because KL ≥ 0, w ≥ 1 leaves a bound, lower by (w−1)·KL. A w < 1 does not: where
    P(z|y) is the posterior, −(R + w·KL) = ln Q(y) + (1−w)·KL.

2.  A Gaussian decoder with fixed σ: R(σ) = S/2σ² + (D/2) ln 2πσ² with S = Σ (y−ŷ)², and for σ'² = w·σ² (β > 0)

        loss = β·(R(σ') + KL) + s·(D/2) ln 2πσ² − β·(D/2) ln 2πσ'²,      since s·S/2σ² = β·S/2σ'².

    It is −ELBO after all, of the decoder with σ'² and with KL counted once: a bound on *that* decoder's ln Q(y).
    The mean of (y−ŷ)² plus β·KL has s = 1/D and σ² = ½, so σ'² = βD/2: the customary β = 0.00025 on 64×64×3 pixels
    is σ'² = 1.536, a decoder blurrier than the whole range [0, 1] of a pixel.

3.  A Laplace decoder with fixed scale σ: R(σ) = Σ|y−ŷ|/σ + D ln 2σ, and in the same way, for σ' = w·σ,
    loss = β·(R(σ') + KL) + s·D ln 2σ − β·D ln 2σ'.

4.  A learned σ cannot take w in, because its normaliser is trained along: whatever w is, σ² = S/D at the optimum (for
    Laplace σ = Σ|y−ŷ|/D). Rule 1.

5.  A profiled σ is chosen after the batch and its ε are seen, and E max_σ ≥ max_σ E: where P(z|y) is the posterior
    under the best σ, −loss/s exceeds ln Q(y) under that σ, and so under every σ. A w > 1 need not mend that: with
    images of one pixel, it is exceeded for every w. Evaluation keeps one σ for all images; its numbers are bounds.

A clamp on the encoder's ln σ² only says which P(z|y) are at hand, and a bound holds for each of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from vae.config import Config
from vae.likelihoods import Likelihood, write_factor


@dataclass(frozen=True)
class Explanation:
    """loss = scale·(−ELBO of a decoder with `sigma_squared`, KL weighed `beta` in it) + offset.

    `is_bound` tells whether (offset − loss)/scale, averaged over ε, is sure never to exceed ln Q(y); to a bernoulli
    decoder, y is binary, and a grey image stands for the mean over its random binarisations.
    """

    sigma_squared: float | None  # σ² of a gaussian, the scale squared of a laplace decoder; None where it is not fixed
    beta: float
    scale: float
    offset: float  # nats
    is_bound: bool
    why: str
    sentence: str

    def __str__(self) -> str:
        return self.sentence


def explain_loss(config: Config, image_shape: tuple[int, int, int] = (28, 28, 1)) -> Explanation:
    """What the loss of a configuration says for images (H, W, C). Raises UserError for images its model cannot take.

    >>> print(explain_loss(Config(decoder="gaussian", sigma="0.5", beta=4)).sigma_squared)
    1.0
    """
    pixels = math.prod(config.make_model(image_shape).image_shape)
    likelihood = config.make_likelihood()
    s, beta = config.make_weights(image_shape)
    weight = beta / s
    if math.isclose(weight, 1, rel_tol=1e-12):  # 1/D is rounded
        weight = 1.0
    stated, effective, scale, offset = likelihood, weight, s, 0.0
    absorbed = likelihood.absorb(weight) if beta > 0 else None
    if absorbed is not None:  # rules 2 and 3
        stated, effective, scale = absorbed, 1.0, beta
        offset = pixels * (s * likelihood.log_normaliser() - beta * absorbed.log_normaliser())
    is_bound = effective >= 1 and not likelihood.profiled
    if likelihood.profiled:
        why = "σ is chosen after the batch and its noise are seen; kept for the test images it gives one"
    elif effective < 1:
        why = f"where P(z|y) is the posterior it gives ln Q(y) + {write_factor(1 - effective)}KL"
    elif effective > 1:
        why = f"{write_factor(effective - 1)}KL below that of β = 1"
    elif weight != 1:
        why = f"{write_factor(weight)}KL beside {likelihood.qualify()} is KL beside {stated.qualify()}"
    else:
        why = "the ELBO itself"
    sentence = (
        f"loss = {_formula(config, likelihood)}: {'' if scale == 1 else f'{scale:.4g} × '}−ELBO of a {stated.name} "
        f"decoder{', ' if stated.has_sigma else ' of '}{stated.qualify()}, β = {effective:.4g}: "
        f"{'a' if is_bound else 'no'} bound on ln Q(y) ({why})"
    )
    sigma = stated.fixed_sigma
    return Explanation(None if sigma is None else sigma**2, effective, scale, offset, is_bound, why, sentence)


def _formula(config: Config, likelihood: Likelihood) -> str:
    """The loss as it is computed, of one image."""
    latents = "KL" if config.form == "closed" else "(ln P(z|y) − ln Q(z))"
    parts = [f"{config.reduction} over pixels of {likelihood.write_term()}"]
    parts += [f"{write_factor(config.beta)}{latents}"] * (config.beta > 0)
    parts += ["constant"] * (likelihood.fixed_sigma is not None)
    clamp = "" if config.clamp is None else f", with the encoder's ln σ² within ±{config.clamp:g}"
    return " + ".join(parts) + clamp


def implications(likelihood: Likelihood, binary: bool, pixels: int) -> str:
    """One sentence: what the reported numbers are, whatever loss was trained, and what to compare them with."""
    unit = f"−ELBO in nats per image, summed over {pixels} pixels and all latents, averaged over images; KL weight 1"
    return f"{likelihood.name}: {likelihood.describe_bound(binary)}; {unit}."
