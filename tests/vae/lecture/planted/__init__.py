"""Planted mistakes: one file for each file in vae/lecture/slides, with one mistake for each of its claims."""

import importlib
from pathlib import Path

FILES = {
    path.stem: importlib.import_module(f"{__name__}.{path.stem}").PLANTED
    for path in sorted(Path(__file__).parent.glob("s[0-9][0-9]_*.py"))
}
PLANTED = {name: mistake for planted in FILES.values() for name, mistake in planted.items()}
