"""python -m minigrad, and the options and exit codes that it shares with the other commands."""

import platform
import re
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest

import minigrad as mg
import vae.cli
from minigrad import __main__ as top
from minigrad.checks.__main__ import main as check

COMMANDS = {"minigrad": top.main, "minigrad.checks": check, "vae": vae.cli.main}


def test_it_prints_versions_and_where_to_start(capsys):
    assert top.main([]) == 0
    out = capsys.readouterr().out
    versions = {"minigrad": mg.__version__, "python": platform.python_version(), "numpy": np.__version__}
    for name, version in versions.items():
        assert re.search(rf"^  {name} +{re.escape(version)}$", out, re.MULTILINE)


def test_the_commands_it_names_exist():
    modules = [re.findall(r"[\w.]+", command) for command in top.START]
    assert all(words[0] == "python" for words in modules)
    for words in modules:
        assert all(find_spec(name) for name in words[2:])
    assert {"minigrad.checks", "minigrad.backends", "vae"} <= {words[-1] for words in modules}


@pytest.mark.parametrize("name", COMMANDS)
def test_version(capsys, name):
    with pytest.raises(SystemExit) as caught:
        COMMANDS[name](["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"{name.partition('.')[0]} {mg.__version__}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_an_unknown_option_is_one_sentence(capsys, name):
    with pytest.raises(SystemExit) as caught:
        COMMANDS[name](["--what"])
    said = capsys.readouterr()
    assert (caught.value.code, said.out) == (2, "")
    assert re.fullmatch(rf"python -m {name}: unrecognized arguments: --what; see python -m {name} --help\n", said.err)


@pytest.mark.parametrize("name", ["minigrad", "vae"])
def test_the_installed_command_is_python_m(name):
    """The function that an installed script calls does what `python -m` does."""
    script = f"import sys; from {name}.__main__ import command; sys.exit(command())"
    runs = [["-m", name], ["-c", script]]
    done = [subprocess.run([sys.executable, *run, "--version"], capture_output=True, text=True) for run in runs]
    assert [(d.returncode, d.stdout, d.stderr) for d in done] == [(0, f"{name} {mg.__version__}\n", "")] * 2
