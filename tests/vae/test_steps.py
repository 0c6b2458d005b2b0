"""vae/steps.py: every image once per epoch, the same noise for any batch size, and one step down a gradient."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from vae.optimisers import sgd
from vae.steps import gradient_of, make_step, shuffle

KEYS = mg.random.split(mg.random.key(3), 2)


def draw_epoch(count, size, first=0, latent=2):
    """(images, noise) of every batch of an epoch; image i has the value i."""
    images = np.arange(count, dtype=np.float32).reshape(-1, 1, 1, 1)
    return [batch.draw(latent) for batch in shuffle(images, size, *KEYS).batches(first)]


@given(st.integers(1, 40), st.integers(1, 50))
def test_every_image_comes_once_and_only_the_last_batch_is_short(count, size):
    batches = draw_epoch(count, size)
    assert sorted(np.concatenate([y for y, _ in batches]).ravel()) == list(range(count))
    assert [len(y) for y, _ in batches[:-1]] == [size] * (len(batches) - 1)
    assert all(len(noise) == len(y) for y, noise in batches)


@given(st.integers(2, 40), st.integers(1, 10))
def test_noise_is_one_stream_whatever_the_batch_size(count, size):
    """Noise depends on the position in the epoch, not on the batch."""
    whole = mg.random.normal(KEYS[1], (count, 2))
    assert np.array_equal(np.concatenate([noise for _, noise in draw_epoch(count, size)]), whole)


@pytest.mark.parametrize("first", [0, 1, 3, 4])
def test_an_epoch_can_resume_at_any_batch(first):
    for got, expected in zip(draw_epoch(50, 16, first), draw_epoch(50, 16)[first:], strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(got, expected, strict=True))


def test_a_step_descends_the_first_value_and_reports_the_second():
    """For ½‖p − y‖² without momentum it gives p − α(p − y); the reported value is not differentiated."""
    loss = lambda p, y: (0.5 * mg.sum((p - y) ** 2), mg.sum(p))
    step = make_step(gradient_of(loss), optimiser := sgd(0.25, 0.0))
    p, y = np.array([1.0, -2.0]), np.array([3.0, 4.0])
    reported, after, _ = step(p.copy(), optimiser.init(p), y)
    assert reported == p.sum()
    np.testing.assert_allclose(after, p - 0.25 * (p - y), rtol=1e-15)


def test_a_part_of_a_batch_has_the_images_and_the_noise_of_the_whole():
    epoch = shuffle(mg.random.uniform(mg.random.key(0), (50, 2, 2, 1)), 20, mg.random.key(1), mg.random.key(2))
    for batch in epoch.batches():
        whole = batch.draw(3)
        for first, last in ((0, batch.count), (3, 8), (7, 7)):
            for found, expected in zip(batch.draw(3, first, last), whole, strict=True):
                assert found.tobytes() == expected[first:last].tobytes()
