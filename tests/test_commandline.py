"""minigrad/commandline.py: output that is lost ends a command with a code, and a sentence if it has to."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")

PRINTING = [["minigrad.backends"], ["minigrad.checks", "--op", "tanh"], ["minigrad.checks", "--op", "tanh", "--json"]]
MUCH = "print('x' * 1_000_000)"


def ended(arguments: list[str], redirection: str = "") -> tuple[int, str]:
    """The exit code of a Python command and what it says on stderr, its outputs redirected by a shell, or unread."""
    env = {**os.environ, "PYTHONWARNINGS": "error"}
    command = ["sh", "-c", f'exec "$@" {redirection}', "sh", sys.executable, *arguments]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        child.stdout.close()
        return child.wait(timeout=120), child.stderr.read()


@pytest.mark.parametrize("arguments", PRINTING, ids=" ".join)
def test_output_that_is_lost(arguments):
    assert ended(["-m", *arguments]) == (141, "")
    assert ended(["-m", *arguments], ">&-") == (0, "")
    code, err = ended(["-m", *arguments], ">/dev/full")
    assert (code, err) == (2, f"python -m {arguments[0]}: the output: No space left on device\n")


@pytest.mark.parametrize("flags", [[], ["-u"]])
def test_a_command_goes_on_to_its_end(flags, tmp_path):
    """More output than a pipe holds, and then a file."""
    body = f"{MUCH}; {MUCH}; open({str(tmp_path / 'file')!r}, 'w').close(); return ended('me', 0, False)"
    code = f"from minigrad.commandline import ended, run\ndef main():\n    {body}\nrun(main)"
    assert ended([*flags, "-c", code]) == (0, "")
    assert (tmp_path / "file").exists()
    assert ended([*flags, "-c", code], ">/dev/full") == (2, "me: the output: No space left on device\n")
    assert ended([*flags, "-c", code], ">/dev/full 2>&-") == (2, "")
    assert ended([*flags, "-c", code], ">&- 2>&- <&-") == (0, "")


@pytest.mark.parametrize("flags", [[], ["-u"]])
def test_a_pipe_that_does_not_block_is_waited_for(flags):
    """As some programs hand them on: what does not fit now fits later."""
    code = "import os\nfrom minigrad.commandline import ended, run\nos.set_blocking(1, False)\n"
    code += f"def main():\n    {MUCH}\n    return ended('me', 0)\nrun(main)"
    done = subprocess.run([sys.executable, *flags, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "x" * 1_000_000 + "\n")


def test_a_check_that_failed_is_told_all_the_same():
    code = "from minigrad.commandline import ended, run\nrun(lambda: print() or ended('me', 1))"
    assert ended(["-c", code], ">/dev/full")[0] == 1


def test_ctrl_c_is_no_traceback():
    code = "import signal\nfrom minigrad.commandline import run\n"
    code += "signal.signal(signal.SIGINT, signal.default_int_handler)\nrun(lambda: signal.raise_signal(signal.SIGINT))"
    assert ended(["-c", code]) == (130, "")


def test_help_that_nobody_reads():
    for module in ("vae", "minigrad.checks", "minigrad.backends"):
        assert ended(["-m", module, "--help"]) == (0, "")
        said = f"python -m {module}: the output: No space left on device\n"
        assert ended(["-m", module, "--help"], ">/dev/full") == (2, said)
