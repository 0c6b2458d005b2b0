"""The autoencoder again in plain NumPy: textbook formulas, and loops in place of the engine's faster algorithms.

No formula here uses minigrad. Each is holomorphic around its arguments (|x| and max(x, 0) branch on the real part), so
the complex step gives derivatives to rounding (Squire and Trapp 1998).
"""

from __future__ import annotations

import math

import numpy as np

import minigrad as mg
from minigrad.checks.catalogue import formulas
from minigrad.core import tree
from vae.data import Dataset
from vae.models import conv, mlp

# The model


def relu(x):
    return np.where(np.real(x) > 0, x, 0)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def same(size: int, stride: int) -> tuple[int, int]:
    """'same' padding (before, after) for a kernel of size 3: ⌈size/stride⌉ output rows; an odd row goes after."""
    total = max((math.ceil(size / stride) - 1) * stride + 3 - size, 0)
    return total // 2, total - total // 2


def convolve(x, layer, stride):
    pads = same(x.shape[1], stride), same(x.shape[2], stride)
    return formulas.convolve(x, layer.w, (stride, stride), pads) + layer.b


def depth_to_space(x):
    """Channel (2·r_i + r_j)·C + c of pixel (i, j) becomes channel c of pixel (2i+r_i, 2j+r_j)."""
    n, height, width, channels = x.shape
    y = np.zeros((n, 2 * height, 2 * width, channels // 4), x.dtype)
    for i in range(2):
        for j in range(2):
            first = (2 * i + j) * y.shape[3]
            y[:, i::2, j::2] = x[..., first : first + y.shape[3]]
    return y


def encode(name, encoder, y):
    h = y if name == "conv" else y.reshape(len(y), -1)
    for layer in encoder.hidden:
        h = relu(convolve(h, layer, 2) if name == "conv" else h @ layer.w + layer.b)
    h = h.reshape(len(y), -1)
    return h @ encoder.mean.w + encoder.mean.b, h @ encoder.log_std.w + encoder.log_std.b


def decode(name, decoder, z, image_shape):
    """The decoder's output, (N, H, W, C·outputs)."""
    height, width, _ = image_shape
    if name == "mlp":
        (hidden,) = decoder.hidden
        h = relu(z @ hidden.w + hidden.b)
        return (h @ decoder.pixels.w + decoder.pixels.b).reshape(len(z), height, width, -1)
    dense, middle = decoder.hidden
    h = relu(z @ dense.w + dense.b).reshape(len(z), height // 4, width // 4, -1)
    h = relu(depth_to_space(convolve(h, middle, 1)))
    return depth_to_space(convolve(h, decoder.pixels, 1))


# The objective


def log_prob(likelihood, y, x, log_sigma=None):
    """ln Q(y|z) of each pixel from the decoder's output x; `log_sigma` is the learned ln σ."""
    if likelihood.name == "bernoulli":
        return y * np.log(sigmoid(x)) + (1 - y) * np.log(1 - sigmoid(x))
    if likelihood.name == "logistic":
        return log_mass(np.rint(255 * np.asarray(y, float)), *split(x))
    error = y - sigmoid(x)
    error = np.where(np.real(error) > 0, error, -error)
    power = 2 if likelihood.name == "gaussian" else 1
    sigma = likelihood.sigma.value
    if likelihood.sigma.source == "learned":
        sigma = np.exp(log_sigma)
    if likelihood.sigma.source == "profiled":
        sigma = np.mean(error**power) ** (1 / power)
    if likelihood.name == "gaussian":
        return -(error**2) / (2 * sigma**2) - np.log(np.sqrt(2 * np.pi * sigma**2))  # no exp, which may underflow
    return -error / sigma - np.log(2 * sigma)


def split(x):
    """m and s of a discretised logistic, both in grey levels, from the decoder's output (…, 2C): |ln s/255| ≤ 10."""
    location, log_scale = np.split(x, 2, axis=-1)
    return 255 * location, 255 * np.exp(20 / np.pi * np.arctan(np.pi / 20 * log_scale))


def log_mass(v, m, s):
    """The logistic's density integrated over (v−½, v+½): sinh(1/2s) / (2 cosh(a/2) cosh(b/2)); to ∓∞ at 0 and 255."""
    a, b = (v + 0.5 - m) / s, (v - 0.5 - m) / s
    inside = np.log(np.sinh(1 / (2 * s)) / 2) - np.log(np.cosh(a / 2)) - np.log(np.cosh(b / 2))  # a product underflows
    edge = np.log(np.where(v == 0, sigmoid(a), np.where(v == 255, sigmoid(-b), 1)))
    return np.where((v > 0) & (v < 255), inside, edge)


def normal_density(z, mean, std):
    return np.exp(-((z - mean) ** 2) / (2 * std**2)) / np.sqrt(2 * np.pi * std**2)


def elbo(name, likelihood, parameters, y, noise, form):
    """One number per image: ln Q(y|z) summed over pixels, plus −KL or ln Q(z) − ln P(z|y) summed over latents."""
    mean, log_std = encode(name, parameters.encoder, y)
    std = np.exp(log_std)
    z = mean + std * noise
    pixels = log_prob(likelihood, y, decode(name, parameters.decoder, z, y.shape[1:]), parameters.log_sigma)
    if form == "closed":
        latents = -(mean**2 + std**2 - np.log(std**2) - 1) / 2
    else:
        latents = np.log(normal_density(z, 0.0, 1.0)) - np.log(normal_density(z, mean, std))
    return pixels.sum(axis=(1, 2, 3)) + latents.sum(axis=1)


def along(parameters, direction):
    """The parameters moved by a complex step of 1e-20 in a direction, both trees."""
    return tree.map(lambda p, d: p + 1e-20j * d, parameters, direction)


# Small models, parameters and data


def small_model(name: str, image_shape=(4, 8, 1), latent: int = 2, outputs: int = 1):
    if name == "mlp":
        return mlp(image_shape, latent, hidden=5, outputs=outputs)
    return conv(image_shape, latent, features=(3, 4), outputs=outputs)


def lively_parameters(model, seed: int = 0):
    """Random float64 parameters, scaled and with biases so that no layer has only inactive ReLUs."""
    random = np.random.default_rng(seed)
    drawn = like(model.init(mg.random.key(seed), np.float64), random)
    return tree.map(lambda x: x / math.sqrt(max(1, x.size // x.shape[-1])) if x.ndim > 1 else 0.4 * x, drawn)


def small_data(train: int = 50, test: int = 20, shape=(4, 4, 1), seed: int = 0) -> Dataset:
    random = np.random.default_rng(seed)
    draw = lambda n: random.random((n, *shape), np.float32)
    return Dataset("small", draw(train), draw(test), source="Drawn for a test.")


def like(values, random, scale: float = 1.0):
    """Standard-normal numbers times `scale`, in the shapes and dtypes of a tree."""
    return tree.map(lambda x: (scale * random.standard_normal(np.shape(x))).astype(np.asarray(x).dtype), values)
