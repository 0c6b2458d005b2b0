"""vae/data/pixels.py: arrays of every shape and dtype, and what their values mean."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vae.data import DataError
from vae.data.pixels import to_images

BYTES = np.random.default_rng(0).integers(0, 256, (20, 6, 5), np.uint8)


def convert(x: np.ndarray) -> tuple[np.ndarray, list[str]]:
    images, notes = to_images({"train": x}, "x.npy")
    return images["train"], notes


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=3, max_dims=3, max_side=6)))
def test_bytes_are_divided_by_255_unless_they_are_zeros_and_ones(x: np.ndarray) -> None:
    images = convert(x)[0]
    expected = x / np.float32(1 if x.max() <= 1 else 255)
    assert images.dtype == np.float32
    np.testing.assert_array_equal(images[..., 0], expected)


def test_zeros_and_ones_are_judged_over_all_parts() -> None:
    dark = np.ones((1, 2, 2), np.uint8)
    images = to_images({"train": BYTES[:, :2, :2], "test": dark}, "x.npz")[0]
    np.testing.assert_array_equal(images["test"], np.float32(1) / np.float32(255))


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4", "?"])
def test_unit_floats_and_bools_are_kept(dtype: str) -> None:
    x = np.linspace(0, 1, 24).reshape(2, 4, 3).round(dtype == "?").astype(dtype)
    images = convert(x)[0]
    np.testing.assert_array_equal(images[..., 0], x.astype(np.float32))


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((3, 4, 5), (3, 4, 5, 1)),
        ((3, 4, 5, 1), (3, 4, 5, 1)),
        ((3, 4, 5, 3), (3, 4, 5, 3)),
        ((3, 784), (3, 28, 28, 1)),
        ((3, 1), (3, 1, 1, 1)),
    ],
)
def test_shapes_become_nhwc(shape: tuple, expected: tuple) -> None:
    x = np.random.default_rng(0).random(shape)
    images = convert(x)[0]
    assert images.shape == expected
    np.testing.assert_array_equal(images.ravel(), x.astype(np.float32).ravel())


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((3, 783)), r"x.npy: train has shape \(3, 783\), expected .* D a square number$"),
        (np.zeros((3, 3072)), r"colours save x\.reshape\(-1, 32, 32, 3\), or \(-1, 3, 32, 32\) if they are in planes"),
        (np.zeros((2, 8, 8, 5)), r"shape \(2, 8, 8, 5\).*square number$"),
        (np.zeros(9), r"shape \(9,\)"),
        (np.zeros(()), r"shape \(\)"),
        (np.zeros((0, 28, 28)), r"is empty: shape \(0, 28, 28\)"),
        (np.full((1, 2, 2), -0.5), r"values from -0\.5 to -0\.5, expected 0 to 1"),
        (np.arange(4.0).reshape(1, 2, 2), r"values from 0 to 3, expected 0 to 1"),
        (np.full((1, 2, 2), np.inf), "train holds 4 infinite values"),
        (np.array([[0.5, np.nan, np.nan, 1]]), "train holds 2 NaN, expected"),
        (np.array([[-np.inf, np.nan, np.inf, 1]]), "train holds 1 NaN and 2 infinite values, expected"),
        (np.zeros((1, 2, 2), complex), "dtype complex128"),
        (np.array([["a"]]), "dtype <U1"),
    ],
)
def test_an_unusable_array_is_refused_with_the_reason(x: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        to_images({"train": x}, "x.npy")


# What values mean


@pytest.mark.parametrize("dtype", ["u2", ">u2", "i2", "i4", "u4", "i8", "u8", "f2", "f4", ">f4", "f8"])
def test_whole_numbers_up_to_255_are_bytes_whatever_their_dtype(dtype: str) -> None:
    images, notes = convert(np.asfortranarray(BYTES.astype(dtype)))
    np.testing.assert_array_equal(images[..., 0], BYTES / np.float32(255))
    assert notes == [f"x.npy: whole numbers up to {BYTES.max()} (dtype {np.dtype(dtype).name}), divided by 255."]


@pytest.mark.parametrize("dtype", ["?", "u1", "u2", ">i4", "i8", "f4"])
def test_zeros_and_ones_are_bits_whatever_their_dtype(dtype: str) -> None:
    bits = BYTES > 127
    images, notes = convert(bits.astype(dtype))
    np.testing.assert_array_equal(images[..., 0], bits)
    assert notes == []


@pytest.mark.parametrize(
    ("dtype", "beyond"), [("f4", np.float32(1.2e-7)), ("f8", 9e-7), ("f8", -9e-7), ("f2", np.float16(2e-3))]
)
def test_values_just_outside_the_range_are_clipped_and_reported(dtype: str, beyond: float) -> None:
    x = np.linspace(0, 1, 24).reshape(2, 4, 3).astype(dtype)
    expected = x.astype(np.float32)[..., None]
    x[(0, 0, 0) if beyond < 0 else (1, 3, 2)] += np.dtype(dtype).type(beyond)
    images, notes = convert(x)
    np.testing.assert_array_equal(images, expected)
    (note,) = notes
    assert re.fullmatch(r"x\.npy: values up to [\de.-]+ outside of 0 to 1, clipped: 1\.", note), note
    assert x.max() > 1 or x.min() < 0  # the caller's array is not changed


@pytest.mark.parametrize(
    ("x", "advice"),
    [
        (np.linspace(-1, 1, 9), r"from -1 to 1, .* save \(x \+ 1\) / 2 if −1 is black and 1 white"),
        (np.linspace(-2.1, 2.6, 9), "from -2.1 to 2.6, .* black is 0 and white is 1"),
        (np.linspace(0, 254.5, 9), r"from 0 to 254\.5, .* save x / w, where w is the value of white: 255 for 8 bits"),
        (np.linspace(0, 1 + 2e-6, 9), r"from 0 to 1\.000002, expected 0 to 1 or uint8"),
        (np.arange(9) * 2.0, r"from 0 to 16, .* save x / w"),
        (np.arange(9) * 2, r"from 0 to 16, .* save x / w"),
        (np.arange(9, dtype=np.uint16) * 8000, "from 0 to 64000, .* 65535 for 16"),
        (np.arange(9, dtype=np.int8) - 4, "from -4 to 4"),
    ],
)
def test_ambiguous_values_are_refused_with_advice(x: np.ndarray, advice: str) -> None:
    with pytest.raises(DataError, match=f"x.npy: train has values {advice}"):
        to_images({"train": x.reshape(1, 3, 3)}, "x.npy")


def test_the_part_that_is_out_of_range_is_named() -> None:
    parts = {"train": np.zeros((1, 2, 2)), "test": np.full((1, 2, 2), 3.5)}
    with pytest.raises(DataError, match=r"x\.npz: test has values from 3\.5 to 3\.5"):
        to_images(parts, "x.npz")


def test_dark_bytes_are_reported() -> None:
    images, notes = convert(BYTES // 16)
    np.testing.assert_array_equal(images[..., 0], (BYTES // 16) / np.float32(255))
    assert notes == ["x.npy: the largest value is 15 of 255, so images are dark; if 15 is white, rescale them."]
    assert convert(BYTES // 2)[1] == [notes[0].replace("15", "127")]
    assert convert(np.array([[[0, 128]]], np.uint8))[1] == []


@given(st.sampled_from([1, 3, 4]), st.sampled_from([np.uint8, np.float32]))
def test_channels_may_come_first(channels: int, dtype: type) -> None:
    x = np.random.default_rng(0).random((3, 6, 5, channels)) * (255 if dtype == np.uint8 else 1)
    last, _ = convert(x.astype(dtype))
    first, notes = convert(np.moveaxis(x, -1, 1).astype(dtype))
    np.testing.assert_array_equal(first, last)
    assert notes == [f"x.npy: train has shape (3, {channels}, 6, 5), taken as (N, C, H, W)."]


def test_one_colour_picture_taken_as_grey_ones_is_reported() -> None:
    _, notes = convert(np.zeros((48, 64, 3)))
    assert notes == ["x.npy: train has shape (48, 64, 3): taken as 48 grey images 64×3, not one in colour."]


@given(
    hnp.arrays(np.float32, hnp.array_shapes(min_dims=4, max_dims=4, max_side=4), elements=st.floats(0, 1, width=32)),
    st.integers(1, 20),
)
def test_working_in_blocks_leaves_nothing_out(x: np.ndarray, values: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vae.data.blocks.BLOCK", values)
        np.testing.assert_array_equal(convert(x.astype(np.float64))[0], x)
        x[-1, -1, -1, -1] = np.nan
        with pytest.raises(DataError, match="holds 1 NaN"):
            convert(x)


KINDS = st.one_of(
    hnp.boolean_dtypes(),
    hnp.integer_dtypes(endianness="="),
    hnp.unsigned_integer_dtypes(endianness=">"),
    hnp.floating_dtypes(endianness="?"),
    hnp.complex_number_dtypes(),
    hnp.unicode_string_dtypes(max_len=2),
    hnp.datetime64_dtypes(),
)


@given(hnp.arrays(KINDS, hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=4)))
def test_any_array_becomes_images_or_one_sentence(x: np.ndarray) -> None:
    try:
        images, notes = convert(x)
    except DataError as error:
        assert "\n" not in str(error)
        assert str(error).startswith("x.npy: train ")
    else:
        assert images.dtype == np.float32
        assert images.ndim == 4
        assert images.size == x.size
        assert images.min() >= 0
        assert images.max() <= 1
        assert all(note.startswith("x.npy") and "\n" not in note for note in notes)
