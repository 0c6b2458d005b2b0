"""python -m vae reconstruct: test images beside their reconstructions."""

from pathlib import Path

import numpy as np
import pytest

from tests.support.vae.small_runs import SMALL
from vae import runs
from vae.cli import reconstruct


def test_it_draws_where_it_is_told_to_and_in_the_run_otherwise(vae, trained, tmp_path):
    for out, written in (
        (["--out", "there/reconstructions.png"], "there/reconstructions.png"),
        ([], str(trained / "reconstructions.png")),
    ):
        code, said, err = vae("reconstruct", "--checkpoint", trained, *out, "--count", "3")
        assert (code, said, err) == (0, f"{written}\n", "")
        assert (tmp_path / written).read_bytes().startswith(b"\x89PNG")


def test_the_seed_decides_the_picture(vae, trained, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        options = ["--count", "3", "--seed", seed, "--out", f"{name}.png"]
        assert vae("reconstruct", "--checkpoint", trained, *options)[0] == 0
    a, b, c = ((tmp_path / f"{name}.png").read_bytes() for name in "abc")
    assert a == b != c


def test_binary_images_are_shown_as_the_model_sees_them(vae, images, monkeypatch):
    """Those of training with static binarisation, drawn by the seed with dynamic."""
    assert vae("train", "--data", images, *SMALL, "--binarise", "static", "--out", "run")[0] == 0
    shown = []
    monkeypatch.setattr(reconstruct, "draw_picture", lambda kind, path, y, *rest: shown.append(np.asarray(y)) or path)
    for more in ([], ["--seed", "1"], *([["--binarise", "dynamic", "--seed", str(seed)] for seed in (0, 1, 1)])):
        assert vae("reconstruct", "--checkpoint", "run", "--count", "3", *more)[0] == 0
    assert all(np.isin(y, (0, 1)).all() for y in shown)
    expected = runs.load_trainer(Path("run")).seen(np.load(images)["test"], "test")[:3]
    assert [np.array_equal(y, expected) for y in shown] == [True, True, False, False, False]
    assert np.array_equal(shown[3], shown[4]) and not np.array_equal(shown[2], shown[3])
    assert vae("reconstruct", "--checkpoint", "run", "--count", "3", "--binarise", "none")[0] == 0
    np.testing.assert_array_equal(shown[-1], np.load(images)["test"][:3])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["reconstruct", "--checkpoint", "x" * 300], ["no checkpoint at"]),
    ],
    ids=lambda x: " ".join(x)[:60],
)
def test_wrong_input_gets_one_sentence_and_writes_nothing(refuse, arguments, said):
    refuse(arguments, said)
