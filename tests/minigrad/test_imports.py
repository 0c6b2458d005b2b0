"""Which file may import which: the layers of both packages, and no import cycles between files or folders.

Every import counts, also one inside a function or under TYPE_CHECKING. `from a.b import c` counts as an import of the
file a/b/c.py if it exists, else of a/b.py or a/b/__init__.py. The implicit run of a/__init__.py does not count.
"""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import minigrad as mg

ROOT = Path(mg.__file__).parent.parent

ROOMS = {
    "minigrad": (
        ("commandline", "files", "interrupts", "tables"),
        ("backends",),
        ("core",),
        ("ops",),
        ("random", "device", "linalg"),
        ("collectives",),
        ("program",),
        ("checks",),
        ("show",),
        ("testing",),
        ("__init__",),
        ("__main__",),
    ),
    "vae": (
        ("discretised", "errors", "recipes", "sigma"),
        ("numbers",),
        ("differences", "gradient_report", "likelihoods", "locks", "signals", "terminal"),
        ("optimisers", "schedules"),
        ("files", "groups", "processes"),
        ("checkpoints", "drawing", "folders", "hamiltonian", "models"),
        ("autoencoder", "data", "latent_pictures", "pictures"),
        ("objectives", "steps"),
        ("annealing", "estimators", "importance", "latents", "sharded"),
        ("evaluation", "requirements"),
        ("config", "gradients"),
        ("explain", "trainer"),
        ("runs", "validation"),
        ("training",),
        ("lecture",),
        ("__init__",),
        ("cli",),
        ("__main__",),
    ),
}
"""From the bottom layer up: files and folders import from rows above theirs, and from their own folder."""

USERS = (
    *(
        ROOT / "minigrad" / "checks" / name
        for name in ("catalogue", "conventions.py", "numpy_names.py", "suite.py", "__main__.py")
    ),
    ROOT / "minigrad" / "testing",
)
"""Nothing else in the package imports these, so they may use it as users do: `import minigrad as mg`."""

LATE = {
    # on the first use of a GPU, because most machines have none
    "minigrad/backends/__init__.py": "minigrad.backends.cuda",
    "minigrad/backends/cuda/backend.py": "cupy",
    # on joining the processes of a launcher: an optional dependency, and its import starts MPI
    "minigrad/collectives/mpi.py": "mpi4py",
}
"""Files with an import inside a function: of what, and why."""

OPTIONAL = ("cupy", "mpi4py")


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


FILES = {module_of(p): p for package in ROOMS for p in sorted((ROOT / package).rglob("*.py"))}


def imports(node: ast.AST, path: Path) -> Iterator[str]:
    """The dotted names that a part of a file imports: modules, or modules with the imported name."""
    folder = path.relative_to(ROOT).parent.parts
    for part in ast.walk(node):
        if isinstance(part, ast.Import):
            yield from (alias.name for alias in part.names)
        elif isinstance(part, ast.ImportFrom):
            start = folder[: len(folder) + 1 - part.level] if part.level else ()
            yield from (".".join([*start, *filter(None, [part.module]), alias.name]) for alias in part.names)


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported_files(path: Path) -> set[str]:
    """The modules of the two packages that a file imports."""
    named = (m if m in FILES else m.rpartition(".")[0] for m in imports(tree_of(path), path))
    return {m for m in named if m in FILES} - {module_of(path)}


@functools.cache
def all_uses() -> dict[str, set[str]]:
    """The modules that each module imports."""
    return {module: imported_files(path) for module, path in FILES.items()}


def find_cycles(uses: dict[str, set[str]]) -> set[str]:
    """Names left over by a topological sort: import cycles, and all that depends on them."""
    left = set(uses)
    while ready := {name for name in left if not uses[name] & left - {name}}:
        left -= ready
    return left


def test_cycles_of_any_length_are_found():
    assert find_cycles({"a": set(), "b": {"a"}, "c": {"a", "b"}}) == set()
    assert find_cycles({"a": {"c"}, "b": {"a"}, "c": {"b"}, "d": set()}) == {"a", "b", "c"}


def test_all_forms_of_import_are_found():
    text = "if TYPE_CHECKING:\n    import a.b\ndef f():\n    from .c import d\nfrom . import e\nfrom ..g import h"
    path = ROOT / "vae" / "data" / "x.py"
    assert set(imports(ast.parse(text), path)) == {"a.b", "vae.data.c.d", "vae.data.e", "vae.g.h"}
    assert all_uses()["minigrad.core.tape"] >= {"minigrad.core.tree", "minigrad.core.reverse"}
    assert "minigrad.backends" in all_uses()["minigrad.core.rules"] | all_uses()["minigrad.core.vectors"]


@pytest.mark.parametrize("package", ROOMS)
def test_no_import_cycles_between_files(package):
    inside = {m: used for m, used in all_uses().items() if m.partition(".")[0] == package}
    assert find_cycles({m: used & inside.keys() for m, used in inside.items()}) == set()


def folders() -> list[str]:
    return sorted({module_of(path.parent / "__init__.py") for path in FILES.values()})


@pytest.mark.parametrize("folder", folders())
def test_no_import_cycles_between_folders(folder):
    """Among the files and folders of one folder, each inner folder counts as one; `__init__.py` is left out."""

    def child(module: str) -> str | None:
        return module.removeprefix(f"{folder}.").partition(".")[0] if module.startswith(f"{folder}.") else None

    uses: dict[str, set[str]] = {}
    for module, used in all_uses().items():
        if (name := child(module)) is not None:
            uses.setdefault(name, set()).update({c for c in map(child, used) if c not in (None, name)})
    assert find_cycles(uses) == set()


def row(package: str, module: str) -> int:
    """The row of `package.module…` in `ROOMS`."""
    name = module.split(".")[1] if "." in module else "__init__"
    found = [i for i, names in enumerate(ROOMS[package]) if name in names]
    assert found, f"{module} is missing in ROOMS[{package!r}]: add it below all that it imports"
    return found[0]


def is_user(path: Path) -> bool:
    return any(path.is_relative_to(user) for user in USERS)


@pytest.mark.parametrize("module", FILES)
def test_a_file_imports_only_from_lower_layers(module):
    package, *inner = module.split(".")
    for used in all_uses()[module]:
        if is_user(FILES[module]) and used == package:
            continue
        if used.partition(".")[0] != package:
            assert package == "vae", f"{module} imports {used}"
        elif used.split(".")[1:2] != inner[:1] or not inner:
            assert row(package, used) < row(package, module), f"{module} imports {used}, which is not a lower layer"


def test_the_layers_list_exactly_the_files_and_folders():
    for package, rows in ROOMS.items():
        here = {
            path.stem for path in (ROOT / package).iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
        }
        assert {name for names in rows for name in names} == here


def test_the_packages_import_nothing_from_tests_or_benchmarks():
    for module, path in FILES.items():
        assert not [m for m in imports(tree_of(path), path) if m.partition(".")[0] in ("tests", "benchmarks")], module


def test_modules_that_use_the_whole_package_are_not_imported_by_it():
    users = {module for module, path in FILES.items() if is_user(path)}
    inside = {module for module in FILES if module.startswith("minigrad.")} - users
    assert {module: all_uses()[module] & users for module in inside if all_uses()[module] & users} == {}


def test_only_what_few_machines_have_is_imported_inside_functions():
    """In minigrad/, its own modules are imported at the top of files, but for the CUDA backend; one file imports CuPy,
    one mpi4py."""
    for module, path in FILES.items():
        if module.partition(".")[0] != "minigrad":
            continue
        tree, name = tree_of(path), str(path.relative_to(ROOT))
        top = {id(node) for node in tree.body}
        late = [n for n in ast.walk(tree) if isinstance(n, (ast.Import, ast.ImportFrom)) and id(n) not in top]
        for node in late:
            ours = [m for m in imports(node, path) if m.startswith(("minigrad", *OPTIONAL))]
            assert all(m.startswith(LATE.get(name, "nothing")) for m in ours), f"{name}:{node.lineno}"
        optional = [m for m in imports(tree, path) if m.startswith(OPTIONAL)]
        assert all(m.startswith(LATE.get(name, "nothing")) for m in optional), f"{name} imports {optional}"


def test_vae_imports_public_minigrad_only():
    public = {*dir(mg), "commandline"}  # shared by all commands of the project
    for path in (ROOT / "vae").rglob("*.py"):
        for module in imports(tree_of(path), path):
            parts = module.split(".")
            if parts[0] == "minigrad":
                assert len(parts) == 1 or parts[1] in public, f"{path.name} imports {module}"


def test_the_engine_and_its_commands_import_no_dependency_of_vae():
    """Every module but those for tests, and one run of each command, need only NumPy and threadpoolctl; warnings are
    errors."""
    program = """
import contextlib, importlib, io, pathlib, runpy, sys
import minigrad as mg
root = pathlib.Path(mg.__path__[0])
for path in root.rglob("*.py"):
    name = ".".join(path.relative_to(root.parent).with_suffix("").parts).removesuffix(".__init__")
    if not name.endswith("__main__") and not name.startswith("minigrad.testing"):
        importlib.import_module(name)
for command in (["minigrad.backends"], ["minigrad.checks", "--op", "tanh"]):
    sys.argv, told = command, io.StringIO()
    try:
        with contextlib.redirect_stdout(told):
            runpy.run_module(command[0], run_name="__main__")
    except SystemExit as stop:
        assert stop.code == 0 and told.getvalue()
mg.draw(lambda x: x * mg.sin(x), 3.0)
print(sorted({"hypothesis", "matplotlib", "PIL", "pytest", "rich", "safetensors", "vae"} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=120)
    assert done.stdout.endswith("[]\n"), done.stdout + done.stderr
