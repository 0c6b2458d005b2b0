"""The distributions: the source holds every file of the repository, the wheel every file of the packages."""

from __future__ import annotations

import configparser
import email
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from fnmatch import fnmatch
from pathlib import Path

import pytest

import minigrad as mg
from tests.support.environment import ROOT, optional

BUILD = "from setuptools import build_meta; print(*build_meta.build_{}('.'), sep='', file=open('built', 'w'))"
OF_THE_BUILD = {"PKG-INFO", "setup.cfg", "built"}


def repository_files() -> set[str]:
    """The files that git tracks; where git is missing, as in CI's copy and in an unpacked source, those it would."""
    if (ROOT / ".git").exists() and shutil.which("git"):
        command = ["git", "-c", f"safe.directory={ROOT}", "-C", str(ROOT), "ls-files", "-z"]
        tracked = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\0")
        return {name for name in tracked if (ROOT / name).is_file()}
    ignored = [pattern.rstrip("/") for pattern in (ROOT / ".gitignore").read_text(encoding="utf-8").split()]
    found = set()
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if not any(fnmatch(name, pattern) for pattern in ignored)]
        found |= {(Path(folder) / name).relative_to(ROOT).as_posix() for name in names}
    return found - OF_THE_BUILD


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository's files, in which distributions are built."""
    optional("setuptools", extra="test")
    folder = tmp_path_factory.mktemp("source")
    for name in repository_files():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    return folder


def build(source: Path, kind: str) -> Path:
    """The path of a distribution that is built without network."""
    done = subprocess.run([sys.executable, "-c", BUILD.format(kind)], cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return source / (source / "built").read_text(encoding="utf-8").strip()


def test_the_source_distribution_holds_every_file(source: Path) -> None:
    with tarfile.open(build(source, "sdist")) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    assert repository_files() - packed == set(), "MANIFEST.in leaves these out"


def test_the_wheel_holds_every_file_of_the_packages(source: Path) -> None:
    with zipfile.ZipFile(build(source, "wheel")) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
        (about,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = email.message_from_bytes(archive.read(about))
        scripts = archive.read(about.replace("METADATA", "entry_points.txt")).decode()
    files = {name for name in repository_files() if name.startswith(("minigrad/", "vae/"))}
    assert packed == files, "package_data in setup.py and the packages' files differ"
    assert (metadata["Name"], metadata["Version"]) == ("minigrad-autodiff", mg.__version__)
    assert f"\nversion: {mg.__version__}\n" in (ROOT / ".github" / "CITATION.cff").read_text(encoding="utf-8")
    commands = configparser.ConfigParser()
    commands.read_string(scripts)
    assert dict(commands["console_scripts"]) == {
        "minigrad": "minigrad.__main__:command",
        "vae": "vae.__main__:command",
    }
