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
from vae.objectives import LN_2PI


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
    configured = likelihood.sigma if likelihood.mode == "fixed" and likelihood.name != "bernoulli" else None
    sigma, effective, scale, offset = configured, weight, s, 0.0
    if configured is not None and beta > 0:  # rules 2 and 3
        sigma = configured * (math.sqrt(weight) if likelihood.name == "gaussian" else weight)
        before, after = (_log_normaliser(likelihood.name, x) for x in (configured, sigma))
        effective, scale, offset = 1.0, beta, pixels * (s * before - beta * after)
    is_bound = effective >= 1 and likelihood.mode != "profiled"
    if likelihood.mode == "profiled":
        why = "σ is chosen after the batch and its noise are seen; kept for the test images it gives one"
    elif effective < 1:
        why = f"where P(z|y) is the posterior it gives ln Q(y) + {_times(1 - effective)}KL"
    elif effective > 1:
        why = f"{_times(effective - 1)}KL below that of β = 1"
    elif weight != 1:
        given, same = (_width(likelihood.name, x) for x in (configured, sigma))
        why = f"{_times(weight)}KL beside {given} is KL beside {same}"
    else:
        why = "the ELBO itself"
    name = f"{likelihood.name} decoder" + " of binary pixels" * (likelihood.name == "bernoulli")
    if likelihood.name != "bernoulli":
        name += f", {_width(likelihood.name, sigma) if sigma else f'σ {likelihood.mode}'}"
    sentence = (
        f"loss = {_formula(config, configured)}: {'' if scale == 1 else f'{scale:.4g} × '}−ELBO of a {name}, "
        f"β = {effective:.4g}: {'a' if is_bound else 'no'} bound on ln Q(y) ({why})"
    )
    return Explanation(None if sigma is None else sigma**2, effective, scale, offset, is_bound, why, sentence)


def _log_normaliser(name: str, sigma: float) -> float:
    """What a pixel costs besides its error, in nats."""
    return 0.5 * (LN_2PI + 2 * math.log(sigma)) if name == "gaussian" else math.log(2 * sigma)


def _width(name: str, sigma: float) -> str:
    return f"σ² = {sigma**2:.4g}" if name == "gaussian" else f"scale {sigma:.4g}"


def _times(factor: float) -> str:
    """`0.5·`, and nothing for 1."""
    return "" if f"{factor:.4g}" == "1" else f"{factor:.4g}·"


def _formula(config: Config, sigma: float | None) -> str:
    """The loss as it is computed, of one image."""
    if config.decoder == "bernoulli":
        pixel = "(−y ln ŷ − (1−y) ln(1−ŷ))"
    elif sigma is None:
        pixel = "((y−ŷ)²/2σ² + ½ ln 2πσ²)" if config.decoder == "gaussian" else "(|y−ŷ|/σ + ln 2σ)"
    else:
        gaussian = config.decoder == "gaussian"
        pixel = f"{_times(1 / (2 * sigma**2))}(y−ŷ)²" if gaussian else f"{_times(1 / sigma)}|y−ŷ|"
    latents = "KL" if config.form == "closed" else "(ln P(z|y) − ln Q(z))"
    parts = [f"{config.reduction} over pixels of {pixel}"]
    parts += [f"{_times(config.beta)}{latents}"] * (config.beta > 0) + ["constant"] * (sigma is not None)
    clamp = "" if config.clamp is None else f", with the encoder's ln σ² within ±{config.clamp:g}"
    return " + ".join(parts) + clamp
