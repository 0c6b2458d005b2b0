"""vae/pictures.py: grids against a naive loop, plots against their data, and files that are complete or untouched."""

import math
import subprocess
import sys
import warnings
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.image import imread

from vae import pictures

SHADES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)  # exact in 8 bits


def random_images(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).choice(SHADES, shape)


def read_axes(path: Path, axes: Axes, scale: int) -> np.ndarray:
    """The saved picture within the axes, (H, W, 3): one pixel for each block of scale × scale equal ones."""
    (x0, y0), (x1, y1) = np.round(axes.get_window_extent().get_points()).astype(int)
    picture = imread(path)
    picture = picture[len(picture) - y1 : len(picture) - y0, x0:x1, :3]
    height, width = y1 - y0, x1 - x0
    assert height % scale == width % scale == 0
    squares = picture.reshape(height // scale, scale, width // scale, scale, 3)
    assert (squares == squares[:, :1, :, :1]).all()
    return squares[:, 0, :, 0]


def assert_shows(picture: np.ndarray, expected: np.ndarray) -> None:
    """The two agree to 8 bits."""
    np.testing.assert_allclose(picture, np.broadcast_to(expected, (*expected.shape[:2], 3)), atol=0.5 / 255)


@pytest.fixture
def saved_axes(monkeypatch: pytest.MonkeyPatch) -> list[Axes]:
    """The first axes of each saved figure."""
    seen: list[Axes] = []
    save = pictures.save
    monkeypatch.setattr(pictures, "save", lambda axes, path: seen.append(axes) or save(axes, path))
    return seen


def draw_everything(folder: Path) -> list[Path]:
    records = [{"epoch": i, "train_elbo": -100 / i, "test_elbo": -105 / i, "seconds": 1.5} for i in (1, 2, 3)]
    slope = np.array([1.0, -2e-5, 0.0])
    return [
        pictures.reconstructions(
            folder / "a.png", random_images(13, 8, 8, 3), random_images(13, 8, 8, 3, seed=1), "pairs"
        ),
        pictures.samples(folder / "b.png", random_images(5, 8, 12, 1), "samples"),
        pictures.latent_plane(folder / "c.png", lambda z: random_images(len(z), 4, 4, 1), side=3),
        pictures.plane_encoding(folder / "d.png", random_images(9, 2), np.arange(9), "plane"),
        pictures.plane_encoding(folder / "e.png", random_images(9, 2), None, "plane"),
        pictures.curves(folder / "f.png", records, "curves"),
        pictures.bounds(folder / "h.png", [1, 5, 50], [90.0, 88.5, 87.0], [0.4, 0.4, 0.4], "bounds"),
        pictures.agreement(folder / "g.png", slope, slope, ["a.w", "a.w", "b"], 1e-6, "check", relative=[0, 1e-9, 1]),
    ]


# The grid


@given(
    n=st.integers(1, 7),
    size=st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 3)),
    columns=st.integers(1, 9),
    pad=st.integers(0, 3),
    backwards=st.booleans(),
)
def test_grid_is_the_naive_loop(n, size, columns, pad, backwards) -> None:
    height, width, channels = size
    images = np.random.default_rng(n).random((n, *size)).astype(np.float32)
    images = images[::-1, :, ::-1] if backwards else images
    rows = math.ceil(n / columns)
    expected = np.ones((rows * (height + pad) - pad, columns * (width + pad) - pad, channels), np.float32)
    for i in range(n):
        for y in range(height):
            for x in range(width):
                expected[i // columns * (height + pad) + y, i % columns * (width + pad) + x] = images[i, y, x]
    found = pictures.grid(images, columns, pad)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("shape", "columns", "pad"), [((2, 3, 3), 1, 0), ((0, 3, 3, 1), 1, 0), ((2, 3, 3, 1), 0, 0), ((2, 3, 3, 1), 1, -1)]
)
def test_grid_refuses(shape, columns, pad) -> None:
    with pytest.raises(ValueError, match=r"grid( takes \(n, H, W, C\)|: (columns|pad) must be a whole number)"):
        pictures.grid(np.zeros(shape), columns, pad)


# Pictures of images: the file shows every pixel


@pytest.mark.parametrize("channels", [1, 3])
def test_samples_show_every_image(tmp_path, saved_axes, channels) -> None:
    images = random_images(7, 14, 10, channels)
    path = pictures.samples(tmp_path / "samples.png", images, "samples")
    assert_shows(read_axes(path, saved_axes[0], 8), pictures.grid(images, 3, pictures.PAD))


@pytest.mark.parametrize(("n", "columns"), [(1, 1), (10, 10), (13, 7), (24, 8)])
def test_reconstructions_are_below_their_images(tmp_path, saved_axes, n, columns) -> None:
    images, reconstructed = random_images(n, 8, 8, 1), random_images(n, 8, 8, 1, seed=1)
    path = pictures.reconstructions(tmp_path / "pairs.png", images, reconstructed, "pairs")
    pad, bands = 2, math.ceil(n / columns)
    expected = np.ones((bands * (16 + 5 * pad) - 4 * pad, columns * (8 + pad) - pad, 1))
    for i in range(n):
        top, left = i // columns * (16 + 5 * pad), i % columns * (8 + pad)
        expected[top : top + 8, left : left + 8] = images[i]
        expected[top + 8 + pad : top + 16 + pad, left : left + 8] = reconstructed[i]
    assert_shows(read_axes(path, saved_axes[0], 14), expected)
    labels = [text.get_text().split() for text in saved_axes[0].texts]
    assert labels == [["input", "y"], ["reconstruction", "ŷ(z)"]] * math.ceil(n / columns)


def test_a_reconstruction_label_is_beside_the_middle_of_its_row(tmp_path, saved_axes) -> None:
    pictures.reconstructions(tmp_path / "pairs.png", random_images(13, 8, 8, 1), random_images(13, 8, 8, 1), "pairs")
    shown = saved_axes[0].images[0].get_array()
    for text in saved_axes[0].texts:
        row = int(text.xy[1])
        assert not np.all(shown[row - 4 : row + 4, :8] == 1, axis=(1, 2)).any()  # eight rows of one image
        assert np.all(shown[row + 4 : row + 5, :8] == 1)  # white below, or the end


@pytest.mark.parametrize("side", [1, 2, 5, 20])
def test_the_latent_plane_is_a_grid_of_gaussian_quantiles(tmp_path, side) -> None:
    seen = []
    pictures.latent_plane(tmp_path / "plane.png", lambda z: seen.append(z) or np.zeros((len(z), 2, 2, 1)), side)
    (z,) = seen
    assert z.shape == (side * side, 2) and z.dtype == np.float32
    probability = np.array([[0.5 * math.erfc(-x / math.sqrt(2)) for x in row] for row in z])
    probability = probability.reshape(side, side, 2)
    expected = (np.arange(side) + 0.5) / side
    np.testing.assert_allclose(probability[..., 0], np.tile(expected, (side, 1)), atol=1e-6)
    np.testing.assert_allclose(probability[..., 1], np.tile(expected[::-1, None], (1, side)), atol=1e-6)


def test_the_latent_plane_shows_z1_to_the_right_and_z2_upwards(tmp_path, saved_axes) -> None:
    def decode(z: np.ndarray) -> np.ndarray:  # one pixel an image: the first colour is z₁, the second z₂
        return np.concatenate([(z + 3) / 6, np.zeros((len(z), 1))], 1)[:, None, None, :]

    pictures.latent_plane(tmp_path / "plane.png", decode, side=7)
    axes = saved_axes[0]
    shown = np.asarray(axes.images[0].get_array(), np.float64) * 6 - 3
    for at, label in zip(axes.get_xticks(), axes.get_xticklabels(), strict=True):  # the tick is where z₁ has that value
        value = float(label.get_text().replace("−", "-"))
        assert np.interp(at, range(7), shown[0, :, 0]) == pytest.approx(value, abs=0.1)
    for at, label in zip(axes.get_yticks(), axes.get_yticklabels(), strict=True):
        value = float(label.get_text().replace("−", "-"))
        assert np.interp(at, range(7), shown[:, 0, 1]) == pytest.approx(value, abs=0.1)
    assert len(axes.get_xticks()) == 5


def test_arrays_may_live_on_another_device(tmp_path, backend) -> None:
    images, away = random_images(4, 8, 8, 1), backend.from_host  # with --backend cupy, NumPy cannot read these
    here = pictures.samples(tmp_path / "here.png", images, "samples").read_bytes()
    assert pictures.samples(tmp_path / "there.png", away(images), "samples").read_bytes() == here
    pictures.plane_encoding(tmp_path / "plane.png", away(random_images(9, 2)), away(np.arange(9)), "plane")


# Plots


def test_plane_encoding_draws_every_mean_in_the_colour_of_its_label(tmp_path, saved_axes) -> None:
    means, labels = np.random.default_rng(0).normal(size=(60, 2)) * [9, 1] + 3, np.arange(60) % 12
    pictures.plane_encoding(tmp_path / "plane.png", means, labels, "plane")
    axes = saved_axes[0]
    _circle, *groups = axes.lines
    for label, line in enumerate(groups):
        np.testing.assert_array_equal(np.transpose(line.get_data()), means[labels == label])
        assert line.get_marker() == f"${label}$"
    assert len({line.get_color() for line in groups[:10]}) == 10
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [str(label) for label in range(12)]
    (x0, x1), (y0, y1) = axes.get_xlim(), axes.get_ylim()
    assert x1 - x0 == pytest.approx(y1 - y0) and axes.get_aspect() == 1
    assert (means > [x0, y0]).all() and (means < [x1, y1]).all()


def test_the_prior_circle_holds_95_percent(tmp_path, saved_axes) -> None:
    pictures.plane_encoding(tmp_path / "plane.png", [[0.0, 0.0]], None, "plane")
    x, y = saved_axes[0].lines[0].get_data()
    normal = np.random.default_rng(0).normal(size=(200_000, 2))
    assert (np.hypot(*normal.T) < np.hypot(x, y).mean()).mean() == pytest.approx(0.95, abs=0.003)
    assert saved_axes[0].get_legend() is None


def test_curves_are_minus_the_elbo_with_the_last_values_written_out(tmp_path, saved_axes) -> None:
    records = [
        {"epoch": 1, "train_elbo": -210.0, "test_elbo": -180.0, "seconds": 40.0},
        {"epoch": 2, "train_elbo": -120.25, "test_elbo": 1130.75, "seconds": 35.0},
    ]
    pictures.curves(tmp_path / "curves.png", records, "curves")
    axes = saved_axes[0]
    assert [line.get_ydata().tolist() for line in axes.lines] == [[210.0, 120.25], [180.0, -1130.75]]
    assert [text.get_text() for text in axes.texts] == ["test −1,130.8", "train 120.2"]
    assert "nats per image" in axes.get_ylabel()
    assert "2 epochs in 75 s" in [text.get_text() for text in axes.figure.texts]


def test_bounds_are_drawn_with_their_errors_and_written_out(tmp_path, saved_axes) -> None:
    pictures.bounds(tmp_path / "x.png", [1, 50, 5000], [-3.25, 88.5, 87.1234], [0.5, 0.25, 0.0], "bounds")
    (axes,) = saved_axes
    ((line, _, (bars,)),) = axes.containers
    assert [*line.get_xdata()] == [1, 50, 5000] and [*line.get_ydata()] == [-3.25, 88.5, 87.1234]
    ends = [segment[:, 1].tolist() for segment in bars.get_segments()]
    np.testing.assert_allclose(ends, [[-3.75, -2.75], [88.25, 88.75], [87.1234, 87.1234]])
    assert [text.get_text() for text in axes.texts] == ["−3.25", "88.50", "87.12"]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["1", "50", "5,000"]


@pytest.mark.parametrize(
    ("samples", "values", "errors", "said"),
    [
        ([], [], [], "n ≥ 1"),
        ([1, 2], [3.0], [0.1, 0.1], "one shape"),
        ([1, 2], [3.0, np.nan], [0.1, 0.1], "finite"),
        ([2, 2], [3.0, 3.0], [0.1, 0.1], "must rise"),
        ([0, 2], [3.0, 3.0], [0.1, 0.1], "at least 1"),
        ([1, 2], [3.0, 3.0], [0.1, -0.1], "at least 0"),
    ],
)
def test_bounds_that_cannot_be_drawn_are_refused(tmp_path, samples, values, errors, said) -> None:
    with pytest.raises(ValueError, match=said):
        pictures.bounds(tmp_path / "x.png", samples, values, errors, "bounds")
    assert not any(tmp_path.iterdir())


def test_curves_of_an_importance_weighted_bound_name_what_was_trained(tmp_path, saved_axes) -> None:
    """The training bound and the test ELBO are different bounds."""
    records = [
        {"epoch": i, "train_bound": -200.0 / i, "valid_bound": -1.0, "test_elbo": -190.0 / i, "seconds": 4.0}
        for i in (1, 2)
    ]
    pictures.curves(tmp_path / "curves.png", records, "curves")
    axes = saved_axes[0]
    assert [line.get_ydata().tolist() for line in axes.lines] == [[200.0, 100.0], [190.0, 95.0], [1.0, 1.0]]
    assert [text.get_text() for text in axes.texts] == ["valid, weighted 1.0", "test 95.0", "train, weighted 100.0"]
    canvas, box = axes.figure.canvas, axes.figure.bbox
    assert all(text.get_window_extent(canvas.get_renderer()).x1 <= box.x1 for text in axes.texts)


@pytest.fixture
def rows() -> dict:
    """Arguments of `agreement`: 300 gradient entries, three of them wrong and some of them zero."""
    rng = np.random.default_rng(0)
    difference = rng.normal(size=300) * 10.0 ** rng.integers(-6, 2, 300)
    reverse = difference * (1 + 1e-9 * rng.normal(size=300))
    relative = np.abs(reverse - difference) / np.abs(reverse).max()
    reverse[:7] = 0
    difference[:4] = 0
    relative[:4] = 0
    reverse[20:23] *= -1
    relative[20:23] = 0.5
    names = np.array(["a.w", "a.b", "b.w", "scale"])[rng.integers(0, 4, 300)]
    return {"reverse": reverse, "difference": difference, "names": names, "tolerance": 1e-6, "relative": relative}


def test_agreement_draws_every_coordinate(tmp_path, saved_axes, rows) -> None:
    pictures.agreement(tmp_path / "check.png", **rows, title="check")
    above, below = saved_axes[0].figure.axes
    lines = [line for line in above.lines if line.get_linestyle() == "None" and line.get_marker() != "x"]
    x, y = np.concatenate([line.get_data() for line in lines], axis=1)
    errors = np.concatenate([line.get_ydata() for line in below.lines if line.get_linestyle() == "None"])
    least = np.abs([a[a != 0] for a in (np.concatenate([rows["reverse"], rows["difference"]]),)]).min()
    assert len(x) == len(errors) == 300
    for found, true in ((x, rows["difference"]), (y, rows["reverse"])):
        at_floor = found < least / 2
        assert at_floor.sum() == (true == 0).sum()
        np.testing.assert_allclose(found[at_floor], least / 10)
        np.testing.assert_array_equal(np.sort(found[~at_floor]), np.sort(np.abs(true[true != 0])))
    assert (errors > 1e-6).sum() == 3
    low, high = above.get_xlim()
    assert (low, high) == above.get_ylim() == below.get_xlim() and low < least / 10 and high > x.max()
    assert below.get_ylim()[0] < errors.min() and below.get_ylim()[1] > max(errors.max(), 1e-6)


def test_agreement_says_what_is_wrong(tmp_path, saved_axes, rows) -> None:
    pictures.agreement(tmp_path / "check.png", **rows, title="check")
    above, below = saved_axes[0].figure.axes
    (crosses,) = [line for line in above.lines if line.get_marker() == "x"]
    np.testing.assert_array_equal(crosses.get_xdata(), np.abs(rows["difference"][20:23]))
    note = above.figure.texts[1].get_text().replace("\n", " ")
    assert (
        "300 coordinates, 3 above the tolerance" in note and "7 in reverse mode, 4 in differences, 4 in errors" in note
    )
    legend = [text.get_text() for text in above.get_legend().get_texts()]
    assert sorted(legend) == ["a.b", "a.w", "b.w", "opposite signs (3)", "scale"]
    colours = {text: line.get_color() for text, line in zip(legend, above.get_legend().get_lines(), strict=True)}
    markers = {text: line.get_marker() for text, line in zip(legend, above.get_legend().get_lines(), strict=True)}
    assert colours["a.w"] == colours["a.b"] != colours["b.w"] and markers["a.w"] == markers["b.w"] != markers["a.b"]
    assert any(list(line.get_ydata()) == [1e-6, 1e-6] for line in below.lines)


# Files


def test_all_pictures_are_png_files_with_content(tmp_path) -> None:
    paths = draw_everything(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted(paths)  # and nothing else is left
    for path in paths:
        assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
        picture = imread(path)
        assert min(picture.shape[:2]) > 150 and picture.shape[2] == 4 and (picture[..., 3] == 1).all()
        assert picture[..., :3].std() > 0.01
        edge = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
        assert (edge == 1).all(), f"{path.name} is cut off at its edge"


def test_a_picture_drawn_twice_is_the_same_file(tmp_path) -> None:
    first = [path.read_bytes() for path in draw_everything(tmp_path)]
    assert first == [path.read_bytes() for path in draw_everything(tmp_path)]


def test_drawing_changes_no_global_state(tmp_path) -> None:
    program = (
        "import sys, pathlib, matplotlib; from tests.vae import test_pictures\n"
        "before = matplotlib.rcParams.copy(); test_pictures.draw_everything(pathlib.Path(sys.argv[1]))\n"
        "assert 'matplotlib.pyplot' not in sys.modules, 'pyplot was imported'\n"
        "after = matplotlib.rcParams  # to read its backend would import pyplot\n"
        "assert all(before[name] == after[name] for name in after if name != 'backend'), 'settings were changed'\n"
    )
    root = Path(__file__).parents[2]
    command = [sys.executable, "-W", "error", "-c", program, str(tmp_path)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_matplotlib_settings_of_the_user_do_not_change_images(tmp_path, saved_axes) -> None:
    settings = {"image.origin": "lower", "image.interpolation": "bilinear", "figure.autolayout": True}
    images = random_images(4, 14, 14, 1)
    with matplotlib.rc_context(settings):
        path = pictures.samples(tmp_path / "samples.png", images, "samples")
    assert_shows(read_axes(path, saved_axes[0], 8), pictures.grid(images, 2, pictures.PAD))


def test_an_old_picture_survives_a_failed_drawing(tmp_path, monkeypatch) -> None:
    path = pictures.samples(tmp_path / "picture.png", random_images(4, 8, 8, 1), "old")
    old = path.read_bytes()

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(ZeroDivisionError):
        pictures.latent_plane(path, lambda z: 1 / 0)
    with pytest.raises(ValueError):
        pictures.samples(path, random_images(4, 8, 8, 1) + 1, "new")
    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(ValueError, match=r"picture\.png"):
        pictures.samples(path, random_images(4, 8, 8, 1, seed=1), "new")
    assert path.read_bytes() == old and list(tmp_path.iterdir()) == [path]


def test_folders_are_not_created(tmp_path) -> None:
    with pytest.raises(ValueError, match=r"missing"):
        pictures.samples(tmp_path / "missing" / "picture.png", random_images(4, 8, 8, 1), "samples")
    assert not list(tmp_path.iterdir())


def test_titles_are_text_not_mathematics(tmp_path) -> None:
    pictures.samples(str(tmp_path / "picture.png"), random_images(1, 8, 8, 1), "from 5$ to \\frac{$ " * 9)
    pictures.samples(tmp_path / "picture.png", random_images(1, 8, 8, 1), "")


# Errors


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((8, 8, 1)), r"\(n, H, W, C\).*got shape \(8, 8, 1\)"),
        (np.zeros((2, 8, 8, 2)), r"C = 1 or 3, got shape \(2, 8, 8, 2\)"),
        (np.zeros((0, 8, 8, 1)), r"non-empty"),
        (np.full((1, 8, 8, 1), 255), r"\[0, 1\], got 255 to 255"),
        (np.full((1, 8, 8, 1), -0.1), r"\[0, 1\], got -0.1"),
        (np.full((1, 8, 8, 1), np.nan), r"\[0, 1\], got nan"),
    ],
)
def test_images_that_cannot_be_drawn_are_refused(tmp_path, images, message) -> None:
    with pytest.raises(ValueError, match=message):
        pictures.samples(tmp_path / "x.png", images, "")
    with pytest.raises(ValueError, match=message):
        pictures.reconstructions(tmp_path / "x.png", np.zeros((1, 8, 8, 1)), images, "")
    with pytest.raises(ValueError, match=message):
        pictures.latent_plane(tmp_path / "x.png", lambda z: images, side=1)
    assert not list(tmp_path.iterdir())


def test_other_arguments_that_cannot_be_drawn_are_refused(tmp_path, rows) -> None:
    path = tmp_path / "x.png"
    with pytest.raises(ValueError, match=r"differ in shape: \(2, 8, 8, 1\) and \(3, 8, 8, 1\)"):
        pictures.reconstructions(path, random_images(2, 8, 8, 1), random_images(3, 8, 8, 1), "")
    with pytest.raises(ValueError, match="side of the latent plane must be a whole number of at least 1"):
        pictures.latent_plane(path, lambda z: z, side=0)
    with pytest.raises(ValueError, match="4 images for 9 latents"):
        pictures.latent_plane(path, lambda z: random_images(4, 8, 8, 1), side=3)
    for means in (random_images(4, 3), random_images(4), random_images(0, 2), np.full((4, 2), np.inf)):
        with pytest.raises(ValueError, match=r"finite means \(n, 2\)"):
            pictures.plane_encoding(path, means, None, "")
    for labels in (np.arange(3), np.arange(8).reshape(4, 2), np.zeros(4), np.array(list("abcd"))):
        with pytest.raises(ValueError, match=r"integer labels \(4,\)"):
            pictures.plane_encoding(path, random_images(4, 2), labels, "")
    whole = {"epoch": 1, "train_elbo": -1.0, "test_elbo": -1.0, "seconds": 1.0}
    for records in ([], [{"epoch": 1}], [whole, {**whole, "test_elbo": None}], [{**whole, "train_elbo": -math.inf}]):
        with pytest.raises(ValueError, match="epoch, seconds, train_elbo, test_elbo"):
            pictures.curves(path, records, "")
    for name in ("reverse", "difference", "relative", "names"):
        with pytest.raises(ValueError, match=r"one shape \(n,\).*\(299,\)"):
            pictures.agreement(path, **{**rows, name: rows[name][1:]}, title="")
    broken = [("reverse", rows["reverse"] * np.nan), ("relative", -rows["relative"]), ("tolerance", 0.0)]
    for name, value in broken:
        with pytest.raises(ValueError, match="finite"):
            pictures.agreement(path, **{**rows, name: value}, title="")
    assert not list(tmp_path.iterdir())


def test_degenerate_but_valid_arguments_are_drawn_without_warnings(tmp_path) -> None:
    path = tmp_path / "x.png"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pictures.curves(path, [{"epoch": 1, "train_elbo": -9.0, "test_elbo": -9.0, "seconds": 0.2}], "one")
        pictures.plane_encoding(path, np.zeros((3, 2)), np.full(3, 7), "one point")
        pictures.plane_encoding(path, random_images(99, 2), np.arange(99), "no room for a legend")
        pictures.agreement(path, [0.0], [0.0], ["w"], 1e-6, "zero", relative=[0.0])
        pictures.agreement(path, [5e-324], [1e100], ["w"], 1e-6, "extremes", relative=[1e9])
        pictures.samples(path, np.ones((1, 1, 1, 1)), "one pixel")


def test_titles_may_have_letters_that_the_font_lacks(tmp_path: Path) -> None:
    """Each is drawn as a box, without a warning (which would be an error here)."""
    path = pictures.samples(tmp_path / "a.png", np.zeros((1, 4, 4, 1)), "日本")
    assert path.read_bytes().startswith(b"\x89PNG")


def test_a_title_may_hold_bytes_that_are_no_characters(tmp_path):
    """The name of a folder need not be UTF-8."""
    name = b"bild-\xff\xfe".decode(errors="surrogateescape")
    path = pictures.samples(tmp_path / "samples.png", np.zeros((4, 4, 4, 1)), name)
    assert path.read_bytes().startswith(b"\x89PNG")
