"""Autoencoders of images at a rate that is chosen: a VAE and its quantised twin, under any distortion.

One network, D-H-d-H-D with ReLU. All maximise the one ELBO of the lecture (`vae.lecture.elbo.elbo`) with

    ln Q(z, y) = ln Q(z) − distortion(y, ŷ(z))/T

and differ in the distortion, and in what z is and P may be (see `vae.lecture.autoencoders`):

    VAE         z real, Q(z) = N(0, I)              P(z|y) = N(m(y), s(y)²)    rate KL(P, Q(z))
    quantised   z integers, Q(z) a table for each   P(z|y) a point             rate |z|, the length of the code

T is the price of a nat: under the L2 distortion ½‖y − ŷ‖² it is σ². It is turned while training so that the rate comes
out at the bits that were asked for, the same for all. Rounding has no gradient; training takes that of not rounding.
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
from vae.lecture.models.trained import IMAGES, batches, in_float64
from vae.models import Model, Parameters, mlp
from vae.optimisers import adam

HIDDEN, LATENT, EPOCHS, BATCH, RATE = 128, 16, 30, 64, 2e-3
TURN = 0.05  # how fast the price follows the rate at first
KINDS = ("L2", "L1", "learned σ", "quantised z")


@dataclass(frozen=True)
class Coder:
    """A network, and the numbers learned besides."""

    net: Parameters  # of vae.models.mlp
    log_sigma: Any  # ln σ of each pixel, (H, W, 1): only "learned σ" learns it
    prior: Any  # middle a and ln b of a logistic over the integers, (2, d): only "quantised z" learns it


class Trained(NamedTuple):
    """A coder, what it is for, and the price T of a nat at which its rate is what was asked for."""

    kind: str
    model: Model
    coder: Coder
    price: float


def distortion(kind: str, coder: Coder, y: Any, shown: Any) -> Any:
    """Of each image, (N,), for ŷ (N, H, W, C): ½(y − ŷ)², |y − ŷ|, or (y − ŷ)²/2σ² + ln σ, summed over pixels."""
    if kind == "L1":
        each = mg.abs(y - shown)
    elif kind == "learned σ":
        each = 0.5 * mg.square(y - shown) * mg.exp(-2 * coder.log_sigma) + coder.log_sigma
    else:
        each = 0.5 * mg.square(y - shown)
    return mg.sum(each, axis=(1, 2, 3))


def code(trained: Trained, y: Any, noise: Any) -> tuple[Any, Any, Any]:
    """z (N, d), ln Q(z) and ln P(z|y), (N,) each; noise ε (N, d) is for a VAE."""
    coder = trained.coder
    mean, log_std = trained.model.encode(coder.net.encoder, y)
    if trained.kind == "quantised z":
        z = 2 * mean  # about one wide at the start, so that there is something to round
        z = z + mg.stop_gradient(mg.rint(z) - z)
        return z, mg.sum(log_table(coder, z), axis=1), mg.zeros_like(z[:, 0])
    z = mean + mg.exp(log_std) * noise
    return z, log_normal(z), log_normal(noise) - mg.sum(log_std, axis=1)


def decode(trained: Trained, z: Any) -> Any:
    """ŷ(z), (N, H, W, C)."""
    return mg.sigmoid(trained.model.decode(trained.coder.net.decoder, z))


def terms(trained: Trained, y: Any, noise: Any) -> tuple[Any, Any]:
    """ln Q(z, y) and ln P(z|y) at one z of each image, (N, 1) each: what `elbo` takes."""
    z, log_prior, log_p = code(trained, y, noise)
    cost = distortion(trained.kind, trained.coder, y, decode(trained, z))
    return (log_prior - cost / trained.price)[:, None], log_p[:, None]


def coder(setting: Setting, kind: str, bits: float) -> Trained:
    """The autoencoder of a kind whose rate has come to be so many bits an image. Trained once in a setting."""
    return setting.once((kind, bits), lambda: _train(setting, kind, bits * math.log(2)))


def _train(setting: Setting, kind: str, nats: float) -> Trained:
    images = setting.images.train[:IMAGES]
    model = mlp(images.shape[1:], LATENT, HIDDEN)
    prior = np.stack([np.zeros(LATENT), np.full(LATENT, -1.5)]).astype(np.float32)
    net = model.init(setting.key("coder"))
    trained = Trained(kind, model, Coder(net, np.full(images.shape[1:], math.log(0.25), np.float32), prior), 10.0)
    optimiser = adam(RATE)

    def step(coder: Coder, state: Any, price: Any, y: Any, noise: Any) -> tuple[Any, Coder, Any]:
        """The rate in nats, and the next two: one step down −ELBO·T, whose size does not change with the price T."""

        def loss(coder: Coder) -> tuple[Any, Any]:
            now = trained._replace(coder=coder, price=price)
            _, log_prior, log_p = code(now, y, noise)
            bound = elbo(*terms(now, y, noise), np.ones(1, np.float32))
            return -mg.mean(bound) * price, mg.mean(log_p - log_prior)

        (_, rate), gradient = mg.value_and_grad(loss, has_aux=True)(coder)
        return rate, *optimiser.update(coder, gradient, state)

    step, coder, price = mg.jit(step, donate=(0, 1)), trained.coder, trained.price
    state = optimiser.init(coder)
    for epoch in range(EPOCHS):
        for rows, noise in batches(setting.key(f"epoch {epoch}"), len(images), BATCH, LATENT):
            rate, coder, state = step(coder, state, np.float32(price), images[rows], noise)
            turn = TURN * (1 - epoch / EPOCHS) * min(float(rate) / nats - 1, 1.0)  # a rate too high makes nats dearer
            price *= math.exp(turn)
    return trained._replace(coder=in_float64(coder), price=price)


def coded(setting: Setting, trained: Trained, y: np.ndarray) -> tuple[np.ndarray, float]:
    """ŷ(z) of each image with the z that is sent, (N, H, W, C), and the mean rate in bits."""
    z, log_prior, log_p = code(trained, y, setting.normal("coding", len(y), LATENT))
    return decode(trained, z), float(np.mean(log_p - log_prior)) / math.log(2)
