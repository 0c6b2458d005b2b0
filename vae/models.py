"""Two encoder–decoder pairs as plain functions of parameters and inputs.

A `Model` is three functions: `init(key)` creates the parameters, `encode(encoder, y)` gives μ and ln σ of P(z|y), and
`decode(decoder, z)` gives `outputs` numbers per pixel and channel, (N, H, W, C·outputs), which the likelihood
(`vae.likelihoods`) turns into a distribution.
Images are (N, H, W, C); parameters are NamedTuples of arrays, float32 unless asked otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

import minigrad as mg
from vae.numbers import to_int


class Affine(NamedTuple):
    """Weights and bias of a dense layer (inputs, outputs) or of a convolution (k, k, channels, features)."""

    w: Any
    b: Any


class Encoder(NamedTuple):
    """P(z|y): hidden layers, then the two heads of a diagonal Gaussian."""

    hidden: tuple[Affine, ...]
    mean: Affine
    log_std: Affine


class Decoder(NamedTuple):
    """Q(y|z): hidden layers, then pixels."""

    hidden: tuple[Affine, ...]
    pixels: Affine


class Parameters(NamedTuple):
    """Everything that is trained. `log_sigma` is None unless the likelihood's σ is learned."""

    encoder: Encoder
    decoder: Decoder
    log_sigma: Any = None


@dataclass(frozen=True)
class Model:
    """An architecture: its name, its sizes and its functions."""

    name: str
    image_shape: tuple[int, int, int]
    latent: int
    init: Callable[..., Parameters]
    encode: Callable[[Encoder, Any], tuple[Any, Any]]
    decode: Callable[[Decoder, Any], Any]


def _init_affine(key: Any, shape: tuple[int, ...], dtype: Any) -> Affine:
    """Weights and bias, uniform in ±1/√fan-in, PyTorch's default for such layers."""
    keys = mg.random.split(key, 2)
    bound = 1 / math.sqrt(math.prod(shape[:-1]))
    w, b = (bound * (2 * mg.random.uniform(k, s, dtype) - 1) for k, s in zip(keys, (shape, shape[-1:]), strict=True))
    return Affine(w, b)


def _dense(layer: Affine, x: Any) -> Any:
    return mg.matmul(x, layer.w) + layer.b


def _check_sizes(image_shape: tuple[int, ...], latent: int) -> tuple[tuple[int, ...], int]:
    """Both as Python integers. Raises ValueError unless they are sizes of at least 1."""
    if len(image_shape) != 3 or min(image_shape) < 1:
        raise ValueError(f"a model needs images (H, W, C), got {image_shape}")
    return tuple(to_int(n, "a side of the images", 1) for n in image_shape), to_int(latent, "latent", 1)


def mlp(
    image_shape: tuple[int, int, int] = (28, 28, 1), latent: int = 20, hidden: int = 400, outputs: int = 1
) -> Model:
    """D-400-20-400-D with ReLU, the network of Kingma and Welling as in PyTorch's examples."""
    (image_shape, latent), hidden = _check_sizes(image_shape, latent), to_int(hidden, "hidden", 1)
    pixels = math.prod(image_shape)

    def init(key: Any, dtype: Any = np.float32) -> Parameters:
        k = mg.random.split(key, 5)
        encoder = Encoder(
            (_init_affine(k[0], (pixels, hidden), dtype),),
            _init_affine(k[1], (hidden, latent), dtype),
            _init_affine(k[2], (hidden, latent), dtype),
        )
        return Parameters(
            encoder,
            Decoder(
                (_init_affine(k[3], (latent, hidden), dtype),), _init_affine(k[4], (hidden, pixels * outputs), dtype)
            ),
        )

    def encode(encoder: Encoder, y: Any) -> tuple[Any, Any]:
        h = mg.reshape(y, (-1, pixels))
        for layer in encoder.hidden:
            h = mg.relu(_dense(layer, h))
        return _dense(encoder.mean, h), _dense(encoder.log_std, h)

    def decode(decoder: Decoder, z: Any) -> Any:
        h = z
        for layer in decoder.hidden:
            h = mg.relu(_dense(layer, h))
        return mg.reshape(_dense(decoder.pixels, h), (-1, *image_shape[:2], image_shape[2] * outputs))

    return Model("mlp", tuple(image_shape), latent, init, encode, decode)


def conv(
    image_shape: tuple[int, int, int] = (28, 28, 1),
    latent: int = 20,
    features: tuple[int, int] = (32, 64),
    outputs: int = 1,
) -> Model:
    """The lecture's network for images (slides 15 and 16): two stride-2 convolutions down, two deconvolutions up.

    H×W×C → H/2×W/2×32 → H/4×W/4×64 → dense → z, and back by stride-1 convolutions with four times the channels, each
    followed by depth-to-space. All kernels are 3×3. Raises ValueError unless H and W are multiples of 4.
    """
    image_shape, latent = _check_sizes(image_shape, latent)
    height, width, channels = image_shape
    if height % 4 or width % 4:
        raise ValueError(f"the convolutional model halves images twice: {height}×{width} is not divisible by 4")
    first, second = features
    core = (height // 4, width // 4, second)
    flat = math.prod(core)

    def init(key: Any, dtype: Any = np.float32) -> Parameters:
        k = mg.random.split(key, 7)
        encoder = Encoder(
            (_init_affine(k[0], (3, 3, channels, first), dtype), _init_affine(k[1], (3, 3, first, second), dtype)),
            _init_affine(k[2], (flat, latent), dtype),
            _init_affine(k[3], (flat, latent), dtype),
        )
        up = (_init_affine(k[4], (latent, flat), dtype), _init_affine(k[5], (3, 3, second, 4 * first), dtype))
        return Parameters(encoder, Decoder(up, _init_affine(k[6], (3, 3, first, 4 * channels * outputs), dtype)))

    def encode(encoder: Encoder, y: Any) -> tuple[Any, Any]:
        h = y
        for layer in encoder.hidden:
            h = mg.relu(mg.conv2d(h, layer.w, stride=2) + layer.b)
        h = mg.reshape(h, (-1, flat))
        return _dense(encoder.mean, h), _dense(encoder.log_std, h)

    def decode(decoder: Decoder, z: Any) -> Any:
        dense, middle = decoder.hidden
        h = mg.reshape(mg.relu(_dense(dense, z)), (-1, *core))
        h = mg.relu(mg.depth_to_space(mg.conv2d(h, middle.w) + middle.b))
        return mg.depth_to_space(mg.conv2d(h, decoder.pixels.w) + decoder.pixels.b)

    return Model("conv", tuple(image_shape), latent, init, encode, decode)


def clamp_variance(model: Model, limit: float) -> Model:
    """The model with ln σ² of P(z|y) kept within ±`limit`: ln σ becomes a·arctan(ln σ / a), where a = limit/π.

    Near 0 this is ln σ itself. Its slope, 1/(1 + (ln σ / a)²), is never 0, so a σ that ran away can come back; with
    `mg.clip`, whose slope is 0 outside the limits, it could not.
    """
    a = limit / math.pi

    def encode(encoder: Encoder, y: Any) -> tuple[Any, Any]:
        mean, log_std = model.encode(encoder, y)
        return mean, a * mg.arctan(log_std / a)

    return replace(model, encode=encode)


MODELS: dict[str, Callable[..., Model]] = {"mlp": mlp, "conv": conv}
