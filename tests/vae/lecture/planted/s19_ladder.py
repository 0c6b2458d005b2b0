"""A mistake for each claim of vae/lecture/slides/s19_ladder.py, which must make it fail."""

import numpy as np

from tests.vae.lecture.planted.s10_em import variance_not_divided_by_d
from vae.lecture.slides import s19_ladder


def _nats_for_bits(monkeypatch):
    right = s19_ladder.code_length
    monkeypatch.setattr(s19_ladder, "code_length", lambda net, z: np.log(2) * right(net, z))


def _few_codes(monkeypatch):
    """A search among three codes, where the encoder uses more."""
    monkeypatch.setattr(s19_ladder, "CODES", np.arange(-1.0, 2.0))


PLANTED = {
    "every_rung_is_one_elbo": _nats_for_bits,
    "every_rung_climbs": variance_not_divided_by_d,
    "an_encoder_replaces_the_search": _few_codes,
}
