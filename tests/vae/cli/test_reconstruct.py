"""python -m vae reconstruct: test images beside their reconstructions."""

import pytest


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


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["reconstruct", "--checkpoint", "x" * 300], ["no checkpoint at"]),
    ],
    ids=lambda x: " ".join(x)[:60],
)
def test_wrong_input_gets_one_sentence_and_writes_nothing(refuse, arguments, said):
    refuse(arguments, said)
