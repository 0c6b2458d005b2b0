"""A mistake for each claim of vae/lecture/slides/s18_collapse.py; the claim must fail with it."""

from vae.lecture.slides import s18_collapse


def _stop_short(monkeypatch):
    """Training that stops at 0.99 of the maximum."""
    right = s18_collapse.maximise
    monkeypatch.setattr(s18_collapse, "maximise", lambda evaluate, start: 0.99 * right(evaluate, start))


def _use_sigma_as_variance(monkeypatch):
    """σ for σ²."""
    right = s18_collapse.objective
    monkeypatch.setattr(s18_collapse, "objective", lambda w, e, sigma, level: right(w, e, sigma, level**0.5))


PLANTED = {
    "training_ends_there": _stop_short,
    "collapse": _use_sigma_as_variance,
}
