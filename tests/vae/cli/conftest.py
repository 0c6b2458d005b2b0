"""Tests of the command line draw coarse pictures: what a picture shows is tested in tests/vae/test_pictures.py."""

import pytest

from vae import pictures


@pytest.fixture(scope="module", autouse=True)
def coarse_pictures():
    """40 dots per inch instead of 200: drawing is most of the time that a small run takes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pictures, "DPI", 40)
        yield
