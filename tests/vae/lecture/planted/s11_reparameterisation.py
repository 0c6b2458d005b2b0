"""A mistake for each claim of vae/lecture/slides/s11_reparameterisation.py; the claim must fail with it."""

import numpy as np

import minigrad as mg
from vae.lecture.slides import s11_reparameterisation


def _use_variance_as_deviation(monkeypatch):
    """σ² for σ."""
    monkeypatch.setattr(mg, "gaussian_sample", lambda mean, log_std, noise: mean + mg.exp(2 * log_std) * noise)


def _hold_sigma(monkeypatch):
    """A sample through which σ has no gradient."""

    def sample(mean, log_std, noise):
        return mean + mg.stop_gradient(mg.exp(log_std)) * noise

    monkeypatch.setattr(mg, "gaussian_sample", sample)


def _hold_sigma_per_draw(monkeypatch):
    """The same for the gradients of each draw."""

    def held(f, mean, std, noise):
        shape = np.broadcast_shapes(np.shape(mean), noise.shape)
        return s11_reparameterisation.grad_per_draw(lambda m, s: f(m + mg.stop_gradient(s) * noise), shape, mean, std)

    monkeypatch.setattr(s11_reparameterisation, "reparameterised_gradient", held)


def _amplify_noise(monkeypatch):
    """Noise of standard deviation 1.02."""
    right = mg.gaussian_sample
    monkeypatch.setattr(mg, "gaussian_sample", lambda mean, log_std, noise: right(mean, log_std, 1.02 * noise))
    reparameterised_gradient = s11_reparameterisation.reparameterised_gradient
    wider = lambda f, m, s, e: reparameterised_gradient(f, m, s, 1.02 * e)
    monkeypatch.setattr(s11_reparameterisation, "reparameterised_gradient", wider)


def _differentiate_reward(monkeypatch):
    """The score function's gradient with z not held fixed: the reward and ln P are differentiated through z."""

    def moving(f, mean, std, noise):
        def surrogate(m, s):
            z = m + s * noise
            return f(z) * s11_reparameterisation.log_normal(z, m, mg.log(s))

        return s11_reparameterisation.grad_per_draw(surrogate, noise.shape, mean, std)

    monkeypatch.setattr(s11_reparameterisation, "score_gradient", moving)


PLANTED = {
    "density_of_the_sample": _use_variance_as_deviation,
    "gradient_of_the_mean": _hold_sigma_per_draw,
    "every_parameter": _hold_sigma,
    "entropy_of_the_encoder": _amplify_noise,
    "entropy_gradient": _hold_sigma,
    "reparameterised_mean": _amplify_noise,
    "score_mean": _differentiate_reward,
}
