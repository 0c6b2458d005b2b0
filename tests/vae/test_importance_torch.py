"""The importance bound of saved runs, recomputed by a PyTorch program that shares no code with ours.

It reads the checkpoint's bytes itself (safetensors: the length of a JSON header, the header, the arrays), and has its
own network and densities, in float64. Only the noise is taken from `mg.random`, by the rule in `vae.importance`.
"""

import json
import math
import struct
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from tests.support.environment import optional
from tests.support.vae import truth
from vae.importance import BLOCK, STREAM

COUNT, LATENT, SAMPLES = 20, 3, 34
NETWORKS = {
    "relu": ["--hidden", "9", "7"],
    "tanh": ["--hidden", "9", "7", "--activation", "tanh"],
    "gated": ["--hidden", "9", "7", "--activation", "gated"],
    "conv": ["--model", "conv", "--features", "3", "4"],
    "conv-gated": ["--model", "conv", "--features", "3", "4", "--activation", "gated"],
}
DENSITIES = {
    "bernoulli": [],
    "gaussian": ["--decoder", "gaussian", "--sigma", "0.5"],
    "laplace": ["--decoder", "laplace", "--sigma", "learned"],
}
TRIED = [*[(network, "bernoulli") for network in NETWORKS], ("relu", "gaussian"), ("conv", "laplace")]


def read(torch, path: Path) -> dict:
    """The float arrays of a safetensors file, in float64."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header, data = json.loads(content[8 : 8 + length]), content[8 + length :]
    kinds = {"F32": np.float32, "F64": np.float64}
    return {
        name: torch.tensor(
            np.frombuffer(data[slice(*about["data_offsets"])], kinds[about["dtype"]]).astype(np.float64)
        ).reshape(about["shape"])
        for name, about in header.items()
        if name.startswith("parameters.")
    }


class Network:
    """Encoder and decoder of a run, from the arrays in its file."""

    def __init__(self, torch, arrays: dict, network: str):
        self.torch, self.arrays = torch, arrays
        self.conv, self.kind = network.startswith("conv"), network.removeprefix("conv-").replace("conv", "relu")

    def layer(self, name: str) -> tuple:
        return self.arrays[f"parameters.{name}.w"], self.arrays[f"parameters.{name}.b"]

    def activate(self, h):
        if self.kind == "gated":
            value, gate = h.chunk(2, dim=-1)
            return value / (1 + self.torch.exp(-gate))
        return self.torch.tanh(h) if self.kind == "tanh" else h.clamp(min=0)

    def dense(self, name: str, h):
        w, b = self.layer(name)
        return h @ w + b

    def convolve(self, name: str, h, stride: int):
        """A 3×3 convolution (N, H, W, C) that keeps the size, or halves it, padding below and to the right."""
        pad = self.torch.nn.functional.pad(h.permute(0, 3, 1, 2), (1, 1, 1, 1) if stride == 1 else (0, 1, 0, 1))
        w, b = self.layer(name)
        return self.torch.nn.functional.conv2d(pad, w.permute(3, 2, 0, 1), b, stride).permute(0, 2, 3, 1)

    def enlarge(self, h):
        """Channels (2·i + j)·C + c of a pixel become channel c of its four pixels (i, j)."""
        n, height, width, channels = h.shape
        return (
            h.reshape(n, height, width, 2, 2, channels // 4)
            .permute(0, 1, 3, 2, 4, 5)
            .reshape(n, 2 * height, 2 * width, channels // 4)
        )

    def encode(self, y):
        h = y if self.conv else y.reshape(len(y), -1)
        for i in range(2):
            name = f"encoder.hidden.{i}"
            h = self.activate(self.convolve(name, h, 2) if self.conv else self.dense(name, h))
        h = h.reshape(len(y), -1)
        return self.dense("encoder.mean", h), self.dense("encoder.log_std", h)

    def decode(self, z):
        h = self.activate(self.dense("decoder.hidden.0", z))
        if not self.conv:
            h = self.activate(self.dense("decoder.hidden.1", h))
            return self.dense("decoder.pixels", h).reshape(len(z), 28, 28, 1)
        h = self.activate(self.enlarge(self.convolve("decoder.hidden.1", h.reshape(len(z), 7, 7, -1), 1)))
        return self.enlarge(self.convolve("decoder.pixels", h, 1))

    def log_pixels(self, density: str, y, x):
        """ln Q(y|z) of each image."""
        torch = self.torch
        if density == "bernoulli":
            found = torch.where(y == 1, -torch.log1p(torch.exp(-x)), -torch.log1p(torch.exp(x)))
        elif density == "gaussian":
            found = -((y - torch.sigmoid(x)) ** 2) / (2 * 0.25) - 0.5 * math.log(2 * math.pi * 0.25)
        else:
            scale = torch.exp(self.arrays["parameters.log_sigma"])
            found = -torch.abs(y - torch.sigmoid(x)) / scale - torch.log(2 * scale)
        return found.sum((1, 2, 3))


def bound(torch, network: Network, density: str, y, noise):
    """L_K of each image, one sample of all images after the other."""
    mean, log_std = network.encode(y)
    std, weights = torch.exp(log_std), []
    for eps in noise:
        z = mean + std * eps
        prior = (-0.5 * z**2 - 0.5 * math.log(2 * math.pi)).sum(1)
        posterior = (-0.5 * eps**2 - log_std - 0.5 * math.log(2 * math.pi)).sum(1)
        weights.append(network.log_pixels(density, y, network.decode(z)) + prior - posterior)
    return torch.logsumexp(torch.stack(weights), 0) - math.log(len(noise))


def draw_noise(seed: int) -> np.ndarray:
    """ε (SAMPLES, COUNT, LATENT): float32, as a run draws it."""
    key, blocks = mg.random.fold_in(mg.random.key(seed), STREAM), []
    for block in range(-(-SAMPLES // BLOCK)):
        drawn = mg.random.normal(mg.random.fold_in(key, block), (COUNT, BLOCK, LATENT), np.float32)
        blocks.append(drawn.swapaxes(0, 1))
    return np.concatenate(blocks)[:SAMPLES].astype(np.float64)


@pytest.fixture(scope="module")
def binary(tmp_path_factory) -> Path:
    """Images of 0 and 1 in a file."""
    grey = truth.small_data(50, COUNT, (28, 28, 1))
    path = tmp_path_factory.mktemp("binary") / "binary.npz"
    np.savez(path, train=(grey.train > 0.5).astype(np.float32), test=(grey.test > 0.5).astype(np.float32))
    return path


@pytest.mark.host
@pytest.mark.parametrize(("network", "density"), TRIED)
def test_torch_finds_the_same_bounds(vae, binary, tmp_path, network, density):
    torch = optional("torch", extra="bench")
    common = ["--latent", LATENT, "--epochs", "1", "--batch", "16", "--learning-rate", "0.01", "--out", "run"]
    assert vae("train", "--data", binary, *NETWORKS[network], *DENSITIES[density], *common)[0] == 0
    code, out, err = vae("evaluate", "--checkpoint", "run", "--seed", "3", "--importance", SAMPLES, "--json")
    assert (code, err) == (0, "")
    scores = json.loads(out)
    peer = Network(torch, read(torch, tmp_path / "run/checkpoint.safetensors"), network)
    y = torch.tensor(np.load(binary)["test"].astype(np.float64))
    values = -bound(torch, peer, density, y, torch.tensor(draw_noise(3))).numpy()
    assert scores[f"negative_importance_bound_{SAMPLES}"] == pytest.approx(values.mean(), rel=1e-5)
    error = values.std(ddof=1) / math.sqrt(COUNT)
    assert scores[f"negative_importance_bound_{SAMPLES}_standard_error"] == pytest.approx(error, rel=1e-3)
