"""Small runs of training: configurations, their images, and everything that a run leaves."""

import json

import pytest

from tests.support.vae import truth
from vae import checkpoints
from vae.config import Config
from vae.runs import CHECKPOINT, CONFIG, METRICS

DATA = truth.small_data()  # 50 + 20 images: with batches of 16, three whole ones and one of two
STEPS = 4
CONFIGS = {
    "mlp": Config(latent=2, hidden=8, epochs=2, batch=16),
    "conv-sgd": Config(model="conv", latent=2, epochs=2, batch=16, optimiser="sgd", form="sampled"),
    "profiled": Config(latent=2, hidden=8, epochs=2, batch=16, decoder="gaussian", sigma="profiled"),
    "learned": Config(latent=2, hidden=8, epochs=2, batch=16, decoder="laplace", sigma="learned"),
    "weighed": Config(latent=2, hidden=8, epochs=2, batch=16, reduction="mean", beta=0.1, clamp=3.0),
}
EVERY_CONFIG = pytest.mark.parametrize("name", CONFIGS)


def timeless(value):
    """Without seconds, which are nobody's to repeat."""
    if isinstance(value, dict):
        return {k: timeless(v) for k, v in value.items() if k != "seconds"}
    return [timeless(v) for v in value] if isinstance(value, list) else value


def outcome(out) -> tuple:
    """Everything a run leaves, as bytes and plain values."""
    arrays, record = checkpoints.load(out / CHECKPOINT)
    bits = {name: (x.dtype.str, x.shape, x.tobytes()) for name, x in arrays.items()}
    lines = [timeless(json.loads(line)) for line in (out / METRICS).read_text().splitlines()]
    return bits, timeless(record), lines, json.loads((out / CONFIG).read_text())
