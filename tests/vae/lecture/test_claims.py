"""Every claim of the lecture holds for every seed, and fails when a mistake is planted in it."""

import math
from pathlib import Path

import pytest

from tests.vae.lecture.planted import FILES, PLANTED
from vae.lecture import CLAIMS, Setting, slides
from vae.lecture.claims import at_most, equal, mean_of_draws, within_errors

EXACT = [c for c in CLAIMS if not c.images]


def each(claims):
    return pytest.mark.parametrize("claim", claims, ids=lambda claim: claim.name)


def pytest_generate_tests(metafunc):
    if metafunc.function is test_exact_claims_hold:
        metafunc.parametrize("seed", range(metafunc.config.getoption("--seeds")))


@each(EXACT)
def test_exact_claims_hold(claim, seed):
    """Models are drawn from the seed. One sampled claim in 16,000 fails by chance."""
    sides = claim.compute(Setting(seed))
    assert sides.passed, sides
    assert math.isfinite(sides.left) and math.isfinite(sides.right)


@each(EXACT)
def test_a_planted_mistake_makes_the_claim_fail(claim, monkeypatch):
    PLANTED[claim.name](monkeypatch)
    assert not claim.compute(Setting(0)).passed


def test_every_claim_has_a_planted_mistake_in_the_file_of_its_slide():
    claims = {path.stem: set() for path in Path(slides.__file__).parent.glob("s[0-9][0-9]_*.py")}
    for claim in CLAIMS:
        claims[claim.compute.__module__.rpartition(".")[2]].add(claim.name)
    assert claims == {file: set(planted) for file, planted in FILES.items()}
    assert len(PLANTED) == len(CLAIMS)  # no two claims have the same name


@each(CLAIMS)
def test_claims_are_short_enough_for_the_page(claim):
    assert claim.says.endswith(".") and len(claim.says) < 120
    assert claim.mathematics
    body = claim.code.splitlines()
    assert len(body) <= 25, (
        f"{claim.name} takes {len(body)} lines, at most 25 fit: move what is not the comparison into functions"
    )


def test_comparisons_fail_where_they_should():
    assert equal([1.0, 2.0], [1.0, 2.0]).passed
    assert not equal([1.0, 2.0], [1.0, 2.0 + 1e-12]).passed
    assert not equal([1.0, math.nan], [1.0, 2.0]).passed
    assert at_most([1.0, 2.0], 2.0).passed
    assert not at_most([1.0, 2.0 + 1e-12], 2.0).passed
    assert within_errors(1.0, 1.3, 0.1).passed
    assert not within_errors(1.0, 1.5, 0.1).passed
    draws = Setting(0).normal("draws", 10_000)
    assert mean_of_draws(draws, 0.0).passed
    assert not mean_of_draws(draws + 0.1, 0.0).passed
