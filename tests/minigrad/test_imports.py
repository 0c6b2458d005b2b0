"""The layers of DESIGN.md: a test that reads every file's imports and fails on an arrow that points down."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import minigrad as mg

PACKAGE = Path(mg.__file__).parent


LAYERS = (
    ("commandline", "files", "interrupts"),
    ("backends",),
    ("core", "ops"),
    ("random",),
    ("device",),
    ("checks",),
    ("program",),
    ("show",),
)
"""From the top of DESIGN.md's table down; a file imports from rows above its own, and from its own folder."""

USERS = tuple(PACKAGE / "checks" / name for name in ("cases", "conventions.py", "suite.py", "__main__.py"))
"""Imported by nothing else in the package, these use all of it as users do."""


def imports(path: Path) -> list[str]:
    """The modules that a file imports, in dotted form."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names]
    return found


def row(module: str) -> int:
    """The row of `minigrad.<module>…` in the table."""
    (found,) = [i for i, names in enumerate(LAYERS) if module in names] or [None]
    assert found is not None, f"minigrad.{module} has no place in the table of layers"
    return found


def users(path: Path) -> bool:
    return any(path.is_relative_to(user) for user in USERS)


def sources() -> list[Path]:
    return [p for p in PACKAGE.rglob("*.py") if p.name != "__init__.py" or p.parent != PACKAGE]


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_import_points_down(path):
    here = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    for module in imports(path):
        parts = module.split(".")
        if (
            parts[0] == "minigrad"
            and len(parts) > 1
            and (PACKAGE / parts[1]).with_suffix(".py").exists() | (PACKAGE / parts[1]).is_dir()
        ):
            if parts[1] != here:
                assert row(parts[1]) <= row(here), f"{path.name} imports {module} from below"
        else:
            assert parts[0] != "minigrad" or users(path), f"{path.name} imports the whole package"
            assert parts[0] != "", f"{path.name} imports a relative {module}"
            assert parts[0] not in ("vae", "tests"), f"{path.name} imports {module}"


def test_what_uses_the_whole_package_is_not_used_by_it():
    inside = [p for p in sources() if not users(p)]
    modules = {".".join(u.relative_to(PACKAGE.parent).with_suffix("").parts) for u in USERS}
    assert not [p for p in inside for m in imports(p) for u in modules if m == u or m.startswith(f"{u}.")]


def test_only_one_file_imports_cupy():
    users = {p.name for p in sources() for m in imports(p) if m.split(".")[0] in ("cupy", "cupyx")}
    assert users <= {"backend.py"}


def test_inner_order_of_the_operations():
    """Within ops/, no two files import each other."""
    folder = PACKAGE / "ops"
    uses = {p.stem: {m.split(".")[2] for m in imports(p) if m.startswith("minigrad.ops.")} for p in folder.glob("*.py")}
    done: set[str] = set()
    while len(done) < len(uses):
        ready = {name for name in uses.keys() - done if not uses[name] & uses.keys() - done - {name}}
        assert ready, f"files that import each other: {uses.keys() - done}"
        done |= ready


def test_vae_imports_public_minigrad_only():
    public = {*dir(mg), "commandline"}  # what all commands of the project share
    for path in (PACKAGE.parent / "vae").rglob("*.py"):
        for module in imports(path):
            parts = module.split(".")
            if parts[0] == "minigrad":
                assert len(parts) == 1 or parts[1] in public, f"{path.name} imports {module}"


def test_the_engine_and_its_commands_load_nothing_that_only_vae_needs():
    """Every module, and a run of each command, with NumPy and threadpoolctl alone; warnings are errors."""
    program = """
import contextlib, importlib, io, pkgutil, runpy, sys
import minigrad as mg
for module in pkgutil.walk_packages(mg.__path__, "minigrad."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
for command in (["minigrad.backends"], ["minigrad.checks", "--op", "tanh"]):
    sys.argv, told = command, io.StringIO()
    try:
        with contextlib.redirect_stdout(told):
            runpy.run_module(command[0], run_name="__main__")
    except SystemExit as stop:
        assert stop.code == 0 and told.getvalue()
mg.draw(lambda x: x * mg.sin(x), 3.0)
print(sorted({"matplotlib", "PIL", "rich", "safetensors", "vae"} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=120)
    assert done.stdout.endswith("[]\n"), done.stdout + done.stderr
