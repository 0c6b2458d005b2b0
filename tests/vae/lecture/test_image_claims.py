"""Claims on images, with small data, small models and little training: each holds, and fails with its planted mistake.

`python -m vae lecture` proves them at their full size.
"""

import importlib
import math
from pathlib import Path

import pytest

from vae.lecture import CLAIMS, Setting
from vae.lecture.models import coders, trained
from vae.lecture.slides import s04_amortisation as amortisation
from vae.lecture.slides import s15_sampling as sampling

PLANTED = {}
for _path in sorted((Path(__file__).parent / "planted").glob("s*.py")):
    PLANTED |= importlib.import_module(f"tests.vae.lecture.planted.{_path.stem}").PLANTED

SMALL = (
    (trained, "IMAGES", 1000),
    (coders, "IMAGES", 1000),
    (coders, "EPOCHS", 12),
    (amortisation, "EPOCHS", 6),
    (amortisation, "IMAGES", 8),
    (sampling, "EPOCHS", 5),
    (sampling, "RATE", 3e-3),
    (sampling, "BATCH", 32),
    (sampling, "DRAWS", 16),
    (sampling, "FEW", 40),
    (sampling, "PLANE_IMAGES", 20),
)


@pytest.fixture(scope="module")
def setting():
    """One for all, so that claims share what is trained."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name, value in SMALL:
            patch.setattr(module, name, value)
        yield Setting(0, size=(1000, 200))


@pytest.mark.parametrize("claim", [c for c in CLAIMS if c.images], ids=lambda claim: claim.name)
def test_a_claim_on_images_holds_until_a_mistake_is_planted(claim, setting, monkeypatch):
    sides = claim.prove(setting)
    assert sides.passed, sides
    assert math.isfinite(sides.left) and math.isfinite(sides.right)
    PLANTED[claim.name](monkeypatch)
    assert not claim.prove(setting).passed
