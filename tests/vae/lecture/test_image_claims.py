"""Claims on images, with small data, small models and little training: each holds, and fails with its planted mistake.

`python -m vae lecture` computes them at full size.
"""

import math

import pytest

from tests.vae.lecture.planted import PLANTED
from vae.lecture import CLAIMS, Setting
from vae.lecture.models import coders, trained
from vae.lecture.slides import s04_amortisation, s15_sampling

SMALL = (
    (trained, "IMAGES", 1000),
    (coders, "IMAGES", 1000),
    (coders, "EPOCHS", 12),
    (s04_amortisation, "EPOCHS", 6),
    (s04_amortisation, "IMAGES", 8),
    (s15_sampling, "EPOCHS", 5),
    (s15_sampling, "RATE", 3e-3),
    (s15_sampling, "BATCH", 32),
    (s15_sampling, "DRAWS", 16),
    (s15_sampling, "FEW", 40),
    (s15_sampling, "PLANE_IMAGES", 20),
)


@pytest.fixture(scope="module")
def setting():
    """One setting for all tests, so that claims share trained models."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name, value in SMALL:
            patch.setattr(module, name, value)
        yield Setting(0, size=(1000, 200))


@pytest.mark.parametrize("claim", [c for c in CLAIMS if c.images], ids=lambda claim: claim.name)
def test_image_claim_holds_and_fails_with_a_planted_mistake(claim, setting, monkeypatch):
    sides = claim.compute(setting)
    assert sides.passed, sides
    assert math.isfinite(sides.left) and math.isfinite(sides.right)
    PLANTED[claim.name](monkeypatch)
    assert not claim.compute(setting).passed
