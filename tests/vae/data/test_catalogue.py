"""vae/data/catalogue.py: `load` finds data by name or path, or says what is wrong."""

import doctest
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import vae.data.catalogue
import vae.data.dataset
import vae.data.digits
import vae.data.idx
from vae.data import NAMES, DataError, load

ROOT = Path(vae.data.__file__).parents[2]


@pytest.mark.parametrize("name", ["minst", "", "Digits", "a" * 5000, "nul\0byte"])
def test_an_unknown_name_is_refused_with_all_names(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="unknown dataset") as caught:
        load(name)
    assert all(known in str(caught.value) for known in NAMES)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["no/such", "missing.npy", "missing.NPZ"])
def test_a_missing_path_is_named(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=f"there is no file or folder {name}$"):
        load(name)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "some.csv").write_text("1,2,3\n")
    with pytest.raises(DataError, match=r"some\.csv is neither an \.npy, \.npz or IDX file nor a folder"):
        load(tmp_path / "some.csv")


def test_size_applies_to_files_too(tmp_path: Path) -> None:
    np.save(tmp_path / "some.npy", np.random.default_rng(0).random((50, 4, 4)))
    whole, part = load(tmp_path / "some.npy"), load(tmp_path / "some.npy", size=(7, 3))
    assert (len(part.train), len(part.test)) == (7, 3)
    rows = {image.tobytes() for image in whole.train}
    assert all(image.tobytes() in rows for image in part.train)
    assert not np.array_equal(part.train, whole.train[:7])
    n = len(whole.train)
    with pytest.raises(DataError, match=f"some has {n} train images, {n + 1} were asked for"):
        load(tmp_path / "some.npy", size=(n + 1, 1))


def test_a_size_may_be_given_for_one_part_only() -> None:
    ds = load("digits", size=(6, None))
    assert (len(ds.train), len(ds.test)) == (6, 2000)


@pytest.mark.parametrize("seed", [-1, 1.5, True, None, "1"])
def test_a_seed_is_a_whole_number(seed: object) -> None:
    with pytest.raises(DataError, match="seed must be a whole number"):
        load("digits", size=(1, 1), seed=seed)


@pytest.mark.parametrize("kind", [np.int8, np.int64, np.uint8, np.array], ids=lambda k: k.__name__)
def test_sizes_and_seeds_may_be_any_integer_type(kind: Callable) -> None:
    found, expected = load("digits", size=(kind(3), kind(2)), seed=kind(5)), load("digits", size=(3, 2), seed=5)
    assert np.array_equal(found.train, expected.train) and np.array_equal(found.test, expected.test)


@pytest.mark.parametrize("module", [vae.data.catalogue, vae.data.dataset, vae.data.digits, vae.data.idx])
def test_examples_in_docstrings_run(module: object) -> None:
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0


def test_importing_vae_data_imports_neither_matplotlib_nor_pillow() -> None:
    code = "import sys, vae.data; print('matplotlib' in sys.modules, 'PIL' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert run.stdout == "False False\n", run.stderr


def test_a_data_dir_for_digits_is_refused():
    with pytest.raises(DataError, match="nothing would be read from there"):
        load("digits", data_dir="there")
