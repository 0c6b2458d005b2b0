"""minigrad/commandline.py: exit codes and messages of commands whose output cannot be written."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")

PRINTING = [
    ["minigrad"],
    ["minigrad.backends"],
    ["minigrad.checks", "--op", "tanh"],
    ["minigrad.checks", "--op", "tanh", "--json"],
]
FULL = "cannot write the output: No space left on device"
MUCH = "print('x' * 1_000_000)"


def run_command(arguments: list[str], redirection: str = "") -> tuple[int, str]:
    """(exit code, stderr) of a Python command whose stdout is redirected by a shell, or closed by its reader."""
    env = {**os.environ, "PYTHONWARNINGS": "error"}
    command = ["sh", "-c", f'exec "$@" {redirection}', "sh", sys.executable, *arguments]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        child.stdout.close()
        return child.wait(timeout=120), child.stderr.read()


@pytest.mark.parametrize("arguments", PRINTING, ids=" ".join)
def test_output_that_cannot_be_written(arguments):
    assert run_command(["-m", *arguments]) == (141, "")
    assert run_command(["-m", *arguments], ">&-") == (0, "")
    code, err = run_command(["-m", *arguments], ">/dev/full")
    assert (code, err) == (2, f"python -m {arguments[0]}: cannot write the output: No space left on device\n")


@pytest.mark.parametrize("flags", [[], ["-u"]])
def test_a_command_finishes_when_its_output_cannot_be_written(flags, tmp_path):
    """It prints more than a pipe holds and then still writes a file."""
    body = f"{MUCH}; {MUCH}; open({str(tmp_path / 'file')!r}, 'w').close(); return finish('me', 0, False)"
    code = f"from minigrad.commandline import finish, run\ndef main():\n    {body}\nrun(main)"
    assert run_command([*flags, "-c", code]) == (0, "")
    assert (tmp_path / "file").exists()
    assert run_command([*flags, "-c", code], ">/dev/full") == (
        2,
        "me: cannot write the output: No space left on device\n",
    )
    assert run_command([*flags, "-c", code], ">/dev/full 2>&-") == (2, "")
    assert run_command([*flags, "-c", code], ">&- 2>&- <&-") == (0, "")


@pytest.mark.parametrize("flags", [[], ["-u"]])
def test_output_waits_for_a_full_non_blocking_pipe(flags):
    """Some programs start commands with non-blocking pipes."""
    code = "import os\nfrom minigrad.commandline import finish, run\nos.set_blocking(1, False)\n"
    code += f"def main():\n    {MUCH}\n    return finish('me', 0)\nrun(main)"
    done = subprocess.run([sys.executable, *flags, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "x" * 1_000_000 + "\n")


def test_exit_code_1_is_kept():
    code = "from minigrad.commandline import finish, run\nrun(lambda: print() or finish('me', 1))"
    assert run_command(["-c", code], ">/dev/full")[0] == 1


def test_ctrl_c_exits_without_a_traceback():
    code = "import signal\nfrom minigrad.commandline import run\n"
    code += "signal.signal(signal.SIGINT, signal.default_int_handler)\nrun(lambda: signal.raise_signal(signal.SIGINT))"
    assert run_command(["-c", code]) == (130, "")


def test_help_that_cannot_be_written():
    for module in ("vae", "minigrad.checks", "minigrad.backends"):
        assert run_command(["-m", module, "--help"]) == (0, "")
        said = f"python -m {module}: cannot write the output: No space left on device\n"
        assert run_command(["-m", module, "--help"], ">/dev/full") == (2, said)
