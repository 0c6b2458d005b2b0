"""The files of benchmarks/ are scripts that import each other by file name; so do the tests."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def module():
    """A function that imports a file of benchmarks/, afresh for each test; pytest's `pythonpath` has the folder."""
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if str(FOLDER) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]
