"""python -m vae sample: images drawn from the decoder alone."""

import pytest


def test_it_draws_where_it_is_told_to_and_in_the_run_otherwise(vae, trained, tmp_path):
    for out, written in ((["--out", "there/samples.png"], "there/samples.png"), ([], str(trained / "samples.png"))):
        code, said, err = vae("sample", "--checkpoint", trained, *out, "--count", "3")
        assert (code, said, err) == (0, f"{written}\n", "")
        assert (tmp_path / written).read_bytes().startswith(b"\x89PNG")


def test_the_seed_decides_the_picture(vae, trained, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        options = ["--count", "3", "--seed", seed, "--out", f"{name}.png"]
        assert vae("sample", "--checkpoint", trained, *options)[0] == 0
    a, b, c = ((tmp_path / f"{name}.png").read_bytes() for name in "abc")
    assert a == b != c


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["sample", "--checkpoint", "nowhere"], ["no checkpoint at"]),
        (["sample", "--checkpoint", "TRAINED", "--count", "0"], ["--count", "got 0"]),
        (["sample", "--checkpoint", "TRAINED", "--count", "2501"], ["--count", "got 2501"]),
        (["sample", "--checkpoint", "TRAINED", "--out", "/proc/vae/x.png"], ["cannot write to the folder /proc/vae"]),
        (["sample", "--checkpoint", "TRAINED", "--out", "."], ["cannot write"]),
        (["sample", "--checkpoint", "TRAINED/checkpoint.safetensors"], ["give the folder of a run"]),
    ],
    ids=lambda x: " ".join(x)[:60],
)
def test_wrong_input_gets_one_sentence_and_writes_nothing(refuse, arguments, said):
    refuse(arguments, said)
