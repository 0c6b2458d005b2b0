"""Reparameterised Gaussian sampling (lecture, slides 11–13): noise goes in, a differentiable sample comes out."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.backends.formulas import reals
from minigrad.core.arrays import describe, shape_of
from minigrad.core.errors import OperandError
from minigrad.core.interpreter import primitive
from minigrad.core.rules import partials
from minigrad.core.traits import traits
from minigrad.ops.functions import exp


@primitive("gaussian_sample")
def gaussian_sample_p(b, mean, log_std, noise, out=None):
    """z = μ + σ·ε with σ = e^log_std."""
    dtype = b.xp.result_type(mean, log_std, noise)
    std = b.xp.exp(log_std, dtype=dtype if dtype.kind in "fc" else None)  # exp of int8 would be float16
    return b.xp.add(mean, b.xp.multiply(std, noise), out=out)


partials(
    gaussian_sample_p,
    mean=1,
    log_std=lambda log_std, noise: exp(log_std) * noise,  # ∂z/∂ln σ = σ·ε
    noise=lambda log_std: exp(log_std),
)
traits(gaussian_sample_p, formula=reals("a + exp(b) * c"))


def gaussian_sample(mean: Any, log_std: Any, noise: Any) -> Any:
    """z[i] = μ[i] + σ[i]·ε[i] for standard normal noise ε (slide 13); `log_std` is ln σ, not ln σ².

    All three broadcast. The caller passes the noise, so that for a fixed ε the sample is an ordinary function of μ and
    ln σ. Raises ValueError unless the noise has one entry per sampled number, since shared ε give dependent samples.
    """
    shapes = shape_of(mean), shape_of(log_std), shape_of(noise)
    try:
        fits = np.broadcast_shapes(*shapes) == shapes[2]
    except ValueError:
        fits = False
    if not fits:
        raise OperandError(
            "gaussian_sample: mean and log_std must broadcast to the shape of the noise, one entry per sampled "
            f"number; got mean {describe(mean)}, log_std {describe(log_std)} and noise {describe(noise)}"
        )
    return gaussian_sample_p(mean, log_std, noise)
