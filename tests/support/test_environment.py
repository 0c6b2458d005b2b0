"""tests/support/environment.py: the suite runs in any environment, and skipped tests give a reason."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.environment import ROOT, is_installed, optional

HOSTILE = {
    "HOME": "/nonexistent",
    "XDG_CACHE_HOME": "/proc",
    "MPLBACKEND": "module://nothing_of_this_name",
    "VAE_DATA": "/nonexistent",
    "COLUMNS": "20",
    "FORCE_COLOR": "1",
    "LC_ALL": "C",
    "PYTHONWARNINGS": "error",
    "PYTHONSAFEPATH": "1",
    "PYTHONIOENCODING": "ascii",
    "http_proxy": "http://127.0.0.1:9",
}
IGNORING = "import os, signal, sys; [signal.signal(s, signal.SIG_IGN) for s in (signal.SIGINT, signal.SIGCHLD)]; "


def run_tests(*options: str | Path, begin: str = "import os, sys; ", cwd: Path = ROOT, **variables: str) -> str:
    """The output of pytest in a new process. Fails if pytest fails."""
    code = f"{begin} os.execv(sys.executable, [sys.executable, '-m', 'pytest', *sys.argv[1:]])"
    command = [sys.executable, "-c", code, "-p", "no:cacheprovider", "-rs", *map(str, options)]
    done = subprocess.run(
        command, cwd=cwd, env=os.environ | variables, capture_output=True, encoding="utf-8", timeout=100
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# The environment


@pytest.mark.skipif(os.name != "posix", reason="sends itself a signal")
def test_ctrl_c_raises_keyboard_interrupt():
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_a_child_process_has_the_same_environment(tmp_path):
    """A child finds our packages from any folder, has an empty home, default Ctrl-C and none of the variables."""
    code = """
import json, minigrad, os, signal
from pathlib import Path
hears = signal.getsignal(signal.SIGINT) is signal.default_int_handler
print(json.dumps([minigrad.__file__, str(Path.home()), os.access(Path.home(), os.W_OK), hears, [*os.environ]]))
raise SystemExit(7)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (7, "")
    where, home, writable, hears, names = json.loads(done.stdout)
    assert Path(where) == ROOT / "minigrad" / "__init__.py"
    assert home == os.environ["HOME"] and writable and hears
    assert set(HOSTILE) & set(names) == {"HOME"}


def test_the_suite_runs_in_a_hostile_environment(tmp_path):
    """Runs the tests above, and tests of Ctrl-C, output and home folders of the autoencoder."""
    output = run_tests(
        ROOT / "tests/support/test_environment.py",
        ROOT / "tests/vae/cli/test_main.py",
        ROOT / "tests/vae/data/test_mnist.py",
        ROOT / "tests/vae/data/test_catalogue.py",
        "-k",
        "ctrl_c_raises or same_environment or sigint or without_greek or cache or unknown_name",
        begin=IGNORING if os.name == "posix" else "import os, sys; ",
        cwd=tmp_path,
        **HOSTILE,
    )
    assert " passed" in output and "skipped" not in output, output
    assert not list(tmp_path.iterdir())


def test_python_without_asserts_is_rejected():
    command = [sys.executable, "-O", "-m", "pytest", "-p", "no:cacheprovider", "tests/support/test_environment.py"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "ERROR: the tests need assert statements" in done.stderr and "Traceback" not in done.stderr


# What is installed

BROKEN = {
    "import no_such_thing": "ModuleNotFoundError: No module named 'no_such_thing'",
    "raise OSError('libfar.so: cannot open\\nand more')": "OSError: libfar.so: cannot open",
    "import os; os.nothing": "AttributeError: module 'os' has no attribute 'nothing'",
    "import warnings; warnings.simplefilter('error'); warnings.warn('old')": "UserWarning: old",
}


@pytest.mark.parametrize("code", BROKEN)
def test_a_broken_library_skips_the_test_with_the_error(code, tmp_path, monkeypatch):
    (tmp_path / "peer_for_tests.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(pytest.skip.Exception) as skipped:
        optional("peer_for_tests", extra="bench")
    assert str(skipped.value) == f"peer_for_tests cannot be imported ({BROKEN[code]}): pip install '.[bench]'"


def test_what_is_not_installed_or_too_old_is_a_skip(tmp_path, monkeypatch):
    (tmp_path / "peer_for_tests").mkdir()  # a folder of that name is no package
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("peer_for_tests", "peer_for_tests.part", "no_such_thing", "no_such.thing"):
        assert not is_installed(name)
        with pytest.raises(pytest.skip.Exception, match=rf"^{name} is not installed: pip install '\.\[test\]'$"):
            optional(name, extra="test")
    assert optional("json", extra="test") is json
    monkeypatch.setattr("tests.support.environment.OLDEST", {"pytest": "999"})
    with pytest.raises(pytest.skip.Exception, match=rf"^pytest {pytest.__version__} is older than 999: pip install"):
        optional("pytest", extra="test")


def test_a_broken_peer_is_skipped(tmp_path):
    (tmp_path / "autograd").mkdir()
    (tmp_path / "autograd/__init__.py").write_text("import no_such_scipy")
    path = os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]])
    files = [f"tests/minigrad/ops/{name}.py" for name in ("test_peers", "test_peer_differences")]
    output = run_tests(*files, "-k", "autograd-", PYTHONPATH=path)
    assert "autograd cannot be imported (ModuleNotFoundError: No module named 'no_such_scipy')" in output
    assert "passed" not in output and "failed" not in output
