"""A mistake for each claim of vae/lecture/slides/s17_linear_vae.py; the claim must fail with it."""

from dataclasses import replace

import numpy as np

import minigrad as mg
from vae.lecture.models.exact import PPCA, LinearEncoder
from vae.lecture.slides import s17_linear_vae


def _amplify_noise(monkeypatch):
    """Noise of standard deviation 1.02."""
    right = mg.gaussian_sample
    monkeypatch.setattr(mg, "gaussian_sample", lambda mean, log_std, noise: right(mean, log_std, 1.02 * noise))


def _use_second_moment(monkeypatch):
    """The second moment for the covariance."""
    monkeypatch.setattr(s17_linear_vae, "covariance", lambda y, mean: y.T @ y / len(y))


def _use_posterior_variance(monkeypatch):
    """The posterior's variances (σ²M⁻¹)ᵢᵢ for the best P's, σ²/Mᵢᵢ."""

    def wrong(self):
        spread = np.exp(2 * self.log_sigma) * np.linalg.inv(self.precision)
        return LinearEncoder(np.linalg.solve(self.precision, self.weights.T), 0.5 * np.log(np.diagonal(spread)))

    monkeypatch.setattr(PPCA, "best_encoder", wrong)


def _rotate_images(monkeypatch):
    """The rotation on the left of W, which rotates images instead of latents."""

    def wrong(angle, first=2.0, second=0.7):
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        return PPCA(np.eye(3, 2) @ turn @ np.diag([first, second]), np.zeros(3), np.log(0.8))

    monkeypatch.setattr(s17_linear_vae, "ppca_at_angle", wrong)


def _keep_noise_variance(monkeypatch):
    """Λ_d for Λ_d − σ²I: principal components as plain PCA scales them."""
    right = s17_linear_vae.maximum_likelihood

    def wrong(setting, y):
        model = right(setting, y)
        lengths = np.linalg.norm(model.weights)
        return replace(model, weights=model.weights * np.sqrt(1 + 2 * np.exp(2 * model.log_sigma) / lengths**2))

    monkeypatch.setattr(s17_linear_vae, "maximum_likelihood", wrong)


def _enlarge_sigma(monkeypatch):
    """ln σ larger by 0.2 than the discarded eigenvalues give."""
    right = s17_linear_vae.maximum_likelihood
    wrong = lambda setting, y: replace(right(setting, y), log_sigma=right(setting, y).log_sigma + 0.2)
    monkeypatch.setattr(s17_linear_vae, "maximum_likelihood", wrong)


PLANTED = {
    "elbo_of_draws": _amplify_noise,
    "gap_is_the_divergence": _use_second_moment,
    "best_encoder": _use_posterior_variance,
    "remaining_gap": _use_posterior_variance,
    "gap_of_a_turn": _rotate_images,
    "principal_components": _keep_noise_variance,
    "none_more_likely": _enlarge_sigma,
}
