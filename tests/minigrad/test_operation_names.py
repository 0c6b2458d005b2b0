"""No file outside minigrad/ops/ lists operations by name: the properties of an operation are traits in its own file."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import minigrad as mg
from minigrad.core import primitives

PACKAGE = Path(mg.__file__).parent

ABOUT_OPERATIONS = (
    "__init__.py",
    "linalg.py",
    "ops",
    "collectives/operations.py",
    "checks/array_api.py",
    "checks/catalogue",
    "checks/conventions.py",
)
"""The public names, the definitions of operations, their test cases, and the conventions for derivatives at kinks."""

OTHER_THINGS = {
    "backends": {
        "conv",
        "conv_input",
        "conv_kernel",
        "random_bits",
        "where",
    },  # kernels and a scratch array
    "collectives": {"all_gather", "all_sum", "own", "reduce_scatter", "replicate"},  # its public functions
    "core": {"where", "copy", "astype"},  # options of NumPy functions, and an array method
    "program": {"conv", "matmul", "relu"},  # names of kernels, and an option of an epilogue
    "show": {"where"},  # a CSS class
}
"""Strings, by package, that happen to be names of primitives."""


def own_names() -> set[str]:
    return {name for name, p in primitives.items() if p.forward.__module__.startswith("minigrad.")}


def words(tree: ast.Module, names: set[str]) -> Iterator[str]:
    """Names in strings made up of names, and in dict keys; not in docstrings or definitions of primitives."""
    apart: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr):
            apart.add(id(node.value))
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "").lower().endswith("primitive") and node.args:
            apart.add(id(node.args[0]))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in apart:
            yield from node.value.split() if {*node.value.split()} <= names else ()
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "dict":
            yield from {keyword.arg for keyword in node.keywords} & names


def find_names() -> dict[str, set[str]]:
    """The names of primitives in the files of each package."""
    names, rooms = own_names(), {}
    for path in PACKAGE.rglob("*.py"):
        place = path.relative_to(PACKAGE)
        if any(place.is_relative_to(apart) for apart in ABOUT_OPERATIONS):
            continue
        named = words(ast.parse(path.read_text(encoding="utf-8")), names)
        rooms.setdefault(place.parts[0].removesuffix(".py"), set()).update(named)
    return {room: named for room, named in rooms.items() if named}


def test_names_are_found_in_strings_and_keys():
    tree = ast.parse(
        '"""sin"""\nx = {"add": 1}\ny = "sum exp".split()\nz = dict(max=2, n=3)\nprimitive("tanh")(x)\na = "a sum"'
    )
    assert set(words(tree, own_names())) == {"add", "sum", "exp", "max"}


def test_no_file_lists_operations_by_name():
    assert find_names() == OTHER_THINGS
