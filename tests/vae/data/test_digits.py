"""vae/data/glyphs.py and digits.py: outlines, distance fields, and the digits drawn from them."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.path import Path as Outline

from vae.data import Dataset, load
from vae.data.digits import CHUNK, FACTORS, RANGES, draw_factors, render
from vae.data.glyphs import CELLS, FONTS, REACH, distance_fields, measure_distance, trace_outline


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load("digits", size=(1500, 300))


def plain_factors(digit: int, /, **changes: float) -> np.ndarray:
    """Factors of one plain digit in the first font."""
    row = np.zeros(1, FACTORS)
    row["digit"], row["scale"] = digit, 18
    for name, value in changes.items():
        row[name] = value
    return row


def centre(image: np.ndarray) -> tuple[float, float]:
    """Centre of mass (x, y) in pixels."""
    image = image.squeeze().astype(np.float64)
    y, x = np.mgrid[:28, :28]
    return (x * image).sum() / image.sum(), (y * image).sum() / image.sum()


# Distance fields


def test_distance_to_a_square_is_the_closed_form() -> None:
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], np.float32)
    square = np.stack([corners, np.roll(corners, -1, axis=0)], axis=1)
    points = np.random.default_rng(0).uniform(-3, 3, (500, 2)).astype(np.float32)
    beyond = np.abs(points) - 1
    expected = -np.hypot(*np.maximum(beyond, 0).T) - np.minimum(beyond.max(axis=1), 0)
    np.testing.assert_allclose(measure_distance(points, square), expected, atol=1e-6)


@pytest.mark.parametrize("digit", range(10))
def test_fields_agree_with_a_naive_distance_and_matplotlibs_inside(digit: int) -> None:
    outline = trace_outline("cmr10", digit).astype(np.float64)
    field = distance_fields()[FONTS.index("cmr10"), digit]
    # matplotlib's own test, contour by contour: a point in an odd number of them is ink
    ends = np.flatnonzero((outline[1:, 0] != outline[:-1, 1]).any(axis=1)) + 1
    contours = np.split(outline[:, 0], ends)
    assert len(contours) == {0: 2, 4: 2, 6: 2, 8: 3, 9: 2}.get(digit, 1)
    axis = np.linspace(-REACH, REACH, CELLS)
    for i, j in np.random.default_rng(digit).integers(0, CELLS, (40, 2)):
        x, y = axis[j], axis[i]
        nearest = math.inf
        for (ax, ay), (bx, by) in outline:
            length2 = (bx - ax) ** 2 + (by - ay) ** 2
            t = ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / length2 if length2 else 0.0
            t = min(max(t, 0.0), 1.0)
            nearest = min(nearest, math.hypot(x - ax - t * (bx - ax), y - ay - t * (by - ay)))
        assert abs(field[i, j]) == pytest.approx(nearest, abs=1e-5)
        if nearest > 1e-4:
            inside = sum(Outline(c).contains_point((x, y)) for c in contours) % 2 == 1
            assert (field[i, j] > 0) == inside


@pytest.mark.parametrize("font", FONTS)
def test_outlines_are_closed_centred_and_of_unit_size(font: str) -> None:
    for digit in range(10):
        outline = trace_outline(font, digit)
        low, high = outline.min(axis=(0, 1)), outline.max(axis=(0, 1))
        np.testing.assert_allclose(low + high, 0, atol=1e-6)
        assert (high - low).max() == pytest.approx(1, abs=1e-6)
        starts, stops = (np.unique(outline[:, end], axis=0) for end in (0, 1))
        np.testing.assert_array_equal(starts, stops)


# Drawing


def test_an_upright_digit_matches_its_supersampled_outline() -> None:
    fine = (np.arange(28 * 8) + 0.5) / 8 - 14  # eight samples a pixel, around the centre
    x, y = np.meshgrid(fine / 18, fine / 18)
    inside = measure_distance(np.stack([x.ravel(), y.ravel()], 1).astype(np.float32), trace_outline(FONTS[0], 5))
    covered = (inside > 0).reshape(28, 8, 28, 8).mean(axis=(1, 3))
    drawn = render(plain_factors(5))[0, :, :, 0]
    assert np.abs(drawn - covered).mean() < 0.015
    assert np.abs(drawn - covered).max() < 0.3


def test_each_factor_does_what_its_name_says() -> None:
    plain = render(plain_factors(8))
    x, y = centre(plain)
    assert centre(render(plain_factors(8, dx=1.25))) == pytest.approx((x + 1.25, y), abs=0.05)
    assert centre(render(plain_factors(8, dy=-0.75))) == pytest.approx((x, y - 0.75), abs=0.05)
    assert render(plain_factors(8, weight=0.5)).sum() > 1.2 * plain.sum()
    assert render(plain_factors(8, scale=9)).sum() == pytest.approx(plain.sum() / 4, rel=0.05)
    one = plain_factors(1)
    for change in ({"rotation": 15}, {"shear": 0.25}):  # both lean the digit to the right
        for row, side in ((slice(4, 12), 1), (slice(16, 24), -1)):
            leaning, straight = np.zeros((2, 28, 28))
            leaning[row] = render(plain_factors(1, **change))[0, row, :, 0]
            straight[row] = render(one)[0, row, :, 0]
            assert side * (centre(leaning)[0] - centre(straight)[0]) > 0.3
    quarter = render(plain_factors(5, rotation=90))[0, :, :, 0]
    np.testing.assert_allclose(quarter, np.rot90(render(plain_factors(5))[0, :, :, 0], -1), atol=1e-3)


def test_digits_stand_upright_and_are_not_mirrored() -> None:
    seven, three = (render(plain_factors(digit))[0, :, :, 0] for digit in (7, 3))
    assert seven[:14].sum() > 1.5 * seven[14:].sum()  # its bar is at the top
    assert three[:, 14:].sum() > 1.5 * three[:, :14].sum()  # it opens to the left


@pytest.mark.parametrize("change", [{"font": len(FONTS)}, {"font": -1}, {"digit": 10}])
def test_an_unknown_glyph_is_refused(change: dict) -> None:
    with pytest.raises(ValueError, match=r"must lie in 0…"):
        render(plain_factors(3, **change))


# The set


def test_images_are_grey_centred_and_inside_the_frame(digits: Dataset) -> None:
    assert digits.train.shape == (1500, 28, 28, 1)
    assert digits.train.min() == 0
    assert (digits.train.max(axis=(1, 2, 3)) > 0.9).all()
    assert not digits.binary
    frame = np.ones((28, 28, 1), bool)
    frame[1:-1, 1:-1] = False
    assert digits.train[:, frame].max() < 0.5
    x, y = centre(digits.train.mean(axis=0))
    assert x == pytest.approx(13.5, abs=0.5)
    assert y == pytest.approx(13.5, abs=0.5)


def test_labels_match_the_drawn_digits(digits: Dataset) -> None:
    """A nearest-neighbour classifier reads the test set."""
    train, test = (x.reshape(len(x), -1) for x in (digits.train, digits.test))
    distance = (train**2).sum(axis=1) - 2 * test @ train.T
    read = digits.train_labels[distance.argmin(axis=1)]
    assert (read == digits.test_labels).mean() > 0.95


def test_factors_are_recorded_and_redraw_their_images(digits: Dataset) -> None:
    for part, images, labels in (
        ("train", digits.train, digits.train_labels),
        ("test", digits.test, digits.test_labels),
    ):
        factors = digits.factors[part]
        np.testing.assert_array_equal(factors["digit"], labels)
        np.testing.assert_array_equal(render(factors[40:50]), images[40:50])
        for name, low, high in RANGES:
            assert factors[name].min() >= low
            assert factors[name].max() < high
            assert factors[name].std() == pytest.approx((high - low) / 12**0.5, rel=0.1)
        assert set(factors["font"]) == set(range(len(FONTS)))
        assert set(labels) == set(range(10))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**80), st.integers(1, CHUNK + 40), st.integers(0, 1))
def test_an_image_depends_on_seed_split_and_row_alone(seed: int, count: int, split: int) -> None:
    longer, shorter = (draw_factors(n, seed, split) for n in (CHUNK + 41, count))
    np.testing.assert_array_equal(longer[:count], shorter)
    tail = slice(max(0, count - 3), count)
    np.testing.assert_array_equal(render(shorter)[tail], render(longer[tail]))


def test_a_larger_set_begins_with_the_smaller_one(digits: Dataset) -> None:
    small = load("digits", size=(7, 300))
    np.testing.assert_array_equal(small.train, digits.train[:7])
    np.testing.assert_array_equal(small.test, digits.test)


def test_splits_and_seeds_share_no_image(digits: Dataset) -> None:
    other = load("digits", size=(1500, 300), seed=1)
    sets = [digits.train, digits.test, other.train, other.test]
    seen = {image.tobytes() for images in sets for image in images}
    assert len(seen) == 2 * (1500 + 300)


def test_the_train_split_of_a_large_seed_is_not_the_test_split_of_a_small_one() -> None:
    assert draw_factors(1, 2**32 + 5, 0) != draw_factors(1, 5, 1)


def test_the_first_labels_of_seed_zero_never_change(digits: Dataset) -> None:
    assert digits.train_labels[:10].tolist() == [3, 6, 0, 8, 4, 7, 6, 6, 1, 2]
