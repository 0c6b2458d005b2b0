"""Two small autoencoders for images of two pixels, with one-dimensional z: a VAE and its rate–distortion counterpart.

Both decode z to ŷ(z) with Q(y|z) = N(ŷ(z), σ²I) and learn σ. They differ in z and in the form of P(z|y):

    VAE               z real, Q(z) = N(0, 1)            P(z|y) = N(m(y), s(y)²)
    rate–distortion   z an integer, Q(z) a table        P(z|y) a point mass at ẑ = m(y), rounded

Rounding has no gradient, so the second one trains with uniform noise on ±½ in its place. P(z|y) then has density 1 on a
cell of width 1, its entropy is still 0, and Q(z) as below is the probability of the cell around any real z.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import minigrad as mg
from vae.lecture.claims import Setting
from vae.lecture.models.bound import elbo
from vae.lecture.models.exact import LN_2PI, log_normal
from vae.optimisers import adam
from vae.steps import gradient_of, make_step

HIDDEN, STEPS = 16, 300


@dataclass(frozen=True)
class PlaneNet:
    """Encoder and decoder of two dense layers with tanh between them, and the other learned parameters."""

    encoder: tuple[Any, Any, Any, Any]  # (2, H), (H,), (H, 2), (2,): y to m and ln s
    decoder: tuple[Any, Any, Any, Any]  # (1, H), (H,), (H, 2), (2,): z to ŷ
    log_sigma: Any  # ln σ of the pixels, ()
    prior: Any  # a and ln b, (2,), of a logistic over the integers, centre a; unused by the VAE


def init_layers(setting: Setting, name: str, inputs: int) -> tuple[Any, Any, Any, Any]:
    """Initial weights and biases of two dense layers, inputs → HIDDEN → 2."""
    first = setting.normal(f"{name} 1", inputs, HIDDEN), setting.normal(f"{name} bias", HIDDEN)
    return (*first, setting.normal(f"{name} 2", HIDDEN, 2) / math.sqrt(HIDDEN), np.zeros(2))


def dense(weights: tuple[Any, Any, Any, Any], x: Any) -> Any:
    """The output (…, 2) of both layers at x (…, inputs)."""
    w1, b1, w2, b2 = weights
    return mg.tanh(x @ w1 + b1) @ w2 + b2


def encode(net: PlaneNet, y: Any) -> tuple[Any, Any]:
    """m(y) and ln s(y), (N, 1) each."""
    out = dense(net.encoder, y)
    return out[:, :1], out[:, 1:]


def log_pixels(net: PlaneNet, y: Any, z: Any) -> Any:
    """ln Q(y|z), (N, Z), of each image at its own z (N, Z) or at z that all images share (1, Z)."""
    return log_normal(y[:, None] - dense(net.decoder, z[:, :, None]), net.log_sigma)


def log_table(net: PlaneNet, z: Any) -> Any:
    """ln Q(z) = ln [F(z + ½) − F(z − ½)] with F(x) = sigmoid((x − a)/b), for z of any shape; sums to 1 over integers.

    With u = (z + ½ − a)/b and v = (z − ½ − a)/b that is ln sigmoid(u) + ln sigmoid(−v) + ln(1 − e^(−1/b)).
    """
    centre, inverse = net.prior[0], mg.exp(-net.prior[1])  # a and 1/b
    upper, lower = (z + 0.5 - centre) * inverse, (z - 0.5 - centre) * inverse
    return mg.log_sigmoid(upper) + mg.log_sigmoid(-lower) + mg.log(-mg.expm1(-inverse))


def vae_terms(net: PlaneNet, y: Any, noise: Any) -> tuple[Any, Any]:
    """ln Q(z, y) and ln P(z|y) at z = m + s·ε for noise ε (N, Z): (N, Z) each."""
    mean, log_std = encode(net, y)
    z = mean + mg.exp(log_std) * noise
    log_p = -0.5 * (noise**2 + LN_2PI) - log_std
    return -0.5 * (z**2 + LN_2PI) + log_pixels(net, y, z), log_p


def code_terms(net: PlaneNet, y: Any, z: Any) -> tuple[Any, Any]:
    """ln Q(z, y) and ln P(z|y) = 0, (N, 1) each, at z (N, 1), where P has mass 1 or density 1."""
    return log_table(net, z) + log_pixels(net, y, z), np.zeros(z.shape)


def train(setting: Setting, name: str, noise: np.ndarray, terms: Callable[[PlaneNet, Any], tuple]) -> PlaneNet:
    """Train a net with Adam on −ELBO: a step for each of `noise` (steps, N, 1), on all images with one draw of z each.

    `terms(net, noise)` returns ln Q(z, y) and ln P(z|y), as `elbo` takes them.
    """

    def loss(net: PlaneNet, noise: Any) -> tuple[Any, Any]:
        value = -mg.mean(elbo(*terms(net, noise), np.ones(1)))
        return value, value

    encoder, decoder = (init_layers(setting, f"{name} {part}", size) for part, size in (("enc", 2), ("dec", 1)))
    net = PlaneNet(encoder, decoder, np.array(-1.0), np.zeros(2))
    optimiser = adam(0.03)
    step, state = make_step(gradient_of(loss), optimiser), optimiser.init(net)
    for eps in noise:
        _, net, state = step(net, state, eps)
    return net


def train_vae(setting: Setting, y: np.ndarray) -> PlaneNet:
    """Train a VAE on images y (N, 2)."""
    noise = setting.normal("VAE noise", STEPS, len(y), 1)
    return train(setting, "VAE", noise, lambda net, noise: vae_terms(net, y, noise))


def train_rate_distortion(setting: Setting, y: np.ndarray) -> PlaneNet:
    """Train a rate–distortion autoencoder on images y (N, 2)."""
    noise = setting.uniform("rounding noise", STEPS, len(y), 1) - 0.5
    return train(setting, "RD", noise, lambda net, noise: code_terms(net, y, encode(net, y)[0] + noise))


def round_code(net: PlaneNet, y: np.ndarray) -> np.ndarray:
    """The rounded code ẑ of each image, (N, 1)."""
    return np.rint(encode(net, y)[0])
