"""minigrad/core/__init__.py: its table of files, and the places it names for additions, are correct."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from minigrad import core

CORE = Path(core.__file__).parent
ROOT = CORE.parent.parent
ROWS = re.findall(r"^    (\w+\.py) +(\d+) +(\d+)    \S", core.__doc__, re.MULTILINE)
ORDER = [name for name, *_ in ROWS]


def test_the_table_lists_every_file_once_with_its_length():
    assert sorted(ORDER) == sorted(path.name for path in CORE.glob("*.py") if path.name != "__init__.py")
    for name, lines, _ in ROWS:
        found = len((CORE / name).read_text(encoding="utf-8").splitlines())
        assert abs(found - int(lines)) <= 0.1 * found, f"{name} has {found} lines"


def test_the_reading_times_fit_into_an_afternoon():
    minutes = [int(row[2]) for row in ROWS]
    assert sum(minutes) <= 4 * 60
    assert all(int(lines) / int(m) <= 21 for _, lines, m in ROWS)  # at most 21 lines a minute


def test_files_are_listed_after_those_they_import():
    for place, name in enumerate(ORDER):
        for node in ast.walk(ast.parse((CORE / name).read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("minigrad.core"):
                used = [node.module] if node.module.count(".") == 2 else [f"{node.module}.{a.name}" for a in node.names]
                assert {f"{m.rpartition('.')[2]}.py" for m in used} <= set(ORDER[:place]), f"{name} uses {used}"


def test_places_to_add_things_exist():
    places = re.findall(r"`((?:minigrad|vae|tests)/[\w/.]+)`", core.__doc__)
    assert len(places) >= 8
    assert [place for place in places if not (ROOT / place).exists()] == []
