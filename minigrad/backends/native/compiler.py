"""The system's C++ compiler, and a cache of what it compiled.

A library is compiled once for each source, compiler and processor, and kept in a folder of the user's own. Its name
ends with a hash of its content, so a damaged file is noticed and compiled again. A new library is renamed into place
when it is complete; the oldest are removed when there are too many. Since the files are executed, a folder that others
can write to is not used, nor a link that is another user's: then every process compiles for itself, in a temporary
folder.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import stat
import subprocess
import tempfile
import threading
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from minigrad.files import replace_file

COMPILERS = "c++", "g++", "clang++"
FLAGS = (
    "-std=c++17 -O3 -march=native -ffp-contract=off -fno-math-errno -fno-trapping-math -fno-exceptions -fno-rtti "
    "-fPIC -shared -w"
).split()
"""None of them lets the compiler change the value of an expression."""
SECONDS = 120  # that compiling may take
MOST_FILES = 500  # in the cache


class CompilerError(Exception):
    """There is no compiler, or it does not work; the message says which and why."""


@functools.cache
def find() -> str:
    """The path of the compiler. Raises CompilerError."""
    for name in COMPILERS:
        if path := shutil.which(name):
            return path
    raise CompilerError(f"no C++ compiler here (looked for {', '.join(COMPILERS)}): install g++ or clang")


@functools.cache
def version() -> str:
    """The first line that the compiler says about itself. Raises CompilerError."""
    return _run([find(), "--version"]).partition("\n")[0]


def describe() -> str:
    """The compiler that generated kernels are compiled with, or why there is none."""
    try:
        load('extern "C" int one() { return 1; }')
        return f"{version()} ({find()})"
    except CompilerError as error:
        return f"none: {error}"


def load_or_warn(source: str, *flags: str) -> ctypes.CDLL | None:
    """The library of a source; None where it cannot be had. If a compiler is there but fails, a warning says why."""
    try:
        find()
    except CompilerError:
        return None
    try:
        return load(source, *flags)
    except CompilerError as error:
        _warn(str(error))
        return None


@functools.cache  # once
def _warn(reason: str) -> None:
    warnings.warn(f"minigrad computes without compiled kernels: {reason}", RuntimeWarning, stacklevel=3)


def load(source: str, *flags: str) -> ctypes.CDLL:
    """The library of a source, compiled with `FLAGS` and these unless it is in the cache. A compiler that has failed is
    not tried again, since it may take long to fail. Raises CompilerError."""
    compiler = find()
    with _lock:
        if _failures:
            raise CompilerError(_failures[0])
        try:
            flags = *FLAGS, *flags
            key = _hash("\0".join([source, compiler, version(), *flags, _processor()]).encode())
            if key not in _loaded:
                _loaded[key] = _find_kept(key) or _compile(key, source, flags)
            return _loaded[key]
        except CompilerError as error:
            _failures.append(str(error))
            raise


_lock = threading.Lock()
_loaded: dict[str, ctypes.CDLL] = {}
_failures: list[str] = []


def _renew_lock() -> None:
    """In a forked child, replace a lock that a thread of the parent may hold."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


def _find_kept(key: str) -> ctypes.CDLL | None:
    """The library from the cache; None if it is not there, or cannot be loaded. Damaged files are removed."""
    folder = _cache_folder()
    for path in folder.glob(f"{key}-*.so") if folder else ():
        with suppress(OSError):
            if _hash(path.read_bytes()) == path.stem.partition("-")[2]:
                os.utime(path)
                return ctypes.CDLL(str(path))
            path.unlink()
    return None


def _compile(key: str, source: str, flags: Sequence[str]) -> ctypes.CDLL:
    """Compile a library, and load it: from the cache or, if it cannot be kept there, from a temporary file, which may
    be removed as soon as it is loaded. Raises CompilerError."""
    try:
        with tempfile.TemporaryDirectory(prefix="minigrad-", ignore_cleanup_errors=True) as work:
            made = Path(work, "library.so")
            _run([find(), *flags, "-x", "c++", "-", "-o", str(made)], source)
            with suppress(OSError):
                return ctypes.CDLL(str(_keep(key, made.read_bytes())))
            return ctypes.CDLL(str(made))
    except OSError as error:
        raise CompilerError(f"{find()} made no library that can be loaded: {error}") from None


def _keep(key: str, content: bytes) -> Path:
    """Write a library to the cache. Raises OSError."""
    folder = _cache_folder()
    if folder is None:
        raise OSError("no folder to keep it in")
    path = folder / f"{key}-{_hash(content)}.so"
    replace_file(path, content)
    _remove_oldest(folder)
    return path


def _run(command: list[str], text: str = "") -> str:
    try:
        done = subprocess.run(
            command, input=text, capture_output=True, encoding="utf-8", errors="replace", timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise CompilerError(f"{command[0]} took more than {SECONDS} s") from None
    except OSError as error:
        raise CompilerError(f"{command[0]} cannot be run: {error}") from None
    if done.returncode:
        said = done.stderr.strip().partition("\n")[0] or f"exit code {done.returncode}"
        raise CompilerError(f"{command[0]} failed: {said}")
    return done.stdout


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]


@functools.cache
def _processor() -> str:
    """What -march=native depends on."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(("flags", "Features")):
                return f"{platform.machine()} {line}"
    return f"{platform.machine()} {platform.processor()}"


def _cache_folder() -> Path | None:
    """The user's folder of compiled libraries; None if there is none that only they can write to."""
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:
        folder = (base if base.is_absolute() else Path("~/.cache").expanduser()) / "minigrad"
        if not folder.is_absolute():
            return None
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        link, found = folder.lstat(), folder.stat()
    except (OSError, RuntimeError):  # RuntimeError: the user has no home
        return None
    own = not hasattr(os, "getuid") or {link.st_uid, found.st_uid} == {os.getuid()}
    shared = stat.S_IMODE(found.st_mode) & (stat.S_IWGRP | stat.S_IWOTH)
    return folder if own and not shared and os.access(folder, os.W_OK) else None


def _remove_oldest(folder: Path) -> None:
    """Keep the libraries that were used last."""
    with suppress(OSError):
        files = sorted(folder.glob("*.so"), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in files[MOST_FILES:]:
            path.unlink(missing_ok=True)


def get_function(library: ctypes.CDLL, name: str) -> Callable:
    """A kernel of a library: called with a pointer to pointers, and with the rows to begin and to end with."""
    kernel = getattr(library, name)
    kernel.restype = None
    kernel.argtypes = None
    return kernel
