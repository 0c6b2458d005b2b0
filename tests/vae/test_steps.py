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


# Several samples, binary pixels, and times

PIXEL_KEY = mg.random.key(9)


def epoch_of(count, size, number=0, seed=0, pixel_key=PIXEL_KEY):
    """An epoch of grey images, of 2×3 pixels, whose keys depend on the number of the epoch."""
    images = np.random.default_rng(seed).random((count, 2, 3, 1)).astype(np.float32)
    keys = [mg.random.fold_in(key, number) for key in (*KEYS, *(() if pixel_key is None else (pixel_key,)))]
    return shuffle(images, size, keys[0], keys[1], number, *keys[2:])


def whole_epoch(epoch, latent, samples):
    """Images and noise of all batches, noise as (images, samples, latent)."""
    batches = [batch.draw(latent, samples=samples) for batch in epoch.batches()]
    noise = [e[:, None] if e.ndim == 2 else np.swapaxes(e, 0, 1) for _, e in batches]
    return np.concatenate([y for y, _ in batches]), np.concatenate(noise)


@given(st.integers(2, 30), st.integers(1, 12), st.integers(1, 12), st.sampled_from([1, 2, 5]), st.integers(1, 3))
def test_the_noise_of_all_samples_and_the_pixels_follow_from_the_position(count, size, other, samples, latent):
    """Whatever the batch size: image i of the epoch has the i-th samples·latent numbers of one stream."""
    images, noise = whole_epoch(epoch_of(count, size), latent, samples)
    stream = mg.random.normal(mg.random.fold_in(KEYS[1], 0), (count, samples, latent))
    assert np.array_equal(noise, stream)
    again, same = whole_epoch(epoch_of(count, other), latent, samples)
    assert np.array_equal(images, again) and np.array_equal(noise, same)
    grey, _ = whole_epoch(epoch_of(count, size, pixel_key=None), latent, samples)
    uniform = mg.random.uniform(mg.random.fold_in(PIXEL_KEY, 0), grey.shape)
    assert np.array_equal(images, uniform < grey)


@given(st.integers(1, 30), st.integers(1, 12), st.sampled_from([2, 3]), st.data())
def test_any_part_of_a_batch_has_the_samples_and_the_pixels_of_the_whole(count, size, samples, data):
    for batch in epoch_of(count, size).batches():
        images, noise = batch.draw(2, samples=samples)
        assert noise.shape == (samples, batch.count, 2)
        last = data.draw(st.integers(0, batch.count))
        first = data.draw(st.integers(0, last))
        some, part = batch.draw(2, first, last, samples)
        assert some.tobytes() == images[first:last].tobytes()
        assert part.tobytes() == noise[:, first:last].tobytes()


def test_every_epoch_has_new_pixels_and_new_noise():
    one, other = (whole_epoch(epoch_of(40, 16, number), 2, 3) for number in (0, 1))
    assert not np.any(one[1] == other[1])
    order = [np.lexsort(whole_epoch(epoch_of(40, 16, n, pixel_key=None), 2, 3)[0].reshape(40, -1).T) for n in (0, 1)]
    pixels = [images[rows] for (images, _), rows in zip((one, other), order, strict=True)]
    assert {0.0, 1.0} == set(np.unique(pixels))
    assert 0.2 < np.mean(pixels[0] != pixels[1]) < 0.45  # 2·∫ p(1−p) dp = 1/3 of grey pixels


@pytest.mark.parametrize(("count", "size", "number"), [(50, 16, 0), (48, 16, 7), (3, 10, 2)])
def test_the_time_of_a_batch_is_its_part_of_the_epochs(count, size, number):
    """t = e + j/n, as an array () in float64, so that a captured step does not keep its value."""
    epoch = epoch_of(count, size, number)
    batches, n = list(epoch.batches()), -(-count // size)
    assert [float(batch.time) for batch in batches] == [number + j / n for j in range(n)]
    assert all(isinstance(batch.time, np.ndarray) for batch in batches)
    assert all(batch.time.shape == () and batch.time.dtype == np.float64 for batch in batches)
    assert [float(b.time) for b in epoch.batches(n - 1)] == [number + (n - 1) / n]
