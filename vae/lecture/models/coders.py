"""Image autoencoders trained to a given rate: a VAE and its quantised counterpart, under several distortions.

All use one network, D-H-d-H-D with ReLU, and maximise the ELBO (`bound`) with

    ln Q(z, y) = ln Q(z) − distortion(y, ŷ(z))/T

They differ in the distortion, in z, and in the form of P (see `vae.lecture.models.autoencoders`):

    VAE         z real, Q(z) = N(0, I)              P(z|y) = N(m(y), s(y)²)    rate KL(P, Q(z))
    quantised   z integers, Q(z) a table for each   P(z|y) a point mass        rate |z|, the length of the code

T is the price of a nat in units of distortion: under the L2 distortion ½‖y − ŷ‖² it is σ². Training adjusts T until the
rate is the requested number of bits, the same for all. Rounding has no gradient; training uses that of the unrounded z.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

import minigrad as mg
from vae.lecture.claims import Setting
from vae.lecture.models.autoencoders import log_table
from vae.lecture.models.bound import elbo
from vae.lecture.models.exact import log_normal
from vae.lecture.models.trained import IMAGES, batches, to_float64
from vae.models import Model, Parameters, mlp
from vae.optimisers import adam
from vae.steps import gradient_of, make_step

HIDDEN, LATENT, EPOCHS, BATCH, RATE = 128, 16, 30, 64, 2e-3
PRICE_RATE = 0.05  # how fast the price follows the rate, at the start of training
KINDS = ("L2", "L1", "learned σ", "quantised z")


@dataclass(frozen=True)
class Coder:
    """A network, and the other learned parameters."""

    net: Parameters  # of vae.models.mlp
    log_sigma: Any  # ln σ of each pixel, (H, W, 1): only "learned σ" learns it
    prior: Any  # a and ln b of a logistic over the integers, (2, d): only "quantised z" learns it


class PricedCoder(NamedTuple):
    """A coder, its kind and model, and the price T of a nat at which it has the requested rate."""

    kind: str
    model: Model
    coder: Coder
    price: float


def distortion(kind: str, coder: Coder, y: Any, shown: Any) -> Any:
    """Of each image, (N,), for ŷ (N, H, W, C): the sum over pixels of ½(y − ŷ)², |y − ŷ|, or (y − ŷ)²/2σ² + ln σ."""
    if kind == "L1":
        each = mg.abs(y - shown)
    elif kind == "learned σ":
        each = 0.5 * mg.square(y - shown) * mg.exp(-2 * coder.log_sigma) + coder.log_sigma
    else:
        each = 0.5 * mg.square(y - shown)
    return mg.sum(each, axis=(1, 2, 3))


def encode(priced: PricedCoder, y: Any, noise: Any) -> tuple[Any, Any, Any]:
    """z (N, d), and ln Q(z) and ln P(z|y), (N,) each; only a VAE uses the noise ε (N, d)."""
    coder = priced.coder
    mean, log_std = priced.model.encode(coder.net.encoder, y)
    if priced.kind == "quantised z":
        z = 2 * mean  # spread of about 1 before training, so that rounding gives different codes
        z = z + mg.stop_gradient(mg.rint(z) - z)
        return z, mg.sum(log_table(coder, z), axis=1), mg.zeros_like(z[:, 0])
    z = mean + mg.exp(log_std) * noise
    return z, log_normal(z), log_normal(noise) - mg.sum(log_std, axis=1)


def decode(priced: PricedCoder, z: Any) -> Any:
    """ŷ(z), (N, H, W, C)."""
    return mg.sigmoid(priced.model.decode(priced.coder.net.decoder, z))


def elbo_terms(priced: PricedCoder, y: Any, noise: Any) -> tuple[Any, Any]:
    """ln Q(z, y) and ln P(z|y) at one z of each image, (N, 1) each, as `elbo` takes them."""
    z, log_prior, log_p = encode(priced, y, noise)
    cost = distortion(priced.kind, priced.coder, y, decode(priced, z))
    return (log_prior - cost / priced.price)[:, None], log_p[:, None]


def train_coder(setting: Setting, kind: str, bits: float) -> PricedCoder:
    """Train an autoencoder of a kind to a rate of `bits` per image, once per setting."""
    return setting.once((kind, bits), lambda: _train(setting, kind, bits * math.log(2)))


def _train(setting: Setting, kind: str, nats: float) -> PricedCoder:
    images = setting.images.train[:IMAGES]
    model = mlp(images.shape[1:], LATENT, HIDDEN)
    prior = np.stack([np.zeros(LATENT), np.full(LATENT, -1.5)]).astype(np.float32)
    net = model.init(setting.key("coder"))
    priced = PricedCoder(kind, model, Coder(net, np.full(images.shape[1:], math.log(0.25), np.float32), prior), 10.0)

    def loss(coder: Coder, price: Any, y: Any, noise: Any) -> tuple[Any, Any]:
        """−ELBO·T, whose scale does not depend on the price T, and the rate in nats."""
        now = priced._replace(coder=coder, price=price)
        _, log_prior, log_p = encode(now, y, noise)
        bound = elbo(*elbo_terms(now, y, noise), np.ones(1, np.float32))
        return -mg.mean(bound) * price, mg.mean(log_p - log_prior)

    optimiser, coder, price = adam(RATE), priced.coder, priced.price
    step, state = make_step(gradient_of(loss), optimiser), optimiser.init(coder)
    for epoch in range(EPOCHS):
        for batch in batches(setting, epoch, images, BATCH):
            rate, coder, state = step(coder, state, np.float32(price), *batch.draw(LATENT))
            excess = min(float(rate) / nats - 1, 1.0)  # a rate that is too high raises the price
            price *= math.exp(PRICE_RATE * (1 - epoch / EPOCHS) * excess)
    return priced._replace(coder=to_float64(coder), price=price)


def reconstruct(setting: Setting, priced: PricedCoder, y: np.ndarray) -> tuple[np.ndarray, float]:
    """ŷ(z) of each image at the z that is sent, (N, H, W, C), and the mean rate in bits."""
    z, log_prior, log_p = encode(priced, y, setting.normal("coding", len(y), LATENT))
    return decode(priced, z), float(np.mean(log_p - log_prior)) / math.log(2)
