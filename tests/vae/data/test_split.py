"""vae/data/split.py: random samples, never prefixes, and parts that do not overlap."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vae.data import DataError, Dataset
from vae.data.mapped import MappedImages
from vae.data.split import check_size, digests, drop_trained, hold_out, hold_valid, sample


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


# A validation part


def numbers_of(images: np.ndarray | MappedImages) -> list[int]:
    """The row numbers that the images of `numbered_dataset` are."""
    return np.asarray(images)[:, 0, 0, 0].astype(int).tolist()


def mapped(dataset: Dataset) -> Dataset:
    """The same set with its training images in a file: here an array, which stands for a mapped one."""
    stored = np.array(dataset.train)
    return replace(dataset, train=MappedImages(stored, stored.shape[1:], lambda block, out: np.copyto(out, block)))


@given(st.integers(2, 80), st.data(), st.integers(0, 2**70), st.booleans())
def test_validation_images_leave_the_training_part(count: int, data, seed: int, in_file: bool) -> None:
    size, dtype = data.draw(st.integers(1, count - 1)), [("row", int)]
    factors = {"train": np.arange(count).astype(dtype), "test": np.arange(5).astype(dtype)}
    ds = replace(numbered_dataset(count, 5), factors=factors, notes=("a note",))
    found = hold_valid(mapped(ds) if in_file else ds, np.int64(size), seed)
    assert isinstance(found.train, MappedImages) == isinstance(found.valid, MappedImages) == in_file
    train, valid = numbers_of(found.train), numbers_of(found.valid)
    assert len(valid) == size and sorted(train + valid) == list(range(count)) and train == sorted(train)
    assert found.train_labels.tolist() == found.factors["train"]["row"].tolist() == train
    assert found.factors["valid"]["row"].tolist() == valid
    assert found.test_labels.tolist() == found.factors["test"]["row"].tolist() == numbers_of(found.test) == [*range(5)]
    assert found.notes == ("a note", f"Validation part: {size} of {count} training images, chosen with seed {seed}.")
    assert (len(ds.train), ds.valid, len(ds.factors["train"])) == (count, None, count)  # unchanged


def test_factors_stay_with_their_images() -> None:
    """In samples, in a sample of a published validation part, and where trained images are left out."""
    dtype, parts = [("row", int)], {"train": 9, "test": 7, "valid": 6}
    factors = {part: np.arange(count).astype(dtype) for part, count in parts.items()}
    ds = numbered_dataset(9, 7)
    ds = replace(ds, valid=numbered_dataset(6, 1).train, factors=factors)
    for found in (sample(ds, (5, 4), 0), sample(ds, (None, 3), 1), hold_valid(ds, 2, 0)):
        for part in parts:
            assert found.factors[part]["row"].tolist() == numbers_of(getattr(found, part))
    gone = ds.test[[1, 4]]
    rest, said = drop_trained(ds, np.append(digests(gone), np.uint64(7)))
    assert rest.factors["test"]["row"].tolist() == numbers_of(rest.test) == [0, 2, 3, 5, 6] and "2 of 7" in said
    with pytest.raises(DataError, match="test has 7 images but factors of shape"):
        replace(ds, factors={"test": factors["train"]})


def test_a_set_without_labels_and_factors_gets_a_validation_part() -> None:
    found = hold_valid(Dataset("plain", random_images(9), random_images(2)), 4, 0)
    assert (len(found.train), len(found.valid), found.train_labels, found.factors) == (5, 4, None, None)


def test_the_choice_for_validation_is_random_and_repeatable() -> None:
    ds = numbered_dataset(2000, 1)
    chosen = [numbers_of(hold_valid(ds, 200, seed).valid) for seed in range(20)]
    assert chosen[0] == numbers_of(hold_valid(ds, 200, 0).valid) == numbers_of(hold_valid(mapped(ds), 200, 0).valid)
    assert len({tuple(rows) for rows in chosen}) == 20
    counts = np.histogram(np.concatenate(chosen), 10, (0, 2000))[0]  # 400 expected in each tenth of the rows
    np.testing.assert_allclose(counts, 400, atol=5 * np.sqrt(400 * 0.9 * 0.9))
    first = np.concatenate([rows[:20] for rows in chosen])  # any beginning of the part is random, too
    assert first.mean() == pytest.approx(1000, abs=5 * 2000 / np.sqrt(12 * 400))


def test_the_choice_for_validation_is_independent_of_the_test_part() -> None:
    images = random_images(4000)
    _, test = hold_out(images, 0, "file")
    found = hold_valid(Dataset("whole", images, images[:1]), 400, 0)
    tests = {image.tobytes() for image in images[test]}
    both = sum(image.tobytes() in tests for image in found.valid)
    assert both == pytest.approx(40, abs=5 * np.sqrt(40))


@given(st.lists(st.integers(2, 4), max_size=20), st.integers(1, 40), st.integers(0, 2**32), st.data())
def test_copies_of_an_image_stay_in_one_part(copies: list[int], alone: int, seed: int, data) -> None:
    """As promised: up to as many images as have no copy are held out without dividing copies."""
    images = random_images(len(copies) + alone + 1).repeat([*copies, *[1] * (alone + 1)], 0)
    images = images[np.random.default_rng(seed).permutation(len(images))]
    size = data.draw(st.integers(1, alone))
    found = hold_valid(Dataset("copies", images, images[:1]), size, seed)
    train, valid = ({image.tobytes() for image in part} for part in (found.train, found.valid))
    assert not train & valid and len(found.valid) == size


def test_copies_are_held_out_as_often_as_other_images() -> None:
    images = random_images(400).repeat([2] * 100 + [1] * 300, 0)
    held = [hold_valid(Dataset("copies", images, images[:1]), 100, seed).valid for seed in range(30)]
    copied = {image.tobytes() for image in images[:200]}
    count = sum(image.tobytes() in copied for valid in held for image in valid)
    assert count == pytest.approx(30 * 100 * 200 / 500, rel=0.1)  # 600 pairs, each held out with chance 1/5


@pytest.mark.parametrize("size", [1, 4, 7])
def test_copies_are_divided_if_no_other_image_is_left(size: int) -> None:
    images = random_images(2).repeat(4, 0)
    found = hold_valid(Dataset("copies", images, images[:1]), size, 0)
    assert (len(found.train), len(found.valid)) == (8 - size, size)
    shared = {image.tobytes() for image in found.train} & {image.tobytes() for image in found.valid}
    assert len(shared) == (size != 4)


@given(st.integers(1, 60), st.integers(0, 2**32))
def test_a_published_validation_part_is_sampled(size: int, seed: int) -> None:
    ds = numbered_dataset(30, 20, 60)
    found = hold_valid(ds, size, seed)
    assert numbers_of(found.train) == found.train_labels.tolist() == list(range(30))
    rows = numbers_of(found.valid)
    assert len(set(rows)) == size and set(rows) <= set(range(60))
    assert size < 60 or rows == list(range(60))
    assert rows == numbers_of(hold_valid(ds, size, seed).valid)


def test_a_sample_of_a_published_validation_part_is_no_prefix() -> None:
    ds = numbered_dataset(3, 2, 1000)
    one, two = (numbers_of(hold_valid(ds, 100, seed).valid) for seed in (0, 1))
    assert one != two and np.mean(one) == pytest.approx(500, abs=5 * 1000 / np.sqrt(12 * 100))


@pytest.mark.parametrize(
    ("valid", "size", "message"),
    [
        (None, 30, "^numbered has 30 training images: with 30 for validation, none is left to train on$"),
        (None, 31, "with 31 for validation, none is left"),
        (10, 11, "^numbered has 10 validation images, 11 were asked for$"),
        (None, 0, "^size of the validation part must be a whole number of at least 1, got 0$"),
        (10, -3, "whole number of at least 1, got -3"),
        (None, 2.0, "whole number of at least 1, got 2.0"),
        (None, True, "whole number of at least 1, got True"),
    ],
)
def test_impossible_validation_parts_are_refused(valid: int | None, size: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        hold_valid(numbered_dataset(30, 20, valid), size, 0)


def test_a_seed_of_the_validation_part_is_a_whole_number() -> None:
    with pytest.raises(DataError, match="seed must be a whole number"):
        hold_valid(numbered_dataset(3, 2), 1, -1)
