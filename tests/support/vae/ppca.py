"""Probabilistic PCA: a linear autoencoder with closed forms for all its quantities (Tipping and Bishop 1999).

Q(z) = N(0, I_d), Q(y|z) = N(Wz + c, σ²I_D) and P(z|y) = N(V(y−c), diag s²), in float64. It is a
`vae.models.Model`: its decoder returns logit(Wz + c), whose sigmoid is the linear image where that is in (0, 1).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

import minigrad as mg
from vae.models import Affine, Decoder, Encoder, Model, Parameters

CENTRE = 0.5


def linear_model(image_shape: tuple[int, int, int], latent: int, parameters: Parameters | None = None) -> Model:
    """Encoder and decoder of one affine layer each; `init` returns these parameters, whatever the key."""

    def encode(encoder, y):
        h = mg.reshape(y, (len(y), -1))
        return h @ encoder.mean.w + encoder.mean.b, h @ encoder.log_std.w + encoder.log_std.b

    def decode(decoder, z):
        pixels = z @ decoder.pixels.w + decoder.pixels.b
        return mg.reshape(mg.log(pixels) - mg.log1p(-pixels), (-1, *image_shape))

    return Model("linear", image_shape, latent, lambda key: parameters, encode, decode)


def make_parameters(w: np.ndarray, v: np.ndarray, std: np.ndarray) -> Parameters:
    """W (D, d), V (d, D) and s (d,) as the layers of `linear_model`."""
    pixels, latent = w.shape
    encoder = Encoder((), Affine(v.T.copy(), -CENTRE * v.sum(axis=1)), Affine(np.zeros((pixels, latent)), np.log(std)))
    return Parameters(encoder, Decoder((), Affine(w.T.copy(), np.full(pixels, CENTRE))))


def orthogonal(random: np.random.Generator, pixels: int, latent: int, scale: float) -> np.ndarray:
    """A W (D, d) with orthogonal columns of lengths around `scale`: its posterior is diagonal."""
    q, _ = np.linalg.qr(random.standard_normal((pixels, latent)))
    return q * scale * np.linspace(0.7, 1.3, latent)


def draw(random: np.random.Generator, w: np.ndarray, sigma: float, count: int, image_shape) -> np.ndarray:
    """Images from Q(y), (count, H, W, C)."""
    z = random.standard_normal((count, w.shape[1]))
    return (CENTRE + z @ w.T + sigma * random.standard_normal((count, len(w)))).reshape(count, *image_shape)


def log_evidence(y: np.ndarray, w: np.ndarray, sigma: float) -> np.ndarray:
    """ln Q(y) = ln N(y; c, WWᵀ + σ²I) of each image."""
    e = y.reshape(len(y), -1) - CENTRE
    covariance = w @ w.T + sigma**2 * np.eye(len(w))
    distance = np.sum(e * np.linalg.solve(covariance, e.T).T, axis=1)
    return -0.5 * (len(w) * math.log(2 * math.pi) + np.linalg.slogdet(covariance)[1] + distance)


def posterior(w: np.ndarray, sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """V = M⁻¹Wᵀ and s² = the diagonal of σ²M⁻¹, M = WᵀW + σ²I: the posterior where W is orthogonal."""
    inverse = np.linalg.inv(w.T @ w + sigma**2 * np.eye(w.shape[1]))
    return inverse @ w.T, np.sqrt(sigma**2 * np.diag(inverse))


def kl(y: np.ndarray, v: np.ndarray, std: np.ndarray) -> np.ndarray:
    """KL(N(V(y−c), diag s²), N(0, I)) of each image."""
    mean = (y.reshape(len(y), -1) - CENTRE) @ v.T
    return 0.5 * np.sum(mean**2 + std**2 - 1 - np.log(std**2), axis=1)


def mean_elbo(y: np.ndarray, w: np.ndarray, sigma: float, v: np.ndarray, std: np.ndarray) -> np.ndarray:
    """The ELBO of each image averaged over ε: E‖y − c − Wz‖² = ‖(I−WV)(y−c)‖² + Σ‖Wᵢ‖²sᵢ²."""
    e = y.reshape(len(y), -1) - CENTRE
    error = np.sum((e - e @ v.T @ w.T) ** 2, axis=1) + np.sum(w**2 @ std**2)
    return -len(w) / 2 * math.log(2 * math.pi * sigma**2) - error / (2 * sigma**2) - kl(y, v, std)


def average(f, y: np.ndarray, latent: int, nodes: int = 3) -> np.ndarray:
    """E f(images, ε) of each image by Gauss–Hermite in each latent: exact for polynomials in ε of degree < 2·nodes."""
    points, weights = np.polynomial.hermite_e.hermegauss(nodes)
    grid = np.stack([g.ravel() for g in np.meshgrid(*[points] * latent)], axis=1)
    weight = np.prod([g.ravel() for g in np.meshgrid(*[weights / weights.sum()] * latent)], axis=0)
    values = f(np.repeat(y, len(grid), axis=0), np.tile(grid, (len(y), 1)))
    return np.reshape(values, (len(y), -1)) @ weight


# An autoencoder whose encoder is the exact posterior

SHAPE, LATENT, SIGMA = (2, 3, 1), 2, 0.03
PIXELS = math.prod(SHAPE)


class Exact(NamedTuple):
    """pPCA whose encoder is the exact posterior, with images and their ln Q(y)."""

    model: Model
    parameters: Parameters
    w: np.ndarray
    v: np.ndarray
    std: np.ndarray
    y: np.ndarray
    evidence: np.ndarray


def make_exact(count: int = 5, sigma: float = SIGMA, drawn_with: float = 1.0) -> Exact:
    """A model with this σ and images drawn from it, with `drawn_with` times its W."""
    random = np.random.default_rng(0)
    w = orthogonal(random, PIXELS, LATENT, 0.08)
    v, std = posterior(w, sigma)
    y = draw(random, drawn_with * w, sigma, count, SHAPE)
    model, parameters = linear_model(SHAPE, LATENT), make_parameters(w, v, std)
    return Exact(model, parameters, w, v, std, y, log_evidence(y, w, sigma))
