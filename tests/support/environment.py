"""Isolates the tests from the environment they are started in (signals, variables, home), and skips missing libraries.

Processes that tests start inherit the isolated environment.
"""

from __future__ import annotations

import importlib
import importlib.util
import locale
import os
import re
import signal
import site
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType

import pytest
from packaging.version import Version

ROOT = Path(__file__).parents[2]

# Variables that change the behaviour of Python, Matplotlib, rich, pytest, git or our own commands
UNSET = re.compile(
    r"PYTHON(?!PATH$|HOME$|DONTWRITEBYTECODE$|PYCACHEPREFIX$).*|XDG_.*|MPL.*|GIT_.*|LC_.*|LANGUAGE|TZ|VAE_DATA"
    r"|COLUMNS|LINES|COLORTERM|NO_COLOR|FORCE_COLOR|CLICOLOR.*|TTY_.*|JUPYTER_.*|SOURCE_DATE_EPOCH"
    r"|PYTEST_ADDOPTS|PYTEST_PLUGINS|\w+_proxy",
    re.IGNORECASE,
)


@contextmanager
def isolate(home: str | None = None) -> Iterator[None]:
    """In this context: default signal handlers, an empty home (or this one), and none of the variables `UNSET`.

    PYTHONPATH makes this checkout importable from any folder, ahead of installed copies.
    """
    with ExitStack() as stack:
        home = home or stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for name in filter(UNSET.fullmatch, list(os.environ)):
            patch.delenv(name)
        for name in ("COLUMNS", "LINES"):
            os.unsetenv(name)  # Python's readline sets them in the process, not in os.environ
        path = [str(ROOT), *[os.path.abspath(p) for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p]]
        patch.setenv("PYTHONPATH", os.pathsep.join(path))
        patch.setenv("PYTHONUSERBASE", site.getuserbase())  # packages of the user are not in the new home
        for name in ("HOME", "USERPROFILE", "TORCHINDUCTOR_CACHE_DIR"):
            patch.setenv(name, home)
        patch.setenv("LANG", "C.UTF-8")
        patch.setenv("TERM", "dumb")
        with _signals(), _utf8():
            yield


@contextmanager
def _utf8() -> Iterator[None]:
    """Read text files and the output of processes as UTF-8, which those processes write."""
    before = locale.setlocale(locale.LC_CTYPE)
    with suppress(locale.Error):  # not every system has this locale
        locale.setlocale(locale.LC_CTYPE, "C.UTF-8")
    try:
        yield
    finally:
        locale.setlocale(locale.LC_CTYPE, before)


@contextmanager
def _signals() -> Iterator[None]:
    """Undo ignored signals: background jobs ignore Ctrl-C, some parents ignore others, and children inherit that."""
    usual = {"SIGINT": signal.default_int_handler, "SIGTERM": signal.SIG_DFL, "SIGCHLD": signal.SIG_DFL}
    ignored = {getattr(signal, name): handler for name, handler in usual.items() if hasattr(signal, name)}
    ignored = {number: handler for number, handler in ignored.items() if signal.getsignal(number) is signal.SIG_IGN}
    for number, handler in ignored.items():
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number in ignored:
            signal.signal(number, signal.SIG_IGN)


# What is installed

OLDEST = dict(re.findall(r'"([\w-]+)>=([\d.]+)"', (ROOT / "setup.py").read_text(encoding="utf-8")))
"""The minimum versions in setup.py, by the name of the package."""


def is_installed(name: str) -> bool:
    """Whether a module of this name can be found; a folder without code does not count."""
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError:  # its parent package
        return False
    return spec is not None and spec.origin is not None


def optional(*modules: str, extra: str) -> ModuleType:
    """Imports some modules and returns the first. If one is unusable, skips the test or the file with the reason.

    Warnings during these imports are ignored.
    """
    name = modules[0]
    reason = _unfit(name)
    if not reason:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                first, *_ = [importlib.import_module(module) for module in modules]
                return first
        except Exception as error:
            said = next(iter(str(error).splitlines()), "")
            reason = f"cannot be imported ({type(error).__name__}: {said})"
    pytest.skip(f"{name} {reason}: pip install '.[{extra}]'", allow_module_level=True)


def _unfit(name: str) -> str:
    """Why a module should not even be imported (missing, too old); an empty string if it may be."""
    if not is_installed(name):
        return "is not installed"
    with suppress(PackageNotFoundError):  # a plain folder on the path has no version
        if name in OLDEST and Version(version(name)) < Version(OLDEST[name]):
            return f"{version(name)} is older than {OLDEST[name]}"
    return ""
