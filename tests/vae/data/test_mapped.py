"""vae/data/mapped.py: large .npy files are used without being read whole, and every number is as if they were."""

import dataclasses
import json
import math
import os
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minigrad as mg
from tests.support.vae.small_runs import SMALL
from tests.support.vae.training_runs import CONFIGS, EVERY_CONFIG, data_for, read_outcome
from vae import training
from vae.data import DataError, Dataset, checksum_of, digests, drop_trained, hold_valid, load, place, select
from vae.data.mapped import LARGE, MappedImages, map_large

BYTES = np.random.default_rng(0).integers(0, 256, (60, 4, 4), np.uint8)


@contextmanager
def mapping(large: float = 0, values: int = 40) -> Iterator[None]:
    """In this context, files above `large` bytes are mapped, and blocks are small."""
    with mock.patch("vae.data.mapped.LARGE", large), mock.patch("vae.data.blocks.BLOCK", values):
        yield


def load_twice(path: Path, **options) -> tuple[Dataset, Dataset]:
    """The set of a file that is mapped, and of the same file read whole."""
    with mapping():
        mapped = load(path, **options)
    assert isinstance(mapped.train, MappedImages) and isinstance(mapped.test, MappedImages)
    whole = load(path, **options)
    assert type(whole.train) is type(whole.test) is np.ndarray
    return mapped, whole


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with 60 images of 4×4 bytes."""
    path = tmp_path_factory.mktemp("mapped") / "some.npy"
    np.save(path, BYTES)
    return path


def keep(block: np.ndarray, out: np.ndarray) -> None:
    out[...] = block


# The same images


LAYOUTS = {  # axes of (N, H, W, C) in a file
    "grey": lambda x: x[..., 0],
    "flat": lambda x: x[:, :3, :3, 0].reshape(len(x), 9),
    "colours": lambda x: x,
    "planes": lambda x: np.moveaxis(x, -1, 1),
    "Fortran order": np.asfortranarray,
}


@given(
    st.integers(2, 12),
    st.integers(0, 2**32),
    st.sampled_from(["u1", ">u2", "i8", "f4", ">f4", "f8", "?"]),
    st.sampled_from(list(LAYOUTS)),
)
def test_images_have_the_bits_of_a_file_that_is_read(
    tmp_path_factory: pytest.TempPathFactory, count: int, seed: int, dtype: str, layout: str
) -> None:
    values = np.random.default_rng(seed).integers(0, 256, (count, 5, 6, 3), np.uint8)
    values[0, 0, 0, 0] = 255
    stored = LAYOUTS[layout](values > 99 if dtype == "?" else values).astype(dtype, order="K")
    path = tmp_path_factory.getbasetemp() / "any.npy"
    np.save(path, stored)
    mapped, whole = load_twice(path)
    for part in ("train", "test"):
        images, expected = getattr(mapped, part), getattr(whole, part)
        assert (images.shape, images.dtype, images.ndim) == (expected.shape, expected.dtype, 4)
        assert np.asarray(images).tobytes() == expected.tobytes()
    assert (mapped.notes, mapped.source, mapped.binary) == (whole.notes, whole.source, whole.binary)
    everything = np.concatenate([mapped.train, mapped.test]).reshape(count, -1)
    nhwc = np.moveaxis(stored, 1, -1) if layout == "planes" else stored
    divisor = np.float32(1 if dtype == "?" else 255)
    truth = {(row.astype(np.float32) / divisor).tobytes() for row in nhwc.reshape(count, -1)}
    assert {row.tobytes() for row in everything} == truth


@given(hnp.arrays(np.float32, (5, 2, 3), elements=st.floats(-(2**-23), 1 + 2**-22, width=32)))
def test_floats_have_the_bits_of_a_file_that_is_read(tmp_path_factory: pytest.TempPathFactory, x: np.ndarray) -> None:
    """Also −0.0, and values that are clipped."""
    path = tmp_path_factory.getbasetemp() / "floats.npy"
    np.save(path, x)
    mapped, whole = load_twice(path)
    assert np.asarray(mapped.train).tobytes() == whole.train.tobytes()
    assert np.asarray(mapped.test).tobytes() == whole.test.tobytes()
    expected = {image.clip(0, 1).tobytes() for image in x}
    assert {image.tobytes() for part in (mapped.train, mapped.test) for image in part} == expected
    assert mapped.notes == whole.notes


@pytest.mark.parametrize("size", [None, (7, 1), (None, 2)])
def test_samples_are_the_same(file: Path, size: tuple | None) -> None:
    mapped, whole = load_twice(file, size=size, seed=3)
    np.testing.assert_array_equal(mapped.train, whole.train)
    np.testing.assert_array_equal(mapped.test, whole.test)
    assert repr(mapped) == repr(whole)


def test_notes_are_the_same(tmp_path: Path) -> None:
    for name, x in (("blank", np.zeros((9, 4, 4))), ("same", BYTES[[0] * 9]), ("some", BYTES * (BYTES[:, :1, :1] > 9))):
        np.save(tmp_path / f"{name}.npy", x)
        mapped, whole = load_twice(tmp_path / f"{name}.npy")
        assert mapped.notes == whole.notes != ()


def test_hashes_checksum_and_known_images_are_the_same(file: Path) -> None:
    mapped, whole = load_twice(file)
    read = mock.Mock(side_effect=AssertionError("the file is read again"))
    with mock.patch.object(MappedImages, "__getitem__", read):  # they are known since the test part was held out
        np.testing.assert_array_equal(digests(mapped.train), digests(whole.train))
        known = np.sort(digests(mapped.test))[:2]
        rest, said = drop_trained(mapped, known)
    expected, also = drop_trained(whole, known)
    assert (said, isinstance(rest.test, MappedImages)) == (also, True)
    np.testing.assert_array_equal(rest.test, expected.test)
    np.testing.assert_array_equal(digests(rest.test), digests(expected.test))
    for values in (1, 100, 10**6):
        with mapping(values=values):
            assert checksum_of(mapped.train, mapped.test) == zlib.crc32(whole.test, zlib.crc32(whole.train))
            assert checksum_of(whole.train, whole.test) == zlib.crc32(whole.test, zlib.crc32(whole.train))


def test_digests_of_a_selection_are_computed_when_asked_for() -> None:
    images = MappedImages(BYTES[..., None], (4, 4, 1), keep)
    few = images.select([5, 3])
    np.testing.assert_array_equal(digests(few), digests(BYTES[[5, 3], ..., None].astype(np.float32)))


# Which files


def test_only_large_files_are_mapped(tmp_path: Path, file: Path) -> None:
    assert type(load(file).train) is np.ndarray
    size = 4 * BYTES.size
    with mapping(size):
        assert map_large(file) is None
    with mapping(size - 1):
        np.testing.assert_array_equal(map_large(file), BYTES)
    np.lib.format.open_memmap(tmp_path / "large.npy", "w+", np.uint8, (LARGE // 4 // 4096 + 1, 64, 64))  # sparse
    assert map_large(tmp_path / "large.npy").nbytes > LARGE // 4


def write_bad_files(file: Path, folder: Path) -> Iterator[Path]:
    content = file.read_bytes()
    with open(folder / "objects.npy", "wb") as objects:
        np.save(objects, np.array([{}], dtype=object))
    np.save(folder / "nan.npy", np.where(BYTES > 3, 0.5, np.nan))
    np.save(folder / "range.npy", BYTES * 2.0)
    np.save(folder / "one.npy", BYTES[:1])
    np.save(folder / "shape.npy", BYTES[:, :3, 0])
    np.save(folder / "empty.npy", BYTES[:0])
    np.save(folder / "number.npy", np.float32(1))
    for name, part in (("none", b""), ("header", content[:50]), ("body", content[:-1]), ("words", b"some words")):
        (folder / f"{name}.npy").write_bytes(part)
    yield from sorted(folder.iterdir())


def test_unsuitable_files_are_refused_in_the_same_words(tmp_path: Path, file: Path) -> None:
    for path in write_bad_files(file, tmp_path):
        with mock.patch("vae.data.arrays.map_large", return_value=None), pytest.raises(DataError) as whole:
            load(path)
        with mapping(), pytest.raises(DataError) as mapped:
            load(path)
        assert str(mapped.value) == str(whole.value)
        assert str(path) in str(whole.value)


# As an array


ROWS = st.one_of(
    st.integers(-9, 8),
    st.slices(9),
    st.lists(st.integers(-9, 8)).map(lambda rows: np.array(rows, np.int64)),
    hnp.arrays(np.int32, (2, 3), elements=st.integers(-9, 8)),
    hnp.arrays(bool, 9),
    st.just(Ellipsis),
    st.none(),
)


@given(ROWS, st.integers(1, 40))
def test_rows_are_those_of_an_array(rows: object, values: int) -> None:
    array = (BYTES[:9] / np.float32(255))[..., None]
    images = MappedImages(BYTES[:9, ..., None], (4, 4, 1), lambda block, out: np.divide(block, np.float32(255), out))
    with mapping(values=values):
        found = images[rows]
    assert type(found) is np.ndarray
    assert (found.dtype, found.flags.c_contiguous) == (np.float32, True)
    assert found.shape == array[rows].shape
    assert found.tobytes() == array[rows].tobytes()


@given(st.permutations(range(9)), st.slices(9), hnp.arrays(bool, 9))
def test_a_selection_has_the_rows_of_an_array(order: list, some: slice, mask: np.ndarray) -> None:
    array = BYTES[:9, ..., None].astype(np.float32)
    images = MappedImages(BYTES[:9, ..., None], (4, 4, 1), keep)
    np.testing.assert_array_equal(images.select(order).select(some), array[order][some])
    np.testing.assert_array_equal(select(images.select(some), slice(1, None)), select(array[some], slice(1, None)))
    np.testing.assert_array_equal(images.select(order)[mask], array[order][mask])
    assert len(images.select(mask)) == mask.sum()
    assert np.array_equal(list(images.select(mask)), array[mask]) or not mask.any()


def test_only_the_rows_asked_for_are_read() -> None:
    """By each of two processes that share the images, say."""
    seen = []
    images = MappedImages(BYTES[..., None], (4, 4, 1), lambda block, out: seen.extend(block.copy()))
    mine, others = images.select(slice(0, None, 2)), images.select(slice(1, None, 2))
    assert (len(mine), len(others), seen) == (30, 30, [])
    mine[4:6]
    others[[7, 0]]
    np.testing.assert_array_equal(seen, BYTES[[8, 10, 15, 1], ..., None])


def test_what_an_array_would_refuse_or_do_otherwise_is_refused() -> None:
    images = MappedImages(BYTES[..., None], (4, 4, 1), keep)
    with pytest.raises(TypeError, match=r"indexed by their rows alone: take x\[rows\] first"):
        images[..., 0]
    with pytest.raises(IndexError):
        images[60]
    with pytest.raises(ValueError, match="without a copy"):
        np.asarray(images, copy=False)
    assert np.asarray(images, np.float64).dtype == np.float64
    assert repr(images) == "MappedImages(60×4×4×1)"


def test_results_are_copies(file: Path) -> None:
    with mapping():
        images = load(file).train
    before = images[:3].copy()
    images[:3][...] = 7
    np.testing.assert_array_equal(images[:3], before)
    np.testing.assert_array_equal(np.load(file), BYTES)


# Training and evaluation


@EVERY_CONFIG
def test_training_on_a_mapped_file_ends_in_the_same_bits(
    tmp_path: Path, file: Path, name: str, train_run: Callable
) -> None:
    mapped, whole = load_twice(file)
    for data, out in ((mapped, tmp_path / "mapped"), (whole, tmp_path / "whole")):
        if data_for(CONFIGS[name]).valid is not None:
            data = hold_valid(data, 5, 0)
        train_run(CONFIGS[name], out, data)
    assert read_outcome(tmp_path / "mapped") == read_outcome(tmp_path / "whole")


@pytest.mark.usefixtures("no_pictures")
def test_commands_give_the_same_results(vae: Callable, tmp_path: Path, file: Path) -> None:
    """Also a run that is resumed on the mapped file after it began on the file read whole."""
    seen = []
    for name, large, other_way in (("mapped", 0, math.inf), ("whole", math.inf, 0)):
        with mapping(large):
            assert vae("train", "--data", file, *SMALL, "--epochs", 1, "--out", name)[0] == 0
        with mapping(other_way):
            assert vae("train", "--resume", "--epochs", 2, "--out", name)[0] == 0
        with mapping(large):
            scores = vae("evaluate", "--checkpoint", name, "--importance", 3, "--json")
            other = vae("evaluate", "--checkpoint", name, "--data", file, "--test-size", 4, "--json")
            assert vae("reconstruct", "--checkpoint", name, "--count", 3, "--out", "r.png")[0] == 0
        seen.append((read_outcome(Path(name)), scores, other, Path("r.png").read_bytes()))
    assert seen[0] == seen[1]


@pytest.mark.host
def test_the_images_of_a_profiled_sigma_are_not_taken_at_once(
    tmp_path: Path, file: Path, train_run: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    mapped, _ = load_twice(file)
    monkeypatch.setattr(training, "profile_log_sigma", lambda autoencoder, images, key: seen.append(images) or 0.0)
    seen = []
    train_run(dataclasses.replace(CONFIGS["profiled"], epochs=1), tmp_path / "run", mapped)
    assert [type(images) for images in seen] == [MappedImages]


def test_a_gpu_gets_all_images(file: Path, pretend_gpu: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    mapped, whole = load_twice(file)
    assert place(mapped.train, "cpu") is mapped.train
    assert place(whole.train, "cpu") is whole.train
    with pretend_gpu():
        there = place(mapped.train, "cuda")
        assert mg.device_of(there) == "cuda"
        np.testing.assert_array_equal(mg.to_device(there, "cpu"), whole.train)

        def fail(self: MappedImages, dtype: object = None, copy: object = None) -> None:
            raise MemoryError

        monkeypatch.setattr(MappedImages, "__array__", fail)
        with pytest.raises(mg.OutOfMemoryError, match=r"^\d+ images take 0\.0 GiB, .* use --device cpu, or fewer"):
            place(mapped.train, "cuda")


# Memory


LIMIT = 240 * 2**20  # bytes of anonymous memory; Python, its libraries and the batches need some 190 MiB of it
LIMITED = f"""
import resource, sys
from unittest import mock
from vae.cli import main

resource.setrlimit(resource.RLIMIT_DATA, ({LIMIT},) * 2)
few = ["--train-size", "8000", "--epochs", "1", "--hidden", "8", "--latent", "4"]  # twice what would fit as float32
train = ["train", "--data", sys.argv[1], *few, "--out", "run"]
with mock.patch("vae.data.mapped.LARGE", float("inf")):
    assert main(train) == 2
with mock.patch("vae.cli.train._draw_pictures"):  # which would need as much again
    assert main(train) == 0
assert main(["evaluate", "--checkpoint", "run", "--json"]) == 0
assert main(["reconstruct", "--checkpoint", "run"]) == 0
"""


@pytest.mark.skipif(sys.platform != "linux", reason="no limit of anonymous memory elsewhere")
def test_a_file_larger_than_the_memory_limit_is_trained_on(tmp_path: Path) -> None:
    """The same file is refused, under this limit, if it is read. Pages of a mapped file are no anonymous memory."""
    rng, path = np.random.default_rng(0), tmp_path / "large.npy"
    x = np.lib.format.open_memmap(path, "w+", np.uint8, (65_000, 64, 64))
    for start in range(0, len(x), 5000):
        x[start : start + 5000] = np.frombuffer(rng.bytes(5000 * 4096), np.uint8).reshape(-1, 64, 64)
    del x
    assert path.stat().st_size > LIMIT
    try:
        command, threads = [sys.executable, "-c", LIMITED, path], {"OPENBLAS_NUM_THREADS": "1"}  # each needs memory
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=os.environ | threads)
    finally:
        path.unlink()
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith(f"python -m vae: {path} is damaged, or does not fit into memory ")
    scores = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{")))
    assert 6000 < scores["images"] < 7000
