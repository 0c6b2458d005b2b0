"""The files of benchmarks/ are scripts beside each other: here they are imported as they import each other."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def module():
    """A function that imports a file of benchmarks/ anew for each test; pytest's `pythonpath` finds it."""
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if str(FOLDER) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]
