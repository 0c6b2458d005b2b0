"""A mistake for each claim of vae/lecture/slides/s19_ladder_on_images.py; the claim must fail with it."""

import numpy as np

from vae.lecture.slides import s19_ladder_on_images


def _measure_in_nats(monkeypatch):
    """A code length in nats, multiplied by ln 2 again."""
    right = s19_ladder_on_images.code_length
    monkeypatch.setattr(s19_ladder_on_images, "code_length", lambda net, z: np.log(2) * right(net, z))


PLANTED = {"one_elbo_for_images": _measure_in_nats}
