"""Type checkers understand programs that use minigrad: mypy and Pyright, in their strict modes."""

from __future__ import annotations

import inspect
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import minigrad as mg
import vae
from tests.support.environment import ROOT, optional

PROGRAM = ROOT / "tests" / "support" / "typed_program.py"
MODULES = (mg, mg.checks, mg.collectives, mg.core, mg.linalg, mg.random, mg.tree)


def public_names() -> str:
    """A program that uses every public name."""
    uses = [f"mg.{m.__name__}.{n}" for m in MODULES for n in m.__all__]
    uses = [use.replace("mg.minigrad.core.tree", "mg.tree").replace("mg.minigrad", "mg") for use in uses]
    return "\n".join(["import minigrad as mg", "import vae", "", *map("print({})".format, uses), "print(vae)", ""])


def test_the_program_runs() -> None:
    done = subprocess.run([sys.executable, PROGRAM], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_mypy_in_strict_mode(tmp_path: Path) -> None:
    optional("mypy", extra="test")
    (tmp_path / "names.py").write_text(public_names(), encoding="utf-8")
    options = ["--strict", "--config-file=", "--follow-imports=silent", f"--cache-dir={tmp_path / 'cache'}"]
    command = [sys.executable, "-m", "mypy", *options, str(PROGRAM), str(tmp_path / "names.py")]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "MYPYPATH": str(ROOT)})
    assert done.stdout.startswith("Success: no issues found in 2 source files"), done.stdout + done.stderr


def test_pyright_in_strict_mode(tmp_path: Path) -> None:
    optional("pyright", extra="test")
    if shutil.which("node") is None:
        pytest.skip("Pyright would download Node.js: install it")
    shutil.copy(PROGRAM, tmp_path / "program.py")
    (tmp_path / "names.py").write_text(public_names(), encoding="utf-8")
    rules = {"typeCheckingMode": "strict", "reportUnnecessaryTypeIgnoreComment": "error"}
    settings = {**rules, "enableTypeIgnoreComments": True, "extraPaths": [str(ROOT)]}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings), encoding="utf-8")
    python = ["--pythonpath", sys.executable]
    command = [sys.executable, "-m", "pyright", *python, "--project", str(tmp_path / "pyrightconfig.json")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout.startswith("0 errors, 0 warnings"), done.stdout + done.stderr


def test_all_has_every_public_name() -> None:
    """Type checkers and the API reference read `__all__`; other names that a package imports are private to them."""
    defined = {name for name in vars(mg) if not name.startswith("_")}
    submodules = set("backends commandline device files interrupts ops program show tables testing".split())
    assert set(mg.__all__) == defined - submodules


@pytest.mark.parametrize("module", MODULES, ids=lambda m: m.__name__)
def test_public_functions_are_annotated(module: ModuleType) -> None:
    for name in module.__all__:
        function = getattr(module, name)
        if not inspect.isfunction(function) or hasattr(function, "primitive"):  # `unary` and `binary` are annotated
            continue
        signature = inspect.signature(function)
        bare = [p.name for p in signature.parameters.values() if p.annotation is p.empty]
        assert not bare and signature.return_annotation is not signature.empty, f"{name} lacks types: {bare}"


@pytest.mark.parametrize("package", [mg, vae], ids=lambda m: m.__name__)
def test_packages_say_that_they_are_typed(package: ModuleType) -> None:
    assert (Path(package.__file__).parent / "py.typed").exists()
