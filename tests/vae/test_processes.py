"""vae/processes.py: commands started by mpiexec agree, compute the same bits, and stop together with one message."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from minigrad import collectives
from tests.support.vae.small_runs import save_images
from tests.support.vae.training_runs import read_outcome
from vae.errors import UserError
from vae.processes import agree, require_one, require_shards

pytestmark = pytest.mark.host
ROOT = Path(__file__).parents[2]
MPIEXEC = Path(sys.executable).with_name("mpiexec")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
SMALL = ("--hidden", 8, "--latent", 3, "--batch", 20, "--shards", 4, "--epochs", 2)
QUICK = 30  # seconds that a command may take here, on a busy machine; those that hang take for ever


def start(*groups: tuple, cwd: Path, **more) -> subprocess.Popen:
    """Start `mpiexec -n N python -m vae …`, given (N, arguments…), or several such groups that form one job."""
    command = [str(MPIEXEC)]
    for size, *words in groups:
        command += [":"] * (len(command) > 1) + ["-n", str(size), sys.executable, "-u", "-m", "vae", *map(str, words)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **more}
    return subprocess.Popen(command, cwd=cwd, env=ENVIRONMENT, **pipes)


def run(*groups: tuple, cwd: Path) -> tuple[int, str, str]:
    child = start(*groups, cwd=cwd)
    try:
        out, err = child.communicate(timeout=QUICK)
    finally:
        child.kill()
    return child.returncode, out, err


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    return save_images(tmp_path_factory.mktemp("images") / "images.npz")


@pytest.fixture(scope="module")
def runs(tmp_path_factory, images) -> Path:
    """A folder with the same run on one, two and four processes."""
    folder = tmp_path_factory.mktemp("runs")
    for size in (1, 2, 4):
        code, out, err = run((size, "train", "--data", images, *SMALL, "--out", f"on-{size}"), cwd=folder)
        assert (code, err) == (0, "")
        assert out.count("epoch   2:") == out.count("curves.png") == 1
    return folder


def test_a_run_has_the_same_bits_on_one_two_and_four_processes(runs):
    one, two, four = (read_outcome(runs / f"on-{size}")[0::2] for size in (1, 2, 4))
    assert one == two == four


def test_evaluate_and_check_give_the_same_numbers(runs):
    words = (
        "evaluate",
        "--checkpoint",
        "on-2",
        "--importance",
        3,
        "--annealing",
        4,
        "--chains",
        2,
        "--latents",
        "--json",
    )
    found = [run((size, *words), cwd=runs) for size in (1, 2)]
    assert found[0] == found[1]
    assert found[0][0] == 0
    code, out, err = run((2, "check", "--checkpoint", "on-1", "--coordinates", 3, "--json"), cwd=runs)
    assert (code, err) == (0, "")
    assert json.loads(out)["passed"]


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_goes_on_with_another_number_of_processes(tmp_path, images, runs, stop):
    """All the signals that mpiexec passes on."""
    words = ("train", "--data", images, *SMALL[:-1], 5000, "--out", "run")
    child = start((4 if stop == signal.SIGINT else 2, *words), cwd=tmp_path)
    while "epoch   1:" not in child.stdout.readline():
        assert child.poll() is None
    child.send_signal(stop)
    out, err = child.communicate(timeout=QUICK)
    assert child.returncode == 128 + stop
    assert out.count("stopped; continue with") == err.count("python -m vae: stopped") == 1
    record = read_outcome(tmp_path / "run")[1]
    more = ("train", "--out", "run", "--resume", "--epochs", record["epoch"] + 1)
    assert run((3, *more), cwd=tmp_path)[0] == 0
    whole = ("train", "--data", images, *SMALL[:-1], record["epoch"] + 1, "--out", "whole")
    assert run((1, *whole), cwd=tmp_path)[0] == 0
    assert read_outcome(tmp_path / "run")[0::2] == read_outcome(tmp_path / "whole")[0::2]


def test_a_process_that_is_stopped_alone_stops_all_and_the_first_says_how_to_go_on(tmp_path, images):
    child = start((2, "train", "--data", images, *SMALL[:-1], 5000, "--out", "run"), cwd=tmp_path)
    while "epoch   1:" not in child.stdout.readline():
        assert child.poll() is None
    os.kill(find_process(child.pid, "1"), signal.SIGINT)
    out, err = child.communicate(timeout=QUICK)
    assert (child.returncode, err) == (130, "python -m vae: process 1: stopped\n")
    assert "stopped; continue with: python -m vae train --out run --resume\n" in out
    assert run((1, "train", "--out", "run", "--resume", "--epochs", 1), cwd=tmp_path)[0] == 2  # it is beyond


def test_killing_a_process_ends_the_others_and_keeps_the_last_epoch(tmp_path, images):
    for victim in ("0", "1"):
        out = tmp_path / f"run-{victim}"
        child = start((2, "train", "--data", images, *SMALL[:-1], 5000, "--out", out), cwd=tmp_path)
        while "epoch   1:" not in child.stdout.readline():
            assert child.poll() is None
        os.kill(find_process(child.pid, victim), signal.SIGKILL)
        began = time.monotonic()
        child.communicate(timeout=QUICK)
        assert child.returncode != 0
        assert time.monotonic() - began < QUICK / 2
        record = read_outcome(out)[1]
        assert record["epoch"] >= 1
        assert run((2, "train", "--out", out, "--resume", "--epochs", record["epoch"] + 1), cwd=tmp_path)[0] == 0


def find_process(launcher: int, rank: str) -> int:
    """The process of a rank below a launcher, in its environment."""
    for folder in Path("/proc").iterdir():
        try:
            variables = (folder / "environ").read_bytes().split(b"\0") if folder.name.isdigit() else []
            if f"PMI_RANK={rank}".encode() in variables and launcher in ancestors(int(folder.name)):
                return int(folder.name)
        except OSError:  # it has ended, or is not ours
            continue
    raise AssertionError(f"there is no process of rank {rank}")


def ancestors(process: int) -> list[int]:
    found = [process]
    while found[-1] > 1:
        status = (Path("/proc") / str(found[-1]) / "stat").read_text()
        found.append(int(status.rpartition(")")[2].split()[1]))
    return found


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([(2, "train", "--beta", -1)], "beta must be 0 or lie in"),
        ([(2, "train", "--batch", 0)], "argument --batch: must be a whole number"),
        ([(3, "train", "--shards", 2)], "3 processes cannot share the 2 shards of a batch: start fewer"),
        ([(1, "train", "--batch", 64), (1, "train")], "the processes disagree: batch is not given on process 1 and 64"),
        ([(1, "train"), (1, "check")], "the processes disagree: command is check on process 1 and train on process 0"),
        ([(1, "train"), (1, "train", "--batch", 0)], "process 1: python -m vae train: argument --batch"),
        ([(2, "sample", "--checkpoint", "x")], "sample uses one process, not 2: start it without mpiexec"),
        ([(2, "evaluate", "--checkpoint", "x")], "no checkpoint at x"),
        ([(2, "check", "--images", 1)], "2 processes need as many images: use --images 2"),
    ],
)
def test_wrong_input_gives_one_sentence(tmp_path, groups, message):
    code, out, err = run(*groups, cwd=tmp_path)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert message in err
    assert not any(tmp_path.iterdir())


def test_other_images_on_one_process_are_refused(tmp_path, images):
    other = tmp_path / "other.npz"
    with np.load(images) as arrays:
        np.savez(other, **{name: array[::-1] for name, array in arrays.items()})
    words = ("train", *SMALL, "--out", "run", "--data")
    code, _, err = run((1, *words, images), (1, *words, other), cwd=tmp_path)
    assert code == 2
    assert re.search(r"the processes disagree: (data|images) is", err)


@pytest.mark.parametrize("limits", [(1000, None), (None, 1000)])
def test_a_full_disk_stops_all_processes(tmp_path, images, limits):
    """Only the first process writes, so a limit on the size of the other's files changes nothing."""
    program = [sys.executable, "-c", LIMITED, "train", "--data", images, *SMALL, "--out", "run"]
    command = [MPIEXEC, "-n", 1, *program, limits[0], ":", "-n", 1, *program, limits[1]]
    done = subprocess.run(
        list(map(str, command)), cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=QUICK
    )
    if limits[0] is None:
        assert (done.returncode, done.stderr) == (0, "")
    else:
        assert done.returncode == 2
        assert re.fullmatch(r"python -m vae: cannot write run/checkpoint.safetensors: .*\n", done.stderr)


def test_a_process_that_cannot_start_stops_the_others(tmp_path, images):
    words = ["train", "--data", images, *SMALL, "--out", "run"]
    command = [
        MPIEXEC,
        "-n",
        1,
        sys.executable,
        "-m",
        "vae",
        *words,
        ":",
        "-n",
        1,
        sys.executable,
        "-c",
        MISSING,
        *words,
    ]
    done = subprocess.run(
        list(map(str, command)), cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=QUICK
    )
    assert (done.returncode, done.stderr) == (
        2,
        "python -m vae: process 1: missing packages rich: pip install '.[vae]'\n",
    )


MISSING = """
import importlib.util, runpy
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if name == "rich" else find(name, *more)
runpy.run_module("vae", run_name="__main__")
"""

LIMITED = """
import resource, sys
from minigrad import collectives
collectives.start()  # MPI itself writes files
if (limit := sys.argv.pop()) != "None":
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
from minigrad.commandline import run
from vae.cli import main
run(main)
"""


def test_a_group_of_threads_agrees_or_all_are_refused():
    def disagree():
        with pytest.raises(UserError, match="x is 1 on process 1 and 0 on process 0") as caught:
            agree(x=min(collectives.rank(), 1), y=2)
        return str(caught.value)

    assert len({*collectives.run_in_threads(disagree, 3)}) == 1
    collectives.run_in_threads(lambda: agree(x=1, y=2), 3)
    with pytest.raises(UserError, match="3 processes cannot share the 2 shards"):
        collectives.run_in_threads(lambda: require_shards(2), 3)
    with pytest.raises(UserError, match="sample uses one process, not 2"):
        collectives.run_in_threads(lambda: require_one("sample"), 2)
    require_one("sample")
    require_shards(1)
