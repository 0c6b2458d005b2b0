"""A mistake for each claim of vae/lecture/slides/s18_collapse.py, which must make it fail."""

from vae.lecture.slides import s18_collapse


def _half_trained(monkeypatch):
    """Training that stops a hundredth short."""
    right = s18_collapse.trained
    monkeypatch.setattr(s18_collapse, "trained", lambda evaluate, start: 0.99 * right(evaluate, start))


def _a_level_of_its_square(monkeypatch):
    """σ for σ²."""
    right = s18_collapse.objective
    monkeypatch.setattr(s18_collapse, "objective", lambda w, e, sigma, level: right(w, e, sigma, level**0.5))


PLANTED = {
    "training_ends_there": _half_trained,
    "collapse": _a_level_of_its_square,
}
