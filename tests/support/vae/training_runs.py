"""Small training runs: configurations, their images, and everything that a run writes."""

import dataclasses
import json

import pytest

from tests.support.vae import truth
from vae import checkpoints
from vae.config import Config
from vae.runs import CHECKPOINT, CONFIG, METRICS

DATA = truth.small_data()  # 50 + 20 images: with batches of 16, three whole ones and one of two
VALIDATED = dataclasses.replace(DATA, valid=truth.small_data(1, 15, seed=2).test)
STEPS = 4
CONFIGS = {
    "mlp": Config(latent=2, hidden=8, epochs=2, batch=16),
    "conv-sgd": Config(model="conv", latent=2, epochs=2, batch=16, optimiser="sgd", form="sampled"),
    "profiled": Config(latent=2, hidden=8, epochs=2, batch=16, decoder="gaussian", sigma="profiled"),
    "learned": Config(latent=2, hidden=8, epochs=2, batch=16, decoder="laplace", sigma="learned"),
    "weighted": Config(latent=2, hidden=8, epochs=2, batch=16, reduction="mean", beta=0.1, clamp=3.0),
    "dreg": Config(
        **{"latent": 2, "hidden": (8, 6), "activation": "gated", "epochs": 2, "batch": 16, "output_bias": "data"},
        **{"binarise": "dynamic", "objective": "dreg", "samples": 3, "warm_up": 1.0, "clip": 0.5, "average": 0.9},
        **{"optimiser": "adamw", "schedule": "step", "milestones": (0.5,), "keep": "best"},
    ),
    "iwae": Config(
        **{"model": "conv", "features": (2, 3), "activation": "tanh", "latent": 2, "epochs": 2, "batch": 16},
        **{"objective": "iwae", "samples": 2, "decoder": "gaussian", "sigma": "learned", "clamp": (-9.0, 3.0)},
        **{"optimiser": "sgd", "schedule": "cosine", "final_rate": 1e-4, "patience": 1, "binarise": "static"},
    ),
}
EVERY_CONFIG = pytest.mark.parametrize("name", CONFIGS)


def data_for(config: Config):
    """The images, with a validation part if the configuration needs one."""
    return VALIDATED if config.keep == "best" or config.patience else DATA


def drop_seconds(value):
    """A record without its seconds, which differ between runs."""
    if isinstance(value, dict):
        return {k: drop_seconds(v) for k, v in value.items() if k != "seconds"}
    return [drop_seconds(v) for v in value] if isinstance(value, list) else value


def read_outcome(out) -> tuple:
    """Everything that a run writes, as bytes and plain values."""
    arrays, record = checkpoints.load(out / CHECKPOINT)
    bits = {name: (x.dtype.str, x.shape, x.tobytes()) for name, x in arrays.items()}
    lines = [drop_seconds(json.loads(line)) for line in (out / METRICS).read_text().splitlines()]
    return bits, drop_seconds(record), lines, json.loads((out / CONFIG).read_text())
