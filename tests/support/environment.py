"""What tests need whatever environment they are started in: signals, variables, a home, and what is installed.

Processes that tests start inherit it.
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
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType

import pytest
from packaging.version import Version

ROOT = Path(__file__).parents[2]

# Variables that change what Python, Matplotlib, rich, pytest, git or our own commands do
UNSET = re.compile(
    r"PYTHON(?!PATH$|HOME$|DONTWRITEBYTECODE$|PYCACHEPREFIX$).*|XDG_.*|MPL.*|GIT_.*|LC_.*|LANGUAGE|TZ|VAE_DATA"
    r"|COLUMNS|LINES|COLORTERM|NO_COLOR|FORCE_COLOR|CLICOLOR.*|TTY_.*|JUPYTER_.*|SOURCE_DATE_EPOCH"
    r"|PYTEST_ADDOPTS|PYTEST_PLUGINS|\w+_proxy",
    re.IGNORECASE,
)


@contextmanager
def isolate() -> Iterator[None]:
    """Until the end: signals as at a terminal, an empty home, no variable that changes what is tested.

    The packages are found from any folder, before those that are installed.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home, pytest.MonkeyPatch.context() as patch:
        for name in filter(UNSET.fullmatch, list(os.environ)):
            patch.delenv(name)
        for name in ("COLUMNS", "LINES"):
            os.unsetenv(name)  # where Python's readline was imported it set them, without os.environ
        path = [str(ROOT), *[os.path.abspath(p) for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p]]
        patch.setenv("PYTHONPATH", os.pathsep.join(path))
        patch.setenv("PYTHONUSERBASE", site.getuserbase())  # where packages may be that are not in the new home
        for name in ("HOME", "USERPROFILE", "TORCHINDUCTOR_CACHE_DIR"):
            patch.setenv(name, home)
        patch.setenv("LANG", "C.UTF-8")
        patch.setenv("TERM", "dumb")
        with _signals(), _utf8():
            yield


@contextmanager
def _utf8() -> Iterator[None]:
    """Text files, and what processes say, are read in UTF-8, which the processes write."""
    before = locale.setlocale(locale.LC_CTYPE)
    with suppress(locale.Error):  # not every system has this one
        locale.setlocale(locale.LC_CTYPE, "C.UTF-8")
    try:
        yield
    finally:
        locale.setlocale(locale.LC_CTYPE, before)


@contextmanager
def _signals() -> Iterator[None]:
    """A job in the background ignores Ctrl-C, some parents ignore other signals; children inherit that."""
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
"""The oldest versions that are asked for, by the name of the package."""


def is_installed(name: str) -> bool:
    """Whether there is such a module; a folder without code is none."""
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError:  # what it is a part of
        return False
    return spec is not None and spec.origin is not None


def optional(*modules: str, extra: str) -> ModuleType:
    """The first of some modules. Where one cannot be used, skips the test, or the file, and says why.

    What they warn of while they are imported is not for us to mend.
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
    """What keeps a module from being imported at all, if anything."""
    if not is_installed(name):
        return "is not installed"
    with suppress(PackageNotFoundError):  # the version of a folder on the path is not known
        if name in OLDEST and Version(version(name)) < Version(OLDEST[name]):
            return f"{version(name)} is older than {OLDEST[name]}"
    return ""
