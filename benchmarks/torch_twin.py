"""The networks of `vae.models` in PyTorch, in its layout, for the benchmarks and the tests.

Images are (N, C, H, W), convolution kernels (F, C, k, k), dense weights (outputs, inputs); the channels of a
deconvolution are in the order of pixel_shuffle. If PyTorch is not installed, `torch` is None.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from common import import_peer

from vae.models import Affine, Model, Parameters

torch = import_peer("torch")


class Twin(NamedTuple):
    """A model in PyTorch."""

    images: Callable[[np.ndarray], np.ndarray]  # our images in its layout
    layout: Callable[[Parameters], list[np.ndarray]]  # our parameters (or gradients) in its layout
    network: Callable[[Sequence, Any, Any], tuple]  # weights, images, noise → μ, ln σ, one number per pixel


def twin_of(model: Model, channels_last: bool = False) -> Twin:
    """PyTorch's version of a model; a convolutional one is faster with `channels_last`."""
    if model.name == "mlp":
        return Twin(lambda y: y.reshape(len(y), -1), _mlp_layout, _mlp)
    layout = partial(_conv_layout, model, channels_last)
    return Twin(lambda y: y.transpose(0, 3, 1, 2), layout, partial(_conv, channels_last))


def torch_loss(twin: Twin, weights: Sequence, images: Any, noise: Any) -> Any:
    """−mean ELBO, on any device."""
    mean, log_std, logits = twin.network(weights, images, noise)
    nats = torch.nn.functional.binary_cross_entropy_with_logits(logits, images, reduction="sum")
    return (nats + 0.5 * torch.sum(mean**2 + torch.exp(2 * log_std) - 1 - 2 * log_std)) / len(images)


def _mlp(weights: Sequence, y: Any, noise: Any) -> tuple:
    linear, relu = torch.nn.functional.linear, torch.nn.functional.relu
    hidden, mean, log_std, up, pixels = zip(weights[::2], weights[1::2], strict=True)
    h = relu(linear(y, *hidden))
    m, s = linear(h, *mean), linear(h, *log_std)
    return m, s, linear(relu(linear(m + torch.exp(s) * noise, *up)), *pixels)


def _conv(channels_last: bool, weights: Sequence, y: Any, noise: Any) -> tuple:
    F = torch.nn.functional
    first, second, mean, log_std, up, middle, pixels = zip(weights[::2], weights[1::2], strict=True)
    h = F.relu(F.conv2d(F.pad(y, (0, 1, 0, 1)), *first, stride=2))  # "same" with stride 2 pads at the bottom and right
    h = F.relu(F.conv2d(F.pad(h, (0, 1, 0, 1)), *second, stride=2))
    n, c, height, width = h.shape
    flat = h.permute(0, 2, 3, 1).reshape(n, -1) if channels_last else h.reshape(n, -1)  # no copy in either layout
    m, s = F.linear(flat, *mean), F.linear(flat, *log_std)
    h = F.relu(F.linear(m + torch.exp(s) * noise, *up))
    h = h.view(n, height, width, c).permute(0, 3, 1, 2) if channels_last else h.view(n, c, height, width)
    h = F.relu(F.pixel_shuffle(F.conv2d(h, *middle, padding=1), 2))
    return m, s, F.pixel_shuffle(F.conv2d(h, *pixels, padding=1), 2)


def _layers(p: Parameters) -> list[Affine]:
    return [*p.encoder.hidden, p.encoder.mean, p.encoder.log_std, *p.decoder.hidden, p.decoder.pixels]


def _mlp_layout(p: Parameters) -> list[np.ndarray]:
    return [x for w, b in _layers(p) for x in (w.T, b)]


def _conv_layout(model: Model, channels_last: bool, p: Parameters) -> list[np.ndarray]:
    first, second, mean, log_std, up, middle, pixels = _layers(p)
    height, width, channels = model.image_shape[0] // 4, model.image_shape[1] // 4, second.w.shape[3]

    def flat(x: np.ndarray) -> np.ndarray:  # reorder the last axis from (height, width, channel) to (c, h, w)
        split = x.reshape(-1, height, width, channels)
        return x if channels_last else split.transpose(0, 3, 1, 2).reshape(x.shape)

    def shuffled(x: np.ndarray) -> np.ndarray:  # our output channel (2r_i + r_j)·C + c is 4c + 2r_i + r_j in PyTorch
        return x.reshape(4, -1, *x.shape[1:]).swapaxes(0, 1).reshape(x.shape)

    kernels = [x for w, b in (first, second) for x in (w.transpose(3, 2, 0, 1), b)]
    heads = [x for w, b in (mean, log_std) for x in (flat(w.T), b)]
    deconvolutions = [x for w, b in (middle, pixels) for x in (shuffled(w.transpose(3, 2, 0, 1)), shuffled(b))]
    return [*kernels, *heads, flat(up.w).T, flat(up.b), *deconvolutions]
