"""Small runs of the command line, and helpers to check them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np

from minigrad import backends
from tests.support.vae import truth

SMALL = ["--hidden", "8", "--latent", "2", "--epochs", "2", "--batch", "16"]
WITHOUT_PLANE = [*SMALL, "--latent", "3"]  # nor the pictures of one
NEW = ["train", "--data", "IMAGES", *SMALL, "--out", "new"]  # see the fixture `refuse`
WRITTEN = {"checkpoint.safetensors", "config.json", "metrics.jsonl", "curves.png", "reconstructions.png", "samples.png"}


def save_images(path: Path, shape=(4, 4, 1), count: int = 50) -> str:
    data = truth.small_data(count, 20, shape)
    np.savez(path, train=data.train, test=data.test)
    return str(path)


def assert_refused(result, *said: str) -> None:
    """Exit code 2 and one line on stderr, without a traceback, that contains each part of `said`."""
    code, _, err = result
    assert code == 2, err
    assert re.fullmatch(r"python -m vae[^\n]*: [^\n]+\n", err), err
    assert "Traceback" not in err
    for part in said:
        assert part in err, err


def has_gpu() -> bool:
    try:
        return bool(backends.get("cuda"))
    except backends.DeviceError:
        return False


def snapshot(folder: Path) -> dict:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def environment(**more: str) -> dict:
    """Environment variables for a process in which warnings are errors."""
    return {**os.environ, "PYTHONWARNINGS": "error", **more}


def process(*arguments, cwd: Path, **more) -> subprocess.CompletedProcess:
    """Runs python -m vae in a new process and returns the completed process."""
    command = [sys.executable, "-m", "vae", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment(**more), capture_output=True, text=True, timeout=60)
