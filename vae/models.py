"""Two encoder–decoder pairs as plain functions of parameters and inputs.

A `Model` is a few functions: `init(key)` creates the parameters, `encode(encoder, y)` gives μ and ln σ of P(z|y), and
`decode(decoder, z)` gives one or more numbers per pixel, which the likelihood (`vae.likelihoods`) turns into a
distribution. Images are (N, H, W, C); parameters are NamedTuples of arrays, float32 unless asked otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
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
    output_bias: Callable[[Any], Any] = mg.ravel
    """The bias of the last layer with which images (H, W, outputs) come out, if nothing else does; where pixels share a
    bias, it is the mean over them."""


class Activation(NamedTuple):
    """A function from the `width`·n outputs of a layer to n features, along the last axis."""

    apply: Callable[[Any], Any]
    width: int = 1


def gate(h: Any) -> Any:
    """a·sigmoid(b) for the halves a, b of the last axis: the gated layer of van den Oord et al. 2016, without tanh."""
    n = h.shape[-1] // 2
    return h[..., :n] * mg.sigmoid(h[..., n:])


ACTIVATIONS = {"relu": Activation(mg.relu), "tanh": Activation(mg.tanh), "gated": Activation(gate, 2)}


def _init_affine(key: Any, shape: tuple[int, ...], dtype: Any) -> Affine:
    """Weights and bias, uniform in ±1/√fan-in, PyTorch's default for such layers."""
    keys = mg.random.split(key, 2)
    bound = 1 / math.sqrt(math.prod(shape[:-1]))
    w, b = (bound * (2 * mg.random.uniform(k, s, dtype) - 1) for k, s in zip(keys, (shape, shape[-1:]), strict=True))
    return Affine(w, b)


def _init_all(encoder: Sequence[tuple], heads: tuple, decoder: Sequence[tuple], pixels: tuple) -> Callable:
    """`Model.init` for layers whose weights have these shapes; the two heads have the same one."""

    def init(key: Any, dtype: Any = np.float32) -> Parameters:
        shapes = [*encoder, heads, heads, *decoder, pixels]
        keys = mg.random.split(key, len(shapes))
        layers: Iterator[Affine] = (_init_affine(k, s, dtype) for k, s in zip(keys, shapes, strict=True))
        first = Encoder(tuple(next(layers) for _ in encoder), next(layers), next(layers))
        return Parameters(first, Decoder(tuple(next(layers) for _ in decoder), next(layers)))

    return init


def _dense(layer: Affine, x: Any) -> Any:
    return mg.matmul(x, layer.w) + layer.b


def _check_sizes(image_shape: Sequence[int], latent: int, hidden: Any, name: str) -> tuple[tuple, int, tuple[int, ...]]:
    """All as Python integers. Raises ValueError unless they are sizes of at least 1."""
    if len(image_shape) != 3 or min(image_shape) < 1:
        raise ValueError(f"a model needs images (H, W, C), got {image_shape}")
    sides = tuple(to_int(n, "a side of the images", 1) for n in image_shape)
    layers = tuple(to_int(n, name, 1) for n in (hidden if isinstance(hidden, (tuple, list)) else (hidden,)))
    if not layers:
        raise ValueError(f"a model needs at least one layer: {name} is empty")
    return sides, to_int(latent, "latent", 1), layers


def mlp(
    image_shape: tuple[int, int, int] = (28, 28, 1),
    latent: int = 20,
    hidden: int | Sequence[int] = 400,
    activation: str = "relu",
    outputs: int = 1,
) -> Model:
    """Dense layers of these widths, in the decoder in the opposite order.

    With the defaults D-400-20-400-D with ReLU, the network of Kingma and Welling as in PyTorch's examples. The decoder
    gives (N, H, W, C·outputs).
    """
    image_shape, latent, widths = _check_sizes(image_shape, latent, hidden, "hidden")
    pixels, (apply, factor) = math.prod(image_shape), ACTIVATIONS[activation]
    output_shape = (*image_shape[:2], image_shape[2] * outputs)

    def shapes(sizes: Sequence[int]) -> list[tuple[int, int]]:
        return [(m, factor * n) for m, n in pairwise(sizes)]

    back = widths[::-1]
    last = (back[-1], math.prod(output_shape))
    init = _init_all(shapes((pixels, *widths)), (widths[-1], latent), shapes((latent, *back)), last)

    def encode(encoder: Encoder, y: Any) -> tuple[Any, Any]:
        h = mg.reshape(y, (-1, pixels))
        for layer in encoder.hidden:
            h = apply(_dense(layer, h))
        return _dense(encoder.mean, h), _dense(encoder.log_std, h)

    def decode(decoder: Decoder, z: Any) -> Any:
        h = z
        for layer in decoder.hidden:
            h = apply(_dense(layer, h))
        return mg.reshape(_dense(decoder.pixels, h), (-1, *output_shape))

    return Model("mlp", image_shape, latent, init, encode, decode)


def conv(
    image_shape: tuple[int, int, int] = (28, 28, 1),
    latent: int = 20,
    features: Sequence[int] = (32, 64),
    activation: str = "relu",
    outputs: int = 1,
) -> Model:
    """The lecture's network for images (slides 15 and 16): stride-2 convolutions down, deconvolutions up.

    With the default features, H×W×C → H/2×W/2×32 → H/4×W/4×64 → dense → z, and back by stride-1 convolutions with four
    times the channels, each followed by depth-to-space. All kernels are 3×3. The decoder gives (N, H, W, C·outputs).
    Raises ValueError unless H and W can be halved once for each number of features.
    """
    image_shape, latent, features = _check_sizes(image_shape, latent, features, "features")
    (height, width, channels), (apply, factor) = image_shape, ACTIVATIONS[activation]
    scale = 2 ** len(features)
    if height % scale or width % scale:
        times = {1: "once", 2: "twice"}.get(len(features), f"{len(features)} times")
        raise ValueError(f"the convolutional model halves images {times}: {height}×{width} is not divisible by {scale}")
    core = (height // scale, width // scale, features[-1])
    flat = math.prod(core)
    down = [(3, 3, m, factor * n) for m, n in zip((channels, *features), features, strict=False)]
    up = [(3, 3, m, 4 * factor * n) for m, n in zip(features[::-1], features[-2::-1], strict=False)]
    last = (3, 3, features[0], 4 * channels * outputs)
    init = _init_all(down, (flat, latent), [(latent, factor * flat), *up], last)

    def encode(encoder: Encoder, y: Any) -> tuple[Any, Any]:
        h = y
        for layer in encoder.hidden:
            h = apply(mg.conv2d(h, layer.w, stride=2) + layer.b)
        h = mg.reshape(h, (-1, flat))
        return _dense(encoder.mean, h), _dense(encoder.log_std, h)

    def decode(decoder: Decoder, z: Any) -> Any:
        dense, *others = decoder.hidden
        h = mg.reshape(apply(_dense(dense, z)), (-1, *core))
        for layer in others:
            h = apply(mg.depth_to_space(mg.conv2d(h, layer.w) + layer.b))
        return mg.depth_to_space(mg.conv2d(h, decoder.pixels.w) + decoder.pixels.b)

    def output_bias(image: Any) -> Any:
        return mg.mean(mg.space_to_depth(image[None]), axis=(0, 1, 2))

    return Model("conv", image_shape, latent, init, encode, decode, output_bias)


def clamp_variance(model: Model, *limits: float) -> Model:
    """The model with ln σ² of P(z|y) kept within `limits`, low < 0 and high > 0 or one number for ±: ln σ becomes
    a·arctan(ln σ / a), where a = high/π above 0 and −low/π below.

    Near 0 this is ln σ itself. Its slope, 1/(1 + (ln σ / a)²), is never 0, so a σ that ran away can come back; with
    `mg.clip`, whose slope is 0 outside the limits, it could not.
    """

    below, above = (limits[0] * (1 if len(limits) == 1 else -1) / math.pi, limits[-1] / math.pi)

    def encode(encoder: Encoder, y: Any) -> tuple[Any, Any]:
        mean, log_std = model.encode(encoder, y)
        a = above if below == above else mg.astype(mg.where(log_std > 0, above, below), log_std.dtype)
        return mean, a * mg.arctan(log_std / a)

    return replace(model, encode=encode)


MODELS: dict[str, Callable[..., Model]] = {"mlp": mlp, "conv": conv}
