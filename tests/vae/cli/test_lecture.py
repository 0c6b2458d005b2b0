"""`python -m vae lecture`: exit codes, JSON, files, and one sentence for wrong input."""

import json

import pytest

from tests.support.vae.small_runs import assert_refused
from vae.cli import main
from vae.lecture import CLAIMS
from vae.lecture.claims import claim, equal

pytestmark = pytest.mark.host


def test_chosen_slides_as_json_with_pictures_and_a_page(tmp_path, capsys):
    assert main(["lecture", "--slide", "7", "9", "--json", "--seed", "3", "--out", str(tmp_path / "out")]) == 0
    printed = json.loads(capsys.readouterr().out)
    expected = [c.name for c in CLAIMS if c.slide in (7, 9)]
    assert printed["passed"] is True
    assert [record["name"] for record in printed["claims"]] == expected
    for record in printed["claims"]:
        assert {"slide", "claim", "left", "right", "error", "tolerance", "passed"} <= set(record)
    files = {path.name for path in (tmp_path / "out").iterdir()}
    assert "lecture.html" in files
    assert len(files) == 1 + len(expected)


def test_a_claim_that_fails_is_exit_code_1(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("vae.lecture.claims.CLAIMS", kept := list(CLAIMS))
    claim(7, "One is two.", "1 = 2")(lambda setting: equal(1.0, 2.0))
    monkeypatch.setattr("vae.lecture.CLAIMS", kept[-1:])
    monkeypatch.setattr("vae.lecture.claims.Claim.code", "lambda setting: equal(1.0, 2.0)")
    assert main(["lecture", "--out", str(tmp_path / "out")]) == 1
    out = capsys.readouterr().out
    assert "FAILS" in out and "A CLAIM FAILS" in out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--slide", "99"], "there is no claim on slide 99: choose from 2, 3"),
        (["--slide", "two"], "--slide"),
        (["--slide", "15", "--exact"], "need images: leave out --exact"),
        (
            ["--train-size", "50", "--test-size", "10"],
            "at least 1000 training and 200 test images, digits has 50 and 10",
        ),
        (["--data", "nowhere"], "nowhere"),
        (["--binarise", "static"], "--binarise"),  # it would be ignored
    ],
)
def test_wrong_input_gets_one_sentence_and_writes_nothing(arguments, sentence, tmp_path, capsys):
    out = tmp_path / "out"
    try:
        code = main(["lecture", *arguments, "--out", str(out)])
    except SystemExit as stopped:
        code = stopped.code
    printed, err = capsys.readouterr()
    assert (code, printed, err.count("\n")) == (2, "", 1)
    assert sentence in err
    assert not out.exists()


def test_a_folder_that_cannot_be_written_to_or_holds_files(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("keep")
    for out, sentence in ((tmp_path / "file" / "x", "cannot write"), (tmp_path / "full", "already holds files")):
        assert main(["lecture", "--slide", "7", "--out", str(out)]) == 2
        assert sentence in capsys.readouterr().err
    assert (tmp_path / "full" / "mine").read_text() == "keep"


def test_data_for_claims_that_need_none_is_refused(vae):
    for chosen in (["--exact"], ["--slide", "8"]):
        refused = vae("lecture", *chosen, "--data", "none.npy", "--test-size", "5")
        assert_refused(refused, "none of these claims needs images: leave out --data, --test-size")
