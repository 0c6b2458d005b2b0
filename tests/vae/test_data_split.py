"""vae/data/split.py: random samples, never prefixes, and parts that do not overlap."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vae.data import DataError, Dataset
from vae.data.split import check_size, hold_out, sample


def numbered(train: int, test: int, valid: int | None = None) -> Dataset:
    """A set whose images and labels are their own row numbers."""
    rows = {"train": train, "test": test} | ({} if valid is None else {"valid": valid})
    images = {part: np.arange(n, dtype=np.float32).reshape(n, 1, 1, 1) for part, n in rows.items()}
    labels = {f"{part}_labels": np.arange(rows[part]) for part in ("train", "test")}
    return Dataset("numbered", **images, **labels)


@given(st.integers(2, 500), st.integers(0, 2**70))
def test_a_tenth_is_held_out_and_nothing_is_lost(count: int, seed: int) -> None:
    train, test = hold_out(count, seed, "file")
    assert len(test) == max(1, count // 10)
    assert sorted([*train, *test]) == list(range(count))


@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 10**9))
def test_a_larger_sample_begins_with_the_smaller(a: int, b: int, seed: int) -> None:
    ds = numbered(60, 60)
    small, large = sorted((a, b))
    few, many = (sample(ds, (n, n), seed) for n in (small, large))
    for part in ("train", "test"):
        images, labels = getattr(few, part)[:, 0, 0, 0], getattr(few, f"{part}_labels")
        np.testing.assert_array_equal(images, labels)
        np.testing.assert_array_equal(labels, getattr(many, f"{part}_labels")[:small])
        assert len(set(labels)) == small


def test_a_sample_is_no_prefix_and_depends_on_the_seed() -> None:
    ds = numbered(1000, 1000)
    one, two = (sample(ds, (100, 100), seed) for seed in (0, 1))
    assert one.train_labels.mean() == pytest.approx(500, abs=100)
    assert not np.array_equal(one.train_labels, two.train_labels)
    assert not np.array_equal(one.train_labels, one.test_labels)


def test_parts_not_asked_for_stay_whole_and_in_order() -> None:
    ds = numbered(30, 20, 10)
    assert sample(ds, None, 0) is ds
    fewer = sample(ds, (5, None), 0)
    assert len(fewer.train) == 5
    np.testing.assert_array_equal(fewer.test, ds.test)
    np.testing.assert_array_equal(fewer.valid, ds.valid)


def test_valid_is_cut_to_the_size_of_test() -> None:
    ds = numbered(30, 20, 10)
    assert len(sample(ds, (None, 4), 0).valid) == 4
    assert len(sample(ds, (None, 15), 0).valid) == 10


def test_more_than_there_are_is_refused() -> None:
    with pytest.raises(DataError, match="numbered has 20 test images, 21 were asked for"):
        sample(numbered(30, 20), (30, 21), 0)


@pytest.mark.parametrize("size", [5, (5,), (1, 2, 3), (0, 1), (1, -1), (1.0, 1), (True, 1), "12"])
def test_sizes_that_make_no_sense_are_refused(size: object) -> None:
    with pytest.raises(DataError, match="size must"):
        check_size(size)


@pytest.mark.parametrize("size", [None, (1, 1), (None, 3), [2, None], (np.int64(3), 1)])
def test_sizes_that_make_sense_pass(size: object) -> None:
    check_size(size)
