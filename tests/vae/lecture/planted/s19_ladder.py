"""A mistake for each claim of vae/lecture/slides/s19_ladder.py; the claim must fail with it."""

import numpy as np

from tests.vae.lecture.planted.s10_em import forget_dimension_in_variance
from vae.lecture.slides import s19_ladder


def _measure_in_nats(monkeypatch):
    right = s19_ladder.code_length
    monkeypatch.setattr(s19_ladder, "code_length", lambda net, z: np.log(2) * right(net, z))


def _search_few_codes(monkeypatch):
    """A search among three codes, fewer than the encoder uses."""
    monkeypatch.setattr(s19_ladder, "CODES", np.arange(-1.0, 2.0))


PLANTED = {
    "every_rung_is_one_elbo": _measure_in_nats,
    "every_rung_climbs": forget_dimension_in_variance,
    "an_encoder_replaces_the_search": _search_few_codes,
}
