"""vae/data/omniglot.py: Burda's matrices, written by SciPy with images that are not symmetrical; the files to read."""

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

import vae.data.omniglot
from tests.vae.data.test_omniglot_pictures import PAPER, write_folder, write_zip
from vae.data import DataError, load

ALPHABETS = {"train": np.array([49, 0, 0, 7, 7]), "test": np.array([3, 49, 3])}


def draw(image: int, row: int, column: int) -> float:
    """The ink of one pixel: no two rows, columns or images are the same."""
    return (1 + image + row * 10 + column * 0.25) / 512


def write(folder: Path, compressed: bool = False, **changes: object) -> Path:
    """chardata.mat as MATLAB would write it: each column is an image, stored column by column."""
    arrays = {"targetchar": np.ones((1, 5)), "testtargetchar": np.ones((1, 3))}
    for part, prefix in (("train", ""), ("test", "test")):
        count = len(ALPHABETS[part])
        data, target = np.empty((784, count)), np.zeros((50, count))
        for image in range(count):
            target[ALPHABETS[part][image], image] = 1
            for row in range(28):
                for column in range(28):
                    data[column * 28 + row, image] = draw(image + 100 * (part == "test"), row, column)
        arrays |= {f"{prefix}data": data, f"{prefix}target": target}
    folder.mkdir(exist_ok=True)
    kept = {name: x for name, x in (arrays | changes).items() if x is not None}
    savemat(folder / "chardata.mat", kept, do_compression=compressed)
    return folder


def columns(part: str, changed: float) -> np.ndarray:
    """Images (784, N) of one value in between, with one pixel changed."""
    x = np.full((784, len(ALPHABETS[part])), 0.5)
    x[5, 1] = changed
    return x


def refuses(folder: Path, message: str) -> None:
    """Loading fails with one sentence on one line that names the file or folder, and matches the message."""
    with pytest.raises(DataError, match=message) as caught:
        load("omniglot", data_dir=folder)
    assert str(folder) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(("below", "compressed"), [("", False), ("omniglot", True), ("OMNIGLOT", True)])
def test_images_are_upright_and_keep_their_labels(tmp_path: Path, below: str, compressed: bool) -> None:
    write(tmp_path / below, compressed)
    ds = load("omniglot", data_dir=tmp_path, seed=3)
    assert (ds.name, ds.binary, ds.valid, ds.classes, ds.notes) == ("omniglot", False, None, None, ())
    assert f"Burda's split (Burda, Grosse, Salakhutdinov), {tmp_path / below / 'chardata.mat'}" in ds.source
    assert "not as published (24345 + 8070 images), shuffled by seed 3." in ds.source
    for part, offset in (("train", 0), ("test", 100)):
        images, labels = getattr(ds, part), getattr(ds, f"{part}_labels")
        assert images.shape == (len(ALPHABETS[part]), 28, 28, 1) and images.dtype == np.float32
        order = [round(float(image[0, 0, 0]) * 512) - 1 - offset for image in images]  # ink tells the image
        assert sorted(order) == list(range(len(images)))
        for at, image in enumerate(order):
            assert labels[at] == ALPHABETS[part][image]
            for row, column in ((0, 27), (27, 0), (3, 11), (20, 19)):
                assert images[at, row, column, 0] == np.float32(draw(image + offset, row, column))


def test_the_published_number_of_images_is_recognised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vae.data.omniglot, "MATRIX_COUNTS", {"train": 5, "test": 3})
    assert "not as published" not in load("omniglot", data_dir=write(tmp_path)).source


def test_rows_are_in_random_order_by_seed(tmp_path: Path) -> None:
    count = 500
    data = np.tile(np.arange(count) / count, (784, 1))
    write(tmp_path, data=data, target=None, testtarget=None)
    one, same, two = (load("omniglot", cache_dir=tmp_path, seed=seed) for seed in (0, 0, 1))
    found = np.rint(one.train[:, 0, 0, 0] * count).astype(int)
    assert sorted(found) == list(range(count))
    assert found[:100].mean() == pytest.approx(count / 2, abs=5 * count / 12**0.5 / 10)
    assert np.array_equal(one.train, same.train) and not np.array_equal(one.train, two.train)
    assert one.train_labels is None and one.test_labels is None
    assert [note.partition(" has ")[2] for note in one.notes[:2]] == [
        "no array target: train has no labels.",
        "no array testtarget: test has no labels.",
    ]


def test_targets_that_are_not_one_hot_are_left_out_with_a_note(tmp_path: Path) -> None:
    ds = load("omniglot", data_dir=write(tmp_path, target=np.ones((50, 5))))
    assert ds.train_labels is None and len(ds.train) == 5
    assert "Labels are not used" in ds.notes[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"testdata": None},
            "has no array testdata, it has 'data', 'target', 'targetchar', 'testtarget', 'testtargetchar'",
        ),
        ({"data": np.zeros((5, 784))}, r"data is an array 5×784 of type double.*784×N.*transpose it, each column is"),
        ({"data": np.zeros((28, 28, 5))}, r"data is an array 28×28×5 of type double"),
        ({"data": np.zeros((783, 5))}, r"data is an array 783×5 of type double"),
        ({"testdata": np.zeros((784, 0))}, r"testdata is an array 784×0"),
        ({"data": np.full((784, 5), "x")}, "data is an array .* of type char, expected numbers"),
        ({"data": {"field": 1.0}}, "data is an array 1×1 of type struct, expected numbers"),
        ({"data": np.full((784, 5), 0.5 + 1j)}, "damaged: it holds complex numbers"),
        ({"data": columns("train", 1.01)}, "data has values from 0.5 to 1.01, expected 0 to 1"),
        ({"testdata": columns("test", -0.1)}, "testdata has values from -0.1 to 0.5, expected 0 to 1"),
        ({"data": columns("train", np.nan)}, "data has values from nan to nan, expected 0 to 1"),
        ({"data": columns("train", np.inf)}, "data has values from 0.5 to inf, expected 0 to 1"),
        ({"data": np.full((784, 5), 255, np.uint8)}, "data has values from 255 to 255, expected 0 to 1"),
        ({"target": np.eye(50)[:, :4]}, r"target is an array 50×4 .* for each of 5 images"),
        ({"testtarget": np.eye(50)}, r"testtarget is an array 50×50 .* for each of 3 images"),
        ({"target": np.zeros((1001, 5))}, r"target is an array 1001×5 "),
    ],
)
def test_unsuitable_arrays_are_refused(tmp_path: Path, changes: dict, message: str) -> None:
    refuses(write(tmp_path, **changes), message)


def test_a_matrix_that_would_fill_the_memory_is_refused_by_its_header(tmp_path: Path) -> None:
    """The array itself is missing, so nothing but its header can have been read."""
    path = write(tmp_path) / "chardata.mat"
    content, dims = path.read_bytes(), np.array([784, 5], np.int32).tobytes()
    assert content.count(dims) == 1
    path.write_bytes(content.replace(dims, np.array([784, 2**30], np.int32).tobytes()))
    refuses(tmp_path, r"data is an array 784×1073741824 of type double, expected .* N from 1 to 131072")


# Which files are read


def test_pictures_are_read_without_scipy_and_their_alphabets_are_classes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    half = PAPER.copy()
    half[:, 60:] = False
    train = {"Greek/character01/0001_01.png": PAPER, "Anglo-Saxon_Futhorc/character02/0002_01.png": half}
    write_zip(tmp_path / "images_background.zip", train)
    write_folder(tmp_path / "omniglot-py/images_evaluation", {"N_Ko/character01/0003_01.png": PAPER})
    ds = load("omniglot", data_dir=tmp_path)
    assert ds.classes == ("Anglo-Saxon_Futhorc", "Greek", "N_Ko")
    assert ds.train.shape == (2, 28, 28, 1) and ds.test.shape == (1, 28, 28, 1)
    ink = {ds.classes[label]: float(image.mean()) for label, image in zip(ds.train_labels, ds.train, strict=True)}
    assert ink["Greek"] == pytest.approx(1 - PAPER.mean(), abs=1e-6)
    assert ink["Anglo-Saxon_Futhorc"] == pytest.approx(1 - half.mean(), abs=1e-6)
    assert [ds.classes[label] for label in ds.test_labels] == ["N_Ko"]
    assert f"split by alphabet, from {tmp_path / 'images_background.zip'} and {tmp_path / 'omniglot-py'}" in ds.source
    assert "averaged over squares from 105×105 to 28×28, not as published (19280 + 13180 images), shuffled" in ds.source


def test_matrices_are_preferred_to_pictures(tmp_path: Path) -> None:
    for name, alphabet in (("background", "Greek"), ("evaluation", "Latin")):
        write_zip(tmp_path / f"images_{name}.zip", {f"{alphabet}/character01/0001_01.png": PAPER})
    assert "split by alphabet" in load("omniglot", data_dir=tmp_path).source
    assert "Burda's split" in load("omniglot", data_dir=write(tmp_path / "omniglot").parent).source


@pytest.mark.parametrize("there", ["background", "evaluation"])
def test_both_archives_are_needed(tmp_path: Path, there: str) -> None:
    write_zip(tmp_path / f"images_{there}.zip", {"Greek/character01/0001_01.png": PAPER})
    (other,) = {"background", "evaluation"} - {there}
    refuses(tmp_path, rf"images_{there}\.zip is there, but images_{other}\.zip is not in .*needs both")


def test_an_alphabet_in_both_archives_is_refused(tmp_path: Path) -> None:
    for name in ("background", "evaluation"):
        write_zip(tmp_path / f"images_{name}.zip", {"Greek/character01/0001_01.png": PAPER})
    refuses(tmp_path, r"background\.zip and .*evaluation\.zip both hold Greek: their alphabets must differ")


@pytest.mark.parametrize("folder", ["", "nowhere", "omniglot"])
def test_without_files_the_error_says_where_to_get_them(tmp_path: Path, folder: str) -> None:
    (tmp_path / "omniglot").mkdir()
    refuses(tmp_path / folder, r"not in .*chardata\.mat \(from github\.com/yburda/iwae.*brendenlake.*--data-dir\)$")
