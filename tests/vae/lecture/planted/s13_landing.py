"""A mistake for each claim of vae/lecture/slides/s13_landing.py; the claim must fail with it."""

import numpy as np

import minigrad as mg
from vae.estimators import OBJECTIVES
from vae.lecture.slides import s13_landing


def _forget_prior(monkeypatch):
    """The posterior without the prior: the normalised likelihood."""
    variances = np.array(s13_landing.TAU2)
    monkeypatch.setattr(s13_landing, "posterior", lambda y: (y + 0 * variances, variances))


def _amplify_noise(monkeypatch):
    """Noise of standard deviation 1.02."""
    right = mg.gaussian_sample
    monkeypatch.setattr(mg, "gaussian_sample", lambda mean, log_std, noise: right(mean, log_std, 1.02 * noise))


def _keep_score(monkeypatch):
    """The objective `stl` with the score term."""
    monkeypatch.setitem(OBJECTIVES, "stl", OBJECTIVES["elbo"])


PLANTED = {
    "sampled_entropy_variance": _forget_prior,
    "analytic_kl_variance": _amplify_noise,
    "sticking_the_landing": _keep_score,
}
