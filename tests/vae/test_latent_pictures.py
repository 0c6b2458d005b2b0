"""vae/latent_pictures.py: what is drawn against the numbers given, and wrong arguments."""

import numpy as np
import pytest

from vae import latent_pictures
from vae.latent_pictures import annealing_bounds, information_matrix, latent_rates


@pytest.fixture
def saved_axes(monkeypatch: pytest.MonkeyPatch) -> list:
    """The axes of each saved figure."""
    seen: list = []
    save = latent_pictures.save
    monkeypatch.setattr(latent_pictures, "save", lambda axes, path: seen.append(axes) or save(axes, path))
    return seen


def texts_of(axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_bounds_are_means_with_paired_errors(tmp_path, saved_axes):
    random = np.random.default_rng(0)
    lower = random.normal(-100, 10, 30) - np.array([[5.0], [1.0]]) * random.random((2, 30))
    upper = lower + 2
    path = annealing_bounds(tmp_path / "a.png", [10, 100], lower, upper, "bounds")
    assert path.stat().st_size > 0
    (axes,) = saved_axes
    for line, bound in zip(axes.containers, (lower, upper), strict=True):
        np.testing.assert_allclose(line[0].get_data(), [[10, 100], -bound.mean(axis=1)])
        ends = [segment[:, 1] for segment in line[2][0].get_segments()]
        difference = bound - (lower[1] + upper[1]) / 2
        np.testing.assert_allclose(np.diff(ends)[:, 0], 2 * difference.std(axis=1, ddof=1) / np.sqrt(30), atol=1e-9)
    assert f"upper bound (forward)\n{-lower[1].mean():.2f}" in texts_of(axes)
    heights = sorted(text.get_position()[1] for text in axes.texts)
    assert min(np.diff(heights)) > 0.149  # labels do not overlap


def test_forward_bounds_alone_are_drawn(tmp_path, saved_axes):
    annealing_bounds(tmp_path / "a.png", [10], np.zeros((1, 2)), None, "bounds")
    assert len(saved_axes[0].containers) == 1
    left, right = saved_axes[0].get_xlim()
    assert left < 8 and right > 12  # a single number of temperatures is not at the edge


def test_rates_are_sorted_and_coloured(tmp_path, saved_axes):
    latent_rates(tmp_path / "a.png", [0.5, 0.0, 2.0], np.array([True, False, True]), "rates")
    (axes,) = saved_axes
    assert [bar.get_height() for bar in axes.patches] == [2, 0.5, 0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["3", "1", "2"]
    colours = [bar.get_facecolor() for bar in axes.patches]
    assert colours[0] == colours[1] != colours[2]
    assert texts_of(axes) == ["2 active", "1 not active"]


@pytest.mark.parametrize("gap", [None, [0.25, 0.0]])
def test_the_matrix_shows_shares_of_the_entropy(tmp_path, saved_axes, gap):
    information = np.array([[0.1, 0.0], [1.5, 0.0], [0.3, 0.0]])
    information_matrix(tmp_path / "a.png", information, [2.0, 0.0], ("dx", "dy"), "matrix", gap)
    (axes,) = saved_axes
    order = [1, 2, 0]
    np.testing.assert_allclose(axes.images[0].get_array(), information[order] / [2, 1])
    assert texts_of(axes) == ["75", "0", "15", "0", "5", "0"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["2", "3", "1"]
    below = [label.get_text() for label in axes.get_xticklabels()]
    assert below == (["dx", "dy"] if gap is None else ["dx\n0.250", "dy\n0.000"])


def test_the_matrix_says_what_chance_shows(tmp_path, saved_axes):
    given = np.ones((2, 2)), [2.0, 4.0], ("dx", "dy"), "matrix"
    information_matrix(tmp_path / "a.png", *given, chance=[0.5, 0.4])
    assert "by chance 10 to 25" in " ".join(text.get_text() for text in saved_axes[0].figure.texts)
    with pytest.raises(ValueError, match="3 chances"):
        information_matrix(tmp_path / "b.png", *given, chance=[0.5, 0.4, 0.1])


def test_many_latents_are_drawn_without_numbers(tmp_path, saved_axes):
    information_matrix(tmp_path / "a.png", np.zeros((200, 2)), np.ones(2), "ab", "matrix")
    latent_rates(tmp_path / "b.png", np.zeros(200), np.zeros(200, bool), "rates")
    assert not texts_of(saved_axes[0]) and len(saved_axes[1].get_xticks()) == 0


def test_wrong_arguments_are_refused(tmp_path):
    path = tmp_path / "a.png"
    for x, lower, upper in (
        ([1, 2], np.zeros((1, 3)), None),
        ([0], np.zeros((1, 3)), None),
        ([1], np.zeros((1, 1)), None),
    ):
        with pytest.raises(ValueError, match="bounds need"):
            annealing_bounds(path, x, lower, upper, "")
    with pytest.raises(ValueError, match="bounds need"):
        annealing_bounds(path, [1], np.zeros((1, 3)), np.zeros((1, 4)), "")
    with pytest.raises(ValueError, match="finite rates"):
        latent_rates(path, [np.nan], np.array([True]), "")
    with pytest.raises(ValueError, match="one bool per latent"):
        latent_rates(path, [1.0], np.array([1]), "")
    with pytest.raises(ValueError, match="entropies"):
        information_matrix(path, np.zeros((2, 3)), np.ones(2), "abc", "")
    with pytest.raises(ValueError, match="3 gaps"):
        information_matrix(path, np.zeros((2, 3)), np.ones(3), "abc", "", gap=[1.0])
    assert not path.exists()
