"""Likelihoods Q(y|z): each class turns the decoder's output for a pixel into a distribution over the pixel's value.

    bernoulli   the output is a logit; no σ
    gaussian    N(ŷ, σ²) with ŷ = sigmoid(output): slide 14's L2 decoder, with its normaliser
    laplace     e^(−|y−ŷ|/σ) / 2σ, the L1 decoder; here σ is the scale, the standard deviation is √2·σ
    logistic    a probability for each of the 256 values of an 8-bit pixel; two outputs per pixel and channel, no σ

A class holds every formula and every text that depends on its decoder. To add a decoder, write its class and add it to
`LIKELIHOODS`, which also lists the choices of `--decoder`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np

import minigrad as mg
from vae.discretised import bound_log_scale, clipped_mean, draw_levels, log_mass
from vae.numbers import write_factor
from vae.sigma import UNIT, Sigma, exp

LN_2PI = math.log(2 * math.pi)


@dataclass(frozen=True)
class Likelihood(ABC):
    """A distribution over the value of each pixel, given the decoder's output.

    The output is called `pixels` and has `outputs` numbers per pixel and channel: (N, H, W, C·outputs).
    Raises ValueError if the decoder has no σ and one is given.
    """

    name: ClassVar[str]
    has_sigma: ClassVar[bool] = True
    outputs: ClassVar[int] = 1
    eight_bit: ClassVar[bool] = False  # whether Q(y) is a probability of 8-bit images, for bits per dimension
    sigma: Sigma = UNIT

    def __post_init__(self) -> None:
        if not self.has_sigma and self.sigma != UNIT:
            others = " or ".join(name for name, kind in LIKELIHOODS.items() if kind.has_sigma)
            raise ValueError(f"the {self.name} decoder has no σ to set, learn or profile: use {others}")

    # Formulas

    @abstractmethod
    def mean(self, pixels: Any) -> Any:
        """The expected image ŷ, in [0, 1]."""

    def output_for(self, mean: Any) -> Any:
        """The decoder's output whose expected image is `mean`, kept within 0.001 … 0.999: the inverse of `mean`."""
        p = np.clip(np.asarray(mean, np.float64), 0.001, 0.999)
        return np.log(p / (1 - p))

    @abstractmethod
    def log_prob(self, y: Any, pixels: Any, log_sigma: Any = None) -> Any:
        """ln Q(y|z) of each pixel, (N, H, W, C), in nats. `log_sigma`, if given, overrides `sigma`."""

    @abstractmethod
    def draw(self, key: Any, pixels: Any, log_sigma: Any = None) -> Any:
        """y ~ Q(y|z), (N, H, W, C), in the output's dtype. A profiled σ must be given, as `log_sigma`."""

    @abstractmethod
    def distance(self, y: Any, pixels: Any) -> Any:
        """The error of each pixel, (N, H, W, C), whose mean determines the best σ."""

    @abstractmethod
    def best_log_sigma(self, mean_distance: float) -> Any:
        """The most likely ln σ for pixels with this mean distance. Raises ValueError if the decoder has no σ."""

    @abstractmethod
    def absorb(self, weight: float) -> Likelihood | None:
        """The decoder whose σ divides −ln Q(y|z) by `weight`, up to a constant; None if there is no such σ.

        With it, a KL of weight `weight` gets weight 1 (see `vae.explain`).
        """

    # Texts

    @abstractmethod
    def qualify(self) -> str:
        """The words after the decoder's name in a sentence: its σ, or the pixels it is for."""

    @abstractmethod
    def write_term(self) -> str:
        """−ln Q(y|z) of a pixel as a formula, without the constant if σ is fixed."""

    @abstractmethod
    def describe_bound(self, binary: bool) -> str:
        """Say what −ELBO bounds, for binary or for grey pixels."""

    # Common to all decoders

    @property
    def learned(self) -> bool:
        return self.sigma.source == "learned"

    @property
    def profiled(self) -> bool:
        return self.sigma.source == "profiled"

    @property
    def fixed_sigma(self) -> float | None:
        """σ if the decoder has one and it is fixed, else None."""
        return self.sigma.value if self.has_sigma and self.sigma.source == "fixed" else None

    def log_normaliser(self) -> float:
        """−ln Q(y|z) of a pixel with ŷ = y under a fixed σ, in nats."""
        return -float(self.log_prob(self.mean(0.0), 0.0))

    def sigma_of(self, log_sigma: Any) -> Any:
        """σ, the fixed one if `log_sigma` is None."""
        return self.sigma.value if log_sigma is None else exp(log_sigma)

    def log_sigma(self, distance: Any) -> Any:
        """The fixed ln σ, or the profiled one for a batch with these distances, (N, H, W, C)."""
        return self.best_log_sigma(mg.mean(distance)) if self.profiled else math.log(self.sigma.value)


@final
class Bernoulli(Likelihood):
    """ln Q(y|z) = y ln p + (1−y) ln(1−p), p = sigmoid(output): linear in y, so grey is the mean over binary y."""

    name, has_sigma = "bernoulli", False

    def mean(self, pixels: Any) -> Any:
        return mg.sigmoid(pixels)

    def log_prob(self, y: Any, pixels: Any, log_sigma: Any = None) -> Any:
        return y * pixels - mg.softplus(pixels)

    def draw(self, key: Any, pixels: Any, log_sigma: Any = None) -> Any:
        return mg.astype(mg.random.uniform(key, pixels.shape, pixels.dtype) < self.mean(pixels), pixels.dtype)

    def distance(self, y: Any, pixels: Any) -> Any:
        return -self.log_prob(y, pixels)

    def best_log_sigma(self, mean_distance: float) -> Any:
        raise ValueError("the bernoulli decoder has no σ")

    def absorb(self, weight: float) -> None:
        return None

    def qualify(self) -> str:
        return "binary pixels"

    def write_term(self) -> str:
        return "(−y ln ŷ − (1−y) ln(1−ŷ))"

    def describe_bound(self, binary: bool) -> str:
        if binary:
            return "binary pixels, a bound on −ln Q(y)"
        return "grey pixels, a bound on E −ln Q(y) of dynamically binarised images, not comparable with static ones"


@final
class Gaussian(Likelihood):
    """ln Q(y|z) = −(y−ŷ)²/2σ² − ½ ln 2πσ²."""

    name = "gaussian"

    def mean(self, pixels: Any) -> Any:
        return mg.sigmoid(pixels)

    def log_prob(self, y: Any, pixels: Any, log_sigma: Any = None) -> Any:
        distance = self.distance(y, pixels)
        log_sigma = self.log_sigma(distance) if log_sigma is None else log_sigma
        return -0.5 * (distance * exp(-2 * log_sigma) + (2 * log_sigma + LN_2PI))

    def draw(self, key: Any, pixels: Any, log_sigma: Any = None) -> Any:
        return self.mean(pixels) + self.sigma_of(log_sigma) * mg.random.normal(key, pixels.shape, pixels.dtype)

    def distance(self, y: Any, pixels: Any) -> Any:
        return mg.square(y - self.mean(pixels))

    def best_log_sigma(self, mean_distance: float) -> Any:
        """σ² = mean (y−ŷ)²."""
        return mg.log(mean_distance) * 0.5

    def absorb(self, weight: float) -> Gaussian | None:
        """(y−ŷ)²/2wσ² = (y−ŷ)²/2σ'² for σ'² = w·σ²."""
        return None if self.fixed_sigma is None else Gaussian(Sigma(self.fixed_sigma * math.sqrt(weight)))

    def qualify(self) -> str:
        return f"σ {self.sigma.source}" if self.fixed_sigma is None else f"σ² = {self.fixed_sigma**2:.4g}"

    def write_term(self) -> str:
        if self.fixed_sigma is None:
            return "((y−ŷ)²/2σ² + ½ ln 2πσ²)"
        return write_factor(1 / (2 * self.fixed_sigma**2)) + "(y−ŷ)²"

    def describe_bound(self, binary: bool) -> str:
        return describe_density(self, f"σ² = {self.sigma.value**2:g} fixed")


@final
class Laplace(Likelihood):
    """ln Q(y|z) = −|y−ŷ|/σ − ln 2σ."""

    name = "laplace"

    def mean(self, pixels: Any) -> Any:
        return mg.sigmoid(pixels)

    def log_prob(self, y: Any, pixels: Any, log_sigma: Any = None) -> Any:
        distance = self.distance(y, pixels)
        log_sigma = self.log_sigma(distance) if log_sigma is None else log_sigma
        return -(distance * exp(-log_sigma) + (log_sigma + math.log(2)))

    def draw(self, key: Any, pixels: Any, log_sigma: Any = None) -> Any:
        """ŷ + σ (E − E'), E and E' exponential: their difference is a Laplace variable."""
        one, two = (mg.random.uniform(k, pixels.shape, pixels.dtype) for k in mg.random.split(key))
        return self.mean(pixels) + self.sigma_of(log_sigma) * (mg.log1p(-two) - mg.log1p(-one))

    def distance(self, y: Any, pixels: Any) -> Any:
        return mg.abs(y - self.mean(pixels))

    def best_log_sigma(self, mean_distance: float) -> Any:
        """σ = mean |y−ŷ|."""
        return mg.log(mean_distance)

    def absorb(self, weight: float) -> Laplace | None:
        """|y−ŷ|/wσ = |y−ŷ|/σ' for σ' = w·σ."""
        return None if self.fixed_sigma is None else Laplace(Sigma(self.fixed_sigma * weight))

    def qualify(self) -> str:
        return f"σ {self.sigma.source}" if self.fixed_sigma is None else f"scale {self.fixed_sigma:.4g}"

    def write_term(self) -> str:
        return "(|y−ŷ|/σ + ln 2σ)" if self.fixed_sigma is None else write_factor(1 / self.fixed_sigma) + "|y−ŷ|"

    def describe_bound(self, binary: bool) -> str:
        return describe_density(self, f"scale {self.sigma.value:g} fixed, variance {2 * self.sigma.value**2:g}")


@final
class Logistic(Likelihood):
    """ln Q(y|z) of the 256 values y = v/255 under a discretised logistic (see `vae.discretised`).

    Of the output (N, H, W, 2C), the first C channels are locations m, in units of y and not restricted to [0, 1]; the
    last C are log scales ln s, before they are bounded. Other values of y are rounded to the nearest of the 256;
    the encoder sees them as they are, which is no matter to the bound: it holds for any P(z|y).
    """

    name, has_sigma, outputs, eight_bit = "logistic", False, 2, True

    def mean(self, pixels: Any) -> Any:
        """ŷ of the pixels before they are rounded to 8 bits: within 1/510 of the expected image."""
        return clipped_mean(*self._split(pixels))

    def output_for(self, mean: Any) -> Any:
        """m is the mean image; ln s is −2 before it is bounded, about the spread of grey pixels."""
        return np.concatenate([mean, np.full_like(mean, -2.0)], axis=-1)

    def log_prob(self, y: Any, pixels: Any, log_sigma: Any = None) -> Any:
        return log_mass(y, *self._split(pixels))

    def draw(self, key: Any, pixels: Any, log_sigma: Any = None) -> Any:
        return draw_levels(key, *self._split(pixels))

    def _split(self, pixels: Any) -> tuple[Any, Any]:
        """m and ln s, (N, H, W, C) each."""
        channels = pixels.shape[-1] // 2
        return pixels[..., :channels], bound_log_scale(pixels[..., channels:])

    def distance(self, y: Any, pixels: Any) -> Any:
        return -self.log_prob(y, pixels)

    def best_log_sigma(self, mean_distance: float) -> Any:
        raise ValueError("the logistic decoder has no σ")

    def absorb(self, weight: float) -> None:
        return None

    def qualify(self) -> str:
        return "8-bit pixels"

    def write_term(self) -> str:
        return "(−ln(sigmoid((y+1/510−m)/s) − sigmoid((y−1/510−m)/s)))"

    def describe_bound(self, binary: bool) -> str:
        """The same for binary pixels, which are the values 0 and 255."""
        what = "where Q(y) is a probability of such images, not a density"
        return f"pixels rounded to 8 bits, a bound on −ln Q(y), {what}"


LIKELIHOODS: dict[str, type[Likelihood]] = {kind.name: kind for kind in (Bernoulli, Gaussian, Laplace, Logistic)}


def describe_density(likelihood: Likelihood, fixed: str) -> str:
    """Say what −ELBO bounds for a decoder that is a density; `fixed` describes σ if it is fixed."""
    sigma = f"σ {likelihood.sigma.source}" if likelihood.fixed_sigma is None else fixed
    if likelihood.profiled:
        sigma += " per batch, then kept for evaluation (the train −ELBO is not a bound, the test −ELBO is)"
    return f"{sigma}, normaliser included, a bound on the density −ln Q(y)"
