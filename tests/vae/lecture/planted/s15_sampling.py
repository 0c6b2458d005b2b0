"""A mistake for each claim of vae/lecture/slides/s15_sampling.py; the claim must fail with it."""

from dataclasses import replace

import numpy as np

from vae import objectives
from vae.lecture.slides import s15_sampling


def _swap_heads(monkeypatch):
    """ln s for μ and μ for ln s."""
    right = s15_sampling.train_convolutional

    def train_convolutional(setting):
        trained = right(setting)
        encode = trained.model.encode
        return replace(trained, model=replace(trained.model, encode=lambda e, y: encode(e, y)[::-1]))

    monkeypatch.setattr(s15_sampling, "train_convolutional", train_convolutional)


def _drop_density_width(monkeypatch):
    """ln N(z; μ, σ²) without −ln σ."""
    right = objectives.log_normal
    monkeypatch.setattr(objectives, "log_normal", lambda z, m=0.0, log_std=0.0: right(z, m, log_std) + log_std)


def _shift_samples(monkeypatch):
    """Samples that depend on the encoder: z = ε + the bias of its μ."""
    right = s15_sampling.sample_images
    monkeypatch.setattr(s15_sampling, "sample_images", lambda t, noise: right(t, noise + t.parameters.encoder.mean.b))


def _halve_log_std(monkeypatch):
    """The encoder's ln s read as ln s²."""
    right = s15_sampling.log_encoder

    def log_encoder(trained, y, z):
        encode = trained.model.encode
        halved = replace(trained.model, encode=lambda e, y: (encode(e, y)[0], encode(e, y)[1] / 2))
        return right(replace(trained, model=halved), y, z)

    monkeypatch.setattr(s15_sampling, "log_encoder", log_encoder)


def _use_equal_steps(monkeypatch):
    """Equal steps of z instead of equal probability."""
    monkeypatch.setattr(s15_sampling, "quantiles", lambda side: np.linspace(-3, 3, side))


PLANTED = {
    "a_convolutional_vae_knows_images": _swap_heads,
    "both_forms_agree_on_images": _drop_density_width,
    "sampling_needs_no_encoder": _shift_samples,
    "the_second_half_knows_the_evidence": _halve_log_std,
    "the_plane_is_what_sampling_draws": _use_equal_steps,
}
