"""vae/cli/__init__.py: exit codes, signals, pipes and terminals of python -m vae."""

import builtins
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from tests.support.vae.small_runs import NEW, WRITTEN, assert_refused, environment, process
from tests.support.vae.small_runs import WITHOUT_PLANE as SMALL
from vae import checkpoints
from vae.cli import train
from vae.errors import CheckpointError
from vae.runs import CHECKPOINT, load_trainer

pytestmark = pytest.mark.host

STOPPING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


def usual_signals() -> None:
    """Whatever the process that runs the tests ignores."""
    for number in STOPPING:
        signal.signal(number, signal.SIG_DFL)


def start(*arguments, cwd: Path, **more) -> subprocess.Popen:
    command = [sys.executable, "-m", "vae", *map(str, arguments)]
    more = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "preexec_fn": usual_signals, **more}
    return subprocess.Popen(command, cwd=cwd, env=environment(), text=True, **more)


def start_training(images: str, out: Path, **more) -> subprocess.Popen:
    """A run of very many epochs, of which one is done."""
    options = ["--data", images, *SMALL, "--epochs", "1000000", "--out", out.name]
    child, metrics, deadline = (
        start("train", *options, cwd=out.parent, **more),
        out / "metrics.jsonl",
        time.monotonic() + 60,
    )
    while not (metrics.exists() and metrics.stat().st_size) and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    return child


def test_processes_end_with_their_exit_code(tmp_path, trained):
    done = process("evaluate", "--checkpoint", trained, "--json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    json.loads(done.stdout)
    assert_refused((lambda p: (p.returncode, p.stdout, p.stderr))(process("sample", "--checkpoint", "x", cwd=tmp_path)))


def test_a_terminal_without_greek(tmp_path, images):
    train = ["train", "--data", images, *SMALL, "--epochs", "1", "--out", "run"]
    done = process(*train, cwd=tmp_path, PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert "test ?ELBO" in done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes")
@pytest.mark.parametrize("terminal", ["utf-8", "ascii"])
def test_names_that_no_terminal_can_show(tmp_path, images, terminal):
    name = os.fsdecode(b"\xff run")
    for command in (["train", "--data", images, *SMALL, "--epochs", "1", "--out"], ["evaluate", "--checkpoint"]):
        done = process(*command, name, cwd=tmp_path, PYTHONIOENCODING=terminal)
        assert (done.returncode, done.stderr) == (0, "")
    done = process("evaluate", "--checkpoint", f"no {name}", cwd=tmp_path, PYTHONIOENCODING=terminal)
    assert_refused((done.returncode, done.stdout, done.stderr), "no checkpoint at no \\udcff run")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_output_that_nobody_takes(tmp_path, images, trained):
    """A full disk or a pipe that nobody reads: what was to be printed is lost, and what was to be written is not."""
    train = ["train", "--data", images, *SMALL, "--out"]
    answers = ["evaluate", "--checkpoint", trained]
    with open("/dev/full", "w") as full:
        for command in ([*answers, "--json"], answers, [*train, "full"]):
            done = start(*command, cwd=tmp_path, stdout=full)
            _, err = done.communicate(timeout=60)
            assert (done.returncode, err) == (2, "python -m vae: cannot write the output: No space left on device\n")
        assert start(*answers, cwd=tmp_path, stdout=full, stderr=full).wait(timeout=60) == 2
    for command, code in (([*answers, "--json"], 141), (answers, 141), ([*train, "unread"], 0)):
        done = start(*command, cwd=tmp_path)
        done.stdout.close()
        assert (done.wait(timeout=60), done.stderr.read()) == (code, "")
        done.stderr.close()
    for run in ("full", "unread"):
        assert {path.name for path in (tmp_path / run).iterdir()} >= WRITTEN
    closing = ["sh", "-c", '"$@" >&- 2>&- <&-', "sh", sys.executable, "-m", "vae", *train, "closed"]
    assert subprocess.run(closing, cwd=tmp_path, env=environment(), timeout=60).returncode == 0
    assert {path.name for path in (tmp_path / "closed").iterdir()} >= WRITTEN


@pytest.mark.parametrize("module", ["pictures", "make_digits", "load_folder", "CLAIMS"])
def test_ctrl_c_within_an_import_is_no_broken_installation(vae, trained, monkeypatch, tmp_path, module):
    """Compiled modules turn whatever is raised while they are imported into an ImportError."""
    real = builtins.__import__

    def interrupted(name, globals=None, locals=None, fromlist=(), level=0):
        if module in (fromlist or ()):
            try:
                signal.raise_signal(signal.SIGINT)
            except KeyboardInterrupt as stop:
                raise ImportError("initialization failed") from stop
        return real(name, globals, locals, fromlist, level)

    command = {
        "pictures": ["sample", "--checkpoint", trained],
        "make_digits": ["train", "--train-size", "20", "--test-size", "2"],
        "load_folder": ["train", "--data", str(tmp_path)],
        "CLAIMS": ["lecture", "--exact"],
    }[module]
    monkeypatch.setattr(builtins, "__import__", interrupted)
    code, _, err = vae(*command)
    assert (code, err) == (130, "python -m vae: stopped\n")


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("number", STOPPING)
def test_a_signal_leaves_a_checkpoint_that_goes_on_bit_for_bit(vae, no_pictures, tmp_path, images, number):
    child = start_training(images, tmp_path / "run")
    child.send_signal(number)
    child.send_signal(number)  # while the first one is dealt with
    out, err = child.communicate(timeout=30)
    assert (child.returncode, err) == (128 + number, "python -m vae: stopped\n")
    assert "continue with: python -m vae train --out run --resume" in out
    assert not [p for p in (tmp_path / "run").iterdir() if p.name.startswith(".")]
    _, record = checkpoints.load(tmp_path / "run" / CHECKPOINT)
    assert record["epoch"] >= 1
    last = record["epoch"] + 2
    for options in (["--resume", "--out", "run"], ["--data", images, *SMALL, "--out", "whole"]):
        assert vae("train", *options, "--epochs", last)[0] == 0
    stopped, whole = (checkpoints.load(tmp_path / run / CHECKPOINT) for run in ("run", "whole"))
    assert all(np.array_equal(x, stopped[0][name]) for name, x in whole[0].items())
    assert [(r["epoch"], r["train_elbo"], r["test_elbo"]) for r in stopped[1]["history"]] == [
        (r["epoch"], r["train_elbo"], r["test_elbo"]) for r in whole[1]["history"]
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("number", STOPPING[:1] + STOPPING[2:])
def test_signals_that_are_ignored_stay_ignored(tmp_path, images, number):
    """As after nohup, and of commands that a script puts in the background."""
    ignoring = {"preexec_fn": lambda: signal.signal(number, signal.SIG_IGN)}
    child = start_training(images, tmp_path / "run", stdout=subprocess.DEVNULL, **ignoring)
    child.send_signal(number)
    epochs = len((tmp_path / "run/metrics.jsonl").read_text().splitlines())
    deadline = time.monotonic() + 30
    while child.poll() is None and time.monotonic() < deadline:
        if len((tmp_path / "run/metrics.jsonl").read_text().splitlines()) > epochs + 1:
            break
        time.sleep(0.01)
    assert child.poll() is None
    child.kill()
    child.communicate()


def test_runs_that_begin_together_get_a_folder_each(tmp_path, images):
    running = [
        start("train", "--data", images, *SMALL, "--epochs", "1", "--seed", seed, cwd=tmp_path) for seed in range(4)
    ]
    for child in running:
        _, err = child.communicate(timeout=120)
        assert (child.returncode, err) == (0, "")
    configs = [json.loads((run / "config.json").read_text()) for run in (tmp_path / "runs").iterdir()]
    assert sorted(config["seed"] for config in configs) == [0, 1, 2, 3]
    for run in (tmp_path / "runs").iterdir():
        assert load_trainer(run).config.to_dict() == json.loads((run / "config.json").read_text())


@pytest.mark.skipif(sys.platform == "win32", reason="locks are those of POSIX")
def test_of_two_runs_with_one_folder_the_second_is_refused_until_the_first_is_gone(vae, tmp_path, images):
    """Also if it is killed, in the middle of a write or not: what is left behind is in nobody's way."""
    train, first = ["train", "--data", images, *SMALL, "--out", "run"], start_training(images, tmp_path / "run")
    for second in (train, [*train, "--force"], ["train", "--out", "run", "--resume"]):
        assert_refused(vae(*second), "another command is writing to run")
    assert vae("evaluate", "--checkpoint", "run")[0] == 0
    first.kill()
    first.communicate()
    (tmp_path / "run/.samples.png.1.part").touch()
    epoch = checkpoints.load(tmp_path / "run" / CHECKPOINT)[1]["epoch"]
    assert vae("train", "--out", "run", "--resume", "--epochs", epoch + 1)[0] == 0
    assert not [path.name for path in (tmp_path / "run").iterdir() if path.name.startswith(".")]


def test_errors_are_sentences_even_with_line_breaks(vae, monkeypatch, trained):
    def fail(path):
        raise CheckpointError("two\nlines")

    monkeypatch.setattr(checkpoints, "load", fail)
    assert vae("sample", "--checkpoint", trained)[::2] == (2, "python -m vae: two lines\n")


@pytest.mark.parametrize("missing", [["rich"], ["matplotlib", "PIL", "rich", "safetensors"]])
def test_libraries_that_are_not_installed_are_named(missing):
    code = (
        f"import runpy, sys; sys.modules.update(dict.fromkeys({missing})); sys.argv = ['vae', '--help']; "
        "runpy.run_module('vae', run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    names = ", ".join({"PIL": "pillow"}.get(name, name) for name in missing)
    assert done.stderr == f"python -m vae: missing packages {names}: pip install '.[vae]'\n"


@pytest.mark.skipif(sys.platform != "linux", reason="no limit of address space elsewhere")
def test_too_little_memory_for_blas_is_one_sentence():
    """OpenBLAS would end the process with its own message and exit code 1."""
    code = (
        "import os, resource, sys; resource.setrlimit(resource.RLIMIT_AS, (200_000 * 1024,) * 2); "
        "os.execv(sys.executable, [sys.executable, '-m', 'vae', 'train', '--train-size', '60'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "python -m vae: the memory limit is 200000 KB: raise it to at least 250000 KB with ulimit -v\n"
    )


def test_help_is_not_an_error(vae):
    for command in ([], ["check"], ["train"], ["evaluate"], ["sample"], ["reconstruct"]):
        code, out, err = vae(*command, "--help")
        assert (code, err) == (0, "")
        assert out.startswith("usage: python -m vae")


@pytest.mark.usefixtures("no_pictures")
def test_options_before_the_command_count(vae, images, tmp_path):
    """argparse would let the command's own defaults replace them without a word."""
    code, *_ = vae("--out", "run", "--seed", "7", "train", "--data", images, *SMALL, "--epochs", "1")
    assert code == 0
    assert json.loads((tmp_path / "run/config.json").read_text())["seed"] == 7
    assert_refused(vae("--out", "run", "train", "--data", images, *SMALL), "already holds files")
    assert vae("--out", "run", "--force", "train", "--data", images, *SMALL, "--epochs", "1")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["paint"], ["invalid choice: 'paint'", "train", "evaluate"]),
    ],
    ids=lambda x: " ".join(x)[:60],
)
def test_wrong_input_gets_one_sentence_and_writes_nothing(refuse, arguments, said):
    refuse(arguments, said)


def test_sizes_beyond_memory(vae, images, monkeypatch):
    def exhausted(*args, **kwargs):
        return np.empty((2**46, 2**10), np.float32)  # 2⁵⁸ bytes: more than any address space has

    monkeypatch.setattr(train, "make_trainer", exhausted)
    said = "there is not enough memory for these sizes (Unable to allocate 256. PiB"
    assert_refused(vae(*[a.replace("IMAGES", images) for a in NEW]), said)


def test_an_operation_beyond_memory(vae, images, monkeypatch):
    wide = np.broadcast_to(np.float32(1), (2**30, 2**28))
    monkeypatch.setattr(train, "make_trainer", lambda *args: mg.exp(wide))
    result = vae(*[a.replace("IMAGES", images) for a in NEW])
    assert_refused(result, "python -m vae: exp(float32[1073741824, 268435456]): not enough", "use a smaller batch")
