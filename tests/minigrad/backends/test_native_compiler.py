"""minigrad/backends/native/compiler.py: a compiler that is missing or does not work, and a cache that is damaged, full,
shared with others or not there."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
import warnings
from ctypes import c_long, c_void_p
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from minigrad.backends.native import compiler
from minigrad.program.tuning import Tuning
from tests.support.native import need_compiler

pytestmark = pytest.mark.skipif(os.name != "posix", reason="shell scripts take the compiler's place")

SOURCE = 'extern "C" void seven(char** p, long begin, long end) { for (long i = begin; i < end; i++) p[0][i] = 7; }'
X = np.linspace(-3, 3, 1000).reshape(20, 50)


def function(x, y):
    return mg.exp(x) * y + mg.tanh(x - y), mg.sum(mg.log1p(x * x), axis=0)


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """A new cache folder, and a module that has compiled nothing yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(compiler, "_loaded", {})
    monkeypatch.setattr(compiler, "_failures", [])
    _forget()
    yield tmp_path / "cache" / "minigrad"
    monkeypatch.undo()
    _forget()


def _forget():
    compiler.find.cache_clear()
    compiler.version.cache_clear()
    compiler._warn.cache_clear()


@pytest.fixture
def runs(monkeypatch):
    """A list of the commands that are run."""
    need_compiler()
    found, run = [], subprocess.run
    monkeypatch.setattr(subprocess, "run", lambda command, **how: found.append(command) or run(command, **how))
    return found


def seven(source=SOURCE):
    """Compiles a kernel and calls it."""
    out = np.zeros(5, np.int8)
    compiler.get_function(compiler.load(source), "seven")((c_void_p * 1)(out.ctypes.data), c_long(1), c_long(4))
    assert out.tolist() == [0, 7, 7, 7, 0]


def kept(folder):
    """The names of everything in a folder."""
    return sorted(path.name for path in folder.iterdir())


# Compilers


@pytest.fixture
def install(monkeypatch, tmp_path):
    """A function that makes a shell script the only compiler; None: there is none."""

    def replace(script):
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        monkeypatch.setenv("PATH", str(folder))
        if script is not None:
            (folder / "c++").write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")
            (folder / "c++").chmod(0o755)
        _forget()

    return replace


SAYS_ITS_VERSION = 'if [ "$1" = --version ]; then echo "c++ 1.0"; exit; fi\n'
OUTPUT = 'for last; do :; done\nif [ "$last" = --version ]; then echo "c++ 1.0"; exit; fi\ncat > /dev/null\n'
BROKEN = {
    "fails": (SAYS_ITS_VERSION + "echo 'cc1plus: out of memory' >&2; exit 1", "cc1plus: out of memory"),
    "fails silently": (SAYS_ITS_VERSION + "exit 3", "exit code 3"),
    "has no version": ("exit 4", "exit code 4"),
    "does not speak UTF-8": (SAYS_ITS_VERSION + r"printf 'Fehler: \374\n' >&2; exit 1", "Fehler: \ufffd"),
    "is not a program": ("\0", "c\\+\\+"),
    "writes nothing": (OUTPUT, "made no library that can be loaded"),
    "writes an empty file": (OUTPUT + ': > "$last"', "made no library that can be loaded"),
    "writes garbage": (OUTPUT + 'echo garbage > "$last"', "made no library that can be loaded"),
    "hangs": (SAYS_ITS_VERSION + "exec sleep 1000", "took more than 0.5 s"),
    "hangs before it says its version": ("exec sleep 1000", "took more than 0.5 s"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_compiler_that_does_not_work_changes_no_result_and_is_tried_once(install, monkeypatch, how):
    script, why = BROKEN[how]
    install(script)
    if how.startswith("hangs"):
        monkeypatch.setattr(compiler, "SECONDS", 0.5)
    run, tries = subprocess.run, []
    monkeypatch.setattr(subprocess, "run", lambda command, **how: tries.append(command) or run(command, **how))
    with pytest.warns(RuntimeWarning, match=f"computes without compiled kernels: .*{why}") as caught:
        for k in range(3):  # a new program for each shape
            x = X[: 5 + k]
            found = mg.jit(function, tuning=Tuning(worth_compiling=0))(x, x + 1)
            for ours, expected in zip(found, function(x, x + 1), strict=True):
                np.testing.assert_array_equal(ours, expected, strict=True)
    assert compiler.describe().startswith("none: ")
    assert len(caught) == 1 and len(tries) <= 2  # --version, and one library


def test_without_a_compiler_nothing_is_said(install):
    install(None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = mg.jit(function, tuning=Tuning(worth_compiling=0))(X, X + 1)
    for ours, expected in zip(found, function(X, X + 1), strict=True):
        np.testing.assert_array_equal(ours, expected, strict=True)
    assert compiler.describe().startswith("none: no C++ compiler here (looked for c++, g++, clang++)")
    with pytest.raises(compiler.CompilerError, match=r"install g\+\+ or clang"):
        compiler.load(SOURCE)


def test_compiled_programs_agree_with_numpy(runs):
    found = mg.jit(function, tuning=Tuning(worth_compiling=0))(X, X + 1)
    for ours, expected in zip(found, function(X, X + 1), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-14, strict=True)
    assert len(runs) == 2  # --version, and one library
    assert compiler.find() in compiler.describe()


def test_sources_are_utf_8_in_any_locale(runs):
    """Comments in the source are not ASCII, which is all that the locale C has if Python does not change it."""
    program = (
        "import locale, minigrad.backends.native.compiler as compiler\n"
        "assert locale.getencoding() != 'utf-8', locale.getencoding()\n"
        "compiler.load('// 2\\u207f\\n')"
    )
    env = {**os.environ, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_library_that_is_not_kept_by_name_is_compiled_for_each_source(runs):
    """Each is another file, although temporary files may get the same name or place again."""
    for k in range(3):
        source = f'extern "C" int number() {{ return {k}; }}'
        assert compiler.load(source).number() == k


# The cache


def test_a_library_is_compiled_once(runs, cache, monkeypatch):
    seven()
    seven()
    (name,) = kept(cache)
    key, _, content = name.removesuffix(".so").partition("-")
    assert len(key) == len(content) == 32 and len(runs) == 2
    monkeypatch.setattr(compiler, "_loaded", {})  # another process
    seven()
    assert len(runs) == 2
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700


@pytest.mark.parametrize("what", ["source", "compiler", "flags", "processor"])
def test_another_source_compiler_or_processor_is_another_library(runs, cache, monkeypatch, what):
    seven()
    monkeypatch.setattr(compiler, "_loaded", {})
    if what == "compiler":
        monkeypatch.setattr(compiler, "version", lambda: "c++ 99")
    elif what == "flags":
        monkeypatch.setattr(compiler, "FLAGS", [*compiler.FLAGS, "-DOTHER"])
    elif what == "processor":
        monkeypatch.setattr(compiler, "_processor", lambda: "another")
    seven(SOURCE + "\n" if what == "source" else SOURCE)
    assert len({name.partition("-")[0] for name in kept(cache)}) == 2


@pytest.mark.parametrize("content", [b"", b"garbage", None], ids=["empty", "garbage", "cut off"])
def test_a_damaged_library_is_compiled_again(runs, cache, monkeypatch, content):
    seven()
    (path,) = cache.iterdir()
    good = path.read_bytes()
    path.unlink()  # it is in use
    path.write_bytes(good[: len(good) // 2] if content is None else content)
    monkeypatch.setattr(compiler, "_loaded", {})
    seven()
    assert len(runs) == 3
    assert [compiler._hash(p.read_bytes()) for p in cache.iterdir()] == [p.stem[33:] for p in cache.iterdir()]


def test_a_file_that_is_whole_but_cannot_be_loaded_does_not_hide_another(runs, cache, monkeypatch):
    seven()
    (path,) = cache.iterdir()
    for junk in map(str.encode, "abcdefgh"):
        (cache / f"{path.stem[:32]}-{compiler._hash(junk)}.so").write_bytes(junk)
    monkeypatch.setattr(compiler, "_loaded", {})
    seven()
    assert len(runs) == 2


def test_a_full_disk_costs_the_cache_only(runs, cache, monkeypatch):
    def full(file):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        seven()
    assert list(cache.iterdir()) == []
    monkeypatch.setattr(compiler, "_loaded", {})
    seven()
    assert len(kept(cache)) == 1


def test_a_cache_from_which_nothing_may_be_executed(runs, cache, monkeypatch):
    load = compiler.ctypes.CDLL

    def forbidden(path):
        if path.startswith(str(cache)):
            raise OSError(f"{path}: failed to map segment from shared object")
        return load(path)

    monkeypatch.setattr(compiler.ctypes, "CDLL", forbidden)
    seven()
    assert len(runs) == 2


def not_writable(folder, monkeypatch):
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != folder and access(path, mode))


def a_file(folder, monkeypatch):
    folder.rmdir()
    folder.write_text("")


def below_a_file(folder, monkeypatch):
    folder.rmdir()
    folder.parent.rmdir()
    folder.parent.write_text("")


def of_another_user(folder, monkeypatch):
    mine = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: mine + 1)


def linked_by_another_user(folder, monkeypatch):
    """The folder that the link leads to is ours, but they can let it lead to theirs at any time."""
    target = folder.rename(folder.with_name("mine"))
    folder.symlink_to(target)
    lstat = Path.lstat
    monkeypatch.setattr(Path, "lstat", lambda path: _of_another(lstat(path)) if path == folder else lstat(path))


def _of_another(found):
    fields = list(found)
    fields[stat.ST_UID] += 1
    return os.stat_result(fields)


def linked_to_another_user(folder, monkeypatch):
    target = folder.rename(folder.with_name("theirs"))
    folder.symlink_to(target)
    look = Path.stat
    monkeypatch.setattr(
        Path, "stat", lambda path, **how: _of_another(look(path)) if path == folder and not how else look(path, **how)
    )


def writable_by_the_group(folder, monkeypatch):
    folder.chmod(0o770)


def writable_by_all(folder, monkeypatch):
    folder.chmod(0o707)


UNFIT = [
    not_writable,
    a_file,
    below_a_file,
    of_another_user,
    linked_by_another_user,
    linked_to_another_user,
    writable_by_the_group,
    writable_by_all,
]


@pytest.mark.parametrize("make", UNFIT)
def test_an_unfit_folder_is_neither_read_nor_written(runs, cache, monkeypatch, make):
    seven()
    (path,) = cache.iterdir()
    path.unlink()
    with monkeypatch.context() as patch:
        make(cache, patch)
        assert compiler._cache_folder() is None
        for _ in range(2):
            patch.setattr(compiler, "_loaded", {})
            seven()
        assert len(runs) == 4
        assert not list(cache.parent.rglob("*.so")) if cache.parent.is_dir() else True


def test_a_folder_may_be_linked_to_another_disk(runs, cache, tmp_path):
    cache.parent.mkdir()
    (tmp_path / "large").mkdir(mode=0o700)
    cache.symlink_to(tmp_path / "large")
    seven()
    assert len(kept(tmp_path / "large")) == 1


@pytest.mark.parametrize("value", ["", "relative/cache"])
def test_without_an_absolute_xdg_cache_home_it_is_in_the_home_folder(monkeypatch, tmp_path, value):
    monkeypatch.setenv("XDG_CACHE_HOME", value)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert compiler._cache_folder() == tmp_path / "home" / ".cache" / "minigrad"


def test_a_user_without_a_home_has_no_cache(monkeypatch, tmp_path):
    """As in containers; above all, no folder named ~ is made here."""
    import pwd

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: {}[uid])
    assert compiler._cache_folder() is None
    monkeypatch.setenv("HOME", "relative")
    assert compiler._cache_folder() is None
    assert list(tmp_path.iterdir()) == []


def test_the_libraries_used_last_are_kept(runs, cache, monkeypatch):
    monkeypatch.setattr(compiler, "MOST_FILES", 3)
    sources = [SOURCE + "\n" * n for n in range(4)]
    for n, source in enumerate(sources[:3]):
        seven(source)
        new = max(cache.iterdir(), key=lambda path: path.stat().st_mtime)
        os.utime(new, (n + 1, n + 1))
    oldest, second, _ = sorted(cache.iterdir(), key=lambda path: path.stat().st_mtime)
    monkeypatch.setattr(compiler, "_loaded", {})
    seven(sources[0])  # no longer the oldest
    seven(sources[3])
    assert len(kept(cache)) == 3 and oldest.exists() and not second.exists()


# At the same time


def test_threads_compile_a_library_once(runs, cache):
    found = []
    threads = [threading.Thread(target=lambda: found.append(compiler.load(SOURCE))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(library) for library in found}) == 1 and len(found) == 4
    assert sum("--version" not in command for command in runs) == 1


def test_processes_share_a_cache(cache):
    need_compiler()
    program = f"from minigrad.backends.native import compiler; compiler.load({SOURCE!r}).seven"
    processes = [subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE) for _ in range(3)]
    for process in processes:
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
    assert kept(cache) and all(compiler._hash(path.read_bytes()) == path.stem[33:] for path in cache.iterdir())


def test_a_process_that_is_forked_while_another_thread_compiles(monkeypatch):
    """The child has no such thread, which would let go of the lock."""
    need_compiler()
    with compiler._lock, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python warns of threads in general
        child = os.fork()
        if not child:
            os._exit(0 if compiler._lock.acquire(timeout=5) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
