"""The lecture as claims that compute both sides (McAllester, TTIC 31230, winter 2018, the slides on VAEs).

One file a theme, in the order of the slides; `claims` says what a claim is, `run` runs them, `page` writes them up.
"""

from vae.lecture import (  # noqa: F401 (each theme registers its claims)
    amortisation,
    blur,
    codes,
    collapse,
    decoders,
    deconvolution,
    elbo,
    em,
    estimators,
    hard_em,
    hardness,
    image_ladder,
    importance,
    ladder,
    landing,
    linear_vae,
    objective,
    posterior_gradient,
    rate_distortion,
    reparameterisation,
    sampling,
)
from vae.lecture.claims import CLAIMS, Claim, Setting, Sides

__all__ = ["CLAIMS", "Claim", "Setting", "Sides"]
