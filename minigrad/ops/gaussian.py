"""Reparameterised Gaussian sampling (lecture, slides 11–13): noise goes in, a differentiable sample comes out."""

from __future__ import annotations

import numpy as np

from minigrad.core import OperandError, describe, primitive, shape_of
from minigrad.ops.elementwise import exp
from minigrad.rules import partials


@primitive("gaussian_sample")
def gaussian_sample_p(b, mean, log_std, noise, out=None):
    """z = μ + σ·ε with σ = e^log_std."""
    std = b.xp.exp(log_std)
    return b.xp.add(mean, b.xp.multiply(std, noise), out=out)


partials(
    gaussian_sample_p,
    mean=1,
    log_std=lambda log_std, noise: exp(log_std) * noise,  # ∂z/∂ln σ = σ·ε
    noise=lambda log_std: exp(log_std),
)


def gaussian_sample(mean, log_std, noise):
    """z[i] = μ[i] + σ[i]·ε[i] for standard normal noise ε (slide 13); `log_std` is ln σ, not ln σ².

    All three broadcast, and the noise always comes from outside: with a frozen ε the sample is an ordinary function.
    Raises ValueError unless the noise has one entry for each sampled number, since shared ε are no independent draws.
    """
    try:
        sampled = np.broadcast_shapes(shape_of(mean), shape_of(log_std))
    except ValueError:
        raise OperandError(
            f"gaussian_sample: mean {describe(mean)} and log_std {describe(log_std)} do not broadcast"
        ) from None
    if np.broadcast_shapes(shape_of(noise)[-len(sampled) :] if sampled else (), sampled) != sampled:
        pass
    if shape_of(noise) != sampled:
        raise OperandError(
            f"gaussian_sample: a sample of shape {sampled} needs as many noise entries, got {describe(noise)} "
            f"with mean {describe(mean)} and log_std {describe(log_std)}"
        )
    return gaussian_sample_p(mean, log_std, noise)
