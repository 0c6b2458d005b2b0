"""vae/cli/output.py: pictures that are drawn or cost one line, and tables of any width."""

import json
import subprocess
import sys
from contextlib import redirect_stdout
from io import StringIO

import pytest

from tests.support.vae.small_runs import SMALL, assert_refused, environment, process
from vae import pictures
from vae.cli.output import write_estimate
from vae.evaluation import Estimate

pytestmark = pytest.mark.host


def test_a_picture_that_cannot_be_drawn_costs_one_line(vae, images, trained, monkeypatch):
    """Beside other work a line on stderr; alone, one sentence and exit code 2."""

    def fail(*args, **kwargs):
        raise RuntimeError("no font\nhas this")

    monkeypatch.setattr(pictures, "make_axes", fail)
    code, out, err = vae("train", "--data", images, *SMALL, "--epochs", "1", "--out", "run")
    assert code == 0
    assert "run/checkpoint.safetensors" in out
    lines = err.splitlines()
    assert len(lines) == 5 and all("cannot be drawn: RuntimeError: no font has this" in line for line in lines)
    code, out, err = vae("check", "--checkpoint", trained, "--picture", "a.png")
    assert (code, err.count("\n")) == (0, 1)
    assert_refused(
        vae("sample", "--checkpoint", trained), "samples.png cannot be drawn: RuntimeError: no font has this"
    )


def test_pictures_are_of_the_format_that_their_names_say(vae, trained, tmp_path):
    sample = ["sample", "--checkpoint", trained, "--count", "3"]
    begin = {"png": b"\x89PNG", "jpg": b"\xff\xd8\xff", "webp": b"RIFF", "tif": b"II*", "pdf": b"%PDF", "svg": b"<?xml"}
    for suffix, first in begin.items():
        contents = []
        for _ in range(2):
            assert vae(*sample, "--out", f"s.{suffix.upper()}")[::2] == (0, "")
            contents.append((tmp_path / f"s.{suffix.upper()}").read_bytes())
        assert contents[0].startswith(first) and contents[0] == contents[1]
    assert vae(*sample, "--out", "s")[::2] == (0, "") and (tmp_path / "s").read_bytes().startswith(begin["png"])
    for name in ("s.gif", "s.npy", "there.d/"):
        assert_refused(vae(*sample, "--out", name), "a picture's name must end in .png, ", name.rstrip("/"))
        assert_refused(vae("check", "--picture", name), "a picture's name must end in .png, ")


def test_what_draws_nothing_does_not_import_matplotlib(tmp_path, trained):
    code = (
        "import sys; from vae import cli; "
        "code = cli.main(sys.argv[1:]); sys.exit(code or ('matplotlib' in sys.modules) * 5)"
    )
    for command in (["evaluate", "--checkpoint", trained], ["check", "--checkpoint", trained, "--coordinates", "1"]):
        run = [sys.executable, "-c", code, *map(str, command)]
        done = subprocess.run(run, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")


def test_the_users_settings_of_matplotlib_change_no_picture(tmp_path, trained):
    """Those of a folder, of the environment (as Colab and Jupyter set it), and a cache that cannot be written."""
    assert process("sample", "--checkpoint", trained, "--out", "usual.png", cwd=tmp_path).returncode == 0
    (tmp_path / "matplotlibrc").write_text(
        "text.usetex: True\nfont.family: Nowhere\nsavefig.bbox: tight\naxes.facecolor: black\nsavefig.dpi: 30\n"
    )
    backend = "module://matplotlib_inline.backend_inline"
    done = process("sample", "--checkpoint", trained, "--out", "odd.png", cwd=tmp_path, MPLBACKEND=backend)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "odd.png").read_bytes() == (tmp_path / "usual.png").read_bytes()
    assert process("--help", cwd=tmp_path, MPLBACKEND="nonsense").returncode == 0


CHECK = ["check", "--hidden", "4", "--latent", "2", "--images", "2", "--coordinates", "10"]


@pytest.fixture(scope="module")
def answers(trained, run_command):
    """What evaluate and check say as JSON, which has no columns."""
    found = []
    for command in (["evaluate", "--checkpoint", trained], CHECK):
        with redirect_stdout(StringIO()) as out:
            assert run_command(*command, "--json") == 0
        found.append(json.loads(out.getvalue()))
    return found


@pytest.mark.parametrize("columns", ["20", "40", "59", "80", "97", "200"])
def test_tables_keep_their_numbers_however_narrow(vae, trained, answers, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    scores, report = answers
    out = vae("evaluate", "--checkpoint", trained)[1]
    rate = write_estimate(Estimate(scores["rate"], scores["rate_standard_error"]))
    assert f" {rate} " in out and "…" not in out
    out = vae(*CHECK)[1]
    rows = [line for line in out.splitlines() if line[0] in "┏┃┡│└"]
    assert all(row[-1] in "┓┃┩│┘" for row in rows) and max(map(len, rows)) <= max(int(columns), 96), out
    for tensor in report["parameters"]:
        assert f" {tensor['name']} " in out and f" {tensor['max_relative_error']:.1e} " in out
    code, out, err = vae("lecture", "--slide", "6", "--exact", "--out", f"lecture-{columns}")
    assert code == 0, err
    assert "…" not in out
