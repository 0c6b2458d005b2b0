"""Models whose evidence and posterior are known exactly, so that claims can be compared with the truth.

Each is a tree of parameters, so minigrad differentiates with respect to the model itself; its methods are written with
minigrad's operations, so they can be traced. y is (N, D), one image per row; logarithms are in nats.

    Mixture    z is one of K values, each with a spherical Gaussian
    BeliefNet  z is d bits; sums run over all 2^d values
    PPCA       z and y are Gaussian; everything has a closed form

`random_mixture`, `random_net` and `random_ppca` draw a model from a setting's seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

import minigrad as mg
from minigrad.core import tree
from vae.lecture.claims import Setting

LN_2PI = math.log(2 * math.pi)


def posterior(log_joint: Any) -> Any:
    """ln Q(z|y) = ln Q(z, y) − ln Q(y), (N, K), from ln Q(z, y) of every z, (N, K)."""
    return log_joint - mg.logsumexp(log_joint, axis=1, keepdims=True)


def gradient(f: Callable, model: Any) -> np.ndarray:
    """∇f(model) with respect to every parameter of the model, as one vector."""
    return np.concatenate([np.ravel(g) for g in tree.flatten(mg.grad(f)(model))[0]])


@dataclass(frozen=True)
class Mixture:
    """Q(z = k) = π_k = softmax(logits)_k and Q(y|k) = N(μ_k, σ_k² I)."""

    logits: Any  # (K,); −∞ for an unused component
    means: Any  # μ, (K, D)
    log_sigmas: Any  # ln σ, (K,), or () for one σ shared by all components

    def log_joint(self, y: Any) -> Any:
        """ln Q(z, y) of every component, (N, K)."""
        far = mg.sum((y[:, None] - self.means) ** 2, axis=2)  # ‖y − μ_k‖², (N, K)
        width = self.means.shape[1] * (self.log_sigmas + 0.5 * LN_2PI)
        return mg.log_softmax(self.logits) - width - 0.5 * far * mg.exp(-2 * self.log_sigmas)

    def log_evidence(self, y: Any) -> Any:
        """ln Q(y), (N,)."""
        return mg.logsumexp(self.log_joint(y), axis=1)


def random_mixture(setting: Setting, components: int, size: int) -> Mixture:
    """A mixture in `size` dimensions, its components about 1 wide and 3 apart."""
    means = 3 * setting.normal("mixture: μ", components, size)
    return Mixture(
        setting.normal("mixture: logits", components), means, setting.normal("mixture: ln σ", components) / 4
    )


@dataclass(frozen=True)
class BeliefNet:
    """Bits z_i ~ Bernoulli(sigmoid(a_i)), then bits y_j ~ Bernoulli(sigmoid((zW)_j + c_j)). Neal 1992."""

    prior: Any  # a, (d,)
    weights: Any  # W, (d, D)
    bias: Any  # c, (D,)

    @property
    def every_z(self) -> np.ndarray:
        """All 2^d values of z, one per row."""
        return np.array(list(product((0.0, 1.0), repeat=self.prior.shape[0])))

    def log_prior(self, z: Any) -> Any:
        """ln Q(z) of each row of z (…, d): (…)."""
        return log_bernoulli(z, self.prior)

    def log_joint(self, y: Any, z: Any = None) -> Any:
        """ln Q(z, y) for each image and each row of z (Z, d), by default all 2^d: (N, Z)."""
        z = self.every_z if z is None else z
        pixels = log_bernoulli(y[:, None], z @ self.weights + self.bias)  # (N, 1, D) under logits (Z, D)
        return self.log_prior(z) + pixels

    def log_evidence(self, y: Any) -> Any:
        """ln Q(y), (N,)."""
        return mg.logsumexp(self.log_joint(y), axis=1)


def random_net(setting: Setting, latent: int, size: int) -> BeliefNet:
    """A belief net with `latent` bits of z and `size` bits of y, each y_j about as likely 0 as 1."""
    weights = 2 * setting.normal("net: W", latent, size)
    return BeliefNet(setting.normal("net: a", latent), weights, setting.normal("net: c", size) - weights.sum(0) / 2)


def log_bernoulli(bits: Any, logits: Any) -> Any:
    """ln Π p^b (1−p)^(1−b) over the last axis, with p = sigmoid(logits)."""
    return mg.sum(bits * logits - mg.softplus(logits), axis=-1)


@dataclass(frozen=True)
class LinearEncoder:
    """P(z|y) = N(V(y − μ), diag s²), with μ from the model."""

    weights: Any  # V, (d, D)
    log_std: Any  # ln s, (d,)


@dataclass(frozen=True)
class PPCA:
    """Q(z) = N(0, I_d) and Q(y|z) = N(Wz + μ, σ² I_D). Tipping and Bishop 1999."""

    weights: Any  # W, (D, d)
    mean: Any  # μ, (D,)
    log_sigma: Any  # ln σ, ()

    @property
    def precision(self) -> Any:
        """M = WᵀW + σ²I, (d, d): σ⁻²M is the precision of the posterior."""
        return self.weights.T @ self.weights + mg.exp(2 * self.log_sigma) * np.eye(self.weights.shape[1])

    def log_joint(self, y: Any, z: Any) -> Any:
        """ln Q(z, y), (N, Z), of each image at its own z (N, Z, d) or at z that all images share (Z, d)."""
        error = y[:, None] - self.mean - z @ self.weights.T
        return log_normal(z) + log_normal(error, self.log_sigma)

    def log_evidence(self, y: Any) -> Any:
        """ln Q(y) = −½[D ln 2π + (D−d) ln σ² + ln|M| + σ⁻²(eᵀe − eᵀWM⁻¹Wᵀe)] with e = y − μ, (N,)."""
        size, latent = self.weights.shape
        error = y - self.mean
        found = error @ self.weights  # eᵀW, (N, d)
        left = mg.sum(error**2, axis=1) - mg.sum(found * mg.solve(self.precision, found.T).T, axis=1)
        volume = (size - latent) * 2 * self.log_sigma + mg.slogdet(self.precision).logabsdet
        return -0.5 * (size * LN_2PI + volume + left * mg.exp(-2 * self.log_sigma))

    def posterior(self, y: Any) -> tuple[Any, Any]:
        """Mean M⁻¹Wᵀe of each image, (N, d), and covariance σ²M⁻¹, (d, d), of the Gaussian Q(z|y)."""
        mean = mg.solve(self.precision, self.weights.T @ (y - self.mean).T).T
        return mean, mg.exp(2 * self.log_sigma) * mg.inv(self.precision)

    def mean_elbo(self, encoder: LinearEncoder, covariance: Any) -> Any:
        """The mean ELBO of images with covariance Σ (D, D) about μ, in closed form, in nats.

        −(D/2) ln 2πσ² − [tr((I−WV)Σ(I−WV)ᵀ) + Σᵢ‖Wᵢ‖²sᵢ²]/2σ² − ½[Σ sᵢ² + tr(VΣVᵀ) − d − Σ ln sᵢ²]
        """
        size, latent = self.weights.shape
        variance = mg.exp(2 * encoder.log_std)
        missed = np.eye(size) - self.weights @ encoder.weights  # what encoding and decoding loses
        distortion = mg.trace(missed @ covariance @ missed.T) + mg.sum(self.weights**2 * variance)
        spread = mg.trace(encoder.weights @ covariance @ encoder.weights.T)
        rate = 0.5 * (mg.sum(variance - 2 * encoder.log_std) + spread - latent)
        return -0.5 * size * (LN_2PI + 2 * self.log_sigma) - 0.5 * distortion * mg.exp(-2 * self.log_sigma) - rate

    def best_encoder(self) -> LinearEncoder:
        """The encoder with the highest mean ELBO for any images: V = M⁻¹Wᵀ, sᵢ² = σ²/Mᵢᵢ."""
        log_std = self.log_sigma - 0.5 * mg.log(mg.diagonal(self.precision))
        return LinearEncoder(mg.solve(self.precision, self.weights.T), log_std)


def random_ppca(setting: Setting, latent: int, size: int, sigma: float) -> PPCA:
    """A pPCA with `latent` latents in `size` dimensions."""
    return PPCA(setting.normal("ppca: W", size, latent), setting.normal("ppca: μ", size), np.log(sigma))


def log_normal(x: Any, log_std: Any = 0.0) -> Any:
    """ln N(x; 0, σ² I) over the last axis."""
    return -0.5 * (mg.sum(x**2, axis=-1) * mg.exp(-2 * log_std) + x.shape[-1] * (LN_2PI + 2 * log_std))
