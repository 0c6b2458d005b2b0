"""vae/data/split.py: random samples, never prefixes, and parts that do not overlap."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vae.data import DataError, Dataset
from vae.data.split import check_size, digests, hold_out, sample


def numbered_dataset(train: int, test: int, valid: int | None = None) -> Dataset:
    """A set whose images and labels are their own row numbers."""
    rows = {"train": train, "test": test} | ({} if valid is None else {"valid": valid})
    images = {part: np.arange(n, dtype=np.float32).reshape(n, 1, 1, 1) for part, n in rows.items()}
    labels = {f"{part}_labels": np.arange(rows[part]) for part in ("train", "test")}
    return Dataset("numbered", **images, **labels)


def random_images(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((count, 2, 3, 1), np.float32)


def split_images(images: np.ndarray, seed: int = 0) -> tuple[list[bytes], list[bytes]]:
    """The images of the train and the test part, in order, as bytes."""
    train, test = hold_out(images, seed, "file")
    assert sorted([*train, *test]) == list(range(len(images)))
    return [images[i].tobytes() for i in train], [images[i].tobytes() for i in test]


def test_about_a_tenth_is_held_out() -> None:
    tests = [len(split_images(random_images(1000), seed)[1]) for seed in range(100)]
    assert abs(np.mean(tests) - 100) < 5 * np.sqrt(1000 * 0.1 * 0.9 / 100)
    assert np.std(tests) == pytest.approx(np.sqrt(1000 * 0.1 * 0.9), rel=0.4)


@given(st.integers(2, 500), st.integers(0, 2**70))
def test_each_part_has_an_image_however_few_there_are(count: int, seed: int) -> None:
    train, test = split_images(random_images(count), seed)
    assert train and test


@given(st.integers(30, 200), st.integers(30, 200), st.integers(0, 2**70), st.randoms())
def test_adding_removing_or_reordering_pictures_moves_no_other(few: int, more: int, seed: int, random) -> None:
    """A picture's part depends on the picture alone, not on other pictures or on the order of the files."""
    whole = random_images(few + more)
    train, test = split_images(whole, seed)
    order = list(range(len(whole)))
    random.shuffle(order)
    assert split_images(whole[order], seed) == (train, test)
    if min(map(len, kept := split_images(whole[order[:few]], seed))) > 1:  # an empty part is given one image
        assert set(kept[0]) <= set(train) and set(kept[1]) <= set(test)


def test_copies_of_an_image_stay_together() -> None:
    images = random_images(40)
    train, test = split_images(np.concatenate([images, images, -0.0 * images, 0.0 * images]), 1)
    assert not set(train) & set(test)
    assert len(train) % 2 == len(test) % 2 == 0


def test_a_single_image_is_refused() -> None:
    with pytest.raises(DataError, match="file has 1 image and no test part: at least 2 are needed"):
        hold_out(random_images(1), 0, "file")


@given(st.integers(2, 200), st.integers(0, 2**70))
def test_of_copies_of_one_image_a_tenth_is_held_out(count: int, seed: int) -> None:
    images = random_images(1).repeat(count, 0)
    train, test = hold_out(images, seed, "file")
    assert sorted([*train, *test]) == list(range(count))
    assert len(train) >= 1 and len(test) >= 1 and abs(len(test) - count / 10) < 1
    train, test = hold_out(np.concatenate([images, 1 - images]), seed, "file")
    assert len(train) == len(test) == count  # copies stay together as soon as two images differ


def test_digests_differ_where_pixels_do() -> None:
    images = random_images(1000)
    images[1] = images[0]
    images[2] = np.nextafter(images[0], 2)
    found = digests(images)
    assert found.dtype == np.uint64
    assert found[0] == found[1] and len(set(found.tolist())) == 999
    assert digests(images[5:6]) == found[5]  # it depends on its own pixels only


@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 10**9))
def test_a_larger_sample_begins_with_the_smaller(a: int, b: int, seed: int) -> None:
    ds = numbered_dataset(60, 60)
    small, large = sorted((a, b))
    few, many = (sample(ds, (n, n), seed) for n in (small, large))
    for part in ("train", "test"):
        images, labels = getattr(few, part)[:, 0, 0, 0], getattr(few, f"{part}_labels")
        np.testing.assert_array_equal(images, labels)
        np.testing.assert_array_equal(labels, getattr(many, f"{part}_labels")[:small])
        assert len(set(labels)) == small


def test_a_sample_is_no_prefix_and_depends_on_the_seed() -> None:
    ds = numbered_dataset(1000, 1000)
    one, two = (sample(ds, (100, 100), seed) for seed in (0, 1))
    assert one.train_labels.mean() == pytest.approx(500, abs=100)
    assert not np.array_equal(one.train_labels, two.train_labels)
    assert not np.array_equal(one.train_labels, one.test_labels)


def test_parts_without_a_size_stay_whole_and_in_order() -> None:
    ds = numbered_dataset(30, 20, 10)
    assert sample(ds, None, 0) is ds
    fewer = sample(ds, (5, None), 0)
    assert len(fewer.train) == 5
    np.testing.assert_array_equal(fewer.test, ds.test)
    np.testing.assert_array_equal(fewer.valid, ds.valid)


def test_valid_is_cut_to_the_size_of_test() -> None:
    ds = numbered_dataset(30, 20, 10)
    assert len(sample(ds, (None, 4), 0).valid) == 4
    assert len(sample(ds, (None, 15), 0).valid) == 10


def test_a_sample_larger_than_the_set_is_refused() -> None:
    with pytest.raises(DataError, match="numbered has 20 test images, 21 were asked for"):
        sample(numbered_dataset(30, 20), (30, 21), 0)


@pytest.mark.parametrize("size", [5, (5,), (1, 2, 3), (0, 1), (1, -1), (1.0, 1), (True, 1), "12"])
def test_invalid_sizes_are_refused(size: object) -> None:
    with pytest.raises(DataError, match="size must"):
        check_size(size)


@pytest.mark.parametrize("size", [None, (1, 1), (None, 3), [2, None], (np.int64(3), 1)])
def test_valid_sizes_pass(size: object) -> None:
    check_size(size)
