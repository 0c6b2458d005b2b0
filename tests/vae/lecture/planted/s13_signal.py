"""A mistake for each claim of vae/lecture/slides/s13_signal.py; the claim must fail with it."""

from vae.estimators import OBJECTIVES
from vae.lecture.slides import s13_signal


def _weigh_once(monkeypatch):
    """Samples weighed by v_i, not v_i²."""
    right = s13_signal.moments

    def moments(parts, a, n, k):
        return right(parts, a / parts.weight ** (n - 1), 1, k)

    monkeypatch.setattr(s13_signal, "moments", moments)


def _count_samples_alike(monkeypatch):
    """The objective `dreg` without weights: the gradient of the ELBO."""
    monkeypatch.setitem(OBJECTIVES, "dreg", OBJECTIVES["stl"])


def _drop_score(monkeypatch):
    """The objective `iwae` without the score term."""
    monkeypatch.setitem(OBJECTIVES, "iwae", OBJECTIVES["dreg"])


def _keep_score(monkeypatch):
    """The objective `dreg` with the score term."""
    monkeypatch.setitem(OBJECTIVES, "dreg", OBJECTIVES["iwae"])


def _forget_normaliser(monkeypatch):
    """Limits as if Σ w_i did not vary."""
    right = s13_signal.parts_of
    limits = s13_signal.limits

    def without(model):
        parts = right(model)
        return parts._replace(weight=0 * parts.weight + 1)

    def wrong(model):
        with monkeypatch.context() as patch:
            patch.setattr(s13_signal, "parts_of", without)
            return limits(model)

    monkeypatch.setattr(s13_signal, "limits", wrong)


PLANTED = {
    "doubly_reparameterised_mean": _weigh_once,
    "estimates_of_training": _count_samples_alike,
    "plain_variance_at_posterior": _drop_score,
    "doubly_sticking_the_landing": _keep_score,
    "signal_to_noise": _forget_normaliser,
}
